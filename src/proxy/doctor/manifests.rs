//! Istio's and Envoy Gateway's manifests: what is wrong with the objects themselves, and with the Envoy configuration that
//! they become.

use super::rules::{
    cluster_as_authority, dry_run, filter_missing, host_claimed, http_provider, not_checked, patch_misplaced,
    policy_leaves_out, policy_overridden, policy_without_rules, reference_grant, replicas_unordered,
    selects_nothing, several_providers, sidecar_bypassed, unknown_provider,
};
use super::{Report, Rule};
use crate::policy::cel::attribute::Attribute;
use crate::proxy::Needs;
use crate::proxy::kubernetes::draft::Draft;
use crate::proxy::kubernetes::gateway::Gateways;
use crate::proxy::kubernetes::istio::Mesh;
use crate::proxy::kubernetes::{Object, objects};
use crate::proxy::tree::{At, Source};

mod fix;
mod replicas;
mod unasked;

use fix::Form;
pub(super) use fix::fields;

/// All manifests together.
#[derive(Debug)]
pub struct Manifests<'a> {
    pub mesh: Mesh<'a>,
    pub gateways: Gateways<'a>,
}

/// From what manifests become back to where it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lens<'a> {
    draft: &'a Draft<'a>,
    form: Form,
}

type Check = fn(&Manifests<'_>, &mut Report<'_>);

/// What is found in the objects themselves. The other mistakes are found in what the objects become.
pub static CHECKS: &[(&Rule, Check)] = &[
    (&cluster_as_authority::RULE, cluster_as_authority::manifests),
    (&dry_run::RULE, dry_run::manifests),
    (&filter_missing::RULE, unasked::manifests),
    (&host_claimed::RULE, host_claimed::manifests),
    (&http_provider::RULE, http_provider::manifests),
    (&patch_misplaced::RULE, patch_misplaced::manifests),
    (&policy_leaves_out::RULE, policy_leaves_out::manifests),
    (&policy_overridden::RULE, policy_overridden::manifests),
    (&policy_without_rules::RULE, policy_without_rules::manifests),
    (&reference_grant::RULE, reference_grant::manifests),
    (&replicas_unordered::RULE, replicas::manifests),
    (&selects_nothing::RULE, selects_nothing::manifests),
    (&several_providers::RULE, several_providers::manifests),
    (&sidecar_bypassed::RULE, sidecar_bypassed::manifests),
    (&unknown_provider::RULE, unknown_provider::manifests),
];

impl<'a> Manifests<'a> {
    pub fn of(sources: &[&'a Source]) -> Self {
        let documents: Vec<At<'a>> = sources.iter().flat_map(|source| source.documents()).collect();
        let objects: Vec<Object<'a>> = objects(sources.iter().copied());
        Self { mesh: Mesh::of(&documents, &objects), gateways: Gateways::of(&objects) }
    }

    /// The Envoy configurations that they become: one for each thing that a policy is attached to.
    pub(super) fn draw(&self, needs: &Needs) -> Vec<Drawn<'a>> {
        let istio = self.mesh.proxies(needs.reads(Attribute::SourceAddress)).into_iter().map(|proxy| Drawn {
            source: proxy.draft.finish("the mesh", proxy.root),
            draft: proxy.draft,
            form: Form::Istio,
            unread: proxy.unread,
        });
        let gateway = self.gateways.proxies().into_iter().map(|proxy| Drawn {
            source: proxy.draft.finish("the gateway", proxy.root),
            draft: proxy.draft,
            form: Form::EnvoyGateway,
            unread: proxy.unread,
        });
        istio.chain(gateway).collect()
    }

    /// What is wrong with the objects themselves.
    pub(super) fn check(&self, report: &mut Report<'_>) {
        CHECKS.iter().for_each(|(_, check)| check(self, report));
        let mesh = &self.mesh;
        for policy in mesh.asking().filter(|_| mesh.configs.is_empty()) {
            let at = policy.object.spec().at(&["provider", "name"]);
            not_shown(&at, "the mesh configuration with this provider", report);
        }
    }

    /// Whether anything makes a proxy ask Portcullis.
    pub(super) fn ask(&self) -> bool {
        self.mesh.asks() || self.gateways.asks()
    }
}

/// One Envoy configuration that the manifests become.
#[derive(Debug)]
pub(super) struct Drawn<'a> {
    draft: Draft<'a>,
    form: Form,
    pub source: Source,
    /// What could not be drawn up: where, and what.
    unread: Vec<(At<'a>, String)>,
}

impl<'a> Drawn<'a> {
    /// Says what could not be examined.
    pub fn report_unread(&self, report: &mut Report<'_>) {
        for (at, what) in &self.unread {
            let fix = "give a `config_dump` of the proxy, which shows what it does";
            report.find(&not_checked::RULE, at, format!("not examined: {what}"), fix);
        }
    }

    pub fn lens(&'a self) -> Lens<'a> {
        Lens { draft: &self.draft, form: self.form }
    }
}

fn not_shown(at: &At<'_>, what: &str, report: &mut Report<'_>) {
    let message = format!("{what} is not shown: what it brings was not examined");
    report.find(&not_checked::RULE, at, message, "give what is missing, or a `config_dump` of the proxy");
}

impl<'a> Lens<'a> {
    /// The place in the manifests that a value was drawn up from.
    pub fn origin(&self, at: &At<'_>) -> Option<At<'a>> {
        self.draft.origin(at.place()?.line).cloned()
    }

    pub fn add_field(&self, rule: &str, path: &str, fix: &mut String) {
        self.form.add(rule, path, fix);
    }
}
