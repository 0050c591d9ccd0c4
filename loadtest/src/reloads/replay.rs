//! Recorded decisions, made again: each call is put to the revision that its record names.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use portcullis::identity::Identity;
use portcullis::policy::{self, PolicySet, SourceFile};
use portcullis::request::{Limits, Parts, Request};
use serde::Deserialize;

/// The revisions that were shown, by the name that records give them.
#[derive(Default)]
pub struct Replay {
    texts: HashMap<String, String>,
    last: Option<String>,
    /// Compiled when their first record comes. Records of one revision stand together.
    current: Option<(String, PolicySet)>,
}

/// What a line of the trail says, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record {
    kind: String,
    lost: u64,
    revision: String,
    outcome: String,
    reason: String,
    rule: String,
    method: String,
    host: String,
    path: String,
}

/// What replaying came to.
#[derive(Debug, Default)]
pub struct Replayed {
    pub decisions: u64,
    pub allowed: u64,
    /// Revisions that decided at least one call.
    pub revisions: usize,
    pub lost: u64,
    /// Records that say something else than their replay; the first of them.
    pub differing: Vec<String>,
}

/// How many differing records are shown.
const SHOWN: usize = 20;

impl Replay {
    /// Takes note of a revision's text.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let revision = compile(text)?.revision().to_string();
        self.texts.insert(revision.clone(), text.to_owned());
        self.last = Some(revision);
        Ok(())
    }

    /// The revision that was added last.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Makes every decision recorded in `audit` again.
    pub fn run(mut self, audit: &Path) -> Result<Replayed> {
        let file = File::open(audit).with_context(|| format!("cannot read `{}`", audit.display()))?;
        let (mut replayed, mut revisions) = (Replayed::default(), BTreeSet::new());
        for line in BufReader::new(file).lines() {
            let line = line?;
            let record: Record = serde_json::from_str(&line).context("a record that can't be read")?;
            match record.kind.as_str() {
                "decision" => {}
                "gap" => {
                    replayed.lost += record.lost;
                    continue;
                }
                _ => continue,
            }
            let (reason, rule) = self.decide(&record)?;
            revisions.insert(record.revision);
            replayed.decisions += 1;
            replayed.allowed += u64::from(record.outcome == "allow");
            if (&record.reason, &record.rule) != (&reason, &rule) && replayed.differing.len() < SHOWN {
                replayed.differing.push(format!("{line} against {reason} {rule}"));
            }
        }
        replayed.revisions = revisions.len();
        Ok(replayed)
    }

    /// Reason and rule that the revision gives the recorded call.
    fn decide(&mut self, record: &Record) -> Result<(String, String)> {
        let revision = &record.revision;
        if self.current.as_ref().is_none_or(|(name, _)| name != revision) {
            let text = self.texts.get(revision).with_context(|| format!("`{revision}` was never shown"))?;
            self.current = Some((revision.clone(), compile(text)?));
        }
        let (_, set) = self.current.as_ref().context("no revision")?;
        let Record { method, host, path, .. } = record;
        let parts =
            Parts { method: method.clone(), host: host.clone(), path: path.clone(), ..Parts::default() };
        let (request, identity) = (Request::assemble(parts, &Limits::default()), Identity::anonymous());
        let candidates = set.candidates(&request, false);
        let decision =
            set.decide(&candidates, &policy::Call { request: &request, identity: &identity, response: None });
        Ok((decision.reason.as_str().to_owned(), decision.rule.as_deref().unwrap_or_default().to_owned()))
    }
}

fn compile(text: &str) -> Result<PolicySet> {
    let source = SourceFile { file: "policies.yaml".into(), text: text.into() };
    let compiled = policy::compile(&[source], &policy::Options::default());
    compiled.set.with_context(|| format!("the generated policies are refused: {:?}", compiled.findings))
}
