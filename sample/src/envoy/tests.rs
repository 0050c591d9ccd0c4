use super::*;
use crate::address;
use crate::upstream::Upstream;

/// Answers at once and asks nobody.
const DIRECT: &str = r#"
admin: {address: {socket_address: {address: ${ADMIN_ADDRESS}, port_value: ${ADMIN_PORT}}}}
static_resources:
  listeners:
    - name: gateway
      address: {socket_address: {address: ${LISTENER_ADDRESS}, port_value: ${LISTENER_PORT}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: gateway
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
                route_config:
                  virtual_hosts:
                    - name: direct
                      domains: ["*"]
                      routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${BODY}}}}]
"#;

fn settings(template: Template) -> Settings {
    Settings::new(template, ([127, 0, 0, 1], 9).into(), ([127, 0, 0, 1], 9).into())
}

#[tokio::test]
async fn envoy_takes_every_configuration_in_every_mode() {
    let configurations = [
        settings(Template::ExtAuthz),
        settings(Template::ExtAuthz).with_http2_upstream(),
        settings(Template::ExtProc),
        settings(Template::ExtProc).with("REQUEST_BODY_MODE", "BUFFERED"),
        settings(Template::ExtProc)
            .with("RESPONSE_HEADER_MODE", "SEND")
            .with("RESPONSE_BODY_MODE", "STREAMED"),
        settings(Template::ExtProc)
            .with("RESPONSE_HEADER_MODE", "SEND")
            .with("RESPONSE_BODY_MODE", "FULL_DUPLEX_STREAMED")
            .with("RESPONSE_TRAILER_MODE", "SEND"),
    ];
    for settings in configurations {
        validate(&settings.render().unwrap()).await.unwrap_or_else(|error| panic!("{settings:?}\n{error}"));
    }
}

#[tokio::test]
async fn what_envoy_would_not_take_is_found() {
    let wrong = settings(Template::ExtProc).with("REQUEST_BODY_MODE", "SOMETIMES").render().unwrap();
    let error = validate(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("unknown enum value: 'SOMETIMES'"), "{error}");
}

#[test]
fn a_placeholder_that_the_template_lacks_is_an_error() {
    assert!(settings(Template::ExtAuthz).with("REQUEST_BODY_MODE", "NONE").render().is_err());
}

#[tokio::test]
async fn several_run_side_by_side() {
    let settings = |body| settings(Template::Text(DIRECT.to_owned())).with("BODY", body);
    let (one_settings, other_settings) = (settings("one"), settings("other"));
    let (one, other) = tokio::join!(Envoy::start(&one_settings), Envoy::start(&other_settings));
    for (envoy, body) in [(one.unwrap(), "one"), (other.unwrap(), "other")] {
        let answer = reqwest::get(envoy.url()).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), body);
        assert_eq!(envoy.stat("http.gateway.downstream_rq_2xx").await.unwrap(), 1);
    }
}

#[tokio::test]
async fn nothing_passes_while_portcullis_is_away() {
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let [nobody] = address::free().unwrap();
    for (template, status) in [(Template::ExtAuthz, 503), (Template::ExtProc, 500)] {
        let envoy = Envoy::start(&Settings::new(template, nobody, upstream.address())).await.unwrap();
        let refund =
            reqwest::Client::new().post(format!("{}/v1/refunds", envoy.url())).body(r#"{"amount":1}"#);
        for call in [reqwest::Client::new().get(format!("{}/public/hello", envoy.url())), refund] {
            assert_eq!(call.send().await.unwrap().status(), status);
        }
        assert_eq!(upstream.calls(), 0);
    }
}
