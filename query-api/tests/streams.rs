//! Exports and live tails.

use crate::world::{FIRST, Setup, World, call, finding};
use ambit_query_api::access::Role;
use ambit_query_api::{LimitOptions, Options};
use ambit_schemas::trail::Outcome;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Events of two tenants and some findings, in several commits: more than any page holds.
async fn filled(setup: Setup) -> World {
    let world = World::with(setup).await;
    for commit in 0..4_i64 {
        let mut events = Vec::new();
        for number in 0..300_i64 {
            let tenant = if number % 3 == 0 { "other" } else { "acme" };
            events.push(call(&format!("c-{commit}-{number}"), tenant, commit * 300 + number));
        }
        events.push(finding(&format!("f-{commit}"), "acme", commit * 300, "E-TOOL"));
        world.log.put(&events).await;
    }
    world.grant("amb_acme", Role::Analyst, Some("acme"));
    world.grant("amb_view", Role::Viewer, Some("acme"));
    world
}

async fn lines(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_export_has_every_row_once_in_the_order_of_the_ledger_and_says_that_it_is_whole() {
    let world = filled(Setup::default()).await;
    world.trail().await;
    let mut all = lines(world.ask("/api/v1/export/events?kind=tool_call.requested", "amb_acme").await).await;
    let end = all.pop().unwrap();
    assert_eq!((&end["end"]["complete"], &end["end"]["items"]), (&json!(true), &json!(800)));
    let refs: BTreeSet<&str> = all.iter().map(|item| item["ref"].as_str().unwrap()).collect();
    assert_eq!((all.len(), refs.len()), (800, 800));
    assert!(all.iter().all(|item| item["tenant"] == "acme"));
    let offset =
        |item: &Value| -> u64 { item["ref"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap() };
    let offsets: Vec<u64> = all.iter().map(offset).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert_eq!(end["end"]["cursor"], all[799]["ref"]);
    // It is recorded when it begins and when it ends.
    let trail = world.trail().await;
    assert_eq!(trail.iter().map(|one| one.exported).collect::<Vec<_>>(), [false, true]);
    assert_eq!((trail[1].record.rows, trail[1].record.outcome), (800, Outcome::Complete));
    // Whoever has some of it goes on after that.
    let cursor = all[349]["ref"].as_str().unwrap();
    let rest = lines(
        world
            .ask(&format!("/api/v1/export/events?kind=tool_call.requested&cursor={cursor}"), "amb_acme")
            .await,
    )
    .await;
    assert_eq!(rest[..450], all[350..]);
    let some =
        lines(world.ask("/api/v1/export/events?kind=tool_call.requested&limit=7", "amb_acme").await).await;
    assert_eq!(some[..7], all[..7]);
    assert_eq!(some[7]["end"]["items"], 7);
    let none = lines(world.ask("/api/v1/export/events?agent=nobody", "amb_acme").await).await;
    assert_eq!(none[0]["end"]["items"], 0);
}

#[tokio::test]
async fn csv_and_parquet_hold_the_same_as_lines_do() {
    let world = filled(Setup::default()).await;
    let csv = world.ask("/api/v1/export/events?format=csv", FIRST).await;
    assert!(csv.headers()["content-disposition"].to_str().unwrap().contains("ambit-events.csv"));
    let csv = csv.text().await.unwrap();
    assert_eq!(csv.matches("\r\n").count(), 1 + 1_204);
    assert!(csv.starts_with("ref,leaf_index,kind,"));
    let findings = world.ask("/api/v1/export/findings?format=csv", "amb_acme").await.text().await.unwrap();
    assert_eq!(findings.matches("\r\n").count(), 1 + 4, "{findings}");
    assert!(findings.contains(",open,"), "{findings}");
    let empty =
        world.ask("/api/v1/export/findings?format=csv&rule=X", "amb_acme").await.text().await.unwrap();
    assert_eq!(empty.matches("\r\n").count(), 1, "{empty}");
    let parquet = world.ask("/api/v1/export/events?format=parquet", "amb_acme").await.bytes().await.unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(parquet.clone()).unwrap();
    let metadata = builder.metadata().file_metadata().key_value_metadata().unwrap();
    let items = metadata.iter().find(|pair| pair.key == "ambit.items").unwrap();
    assert_eq!(items.value.as_deref(), Some("804"));
    let rows: usize = builder.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 804);
    // One that broke off is none.
    assert!(ParquetRecordBatchReaderBuilder::try_new(parquet.slice(..parquet.len() - 9)).is_err());
    let empty =
        world.ask("/api/v1/export/events?format=parquet&agent=nobody", FIRST).await.bytes().await.unwrap();
    assert_eq!(ParquetRecordBatchReaderBuilder::try_new(empty).unwrap().build().unwrap().count(), 0);
}

#[tokio::test]
async fn mistakes_and_those_who_may_not_are_refused_before_anything_is_sent() {
    let world = filled(Setup::default()).await;
    for (path, token, status) in [
        ("/api/v1/export/events", "amb_view", StatusCode::FORBIDDEN),
        ("/api/v1/tail", "amb_view", StatusCode::FORBIDDEN),
        ("/api/v1/export/events?format=xlsx", "amb_acme", StatusCode::BAD_REQUEST),
        ("/api/v1/export/events?format=../../etc/passwd", "amb_acme", StatusCode::BAD_REQUEST),
        ("/api/v1/export/events?cursor=nonsense", "amb_acme", StatusCode::BAD_REQUEST),
        ("/api/v1/export/events?order=asc", "amb_acme", StatusCode::BAD_REQUEST),
        ("/api/v1/export/events?kind=query.*", "amb_acme", StatusCode::FORBIDDEN),
        ("/api/v1/export/events?sevrity=high", "amb_acme", StatusCode::BAD_REQUEST),
        ("/api/v1/tail?limit=5", "amb_acme", StatusCode::BAD_REQUEST),
        ("/api/v1/tail?last_event_id=nonsense", "amb_acme", StatusCode::BAD_REQUEST),
    ] {
        let answer = world.ask(path, token).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn who_goes_away_stops_an_export_and_frees_its_place() {
    let limits = LimitOptions { streams_per_caller: 1, ..LimitOptions::default() };
    let world = filled(Setup { options: Options { limits, ..Options::default() }, ..Setup::default() }).await;
    world.trail().await;
    let tail = world.ask("/api/v1/tail", "amb_acme").await;
    assert_eq!(tail.status(), StatusCode::OK);
    let second = world.ask("/api/v1/export/events", "amb_acme").await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(
        world.ask("/api/v1/events", "amb_acme").await.status(),
        StatusCode::OK,
        "other requests go on"
    );
    drop(tail);
    let mut waited = 0;
    while world.ask("/api/v1/export/events", "amb_acme").await.status() != StatusCode::OK {
        waited += 1;
        assert!(waited < 100, "the place was not given back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = world.trail().await;
    assert!(asked.iter().any(|one| one.record.outcome == Outcome::Cancelled), "{asked:?}");
}

/// Events of a stream: name, id and data of each.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.next().unwrap_or_default().trim().to_owned()
                };
                let read = (field("event:"), field("id:"), serde_json::from_str(&field("data:")).unwrap());
                let rest = rest.to_owned();
                self.text = rest;
                return Some(read);
            }
            let chunk: Option<Bytes> =
                tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk?).unwrap());
        }
    }
}

#[tokio::test]
async fn a_tail_gives_what_is_stored_from_now_on_and_goes_on_where_it_was() {
    let world = filled(Setup::default()).await;
    let follow = async |path: &str, last: &str| {
        let request = world.request(reqwest::Method::GET, path, "amb_acme").header("last-event-id", last);
        Events { response: request.send().await.unwrap(), text: String::new() }
    };
    let mut tail = follow("/api/v1/tail?tool=send_money", "").await;
    assert_eq!(tail.response.headers()["content-type"], "text/event-stream");
    world
        .log
        .put(&[call("n-1", "acme", 2_000), call("n-2", "other", 2_001), call("n-3", "acme", 2_002)])
        .await;
    let (name, id, first) = tail.next().await.unwrap();
    assert_eq!((name.as_str(), id.as_str(), &first["id"]), ("event", "", &json!("n-1")));
    let (_, place, second) = tail.next().await.unwrap();
    assert_eq!(second["id"], "n-3", "another tenant's event is not shown");
    assert!(place.contains("ambit.events/0:"), "{place}");
    drop(tail);
    // What is stored while nobody reads is there for who goes on.
    world.log.put(&[call("n-4", "acme", 2_003), finding("f-9", "acme", 2_004, "E-ARG")]).await;
    let mut again = follow("/api/v1/tail?kind=tool_call.*", &place).await;
    assert_eq!(again.next().await.unwrap().2["id"], "n-4");
    let mut findings = follow("/api/v1/tail?kind=finding.created", &place).await;
    assert_eq!(findings.next().await.unwrap().2["finding"], "f-9");
    world.closing.cancel();
    let mut last = again.next().await;
    while let Some((name, ..)) = &last
        && name != "closing"
    {
        last = again.next().await;
    }
    assert_eq!(last.unwrap().0, "closing", "a server that stops says so");
}

#[tokio::test]
async fn who_is_too_far_behind_is_told_what_was_passed_over() {
    let world = World::new().await;
    let many: Vec<_> = (0..20_600).map(|number| call(&format!("c-{number}"), "acme", number)).collect();
    world.log.put(&many).await;
    let request = world
        .request(reqwest::Method::GET, "/api/v1/tail", FIRST)
        .header("last-event-id", "ambit.events/0:0");
    let mut tail = Events { response: request.send().await.unwrap(), text: String::new() };
    let (name, _, data) = tail.next().await.unwrap();
    assert_eq!((name.as_str(), &data["passed_over"]), ("lagged", &json!(20_100)));
    assert_eq!(tail.next().await.unwrap().2["leaf_index"], 20_100);
}
