//! Methods, ready to be applied.

use std::sync::Arc;

use crate::bucket::Bucket;
use crate::json_string;
use crate::method::Method;

/// A method, ready to be applied.
#[derive(Clone, Debug)]
pub enum Action {
    Remove,
    /// This JSON takes the value's place.
    Write(Arc<[u8]>),
    KeepType,
    Hash,
    Bucket(Arc<Bucket>),
    Partial {
        first: u8,
        last: u8,
    },
}

impl Action {
    pub fn of(method: &Method) -> Self {
        match method {
            Method::Remove => Self::Remove,
            Method::Null => Self::Write(Arc::from(&b"null"[..])),
            Method::Redact { text } => {
                let mut json = Vec::new();
                json_string::write(text.as_bytes(), &mut json);
                Self::Write(json.into())
            }
            Method::KeepType => Self::KeepType,
            Method::Hash => Self::Hash,
            Method::Bucket(bucket) => Self::Bucket(Arc::new(bucket.clone())),
            Method::Partial { .. } | Method::Last4 => {
                let (first, last) = method.shown();
                let most = Method::MAX_SHOWN;
                Self::Partial { first: first.min(most), last: last.min(most) }
            }
        }
    }
}
