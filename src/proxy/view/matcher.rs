//! Which calls a route takes, as far as method, host and path say.

use std::cell::OnceCell;

use regex::{Regex, RegexBuilder};

use crate::proxy::tree::At;

/// A compiled expression takes no more memory than this.
const REGEX_BYTES: usize = 1 << 20;

/// A route's `match`.
#[derive(Debug)]
pub(in crate::proxy) struct Matcher<'a> {
    path: Path<'a>,
    ignore_case: bool,
    methods: Vec<Text<'a>>,
    authorities: Vec<Text<'a>>,
    /// It also asks for what an example call does not have.
    conditional: bool,
}

#[derive(Debug)]
enum Path<'a> {
    Prefix(&'a str),
    Exact(&'a str),
    /// The path itself, and what follows it after a slash.
    Separated(&'a str),
    Regex(Pattern<'a>),
    /// `/v1/{id=*}/**`
    Template(&'a str),
    /// CONNECT requests, or of a form that is not known.
    Other,
}

/// A string matcher on a header that must be there.
#[derive(Debug)]
struct Text<'a> {
    form: Form<'a>,
    inverted: bool,
}

#[derive(Debug)]
enum Form<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    Regex(Pattern<'a>),
    Present,
    Other,
}

/// An expression, compiled when it is first asked.
#[derive(Debug)]
struct Pattern<'a> {
    text: &'a str,
    compiled: OnceCell<Option<Regex>>,
}

/// A call to try routes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Call {
    pub method: String,
    pub host: String,
    /// Without a query.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::proxy) enum Answer {
    No,
    /// It depends on more than method, host and path.
    Maybe,
    Yes,
}

impl<'a> Matcher<'a> {
    pub fn of(at: &At<'a>) -> Self {
        let mut matcher = Self {
            path: Path::of(at),
            ignore_case: at.get("case_sensitive").flag() == Some(false),
            methods: Vec::new(),
            authorities: Vec::new(),
            conditional: false,
        };
        for header in at.get("headers").items() {
            match header.get("name").text() {
                Some(":method") => matcher.methods.push(Text::of(&header)),
                Some(":authority" | "host") => matcher.authorities.push(Text::of(&header)),
                _ => matcher.conditional = true,
            }
        }
        let more = ["runtime_fraction", "query_parameters", "cookies", "grpc", "tls_context"];
        let more = more.into_iter().chain(["dynamic_metadata", "filter_state"]);
        matcher.conditional |= more.into_iter().any(|name| at.get(name).exists());
        matcher
    }

    pub fn takes(&self, call: &Call) -> Answer {
        let all = |texts: &[Text<'_>], value: &str| {
            texts.iter().map(|text| text.takes(value)).min().unwrap_or(Answer::Yes)
        };
        let path = self.path.takes(&call.path, self.ignore_case);
        if path == Answer::No {
            return path;
        }
        let own = if self.conditional { Answer::Maybe } else { Answer::Yes };
        path.min(all(&self.methods, &call.method)).min(all(&self.authorities, &call.host)).min(own)
    }

    /// The segments that every path it takes begins with, as far as they are certain; the last may go on.
    pub fn literal(&self) -> &'a str {
        match &self.path {
            Path::Prefix(text) | Path::Exact(text) | Path::Separated(text) => text,
            Path::Regex(pattern) => pattern.literal(),
            Path::Template(text) => text.split(['{', '*']).next().unwrap_or_default(),
            Path::Other => "",
        }
    }

    /// What it says of the path, as it is written.
    pub fn shown(&self) -> &'a str {
        match &self.path {
            Path::Prefix(text) | Path::Exact(text) | Path::Separated(text) | Path::Template(text) => text,
            Path::Regex(pattern) => pattern.text,
            Path::Other => "CONNECT",
        }
    }

    /// The one path that it takes, if it is so.
    pub fn is_exact(&self) -> bool {
        matches!(self.path, Path::Exact(_))
    }

    /// Whether only trying tells which paths it takes.
    pub fn is_opaque(&self) -> bool {
        matches!(self.path, Path::Regex(_) | Path::Other)
    }

    /// The methods that it names.
    pub fn methods(&self) -> impl Iterator<Item = &'a str> {
        self.methods.iter().filter_map(|text| match text.form {
            Form::Exact(method) if !text.inverted => Some(method),
            _ => None,
        })
    }
}

impl<'a> Path<'a> {
    fn of(at: &At<'a>) -> Self {
        let text = |name: &str| at.get(name).text();
        if let Some(prefix) = text("prefix") {
            return Self::Prefix(prefix);
        }
        if let Some(path) = text("path") {
            return Self::Exact(path);
        }
        if let Some(prefix) = text("path_separated_prefix") {
            return Self::Separated(prefix);
        }
        if let Some(pattern) = at.at(&["safe_regex", "regex"]).text() {
            return Self::Regex(Pattern::new(pattern));
        }
        let (name, policy) = at.at(&["path_match_policy", "typed_config"]).typed();
        match policy.get("path_template").text() {
            Some(template) if name.ends_with(".UriTemplateMatchConfig") => Self::Template(template),
            _ => Self::Other,
        }
    }

    fn takes(&self, path: &str, ignore_case: bool) -> Answer {
        let begins = |prefix: &str| match ignore_case {
            true => path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            false => path.starts_with(prefix),
        };
        let yes = match self {
            Self::Prefix(prefix) => begins(prefix),
            Self::Exact(exact) => path.len() == exact.len() && begins(exact),
            Self::Separated(prefix) => {
                let rest = path.get(prefix.len()..);
                begins(prefix) && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(pattern) => return pattern.takes(path),
            Self::Template(template) => fits(template, path),
            Self::Other => return Answer::Maybe,
        };
        if yes { Answer::Yes } else { Answer::No }
    }
}

/// Whether a path is of a template: `*` and `{name}` are a segment, `**` and `{name=**}` any number.
fn fits(template: &str, path: &str) -> bool {
    let mut path = path.split('/');
    let mut template = template.split('/');
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), _) if wanted.contains("**") => return true,
            (Some(wanted), Some(segment)) if wanted.contains(['*', '{']) => {
                if segment.is_empty() {
                    return false;
                }
            }
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
}

impl<'a> Text<'a> {
    fn of(header: &At<'a>) -> Self {
        let string = header.get("string_match");
        let both = |name: &str| string.get(name).text();
        let old = |name: &str| header.get(name).text();
        let form = if let Some(exact) = both("exact").or_else(|| old("exact_match")) {
            Form::Exact(exact)
        } else if let Some(prefix) = both("prefix").or_else(|| old("prefix_match")) {
            Form::Prefix(prefix)
        } else if let Some(suffix) = both("suffix").or_else(|| old("suffix_match")) {
            Form::Suffix(suffix)
        } else if let Some(pattern) = string.at(&["safe_regex", "regex"]).text() {
            Form::Regex(Pattern::new(pattern))
        } else if header.get("present_match").is_true() {
            Form::Present
        } else {
            Form::Other
        };
        Self { form, inverted: header.get("invert_match").is_true() }
    }

    fn takes(&self, value: &str) -> Answer {
        let yes = match &self.form {
            Form::Exact(exact) => value.eq_ignore_ascii_case(exact),
            Form::Prefix(prefix) => value.starts_with(prefix),
            Form::Suffix(suffix) => value.ends_with(suffix),
            Form::Regex(pattern) => match pattern.takes(value) {
                Answer::Maybe => return Answer::Maybe,
                answer => answer == Answer::Yes,
            },
            Form::Present => true,
            Form::Other => return Answer::Maybe,
        };
        if yes != self.inverted { Answer::Yes } else { Answer::No }
    }
}

impl<'a> Pattern<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, compiled: OnceCell::new() }
    }

    fn takes(&self, text: &str) -> Answer {
        let compile = || {
            let whole = format!("^(?:{})$", self.text);
            RegexBuilder::new(&whole).size_limit(REGEX_BYTES).build().ok()
        };
        match self.compiled.get_or_init(compile) {
            Some(regex) if regex.is_match(text) => Answer::Yes,
            Some(_) => Answer::No,
            None => Answer::Maybe,
        }
    }

    /// What comes before its first special character; an alternative anywhere leaves nothing certain.
    fn literal(&self) -> &'a str {
        if self.text.contains('|') {
            return "";
        }
        let special = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-' | '_' | '~' | '%');
        let end = self.text.find(special).unwrap_or(self.text.len());
        let counted = self.text.get(end..).is_some_and(|rest| rest.starts_with(['?', '*', '{']));
        // The character before `?` may be missing.
        let end = if counted { end.saturating_sub(1) } else { end };
        self.text.get(..end).unwrap_or_default()
    }
}
