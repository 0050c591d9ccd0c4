use super::testing::{NOW, callout, clock};
use super::*;

fn busy(pause: Duration) -> Trouble {
    Trouble::Busy { status: StatusCode::TOO_MANY_REQUESTS, pause }
}

#[test]
fn a_clock_that_is_set_back_makes_no_pause_longer() {
    let config = callout("https://as.example.com/");
    let mut service = Callout::new(metrics::Callout::Introspection, &config, clock());
    assert!(!service.is_paused());
    service.pause_after(&busy(MAX_PAUSE));
    assert!(service.is_paused());
    service.clock = Clock::fixed(Timestamp::from_second(NOW - 3_600).unwrap());
    assert!(!service.is_paused());
}

#[test]
fn a_query_of_the_url_is_not_shown() {
    let config = callout("https://as.example.com/introspect?key=s3cr3t");
    let service = Callout::new(metrics::Callout::Introspection, &config, clock());
    assert!(!format!("{service:?}").contains("s3cr3t"));
}

#[test]
fn every_trouble_is_counted_by_its_kind_and_said_in_words() {
    let status = StatusCode::FORBIDDEN;
    for (trouble, result, words) in [
        (Trouble::Timeout, CalloutResult::Timeout, "in time"),
        (Trouble::Unreachable("refused".into()), CalloutResult::Unreachable, "the request failed: refused"),
        (
            Trouble::Status(status),
            CalloutResult::Status,
            "403 Forbidden: the service does not accept our own",
        ),
        (Trouble::Status(StatusCode::FOUND), CalloutResult::Status, "redirects are not followed"),
        (busy(Duration::from_secs(7)), CalloutResult::Status, "a pause of 7s"),
        (Trouble::TooLarge, CalloutResult::TooLarge, "larger than 65536 bytes"),
        (Trouble::Invalid("no"), CalloutResult::Invalid, "not valid: no"),
        (Trouble::NoCredential("no token".into()), CalloutResult::NoCredential, "no token"),
    ] {
        assert_eq!(trouble.result(), result);
        assert!(trouble.to_string().contains(words), "{trouble}");
    }
}
