use super::*;
use crate::repository;

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
                codec_type: AUTO
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
                route_config:
                  virtual_hosts:
                    - name: direct
                      domains: ["*"]
                      routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${BODY}}}}]
"#;

fn settings(text: &str) -> Settings {
    Settings::new(text.to_owned(), ([127, 0, 0, 1], 9).into(), ([127, 0, 0, 1], 9).into())
}

#[tokio::test]
async fn envoy_takes_what_is_shipped() {
    for name in ["ext-authz.yaml", "ext-proc.yaml"] {
        let text = fs::read_to_string(repository().join("envoy").join(name)).unwrap();
        validate(&text).await.unwrap_or_else(|error| panic!("{name}\n{error}"));
    }
}

#[tokio::test]
async fn what_envoy_would_not_take_is_found() {
    let wrong = DIRECT.replace("codec_type: AUTO", "codec_type: SOMETIMES");
    let wrong = settings(&wrong).with("BODY", "one").render().unwrap();
    let error = validate(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("unknown enum value: 'SOMETIMES'"), "{error}");
}

#[test]
fn a_placeholder_that_the_template_lacks_is_an_error() {
    assert!(settings(DIRECT).with("OTHER", "one").render().is_err());
}

#[tokio::test]
async fn several_run_side_by_side() {
    let settings = |body| settings(DIRECT).with("BODY", body);
    let (one_settings, other_settings) = (settings("one"), settings("other"));
    let (one, other) = tokio::join!(Envoy::start(&one_settings), Envoy::start(&other_settings));
    for (envoy, body) in [(one.unwrap(), "one"), (other.unwrap(), "other")] {
        let answer = reqwest::get(envoy.url()).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), body);
        assert_eq!(envoy.stat("http.gateway.downstream_rq_2xx").await.unwrap(), 1);
    }
}
