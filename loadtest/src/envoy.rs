//! Envoy in front of the servers under test: one process on one worker, with a listener for each of them. It knows
//! Envoy's binary and its generated configuration, and nothing of what is measured through it.

use std::collections::VecDeque;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use portcullis::config;
use portcullis::policy::PolicySet;
use portcullis::proxy::{self, Needs};
use serde_json::{Value, json};

use crate::load::http;
use crate::process::{self, Process};

/// The variable that names Envoy's binary.
const BINARY: &str = "ENVOY_BIN";
/// Where the binary is looked for without it.
const TOOLS: &str = ".tools/envoy";

/// How a listener asks its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One `Check` per call.
    ExtAuthz,
    /// One `Process` stream per call, with the request headers only unless the server asks for more.
    ExtProc,
    /// Not at all.
    None,
}

/// A running Envoy, ended when it is dropped.
pub struct Envoy {
    _process: Process,
    /// Its listeners, in the order that they were asked for.
    pub listeners: Vec<SocketAddr>,
}

/// Envoy's binary: what `ENVOY_BIN` names, else the first found below `.tools/envoy`.
pub fn binary() -> Option<PathBuf> {
    env::var_os(BINARY).map(PathBuf::from).or_else(|| find(Path::new(TOOLS)))
}

/// Starts Envoy with a listener for each of `routes`: how it asks, and whom.
pub async fn start(binary: &Path, routes: &[(Filter, SocketAddr)], directory: &Path) -> Result<Envoy> {
    start_for(binary, routes, &needs(PolicySet::none(), "")?, directory).await
}

/// What a server with these policies, and these lines in its configuration, needs of a proxy.
pub fn needs(policies: PolicySet, lines: &str) -> Result<Needs> {
    let text = format!("policies: [policies]\n{lines}").into();
    let config = config::parse(&"configuration".into(), &text, Path::new("")).config;
    let config = config.context("the configuration is refused")?;
    Ok(Needs::of(&policies, config.for_proxies()))
}

/// The same for servers with other needs than without policies.
pub async fn start_for(
    binary: &Path,
    routes: &[(Filter, SocketAddr)],
    needs: &Needs,
    directory: &Path,
) -> Result<Envoy> {
    start_before(binary, routes, needs, None, directory).await
}

/// The same with an upstream behind it, that answers what the servers let through.
pub async fn start_before(
    binary: &Path,
    routes: &[(Filter, SocketAddr)],
    needs: &Needs,
    upstream: Option<SocketAddr>,
    directory: &Path,
) -> Result<Envoy> {
    let admin = process::free_address()?;
    let listeners = routes.iter().map(|_| process::free_address()).collect::<Result<Vec<_>>>()?;
    let path = directory.join("envoy.json");
    fs::write(&path, bootstrap(admin, &listeners, routes, needs, upstream)?.to_string())?;
    let mut command = Command::new(binary);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn", "--config-path"]);
    command.arg(&path);
    let mut process = Process::start("envoy", command, directory)
        .with_context(|| format!("`{}` is not Envoy", binary.display()))?;
    process.until(async || http::status(admin, "/ready").await.is_ok_and(|status| status == 200)).await?;
    Ok(Envoy { _process: process, listeners })
}

/// The first program named `envoy` below `root`, level by level. Scripts of that name only start it, and would hide
/// the process whose CPU time counts.
fn find(root: &Path) -> Option<PathBuf> {
    let mut folders = VecDeque::from([root.to_owned()]);
    while let Some(folder) = folders.pop_front() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push_back(path);
            } else if entry.file_name() == "envoy" && is_program(&path) {
                return Some(path);
            }
        }
    }
    None
}

fn is_program(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

/// What the server itself writes for an Envoy that asks it, with a listener and a cluster for each of `routes`.
fn bootstrap(
    admin: SocketAddr,
    listeners: &[SocketAddr],
    routes: &[(Filter, SocketAddr)],
    needs: &Needs,
    upstream: Option<SocketAddr>,
) -> Result<Value> {
    let (mut all, mut clusters) = (Vec::new(), Vec::new());
    for (number, (&listener, &(filter, server))) in listeners.iter().zip(routes).enumerate() {
        let between = [admin, listener, upstream.unwrap_or(server)];
        let mut one = generated(between, filter, server, needs, &format!("server-{number}"))?;
        for (path, value) in [
            ("/static_resources/listeners/0/name", json!(format!("listener-{number}"))),
            // The null server knows nothing of health.
            ("/static_resources/clusters/0/health_checks", json!([])),
        ] {
            *one.pointer_mut(path).with_context(|| format!("a generated configuration has no `{path}`"))? =
                value;
        }
        match upstream {
            None => answer_at_once(&mut one)?,
            Some(_) if number == 0 => {
                clusters.extend(one.pointer_mut("/static_resources/clusters/1").map(Value::take));
            }
            Some(_) => {}
        }
        if filter == Filter::None {
            let filters = one.pointer_mut(&format!("{MANAGER}/http_filters")).and_then(Value::as_array_mut);
            filters.context("a generated configuration has no filters")?.remove(0);
        }
        all.extend(one.pointer_mut("/static_resources/listeners/0").map(Value::take));
        clusters.extend(one.pointer_mut("/static_resources/clusters/0").map(Value::take));
    }
    Ok(json!({
        "admin": {"address": {"socket_address": {"address": admin.ip().to_string(), "port_value": admin.port()}}},
        "static_resources": {"listeners": all, "clusters": clusters},
        "stats_config": {"stats_matcher": {"reject_all": true}},
    }))
}

/// Takes the upstream away: what is measured is the question, not the answer behind it.
fn answer_at_once(one: &mut Value) -> Result<()> {
    let routes = one.pointer_mut(&format!("{MANAGER}/route_config/virtual_hosts/0/routes"));
    let routes = routes.and_then(Value::as_array_mut).context("a generated configuration has no routes")?;
    for route in routes.iter_mut().filter_map(Value::as_object_mut) {
        route.remove("route");
        let answer = json!({"status": 200, "body": {"inline_string": "ok"}});
        route.insert("direct_response".to_owned(), answer);
    }
    Ok(())
}

/// Where a generated configuration has its connection manager.
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// A generated configuration whose cluster of the server has the name `cluster`.
fn generated(
    [admin, listener, upstream]: [SocketAddr; 3],
    filter: Filter,
    server: SocketAddr,
    needs: &Needs,
    cluster: &str,
) -> Result<Value> {
    let options = proxy::config::Options {
        service: match filter {
            Filter::ExtAuthz => proxy::config::Service::ExtAuthz,
            Filter::ExtProc | Filter::None => proxy::config::Service::ExtProc,
        },
        listen: listener.into(),
        admin: admin.into(),
        portcullis: vec![server.into()],
        upstream: upstream.into(),
        upstream_http2: false,
        tls: None,
    };
    let text = proxy::config::bootstrap(needs, &options)?;
    Ok(serde_saphyr::from_str(&text.replace("name: portcullis", &format!("name: {cluster}")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_listener_and_its_cluster() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let routes = [(Filter::ExtAuthz, address(3)), (Filter::ExtProc, address(4))];
        let whole = bootstrap(
            address(9),
            &[address(1), address(2)],
            &routes,
            &needs(PolicySet::none(), "").unwrap(),
            None,
        )
        .unwrap();
        for (number, filter) in ["ext_authz", "ext_proc"].into_iter().enumerate() {
            let listener = &whole["static_resources"]["listeners"][number];
            let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
            let asks = &manager["http_filters"][0];
            assert_eq!(asks["name"], format!("envoy.filters.http.{filter}"));
            let asked = &asks["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"];
            assert_eq!(*asked, format!("server-{number}"));
            assert!(manager["route_config"]["virtual_hosts"][0]["routes"][0]["direct_response"].is_object());
            let cluster = &whole["static_resources"]["clusters"][number];
            assert_eq!((&cluster["name"], &cluster["load_assignment"]["cluster_name"]), (asked, asked));
        }
    }

    #[test]
    fn finds_the_program_and_not_its_script() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("envoy/_bin");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(find(root.path()), None);
        fs::create_dir(root.path().join("bin")).unwrap();
        fs::write(root.path().join("bin/envoy"), "#!/usr/bin/python3").unwrap();
        assert_eq!(find(root.path()), None);
        fs::write(folder.join("envoy"), "\x7fELF").unwrap();
        assert_eq!(find(root.path()), Some(folder.join("envoy")));
    }
}
