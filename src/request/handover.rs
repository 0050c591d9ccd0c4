//! What the configurations of a proxy and of the server call a handover.

/// One call, decided by ext_authz and masked by ext_proc.
#[derive(Clone, Copy, Debug)]
pub struct Handover;

impl Handover {
    /// The gRPC metadata by which each of the two filters says that it takes part.
    pub const MARK: &str = "x-portcullis-handover";
    /// What ext_authz says there: ext_proc follows.
    pub const GIVES: &str = "gives";
    /// What ext_proc says there: no call comes past ext_authz.
    pub const EXPECTS: &str = "expects";
    /// The namespace of dynamic metadata that Envoy keeps what ext_authz says in, and that ext_proc must be shown.
    pub const NAMESPACE: &str = "envoy.filters.http.ext_authz";
}
