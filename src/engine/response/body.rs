//! What a response's head says of its body, and the masker for it.

use std::sync::Arc;

use crate::mask::{self, Encoding, Format, Framing, Grpc, Masker, Plan, Schema, UnknownFields};
use crate::policy::ResponseHead;

/// How bodies are masked, whatever the rules.
#[derive(Clone, Debug, Default)]
pub struct Masking {
    /// The messages of gRPC services; without it none of their responses can be masked.
    pub schema: Option<Schema>,
    pub unknown_fields: UnknownFields,
    pub accept_encoding: super::AcceptEncoding,
    pub deadlines: super::Deadlines,
}

/// How a body that can be masked is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyForm {
    content: Content,
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Plain(Format),
    /// Messages of gRPC, and how each may be compressed.
    Grpc(Framing, Option<Encoding>),
}

impl BodyForm {
    /// The form of a body that can be masked, or the code of the reason why it can't.
    pub fn of(head: &ResponseHead) -> Result<Self, &'static str> {
        let text = |name: &str| head.headers.joined(name).map_err(|_| "header_invalid");
        if head.code == 101 {
            return Err("upgrade");
        }
        // 226 is a difference to what the caller has.
        if matches!(head.code, 206 | 226) || head.headers.contains("content-range") {
            return Err("partial_content");
        }
        let encoding = |name| {
            let value = text(name)?.unwrap_or_default();
            Encoding::of_header(&value).map_err(|error| error.code())
        };
        let content_type = text("content-type")?.ok_or("unknown_format")?;
        let content = match Framing::of_content_type(&content_type) {
            Some(framing) => Content::Grpc(framing, encoding("grpc-encoding")?),
            None => Content::Plain(Format::of_content_type(&content_type).ok_or("unknown_format")?),
        };
        Ok(Self { content, encoding: encoding("content-encoding")? })
    }

    /// The masker of a body of this form, in answer to a call of `path`.
    pub fn masker(
        self,
        plan: Plan,
        path: &str,
        masking: &Masking,
        limits: mask::Limits,
    ) -> Result<Masker, &'static str> {
        let plan = Arc::new(plan);
        let masker = match self.content {
            Content::Plain(format) => Masker::new(plan, format, limits),
            Content::Grpc(framing, encoding) => {
                let answer = masking.schema.as_ref().and_then(|schema| schema.answer_of(path));
                let message = answer.ok_or("unknown_message")?;
                let unknown_fields = masking.unknown_fields;
                Masker::grpc(plan, &Grpc { framing, message, encoding, unknown_fields }, limits)
            }
        };
        if let Some(failure) = masker.failure() {
            return Err(failure.code());
        }
        match self.encoding {
            None => Ok(masker),
            Some(encoding) => masker.in_encoding(encoding, &limits).map_err(|error| error.code()),
        }
    }

    /// What may take the place of the whole body; `None` for messages of gRPC, which have no text of their own.
    pub fn redacted(self) -> Option<Vec<u8>> {
        match self.content {
            Content::Plain(format) => mask::redacted(format, self.encoding).ok(),
            Content::Grpc(..) => None,
        }
    }

    pub fn is_grpc(self) -> bool {
        matches!(self.content, Content::Grpc(..))
    }

    /// Whether each of its parts stands for itself, so that it may legitimately be silent between two of them.
    pub fn is_of_events(self) -> bool {
        self.is_grpc() || matches!(self.content, Content::Plain(Format::Sse | Format::Ndjson))
    }
}

/// What takes the place of a body that can't be masked, not encoded: its `content-type`, where that changes, and the text.
/// `None` for a part, for what is no body, and for messages of gRPC.
pub fn redacted(head: &ResponseHead) -> Option<(Option<&'static str>, Vec<u8>)> {
    let whole = !matches!(head.code, 101 | 206 | 226) && !head.headers.contains("content-range");
    if !whole || head.headers.is_grpc() {
        return None;
    }
    let content_type = head.headers.joined("content-type").ok().flatten();
    let format = content_type.and_then(|value| Format::of_content_type(&value));
    let text = mask::redacted(format.unwrap_or(Format::Text), None).ok()?;
    Some((format.is_none().then_some("text/plain; charset=utf-8"), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, Headers};

    fn head(code: u16, headers: &[(&str, &str)]) -> ResponseHead {
        let headers: Headers = headers.iter().map(|(name, value)| Header::new(name, *value)).collect();
        ResponseHead { code, headers }
    }

    #[test]
    fn what_is_not_understood_is_not_maskable() {
        let json = ("content-type", "application/json");
        let plain = |encoding| Ok(BodyForm { content: Content::Plain(Format::Json), encoding });
        assert_eq!(BodyForm::of(&head(200, &[json])), plain(None));
        assert_eq!(BodyForm::of(&head(200, &[json, ("content-encoding", "identity")])), plain(None));
        let gzip = ("content-encoding", "gzip");
        assert_eq!(BodyForm::of(&head(200, &[json, gzip])), plain(Some(Encoding::Gzip)));
        for (code, headers, reason) in [
            (206, vec![json], "partial_content"),
            (226, vec![json], "partial_content"),
            (200, vec![json, ("content-range", "bytes 0-9/10")], "partial_content"),
            (101, vec![json], "upgrade"),
            (200, vec![json, ("content-encoding", "compress")], "unknown_encoding"),
            (200, vec![json, ("content-encoding", "gzip, br")], "nested_encoding"),
            (
                200,
                vec![json, ("content-encoding", "identity"), ("content-encoding", "br")],
                "nested_encoding",
            ),
            (200, vec![], "unknown_format"),
            (200, vec![("content-type", "text/x-unknown")], "unknown_format"),
            (200, vec![("content-type", "application/grpc+json")], "unknown_format"),
            (
                200,
                vec![("content-type", "application/grpc"), ("grpc-encoding", "snappy")],
                "unknown_encoding",
            ),
            (200, vec![json, json], "unknown_format"),
            (200, vec![("content-type", "multipart/byteranges; boundary=x")], "unknown_format"),
        ] {
            assert_eq!(BodyForm::of(&head(code, &headers)), Err(reason));
        }
    }

    #[test]
    fn grpc_is_masked_by_the_schema_alone() {
        let form = BodyForm::of(&head(200, &[("content-type", "application/grpc-web+proto")])).unwrap();
        assert!(form.is_grpc());
        let key = mask::HashKey::new(&[0; 32]).unwrap();
        let limits = mask::Limits::default();
        let masker = form.masker(Plan::compile(&[], &key), "/a.B/C", &Masking::default(), limits);
        assert_eq!(masker.unwrap_err(), "unknown_message");
    }
}
