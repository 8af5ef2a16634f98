//! What people do about findings, said to the API and read back from the store.

use crate::world::{FIRST, World, call, finding};
use ambit_query_api::access::Role;
use ambit_schemas::{Kind, Topic};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn world() -> World {
    let world = World::new().await;
    world
        .log
        .put(&[
            finding("f-1", "acme", 0, "E-TOOL"),
            finding("f-2", "acme", 1, "E-ARG"),
            finding("f-3", "other", 2, "E-TOOL"),
        ])
        .await;
    world.grant("amb_viewer", Role::Viewer, Some("acme"));
    world.grant("amb_sam", Role::Analyst, Some("acme"));
    world.grant("amb_kim", Role::Responder, Some("acme"));
    world.grant("amb_audit", Role::Auditor, None);
    world.grant("amb_other", Role::Admin, Some("other"));
    world
}

async fn ids(world: &World, query: &str, token: &str) -> Vec<String> {
    let page = world.get(&format!("/api/v1/findings{query}"), token).await;
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["finding"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_finding_is_acknowledged_closed_and_noted_and_every_step_has_its_author() {
    let world = world().await;
    let triage = "/api/v1/findings/f-1/triage";
    let fresh = world.get("/api/v1/findings/f-1", "amb_sam").await;
    assert_eq!(fresh["triage"]["state"], "open");
    let (status, said) = world
        .post(triage, "amb_sam", &json!({"state": "acknowledged", "assignee": "kim", "note": "I look at it"}))
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    world.pass(5);
    let closing =
        json!({"state": "closed", "disposition": "false_positive", "note": "the envelope was late"});
    let (status, said) = world.post(triage, "amb_kim", &closing).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    let read = world.get("/api/v1/findings/f-1", "amb_viewer").await;
    assert_eq!(read, said["now"], "what is answered is what is read back");
    let stands = &read["triage"];
    assert_eq!(
        (&stands["state"], &stands["disposition"], &stands["assignee"], &stands["changed_by"]),
        (&json!("closed"), &json!("false_positive"), &json!("kim"), &json!("kim"))
    );
    let notes: Vec<_> = stands["notes"].as_array().unwrap().iter().map(|note| &note["author"]).collect();
    assert_eq!(notes, ["sam", "kim"]);
    // It is in the record, of the finding's tenant, beside its responses.
    let event = world.get(&format!("/api/v1/events/{}", said["ref"].as_str().unwrap()), "amb_sam").await;
    assert_eq!(event["event"]["kind"], Kind::TriageChanged.name());
    assert_eq!(event["event"]["topic"], Topic::Responses.name());
    assert_eq!(event["event"]["tenant"], "acme");
    assert_eq!(ids(&world, "?state=closed", "amb_sam").await, ["f-1"]);
    assert_eq!(ids(&world, "?state=open", "amb_sam").await, ["f-2"]);
    assert_eq!(ids(&world, "?assignee=kim", "amb_sam").await, ["f-1"]);
    let chain = world.get("/api/v1/tasks/task-acme/chain", "amb_sam").await;
    let in_chain = chain["findings"].as_array().unwrap().iter();
    assert!(in_chain.clone().any(|view| view["triage"]["state"] == "closed"), "{chain}");
    let (_, reopened) = world.post(triage, "amb_sam", &json!({"state": "open", "assignee": ""})).await;
    let stands = &reopened["now"]["triage"];
    assert!(stands["disposition"].is_null() && stands["assignee"].is_null(), "{reopened}");
}

#[tokio::test]
async fn who_may_not_or_says_nothing_or_speaks_of_others_changes_nothing() {
    let world = world().await;
    let good = json!({"state": "acknowledged"});
    for (token, id, status) in [
        ("amb_viewer", "f-1", StatusCode::FORBIDDEN),
        ("amb_audit", "f-1", StatusCode::FORBIDDEN),
        ("amb_sam", "f-3", StatusCode::NOT_FOUND),
        ("amb_sam", "f-9", StatusCode::NOT_FOUND),
        ("amb_other", "f-1", StatusCode::NOT_FOUND),
    ] {
        let (given, told) = world.post(&format!("/api/v1/findings/{id}/triage"), token, &good).await;
        assert_eq!(given, status, "{token} {id}: {told}");
    }
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!({"state": "closed"}),
        json!({"state": "open", "disposition": "benign"}),
        json!({"state": "shut"}),
        json!({"note": "  "}),
        json!({"note": "a\u{7}b"}),
        json!({"note": "x".repeat(9_000)}),
        json!({"assignee": "a\nb"}),
        json!({"state": "open", "author": "somebody else"}),
    ] {
        let (status, told) = world.post("/api/v1/findings/f-1/triage", "amb_sam", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {told}");
        assert!(told["detail"].is_string(), "{told}");
    }
    let plain = world.request(Method::POST, "/api/v1/findings/f-1/triage", "amb_sam").body("{}");
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large =
        world.post("/api/v1/findings/f-1/triage", "amb_sam", &json!({"note": "x".repeat(20_000)})).await;
    assert_eq!(large.0, StatusCode::PAYLOAD_TOO_LARGE);
    let untouched = world.get("/api/v1/findings/f-1", FIRST).await;
    assert_eq!(untouched["triage"]["changed_by"], Value::Null);
}

/// INVARIANT Q-3: an event of one tenant about another's finding says nothing about it.
#[tokio::test]
async fn what_one_tenant_says_of_anothers_finding_does_not_count() {
    let world = world().await;
    let (_, said) =
        world.post("/api/v1/findings/f-1/triage", "amb_sam", &json!({"state": "acknowledged"})).await;
    assert!(said["ref"].is_string());
    let golden = include_str!("../../schemas/golden/v1/triage.changed.json");
    let whole: Value = serde_json::from_str(golden).unwrap();
    let mut event = call("forged", "other", 9);
    let mut change: ambit_schemas::triage::TriageChange =
        serde_json::from_value(whole["data"]["triage_change"].clone()).unwrap();
    change.finding_id = crate::world::id("f-1");
    event.body = ambit_schemas::Body::TriageChanged(Box::new(change));
    world.log.put(&[event]).await;
    for token in ["amb_sam", FIRST] {
        assert_eq!(world.get("/api/v1/findings/f-1", token).await["triage"]["state"], "acknowledged");
    }
}

#[tokio::test]
async fn suppressed_findings_are_hidden_for_a_time_and_never_gone() {
    let world = world().await;
    let asked = json!({"rule_id": "E-TOOL", "until": "2026-11-24T13:00:00Z", "reason": "being amended"});
    assert_eq!(world.post("/api/v1/suppressions", "amb_sam", &asked).await.0, StatusCode::FORBIDDEN);
    let (status, said) = world.post("/api/v1/suppressions", "amb_kim", &asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    assert_eq!(ids(&world, "", "amb_sam").await, ["f-2"]);
    assert_eq!(ids(&world, "?suppressed=include", "amb_sam").await, ["f-2", "f-1"]);
    assert_eq!(ids(&world, "?suppressed=only", "amb_sam").await, ["f-1"]);
    assert_eq!(ids(&world, "", "amb_other").await, ["f-3"], "another tenant's are not meant");
    assert_eq!(ids(&world, "", FIRST).await, ["f-3", "f-2"]);
    let one = world.get("/api/v1/findings/f-1", "amb_sam").await;
    assert_eq!(one["triage"]["suppressed"]["reason"], "being amended", "by its id it is found");
    let overview = world.get("/api/v1/overview", FIRST).await;
    assert_eq!(
        overview["findings_by_severity"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(),
        3
    );
    let holding = world.get("/api/v1/suppressions", "amb_viewer").await;
    assert_eq!(holding["items"].as_array().unwrap().len(), 1);
    world.pass(3_600);
    assert_eq!(ids(&world, "", "amb_sam").await, ["f-2", "f-1"], "its time is over");
    let asked = json!({"finding_id": "f-2", "until": "2027-01-01T00:00:00Z", "reason": "known"});
    let (_, said) = world.post("/api/v1/suppressions", "amb_kim", &asked).await;
    assert_eq!(ids(&world, "", "amb_sam").await, ["f-1"]);
    let end = format!("/api/v1/suppressions/{}/end", said["now"]["id"].as_str().unwrap());
    assert_eq!(world.post(&end, "amb_other", &json!({"reason": "x"})).await.0, StatusCode::NOT_FOUND);
    world.pass(1);
    assert_eq!(world.post(&end, "amb_kim", &json!({"reason": "no longer"})).await.0, StatusCode::ACCEPTED);
    world.pass(1);
    assert_eq!(ids(&world, "", "amb_sam").await, ["f-2", "f-1"]);
    for body in [
        json!({"until": "2027-01-01T00:00:00Z", "reason": "of everything"}),
        json!({"rule_id": "E-TOOL", "until": "2020-01-01T00:00:00Z", "reason": "past"}),
        json!({"rule_id": "E-TOOL", "until": "2036-01-01T00:00:00Z", "reason": "for ever"}),
        json!({"rule_id": "E-TOOL", "until": "tomorrow", "reason": "no time"}),
        json!({"rule_id": "E-TOOL", "until": "2027-01-01T00:00:00Z", "reason": " "}),
    ] {
        assert_eq!(
            world.post("/api/v1/suppressions", "amb_kim", &body).await.0,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    let foreign =
        json!({"rule_id": "E-TOOL", "tenant": "other", "until": "2027-01-01T00:00:00Z", "reason": "x"});
    assert_eq!(world.post("/api/v1/suppressions", "amb_kim", &foreign).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_case_groups_findings_of_one_tenant() {
    let world = world().await;
    let (status, said) = world
        .post(
            "/api/v1/cases",
            "amb_sam",
            &json!({"title": "Money", "findings": ["f-1"], "note": "begins here"}),
        )
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    let id = said["now"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/cases/{id}");
    world.pass(1);
    let (_, said) = world
        .post(&path, "amb_kim", &json!({"add": ["f-2", "f-1"], "state": "acknowledged", "assignee": "kim"}))
        .await;
    let case = world.get(&path, "amb_viewer").await;
    assert_eq!(case, said["now"]);
    assert_eq!(
        (&case["findings"], &case["opened_by"], &case["state"]),
        (&json!(["f-1", "f-2"]), &json!("sam"), &json!("acknowledged"))
    );
    assert_eq!(world.get("/api/v1/findings/f-2", "amb_sam").await["triage"]["cases"], json!([id]));
    assert_eq!(world.get("/api/v1/cases", FIRST).await["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/api/v1/cases", "amb_other").await["items"], json!([]));
    world.pass(1);
    world.post(&path, "amb_sam", &json!({"remove": ["f-1"], "state": "closed"})).await;
    assert_eq!(world.get(&path, "amb_sam").await["findings"], json!(["f-2"]));
    for (token, path, body, status) in [
        ("amb_other", path.as_str(), json!({"title": "mine"}), StatusCode::NOT_FOUND),
        ("amb_sam", &path, json!({"add": ["f-3"]}), StatusCode::NOT_FOUND),
        (FIRST, &path, json!({"add": ["f-3"]}), StatusCode::BAD_REQUEST),
        (FIRST, "/api/v1/cases", json!({"title": "x", "findings": ["f-1", "f-3"]}), StatusCode::BAD_REQUEST),
        ("amb_sam", &path, json!({}), StatusCode::BAD_REQUEST),
        ("amb_viewer", &path, json!({"title": "x"}), StatusCode::FORBIDDEN),
    ] {
        let (given, told) = world.post(path, token, &body).await;
        assert_eq!(given, status, "{token} {body}: {told}");
    }
}

#[tokio::test]
async fn searches_are_kept_by_their_author() {
    let world = world().await;
    let asked = json!({"name": "Refused", "query": "?kind=tool_call.denied&limit=5"});
    let (status, said) = world.post("/api/v1/searches", "amb_sam", &asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{said}");
    let kept = world.get("/api/v1/searches", "amb_kim").await;
    assert_eq!(
        (&kept["items"][0]["query"], &kept["items"][0]["author"]),
        (&json!("kind=tool_call.denied&limit=5"), &json!("sam"))
    );
    world.get(&format!("/api/v1/events?{}", kept["items"][0]["query"].as_str().unwrap()), "amb_kim").await;
    for query in ["sevrity=high", "severity=huge", "limit=many", "from=yesterday"] {
        let body = json!({"name": "x", "query": query});
        assert_eq!(
            world.post("/api/v1/searches", "amb_sam", &body).await.0,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
    let path = format!("/api/v1/searches/{}", said["now"]["id"].as_str().unwrap());
    let delete =
        async |token: &str| world.request(Method::DELETE, &path, token).send().await.unwrap().status();
    assert_eq!(delete("amb_viewer").await, StatusCode::FORBIDDEN);
    assert_eq!(delete("amb_kim").await, StatusCode::FORBIDDEN);
    assert_eq!(delete("amb_other").await, StatusCode::NOT_FOUND);
    world.pass(1);
    assert_eq!(delete("amb_sam").await, StatusCode::ACCEPTED);
    assert_eq!(world.get("/api/v1/searches", "amb_kim").await["items"], json!([]));
}
