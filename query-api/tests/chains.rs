//! Sequences, chains, what was held, and runs beside each other.

use crate::support::{Fixture, SECOND, START, Told};
use ambit_query_api::{ChainView, Direction, Error, NODES_MAX, Scope, SequenceQuery};
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
    let chain = session.chain("t-1", None, NODES_MAX).await.unwrap();
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

/// Most events of the long tree's calls: with results, findings and a credential it has 12,000 events.
const CALLS: i64 = 5_990;

/// A tree of 12,000 events: each call is given the account that the result of the one before held.
async fn long() -> Fixture {
    let mut fixture = Fixture::new().await;
    let account = |number: i64| format!("DE{number:018}");
    let mut told = vec![credential("issued", 0, "t-1", json!({"scopes": ["files:read"]}))];
    for number in 0..CALLS {
        let second = 10 + 2 * number;
        told.push(Told::call(second, "billing-1", "t-1", "pay", json!({"to": account(number)})));
        let id = format!("call-billing-1-{second}");
        told.push(completed(
            second + 1,
            "t-1",
            &id,
            "pay",
            &json!({"next": account(number + 1)}).to_string(),
        ));
    }
    told.push(credential("revoked", 20_000, "t-1", json!({})));
    // What was found about the first call is told at the very end.
    for number in 0..18 {
        let cause = json!([{"source": "test", "id": "evt-1", "shard": {"topic": "ambit.events", "partition": 0}, "offset": 1}]);
        let finding = json!({"finding": {"id": format!("fnd-{number}"), "tenant_uid": "acme", "rule": {"id": "E-DEST", "version": 1, "maturity": "stable"},
            "severity": "high", "title": "t", "reason": "r", "events": cause, "controls": [], "time": "2026-11-24T09:00:03Z"}});
        told.push(
            Told::new("finding.created", 20_001 + number, "billing-1", "t-1", finding).topic(Topic::Findings),
        );
    }
    for piece in told.chunks(4_000) {
        fixture.append(piece).await;
    }
    fixture
}

async fn pages(session: &ambit_query_api::Session, limit: usize) -> Vec<ChainView> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = session.chain("t-1", cursor.as_deref(), limit).await.unwrap();
        assert!(page.nodes.len() <= limit && page.truncated == page.next_cursor.is_some());
        cursor.clone_from(&page.next_cursor);
        all.push(page);
        if cursor.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn a_long_chain_is_paged_and_no_event_or_edge_is_lost_between_pages() {
    let fixture = long().await;
    let session = fixture.session();
    let whole = |pages: &[ChainView]| {
        let nodes: Vec<String> =
            pages.iter().flat_map(|page| page.nodes.iter().map(|node| node.id.clone())).collect();
        let mut edges: Vec<String> = pages
            .iter()
            .flat_map(|page| page.edges.iter().map(|edge| format!("{} {} {}", edge.from, edge.to, edge.kind)))
            .filter(|edge| !edge.ends_with("flows"))
            .collect();
        edges.sort();
        (nodes, edges)
    };
    let large = pages(&session, NODES_MAX).await;
    assert_eq!(large.iter().map(|page| page.nodes.len()).collect::<Vec<_>>(), [5_000, 5_000, 2_000]);
    let (nodes, edges) = whole(&large);
    assert_eq!(nodes.iter().collect::<std::collections::HashSet<_>>().len(), 12_000, "each once");
    let small = pages(&session, 2_600).await;
    assert_eq!(whole(&small), (nodes, edges.clone()), "wherever it is cut");
    assert_eq!(edges.iter().filter(|edge| edge.ends_with("completes")).count(), 5_990);
    assert_eq!(edges.iter().filter(|edge| edge.ends_with("finds")).count(), 18);
    assert!(
        edges.contains(&"ambit.events:0:0 ambit.events:0:11981 revokes".to_owned()),
        "from the first page to the last"
    );
    let flows = |page: &ChainView| page.edges.iter().filter(|edge| edge.kind == "flows").count();
    assert!(small.iter().all(|page| flows(page) > 0), "values go over the cuts");
    let first = &large[0].nodes.iter().find(|node| node.id == "ambit.events:0:1").unwrap();
    assert_eq!(first.verdict.as_deref(), Some("outside"), "though what was found stands on the last page");
    assert_eq!((large[0].findings.len(), large[2].findings.len()), (0, 18));
    assert!(matches!(session.chain("t-1", None, 0).await, Err(Error::Bad(_))));
    assert!(matches!(session.chain("t-1", Some("x"), 5).await, Err(Error::Bad(_))));
}

#[tokio::test]
async fn a_long_chain_is_followed_from_any_event_and_its_cursor_survives_new_data() {
    let mut fixture = long().await;
    let session = fixture.session();
    let up = session.chain_of("ambit.findings:0:17", Direction::Up, 10, 100).await.unwrap();
    assert!(up.nodes.iter().any(|node| node.id == "ambit.events:0:1"), "12,000 events away");
    assert!(!up.truncated);
    let down = session.chain_of("ambit.events:0:11000", Direction::Down, 3, 100).await.unwrap();
    assert!(down.nodes.len() >= 3 && down.nodes.len() <= 100, "{}", down.nodes.len());
    let wide = session.chain_of("ambit.events:0:1", Direction::Down, 100, 50).await.unwrap();
    assert!(wide.truncated && wide.nodes.len() <= 51, "bounded: {}", wide.nodes.len());
    let first = session.chain("t-1", None, 2_000).await.unwrap();
    let before = session.chain("t-1", first.next_cursor.as_deref(), 2_000).await.unwrap();
    // One event that happened before the cursor, and one after all.
    fixture
        .append(&[
            Told::call(11, "billing-2", "t-1", "late", json!({})),
            Told::call(30_000, "billing-2", "t-1", "new", json!({})),
        ])
        .await;
    let after = fixture.session().chain("t-1", first.next_cursor.as_deref(), 2_000).await.unwrap();
    let ids = |page: &ChainView| page.nodes.iter().map(|node| node.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
}

#[tokio::test]
async fn names_cannot_break_out_of_a_picture() {
    let mut fixture = Fixture::new().await;
    fixture.append(&[Told::call(1, "a", "t", "x\"];evil->\"\\y\n|click|", json!({}))]).await;
    let chain = fixture.session().chain("t", None, NODES_MAX).await.unwrap();
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
