//! What a body is made of, told from its content type alone. Strict: what is not known to be maskable is `None`.

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Ndjson,
    Sse,
}

impl Format {
    /// `application/json`, `application/*+json`, `application/x-ndjson`, `application/jsonl`, `text/event-stream`.
    /// A `charset` must be UTF-8 or US-ASCII and given once.
    pub fn of_content_type(value: &str) -> Option<Format> {
        let value = value.to_ascii_lowercase();
        let (media_type, mut parameters) = match value.split_once(';') {
            Some((media_type, parameters)) => (media_type, Some(parameters)),
            None => (value.as_str(), None),
        };
        let format = of_media_type(media_type.trim_matches([' ', '\t']))?;
        let mut charset_given = false;
        while let Some(text) = parameters {
            let (name, value, rest) = parameter(text)?;
            if name == "charset" {
                let accepted = matches!(value.as_str(), "utf-8" | "utf8" | "us-ascii");
                if charset_given || !accepted {
                    return None;
                }
                charset_given = true;
            }
            parameters = rest;
        }
        Some(format)
    }
}

fn of_media_type(media_type: &str) -> Option<Format> {
    let (kind, subtype) = media_type.split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    match (kind, subtype) {
        (_, "json-seq") => None,
        ("application", "json") => Some(Format::Json),
        ("application", "x-ndjson" | "ndjson" | "jsonl" | "x-jsonl") => Some(Format::Ndjson),
        ("text", "event-stream") => Some(Format::Sse),
        (_, subtype) => subtype.strip_suffix("+json").filter(|name| !name.is_empty()).map(|_| Format::Json),
    }
}

/// One `name=value` and, behind a `;`, what follows it.
fn parameter(text: &str) -> Option<(&str, String, Option<&str>)> {
    let (name, text) = text.split_once('=')?;
    let name = name.trim_matches([' ', '\t']);
    let (value, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted_string(quoted)?,
        None => {
            let end = text.find(';').unwrap_or(text.len());
            let (value, rest) = text.split_at_checked(end)?;
            let value = value.trim_matches([' ', '\t']);
            (is_token(value).then(|| value.to_owned())?, rest)
        }
    };
    let rest = rest.trim_matches([' ', '\t']);
    let rest = if rest.is_empty() { None } else { Some(rest.strip_prefix(';')?) };
    is_token(name).then_some((name, value, rest))
}

/// A quoted string's text, and what stands behind its closing quote.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// RFC 9110's `token`.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_strictly() {
        for (value, format) in [
            ("application/json", Some(Format::Json)),
            ("Application/JSON ; Charset=\"UTF-8\"", Some(Format::Json)),
            ("application/json; charset=us-ascii; profile=\"a;b\"", Some(Format::Json)),
            ("application/problem+json", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("application/jsonl", Some(Format::Ndjson)),
            ("text/event-stream;charset=utf-8", Some(Format::Sse)),
            ("application/json; charset=utf-16", None),
            ("application/json; charset=utf-8; charset=utf-16", None),
            ("application/json; charset=\"utf-8", None),
            ("application/json; charset=\"utf-8\" x", None),
            ("application/json;", None),
            ("application/json, text/plain", None),
            ("application/json text/plain", None),
            ("application/json-seq", None),
            ("application/+json", None),
            ("text/json", None),
            ("text/plain", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(Format::of_content_type(value), format, "{value}");
        }
    }
}
