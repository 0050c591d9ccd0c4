//! `portcullis envoy config`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::kubernetes::Mistake;
use crate::cli::policy::{FINDINGS, print, print_error, usage_error};
use crate::proxy::config::{self, Address, Options, Refused, Tls};
use crate::proxy::{BodySource, ListenerTls, Needs};

/// Write the configuration that a proxy needs for these policies
///
/// Request bodies are buffered on the routes where a rule reads them or holds the call; timeouts outlast the longest hold;
/// nothing is let through when Portcullis can't be asked. Exits with 2 when nothing could be written.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  portcullis envoy config --config portcullis.yaml --listen 0.0.0.0:8080 \\\n    \
                        --portcullis portcullis.security:9191 --upstream shop:8080 --out envoy.yaml"
)]
pub struct Args {
    /// The proxy
    #[arg(long = "for", value_enum, default_value_t = Proxy::Envoy)]
    proxy: Proxy,
    #[command(flatten)]
    given: super::For,
    /// How it asks; `auto` is ext_proc where a rule masks responses, else ext_authz
    #[arg(long, value_enum, default_value_t = Service::Auto)]
    service: Service,
    /// A whole bootstrap, or the pieces to paste into an existing configuration [default: bootstrap]
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Where Envoy listens for callers, an address or `unix:PATH` [default: 127.0.0.1:10000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Address>,
    /// Where Envoy's admin interface listens, an address or `unix:PATH`: whoever reaches it controls Envoy [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<Address>,
    /// A replica of Portcullis, `HOST:PORT` or `unix:PATH`; with holds, the first is preferred while it is healthy
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9191")]
    portcullis: Vec<Address>,
    /// What Envoy protects [default: 127.0.0.1:9081]
    #[arg(long, value_name = "ADDRESS")]
    upstream: Option<Address>,
    /// The upstream speaks HTTP/2: needed for gRPC, and for trailers
    #[arg(long)]
    upstream_http2: bool,
    /// Where to write it, in place of what is there [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(flatten)]
    target: super::kubernetes::Target,
}

/// TLS from Envoy to Portcullis, for a server with `listen.grpc.tls`. Files as Envoy finds them; nothing is read here.
#[derive(Debug, clap::Args)]
struct TlsOptions {
    /// The CA (PEM) of the certificate that Portcullis shows
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// A certificate (PEM) for Envoy to show, where the server has a `client_ca`
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    tls_certificate: Option<String>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<String>,
    /// A name that the certificate of Portcullis must have: of the DNS, an IP address, or a URI such as a SPIFFE id
    /// [default: the host of each `--portcullis`]
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_san: Vec<String>,
}

impl TlsOptions {
    fn given(&self) -> Option<Tls> {
        let certificate = self.tls_certificate.clone().zip(self.tls_key.clone());
        Some(Tls { ca: self.tls_ca.clone()?, certificate, names: self.tls_san.clone() })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Proxy {
    Envoy,
    Istio,
    EnvoyGateway,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Service {
    Auto,
    #[value(name = "ext_authz", alias = "ext-authz")]
    ExtAuthz,
    #[value(name = "ext_proc", alias = "ext-proc")]
    ExtProc,
    /// One filter after the other: ext_authz decides and holds, ext_proc masks
    Both,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Bootstrap,
    Snippet,
}

fn local(port: u16) -> Address {
    Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

pub fn run(args: &Args) -> ExitCode {
    if let Some(option) = args.misplaced() {
        let proxy = args.proxy.to_possible_value();
        let proxy = proxy.as_ref().map_or("", |value| value.get_name());
        return usage_error(&format!("`{option}` has no meaning for `--for {proxy}`: leave it out"));
    }
    let needs = match super::needs(&args.given) {
        Ok(needs) => needs,
        Err(code) => return code,
    };
    let service = args.service(&needs);
    let written = match args.proxy {
        Proxy::Envoy => args.envoy(&needs).map_err(Mistake::from),
        Proxy::Istio => args.target.istio(&needs, service, &args.portcullis),
        Proxy::EnvoyGateway => args.target.envoy_gateway(&needs, service, &args.portcullis),
    };
    let text = match written {
        Ok(text) => text,
        Err(mistake) => return usage_error(&mistake),
    };
    print_error(&warnings(&needs, service, args.proxy));
    if matches!(args.proxy, Proxy::Istio)
        && needs.server.known
        && needs.server.gateway
        && args.target.is_sidecar()
    {
        print_error(
            "warning: the server's configuration says `listen.gateway: true`, and this is for sidecars, where the host is \
             the caller's claim: set it to `false`, and match `destinations` or `ports`\n",
        );
    }
    match &args.out {
        None => print(&text),
        Some(path) => {
            if let Err(error) = crate::cli::replace::replace(path, &text) {
                print_error(&format!("error: can't write `{}`: {error}\n", path.display()));
                return ExitCode::from(FINDINGS);
            }
        }
    }
    ExitCode::SUCCESS
}

impl Args {
    /// An option that was given, and is for another proxy.
    fn misplaced(&self) -> Option<&'static str> {
        let plain = [
            (self.output.is_some(), "--output"),
            (self.listen.is_some(), "--listen"),
            (self.admin.is_some(), "--admin"),
            (self.upstream.is_some(), "--upstream"),
            (self.upstream_http2, "--upstream-http2"),
            (self.tls.tls_ca.is_some(), "--tls-ca"),
        ];
        let given = |options: &[(bool, &'static str)]| {
            options.iter().find(|(given, _)| *given).map(|(_, option)| *option)
        };
        match self.proxy {
            Proxy::Envoy => given(&self.target.of_both())
                .or(given(&self.target.of_istio()))
                .or(given(&self.target.of_gateway())),
            Proxy::Istio => given(&plain).or(given(&self.target.of_gateway())),
            Proxy::EnvoyGateway => given(&plain).or(given(&self.target.of_istio())),
        }
    }

    fn service(&self, needs: &Needs) -> config::Service {
        match self.service {
            Service::Auto => config::Service::for_needs(needs),
            Service::ExtAuthz => config::Service::ExtAuthz,
            Service::ExtProc => config::Service::ExtProc,
            Service::Both => config::Service::Both,
        }
    }

    fn envoy(&self, needs: &Needs) -> Result<String, Refused> {
        let options = self.options(needs);
        match self.output.unwrap_or(Output::Bootstrap) {
            Output::Bootstrap => config::bootstrap(needs, &options),
            Output::Snippet => config::snippet(needs, &options),
        }
    }

    fn options(&self, needs: &Needs) -> Options {
        Options {
            service: self.service(needs),
            listen: self.listen.clone().unwrap_or_else(|| local(10_000)),
            admin: self.admin.clone().unwrap_or_else(|| local(9901)),
            portcullis: self.portcullis.clone(),
            upstream: self.upstream.clone().unwrap_or_else(|| local(9081)),
            upstream_http2: self.upstream_http2,
            tls: self.tls.given(),
        }
    }
}

/// What the written configuration can't make good: calls that will be denied.
fn warnings(needs: &Needs, service: config::Service, proxy: Proxy) -> String {
    let mut text = String::new();
    if needs.masks() && service == config::Service::ExtAuthz {
        text.push_str(
            "warning: a rule masks responses, which ext_authz can't: its calls are denied as `mask_unavailable`; use `--service ext_proc`\n",
        );
    }
    if needs.server.known && needs.server.tls != ListenerTls::Off && !matches!(proxy, Proxy::Envoy) {
        text.push_str(
            "warning: the server's `listen.grpc` has TLS, which these manifests don't set up: see docs/tls.md\n",
        );
    }
    let wanted = match proxy {
        Proxy::Envoy => "by_route",
        // Its manifests do as the server's configuration says.
        Proxy::Istio => needs.server.body.as_str(),
        Proxy::EnvoyGateway if needs.bodies.is_empty() => needs.server.body.as_str(),
        Proxy::EnvoyGateway => BodySource::Buffered.as_str(),
    };
    let written = needs.server.body.as_str();
    if service != config::Service::ExtProc && wanted != written {
        text.push_str(&format!(
            "warning: the server's configuration says `listen.request_body: {written}`; this needs `{wanted}`\n"
        ));
    }
    text
}
