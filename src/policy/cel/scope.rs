//! The call as conditions see it: each attribute's value, borrowed; body and query parsed at most once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::EvaluationError;
use super::attribute::Attribute;
use super::value::Value;
use crate::policy::decision::Call;
use crate::request::{Headers, Part, percent_decode};
use crate::strict_json;

/// One call under evaluation, seen through one policy's path pattern.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Absent where only constants are evaluated.
    call: Option<Call<'a>>,
    captures: &'a [Part],
    input: Option<&'a Json>,
    // What is parsed once for one policy is kept for the next.
    body: OnceCell<Result<Json, EvaluationError>>,
    params: OnceCell<Result<Params, EvaluationError>>,
}

type Params = BTreeMap<String, Vec<String>>;
type Object = serde_json::Map<String, Json>;

impl<'a> Scope<'a> {
    pub fn of(call: Call<'a>) -> Self {
        Self { call: Some(call), ..Self::empty() }
    }

    /// A scope in which no attribute has a value.
    pub fn empty() -> Self {
        Self { call: None, captures: &[], input: None, body: OnceCell::new(), params: OnceCell::new() }
    }

    /// From now on the same call is seen through a path pattern that captured these parts.
    pub fn capture(&mut self, captures: &'a [Part]) {
        self.captures = captures;
    }

    #[must_use]
    pub fn with_input(mut self, input: &'a Json) -> Self {
        self.input = Some(input);
        self
    }

    pub fn attribute(&self, attribute: Attribute) -> Result<Value<'_>, EvaluationError> {
        if let Some(text) = self.text(attribute) {
            return Ok(Value::Text(text));
        }
        let absent = || EvaluationError::Absent(attribute.name(&[]));
        if attribute == Attribute::Input {
            return self.input.map(Value::from).ok_or_else(absent);
        }
        let call = self.call.as_ref().ok_or_else(absent)?;
        let (request, identity) = (call.request, call.identity);
        Ok(match attribute {
            Attribute::Params => Value::Params(self.params(request.path.query())?),
            Attribute::Headers => Value::Headers(&request.headers),
            Attribute::Size => Value::Int(size(call).ok_or_else(absent)?),
            Attribute::Time => Value::Timestamp(request.time),
            Attribute::Body => self.body()?.map(Value::from).ok_or_else(absent)?,
            Attribute::RawBody => Value::Bytes(Cow::Borrowed(
                request.body.complete().ok_or(EvaluationError::BodyUnavailable)?.as_ref(),
            )),
            Attribute::Groups => Value::Texts(&identity.groups),
            Attribute::Scopes => Value::Texts(&identity.scopes),
            Attribute::Claims => Value::Object(&identity.claims),
            Attribute::SourcePort => Value::Int(request.source.port.into()),
            Attribute::DestinationPort => Value::Int(request.destination.port.into()),
            Attribute::Mtls => Value::Bool(request.connection.mtls),
            Attribute::ResponseCode => Value::Int(call.response.ok_or_else(absent)?.code.into()),
            Attribute::ResponseHeaders => Value::Headers(&call.response.ok_or_else(absent)?.headers),
            Attribute::Context => Value::TextMap(&request.context),
            Attribute::Metadata => Value::Object(&request.metadata),
            _ => return Err(absent()),
        })
    }

    /// What it costs, in steps, to read an attribute beyond a constant: captures are found and decoded at each read,
    /// and some attributes are read out of the headers.
    #[inline]
    pub fn read_cost(&self, attribute: Attribute) -> usize {
        let Some(call) = &self.call else { return 0 };
        match attribute {
            Attribute::Capture(_) => call.request.path.url_path().len() / 8,
            Attribute::Host => call.request.host.len() / 16,
            Attribute::GrpcService | Attribute::GrpcMethod | Attribute::Size => {
                call.request.headers.iter().count() / 4
            }
            _ => 0,
        }
    }

    /// The value of an attribute that is a text; `None` when it is absent or none.
    pub fn text(&self, attribute: Attribute) -> Option<Cow<'_, str>> {
        match attribute {
            Attribute::Host => Some(self.call.as_ref()?.request.host_name()),
            Attribute::Capture(index) => self.captured(index),
            _ => self.borrowed_text(attribute).map(Cow::Borrowed),
        }
    }

    /// The same for an attribute that is never made for the call: most are there as they are read.
    #[inline]
    pub fn borrowed_text(&self, attribute: Attribute) -> Option<&str> {
        let call = self.call.as_ref()?;
        let (request, identity) = (call.request, call.identity);
        Some(match attribute {
            Attribute::Method => &request.method,
            Attribute::Path => request.path.raw(),
            Attribute::UrlPath => request.path.url_path(),
            Attribute::Query => request.path.query(),
            Attribute::Scheme => &request.scheme,
            Attribute::Protocol => &request.protocol,
            Attribute::Id => &request.id,
            Attribute::Subject => &identity.subject,
            Attribute::Issuer => &identity.issuer,
            Attribute::Email => &identity.email,
            Attribute::Tenant => &identity.tenant,
            Attribute::IdentityMethod => identity.method.as_str(),
            Attribute::Spiffe => &identity.spiffe,
            Attribute::SourceAddress => &request.source.address,
            Attribute::SourcePrincipal => &request.source.principal,
            Attribute::DestinationAddress => &request.destination.address,
            Attribute::DestinationPrincipal => &request.destination.principal,
            Attribute::RequestedServerName => &request.connection.requested_server_name,
            Attribute::GrpcService => grpc(call)?.0,
            Attribute::GrpcMethod => grpc(call)?.1,
            _ => return None,
        })
    }

    /// The object that a path of names begins in.
    #[inline]
    pub fn object(&self, attribute: Attribute, first: &str) -> Result<&Object, Box<EvaluationError>> {
        let absent = || EvaluationError::Absent(attribute.name(&[]));
        let json = match (attribute, &self.call) {
            (Attribute::Claims, Some(call)) => return Ok(&call.identity.claims),
            (Attribute::Metadata, Some(call)) => return Ok(&call.request.metadata),
            (Attribute::Body, Some(_)) => self.body()?,
            (Attribute::Input, _) => self.input,
            _ => None,
        };
        let json = json.ok_or_else(absent)?;
        let name = || first.to_owned();
        json.as_object().ok_or_else(|| {
            EvaluationError::NotAMap { name: name(), found: Value::from(json).type_name() }.into()
        })
    }

    /// One of Envoy's context extensions.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.call.as_ref()?.request.context.get(name).map(String::as_str)
    }

    /// The headers of the request or the response, when there is one.
    pub fn headers(&self, response: bool) -> Result<&Headers, Box<EvaluationError>> {
        let attribute = if response { Attribute::ResponseHeaders } else { Attribute::Headers };
        let call = self.call.as_ref();
        let headers = call.and_then(|call| {
            if response { call.response.map(|head| &head.headers) } else { Some(&call.request.headers) }
        });
        headers.ok_or_else(|| EvaluationError::Absent(attribute.name(&[])).into())
    }

    /// The body as JSON; `None` when it is complete and empty.
    pub fn body(&self) -> Result<Option<&Json>, EvaluationError> {
        let body = self.call.as_ref().and_then(|call| call.request.body.complete());
        let Some(bytes) = body else { return Err(EvaluationError::BodyUnavailable) };
        if bytes.is_empty() {
            return Ok(None);
        }
        let parsed = self.body.get_or_init(|| {
            strict_json::value(bytes).map_err(|error| EvaluationError::BodyInvalid(error.to_string()))
        });
        parsed.as_ref().map(Some).map_err(Clone::clone)
    }

    /// A captured part of the path, decoded; what does not decode is as good as absent.
    fn captured(&self, index: usize) -> Option<Cow<'_, str>> {
        let part = self.call.as_ref()?.request.path.part(*self.captures.get(index)?)?;
        if part.contains('%') { percent_decode(part, false).map(Cow::Owned) } else { Some(part.into()) }
    }

    fn params(&self, query: &str) -> Result<&Params, EvaluationError> {
        let parsed = self.params.get_or_init(|| parse_query(query).ok_or(EvaluationError::QueryInvalid));
        parsed.as_ref().map_err(Clone::clone)
    }
}

/// The declared length, else that of the body that is here.
fn size(call: &Call<'_>) -> Option<i64> {
    let declared = call.request.headers.text("content-length").ok().flatten();
    match declared {
        Some(text) => text.trim().parse().ok().filter(|size| *size >= 0),
        None => call.request.body.complete().and_then(|body| i64::try_from(body.len()).ok()),
    }
}

/// Service and method of a gRPC call, whose path is `/package.Service/Method`.
fn grpc<'a>(call: &Call<'a>) -> Option<(&'a str, &'a str)> {
    let content_type = call.request.headers.text("content-type").ok().flatten()?;
    let rest = content_type.strip_prefix("application/grpc")?;
    if !(rest.is_empty() || rest.starts_with(['+', ';', '-'])) {
        return None;
    }
    let mut segments = call.request.path.segments();
    let (service, method) = (segments.next()?, segments.next()?);
    segments.next().is_none().then_some((service, method))
}

/// `application/x-www-form-urlencoded`; `None` when an escape is broken or does not make UTF-8.
fn parse_query(query: &str) -> Option<Params> {
    let mut params = Params::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        params.entry(percent_decode(name, true)?).or_default().push(percent_decode(value, true)?);
    }
    Some(params)
}
