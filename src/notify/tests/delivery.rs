//! What is sent when, to whom, and how often.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_and_says_what_happened() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status(204)).await;
    let _notifier = world.start(vec![world.target("own", &receiver.url())]);
    let id = world.hold("a").await;
    let told = receiver.times(1).await.remove(0);
    let (message, timestamp) =
        (told.header("webhook-id").unwrap(), told.header("webhook-timestamp").unwrap());
    assert_eq!(timestamp.parse::<i64>().unwrap(), world.ports.clock.now().as_second());
    assert!(told.head.starts_with("POST /services/URLSECRET HTTP/1.1"), "{}", told.head);
    assert_eq!(told.header("content-type"), Some("application/json"));

    // As a receiver checks it.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(&KEY["whsec_".len()..]).unwrap());
    let signed = [message.as_bytes(), b".", timestamp.as_bytes(), b".", &told.body].concat();
    let signature = told.header("webhook-signature").unwrap().strip_prefix("v1,").unwrap();
    hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();

    let body = told.json();
    assert_eq!((body["type"].as_str(), body["version"].as_u64()), (Some("approval.pending"), Some(1)));
    assert_eq!(body["data"]["id"], id.as_str());
    assert_eq!(body["data"]["url"], format!("https://portcullis.example.com/approvals/{id}"));
    assert_eq!(body["data"]["caller"]["person"], "ana@example.com");
    assert_eq!(body["data"]["call"]["path"], "/v1/refunds");
    assert!(!body.to_string().contains("SECRET"), "{body}");
    world.settled("own").await;
    world.counted("portcullis_notifications_total{target=\"own\",result=\"sent\"} 1").await;
    world.counted("portcullis_notifications_pending{target=\"own\"} 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_sent_again_with_the_same_id() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status(500)).await;
    let _notifier = world.start(vec![world.target("own", &receiver.url())]);
    world.hold("a").await;
    let due = world.due("own").await;
    let wait = due.duration_since(world.ports.clock.now()).as_secs_f64();
    assert!((1.0..=2.0).contains(&wait), "{wait}");
    receiver.now(Behaviour::status(200));
    world.ports.clock.advance(Duration::from_secs(2));
    let told = receiver.times(2).await;
    assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"));
    assert_ne!(told[0].header("webhook-timestamp"), told[1].header("webhook-timestamp"));
    world.settled("own").await;
    assert!(!world.audit().contains("notification"), "{}", world.audit());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_pause_is_left_alone() {
    let world = World::new().await;
    let receiver =
        Receiver::start(Behaviour::Answer(429, "retry-after: 100\r\n".into(), String::new())).await;
    let _notifier = world.start(vec![world.target("own", &receiver.url())]);
    world.hold("a").await;
    let due = world.due("own").await;
    assert_eq!(due.duration_since(world.ports.clock.now()).as_secs(), 100);
    // What comes meanwhile waits too.
    receiver.now(Behaviour::status(200));
    world.hold("b").await;
    let witness = Receiver::start(Behaviour::status(200)).await;
    let mut other = world.target("witness", &witness.url());
    other.subscription.target = "witness".into();
    let _second = world.start(vec![other]);
    world.hold("c").await;
    witness.times(1).await;
    assert_eq!(receiver.told().len(), 1);
    world.ports.clock.advance(Duration::from_secs(101));
    receiver.times(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let world = World::new().await;
    let elsewhere = Receiver::start(Behaviour::status(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let header = format!("location: {}\r\n", elsewhere.url());
        let receiver = Receiver::start(Behaviour::Answer(status, header, String::new())).await;
        let name = format!("r{status}");
        let _notifier = world.start(vec![world.target(&name, &receiver.url())]);
        world.hold(&name).await;
        world.due(&name).await;
        assert_eq!(receiver.told().len(), 1);
    }
    assert!(elsewhere.told().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_given_up_and_recorded() {
    let world = World::new().await;
    let echo = Behaviour::Answer(400, String::new(), "invalid_blocks".into());
    let receiver = Receiver::start(echo).await;
    let _notifier = world.start(vec![world.target("chat", &receiver.url())]);
    let id = world.hold("a").await;
    world.settled("chat").await;
    world.counted("portcullis_notifications_total{target=\"chat\",result=\"dead\"} 1").await;
    world.ports.audit.close().await;
    let records = world.audit();
    let record: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!((record["kind"].as_str(), record["outcome"].as_str()), (Some("notification"), Some("dead")));
    assert_eq!((record["target"].as_str(), record["approval"].as_str()), (Some("chat"), Some(id.as_str())));
    assert_eq!(record["event"], "pending");
    assert_eq!(record["error"], "its status is 400, `invalid_blocks`");
}

/// A receiver that is away, and requests without end: the newest are kept, and the others on record.
#[tokio::test(flavor = "multi_thread")]
async fn when_too_many_wait_the_oldest_are_dropped_and_recorded() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status(503)).await;
    let mut target = world.target("own", &receiver.url());
    target.limits.max_waiting = 5;
    target.limits.concurrency = 1;
    let _notifier = world.start(vec![target]);
    let mut ids = Vec::new();
    for index in 0..12 {
        ids.push(world.hold(&format!("d{index}")).await);
    }
    world.counted("portcullis_notifications_total{target=\"own\",result=\"dropped\"} 7").await;
    world.counted("portcullis_notifications_pending{target=\"own\"} 5").await;
    assert_eq!(world.ports.store.outbox().await.unwrap()[0].waiting, 5);
    world.ports.audit.close().await;
    let records: Vec<Value> = world.audit().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dropped: Vec<_> = records.iter().filter(|record| record["outcome"] == "dropped").collect();
    assert_eq!(dropped.len(), 7);
    assert!(dropped.iter().all(|one| one["error"].as_str().unwrap().starts_with("more than 5 wait")));
    // The newest is still to be told.
    assert!(dropped.iter().all(|one| one["approval"] != ids[11].as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_and_age_have_an_end() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status(503)).await;
    let mut target = world.target("tries", &receiver.url());
    target.limits.max_attempts = 2;
    let notifier = world.start(vec![target]);
    world.hold("a").await;
    world.due("tries").await;
    world.ports.clock.advance(Duration::from_secs(2));
    world.settled("tries").await;
    assert_eq!(receiver.told().len(), 2);
    notifier.stop().await;

    // Written while nobody sent, and too old since.
    let mut old = world.target("old", &receiver.url());
    old.subscription.events = vec![Event::Pending];
    world.ports.store.subscribe(vec![old.subscription.clone()]);
    world.hold("b").await;
    world.ports.clock.advance(Duration::from_secs(24 * 3_600 + 1));
    let _notifier = world.start(vec![old]);
    world.settled("old").await;
    world.counted("portcullis_notifications_total{target=\"old\",result=\"dead\"}").await;
    world.ports.audit.close().await;
    assert_eq!(receiver.told().len(), 2, "not even tried");
    assert!(world.audit().contains("it is too old"), "{}", world.audit());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_lies_or_never_ends_is_a_failure() {
    let world = World::new().await;
    for (name, behaviour) in
        [("endless", Behaviour::Endless), ("garbage", Behaviour::Garbage), ("cut-off", Behaviour::CutOff)]
    {
        let receiver = Receiver::start(behaviour).await;
        let _notifier = world.start(vec![world.target(name, &receiver.url())]);
        world.hold(name).await;
        world.due(name).await;
        receiver.now(Behaviour::status(200));
        world.ports.clock.advance(Duration::from_secs(2));
        world.settled(name).await;
    }
    assert!(!world.ports.metrics.render().contains("dead"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_delays_no_other() {
    let world = World::new().await;
    let silent = Receiver::start(Behaviour::Silent).await;
    let good = Receiver::start(Behaviour::status(200)).await;
    let mut dead = world.target("dead", &silent.url());
    dead.limits.timeout = Duration::from_secs(60);
    dead.limits.concurrency = 2;
    let _notifier = world.start(vec![dead, world.target("good", &good.url())]);
    for n in 0..15 {
        world.hold(&n.to_string()).await;
    }
    good.times(15).await;
    world.settled("good").await;
    assert_eq!(silent.told().len(), 2, "as many as may be under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_crash_is_sent_again_with_the_same_id() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::Silent).await;
    let target = || world.target("own", &receiver.url());
    let notifier = world.start(vec![target()]);
    world.hold("a").await;
    let first = receiver.times(1).await.remove(0);
    drop(notifier);
    receiver.now(Behaviour::status(200));
    world.ports.clock.advance(Duration::from_secs(16));
    let _notifier = world.start(vec![target()]);
    let told = receiver.times(2).await;
    assert_eq!(told[1].header("webhook-id"), first.header("webhook-id"));
    world.settled("own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_sends_each() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status(200)).await;
    let other_store =
        Store::open(&world.folder.path().join("store.db"), world.ports.clock.clone()).await.unwrap();
    let other_ports = Ports { store: other_store, ..world.ports.clone() };
    let _one = world.start(vec![world.target("own", &receiver.url())]);
    let _other = load(vec![world.target("own", &receiver.url())]).unwrap().start(other_ports);
    for n in 0..20 {
        world.hold(&n.to_string()).await;
    }
    world.settled("own").await;
    let mut ids: Vec<_> =
        receiver.told().iter().map(|told| told.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 20);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_allowed() {
    let world = World::new().await;
    let receiver = Receiver::start(Behaviour::status(200)).await;
    let mut literal = world.target("literal", &receiver.url());
    literal.reach = Reach::default();
    let refused = load(vec![literal]).unwrap_err();
    assert!(
        refused[0].message.contains("`literal`") && refused[0].message.contains("allow_private"),
        "{refused:?}"
    );

    let url = format!("http://localhost:{}/services/URLSECRET", receiver.address.port());
    let mut named = world.target("named", &url);
    named.reach = Reach::default();
    let _notifier = world.start(vec![named]);
    world.hold("a").await;
    world.due("named").await;
    assert!(receiver.told().is_empty());
}

#[tokio::test]
async fn urls_are_checked_and_never_shown() {
    let world = World::new().await;
    for (url, words) in [
        ("URLSECRET", "not an `https://` URL"),
        ("ftp://hooks.example.com/URLSECRET", "not an `https://` URL"),
        ("https://me:URLSECRET@hooks.example.com/", "user name or password"),
        ("http://hooks.example.com/URLSECRET", "allow_insecure"),
        ("https://169.254.169.254/URLSECRET", "metadata"),
    ] {
        let mistakes = load(vec![world.target("t", url)]).unwrap_err();
        let shown = format!("{mistakes:?}");
        assert!(shown.contains(words) && !shown.contains("URLSECRET"), "{shown}");
    }
    let mut filed = world.target("t", "");
    filed.url = UrlSource::File(world.folder.path().join("url"));
    assert!(load(vec![filed.clone()]).unwrap_err()[0].message.contains("can't read"));
    std::fs::write(world.folder.path().join("url"), "https://hooks.example.com/URLSECRET\n").unwrap();
    assert!(!format!("{:?} {filed:?}", load(vec![filed.clone()]).unwrap()).contains("URLSECRET"));
    filed.kind = Kind::Webhook(vec![PathBuf::from("/nowhere")]);
    assert!(load(vec![filed]).unwrap_err()[0].message.contains("/nowhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_shows_the_url() {
    let world = World::new().await;
    let notice = messages::notice();
    let page = "https://portcullis.example.com/".parse().unwrap();
    let answers = [
        Behaviour::Answer(404, String::new(), "Cannot POST /services/URLSECRET".into()),
        Behaviour::Answer(500, String::new(), "services".into()),
        Behaviour::Garbage,
        Behaviour::CutOff,
    ];
    let mut receivers = Vec::new();
    for answer in answers {
        receivers.push(Receiver::start(answer).await.url());
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    receivers.push(format!("http://{}/services/URLSECRET", listener.local_addr().unwrap()));
    drop(listener);
    for url in receivers {
        let target = target::Target::load(&world.target("t", &url)).unwrap();
        let now = world.ports.clock.now();
        let outcome = format!("{:?}", attempt::attempt(&target, "id", &notice, &page, now).await);
        assert!(outcome.starts_with("Failed") && !outcome.contains("URLSECRET"), "{outcome}");
        assert!(!outcome.contains("services"), "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_target_that_is_gone_is_counted() {
    let world = World::new().await;
    let gone = Subscription { target: "gone".into(), ..Subscription::default() };
    world.ports.store.subscribe(vec![gone]);
    world.hold("a").await;
    let receiver = Receiver::start(Behaviour::status(204)).await;
    let _notifier = world.start(vec![world.target("own", &receiver.url())]);
    world.counted("portcullis_notifications_pending{target=\"gone\"} 1").await;
    world.hold("b").await;
    receiver.times(1).await;
}
