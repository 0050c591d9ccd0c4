//! One attempt to tell one target something, and what its answer means.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};

use super::target::{Form, Target};
use super::words::Message;
use super::{signature, slack, teams, webhook};
use crate::diagnostic::innermost;
use crate::notice::Notice;
use crate::outbound;

/// What a receiver may ask for at most.
const MAX_PAUSE: Duration = Duration::from_secs(3_600);

/// Bytes of an answer that are read: enough for a chat's error code.
const MAX_ANSWER: usize = 256;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver says that it has it.
    Sent,
    Failed {
        /// For the operator. Nothing of the URL, and no text of the receiver's but a code.
        why: String,
        /// How long it asks to be left alone.
        pause: Option<Duration>,
        /// Whether the same message can't succeed later.
        hopeless: bool,
    },
}

/// Sends it. Ends within the target's timeout, whatever the receiver does.
pub(super) async fn attempt(
    target: &Target,
    id: &str,
    notice: &Notice,
    page: &Url,
    now: Timestamp,
) -> Outcome {
    let body = match &target.form {
        Form::Slack => slack::body(&Message::of(notice, page, slack::VALUE)),
        Form::Teams => teams::body(&Message::of(notice, page, teams::VALUE)),
        Form::Webhook(_) => webhook::body(notice, page),
    };
    let body = body.to_string().into_bytes();
    let mut request = match target.client.post(target.url.expose()).await {
        Ok(request) => request.header(CONTENT_TYPE, "application/json"),
        Err(unreachable) => return failed(unreachable.to_string()),
    };
    if let Form::Webhook(keys) = &target.form {
        let timestamp = now.as_second();
        request = request
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature::header(keys, id, timestamp, &body));
    }
    match request.body(body).send().await {
        Ok(response) => judge(response, target.url.expose(), now).await,
        Err(error) if error.is_timeout() => failed("no answer in time".to_owned()),
        Err(error) => failed(innermost(&error.without_url())),
    }
}

fn failed(why: String) -> Outcome {
    Outcome::Failed { why, pause: None, hopeless: false }
}

/// A good status is enough: what else a receiver says, and how long it goes on, is not read.
async fn judge(response: Response, url: &Url, now: Timestamp) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return Outcome::Sent;
    }
    // What they say is wrong with this message stays wrong with it.
    let hopeless = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::GONE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    let pause = retry_after(response.headers(), now);
    let hint = if status.is_redirection() { " (redirects are not followed)" } else { "" };
    let code = code(response, url).await.map(|code| format!(", `{code}`")).unwrap_or_default();
    Outcome::Failed { why: format!("its status is {}{code}{hint}", status.as_u16()), pause, hopeless }
}

/// Seconds or a date, an hour at most.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(pause.min(MAX_PAUSE))
}

/// The word that chats answer with when they refuse (`invalid_blocks`). Anything else may repeat our URL, and is left out.
async fn code(response: Response, url: &Url) -> Option<String> {
    let body = outbound::body(response, MAX_ANSWER).await.ok()?;
    let word = String::from_utf8(body).ok()?;
    let plain = (1..=40).contains(&word.len()) && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    (plain && !url.as_str().contains(&word)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_in_seconds_or_until_a_date_and_has_an_end() {
        let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
        let pause = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(pause("7"), Some(7));
        assert_eq!(pause("Sat, 21 Nov 2026 20:01:30 GMT"), Some(90));
        assert_eq!(pause("Sat, 21 Nov 2020 20:01:30 GMT"), Some(0));
        assert_eq!(pause("99999999999"), Some(3_600));
        assert_eq!(pause("-1"), None);
        assert_eq!(pause("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
