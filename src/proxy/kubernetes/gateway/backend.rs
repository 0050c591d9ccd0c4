//! BackendTrafficPolicies: what they change of the routes that calls take after Portcullis was asked.

use serde_json::json;

use super::translate::seconds;
use super::{Gateways, Object, Target};
use crate::document::Node;
use crate::proxy::kubernetes::draft::{Draft, find, set};
use crate::proxy::kubernetes::envoy::{first, manager};
use crate::proxy::tree::At;

/// What Envoy Gateway makes filters or upgrades of, whose order and effect are not drawn up.
const UNREAD: [&str; 4] = ["compression", "compressor", "http_upgrade", "response_override"];

impl<'a> Gateways<'a> {
    /// The routes that have a BackendTrafficPolicy of their own.
    pub(super) fn tuned(&self) -> Vec<Target<'a>> {
        let targets = self.backend_policies.iter().flat_map(|policy| self.targets(policy));
        targets.filter(|target| target.kind != "Gateway").collect()
    }

    /// Applies the policy that decides for a target: its own, else that of its gateway. What can't be told of it.
    pub(super) fn apply_backend(
        &self,
        draft: &mut Draft<'a>,
        target: &Target<'a>,
        root: &mut Node,
    ) -> Vec<(At<'a>, String)> {
        let gateways = self.gateways_of(target);
        let is_own = |policy: &&Object<'a>| self.targets(policy).contains(target);
        let is_above = |policy: &&Object<'a>| {
            self.targets(policy).iter().any(|above| gateways.iter().any(|gateway| gateway.is_named_by(above)))
        };
        let own = self.backend_policies.iter().find(is_own);
        let Some(policy) = own.or_else(|| self.backend_policies.iter().find(is_above)) else {
            return Vec::new();
        };
        let spec = policy.spec();
        let timeout = spec.at(&["timeout", "http"]);
        if let Some(action) = action(root) {
            set(action, "idle_timeout", seconds(draft, &timeout.get("stream_idle_timeout")));
            let longest = timeout.get("max_stream_duration");
            if longest.exists() {
                let mut limit = draft.write(&longest, json!({}));
                set(&mut limit, "max_stream_duration", seconds(draft, &longest));
                set(action, "max_stream_duration", limit);
            }
        }
        let fields = UNREAD.iter().map(|field| (field, spec.get(field))).filter(|(_, at)| at.exists());
        fields
            .map(|(_, at)| {
                let name = at.path().rsplit('.').next().unwrap_or_default().to_owned();
                let title = policy.title();
                (at, format!("what `{name}` of {title} does to answers and upgrades"))
            })
            .collect()
    }
}

/// The action of the one route that is drawn up.
fn action(root: &mut Node) -> Option<&mut Node> {
    let host = first(find(find(manager(root)?, "route_config")?, "virtual_hosts")?)?;
    find(first(find(host, "routes")?)?, "route")
}
