//! Server-sent events, as `/api/v1/approvals:watch` has them: a name and one line of JSON each.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use super::Failure;
use crate::diagnostic::innermost;

/// A server that is silent for longer than several of its signs of life is gone.
const SILENCE: Duration = Duration::from_secs(35);

/// The largest event that is taken.
const MAX_EVENT: usize = 4 << 20;

/// A stream of events.
pub struct Events {
    response: Response,
    address: String,
    unread: Vec<u8>,
}

impl Events {
    pub(super) fn new(response: Response, address: String) -> Self {
        Self { response, address, unread: Vec::new() }
    }

    /// The next event's name and data; `None` when the server ended the stream. An event `error` is a failure.
    pub async fn next(&mut self) -> Result<Option<(String, Value)>, Failure> {
        loop {
            if let Some(event) = self.take()? {
                return Ok(Some(event));
            }
            let lost = |reason: String| Failure::Unreachable(self.address.clone(), reason);
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| lost("it is silent".to_owned()))?;
            match chunk.map_err(|error| lost(innermost(&error)))? {
                Some(chunk) => self.unread.extend_from_slice(&chunk),
                None => return Ok(None),
            }
            if self.unread.len() > MAX_EVENT {
                return Err(self.foreign());
            }
        }
    }

    /// An event that has arrived completely.
    fn take(&mut self) -> Result<Option<(String, Value)>, Failure> {
        let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") else { return Ok(None) };
        let event: Vec<u8> = self.unread.drain(..end.saturating_add(2)).collect();
        let event = String::from_utf8(event).map_err(|_| self.foreign())?;
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let (Some(name), Some(data)) = (field("event: "), field("data: ")) else {
            return Err(self.foreign());
        };
        let data: Value = serde_json::from_str(data).map_err(|_| self.foreign())?;
        if name != "error" {
            return Ok(Some((name.to_owned(), data)));
        }
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(match text("code").as_str() {
            "credential_refused" | "unauthenticated" => Failure::Unauthenticated(text("message")),
            _ => Failure::Unreachable(self.address.clone(), text("message")),
        })
    }

    fn foreign(&self) -> Failure {
        Failure::NotPortcullis(self.address.clone(), self.response.status())
    }
}
