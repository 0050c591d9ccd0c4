//! Both filters in one chain: right as the generator writes them, and with a piece left out.

use super::*;
use crate::proxy::config::{Options, Service, bootstrap};

fn both(needs: &Needs) -> String {
    let options = Options {
        service: Service::Both,
        listen: "127.0.0.1:10000".parse().unwrap(),
        admin: "127.0.0.1:9901".parse().unwrap(),
        portcullis: vec!["127.0.0.1:9191".parse().unwrap()],
        upstream: "127.0.0.1:9081".parse().unwrap(),
        upstream_http2: false,
        tls: None,
    };
    bootstrap(needs, &options).unwrap()
}

fn by_route(masks: bool) -> Needs {
    let mut needs = needs(masks);
    needs.server.body = BodySource::ByRoute;
    needs
}

const GIVES: &str = "{key: x-portcullis-handover, value: gives}";
const EXPECTS: &str = "{key: x-portcullis-handover, value: expects}";

#[test]
fn a_handover_is_right_with_all_of_its_pieces_alone() {
    let needs = by_route(true);
    let text = both(&needs);
    assert_eq!(rules(&text, &needs), [""; 0]);
    for (from, to) in [
        (GIVES, "{key: x-other, value: gives}"),
        (GIVES, "{key: x-portcullis-handover, value: expects}"),
        ("\"envoy.filters.http.ext_authz\", ", ""),
    ] {
        assert_eq!(rules(&edited(&text, from, to), &needs), ["half-handover"], "{from} {to}");
    }
    // Then ext_proc decides too, and has to see bodies.
    let unexpected = edited(&text, EXPECTS, "{key: x-other, value: expects}");
    assert_eq!(rules(&unexpected, &needs), ["half-handover", "no-request-body"]);
    // No ext_authz is asked on this route: nobody gives what is expected.
    let begin = text.find("                  - name: envoy.filters.http.ext_authz\n").unwrap();
    let end = text.find("                  - name: envoy.filters.http.ext_proc\n").unwrap();
    let alone = examined(&format!("{}{}", &text[..begin], &text[end..]), &needs);
    assert!(alone.findings.iter().any(|one| one.rule.id == "half-handover"), "{:#?}", alone.findings);
    let neither = edited(&unexpected, GIVES, "{key: x-other, value: gives}");
    let examined = examined(&neither, &needs);
    assert!(examined.findings.iter().any(|one| one.message.contains("decided on twice")));
    // The server can say it for both.
    let mut always = by_route(true);
    always.server.handover_always = true;
    assert_eq!(rules(&neither, &always), [""; 0]);
}

#[test]
fn an_ext_authz_that_hands_over_to_nobody_leaves_responses_unmasked() {
    let needs = by_route(false);
    let text = both(&needs);
    let begin = text.find("                  - name: envoy.filters.http.ext_proc\n").unwrap();
    let end = text.find("                  # Last: what filters").unwrap();
    let alone = format!("{}{}", &text[..begin], &text[end..]);
    assert_eq!(rules(&alone, &needs), ["masks-need-ext-proc"]);
    let plain = edited(&alone, GIVES, "{key: x-other, value: gives}");
    assert_eq!(rules(&plain, &needs), [""; 0]);
}
