//! The sections of the file, one reader each; `config` reads them all, whatever is wrong with any.

use std::path::Path;
use std::time::Duration;

use super::value::{duration, empty_map, lower_case, number, path, wide};
use super::{Admin, Config, HandoverFiles, Holds, Listen, Patience};
use crate::audit;
use crate::authn;
use crate::bundle;
use crate::diagnostic::Diagnostic;
use crate::document::{Fields, Node, Reader};
use crate::effect::is_fleeting_header;
use crate::engine::{DEFAULT_DIGEST_HEADERS, HeldLimits};
use crate::request::{Limits, Path as RequestPath};
use crate::store::PendingLimits;

pub(super) fn config(
    root: &Node,
    folder: &Path,
    policies: &mut Option<bundle::Config>,
    reader: &mut Reader,
) -> Option<Config> {
    let mut fields = reader.fields(root, "the configuration")?;
    let listen = super::listen::listen(fields.optional("listen"), folder, reader);
    *policies =
        fields.required("policies", reader).and_then(|node| super::policies::policies(node, folder, reader));
    let identity = fields.optional("identity").map_or(Some(authn::Config::default()), |node| {
        let config = authn::Config::read(node, folder, reader)?;
        warn_of_nameless_callers(node, &config, reader);
        Some(config)
    });
    let admin = admin(fields.optional("admin"), listen.as_ref(), folder, reader);
    let store = super::store::store(fields.optional("store"), folder, reader);
    let audit = audit(fields.optional("audit"), folder, reader);
    let page = admin.as_ref().and_then(|admin| admin.url.clone());
    let notify = match fields.optional("notify") {
        // Whether there is a page is not known where `admin` has mistakes.
        Some(_) if admin.is_none() => None,
        Some(node) => super::notify::notify(node, page.as_ref(), folder, reader),
        None => Some(None),
    };
    let holds = holds(fields.optional("holds"), reader);
    let limits = limits(fields.optional("limits"), reader);
    let mask = super::mask::mask(fields.optional("mask"), folder, reader);
    let handover = handover(fields.optional("handover"), folder, reader);
    let decision_cache_bytes = cache(fields.optional("cache"), reader);
    let patience = patience(&mut fields, reader);
    fields.close(reader);
    let (limits, decision_timeout) = limits?;
    let (store, retention) = store?;
    Some(Config {
        listen: listen?,
        policies: policies.clone()?,
        identity: identity?,
        admin: admin?,
        store,
        retention,
        audit: audit?,
        notify: notify?,
        holds: holds?,
        limits,
        decision_timeout,
        decision_cache_bytes: decision_cache_bytes?,
        mask: mask?,
        handover: handover?,
        patience: patience?,
    })
}

fn patience(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Patience> {
    let delay = duration(fields, "shutdown_delay", Duration::from_secs(5), reader);
    let drain = duration(fields, "drain", Duration::from_secs(25), reader);
    Some(Patience { delay: delay?, drain: drain? })
}

fn admin(node: Option<&Node>, listen: Option<&Listen>, folder: &Path, reader: &mut Reader) -> Option<Admin> {
    let Some(node) = node else {
        let identity = authn::Config::default();
        return Some(Admin { identity, viewers: Vec::new(), admins: Vec::new(), url: None, console: None });
    };
    let mut fields = reader.fields(node, "`admin`")?;
    let console = fields.optional("console");
    // Whoever has a console without a provider may have no issuer yet.
    let jwt = match console {
        Some(_) => fields.optional("jwt"),
        None => fields.required("jwt", reader),
    };
    let viewers = groups(fields.optional("viewers"), "`viewers`", reader);
    let admins = groups(fields.optional("admins"), "`admins`", reader);
    let url = fields.optional("url");
    fields.close(reader);
    if jwt.is_none() && console.is_none() {
        return None;
    }
    let issuers = jwt.map_or(Some(Vec::new()), |jwt| approver_issuers(jwt, folder, reader))?;
    let console = match console {
        Some(node) => Some(super::console::console(node, url, &issuers, folder, reader)?),
        None => None,
    };
    let (console, span) = console.unzip();
    let identity = authn::Config::of_issuers(issuers);
    // A console reads the same setting more strictly, and has said so already.
    let url = match url {
        Some(node) => Some(super::notify::page(node, reader)?),
        None => None,
    };
    let admin = Admin { identity, viewers: viewers?, admins: admins?, url, console };
    if let (Some(span), Some(listen)) = (span, listen) {
        super::console::check_url(&admin, span, listen, reader);
    }
    Some(admin)
}

/// Issuers whose tokens name people.
fn approver_issuers(jwt: &Node, folder: &Path, reader: &mut Reader) -> Option<Vec<authn::IssuerConfig>> {
    let issuers = authn::issuers(jwt, folder, reader)?;
    for (item, issuer) in reader.list(jwt, "`jwt`").unwrap_or_default().iter().zip(&issuers) {
        if issuer.claims.person.is_none() {
            let message = "approvers are counted as people, and these tokens name none";
            reader.error_with_help(item.span, "missing-person", message, "set `claims: {person: ...}`");
        }
    }
    Some(issuers)
}

fn groups(node: Option<&Node>, what: &str, reader: &mut Reader) -> Option<Vec<String>> {
    node.map_or(Some(Vec::new()), |node| reader.strings(node, what))
}

/// Subjects often differ from one application to the next, so by them alone a caller may pass for another person
/// than the approver that they are.
fn warn_of_nameless_callers(node: &Node, config: &authn::Config, reader: &mut Reader) {
    let issuers = config.issuers.iter().filter(|issuer| issuer.claims.person.is_none());
    let tokens = issuers.map(|issuer| ("jwt", format!("tokens of `{}` name", issuer.issuer)));
    let opaque = config.introspection.iter().filter(|config| config.claims.person.is_none());
    let opaque = opaque.map(|_| ("introspection", "what `introspection` answers names".to_owned()));
    for (scheme, what) in tokens.chain(opaque) {
        let message =
            format!("{what} no person: who calls with one may approve that call with another login");
        let place = node.get(scheme).unwrap_or(node).span.place(&reader.file);
        let help = "set `claims: {person: ...}`";
        reader.findings.push(Diagnostic::warning("missing-person", message).at(place).help(help));
    }
}

fn audit(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<audit::Config> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`audit`")?;
    let path = path(&mut fields, "path", "audit.jsonl", folder, reader);
    let words = [("required", audit::Mode::Required), ("best_effort", audit::Mode::BestEffort)];
    let mode = fields.optional("mode");
    let mode = mode.map_or(Some(audit::Mode::BestEffort), |node| reader.word(node, "`mode`", &words));
    fields.close(reader);
    Some(audit::Config { path: path?, mode: mode? })
}

fn holds(node: Option<&Node>, reader: &mut Reader) -> Option<Holds> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`holds`")?;
    let max_message_timeout = duration(&mut fields, "max_message_timeout", Duration::from_secs(900), reader);
    let retry_window = duration(&mut fields, "retry_window", Duration::from_secs(10), reader);
    let ticket_status = number(&mut fields, "ticket_status", 403, 400..=599, reader);
    let status_path = fields
        .optional("status_path")
        .map_or(Some(Some(STATUS_PATH.to_owned())), |node| status_path(node, reader));
    // Added to those that change what a call does anywhere: nobody should have to repeat them.
    let more = fields.optional("digest_headers").map_or(Some(Vec::new()), |node| {
        reader.strings(node, "`digest_headers`").map(|names| {
            let names = lower_case(&names);
            for name in names.iter().filter(|name| is_fleeting_header(name)) {
                let message = format!(
                    "`digest_headers` names `{name}`, which differs when the same call is sent again"
                );
                let help = "take it off the list: no approval can cover it";
                reader.error_with_help(node.span, "fleeting-header", message, help);
            }
            names
        })
    });
    let always = DEFAULT_DIGEST_HEADERS.iter().map(|name| (*name).to_owned());
    let digest_headers = more.map(|more| always.chain(more).collect());
    let (held, pending) = (HeldLimits::default(), PendingLimits::default());
    let per_principal = number(&mut fields, "per_principal", wide(held.per_principal), 1..=1_000_000, reader);
    let per_rule = number(&mut fields, "per_rule", wide(held.per_rule), 1..=1_000_000, reader);
    let most = i64::from(pending.opened_per_principal);
    let opened = number(&mut fields, "opened_per_principal", most, 1..=100_000, reader);
    let total = number(&mut fields, "total", wide(held.total), 1..=1_000_000, reader);
    fields.close(reader);
    let (per_principal, per_rule) = (per_principal?, per_rule?);
    Some(Holds {
        max_message_timeout: max_message_timeout?,
        ticket_status: u16::try_from(ticket_status?).ok()?,
        status_path: status_path?,
        digest_headers: digest_headers?,
        retry_window: retry_window?,
        held: HeldLimits {
            per_principal: usize::try_from(per_principal).ok()?,
            per_rule: usize::try_from(per_rule).ok()?,
            total: usize::try_from(total?).ok()?,
        },
        pending: PendingLimits {
            per_principal: u32::try_from(per_principal).unwrap_or(pending.per_principal),
            per_rule: u32::try_from(per_rule).unwrap_or(pending.per_rule),
            opened_per_principal: u32::try_from(opened?).ok()?,
        },
    })
}

/// Where callers ask what became of their held calls, unless the configuration says otherwise.
const STATUS_PATH: &str = "/.well-known/portcullis/approvals";

/// A path as proxies show it, or `none`.
fn status_path(node: &Node, reader: &mut Reader) -> Option<Option<String>> {
    let text = reader.string(node, "`status_path`")?;
    if text == "none" {
        return Some(None);
    }
    let (path, defect) = RequestPath::parse(text.to_owned());
    if defect.is_some() || path.url_path() != text || text.ends_with('/') || text.contains('%') {
        let message = format!("`status_path` is no path as proxies show it: `{text}`");
        let help = format!("write it as {STATUS_PATH}, without a `/` at its end; or `none`");
        reader.error_with_help(node.span, "invalid-path", message, help);
        return None;
    }
    Some(Some(text.to_owned()))
}

fn limits(node: Option<&Node>, reader: &mut Reader) -> Option<(Limits, Duration)> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`limits`")?;
    let default = Limits::default();
    let mut size = |name: &'static str, default: usize, reader: &mut Reader| {
        let bytes = number(&mut fields, name, wide(default), 1..=(64 << 20), reader);
        bytes.and_then(|bytes| usize::try_from(bytes).ok())
    };
    let path = size("path", default.path, reader);
    let header = size("header", default.header, reader);
    let headers = size("headers", default.headers, reader);
    let body = size("body", default.body, reader);
    let timeout = duration(&mut fields, "decision_timeout", Duration::from_millis(2_500), reader);
    fields.close(reader);
    Some((Limits { path: path?, header: header?, headers: headers?, body: body? }, timeout?))
}

fn cache(node: Option<&Node>, reader: &mut Reader) -> Option<u64> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`cache`")?;
    let decisions = number(&mut fields, "decisions_bytes", 16 << 20, 0..=(64 << 30), reader);
    fields.close(reader);
    decisions.map(i64::unsigned_abs)
}

fn handover(node: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<HandoverFiles> {
    let empty = empty_map();
    let mut fields = reader.fields(node.unwrap_or(&empty), "`handover`")?;
    let (key, previous) = (fields.optional("key_file"), fields.optional("previous_key_file"));
    fields.close(reader);
    if let (None, Some(node)) = (key, previous) {
        let message = "`previous_key_file` needs `key_file`: nothing would be sealed with it";
        reader.error_with_help(node.span, "missing-field", message, "set `key_file: FILE`");
        return None;
    }
    let mut file = |node: Option<&Node>, what: &str| match node {
        None => Some(None),
        Some(node) => reader.string(node, what).map(|path| Some(folder.join(path))),
    };
    let (key, previous) = (file(key, "`key_file`"), file(previous, "`previous_key_file`"));
    Some(HandoverFiles { key: key?, previous: previous? })
}
