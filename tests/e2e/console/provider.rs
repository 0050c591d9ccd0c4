//! npm's oidc-provider: a certified implementation that shares no line with ours.

use std::path::Path;

use portcullis_sample::child::Child;
use portcullis_sample::repository;

pub const SECRET: &str = "the client's secret";

pub struct Provider {
    issuer: String,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Provider {
    /// For the console at this address. Its own name is another host, so that the way back is from another site.
    pub async fn start(console: &str) -> Self {
        let free = super::address_of_our_own();
        let issuer = format!("http://localhost:{}", free.port());
        let folder = tempfile::tempdir().unwrap();
        let script = repository().join("scripts/oidc-provider/provider.mjs");
        let callback = format!("{console}/login/callback");
        let arguments = [script.to_str().unwrap(), &issuer, "console", SECRET, &callback];
        let log = folder.path().join("provider.log");
        let mut child = Child::start("oidc-provider", Path::new("node"), arguments, &log).unwrap();
        let configuration = format!("{issuer}/.well-known/openid-configuration");
        let ready =
            async || reqwest::get(&configuration).await.is_ok_and(|answer| answer.status().is_success());
        child.wait_until_ready(ready).await.unwrap();
        Self { issuer, _child: child, _folder: folder }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}
