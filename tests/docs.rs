//! The documents, kept true: they name every reason, metric, configuration field and command that there is, and no
//! target or command that there is not; the policies and configurations in them are valid.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis::bundle::Refusal;
use portcullis::disagreement::Disagreement;
use portcullis::metrics::Metrics;
use portcullis::policy::{self, SourceFile};
use portcullis::reason::Reason;

const DOCUMENTS: [&str; 18] = [
    "README.md",
    "ARCHITECTURE.md",
    "docs/approvals.md",
    "docs/bundles.md",
    "docs/cel.md",
    "docs/console.md",
    "docs/envoy.md",
    "docs/identity-schemes.md",
    "docs/identity.md",
    "docs/keys-and-revocation.md",
    "docs/kubernetes.md",
    "docs/notifications.md",
    "docs/reference.md",
    "docs/replicas.md",
    "docs/tickets.md",
    "docs/tls.md",
    "policies/README.md",
    "proto/README.md",
];

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A row of the reference that begins with this in backticks.
fn rows<'r>(reference: &'r str, name: &str) -> Vec<&'r str> {
    let begins = format!("| `{name}` |");
    reference.lines().filter(|line| line.starts_with(&begins)).collect()
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// All words in backticks on one line.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_reason_stands_there_with_its_status() {
    let reference = read("docs/reference.md");
    for reason in Reason::ALL {
        let rows = rows(&reference, reason.as_str());
        let [row] = rows.as_slice() else { panic!("`{}` has {} rows", reason.as_str(), rows.len()) };
        let status = row.split('|').nth(2).unwrap().trim();
        let wanted = reason.status().to_string();
        assert!(status == wanted || reason.lets_through() || reason == Reason::CallerGone);
    }
}

#[test]
fn every_refusal_of_a_bundle_stands_there_once() {
    let reference = read("docs/reference.md");
    for refusal in Refusal::ALL {
        assert_eq!(rows(&reference, refusal.code()).len(), 1, "{}", refusal.code());
        assert_eq!(refusal.finding_code(), refusal.code().replace('_', "-"));
    }
}

#[test]
fn every_kind_of_disagreement_stands_there_with_its_meaning() {
    let reference = read("docs/reference.md");
    for kind in Disagreement::ALL {
        let row = format!("| `{}` | {} |", kind.as_str(), kind.explanation());
        assert!(reference.contains(&row), "{row}");
    }
}

#[test]
fn every_metric_stands_there() {
    let reference = read("docs/reference.md");
    let named = quoted(&reference);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut code = vec![read("src/metrics.rs")];
    code.extend(files.map(|file| std::fs::read_to_string(file).unwrap()));
    let code: Vec<_> = code.iter().filter_map(|source| source.split("#[cfg(test)]").next()).collect();
    let in_source: BTreeSet<&str> = code
        .iter()
        .flat_map(|code| code.split('"'))
        .filter(|text| text.starts_with("portcullis_") || text.starts_with("grpc_server_"))
        .collect();
    assert!(in_source.len() > 40, "{in_source:?}");
    for metric in in_source {
        assert!(named.contains(metric), "`{metric}` is not in docs/reference.md");
    }
    for line in Metrics::new().unwrap().render().lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let metric = line.split(' ').next().unwrap();
        assert!(named.contains(metric), "`{metric}` is not in docs/reference.md");
    }
}

/// The names of the fields that a reader asks for: `optional("name")`, `required("name", ...)`, and those that the
/// readers of single values are given.
fn fields(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let calls = ["optional(\"", "required(\"", "fields, \"", "name(\"", "size(\"", "file(\""];
    let after = |call: &str| code.split(call).skip(1).map(str::to_owned).collect::<Vec<_>>();
    let named = calls.into_iter().flat_map(after);
    named.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
}

#[test]
fn every_configuration_field_stands_there() {
    let reference = read("docs/reference.md");
    // The first cells of all rows, as paths.
    let cells: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .flat_map(|path| path.split('.'))
        .collect();
    for (file, least) in [
        ("src/config/section.rs", 20),
        ("src/config/mask.rs", 7),
        ("src/config/listen.rs", 9),
        ("src/config/policies.rs", 8),
        ("src/config/notify.rs", 14),
        ("src/config/candidate.rs", 4),
        ("src/config/store.rs", 8),
        ("src/config/console.rs", 6),
        ("src/authn/config.rs", 11),
        ("src/authn/config/jwt.rs", 18),
        ("src/authn/config/peer.rs", 4),
        ("src/authn/config/forward.rs", 7),
        ("src/authn/config/challenge.rs", 5),
        ("src/authn/api_key/config.rs", 2),
        ("src/authn/revocation/config.rs", 2),
        ("src/authn/config/callout.rs", 7),
        ("src/authn/config/introspection.rs", 6),
        ("src/authn/config/token_review.rs", 3),
        ("src/authn/config/basic.rs", 3),
    ] {
        let fields = fields(&read(file));
        assert!(fields.len() >= least, "{file}: {fields:?}");
        for field in fields {
            assert!(cells.contains(field.as_str()), "{file}: `{field}` is not in docs/reference.md");
        }
    }
}

#[test]
fn every_figure_of_the_benchmarks_stands_there() {
    let reference = read("docs/reference.md");
    let named = quoted(&reference);
    let source = read("benches/decide.rs");
    let plain = |text: &str| text.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit());
    let texts = source.split('"').skip(1).step_by(2);
    let figures: Vec<_> = texts.filter(|text| text.contains('_') && plain(text)).collect();
    assert!(figures.len() > 15, "{figures:?}");
    for figure in figures {
        let in_turn = figure.replace("_vs", "_in_turn_vs");
        assert!(named.contains(figure) || figure.starts_with('_'), "`{figure}` is not in docs/reference.md");
        assert!(!figure.contains("_10000_") || !figure.contains("_vs") || named.contains(in_turn.as_str()));
    }
}

/// The receiver's code in docs/notifications.md accepts the example of Standard Webhooks, and nothing else.
#[test]
fn the_example_verifies_signatures() {
    let text = read("docs/notifications.md");
    let [example] = blocks(&text, "python")[..] else { panic!("one example") };
    let script = format!(
        r#"{example}
key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
headers = {{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
           "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}}
body = b'{{"test": 2432232314}}'
verify(key, headers, body, 1614265330 + 299)
def refused(key=key, body=body, now=1614265330, **changed):
    try:
        verify(key, {{**headers, **{{name.replace("_", "-"): value for name, value in changed.items()}}}}, body, now)
    except ValueError:
        return
    raise SystemExit(f"accepted {{key}} {{body}} {{now}} {{changed}}")
refused(body=body + b" ")
refused(now=1614265330 + 301)
refused(key="whsec_" + "A" * 32)
refused(webhook_id="msg_other")
refused(webhook_signature="v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
"#
    );
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn make_targets_exist() {
    let makefile = read("Makefile");
    for name in DOCUMENTS {
        let text = read(name);
        for quoted in quoted(&text) {
            let Some(target) = quoted.split_once("make ").map(|(_, rest)| rest) else { continue };
            let target = target.split(' ').next().unwrap();
            assert!(makefile.contains(&format!("\n{target}:")), "{name}: `{quoted}`");
        }
    }
}

fn is_command(word: &str) -> bool {
    !word.starts_with('-') && word.bytes().all(|b| b == b'-' || b.is_ascii_lowercase())
}

#[test]
fn commands_exist_and_all_are_named() {
    let help = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(arguments).arg("--help").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let commands = |help: &str| {
        let list =
            help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
        let list = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = list.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect::<Vec<_>>()
    };
    let readme = read("README.md");
    for command in commands(&help(&[]).1) {
        assert!(readme.contains(&format!("`portcullis {command}")), "README.md lacks `{command}`");
        for second in commands(&help(&[&command]).1) {
            let (whole, alone) = (format!("portcullis {command} {second}"), format!("`{second}`"));
            assert!(
                readme.contains(&whole) || readme.contains(&alone),
                "README.md lacks `{command} {second}`"
            );
        }
    }
    for quoted in quoted(&readme).into_iter().filter_map(|text| text.strip_prefix("portcullis ")) {
        let words: Vec<&str> = quoted.split(' ').take_while(|word| is_command(word)).collect();
        let (exists, text) = help(&words);
        assert!(exists, "README.md names `portcullis {quoted}`");
        let options = quoted.split([' ', '[', ']']).filter(|word| word.starts_with("--"));
        for option in options {
            assert!(text.contains(option), "README.md names `portcullis {quoted}`");
        }
    }
}

#[test]
fn policies_in_the_documents_are_valid() {
    let mut found = 0;
    for name in DOCUMENTS {
        let text = read(name);
        for block in blocks(&text, "yaml").into_iter().filter(|block| block.contains("kind: Policy\n")) {
            let files = [SourceFile { file: name.into(), text: block.into() }];
            let compiled = policy::compile(&files, &policy::Options { gateway: true });
            assert!(compiled.findings.is_empty(), "{name}: {:#?}", compiled.findings);
            let Some(cases) = blocks(&text, "yaml").into_iter().find(|block| block.starts_with("cases:"))
            else {
                panic!("{name} shows no cases")
            };
            let (cases, findings) =
                policy::cases::read(&[SourceFile { file: "cases".into(), text: cases.into() }]);
            assert!(findings.is_empty(), "{findings:#?}");
            let report = policy::cases::run(&compiled.set.unwrap(), &cases);
            assert!(report.results.iter().all(|result| result.failures.is_empty()), "{:#?}", report.results);
            found += 1;
        }
    }
    assert!(found > 0);
}

/// A folder with every file that configurations in the documents name.
fn folder_of_a_reader() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    for name in ["policies", "tls"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let policy = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: shop}\nspec:\n  \
                  rules: [{name: known, when: identity.subject != \"\", allow: {}}]\n";
    write("policies/shop.yaml", policy);
    write(
        "users",
        &portcullis::authn::user_line("ana", "correct horse", "staff,ops", "ana@example.com").unwrap(),
    );
    write("introspection-secret", "s3cret");
    write("db-password", "s3cret");
    write("service-account", "token");
    write("client.secret", "s3cret");
    write("api-keys.key", &"k".repeat(32));
    write("forward.pem", &rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem());
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["portcullis.security".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    write("tls/tls.crt", &certificate);
    write("tls/ca.crt", &certificate);
    write("tls/tls.key", &key.serialize_pem());
    folder
}

/// Beside the files that they name, `serve --check` accepts them as they stand.
#[test]
fn configurations_in_the_documents_are_valid() {
    let folder = folder_of_a_reader();
    for (name, least) in [
        ("README.md", 1),
        ("docs/console.md", 1),
        ("docs/identity.md", 3),
        ("docs/identity-schemes.md", 3),
        ("docs/keys-and-revocation.md", 2),
        ("docs/replicas.md", 1),
        ("docs/tls.md", 1),
    ] {
        let text = read(name);
        let mut found = 0;
        for block in blocks(&text, "yaml") {
            // What such a section stands beside, and what a pod has of itself.
            let whole = if block.starts_with("identity:") {
                format!("policies: [policies]\n{block}")
            } else {
                block.to_owned()
            };
            if !whole.starts_with("policies:") {
                continue;
            }
            let pod = "kubernetes:\n    ca_file: tls/ca.crt\n    token_file: service-account\n";
            let path = folder.path().join("portcullis.yaml");
            fs::write(&path, whole.replace("kubernetes:\n", pod)).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
            let output = command.args(["serve", "--check", "--config"]).arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}:\n{block}\n{said}");
            found += 1;
        }
        assert!(found >= least, "{name}: {found} configurations");
    }
}

#[test]
fn files_that_are_named_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in DOCUMENTS {
        let text = read(name);
        let is_path = |word: &&str| {
            ["src/", "tests/", "docs/", "envoy/ext-", "proto/"].iter().any(|start| word.starts_with(start))
                && !word.contains(' ')
        };
        for path in quoted(&text).into_iter().filter(is_path) {
            assert!(root.join(path).exists(), "{name}: `{path}`");
        }
    }
}

/// Words with hyphens in the sources that are no codes: headers, changes of `policy diff`, names in tests.
fn is_code(word: &str) -> bool {
    let of_diff = ["policy", "rule", "condition", "verdict", "mask", "headers", "match", "enforce"];
    let of_diff = of_diff.iter().any(|what| {
        ["added", "removed", "renamed", "changed"].iter().any(|how| word == format!("{what}-{how}"))
    });
    let header = ["content-", "proxy-", "x-", "keep-", "transfer-", "set-"]
        .iter()
        .any(|start| word.starts_with(start));
    let kebab = word.contains('-') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    kebab && !word.starts_with('-') && !word.ends_with('-') && !header && !of_diff
}

fn codes_in_sources() -> BTreeSet<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy")];
    let mut sources = vec![read("src/mask/rules.rs"), read("src/document.rs"), read("src/cli/policy.rs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs") {
                sources.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let code = |source: &String| source.split("#[cfg(test)]").next().unwrap().to_owned();
    let words =
        sources.iter().map(code).flat_map(|code| code.split('"').map(str::to_owned).collect::<Vec<_>>());
    words.filter(|word| is_code(word)).collect()
}

/// The rows of docs/findings.md: code, severity, example.
fn finding_rows() -> Vec<(String, String, String)> {
    let text = read("docs/findings.md").replace("\\|", "\u{1}");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect::<Vec<_>>();
    rows.map(cells).map(|row| (row[1].trim_matches('`').to_owned(), row[2].clone(), row[4].clone())).collect()
}

#[test]
fn every_finding_is_documented_and_every_documented_finding_exists() {
    let documented: BTreeSet<String> = finding_rows().into_iter().map(|(code, ..)| code).collect();
    assert_eq!(documented, codes_in_sources());
}

/// What checking an example of docs/findings.md finds, by code and severity.
fn check_example(example: &str) -> Vec<(&'static str, bool)> {
    let policy = |matches: &str, rules: &str| {
        format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  {matches}\n  {rules}\n"
        )
    };
    let (path, allow) = ("match: [{paths: [/a]}]", "rules: [{name: a, allow: {}}]");
    let text = if example.starts_with("match:") {
        policy(example, allow)
    } else if example.starts_with("rules:") {
        policy(path, example)
    } else if let Some(when) = example.strip_prefix("when: ") {
        policy(path, &format!("rules:\n    - name: a\n      allow: {{}}\n      when: |-\n        {when}"))
    } else if example.starts_with('{') {
        policy(path, &format!("rules: [{example}]"))
    } else {
        policy(path, allow)
    };
    let compiled = policy::compile(
        &[SourceFile { file: "p.yaml".into(), text: text.into() }],
        &policy::Options::default(),
    );
    let mut findings = compiled.findings;
    if example.starts_with("expect:") {
        let text = format!("cases: [{{name: a, request: {{path: /a}}, {example}}}]");
        let (cases, mistakes) =
            policy::cases::read(&[SourceFile { file: "p.cases.yaml".into(), text: text.into() }]);
        findings.extend(mistakes);
        findings.extend(policy::cases::check(&cases, &compiled.set.unwrap()));
    }
    findings.iter().map(|finding| (finding.code, finding.is_error())).collect()
}

#[test]
fn the_examples_of_findings_give_them() {
    let mut tried = 0;
    for (code, severity, example) in finding_rows() {
        let Some(example) = example.strip_prefix('`').and_then(|example| example.strip_suffix('`')) else {
            continue;
        };
        if !["{", "match:", "rules:", "when: ", "expect:"].iter().any(|start| example.starts_with(start)) {
            continue;
        }
        let found = check_example(example);
        let wanted = (code.as_str(), severity.starts_with("error"));
        assert!(found.contains(&wanted), "{code}: {example} gives {found:?}");
        tried += 1;
    }
    assert!(tried > 35, "{tried}");
}
