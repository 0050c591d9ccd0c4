//! Findings as text for a person: message, place, the line it is about, and what to do.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Place, Severity, Sources};
use crate::visible::{visible, visible_lines};

/// All findings in the style of the Rust compiler, in the order given; colours only when `colour` is true.
pub fn human(findings: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in findings {
        // What is quoted may be a stranger's: no terminal obeys it.
        let finding = &Diagnostic {
            message: said(&finding.message),
            help: finding.help.as_deref().map(said),
            ..finding.clone()
        };
        let source = finding.place.as_ref().map(|place| source(place, sources.text(&place.file)));
        text.push_str(&renderer.render(&[group(finding, source.as_ref())]));
        if let (None, Some(help)) = (&finding.place, &finding.help) {
            text.push_str(&format!("\n  = help: {help}"));
        }
        text.push_str("\n\n");
    }
    text
}

/// Words of ours, which may have several lines, with what they quote.
fn said(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// A place in a file, as it is shown.
struct Source {
    path: String,
    /// The text, and the bytes of it that a finding is about.
    excerpt: Option<(String, Range<usize>)>,
}

fn source(place: &Place, text: Option<&str>) -> Source {
    let excerpt = text.map(|text| {
        let start = floor(text, place.offset.min(text.len()));
        let end = floor(text, (place.offset + place.len.max(1)).min(text.len())).max(start);
        // As long as what stands before it is once it is shown.
        let shown = |end: usize| text.get(..end).map_or(0, |before| visible_lines(before).len());
        (visible_lines(text), shown(start)..shown(end))
    });
    Source { path: visible(&place.file), excerpt }
}

fn group<'a>(finding: &'a Diagnostic, source: Option<&'a Source>) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code);
    let mut group = match source {
        Some(Source { path, excerpt: Some((text, span)) }) => {
            let annotation = AnnotationKind::Primary.span(span.clone());
            title.element(Snippet::source(text.as_str()).path(path.as_str()).annotation(annotation))
        }
        Some(Source { path, excerpt: None }) => title.element(annotate_snippets::Origin::path(path.as_str())),
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
    use crate::visible::{is_deceptive, naughty};

    #[test]
    fn a_finding_without_a_place_has_no_frame() {
        let finding = Diagnostic::error("no-call", "there is no call").help("write `request:`");
        let shown = human(&[finding], &Sources::default(), false);
        assert_eq!(shown, "error[no-call]: there is no call\n  = help: write `request:`\n\n");
    }

    #[test]
    fn what_is_quoted_is_obeyed_by_no_terminal() {
        for text in naughty::strings() {
            let file: Arc<str> = format!("{text}.yaml").into();
            let source: Arc<str> = format!("one: {text}\n").into();
            let mut sources = Sources::default();
            sources.add(&file, &source);
            let place = Place { file, line: 1, column: 1, offset: 0, len: 3 };
            let placed = Diagnostic::error("unknown-field", format!("unknown field `{text}`")).help(&*text);
            for finding in [placed.clone().at(place), placed] {
                let shown = human(&[finding], &sources, false);
                assert!(!shown.chars().any(|c| is_deceptive(c) && c != '\n'), "{text:?} {shown:?}");
            }
        }
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
