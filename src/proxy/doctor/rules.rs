//! Every rule, a file each.

use super::rule::Rule;

mod admin_exposed;
mod both_filters;
mod cache_before_portcullis;
mod circuit_breakers;
mod clear_route_cache;
pub(super) mod cluster_as_authority;
mod cluster_missing;
mod compressed_responses;
mod dead_route_setting;
mod denial_rewritten;
pub(super) mod dry_run;
mod duplicate_field;
mod envoy_version;
mod escaped_slashes;
mod fail_open;
mod filter_conditional;
mod filter_disabled;
pub(super) mod filter_missing;
mod filter_order;
mod forwarded_client_cert;
mod forwarded_for_trust;
mod half_handover;
mod header_rewritten;
mod headers_skipped;
pub(super) mod host_claimed;
mod http10;
mod http1_to_portcullis;
pub(super) mod http_provider;
mod lossy_body;
mod lossy_headers;
mod masks_need_ext_proc;
mod max_message_timeout;
mod metadata_namespaces;
mod missing_attributes;
mod mode_override_off;
mod mutation_rules;
mod no_request_body;
pub(super) mod not_checked;
mod observability_mode;
mod partial_body;
pub(super) mod patch_misplaced;
mod path_not_normalized;
mod peer_certificate;
pub(super) mod policy_leaves_out;
pub(super) mod policy_overridden;
pub(super) mod policy_without_rules;
pub(super) mod reference_grant;
pub(super) mod replicas_unordered;
mod routed_by_caller;
pub(super) mod selects_nothing;
mod server_disagrees;
pub(super) mod several_providers;
mod short_message_timeout;
mod short_timeout;
pub(super) mod sidecar_bypassed;
mod slashes_not_merged;
mod small_request_body;
mod status_on_error;
mod stream_duration;
mod stream_idle_timeout;
mod tls_to_portcullis;
mod trailers_unseen;
mod underscore_headers;
pub(super) mod unknown_provider;
mod unshown_headers;
mod upgrade_filters;
mod upgrades;

/// Every rule, sorted by id.
pub static RULES: &[&Rule] = &[
    &admin_exposed::RULE,
    &both_filters::RULE,
    &cache_before_portcullis::RULE,
    &circuit_breakers::RULE,
    &clear_route_cache::RULE,
    &cluster_as_authority::RULE,
    &cluster_missing::RULE,
    &compressed_responses::RULE,
    &dead_route_setting::RULE,
    &denial_rewritten::RULE,
    &dry_run::RULE,
    &duplicate_field::RULE,
    &envoy_version::RULE,
    &escaped_slashes::RULE,
    &fail_open::RULE,
    &filter_conditional::RULE,
    &filter_disabled::RULE,
    &filter_missing::RULE,
    &filter_order::RULE,
    &forwarded_client_cert::RULE,
    &forwarded_for_trust::RULE,
    &half_handover::RULE,
    &header_rewritten::RULE,
    &headers_skipped::RULE,
    &host_claimed::RULE,
    &http_provider::RULE,
    &http1_to_portcullis::RULE,
    &http10::RULE,
    &lossy_body::RULE,
    &lossy_headers::RULE,
    &masks_need_ext_proc::RULE,
    &max_message_timeout::RULE,
    &metadata_namespaces::RULE,
    &missing_attributes::RULE,
    &mode_override_off::RULE,
    &mutation_rules::RULE,
    &no_request_body::RULE,
    &not_checked::RULE,
    &observability_mode::RULE,
    &partial_body::RULE,
    &patch_misplaced::RULE,
    &path_not_normalized::RULE,
    &peer_certificate::RULE,
    &policy_leaves_out::RULE,
    &policy_overridden::RULE,
    &policy_without_rules::RULE,
    &reference_grant::RULE,
    &replicas_unordered::RULE,
    &routed_by_caller::RULE,
    &selects_nothing::RULE,
    &server_disagrees::RULE,
    &several_providers::RULE,
    &short_message_timeout::RULE,
    &short_timeout::RULE,
    &sidecar_bypassed::RULE,
    &slashes_not_merged::RULE,
    &small_request_body::RULE,
    &status_on_error::RULE,
    &stream_duration::RULE,
    &stream_idle_timeout::RULE,
    &tls_to_portcullis::RULE,
    &trailers_unseen::RULE,
    &underscore_headers::RULE,
    &unknown_provider::RULE,
    &unshown_headers::RULE,
    &upgrade_filters::RULE,
    &upgrades::RULE,
];

pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}
