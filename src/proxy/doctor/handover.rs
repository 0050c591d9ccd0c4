//! Whether ext_authz decides for an ext_proc behind it.

use crate::proxy::needs::Server;
use crate::proxy::tree::At;
use crate::proxy::view::{Filter, Kind, Spot};
use crate::request::Handover;

/// What a handover lacks.
pub(super) enum Missing {
    /// Neither filter speaks of one.
    Everything,
    /// One piece, in words for a sentence's end.
    Piece(&'static str),
}

/// Whether calls here are decided by `first`, and by that alone.
pub(super) fn is_complete(
    spot: &Spot<'_, '_>,
    first: &Filter<'_>,
    second: &Filter<'_>,
    server: &Server,
) -> Result<(), Missing> {
    let gives = is_given(spot, first, server);
    let expects = is_expected(spot, second, server);
    let list = spot.overridden(second, "metadata_options").at(&["forwarding_namespaces", "untyped"]);
    let shown = list.items().iter().filter_map(At::text).any(|name| name == Handover::NAMESPACE);
    match (gives, expects, shown) {
        (true, true, true) => Ok(()),
        (false, false, _) => Err(Missing::Everything),
        (false, true, _) => {
            Err(Missing::Piece("ext_proc expects what ext_authz does not say: every call is denied"))
        }
        (true, false, _) => {
            Err(Missing::Piece("ext_proc does not expect it, and decides on its own where it is missing"))
        }
        (true, true, false) => Err(Missing::Piece(
            "`envoy.filters.http.ext_authz` is not among `metadata_options.forwarding_namespaces.untyped`: every call is denied",
        )),
    }
}

/// Whether this ext_authz decides for an ext_proc behind it.
pub(super) fn is_given(spot: &Spot<'_, '_>, filter: &Filter<'_>, server: &Server) -> bool {
    filter.is(&Kind::ExtAuthz) && (server.handover_always || is_marked(spot, filter, Handover::GIVES))
}

/// Whether this ext_proc goes by what ext_authz decided: it needs no body of a request.
pub(super) fn is_expected(spot: &Spot<'_, '_>, filter: &Filter<'_>, server: &Server) -> bool {
    filter.is(&Kind::ExtProc) && (server.handover_always || is_marked(spot, filter, Handover::EXPECTS))
}

fn is_marked(spot: &Spot<'_, '_>, filter: &Filter<'_>, word: &str) -> bool {
    let metadata = spot.service(filter).get("initial_metadata").items();
    let is_mark = |key: &str| key.eq_ignore_ascii_case(Handover::MARK);
    let mut marks = metadata.iter().filter(|entry| entry.get("key").text().is_some_and(is_mark));
    marks.any(|entry| entry.get("value").text() == Some(word))
}
