//! Why a body can't be masked, and the bounds a masker keeps to. Whoever sees one of these blocks the body.
//!
//! No message quotes the body: it may hold what was to be masked.

/// The reason a body must not be passed on. `code` is stable: metrics, records and scripts carry it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmaskable {
    /// `offset` counts bytes of the body, in an event stream those of the event's data.
    #[error("invalid JSON at byte {offset}: {what}")]
    InvalidJson { offset: u64, what: &'static str },
    #[error("a string that rules read as JSON holds none: {what}")]
    InvalidJsonInString { what: &'static str },
    #[error("invalid form at byte {offset}: {what}")]
    InvalidForm { offset: u64, what: &'static str },
    #[error("invalid gRPC framing: {what}")]
    InvalidGrpc { what: &'static str },
    #[error("a message is longer than {limit} bytes")]
    MessageTooLong { limit: usize },
    #[error("invalid Protocol Buffers message: {what}")]
    InvalidProtobuf { what: &'static str },
    #[error("the schema knows no field {number} of its message")]
    UnknownField { number: u32 },
    #[error("an `Any` holds a message that the schema does not know")]
    UnresolvableAny,
    #[error("invalid event stream: {what}")]
    InvalidEventStream { what: &'static str },
    #[error("invalid text: {what}")]
    InvalidText { what: &'static str },
    #[error("rules name fields, and text has none")]
    FieldsInText,
    #[error("the body nests deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("a field's name is longer than {limit} bytes")]
    KeyTooLong { limit: usize },
    #[error("a field's name with the space around it is longer than {limit} bytes")]
    TokenTooLong { limit: usize },
    #[error("an event is longer than {limit} bytes")]
    EventTooLong { limit: usize },
    #[error("no masking is known for bodies of type `{content_type}`")]
    UnknownFormat { content_type: String },
    #[error("the body is encoded as `{encoding}`, which can't be taken off")]
    UnknownEncoding { encoding: String },
    #[error("the body is encoded several times: `{encoding}`")]
    NestedEncoding { encoding: String },
    #[error("the body is not what its encoding `{encoding}` says: {what}")]
    InvalidEncoding { encoding: &'static str, what: &'static str },
    #[error("the body ends within its encoding `{encoding}`")]
    TruncatedEncoding { encoding: &'static str },
    #[error("the body goes on after the end of its encoding `{encoding}`")]
    AfterEncoding { encoding: &'static str },
    #[error("the decoded body is longer than {limit} bytes")]
    DecodedTooLarge { limit: u64 },
    #[error("the body decodes to more than {limit} times its bytes")]
    ExpandsTooMuch { limit: u64 },
    #[error("decoding the body takes a window of more than {limit} bytes")]
    WindowTooLarge { limit: usize },
    #[error("the body is a part of a larger one")]
    PartialContent,
    #[error("the body went on after its end")]
    AfterEnd,
}

impl Unmaskable {
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson { .. } => "invalid_json",
            Self::InvalidJsonInString { .. } => "invalid_json_in_string",
            Self::InvalidForm { .. } => "invalid_form",
            Self::InvalidGrpc { .. } => "invalid_grpc",
            Self::MessageTooLong { .. } => "message_too_long",
            Self::InvalidProtobuf { .. } => "invalid_protobuf",
            Self::UnknownField { .. } => "unknown_field",
            Self::UnresolvableAny => "unresolvable_any",
            Self::InvalidEventStream { .. } => "invalid_event_stream",
            Self::InvalidText { .. } => "invalid_text",
            Self::FieldsInText => "fields_in_text",
            Self::TooDeep { .. } => "too_deep",
            Self::KeyTooLong { .. } => "key_too_long",
            Self::TokenTooLong { .. } => "token_too_long",
            Self::EventTooLong { .. } => "event_too_long",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::UnknownEncoding { .. } => "unknown_encoding",
            Self::NestedEncoding { .. } => "nested_encoding",
            Self::InvalidEncoding { .. } => "invalid_encoding",
            Self::TruncatedEncoding { .. } => "truncated_encoding",
            Self::AfterEncoding { .. } => "after_encoding",
            Self::DecodedTooLarge { .. } => "decoded_too_large",
            Self::ExpandsTooMuch { .. } => "expands_too_much",
            Self::WindowTooLarge { .. } => "window_too_large",
            Self::PartialContent => "partial_content",
            Self::AfterEnd => "after_end",
        }
    }
}

/// What a masker holds in memory at most, for one body: 64 KiB by default for JSON. Values need no bound: none is held,
/// but within an object that a filter asks about, and with the event or message that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects and arrays within each other.
    pub depth: usize,
    /// A field's name, decoded.
    pub key_bytes: usize,
    /// A field's name as written, with its comma, colon and white space: held while a rule could remove it. Names of
    /// `key_bytes` fit twice, but not with every character escaped, which takes six bytes: nobody writes those.
    pub token_bytes: usize,
    /// An object whose members a filter compares, as written: held until it ends. A longer one is masked.
    pub filter_bytes: usize,
    /// One event of an event stream, with its line ends.
    pub event_bytes: usize,
    /// One gRPC message, as it is sent and decompressed: held, because its length comes before it.
    pub message_bytes: usize,
    /// An encoded body, decoded. It is never held; this bounds the work.
    pub decoded_bytes: u64,
    /// What an encoded body may decode to, in multiples of its bytes; judged beyond the first MiB.
    pub expansion: u32,
    /// How far back encoded data may refer (Brotli, Zstandard): held while a body is decoded.
    pub window_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 512,
            key_bytes: 8 << 10,
            token_bytes: 16 << 10,
            filter_bytes: 8 << 10,
            event_bytes: 1 << 20,
            message_bytes: 4 << 20,
            decoded_bytes: 1 << 30,
            expansion: 200,
            window_bytes: 8 << 20,
        }
    }
}
