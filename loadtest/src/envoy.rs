//! Envoy in front of the servers under test: one process on one worker, with a listener for each of them. It knows
//! Envoy's binary and configuration, and nothing of what is measured through it.

use std::collections::VecDeque;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
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
    /// One `Process` stream per call, with the request headers only.
    ExtProc,
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
    let admin = process::free_address()?;
    let listeners = routes.iter().map(|_| process::free_address()).collect::<Result<Vec<_>>>()?;
    let path = directory.join("envoy.json");
    fs::write(&path, bootstrap(admin, &listeners, routes).to_string())?;
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

fn bootstrap(admin: SocketAddr, listeners: &[SocketAddr], routes: &[(Filter, SocketAddr)]) -> Value {
    let listener = |(number, (&listener, &(filter, _))): (usize, (&SocketAddr, &(Filter, SocketAddr)))| {
        json!({
            "name": format!("listener-{number}"),
            "address": address(listener),
            "filter_chains": [{"filters": [connection_manager(filter, &cluster_name(number))]}],
        })
    };
    let clusters =
        routes.iter().enumerate().map(|(number, &(_, server))| cluster(&cluster_name(number), server));
    json!({
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": listeners.iter().zip(routes).enumerate().map(listener).collect::<Vec<_>>(),
            "clusters": clusters.collect::<Vec<_>>(),
        },
        // No upstream: what is measured is the question, not the answer behind it.
        "stats_config": {"stats_matcher": {"reject_all": true}},
    })
}

fn cluster_name(number: usize) -> String {
    format!("server-{number}")
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn connection_manager(filter: Filter, cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "load",
            "http_filters": [question(filter, cluster), {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }],
            "route_config": {"virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}],
            }]},
        },
    })
}

fn question(filter: Filter, cluster: &str) -> Value {
    let service = json!({"envoy_grpc": {"cluster_name": cluster}, "timeout": "5s"});
    match filter {
        Filter::ExtAuthz => json!({
            "name": "envoy.filters.http.ext_authz",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
                "transport_api_version": "V3",
                "grpc_service": service,
                "encode_raw_headers": true,
            },
        }),
        Filter::ExtProc => json!({
            "name": "envoy.filters.http.ext_proc",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
                "grpc_service": service,
                "message_timeout": "5s",
                "allow_mode_override": true,
                "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SKIP"},
            },
        }),
    }
}

fn cluster(name: &str, server: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(server)}}]}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
