//! Every question is recorded, and none is answered that is not.

use crate::world::{FIRST, Setup, World, call};
use ambit_query_api::access::Role;
use ambit_query_api::{AuditOptions, LimitOptions, Options};
use ambit_schemas::trail::Outcome;
use ambit_schemas::{Kind, Topic};
use reqwest::StatusCode;

#[tokio::test]
async fn a_question_is_recorded_with_its_author_and_what_came_of_it() {
    let world = World::new().await;
    world.log.put(&[call("c-1", "acme", 0), call("c-2", "acme", 1)]).await;
    world.grant("amb_sam", Role::Analyst, Some("acme"));
    world.trail().await;
    let answer =
        world.ask("/api/v1/events?agent=&limit=1&from=2026-11-24T00:00:00Z&text=account", "amb_sam").await;
    let bytes = answer.bytes().await.unwrap().len() as u64;
    let trail = world.trail().await;
    let [one] = trail.as_slice() else { panic!("{trail:?}") };
    let record = &one.record;
    assert_eq!((record.author.as_str(), record.role.as_str()), ("sam", "analyst"));
    assert_eq!(record.scope.as_ref().unwrap().as_str(), "acme");
    assert_eq!((record.route.as_str(), record.status), ("GET /api/v1/events", 200));
    assert_eq!((record.rows, record.bytes, record.outcome), (1, bytes, Outcome::Complete));
    assert_eq!(record.from.unwrap().to_string(), "2026-11-24T00:00:00Z");
    assert_eq!(one.credential.as_ref().unwrap().as_str(), world.tokens().tokens[0].id);
    // The same question on another page, in another order, is the same; another is not.
    world.ask("/api/v1/events?text=account&limit=9&from=2026-11-25T00:00:00Z", "amb_sam").await;
    world.ask("/api/v1/events?text=other", "amb_sam").await;
    let next = world.trail().await;
    assert_eq!(next[0].record.query_sha256, record.query_sha256);
    assert_ne!(next[1].record.query_sha256, record.query_sha256);
    // What is refused or wrong is recorded too; who is not known asks nothing.
    world.ask("/api/v1/events?kind=query.*", "amb_sam").await;
    world.ask("/api/v1/events?limit=0", "amb_sam").await;
    world.ask("/api/v1/events", "amb_nobody").await;
    let outcomes: Vec<_> =
        world.trail().await.iter().map(|one| (one.record.status, one.record.outcome)).collect();
    assert_eq!(outcomes, [(403, Outcome::Refused), (400, Outcome::Refused)]);
    // As an event it is of the tenant, and stands where gateways cannot write.
    let event = one.clone().event().unwrap();
    assert_eq!((event.kind(), event.tenant.as_str()), (Kind::QueryExecuted, "acme"));
    assert_eq!(ambit_schemas::codec::topic_of(event.kind()), Topic::Responses);
}

#[tokio::test]
async fn the_trail_is_shown_to_who_asks_for_it_and_may_see_it() {
    let world = World::new().await;
    world.log.put(&[call("c-1", "acme", 0)]).await;
    world.grant("amb_audit", Role::Auditor, Some("acme"));
    world.grant("amb_sam", Role::Responder, Some("acme"));
    world.get("/api/v1/events", "amb_sam").await;
    for asked in world.trail().await {
        world.log.put(&[asked.event().unwrap()]).await;
    }
    let kinds = async |path: &str, token: &str| -> Vec<String> {
        let page = world.get(path, token).await;
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
    };
    for token in [FIRST, "amb_audit", "amb_sam"] {
        assert_eq!(kinds("/api/v1/events", token).await, ["tool_call.requested"], "{token}");
    }
    assert_eq!(kinds("/api/v1/events?kind=query.*", "amb_audit").await, ["query.executed"]);
    let place = "/api/v1/events/ambit.responses:0:0";
    assert_eq!(world.ask(place, "amb_audit").await.status(), StatusCode::OK);
    assert_eq!(world.ask(place, "amb_sam").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let audit = AuditOptions { queue: 3, ..AuditOptions::default() };
    let world =
        World::with(Setup { options: Options { audit, ..Options::default() }, ..Setup::default() }).await;
    for _ in 0..3 {
        assert_eq!(world.ask("/api/v1/events", FIRST).await.status(), StatusCode::OK);
    }
    let refused = world.ask("/api/v1/events", FIRST).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.unwrap().contains("recorded"));
    assert_eq!(world.trail().await.len(), 3);
    assert_eq!(world.ask("/api/v1/events", FIRST).await.status(), StatusCode::OK, "there is room again");
}

#[tokio::test]
async fn who_asks_for_too_much_at_once_is_told_to_come_back() {
    let limits = LimitOptions { megabytes_per_minute: 1, ..LimitOptions::default() };
    let world =
        World::with(Setup { options: Options { limits, ..Options::default() }, ..Setup::default() }).await;
    let events: Vec<_> = (0..500).map(|number| call(&format!("c-{number}"), "acme", number)).collect();
    world.log.put(&events).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = world.ask("/api/v1/events?limit=500", FIRST).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
        answer.bytes().await.unwrap();
    }
    let refused = refused.unwrap();
    let wait: i64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    world.pass(wait);
    assert_eq!(world.ask("/api/v1/events?limit=1", FIRST).await.status(), StatusCode::OK);
}
