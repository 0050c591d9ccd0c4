//! The page of the policies: what decides, what happened to it, and changing it.

use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::http::HeaderMap;

use super::Console;
use super::change::Change;
use super::guard::Visitor;
use super::page::{self, Frame, Policies};
use super::pages::Page;
use super::view::{Bundle, Event, Standing};
use crate::admin::fault::Fault;
use crate::admin::v1;

/// How many events are shown.
const EVENTS: u32 = 30;

/// `GET /policies`
pub async fn policies(State(console): State<Arc<Console>>, visitor: Visitor, headers: HeaderMap) -> Page {
    let listing = console.state.bundles(&visitor.who).await?;
    let request = v1::ListBundleEventsRequest { limit: EVENTS, page_token: String::new() };
    let events = console.state.bundle_events(&visitor.who, request).await?;
    let now = console.now();
    let page = Policies {
        frame: Frame::new(&console, &visitor, "/policies", "Policies"),
        bundles: listing.bundles.iter().map(|bundle| Bundle::of(bundle, now)).collect(),
        standing: Standing::of(&listing, now),
        events: events.events.iter().map(|event| Event::of(event, now)).collect(),
        admin: console.state.may_administer(&visitor.who).is_ok(),
        fresh: console.is_fresh(visitor.session.proven),
        draft: console.draft(&visitor, &headers, "/policies"),
    };
    Ok(page::html(&page))
}

/// `POST /policies/activate`, `rollback`, `pin` and `unpin`
pub async fn change_policies(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(change): Path<String>,
    Form(form): Form<Change>,
) -> Page {
    // Before anybody is sent to log in again for nothing.
    console.state.may_administer(&visitor.who)?;
    if let Some(response) = console.permit(&visitor, &form, "/policies").await? {
        return Ok(response);
    }
    let (state, who, reason) = (&console.state, &visitor.who, form.reason());
    match change.as_str() {
        "activate" if form.revision.is_empty() => return Err(Fault::NoSuch("revision").into()),
        "activate" => {
            state.rollback_bundle(who, v1::RollbackBundleRequest { to: form.revision, reason }).await?
        }
        "rollback" => {
            state.rollback_bundle(who, v1::RollbackBundleRequest { to: String::new(), reason }).await?
        }
        "pin" => state.pin_bundle(who, v1::PinBundleRequest { revision: form.revision, reason }).await?,
        "unpin" => state.unpin_bundle(who, v1::UnpinBundleRequest { reason }).await?,
        _ => return Err(Fault::NoSuchAddress.into()),
    };
    Ok(console.go_to("/policies"))
}
