//! The page of the policies: what decides, what happened to it, and changing it.

use std::sync::Arc;

use axum::extract::multipart::MultipartError;
use axum::extract::{Form, FromRequest as _, Multipart, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};

use super::Console;
use super::change::Change;
use super::guard::Visitor;
use super::page::{self, Frame, Policies};
use super::pages::{Done, Page};
use super::trouble::Trouble;
use super::view::{Bundle, Event, Standing};
use crate::admin::fault::Fault;
use crate::admin::v1;

/// How many events are shown.
const EVENTS: u32 = 30;

/// `GET /policies`
pub async fn policies(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(query): Query<Done>,
) -> Page {
    let listing = console.state.bundles(&visitor.who).await?;
    let request = v1::ListBundleEventsRequest { limit: EVENTS, page_token: String::new() };
    let events = console.state.bundle_events(&visitor.who, request).await?;
    let now = console.now();
    let resumed = console.resumed(&visitor, &headers, "/policies");
    let page = Policies {
        frame: Frame::new(&console, &visitor, "/policies", "Policies"),
        bundles: listing.bundles.iter().map(|bundle| Bundle::of(bundle, now)).collect(),
        standing: Standing::of(&listing, now),
        events: events.events.iter().map(|event| Event::of(event, now)).collect(),
        admin: console.state.may_administer(&visitor.who).is_ok(),
        fresh: console.is_fresh(&visitor.session),
        draft: resumed.reason,
        again: resumed.notice.filter(|_| query.done.is_empty()),
        done: match query.done.as_str() {
            "changed" => Some("Done. What is active now is marked below, and the change is recorded."),
            "login" => Some("You have proved who you are; changes are open for a while."),
            _ => None,
        },
    };
    Ok(page::html(&page))
}

/// `POST /policies/activate`, `rollback`, `pin` and `unpin`; and `login`, which proves who somebody is and changes nothing
pub async fn change_policies(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(change): Path<String>,
    Form(form): Form<Change>,
) -> Page {
    // Before anybody is sent to log in again for nothing.
    console.state.may_administer(&visitor.who)?;
    if let Some(response) = console.permit(&visitor, &form, "/policies", "").await? {
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
        "login" => return Ok(console.go_to("/policies?done=login")),
        _ => return Err(Fault::NoSuchAddress.into()),
    };
    Ok(console.go_to("/policies?done=changed"))
}

/// `POST /policies/upload`: a bundle, by the way that uploads of the API go. Who may not change anything is told so before
/// the file is read, which comes last.
pub async fn upload(State(console): State<Arc<Console>>, visitor: Visitor, request: Request) -> Page {
    console.state.may_administer(&visitor.who)?;
    let broken = |error: &dyn std::fmt::Display| Fault::Invalid(format!("the form can't be read: {error}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error))?;
    let mut change = Change::default();
    while let Some(field) = form.next_field().await.map_err(unread)? {
        match field.name().unwrap_or_default() {
            "csrf" => change.csrf = field.text().await.map_err(unread)?,
            "reason" => change.reason = field.text().await.map_err(unread)?,
            "archive" => {
                if let Some(response) = console.permit(&visitor, &change, "/policies", "").await? {
                    return Ok(response);
                }
                let archive = field.bytes().await.map_err(unread)?;
                if archive.is_empty() {
                    return Err(Fault::Invalid("no file was chosen".into()).into());
                }
                let request =
                    v1::ActivateBundleRequest { archive: archive.to_vec(), reason: change.reason() };
                console.state.activate_bundle(&visitor.who, request).await?;
                return Ok(console.go_to("/policies?done=changed"));
            }
            _ => {}
        }
    }
    Err(Fault::Invalid("the form has no file".into()).into())
}

fn unread(error: MultipartError) -> Trouble {
    let fault = match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge,
        _ => Fault::Invalid(format!("the form can't be read: {}", error.body_text())),
    };
    fault.into()
}
