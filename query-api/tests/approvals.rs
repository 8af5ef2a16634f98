//! Responses that wait for people: what they would hit, and two different people who say yes.

use crate::world::{FIRST, World, call, finding};
use ambit_query_api::access::Role;
use ambit_schemas::event::{Body, Event};
use ambit_schemas::order::{Pending, Ruling};
use ambit_schemas::{Kind, Topic};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The question of a response that would end much. It lapses at 13:00.
fn question(id: &str, tenant: &str, second: i64) -> Event {
    let golden = include_str!("../../schemas/golden/v1/response.pending.json");
    let whole: Value = serde_json::from_str(golden).unwrap();
    let mut pending: Pending = serde_json::from_value(whole["data"]["pending"].clone()).unwrap();
    let event = call(&format!("asked-{id}"), tenant, second);
    pending.response_id = crate::world::id(id);
    pending.finding_id = crate::world::id(&format!("f-{id}"));
    pending.expires_at = crate::world::at(3_600);
    pending.target.agent_uid = event.agent.as_ref().map(|agent| agent.uid.clone());
    pending.target.task_id = event.task.as_ref().map(|task| task.id.clone());
    pending.target.root_task_id = event.task.as_ref().map(|task| task.root.clone());
    Event { body: Body::ResponsePending(Box::new(pending)), ..event }
}

/// A word that did not come through this API.
fn word(of: &str, tenant: &str, second: i64, author: &str, approves: bool) -> Event {
    let ruling = Box::new(Ruling {
        response_id: crate::world::id(of),
        author: crate::world::id(author),
        author_authenticated: false,
        reason: None,
    });
    let body = if approves { Body::ResponseApproved(ruling) } else { Body::ResponseDenied(ruling) };
    Event { body, ..call(&format!("word-{author}-{second}"), tenant, second) }
}

async fn world() -> World {
    let world = World::new().await;
    world
        .log
        .put(&[
            finding("f-rsp-1", "acme", 0, "E-TOOL"),
            question("rsp-1", "acme", 1),
            question("rsp-9", "other", 2),
        ])
        .await;
    world.grant("amb_viewer", Role::Viewer, Some("acme"));
    world.grant("amb_sam", Role::Analyst, Some("acme"));
    world.grant("amb_kim", Role::Responder, Some("acme"));
    world.grant("amb_lee", Role::Responder, Some("acme"));
    world.grant("amb_audit", Role::Auditor, None);
    world
}

fn why() -> Value {
    json!({"reason": "it pays strangers"})
}

#[tokio::test]
async fn two_different_people_approve_and_the_same_one_does_not_count_twice() {
    let world = world().await;
    let page = world.get("/api/v1/approvals", "amb_viewer").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "another tenant's is not shown: {page}");
    let one = &page["items"][0];
    assert_eq!(
        (&one["state"], &one["action"], &one["credentials_hit"], &one["tasks_hit"], &one["approvals"]),
        (&json!("waiting"), &json!("revoke_tree"), &json!(41), &json!(12), &json!(2))
    );
    assert_eq!((&one["task"], &one["finding"]), (&json!("task-acme"), &json!("f-rsp-1")));
    let approve = "/api/v1/responses/rsp-1/approve";
    let (status, said) = world.post(approve, "amb_kim", &why()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    assert_eq!(said["now"]["state"], "waiting");
    // It is in the record, beside the question and in its partition.
    let event = world.get(&format!("/api/v1/events/{}", said["ref"].as_str().unwrap()), "amb_kim").await;
    assert_eq!(event["event"]["kind"], Kind::ResponseApproved.name());
    assert_eq!(event["event"]["topic"], Topic::Responses.name());
    assert_eq!(event["event"]["root_task"], "task-acme");
    assert_eq!(event["event"]["data"]["ruling"]["author"], "kim");
    world.pass(1);
    let (status, told) = world.post(approve, "amb_kim", &why()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told}");
    assert!(told["detail"].as_str().unwrap().contains("somebody else"), "{told}");
    let (status, said) = world.post(approve, "amb_lee", &why()).await;
    assert_eq!((status, &said["now"]["state"]), (StatusCode::ACCEPTED, &json!("approved")), "{said}");
    assert_eq!(world.get("/api/v1/approvals/rsp-1", "amb_viewer").await, said["now"], "as it is read back");
    let (status, told) = world.post("/api/v1/responses/rsp-1/deny", "amb_lee", &why()).await;
    assert_eq!(status, StatusCode::CONFLICT, "what is decided is decided: {told}");
}

#[tokio::test]
async fn one_refusal_is_enough_and_time_ends_it() {
    let world = world().await;
    let (status, said) = world.post("/api/v1/responses/rsp-1/deny", "amb_lee", &why()).await;
    assert_eq!((status, &said["now"]["state"]), (StatusCode::ACCEPTED, &json!("denied")), "{said}");
    world.pass(3_600);
    let left = world.get("/api/v1/approvals/rsp-9", FIRST).await;
    assert_eq!(left["state"], "expired");
    let (status, told) = world.post("/api/v1/responses/rsp-9/approve", FIRST, &why()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told}");
}

#[tokio::test]
async fn who_may_not_or_says_not_why_or_is_of_another_tenant_decides_nothing() {
    let world = world().await;
    for (token, id, status) in [
        ("amb_viewer", "rsp-1", StatusCode::FORBIDDEN),
        ("amb_sam", "rsp-1", StatusCode::FORBIDDEN),
        ("amb_audit", "rsp-1", StatusCode::FORBIDDEN),
        ("amb_kim", "rsp-9", StatusCode::NOT_FOUND),
        ("amb_kim", "rsp-7", StatusCode::NOT_FOUND),
    ] {
        for verb in ["approve", "deny"] {
            let (given, told) = world.post(&format!("/api/v1/responses/{id}/{verb}"), token, &why()).await;
            assert_eq!(given, status, "{token} {id}: {told}");
        }
    }
    for body in [json!({}), json!({"reason": " "}), json!({"reason": "x", "author": "lee"})] {
        let (status, told) = world.post("/api/v1/responses/rsp-1/approve", "amb_kim", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {told}");
    }
    assert_eq!(world.get("/api/v1/approvals/rsp-1", FIRST).await["rulings"], json!([]));
}

/// INVARIANT Q-3: and neither the agent itself, nor who speaks too late, is heard.
#[tokio::test]
async fn words_that_do_not_count_are_not_counted() {
    let world = world().await;
    world
        .log
        .put(&[
            word("rsp-1", "other", 3, "mallory", true),
            word("rsp-1", "acme", 4, "spiffe://acme.example/agent", true),
            word("rsp-1", "acme", 5, "kim", true),
            word("rsp-1", "acme", 6, "KIM", true),
            word("rsp-1", "acme", 3_601, "lee", true),
        ])
        .await;
    let one = world.get("/api/v1/approvals/rsp-1", FIRST).await;
    let authors: Vec<_> = one["rulings"].as_array().unwrap().iter().map(|one| &one["author"]).collect();
    assert_eq!(authors, ["kim"], "{one}");
    assert_eq!(one["state"], "waiting");
    let (_, said) = world.post("/api/v1/responses/rsp-1/approve", "amb_lee", &why()).await;
    assert_eq!(said["now"]["state"], "approved", "the control: a second person does count");
}
