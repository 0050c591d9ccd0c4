//! One HTTP call as Portcullis sees it, whichever service brought it.
//!
//! Knows nothing of protobuf: the edges fill in `Parts`, and `Request::assemble` checks what must hold before
//! anybody looks at the call. A call that fails a check is still a `Request`, with a `defect`, so that it is
//! denied, counted and recorded like any other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::reason::Reason;

mod body;
mod handover;
mod headers;
mod path;

pub use body::{Body, BodySource};
pub use handover::Handover;
pub use headers::{Header, Headers, NotText};
pub use path::{Part, Path, percent_decode};

/// One call, checked. See [`Request::assemble`].
#[derive(Clone, Debug)]
pub struct Request {
    /// `x-request-id`, or the stream's own id.
    pub id: String,
    /// When the proxy received the call.
    pub time: Timestamp,
    /// As sent, in capitals.
    pub method: String,
    pub scheme: String,
    /// `:authority` as sent; [`Request::host_name`] is what is matched.
    pub host: String,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: String,
    pub path: Path,
    pub headers: Headers,
    pub body: Body,
    pub source: Peer,
    pub destination: Peer,
    pub connection: Connection,
    /// Envoy's `context_extensions`, or the ext_proc attributes of the same use.
    pub context: BTreeMap<String, String>,
    /// Envoy's filter metadata, by namespace.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Why this call must be denied whatever the policies say.
    pub defect: Option<Reason>,
}

/// Either end of the connection, as the proxy vouches for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// An IP address, or empty (pipes).
    pub address: String,
    pub port: u16,
    /// The peer certificate's URI SAN (`spiffe://...`), else its DNS SAN or subject; empty without mTLS.
    pub principal: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    pub mtls: bool,
    /// The SNI that the client asked for; empty without TLS.
    pub requested_server_name: String,
    /// The peer's certificate in PEM, percent-encoded, where the proxy shows it; empty elsewhere.
    pub certificate: String,
}

/// A call as an edge decoded it, nothing checked yet.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub id: String,
    pub time: Timestamp,
    pub method: String,
    pub scheme: String,
    pub host: String,
    pub protocol: String,
    pub path: String,
    pub headers: Headers,
    pub body: Body,
    pub source: Peer,
    pub destination: Peer,
    pub connection: Connection,
    pub context: BTreeMap<String, String>,
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// What a call may measure, in bytes; beyond that it is denied with the reason named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `path_too_long`
    pub path: usize,
    /// One header, name and value: `header_too_large`
    pub header: usize,
    /// All headers: `headers_too_large`
    pub headers: usize,
    /// `body_too_large`
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { path: 8 << 10, header: 32 << 10, headers: 96 << 10, body: 1 << 20 }
    }
}

/// Headers that mean one thing: a second copy (or, where the proxy joined copies, a comma) is a way to show two
/// readers two different calls.
const SINGLETONS: [&str; 5] = ["authorization", "content-length", "content-type", "host", "idempotency-key"];

/// An `idempotency-key` with its name: it is part of what the store finds an approval by.
const LONGEST_KEY: usize = 255;

impl Request {
    /// Checks `parts`: sizes, the method's and host's characters, an unambiguous path, no repeated singleton.
    pub fn assemble(parts: Parts, limits: &Limits) -> Self {
        let too_long = parts.path.len() > limits.path;
        let (path, path_defect) = Path::parse(parts.path);
        let defect = if too_long {
            Some(Reason::PathTooLong)
        } else {
            headers_defect(&parts.headers, limits)
                .or_else(|| (!is_method(&parts.method)).then_some(Reason::MethodInvalid))
                .or_else(|| (!is_host(&parts.host)).then_some(Reason::HostInvalid))
                .or(path_defect)
                .or_else(|| (parts.body.len() > limits.body).then_some(Reason::BodyTooLarge))
        };
        Self {
            id: parts.id,
            time: parts.time,
            method: parts.method,
            scheme: parts.scheme,
            host: parts.host,
            protocol: parts.protocol,
            path,
            headers: parts.headers,
            body: parts.body,
            source: parts.source,
            destination: parts.destination,
            connection: parts.connection,
            context: parts.context,
            metadata: parts.metadata,
            defect,
        }
    }

    /// The body has arrived after the headers; an oversized one becomes the call's defect.
    pub fn set_body(&mut self, body: Body, limits: &Limits) {
        if body.len() > limits.body && self.defect.is_none() {
            self.defect = Some(Reason::BodyTooLarge);
        }
        self.body = body;
    }

    /// The host in lower case, without port and trailing dot: what `hosts:` matches. Borrowed unless it has capitals.
    pub fn host_name(&self) -> Cow<'_, str> {
        let host = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => self.host.split(':').next().unwrap_or(&self.host),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.bytes().any(|b| b.is_ascii_uppercase()) {
            return host.to_ascii_lowercase().into();
        }
        host.into()
    }

    /// Whether the caller speaks gRPC, as its proxy sees it.
    pub fn is_grpc(&self) -> bool {
        let Ok(Some(kind)) = self.headers.text("content-type") else { return false };
        let rest = kind.strip_prefix("application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
    }

    /// The trace id of the W3C `traceparent` header, if the call carries a well-formed one.
    pub fn trace_id(&self) -> Option<&str> {
        let value = self.headers.text("traceparent").ok()??;
        let mut fields = value.split('-');
        let (version, trace) = (fields.next()?, fields.next()?);
        let well_formed = version.len() == 2
            && trace.len() == 32
            && trace.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && trace.bytes().any(|b| b != b'0');
        well_formed.then_some(trace)
    }
}

fn headers_defect(headers: &Headers, limits: &Limits) -> Option<Reason> {
    let mut total = 0;
    for header in headers.iter() {
        let size = header.name.len() + header.value.len();
        total += size;
        let longest = if header.name == "idempotency-key" { LONGEST_KEY } else { limits.header };
        if size > longest {
            return Some(Reason::HeaderTooLarge);
        }
        if header.value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Some(Reason::HeaderInvalid);
        }
    }
    if total > limits.headers {
        return Some(Reason::HeadersTooLarge);
    }
    SINGLETONS.into_iter().find_map(|name| {
        let mut copies = headers.all(name);
        let first = copies.next()?;
        (copies.next().is_some() || first.contains(&b',')).then_some(Reason::HeaderDuplicate)
    })
}

/// RFC 9110 `token`, without small letters: `delete` is no method that anybody registered, but some frameworks take
/// it for `DELETE`, past the rules about that.
fn is_method(method: &str) -> bool {
    const LONGEST: usize = 64;
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=LONGEST).contains(&method.len()) && method.bytes().all(plain)
}

/// A reg-name, IPv4 or bracketed IPv6 address, with an optional port. Nothing that could name two hosts.
fn is_host(host: &str) -> bool {
    // The longest name of the DNS, its last dot and a port.
    const LONGEST: usize = 253 + 1 + 6;
    if host.len() > LONGEST {
        return false;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                if address.parse::<std::net::Ipv6Addr>().is_err() {
                    return false;
                }
                ("", port)
            }
            None => return false,
        },
        None => match host.find(':') {
            Some(colon) => host.split_at(colon),
            None => (host, ""),
        },
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
    (host.starts_with('[') || !name.is_empty()) && name.bytes().all(plain) && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(edit: impl FnOnce(&mut Parts)) -> Request {
        let mut parts = Parts {
            method: "GET".into(),
            host: "api.example.com".into(),
            path: "/v1/orders?x=1".into(),
            ..Parts::default()
        };
        edit(&mut parts);
        Request::assemble(parts, &Limits::default())
    }

    #[test]
    fn a_plain_call_has_no_defect() {
        assert_eq!(call(|_| ()).defect, None);
    }

    #[test]
    fn repeated_singletons_are_refused_raw_or_joined() {
        let twice = |name: &str, values: &[&str]| {
            let values: Vec<_> = values.iter().map(|v| Header::new(name, *v)).collect();
            call(|parts| parts.headers = Headers::from(values)).defect
        };
        assert_eq!(twice("authorization", &["Bearer a", "Bearer b"]), Some(Reason::HeaderDuplicate));
        assert_eq!(twice("Authorization", &["Bearer a,Bearer b"]), Some(Reason::HeaderDuplicate));
        assert_eq!(twice("accept", &["a", "b"]), None);
    }

    #[test]
    fn sizes_and_characters() {
        let long = |n| "a".repeat(n);
        assert_eq!(call(|p| p.path = format!("/{}", long(9_000))).defect, Some(Reason::PathTooLong));
        let header = Headers::from(vec![Header::new("x-a", long(40_000))]);
        assert_eq!(call(|p| p.headers = header).defect, Some(Reason::HeaderTooLarge));
        let key = |n| Headers::from(vec![Header::new("Idempotency-Key", long(n))]);
        assert_eq!(call(|p| p.headers = key(240)).defect, None);
        assert_eq!(call(|p| p.headers = key(241)).defect, Some(Reason::HeaderTooLarge));
        let headers = (0..10).map(|n| Header::new(&format!("x-{n}"), long(20_000))).collect::<Vec<_>>();
        assert_eq!(call(|p| p.headers = headers.into()).defect, Some(Reason::HeadersTooLarge));
        assert_eq!(call(|p| p.method = "G ET".into()).defect, Some(Reason::MethodInvalid));
        assert_eq!(call(|p| p.method = String::new()).defect, Some(Reason::MethodInvalid));
        assert_eq!(call(|p| p.host = long(261)).defect, Some(Reason::HostInvalid));
        for method in ["delete", "Delete", "pOST", &long(65).to_uppercase()] {
            assert_eq!(call(|p| p.method = method.into()).defect, Some(Reason::MethodInvalid), "{method}");
        }
        assert_eq!(call(|p| p.method = "M-SEARCH".into()).defect, None);
        for host in ["", "a,b", "a b", "a/b", "[::1", "a:b", "a:99999", "a@b", "ü.example"] {
            assert_eq!(call(|p| p.host = host.into()).defect, Some(Reason::HostInvalid), "{host}");
        }
        for host in ["a", "A.example:8080", "[::1]:80", "127.0.0.1", "svc.ns.svc.cluster.local."] {
            assert_eq!(call(|p| p.host = host.into()).defect, None, "{host}");
        }
        let body = Body::Complete(vec![0; (1 << 20) + 1].into());
        assert_eq!(call(|p| p.body = body).defect, Some(Reason::BodyTooLarge));
    }

    #[test]
    fn host_names_compare_without_case_port_and_dot() {
        for (host, name) in [
            ("API.Example.com:443", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("[::1]:80", "::1"),
        ] {
            assert_eq!(call(|p| p.host = host.into()).host_name(), name);
        }
    }

    #[test]
    fn trace_ids_come_from_well_formed_traceparents_only() {
        let trace = |value: &str| {
            let headers = Headers::from(vec![Header::new("traceparent", value)]);
            call(|p| p.headers = headers).trace_id().map(str::to_owned)
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Some(id));
        assert_eq!(trace(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))), None);
        assert_eq!(trace("00-<script>-1-1"), None);
    }
}
