//! What an approval lets through, and what it leaves open, in words.

use crate::approval::Approval;
use crate::effect::{Grant, Part, span};

/// As `approves this one call by ana: ...`, or `approves every call by ana with method POST, whatever its body, for 1h`.
pub(super) fn covers(approval: &Approval) -> String {
    let who = approval.caller.name().unwrap_or("nobody in particular");
    let bytes = "method, host, path and query, body and the headers shown, byte by byte";
    match approval.good_for() {
        (Grant::Once, _) => format!("approves this one call by {who}: {bytes}"),
        (Grant::For(period), None) => {
            format!("approves every same call by {who} for {}: {bytes}", span(period))
        }
        (Grant::For(period), Some(class)) => {
            let same: Vec<_> = class.parts().map(|part| with(approval, part)).collect();
            let open = class.left_open().join(", ");
            let period = span(period);
            format!(
                "approves every call by {who} with {}, whatever its {open}, for {period}",
                same.join(" and ")
            )
        }
    }
}

/// What may differ from the call that is shown.
pub(super) fn not_covered(approval: &Approval) -> String {
    const NEVER: &str = "the token, dates, trace ids and the caller's address";
    match approval.good_for().1 {
        None => format!("other headers, {NEVER}"),
        Some(class) => format!("{}, {NEVER}", class.left_open().join(", ")),
    }
}

fn with(approval: &Approval, part: &Part) -> String {
    let call = &approval.call;
    let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
    match part {
        Part::Method => format!("method {}", call.method),
        Part::Host => format!("host {}", call.host),
        Part::Path => format!("path {path}"),
        Part::Query if query.is_empty() => "no query".to_owned(),
        Part::Query => format!("query {query}"),
        Part::Body => "this body".to_owned(),
        Part::Header(name) => format!("header {name} as shown"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::approval::testing::approval;
    use crate::effect::Class;

    #[test]
    fn an_approval_says_what_it_lets_through_and_what_may_differ() {
        let mut one = approval(vec![]);
        assert!(covers(&one).starts_with("approves this one call by ana@example.com: method, host"));
        assert!(not_covered(&one).starts_with("other headers, the token"));
        one.grant = Grant::For(Duration::from_secs(3_600));
        assert!(covers(&one).starts_with("approves every same call by ana@example.com for 1h"));
        one.same = Class::new([Part::Method, Part::Host, Part::Header("x-env".into())]);
        assert_eq!(
            covers(&one),
            "approves every call by ana@example.com with method POST and host api and header x-env as shown, whatever \
             its path, query, body, other headers, for 1h"
        );
        assert!(not_covered(&one).starts_with("path, query, body, other headers, the token"));
        one.same = Class::new([Part::Path, Part::Query, Part::Body]);
        assert!(
            covers(&one)
                .contains("with path /a and query b=1 and this body, whatever its method, host, headers")
        );
    }
}
