//! Hostile expressions are refused at load or stopped by the budget, within a megabyte, and never hold.

#![allow(clippy::unwrap_used, reason = "tests panic")]

use allocation_counter::measure;
use portcullis::identity::Identity;
use portcullis::policy::cel::{Environment, Expression};

#[path = "../benches/hostile/cases.rs"]
mod cases;

use cases::Outcome;

/// What loading or evaluating one of them may hold at once.
const MOST: u64 = 1 << 20;

#[test]
fn no_hostile_expression_takes_more_than_a_megabyte() {
    let (request, identity) = (cases::request(), Identity::anonymous());
    let scope = cases::scope(&request, &identity);
    for case in cases::cases() {
        let mut compiled = None;
        let loading = measure(|| compiled = Expression::compile(&case.text, &Environment::default()).ok());
        assert!(loading.bytes_max <= MOST, "loading {}: {} bytes", case.name, loading.bytes_max);
        let Some(expression) = compiled else { continue };
        let evaluating = measure(|| drop(expression.holds(&scope)));
        assert!(evaluating.bytes_max <= MOST, "{}: {} bytes", case.name, evaluating.bytes_max);
    }
}

#[test]
fn what_multiplies_is_refused_or_stopped() {
    let (request, identity) = (cases::request(), Identity::anonymous());
    let scope = cases::scope(&request, &identity);
    let words =
        ["10,000", "8 nested", "1 MB", "100,000", "10^6", "2^40", "1e9", "doubling", "tenfold", "each item"];
    let multiplying = |name: &str| words.iter().any(|word| name.contains(word));
    let cases: Vec<_> = cases::cases().into_iter().filter(|case| multiplying(case.name)).collect();
    assert!(cases.len() >= 20, "{}", cases.len());
    for case in cases {
        assert_ne!(cases::run(&case.text, &scope), Outcome::Ended, "{}", case.name);
    }
}
