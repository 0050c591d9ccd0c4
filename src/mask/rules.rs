//! Mask rules as people write them:
//!
//! ```yaml
//! - {field: "**.card.number", with: last4}
//! - {field: note, with: {redact: "[hidden]"}}
//! - {detect: [card, iban], with: redact}
//! - {field: "phones[?type==\"home\"].number", with: {partial: {first: 3, last: 2}}}
//! - {field: "**.born", with: {bucket: {date: year}}}
//! - {field: "**.iban", with: hash, on_unmaskable: redact_all}
//! - {field: "payload[json].card", with: redact}
//! - {header: set-cookie, with: remove}
//! - {trailer: "x-debug-*", detect: email, with: redact}
//! ```

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Bucket, DateUnit, FieldPath, HeaderNames, Method, OnUnmaskable, Part, Rule, detect};
use crate::document::{Fields, Node, Reader, Value};

type Make = fn() -> Method;

/// The methods in a user's words.
const WORDS: [(&str, Make); 6] = [
    ("remove", || Method::Remove),
    ("null", || Method::Null),
    ("redact", Method::redact),
    ("keep_type", || Method::KeepType),
    ("hash", || Method::Hash),
    ("last4", || Method::Last4),
];

const DATE_UNITS: [(&str, DateUnit); 4] = [
    ("year", DateUnit::Year),
    ("quarter", DateUnit::Quarter),
    ("month", DateUnit::Month),
    ("day", DateUnit::Day),
];

const FALLBACKS: [(&str, OnUnmaskable); 3] =
    [("block", OnUnmaskable::Block), ("redact_all", OnUnmaskable::RedactAll), ("pass", OnUnmaskable::Pass)];

/// What a list of rules is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Bodies,
    /// Their bodies, headers and trailers.
    Responses,
}

/// The rule as people write it, which `response_rules_from_node` reads again.
pub fn rule_to_json(rule: &Rule) -> Json {
    let with = match &rule.method {
        Method::Redact { text } => json!({"redact": text}),
        Method::Partial { first, last } => json!({"partial": {"first": first, "last": last}}),
        Method::Bucket(Bucket::Width(width)) => json!({"bucket": {"width": width}}),
        Method::Bucket(Bucket::Edges(edges)) => json!({"bucket": {"edges": edges}}),
        Method::Bucket(Bucket::Date(unit)) => {
            let word = DATE_UNITS.iter().find(|(_, known)| known == unit).map(|(word, _)| *word);
            json!({"bucket": {"date": word}})
        }
        // `null` is a word to people, and no value.
        Method::Remove | Method::Null | Method::KeepType | Method::Hash | Method::Last4 => {
            rule.method.name().into()
        }
    };
    let mut fields = rule.detect.as_deref().map(detect::to_json).unwrap_or_default();
    let (name, place) = match &rule.part {
        Part::Header(names) => ("header", names.as_str()),
        Part::Trailer(names) => ("trailer", names.as_str()),
        Part::Body => ("field", rule.field.as_str()),
    };
    if rule.detect.is_none() || !rule.is_of_body() || rule.field != FieldPath::everything() {
        fields.insert(name.to_owned(), place.into());
    }
    fields.insert("with".to_owned(), with);
    if rule.on_unmaskable != OnUnmaskable::default() {
        fields.insert("on_unmaskable".to_owned(), rule.on_unmaskable.name().into());
    }
    Json::Object(fields)
}

/// Reads a list of rules about bodies; every mistake is reported to `reader`, and a rule with one is left out.
pub fn rules_from_node(node: &Node, reader: &mut Reader) -> Vec<Rule> {
    rules(node, About::Bodies, reader)
}

/// The same of rules about responses, which may name headers and trailers.
pub fn response_rules_from_node(node: &Node, reader: &mut Reader) -> Vec<Rule> {
    rules(node, About::Responses, reader)
}

fn rules(node: &Node, about: About, reader: &mut Reader) -> Vec<Rule> {
    let Some(items) = reader.list(node, "the list of mask rules") else { return Vec::new() };
    items.iter().filter_map(|item| rule(item, about, reader)).collect()
}

fn rule(node: &Node, about: About, reader: &mut Reader) -> Option<Rule> {
    let mut fields = reader.fields(node, "a mask rule")?;
    let detect = detect::read(&mut fields, reader);
    let part = if about == About::Responses { part(&mut fields, reader) } else { Some(Part::Body) };
    let field = match fields.optional("field") {
        Some(node) => field(node, reader),
        // Values are looked for everywhere.
        None if !matches!(detect, Ok(None)) || part != Some(Part::Body) => Some(FieldPath::everything()),
        None => fields.required("field", reader).and(None),
    };
    let _ = fields.optional("with");
    // `with: null` is meant: YAML reads the word as no value, and `optional` would call it absent.
    let method = match node.get("with") {
        Some(with) => method(with, reader),
        None => {
            let help = "write `with: redact`, `remove`, `null`, `keep_type`, `hash` or `last4`";
            reader.error_with_help(node.span, "missing-field", "a mask rule lacks the field `with`", help);
            None
        }
    };
    let on_unmaskable = fields
        .optional("on_unmaskable")
        .map_or(Some(OnUnmaskable::default()), |node| reader.word(node, "`on_unmaskable`", &FALLBACKS));
    fields.close(reader);
    let (part, detect, method) = (part?, detect.ok()?.map(Arc::new), method?);
    if part != Part::Body && !fits_headers(node, &method, reader) {
        return None;
    }
    if detect.is_some() && method == Method::Null {
        let help = "write `redact`, `remove`, `hash` or a partial method";
        let span = node.get("with").map_or(node.span, |with| with.span);
        reader.error_with_help(span, "invalid-mask-method", "`null` has no place within a text", help);
        return None;
    }
    Some(Rule { part, field: field?, detect, method, on_unmaskable: on_unmaskable? })
}

/// The part of a response that a rule names; `None` when a mistake was reported.
fn part(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Part> {
    let (header, trailer) = (fields.optional("header"), fields.optional("trailer"));
    let (node, part): (&Node, fn(HeaderNames) -> Part) = match (header, trailer) {
        (None, None) => return Some(Part::Body),
        (Some(_), Some(node)) => return no_one_place(node, reader),
        (Some(node), None) => (node, Part::Header),
        (None, Some(node)) => (node, Part::Trailer),
    };
    if let Some(other) = fields.optional("field") {
        return no_one_place(other, reader);
    }
    let text = reader.string(node, "a header's name")?;
    match HeaderNames::parse(text) {
        Ok(names) => Some(part(names)),
        Err(error) => {
            let help = "write a name, in any case, or how names begin: `x-internal-*`";
            reader.error_with_help(node.span, "invalid-header", error.to_string(), help);
            None
        }
    }
}

fn no_one_place(node: &Node, reader: &mut Reader) -> Option<Part> {
    let message = "a mask rule names one of `field`, `header` and `trailer`";
    reader.error_with_help(node.span, "several-places", message, "make a rule of each");
    None
}

/// Whether a rule about headers can be kept in them; what can't be is reported.
fn fits_headers(node: &Node, method: &Method, reader: &mut Reader) -> bool {
    if let Some(choice) = node.get("on_unmaskable") {
        let message = "`on_unmaskable` is about bodies: what can't be masked of a header is redacted";
        reader.error_with_help(choice.span, "invalid-mask-method", message, "leave it out");
        return false;
    }
    let breaks = |c: char| c.is_control() && c != '\t';
    let (message, help) = match method {
        Method::Null | Method::KeepType => (
            "a header's value is a text, and has no type",
            "write `redact`, `remove`, `hash` or a partial method",
        ),
        Method::Redact { text } if text.chars().any(breaks) => {
            ("a header's value has no control characters", "write a text of one line")
        }
        _ => return true,
    };
    let span = node.get("with").map_or(node.span, |with| with.span);
    reader.error_with_help(span, "invalid-mask-method", message, help);
    false
}

fn field(node: &Node, reader: &mut Reader) -> Option<FieldPath> {
    let text = reader.string(node, "field")?;
    match FieldPath::parse(text) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("the field path `{text}` can't be read: {error}");
            let help = format!("look at character {} of the path", error.column);
            reader.error_with_help(node.span, "invalid-field-path", message, help);
            None
        }
    }
}

fn method(node: &Node, reader: &mut Reader) -> Option<Method> {
    match &node.value {
        Value::Null => Some(Method::Null),
        Value::Map(_) => with_terms(node, reader),
        _ => reader.word(node, "mask method", &WORDS).map(|method| method()),
    }
}

/// A method that says more than its name.
fn with_terms(node: &Node, reader: &mut Reader) -> Option<Method> {
    let mut fields = reader.fields(node, "`with`")?;
    let [redact, partial, bucket, keep_type] =
        ["redact", "partial", "bucket", "keep_type"].map(|name| fields.optional(name));
    fields.close(reader);
    match (redact, partial, bucket, keep_type) {
        (Some(text), None, None, None) => {
            reader.string(text, "redact").map(|text| Method::Redact { text: text.to_owned() })
        }
        (None, Some(ends), None, None) => partially(ends, reader),
        (None, None, Some(ranges), None) => ranges_of(ranges, reader).map(Method::Bucket),
        (None, None, None, Some(keep)) => match reader.boolean(keep, "keep_type")? {
            true => Some(Method::KeepType),
            false => {
                reader.error(keep.span, "invalid-mask-method", "`keep_type` can only be `true`");
                None
            }
        },
        _ => {
            let help =
                "write one of `redact: TEXT`, `partial: {first: 2, last: 2}` and `bucket: {width: 100}`";
            reader.error_with_help(node.span, "invalid-mask-method", "`with` must say one method", help);
            None
        }
    }
}

fn partially(node: &Node, reader: &mut Reader) -> Option<Method> {
    let mut fields = reader.fields(node, "`partial`")?;
    let (first, last) = (fields.optional("first"), fields.optional("last"));
    fields.close(reader);
    if first.is_none() && last.is_none() {
        let help = "write `first: 2`, `last: 4` or both";
        reader.error_with_help(
            node.span,
            "missing-field",
            "`partial` lacks the field `first` or `last`",
            help,
        );
        return None;
    }
    let mut count = |node: Option<&Node>, what| match node {
        None => Some(0),
        Some(node) => {
            let count = reader.integer(node, what, 0..=i64::from(Method::MAX_SHOWN))?;
            u8::try_from(count).ok()
        }
    };
    let (first, last) = (count(first, "`first`"), count(last, "`last`"));
    Some(Method::Partial { first: first?, last: last? })
}

fn ranges_of(node: &Node, reader: &mut Reader) -> Option<Bucket> {
    let mut fields = reader.fields(node, "`bucket`")?;
    let [width, edges, date] = ["width", "edges", "date"].map(|name| fields.optional(name));
    fields.close(reader);
    match (width, edges, date) {
        (Some(width), None, None) => {
            let width = reader.integer(width, "`width`", 1..=i64::MAX)?;
            u64::try_from(width).ok().map(Bucket::Width)
        }
        (None, Some(edges), None) => {
            let list = reader.list(edges, "`edges`")?;
            let numbers: Vec<_> =
                list.iter().map(|edge| reader.integer(edge, "an edge", i64::MIN..=i64::MAX)).collect();
            let numbers = numbers.into_iter().collect::<Option<Vec<i64>>>()?;
            if numbers.is_empty() || !numbers.is_sorted_by(|one, next| one < next) {
                let message = "`edges` must be a list of numbers, each greater than the one before";
                reader.error(edges.span, "invalid-mask-method", message);
                return None;
            }
            Some(Bucket::Edges(numbers))
        }
        (None, None, Some(unit)) => reader.word(unit, "unit of dates", &DATE_UNITS).map(Bucket::Date),
        _ => {
            let help = "write one of `width: 100`, `edges: [18, 65]` and `date: month`";
            reader.error_with_help(
                node.span,
                "invalid-mask-method",
                "`bucket` must say one kind of range",
                help,
            );
            None
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::document::Document;

    /// The rules in a text, and what is wrong with it.
    pub(in crate::mask) fn read(text: &str) -> (Vec<Rule>, Vec<String>) {
        let document = Document::parse(&"rules.yaml".into(), &text.into()).unwrap();
        let mut reader = Reader::new(&document.file);
        let rules = rules_from_node(&document.roots[0], &mut reader);
        (rules, reader.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_every_method() {
        let (rules, findings) = read(
            "- {field: '**.number', with: last4}\n- {field: a, with: remove}\n- {field: b, with: \"null\"}\n\
             - {field: c, with: null}\n- {field: d, with: redact}\n- {field: e, with: {redact: '[hidden]'}}\n\
             - {field: f, with: hash}\n- {field: g, with: {partial: {last: 2}}}\n\
             - {field: h, with: {bucket: {width: 100}}}\n- {field: i, with: {bucket: {edges: [-5, 18]}}}\n\
             - {field: j, with: {bucket: {date: quarter}}}\n- {field: k, with: keep_type}\n\
             - {field: l, with: {keep_type: true}}\n\
             - {field: m, with: hash, on_unmaskable: pass}\n- {field: p, with: hash, on_unmaskable: redact_all}\n\
             - {field: o, with: hash, on_unmaskable: block}\n",
        );
        assert_eq!(findings, [""; 0]);
        for rule in &rules {
            let again = read(&format!("[{}]", rule_to_json(rule)));
            assert_eq!(again, (vec![rule.clone()], Vec::new()), "what is written is read again");
        }
        let done: Vec<_> = rules[rules.len() - 4..].iter().map(|rule| rule.on_unmaskable).collect();
        assert_eq!(
            done,
            [OnUnmaskable::Block, OnUnmaskable::Pass, OnUnmaskable::RedactAll, OnUnmaskable::Block]
        );
        let read: Vec<_> = rules.into_iter().map(|rule| (rule.field.to_string(), rule.method)).collect();
        let expected = [
            ("**.number", Method::Last4),
            ("a", Method::Remove),
            ("b", Method::Null),
            ("c", Method::Null),
            ("d", Method::redact()),
            ("e", Method::Redact { text: "[hidden]".to_owned() }),
            ("f", Method::Hash),
            ("g", Method::Partial { first: 0, last: 2 }),
            ("h", Method::Bucket(Bucket::Width(100))),
            ("i", Method::Bucket(Bucket::Edges(vec![-5, 18]))),
            ("j", Method::Bucket(Bucket::Date(DateUnit::Quarter))),
            ("k", Method::KeepType),
            ("l", Method::KeepType),
            ("m", Method::Hash),
            ("p", Method::Hash),
            ("o", Method::Hash),
        ];
        assert_eq!(read, expected.map(|(field, method)| (field.to_owned(), method)));
    }

    #[test]
    fn reports_every_mistake_at_its_place() {
        let (rules, findings) = read(
            "- {field: 'a[-1]', with: lats4}\n- {field: a}\n- {with: hash, detect: ibam}\n- 5\n\
             - {field: 7, with: {redact: 8}}\n- {field: a, with: {hash: x}}\n- {field: ok, with: hash}\n\
             - {field: a, with: hash, on_unmaskable: ignore}\n",
        );
        assert_eq!(rules.len(), 1);
        assert_eq!(
            findings,
            [
                "rules.yaml:1:11: error[invalid-field-path]: the field path `a[-1]` can't be read: an index counts from 0: where an array ends is not known while its elements pass; `*` is any element (look at character 3 of the path)",
                "rules.yaml:1:26: error[unknown-value]: unknown mask method `lats4` (did you mean `last4`?)",
                "rules.yaml:2:3: error[missing-field]: a mask rule lacks the field `with` (write `with: redact`, `remove`, `null`, `keep_type`, `hash` or `last4`)",
                "rules.yaml:3:24: error[unknown-value]: unknown detector `ibam` (did you mean `iban`?)",
                "rules.yaml:4:3: error[wrong-type]: a mask rule must be a map, not an integer",
                "rules.yaml:5:11: error[wrong-type]: field must be a string, not an integer (put it in quotes)",
                "rules.yaml:5:29: error[wrong-type]: redact must be a string, not an integer (put it in quotes)",
                "rules.yaml:6:21: error[unknown-field]: unknown field `hash` in `with` (known here: redact, partial, bucket, keep_type)",
                "rules.yaml:6:20: error[invalid-mask-method]: `with` must say one method (write one of `redact: TEXT`, `partial: {first: 2, last: 2}` and `bucket: {width: 100}`)",
                "rules.yaml:8:41: error[unknown-value]: unknown `on_unmaskable` `ignore` (it is one of `block`, `redact_all`, `pass`)",
            ]
        );
        assert_eq!(
            read("field: a\n").1,
            ["rules.yaml:1:1: error[wrong-type]: the list of mask rules must be a list, not a map"]
        );
    }
    #[test]
    fn terms_that_make_no_sense_are_refused() {
        let table = [
            ("{partial: {}}", "`partial` lacks the field"),
            ("{partial: {first: 33}}", "`first`"),
            ("{partial: {last: -1}}", "`last`"),
            ("{partial: {last: 1}, redact: x}", "must say one method"),
            ("{bucket: {width: 0}}", "`width`"),
            ("{bucket: {}}", "one kind of range"),
            ("{bucket: {width: 1, date: day}}", "one kind of range"),
            ("{bucket: {date: week}}", "unknown unit of dates `week`"),
            ("{bucket: {edges: []}}", "each greater"),
            ("{bucket: {edges: [2, 2]}}", "each greater"),
            ("{bucket: {edges: [1.5]}}", "an edge"),
            ("{keep_type: false}", "can only be `true`"),
        ];
        for (with, part) in table {
            let (rules, findings) = read(&format!("- {{field: a, with: {with}}}"));
            assert_eq!(rules, []);
            assert!(findings.len() == 1 && findings[0].contains(part), "{with}: {findings:?}");
        }
    }

    fn read_of_responses(text: &str) -> (Vec<Rule>, Vec<String>) {
        let document = Document::parse(&"rules.yaml".into(), &text.into()).unwrap();
        let mut reader = Reader::new(&document.file);
        let rules = response_rules_from_node(&document.roots[0], &mut reader);
        (rules, reader.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rules_about_responses_name_headers_and_trailers() {
        let (rules, findings) = read_of_responses(
            "- {header: Set-Cookie, with: remove}\n- {header: 'x-internal-*', with: {redact: '-'}}\n\
             - {trailer: grpc-message, detect: [email], with: redact}\n- {trailer: '*', with: last4}\n\
             - {field: a, with: hash}\n- {detect: card, with: redact}\n",
        );
        assert_eq!(findings, [""; 0]);
        let shown = |part: &Part| match part {
            Part::Body => "body".to_owned(),
            Part::Header(names) => format!("header {names}"),
            Part::Trailer(names) => format!("trailer {names}"),
        };
        let parts: Vec<_> = rules.iter().map(|rule| shown(&rule.part)).collect();
        let expected =
            ["header set-cookie", "header x-internal-*", "trailer grpc-message", "trailer *", "body", "body"];
        assert_eq!(parts, expected);
        for rule in &rules {
            let again = read_of_responses(&format!("[{}]", rule_to_json(rule)));
            assert_eq!(again, (vec![rule.clone()], Vec::new()), "what is written is read again");
        }
    }

    #[test]
    fn mistakes_about_headers_are_reported_at_their_place() {
        let (rules, findings) = read_of_responses(
            "- {header: ':status', with: remove}\n- {header: Connection, with: remove}\n\
             - {trailer: 'x-*-id', with: remove}\n- {header: 'a b', with: remove}\n\
             - {header: a, field: b, with: remove}\n- {header: a, trailer: b, with: remove}\n\
             - {header: a, with: null}\n- {header: a, with: keep_type}\n\
             - {header: a, with: {redact: \"a\\nb\"}}\n- {header: a, with: hash, on_unmaskable: pass}\n\
             - {header: 7, with: hash}\n- {header: a}\n- {header: content-length, detect: card, with: redact}\n",
        );
        assert_eq!(rules, []);
        let places = findings.iter().map(|finding| finding.split(": ").take(2).collect::<Vec<_>>().join(" "));
        assert_eq!(
            places.collect::<Vec<_>>(),
            [
                "rules.yaml:1:12 error[invalid-header]",
                "rules.yaml:2:12 error[invalid-header]",
                "rules.yaml:3:13 error[invalid-header]",
                "rules.yaml:4:12 error[invalid-header]",
                "rules.yaml:5:22 error[several-places]",
                "rules.yaml:6:24 error[several-places]",
                "rules.yaml:7:21 error[invalid-mask-method]",
                "rules.yaml:8:21 error[invalid-mask-method]",
                "rules.yaml:9:21 error[invalid-mask-method]",
                "rules.yaml:10:42 error[invalid-mask-method]",
                "rules.yaml:11:12 error[wrong-type]",
                "rules.yaml:12:3 error[missing-field]",
                "rules.yaml:13:12 error[invalid-header]",
            ],
            "{findings:#?}"
        );
        assert!(findings[1].contains("`Connection` frames the message"), "{}", findings[1]);
        let (rules, findings) = read("- {header: a, with: remove}\n");
        assert!(
            rules.is_empty() && findings.iter().any(|f| f.contains("unknown field `header`")),
            "{findings:?}"
        );
    }
}
