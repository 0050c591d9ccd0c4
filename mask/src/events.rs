//! Server-sent events (WHATWG HTML, 9.2) whose data is JSON.
//!
//! An event is kept until its blank line has arrived, then goes out at once. When a rule took something of its data,
//! the rewritten data is written where the first `data` line stood; otherwise the event passes byte for byte.
//! `event`, `id`, `retry` and comment lines pass. Data that is no JSON document can't be searched for fields, so it
//! blocks the body, except for data of white space alone and the sentinel `[DONE]`, which ends the streams of
//! widespread APIs. Lines of any other field block the body too: readers skip them, but a body that merely claims
//! to be an event stream would pass as such lines.

use std::mem;
use std::sync::Arc;

use super::json::Json;
use super::plan::Plan;
use super::unmaskable::{Limits, Unmaskable};

const BOM: &[u8] = b"\xef\xbb\xbf";
const SENTINEL: &[u8] = b"[DONE]";

/// The rewriter of one body.
#[derive(Debug)]
pub struct Events {
    plan: Arc<Plan>,
    limits: Limits,
    /// The line being read.
    line: Vec<u8>,
    /// The lines of the event being read, as they are, from its first `data` line on.
    event: Vec<u8>,
    /// The last byte was a CR: an LF would belong to its line end.
    after_cr: bool,
    at_start: bool,
    masked: u64,
}

impl Events {
    pub fn new(plan: Arc<Plan>, limits: Limits) -> Self {
        let (line, event) = (Vec::new(), Vec::new());
        Self { plan, limits, line, event, after_cr: false, at_start: true, masked: 0 }
    }

    pub fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            if let Some(rest) = chunk.strip_prefix(b"\n") {
                let line = if self.event.is_empty() { &mut *out } else { &mut self.event };
                line.push(b'\n');
                chunk = rest;
            }
        }
        while let Some((text, end, rest)) = split_line(chunk) {
            self.read(text)?;
            self.end_line(end, out)?;
            self.after_cr = end == b"\r" && rest.is_empty();
            chunk = rest;
        }
        self.read(chunk)
    }

    /// An event without its blank line is treated as if it had one: some readers take it.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if !self.line.is_empty() {
            self.end_line(b"", out)?;
        }
        self.end_event(out)
    }

    pub fn masked_fields(&self) -> u64 {
        self.masked
    }

    fn read(&mut self, text: &[u8]) -> Result<(), Unmaskable> {
        self.line.extend_from_slice(text);
        if self.event.len() + self.line.len() > self.limits.event_bytes {
            return Err(Unmaskable::EventTooLong { limit: self.limits.event_bytes });
        }
        Ok(())
    }

    fn end_line(&mut self, end: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let mut line = mem::take(&mut self.line);
        if mem::take(&mut self.at_start) && line.starts_with(BOM) {
            out.extend_from_slice(BOM);
            line.drain(..BOM.len());
        }
        let is_blank = line.is_empty();
        let is_data = !is_blank && data_start(&line)?.is_some();
        if is_blank {
            self.end_event(out)?;
        }
        let goes_out = is_blank || self.event.is_empty() && !is_data;
        let to = if goes_out { out } else { &mut self.event };
        to.extend_from_slice(&line);
        to.extend_from_slice(end);
        Ok(())
    }

    fn end_event(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let event = mem::take(&mut self.event);
        let Some(data) = self.masked_data(&event)? else {
            out.extend_from_slice(&event);
            return Ok(());
        };
        let mut written = false;
        for (line, end) in lines(&event) {
            let Some(prefix) = data_start(line)?.and_then(|start| line.get(..start)) else {
                out.extend_from_slice(line);
                out.extend_from_slice(end);
                continue;
            };
            // A bare `data` line has an empty value, and no colon for another to follow.
            let prefix = if prefix.contains(&b':') { prefix } else { b"data: " };
            if !mem::replace(&mut written, true) {
                for text in data.split(|byte| *byte == b'\n') {
                    out.extend_from_slice(prefix);
                    out.extend_from_slice(text);
                    out.extend_from_slice(end);
                }
            }
        }
        Ok(())
    }

    /// The event's data rewritten, if a rule took something of it.
    fn masked_data(&mut self, event: &[u8]) -> Result<Option<Vec<u8>>, Unmaskable> {
        let mut values = Vec::new();
        for (line, _) in lines(event) {
            values.extend(data_start(line)?.and_then(|start| line.get(start..)));
        }
        let data = values.join(&b'\n');
        if data == SENTINEL || data.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let (mut json, mut out) = (Json::new(self.plan.clone(), self.limits), Vec::new());
        json.push(&data, &mut out)?;
        json.finish(&mut out)?;
        self.masked += json.masked_fields();
        Ok((json.masked_fields() > 0).then_some(out))
    }
}

/// The first line, its end and what follows it; `None` when no line end is there.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (line, rest) = bytes.split_at_checked(memchr::memchr2(b'\r', b'\n', bytes)?)?;
    let (end, rest) = rest.split_at_checked(if rest.starts_with(b"\r\n") { 2 } else { 1 })?;
    Some((line, end, rest))
}

/// Every line with its end; the last may have none.
fn lines(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (line, end, rest) = match split_line(bytes) {
            Some(split) => split,
            None if bytes.is_empty() => return None,
            None => (bytes, &[][..], &[][..]),
        };
        bytes = rest;
        Some((line, end))
    })
}

/// Where the value of a `data` line starts; `None` for the other lines that an event may have.
fn data_start(text: &[u8]) -> Result<Option<usize>, Unmaskable> {
    if std::str::from_utf8(text).is_err() {
        return Err(Unmaskable::InvalidEventStream { what: "it is not UTF-8" });
    }
    let name = memchr::memchr(b':', text).unwrap_or(text.len());
    match text.split_at_checked(name) {
        Some((b"data", [b':', b' ', ..])) => Ok(Some(name + 2)),
        Some((b"data", [b':', ..])) => Ok(Some(name + 1)),
        Some((b"data", _)) => Ok(Some(name)),
        Some((b"" | b"event" | b"id" | b"retry", _)) => Ok(None),
        _ => Err(Unmaskable::InvalidEventStream {
            what: "a line is neither `data`, `event`, `id`, `retry` nor a comment",
        }),
    }
}
