//! The OpenAPI 3.1 description of the JSON API: the messages of the `.proto` file, and the addresses below.
//!
//! The addresses are written down once more because the router can't be asked for its own; tests compare both, and what
//! the server really answers, with the description.

use std::collections::BTreeMap;

use prost_reflect::{
    DescriptorPool, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use serde_json::{Map, Value, json};

use crate::approval::State;

const PACKAGE: &str = "portcullis.admin.v1";

/// Where the description itself is.
pub(super) const ADDRESS: &str = "/api/v1/openapi.json";

/// The fields that hold a state of a request for approval.
const STATES: [&str; 3] = [
    "portcullis.admin.v1.Approval.state",
    "portcullis.admin.v1.PastDecision.state",
    "portcullis.admin.v1.ListApprovalsRequest.state",
];

/// One address of the JSON API.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// `Service/Method` of the `.proto` file.
    pub(super) rpc: &'static str,
    /// Fields that a request's body must have.
    pub(super) required: &'static [&'static str],
}

const fn get(path: &'static str, rpc: &'static str) -> Route {
    Route { method: "get", path, rpc, required: &[] }
}

const fn post(path: &'static str, rpc: &'static str, required: &'static [&'static str]) -> Route {
    Route { method: "post", path, rpc, required }
}

pub(super) const ROUTES: [Route; 21] = [
    get("/api/v1/approvals", "Approvals/ListApprovals"),
    get("/api/v1/approvals/{id}", "Approvals/GetApproval"),
    post("/api/v1/approvals/{id}:approve", "Approvals/ApproveApproval", &[]),
    post("/api/v1/approvals/{id}:reject", "Approvals/RejectApproval", &[]),
    post("/api/v1/approvals/{id}:breakGlass", "Approvals/BreakGlassApproval", &[]),
    post("/api/v1/approvals/{id}:withdraw", "Approvals/WithdrawApproval", &[]),
    post("/api/v1/approvals/{id}:revoke", "Approvals/RevokeApproval", &[]),
    get("/api/v1/approvals:watch", "Approvals/WatchApprovals"),
    get("/api/v1/bundles", "Bundles/ListBundles"),
    get("/api/v1/bundles/history", "Bundles/ListBundleEvents"),
    post("/api/v1/bundles:activate", "Bundles/ActivateBundle", &["archive"]),
    post("/api/v1/bundles:rollback", "Bundles/RollbackBundle", &[]),
    post("/api/v1/bundles:pin", "Bundles/PinBundle", &[]),
    post("/api/v1/bundles:unpin", "Bundles/UnpinBundle", &[]),
    get("/api/v1/candidate", "Candidates/GetCandidate"),
    get("/api/v1/keys", "ApiKeys/ListApiKeys"),
    post("/api/v1/keys", "ApiKeys/CreateApiKey", &["owner"]),
    post("/api/v1/keys/{id}:revoke", "ApiKeys/RevokeApiKey", &[]),
    get("/api/v1/revocations", "Revocations/ListRevocations"),
    post("/api/v1/revocations", "Revocations/CreateRevocation", &["kind", "value"]),
    post("/api/v1/revocations/{id}:undo", "Revocations/UndoRevocation", &[]),
];

/// The whole description; `None` when the descriptors don't have what `ROUTES` names.
pub(super) fn document(pool: &DescriptorPool) -> Option<Value> {
    let mut schemas = BTreeMap::new();
    schemas.insert("Error".to_owned(), error_schema());
    let mut paths = Map::new();
    for route in &ROUTES {
        let operation = operation(route, pool, &mut schemas)?;
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item.as_object_mut()?.insert(route.method.to_owned(), operation);
    }
    paths.insert(ADDRESS.to_owned(), json!({"get": {
        "operationId": "GetDescription",
        "summary": "This description.",
        "responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {"schema": {"type": "object"}}}}},
    }}));
    Some(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis admin API",
            "version": "v1",
            "description": "Held calls and the people who decide on them, which policies decide, keys and revocations. \
                            The same as gRPC: proto/portcullis/admin/v1/admin.proto.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": schemas,
        },
    }))
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "Why there is no answer: a code for programs, and words for people.",
        "properties": {
            "code": {"type": "string", "description": "docs/reference.md, \"Errors of the admin API\", lists them with their statuses."},
            "message": {"type": "string"},
        },
        "required": ["code", "message"],
        "additionalProperties": false,
    })
}

/// The method that a route stands for.
pub(super) fn method(route: &Route, pool: &DescriptorPool) -> Option<MethodDescriptor> {
    let (service, method) = route.rpc.split_once('/')?;
    let service = pool.get_service_by_name(&format!("{PACKAGE}.{service}"))?;
    service.methods().find(|one| one.name() == method)
}

fn operation(route: &Route, pool: &DescriptorPool, schemas: &mut BTreeMap<String, Value>) -> Option<Value> {
    let method = method(route, pool)?;
    let input: Vec<FieldDescriptor> = method.input().fields().collect();
    let (in_path, rest): (Vec<_>, Vec<_>) =
        input.into_iter().partition(|field| route.path.contains(&format!("{{{}}}", field.json_name())));
    let mut parameters: Vec<Value> = in_path.iter().map(|field| parameter(field, "path", schemas)).collect();
    // The first line of a method's comment is its address.
    let comment = comment(&method.parent_file(), method.path());
    let description = comment.split_once('\n').map_or("", |(_, rest)| rest);
    let mut operation = json!({
        "operationId": method.name(),
        "tags": [method.parent_service().name()],
        "summary": summary(method.name()),
        "description": description,
    });
    let fields = operation.as_object_mut()?;
    if route.method == "get" {
        parameters.extend(rest.iter().map(|field| parameter(field, "query", schemas)));
    } else {
        let mut schema = object(rest.iter(), schemas);
        if !route.required.is_empty() {
            schema.as_object_mut()?.insert("required".to_owned(), json!(route.required));
        }
        let body = json!({"required": !route.required.is_empty(), "content": {"application/json": {"schema": schema}}});
        fields.insert("requestBody".to_owned(), body);
    }
    if !parameters.is_empty() {
        fields.insert("parameters".to_owned(), Value::Array(parameters));
    }
    let answer = reference(&method.output(), schemas);
    let (kind, what) = if method.is_server_streaming() {
        ("text/event-stream", "Server-sent events: the name of each is its `kind`, its data one of these.")
    } else {
        ("application/json", "The answer.")
    };
    fields.insert(
        "responses".to_owned(),
        json!({
            "200": {"description": what, "content": {kind: {"schema": answer}}},
            "default": {
                "description": "No answer, and why.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        }),
    );
    Some(operation)
}

/// A method's name as words: `ListApprovals` is `List approvals`.
fn summary(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_add(4));
    for (at, c) in name.chars().enumerate() {
        if at > 0 && c.is_ascii_uppercase() {
            out.push(' ');
        }
        out.push(if at > 0 { c.to_ascii_lowercase() } else { c });
    }
    out
}

fn parameter(field: &FieldDescriptor, place: &str, schemas: &mut BTreeMap<String, Value>) -> Value {
    json!({
        "name": field.json_name(),
        "in": place,
        "required": place == "path",
        "schema": schema(field, schemas),
    })
}

/// An object of these fields, as the server writes it: what has its default value may be left out.
fn object<'f>(
    fields: impl Iterator<Item = &'f FieldDescriptor>,
    schemas: &mut BTreeMap<String, Value>,
) -> Value {
    let properties: Map<String, Value> =
        fields.map(|field| (field.json_name().to_owned(), schema(field, schemas))).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// The schema of a field, in canonical protobuf JSON.
fn schema(field: &FieldDescriptor, schemas: &mut BTreeMap<String, Value>) -> Value {
    let mut schema = match field.kind() {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer"}),
        // JavaScript's numbers are too short for them.
        Kind::Uint64 | Kind::Fixed64 | Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({"type": "string", "pattern": "^-?[0-9]+$"})
        }
        Kind::Float | Kind::Double => json!({"type": "number"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::String | Kind::Enum(_) => json!({"type": "string"}),
        Kind::Message(message) => reference(&message, schemas),
    };
    if STATES.contains(&field.full_name())
        && let Some(fields) = schema.as_object_mut()
    {
        fields.insert("enum".to_owned(), json!(State::ALL.map(State::as_str)));
    }
    if field.is_list() {
        schema = json!({"type": "array", "items": schema});
    }
    let comment = comment(&field.parent_file(), field.path());
    if let (false, Some(fields)) = (comment.is_empty(), schema.as_object_mut()) {
        fields.insert("description".to_owned(), Value::String(comment));
    }
    schema
}

/// A message: a text for those that JSON writes as one, or a schema of its own.
fn reference(message: &MessageDescriptor, schemas: &mut BTreeMap<String, Value>) -> Value {
    match message.full_name() {
        "google.protobuf.Timestamp" => return json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => return json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"}),
        _ => {}
    }
    let name = message.name().to_owned();
    if !schemas.contains_key(&name) {
        // Its place is taken before its fields are looked at: a message may hold itself.
        schemas.insert(name.clone(), Value::Null);
        let mut schema = object(message.fields().collect::<Vec<_>>().iter(), schemas);
        let comment = comment(&message.parent_file(), message.path());
        if let (false, Some(fields)) = (comment.is_empty(), schema.as_object_mut()) {
            fields.insert("description".to_owned(), Value::String(comment));
        }
        schemas.insert(name.clone(), schema);
    }
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// What the `.proto` file says above the thing at `path`.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let locations = info.map(|info| info.location.as_slice()).unwrap_or_default();
    let found = locations.iter().find(|location| location.path == path);
    let lines = found.map(|location| location.leading_comments()).unwrap_or_default().lines();
    lines.map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests;
