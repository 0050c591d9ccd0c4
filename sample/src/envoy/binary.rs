//! Where the pinned Envoy is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::repository;

/// The version that `scripts/tools` installs and that everything here is tested with.
pub const VERSION: &str = "1.40.0";

/// Where `scripts/tools` puts it.
const INSTALLED: [&str; 2] = [".tools/envoy/envoy/_bin/envoy", ".tools/envoy/bin/envoy"];

/// The first of: what ENVOY_BIN names, what `scripts/tools` installed, an Envoy of this version on the PATH.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = env::var_os("ENVOY_BIN") {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!("ENVOY_BIN names `{}`, which is not a file", named.display());
        }
        return Ok(named);
    }
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| installed().or_else(on_path))
        .clone()
        .with_context(|| format!("no Envoy {VERSION}; `scripts/tools` installs it, or set ENVOY_BIN"))
}

fn installed() -> Option<PathBuf> {
    INSTALLED.iter().map(|path| repository().join(path)).find(|path| path.is_file())
}

fn on_path() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("envoy")).find(|candidate| is_pinned(candidate))
}

fn is_pinned(candidate: &Path) -> bool {
    let shown = Command::new(candidate).arg("--version").output();
    shown.is_ok_and(|shown| String::from_utf8_lossy(&shown.stdout).contains(&format!("/{VERSION}/")))
}
