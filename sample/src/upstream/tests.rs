use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::address;

async fn upstream() -> (Upstream, String) {
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let url = format!("http://{}", upstream.address());
    (upstream, url)
}

async fn text(url: &str) -> String {
    reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

async fn json_of(url: &str) -> Value {
    serde_json::from_str(&text(url).await).unwrap()
}

#[tokio::test]
async fn serves_orders_one_by_one_and_together() {
    let (upstream, url) = upstream().await;
    let list = json_of(&format!("{url}/v1/orders")).await;
    assert_eq!(list["orders"].as_array().unwrap().len(), CARD_NUMBERS.len());
    let one = json_of(&format!("{url}/v1/orders/o-1002")).await;
    assert_eq!(one, list["orders"][1]);
    let missing = reqwest::get(format!("{url}/v1/orders/o-9")).await.unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(upstream.calls(), 3);
    assert_eq!(upstream.calls_to("/v1/orders"), 1);
}

#[tokio::test]
async fn streams_events_at_the_asked_pace() {
    let (_upstream, url) = upstream().await;
    let begin = Instant::now();
    let events = text(&format!("{url}/v1/orders/stream?events=3&interval_ms=30")).await;
    assert!(begin.elapsed() >= Duration::from_millis(60));
    let data: Vec<Value> = events
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.split_once("data: ").unwrap().1).unwrap())
        .collect();
    assert_eq!(data, [orders::order(0), orders::order(1), orders::order(2)]);
}

#[tokio::test]
async fn exports_one_record_per_line() {
    let (_upstream, url) = upstream().await;
    let export = text(&format!("{url}/v1/orders/export")).await;
    let records: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, orders::all());
}

#[tokio::test]
async fn a_large_report_is_valid_json_of_the_asked_size() {
    let (_upstream, url) = upstream().await;
    let report = text(&format!("{url}/v1/reports/large?mb=2")).await;
    assert!((2_000_000..2_200_000).contains(&report.len()), "{}", report.len());
    let records: Vec<Value> = serde_json::from_str(&report).unwrap();
    assert!(records.iter().all(|record| record["customer"]["card"]["number"].is_string()));
}

#[tokio::test]
async fn refunds_are_counted_by_tag_or_body() {
    let (upstream, url) = upstream().await;
    let client = reqwest::Client::new();
    let post = |body: &'static str| client.post(format!("{url}/v1/refunds")).body(body);
    let answer =
        post(r#"{"order":"o-1001","amount":700}"#).header("x-request-tag", "t1").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["refunded"], 700);
    post(r#"{"amount":1}"#).send().await.unwrap();
    post(r#"{"amount":1}"#).send().await.unwrap();
    assert_eq!(post("not json").send().await.unwrap().status(), 400);

    let counted = upstream.refunds();
    assert_eq!((counted["t1"], counted[r#"{"amount":1}"#], counted["not json"]), (1, 2, 1));
    let stats = json_of(&format!("{url}/_stats")).await;
    assert_eq!((&stats["calls"], &stats["refunds"]["t1"]), (&json!(4), &json!(1)));
}

#[tokio::test]
async fn echo_shows_what_arrived() {
    let (_upstream, url) = upstream().await;
    let request = reqwest::Client::new().put(format!("{url}/echo/a/b?c=d"));
    let answer = request.header("x-two", "1").header("x-two", "2").body("hi").send().await.unwrap();
    let shown: Value = answer.json().await.unwrap();
    assert_eq!(shown["method"], "PUT");
    assert_eq!(shown["path"], "/echo/a/b?c=d");
    assert_eq!(shown["headers"]["x-two"], json!(["1", "2"]));
    assert_eq!(shown["body"], "hi");
}

#[tokio::test]
async fn a_dictated_answer_arrives_as_it_was_dictated() {
    let (upstream, url) = upstream().await;
    let answer = Answer::new(StatusCode::PARTIAL_CONTENT)
        .header("content-type", "text/plain")
        .header("x-two", "1")
        .header("x-two", "2")
        .chunk("first")
        .pause(Duration::from_millis(50))
        .chunks_of(2, "second");
    upstream.answer("/raw/one", answer);
    let mut response = reqwest::get(format!("{url}/raw/one")).await.unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(response.headers().get_all("x-two").iter().count(), 2);
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    let mut rest = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert_eq!(rest, b"second");
}

#[tokio::test]
async fn a_broken_answer_breaks_and_a_whole_one_keeps_its_length() {
    let (upstream, url) = upstream().await;
    upstream.answer("/raw/broken", Answer::json(r#"{"a":1"#).broken());
    upstream.answer("/raw/whole", Answer::json(r#"{"a":1}"#));
    let broken = reqwest::get(format!("{url}/raw/broken")).await.unwrap();
    assert!(broken.bytes().await.is_err());
    let whole = reqwest::get(format!("{url}/raw/whole")).await.unwrap();
    assert_eq!(whole.headers()["content-length"], "7");
}
