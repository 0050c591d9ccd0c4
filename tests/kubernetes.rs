//! Istio's and Envoy Gateway's manifests: what is written has the fields of the published resources, becomes what a real
//! Envoy takes, and gives the doctor nothing to say; each sample with a mistake gives it that mistake.
//!
//! No mesh and no cluster runs here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::proxy::kubernetes::gateway::Gateways;
use portcullis::proxy::kubernetes::istio::Mesh;
use portcullis::proxy::kubernetes::objects;
use portcullis::proxy::tree::Source;
use portcullis_sample::envoy::validate;
use portcullis_sample::repository;
use serde_json::Value;

#[path = "kubernetes/schema.rs"]
mod schema;

use schema::Schemas;

const EXT_AUTHZ: &str = "portcullis-ext-authz.yaml";
const EXT_PROC: &str = "portcullis-ext-proc.yaml";
/// A server that takes every body for whole.
const BUFFERED: &str = "portcullis-buffered.yaml";

fn folder() -> PathBuf {
    repository().join("envoy/mistakes/kubernetes")
}

fn portcullis(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(folder())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Each way of writing manifests, with its name, the server's configuration and the command's arguments.
fn ways() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let istio = |more: &[&'static str]| {
        let base = ["--for", "istio", "--portcullis", "portcullis.security:9191", "--namespace", "shop"];
        [&base, more].concat()
    };
    let gateway = |more: &[&'static str]| {
        let base =
            ["--for", "envoy-gateway", "--portcullis", "portcullis.security:9191", "--namespace", "shop"];
        [&base, more].concat()
    };
    vec![
        ("istio-clean.ext-authz.yaml", EXT_AUTHZ, istio(&["--selector", "app=orders"])),
        ("istio-clean.ext-proc.yaml", EXT_PROC, istio(&["--selector", "app=orders"])),
        ("istio-clean.buffered.yaml", BUFFERED, istio(&["--selector", "app=orders"])),
        ("istio-clean.gateway.yaml", EXT_PROC, istio(&["--gateway", "edge"])),
        ("istio-clean.namespace.yaml", EXT_AUTHZ, istio(&[])),
        ("gateway-clean.ext-authz.yaml", BUFFERED, gateway(&["--gateway", "edge"])),
        ("gateway-clean.ext-proc.yaml", EXT_PROC, gateway(&["--gateway", "edge"])),
        (
            "gateway-clean.route.yaml",
            EXT_PROC,
            gateway(&["--gateway", "edge", "--route", "orders", "--listener", "https"]),
        ),
    ]
}

fn written(server: &str, arguments: &[&str]) -> String {
    let (code, text, error) = portcullis(&[&["envoy", "config", "--config", server], arguments].concat());
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
    text
}

/// The server's configuration that a sample is judged by: its first line names it.
fn server(sample: &str) -> String {
    let text = std::fs::read_to_string(folder().join(sample)).unwrap();
    let first = text.lines().next().unwrap();
    first
        .split('`')
        .find(|word| word.starts_with("portcullis-"))
        .unwrap_or_else(|| panic!("{sample}: {first}"))
        .to_owned()
}

fn samples() -> Vec<String> {
    let files =
        std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let is_sample = |name: &String| {
        let form = name.starts_with("istio-") || name.starts_with("gateway-");
        form && !name.contains("-clean.")
    };
    let mut names: Vec<_> = files.filter(is_sample).collect();
    names.sort();
    names
}

/// The rules of what is found, in manifests under `folder()`.
fn found(server: &str, manifests: &[&str]) -> (BTreeSet<String>, String) {
    let arguments = [&["envoy", "doctor", "--config", server], manifests].concat();
    let (code, text, error) = portcullis(&arguments);
    let heads = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("error[").or(line.strip_prefix("warning["))?;
        Some(rest.split_once(']')?.0.to_owned())
    });
    let found: BTreeSet<_> = heads.collect();
    assert_eq!(code, i32::from(!found.is_empty()), "{manifests:?}: {error}{text}");
    (found, text)
}

/// What manifests become, as Envoy's own configuration.
fn becomes(text: &str) -> Vec<Value> {
    let source = Source::parse("manifests.yaml", text).unwrap();
    let found = objects([&source]);
    let documents: Vec<_> = source.documents().collect();
    let istio = Mesh::of(&documents, &found).proxies(true);
    let gateway = Gateways::of(&found).proxies();
    istio
        .iter()
        .map(|proxy| proxy.root.to_json())
        .chain(gateway.iter().map(|proxy| proxy.root.to_json()))
        .collect()
}

#[test]
fn the_clean_samples_are_what_the_command_writes() {
    for (name, server, arguments) in ways() {
        let text = written(server, &arguments);
        let path = folder().join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}: run with UPDATE=1");
    }
}

#[test]
fn what_is_written_has_the_fields_of_the_published_resources() {
    let schemas = Schemas::read();
    for (name, server, arguments) in ways() {
        assert_eq!(schemas.mistakes(&written(server, &arguments)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_sample_has_the_fields_of_the_published_resources() {
    let schemas = Schemas::read();
    for name in samples() {
        let text = std::fs::read_to_string(folder().join(&name)).unwrap();
        assert_eq!(schemas.mistakes(&text), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_envoy_takes_what_the_written_manifests_become() {
    for (name, server, arguments) in ways() {
        let becomes = becomes(&written(server, &arguments));
        assert_eq!(becomes.len(), 1, "{name}");
        for config in becomes {
            validate(&config.to_string()).await.unwrap_or_else(|error| panic!("{name}: {error}\n{config:#}"));
        }
    }
}

#[test]
fn the_doctor_says_nothing_of_what_is_written() {
    for (name, server, _) in ways() {
        let (rules, text) = found(server, &[name]);
        assert!(rules.is_empty(), "{name}: {text}");
    }
}

#[test]
fn of_each_sample_exactly_its_own_mistake_is_found() {
    let mut wrong = BTreeMap::new();
    let samples = samples();
    for name in &samples {
        let rule = name.split_once('-').unwrap().1.split('.').next().unwrap();
        let (rules, text) = found(&server(name), &[name]);
        if rules != BTreeSet::from([rule.to_owned()]) {
            wrong.insert(name, text);
        }
    }
    assert!(
        wrong.is_empty(),
        "{}",
        wrong.iter().map(|(name, text)| format!("{name}:\n{text}\n")).collect::<String>()
    );
    for form in ["istio-", "gateway-"] {
        assert!(samples.iter().filter(|name| name.starts_with(form)).count() >= 8);
    }
}

#[test]
fn a_finding_tells_the_line_of_the_manifest_and_its_own_field() {
    let (_, text) = found(EXT_AUTHZ, &["istio-fail-open.yaml"]);
    let sample = std::fs::read_to_string(folder().join("istio-fail-open.yaml")).unwrap();
    let line = sample.lines().position(|line| line.contains("failOpen: true")).unwrap() + 1;
    assert!(text.contains(&format!("istio-fail-open.yaml:{line}:")), "{text}");
    assert!(text.contains("`envoyExtAuthzGrpc.failOpen`"), "{text}");
}

#[test]
fn several_files_are_one_mesh() {
    let whole = std::fs::read_to_string(folder().join("istio-clean.ext-authz.yaml")).unwrap();
    let (mesh, manifests) = whole.split_once("\n---\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // As istiod keeps it: text within a ConfigMap.
    let inner: String = mesh
        .lines()
        .skip_while(|line| *line != "meshConfig:")
        .skip(1)
        .map(|line| format!("  {line}\n"))
        .collect();
    let mesh = write(
        "mesh.yaml",
        &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n{inner}"
        ),
    );
    let manifests = write("manifests.yaml", manifests);
    let (rules, text) = found(EXT_AUTHZ, &[&mesh, &manifests]);
    assert!(rules.is_empty(), "{text}");
    let (rules, text) = found(EXT_AUTHZ, &[&manifests]);
    assert_eq!(rules, BTreeSet::from(["not-checked".to_owned()]), "{text}");
}

#[test]
fn manifests_that_ask_nobody_are_no_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.yaml");
    std::fs::write(&path, "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\n").unwrap();
    let (code, _, error) = portcullis(&["envoy", "doctor", path.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(error.contains("no manifest among these makes a proxy ask Portcullis"), "{error}");
}

#[test]
fn what_names_no_service_is_refused() {
    for (portcullis_at, more, said) in [
        ("127.0.0.1:9191", &["--for", "istio"][..], "has to be `SERVICE.NAMESPACE:PORT`"),
        ("portcullis:9191", &["--for", "istio"][..], "has to be `SERVICE.NAMESPACE:PORT`"),
        ("portcullis.security:9191", &["--for", "envoy-gateway"][..], "name it with `--gateway`"),
        (
            "portcullis.security:9191",
            &["--for", "istio", "--namespace", "a: b"][..],
            "is no name of Kubernetes",
        ),
        ("portcullis.security:9191", &["--for", "istio", "--selector", "app"][..], "is no label"),
    ] {
        let arguments = [&["envoy", "config", "--portcullis", portcullis_at], more].concat();
        let (code, text, error) = portcullis(&arguments);
        assert_eq!((code, text.as_str()), (2, ""));
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn a_server_that_believes_hosts_is_warned_of_for_sidecars() {
    let to = ["--portcullis", "portcullis.security:9191", "--config", "portcullis-gateway.yaml"];
    let warned = |more: &[&str]| {
        let (code, _, error) = portcullis(&[&["envoy", "config"], &to[..], more].concat());
        assert_eq!(code, 0, "{error}");
        error.contains("`listen.gateway: true`, and this is for sidecars")
    };
    assert!(warned(&["--for", "istio"]));
    assert!(!warned(&["--for", "istio", "--gateway", "edge"]));
    assert!(!warned(&["--for", "envoy-gateway", "--gateway", "edge"]));
}

#[test]
fn a_part_is_written_alone() {
    let with = |part| {
        written(EXT_AUTHZ, &["--for", "istio", "--portcullis", "portcullis.security:9191", "--part", part])
    };
    let mesh = with("mesh-config");
    assert!(mesh.contains("extensionProviders") && !mesh.contains("kind:"), "{mesh}");
    let manifests = with("manifests");
    assert!(!manifests.contains("meshConfig:") && manifests.contains("kind: EnvoyFilter"), "{manifests}");
    let parsed = Source::parse("manifests.yaml", &manifests).unwrap();
    assert!(parsed.documents().all(|document| document.get("kind").exists()));
}

#[test]
fn the_folder_of_samples_is_there() {
    assert!(Path::new(&folder()).is_dir());
}
