//! Requests for approval as the commands call for them.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::client::{self, Events, Server, Tls};

/// A shorter end of an id names too many.
const SHORTEST_SUFFIX: usize = 6;

/// A UUID in its usual form.
const ID_LENGTH: usize = 36;

/// Why a command has no answer. `Display` is what the person reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Server(#[from] client::Failure),
    #[error("`{0}` is too short: give the whole id, or at least its last 6 characters")]
    ShortId(String),
    #[error("`{0}` is not an id")]
    BadId(String),
    #[error("none of the newest requests that you may see ends with `{0}`")]
    UnknownId(String),
    #[error("several requests end with `{0}`; give more of the id")]
    AmbiguousId(String),
    #[error("can't write the output: {0}")]
    Output(#[from] std::io::Error),
}

pub(super) struct Client(Server);

impl Client {
    pub(super) fn new(server: &str, token_file: Option<&Path>, tls: &Tls) -> Result<Self, Failure> {
        Ok(Self(Server::new(server, token_file, tls)?))
    }

    /// The newest requests, over as many pages as it takes.
    pub(super) async fn list(&self, state: Option<&str>, limit: u32) -> Result<Value, Failure> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut approvals = Vec::new();
        let mut token = String::new();
        loop {
            let rest = wanted.saturating_sub(approvals.len()).to_string();
            let query = [("state", state.unwrap_or_default()), ("limit", &rest), ("pageToken", &token)];
            let mut page = self.0.get("/api/v1/approvals", &query).await?;
            if let Some(Value::Array(listed)) = page.get_mut("approvals").map(Value::take) {
                approvals.extend(listed);
            }
            token = page.get("nextPageToken").and_then(Value::as_str).unwrap_or_default().to_owned();
            if token.is_empty() || approvals.len() >= wanted {
                return Ok(json!({"approvals": approvals}));
            }
        }
    }

    pub(super) async fn show(&self, id: &str) -> Result<Value, Failure> {
        Ok(self.0.get(&format!("/api/v1/approvals/{id}"), &[]).await?)
    }

    pub(super) async fn decide(&self, id: &str, verb: &str, reason: &str) -> Result<Value, Failure> {
        let path = format!("/api/v1/approvals/{id}:{verb}");
        Ok(self.0.post(&path, &json!({"reason": reason})).await?)
    }

    /// What is pending, and what changes from now on.
    pub(super) async fn watch(&self) -> Result<Events, Failure> {
        Ok(self.0.events("/api/v1/approvals:watch").await?)
    }

    #[cfg(test)]
    pub(super) fn at(address: &str) -> Self {
        Self(Server::with_token(address, "t", &Tls::default()).unwrap())
    }

    /// The whole id that `given` stands for.
    pub(super) async fn resolve(&self, given: &str) -> Result<String, Failure> {
        if !given.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Err(Failure::BadId(given.to_owned()));
        }
        if given.len() >= ID_LENGTH {
            return Ok(given.to_owned());
        }
        if given.len() < SHORTEST_SUFFIX {
            return Err(Failure::ShortId(given.to_owned()));
        }
        let list = self.list(None, 500).await?;
        let approvals = list.get("approvals").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let ids = approvals.iter().filter_map(|approval| approval.get("id").and_then(Value::as_str));
        let mut matching = ids.filter(|id| id.ends_with(given));
        match (matching.next(), matching.next()) {
            (Some(id), None) => Ok(id.to_owned()),
            (Some(_), Some(_)) => Err(Failure::AmbiguousId(given.to_owned())),
            (None, _) => Err(Failure::UnknownId(given.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::tests::serve;

    #[tokio::test]
    async fn the_end_of_an_id_must_name_one_request() {
        let list = r#"{"approvals": [{"id": "0-aaaaaa111111"}, {"id": "0-bbbbbb111111"}]}"#;
        let client = Client(Server::with_token(&serve(200, list).await, "t", &Tls::default()).unwrap());
        assert_eq!(client.resolve("a111111").await.unwrap(), "0-aaaaaa111111");
        assert!(matches!(client.resolve("111111").await, Err(Failure::AmbiguousId(_))));
        assert!(matches!(client.resolve("222222").await, Err(Failure::UnknownId(_))));
        assert!(matches!(client.resolve("11111").await, Err(Failure::ShortId(_))));
        assert!(matches!(client.resolve("../../x").await, Err(Failure::BadId(_))));
    }
}
