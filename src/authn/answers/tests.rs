use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::*;
use crate::authn::callout::testing::{NOW, clock};

fn answers(edit: impl FnOnce(&mut CacheConfig)) -> Answers {
    let mut terms = CacheConfig::default();
    edit(&mut terms);
    Answers::new(IdentityCache::Introspection, terms, clock())
}

fn key(n: u32) -> Key {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_le_bytes());
    key
}

fn ana(expires: Option<i64>, bytes: usize) -> Result<Answer, Reason> {
    let expires = expires.map(|second| Timestamp::from_second(second).unwrap());
    let identity = Identity { subject: "ana".into(), expires, ..Identity::clone(&Identity::anonymous()) };
    Ok(Answer { identity, bytes })
}

impl Answers {
    /// Asks about `key`; whether that took an inquiry, which would find out `found`.
    async fn inquired(&self, key: Key, found: Result<Answer, Reason>) -> bool {
        let inquiries = AtomicUsize::new(0);
        let answer = self.get(key, async {
            inquiries.fetch_add(1, Ordering::SeqCst);
            found
        });
        let _ = answer.await;
        inquiries.into_inner() == 1
    }
}

#[tokio::test]
async fn a_good_answer_ends_with_its_time_or_with_its_credential() {
    for (expires, lasts) in [(None, 60), (Some(NOW + 600), 60), (Some(NOW + 20), 20), (Some(NOW), 0)] {
        let answers = answers(|_| ());
        assert!(answers.inquired(key(1), ana(expires, 0)).await);
        if lasts > 0 {
            answers.clock.advance(Duration::from_secs(lasts - 1));
            assert!(!answers.inquired(key(1), ana(expires, 0)).await, "{expires:?}");
            answers.clock.advance(Duration::from_secs(1));
        }
        assert!(answers.inquired(key(1), ana(expires, 0)).await, "{expires:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_remembered_for_its_own_time() {
    let answers = answers(|_| ());
    assert!(answers.inquired(key(1), Err(Reason::TokenInactive)).await);
    answers.clock.advance(Duration::from_millis(4_900));
    assert!(!answers.inquired(key(1), ana(None, 0)).await);
    assert_eq!(answers.get(key(1), async { ana(None, 0) }).await, Err(Reason::TokenInactive));
    answers.clock.advance(Duration::from_millis(100));
    assert!(answers.inquired(key(1), ana(None, 0)).await);
}

#[tokio::test]
async fn what_could_not_be_found_out_is_not_remembered() {
    let answers = answers(|_| ());
    for reason in [Reason::IntrospectionUnavailable, Reason::TooManyCallouts, Reason::BasicOverloaded] {
        assert!(answers.inquired(key(1), Err(reason)).await);
        assert!(answers.inquired(key(1), Err(reason)).await, "{reason:?}");
    }
}

#[tokio::test]
async fn nothing_is_remembered_where_nothing_may_be() {
    let answers = answers(|terms| (terms.max_ttl, terms.negative_ttl) = (Duration::ZERO, Duration::ZERO));
    for _ in 0..2 {
        assert!(answers.inquired(key(1), ana(None, 0)).await);
        assert!(answers.inquired(key(2), Err(Reason::TokenInactive)).await);
    }
}

#[tokio::test]
async fn ten_thousand_refusals_push_out_no_good_answer() {
    let answers = answers(|terms| terms.entries = 100);
    for n in 0..100 {
        assert!(answers.inquired(key(n), ana(None, 0)).await);
    }
    for n in 1_000..11_000 {
        assert!(answers.inquired(key(n), Err(Reason::TokenInactive)).await);
    }
    answers.accepted.run_pending_tasks().await;
    answers.refused.run_pending_tasks().await;
    for n in 0..100 {
        assert!(!answers.inquired(key(n), ana(None, 0)).await, "{n} was forgotten");
    }
    assert!(answers.refused.entry_count() <= 100, "refusals are bounded too");
}

#[tokio::test]
async fn good_answers_are_bounded_by_number_and_size() {
    let answers = answers(|terms| terms.entries = 100);
    for n in 0..1_000 {
        answers.inquired(key(n), ana(None, 40 << 10)).await;
    }
    answers.accepted.run_pending_tasks().await;
    assert!((1..=9).contains(&answers.accepted.entry_count()), "{}", answers.accepted.entry_count());
    assert!(answers.accepted.weighted_size() <= 100);
}

#[tokio::test]
async fn a_hundred_calls_at_a_time_make_one_inquiry_whatever_it_finds() {
    for good in [true, false] {
        let (answers, inquiries) = (answers(|_| ()), AtomicUsize::new(0));
        let (answers, inquiries) = (&answers, &inquiries);
        let call = || {
            answers.get(key(1), async move {
                inquiries.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if good { ana(None, 0) } else { Err(Reason::IntrospectionUnavailable) }
            })
        };
        let found = join_all((0..100).map(|_| call())).await;
        assert!(found.iter().all(|found| found.is_ok() == good));
        assert_eq!(inquiries.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn whoever_hangs_up_leaves_the_others_their_answer() {
    let answers = Arc::new(answers(|_| ()));
    let first = answers.clone();
    let first = tokio::spawn(async move { first.get(key(1), std::future::pending()).await });
    tokio::task::yield_now().await;
    let second = answers.clone();
    let second = tokio::spawn(async move { second.get(key(1), async { ana(None, 0) }).await });
    tokio::task::yield_now().await;
    assert!(!second.is_finished(), "the second waits for the first");
    first.abort();
    assert_eq!(second.await.unwrap().unwrap().subject, "ana");
    assert!(!answers.inquired(key(1), ana(None, 0)).await);
}

#[tokio::test]
async fn an_answer_is_as_old_as_its_question() {
    let answers = answers(|_| ());
    let slow = async {
        answers.clock.advance(Duration::from_secs(10));
        ana(None, 0)
    };
    assert!(answers.get(key(1), slow).await.is_ok());
    answers.clock.advance(Duration::from_secs(49));
    assert!(!answers.inquired(key(1), ana(None, 0)).await);
    answers.clock.advance(Duration::from_secs(1));
    assert!(answers.inquired(key(1), ana(None, 0)).await);
}

#[tokio::test]
async fn hits_and_misses_are_counted() {
    let answers = answers(|_| ());
    let metrics = Metrics::new().unwrap();
    answers.count_in(&metrics);
    for _ in 0..3 {
        answers.inquired(key(1), ana(None, 0)).await;
    }
    let text = metrics.render();
    assert!(text.contains("portcullis_cache_hits_total{cache=\"introspection\"} 2"), "{text}");
    assert!(
        text.contains("portcullis_cache_misses_total{cache=\"introspection\",reason=\"absent\"} 1"),
        "{text}"
    );
}
