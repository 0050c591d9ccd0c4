//! Which filters ask Portcullis.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::proxy::view::filter::cluster_of;
use crate::proxy::view::{Envoy, Kind};

/// Marks the filters that ask Portcullis: those of the cluster that was named, else those of the clusters whose names say
/// so, else all. A service of Google's client at the address of such a cluster is the same one.
pub(super) fn filters(envoy: &mut Envoy<'_>, named: Option<&str>) {
    let portcullis = Rc::new(services(envoy, named));
    let all = named.is_none() && portcullis.is_empty();
    for filter in envoy.managers.iter_mut().flat_map(|manager| &mut manager.filters) {
        let service = filter.service();
        let asks = all || cluster_of(&service).is_some_and(|name| portcullis.contains(name));
        filter.asks = filter.is_service() && asks;
        filter.portcullis = Rc::clone(&portcullis);
    }
}

/// The names of Portcullis: of clusters, and targets of Google's client. Empty where none says so.
fn services(envoy: &Envoy<'_>, named: Option<&str>) -> BTreeSet<String> {
    let filters =
        envoy.managers.iter().flat_map(|manager| &manager.filters).filter(|filter| filter.is_service());
    let of_routes = envoy.settings().map(|(_, setting)| setting).filter(|setting| setting.is_ours());
    let of_routes = of_routes.map(|setting| {
        let field = if setting.is_of_kind(&Kind::ExtAuthz) { "check_settings" } else { "overrides" };
        setting.config.at(&[field, "grpc_service"])
    });
    let asked: Vec<_> = filters.map(|filter| filter.service()).chain(of_routes).collect();
    let asked: BTreeSet<&str> = asked.iter().filter_map(cluster_of).collect();
    let is_named = |name: &str| match named {
        Some(named) => name == named,
        None => name.to_ascii_lowercase().contains("portcullis"),
    };
    let mut found: BTreeSet<&str> = asked.iter().copied().filter(|name| is_named(name)).collect();
    let addresses =
        |name: &str| envoy.clusters.get(name).map(|cluster| cluster.addresses()).unwrap_or_default();
    let known: BTreeSet<_> =
        found.iter().flat_map(|name| addresses(name).into_iter().chain([target(name)])).collect();
    let same = |name: &&str| {
        let own = addresses(name);
        let own = if own.is_empty() { vec![target(name)] } else { own };
        own.iter().any(|address| known.contains(address))
    };
    found.extend(asked.iter().copied().filter(same));
    found.into_iter().map(str::to_owned).collect()
}

/// The address in a target of Google's client: `dns:///portcullis:9191` and `ipv4:10.0.0.1:9191` without their scheme.
fn target(name: &str) -> String {
    let plain = name.rsplit_once('/').map_or(name, |(_, plain)| plain);
    let schemes = ["ipv4:", "ipv6:", "dns:"];
    schemes.iter().find_map(|scheme| plain.strip_prefix(scheme)).unwrap_or(plain).to_ascii_lowercase()
}
