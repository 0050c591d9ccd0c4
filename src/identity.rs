//! Who is calling, and how that was proven.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The principal of a call. Absent values are empty, as the policy language says. `Debug` shows which claims there are, and
/// not what they say.
#[derive(Clone, PartialEq)]
pub struct Identity {
    pub method: Method,
    pub subject: String,
    pub issuer: String,
    pub groups: Vec<String>,
    pub email: String,
    /// What the credential is good for: the `scope` of RFC 8693 in single words.
    pub scopes: Vec<String>,
    /// The customer or department that the caller belongs to; empty without one.
    pub tenant: String,
    /// The human being behind the login, compared when nobody may approve their own call; from the configured
    /// `person` claim. `None` when the credential does not name one.
    pub person: Option<String>,
    /// The verified claims of the token.
    pub claims: Map<String, Value>,
    /// The SPIFFE id of the verified mTLS peer; empty without one.
    pub spiffe: String,
    /// When the credential was issued, where it says so.
    pub issued: Option<Timestamp>,
    /// When the credential ends.
    pub expires: Option<Timestamp>,
    /// The token's `jti`, or the id of the API key; empty without one.
    pub token_id: String,
    /// The login session that the token belongs to (`sid`); empty without one.
    pub session: String,
}

/// How the caller was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Anonymous,
    Jwt,
    /// An opaque token, looked up where it was issued (RFC 7662).
    Introspection,
    /// A Kubernetes service account or user, by TokenReview.
    Kubernetes,
    ApiKey,
    Basic,
    Mtls,
    /// The one-time token of a first login at the console; no call is ever made by it.
    OneTimeToken,
}

impl Method {
    /// What calls can be made by.
    pub const ALL: [Self; 7] = [
        Self::Anonymous,
        Self::Jwt,
        Self::Introspection,
        Self::Kubernetes,
        Self::ApiKey,
        Self::Basic,
        Self::Mtls,
    ];

    /// The name in policies, call files and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Jwt => "jwt",
            Self::Introspection => "introspection",
            Self::Kubernetes => "kubernetes",
            Self::ApiKey => "api_key",
            Self::Basic => "basic",
            Self::Mtls => "mtls",
            Self::OneTimeToken => "one_time_token",
        }
    }
}

impl Method {
    /// The method of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("method", &self.method)
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("groups", &self.groups)
            .field("spiffe", &self.spiffe)
            .field("expires", &self.expires)
            .field("claims", &self.claims.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
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
            scopes: Vec::new(),
            tenant: String::new(),
            person: None,
            claims: Map::new(),
            spiffe: String::new(),
            issued: None,
            expires: None,
            token_id: String::new(),
            session: String::new(),
        })
    }

    pub fn is_anonymous(&self) -> bool {
        self.method == Method::Anonymous
    }
}
