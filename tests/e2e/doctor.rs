//! Each mistake of `envoy/mistakes/` on a real Envoy: what happens with it, and that it doesn't happen without.
//!
//! A test has the name of the doctor's rule. `filters` has calls that pass Portcullis by, `shown` what it is not shown,
//! `holds` calls that can't wait, `responses` what callers get; `samples` looks at the samples themselves.

mod diagnosis;
mod filters;
mod gateway;
mod holds;
mod impostor;
mod recorder;
mod responses;
mod samples;
mod shown;
mod tls;

use std::net::SocketAddr;

use portcullis_sample::repository;
use portcullis_sample::upstream::CARD_NUMBERS;
use reqwest::Method;
use serde_json::Value;

use crate::world::{Got, Options, World};

const CLEAN_EXT_AUTHZ: &str = "clean-ext-authz";
const CLEAN_EXT_PROC: &str = "clean-ext-proc";
const CLEAN_MTLS: &str = "clean-mtls";
const CLEAN_TLS: &str = "clean-tls";

/// A refund that is held.
const LARGE: &str = r#"{"order": "o-1", "amount": 700}"#;
/// A refund that passes.
const SMALL: &str = r#"{"order": "o-1", "amount": 5}"#;

/// The text of a sample, without its addresses: any free ones, and those of the set-up.
fn sample(name: &str) -> String {
    let path = repository().join("envoy/mistakes").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    replaced(
        text,
        &[
            ("port_value: 10000", "port_value: ${LISTENER_PORT}"),
            ("port_value: 9901", "port_value: ${ADMIN_PORT}"),
            ("port_value: 9191", "port_value: ${PORTCULLIS_PORT}"),
            ("port_value: 8080", "port_value: ${UPSTREAM_PORT}"),
        ],
    )
}

/// Every `from` has to be there.
fn replaced(text: String, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        text.replace(from, to)
    })
}

/// A text in the place of which a test puts its own.
type Edits<'e> = &'e [(&'e str, &'e str)];

/// A set-up behind a sample, with its policies.
async fn behind(name: &str) -> World {
    behind_edited(name, &[]).await
}

/// The same with a changed text: times are shorter than in a file that is to be realistic.
async fn behind_edited(name: &str, edits: Edits<'_>) -> World {
    let text = replaced(sample(name), edits);
    let proc = text.contains("ext_proc.v3.ExternalProcessor");
    start(text, if proc { &["shop.yaml", "masks.yaml"] } else { &["shop.yaml", "exports.yaml"] }).await
}

/// A set-up with this text of Envoy's configuration, and some of the samples' policies.
async fn start(text: String, policies: &[&str]) -> World {
    let folder = repository().join("envoy/mistakes/policies");
    let paths: Vec<_> = policies.iter().map(|file| format!("\"{}\"", folder.join(file).display())).collect();
    let source = Some(format!("[{}]", paths.join(", ")));
    World::start(Options { envoy: Some(text), source, ..Options::default() }).await
}

/// The address of a listener that is not the first.
async fn listener(world: &World, name: &str) -> SocketAddr {
    let url = format!("http://{}/listeners?format=json", world.envoy.admin());
    let listed: Value = world.client.get(url).send().await.unwrap().json().await.unwrap();
    let statuses = listed["listener_statuses"].as_array().unwrap();
    let found = statuses.iter().find(|status| status["name"] == name).unwrap();
    let socket = &found["local_address"]["socket_address"];
    format!("127.0.0.1:{}", socket["port_value"]).parse().unwrap()
}

/// Sends a call with one more header.
async fn get_with(world: &World, path: &str, person: Option<&str>, header: (&str, &str)) -> Got {
    world.send(world.call(Method::GET, path, person).header(header.0, header.1)).await.unwrap()
}

/// Sends one call of HTTP/1 as it is written here: clients tidy paths up, and send no odd bytes.
async fn raw(world: &World, head: &[u8]) -> String {
    let mut call = head.to_vec();
    call.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
    String::from_utf8_lossy(&crate::attack::exchange(world, &call).await).into_owned()
}

/// The card numbers in clear.
fn reveals(text: &str) -> bool {
    CARD_NUMBERS.iter().any(|number| text.contains(number))
}
