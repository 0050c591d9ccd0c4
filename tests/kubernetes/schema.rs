//! The published resources in a form of our own, and what in a manifest is not of that form.

use portcullis::proxy::tree::Source;
use serde_json::{Map, Value};

/// By kind.
pub struct Schemas(Map<String, Value>);

impl Schemas {
    pub fn read() -> Self {
        let mut all = Map::new();
        for text in [include_str!("istio.yaml"), include_str!("gateway.yaml")] {
            let source = Source::parse("schema", text).unwrap();
            let Value::Object(kinds) = source.roots[0].to_json() else { panic!("no map") };
            assert!(kinds.values().all(|kind| kind["source"].as_str().unwrap().starts_with("https://")));
            all.extend(kinds);
        }
        Self(all)
    }

    /// Everything in these documents that the published resources don't have, with its path.
    pub fn mistakes(&self, text: &str) -> Vec<String> {
        let source = Source::parse("manifest", text).unwrap();
        let mut mistakes = Vec::new();
        for root in &source.roots {
            self.document(&root.to_json(), &mut mistakes);
        }
        mistakes
    }

    fn document(&self, value: &Value, mistakes: &mut Vec<String>) {
        let Some(kind) = value.get("kind") else {
            return check(value, &self.0["MeshConfig"]["root"], "", mistakes);
        };
        let kind = kind.as_str().unwrap();
        // Kubernetes' own, which only a sample has.
        if ["Deployment", "Service", "StatefulSet"].contains(&kind) {
            return;
        }
        let Some(schema) = self.0.get(kind) else { return mistakes.push(format!("unknown kind {kind}")) };
        check(&value["apiVersion"], &schema["apiVersion"], &format!("{kind}.apiVersion"), mistakes);
        check(&value["spec"], &schema["spec"], &format!("{kind}.spec"), mistakes);
        for (field, _) in value.as_object().unwrap() {
            if !["apiVersion", "kind", "metadata", "spec"].contains(&field.as_str()) {
                mistakes.push(format!("{kind}.{field}: unknown field"));
            }
        }
        for (field, _) in value["metadata"].as_object().unwrap() {
            if !["name", "namespace", "labels", "annotations"].contains(&field.as_str()) {
                mistakes.push(format!("{kind}.metadata.{field}: unknown field"));
            }
        }
    }
}

fn check(value: &Value, schema: &Value, path: &str, mistakes: &mut Vec<String>) {
    match (schema, value) {
        (Value::String(kind), _) => {
            if !is(value, kind) {
                mistakes.push(format!("{path}: {value} is no {kind}"));
            }
        }
        (Value::Array(items), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                check(value, &items[0], &format!("{path}[{index}]"), mistakes);
            }
        }
        (Value::Object(fields), Value::Object(values)) => {
            let any = fields.get("*");
            for (name, value) in values {
                let field = any.or_else(|| fields.get(name)).or_else(|| fields.get(&format!("{name}!")));
                match field {
                    Some(schema) => check(value, schema, &format!("{path}.{name}"), mistakes),
                    None => mistakes.push(format!("{path}.{name}: unknown field")),
                }
            }
            for required in fields.keys().filter_map(|name| name.strip_suffix('!')) {
                if !values.contains_key(required) {
                    mistakes.push(format!("{path}.{required}: missing"));
                }
            }
        }
        _ => mistakes.push(format!("{path}: {value} is of another type")),
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "any" => true,
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        // What protobuf and Kubernetes both take.
        "duration" => value.as_str().is_some_and(|text| {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
            let unit = text.strip_prefix(digits).unwrap_or_default();
            ["s", "ms", "m", "h"].contains(&unit) && !digits.is_empty() && digits.parse::<f64>().is_ok()
        }),
        "quantity" => {
            value.is_u64()
                || value.as_str().is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()))
        }
        _ => {
            let words = kind.strip_prefix("enum ").unwrap_or_else(|| panic!("unknown type {kind}"));
            value.as_str().is_some_and(|text| words.split(' ').any(|word| word == text))
        }
    }
}

#[test]
fn an_unknown_field_a_wrong_type_and_a_wrong_word_are_told_with_their_path() {
    let text = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, spec: y}\nspec:\n  \
                workloadSelector: {labels: {app: 1}}\n  configPatches:\n    - applyTo: HTTP_FILTERS\n      \
                patch: {operation: MERGE, valu: {}}\n";
    let wanted = [
        "EnvoyFilter.spec.workloadSelector.labels.app: 1 is no string",
        "EnvoyFilter.spec.configPatches[0].applyTo: \"HTTP_FILTERS\" is no enum LISTENER",
        "EnvoyFilter.spec.configPatches[0].patch.valu: unknown field",
        "EnvoyFilter.metadata.spec: unknown field",
    ];
    let mistakes = Schemas::read().mistakes(text);
    assert_eq!(mistakes.len(), wanted.len(), "{mistakes:#?}");
    for (mistake, wanted) in mistakes.iter().zip(wanted) {
        assert!(mistake.starts_with(wanted), "{mistake}");
    }
}

#[test]
fn what_must_be_there_is_missed() {
    let text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x}\nspec: {}\n";
    assert_eq!(Schemas::read().mistakes(text), ["DestinationRule.spec.host: missing"]);
}
