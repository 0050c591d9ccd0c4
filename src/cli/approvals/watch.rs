//! `approvals watch`: asks every second, and tells what is new.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Failure};
use crate::admin::visible::visible;
use crate::cli::client;

const INTERVAL: Duration = Duration::from_secs(1);

/// The newest requests that are looked at: the most that the server lists at once.
const NEWEST: u32 = 500;

/// Tells of what is pending, then of each request that comes or changes. Ends when the first answer or `tell`
/// fails, or the server refuses; a server that restarts is waited for.
pub(super) async fn watch(
    client: &Client,
    tell: impl Fn(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut seen = Seen::default();
    let mut away = false;
    loop {
        match client.list(None, NEWEST).await {
            Ok(list) => {
                away = false;
                for approval in seen.news(&list) {
                    tell(approval)?;
                }
            }
            Err(failure @ Failure::Server(client::Failure::Unreachable(..))) if seen.standings.is_some() => {
                if !away {
                    anstream::eprintln!("warning: {}", visible(&failure.to_string()));
                }
                away = true;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// How the requests stood when they were last looked at: state and number of votes, by id.
#[derive(Default)]
struct Seen {
    standings: Option<HashMap<String, (String, usize)>>,
}

impl Seen {
    /// What is new in `list`, oldest first; of the first list, what is pending.
    fn news<'a>(&mut self, list: &'a Value) -> Vec<&'a Value> {
        let listed = list.get("approvals").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut standings = HashMap::with_capacity(listed.len());
        let mut news = Vec::new();
        for approval in listed.iter().rev() {
            let text = |name| approval.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let votes = approval.get("votes").and_then(Value::as_array).map_or(0, Vec::len);
            let standing = (text("state"), votes);
            let is_news = match &self.standings {
                None => standing.0 == "pending",
                Some(before) => before.get(&text("id")) != Some(&standing),
            };
            if is_news {
                news.push(approval);
            }
            standings.insert(text("id"), standing);
        }
        self.standings = Some(standings);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_came_or_changed_is_told_oldest_first() {
        let request =
            |id: &str, state: &str, votes: usize| json!({"id": id, "state": state, "votes": vec![0; votes]});
        let mut seen = Seen::default();
        let mut told = |list: Vec<Value>| -> Vec<String> {
            let list = json!({"approvals": list});
            seen.news(&list).iter().map(|approval| approval["id"].as_str().unwrap().to_owned()).collect()
        };
        let (old, used) = (request("1", "pending", 0), request("0", "used", 1));
        assert_eq!(told(vec![request("2", "pending", 0), old.clone(), used.clone()]), ["1", "2"]);
        assert!(told(vec![request("2", "pending", 0), old.clone(), used.clone()]).is_empty());
        assert_eq!(told(vec![request("2", "pending", 1), old.clone(), used.clone()]), ["2"], "a vote");
        assert_eq!(
            told(vec![request("3", "pending", 0), request("2", "approved", 2), old, used]),
            ["2", "3"]
        );
        assert!(told(vec![]).is_empty());
    }
}
