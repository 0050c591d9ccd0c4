//! What reaches the upstream of a call that goes on: who calls, the credential where that is kept from it not, and what
//! the policies set.

use super::Evaluated;
use crate::authn::Removal;
use crate::effect::{self, HeaderChange, HeaderChanges};
use crate::request::Request;
use crate::verdict::Permit;

/// The changes to a call's request and response. What the policies set comes last, and so wins.
pub(super) fn permit(request: &Request, evaluated: &Evaluated) -> Permit {
    let decided = evaluated.decision.headers();
    let mut changes = evaluated.snapshot.authenticator.forward.changes(&evaluated.identity);
    let mut removed = None;
    let mut path = None;
    match &evaluated.removal {
        None => {}
        Some(Removal::Query(rest)) => path = Some(rest.clone()),
        Some(Removal::Header(name)) => removed = Some(name.as_str()),
        Some(Removal::Cookie(others)) if others.is_empty() => removed = Some("cookie"),
        Some(Removal::Cookie(others)) => {
            changes.push(HeaderChange::Set { name: "cookie".into(), value: others.clone() });
        }
    }
    // A header that tells who calls takes the token's place.
    removed = removed.filter(|token| changes.iter().all(|change| change.name() != *token));
    for change in &decided.request {
        changes.push(match change {
            // By ext_authz Envoy adds to headers that are there, and makes no new ones. A token that is taken out is there
            // still: Envoy removes after it has set.
            HeaderChange::Append { name, value }
                if removed == Some(name) || is_new(name, &changes, request) =>
            {
                HeaderChange::Set { name: name.clone(), value: value.clone() }
            }
            _ => change.clone(),
        });
        removed = removed.filter(|token| *token != change.name());
    }
    let withheld = evaluated.snapshot.authenticator.withheld(request);
    for name in withheld.into_iter().chain(removed) {
        if changes.iter().all(|change| change.name() != name) {
            changes.push(HeaderChange::Remove { name: name.to_owned() });
        }
    }
    let request = effect::without_aliases(&changes, &request.headers);
    Permit { changes: HeaderChanges { request, response: decided.response.clone() }, path, handover: None }
}

/// Whether the caller did not send such a header, and no change so far makes one.
fn is_new(name: &str, changes: &[HeaderChange], request: &Request) -> bool {
    let last = changes.iter().rev().find(|change| change.name() == name);
    match last {
        Some(change) => matches!(change, HeaderChange::Remove { .. }),
        None => !request.headers.contains(name),
    }
}
