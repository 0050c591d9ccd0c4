//! Decisions that are kept for the same call: whose they are, when they end, and what is counted.

use std::fs;

use crate::world::{Options, World};

/// Rules that cost far more than a look-up; `deny` is the condition of the one that denies.
fn policy(deny: &str, mark: &str) -> &'static str {
    let list: Vec<_> = (0..40).map(|item| item.to_string()).collect();
    let list = format!("[{}]", list.join(", "));
    let text = format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  rules:\n    \
         - name: dear\n      when: '{list}.all(x, {list}.all(y, identity.subject != \"nobody\"))'\n      allow: {{}}\n      \
           headers: {{response: {{set: {{x-subject: \"${{identity.subject}}\", x-mark: {mark}}}}}}}\n    \
         - {{name: never, when: '{deny}', deny: {{because: not you}}}}\n"
    );
    text.leak()
}

/// The value of the one sample whose name and labels are these.
async fn count(world: &World, sample: &str) -> u64 {
    let metrics = world.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} in\n{metrics}")).parse().unwrap()
}

const HITS: &str = "portcullis_cache_hits_total{cache=\"decision\"}";

async fn misses(world: &World, reason: &str) -> u64 {
    count(world, &format!("portcullis_cache_misses_total{{cache=\"decision\",reason=\"{reason}\"}}")).await
}

/// Who the upstream's answer is marked for, and by which policies.
async fn marks(world: &World, path: &str, person: &str) -> (String, String) {
    let got = world.get(path, Some(person)).await;
    assert_eq!(got.status, 200, "{}", got.text());
    let header = |name: &str| got.headers[name].to_str().unwrap().to_owned();
    (header("x-subject"), header("x-mark"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_decision_is_its_callers_own_and_ends_with_its_policies() {
    let world =
        World::start(Options::default().policies(policy("identity.subject == \"carl\"", "one"))).await;
    for _ in 0..20 {
        for person in ["ana", "bob"] {
            assert_eq!(marks(&world, "/public/hello", person).await, (person.into(), "one".into()));
        }
        let carl = world.get("/public/hello", Some("carl")).await;
        assert_eq!((carl.status, carl.error().as_str()), (403, "denied_by_rule"));
    }
    assert_eq!(misses(&world, "unmeasured").await, 8);
    assert_eq!(misses(&world, "absent").await, 3, "one for each caller");
    assert_eq!(misses(&world, "cheap").await, 0);
    assert_eq!(count(&world, HITS).await, 60 - 8 - 3);
    // The very next call after the change is decided by the new policies, for everybody.
    let path = world.folder.path().join("policies/test.yaml");
    fs::write(path, policy("identity.subject == \"ana\"", "two")).unwrap();
    world.reload().await;
    assert_eq!(world.get("/public/hello", Some("ana")).await.error(), "denied_by_rule");
    for person in ["bob", "carl"] {
        assert_eq!(marks(&world, "/public/hello", person).await, (person.into(), "two".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_cache_evicts_and_decides_as_a_large_one() {
    let options = Options { config: "cache: {decisions_bytes: 4096}", ..Options::default() };
    let world = World::start(options.policies(policy("request.params.size() > 5", "one"))).await;
    for round in 0..3 {
        for number in 0..24 {
            let path = format!("/public/hello?number={number}");
            for person in ["ana", "bob"] {
                assert_eq!(marks(&world, &path, person).await, (person.into(), "one".into()), "{round}");
            }
        }
    }
    let absent = misses(&world, "absent").await;
    assert!(absent > 48, "{absent} misses: nothing was evicted");
    let denied = world.get("/public/hello?a&b&c&d&e&f", Some("ana")).await;
    assert_eq!(denied.error(), "denied_by_rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_read_the_time_are_not_kept_and_counted_so() {
    let late = "request.time > timestamp(\"2999-01-01T00:00:00Z\")";
    let world = World::start(Options::default().policies(policy(late, "one"))).await;
    for _ in 0..20 {
        marks(&world, "/public/hello", "ana").await;
    }
    // The first eight are measured.
    assert_eq!((misses(&world, "time").await, count(&world, HITS).await), (12, 0));
}
