//! What the upstream remembers: how often it was called, with what, and the answers that tests dictate.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::scripted::Answer;

#[derive(Debug, Default)]
pub(super) struct State {
    calls: Mutex<BTreeMap<String, u64>>,
    refunds: Mutex<BTreeMap<String, u64>>,
    answers: Mutex<BTreeMap<String, Answer>>,
}

impl State {
    pub(super) fn count_call(&self, path: &str) {
        *self.calls.lock().entry(path.to_owned()).or_default() += 1;
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.lock().values().sum()
    }

    pub(super) fn calls_to(&self, path: &str) -> u64 {
        self.calls.lock().get(path).copied().unwrap_or_default()
    }

    pub(super) fn count_refund(&self, tag: String) {
        *self.refunds.lock().entry(tag).or_default() += 1;
    }

    pub(super) fn refunds(&self) -> BTreeMap<String, u64> {
        self.refunds.lock().clone()
    }

    pub(super) fn set_answer(&self, path: &str, answer: Answer) {
        self.answers.lock().insert(path.to_owned(), answer);
    }

    pub(super) fn answer(&self, path: &str) -> Option<Answer> {
        self.answers.lock().get(path).cloned()
    }

    pub(super) fn stats(&self) -> Value {
        json!({"calls": self.calls(), "calls_by_path": *self.calls.lock(), "refunds": *self.refunds.lock()})
    }
}

/// A request as JSON. Header names keep all their values; bytes that are not UTF-8 are shown as U+FFFD.
pub(super) fn echo(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Value {
    let mut shown: Map<String, Value> = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        shown.insert(
            name.to_string(),
            values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect(),
        );
    }
    json!({
        "method": method.as_str(),
        "path": uri.to_string(),
        "headers": shown,
        "body": String::from_utf8_lossy(body),
    })
}
