//! `portcullis mask`: the masker on standard input, as it runs on a response.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Sources, render};
use crate::document::{Document, Node, Reader, Value};
use crate::mask::{
    self, Encoding, Format, Framing, Grpc, Guarded, HashKey, Limits, Masker, OnUnmaskable, Plan, Rule,
    Schema, UnknownFields, Unmaskable, rules_from_node,
};

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

    /// The messages of gRPC services, for their content types: as `protoc --include_imports --descriptor_set_out` writes
    /// them
    #[arg(long, value_name = "FILE", requires = "grpc_method")]
    pub descriptor_set: Option<PathBuf>,

    /// The call that the body answers: `/package.Service/Method`
    #[arg(long, value_name = "PATH", requires = "descriptor_set")]
    pub grpc_method: Option<String>,

    /// The `grpc-encoding` of the messages that are flagged as compressed
    #[arg(long, value_name = "ENCODING", default_value = "identity")]
    pub grpc_encoding: String,

    /// What happens to fields that the descriptor set does not know: `drop`, `pass` or `block`
    #[arg(long, value_name = "WHAT", default_value = "drop", value_parser = unknown_fields)]
    pub unknown_fields: UnknownFields,

    /// The key of the method `hash`; without it a random one, whose hashes agree within this body only
    #[arg(long, value_name = "FILE")]
    pub hash_key_file: Option<PathBuf>,

    /// The key's id, as in `mask.hash_keys`; without it one made of the key
    #[arg(long, value_name = "ID", requires = "hash_key_file")]
    pub hash_key_id: Option<String>,
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
    let plan = Arc::new(Plan::compile(&rules, &read_hash_key(args)?));
    let (mut masker, mut given_up) = guarded(args, plan, OnUnmaskable::of(&rules))?;
    let (mut chunk, mut masked) = (vec![0; 64 << 10], Vec::new());
    loop {
        let read = match input.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        masked.clear();
        let bytes = chunk.get(..read).unwrap_or_default();
        match bytes {
            [] => masker.finish(&mut masked)?,
            bytes => masker.push(bytes, &mut masked)?,
        }
        if let Some((done, why)) = given_up.take().or_else(|| masker.take_given_up()) {
            let done = done.name();
            anstream::eprintln!(
                "warning: the body can't be masked: {why} ({}): `on_unmaskable: {done}`",
                why.code()
            );
        }
        output.write_all(&masked)?;
        output.flush()?;
        if bytes.is_empty() {
            return Ok(());
        }
    }
}

/// The masker, and what is done from the first byte on where the body is of no form that can be masked.
fn guarded(
    args: &Args,
    plan: Arc<Plan>,
    on_unmaskable: OnUnmaskable,
) -> Result<(Guarded, Option<(OnUnmaskable, Unmaskable)>), Failure> {
    let why = match masker(args, plan) {
        Ok((masker, text)) => return Ok((Guarded::new(masker, on_unmaskable, text), None)),
        Err(Failure::Unmaskable(why)) => why,
        Err(other) => return Err(other),
    };
    match on_unmaskable {
        OnUnmaskable::Pass => Ok((Guarded::passed(), Some((on_unmaskable, why)))),
        OnUnmaskable::RedactAll if !is_grpc(&args.content_type) => {
            let format = Format::of_content_type(&args.content_type).unwrap_or(Format::Text);
            Ok((Guarded::replaced(mask::redacted(format, None)?), Some((on_unmaskable, why))))
        }
        OnUnmaskable::Block | OnUnmaskable::RedactAll => Err(why.into()),
    }
}

/// The masker, and what can take the place of the whole body: nothing can that of messages.
fn masker(args: &Args, plan: Arc<Plan>) -> Result<(Masker, Option<Vec<u8>>), Failure> {
    let limits = Limits::default();
    let (masker, encoding, text) = match Framing::of_content_type(&args.content_type) {
        Some(framing) => {
            let grpc = grpc(args, framing)?;
            let encoding = Encoding::of_header(&args.content_encoding)?;
            (Masker::grpc(plan, &grpc, limits), encoding, None)
        }
        None => {
            let (format, encoding) = Format::of_body(&args.content_type, &args.content_encoding)?;
            (Masker::new(plan, format, limits), encoding, mask::redacted(format, encoding).ok())
        }
    };
    let masker = match encoding {
        None => masker,
        Some(encoding) => masker.in_encoding(encoding, &limits)?,
    };
    Ok((masker, text))
}

/// What is to be known of the call.
fn grpc(args: &Args, framing: Framing) -> Result<Grpc, Failure> {
    let (Some(path), Some(method)) = (&args.descriptor_set, &args.grpc_method) else {
        let message = "a body of gRPC needs `--descriptor-set` and `--grpc-method`, which name its fields";
        return Err(Failure::Usage(message.to_owned()));
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let schema = Schema::decode(&bytes)
        .map_err(|error| Failure::Usage(format!("`{}` can't be used: {error}", path.display())))?;
    let message = schema.answer_of(method).ok_or_else(|| {
        let path = path.display();
        Failure::Usage(format!("`{path}` has no method `{method}`: give it as `/package.Service/Method`"))
    })?;
    let encoding = Encoding::of_header(&args.grpc_encoding)?;
    Ok(Grpc { framing, message, encoding, unknown_fields: args.unknown_fields })
}

/// Also in formats that can't be masked.
fn is_grpc(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("application/grpc")
}

fn unknown_fields(word: &str) -> Result<UnknownFields, String> {
    match word {
        "drop" => Ok(UnknownFields::Drop),
        "pass" => Ok(UnknownFields::Pass),
        "block" => Ok(UnknownFields::Block),
        _ => Err("it is `drop`, `pass` or `block`".to_owned()),
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

fn read_hash_key(args: &Args) -> Result<HashKey, Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| unreadable(path, &error));
    let key = match (&args.hash_key_file, &args.hash_key_id) {
        (Some(path), Some(id)) => HashKey::named_from_file(id, &read(path)?),
        (Some(path), None) => HashKey::from_file(&read(path)?),
        (None, _) => HashKey::random(),
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
            descriptor_set: None,
            grpc_method: None,
            grpc_encoding: "identity".to_owned(),
            unknown_fields: UnknownFields::Drop,
            hash_key_file: None,
            hash_key_id: None,
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
    fn rules_may_choose_another_body_in_place_of_a_failure() {
        let none: fn(&mut Args) = |_| {};
        let html: fn(&mut Args) = |args| args.content_type = "text/html".to_owned();
        let text: fn(&mut Args) = |args| args.content_type = "text/plain".to_owned();
        let rules = |done| format!("- {{field: a, with: hash, on_unmaskable: {done}}}\n");
        let body = b"\x00{\"a\":\"secret\"";
        for (change, redacted) in [(none, "\"[redacted]\""), (html, "[redacted]"), (text, "[redacted]")] {
            assert_eq!(run_with(&rules("redact_all"), change, body), (redacted.to_owned(), None));
            assert_eq!(run_with(&rules("pass"), change, body).0.as_bytes(), body);
            assert!(run_with(&rules("block"), change, body).1.is_some());
            // The strictest rule decides.
            let both = rules("pass") + &rules("redact_all");
            assert_eq!(run_with(&both, change, body).0, redacted);
        }
    }

    /// Makes the body one of gRPC that answers a call of that path, in the masker's own test schema.
    fn grpc_call(args: &mut Args, method: &str) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/mask/src/tests");
        let set = protox::compile(["shop.proto"], [folder]).unwrap();
        let file = args.rules.with_file_name("shop.pb");
        std::fs::write(&file, prost::Message::encode_to_vec(&set)).unwrap();
        args.content_type = "application/grpc".to_owned();
        (args.descriptor_set, args.grpc_method) = (Some(file), Some(method.to_owned()));
    }

    /// Behind its five bytes, a card whose number is `4111`, and which has a field that its type does not know.
    const CARD: &[u8] = b"\0\0\0\0\x0a\x0a\x044111\xa2\x01\x01x";

    #[test]
    fn messages_of_grpc_are_masked_by_their_descriptors() {
        let rules = "- {field: number, with: {redact: '-'}}\n";
        let find = |args: &mut Args| grpc_call(args, "/shop.Shop/Find");
        assert_eq!(run_with(rules, find, CARD), ("\0\0\0\0\x03\x0a\x01-".to_owned(), None));
        let web_text = |args: &mut Args| {
            grpc_call(args, "/shop.Shop/Find");
            args.content_type = "application/grpc-web-text".to_owned();
        };
        assert_eq!(run_with(rules, web_text, b"AAAAAAYKBDQxMTE="), ("AAAAAAMKAS0=".to_owned(), None));
        let block = |args: &mut Args| {
            grpc_call(args, "/shop.Shop/Find");
            args.unknown_fields = UnknownFields::Block;
        };
        let (output, failure) = run_with(rules, block, CARD);
        assert!(output.is_empty() && failure.unwrap().0.contains("(unknown_field)"));
    }

    #[test]
    fn messages_of_grpc_that_can_not_be_masked_are_not_replaced_by_a_text() {
        let rules = "- {field: number, with: hash, on_unmaskable: redact_all}\n";
        let broken = |args: &mut Args| grpc_call(args, "/shop.Shop/Find");
        let encoding = |args: &mut Args| {
            grpc_call(args, "/shop.Shop/Find");
            args.grpc_encoding = "snappy".to_owned();
        };
        let json = |args: &mut Args| args.content_type = "application/grpc+json".to_owned();
        type Change<'c> = &'c dyn Fn(&mut Args);
        let changes: [(Change<'_>, _); 3] =
            [(&broken, "(invalid_protobuf)"), (&encoding, "(unknown_encoding)"), (&json, "(unknown_format)")];
        for (change, code) in changes {
            let (output, failure) = run_with(rules, change, b"\0\0\0\0\x02\x0a\x09");
            let (message, exit) = failure.unwrap();
            assert!(message.contains(code), "{message}");
            assert_eq!((output.as_str(), exit), ("", ExitCode::from(1)));
        }
    }

    #[test]
    fn a_body_of_grpc_without_its_descriptors_exits_with_2() {
        let bare: fn(&mut Args) = |args| args.content_type = "application/grpc".to_owned();
        let unknown: fn(&mut Args) = |args| grpc_call(args, "/shop.Shop/Sell");
        let no_set: fn(&mut Args) = |args| {
            grpc_call(args, "/shop.Shop/Find");
            args.descriptor_set = Some(args.rules.clone());
        };
        for (change, part) in [
            (bare, "needs `--descriptor-set`"),
            (unknown, "no method `/shop.Shop/Sell`"),
            (no_set, "can't be used"),
        ] {
            // Rules that let pass what can't be masked do not make up for it.
            let rules = "- {field: number, with: hash, on_unmaskable: pass}\n";
            let (output, failure) = run_with(rules, change, CARD);
            let (message, exit) = failure.unwrap();
            assert!(message.contains(part), "{message}");
            assert_eq!((output.as_str(), exit), ("", ExitCode::from(2)));
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
        let named = |args: &mut Args| {
            let key = args.rules.with_file_name("key");
            std::fs::write(&key, "0123456789abcdef\n").unwrap();
            (args.hash_key_file, args.hash_key_id) = (Some(key), Some("2026-11".to_owned()));
        };
        let (named, _) = run_with("- {field: a, with: hash}", named, b"{\"a\":1}");
        assert!(named.starts_with("{\"a\":\"hmac:2026-11:"), "{named}");
        let random = || run_with("- {field: a, with: hash}", |_| {}, b"{\"a\":1}").0;
        assert_ne!(random(), random());
    }
}
