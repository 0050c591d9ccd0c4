//! The runner as a program, around a stand-in for the server that gets ready and then answers no call at all.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use portcullis_sample::address;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

const STAND_IN: &str = r#"#!/usr/bin/env python3
import http.server, re, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
if sys.argv[1:3] == ["envoy", "config"]:
    text = open("../envoy/ext-proc.yaml").read()
    given = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    for name, shipped in ("listen", "0.0.0.0:10000"), ("admin", "127.0.0.1:9901"), ("portcullis", "127.0.0.1:9191"), ("upstream", "127.0.0.1:9081"):
        (host, port), (new_host, new_port) = shipped.split(":"), given["--" + name].split(":")
        text = text.replace(f"address: {host}, port_value: {port}", f"address: {new_host}, port_value: {new_port}")
    sys.exit(print(text))
if sys.argv[1] != "serve":
    sys.exit("stand-in: no such command")
address = re.search(r"metrics: (\S+):(\d+)", open(sys.argv[3]).read())
http.server.HTTPServer((address[1], int(address[2])), Ready).serve_forever()
"#;

struct Runner {
    folder: TempDir,
    addresses: [SocketAddr; 7],
}

impl Runner {
    fn new(stand_in: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis");
        fs::write(&path, stand_in).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, addresses: address::free().unwrap() }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-sample"));
        let ports = ["gateway", "envoy-admin", "grpc", "admin", "metrics", "upstream", "idp"];
        command.arg(verb).args(["--portcullis", &self.path("portcullis"), "--data", &self.path("data")]);
        for (name, address) in ports.iter().zip(self.addresses) {
            command.args([format!("--{name}-port"), address.port().to_string()]);
        }
        command.kill_on_drop(true);
        command
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Starts it, and waits until everything serves.
    async fn run(&self) -> Child {
        let child = self.command("run").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let gateway = format!("http://{}/public/hello", self.addresses[0]);
        for _ in 0..500 {
            if reqwest::get(&gateway).await.is_ok() {
                return child;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("not ready in time");
    }
}

fn signal(process: u32, signal: &str) {
    let done = std::process::Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn a_tour_that_goes_wrong_says_where_and_fails() {
    let runner = Runner::new(STAND_IN);
    let done = runner.command("demo").output().await.unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    for expected in [
        "nobody: GET /public/hello",
        "status: expected 200, got 503",
        "step 3: status: expected 403, got 503",
    ] {
        assert!(said.contains(expected), "no `{expected}` in {said}");
    }
}

#[tokio::test]
async fn asked_to_stop_it_stops_everything() {
    let runner = Runner::new(STAND_IN);
    let mut child = runner.run().await;
    signal(child.id().unwrap(), "-TERM");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    for address in runner.addresses {
        assert!(TcpListener::bind(address).is_ok(), "{address} is still in use");
    }
}

#[tokio::test]
async fn the_part_that_dies_is_named_and_the_others_end() {
    let runner = Runner::new(STAND_IN);
    let child = runner.run().await;
    signal(server_of(Path::new(&runner.path("portcullis"))), "-KILL");
    let done = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(said.starts_with("error: portcullis has died (signal: 9 (SIGKILL))"), "{said}");
    sleep(Duration::from_millis(200)).await;
    for address in runner.addresses {
        assert!(TcpListener::bind(address).is_ok(), "{address} is still in use");
    }
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_its_last_words() {
    let runner = Runner::new("#!/bin/sh\necho 'unknown field `listne`'\nexit 2\n");
    let done = runner.command("run").output().await.unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(said.contains("portcullis ended before it was ready (exit status: 2)"), "{said}");
    assert!(said.contains("unknown field `listne`"), "{said}");
}

/// The process that runs this script.
fn server_of(script: &Path) -> u32 {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let runs_it = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&format!("{}\0serve", script.display()))
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(runs_it).unwrap()
}
