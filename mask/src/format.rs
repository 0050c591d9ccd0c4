//! What a body is made of, as its content type tells.

use super::coding::Encoding;
use super::unmaskable::Unmaskable;

/// The formats that can be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Ndjson,
    /// Server-sent events whose data is JSON.
    Sse,
    /// A form, URL-encoded.
    Form,
    /// Text, in which detectors find what is to be masked.
    Text,
}

impl Format {
    /// The format and encoding of a body with these headers' values; no `content-encoding` is an empty one.
    pub fn of_body(
        content_type: &str,
        content_encoding: &str,
    ) -> Result<(Self, Option<Encoding>), Unmaskable> {
        let encoding = Encoding::of_header(content_encoding)?;
        let format = Self::of_content_type(content_type)
            .ok_or_else(|| Unmaskable::UnknownFormat { content_type: content_type.to_owned() })?;
        Ok((format, encoding))
    }

    /// The format that a `content-type` names; `None` for a type that can't be masked, a charset other than UTF-8,
    /// and every value that isn't exactly one well-formed media type.
    pub fn of_content_type(value: &str) -> Option<Self> {
        let mut parts = Parts { rest: value };
        let kind = parts.token()?.to_ascii_lowercase();
        parts.take('/')?;
        let subtype = parts.token()?.to_ascii_lowercase();
        parts.parameters()?;
        match (kind.as_str(), subtype.as_str()) {
            ("application", "json") => Some(Self::Json),
            ("application", "x-ndjson" | "ndjson" | "jsonl" | "x-jsonl" | "json-lines") => Some(Self::Ndjson),
            ("text", "event-stream") => Some(Self::Sse),
            ("application", "x-www-form-urlencoded") => Some(Self::Form),
            ("text", "plain" | "csv" | "tab-separated-values") => Some(Self::Text),
            // JSON behind the frames of gRPC is no document.
            (_, subtype) if subtype.starts_with("grpc") => None,
            (_, subtype) => {
                subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty()).then_some(Self::Json)
            }
        }
    }
}

/// What is left of a header's value.
struct Parts<'v> {
    rest: &'v str,
}

impl<'v> Parts<'v> {
    fn token(&mut self) -> Option<&'v str> {
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn take(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// `; name=value`, to the end; a charset must be one that is read as UTF-8.
    fn parameters(&mut self) -> Option<()> {
        loop {
            self.space();
            if self.rest.is_empty() {
                return Some(());
            }
            self.take(';')?;
            self.space();
            if self.rest.is_empty() || self.rest.starts_with(';') {
                continue;
            }
            let name = self.token()?;
            self.take('=')?;
            let value = if self.rest.starts_with('"') { self.quoted()? } else { self.token()?.to_owned() };
            let utf8 = ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known));
            if name.eq_ignore_ascii_case("charset") && !utf8 {
                return None;
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next()?),
                c if c.is_control() && c != '\t' => return None,
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_a_format_and_an_encoding() {
        let of =
            |content_type, encoding| Format::of_body(content_type, encoding).map_err(|error| error.code());
        assert_eq!(of("application/json", ""), Ok((Format::Json, None)));
        assert_eq!(of("application/json", "Identity"), Ok((Format::Json, None)));
        assert_eq!(of("application/json", "gzip"), Ok((Format::Json, Some(Encoding::Gzip))));
        assert_eq!(of("application/json", "identity, gzip"), Err("nested_encoding"));
        assert_eq!(of("application/json", "compress"), Err("unknown_encoding"));
        assert_eq!(of("text/html", ""), Err("unknown_format"));
        assert_eq!(of("", ""), Err("unknown_format"));
    }

    #[test]
    fn knows_its_types_and_nothing_else() {
        use Format::{Form, Json, Ndjson, Sse, Text};
        let table = [
            ("application/json", Some(Json)),
            ("Application/JSON", Some(Json)),
            ("application/json; charset=utf-8", Some(Json)),
            ("application/json;charset=\"UTF-8\" ; q=1", Some(Json)),
            ("application/json;", Some(Json)),
            ("application/json; charset=us-ascii", Some(Json)),
            ("application/problem+json", Some(Json)),
            ("application/vnd.api+json;profile=\"a;b=c\"", Some(Json)),
            ("application/x-ndjson", Some(Ndjson)),
            ("application/jsonl", Some(Ndjson)),
            ("text/event-stream;charset=utf-8", Some(Sse)),
            ("application/x-www-form-urlencoded", Some(Form)),
            ("application/x-www-form-urlencoded; charset=UTF-8", Some(Form)),
            ("application/x-www-form-urlencoded; charset=iso-8859-1", None),
            ("multipart/form-data; boundary=x", None),
            ("application/json; charset=utf-16", None),
            ("application/json; charset=utf-8; charset=utf-16", None),
            ("application/json; charset=\"utf-7\"", None),
            ("application/json; charset=", None),
            ("application/json, application/json", None),
            ("application/json, text/html", None),
            ("application/json charset=utf-8", None),
            ("application/json; charset", None),
            ("application/json; a=\"b", None),
            (" application/json", None),
            ("application /json", None),
            ("application/jsonp", None),
            ("application/+json", None),
            ("text/json", None),
            ("text/plain", Some(Text)),
            ("text/plain; charset=us-ascii", Some(Text)),
            ("text/csv; header=present", Some(Text)),
            ("text/plain; charset=iso-8859-1", None),
            ("text/plain; charset=utf-16", None),
            ("text/markdown", None),
            ("text/html", None),
            ("multipart/byteranges; boundary=x", None),
            ("application/grpc+proto", None),
            ("application/grpc+json", None),
            ("application/grpc-web+json", None),
            ("application", None),
            ("/json", None),
            ("", None),
        ];
        for (value, format) in table {
            assert_eq!(Format::of_content_type(value), format, "{value}");
        }
    }
}
