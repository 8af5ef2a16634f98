//! Sequences, chains, what was held, and runs beside each other.

use crate::support::{Fixture, SECOND, START, Told};
use ambit_query_api::{Direction, Error, Scope, SequenceQuery};
use ambit_schemas::{Timestamp, Topic};
use serde_json::json;

fn now() -> Timestamp {
    Timestamp::from_micros(START + 3_600 * SECOND)
}

fn credential(kind: &str, second: i64, task: &str, rest: serde_json::Value) -> Told {
    let mut credential = json!({"uid": "jti-1", "credential_type": "oauth_access_token"});
    credential.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    Told::new(&format!("credential.{kind}"), second, "billing-1", task, json!({"credential": credential}))
}

fn completed(second: i64, task: &str, id: &str, tool: &str, result: &str) -> Told {
    let call = json!({"tool_call": {"id": id, "name": tool, "result": result}});
    Told::new("tool_call.completed", second, "billing-1", task, call)
}

/// A tree: a credential, a read whose result is sent out, a finding about it, a response.
async fn story() -> Fixture {
    let mut fixture = Fixture::new().await;
    let cause = json!([{"source": "test", "id": "evt-3", "shard": {"topic": "ambit.events", "partition": 0}, "offset": 3}]);
    let finding = json!({"finding": {"id": "fnd-1", "tenant_uid": "acme", "rule": {"id": "F-FLOW", "version": 1, "maturity": "stable"},
        "severity": "high", "title": "t", "reason": "r", "events": cause, "controls": [], "time": "2026-11-24T09:00:03Z"}});
    let decided = json!({"response": {"response_id": "rsp-1", "finding_id": "fnd-1", "rule_id": "F-FLOW", "severity": "high",
        "action": "notify", "target": {}, "receivers": ["idp"], "policy": {"digest": "00", "rule": "default"}}});
    fixture
        .append(&[
            credential(
                "issued",
                0,
                "t-1",
                json!({"expires_at": "2026-11-24T09:10:00Z", "scopes": ["files:read"]}),
            ),
            Told::call(10, "billing-1", "t-1", "read_file", json!({"path": "/srv/accounts.csv"})),
            completed(11, "t-1", "call-billing-1-10", "read_file", r#"{"account":"DE89370400440532013000"}"#),
            Told::call(
                20,
                "billing-1",
                "t-1",
                "send_email",
                json!({"body": "account DE89370400440532013000"}),
            ),
            credential("used", 21, "t-1", json!({"resource": "https://mail.example"})),
            credential("revoked", 60, "t-1", json!({})),
            credential("used", 90, "t-9", json!({"resource": "https://bank.example"})),
            Told::call(400, "billing-1", "t-1", "send_email", json!({"body": "late"})),
            Told::new("finding.created", 22, "billing-1", "t-1", finding).topic(Topic::Findings),
            Told::new("response.decided", 23, "billing-1", "t-1", decided).topic(Topic::Responses),
        ])
        .await;
    fixture
}

#[tokio::test]
async fn sequences_are_found_page_by_page() {
    let fixture = story().await;
    let (engine, keeper, _) = fixture.indexed();
    keeper.pass().await.unwrap();
    for session in [fixture.session(), engine.session(Scope::all())] {
        let find = |text: &str| SequenceQuery::parse(text).unwrap();
        let query =
            find("sequence by agent within 5m [ tool:read_* kind:tool_call.requested ] [ tool:send_* ]");
        let page = session.sequences(&query, now(), 10, None).await.unwrap();
        assert_eq!(page.items.len(), 1, "the second mail is too late");
        let found = &page.items[0];
        assert_eq!((found.key.as_str(), found.seconds), ("spiffe://acme.example/agent/billing-1", 10.0));
        let references: Vec<&str> = found.events.iter().map(|event| event.reference.as_str()).collect();
        assert_eq!(references, ["ambit.events:0:1", "ambit.events:0:3"]);

        let longer =
            find("sequence by agent within 1h [ tool:read_* kind:tool_call.requested ] [ tool:send_* ]");
        let first = session.sequences(&longer, now(), 1, None).await.unwrap();
        let second = session.sequences(&longer, now(), 1, first.next_cursor.as_deref()).await.unwrap();
        assert_eq!(first.items[0].events[1].reference, "ambit.events:0:3");
        assert_eq!(second.items[0].events[1].reference, "ambit.events:0:7");
        assert!(second.next_cursor.is_none());

        let three = find(
            "sequence by credential within 5m [ kind:credential.issued ] [ kind:credential.revoked ] [ kind:credential.used ]",
        );
        assert_eq!(
            session.sequences(&three, now(), 10, None).await.unwrap().items[0].events[2].reference,
            "ambit.events:0:6"
        );
        let none = find("sequence by agent within 5m since:10m [ tool:read_* ] [ tool:send_* ]");
        assert!(session.sequences(&none, now(), 10, None).await.unwrap().items.is_empty());
    }
}

#[tokio::test]
async fn a_chain_is_followed_up_and_down_from_an_event() {
    let fixture = story().await;
    let session = fixture.session();
    let chain = session.chain("t-1").await.unwrap();
    let has = |from: &str, to: &str, kind: &str| {
        chain.edges.iter().any(|edge| {
            edge.from == format!("ambit.{from}") && edge.to == format!("ambit.{to}") && edge.kind == kind
        })
    };
    assert!(has("events:0:2", "events:0:3", "flows"), "{:?}", chain.edges);
    assert!(has("events:0:0", "events:0:5", "revokes") && has("events:0:0", "events:0:6", "uses"));
    assert!(has("events:0:3", "findings:0:0", "finds") && has("findings:0:0", "responses:0:0", "responds"));
    assert!(chain.nodes.iter().find(|node| node.id == "ambit.events:0:6").unwrap().elsewhere);

    let names = |chain: &ambit_query_api::ChainView| {
        let mut ids: Vec<String> =
            chain.nodes.iter().map(|node| node.id.replace("ambit.", "").replace(":0:", "/")).collect();
        ids.sort();
        ids
    };
    let up = session.chain_of("ambit.findings:0:0", Direction::Up, 10, 100).await.unwrap();
    assert_eq!(names(&up), ["events/1", "events/2", "events/3", "findings/0"]);
    let down = session.chain_of("ambit.events:0:2", Direction::Down, 10, 100).await.unwrap();
    assert_eq!(names(&down), ["events/2", "events/3", "findings/0", "responses/0"]);
    assert!(!down.truncated);
    let near = session.chain_of("ambit.events:0:2", Direction::Down, 1, 100).await.unwrap();
    assert!(near.truncated && names(&near) == ["events/2", "events/3"]);
    assert!(session.chain_of("ambit.events:0:2", Direction::Both, 10, 2).await.unwrap().truncated);
    assert!(matches!(
        session.chain_of("ambit.events:0:99", Direction::Up, 1, 1).await,
        Err(Error::NotFound(_))
    ));
    assert!(matches!(session.chain_of("ambit.events:0:2", Direction::Up, 0, 1).await, Err(Error::Bad(_))));

    let (dot, mermaid) = (down.to_dot(), down.to_mermaid());
    assert!(
        dot.starts_with("digraph")
            && dot.contains("\"ambit.events:0:2\" -> \"ambit.events:0:3\" [label=\"flows\"]"),
        "{dot}"
    );
    assert!(mermaid.starts_with("flowchart") && mermaid.contains("-->|flows|"), "{mermaid}");
}

#[tokio::test]
async fn names_cannot_break_out_of_a_picture() {
    let mut fixture = Fixture::new().await;
    fixture.append(&[Told::call(1, "a", "t", "x\"];evil->\"\\y\n|click|", json!({}))]).await;
    let chain = fixture.session().chain("t").await.unwrap();
    let dot = chain.to_dot();
    assert!(dot.contains(r#"[label="x\"];evil->\"\\y |click|\na"]"#), "{dot}");
    assert!(
        !chain.to_mermaid().contains("];evil") && !chain.to_mermaid().contains("|click|"),
        "{}",
        chain.to_mermaid()
    );
}

#[tokio::test]
async fn what_was_held_says_for_how_long_and_after_its_end() {
    let fixture = story().await;
    let session = fixture.session();
    let held = session.credential("jti-1", now()).await.unwrap();
    let credential = &held.credential;
    assert_eq!((credential.standing_seconds, credential.ended_by.as_deref()), (Some(60.0), Some("revoked")));
    assert_eq!((credential.uses, credential.uses_after_end), (2, 1));
    assert_eq!(credential.tasks, ["t-1", "t-9"]);
    assert_eq!(held.events.len(), 4);
    let task = session.task_holdings("t-1", now()).await.unwrap();
    assert_eq!(task.tools, [("read_file".to_owned(), 1), ("send_email".to_owned(), 2)].into());
    assert_eq!((task.standing_seconds, task.findings.get("F-FLOW")), (60.0, Some(&1)));
    assert_eq!(task.resources, ["https://bank.example", "https://mail.example"]);
    let agent = session.agent_holdings("spiffe://acme.example/agent/billing-1", now()).await.unwrap();
    assert_eq!(agent.credentials.len(), 1);
    assert!(matches!(session.credential("none", now()).await, Err(Error::NotFound(_))));
    let early = session.credential("jti-1", Timestamp::from_micros(START + 5 * SECOND)).await.unwrap();
    assert_eq!(early.credential.standing_seconds, Some(5.0));
}

#[tokio::test]
async fn runs_are_compared_by_their_tools() {
    let mut fixture = Fixture::new().await;
    let call = |second, task: &str, tool: &str| Told::call(second, "a", task, tool, json!({}));
    fixture
        .append(&[
            call(1, "l", "read"),
            call(2, "l", "send"),
            call(3, "r", "read"),
            call(4, "r", "pay"),
            call(5, "r", "send"),
        ])
        .await;
    let compared = fixture.session().compare_runs("l", "r").await.unwrap();
    assert_eq!((compared.both, compared.only_left, compared.only_right), (2, 0, 1));
    assert!(matches!(fixture.session().compare_runs("l", "none").await, Err(Error::NotFound(_))));
}
