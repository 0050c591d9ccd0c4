//! `approvals watch`: what is pending, then what comes and changes, as the server tells of it.
//!
//! A server that goes away is waited for. What was pending before and is not afterwards was decided meanwhile, and is
//! asked for one by one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Failure};
use crate::admin::visible::visible;
use crate::cli::client::{self, Events};

/// Before the server is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody to tell what happens.
pub(super) trait Watcher {
    /// A request came or changed. `live`: it happened now, and not before the watch began.
    fn tell(&mut self, approval: &Value, live: bool) -> Result<(), Failure>;

    /// Everything that is known for now was told.
    fn settled(&mut self) -> Result<(), Failure>;
}

/// Goes on until `watcher` fails or the server refuses; also when the server can't be reached the first time.
pub(super) async fn watch(client: &Client, watcher: &mut impl Watcher) -> Result<(), Failure> {
    let mut seen = Seen::default();
    let mut away = false;
    loop {
        let ended = match client.watch().await {
            Ok(events) => {
                away = false;
                follow(client, events, &mut seen, watcher).await
            }
            Err(failure) => Err(failure),
        };
        match ended {
            Ok(()) => {}
            Err(failure @ Failure::Server(client::Failure::Unreachable(..))) if seen.began => {
                if !away {
                    anstream::eprintln!("warning: {}; trying again", visible(&failure.to_string()));
                }
                away = true;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `Ok` when the server ended the stream, or it went silent.
async fn follow(
    client: &Client,
    mut events: Events,
    seen: &mut Seen,
    watcher: &mut impl Watcher,
) -> Result<(), Failure> {
    let mut pending = HashSet::new();
    while let Some((kind, data)) = events.next().await? {
        let approval = data.get("approval").unwrap_or(&Value::Null);
        match kind.as_str() {
            "pending" => {
                pending.insert(id(approval));
                if seen.is_news(approval) {
                    watcher.tell(approval, seen.began)?;
                }
            }
            "ready" => {
                for id in seen.no_longer(&pending) {
                    let approval = match client.show(&id).await {
                        Ok(approval) => approval,
                        // Forgotten meanwhile, or nothing of ours any more: the others are.
                        Err(Failure::Server(
                            client::Failure::NotFound(_) | client::Failure::Forbidden(_),
                        )) => {
                            seen.standings.remove(&id);
                            continue;
                        }
                        Err(failure) => return Err(failure),
                    };
                    if seen.is_news(&approval) {
                        watcher.tell(&approval, true)?;
                    }
                }
                pending.clear();
                seen.began = true;
                watcher.settled()?;
            }
            "changed" if seen.is_news(approval) => {
                watcher.tell(approval, true)?;
                watcher.settled()?;
            }
            // Signs of life, repetitions, and what later servers may add.
            _ => {}
        }
    }
    Ok(())
}

fn text(approval: &Value, name: &str) -> String {
    approval.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn id(approval: &Value) -> String {
    text(approval, "id")
}

/// How the requests stood when they were last told of: state and number of votes, by id. Those that are finished are
/// forgotten: nothing changes about them.
#[derive(Default)]
struct Seen {
    began: bool,
    standings: HashMap<String, (String, usize)>,
}

impl Seen {
    fn is_news(&mut self, approval: &Value) -> bool {
        let votes = approval.get("votes").and_then(Value::as_array).map_or(0, Vec::len);
        let standing = (text(approval, "state"), votes);
        let before = if matches!(standing.0.as_str(), "pending" | "approved") {
            self.standings.insert(id(approval), standing.clone())
        } else {
            self.standings.remove(&id(approval))
        };
        before.as_ref() != Some(&standing)
    }

    /// Those that were pending and are not in the list any more.
    fn no_longer(&self, pending: &HashSet<String>) -> Vec<String> {
        let gone =
            self.standings.iter().filter(|(id, (state, _))| state == "pending" && !pending.contains(*id));
        gone.map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_came_or_changed_is_news() {
        let request =
            |id: &str, state: &str, votes: usize| json!({"id": id, "state": state, "votes": vec![0; votes]});
        let mut seen = Seen::default();
        assert!(seen.is_news(&request("1", "pending", 0)));
        assert!(!seen.is_news(&request("1", "pending", 0)));
        assert!(seen.is_news(&request("1", "pending", 1)), "a vote");
        assert!(seen.is_news(&request("2", "pending", 0)));
        assert!(seen.is_news(&request("1", "approved", 2)));
        assert_eq!(seen.no_longer(&["3".into()].into()), ["2"], "an approved one was not pending");
        assert!(seen.no_longer(&["2".into()].into()).is_empty());
        assert!(seen.is_news(&request("1", "used", 2)));
        assert_eq!(seen.standings.len(), 1, "what is finished is forgotten");
    }

    #[derive(Default)]
    struct Told(Vec<(String, String, bool)>);

    impl Watcher for Told {
        fn tell(&mut self, approval: &Value, live: bool) -> Result<(), Failure> {
            self.0.push((id(approval), text(approval, "state"), live));
            // The last one of the test ends the watch.
            if text(approval, "state") == "used" { Err(Failure::UnknownId("end".into())) } else { Ok(()) }
        }

        fn settled(&mut self) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// Two streams, as of a server that was restarted; the request `1` was approved in between, and `0` is forgotten.
    #[tokio::test]
    async fn what_was_decided_while_the_server_was_away_is_told() {
        let mut streams = vec![
            "event: pending\ndata: {\"approval\":{\"id\":\"1\",\"state\":\"pending\"}}\n\n\
             event: pending\ndata: {\"approval\":{\"id\":\"0\",\"state\":\"pending\"}}\n\nevent: ready\ndata: {}\n\n",
            "event: heartbeat\ndata: {}\n\nevent: ready\ndata: {}\n\n\
             event: changed\ndata: {\"approval\":{\"id\":\"2\",\"state\":\"pending\"}}\n\n\
             event: changed\ndata: {\"approval\":{\"id\":\"2\",\"state\":\"used\"}}\n\n",
        ]
        .into_iter();
        let streams =
            std::sync::Arc::new(parking_lot::Mutex::new(move || streams.next().unwrap_or_default()));
        let router = axum::Router::new()
            .route(
                "/api/v1/approvals:watch",
                axum::routing::get(move || async move {
                    let body = (streams.lock())();
                    ([("content-type", "text/event-stream")], body)
                }),
            )
            .route(
                "/api/v1/approvals/0",
                axum::routing::get(async || {
                    (axum::http::StatusCode::NOT_FOUND, r#"{"code": "not_found", "message": "gone"}"#)
                }),
            )
            .route("/api/v1/approvals/1", axum::routing::get(async || r#"{"id": "1", "state": "approved"}"#));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::at(&address);
        let mut told = Told::default();
        watch(&client, &mut told).await.unwrap_err();
        let expected = [
            ("1", "pending", false),
            ("0", "pending", false),
            ("1", "approved", true),
            ("2", "pending", true),
            ("2", "used", true),
        ];
        let told: Vec<_> =
            told.0.iter().map(|(id, state, live)| (id.as_str(), state.as_str(), *live)).collect();
        assert_eq!(told, expected);
    }
}
