//! `portcullis mask`: the masker on standard input, as it runs on a response.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Sources, render};
use crate::document::{Document, Node, Reader, Value};
use crate::mask::{Format, HashKey, Limits, Masker, Plan, Rule, Unmaskable, rules_from_node};

/// Mask a body: standard input to standard output, as it streams.
///
/// Exits with 1, and the reason on standard error, when the body can't be masked safely; what was written until
/// then holds nothing that a rule takes.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  echo '{\"card\": \"4111111111111234\"}' | portcullis mask --rules masks.yaml\n\n\
                        where masks.yaml says\n  - {field: \"**.card\", with: last4}"
)]
pub struct Args {
    /// A YAML file with the rules: a list, or a map with the list `mask`
    #[arg(long, value_name = "FILE")]
    pub rules: PathBuf,

    /// The body's content type
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub content_type: String,

    /// The body's content encoding: `identity`, `gzip`, `deflate`, `br` or `zstd`; what is written has it too
    #[arg(long, value_name = "ENCODING", default_value = "identity")]
    pub content_encoding: String,

    /// The key of the method `hash`; without it a random one, whose hashes agree within this body only
    #[arg(long, value_name = "FILE")]
    pub hash_key_file: Option<PathBuf>,
}

/// Why the command stops.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    /// Findings in the rules, ready to be shown.
    #[error("{0}")]
    Rules(String),
    #[error("the body can't be masked: {0} ({code})", code = .0.code())]
    Unmaskable(#[from] Unmaskable),
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub fn run(args: &Args) -> ExitCode {
    match mask(args, &mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match &failure {
                Failure::Rules(findings) => anstream::eprint!("{findings}"),
                // Whoever read the output wants no more of it.
                Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => anstream::eprintln!("error: {other}"),
            }
            failure.exit_code()
        }
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Rules(_) => ExitCode::from(2),
            Self::Unmaskable(_) | Self::Io(_) => ExitCode::from(1),
        }
    }
}

fn mask(args: &Args, input: &mut impl Read, output: &mut impl Write) -> Result<(), Failure> {
    let rules = read_rules(&args.rules)?;
    let plan = Arc::new(Plan::compile(&rules, &read_hash_key(args.hash_key_file.as_deref())?));
    let (format, encoding) = Format::of_body(&args.content_type, &args.content_encoding)?;
    let limits = Limits::default();
    let mut masker = Masker::new(plan, format, limits);
    if let Some(encoding) = encoding {
        masker = masker.in_encoding(encoding, &limits)?;
    }
    let (mut chunk, mut masked) = (vec![0; 64 << 10], Vec::new());
    loop {
        let read = match input.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        masked.clear();
        match chunk.get(..read) {
            Some([]) | None => {
                masker.finish(&mut masked)?;
                output.write_all(&masked)?;
                return Ok(output.flush()?);
            }
            Some(bytes) => masker.push(bytes, &mut masked)?,
        }
        output.write_all(&masked)?;
        output.flush()?;
    }
}

fn read_rules(path: &Path) -> Result<Vec<Arc<Rule>>, Failure> {
    let text: Arc<str> = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?.into();
    let file: Arc<str> = path.display().to_string().into();
    let mut sources = Sources::default();
    sources.add(&file, &text);
    let shown = |findings: &[Diagnostic]| Failure::Rules(render::human(findings, &sources, true));
    let document = Document::parse(&file, &text).map_err(|finding| shown(&[finding]))?;
    let mut reader = Reader::new(&file);
    let rules = match document.roots.as_slice() {
        [root] => read_root(root, &mut reader),
        _ => {
            reader
                .findings
                .push(Diagnostic::error("no-rules", format!("`{file}` must hold one list of mask rules")));
            Vec::new()
        }
    };
    if reader.findings.is_empty() {
        Ok(rules.into_iter().map(Arc::new).collect())
    } else {
        Err(shown(&reader.findings))
    }
}

/// A list of rules, or a map with the list `mask`.
fn read_root(root: &Node, reader: &mut Reader) -> Vec<Rule> {
    if !matches!(root.value, Value::Map(_)) {
        return rules_from_node(root, reader);
    }
    let Some(mut fields) = reader.fields(root, "the file") else { return Vec::new() };
    let list = fields.required("mask", reader);
    fields.close(reader);
    list.map(|list| rules_from_node(list, reader)).unwrap_or_default()
}

fn read_hash_key(path: Option<&Path>) -> Result<HashKey, Failure> {
    let key = match path {
        Some(path) => HashKey::from_file(&std::fs::read(path).map_err(|error| unreadable(path, &error))?),
        None => HashKey::random(),
    };
    key.map_err(|error| Failure::Usage(error.to_string()))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("`{}` can't be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the command; the bytes written, and the failure's text and exit code.
    fn run_with(
        rules: &str,
        change: impl FnOnce(&mut Args),
        body: &[u8],
    ) -> (String, Option<(String, ExitCode)>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("masks.yaml");
        std::fs::write(&file, rules).unwrap();
        let mut args = Args {
            rules: file,
            content_type: "application/json".to_owned(),
            content_encoding: "identity".to_owned(),
            hash_key_file: None,
        };
        change(&mut args);
        let mut output = Vec::new();
        let failure = mask(&args, &mut { body }, &mut output).err();
        let failure = failure.map(|failure| (failure.to_string(), failure.exit_code()));
        (String::from_utf8(output).unwrap(), failure)
    }

    #[test]
    fn the_arguments_are_sound() {
        <Args as clap::Args>::augment_args(clap::Command::new("mask")).debug_assert();
    }

    #[test]
    fn masks_by_a_list_or_a_map() {
        for rules in ["- {field: a, with: redact}\n", "mask:\n  - {field: a, with: redact}\n"] {
            assert_eq!(
                run_with(rules, |_| {}, b"{\"a\":1}\n"),
                ("{\"a\":\"[redacted]\"}\n".to_owned(), None)
            );
        }
        let sse = |args: &mut Args| args.content_type = "text/event-stream".to_owned();
        let (masked, failure) = run_with("- {field: a, with: null}", sse, b"data: {\"a\":1}\n\n");
        assert_eq!((masked.as_str(), failure), ("data: {\"a\":null}\n\n", None));
    }

    #[test]
    fn bodies_that_can_not_be_masked_exit_with_1() {
        let rules = "- {field: a, with: hash}\n";
        let gzip: fn(&mut Args) = |args| args.content_encoding = "gzip".to_owned();
        let nested: fn(&mut Args) = |args| args.content_encoding = "gzip, br".to_owned();
        let html: fn(&mut Args) = |args| args.content_type = "text/html".to_owned();
        let text: fn(&mut Args) = |args| args.content_type = "text/plain".to_owned();
        let none: fn(&mut Args) = |_| {};
        for (change, code) in [
            (gzip, "(invalid_encoding)"),
            (nested, "(nested_encoding)"),
            (html, "(unknown_format)"),
            (text, "(fields_in_text)"),
            (none, "(invalid_json)"),
        ] {
            let (output, failure) = run_with(rules, change, b"{\"a\":\"secret\"");
            let (message, exit) = failure.unwrap();
            assert!(message.contains(code), "{message}");
            assert_eq!(exit, ExitCode::from(1));
            assert!(!output.contains("secret"));
        }
    }

    #[test]
    fn bad_rules_and_keys_exit_with_2() {
        let none: fn(&mut Args) = |_| {};
        let no_file: fn(&mut Args) = |args| args.rules = "/nonexistent/masks.yaml".into();
        let short_key: fn(&mut Args) = |args| {
            let key = args.rules.with_file_name("key");
            std::fs::write(&key, "short\n").unwrap();
            args.hash_key_file = Some(key);
        };
        let table = [
            ("- {field: 'a[-1]', with: hash}\n- {field: a, with: hide}", none, "unknown mask method `hide`"),
            ("- {field: 'a[-1]', with: hash}\n- {field: a, with: hide}", none, "counts from 0"),
            ("masks: []\n", none, "did you mean `mask`?"),
            ("5", none, "must be a list"),
            ("", none, "one list of mask rules"),
            ("- [", none, "error[invalid-yaml]"),
            ("[]", no_file, "can't be read"),
            ("[]", short_key, "needs at least 16"),
        ];
        for (rules, change, part) in table {
            let (output, failure) = run_with(rules, change, b"{}");
            let (message, exit) = failure.unwrap();
            let message = anstream::adapter::strip_str(&message).to_string();
            assert!(message.contains(part), "{rules}: {message}");
            assert_eq!(exit, ExitCode::from(2));
            assert_eq!(output, "");
        }
    }

    #[test]
    fn a_key_file_makes_hashes_last() {
        let hash = || {
            let with_key = |args: &mut Args| {
                let key = args.rules.with_file_name("key");
                std::fs::write(&key, "0123456789abcdef\n").unwrap();
                args.hash_key_file = Some(key);
            };
            run_with("- {field: a, with: hash}", with_key, b"{\"a\":1}").0
        };
        assert_eq!(hash(), hash());
        let random = || run_with("- {field: a, with: hash}", |_| {}, b"{\"a\":1}").0;
        assert_ne!(random(), random());
    }
}
