//! What is examined: files, those that they refer to, and what an admin port answers.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use crate::diagnostic::{Diagnostic, Sources, innermost};
use crate::document::{Node, Value};
use crate::outbound::{self, BodyError};
use crate::proxy::tree::Source;

/// The largest answer of an admin port, in bytes.
const LARGEST: usize = 256 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Fields whose `path` is a file of resources: a `PathConfigSource`, or a `ConfigSource` with its older form.
const CONFIG_SOURCES: [&str; 12] = [
    "path_config_source",
    "pathConfigSource",
    "cds_config",
    "cdsConfig",
    "config_source",
    "configSource",
    "eds_config",
    "edsConfig",
    "lds_config",
    "ldsConfig",
    "sds_config",
    "sdsConfig",
];

/// Everything that the arguments name, in their order, with the texts to show excerpts of. The error says what to do.
pub(super) fn all(given: &[String]) -> Result<(Vec<Source>, Sources), String> {
    let mut reading = Reading::default();
    for name in given {
        match Url::parse(name).ok().filter(|url| matches!(url.scheme(), "http" | "https")) {
            Some(url) => reading.admin(url)?,
            None if name == "-" => reading.stdin()?,
            None => reading.file(Path::new(name))?,
        }
    }
    Ok((reading.sources, reading.texts))
}

#[derive(Default)]
struct Reading {
    sources: Vec<Source>,
    texts: Sources,
    files: BTreeSet<PathBuf>,
}

impl Reading {
    /// Reads a file, and after it those that it refers to and that lie on this machine. What it refers to elsewhere
    /// stays unknown, and is reported as such.
    fn file(&mut self, path: &Path) -> Result<(), String> {
        let name = path.display().to_string();
        if !self.files.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
            return Ok(());
        }
        regular(path)?;
        let text = std::fs::read_to_string(path).map_err(|error| format!("can't read `{name}`: {error}"))?;
        let named = self.add(&name, &text)?;
        self.named(named, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads the files that were named by one in this folder, as far as they are there.
    fn named(&mut self, files: Vec<String>, folder: &Path) -> Result<(), String> {
        for file in files {
            // Envoy reads relative paths from where it was started; most often that is where the file lies.
            let found = [PathBuf::from(&file), folder.join(&file)].into_iter().find(|path| path.exists());
            if let Some(found) = found {
                self.file(&found)?;
            }
        }
        Ok(())
    }

    fn stdin(&mut self) -> Result<(), String> {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| format!("can't read standard input: {error}"))?;
        let named = self.add("-", &text)?;
        self.named(named, Path::new(""))
    }

    /// Asks a URL; that of an admin port without a path is asked for its configuration and its version.
    fn admin(&mut self, mut url: Url) -> Result<(), String> {
        if !matches!(url.path(), "" | "/") {
            let text = fetch(&url)?;
            return self.add(&shown(&url), &text).map(|_| ());
        }
        url.set_path("/config_dump");
        url.set_query(Some("include_eds"));
        let text = fetch(&url)?;
        self.add(&shown(&url), &text)?;
        url.set_path("/server_info");
        url.set_query(None);
        let text = fetch(&url)?;
        self.add(&shown(&url), &text).map(|_| ())
    }

    /// Keeps what a text says. The paths of the files that it refers to.
    fn add(&mut self, name: &str, text: &str) -> Result<Vec<String>, String> {
        let source = Source::parse(name, text).map_err(|finding| told(name, &finding))?;
        if source.has_lines {
            self.texts.add(&source.name, &source.text);
        }
        let mut named = Vec::new();
        source.roots.iter().for_each(|root| referred(root, &mut named));
        self.sources.push(source);
        Ok(named)
    }
}

/// Refuses what would be waited for without an end, or is no file. What a shell hands over is open already: a pipe that
/// it made for `<(…)` ends.
fn regular(path: &Path) -> Result<(), String> {
    let opened = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"];
    if opened.iter().any(|start| path.to_string_lossy().starts_with(start)) {
        return Ok(());
    }
    let name = path.display();
    let kind = std::fs::metadata(path).map_err(|error| format!("can't read `{name}`: {error}"))?.file_type();
    match kind.is_file() {
        true => Ok(()),
        false if kind.is_dir() => Err(format!("`{name}` is a folder: name the files in it")),
        false => Err(format!("`{name}` is no regular file: write what it holds to one, or give it as `-`")),
    }
}

/// A syntax error as words for a message that says by itself that it is an error.
fn told(name: &str, finding: &Diagnostic) -> String {
    let place = match &finding.place {
        Some(place) => format!("{}:{}:{}", place.file, place.line, place.column),
        None => format!("`{name}`"),
    };
    let help = finding.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    format!("{place}: {}{help}", finding.message)
}

/// The paths of the files that a configuration is to be read from.
fn referred(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let source = CONFIG_SOURCES.contains(&entry.key.as_str());
                let path = entry.value.get("path").filter(|_| source);
                if let Some(Value::Str(path)) = path.map(|path| &path.value) {
                    found.push(path.clone());
                }
                referred(&entry.value, found);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| referred(item, found)),
        _ => {}
    }
}

/// A URL without the secrets that it may hold.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

fn fetch(url: &Url) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("can't start: {error}"))?;
    runtime.block_on(get(url)).map_err(|error| format!("can't read `{}`: {error}", shown(url)))
}

async fn get(url: &Url) -> Result<String, String> {
    let words = |error: reqwest::Error| innermost(&error);
    let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
    let response = outbound::direct_if_plain(client, url)
        .build()
        .map_err(words)?
        .get(url.clone())
        .send()
        .await
        .map_err(words)?;
    if !response.status().is_success() {
        return Err(format!("the answer was {}; is this Envoy's admin port?", response.status()));
    }
    let body = outbound::body(response, LARGEST).await.map_err(|error| match error {
        BodyError::TooLarge => format!("the answer is larger than {LARGEST} bytes; save it to a file"),
        BodyError::Http(error) => words(error),
    })?;
    String::from_utf8(body).map_err(|_| "the answer is no text".to_owned())
}
