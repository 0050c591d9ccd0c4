use super::*;

/// Texts unlike each other, to search in.
const TEXTS: [&str; 3] = ["abbab-9", "someone@example.com", "a \u{e9}ab ab"];

fn compile(text: &str) -> Result<Pattern, String> {
    Pattern::compile(text, &mut COMPILING.clone())
}

/// What searching the texts costs, one after the other in one evaluation.
fn steps(pattern: &Pattern, texts: &[&str]) -> usize {
    let (mut budget, mut searches) = (Budget::new(), pattern.searches());
    for text in texts {
        searches.is_match(text, &mut budget).unwrap();
    }
    STEPS - budget.steps_left()
}

/// A text of `a` and `b` without an order, another for each seed.
fn letters(seed: u32, len: u32) -> String {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let mut letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { 'a' } else { 'b' }
    };
    (0..len).map(&mut letter).collect()
}

#[test]
fn states_that_a_text_makes_are_paid() {
    let pattern = compile("[ab]*a[ab]{300}c").unwrap();
    let (mut budget, mut searches) = (Budget::new(), pattern.searches());
    let paid = (0..1_000).take_while(|seed| searches.is_match(&letters(*seed, 600), &mut budget).is_ok());
    assert!(paid.count() < 20);
}

#[test]
fn states_are_paid_once_in_an_evaluation() {
    let pattern = compile("^[a-z0-9-]{1,63}$").unwrap();
    let (mut budget, mut searches) = (Budget::new(), pattern.searches());
    assert!((0..500).all(|_| searches.is_match("a-service-name", &mut budget) == Ok(true)));
}

#[test]
fn a_search_costs_the_same_whatever_was_searched_before() {
    let patterns =
        ["[ab]*a[ab]{14}c", "^[a-z0-9-]{1,63}$", r"^[\w.+-]+@[\w-]+$", r"\bab+\b", "(?i)STRA\u{df}E"];
    for text in patterns {
        let pattern = compile(text).unwrap();
        let cold = steps(&pattern, &TEXTS);
        assert!(cold > 0);
        for seed in 0..100 {
            let _ = pattern.searches().is_match(&letters(seed, 40 * seed), &mut Budget::new());
            assert_eq!(steps(&pattern, &TEXTS), cold, "{text} after {seed}");
        }
    }
}

#[test]
fn a_search_finds_what_it_finds_in_an_automaton_of_its_own() {
    for text in ["[ab]*a[ab]{6}c", r"\bab+\b", "a{3}b{2}a$", "^(ab|ba)+c"] {
        let (pattern, expected) = (compile(text).unwrap(), regex::Regex::new(text).unwrap());
        for seed in 0..300 {
            for end in ["c", "", "\u{e9}"] {
                let searched = letters(seed, seed % 40) + end;
                let found = pattern.searches().is_match(&searched, &mut Budget::new());
                assert_eq!(found, Ok(expected.is_match(&searched)), "{text} in {searched}");
            }
        }
    }
}

#[test]
fn what_an_evaluation_can_build_fits_into_its_room() {
    let texts = ["[ab]*a[ab]{14}c", "[ab]*a[ab]{200}c", "(?i)[a-y]*a[a-z\u{e0}-\u{ff}]{30}x"];
    for text in texts {
        let pattern = compile(text).unwrap();
        let (mut budget, mut searches) = (Budget::new(), pattern.searches());
        let mut texts = (0..100_000).map(|seed| letters(seed, 100 + seed % 100));
        assert!(texts.any(|searched| searches.is_match(&searched, &mut budget).is_err()), "{text}");
        let used = searches.run.cache.memory_usage();
        assert!(used <= ROOM, "{text}: {used} bytes");
    }
}

#[test]
fn patterns_of_real_policies_compile() {
    for text in [
        r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
        r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$",
        "^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        "(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$",
        "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z]{2,63}$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
        r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$",
        "(?i)^bearer [A-Za-z0-9._~+/-]+=*$",
        r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$",
        "^spiffe://[^/]+/ns/[^/]+/sa/[^/]+$",
        r"^/api/v\d+/(users|orders)/\w+(/|$)",
        "^arn:aws:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$",
        r"^\+[1-9]\d{1,14}$",
        r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$",
        r"^\w{1,4}$",
        "^[0-9A-Za-z_]{1,64}$",
        r"(?i)(select|union|insert|update|delete|drop)\s",
        r"(?i)\b(curl|wget|python-requests|go-http-client)\b",
        r"(?i)^[\w.-]+\.example\.com$",
        r"^(refs/heads/)?(main|release/\d+\.\d+)$",
        r"^[\p{L}\p{M}' -]{1,3}$",
        "^.{1,255}$",
        r"^\S{1,64}( \S+)*$",
        r"^[^/\x00]{1,255}$",
    ] {
        let compiled = compile(text);
        assert!(compiled.is_ok(), "{text}: {compiled:?}");
    }
}

#[test]
fn patterns_that_take_long_to_compile_are_refused_before_they_are_compiled() {
    for text in [
        r"\w{100}",
        r"(\pL|\pN|\pP){50}",
        "(?i)\\w{200}stra\u{df}e",
        "(a{1000}){1000}",
        "((a{100}){100}){100}",
        &r"\pL".repeat(600),
        &format!("(?i){}", r"\pL".repeat(20)),
        &format!("(?i){}", r"[\w-]".repeat(20)),
        &format!("(?i){}{}", r"[a\w".repeat(25), "]".repeat(25)),
        r"(?i)[\x{0}-\x{10FFFF}]",
        "(?i)k{3000}",
    ] {
        let refused = parse(text, &mut COMPILING.clone()).unwrap_err();
        assert!(refused.contains("too large"), "{text}: {refused}");
    }
}

#[test]
fn the_patterns_of_one_expression_share_what_compiling_may_cost() {
    let mut allowance = COMPILING;
    let compiled = (0..100).take_while(|_| Pattern::compile(r"\w+", &mut allowance).is_ok()).count();
    assert!((2..10).contains(&compiled), "{compiled}");
}
