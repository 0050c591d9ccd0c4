//! What to try once everything runs.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use crate::setup::Setup;

const HEADING: Style = Style::new().bold();
const COMMAND: Style = AnsiColor::Cyan.on_default();

/// Prints the addresses, and commands to copy. Tokens stay in their files, so that the lines stay short.
pub fn print(setup: &Setup, out: &mut impl Write) -> io::Result<()> {
    let gateway = setup.envoy.url();
    let tokens = setup.data.join("tokens");
    let tokens = tokens.display();
    writeln!(out, "\n{HEADING}Portcullis is running.{HEADING:#} Ctrl-C stops everything.\n")?;
    let places = [
        ("Envoy, in front of the shop", gateway.clone()),
        ("Console and admin API", format!("http://{}", setup.admin)),
        ("Metrics and health", format!("http://{}", setup.metrics)),
        ("Envoy's admin interface", format!("http://{}", setup.envoy.admin())),
        ("Identity provider", setup.idp.issuer()),
        ("Logs, audit, tokens", format!("{}/", setup.data.display())),
    ];
    for (what, place) in places {
        writeln!(out, "  {what:28} {place}")?;
    }
    writeln!(out)?;

    // `portcullis approvals` asks at this address unless told otherwise.
    let server = match setup.admin.port() {
        9190 => String::new(),
        _ => format!(" --server http://{}", setup.admin),
    };
    let approvals = format!(
        "{} approvals{server} --token-file {tokens}/bob-admin.jwt",
        from_here(&setup.binary).display()
    );
    let auth = |person: &str| format!("-H \"authorization: Bearer $(cat {tokens}/{person}.jwt)\"");
    let refund = format!(
        "curl -i {} {gateway}/v1/refunds --json '{{\"order\":\"o-1003\",\"amount\":700}}'",
        auth("ana")
    );
    let tries = [
        ("Nobody: 401", format!("curl -i {gateway}/v1/orders")),
        ("Carl is a guest: 403", format!("curl -i {} {gateway}/v1/orders", auth("carl"))),
        ("Ana is staff: 200, cards masked", format!("curl -i {} {gateway}/v1/orders", auth("ana"))),
        ("As they happen, masked on the way", format!("curl -N {} {gateway}/v1/orders/stream", auth("ana"))),
        ("A large refund waits for finance", refund),
        ("... bob sees it, in another terminal", format!("{approvals} list")),
        ("... and approves or rejects it", format!("{approvals} approve ID")),
        ("The same in a browser, as bob", format!("http://{}", setup.admin)),
    ];
    for (what, command) in tries {
        writeln!(out, "{HEADING}{what}{HEADING:#}\n  {COMMAND}{command}{COMMAND:#}")?;
    }
    writeln!(out)
}

/// The path as somebody in the current folder would type it.
fn from_here(path: &Path) -> &Path {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path)
}
