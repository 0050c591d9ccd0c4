//! A message for a Teams workflow ("when a Teams webhook request is received"): one Adaptive Card.
//!
//! The caller's text stands in `TextRun`s, which know no Markdown: no links and no formatting. Mentions need a list of their
//! own in the card, and there is none.

use serde_json::{Value, json};

use super::words::Message;

/// Characters of one value; a whole message takes 28 KB.
pub(super) const VALUE: usize = 500;

pub(super) fn body(message: &Message) -> Value {
    let mut rows = vec![json!({
        "type": "TextBlock", "text": message.title, "weight": "Bolder", "size": "Medium", "wrap": true,
    })];
    rows.extend(message.facts.iter().map(|(name, value)| {
        json!({
            "type": "RichTextBlock",
            "spacing": "Small",
            "inlines": [
                {"type": "TextRun", "text": format!("{name}: "), "weight": "Bolder"},
                {"type": "TextRun", "text": literal(value)},
            ],
        })
    }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": rows,
                "actions": [{"type": "Action.OpenUrl", "title": message.link_text, "url": message.link}],
            },
        }],
    })
}

/// Cards replace `{{DATE(...)}}` and `${...}` by what they work out; here they are text.
fn literal(text: &str) -> String {
    let mut before = ' ';
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '{' if matches!(before, '{' | '$') => out.push_str("\\u{7b}"),
            c => out.push(c),
        }
        before = c;
        out
    })
}
