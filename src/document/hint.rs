//! What to do about the parser's complaints, which are in the words of the YAML specification.

/// Advice for a file with `{{` in it, as Helm and others have.
pub const TEMPLATE: &str = "this looks like a template, by its `{{`: render it first, and give the result";

/// Advice for a message of the parser; `None` where the message says it all.
pub fn of(message: &str) -> Option<&'static str> {
    let hints = [
        ("tabs disallowed", "indent with spaces: YAML takes no tabs there"),
        ("did not find expected '-'", "indent the line like the fields of the same element above it"),
        (
            "mapping values are not allowed",
            "a value with `: ` in it must be in quotes; else the line is indented deeper than the one above it",
        ),
        ("trailing content after double-quoted", "put the whole value in single quotes: '\"a\" in b'"),
        ("indentation in multiline quoted", "a quote that is opened above is not closed"),
        ("illegal placement of ':'", "a `[` or `{` that is opened above is not closed"),
        ("unknown anchor", "a value that begins with `*` must be in quotes"),
        ("duplicate mapping key", "a field is given once; a list holds several values"),
        ("unclosed", "close the bracket, brace or quote"),
        ("unexpected end", "a bracket, brace or quote is not closed"),
    ];
    hints.into_iter().find(|(words, _)| message.contains(words)).map(|(_, hint)| hint)
}
