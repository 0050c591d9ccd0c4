//! The load test from beginning to end: start the servers, drive them in turn, report.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgGroup, Args};

use crate::envoy::{self, Filter};
use crate::lane::{self, Concurrency, Label, Lane, Measured, Wire};
use crate::load::{Window, http};

use crate::null::Transport;
use crate::portcullis::{self, AuditMode};
use crate::report::Report;
use crate::server::{self, Server};
use crate::{policies, token, traffic};

/// How a call without a token is named in the report.
const ANONYMOUS: &str = "anonymous";

/// What to measure, and how.
#[derive(Args)]
#[command(group(ArgGroup::new("subject").required(true)))]
pub struct Options {
    /// The portcullis binary to measure, built for release.
    #[arg(long, group = "subject", value_name = "FILE")]
    portcullis: Option<PathBuf>,
    /// Measure a second null server instead: its ratios tell what this machine's noise is.
    #[arg(long, group = "subject")]
    self_check: bool,
    /// Policies for disjoint routes, of which one matches.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    policies: u32,
    /// Users who call with a token of their own.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    users: u32,
    /// The audit mode of the server.
    #[arg(long, value_enum, default_value_t = AuditMode::BestEffort)]
    audit: AuditMode,
    /// How often each server has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Milliseconds that are measured in each turn.
    #[arg(long, default_value_t = 3_500, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    window: u64,
    /// Milliseconds of load before that.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    warm_up: u64,
    /// gRPC connections.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Calls under way on each connection.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=50))]
    streams: u16,
    /// Leave out the figures through Envoy.
    #[arg(long)]
    no_envoy: bool,
    /// The file that the numbers are written to.
    #[arg(long, default_value = "target/report/load.json", value_name = "FILE")]
    report: PathBuf,
}

/// The servers of a run.
struct Servers {
    null: Server,
    /// The null server on the transport of the server under test.
    bare: Server,
    subject: Server,
    /// Where the server under test tells its metrics; the null server tells none.
    metrics: Option<SocketAddr>,
}

/// Runs the load test.
pub async fn run(options: Options) -> Result<()> {
    let envoy = match options.no_envoy {
        true => None,
        false => Some(envoy::binary().context("no Envoy: name its binary in ENVOY_BIN, or pass --no-envoy")?),
    };
    let directory = tempfile::tempdir().context("cannot create a folder for the run")?;
    let issuer = token::Issuer::new()?;
    let users = issuer.tokens(options.users as usize)?;
    let servers = options.start(&issuer, directory.path()).await?;
    let mut report = Report::new(if options.self_check { "self_" } else { "" });
    report.add_condition("policies", options.policies as usize);
    report.add_condition("users", options.users as usize);
    report.add_condition("calls_under_way", usize::from(options.connections) * usize::from(options.streams));
    report.add_condition("audit_required", usize::from(options.audit == AuditMode::Required));
    options.measure_direct(&servers, &users, &mut report).await?;
    if let Some(binary) = envoy {
        options.measure_through_envoy(&servers, &binary, directory.path(), &mut report).await?;
    }
    report.print();
    report.write(&options.report)
}

impl Options {
    async fn start(&self, issuer: &token::Issuer, directory: &Path) -> Result<Servers> {
        let null = server::start_null("null", Transport::Tonic, directory).await?;
        let bare = server::start_null("bare", Transport::Portcullis, directory).await?;
        let (subject, metrics) = match &self.portcullis {
            Some(binary) => {
                let policies = directory.join("policies");
                policies::write(&policies, self.policies as usize)?;
                let started = portcullis::start(binary, &policies, self.audit, issuer, directory).await?;
                (started.server, Some(started.metrics))
            }
            None => (server::start_null("second-null", Transport::Tonic, directory).await?, None),
        };
        Ok(Servers { null, bare, subject, metrics })
    }

    /// gRPC straight at the servers: without tokens, and with a token for each user.
    async fn measure_direct(&self, servers: &Servers, users: &[String], report: &mut Report) -> Result<()> {
        const PATH: &str = "gRPC Check";
        let path = policies::path(self.policies as usize);
        let anonymous = vec![traffic::check(&path, None)];
        let jwt: Vec<_> = users.iter().map(|token| traffic::check(&path, Some(token))).collect();
        let users = format!("JWT, {} users", users.len());
        let lane = |label: Label, server: &Server, calls: Vec<Vec<u8>>| Lane {
            label,
            wire: Wire::Grpc,
            address: server.address,
            pid: server.process.id(),
            calls,
        };
        let lanes = [
            lane(null_label(PATH, ANONYMOUS), &servers.null, anonymous.clone()),
            lane(self.label(PATH, ANONYMOUS), &servers.subject, anonymous.clone()),
            lane(Label { server: "bare", ..null_label(PATH, ANONYMOUS) }, &servers.bare, anonymous),
            lane(null_label(PATH, &users), &servers.null, jwt.clone()),
            lane(self.label(PATH, &users), &servers.subject, jwt),
        ];
        let [null, anonymous, bare, null_jwt, jwt] = self.measure(&lanes).await?;
        report.add_lane("null_check", &null);
        report.add_lane("check", &anonymous);
        report.add_lane("bare_check", &bare);
        report.add_lane("null_check_jwt", &null_jwt);
        report.add_lane("check_jwt", &jwt);
        report.add_versus_null("check", &anonymous, &null);
        report.add_cpu_ratio("check", &anonymous, ("bare", &bare));
        report.add_versus_null("check_jwt", &jwt, &null_jwt);
        report.add_cpu_ratio("check_jwt", &jwt, ("anonymous", &anonymous));
        if let Some(metrics) = servers.metrics {
            let ratio = portcullis::token_hit_ratio(&http::text(metrics, "/metrics").await?);
            report.add_share("check_jwt_token_cache_hits", ratio);
        }
        Ok(())
    }

    /// HTTP through Envoy, which asks the servers by ext_authz, then by ext_proc.
    async fn measure_through_envoy(
        &self,
        servers: &Servers,
        binary: &Path,
        directory: &Path,
        report: &mut Report,
    ) -> Result<()> {
        let both = [&servers.null, &servers.subject];
        let questions = [
            (Filter::ExtAuthz, "Envoy ext_authz", "envoy_check"),
            (Filter::ExtProc, "Envoy ext_proc", "envoy_process"),
        ];
        let routes: Vec<_> =
            questions.iter().flat_map(|&(filter, ..)| both.map(|server| (filter, server.address))).collect();
        let envoy = envoy::start(binary, &routes, directory).await?;
        let calls = vec![traffic::get(&policies::path(self.policies as usize), None)];
        for ((_, path, name), listeners) in questions.into_iter().zip(envoy.listeners.as_chunks().0) {
            let labels = [null_label(path, ANONYMOUS), self.label(path, ANONYMOUS)];
            let [null, subject] = labels;
            let [null_listener, subject_listener] = *listeners;
            let lane = |label, address, server: &Server| Lane {
                label,
                wire: Wire::Http,
                address,
                pid: server.process.id(),
                calls: calls.clone(),
            };
            let lanes =
                [lane(null, null_listener, &servers.null), lane(subject, subject_listener, &servers.subject)];
            let [null, subject] = self.measure(&lanes).await?;
            report.add_lane(&format!("null_{name}"), &null);
            report.add_lane(name, &subject);
            report.add_versus_null(name, &subject, &null);
        }
        Ok(())
    }

    async fn measure<const N: usize>(&self, lanes: &[Lane; N]) -> Result<[Measured; N]> {
        let window = Window {
            warm_up: Duration::from_millis(self.warm_up),
            length: Duration::from_millis(self.window),
        };
        let concurrency = Concurrency { connections: self.connections.into(), streams: self.streams.into() };
        lane::measure(lanes, self.rounds, window, concurrency).await
    }

    fn label(&self, path: &'static str, request: &str) -> Label {
        if self.self_check {
            return Label { server: "second null", ..null_label(path, request) };
        }
        Label {
            path,
            server: "portcullis",
            request: request.to_owned(),
            policies: Some(self.policies as usize),
            audit: Some(self.audit.to_string()),
        }
    }
}

fn null_label(path: &'static str, request: &str) -> Label {
    Label { path, server: "null", request: request.to_owned(), policies: None, audit: None }
}
