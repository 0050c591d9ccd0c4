use std::cell::Cell;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::password::Parameters;
use super::*;
use crate::authn::callout::testing::{clock, logged};

/// The hash of `s3cr3t` by the least parameters, made once.
fn hashed() -> &'static str {
    static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HASH.get_or_init(|| hash_password(b"s3cr3t").unwrap())
}

fn file_of_users() -> String {
    format!("# users\n\nana:{0}:staff,ops\r\nbob:{0}\nJörg:{0}:\n", hashed())
}

async fn build(text: &str, clock: Clock, concurrency: usize) -> Result<Basic, Vec<Diagnostic>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    std::fs::write(&file, text).unwrap();
    Basic::build(BasicConfig { file, realm: "orders".into(), concurrency }, clock).await
}

async fn basic() -> Basic {
    build(&file_of_users(), clock(), 2).await.unwrap()
}

fn encoded(text: impl AsRef<[u8]>) -> String {
    STANDARD.encode(text)
}

#[tokio::test]
async fn a_right_password_is_an_identity() {
    let basic = basic().await;
    let identity = basic.identify(&encoded("ana:s3cr3t")).await.unwrap();
    assert_eq!((identity.method, identity.method.as_str()), (Method::Basic, "basic"));
    assert_eq!((&*identity.subject, &*identity.issuer), ("ana", "orders"));
    assert_eq!(identity.groups, ["staff", "ops"]);
    assert!(basic.identify(&encoded("bob:s3cr3t")).await.unwrap().groups.is_empty());
    assert!(basic.identify(&encoded("Jörg:s3cr3t")).await.unwrap().groups.is_empty());
    assert_eq!(basic.realm(), "orders");
}

#[tokio::test]
async fn a_user_may_name_the_person_behind_it() {
    let text = format!("ana:{0}:staff:ana@example.com\nbot:{0}::bob@example.com\n", hashed());
    let named = build(&text, clock(), 2).await.unwrap();
    assert_eq!(nameless(&named.users, "users"), None);
    let ana = named.identify(&encoded("ana:s3cr3t")).await.unwrap();
    assert_eq!((ana.person.as_deref(), &*ana.groups), (Some("ana@example.com"), &["staff".to_owned()][..]));
    let bot = named.identify(&encoded("bot:s3cr3t")).await.unwrap();
    assert_eq!((bot.person.as_deref(), bot.groups.len()), (Some("bob@example.com"), 0));
    let some = build(&format!("{text}cyd:{}:staff\n", hashed()), clock(), 2).await.unwrap();
    assert_eq!(some.identify(&encoded("cyd:s3cr3t")).await.unwrap().person, None);
    let warning = nameless(&some.users, "users").unwrap();
    assert!(warning.contains("1 of the 3 users in `users` name no person"), "{warning}");
}

#[tokio::test]
async fn everything_else_is_refused() {
    let basic = basic().await;
    let good = encoded("ana:s3cr3t");
    for bad in [
        encoded("ana:s3cr3T"),
        encoded("ana:"),
        encoded("ana:s3cr3t "),
        encoded("ana:s3cr3t\n"),
        encoded("ana:s3cr3t\0"),
        encoded("Ana:s3cr3t"),
        encoded("ana :s3cr3t"),
        encoded("eve:s3cr3t"),
        encoded(":s3cr3t"),
        encoded("ana"),
        encoded(""),
        encoded(":"),
        encoded(b"ana:\xff"),
        encoded(b"J\xf6rg:s3cr3t"),
        String::new(),
        "ana:s3cr3t".into(),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}="),
        format!("{good}\n"),
        encoded("bob:s3cr3t").trim_end_matches('=').replace("=", "") + "*",
        encoded(format!("ana:{}", "a".repeat(4 << 10))),
    ] {
        assert_eq!(basic.identify(&bad).await, Err(Reason::BasicInvalid), "{bad:.60}");
    }
}

#[tokio::test]
async fn a_password_may_have_colons_and_any_letters() {
    let hash = hash_password("a:b:ü".as_bytes()).unwrap();
    let basic = build(&format!("ana:{hash}"), clock(), 1).await.unwrap();
    assert!(basic.identify(&encoded("ana:a:b:ü")).await.is_ok());
}

#[test]
fn an_unknown_name_costs_what_a_known_one_does() {
    let other = "$argon2id$v=19$m=47104,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let users = Users::parse(&"users".into(), &format!("{}eve:{other}\n", file_of_users())).unwrap();
    for name in ["ana", "nobody", ""] {
        let compared = Cell::new(Vec::new());
        let is_of = |hash: &Hash, password: &[u8]| {
            compared.set(vec![(hash.parameters(), password.to_vec())]);
            true
        };
        let groups = users.check(name, b"guess", is_of);
        assert_eq!(
            groups.is_some(),
            name == "ana",
            "an unknown name is refused whatever the comparison says"
        );
        assert_eq!(compared.take(), [(Parameters::default(), b"guess".to_vec())], "{name}");
    }
}

#[tokio::test]
async fn a_right_password_is_verified_once_a_minute_and_a_wrong_one_once_a_second() {
    let clock = clock();
    let basic = build(&file_of_users(), clock.clone(), 2).await.unwrap();
    let metrics = Metrics::new().unwrap();
    basic.count_in(&metrics);
    let misses = |count: u32| {
        let line = format!("portcullis_cache_misses_total{{cache=\"basic\",reason=\"absent\"}} {count}");
        assert!(metrics.render().contains(&line), "{line} in\n{}", metrics.render());
    };
    let (right, wrong) = (encoded("ana:s3cr3t"), encoded("ana:other"));
    for _ in 0..3 {
        assert!(basic.identify(&right).await.is_ok());
    }
    misses(1);
    clock.advance(Duration::from_secs(59));
    assert!(basic.identify(&right).await.is_ok());
    misses(1);
    clock.advance(Duration::from_secs(1));
    assert!(basic.identify(&right).await.is_ok());
    misses(2);
    for _ in 0..3 {
        assert_eq!(basic.identify(&wrong).await, Err(Reason::BasicInvalid));
    }
    misses(3);
    clock.advance(Duration::from_secs(1));
    assert_eq!(basic.identify(&wrong).await, Err(Reason::BasicInvalid));
    misses(4);
    assert!(basic.identify(&right).await.is_ok(), "what was wrong says nothing of what is right");
    misses(4);
}

#[tokio::test]
async fn names_and_passwords_are_not_mixed_up_by_the_memory() {
    let basic = basic().await;
    let other = self::basic().await;
    let digest =
        |basic: &Basic, text: &str| basic.digest(&Credentials::parse(&encoded(text)).unwrap()).unwrap();
    assert_eq!(digest(&basic, "ana:s3cr3t"), digest(&basic, "ana:s3cr3t"));
    assert_ne!(digest(&basic, "an:as3cr3t"), digest(&basic, "ana:s3cr3t"));
    assert_ne!(digest(&basic, "a:b:c"), digest(&basic, "a:bc"));
    assert_ne!(digest(&basic, "ana:s3cr3t"), digest(&other, "ana:s3cr3t"), "each has a key of its own");
    assert!(basic.identify(&encoded("ana:s3cr3t")).await.is_ok());
    assert_eq!(basic.identify(&encoded("an:as3cr3t")).await, Err(Reason::BasicInvalid));
}

#[tokio::test]
async fn calls_wait_for_their_turn_and_no_longer_than_a_second() {
    let basic = build(&file_of_users(), clock(), 1).await.unwrap();
    let found = join_all(["ana", "bob", "eve"].map(|name| {
        let credentials = encoded(format!("{name}:s3cr3t"));
        let basic = &basic;
        async move { basic.identify(&credentials).await.is_ok() }
    }));
    assert_eq!(found.await, [true, true, false], "one after the other");
    let turn = basic.turns.clone().acquire_owned().await.unwrap();
    assert_eq!(basic.identify(&encoded("ana:new")).await, Err(Reason::BasicOverloaded));
    assert!(basic.identify(&encoded("ana:s3cr3t")).await.is_ok(), "what is remembered needs no turn");
    drop(turn);
    assert_eq!(basic.identify(&encoded("ana:new")).await, Err(Reason::BasicInvalid));
}

#[test]
fn a_caller_that_hangs_up_keeps_its_turn_until_the_memory_is_free() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let basic = build(&file_of_users(), clock(), 1).await.unwrap();
        // The only thread for such work is busy, so that no verification begins.
        let (release, busy) = std::sync::mpsc::channel::<()>();
        let occupied = tokio::task::spawn_blocking(move || busy.recv());
        assert!(
            basic.identify(&encoded("ana:s3cr3t")).now_or_never().is_none(),
            "it is dropped while it waits"
        );
        assert_eq!(basic.turns.available_permits(), 0);
        release.send(()).unwrap();
        occupied.await.unwrap().unwrap();
        assert!(basic.identify(&encoded("ana:s3cr3t")).await.is_ok());
        assert_eq!(basic.turns.available_permits(), 1);
    });
}

#[tokio::test]
async fn every_mistake_of_the_file_is_named_with_its_place_and_without_a_hash() {
    let good = hashed();
    let weak = good.replace("m=19456", "m=4096");
    let dear = good.replace("m=19456", "m=4194304");
    let text = format!(
        "ana:{good}:staff\nno-hash\n:{good}\n ana2:{good}\nbob:{weak}\nana:{good}\ncyd:{good}:a,,b\nJörg:{dear}\n\
         dan:s3cr3t\neve:{good}:a: b\nfay:{good}: a\nguy:{good}::\nhal:{good}:a:b:c\n"
    );
    let findings = build(&text, clock(), 1).await.unwrap_err();
    let shown: Vec<_> = findings.iter().map(ToString::to_string).collect();
    let all = shown.join("\n");
    for (place, code) in [
        (":2:1:", "invalid-user"),
        (":3:1:", "invalid-user"),
        (":4:1:", "invalid-user"),
        (":5:5:", "invalid-password-hash"),
        (":6:1:", "duplicate-user"),
        (&*format!(":7:{}:", 5 + good.len() + 3), "invalid-group"),
        (":8:6:", "invalid-password-hash"),
        (":9:5:", "invalid-password-hash"),
        (&*format!(":10:{}:", 5 + good.len() + 3), "invalid-person"),
        (&*format!(":11:{}:", 5 + good.len() + 1), "invalid-group"),
        (&*format!(":12:{}:", 5 + good.len() + 2), "invalid-person"),
        (&*format!(":13:{}:", 5 + good.len() + 3), "invalid-person"),
    ] {
        let expected = format!("users{place} error[{code}]");
        assert!(all.contains(&expected), "{expected} in\n{all}");
    }
    assert_eq!(findings.len(), 12, "{all}");
    assert!(all.contains("too weak: m=4096,t=2") && all.contains("`ana` is already"), "{all}");
    let output = good.rsplit('$').next().unwrap();
    assert!(!all.contains(output) && !all.contains("s3cr3t"), "{all}");
}

#[tokio::test]
async fn a_file_that_is_not_there_or_no_text_is_named() {
    let config = BasicConfig { file: "/nonexistent/users".into(), realm: "r".into(), concurrency: 1 };
    let findings = Basic::build(config, clock()).await.unwrap_err();
    assert!(findings[0].to_string().contains("/nonexistent/users"), "{findings:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    std::fs::write(&file, b"ana:\xff").unwrap();
    let findings =
        Basic::build(BasicConfig { file, realm: "r".into(), concurrency: 1 }, clock()).await.unwrap_err();
    assert!(findings[0].message.contains("can't read the users"), "{findings:?}");
}

#[tokio::test]
async fn without_users_nobody_is_accepted() {
    let basic = build("", clock(), 1).await.unwrap();
    assert_eq!(basic.identify(&encoded(":")).await, Err(Reason::BasicInvalid));
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let (logs, _guard) = logged();
    let metrics = Metrics::new().unwrap();
    let basic = basic().await;
    basic.count_in(&metrics);
    let mut seen = String::new();
    for text in ["ana:s3cr3t", "ana:gu3ss", "eve:gu3ss", "gu3ss"] {
        let found = basic.identify(&encoded(text)).await;
        seen += &format!("{found:?} {basic:?} {basic:#?} {:?} {:?}", basic.answers, basic.key);
    }
    let credentials = Credentials::parse(&encoded("ana:s3cr3t")).unwrap();
    seen += &format!("{:?}", credentials.password);
    seen += &metrics.render();
    seen += &String::from_utf8_lossy(&logs.lock());
    let output = hashed().rsplit('$').next().unwrap();
    for secret in ["s3cr3t", "gu3ss", output, &*encoded("ana:s3cr3t")] {
        assert!(!seen.contains(secret), "{secret} in\n{seen}");
    }
}
