//! Readers of bodies that are more lenient than they should be, each in its own way.

use std::fmt;

use portcullis_mask::Format;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::samples::Kind;

/// What a reader sees in a body: the texts of names and values.
type Reader = fn(&Kind, &[u8]) -> Vec<String>;

/// By which member of several of one name they go, or by none: that one takes the bytes for what they are.
pub const ALL: [(&str, Reader); 3] = [
    ("the first-wins reader", |kind, body| read(kind, body, Wins::First)),
    ("the last-wins reader", |kind, body| read(kind, body, Wins::Last)),
    ("the raw-scan reader", |_, body| raw(body)),
];

#[derive(Clone, Copy, PartialEq)]
enum Wins {
    First,
    Last,
}

fn read(kind: &Kind, body: &[u8], wins: Wins) -> Vec<String> {
    let Kind::Body(format, _) = kind else { return raw(body) };
    let text = String::from_utf8_lossy(body);
    let mut texts = Vec::new();
    let mut json = |text: &str| {
        let tree: Tree = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        tree.texts(wins, &mut texts);
    };
    match format {
        Format::Json => json(&text),
        Format::Ndjson => text.lines().filter(|line| !line.trim().is_empty()).for_each(json),
        Format::Sse => {
            for event in text.split("\n\n") {
                let data: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                if !data.is_empty() {
                    json(&data.join("\n"));
                }
            }
        }
        Format::Form => {
            let mut pairs: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
            if wins == Wins::Last {
                pairs.reverse();
            }
            let mut seen = std::collections::BTreeSet::new();
            texts.extend(
                pairs.into_iter().filter(|(name, _)| seen.insert(name.clone())).map(|(_, value)| value),
            );
        }
        Format::Text => texts.push(text.into_owned()),
    }
    texts
}

/// The bytes as they are, and with escapes of JSON and of forms taken off wherever they stand.
fn raw(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut unescaped = String::new();
    let mut rest = &text[..];
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let code = rest.strip_prefix('u').and_then(|rest| rest.get(..4));
        match code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32) {
            Some(escaped) if c == '\\' => {
                unescaped.push(escaped);
                rest = &rest[5..];
            }
            _ if c == '\\' => {}
            _ => unescaped.push(c),
        }
    }
    let form = form_urlencoded::parse(body).map(|(name, value)| format!("{name}={value}")).collect();
    vec![text, unescaped, form]
}

/// JSON with every member that is written.
enum Tree {
    Leaf(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn texts(&self, wins: Wins, texts: &mut Vec<String>) {
        match self {
            Self::Leaf(text) => texts.push(text.clone()),
            Self::Array(items) => items.iter().for_each(|item| item.texts(wins, texts)),
            Self::Object(members) => {
                for (at, (name, value)) in members.iter().enumerate() {
                    let others = if wins == Wins::First { &members[..at] } else { &members[at + 1..] };
                    if others.iter().all(|(other, _)| other != name) {
                        value.texts(wins, texts);
                    }
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(String::new()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_entry()? {
            list.push(member);
        }
        Ok(Tree::Object(list))
    }
}
