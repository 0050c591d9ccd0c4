//! One call of the tour, and what came back.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use reqwest::{Client, Method, RequestBuilder, Response};

use crate::setup::Setup;

#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: &'static str,
    body: Option<&'static str>,
    by: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Got {
    pub status: u16,
    pub body: String,
}

impl Call {
    pub(super) fn get(path: &'static str) -> Self {
        Self { method: Method::GET, path, body: None, by: None }
    }

    pub(super) fn post(path: &'static str, body: &'static str) -> Self {
        Self { method: Method::POST, path, body: Some(body), by: None }
    }

    /// With the token of this person.
    pub(super) fn by(mut self, person: &'static str) -> Self {
        self.by = Some(person);
        self
    }

    pub(super) fn request(&self, client: &Client, setup: &Setup) -> Result<RequestBuilder> {
        let mut request = client.request(self.method.clone(), format!("{}{}", setup.envoy.url(), self.path));
        if let Some(person) = self.by {
            let path = setup.token_path(person);
            let token =
                fs::read_to_string(&path).with_context(|| format!("no token `{}`", path.display()))?;
            request = request.bearer_auth(token);
        }
        if let Some(body) = self.body {
            request = request.header("content-type", "application/json").body(body);
        }
        Ok(request)
    }

    pub(super) async fn send(&self, client: &Client, setup: &Setup) -> Result<Got> {
        Got::of(self.request(client, setup)?.send().await?).await
    }
}

impl Got {
    pub(super) async fn of(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        Ok(Self { status, body: response.text().await? })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.by.unwrap_or("nobody"), self.method, self.path)?;
        self.body.map_or(Ok(()), |body| write!(f, " {body}"))
    }
}
