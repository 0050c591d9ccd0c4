//! The section `admin.console`: where people find the console, and how they log in.

use std::path::Path;
use std::time::Duration;

use super::value::duration;
use super::{Admin, Listen};
use crate::admin::console::{Config, Origin, ProviderConfig, Times};
use crate::authn::{self, IssuerConfig, JwksSource};
use crate::document::{Fields, Node, Reader, Span};
use crate::outbound::checked_url;

/// What the provider is asked for, unless configured otherwise.
const SCOPES: [&str; 3] = ["openid", "profile", "email"];

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The section with its place; `url` is what `admin.url` says, and `issuers` are those of `admin.jwt`.
pub(super) fn console(
    node: &Node,
    url: Option<&Node>,
    issuers: &[IssuerConfig],
    folder: &Path,
    reader: &mut Reader,
) -> Option<(Config, Span)> {
    let mut fields = reader.fields(node, "`console`")?;
    if let Some(moved) = fields.optional("url") {
        let text = reader.string(moved, "`url`").unwrap_or("https://NAME[:PORT]").to_owned();
        let message = "where people reach the server is said once, by `admin.url`";
        let help = format!("write `url: {text}` beside `console`, and take it out here");
        reader.error_with_help(moved.span, "moved-field", message, help);
    }
    let url = match url {
        Some(node) => origin(node, reader).map(Some),
        None => Some(None),
    };
    let provider = provider(&mut fields, issuers, folder, reader);
    let key_file = file(&mut fields, "key_file", folder, reader);
    let times = times(&mut fields, reader);
    fields.close(reader);
    let config = Config { url: url?, provider: provider?, key_file: key_file?, times: times? };
    Some((config, node.span))
}

/// Whether browsers can come to the console where it says it is.
pub(super) fn check_url(admin: &Admin, span: Span, listen: &Listen, reader: &mut Reader) {
    let Some(console) = &admin.console else { return };
    let tls = listen.admin_tls.is_some();
    match &console.url {
        None if tls => {
            let message = "with TLS, the console must know the name in its certificate";
            let help = "set `admin.url: https://NAME[:PORT]`, as people type it";
            reader.error_with_help(span, "missing-admin-url", message, help);
        }
        Some(url) if tls && !url.is_secure() => {
            let message = format!("`admin.url` is {url}, and `listen.admin` has TLS");
            reader.error_with_help(span, "wrong-admin-url", message, "write it as https://NAME[:PORT]");
        }
        _ => {}
    }
}

/// The console is at the root of its host: links to it, and the way back from a login, lead nowhere else.
fn origin(node: &Node, reader: &mut Reader) -> Option<Origin> {
    let text = reader.string(node, "`url`")?;
    match Origin::parse(text) {
        Ok(origin) => Some(origin),
        Err(why) => {
            let help = "with a console, write it as https://NAME[:PORT], as people type it";
            reader.error_with_help(node.span, "invalid-url", why, help);
            None
        }
    }
}

/// Tokens of people and their logins are of the same issuer: keys, algorithms and claims are those of `admin.jwt`.
fn provider(
    fields: &mut Fields<'_>,
    issuers: &[IssuerConfig],
    folder: &Path,
    reader: &mut Reader,
) -> Option<Option<ProviderConfig>> {
    let (issuer, client_id) = (fields.optional("issuer"), fields.optional("client_id"));
    let client_secret_file = file(fields, "client_secret_file", folder, reader);
    let scopes = match fields.optional("scopes") {
        Some(node) => reader.strings(node, "`scopes`"),
        None => Some(SCOPES.map(str::to_owned).to_vec()),
    };
    let (issuer, client_id) = match (issuer, client_id) {
        (None, None) => return Some(None),
        (Some(issuer), Some(client_id)) => (issuer, client_id),
        (Some(node), None) | (None, Some(node)) => {
            let message = "`issuer` and `client_id` go together";
            reader.error(node.span, "missing-field", message);
            return None;
        }
    };
    let name = reader.string(issuer, "`issuer`")?;
    let client_id = reader.string(client_id, "`client_id`")?.to_owned();
    let Some(known) = issuers.iter().find(|known| known.issuer == name) else {
        let message = format!("`{name}` is not an issuer of `admin.jwt`");
        let help = "name one of them: its keys, algorithms and claims count for logins too";
        reader.error_with_help(issuer.span, "unknown-issuer", message, help);
        return None;
    };
    let (ca_file, allow_insecure) = match &known.jwks {
        JwksSource::Remote(remote) => (remote.ca_file.clone(), remote.allow_insecure),
        JwksSource::File(_) => (None, false),
    };
    if let Err(fault) = checked_url(name, allow_insecure) {
        let message = "logins go to an `https://` issuer, or to one on this machine";
        reader.error(issuer.span, fault.code(), message);
        return None;
    }
    let scopes = scopes?;
    if !scopes.iter().any(|scope| scope == "openid") {
        reader.error(fields.span, "missing-scope", "`scopes` lacks `openid`: there would be no id token");
        return None;
    }
    let id_tokens = IssuerConfig { audiences: vec![client_id.clone()], ..known.clone() };
    Some(Some(ProviderConfig {
        issuer: name.to_owned(),
        client_id,
        client_secret_file: client_secret_file?,
        scopes,
        ca_file,
        allow_insecure,
        id_tokens: authn::Config::of_issuers(vec![id_tokens]),
    }))
}

fn times(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Times> {
    let default = Times::default();
    let span = fields.span;
    let mut time = |name: &'static str, default: Duration, reader: &mut Reader| {
        let time = duration(fields, name, default, reader)?;
        if (SHORTEST..=LONGEST).contains(&time) {
            return Some(time);
        }
        let span = fields.optional(name).map_or(span, |node| node.span);
        reader.error(span, "out-of-range", format!("`{name}` must be between 10 s and 7 days"));
        None
    };
    let idle = time("idle", default.idle, reader);
    let longest = time("longest", default.longest, reader);
    let fresh = time("fresh", default.fresh, reader);
    Some(Times { idle: idle?, longest: longest?, fresh: fresh? })
}

fn file(
    fields: &mut Fields<'_>,
    name: &'static str,
    folder: &Path,
    reader: &mut Reader,
) -> Option<Option<std::path::PathBuf>> {
    match fields.optional(name) {
        Some(node) => Some(Some(folder.join(reader.string(node, &format!("`{name}`"))?))),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;

    const ISSUER: &str = "{issuer: https://idp.example, audiences: [a], algorithms: [RS256], jwks: {discovery: true}, claims: {person: email}}";

    fn read(console: &str, listen: &str) -> (Option<Config>, Vec<(u32, u32, &'static str)>) {
        let (url, console) = console.split_once(" | ").unwrap_or(("", console));
        let text: Arc<str> = format!(
            "policies: [p]\nlisten: {listen}\nadmin:\n  jwt: [{ISSUER}]\n  console: {console}\n{url}\n"
        )
        .into();
        let read = config::parse(&"portcullis.yaml".into(), &text, Path::new("/etc/portcullis"));
        let place = |finding: &crate::diagnostic::Diagnostic| {
            finding.place.as_ref().map_or((0, 0), |place| (place.line, place.column))
        };
        let codes = read.findings.iter().map(|found| (place(found).0, place(found).1, found.code)).collect();
        (read.config.and_then(|config| config.admin.console), codes)
    }

    #[test]
    fn logins_are_of_an_issuer_of_admin_tokens_with_the_client_as_audience() {
        let (console, codes) = read(
            "  url: https://console.example | {issuer: https://idp.example, client_id: console, \
             client_secret_file: s, scopes: [openid, groups], key_file: /run/k, idle: 1h, longest: 2h, fresh: 1m}",
            "{}",
        );
        assert!(codes.is_empty(), "{codes:?}");
        let console = console.unwrap();
        assert_eq!(console.url.unwrap().to_string(), "https://console.example");
        assert_eq!(console.key_file.as_deref(), Some(Path::new("/run/k")));
        let hour = Duration::from_secs(3_600);
        assert_eq!(console.times, Times { idle: hour, longest: hour * 2, fresh: hour / 60 });
        let provider = console.provider.unwrap();
        assert_eq!(provider.client_secret_file.as_deref(), Some(Path::new("/etc/portcullis/s")));
        assert_eq!(provider.scopes, ["openid", "groups"]);
        let issuers = &provider.id_tokens.issuers;
        assert_eq!((issuers.len(), issuers[0].audiences.as_slice()), (1, &["console".to_owned()][..]));
        let (console, codes) = read("{}", "{}");
        assert!(codes.is_empty() && console.unwrap().provider.is_none());
    }

    #[test]
    fn each_mistake_is_named_at_its_place() {
        let tls = "{admin: {address: 127.0.0.1:1, tls: {certificate: a, private_key: b}}}";
        for (console, listen, found) in [
            ("  url: http://console.example | {}", "{}", (6, 8, "invalid-url")),
            ("  url: https://console.example/x | {}", "{}", (6, 8, "invalid-url")),
            ("{url: \"https://console.example\"}", "{}", (5, 18, "moved-field")),
            ("{issuer: https://idp.example}", "{}", (5, 21, "missing-field")),
            ("{issuer: https://other.example, client_id: a}", "{}", (5, 21, "unknown-issuer")),
            ("{issuer: https://idp.example, client_id: a, scopes: [email]}", "{}", (5, 12, "missing-scope")),
            ("{fresh: 1s}", "{}", (5, 20, "out-of-range")),
            ("{longest: 8d}", "{}", (5, 22, "out-of-range")),
            ("{freshness: 1m}", "{}", (5, 13, "unknown-field")),
            ("{}", tls, (5, 12, "missing-admin-url")),
            ("  url: http://127.0.0.1:1 | {}", tls, (5, 12, "wrong-admin-url")),
        ] {
            let (console_config, codes) = read(console, listen);
            assert!(console_config.is_none(), "{console}");
            assert_eq!(codes, [found], "{console}");
        }
    }

    #[test]
    fn one_setting_says_where_people_reach_the_console_and_links_lead() {
        let read = |text: &str| config::parse(&"p".into(), &text.into(), Path::new(""));
        let good =
            read("policies: [p]\nadmin: {url: \"https://a.example:9190\", console: {}}\n").config.unwrap();
        assert_eq!(good.admin.url.unwrap().as_str(), "https://a.example:9190/");
        assert_eq!(good.admin.console.unwrap().url.unwrap().to_string(), "https://a.example:9190");
        let moved = read("policies: [p]\nadmin: {console: {url: \"https://a.example\"}}\n").findings;
        let help = moved[0].help.as_deref().unwrap_or_default();
        assert!(help.contains("write `url: https://a.example` beside `console`"), "{moved:?}");
    }

    #[test]
    fn without_a_provider_nobody_needs_an_issuer() {
        let read = |text: &str| config::parse(&"p".into(), &text.into(), Path::new(""));
        assert!(read("policies: [p]\nadmin: {admins: [ops], console: {}}\n").config.is_some());
        assert!(read("policies: [p]\nadmin: {admins: [ops]}\n").config.is_none());
    }
}
