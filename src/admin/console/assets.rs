//! Styles, scripts and the icon, built into the program.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::trouble::Trouble;
use crate::admin::fault::Fault;

const STYLE: &str = include_str!("../../../assets/console/console.css");
const SCRIPT: &str = include_str!("../../../assets/console/console.js");
const HTMX: &str = include_str!("../../../assets/console/htmx-4.0.1.min.js");
const SSE: &str = include_str!("../../../assets/console/hx-sse-4.0.1.min.js");
const ICON: &str = include_str!("../../../assets/console/icon.svg");

/// One file by its name.
pub async fn asset(Path(name): Path<String>) -> Result<Response, Trouble> {
    let (kind, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "htmx-4.0.1.min.js" => ("text/javascript; charset=utf-8", HTMX),
        "hx-sse-4.0.1.min.js" => ("text/javascript; charset=utf-8", SSE),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Fault::NoSuchAddress.into()),
    };
    // A new server may have new ones under the same name.
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, no-cache")], text).into_response())
}
