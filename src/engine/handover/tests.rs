use super::envelope::tests::sample;
use super::*;
use crate::effect::HeaderChanges;
use crate::request::{Header, Limits, Parts, Peer};

const URI: &str = "spiffe://example.com/web";

fn parts() -> Parts {
    let header = |name: &str, value: &str| Header::new(name, value);
    Parts {
        method: "GET".into(),
        host: "api".into(),
        path: "/a?token=t".into(),
        headers: vec![
            header("authorization", "Bearer ana"),
            header("x-key", "k"),
            header("x-request-id", "q-1"),
            header("x-other", "1"),
        ]
        .into(),
        source: Peer { principal: URI.into(), ..Peer::default() },
        ..Parts::default()
    }
}

fn seen(edit: impl FnOnce(&mut Parts)) -> Request {
    let mut parts = parts();
    edit(&mut parts);
    Request::assemble(parts, &Limits::default())
}

fn header(parts: &mut Parts, name: &str, value: &str) {
    let others = parts.headers.iter().filter(|header| header.name != name).cloned();
    parts.headers = others.chain([Header::new(name, value)]).collect();
}

type Edit = fn(&mut Parts);

/// The envelope of that call, which goes on as `permit` says.
fn given(permit: &Permit) -> Envelope {
    let credentials = ["authorization", "x-key", "x-absent"].map(str::to_owned);
    Envelope { bound: bound(&seen(|_| ()), permit, &credentials), ..sample() }
}

#[test]
fn an_envelope_is_good_for_its_own_call_alone() {
    let envelope = given(&Permit::default());
    assert_eq!(fits(&envelope, &seen(|_| ()), 0), Ok(()));
    // What has no part in whose call it is may change on the way.
    assert_eq!(fits(&envelope, &seen(|parts| header(parts, "x-other", "2")), 0), Ok(()));
    let others: [(&str, Edit); 9] = [
        ("method", |parts| parts.method = "POST".into()),
        ("host", |parts| parts.host = "api2".into()),
        ("path", |parts| parts.path = "/b?token=t".into()),
        ("query", |parts| parts.path = "/a?token=u".into()),
        ("request id", |parts| header(parts, "x-request-id", "q-2")),
        ("peer", |parts| parts.source.principal = "spiffe://example.com/other".into()),
        ("no peer", |parts| parts.source.principal.clear()),
        ("token", |parts| header(parts, "authorization", "Bearer bob")),
        ("key", |parts| {
            parts.headers = parts.headers.iter().filter(|one| one.name != "x-key").cloned().collect()
        }),
    ];
    for (what, edit) in others {
        assert_eq!(fits(&envelope, &seen(edit), 0), Err(Handover::Mismatch), "{what}");
    }
}

#[test]
fn an_envelope_is_good_for_ten_seconds() {
    let envelope = given(&Permit::default());
    assert_eq!(fits(&envelope, &seen(|_| ()), envelope.expires - 1), Ok(()));
    assert_eq!(fits(&envelope, &seen(|_| ()), envelope.expires), Err(Handover::Stale));
}

#[test]
fn what_the_check_changes_is_expected_as_it_goes_on() {
    let request = vec![
        HeaderChange::Remove { name: "authorization".into() },
        HeaderChange::Set { name: "x-user".into(), value: "ana".into() },
    ];
    let changes = HeaderChanges { request, response: Vec::new() };
    let permit = Permit { changes, path: Some("/a".into()), ..Permit::default() };
    let envelope = given(&permit);
    let without_token = |parts: &mut Parts| {
        parts.path = "/a".into();
        parts.headers = parts.headers.iter().filter(|one| one.name != "authorization").cloned().collect();
    };
    assert_eq!(fits(&envelope, &seen(without_token), 0), Ok(()));
    assert_eq!(fits(&envelope, &seen(|_| ()), 0), Err(Handover::Mismatch), "the path as it was sent");
    assert_eq!(envelope.bound.credentials, ["x-key"]);
}
