//! Findings as text for a person: message, place, the line it is about, and what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Severity, Sources};

/// All findings in the style of the Rust compiler, in the order given; colours only when `colour` is true.
pub fn human(findings: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in findings {
        text.push_str(&renderer.render(&[group(finding, sources)]));
        if let (None, Some(help)) = (&finding.place, &finding.help) {
            text.push_str(&format!("\n  = help: {help}"));
        }
        text.push_str("\n\n");
    }
    text
}

fn group<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code);
    let mut group = match &finding.place {
        Some(place) => match sources.text(&place.file) {
            Some(text) => {
                let start = floor(text, place.offset.min(text.len()));
                let end = floor(text, (place.offset + place.len.max(1)).min(text.len())).max(start);
                let annotation = AnnotationKind::Primary.span(start..end);
                title.element(Snippet::source(text).path(&*place.file).annotation(annotation))
            }
            None => title.element(annotate_snippets::Origin::path(&*place.file)),
        },
        None => Group::with_title(title),
    };
    // Without an excerpt the library would frame the help with a lone bar: `human` writes it.
    if let Some(help) = finding.help.as_ref().filter(|_| finding.place.is_some()) {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::Place;

    #[test]
    fn a_finding_without_a_place_has_no_frame() {
        let finding = Diagnostic::error("no-call", "there is no call").help("write `request:`");
        let shown = human(&[finding], &Sources::default(), false);
        assert_eq!(shown, "error[no-call]: there is no call\n  = help: write `request:`\n\n");
    }

    #[test]
    fn shows_the_line_and_the_help() {
        let (file, text): (Arc<str>, Arc<str>) = ("a.yaml".into(), "one: 1\ntwoo: 2\n".into());
        let mut sources = Sources::default();
        sources.add(&file, &text);
        let finding = Diagnostic::error("unknown-field", "unknown field `twoo`")
            .at(Place { file, line: 2, column: 1, offset: 7, len: 4 })
            .help("did you mean `two`?");
        let shown = human(&[finding], &sources, false);
        assert!(shown.contains("error[unknown-field]: unknown field `twoo`"), "{shown}");
        assert!(shown.contains("a.yaml:2:1"), "{shown}");
        assert!(shown.contains("^^^^"), "{shown}");
        assert!(shown.contains("did you mean `two`?"), "{shown}");
    }
}
