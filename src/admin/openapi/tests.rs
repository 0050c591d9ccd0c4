use std::collections::BTreeSet;
use std::path::Path;

use super::super::http::DESCRIPTORS;
use super::super::tests::fixture;
use super::*;

fn pool() -> &'static DescriptorPool {
    DESCRIPTORS.as_ref().unwrap()
}

#[test]
fn the_description_is_the_one_that_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = format!("{:#}\n", document(pool()).unwrap());
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), made, "run `make docs`");
}

#[test]
fn every_method_has_an_address_and_its_comment_says_which() {
    let methods = pool().services().filter(|service| service.package_name() == PACKAGE).flat_map(|service| {
        let name = service.name().to_owned();
        service.methods().map(move |method| format!("{name}/{}", method.name())).collect::<Vec<_>>()
    });
    let described: BTreeSet<String> = ROUTES.iter().map(|route| route.rpc.to_owned()).collect();
    assert_eq!(methods.collect::<BTreeSet<_>>(), described);
    for route in &ROUTES {
        let method = method(route, pool()).unwrap();
        let comment = comment(&method.parent_file(), method.path());
        let address = comment.lines().next().unwrap().split('?').next().unwrap().to_owned();
        assert_eq!(address, format!("{} {}", route.method.to_uppercase(), route.path));
    }
}

/// What the router is built from: `.route("/api/...` in the sources.
#[test]
fn every_address_of_the_server_is_described_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
    let mut files = vec![folder.join("http.rs")];
    files.extend(std::fs::read_dir(folder.join("http")).unwrap().map(|entry| entry.unwrap().path()));
    let mut served = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for rest in text.split(".route(").skip(1) {
            let path = match rest.trim_start().starts_with("openapi::ADDRESS") {
                true => ADDRESS,
                false => rest.split('"').nth(1).unwrap(),
            };
            served.insert(path.to_owned());
        }
    }
    assert!(served.remove("/api/{*rest}"), "everything else");
    // One place of the router is all that is done with one request.
    let described = ROUTES.iter().map(|route| route.path.replace("{id}:", "{id}\n"));
    let mut described: BTreeSet<_> =
        described.map(|path| path.split('\n').next().unwrap().to_owned()).collect();
    described.insert(ADDRESS.to_owned());
    assert_eq!(served, described);
}

#[tokio::test]
async fn every_address_wants_a_token_and_takes_what_is_described() {
    let fixture = fixture().await;
    let document = document(pool()).unwrap();
    assert_eq!(fixture.get(None, ADDRESS).await.0, 401);
    assert_eq!(fixture.get(Some("dave+staff"), ADDRESS).await, (200, document.clone()));
    for route in &ROUTES {
        let path = route.path.replace("{id}", "0190");
        if route.method == "get" {
            assert_eq!(fixture.get(None, &path).await.0, 401, "{path}");
            continue;
        }
        assert_eq!(fixture.post(None, &path, json!({})).await.0, 401, "{path}");
        let schema =
            &document["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"];
        let mut body = example(schema);
        let (status, answer) = fixture.post(Some("olga+operators"), &path, body.clone()).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status < 500 && !message.contains("the body is not"), "{path} {body}: {answer}");
        body["unheard_of"] = json!(1);
        assert_eq!(fixture.post(Some("olga+operators"), &path, body).await.0, 400, "{path}");
        for name in route.required {
            let mut body = example(schema);
            body.as_object_mut().unwrap().remove(*name);
            assert_eq!(
                fixture.post(Some("olga+operators"), &path, body).await.0,
                400,
                "{path} without {name}"
            );
        }
    }
}

/// A value for every field.
fn example(schema: &Value) -> Value {
    let fields = schema["properties"].as_object().unwrap();
    let value = |field: &Value| match field["type"].as_str().unwrap() {
        "array" => json!(["x"]),
        "boolean" => json!(false),
        "string" if field["format"] == "date-time" => json!("2099-01-01T00:00:00Z"),
        "string" if field["contentEncoding"] == "base64" => json!("eA=="),
        "string" if field["enum"].is_array() => field["enum"][0].clone(),
        "string" => json!("subject"),
        other => panic!("no example of {other}"),
    };
    Value::Object(fields.iter().map(|(name, field)| (name.clone(), value(field))).collect())
}

/// Why `value` is not what `schema` says. Knows the words that the description uses, and refuses others.
fn violation(value: &Value, schema: &Value, document: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/")) {
        let referred = &document["components"]["schemas"][name];
        assert!(referred.is_object(), "there is no schema `{name}`");
        return violation(value, referred, document);
    }
    let known = [
        "type",
        "description",
        "properties",
        "additionalProperties",
        "required",
        "items",
        "minimum",
        "pattern",
        "format",
        "contentEncoding",
        "enum",
    ];
    assert!(schema.as_object().unwrap().keys().all(|word| known.contains(&word.as_str())), "{schema}");
    let wrong = || Some(format!("{value} is not {schema}"));
    match (schema["type"].as_str().unwrap(), value) {
        ("object", Value::Object(fields)) => {
            let required = schema["required"].as_array().into_iter().flatten();
            if let Some(name) = required.filter_map(Value::as_str).find(|name| !fields.contains_key(*name)) {
                return Some(format!("`{name}` is missing in {value}"));
            }
            fields.iter().find_map(|(name, field)| match schema["properties"].get(name) {
                Some(property) => violation(field, property, document),
                None => Some(format!("`{name}` is not described")),
            })
        }
        ("array", Value::Array(items)) => {
            items.iter().find_map(|item| violation(item, &schema["items"], document))
        }
        ("boolean", Value::Bool(_)) => None,
        ("integer", Value::Number(number)) if number.as_u64().is_some() => None,
        ("string", Value::String(text)) => {
            let fits = match (schema["pattern"].as_str(), schema["format"].as_str()) {
                (Some(pattern), _) => regex::Regex::new(pattern).unwrap().is_match(text),
                (_, Some("date-time")) => text.parse::<jiff::Timestamp>().is_ok(),
                _ => true,
            };
            let listed = schema["enum"].as_array().is_none_or(|names| names.contains(value));
            if fits && listed { None } else { wrong() }
        }
        _ => wrong(),
    }
}

#[tokio::test]
async fn answers_are_what_is_described() {
    let fixture = fixture().await;
    let document = document(pool()).unwrap();
    let held = fixture.hold("a", 1).await;
    let rejected = fixture.hold("b", 1).await;
    let waiting = fixture.hold("c", 1).await;
    fixture.decide("bob+finance", &rejected, "reject").await;
    let operator = "olga+operators+finance";
    let key = json!({"owner": "ci", "groups": ["robots"], "expires": "2099-01-01T00:00:00Z"});
    let (_, key) = fixture.post(Some(operator), "/api/v1/keys", key).await;
    let key = key["key"]["id"].as_str().unwrap().to_owned();
    let revocation = json!({"kind": "subject", "value": "mallory", "until": "2099-01-01T00:00:00Z"});
    let (_, revocation) = fixture.post(Some(operator), "/api/v1/revocations", revocation).await;
    let revocation = revocation["id"].as_str().unwrap().to_owned();
    let mut asked = 0;
    for route in &ROUTES {
        // A stream has no end, and its events are approvals; without a bundle there is nothing to change.
        if route.rpc == "Approvals/WatchApprovals" || (route.rpc.contains("Bundle") && route.method == "post")
        {
            continue;
        }
        let id = match route.rpc.split_once('/').unwrap() {
            ("Approvals", "WithdrawApproval") => &waiting,
            ("Approvals", _) => &held,
            ("ApiKeys", _) => &key,
            _ => &revocation,
        };
        let path = route.path.replace("{id}", id);
        let operation = &document["paths"][route.path][route.method];
        let body = match route.rpc {
            "ApiKeys/CreateApiKey" => json!({"owner": "x"}),
            "Revocations/CreateRevocation" => json!({"kind": "subject", "value": "x"}),
            _ => json!({"reason": "seen"}),
        };
        let (status, answer) = match route.method {
            "get" => fixture.get(Some(operator), &path).await,
            _ => fixture.post(Some(operator), &path, body).await,
        };
        let expected = if status == 200 { "200" } else { "default" };
        // What was approved can't be rejected, or released by somebody alone.
        let refused = ["Approvals/RejectApproval", "Approvals/BreakGlassApproval"].contains(&route.rpc);
        assert_eq!(status != 200, refused, "{path}: {answer}");
        let schema = &operation["responses"][expected]["content"]["application/json"]["schema"];
        assert_eq!(violation(&answer, schema, &document), None, "{path}");
        asked += 1;
    }
    assert_eq!(asked, 16);
}

#[test]
fn an_answer_that_is_not_described_would_be_seen() {
    let document = document(pool()).unwrap();
    let schema = json!({"$ref": "#/components/schemas/Approval"});
    let wrong = |value: Value| violation(&value, &schema, &document).is_some();
    assert!(!wrong(
        json!({"id": "1", "created": "2026-01-01T00:00:00Z", "grantFor": "3.5s", "rules": ["a"]})
    ));
    assert!(wrong(json!({"state": "open"})));
    assert!(wrong(json!({"colour": "red"})) && wrong(json!({"id": 1})) && wrong(json!({"rules": "a"})));
    assert!(wrong(json!({"created": "yesterday"})) && wrong(json!({"grantFor": "soon"})));
    assert!(wrong(json!({"votes": [{"by": "x"}]})) && wrong(json!([])));
}
