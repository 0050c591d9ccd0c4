//! What the commands that speak to a running server share.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::Format;
use crate::admin::visible::visible;
use crate::cli::client::{Failure, Server, Tls};

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The server's admin address
    #[arg(long, env = "PORTCULLIS_SERVER", default_value = "http://127.0.0.1:9190")]
    server: String,
    /// A file that holds the bearer token; otherwise PORTCULLIS_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
    /// For people or for scripts
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

impl Connection {
    pub fn open(&self) -> Result<Server, Failure> {
        Server::new(&self.server, self.token_file.as_deref(), &self.tls)
    }

    /// Asks for a change, and tells what is active after it.
    pub async fn change(&self, verb: &str, body: &Value) -> Result<(), Failure> {
        let active = self.open()?.post(&format!("/api/v1/bundles:{verb}"), body).await?;
        self.print(&active, |active| {
            let pinned = if active.get("pinned") == Some(&Value::Bool(true)) { " and pinned" } else { "" };
            format!("{} is active{pinned}\n", described(active))
        })
    }

    pub fn print(&self, answer: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let text = if self.format == Format::Json { format!("{answer:#}\n") } else { human(answer) };
        Ok(anstream::stdout().write_all(text.as_bytes())?)
    }
}

/// Runs a command to its end: exit code 0, or 1 with the reason on standard error.
pub fn on_server(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    crate::cli::on_one_thread(async {
        match command.await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let lines: Vec<_> = failure.to_string().lines().map(visible).collect();
                anstream::eprintln!("error: {}", lines.join("\n  "));
                ExitCode::FAILURE
            }
        }
    })
}

/// A field's text, made safe to look at.
pub fn text(value: &Value, field: &str) -> String {
    visible(value.get(field).and_then(Value::as_str).unwrap_or_default())
}

/// `shop 1.2.0 (revision 0123456789abcdef)`, or the revision alone for plain files.
pub fn described(bundle: &Value) -> String {
    let (name, version, revision) = (text(bundle, "name"), text(bundle, "version"), text(bundle, "revision"));
    match name.is_empty() {
        true => format!("revision {revision}"),
        false => format!("{name} {version} (revision {revision})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_says_is_made_visible() {
        let bundle = json!({"name": "sh\u{202e}op", "version": "1.0.0", "revision": "abc"});
        assert_eq!(described(&bundle), "sh\\u{202e}op 1.0.0 (revision abc)");
        assert_eq!(described(&json!({"revision": "abc"})), "revision abc");
    }
}
