//! Where browsers find the console: scheme, host and port.

use std::fmt;

use reqwest::Url;

use crate::outbound::checked_url;

/// `https://host[:port]`, or `http://` on this machine alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    text: String,
    /// As browsers write it into `host`.
    authority: String,
    secure: bool,
    loopback: Option<u16>,
}

impl Origin {
    /// Reads a URL that has nothing after its host and port. The error is for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
        let bare = matches!(url.path(), "/" | "")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str().filter(|_| bare);
        let Some(host) = host else {
            return Err(format!("`{text}` is more than a scheme, a host and a port"));
        };
        let secure = match url.scheme() {
            "https" => true,
            "http" if checked_url(text, false).is_ok() => false,
            _ => {
                return Err(format!("`{text}` must be `https://`: only on this machine may it be `http://`"));
            }
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let loopback = if secure { None } else { url.port_or_known_default() };
        Ok(Self { text: format!("{}://{authority}", url.scheme()), authority, secure, loopback })
    }

    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether a `host` header names it.
    pub fn is_named(&self, host: &str) -> bool {
        let default = if self.secure { ":443" } else { ":80" };
        let host = host.strip_suffix(default).unwrap_or(host);
        host.eq_ignore_ascii_case(&self.authority)
    }

    /// Whether a `host` header is another name of this machine, with the same port.
    pub fn is_elsewhere_named(&self, host: &str) -> bool {
        let Some(port) = self.loopback else { return false };
        let names = ["localhost", "127.0.0.1", "[::1]"];
        names.iter().any(|name| host.eq_ignore_ascii_case(&format!("{name}:{port}")))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_https_or_this_machine_and_nothing_more() {
        let origin = Origin::parse("https://Console.example.com:443/").unwrap();
        assert_eq!(origin.to_string(), "https://console.example.com");
        assert!(
            origin.is_secure()
                && origin.is_named("console.example.com")
                && origin.is_named("console.example.com:443")
        );
        assert!(!origin.is_named("console.example.com:80") && !origin.is_named("evil.example"));
        assert!(!origin.is_elsewhere_named("localhost:443"));
        let local = Origin::parse("http://127.0.0.1:9190").unwrap();
        assert!(!local.is_secure() && local.is_named("127.0.0.1:9190") && !local.is_named("localhost:9190"));
        assert!(local.is_elsewhere_named("localhost:9190") && !local.is_elsewhere_named("evil.example:9190"));
        for bad in [
            "http://console.example.com",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://me@a",
            "ftp://a",
            "a",
            "",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
