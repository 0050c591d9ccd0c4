//! Where something listens: `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Bytes that the system has for the path of a socket, without the zero at its end.
const LONGEST_SOCKET: usize = 107;

/// An address as Envoy's configuration can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name of the DNS and a port.
    Name(String, u16),
    /// The path of a Unix socket.
    Unix(String),
}

impl Address {
    /// Envoy's `Address`, in YAML's flow style.
    pub(super) fn yaml(&self) -> String {
        let socket =
            |host: &str, port: u16| format!("{{socket_address: {{address: {host}, port_value: {port}}}}}");
        match self {
            // Colons of an IPv6 address would end a plain scalar.
            Self::Ip(address) if address.is_ipv6() => {
                socket(&super::text::json(&address.ip().to_string()), address.port())
            }
            Self::Ip(address) => socket(&address.ip().to_string(), address.port()),
            Self::Name(name, port) => socket(&super::text::json(name), *port),
            Self::Unix(path) => format!("{{pipe: {{path: {}}}}}", super::text::json(path)),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// As it is written on the command line.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("`unix:` needs the path of a socket".into()),
                _ if path.len() > LONGEST_SOCKET => Err(format!(
                    "the path of a socket has at most {LONGEST_SOCKET} bytes, and this one has {}",
                    path.len()
                )),
                _ => Ok(Self::Unix(path.to_owned())),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return port(&address.port().to_string()).map(|_| Self::Ip(address));
        }
        let (host, number) = text.rsplit_once(':').ok_or("write HOST:PORT or unix:PATH")?;
        let port = port(number)?;
        if host.parse::<IpAddr>().is_ok() {
            return Err(format!("an IPv6 address stands in brackets: [{host}]:{port}"));
        }
        if host.is_empty() {
            return Err(format!(
                "`{text}` names no host: write 0.0.0.0:{port} for every address of this machine"
            ));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if !host.bytes().all(plain) {
            return Err(format!("`{host}` is not a host name"));
        }
        Ok(Self::Name(host.to_owned(), port))
    }
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("`{text}` is not a port: it is a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_names_and_pipes() {
        for (text, yaml) in [
            ("127.0.0.1:80", "{socket_address: {address: 127.0.0.1, port_value: 80}}"),
            ("[::1]:80", "{socket_address: {address: \"::1\", port_value: 80}}"),
            (
                "portcullis.security:9191",
                "{socket_address: {address: \"portcullis.security\", port_value: 9191}}",
            ),
            ("unix:/run/p \"q\".sock", "{pipe: {path: \"/run/p \\\"q\\\".sock\"}}"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.yaml().as_str(), address.to_string().as_str()), (yaml, text));
        }
        for wrong in [
            "",
            "host",
            "unix:",
            ":80",
            "host:",
            "host:99999",
            "host:80000",
            "host:0",
            "127.0.0.1:0",
            "[::1]:0",
            "127.0.0.1:80000",
            "::1:80",
            "a b:80",
            "http://a:80",
            "a:1, b: {}:2",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        let longest = format!("unix:/{}", "s".repeat(106));
        assert_eq!(longest.parse::<Address>().unwrap().to_string(), longest);
        let error = format!("{longest}s").parse::<Address>().unwrap_err();
        assert_eq!(error, "the path of a socket has at most 107 bytes, and this one has 108");
        let error = "127.0.0.1:80000".parse::<Address>().unwrap_err();
        assert_eq!(error, "`80000` is not a port: it is a number from 1 to 65535");
        let error = ":8080".parse::<Address>().unwrap_err();
        assert_eq!(error, "`:8080` names no host: write 0.0.0.0:8080 for every address of this machine");
    }
}
