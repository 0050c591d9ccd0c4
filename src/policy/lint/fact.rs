//! What is known of attributes before there is a call: the forms that their values always have. A test that asks for
//! another form is never true.

use std::net::Ipv6Addr;

use ipnet::IpNet;

use super::formula::{Constant, Question, Test};
use super::show::quoted;
use crate::policy::cel::{Attribute, Type};
use crate::request::Path;

/// The least and greatest value of a number.
pub fn range(subject: &str) -> Option<(f64, f64)> {
    match subject {
        "source.port" | "destination.port" => Some((0.0, 65_535.0)),
        "response.code" => Some((0.0, 999.0)),
        "request.size" => Some((0.0, f64::INFINITY)),
        _ if subject.starts_with("size(") || subject.ends_with(".size()") => Some((0.0, f64::INFINITY)),
        _ => None,
    }
}

/// Why the test can't be true, whatever the call; `None` when it may be.
pub fn impossible(subject: &str, test: &Test) -> Option<String> {
    if test.negated {
        return None;
    }
    match &test.question {
        Question::OneOf(constants) => {
            let reasons: Option<Vec<_>> =
                constants.iter().map(|constant| no_value(subject, constant)).collect();
            reasons?.into_iter().next()
        }
        Question::StartsWith(part) => no_part(subject, part, Part::Start),
        Question::EndsWith(part) => no_part(subject, part, Part::End),
        Question::Contains(part) => no_part(subject, part, Part::Middle),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Start,
    Middle,
    End,
}

/// Why the attribute never has this value.
fn no_value(subject: &str, constant: &Constant) -> Option<String> {
    let text = match constant {
        Constant::Text(text) => text,
        Constant::Number(number) => {
            let (low, high) = range(subject)?;
            let outside = *number < low || *number > high || number.fract() != 0.0;
            return outside.then(|| format!("`{subject}` is a whole number, {low} to {high}"));
        }
        Constant::Null => return never_null(subject),
        Constant::Bool(_) => return None,
    };
    match subject {
        "request.path" => (Path::parse(text.clone()).1).map(|reason| path_refused(text, reason.as_str())),
        "request.url_path" => {
            let (path, defect) = Path::parse(text.clone());
            if let Some(reason) = defect {
                return Some(path_refused(text, reason.as_str()));
            }
            if text.contains('?') {
                return Some(
                    "`request.url_path` has no query; `request.params` and `request.query` have it".into(),
                );
            }
            let normal = path.url_path();
            (normal != text).then(|| format!("the path is normalised: write {}", quoted(normal)))
        }
        "request.host" => {
            let address = text.parse::<Ipv6Addr>().is_ok();
            let wrong = (text.contains(':') && !address) || text.ends_with('.') && text.len() > 1;
            wrong.then(host_form).or_else(|| no_part(subject, text, Part::Middle))
        }
        "source.address" | "destination.address" => {
            let network = text.contains('/') && text.parse::<IpNet>().is_ok();
            network.then(|| format!("{} is a network, and an address never equals one", quoted(text)))
        }
        "identity.spiffe" if text.is_empty() => None,
        _ => no_part(subject, text, Part::Start),
    }
}

/// Why the attribute is never null: only values from JSON are.
fn never_null(subject: &str) -> Option<String> {
    let header = |map: &str| subject.strip_prefix(map).is_some_and(|rest| rest.starts_with(['.', '[']));
    if ["request.headers", "response.headers", "context", "request.params"].into_iter().any(header) {
        let (map, key) = subject.split_once('[').map(|(map, key)| (map, key.trim_end_matches(']'))).unzip();
        let asked = map
            .zip(key)
            .map_or_else(|| format!("`has({subject})`"), |(map, key)| format!("`{key} in {map}`"));
        return Some(format!("what is not there is no null, but an error: {asked} asks whether it is there"));
    }
    let (namespace, field) = subject.split_once('.')?;
    let attribute = Attribute::of_field(namespace, field)?;
    (attribute.ty() != Type::Dyn).then(|| match attribute.ty() {
        Type::Text => {
            format!("`{subject}` is a text, and never null; `{subject} != \"\"` asks whether it is empty")
        }
        _ => format!("`{subject}` is never null"),
    })
}

/// Why the attribute never has this part. What holds of any part holds of the whole.
fn no_part(subject: &str, part: &str, place: Part) -> Option<String> {
    let capital = part.chars().any(|c| c.is_ascii_uppercase());
    match subject {
        "request.method" => {
            let small = part.chars().any(|c| c.is_ascii_lowercase());
            small
                .then(|| "methods are in capital letters; others are refused before any rule is asked".into())
        }
        "request.host" => (capital || part.contains('/')).then(host_form),
        "request.path" | "request.url_path" => no_path_part(subject, part, place),
        "identity.method" => capital.then(|| "its values are in small letters, as in `jwt`".into()),
        "identity.spiffe" => {
            let scheme = "spiffe://";
            let other = place == Part::Start && !part.starts_with(scheme) && !scheme.starts_with(part);
            other.then(|| "a SPIFFE id begins with `spiffe://`".into())
        }
        "grpc.service" | "grpc.method" => part
            .contains('/')
            .then(|| "service and method are apart: `grpc.service` and `grpc.method`".into()),
        _ => None,
    }
}

fn no_path_part(subject: &str, part: &str, place: Part) -> Option<String> {
    if place == Part::Start && !part.is_empty() && !part.starts_with('/') {
        return Some("a path begins with `/`".into());
    }
    if subject == "request.path" {
        return None;
    }
    if part.contains('?') {
        return Some("`request.url_path` has no query; `request.params` and `request.query` have it".into());
    }
    let refused = ["//", "/../", "/./", "\\", ";", "#", " "].into_iter().find(|text| part.contains(*text));
    refused.map(|text| format!("paths with `{text}` are refused before any rule is asked"))
}

fn path_refused(text: &str, reason: &str) -> String {
    if text.starts_with('/') {
        format!("the path {} is refused (`{reason}`) before any rule is asked", quoted(text))
    } else {
        "a path begins with `/`".into()
    }
}

fn host_form() -> String {
    "the host is in small letters, without scheme, port and last dot".into()
}

#[cfg(test)]
mod tests {
    use super::super::formula::Formula;
    use super::super::solve::{conflict, cubes};

    fn never(text: &str) -> Option<String> {
        let cubes = cubes(&Formula::parse(text).unwrap()).unwrap();
        cubes.iter().find_map(|cube| conflict(cube)).and_then(|conflict| conflict.why)
    }

    #[test]
    fn forms_that_attributes_never_have_are_known() {
        for (text, why) in [
            ("request.method == 'get'", "capital"),
            ("request.method in ['get', 'post']", "capital"),
            ("request.host == 'API.example.com'", "small letters"),
            ("request.host == 'api.example.com:8443'", "port"),
            ("request.host.endsWith('.Example.com')", "small letters"),
            ("request.url_path == 'v1/orders'", "begins with"),
            ("request.url_path == '/v1/orders?x=1'", "no query"),
            ("request.url_path == '/a/../b'", "path_ambiguous"),
            ("request.url_path == '/a%2fb'", "path_ambiguous"),
            ("request.url_path == '/%61'", "write \"/a\""),
            ("request.url_path == '/caf%c3%a9'", "write \"/caf%C3%A9\""),
            ("request.url_path.startsWith('admin')", "begins with"),
            ("request.path.startsWith('admin')", "begins with"),
            ("source.address == '10.0.0.0/8'", "network"),
            ("identity.spiffe == 'ns/shop/sa/web'", "spiffe://"),
            ("identity.method == 'JWT'", "small letters"),
            ("grpc.service == 'a.B/C'", "apart"),
            ("source.port == 70000", "65535"),
            ("identity.subject == null", "is a text, and never null"),
            ("identity.groups == null", "never null"),
            ("request.headers['X-A'] == null", "`\"x-a\" in request.headers` asks"),
            ("request.headers.a == null", "`has(request.headers.a)` asks"),
            ("context.a == null", "`has(context.a)` asks"),
        ] {
            let found = never(text);
            assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{text}: {found:?}");
        }
    }

    #[test]
    fn forms_that_may_come_are_left_alone() {
        for text in [
            "request.method == 'M-SEARCH'",
            "request.method in ['get', 'GET']",
            "request.host == '::1' || request.host.endsWith('.example.com')",
            "request.url_path == '/' || request.url_path == '/a/' || request.url_path.endsWith('.JPG')",
            "request.url_path.contains('..') || request.path.contains('?')",
            "request.path == '/a?b=//'",
            "source.address == '10.0.0.1' || source.address.startsWith('10.')",
            "identity.spiffe.startsWith('spiffe://example.org/') || identity.spiffe == ''",
            "identity.subject == 'Ana'",
            "request.method != 'get'",
            "identity.claims.a == null || request.body == null || request.body.a == null",
            "metadata.a == null || input.a == null",
        ] {
            let cubes = cubes(&Formula::parse(text).unwrap()).unwrap();
            assert!(cubes.iter().all(|cube| conflict(cube).is_none()), "{text}");
        }
    }
}
