//! Where a call can be once it is routed, and which settings are in force there.

use super::filter::{Filter, Kind};
use super::route::{Host, Route, Setting, Table};
use super::{Wanted, cluster_of};
use crate::proxy::tree::At;

/// What is said in place of an example where routes are not known.
const UNKNOWN: &str = "its routes are not in what was read";

/// One route, or one of its weighted clusters.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'e, 'a> {
    /// `None` where the manager's routes are not known.
    pub route: Option<&'e Route<'a>>,
    /// What is set for filters, the most specific first.
    levels: [&'e [Setting<'a>]; 4],
    /// What policies want of any call, where the route is not known.
    wanted: Wanted,
}

/// The spots of a table that calls leave Envoy by.
pub(super) fn of<'e, 'a>(table: &'e Table<'a>) -> impl Iterator<Item = Spot<'e, 'a>> {
    let routes = move |host: &'e Host<'a>| host.routes.iter().map(move |route| (host, route));
    let routes = table.hosts.iter().flat_map(routes).filter(|(_, route)| route.forwards());
    routes.flat_map(move |(host, route)| {
        let spot = move |split: &'e [Setting<'a>]| Spot {
            route: Some(route),
            levels: [split, &route.settings, &host.settings, &table.settings],
            wanted: Wanted::default(),
        };
        let plain = route.splits.is_empty().then(|| spot(&[]));
        route.splits.iter().map(move |split| spot(split)).chain(plain)
    })
}

impl<'e, 'a> Spot<'e, 'a> {
    pub(super) fn unknown(wanted: Wanted) -> Self {
        Self { route: None, levels: [&[]; 4], wanted }
    }

    /// What the levels set for this filter, the most specific first.
    pub fn settings<'s>(
        &self,
        filter: &'s Filter<'a>,
    ) -> impl Iterator<Item = &'e Setting<'a>> + use<'s, 'e, 'a> {
        let read = move |setting: &&Setting<'a>| setting.name == filter.name && setting.is_of(filter);
        self.levels.into_iter().flat_map(move |level| level.iter().filter(read))
    }

    /// Where the filter is switched off for calls here; `None` when it runs.
    pub fn off(&self, filter: &Filter<'a>) -> Option<At<'a>> {
        match self.settings(filter).next() {
            Some(setting) => setting.disabled.clone(),
            None => Some(filter.entry.get("disabled")).filter(At::is_true),
        }
    }

    /// The service that is asked here, by the filter's own configuration or by a route's.
    pub fn service(&self, filter: &Filter<'a>) -> At<'a> {
        let own = filter.service();
        let field = if filter.is(&Kind::ExtAuthz) { "check_settings" } else { "overrides" };
        // ext_authz takes the most specific setting alone; ext_proc merges them field by field.
        let mut set = self.settings(filter).map(|setting| setting.config.at(&[field, "grpc_service"]));
        let found = match filter.kind {
            Kind::ExtAuthz => set.next().filter(At::exists),
            _ => set.find(At::exists),
        };
        found.unwrap_or(own)
    }

    /// Whether the filter asks Portcullis here: it is on, and no route has it ask another service.
    pub fn asks(&self, filter: &Filter<'a>) -> bool {
        self.off(filter).is_none() && self.elsewhere(filter).is_none()
    }

    /// The other service that the filter asks here.
    pub fn elsewhere(&self, filter: &Filter<'a>) -> Option<At<'a>> {
        if filter.is(&Kind::ExtAuthz) {
            let check = self.settings(filter).next().map(|setting| setting.config.get("check_settings"));
            let http = check.map(|check| check.get("http_service")).filter(At::exists);
            if http.is_some() {
                return http;
            }
        }
        let service = self.service(filter);
        let asked = cluster_of(&service);
        let same = asked == cluster_of(&filter.service())
            || (filter.asks && asked.is_some_and(|asked| filter.portcullis.contains(asked)));
        (!same).then_some(service)
    }

    /// The body settings of ext_authz here: a `with_request_body`, or where it is missing or switched off.
    pub fn buffer(&self, filter: &Filter<'a>) -> At<'a> {
        let own = filter.config.get("with_request_body");
        let Some(check) = self.settings(filter).next().map(|setting| setting.config.get("check_settings"))
        else {
            return own;
        };
        let off = check.get("disable_request_body_buffering");
        let set = check.get("with_request_body");
        match (off.is_true(), set.exists()) {
            // A flag has no fields, so it is seen as settings that show nothing.
            (true, _) => off,
            (false, true) => set,
            (false, false) => own,
        }
    }

    /// The processing mode of ext_proc here.
    pub fn mode(&self, filter: &Filter<'a>) -> At<'a> {
        self.overridden(filter, "processing_mode")
    }

    /// A field of ext_proc that routes can override, as it is here.
    pub fn overridden(&self, filter: &Filter<'a>, field: &str) -> At<'a> {
        let mut set = self.settings(filter).map(|setting| setting.config.at(&["overrides", field]));
        set.find(At::exists).unwrap_or_else(|| filter.config.get(field))
    }

    /// A call that comes here and whose body policies need, in words for a sentence's end; `None` when none can.
    pub fn example(&self) -> Option<String> {
        match self.route {
            Some(route) => route.body.clone(),
            None => self.wanted.bodies.then(|| UNKNOWN.to_owned()),
        }
    }

    /// The same for a call whose response policies mask.
    pub fn masked(&self) -> Option<String> {
        match self.route {
            Some(route) => route.masked.clone(),
            None => self.wanted.masked.then(|| UNKNOWN.to_owned()),
        }
    }

    /// `calls of the route `health` pass`
    pub fn calls(&self) -> String {
        format!("{} pass", self.label())
    }

    /// `calls of the route `health` are`
    pub fn calls_are(&self) -> String {
        format!("{} are", self.label())
    }

    fn label(&self) -> String {
        let Some(route) = self.route else { return "calls".to_owned() };
        match route.at.get("name").text().filter(|name| !name.is_empty()) {
            Some(name) => format!("calls of the route `{name}`"),
            None => format!("calls of the route for `{}`", route.matcher.shown()),
        }
    }
}
