//! `portcullis token`: what the server would say about a token, and hashes of passwords.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::authn::{Authenticator, Config};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Sources, render};
use crate::document::{Document, Reader};
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::reason::Reason;
use crate::visible::visible_json;

mod hash_password;

/// More than the longest token that is accepted, so that a longer one is refused for its size.
const MAX_INPUT: u64 = 64 << 10;
const BAD_CONFIG: u8 = 2;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the identity that a token on standard input stands for, or the reason it is refused
    #[command(after_help = "Example:\n  portcullis token verify --config portcullis.yaml < token.txt")]
    Verify {
        /// The configuration of the server; its `identity:` section is what counts.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Hash a password, asked for or on standard input, for the file of `identity.basic`
    #[command(after_help = hash_password::EXAMPLE)]
    HashPassword(hash_password::Args),
}

pub async fn run(args: Args) -> ExitCode {
    let config = match args.command {
        Command::Verify { config } => config,
        Command::HashPassword(args) => return hash_password::run(&args),
    };
    let authenticator = match load(&config).await {
        Ok(authenticator) => authenticator,
        Err(report) => {
            anstream::eprintln!("{report}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().take(MAX_INPUT).read_to_end(&mut input) {
        anstream::eprintln!("can't read the token from standard input: {error}");
        return ExitCode::FAILURE;
    }
    match verify(&authenticator, &input).await {
        Ok(identity) => {
            anstream::println!("{}", visible_json(&format!("{:#}", to_json(&identity))));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            anstream::eprintln!("{}", reason.as_str());
            ExitCode::FAILURE
        }
    }
}

/// Judges the token that `input` holds, a newline around it forgiven.
async fn verify(authenticator: &Authenticator, input: &[u8]) -> Result<Arc<Identity>, Reason> {
    let token = std::str::from_utf8(input.trim_ascii()).map_err(|_| Reason::TokenMalformed)?;
    let metrics = Metrics::new().map_err(|_| Reason::InternalError)?;
    authenticator.verify(token, &metrics).await
}

/// The authenticator that this file configures, or every mistake in it as text.
async fn load(path: &Path) -> Result<Arc<Authenticator>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("error: can't read `{}`: {error}", path.display()))?;
    let (file, text): (Arc<str>, Arc<str>) = (path.to_string_lossy().into(), text.into());
    let mut sources = Sources::default();
    sources.add(&file, &text);
    let built = match read(&file, &text, path.parent().unwrap_or(Path::new(""))) {
        Ok(config) => Authenticator::build(config, Clock::system()).await,
        Err(findings) => Err(findings),
    };
    built.map_err(|findings| render::human(&findings, &sources, false).trim_end().to_owned())
}

fn read(file: &Arc<str>, text: &Arc<str>, folder: &Path) -> Result<Config, Vec<Diagnostic>> {
    let document = Document::parse(file, text).map_err(|finding| vec![finding])?;
    let Some(node) = document.roots.first().and_then(|root| root.get("identity")) else {
        return Err(vec![Diagnostic::error(
            "missing-field",
            format!("`{file}` lacks the section `identity`"),
        )]);
    };
    let mut reader = Reader::new(file);
    match Config::read(node, folder, &mut reader) {
        Some(config) if reader.findings.is_empty() => Ok(config),
        _ => Err(reader.findings),
    }
}

fn to_json(identity: &Identity) -> Value {
    json!({
        "method": identity.method.as_str(),
        "subject": identity.subject,
        "issuer": identity.issuer,
        "groups": identity.groups,
        "email": identity.email,
        "scopes": identity.scopes,
        "tenant": identity.tenant,
        "person": identity.person,
        "issued": identity.issued.as_ref().map(Timestamp::to_string),
        "expires": identity.expires.as_ref().map(Timestamp::to_string),
        "token_id": identity.token_id,
        "session": identity.session,
        "claims": identity.claims,
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use clap::Parser as _;

    use super::*;

    const CONFIG: &str = "\
identity:
  jwt:
    - issuer: https://idp.example.com
      audiences: [api]
      algorithms: [EdDSA]
      jwks: {file: keys.json}
";
    /// The public key of RFC 8037, appendix A.2.
    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// Writes a configuration and its key set into a folder, and loads them.
    async fn loaded(config: &str) -> Result<Arc<Authenticator>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.json"), KEYS).unwrap();
        let path = folder.path().join("portcullis.yaml");
        std::fs::write(&path, config).unwrap();
        load(&path).await
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_command_line() {
        assert!(Line::try_parse_from(["token", "verify", "--config", "a.yaml"]).is_ok());
        assert!(Line::try_parse_from(["token", "verify"]).is_err());
        assert!(Line::try_parse_from(["token"]).is_err());
    }

    #[tokio::test]
    async fn tokens_are_judged_with_the_key_set_beside_the_configuration() {
        let authenticator = loaded(CONFIG).await.unwrap();
        for (input, reason) in [
            (&b""[..], Reason::TokenMalformed),
            (b"\xff\xfe", Reason::TokenMalformed),
            (b"a.b.c\n", Reason::TokenMalformed),
            (&[b'.'; 20 << 10], Reason::TokenTooLarge),
        ] {
            assert_eq!(verify(&authenticator, input).await, Err(reason));
        }
    }

    #[tokio::test]
    async fn a_good_token_shows_its_identity() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let claims =
            json!({"iss": "https://idp.example.com", "aud": "api", "sub": "ana", "exp": 250_000_000_000_u64});
        let (header, claims) =
            (URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signed = format!("{header}.{claims}");
        let token = format!("{signed}.{}\n", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())));
        let authenticator = loaded(CONFIG).await.unwrap();
        let shown = to_json(&verify(&authenticator, token.as_bytes()).await.unwrap());
        assert_eq!((&shown["method"], &shown["subject"]), (&json!("jwt"), &json!("ana")));
        assert_eq!(shown["expires"], "9892-03-08T12:26:40Z");
    }

    #[tokio::test]
    async fn a_bad_configuration_is_reported_with_its_places() {
        let report = loaded(&CONFIG.replace("EdDSA", "HS256").replace("[api]", "[]")).await.unwrap_err();
        assert!(report.contains("unknown signature algorithm `HS256`"), "{report}");
        assert!(report.contains("portcullis.yaml:4:"), "{report}");
        for (config, expected) in [
            ("listen: x\n", "lacks the section `identity`"),
            ("identity: [", "error"),
            (&CONFIG.replace("keys.json", "none.json"), "none.json"),
            (&CONFIG.replace("issuer:", "isuer:"), "did you mean `issuer`?"),
            (&format!("{CONFIG}  mtsl: true\n"), "did you mean `mtls`?"),
        ] {
            let report = loaded(config).await.unwrap_err();
            assert!(report.contains(expected), "{report}");
        }
        assert!(load(Path::new("/nonexistent")).await.unwrap_err().contains("can't read"));
    }

    #[test]
    fn identities_as_json() {
        let identity = Identity { subject: "ana".into(), ..Identity::clone(&Identity::anonymous()) };
        let shown = to_json(&identity);
        assert_eq!(shown["subject"], "ana");
        assert_eq!(shown["person"], Value::Null);
        assert_eq!(shown["expires"], Value::Null);
    }
}
