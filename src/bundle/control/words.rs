//! Refusals by the rules of names and versions, in words that name both sides and what to do.

use super::standing::Standing;
use crate::bundle::refusal::{Refusal, Refused};
use crate::bundle::source::Offer;
use crate::store::KeptBundle;

/// A refusal of `offer` that says what it would have taken the place of.
pub(super) fn explained(standing: &Standing, refusal: Refusal, offer: &Offer) -> Refused {
    let offered = described(offer);
    let active = standing.kept.active.as_ref().map_or_else(|| "nothing".to_owned(), kept);
    let (name, version) = (offer.key.name(), offer.key.version());
    let newest = standing.kept.newest.iter().find(|newest| newest.name == name);
    let newest = newest.map_or(version.as_str(), |newest| newest.version.as_str());
    let rebuild = format!("build it with a version above {newest}: `portcullis bundle build --version`");
    let (what, help) = match refusal {
        Refusal::WrongName => (
            format!("{offered} is offered, {active} is active"),
            "to move the server to another bundle: `portcullis bundle activate FILE`".to_owned(),
        ),
        Refusal::OlderVersion => (
            format!("{offered} is offered, {active} is active, and {newest} is the newest that ever was"),
            format!("to go back: `portcullis bundle rollback --to {version}`; else {rebuild}"),
        ),
        Refusal::SameVersion => {
            (format!("{offered} is offered with other contents, {active} is active"), rebuild)
        }
        Refusal::Pinned => (
            format!("{offered} is offered, {active} is pinned"),
            "to take it: `portcullis bundle unpin`".to_owned(),
        ),
        _ => return Refused::because(refusal, offered),
    };
    let mut refused = Refused::because(refusal, what);
    refused.findings.iter_mut().for_each(|finding| finding.help = Some(help.clone()));
    refused
}

/// `shop` 1.2.0, or the revision of plain files.
fn described(offer: &Offer) -> String {
    match &offer.key.bundle {
        Some((name, version)) => format!("`{name}` {version}"),
        None => format!("revision {}", offer.prepared.set.revision()),
    }
}

fn kept(kept: &KeptBundle) -> String {
    match kept.name.is_empty() {
        true => format!("revision {}", kept.revision),
        false => format!("`{}` {}", kept.name, kept.version),
    }
}
