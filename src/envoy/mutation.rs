//! Header changes and denials in Envoy's words.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::BoolValue;

use crate::effect::HeaderChange;

/// Header changes split as Envoy wants them.
#[derive(Debug, Default)]
pub(super) struct Mutation {
    pub set: Vec<HeaderValueOption>,
    pub remove: Vec<String>,
}

pub(super) fn mutation(changes: &[HeaderChange]) -> Mutation {
    let mut mutation = Mutation::default();
    for change in changes {
        match change {
            HeaderChange::Set { name, value } => {
                mutation.set.push(option(name, value, HeaderAppendAction::OverwriteIfExistsOrAdd));
            }
            HeaderChange::Append { name, value } => {
                mutation.set.push(option(name, value, HeaderAppendAction::AppendIfExistsOrAdd));
            }
            HeaderChange::Remove { name } => mutation.remove.push(name.clone()),
        }
    }
    mutation
}

impl Mutation {
    /// Makes these changes after the present ones.
    pub fn add(&mut self, mut more: Self) {
        self.set.append(&mut more.set);
        self.remove.append(&mut more.remove);
    }

    /// Makes these changes before the present ones, which win.
    pub fn prepend(&mut self, mut first: Self) {
        std::mem::swap(self, &mut first);
        self.add(first);
    }

    /// Sets `name` to `value`, whatever it was.
    pub fn set(&mut self, name: &str, value: &str) {
        self.set.push(option(name, value, HeaderAppendAction::OverwriteIfExistsOrAdd));
    }
}

/// One header to add or overwrite, as ext_proc reads it; see [`for_ext_authz`]. Of requests' headers, and ext_proc of all,
/// Envoy 1.40 takes no notice of the action and goes by the old field `append`.
#[expect(deprecated, reason = "the field that Envoy reads")]
pub(super) fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        append: (action == HeaderAppendAction::AppendIfExistsOrAdd).then_some(BoolValue { value: true }),
        header: Some(HeaderValue {
            key: name.to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        }),
        append_action: action.into(),
        keep_empty_value: true,
    }
}

/// The same headers for ext_authz, which reads `value` where ext_proc reads `raw_value`; each ignores the other.
pub(super) fn for_ext_authz(mut options: Vec<HeaderValueOption>) -> Vec<HeaderValueOption> {
    for header in options.iter_mut().filter_map(|option| option.header.as_mut()) {
        header.value = String::from_utf8_lossy(&std::mem::take(&mut header.raw_value)).into_owned();
    }
    options
}

/// The headers of a denial by ext_authz, which keeps several of one name, and drops what is to be added to another.
#[expect(deprecated, reason = "the field that Envoy reads")]
pub(super) fn denial_headers_for_ext_authz(headers: &[(&'static str, String)]) -> Vec<HeaderValueOption> {
    let mut options = for_ext_authz(denial_headers(headers));
    options.iter_mut().for_each(|option| option.append = None);
    options
}

/// The headers of a denial by ext_proc.
pub(super) fn denial_headers(headers: &[(&'static str, String)]) -> Vec<HeaderValueOption> {
    // ext_proc lets a later copy replace an earlier one otherwise: there can be several challenges.
    let set = |(place, (name, value)): (usize, &(&'static str, String))| {
        let first = headers.iter().take(place).all(|(earlier, _)| earlier != name);
        let action = if first {
            HeaderAppendAction::OverwriteIfExistsOrAdd
        } else {
            HeaderAppendAction::AppendIfExistsOrAdd
        };
        option(name, value, action)
    };
    headers.iter().enumerate().map(set).collect()
}

pub(super) fn status(code: u16) -> HttpStatus {
    HttpStatus { code: code.into() }
}
