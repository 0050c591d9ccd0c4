//! Where policies come from: files on disk, and bundles, which are archives of them with a manifest.
//!
//! A bundle is read (`Bundle::of_files`), then prepared: compiled, and tried with its own cases. Only what was
//! prepared can decide calls.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::diagnostic::{self, Diagnostic, Sources};
use crate::policy::{self, PolicySet, SourceFile};

mod archive;
mod content;
mod control;
mod digest;
mod load;
mod manifest;
mod open;
mod pack;
mod path;
mod poll;
mod refusal;
mod sign;
mod source;
mod trust;
mod watch;

#[cfg(test)]
pub(crate) use control::testing;
pub use control::{
    Available, CandidateListing, CandidateState, Change, ChangeError, Control, LastRefusal, Listing, Outcome,
    Ports, Reloaded, Request, SourceStatus, Trial, TrialId,
};
pub use load::{LoadError, cases, gather, read};
pub use manifest::{FORMAT, FileEntry, Manifest, NAME_IS, is_digest, is_name};
pub use open::Limits;
pub use pack::{Label, sign};
pub use poll::Fetcher;
pub use refusal::{Refusal, Refused};
pub use sign::{PublicKey, SigningKey};
pub use source::{Admission, CandidateConfig, Config, Found, Offer, Remote, Source};
pub use trust::Trust;
pub use watch::changes;

/// Policies with the cases that test them, from one source.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Absent for plain files.
    pub manifest: Option<Manifest>,
    /// The id of the key whose signature was verified.
    pub signer: Option<Arc<str>>,
    /// The ids of the keys that its signatures name. Of these, only `signer` was verified.
    pub signed_by: Vec<Arc<str>>,
    pub policies: Vec<SourceFile>,
    pub cases: Vec<SourceFile>,
}

/// A bundle that may decide calls: it compiles, and its cases pass.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub bundle: Arc<Bundle>,
    pub set: Arc<PolicySet>,
    /// How many cases passed.
    pub passed: usize,
    /// Warnings.
    pub findings: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Follows a source until the handle is dropped: files are watched, a URL is asked again and again.
#[derive(Debug)]
pub enum Follow {
    Files(Source),
    Url(Fetcher),
}

impl Follow {
    pub fn start(self, control: &Arc<Control>) -> AbortOnDropHandle<()> {
        let control = control.clone();
        AbortOnDropHandle::new(match self {
            Self::Files(source) => tokio::spawn(watch::follow(control, source)),
            Self::Url(fetcher) => tokio::spawn(poll::follow(control, fetcher)),
        })
    }
}

impl Bundle {
    /// The bundle of plain files, without manifest or signature.
    pub fn of_files(policies: Vec<SourceFile>, cases: Vec<SourceFile>) -> Self {
        Self { manifest: None, signer: None, signed_by: Vec::new(), policies, cases }
    }

    /// Compiles the policies and runs the cases; every mistake is in the refusal.
    pub fn prepare(self, options: &policy::Options) -> Result<Prepared, Refused> {
        let compiled = policy::compile(&self.policies, options);
        let (mut findings, mut sources) = (compiled.findings, compiled.sources);
        for source in &self.cases {
            sources.add(&source.file, &source.text);
        }
        let Some(set) = compiled.set else {
            return Err(Refused { refusal: Refusal::InvalidPolicy, findings, sources });
        };
        let (cases, mistakes) = policy::cases::read(&self.cases);
        let broken = mistakes.iter().any(Diagnostic::is_error);
        findings.extend(mistakes);
        if broken {
            diagnostic::sort(&mut findings);
            return Err(Refused { refusal: Refusal::InvalidCase, findings, sources });
        }
        let failed = policy::cases::run(&set, &cases).diagnostics();
        if !failed.is_empty() {
            findings.extend(failed);
            diagnostic::sort(&mut findings);
            return Err(Refused { refusal: Refusal::FailingCase, findings, sources });
        }
        let passed = cases.len();
        Ok(Prepared { bundle: Arc::new(self), set: Arc::new(set), passed, findings, sources })
    }
}

#[cfg(test)]
mod tests;
