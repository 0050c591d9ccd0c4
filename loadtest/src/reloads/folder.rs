//! A folder of policies as Kubernetes mounts a ConfigMap: each file is a link through `..data`, and a new revision is
//! put in place by turning that one link.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const FILE: &str = "policies.yaml";

pub struct Folder {
    path: PathBuf,
    policies: u32,
}

/// The path that asks service `service` for `item`.
pub fn path(service: u32, item: u32) -> String {
    format!("/s{service:04}/items/{item}")
}

impl Folder {
    /// Creates the folder for sets of `policies` policies; it shows nothing yet.
    pub fn create(path: &Path, policies: u32) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create `{}`", path.display()))?;
        symlink(Path::new("..data").join(FILE), path.join(FILE))?;
        Ok(Self { path: path.to_owned(), policies })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts revision `number` in place, and returns its text.
    pub fn show(&self, number: u32) -> Result<String> {
        let text: Vec<_> = (0..self.policies).map(|service| policy(service, number)).collect();
        let text = text.join("---\n");
        let name = format!("..revision-{number}");
        fs::create_dir(self.path.join(&name))?;
        fs::write(self.path.join(&name).join(FILE), &text)?;
        let (next, current) = (self.path.join("..next"), self.path.join("..data"));
        symlink(&name, &next)?;
        fs::rename(&next, &current)?;
        if let Some(last) = number.checked_sub(1) {
            fs::remove_dir_all(self.path.join(format!("..revision-{last}")))?;
        }
        Ok(text)
    }
}

/// What is allowed and what is denied differs from revision to revision.
fn policy(service: u32, number: u32) -> String {
    let mut yaml = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        yaml,
        "apiVersion: portcullis.dev/v1alpha1\n\
         kind: Policy\n\
         metadata: {{name: s{service:04}}}\n\
         spec:\n  \
           match: [{{paths: [\"/s{service:04}/items/{{item}}\"], methods: [GET]}}]\n  \
           rules:\n    \
             - {{name: read, when: 'int(path.item) % 7 != {}', allow: {{}}}}\n    \
             - {{name: closed, when: 'int(path.item) % 11 == {}', deny: {{because: revision {number}}}}}\n",
        number % 7,
        number % 11,
    );
    yaml
}
