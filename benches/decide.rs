//! What deciding costs, in time and allocations: one condition beside the `cel` crate's own evaluation, one decision
//! with one policy and among ten thousand, and the loading of those. Run it with `make bench`.

use std::hint::black_box;
use std::process::ExitCode;

use allocation_counter::AllocationInfo;
use portcullis::clock;
use portcullis::engine::DecisionCache;
use portcullis::identity::Identity;
use portcullis::metrics::Metrics;
use portcullis::policy::cel::{Environment, Expression, Scope};
use portcullis::policy::{Call, Decision, PolicySet};
use portcullis::request::Request;

#[path = "decide/cel_crate.rs"]
mod cel_crate;
#[allow(dead_code, reason = "other benchmarks use the rest")]
mod measure;
#[path = "decide/policies.rs"]
mod policies;
mod report;

use measure::{Spread, pair, time};
use report::Report;

/// How many policies a large set has.
const MANY: usize = 10_000;
/// How many different routes are asked for in turn.
const ROUTES: usize = 256;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut report = Report::new();
    let done = conditions(&mut report)
        .and_then(|()| decisions(&mut report))
        .and_then(|()| shared(&mut report))
        .and_then(|()| cached(&mut report))
        .and_then(|()| many(&mut report))
        .and_then(|()| report.finish().map_err(Into::into));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One condition, compiled, on one call.
fn conditions(report: &mut Report) -> Outcome {
    let (request, identity) = (policies::request("/v1/orders/o-1001"), policies::identity());
    let ours = Expression::compile(policies::CONDITION, &Environment::default())
        .map_err(|mistakes| format!("the condition does not compile: {mistakes:?}"))?;
    let theirs = cel_crate::Prepared::new(&request, &identity)?;
    let call = Call { request: &request, identity: &identity, response: None };
    let holds = || ours.holds(&Scope::of(call)) == Ok(true);
    let pair = theirs.with(|theirs| (holds() && theirs()).then(|| pair(holds, theirs)));
    let pair = pair.ok_or("the condition must hold in both")?;
    report.add("the condition, us", "cel_condition_us", pair.first.scaled(1e-3));
    report.add("the same by the cel crate, us", "cel_crate_condition_us", pair.second.scaled(1e-3));
    report.add("times as fast as the cel crate", "cel_speedup_vs_cel_crate", pair.ratio);
    Ok(())
}

/// One decision with one policy: by the number of its rules, and what it allocates.
fn decisions(report: &mut Report) -> Outcome {
    let identity = policies::identity();
    let request = policies::request("/v1/shop-0/orders/o-1001");
    let one = policies::set(1, policies::by_path)?;
    expect(&decide(&one, &request, &identity), "allow")?;
    report.add(
        "a decision, one policy, us",
        "decide_us_1_policy",
        time(|| decide(&one, &request, &identity)).scaled(1e-3),
    );
    for (rules, name) in [(20, "decide_20_rules_us"), (50, "decide_50_rules_us")] {
        let set = policies::compile(&[policies::with_rules(rules)])?;
        expect(&decide(&set, &request, &identity), "allow")?;
        let what = format!("a decision, {rules} rules, us");
        report.add(&what, name, time(|| decide(&set, &request, &identity)).scaled(1e-3));
    }
    let twenty = policies::compile(&[policies::with_rules(20)])?;
    let denied = policies::compile(&[policies::denying()])?;
    let elsewhere = policies::request("/v2/elsewhere");
    expect(&decide(&denied, &request, &identity), "deny")?;
    let allocated = [(&one, &request), (&denied, &request), (&one, &elsewhere), (&twenty, &request)].map(
        |(set, request)| {
            let AllocationInfo { count_total, .. } = allocation_counter::measure(|| {
                black_box(decide(set, request, &identity));
            });
            count_total
        },
    );
    let most = allocated.into_iter().max().unwrap_or(u64::MAX);
    report.add_count("allocations: allow, deny, no rule, 20 rules; the most", "decide_allocations", most);
    Ok(())
}

/// What conditions that several rules have cost: as a whole they are evaluated once for a call, parts of them are not.
fn shared(report: &mut Report) -> Outcome {
    let (request, identity) = (policies::request("/v1/shop-0/orders/o-1001"), policies::identity());
    let all = policies::compile(&[policies::with_rules(20)])?;
    let apart = policies::compile(&[policies::with_rules_apart(20)])?;
    let (equal, one) = (
        policies::compile(&[policies::with_equal_rules(20)])?,
        policies::compile(&[policies::with_equal_rules(1)])?,
    );
    for set in [&all, &apart, &equal, &one] {
        expect(&decide(set, &request, &identity), "allow")?;
    }
    let parts = pair(|| decide(&apart, &request, &identity), || decide(&all, &request, &identity));
    report.add("20 rules / common parts for nothing", "decide_20_rules_vs_parts_for_nothing", parts.ratio);
    let whole = pair(|| decide(&one, &request, &identity), || decide(&equal, &request, &identity));
    report.add("20 rules of one condition, us", "decide_20_equal_rules_us", whole.second.scaled(1e-3));
    report.add("20 rules of one condition / one rule", "decide_20_equal_rules_vs_1", whole.ratio);
    Ok(())
}

/// The same call again, by the decision cache and without it. The dearer the rules, the more of that is saved; what is
/// cheaper than a look-up must not become slower.
fn cached(report: &mut Report) -> Outcome {
    let (request, identity) = (policies::request("/v1/shop-0/orders/o-1001"), policies::identity());
    let call = Call { request: &request, identity: &identity, response: None };
    for (rules, name, ratio) in [
        (1, "decide_dear_1_rule_us", "cache_vs_decide_1_rule"),
        (8, "decide_dear_8_rules_us", "cache_vs_decide_8_rules"),
        (16, "decide_dear_16_rules_us", "cache_vs_decide_16_rules"),
        (64, "decide_dear_64_rules_us", "cache_vs_decide_64_rules"),
    ] {
        let set = policies::compile(&[policies::going_over_lists(rules)])?;
        let (cache, metrics) = (DecisionCache::new(16 << 20), Metrics::new()?);
        let by_cache = || cache.decide(&set, &set.candidates(&request, true), &call, &metrics);
        // Until it is known what deciding costs.
        (0..1_000).for_each(|_| drop(black_box(by_cache())));
        expect(&by_cache(), "allow")?;
        let pair = pair(|| decide(&set, &request, &identity), by_cache);
        let served = !metrics.render().contains("portcullis_cache_hits_total{cache=\"decision\"} 0");
        let how = if served { "kept" } else { "decided each time" };
        report.add(&format!("rules that go over lists: {rules}, us"), name, pair.first.scaled(1e-3));
        report.add(&format!("by the cache / without, {rules} rules ({how})"), ratio, pair.ratio);
    }
    Ok(())
}

/// One decision among ten thousand policies beside the same with one.
fn many(report: &mut Report) -> Outcome {
    let identity = policies::identity();
    for (name, rule, what) in [
        ("decide_10000_vs_1_policy", policies::by_path as policies::Rule, "paths"),
        ("decide_10000_hosts_vs_1_policy", policies::by_host, "hosts"),
        ("decide_10000_destinations_vs_1_policy", policies::by_destination, "destinations"),
    ] {
        let (one, all) = (policies::set(1, rule)?, policies::set(MANY, rule)?);
        let request = policies::request_to(0);
        expect(&decide(&one, &request, &identity), "allow")?;
        expect(&decide(&all, &request, &identity), "allow")?;
        let same = pair(|| decide(&one, &request, &identity), || decide(&all, &request, &identity));
        report.add(&format!("{MANY} policies by {what} / one policy"), name, same.ratio);
        // As many requests on both sides, so that the difference is what reading other policies costs.
        let repeated: Vec<_> = (0..ROUTES).map(|_| policies::request_to(0)).collect();
        let different: Vec<_> = (0..ROUTES).map(|n| policies::request_to(n * (MANY / ROUTES))).collect();
        let (mut repeated, mut different) = (repeated.iter().cycle(), different.iter().cycle());
        let turns = pair(
            || repeated.next().map(|request| decide(&one, request, &identity)),
            || different.next().map(|request| decide(&all, request, &identity)),
        );
        let what = format!("the same, {ROUTES} routes in turn");
        report.add(&what, &name.replace("_vs", "_in_turn_vs"), turns.ratio);
    }
    let texts = policies::texts(MANY, policies::by_path);
    let loads: Result<Vec<f64>, _> = (0..3)
        .map(|_| {
            let start = clock::instant();
            policies::compile(&texts).map(|set| {
                black_box(set);
                start.elapsed().as_secs_f64() * 1e3
            })
        })
        .collect();
    report.add(&format!("loading {MANY} policies, ms"), "compile_10000_policies_ms", Spread::of(loads?));
    Ok(())
}

/// Everything that the policies are asked about one call: who is concerned, and what they say.
fn decide(set: &PolicySet, request: &Request, identity: &Identity) -> Decision {
    let candidates = set.candidates(request, true);
    set.decide(&candidates, &Call { request, identity, response: None })
}

/// A benchmark of a wrong answer would be worth nothing.
fn expect(decision: &Decision, outcome: &str) -> Outcome {
    let found = decision.outcome.as_str();
    if found == outcome { Ok(()) } else { Err(format!("expected {outcome}, got {decision:?}").into()) }
}
