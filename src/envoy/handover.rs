//! How the two filters of one proxy find each other's word: the mark of each in its gRPC metadata, and the envelope in the
//! call's dynamic metadata. No caller can set either.

use std::collections::HashMap;

use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use tonic::metadata::MetadataMap;

use crate::engine::HandoverUse;
use crate::request::{Handover, Parts};

/// The field of the envelope in it.
const FIELD: &str = "portcullis_handover";

/// Whether this filter of the proxy takes part, by the listener or by its own mark.
pub(super) fn is_marked(use_: HandoverUse, metadata: &MetadataMap, word: &str) -> bool {
    use_ == HandoverUse::Always || metadata.get(Handover::MARK).is_some_and(|value| value == word)
}

/// What ext_authz has Envoy keep for this call.
pub(super) fn metadata(sealed: &str) -> Struct {
    let value = Value { kind: Some(Kind::StringValue(sealed.to_owned())) };
    Struct { fields: HashMap::from([(FIELD.to_owned(), value)]) }
}

/// Takes the envelope out of what ext_proc is shown: it is no metadata that policies read.
pub(super) fn take(parts: &mut Parts) -> Option<String> {
    let fields = parts.metadata.get_mut(Handover::NAMESPACE)?.as_object_mut()?;
    let sealed = fields.remove(FIELD);
    if fields.is_empty() {
        parts.metadata.remove(Handover::NAMESPACE);
    }
    match sealed? {
        serde_json::Value::String(sealed) => Some(sealed),
        // Something is there, and is no envelope: not the same as nothing.
        _ => Some(String::new()),
    }
}
