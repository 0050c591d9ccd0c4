//! The report of cases as JUnit XML, in the form that Jenkins, GitLab and GitHub's actions read.

use std::fmt::Write as _;

use crate::policy::cases::{CaseResult, Report};

/// `missed` says which coverage was asked for and not reached: one more test case, which fails.
pub fn report(report: &Report, missed: Option<&str>) -> String {
    let failed = report.failed() + usize::from(missed.is_some());
    let tests = report.results.len() + usize::from(missed.is_some());
    let counts =
        format!("name=\"portcullis policy test\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\"");
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _ = writeln!(text, "<testsuites {counts}>\n  <testsuite {counts} skipped=\"0\">");
    for result in &report.results {
        case(result, &mut text);
    }
    if let Some(missed) = missed {
        let unreached: Vec<_> =
            report.unreached.iter().map(|rule| format!("no case reaches {rule}")).collect();
        failing("coverage", "rules that cases reach", missed, &unreached.join("\n"), &mut text);
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn case(result: &CaseResult, text: &mut String) {
    if result.failures.is_empty() {
        let (class, name) = (escape(&result.place.file), escape(&result.case));
        let _ = writeln!(text, "    <testcase classname=\"{class}\" name=\"{name}\"/>");
        return;
    }
    let lines: Vec<_> = result.failures.iter().map(ToString::to_string).collect();
    let first = lines.first().map_or("", String::as_str);
    let place = format!("{}:{}:{}", result.place.file, result.place.line, result.place.column);
    let all = [lines.join("\n"), result.why.join("\n"), place].join("\n");
    failing(&result.place.file, &result.case, first, &all, text);
}

fn failing(class: &str, name: &str, message: &str, details: &str, text: &mut String) {
    let _ = write!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\">\n      <failure message=\"{}\" type=\"expectation\">{}</failure>\n    </testcase>\n",
        escape(class),
        escape(name),
        escape(message),
        escape(details)
    );
}

/// Escaped for XML; control characters, which XML 1.0 can't carry, become `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::diagnostic::Place;
    use crate::policy::cases::Failure;

    /// An element: its name, the attributes it must and may have, and what may stand in it.
    type Element = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

    /// What Jenkins' junit-10.xsd has for the elements that are used: attributes, required ones first, and children.
    const SCHEMA: [Element; 4] = [
        ("testsuites", &[], &["name", "time", "tests", "failures", "disabled", "errors"], &["testsuite"]),
        (
            "testsuite",
            &["name", "tests"],
            &["failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"],
            &["properties", "testcase", "system-out", "system-err"],
        ),
        (
            "testcase",
            &["name", "classname"],
            &["assertions", "time", "status"],
            &["skipped", "error", "failure", "system-out", "system-err"],
        ),
        ("failure", &[], &["type", "message"], &[]),
    ];

    /// Reads the XML by hand, checks each element against the schema, and counts the elements.
    fn validate(xml: &str) -> BTreeMap<String, usize> {
        let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
        let (mut open, mut counts) = (Vec::<String>::new(), BTreeMap::new());
        for tag in body.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap();
            assert!(!text.contains('>') && text.split('&').skip(1).all(|rest| rest.contains(';')), "{text}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
                continue;
            }
            let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let name = tag.split(' ').next().unwrap();
            let (_, required, optional, _) = SCHEMA.iter().find(|(known, ..)| *known == name).unwrap();
            if let Some(parent) = open.last() {
                let (.., children) = SCHEMA.iter().find(|(known, ..)| known == parent).unwrap();
                assert!(children.contains(&name), "{name} in {parent}");
            }
            let attributes: Vec<_> =
                tag.split("=\"").map(|part| part.rsplit([' ', '"']).next().unwrap()).collect();
            let attributes = &attributes[..attributes.len() - 1];
            assert!(required.iter().all(|name| attributes.contains(name)), "{tag}");
            assert!(
                attributes.iter().all(|name| required.contains(name) || optional.contains(name)),
                "{tag}"
            );
            *counts.entry(name.to_owned()).or_default() += 1;
            if !closed {
                open.push(name.to_owned());
            }
        }
        assert!(open.is_empty());
        counts
    }

    #[test]
    fn the_report_keeps_to_the_schema() {
        let place = Place { file: "a&b.cases.yaml".into(), line: 3, column: 5, offset: 0, len: 0 };
        let result = |failures: Vec<Failure>| CaseResult {
            case: "says \"<no>\" & \u{1b}more".into(),
            place: place.clone(),
            failures,
            why: vec!["p/a deny, with request.body = {\"a\":\"<b>\"}".into()],
        };
        let failure = Failure { what: "body".into(), expected: "<a>".into(), got: "\"b\"".into() };
        let results = vec![result(Vec::new()), result(vec![failure])];
        let given = Report { results, unreached: vec!["p/b".into()], rules: 2 };
        let counts = validate(&report(&given, Some("50% of 100%")));
        assert_eq!((counts["testcase"], counts["failure"]), (3, 2));
        let xml = report(&given, None);
        assert_eq!(validate(&xml)["testcase"], 2);
        assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{xml}");
        assert!(xml.contains("expected body `&lt;a&gt;`, got `&quot;b&quot;`"), "{xml}");
    }
}
