//! Headers that are held back.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::needs::Needs;
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Kind};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeSet;

pub static RULE: Rule = Rule {
    id: "unshown-headers",
    severity: Severity::Error,
    title: "Portcullis isn't shown a header that is read",
    what: "`allowed_headers` and `disallowed_headers` of ext_authz, `forward_rules` of ext_proc, \
          against the headers that credentials, rules and approvals read.",
    why: "A header that is not shown counts as absent: rules that look for its absence allow, others \
          deny, and an approval does not cover it.",
    demonstrated: "Envoy 1.40.0: `allowed_headers` left out a header by whose value a rule denies, and the \
          denied call reached the upstream. With all headers shown it was refused with 403.",
    test: Some("unshown_headers"),
    fix: "Leave both lists out, or name every header that is read.",
    example: "# no allowed_headers, no disallowed_headers\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking() {
        let (rules, pseudo): (_, &[&str]) = match filter.kind {
            Kind::ExtProc => (filter.config.get("forward_rules"), &[":method", ":path", ":authority"]),
            _ => (filter.config.clone(), &[]),
        };
        let (allowed, hidden) = (rules.get("allowed_headers"), rules.get("disallowed_headers"));
        if report.needs.reads.all_headers {
            for list in [allowed, hidden].into_iter().filter(At::exists) {
                let message = "a rule reads all headers, and some are not shown";
                report.find(&RULE, &list, message, "remove the list");
            }
            continue;
        }
        let names: BTreeSet<&str> = pseudo.iter().copied().chain(read(report.needs)).collect();
        let unread = [&allowed, &hidden].map(unread);
        // What is not read may allow the rest.
        let strict = allowed.exists() && unread.first().is_some_and(Vec::is_empty);
        for pattern in unread.into_iter().flatten() {
            let message = "not examined: whether this pattern, which this program can't read, fits a header that is read";
            report.find(
                &super::not_checked::RULE,
                &pattern,
                message,
                "name the headers: `exact`, `prefix` or `suffix`",
            );
        }
        let missing = strict.then(|| names.iter().filter(|name| !matches(&allowed, name)).copied());
        say(missing.into_iter().flatten().collect(), &allowed, "add them to the list, or remove it", report);
        let gone = names.iter().filter(|name| matches(&hidden, name)).copied().collect();
        say(gone, &hidden, "take them off the list", report);
    }
}

fn say(names: Vec<&str>, at: &At<'_>, fix: &str, report: &mut Report<'_>) {
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("Portcullis reads headers that are not shown: {}", names.join(", "));
        report.find(&RULE, at, message, fix);
    }
}

/// The headers that are read, in lower case.
fn read(needs: &Needs) -> Vec<&str> {
    let server = &needs.server;
    let digest = needs.holds().then_some(&server.digest_headers);
    let all = needs.reads.headers.iter().chain(&server.credentials).chain(digest.into_iter().flatten());
    all.map(String::as_str).collect()
}

/// Whether a `ListStringMatcher` has the name. What can't be read matches nothing.
fn matches(list: &At<'_>, name: &str) -> bool {
    list.get("patterns").items().iter().any(|pattern| {
        let folded = |field: &str| pattern.get(field).text().map(str::to_ascii_lowercase);
        folded("exact").is_some_and(|exact| exact == name)
            || folded("prefix").is_some_and(|prefix| name.starts_with(&prefix))
            || folded("suffix").is_some_and(|suffix| name.ends_with(&suffix))
            || folded("contains").is_some_and(|part| name.contains(&part))
            || expression(pattern).is_some_and(|regex| regex.is_some_and(|regex| regex.is_match(name)))
    })
}

/// The patterns of a `ListStringMatcher` of which nobody here knows what they fit: RE2 takes expressions that this
/// program's does not, and extensions match what they like.
fn unread<'a>(list: &At<'a>) -> Vec<At<'a>> {
    let unread = |pattern: &At<'a>| expression(pattern).is_some_and(|regex| regex.is_none());
    list.get("patterns").items().into_iter().filter(|at| unread(at) || at.get("custom").exists()).collect()
}

/// A pattern's expression, and that `None` where it can't be read.
fn expression(pattern: &At<'_>) -> Option<Option<Regex>> {
    let text = pattern.at(&["safe_regex", "regex"]).text()?;
    Some(RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build().ok())
}
