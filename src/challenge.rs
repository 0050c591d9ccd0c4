//! What a caller without an accepted credential is told: the challenge of RFC 9110 section 11.6.1, in the words of RFC 6750
//! and RFC 9728, or the way to a login page.

use crate::reason::Reason;
use crate::request::Request;

/// How callers may prove themselves, as they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Shown by browsers; what the credentials are for.
    pub realm: Option<String>,
    /// Where a client finds out whose tokens are accepted (RFC 9728).
    pub resource_metadata: Option<String>,
    /// Whether a bearer token may do.
    pub bearer: bool,
    /// The realm where a user name and password may do (RFC 7617).
    pub basic: Option<String>,
    pub login: Option<Login>,
}

/// Where people are sent who come by a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// An absolute URL.
    pub url: String,
    /// The parameter that tells it where they came from.
    pub return_parameter: Option<String>,
}

impl Default for Challenge {
    fn default() -> Self {
        Self { realm: None, resource_metadata: None, bearer: true, basic: None, login: None }
    }
}

impl Challenge {
    /// The values of `www-authenticate` for `reason`: never why a credential was refused.
    pub fn values(&self, reason: Reason) -> Vec<String> {
        let realm = self.realm.as_ref().map(|realm| format!("realm=\"{}\"", quoted(realm)));
        let metadata = self.resource_metadata.as_ref();
        let metadata = metadata.map(|url| format!("resource_metadata=\"{}\"", quoted(url)));
        // RFC 6750 section 3.1: no error code when no credential was presented.
        let error = match reason {
            Reason::Unauthenticated => None,
            Reason::TokenRepeated => Some("error=\"invalid_request\"".to_owned()),
            _ => Some("error=\"invalid_token\"".to_owned()),
        };
        let parameters: Vec<_> = [realm, metadata, error].into_iter().flatten().collect();
        let bearer = self.bearer.then(|| format!("Bearer {}", parameters.join(", ")).trim_end().to_owned());
        let basic = |realm: &String| format!("Basic realm=\"{}\", charset=\"UTF-8\"", quoted(realm));
        bearer.into_iter().chain(self.basic.as_ref().map(basic)).collect()
    }

    /// Where to send the caller instead: only who would see a page, and would get there by asking for it. `path` says what
    /// they asked for, where that is needed.
    pub fn login(&self, request: &Request, path: impl FnOnce() -> String) -> Option<String> {
        let login = self.login.as_ref()?;
        let accepts = request.headers.text("accept").ok().flatten().unwrap_or_default();
        let mode = request.headers.text("sec-fetch-mode").ok().flatten();
        let sees_pages = accepts.split(',').any(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
        });
        let navigates = mode.is_none_or(|mode| mode == "navigate");
        if request.method != "GET" || !sees_pages || !navigates {
            return None;
        }
        let Some(parameter) = &login.return_parameter else { return Some(login.url.clone()) };
        let from = format!("{}://{}{}", request.scheme, request.host, path());
        let joint = if login.url.contains('?') { '&' } else { '?' };
        Some(format!("{}{joint}{}={}", login.url, encoded(parameter), encoded(&from)))
    }
}

/// The inside of a quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// As a part of a query: whatever is not unreserved (RFC 3986 section 2.3) is encoded.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, Limits, Parts};

    #[test]
    fn challenges_follow_rfc_6750_and_9728() {
        let plain = Challenge::default();
        assert_eq!(plain.values(Reason::Unauthenticated), ["Bearer"]);
        assert_eq!(plain.values(Reason::TokenExpired), ["Bearer error=\"invalid_token\""]);
        assert_eq!(plain.values(Reason::TokenRepeated), ["Bearer error=\"invalid_request\""]);
        let full = Challenge {
            realm: Some("the \"orders\" \\ API".into()),
            resource_metadata: Some("https://api.example.com/.well-known/oauth-protected-resource".into()),
            basic: Some("legacy".into()),
            ..Challenge::default()
        };
        assert_eq!(
            full.values(Reason::TokenSignature),
            [
                "Bearer realm=\"the \\\"orders\\\" \\\\ API\", \
                 resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\", \
                 error=\"invalid_token\"",
                "Basic realm=\"legacy\", charset=\"UTF-8\"",
            ]
        );
    }

    /// Whatever the reason, a refused credential is told nothing but that.
    #[test]
    fn a_refusal_tells_its_class_only() {
        let refusals: std::collections::BTreeSet<_> = Reason::ALL
            .into_iter()
            .filter(|reason| reason.is_refused_credential())
            .map(|reason| Challenge::default().values(reason))
            .collect();
        assert_eq!(refusals.len(), 1);
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| Header::new(name, *value)).collect();
        let parts = Parts {
            method: method.into(),
            scheme: "https".into(),
            host: "shop.example.com".into(),
            path: path.into(),
            headers,
            ..Parts::default()
        };
        Request::assemble(parts, &Limits::default())
    }

    #[test]
    fn people_are_sent_to_the_login_and_programs_are_not() {
        let login =
            Login { url: "https://login.example.com/?app=shop".into(), return_parameter: Some("rd".into()) };
        let challenge = Challenge { login: Some(login), ..Challenge::default() };
        let page = ("accept", "text/html,application/xhtml+xml;q=0.9");
        let found = challenge
            .login(&request("GET", "/", &[page, ("sec-fetch-mode", "navigate")]), || "/a?b=1&c=\"".into());
        assert_eq!(
            found.as_deref(),
            Some(
                "https://login.example.com/?app=shop&rd=https%3A%2F%2Fshop.example.com%2Fa%3Fb%3D1%26c%3D%22"
            )
        );
        assert!(challenge.login(&request("GET", "/", &[page]), || "/".into()).is_some());
        for (method, headers) in [
            ("POST", vec![page]),
            ("GET", vec![]),
            ("GET", vec![("accept", "application/json")]),
            ("GET", vec![("accept", "*/*")]),
            ("GET", vec![page, ("sec-fetch-mode", "cors")]),
        ] {
            assert_eq!(
                challenge.login(&request(method, "/", &headers), || "/".into()),
                None,
                "{method} {headers:?}"
            );
        }
        assert_eq!(
            Challenge::default().login(&request("GET", "/", &[page]), || unreachable!("there is no login")),
            None
        );
    }
}
