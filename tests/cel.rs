//! Conformance with the CEL specification: the cases of `tests/cel/`, one file for each of its sections.
//!
//! A line is `expression => literal`, `expression => error` (it has no value) or `expression => refused` (it does not
//! load). A line `= {..}` gives the `input` of those below it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests panic")]

use std::fs;
use std::path::Path;

use portcullis::policy::cel::{Environment, Expression, Scope, Value};
use serde_json::Value as Json;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cel");

/// A literal's value, with its type: `1` and `1u` are equal in CEL, but not the same.
fn shown(value: &Value<'_>) -> String {
    let parts = match value {
        Value::Optional(Some(value)) => shown(value),
        _ => match (value.list_len(), value.keys()) {
            (Some(len), _) => (0..len).map(|i| shown(&value.at(i).unwrap())).collect::<Vec<_>>().join(", "),
            (None, Some(keys)) => {
                let entry = |key| format!("{}: {}", shown(key), shown(&value.entry(key).unwrap().unwrap()));
                let mut entries: Vec<_> = keys.iter().map(entry).collect();
                entries.sort_unstable();
                entries.join(", ")
            }
            (None, None) => value.to_json().to_string(),
        },
    };
    format!("{}({parts})", value.type_name())
}

/// What becomes of an expression: its value, `error` or `refused`, and what was said about it.
fn outcome(text: &str, input: &Json) -> (String, String) {
    let environment = Environment { captures: &[], input: true };
    let expression = match Expression::compile(text, &environment) {
        Ok(expression) => expression,
        Err(mistakes) => {
            let said = mistakes.iter().map(|mistake| mistake.finding.to_string()).collect::<Vec<_>>();
            return ("refused".into(), said.join("; "));
        }
    };
    let scope = Scope::empty().with_input(input);
    match expression.evaluate(&scope) {
        Ok(value) => (shown(&value), String::new()),
        Err(error) => ("error".into(), error.to_string()),
    }
}

/// The cases of a file that come out otherwise, and how many it has.
fn differences(name: &str, text: &str) -> (Vec<String>, usize) {
    let mut input = Json::Object(serde_json::Map::new());
    let (mut differences, mut count) = (Vec::new(), 0);
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        if let Some(json) = line.strip_prefix("= ") {
            input = serde_json::from_str(json).unwrap();
            continue;
        }
        let Some((expression, wanted)) = line.rsplit_once(" => ").filter(|_| !line.starts_with("# ")) else {
            assert!(line.starts_with('#'), "{name}:{}: not a case: {line}", number + 1);
            continue;
        };
        count += 1;
        let wanted = match wanted {
            "error" | "refused" => wanted.to_owned(),
            literal => outcome(literal, &Json::Null).0,
        };
        let (found, said) = outcome(expression, &input);
        if found != wanted {
            differences.push(format!(
                "{name}:{}: {expression}\n  wanted {wanted}\n  found  {found} {said}",
                number + 1
            ));
        }
    }
    (differences, count)
}

#[test]
fn every_case_of_the_specification_comes_out_as_it_says() {
    let (mut differing, mut count) = (Vec::new(), 0);
    let mut files: Vec<_> =
        fs::read_dir(Path::new(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (found, cases) = differences(&name, &fs::read_to_string(&path).unwrap());
        differing.extend(found);
        count += cases;
    }
    assert!(differing.is_empty(), "{} of {count} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(count > 900, "only {count} cases were read");
}

#[test]
fn a_case_that_comes_out_otherwise_is_told() {
    let (differences, count) = differences("made-up", "1 + 1 => 3\n1 => 1u\n1 / 0 => 0\n1 => error\n1 => 1");
    assert_eq!((differences.len(), count), (4, 5));
}

/// The fenced blocks of examples in the documentation.
fn examples(text: &str) -> String {
    text.split("```cel\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_example_in_the_documentation_comes_out_as_it_says() {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cel.md")).unwrap();
    let (differing, count) = differences("docs/cel.md", &examples(&document));
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(count > 150, "only {count} examples were read");
}

#[test]
fn everything_on_the_list_of_what_is_not_supported_is_refused() {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cel.md")).unwrap();
    let (_, list) = document.split_once("## What is not supported").unwrap();
    let (list, _) = list.split_once("\n## ").unwrap();
    let entries: Vec<_> = examples(list).lines().map(str::to_owned).collect();
    assert!(entries.len() >= 20 && entries.iter().all(|entry| entry.ends_with(" => refused")), "{entries:?}");
    let (differing, _) = differences("docs/cel.md", &entries.join("\n"));
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
