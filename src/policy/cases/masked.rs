//! A case's response, masked as the server would mask it.

use std::sync::Arc;

use crate::effect::HeaderChange;
use crate::mask::{self, Format, Guarded, HashKey, HeaderPlan, Limits, Masker, OnUnmaskable, Plan};
use crate::policy::call_file::Response;
use crate::policy::masked_headers::{MaskedHeaders, section};
use crate::policy::{Call, Candidates, PolicySet};
use crate::request::{Header, Headers};

/// Cases must come out the same everywhere, so their hashes have a key of their own.
const KEY: &[u8] = b"the key of hashes in test cases!";

/// Whether two bodies say the same: compared as JSON where both are.
pub fn same(wanted: &str, got: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match (json(wanted), json(got)) {
        (Some(wanted), Some(got)) => wanted == got,
        _ => wanted == got,
    }
}

/// The body of `response`, which `call` is about, as the caller sees it; the error says why it is blocked.
pub fn body(
    set: &PolicySet,
    candidates: &Candidates,
    call: &Call<'_>,
    response: &Response,
) -> Result<String, String> {
    let rules = set.response_masks(candidates, call).map_err(|error| error.to_string())?;
    if !rules.iter().any(|rule| rule.is_of_body()) {
        return Ok(response.body.clone());
    }
    let Some(content_type) = response.head.headers.text("content-type").ok().flatten() else {
        return Err(
            "the case's response has no `content-type`, and a body of an unknown type can't be masked: \
                    add `headers: {content-type: application/json}` to its `response`"
                .to_owned(),
        );
    };
    let key = HashKey::new(KEY).map_err(|error| error.to_string())?;
    let on_unmaskable = OnUnmaskable::of(&rules);
    let redacted = |format| mask::redacted(format, None).map_err(|error| error.to_string());
    let mut masker = match (Format::of_content_type(content_type), on_unmaskable) {
        (Some(format), _) => {
            let masker = Masker::new(Arc::new(Plan::compile(&rules, &key)), format, Limits::default());
            Guarded::new(masker, on_unmaskable, Some(redacted(format)?))
        }
        (None, OnUnmaskable::Block) => {
            return Err(format!("a body of the type `{content_type}` can't be masked"));
        }
        (None, OnUnmaskable::RedactAll) => Guarded::replaced(redacted(Format::Text)?),
        (None, OnUnmaskable::Pass) => Guarded::passed(),
    };
    let mut out = Vec::new();
    let pushed = masker.push(response.body.as_bytes(), &mut out).and_then(|()| masker.finish(&mut out));
    pushed.map_err(|error| format!("the body can't be masked: {error}"))?;
    String::from_utf8(out).map_err(|_| "the masked body is not UTF-8".to_owned())
}

/// The headers of `response`, which `call` is about, masked and then changed as policies say.
pub fn headers(
    set: &PolicySet,
    candidates: &Candidates,
    call: &Call<'_>,
    response: &Response,
    changes: &[HeaderChange],
) -> Result<Headers, String> {
    let rules = set.response_masks(candidates, call).map_err(|error| error.to_string())?;
    let key = HashKey::new(KEY).map_err(|error| error.to_string())?;
    let given = &response.head.headers;
    let section = section(given, !response.body.is_empty());
    let masked = MaskedHeaders::of(&HeaderPlan::compile(&rules, &key), section, given);
    let mut headers: Vec<Header> = masked.applied(given).iter().cloned().collect();
    for change in changes {
        if !matches!(change, HeaderChange::Append { .. }) {
            headers.retain(|header| header.name != change.name());
        }
        if let HeaderChange::Set { name, value } | HeaderChange::Append { name, value } = change {
            headers.push(Header::new(name, value.as_str()));
        }
    }
    Ok(headers.into())
}

/// All values of a header; `none` without any.
pub fn shown(headers: &Headers, name: &str) -> String {
    let values: Vec<_> = headers.all(name).map(String::from_utf8_lossy).collect();
    if values.is_empty() { "none".to_owned() } else { values.join(", ") }
}
