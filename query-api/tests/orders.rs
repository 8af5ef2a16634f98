//! What people say to enforcement through the API: who may, what is recorded, and under whose name.

use crate::world::{FIRST, World, at, call, finding, id};
use ambit_query_api::access::Role;
use ambit_schemas::event::{AgentRef, Body, Credential, Event};
use ambit_schemas::order::Pending;
use ambit_schemas::response::{Action, DeadLettered, Target};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Something about the task of `acme`, as the store has it.
fn about(name: &str, second: i64, body: Body) -> Event {
    let of = call(name, "acme", second);
    Event { id: id(name), body, ..of }
}

fn pending(response: &str, until: i64) -> Body {
    Body::ResponsePending(Box::new(Pending {
        response_id: id(response),
        finding_id: id("f-1"),
        action: Action::RevokeTree,
        target: Target::default(),
        reason: "blast_radius".into(),
        approvals: 2,
        expires_at: at(until),
        credentials: 41,
        tasks: 12,
    }))
}

fn dead() -> Body {
    Body::ResponseDeadLettered(Box::new(DeadLettered {
        delivery_id: id("dlv-1"),
        response_id: id("rsp-1"),
        finding_id: id("f-1"),
        receiver: id("idp"),
        action: Action::RevokeTask,
        attempts: 10,
        reason: "gone".into(),
    }))
}

async fn world() -> World {
    let world = World::new().await;
    let key = Body::CredentialIssued(Box::new(Credential::new(id("key-1"), "api_key")));
    world
        .log
        .put(&[
            call("c-1", "acme", 0),
            about("issued", 1, key),
            about("asked", 2, pending("rsp-1", 3_600)),
            about("asked-too", 2, pending("rsp-3", 3_600)),
            about("dead", 3, dead()),
            finding("f-9", "other", 4, "E-TOOL"),
        ])
        .await;
    for (token, role, tenant) in [
        ("amb_viewer", Role::Viewer, Some("acme")),
        ("amb_ana", Role::Analyst, Some("acme")),
        ("amb_kim", Role::Responder, Some("acme")),
        ("amb_lee", Role::Responder, None),
        ("amb_audit", Role::Auditor, None),
        ("amb_other", Role::Responder, Some("other")),
    ] {
        world.grant(token, role, tenant);
    }
    world
}

/// What is recorded of an answer: its event.
async fn recorded(world: &World, said: &Value) -> Value {
    world.get(&format!("/api/v1/events/{}", said["ref"].as_str().unwrap()), FIRST).await["event"].clone()
}

#[tokio::test]
async fn an_order_is_recorded_under_the_name_of_the_token_with_what_the_store_knows() {
    let world = world().await;
    let asked = json!({"action": "revoke", "task": "task-acme", "reason": "it pays strangers"});
    let (status, said) = world.post("/api/v1/responses/orders", "amb_kim", &asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    let now = &said["now"];
    assert_eq!((&now["action"], &now["author"]), (&json!("revoke_task"), &json!("kim")), "{now}");
    assert_eq!((&now["credentials"], &now["incomplete"]), (&json!(["key-1"]), &Value::Null), "{now}");
    let event = recorded(&world, &said).await;
    assert_eq!((&event["kind"], &event["tenant"]), (&json!("response.ordered"), &json!("acme")));
    let order = &event["data"]["order"];
    assert_eq!((&order["author"], &order["author_authenticated"]), (&json!("kim"), &json!(true)), "{order}");
    assert_eq!(event["data"]["task"]["id"], "task-acme", "it stands in the partition of the tree");
    assert_eq!(order["target"]["credentials"], json!(["key-1"]));
    for (given, action) in [
        (json!({"action": "revoke", "task": "task-acme", "tree": true, "reason": "r"}), "revoke_tree"),
        (json!({"action": "revoke", "credentials": ["key-1"], "reason": "r"}), "revoke_credential"),
        (json!({"action": "restore", "task": "task-acme", "reason": "r"}), "restore"),
        (json!({"action": "pause", "task": "task-acme", "seconds": 600, "reason": "r"}), "pause"),
    ] {
        let (status, said) = world.post("/api/v1/responses/orders", "amb_kim", &given).await;
        assert_eq!((status, &said["now"]["action"]), (StatusCode::ACCEPTED, &json!(action)), "{said}");
        let until = &recorded(&world, &said).await["data"]["order"]["until"];
        assert_eq!(until.is_string(), action == "pause", "{until}");
    }
    // Of what nobody knows an order can be given all the same: it says so.
    let unknown = json!({"action": "revoke", "task": "task-unknown", "reason": "r"});
    let (status, said) = world.post("/api/v1/responses/orders", "amb_kim", &unknown).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(said["now"]["incomplete"].as_str().unwrap().contains("task-unknown"), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn a_plan_says_what_would_be_hit_and_of_ones_own_tenant_only() {
    let world = world().await;
    let plan = world.get("/api/v1/responses/plan?task=task-acme", "amb_viewer").await;
    assert_eq!(plan["tasks"]["task-acme"]["running"], true, "{plan}");
    assert_eq!(plan["credentials"]["key-1"]["valid"], true, "{plan}");
    for (token, query, status) in [
        ("amb_other", "task=task-acme", StatusCode::NOT_FOUND),
        ("amb_other", "task=task-acme&tenant=acme", StatusCode::FORBIDDEN),
        ("amb_lee", "task=task-acme&tenant=acme", StatusCode::OK),
        ("amb_kim", "", StatusCode::BAD_REQUEST),
        ("amb_kim", "agent=a&tree=true", StatusCode::BAD_REQUEST),
    ] {
        let answer = world.ask(&format!("/api/v1/responses/plan?{query}"), token).await;
        assert_eq!(answer.status(), status, "{token} {query}");
    }
    world.stop().await;
}

/// Every word: by the path, with a body that would do.
fn words() -> Vec<(&'static str, Value)> {
    let reason = json!({"reason": "enough"});
    vec![
        ("/api/v1/responses/orders", json!({"action": "pause", "task": "task-acme", "reason": "enough"})),
        ("/api/v1/responses/rsp-1/approve", reason.clone()),
        ("/api/v1/responses/rsp-3/deny", reason.clone()),
        ("/api/v1/deliveries/dlv-1/redrive", reason.clone()),
        ("/api/v1/responses/stop", reason.clone()),
        ("/api/v1/responses/resume", reason),
    ]
}

#[tokio::test]
async fn only_responders_and_admins_are_heard_and_within_their_tenant() {
    let world = world().await;
    for (path, body) in words() {
        for token in ["amb_viewer", "amb_ana", "amb_audit"] {
            let (status, told) = world.post(path, token, &body).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{token} {path}: {told}");
            assert!(told["detail"].as_str().unwrap().contains("responder"), "{told}");
        }
        let (status, told) = world.post(path, "amb_lee", &body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{path}: {told}");
        let rulings = told["now"]["rulings"].as_array();
        let said_by = rulings.map_or(&told["now"]["author"], |rulings| &rulings[0]["author"]);
        assert_eq!(said_by, "lee", "{path}: {told}");
        let (status, told) = world.post(path, "amb_lee", &json!({"reason": "x", "author": "sam"})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "nobody names themselves: {path}: {told}");
        let mut silent = body.clone();
        silent["reason"] = json!(" ");
        assert_eq!(world.post(path, "amb_lee", &silent).await.0, StatusCode::BAD_REQUEST, "{path}");
        // INVARIANT Q-3
        let status = world.post(path, "amb_other", &body).await.0;
        let of_all = path.ends_with("stop") || path.ends_with("resume");
        let wanted = match path {
            _ if of_all => StatusCode::FORBIDDEN,
            // Said of a task of that name of their own, of which nothing is known.
            "/api/v1/responses/orders" => StatusCode::ACCEPTED,
            _ => StatusCode::NOT_FOUND,
        };
        assert_eq!(status, wanted, "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_said_stands_beside_what_it_is_about() {
    let world = world().await;
    for (path, body) in words().into_iter().skip(1) {
        let (_, said) = world.post(path, "amb_lee", &body).await;
        let event = recorded(&world, &said).await;
        let (said_as, kind) = match path.rsplit('/').next().unwrap() {
            "approve" => ("ruling", "response.approved"),
            "deny" => ("ruling", "response.denied"),
            "redrive" => ("redrive", "response.redriven"),
            "stop" => ("switch", "response.stopped"),
            _ => ("switch", "response.resumed"),
        };
        assert_eq!(event["kind"], kind, "{event}");
        let of = &event["data"][said_as];
        assert_eq!((&of["author"], &of["author_authenticated"]), (&json!("lee"), &json!(true)), "{event}");
        if said_as != "switch" {
            assert_eq!(event["data"]["task"]["id"], "task-acme", "{event}");
            assert!(event["data"]["ai_agent"]["uid"].is_string(), "{event}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_waits_no_more_is_not_approved() {
    let world = world().await;
    world.pass(3_601);
    let (status, told) =
        world.post("/api/v1/responses/rsp-1/approve", "amb_kim", &json!({"reason": "r"})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(told["detail"].as_str().unwrap().contains("waits no more"), "{told}");
    let (status, _) = world.post("/api/v1/responses/rsp-2/approve", "amb_kim", &json!({"reason": "r"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.stop().await;
}

/// What an agent is known by comes with the order, so that a pause of a task's only agent names it.
#[tokio::test]
async fn an_order_for_a_task_names_its_only_agent() {
    let world = world().await;
    let asked = json!({"action": "pause", "task": "task-acme", "reason": "r"});
    let (_, said) = world.post("/api/v1/responses/orders", "amb_kim", &asked).await;
    let agent: AgentRef = call("c", "acme", 0).agent.unwrap();
    assert_eq!(said["now"]["agent"], agent.uid.as_str(), "{said}");
    world.stop().await;
}
