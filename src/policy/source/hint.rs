//! Advice for mistakes whose message says what is wrong, and not what to write instead: what people bring along from
//! other languages, mostly.

use crate::diagnostic::{Diagnostic, closest};

/// Adds advice to a finding in `text` that has none.
pub fn add(finding: &mut Diagnostic, text: &str) {
    let at = finding.place.as_ref().map_or(text.len(), |place| place.offset);
    let (before, rest) = (text.get(..at).unwrap_or_default(), text.get(at..).unwrap_or_default());
    // What stands behind a `-` may happen to be like another name.
    if finding.code == "unknown-name"
        && let Some(help) = hyphenated(before, rest)
    {
        finding.help = Some(help);
    }
    if finding.help.is_some() {
        return;
    }
    let message = finding.message.as_str();
    finding.help = match finding.code {
        "unknown-function" => quoted(message).and_then(function),
        "unknown-name" => quoted(message).and_then(name),
        "invalid-expression" => asked_entry(message, before, rest),
        "type-mismatch" => types(message, rest),
        "invalid-pattern" => pattern(message),
        "wrong-type" => kind(message, rest),
        "invalid-name" => Some("join its words with `-`".into()),
        _ => None,
    };
}

/// What the message has in backticks first.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

fn function(name: &str) -> Option<String> {
    let meant = match name {
        "any" | "some" => "list.exists(x, ...)",
        "every" => "list.all(x, ...)",
        "len" | "length" | "count" => "size(x)",
        "lower" | "toLower" | "toLowerCase" | "lowercase" => "text.lowerAscii()",
        "upper" | "toUpper" | "toUpperCase" | "uppercase" => "text.upperAscii()",
        "match" | "regex" | "regexMatch" | "re_match" => "text.matches(\"...\")",
        "includes" | "has_any" | "hasAny" | "in" => "value in list",
        "startswith" | "starts_with" | "hasPrefix" => "text.startsWith(\"...\")",
        "endswith" | "ends_with" | "hasSuffix" => "text.endsWith(\"...\")",
        "now" => "request.time",
        _ => {
            let known = ["size", "startsWith", "endsWith", "contains", "matches", "lowerAscii", "upperAscii"];
            return closest(name, known).map(|meant| format!("did you mean `{meant}`?"));
        }
    };
    Some(format!("write `{meant}`"))
}

/// An entry of a map whose name has a `-`, which CEL takes for a minus.
fn hyphenated(before: &str, rest: &str) -> Option<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let start = before.rfind(|c| !part(c)).map_or(0, |at| at + 1);
    let end = rest.find(|c: char| !(part(c) && c != '.')).unwrap_or(rest.len());
    let whole = format!("{}{}", before.get(start..)?, rest.get(..end)?);
    let (map, key) = whole.rsplit_once('.')?;
    let plain = !map.contains('-') && key.contains('-');
    let known = ["request.headers", "response.headers", "identity.claims", "context"];
    let known = known.into_iter().any(|known| map.starts_with(known));
    (plain && known).then(|| {
        format!(
            "`-` is a minus here: write `{map}[\"{key}\"]`; `\"{key}\" in {map}` asks whether it is there"
        )
    })
}

/// `has()` of an entry that is named in brackets, or with a `-`.
fn asked_entry(message: &str, before: &str, rest: &str) -> Option<String> {
    if !message.contains("has() macro") {
        return None;
    }
    let start = before.rfind("has(")? + "has(".len();
    let asked = format!("{}{}", before.get(start..)?, rest.split(')').next()?);
    let (map, key) = asked.split_once('[').or_else(|| asked.rsplit_once('.'))?;
    let key = key.trim_end_matches(']').trim_matches(['"', '\'']);
    Some(format!("`has()` takes `a.b`; write `\"{key}\" in {map}`"))
}

fn name(name: &str) -> Option<String> {
    if let Some(field) = name.strip_prefix("identity.") {
        return Some(match field {
            "roles" | "role" | "group" => {
                format!(
                    "did you mean `identity.groups`? other claims of the token are `identity.claims.{field}`"
                )
            }
            "id" | "name" | "user" | "sub" => "did you mean `identity.subject`?".into(),
            _ => format!("did you mean `identity.claims.{field}`? that is what the token says"),
        });
    }
    let capitals = name.len() > 1 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if capitals {
        return Some(format!("a text stands in quotes: `\"{name}\"`"));
    }
    let meant = match name {
        "user" | "caller" | "principal" | "subject" | "auth" | "client" | "who" => "identity",
        "jwt" | "token" | "claim" => "identity.claims",
        "roles" | "role" | "group" => "identity.groups",
        "req" | "http" | "attributes" => "request",
        "resp" | "res" => "response",
        "True" => "true",
        "False" => "false",
        "nil" | "None" | "undefined" => "null",
        _ => return None,
    };
    Some(format!("did you mean `{meant}`?"))
}

fn types(message: &str, rest: &str) -> Option<String> {
    if message.starts_with("`in` can't take") && message.contains("net.CIDR") {
        return Some("write `cidr(\"10.0.0.0/8\").containsIP(source.address)`".into());
    }
    if rest.starts_with("request.query.") || rest.starts_with("request.query[") {
        let help = "`request.query` is the whole text; `request.params.NAME` lists a parameter's values, as in `\"x\" in request.params.NAME`";
        return Some(help.into());
    }
    if message.contains("list(string) and a string") && rest.starts_with("request.params") {
        let help =
            "a parameter may come several times, so its values are a list: `\"x\" in request.params.NAME`";
        return Some(help.into());
    }
    let list_and_text =
        message.contains("list(string) and a string") || message.contains("string and a list(string)");
    if message.starts_with("`contains` can't take a list") || (message.starts_with("`==`") && list_and_text) {
        return Some("`in` asks whether a list has an element: `\"staff\" in identity.groups`".into());
    }
    let text_and_number =
        message.contains("string") && (message.contains(" int") || message.contains("double"));
    text_and_number.then(|| {
        "a text and a number don't compare: add or drop the quotes, or convert with `int(...)`".into()
    })
}

fn pattern(message: &str) -> Option<String> {
    let pattern = quoted(message)?;
    if pattern.contains("://") {
        let host = pattern.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next());
        return host.map(|host| format!("write the host alone: `{host}`"));
    }
    if message.contains("mixes text with a wildcard") {
        return Some("`{name}` or `{*}` stands for one segment, a last `{**}` for all that is left".into());
    }
    if message.contains("methods are written in capitals") {
        return Some(format!("write `{}`", pattern.to_ascii_uppercase()));
    }
    (message.contains("begins with `/`")).then(|| format!("write `/{pattern}`"))
}

fn kind(message: &str, rest: &str) -> Option<String> {
    if message.starts_with("`approvers` must be a map") {
        return Some("write `approvers: {groups: [NAME]}`, or `{people: [NAME]}`".into());
    }
    if message.contains("must be a list, not a string") {
        let value: String = rest.chars().take_while(|c| !"\n}],#".contains(*c)).collect();
        return Some(format!("put it in brackets: `[{}]`", value.trim_end()));
    }
    message.contains("must be a list, not a map").then(|| "begin each element with `- `".into())
}
