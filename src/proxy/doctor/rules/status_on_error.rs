//! `status_on_error` that says success.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "status-on-error",
    severity: Severity::Error,
    title: "an error of the authorization is answered as a success",
    what: "`status_on_error` of ext_authz with a status below 400. ext_proc answers 500 in place of such a status.",
    why: "The upstream is not reached, but the caller, caches and monitors take the answer for the \
          upstream's: what was not done looks done.",
    demonstrated: "Envoy 1.40.0, with Portcullis stopped: the caller of a refund was told 200, and the upstream \
          never saw it. With `ServiceUnavailable` the caller was told 503.",
    test: Some("status_on_error"),
    fix: "Use a 5xx status, such as `ServiceUnavailable`.",
    example: "status_on_error: {code: ServiceUnavailable}\n",
    envoy: Some(envoy),
};

/// The names of Envoy's statuses below 400.
const SUCCESSES: [&str; 18] = [
    "Continue",
    "OK",
    "Created",
    "Accepted",
    "NonAuthoritativeInformation",
    "NoContent",
    "ResetContent",
    "PartialContent",
    "MultiStatus",
    "AlreadyReported",
    "IMUsed",
    "MultipleChoices",
    "MovedPermanently",
    "Found",
    "SeeOther",
    "NotModified",
    "TemporaryRedirect",
    "PermanentRedirect",
];

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    // ext_proc takes statuses of 400 and more only, and answers 500 in place of others.
    for (_, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtAuthz)) {
        let code = filter.config.at(&["status_on_error", "code"]);
        let named = code
            .text()
            .is_some_and(|name| SUCCESSES.iter().any(|success| success.eq_ignore_ascii_case(name)));
        // 0 is unset, and Envoy's default.
        if named || code.number().is_some_and(|number| (1..400).contains(&number)) {
            let message = "a call that could not be authorized is answered as a success";
            report.find(&RULE, &code, message, "set `status_on_error: {code: ServiceUnavailable}`");
        }
    }
}
