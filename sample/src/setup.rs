//! The whole sample set-up at once: upstream, identity provider, Portcullis and Envoy, and tokens for everybody.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use tokio::time::timeout;

use crate::envoy::{Envoy, Settings};
use crate::idp::{ADMIN_AUDIENCE, AUDIENCE, IdentityProvider, PEOPLE};
use crate::portcullis::{self, Config, Portcullis};
use crate::upstream::Upstream;
use crate::{address, repository};

/// Longer than anybody plays with the set-up in one go.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);
/// How long a part may take to stop.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where everything listens, and what runs.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where Envoy lets callers in; all the rest listens on loopback only
    #[arg(long, value_name = "ADDRESS", env = "GATEWAY_ADDRESS", default_value = "127.0.0.1")]
    pub gateway_address: IpAddr,
    /// Envoy, in front of the upstream
    #[arg(long, value_name = "PORT", env = "GATEWAY_PORT", default_value_t = 10000)]
    pub gateway_port: u16,
    /// Envoy's admin interface
    #[arg(long, value_name = "PORT", env = "ENVOY_ADMIN_PORT", default_value_t = 9901)]
    pub envoy_admin_port: u16,
    /// Portcullis: gRPC, for Envoy
    #[arg(long, value_name = "PORT", env = "GRPC_PORT", default_value_t = 9191)]
    pub grpc_port: u16,
    /// Portcullis: admin API
    #[arg(long, value_name = "PORT", env = "ADMIN_PORT", default_value_t = 9190)]
    pub admin_port: u16,
    /// Portcullis: metrics and health
    #[arg(long, value_name = "PORT", env = "METRICS_PORT", default_value_t = 9192)]
    pub metrics_port: u16,
    /// The sample upstream
    #[arg(long, value_name = "PORT", env = "UPSTREAM_PORT", default_value_t = 9081)]
    pub upstream_port: u16,
    /// The sample identity provider
    #[arg(long, value_name = "PORT", env = "IDP_PORT", default_value_t = 9080)]
    pub idp_port: u16,
    /// The server to run [default: the one beside this program]
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_BIN")]
    pub portcullis: Option<PathBuf>,
    /// Where logs, tokens, the database and the audit file go
    #[arg(long, value_name = "DIR", default_value = ".run")]
    pub data: PathBuf,
}

/// Everything running; all of it ends when this is dropped.
#[derive(Debug)]
pub struct Setup {
    pub upstream: Upstream,
    pub idp: IdentityProvider,
    pub portcullis: Portcullis,
    pub envoy: Envoy,
    pub binary: PathBuf,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
    pub data: PathBuf,
}

/// What Portcullis and Envoy stand between, without either of them.
#[derive(Debug)]
pub struct Services {
    pub upstream: Upstream,
    pub idp: IdentityProvider,
}

impl Services {
    /// Starts both, with tokens for everybody. The upstream comes last: when it answers, all is in place.
    pub async fn start(options: &Options) -> Result<Self> {
        fs::create_dir_all(&options.data)
            .with_context(|| format!("can't make the folder `{}`", options.data.display()))?;
        let idp = IdentityProvider::start(loopback(options.idp_port)).await?;
        write_tokens(&idp, &options.data.join("tokens"))?;
        let upstream = Upstream::start(loopback(options.upstream_port)).await?;
        Ok(Self { upstream, idp })
    }

    /// The same for a Portcullis that somebody else starts, with its configuration: `portcullis.yaml` beside the tokens.
    pub async fn start_with_configuration(options: &Options) -> Result<Self> {
        fs::create_dir_all(&options.data)
            .with_context(|| format!("can't make the folder `{}`", options.data.display()))?;
        let issuer = format!("http://{}", loopback(options.idp_port));
        fs::write(options.data.join("portcullis.yaml"), options.config(issuer).render()?)?;
        Self::start(options).await
    }
}

impl Setup {
    /// Starts all parts and waits until each is ready.
    pub async fn start(options: &Options) -> Result<Self> {
        options.check_ports()?;
        let binary = options.binary()?;
        let Services { upstream, idp } = Services::start(options).await?;
        let config = options.config(idp.issuer());
        let portcullis = Portcullis::start(&binary, &config).await?;
        let envoy = Envoy::start(&options.envoy(&binary, &config).await?).await?;
        let (admin, metrics, data) = (config.admin, config.metrics, options.data.clone());
        Ok(Self { upstream, idp, portcullis, envoy, binary, admin, metrics, data })
    }

    /// Waits for the first part to die: which one, and the end of its log. Everything is meant to run for ever, so this
    /// is always an error.
    pub async fn first_failure(&mut self) -> anyhow::Error {
        let (portcullis, envoy) = (self.portcullis.child(), self.envoy.child());
        let (child, ended) = tokio::select! {
            ended = portcullis.ended() => (portcullis, ended),
            ended = envoy.ended() => (envoy, ended),
        };
        match ended {
            Ok(status) => anyhow!("{} has died ({status})\n{}", child.name(), child.tail()),
            Err(error) => error.context(format!("lost sight of {}", child.name())),
        }
    }

    /// The part that has died already, if any has.
    pub async fn failure_so_far(&mut self) -> Option<anyhow::Error> {
        timeout(Duration::from_millis(100), self.first_failure()).await.ok()
    }

    /// Stops the parts from the outside in, so that none sees a neighbour vanish.
    pub async fn stop(mut self) -> Result<()> {
        self.envoy.child().terminate(PATIENCE).await?;
        self.portcullis.terminate().await?;
        self.idp.stop().await;
        self.upstream.stop().await;
        Ok(())
    }

    /// Where the token of a person lies; `name` may end with `-admin`.
    pub fn token_path(&self, name: &str) -> PathBuf {
        self.data.join("tokens").join(format!("{name}.jwt"))
    }

    pub fn audit_path(&self) -> PathBuf {
        self.data.join("audit.jsonl")
    }
}

impl Options {
    fn config(&self, issuer: String) -> Config {
        Config {
            grpc: loopback(self.grpc_port),
            admin: loopback(self.admin_port),
            metrics: loopback(self.metrics_port),
            issuer,
            policies: repository().join("policies"),
            data: self.data.clone(),
        }
    }

    /// The configuration that the server itself writes for these policies.
    async fn envoy(&self, binary: &Path, config: &Config) -> Result<Settings> {
        let (listener, admin) =
            (SocketAddr::new(self.gateway_address, self.gateway_port), loopback(self.envoy_admin_port));
        let upstream = loopback(self.upstream_port);
        let text = portcullis::envoy_config(binary, config, listener, admin, upstream).await?;
        let mut settings = Settings::new(text, config.grpc, upstream);
        settings.log = Some(self.data.join("envoy.log"));
        Ok(settings)
    }

    fn binary(&self) -> Result<PathBuf> {
        let binary = match &self.portcullis {
            Some(named) => named.clone(),
            None => std::env::current_exe()?.with_file_name("portcullis"),
        };
        if !binary.is_file() {
            bail!("no server at `{}`; build it with `cargo build`, or set PORTCULLIS_BIN", binary.display());
        }
        Ok(binary)
    }

    /// All busy ports at once, each with what to set.
    fn check_ports(&self) -> Result<()> {
        let ports = [
            (self.gateway_port, "Envoy", "GATEWAY_PORT"),
            (self.envoy_admin_port, "Envoy's admin interface", "ENVOY_ADMIN_PORT"),
            (self.grpc_port, "Portcullis's gRPC", "GRPC_PORT"),
            (self.admin_port, "Portcullis's admin API", "ADMIN_PORT"),
            (self.metrics_port, "Portcullis's metrics", "METRICS_PORT"),
            (self.upstream_port, "the sample upstream", "UPSTREAM_PORT"),
            (self.idp_port, "the sample identity provider", "IDP_PORT"),
        ];
        let busy: Vec<String> = ports
            .iter()
            .filter(|(port, ..)| address::is_taken(loopback(*port)))
            .map(|(port, what, variable)| format!("port {port} ({what}) is in use: set {variable}"))
            .collect();
        if busy.is_empty() { Ok(()) } else { Err(anyhow!(busy.join("\n"))) }
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// `ana.jwt` for calls, `ana-admin.jwt` for approvals, and so on. Readable by their owner only, like any credential.
fn write_tokens(idp: &IdentityProvider, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for person in PEOPLE {
        for (audience, suffix) in [(AUDIENCE, ""), (ADMIN_AUDIENCE, "-admin")] {
            let token = idp.token_for(person.name, audience, TOKEN_TTL)?;
            let path = folder.join(format!("{}{suffix}.jwt", person.name));
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&path)?.write_all(token.as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[tokio::test]
    async fn a_busy_port_is_named_with_what_to_set() {
        let [free] = address::free().unwrap();
        let mut options = Line::parse_from(["sample"]).options;
        for port in [
            &mut options.gateway_port,
            &mut options.envoy_admin_port,
            &mut options.grpc_port,
            &mut options.metrics_port,
            &mut options.upstream_port,
            &mut options.idp_port,
        ] {
            *port = free.port();
        }
        let held = std::net::TcpListener::bind(address::ANY).unwrap();
        options.admin_port = held.local_addr().unwrap().port();
        let error = Setup::start(&options).await.unwrap_err().to_string();
        let port = options.admin_port;
        assert_eq!(error, format!("port {port} (Portcullis's admin API) is in use: set ADMIN_PORT"));
    }

    #[tokio::test]
    async fn everybody_gets_both_tokens_and_only_the_owner_may_read_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let idp = IdentityProvider::start(address::ANY).await.unwrap();
        write_tokens(&idp, folder.path()).unwrap();
        for person in PEOPLE {
            for name in [format!("{}.jwt", person.name), format!("{}-admin.jwt", person.name)] {
                let path = folder.path().join(name);
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
                assert_eq!(fs::read_to_string(&path).unwrap().split('.').count(), 3);
            }
        }
    }
}
