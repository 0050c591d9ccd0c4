//! The section `listen`: addresses, and TLS on them.

use std::net::SocketAddr;
use std::path::Path;

use super::value::{address, empty_map, flag, loopback};
use super::{GrpcAddress, Listen};
use crate::diagnostic::Diagnostic;
use crate::document::{Node, Reader, Span, Value};
use crate::engine::HandoverUse;
use crate::request::BodySource;
use crate::tls::{self, SpiffePattern};

pub(super) fn listen(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<Listen> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`listen`")?;
    let grpc = grpc(fields.optional("grpc"), folder, reader);
    let admin = admin(fields.optional("admin"), folder, reader);
    let metrics =
        fields.optional("metrics").map_or(Some(loopback(9192)), |node| address(node, "`metrics`", reader));
    let tcp = |grpc: &(GrpcAddress, _)| grpc.0.tcp();
    let taken = [grpc.as_ref().and_then(tcp), admin.as_ref().map(|(address, _)| *address), metrics];
    for (index, address) in taken.iter().enumerate() {
        if let Some(address) = address.filter(|address| address.port() != 0)
            && taken.iter().take(index).any(|earlier| *earlier == Some(address))
        {
            reader.error(fields.span, "address-used-twice", format!("two listeners can't share {address}"));
        }
    }
    let gateway = flag(&mut fields, "gateway", false, reader);
    let sources = [BodySource::Buffered, BodySource::NotBuffered, BodySource::ByRoute];
    let request_body = fields.optional("request_body").map_or(Some(BodySource::default()), |node| {
        reader.word(node, "`request_body`", &sources.map(|source| (source.as_str(), source)))
    });
    let uses = [HandoverUse::ByFilter, HandoverUse::Always];
    let handover = fields.optional("handover").map_or(Some(HandoverUse::default()), |node| {
        reader.word(node, "`handover`", &uses.map(|one| (one.as_str(), one)))
    });
    let reflection = flag(&mut fields, "reflection", true, reader);
    fields.close(reader);
    let ((grpc, grpc_tls), (admin, admin_tls)) = (grpc?, admin?);
    Some(Listen {
        grpc,
        grpc_tls,
        admin,
        admin_tls,
        metrics: metrics?,
        gateway: gateway?,
        request_body: request_body?,
        reflection: reflection?,
        handover: handover?,
    })
}

/// An address with its TLS: what stands for the address, where it stands, and the TLS. `None` when it can't be read.
struct Endpoint<'n> {
    address: Option<&'n Node>,
    span: Span,
    tls: Option<tls::Config>,
}

impl<'n> Endpoint<'n> {
    /// `ADDRESS`, or `{address: ADDRESS, tls: {...}}`.
    fn read(node: Option<&'n Node>, what: &'static str, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let Some(node) = node else { return Some(Self { address: None, span: Span::default(), tls: None }) };
        if !matches!(node.value, Value::Map(_)) {
            return Some(Self { address: Some(node), span: node.span, tls: None });
        }
        let mut fields = reader.fields(node, what)?;
        let address = fields.optional("address");
        let tls = fields.optional("tls").map(|node| tls_config(node, folder, reader));
        fields.close(reader);
        // A TLS that can't be read is no listener without TLS.
        let tls = match tls {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Self { address, span: address.map_or(node.span, |node| node.span), tls })
    }
}

fn grpc(
    node: Option<&Node>,
    folder: &Path,
    reader: &mut Reader,
) -> Option<(GrpcAddress, Option<tls::Config>)> {
    let Endpoint { address: node, span, tls } = Endpoint::read(node, "`grpc`", folder, reader)?;
    let listens = match node {
        None => GrpcAddress::Tcp(loopback(9191)),
        Some(node) => match reader.string(node, "`grpc`")?.strip_prefix("unix:") {
            Some(path) => GrpcAddress::Unix(folder.join(path)),
            None => GrpcAddress::Tcp(address(node, "`grpc`", reader)?),
        },
    };
    match (&listens, &tls) {
        (GrpcAddress::Unix(_), Some(_)) => {
            let message = "a Unix socket has no TLS: its file permissions say who may connect";
            reader.error_with_help(
                span,
                "tls-on-unix-socket",
                message,
                "leave out `tls`, or use a TCP address",
            );
        }
        (GrpcAddress::Tcp(address), None) if !address.ip().is_loopback() => {
            let message = format!(
                "`grpc` is {address}, without TLS: whoever reaches it can ask for decisions, and say who the caller is"
            );
            let warning = Diagnostic::warning("grpc-without-tls", message).at(span.place(&reader.file));
            reader.findings.push(warning.help("set `tls` with `client_ca`, or let only proxies reach it"));
        }
        _ => {}
    }
    Some((listens, tls))
}

fn admin(
    node: Option<&Node>,
    folder: &Path,
    reader: &mut Reader,
) -> Option<(SocketAddr, Option<tls::Config>)> {
    let Endpoint { address: node, span, tls } = Endpoint::read(node, "`admin`", folder, reader)?;
    let listens = node.map_or(Some(loopback(9190)), |node| address(node, "`admin`", reader))?;
    if tls.is_none() && !listens.ip().is_loopback() {
        let message = format!("`admin` is {listens}: without TLS the admin API listens on loopback only");
        let help =
            "set `admin: {address: ..., tls: {certificate: FILE, private_key: FILE}}`, or use 127.0.0.1";
        reader.error_with_help(span, "admin-not-loopback", message, help);
    }
    Some((listens, tls))
}

fn tls_config(node: &Node, folder: &Path, reader: &mut Reader) -> Option<tls::Config> {
    let mut fields = reader.fields(node, "`tls`")?;
    let certificate = fields.required("certificate", reader);
    let private_key = fields.required("private_key", reader);
    let client_ca = fields.optional("client_ca");
    let client_spiffe = fields.optional("client_spiffe");
    fields.close(reader);
    let file = |node: &Node, what: &str, reader: &mut Reader| {
        reader.string(node, what).map(|path| folder.join(path))
    };
    let certificate = certificate.and_then(|node| file(node, "`certificate`", reader));
    let private_key = private_key.and_then(|node| file(node, "`private_key`", reader));
    if let (Some(node), None) = (client_spiffe, client_ca) {
        let message = "`client_spiffe` needs `client_ca`: without it clients show no certificate";
        reader.error_with_help(node.span, "client-ca-missing", message, "set `client_ca: FILE`");
    }
    let client_ca = match client_ca {
        Some(node) => Some(file(node, "`client_ca`", reader)?),
        None => None,
    };
    let client_spiffe = client_spiffe.map_or(Some(Vec::new()), |node| spiffe_ids(node, reader))?;
    Some(tls::Config { certificate: certificate?, private_key: private_key?, client_ca, client_spiffe })
}

fn spiffe_ids(node: &Node, reader: &mut Reader) -> Option<Vec<SpiffePattern>> {
    let items = reader.list(node, "`client_spiffe`")?;
    if items.is_empty() {
        let message = "`client_spiffe` lists nobody, so nobody could connect";
        let help = "list ids, or leave it out to take every certificate of `client_ca`";
        reader.error_with_help(node.span, "empty-list", message, help);
    }
    let mut read = |node: &Node| {
        let text = reader.string(node, "an id of `client_spiffe`")?;
        match SpiffePattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let message = format!("`{text}` is not a SPIFFE id: {why}");
                let help = "write spiffe://TRUST-DOMAIN/PATH, or spiffe://TRUST-DOMAIN/PATH/* for all below";
                reader.error_with_help(node.span, "invalid-spiffe-id", message, help);
                None
            }
        }
    };
    // Every mistake is named, not only the first.
    let patterns: Vec<_> = items.iter().map(&mut read).collect();
    patterns.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, parse};

    fn read(listen: &str) -> (Option<Config>, Vec<(u32, &'static str)>) {
        let text: Arc<str> = format!("policies: [p]\nlisten:\n{listen}").into();
        let read = parse(&"portcullis.yaml".into(), &text, Path::new("/etc/portcullis"));
        let place = |finding: &Diagnostic| finding.place.as_ref().map_or(0, |place| place.line);
        let codes = read.findings.iter().map(|finding| (place(finding), finding.code)).collect();
        (read.config, codes)
    }

    const FILES: &str = "certificate: tls.crt, private_key: tls.key";

    #[test]
    fn a_listener_is_an_address_or_an_address_with_tls() {
        let ids = "[spiffe://example.com/ns/edge/sa/*, spiffe://example.com/gateway]";
        let (config, codes) = read(&format!(
            "  grpc: {{address: 0.0.0.0:9191, tls: {{{FILES}, client_ca: /run/ca.pem, client_spiffe: {ids}}}}}\n  \
             admin: {{address: 0.0.0.0:9190, tls: {{{FILES}}}}}\n"
        ));
        assert!(codes.is_empty(), "{codes:?}");
        let listen = config.unwrap().listen;
        assert_eq!(listen.grpc, GrpcAddress::Tcp("0.0.0.0:9191".parse().unwrap()));
        let tls = listen.grpc_tls.unwrap();
        assert_eq!(tls.certificate, Path::new("/etc/portcullis/tls.crt"));
        assert_eq!(tls.client_ca.as_deref(), Some(Path::new("/run/ca.pem")));
        assert_eq!(
            tls.client_spiffe,
            [
                SpiffePattern::Below("spiffe://example.com/ns/edge/sa/".into()),
                SpiffePattern::Exactly("spiffe://example.com/gateway".into()),
            ]
        );
        let tls = listen.admin_tls.unwrap();
        assert_eq!((tls.client_ca, tls.client_spiffe), (None, Vec::new()));
        let (config, codes) = read("  grpc: {address: 127.0.0.1:1}\n  admin: 127.0.0.1:2\n");
        let listen = config.unwrap().listen;
        assert!(codes.is_empty() && listen.grpc_tls.is_none() && listen.admin_tls.is_none());
        assert_eq!(listen.grpc, GrpcAddress::Tcp("127.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn outside_loopback_admin_needs_tls_and_grpc_warns() {
        let (config, codes) = read("  grpc: 0.0.0.0:9191\n");
        assert!(config.is_some());
        assert_eq!(codes, [(3, "grpc-without-tls")]);
        assert_eq!(read("  grpc: unix:/run/grpc.sock\n").1, []);
        for admin in ["0.0.0.0:9190", "{address: \"[::]:9190\"}"] {
            let (config, codes) = read(&format!("  admin: {admin}\n"));
            assert!(config.is_none());
            assert_eq!(codes, [(3, "admin-not-loopback")]);
        }
    }

    #[test]
    fn mistakes_in_tls_stop_the_start_and_never_leave_it_out() {
        for (tls, code) in [
            ("{certificate: a}", "missing-field"),
            ("{private_key: a}", "missing-field"),
            ("{}", "missing-field"),
            ("true", "wrong-type"),
            ("{certificate: [a], private_key: b}", "wrong-type"),
            ("{certificate: a, private_key: b, client_ca: {}}", "wrong-type"),
            ("{certificate: a, private_key: b, ca: c}", "unknown-field"),
            ("{certificate: a, private_key: b, client_spiffe: [spiffe://a/b]}", "client-ca-missing"),
            ("{certificate: a, private_key: b, client_ca: c, client_spiffe: []}", "empty-list"),
            (
                "{certificate: a, private_key: b, client_ca: c, client_spiffe: [spiffe://A/b]}",
                "invalid-spiffe-id",
            ),
            ("{certificate: a, private_key: b, client_ca: c, client_spiffe: [\"*\"]}", "invalid-spiffe-id"),
            ("{certificate: a, private_key: b, client_ca: c, client_spiffe: [1]}", "wrong-type"),
        ] {
            for listener in ["grpc", "admin"] {
                let (config, codes) = read(&format!("  {listener}: {{address: 127.0.0.1:1, tls: {tls}}}\n"));
                assert!(config.is_none(), "{tls}");
                assert!(
                    codes.iter().all(|found| *found == (3, code)) && !codes.is_empty(),
                    "{tls}: {codes:?}"
                );
            }
        }
        let (config, codes) = read(&format!("  grpc: {{address: unix:/run/s, tls: {{{FILES}}}}}\n"));
        assert!(config.is_none());
        assert_eq!(codes, [(3, "tls-on-unix-socket")]);
    }
}
