//! Reads call files: what `--call` names, what `*.cases.yaml` hold, and what recorded calls export to.

use std::sync::Arc;

use jiff::Timestamp;

use super::decision::ResponseHead;
use crate::document::{Fields, Node, Reader, Value};
use crate::identity::{Identity, Method};
use crate::request::{Body, Connection, Header, Headers, Limits, Parts, Peer, Request};

/// One call to be judged.
#[derive(Clone, Debug)]
pub struct CallFile {
    pub request: Request,
    pub identity: Arc<Identity>,
    pub response: Option<Response>,
    /// Whether the listener is a gateway, where policies may match by host alone.
    pub gateway: bool,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub head: ResponseHead,
    pub body: String,
}

/// The fields that a call takes from the map `fields`; `None` when a mistake was reported.
pub fn read(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<CallFile> {
    let before = reader.findings.len();
    let mut parts = Parts::default();
    if let Some(node) = fields.required("request", reader) {
        request(node, &mut parts, reader);
    }
    let identity = fields
        .optional("identity")
        .map_or_else(|| Some(Identity::anonymous()), |node| identity(node, reader));
    if let Some(node) = fields.optional("source") {
        parts.source = peer(node, "`source`", reader);
    }
    if let Some(node) = fields.optional("destination") {
        parts.destination = peer(node, "`destination`", reader);
    }
    if let Some(node) = fields.optional("connection") {
        parts.connection = connection(node, reader);
    }
    if let Some(node) = fields.optional("context") {
        parts.context = texts(node, "`context`", reader).into_iter().collect();
    }
    if let Some(node) = fields.optional("metadata") {
        parts.metadata = object(node, "`metadata`", reader);
    }
    let gateway =
        fields.optional("gateway").and_then(|node| reader.boolean(node, "`gateway`")).unwrap_or(false);
    let response = fields.optional("response").and_then(|node| response(node, reader));
    let request = Request::assemble(parts, &Limits::default());
    (reader.findings.len() == before).then_some(CallFile { request, identity: identity?, response, gateway })
}

fn request(node: &Node, parts: &mut Parts, reader: &mut Reader) {
    let Some(mut fields) = reader.fields(node, "`request`") else { return };
    let mut text = |name: &'static str, default: &str, reader: &mut Reader| {
        let found = fields.optional(name).and_then(|node| reader.string(node, name));
        found.unwrap_or(default).to_owned()
    };
    parts.method = text("method", "GET", reader);
    parts.host = text("host", "localhost", reader);
    parts.path = text("path", "/", reader);
    parts.scheme = text("scheme", "http", reader);
    parts.protocol = text("protocol", "HTTP/1.1", reader);
    parts.id = text("id", "", reader);
    if let Some(node) = fields.optional("time") {
        match reader.string(node, "`time`").map(str::parse::<Timestamp>) {
            Some(Ok(time)) => parts.time = time,
            Some(Err(_)) => {
                reader.error(
                    node.span,
                    "invalid-time",
                    "`time` is not a time such as `2026-11-21T08:00:00Z`",
                );
            }
            None => {}
        }
    }
    if let Some(node) = fields.optional("headers") {
        parts.headers = headers(node, reader);
    }
    let body = fields.optional("body").and_then(|node| body(node, reader));
    parts.body = Body::Complete(body.unwrap_or_default().into());
    if let Some(node) = fields.optional("partial_body")
        && reader.boolean(node, "`partial_body`") == Some(true)
    {
        parts.body = Body::Partial;
    }
    fields.close(reader);
}

/// A body as written, or a map or list that becomes JSON.
pub fn body(node: &Node, reader: &mut Reader) -> Option<String> {
    match &node.value {
        Value::Map(_) | Value::Seq(_) => Some(node.to_json().to_string()),
        _ => reader.string(node, "`body`").map(str::to_owned),
    }
}

/// A map of any values, as JSON has it.
fn object(node: &Node, what: &str, reader: &mut Reader) -> serde_json::Map<String, serde_json::Value> {
    match node.to_json() {
        serde_json::Value::Object(map) => map,
        _ => reader.wrong_kind(node, what, "a map").unwrap_or_default(),
    }
}

fn headers(node: &Node, reader: &mut Reader) -> Headers {
    texts(node, "`headers`", reader).into_iter().map(|(name, value)| Header::new(&name, value)).collect()
}

/// A map of texts, in which a list stands for a key that comes several times.
pub fn texts(node: &Node, what: &str, reader: &mut Reader) -> Vec<(String, String)> {
    let Value::Map(entries) = &node.value else {
        reader.wrong_kind::<()>(node, what, "a map");
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in entries {
        let one = std::slice::from_ref(&entry.value);
        let values = if let Value::Seq(items) = &entry.value.value { items.as_slice() } else { one };
        for value in values {
            let text = reader.string(value, &format!("a value of {what}"));
            read.extend(text.map(|text| (entry.key.clone(), text.to_owned())));
        }
    }
    read
}

fn identity(node: &Node, reader: &mut Reader) -> Option<Arc<Identity>> {
    let mut fields = reader.fields(node, "`identity`")?;
    if let Some(token) = fields.optional("token") {
        let help = "write `subject`, `issuer`, `groups`; `portcullis token verify` prints a token's identity";
        reader.error_with_help(token.span, "token-in-call", "tokens are not verified here", help);
        return None;
    }
    let mut text = |name: &'static str, reader: &mut Reader| {
        let found = fields.optional(name).and_then(|node| reader.string(node, name));
        found.unwrap_or_default().to_owned()
    };
    let (subject, issuer, email) = (text("subject", reader), text("issuer", reader), text("email", reader));
    let (spiffe, tenant) = (text("spiffe", reader), text("tenant", reader));
    let person = Some(text("person", reader)).filter(|person| !person.is_empty());
    let mut texts = |name: &'static str, reader: &mut Reader| {
        fields.optional(name).map_or(Some(Vec::new()), |node| reader.strings(node, &format!("`{name}`")))
    };
    let (groups, scopes) = (texts("groups", reader), texts("scopes", reader));
    let claims = fields.optional("claims").map(|node| object(node, "`claims`", reader)).unwrap_or_default();
    let words = Method::ALL.map(|method| (method.as_str(), method));
    let named = fields.optional("method").map(|node| reader.word(node, "method", &words));
    fields.close(reader);
    let method = named.unwrap_or(Some(if subject.is_empty() && spiffe.is_empty() {
        Method::Anonymous
    } else if subject.is_empty() {
        Method::Mtls
    } else {
        Method::Jwt
    }))?;
    Some(Arc::new(Identity {
        method,
        subject,
        issuer,
        groups: groups?,
        email,
        scopes: scopes?,
        tenant,
        person,
        claims,
        spiffe,
        ..Identity::clone(&Identity::anonymous())
    }))
}

fn peer(node: &Node, what: &'static str, reader: &mut Reader) -> Peer {
    let Some(mut fields) = reader.fields(node, what) else { return Peer::default() };
    let mut text = |name: &'static str, reader: &mut Reader| {
        let found = fields.optional(name).and_then(|node| reader.string(node, name));
        found.unwrap_or_default().to_owned()
    };
    let (address, principal) = (text("address", reader), text("principal", reader));
    let port = fields.optional("port").and_then(|node| reader.integer(node, "a port", 0..=65_535));
    fields.close(reader);
    Peer { address, principal, port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0) }
}

fn connection(node: &Node, reader: &mut Reader) -> Connection {
    let Some(mut fields) = reader.fields(node, "`connection`") else { return Connection::default() };
    let mtls = fields.optional("mtls").and_then(|node| reader.boolean(node, "`mtls`")).unwrap_or(false);
    let name =
        fields.optional("requested_server_name").and_then(|node| reader.string(node, "the server name"));
    fields.close(reader);
    Connection {
        mtls,
        requested_server_name: name.unwrap_or_default().to_owned(),
        certificate: String::new(),
    }
}

fn response(node: &Node, reader: &mut Reader) -> Option<Response> {
    let mut fields = reader.fields(node, "`response`")?;
    let code = fields.optional("code").map_or(Some(200), |node| reader.integer(node, "the code", 100..=599));
    let headers = fields.optional("headers").map(|node| headers(node, reader)).unwrap_or_default();
    let body = fields.optional("body").and_then(|node| body(node, reader)).unwrap_or_default();
    fields.close(reader);
    Some(Response { head: ResponseHead { code: u16::try_from(code?).unwrap_or(200), headers }, body })
}
