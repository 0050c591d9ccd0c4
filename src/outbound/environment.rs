//! The proxy that the environment names, as other programs read it.

use reqwest::{NoProxy, Proxy, Url};

/// What `HTTPS_PROXY` (or `ALL_PROXY`) and `NO_PROXY` say. `Debug` shows whether, and not what: there may be a password.
#[derive(Clone, Default)]
pub struct Environment {
    https: Option<String>,
    except: Option<String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("proxy", &self.https.is_some()).finish_non_exhaustive()
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Lower-case names count too, and an empty value is none.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()))
        };
        Self {
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            except: first(&["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy for `https://` URLs, and the name or address of its host. The error is for the operator.
    pub(super) fn proxy(&self) -> Result<Option<(Proxy, String)>, String> {
        let Some(text) = &self.https else { return Ok(None) };
        // Not repeated: it may hold a password.
        let wrong =
            || "`HTTPS_PROXY` (or `ALL_PROXY`) is not the `http://` or `https://` URL of a proxy".to_owned();
        let text = if text.contains("://") { text.clone() } else { format!("http://{text}") };
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let host = url.as_ref().and_then(Url::host_str).map(str::to_owned).ok_or_else(wrong)?;
        let proxy = Proxy::https(&text).map_err(|_| wrong())?;
        Ok(Some((proxy.no_proxy(self.except.as_deref().and_then(NoProxy::from_string)), host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::read(|name| pairs.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).into()))
    }

    #[test]
    fn a_proxy_is_named_as_other_programs_know_it() {
        for (pairs, host) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", " ")], None),
            (&[("HTTP_PROXY", "http://p:1")], None),
            (&[("HTTPS_PROXY", "http://me:secret@p.example:3128")], Some("p.example")),
            (&[("https_proxy", "p.example:3128")], Some("p.example")),
            (&[("ALL_PROXY", "https://10.0.0.1")], Some("10.0.0.1")),
            (&[("ALL_PROXY", "http://a"), ("HTTPS_PROXY", "http://b")], Some("b")),
        ] {
            let found = environment(pairs).proxy().unwrap().map(|(_, host)| host);
            assert_eq!(found.as_deref(), host, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_an_error_that_keeps_the_password() {
        for text in ["socks5://me:secret@p", "http://", "ftp://me:secret@p"] {
            let environment = environment(&[("HTTPS_PROXY", text)]);
            let error = environment.proxy().unwrap_err();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("secret"), "{error}");
            assert!(!format!("{environment:?}").contains("secret"));
        }
    }
}
