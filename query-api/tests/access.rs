//! Who may ask what.

use crate::world::{FIRST, NOON, World, call, finding, id};
use ambit_query_api::access::{Role, TokenList, TokenRecord};
use ambit_schemas::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Every operation of the document, with an address that fits its parameters, and whether it takes a body.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(ambit_query_api::http::openapi()).unwrap();
    let mut all = vec![(Method::GET, "/ledger/ambit.events/0/checkpoint".to_owned())];
    for (path, item) in document["paths"].as_object().unwrap() {
        let address: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        for method in item.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            all.push((method, address.join("/")));
        }
    }
    assert!(all.len() > 10, "{all:?}");
    all
}

/// A4: every route refuses everything that is no valid credential, in whatever form it comes.
#[tokio::test]
async fn every_route_refuses_who_has_not_shown_who_they_are() {
    let world = World::new().await;
    world.grant("amb_ended", Role::Admin, None);
    let mut list = world.tokens();
    list.tokens[0].expires_at = Some(Timestamp::from_micros(NOON));
    world.keep(&list);
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    let client = reqwest::Client::new();
    for (method, path) in operations() {
        for given in [
            None,
            Some(String::new()),
            Some("Bearer".into()),
            Some("Bearer ".into()),
            Some("Bearer wrong".into()),
            Some(format!("Basic {FIRST}")),
            Some(FIRST.into()),
            Some(format!("Bearer {FIRST} {FIRST}")),
            Some("Bearer amb_ended".into()),
            Some(format!("Bearer {none}")),
        ] {
            for sent in [method.clone(), Method::HEAD, Method::OPTIONS, Method::DELETE] {
                let mut request = client.request(sent.clone(), format!("{}{path}", world.url));
                if let Some(given) = &given {
                    request = request.header("authorization", given);
                }
                let answer = request.send().await.unwrap();
                // A method that a route does not have is told so, whoever asks.
                let other = sent != method && !(sent == Method::HEAD && method == Method::GET);
                let refused = answer.status() == StatusCode::UNAUTHORIZED
                    || other && answer.status() == StatusCode::METHOD_NOT_ALLOWED;
                assert!(refused, "{sent} {path} {given:?}: {}", answer.status());
                // Failures are forgiven meanwhile: what is wanted here is that each is refused for itself.
                world.pass(10);
            }
        }
    }
    for path in [
        "//api/v1/events",
        "/api//v1/events",
        "/API/v1/events",
        "/api/v1/events/",
        "/ledger/../api/v1/events",
    ] {
        let answer = client.get(format!("{}{path}", world.url)).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(!text.contains("next_cursor"), "{path}: {text}");
    }
}

#[tokio::test]
async fn each_role_may_what_its_table_says_and_no_more() {
    let world = World::new().await;
    world.log.put(&[call("c-1", "acme", 0), finding("f-1", "acme", 1, "E-TOOL")]).await;
    for role in Role::ALL {
        world.grant(&format!("amb_{role}"), role, None);
    }
    let status = async |path: &str, role: Role| world.ask(path, &format!("amb_{role}")).await.status();
    for role in Role::ALL {
        for path in
            ["/api/v1/events", "/api/v1/findings/f-1", "/api/v1/overview", "/api/v1/tasks/task-acme/chain"]
        {
            assert_eq!(status(path, role).await, StatusCode::OK, "{role} {path}");
        }
        let wanted = if role == Role::Viewer { StatusCode::FORBIDDEN } else { StatusCode::OK };
        assert_eq!(status("/api/v1/dead-letters", role).await, wanted, "{role}");
        let wanted =
            if matches!(role, Role::Auditor | Role::Admin) { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(status("/api/v1/events?kind=query.*", role).await, wanted, "{role}");
    }
    let told: Value = world.ask("/api/v1/dead-letters", "amb_viewer").await.json().await.unwrap();
    assert!(told["detail"].as_str().unwrap().contains("analyst"), "{told}");
    assert_eq!(world.ask("/api/v1/nothing", FIRST).await.status(), StatusCode::NOT_FOUND);
    let deleted = world.request(Method::DELETE, "/api/v1/events", FIRST).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::METHOD_NOT_ALLOWED);
    world.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_seconds_and_an_expired_one_at_once() {
    let world = World::new().await;
    world.grant("amb_sam", Role::Analyst, None);
    assert_eq!(world.ask("/api/v1/events", "amb_sam").await.status(), StatusCode::OK);
    let mut list = world.tokens();
    list.tokens[0].revoked_at = Some(Timestamp::from_micros(NOON));
    world.keep(&list);
    let refused = world.ask("/api/v1/events", "amb_sam").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    let mut record = TokenRecord::new("amb_kim", id("kim"), Role::Viewer, None, Timestamp::from_micros(NOON));
    record.expires_at = Some(Timestamp::from_micros(NOON + 60_000_000));
    world.keep(&TokenList { tokens: vec![record] });
    assert_eq!(world.ask("/api/v1/events", "amb_kim").await.status(), StatusCode::OK);
    world.pass(60);
    assert_eq!(world.ask("/api/v1/events", "amb_kim").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.ask("/api/v1/events", FIRST).await.status(), StatusCode::OK, "the first token stays");
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_does_not_lock_others_out() {
    let world = World::new().await;
    world.grant("amb_sam", Role::Analyst, None);
    let mut last = StatusCode::OK;
    for guess in 0..30 {
        let answer = world.ask("/api/v1/events", &format!("guess-{guess}")).await;
        last = answer.status();
        if last == StatusCode::TOO_MANY_REQUESTS {
            let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=10).contains(&wait), "{wait}");
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    for token in [FIRST, "amb_sam"] {
        assert_eq!(
            world.ask("/api/v1/events", token).await.status(),
            StatusCode::OK,
            "from the same address"
        );
    }
}

/// A5, INVARIANT Q-3: what a tenant is answered is the same whether or not there is another.
#[tokio::test]
async fn a_tenant_is_answered_the_same_with_and_without_others() {
    let (alone, shared) = (World::new().await, World::new().await);
    let own = [call("c-1", "acme", 0), finding("f-1", "acme", 1, "E-TOOL"), call("c-2", "acme", 2)];
    alone.log.put(&own).await;
    shared.log.put(&own).await;
    // The other's events come after, so that offsets, which count a shard's events whoever sent them, are the same.
    let others = [call("c-3", "other", 3), finding("f-3", "other", 4, "E-TOOL"), call("c-1", "other", 5)];
    shared.log.put(&others).await;
    for world in [&alone, &shared] {
        world.grant("amb_acme", Role::Admin, Some("acme"));
    }
    for path in [
        "/api/v1/events",
        "/api/v1/events?tool=send_money&limit=1",
        "/api/v1/events?text=account",
        "/api/v1/events?agent=spiffe%3A%2F%2Fother.example%2Fagent",
        "/api/v1/events/ambit.events:0:3",
        "/api/v1/findings",
        "/api/v1/findings/f-3",
        "/api/v1/findings?rule=E-TOOL",
        "/api/v1/tasks/task-acme/chain",
        "/api/v1/tasks/task-other/chain",
        "/api/v1/agents",
        "/api/v1/agents/spiffe%3A%2F%2Fother.example%2Fagent",
        "/api/v1/overview",
        "/api/v1/dead-letters",
        "/api/v1/checkpoints",
        "/api/v1/ledger/ambit.events:0/consistency?from=1",
        "/ledger/ambit.events/0/checkpoint",
    ] {
        let (one, two) = (alone.ask(path, "amb_acme").await, shared.ask(path, "amb_acme").await);
        assert_eq!(one.status(), two.status(), "{path}");
        let (one, two) = (one.text().await.unwrap(), two.text().await.unwrap());
        assert!(!two.contains("other.example") || path.contains("other.example"), "{path}: {two}");
        assert_eq!(one, two, "{path}");
    }
    // Nor do fields of an event tell how many of others stand before it.
    shared.log.put(&[call("c-4", "acme", 6)]).await;
    let last = &shared.get("/api/v1/events?limit=1", "amb_acme").await["items"][0];
    assert_eq!((&last["offset"], &last["leaf_index"]), (&Value::Null, &Value::Null), "{last}");
    let csv = shared.ask("/api/v1/export/events?format=csv", "amb_acme").await.text().await.unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(":0,,"), "{csv}");
    let column = json!({"query": "SELECT leaf_index FROM events"});
    assert_eq!(shared.post("/api/v1/sql", "amb_acme", &column).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(shared.post("/api/v1/sql", FIRST, &column).await.0, StatusCode::OK, "the control");
    let seen = &shared.get("/api/v1/events?kind=tool_call.*&limit=1", FIRST).await["items"][0];
    assert_eq!(seen["leaf_index"], json!(4), "the control: {seen}");
    assert_eq!(shared.get("/api/v1/events", FIRST).await["items"].as_array().unwrap().len(), 7);
    let own = shared.get("/api/v1/overview", "amb_acme").await;
    assert_eq!((&own["events"], &own["agents"], &own["tasks"]), (&json!(4), &json!(1), &json!(1)), "{own}");
    assert_eq!((&own["shards"], &own["table_version"]), (&json!([]), &Value::Null));
    let all = shared.get("/api/v1/overview", FIRST).await;
    assert_eq!((&all["events"], &all["agents"]), (&json!(7), &json!(2)), "the control: there is more");
    assert!(all["table_version"].is_u64() && !all["shards"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn everybody_is_told_who_they_are_and_what_they_may() {
    let world = World::new().await;
    world.grant("amb_kim", Role::Responder, Some("acme"));
    world.grant("amb_audit", Role::Auditor, None);
    let kim = world.get("/api/v1/me", "amb_kim").await;
    let may = json!(["read", "investigate", "triage", "suppress", "respond"]);
    assert_eq!(kim, json!({"name": "kim", "roles": ["responder"], "tenant": "acme", "may": may}));
    let audit = world.get("/api/v1/me", "amb_audit").await;
    assert_eq!((&audit["tenant"], &audit["may"]), (&Value::Null, &json!(["read", "investigate", "trail"])));
    assert!(world.trail().await.is_empty(), "it says nothing about anybody");
}
