//! What the container files say, as far as it can be known without containers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use portcullis_sample::{address, envoy, repository};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap()
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).unwrap()
}

#[test]
fn services_name_only_services_images_and_volumes_that_exist() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    let built: Vec<&Value> =
        services.values().filter(|service| service["build"] == ".").map(|s| &s["image"]).collect();
    let pinned = Value::from(format!("envoyproxy/envoy:v{}", envoy::VERSION));
    for (name, service) in services {
        let network = service["network_mode"].as_str().unwrap_or("service:sample");
        assert!(services.contains_key(network.strip_prefix("service:").unwrap()), "{name}");
        for needed in service["depends_on"].as_object().into_iter().flatten().map(|(needed, _)| needed) {
            assert!(
                services[needed]["healthcheck"].is_object(),
                "{name} waits for {needed}, which tells no health"
            );
        }
        for volume in service["volumes"].as_array().unwrap() {
            let volume = volume.as_str().unwrap().split_once(':').unwrap().0;
            let file = volume.starts_with("./") && repository().join(volume).is_file();
            assert!(file || compose["volumes"].get(volume).is_some(), "{name}: {volume}");
        }
        assert!(
            built.contains(&&service["image"]) || service["image"] == pinned,
            "{name}: {}",
            service["image"]
        );
    }
}

#[test]
fn only_envoy_is_published_and_only_on_loopback() {
    let compose = compose();
    let published =
        compose["services"].as_object().unwrap().values().filter_map(|service| service["ports"].as_array());
    let published: Vec<&Value> = published.flatten().collect();
    assert_eq!(published, ["127.0.0.1:10000:10000"]);
}

#[test]
fn the_image_is_built_with_our_rust_and_from_files_that_exist() {
    let dockerfile = read("Dockerfile");
    let workspace = read("Cargo.toml");
    let rust =
        workspace.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-")), "Rust {rust}");
    let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    for source in copied.filter(|line| !line.starts_with("--from")).filter_map(|line| line.split(' ').next())
    {
        // The policies come with the repository's root package.
        assert!(source == "policies" || repository().join(source).exists(), "{source}");
    }
}

#[tokio::test]
async fn the_command_of_the_sample_container_leaves_what_the_others_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let [idp, upstream, gateway] = address::free().unwrap();
    let compose = compose();
    let command = compose["services"]["sample"]["command"].as_array().unwrap();
    let arguments =
        command.iter().map(|argument| argument.as_str().unwrap().replace("/data", data.to_str().unwrap()));
    let _services = Command::new(env!("CARGO_BIN_EXE_portcullis-sample"))
        .args(arguments)
        .args(["--idp-port", &idp.port().to_string(), "--upstream-port", &upstream.port().to_string()])
        .args(["--gateway-port", &gateway.port().to_string()])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let hello = format!("http://{upstream}/public/hello");
    for _ in 0..500 {
        if reqwest::get(&hello).await.is_ok() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let written = |name: &str| fs::read_to_string(data.join(name)).unwrap();
    let config: Value = serde_saphyr::from_str(&written("portcullis.yaml")).unwrap();
    assert_eq!(config["identity"]["jwt"][0]["issuer"], format!("http://{idp}"));
    assert!(written("tokens/bob-admin.jwt").starts_with("ey"));
}
