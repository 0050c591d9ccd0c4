//! Path patterns: Istio's `{*}` and `{**}`, Envoy's `*`, `**` and `{name=**}`, and named segments.

use crate::request::Part;

/// A path pattern, segment by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// As `request.url_path` has it: bytes that need no encoding are plain, the others' hex is upper case.
    Literal(String),
    /// One segment that is not empty, captured under a name.
    One(Option<String>),
    /// All that is left, also nothing; always last.
    Rest(Option<String>),
}

impl PathPattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').ok_or("a path begins with `/`")?;
        let mut segments = Vec::new();
        if !inner.is_empty() {
            for segment in inner.split('/') {
                if matches!(segments.last(), Some(Segment::Rest(_))) {
                    return Err("`**` takes all that is left, so it must be the last segment".into());
                }
                segments.push(parse_segment(segment)?);
            }
        }
        let empty = |segment: &Segment| matches!(segment, Segment::Literal(text) if text.is_empty());
        if segments.iter().rev().skip(1).any(empty) {
            return Err("a path has no empty segments, except at its end".into());
        }
        let pattern = Self { segments };
        let mut names: Vec<_> = pattern.captures().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("it captures one name twice".into());
        }
        Ok(pattern)
    }

    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::One(name) | Segment::Rest(name) => name.as_deref(),
            Segment::Literal(_) => None,
        })
    }

    /// Where in a path that it matches this pattern captures `names`.
    pub fn parts(&self, names: &[String]) -> Box<[Part]> {
        let part = |name: &String| {
            self.segments.iter().enumerate().find_map(|(place, segment)| match segment {
                Segment::One(known) if known.as_ref() == Some(name) => Some(Part::Segment(place)),
                Segment::Rest(known) if known.as_ref() == Some(name) => Some(Part::From(place)),
                _ => None,
            })
        };
        names.iter().filter_map(part).collect()
    }
}

fn parse_segment(segment: &str) -> Result<Segment, String> {
    match segment {
        "*" | "{*}" => return Ok(Segment::One(None)),
        "**" | "{**}" => return Ok(Segment::Rest(None)),
        _ => {}
    }
    if let Some(inner) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let (name, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        let well_named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !well_named {
            return Err(format!("`{name}` is not a name: letters, digits and `_`"));
        }
        return match pattern {
            "*" => Ok(Segment::One(Some(name.to_owned()))),
            "**" => Ok(Segment::Rest(Some(name.to_owned()))),
            _ => Err(format!("`{pattern}` is neither `*` nor `**`")),
        };
    }
    if segment.contains(['*', '{', '}']) {
        return Err(format!("`{segment}` mixes text with a wildcard; a segment is one or the other"));
    }
    let (parsed, defect) = crate::request::Path::parse(format!("/{segment}"));
    if segment.contains('?') || defect.is_some() {
        return Err(format!("`{segment}` can't be a segment of a path that is let through"));
    }
    Ok(Segment::Literal(parsed.url_path().trim_start_matches('/').to_owned()))
}
