use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use clap::Parser as _;
use tempfile::TempDir;

use super::super::policy::USAGE;
use super::*;
use crate::bundle::{Bundle, Trust};

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn run_with(words: &[&str]) -> ExitCode {
    let cli = Cli::try_parse_from(std::iter::once(&"bundle").chain(words)).expect("the arguments are known");
    run(&cli.args)
}

const POLICY: &str = "apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec: {rules: [{name: a, when: request.method == 'GET', allow: {}}]}
";
const CASES: &str = "cases: [{name: a, request: {path: /}, expect: {outcome: allow}}]";
const OK: ExitCode = ExitCode::SUCCESS;

/// A folder with a policy and a case in `policies/`.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.at("policies")).unwrap();
        fs::write(folder.at("policies/p.yaml"), POLICY).unwrap();
        fs::write(folder.at("policies/p.cases.yaml"), CASES).unwrap();
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn build(&self, version: &str, out: &str, more: &[&str]) -> ExitCode {
        let (policies, out) = (self.path("policies"), self.path(out));
        let words = ["build", &policies, "--name", "shop", "--version", version, "--out", &out];
        run_with(&[&words[..], &["--created", "2026-11-21T10:00:00Z"], more].concat())
    }

    fn keygen(&self, name: &str) -> ExitCode {
        let (private, public) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pub")));
        run_with(&["keygen", "--out-private", &private, "--out-public", &public])
    }

    fn sign(&self, file: &str, key: &str) -> ExitCode {
        run_with(&["sign", &self.path(file), "--key", &self.path(key)])
    }

    fn verify(&self, file: &str, keys: &[&str]) -> ExitCode {
        let keys: Vec<_> = keys.iter().map(|key| self.path(key)).collect();
        let file = self.path(file);
        let mut words = vec!["verify", &file];
        words.extend(keys.iter().flat_map(|key| ["--key", key]));
        run_with(&words)
    }

    fn open(&self, file: &str) -> Bundle {
        let bytes = fs::read(self.at(file)).unwrap();
        Bundle::open(&bytes, &Trust::none(), &Limits::default()).unwrap()
    }
}

fn findings() -> ExitCode {
    ExitCode::from(FINDINGS)
}

fn usage() -> ExitCode {
    ExitCode::from(USAGE)
}

#[test]
fn a_bundle_is_built_signed_and_verified() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    assert_eq!(folder.keygen("b"), OK);
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK);
    assert_eq!(folder.verify("x.tgz", &[]), OK);
    assert_eq!(folder.verify("x.tgz", &["a.pub"]), findings(), "it is not signed yet");
    assert_eq!(folder.sign("x.tgz", "a.key"), OK);
    assert_eq!(folder.verify("x.tgz", &["a.pub"]), OK);
    assert_eq!(folder.verify("x.tgz", &["b.pub"]), findings());
    assert_eq!(folder.verify("x.tgz", &["b.pub", "a.pub"]), OK);
    assert_eq!(run_with(&["verify", &folder.path("x.tgz"), "--format", "json"]), OK);
    let out = folder.path("signed.tgz");
    assert_eq!(run_with(&["sign", &folder.path("x.tgz"), "--key", &folder.path("b.key"), "--out", &out]), OK);
    assert_eq!((folder.open("x.tgz").signed_by.len(), folder.open("signed.tgz").signed_by.len()), (1, 2));
    let left: Vec<_> =
        fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn the_same_input_gives_the_same_bytes_from_any_folder() {
    let (one, other) = (Folder::new(), Folder::new());
    for folder in [&one, &other] {
        assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK);
    }
    assert_eq!(fs::read(one.at("x.tgz")).unwrap(), fs::read(other.at("x.tgz")).unwrap());
}

#[test]
fn a_mistake_or_a_failing_case_refuses_and_leaves_the_old_file() {
    let folder = Folder::new();
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK);
    let before = fs::read(folder.at("x.tgz")).unwrap();
    for (file, text) in [
        ("policies/p.cases.yaml", CASES.replace("allow", "deny")),
        ("policies/p.cases.yaml", CASES.replace("outcome", "outcom")),
        ("policies/p.yaml", POLICY.replace("request.method", "request.metod")),
    ] {
        fs::write(folder.at(file), text).unwrap();
        for format in ["human", "json"] {
            assert_eq!(folder.build("1.1.0", "x.tgz", &["--format", format]), findings());
        }
        assert_eq!(fs::read(folder.at("x.tgz")).unwrap(), before);
    }
    let newer = ["--minimum-server", "99.0.0"];
    fs::write(folder.at("policies/p.yaml"), POLICY).unwrap();
    fs::write(folder.at("policies/p.cases.yaml"), CASES).unwrap();
    assert_eq!(folder.build("1.1.0", "x.tgz", &newer), findings());
}

#[test]
fn the_parent_is_an_older_version_of_the_same_bundle() {
    let folder = Folder::new();
    assert_eq!(folder.build("1.0.0", "old.tgz", &[]), OK);
    let digest = folder.open("old.tgz").manifest.unwrap().digest;
    let old = folder.path("old.tgz");
    assert_eq!(folder.build("1.1.0", "new.tgz", &["--parent", &old]), OK);
    assert_eq!(folder.open("new.tgz").manifest.unwrap().parent, Some(digest.clone()));
    assert_eq!(folder.build("1.1.0", "new.tgz", &["--parent", &digest]), OK);
    assert_eq!(folder.open("new.tgz").manifest.unwrap().parent, Some(digest.clone()));
    assert_eq!(folder.build("1.0.0", "new.tgz", &["--parent", &old]), usage(), "the same version");
    assert_eq!(folder.build("0.9.0", "new.tgz", &["--parent", &old]), usage(), "an older version");
    assert_eq!(folder.build("1.1.0", "new.tgz", &["--parent", &digest[1..]]), usage(), "no digest, no file");
    fs::write(&old, "no bundle").unwrap();
    assert_eq!(folder.build("1.1.0", "new.tgz", &["--parent", &old]), findings());
}

#[test]
fn the_time_is_the_one_given_or_that_of_the_build_environment() {
    let at = |text: &str| text.parse().unwrap();
    let given = Some(at("2026-11-21T10:00:00Z"));
    assert_eq!(build::created(given, Some("0")), Ok(at("2026-11-21T10:00:00Z")));
    assert_eq!(build::created(None, Some("86400")), Ok(at("1970-01-02T00:00:00Z")));
    assert_eq!(build::created(None, None).unwrap().subsec_nanosecond(), 0);
    for bad in ["", "yesterday", "99999999999999"] {
        assert_eq!(build::created(None, Some(bad)), Err(usage()), "{bad}");
    }
}

#[test]
fn keys_are_private_and_are_not_overwritten() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    let private = folder.at("a.key");
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&private).unwrap();
    assert_eq!(folder.keygen("a"), usage());
    assert_eq!(fs::read(&private).unwrap(), before);
    fs::remove_file(&private).unwrap();
    assert_eq!(folder.keygen("a"), usage(), "the public key is there");
    assert!(!private.exists(), "no private key without its public one");
}

#[test]
fn keys_by_openssl_are_understood() {
    // `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`, of the key in RFC 8410, section 10.3.
    let folder = Folder::new();
    let private = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    fs::write(folder.at("o.key"), private).unwrap();
    fs::write(folder.at("o.pub"), public).unwrap();
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK);
    assert_eq!(folder.sign("x.tgz", "o.key"), OK);
    assert_eq!(folder.verify("x.tgz", &["o.pub"]), OK);
    let key = crate::bundle::SigningKey::read(&folder.at("o.key")).unwrap();
    assert_eq!(key.to_pem().unwrap().expose(), private);
    assert_eq!(key.public().to_pem(), public);
}

#[test]
fn what_is_no_key_is_named() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK);
    let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJB\n-----END PUBLIC KEY-----\n";
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(folder.at("rsa.pub"), rsa).unwrap();
    fs::write(folder.at("locked.key"), locked).unwrap();
    fs::write(folder.at("empty"), "").unwrap();
    for key in ["a.key", "rsa.pub", "locked.key", "empty", "policies/p.yaml", "none", "policies"] {
        assert_eq!(folder.verify("x.tgz", &["a.pub", key]), usage(), "{key}");
    }
    for key in ["a.pub", "rsa.pub", "locked.key", "empty", "none"] {
        assert_eq!(folder.sign("x.tgz", key), usage(), "{key}");
    }
}

#[test]
fn a_signed_bundle_is_not_built_over_without_force() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK);
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), OK, "it has no signature to lose");
    assert_eq!(folder.sign("x.tgz", "a.key"), OK);
    let before = fs::read(folder.at("x.tgz")).unwrap();
    assert_eq!(folder.build("1.1.0", "x.tgz", &[]), usage());
    assert_eq!(fs::read(folder.at("x.tgz")).unwrap(), before);
    assert_eq!(folder.build("1.1.0", "x.tgz", &["--force"]), OK);
    assert!(folder.open("x.tgz").signed_by.is_empty());
}

#[test]
fn a_key_in_the_place_of_a_bundle_is_named_as_one() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    assert_eq!(folder.verify("a.pub", &["a.pub"]), usage());
    assert_eq!(folder.sign("a.key", "a.key"), usage());
    let said = no_key(Path::new("a.pub"), &fs::read(folder.at("a.pub")).unwrap()).unwrap_err();
    assert!(said.contains("`a.pub` is a key, not a bundle"), "{said}");
}

#[test]
fn a_time_that_is_none_is_refused_with_one_that_is() {
    let words =
        ["bundle", "build", "p", "--name", "s", "--version", "1.0.0", "--out", "x", "--created", "yesterday"];
    let Err(said) = Cli::try_parse_from(words) else { panic!("yesterday is no time") };
    assert!(said.to_string().contains("such as `2026-11-21T10:00:00Z`"), "{said}");
}

#[test]
fn exit_codes_tell_bad_bundles_from_usage() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    fs::write(folder.at("x.tgz"), "no bundle").unwrap();
    assert_eq!(folder.verify("x.tgz", &[]), findings());
    assert_eq!(folder.sign("x.tgz", "a.key"), findings());
    assert_eq!(folder.verify("none.tgz", &[]), usage());
    assert_eq!(folder.sign("none.tgz", "a.key"), usage());
    assert_eq!(folder.build("1.0.0", "no/folder/x.tgz", &[]), usage());
    fs::remove_file(folder.at("policies/p.yaml")).unwrap();
    assert_eq!(folder.build("1.0.0", "x.tgz", &[]), usage(), "there is no policy");
    for words in [
        &["build", "p", "--name", "Shop", "--version", "1.0.0", "--out", "x"][..],
        &["build", "p", "--name", "shop", "--version", "1", "--out", "x"],
        &["build", "p", "--name", "shop", "--version", "1.0.0"],
        &["build", "--name", "shop", "--version", "1.0.0", "--out", "x"],
        &["verify"],
        &["sign", "x"],
        &["keygen", "--out-private", "x"],
    ] {
        assert!(Cli::try_parse_from(std::iter::once(&"bundle").chain(words)).is_err(), "{words:?}");
    }
}

#[test]
fn a_bundle_whose_cases_fail_here_is_refused_though_its_signature_holds() {
    let folder = Folder::new();
    assert_eq!(folder.keygen("a"), OK);
    let failing = crate::policy::SourceFile {
        file: "p.cases.yaml".into(),
        text: CASES.replace("allow", "deny").into(),
    };
    let policy = crate::policy::SourceFile { file: "p.yaml".into(), text: POLICY.into() };
    let label = crate::bundle::Label {
        name: "shop".into(),
        version: "1.0.0".parse().unwrap(),
        created: jiff::Timestamp::UNIX_EPOCH,
        parent: None,
        minimum_server: None,
    };
    let bytes = Bundle::of_files(vec![policy], vec![failing]).pack(&label).unwrap();
    fs::write(folder.at("x.tgz"), bytes).unwrap();
    assert_eq!(folder.sign("x.tgz", "a.key"), OK);
    assert_eq!(folder.verify("x.tgz", &["a.pub"]), findings());
}
