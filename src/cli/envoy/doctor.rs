//! `portcullis envoy doctor`

use std::process::ExitCode;

use crate::cli::policy::{FINDINGS, USAGE, print, print_error, usage_error};
use crate::proxy::doctor::{self, Examined, Rule};
use crate::proxy::view::{Given, Version};

mod read;
mod show;

/// Report what a proxy's configuration gets wrong
///
/// Reads an Envoy bootstrap, the files that it refers to, or a `config_dump`; or manifests of Istio and Envoy Gateway, which
/// together are one mesh or cluster; with the policies that Portcullis serves. It finds what Envoy accepts and lets calls slip by,
/// or fails; what Envoy refuses, `envoy --mode validate` finds: run both.
/// Exits with 0 when nothing was found, 1 when something was, 2 when nothing could be examined.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    portcullis envoy doctor --config portcullis.yaml envoy.yaml\n  \
    portcullis envoy doctor --config portcullis.yaml http://127.0.0.1:9901\n  \
    portcullis envoy doctor --config portcullis.yaml mesh.yaml manifests.yaml\n  \
    portcullis envoy doctor --explain fail-open")]
pub struct Args {
    /// Bootstraps, resource files and dumps, `-` for standard input, or the URL of Envoy's admin port; several are one
    /// proxy's unless each is whole
    #[arg(required_unless_present = "explain", value_name = "FILE|URL")]
    sources: Vec<String>,
    #[command(flatten)]
    given: super::For,
    /// The cluster of Portcullis [default: those whose names have `portcullis` in them, else every authorization service]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Envoy's version, where what is read does not say it
    #[arg(long, value_name = "VERSION")]
    envoy_version: Option<Version>,
    /// Leave out what this rule finds, everywhere or at paths that begin so; can be repeated
    #[arg(long, value_name = "RULE[@PATH]")]
    ignore: Vec<Ignored>,
    #[arg(long, value_enum, default_value = "human")]
    format: show::Format,
    /// Print a rule's page
    #[arg(long, value_name = "RULE", exclusive = true)]
    explain: Option<String>,
}

/// `fail-open`, or `fail-open@static_resources.listeners[1]`
#[derive(Clone, Debug)]
struct Ignored {
    rule: &'static Rule,
    path: Option<String>,
}

/// As it is written on the command line.
impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.rule.id)?;
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "@{path}"))
    }
}

impl std::str::FromStr for Ignored {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, path) = match text.split_once('@') {
            Some((id, path)) => (id, Some(path.to_owned())),
            None => (text, None),
        };
        Ok(Self { rule: known(id)?, path })
    }
}

impl Ignored {
    fn covers(&self, rule: &str, path: &str) -> bool {
        // What follows has to be another part of the path: `listeners[1]` is no beginning of `listeners[10]`.
        let below = |start: &String| {
            path.strip_prefix(start.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.rule.id == rule && self.path.as_ref().is_none_or(below)
    }
}

/// A rule by its id.
fn known(id: &str) -> Result<&'static Rule, String> {
    doctor::by_id(id).ok_or_else(|| {
        let ids = doctor::RULES.iter().map(|rule| rule.id);
        match crate::diagnostic::closest(id, ids) {
            Some(close) => format!("there is no rule `{id}`; did you mean `{close}`?"),
            None => format!("there is no rule `{id}`: docs/doctor/README.md lists them"),
        }
    })
}

pub fn run(args: &Args) -> ExitCode {
    if let Some(id) = &args.explain {
        return match known(id) {
            Ok(rule) => {
                print(&doctor::page(rule));
                ExitCode::SUCCESS
            }
            Err(message) => usage_error(&message),
        };
    }
    let needs = match super::needs(&args.given) {
        Ok(needs) => needs,
        Err(code) => return code,
    };
    let (sources, texts) = match read::all(&args.sources) {
        Ok(read) => read,
        Err(message) => return usage_error(&message),
    };
    let given = Given { cluster: args.cluster.clone(), version: args.envoy_version };
    match doctor::examine(&sources, &needs, &given) {
        Ok(mut examined) => {
            print_error(&args.unused(&examined));
            examined.findings.retain(|finding| {
                !args.ignore.iter().any(|ignored| ignored.covers(finding.rule.id, &finding.path))
            });
            report(&examined, args.format, &texts)
        }
        // It says by itself that it is an error.
        Err(finding) => {
            print_error(&format!("{finding}\n"));
            ExitCode::from(USAGE)
        }
    }
}

impl Args {
    /// A warning for each `--ignore` that nothing was found for.
    fn unused(&self, examined: &Examined) -> String {
        let found = |ignored: &Ignored| {
            examined.findings.iter().any(|finding| ignored.covers(finding.rule.id, &finding.path))
        };
        let unused = self.ignore.iter().filter(|ignored| !found(ignored));
        unused.map(|ignored| format!("warning: `--ignore {ignored}` leaves nothing out\n")).collect()
    }
}

fn report(examined: &Examined, format: show::Format, texts: &crate::diagnostic::Sources) -> ExitCode {
    print(&show::shown(examined, format, texts));
    if examined.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) }
}

#[cfg(test)]
mod tests;
