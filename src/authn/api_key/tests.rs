use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::actor::Actor;

fn keys(bytes: &[u8]) -> (ApiKeys, Clock) {
    let clock = Clock::fixed("2026-06-01T12:00:00.5Z".parse().unwrap());
    (ApiKeys::new(HashKey::new(bytes).unwrap(), clock.clone()).unwrap(), clock)
}

fn kept(minted: &Minted, clock: &Clock) -> ApiKey {
    ApiKey {
        id: minted.id.clone(),
        name: "nightly".into(),
        owner: "ana".into(),
        person: "ana@example.com".into(),
        groups: vec!["staff".into()],
        hash: minted.hash.clone(),
        created: clock.now(),
        created_by: Actor::default(),
        expires: None,
        revoked: None,
    }
}

/// Keys with one that they know.
fn one() -> (ApiKeys, Clock, ApiKey, String) {
    let (keys, clock) = keys(&[7; 32]);
    let minted = keys.mint().unwrap();
    let key = kept(&minted, &clock);
    keys.change(true, [(key.id.clone(), Some(key.clone()))]);
    (keys, clock, key, minted.key.expose().clone())
}

#[test]
fn a_key_stands_for_its_owner() {
    let (keys, clock, key, text) = one();
    let identity = keys.verify(&text).unwrap();
    assert_eq!((identity.method, identity.subject.as_str()), (Method::ApiKey, "ana"));
    assert_eq!((identity.groups.as_slice(), identity.issuer.as_str()), (["staff".to_owned()].as_slice(), ""));
    assert_eq!(identity.person.as_deref(), Some("ana@example.com"));
    assert_eq!((identity.token_id, identity.expires), (key.id.clone(), None));
    assert_eq!(identity.issued, Some(clock.now()));
    let expires = clock.now().checked_add(Duration::from_secs(60)).unwrap();
    keys.change(false, [(key.id.clone(), Some(ApiKey { expires: Some(expires), ..key }))]);
    assert_eq!(keys.verify(&text).unwrap().expires, Some(expires));
}

#[test]
fn a_key_is_found_in_its_header_and_kept_from_the_upstream() {
    use crate::request::{Header, Limits, Parts};
    let (keys, _, _, text) = one();
    let prove = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| Header::new(name, *value)).collect();
        let parts =
            Parts { method: "GET".into(), host: "h".into(), path: "/".into(), headers, ..Parts::default() };
        keys.prove("x-api-key", "spiffe://mesh/a", &Request::assemble(parts, &Limits::default()))
    };
    assert_eq!(prove(&[("authorization", &text)]), Ok(None));
    let proven = prove(&[("x-api-key", &text)]).unwrap().unwrap();
    assert_eq!(
        (proven.identity.subject.as_str(), proven.identity.spiffe.as_str()),
        ("ana", "spiffe://mesh/a")
    );
    assert_eq!(proven.removal, Some(Removal::Header("x-api-key".into())));
    for refused in ["", "pck_", &format!(" {text}"), &format!("{text},{text}"), &format!("Bearer {text}")] {
        assert_eq!(prove(&[("x-api-key", refused)]), Err(Reason::ApiKeyInvalid), "{refused}");
    }
    let twice = prove(&[("x-api-key", &text), ("x-api-key", &text)]);
    assert_eq!(twice, Err(Reason::HeaderDuplicate));
}

#[test]
fn a_key_has_the_form_that_scanners_know() {
    let (keys, _) = keys(&[7; 32]);
    let form = regex::Regex::new("^pck_[0-9a-f]{32}_[0-9A-Za-z_-]{43}[0-9a-f]{8}$").unwrap();
    let (first, second) = (keys.mint().unwrap(), keys.mint().unwrap());
    assert!(form.is_match(first.key.expose()), "{}", first.key.expose());
    assert_ne!(first.key.expose(), second.key.expose());
    assert!(first.id < second.id, "ids sort by age");
    assert_eq!(id_of(first.key.expose()), Some(first.id.as_str()));
    assert!(!first.hash.contains(first.key.expose()) && first.hash.len() == 64);
}

#[test]
fn a_key_ends_when_it_expires_is_revoked_or_goes() {
    let (keys, clock, key, text) = one();
    let expires = clock.now().checked_add(Duration::from_secs(60)).unwrap();
    keys.change(false, [(key.id.clone(), Some(ApiKey { expires: Some(expires), ..key.clone() }))]);
    clock.advance(Duration::from_secs(59));
    assert!(keys.verify(&text).is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(keys.verify(&text), Err(Reason::ApiKeyExpired));
    let revoked = ApiKey { revoked: Some(clock.now()), ..key.clone() };
    keys.change(false, [(key.id.clone(), Some(revoked))]);
    assert_eq!(keys.verify(&text), Err(Reason::ApiKeyRevoked));
    keys.change(false, [(key.id.clone(), None)]);
    assert_eq!(keys.verify(&text), Err(Reason::ApiKeyInvalid));
    keys.change(false, [(key.id.clone(), Some(key))]);
    assert!(keys.verify(&text).is_ok());
    keys.change(true, []);
    assert_eq!(keys.verify(&text), Err(Reason::ApiKeyInvalid));
}

#[test]
fn an_unknown_id_costs_as_many_hashes_as_a_known_one() {
    let (keys, _, key, text) = one();
    let hashed = || keys.0.hashed.load(Ordering::Relaxed);
    assert!(keys.verify(&text).is_ok());
    assert_eq!(hashed(), 1);
    let unknown = keys.mint().unwrap();
    assert_eq!(keys.verify(unknown.key.expose()), Err(Reason::ApiKeyInvalid));
    assert_eq!(hashed(), 2);
    // The right id with another secret.
    let mut other = format!("{PREFIX}{}_{}", key.id, URL_SAFE_NO_PAD.encode([1; 32]));
    other.push_str(&checksum(&other));
    assert_eq!(keys.verify(&other), Err(Reason::ApiKeyInvalid));
    assert_eq!(hashed(), 3);
    assert_eq!(keys.verify("pck_nothing"), Err(Reason::ApiKeyInvalid));
    assert_eq!(hashed(), 3, "what can't be a key costs nothing");
}

#[test]
fn a_hash_is_worth_nothing_under_another_key_or_damaged() {
    let (first, clock) = keys(&[7; 32]);
    let (second, _) = keys(&[8; 32]);
    let minted = first.mint().unwrap();
    let key = kept(&minted, &clock);
    second.change(true, [(key.id.clone(), Some(key.clone()))]);
    assert_eq!(second.verify(minted.key.expose()), Err(Reason::ApiKeyInvalid));
    for hash in ["", "zz", &key.hash[..62]] {
        first.change(true, [(key.id.clone(), Some(ApiKey { hash: hash.into(), ..key.clone() }))]);
        assert_eq!(first.verify(minted.key.expose()), Err(Reason::ApiKeyInvalid), "{hash}");
    }
}

#[test]
fn nothing_is_shown_of_keys() {
    let (keys, _, _, text) = one();
    let minted = keys.mint().unwrap();
    let secret = text.rsplit('_').next().unwrap();
    let shown = format!("{keys:?} {minted:?} {:?}", HashKey::new(&[b'x'; 32]).unwrap());
    assert!(!shown.contains(minted.key.expose()) && !shown.contains(secret), "{shown}");
    assert!(!shown.contains("xxxx") && !shown.contains("120, 120"), "{shown}");
}

#[test]
fn a_hash_key_is_long_enough_and_its_file_may_end_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, [b'a'; 31]).unwrap();
    let error = HashKey::load(&file).unwrap_err().to_string();
    assert!(error.contains("has 31 bytes; it needs at least 32"), "{error}");
    let of = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        ApiKeys::new(HashKey::load(&file).unwrap(), Clock::system()).unwrap()
    };
    let minted = of(&[b'a'; 32]).mint().unwrap();
    let with_line_end = of(format!("{}\r\n", "a".repeat(32)).as_bytes());
    let key = kept(&minted, &Clock::system());
    with_line_end.change(true, [(key.id.clone(), Some(key))]);
    assert!(with_line_end.verify(minted.key.expose()).is_ok());
    assert!(HashKey::load(&folder.path().join("none")).unwrap_err().to_string().contains("can't read"));
}

proptest! {
    #[test]
    fn no_look_alike_of_a_key_verifies(at in 0..KEY_CHARS, with in any::<char>(), fix in any::<bool>(), how in 0..4) {
        let (keys, _, _, text) = one();
        let mut changed = text.clone();
        match how {
            0 => { changed.remove(at); }
            1 => changed.insert(at, with),
            2 => changed.replace_range(at..=at, &with.to_string()),
            // The case of a letter.
            _ => {
                let c = text.as_bytes()[at] as char;
                let other = if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
                changed.replace_range(at..=at, &other.to_string());
            }
        }
        // A forger mends the checksum.
        if fix && let Some((body, _)) = changed.split_at_checked(KEY_CHARS - CHECKSUM_CHARS) {
            changed = format!("{body}{}", checksum(body));
        }
        prop_assume!(changed != text);
        prop_assert_eq!(keys.verify(&changed), Err(Reason::ApiKeyInvalid));
    }

    #[test]
    fn no_text_is_mistaken_for_a_key(text in ".{0,100}", padded in "pck_[0-9a-f]{32}_[0-9A-Za-z_-]{51}") {
        let (keys, ..) = one();
        prop_assert_eq!(keys.verify(&text), Err(Reason::ApiKeyInvalid));
        prop_assert_eq!(keys.verify(&padded), Err(Reason::ApiKeyInvalid));
    }
}
