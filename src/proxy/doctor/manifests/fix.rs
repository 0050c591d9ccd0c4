//! Where a setting of Envoy is made in manifests.

/// Who makes an Envoy configuration of manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Istio,
    EnvoyGateway,
}

/// Neither has a field for it, so Envoy's own configuration is patched.
const ENVOY_FILTER: &str = "an EnvoyFilter that merges it into Envoy's filter";
const FILTER_OF_MANAGER: &str = "an EnvoyFilter that merges it into the connection manager";
const PATCH_POLICY: &str = "an EnvoyPatchPolicy";

/// For each rule, what to write in Istio and in Envoy Gateway.
#[rustfmt::skip]
static FIELDS: &[(&str, &str, &str)] = &[
    ("circuit-breakers", "`connectionPool` of a DestinationRule", "`backendSettings.circuitBreaker`"),
    ("clear-route-cache", "`envoyExtAuthzGrpc.clearRouteCache`", "`extAuth.recomputeRoute`"),
    ("escaped-slashes", FILTER_OF_MANAGER, "`path.escapedSlashesAction` of a ClientTrafficPolicy"),
    ("fail-open", "`envoyExtAuthzGrpc.failOpen`", "`failOpen` of `extAuth` and `extProc`"),
    ("forwarded-client-cert", "`defaultConfig.gatewayTopology.forwardClientCertDetails`", "`headers.xForwardedClientCert.mode` of a ClientTrafficPolicy"),
    ("forwarded-for-trust", "`defaultConfig.gatewayTopology.numTrustedProxies`", "`clientIPDetection` of a ClientTrafficPolicy"),
    ("headers-skipped", ENVOY_FILTER, "`extProc.processingMode.request`"),
    ("http1-to-portcullis", "`appProtocol: grpc` of the Service's port, or `h2UpgradePolicy: UPGRADE` of a DestinationRule", "`appProtocol` of the Service's port"),
    ("http10", FILTER_OF_MANAGER, "`http1.http10` of a ClientTrafficPolicy"),
    ("lossy-body", "`includeRequestBodyInCheck.packAsBytes`", PATCH_POLICY),
    ("lossy-headers", ENVOY_FILTER, PATCH_POLICY),
    ("masks-need-ext-proc", "an EnvoyFilter that inserts ext_proc (`portcullis envoy config --for istio` writes it)", "an EnvoyExtensionPolicy (`portcullis envoy config --for envoy-gateway` writes it)"),
    ("max-message-timeout", ENVOY_FILTER, PATCH_POLICY),
    ("metadata-namespaces", ENVOY_FILTER, "`extProc.metadata.accessibleNamespaces`"),
    ("missing-attributes", ENVOY_FILTER, "`extProc.processingMode.request.attributes`"),
    ("mode-override-off", ENVOY_FILTER, "`extProc.processingMode.allowModeOverride`"),
    ("mutation-rules", ENVOY_FILTER, PATCH_POLICY),
    ("no-request-body", "`envoyExtAuthzGrpc.includeRequestBodyInCheck`", "`extAuth.bodyToExtAuth`, or `extProc.processingMode.request.body: Buffered`"),
    ("partial-body", "`includeRequestBodyInCheck.allowPartialMessage`", "`extProc.processingMode.request.body: Buffered`"),
    ("path-not-normalized", "`pathNormalization.normalization: MERGE_SLASHES`", PATCH_POLICY),
    ("short-message-timeout", ENVOY_FILTER, "`extProc.messageTimeout`"),
    ("short-timeout", "`envoyExtAuthzGrpc.timeout`", "`extAuth.timeout`"),
    ("slashes-not-merged", "`pathNormalization.normalization: MERGE_SLASHES`", "`path.disableMergeSlashes` of a ClientTrafficPolicy"),
    ("small-request-body", "`includeRequestBodyInCheck.maxRequestBytes`", "`extAuth.bodyToExtAuth.maxRequestBytes`, and for ext_proc `connection.bufferLimit` of a ClientTrafficPolicy"),
    ("status-on-error", "`envoyExtAuthzGrpc.statusOnError`", "`statusOnError` of `extAuth` and `extProc`"),
    ("stream-duration", FILTER_OF_MANAGER, "`timeout.http.maxStreamDuration` of a BackendTrafficPolicy"),
    ("stream-idle-timeout", FILTER_OF_MANAGER, "`timeout.http.streamIdleTimeout` of a ClientTrafficPolicy or a BackendTrafficPolicy"),
    ("trailers-unseen", ENVOY_FILTER, PATCH_POLICY),
    ("underscore-headers", FILTER_OF_MANAGER, "`headers.withUnderscoresAction` of a ClientTrafficPolicy"),
    ("unshown-headers", ENVOY_FILTER, "`extAuth.headersToExtAuth`"),
];

/// Where the setting of a rule is made in manifests, for its page.
pub fn fields(rule: &str) -> Option<String> {
    let (_, istio, gateway) = FIELDS.iter().find(|(id, _, _)| *id == rule)?;
    Some(format!("In Istio: {istio}. In Envoy Gateway: {gateway}."))
}

impl Form {
    /// Adds to the words of a fix, which speak of Envoy, where that is written in manifests. `path` is where the mistake
    /// stands: a typed configuration is Envoy's own.
    pub fn add(self, rule: &str, path: &str, fix: &mut String) {
        let Some((_, istio, gateway)) = FIELDS.iter().find(|(id, _, _)| *id == rule) else { return };
        if path.contains("typed_config") || path.contains("typedConfig") {
            return;
        }
        let (whose, field) = match self {
            Self::Istio => ("Istio", istio),
            Self::EnvoyGateway => ("Envoy Gateway", gateway),
        };
        *fix += &format!("; in {whose}: {field}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::doctor::by_id;

    #[test]
    fn each_field_is_of_a_rule_and_they_are_sorted() {
        for (id, _, _) in FIELDS {
            assert!(by_id(id).is_some(), "{id}");
        }
        assert!(FIELDS.is_sorted_by_key(|(id, _, _)| id));
    }

    #[test]
    fn a_typed_configuration_keeps_envoys_own_words() {
        let mut fix = "set `failure_mode_allow: false`".to_owned();
        Form::Istio.add(
            "fail-open",
            "spec.configPatches[0].patch.value.typed_config.failure_mode_allow",
            &mut fix,
        );
        assert_eq!(fix, "set `failure_mode_allow: false`");
        Form::Istio.add("fail-open", "extensionProviders[0].envoyExtAuthzGrpc.failOpen", &mut fix);
        assert_eq!(fix, "set `failure_mode_allow: false`; in Istio: `envoyExtAuthzGrpc.failOpen`");
    }
}
