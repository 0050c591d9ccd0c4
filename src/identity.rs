//! Who is calling, and how that was proven.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The principal of a call. Absent values are empty, as the policy language says.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub method: Method,
    pub subject: String,
    pub issuer: String,
    pub groups: Vec<String>,
    pub email: String,
    /// The human being behind the login, compared when nobody may approve their own call; from the configured
    /// `person` claim. `None` when the credential does not name one.
    pub person: Option<String>,
    /// The verified claims of the token.
    pub claims: Map<String, Value>,
    /// The SPIFFE id of the verified mTLS peer; empty without one.
    pub spiffe: String,
    /// When the credential ends.
    pub expires: Option<Timestamp>,
    /// The token's `jti`; empty without one.
    pub token_id: String,
}

/// How the caller was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Anonymous,
    Jwt,
    Mtls,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Jwt => "jwt",
            Self::Mtls => "mtls",
        }
    }
}

impl Identity {
    /// Nobody in particular: no credential was presented.
    pub fn anonymous() -> Arc<Self> {
        Arc::new(Self {
            method: Method::Anonymous,
            subject: String::new(),
            issuer: String::new(),
            groups: Vec::new(),
            email: String::new(),
            person: None,
            claims: Map::new(),
            spiffe: String::new(),
            expires: None,
            token_id: String::new(),
        })
    }

    pub fn is_anonymous(&self) -> bool {
        self.method == Method::Anonymous
    }
}
