//! `portcullis envoy config`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::kubernetes::Mistake;
use crate::cli::policy::{FINDINGS, print, print_error, usage_error};
use crate::proxy::config::{self, Address, Options, Refused};
use crate::proxy::{BodySource, Needs};

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
    /// A whole bootstrap, or the pieces to paste into an existing configuration
    #[arg(long, value_enum, default_value_t = Output::Bootstrap)]
    output: Output,
    /// Where Envoy listens for callers
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10000")]
    listen: Address,
    /// Where Envoy's admin interface listens: whoever reaches it controls Envoy
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: Address,
    /// A replica of Portcullis, `HOST:PORT` or `unix:PATH`; with holds, the first is preferred while it is healthy
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9191")]
    portcullis: Vec<Address>,
    /// What Envoy protects
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9081")]
    upstream: Address,
    /// The upstream speaks HTTP/2: needed for gRPC, and for trailers
    #[arg(long)]
    upstream_http2: bool,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    target: super::kubernetes::Target,
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Bootstrap,
    Snippet,
}

pub fn run(args: &Args) -> ExitCode {
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
    match &args.out {
        None => print(&text),
        Some(path) => {
            if let Err(error) = std::fs::write(path, text) {
                print_error(&format!("error: can't write `{}`: {error}\n", path.display()));
                return ExitCode::from(FINDINGS);
            }
        }
    }
    ExitCode::SUCCESS
}

impl Args {
    fn service(&self, needs: &Needs) -> config::Service {
        match self.service {
            Service::Auto => config::Service::for_needs(needs),
            Service::ExtAuthz => config::Service::ExtAuthz,
            Service::ExtProc => config::Service::ExtProc,
        }
    }

    fn envoy(&self, needs: &Needs) -> Result<String, Refused> {
        let options = self.options(needs);
        match self.output {
            Output::Bootstrap => config::bootstrap(needs, &options),
            Output::Snippet => config::snippet(needs, &options),
        }
    }

    fn options(&self, needs: &Needs) -> Options {
        Options {
            service: self.service(needs),
            listen: self.listen.clone(),
            admin: self.admin.clone(),
            portcullis: self.portcullis.clone(),
            upstream: self.upstream.clone(),
            upstream_http2: self.upstream_http2,
        }
    }
}

/// What the written configuration can't make good: calls that will be denied.
fn warnings(needs: &Needs, service: config::Service, proxy: Proxy) -> String {
    let mut text = String::new();
    if needs.masks && service == config::Service::ExtAuthz {
        text.push_str(
            "warning: a rule masks responses, which ext_authz can't: its calls are denied as `mask_unavailable`; use `--service ext_proc`\n",
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
    if service == config::Service::ExtAuthz && wanted != written {
        text.push_str(&format!(
            "warning: the server's configuration says `listen.request_body: {written}`; this needs `{wanted}`\n"
        ));
    }
    text
}
