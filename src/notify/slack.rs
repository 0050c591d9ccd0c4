//! A message for Slack's incoming webhooks: blocks, and a text for where blocks can't be shown.
//!
//! The caller's text stands in `plain_text` objects, which know no links, mentions and formatting. Our own link is the only
//! markup. `&`, `<` and `>` are escaped everywhere, as Slack asks for.

use serde_json::{Value, json};

use super::words::Message;

/// Characters of one value; a section takes 3,000, and an escaped character five.
pub(super) const VALUE: usize = 500;

pub(super) fn body(message: &Message) -> Value {
    let mut blocks = vec![json!({"type": "header", "text": plain(message.title)})];
    blocks.extend(
        message
            .facts
            .iter()
            .map(|(name, value)| json!({"type": "section", "text": plain(&format!("{name}: {value}"))})),
    );
    let link = format!("<{}|{}>", escape(&message.link), escape(message.link_text));
    blocks.push(json!({
        "type": "section",
        "text": {"type": "mrkdwn", "text": link, "verbatim": true},
    }));
    let call = message.facts.first().map_or("", |(_, value)| value);
    json!({
        "text": escape(&format!("{}: {call}", message.title)),
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": escape(text), "emoji": false})
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
