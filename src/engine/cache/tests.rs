//! A kept decision is the decision: random policies and calls, each decided with and without the cache.
//!
//! `PORTCULLIS_CACHE_PAIRS` and `PORTCULLIS_CACHE_KEYS` say how many pairs and keys are tried: as many as there is time
//! for, or millions by `make soak`.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::identity::Identity;
use crate::policy::cel::attribute::Attribute;
use crate::policy::part::{self, Part};
use crate::policy::{Options, SourceFile, compile};
use crate::request::{Header, Headers, Limits, Parts, Request};

mod random;

use random::{Drawn, Random};

fn how_many(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    pairs: usize,
    hits: usize,
    /// What the hits said.
    outcomes: BTreeMap<&'static str, usize>,
    misses: BTreeMap<&'static str, usize>,
}

impl Tried {
    fn count(&mut self, decision: &Decision, miss: Option<Miss>) {
        self.pairs += 1;
        if let Some(miss) = miss {
            *self.misses.entry(miss.as_str()).or_default() += 1;
            return;
        }
        self.hits += 1;
        let has = [
            ("headers", *decision.headers() != Default::default()),
            ("shadow", !decision.shadow().is_empty()),
            ("errors", !decision.errors().is_empty()),
            (decision.reason.as_str(), true),
        ];
        for (what, _) in has.into_iter().filter(|(_, there)| *there) {
            *self.outcomes.entry(what).or_default() += 1;
        }
    }
}

/// Random calls: so many, or the first for which both decisions differ.
struct Comparison<'t> {
    pairs: usize,
    /// Of the sets of policies, one in so many is of rules that nearly spend the budget.
    dear: usize,
    /// What half of the conditions are about, or nothing.
    about: &'t str,
}

/// Decides random calls with and without the cache.
fn compare(Comparison { pairs, dear, about }: Comparison<'_>) -> Result<Tried, String> {
    let mut random = Random(20_261_121);
    let cache = Decisions::of_everything(64 << 20);
    let kept = cache.0.as_ref().unwrap();
    let mut tried = Tried::default();
    for round in 1.. {
        if tried.pairs >= pairs {
            break;
        }
        let dear = round % dear == 0;
        let set = if dear { random::dear_policy(&mut random) } else { random::policies(&mut random, about) };
        let Some(set) = set else { continue };
        let mut pool: Vec<Drawn> = (0..12).map(|_| Drawn::draw(&mut random)).collect();
        for _ in 0..if dear { 16 } else { 400 } {
            let place = random.below(pool.len());
            let drawn = if dear { Drawn::dear(&mut random) } else { pool[place].changed(&mut random) };
            let (request, identity) = drawn.call();
            if random.below(8) == 0 {
                pool[place] = drawn;
            }
            let call = Call { request: &request, identity: &identity, response: None };
            let candidates = set.candidates(&request, true);
            let (decision, miss) = kept.decide(&set, &candidates, &call);
            let decided = set.decide(&candidates, &call);
            if decision != decided {
                return Err(format!(
                    "after {tried:?}: kept {decision:?}, decided {decided:?}, miss: {miss:?}, {request:#?} {identity:#?}"
                ));
            }
            tried.count(&decision, miss);
        }
    }
    Ok(tried)
}

#[test]
fn a_kept_decision_is_the_one_that_deciding_makes() {
    let pairs = how_many("PORTCULLIS_CACHE_PAIRS", 50_000);
    let tried = compare(Comparison { pairs, dear: 40, about: "" }).unwrap_or_else(|found| panic!("{found}"));
    println!("{tried:?}");
    assert!(tried.hits * 5 > tried.pairs);
    for wanted in
        ["allowed", "denied_by_rule", "approval_pending", "condition_error", "headers", "shadow", "errors"]
    {
        let count = tried.outcomes.get(wanted).copied().unwrap_or_default();
        assert!(count > tried.pairs / 2_000, "{wanted}: {tried:?}");
    }
    for wanted in ["absent", "time", "id", "body", "headers", "map"] {
        assert!(tried.misses.contains_key(wanted), "{wanted}: {tried:?}");
    }
}

/// All that a key is made of. An attribute that is new is here by itself.
fn parts() -> Vec<Part> {
    use Part::{
        Authentication, Candidates, Header, HeaderCost, IncompleteBody, Made, ReadCost, Set, Templates,
    };
    let mut parts =
        vec![Set, Candidates, Authentication, ReadCost, HeaderCost, Made, IncompleteBody, Templates, Header];
    parts.extend([Attribute::Claims, Attribute::Metadata, Attribute::Context].map(Part::Entry));
    // The way of authentication is in every key. What a response is, is not known yet.
    let attributes = Attribute::all()
        .filter(|attribute| !attribute.reads_response() && *attribute != Attribute::IdentityMethod);
    parts.extend(attributes.chain([Attribute::Capture(0)]).map(Part::Attribute));
    parts
}

#[test]
fn each_part_of_a_key_is_missed_when_it_is_left_out() {
    let unnoticed: Vec<_> = parts()
        .into_iter()
        .filter(|part| {
            let about = match part {
                Part::Attribute(Attribute::Capture(_)) => "path.id".to_owned(),
                Part::Attribute(attribute) | Part::Entry(attribute) => attribute.name(&[]),
                Part::Header => "request.headers".to_owned(),
                _ => String::new(),
            };
            let dear = match part {
                Part::ReadCost | Part::HeaderCost | Part::Made => 1,
                _ => usize::MAX,
            };
            let comparison = Comparison { pairs: 200_000, dear, about: &about };
            let found = part::without(*part, || compare(comparison));
            println!("{part:?}: {}", found.is_err());
            found.is_ok()
        })
        .collect();
    assert!(unnoticed.is_empty(), "left out and not missed: {unnoticed:?}");
}

const READER: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - name: r
      when: >-
        request.headers['x-a'] == request.headers['x-b'] || identity.claims.c == identity.subject
        || request.query == 'a'
      allow: {}
";

/// The `number`-th of calls that differ in what `READER` reads, with texts that run together alike.
fn distinct(mut number: usize) -> (Request, Identity) {
    const PIECES: [&str; 10] = ["", "a", "b", "aa", "ab", "ba", "bb", "a\u{0}", "\u{1}", "aaa"];
    let mut digit = |base: usize| {
        let digit = number % base;
        number /= base;
        digit
    };
    let copies = |digit: usize| match digit {
        0 => vec![],
        1..=10 => vec![PIECES[digit - 1]],
        _ => vec![PIECES[(digit - 11) / 10], PIECES[(digit - 11) % 10]],
    };
    let mut headers = Vec::new();
    for name in ["x-a", "x-b"] {
        headers.extend(copies(digit(111)).into_iter().map(|value| Header::new(name, value)));
    }
    let claim = match digit(25) {
        0 => None,
        1 => Some(json!(null)),
        2 => Some(json!(1)),
        3 => Some(json!(1.0)),
        4 => Some(json!(-1)),
        at @ 5..15 => Some(json!(PIECES[at - 5])),
        at => Some(json!([PIECES[at - 15]])),
    };
    let mut identity = (*Identity::anonymous()).clone();
    identity.claims.extend(claim.map(|claim| ("c".to_owned(), claim)));
    identity.subject = PIECES[digit(10)].into();
    let query = ["", "?a", "?b", "?aa", "?ab"][digit(5)];
    let parts = Parts {
        method: "GET".into(),
        host: "h".into(),
        path: format!("/{query}"),
        headers: Headers::from(headers),
        ..Parts::default()
    };
    (Request::assemble(parts, &Limits::default()), identity)
}

#[test]
fn calls_that_differ_in_what_is_read_never_share_a_key() {
    let count = how_many("PORTCULLIS_CACHE_KEYS", 100_000);
    assert!(count <= 111 * 111 * 25 * 10 * 5);
    let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
    let compiled = compile(&files, &Options::default());
    let set = compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.findings));
    let mut key = Vec::new();
    // Spread over the whole range, so that every digit moves.
    let stride = 111 * 111 * 25 * 10 * 5 / count;
    let digest = |number: usize| {
        let (request, identity) = distinct(number * stride);
        let call = Call { request: &request, identity: &identity, response: None };
        set.key(&set.candidates(&request, false), &call, &mut key).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
        u128::from_be_bytes(digest.as_ref()[..16].try_into().unwrap())
    };
    let mut digests: Vec<u128> = (0..count).map(digest).collect();
    digests.sort_unstable();
    assert!(digests.windows(2).all(|pair| pair[0] != pair[1]));
    println!("{count} keys, all different");
}

#[test]
fn sets_of_the_same_texts_and_other_sets_share_nothing() {
    let set = || {
        let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
        compile(&files, &Options::default()).set.unwrap()
    };
    let (one, same) = (set(), set());
    let (request, identity) = distinct(0);
    let call = Call { request: &request, identity: &identity, response: None };
    let key = |set: &PolicySet| {
        let mut key = Vec::new();
        set.key(&set.candidates(&request, false), &call, &mut key).unwrap();
        key
    };
    // Policies are numbered in the order of their files, which the revision does not tell.
    assert_eq!(one.revision(), same.revision());
    assert_ne!(key(&one), key(&same));
    assert_eq!(key(&one), key(&one));
}

#[test]
fn the_cache_stays_within_its_bytes_and_forgets_when_told() {
    let cache = Decisions::of_everything(64 << 10);
    let kept = cache.0.as_ref().unwrap();
    let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
    let set = compile(&files, &Options::default()).set.unwrap();
    let decide = |number: usize| {
        let (request, identity) = distinct(number);
        let call = Call { request: &request, identity: &identity, response: None };
        kept.decide(&set, &set.candidates(&request, false), &call).1
    };
    (0..2_000).for_each(|number| {
        decide(number);
    });
    kept.decisions.run_pending_tasks();
    assert!(kept.decisions.weighted_size() <= 64 << 10, "{}", kept.decisions.weighted_size());
    assert!(kept.decisions.entry_count() > 20);
    // What is asked for again and again is kept, however full the cache is.
    let again = (0..1_000).any(|_| {
        kept.decisions.run_pending_tasks();
        decide(7).is_none()
    });
    assert!(again, "something is kept");
    cache.clear();
    assert_eq!(decide(7), Some(Miss::Absent));
}

#[test]
fn without_bytes_nothing_is_kept_or_counted() {
    let files = [SourceFile { file: "reader.yaml".into(), text: READER.into() }];
    let set = compile(&files, &Options::default()).set.unwrap();
    let (request, identity) = distinct(5);
    let call = Call { request: &request, identity: &identity, response: None };
    let metrics = Metrics::new().unwrap();
    let candidates = set.candidates(&request, false);
    let decision = Decisions::new(0).decide(&set, &candidates, &call, &metrics);
    assert_eq!(decision, set.decide(&candidates, &call));
    assert!(
        metrics
            .render()
            .lines()
            .filter(|line| line.starts_with("portcullis_cache_"))
            .all(|line| line.ends_with(" 0"))
    );
}

#[test]
fn plain_conditions_are_not_kept() {
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec: {rules: [{name: r, when: request.method == 'GET', allow: {}}]}\n";
    let files = [SourceFile { file: "p.yaml".into(), text: text.into() }];
    let set = compile(&files, &Options::default()).set.unwrap();
    // A look-up that takes a second: nothing is dearer.
    let kept = Kept { decisions: kept(1 << 20), costs: Costs::new(std::time::Duration::from_secs(1)) };
    let (request, identity) = distinct(5);
    let call = Call { request: &request, identity: &identity, response: None };
    let candidates = set.candidates(&request, false);
    let misses: Vec<_> = (0..100).map(|_| kept.decide(&set, &candidates, &call).1.unwrap()).collect();
    assert_eq!(misses.iter().filter(|miss| **miss == Miss::Unmeasured).count(), 8);
    assert_eq!(misses.iter().filter(|miss| **miss == Miss::Cheap).count(), 92);
    kept.decisions.run_pending_tasks();
    assert_eq!(kept.decisions.entry_count(), 0);
}
