//! Who asks, what they do about findings, and that it is all in the record: through a whole process.

use crate::harness::{Ambit, PATIENCE, said};
use ambit_bus::testing::TestBroker;
use serde_json::{Value, json};
use std::process::Output;
use std::time::Instant;

/// Asks with a token of one's own.
async fn ask(ambit: &Ambit, token: &str, path: &str) -> reqwest::Response {
    let (base, _) = ambit.address();
    reqwest::Client::new().get(format!("{base}{path}")).bearer_auth(token).send().await.unwrap()
}

fn run(ambit: &Ambit, args: &[&str]) -> Output {
    let output = ambit.command().args(args).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_asks_triages_and_exports_and_all_of_it_is_in_the_record() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "[api.audit]\nfold_seconds = 2").await;
    run(&ambit, &["simulate", "--seed", "5", "--run", "api", "--attack-every", "4", "--events", "300"]);
    let token = text(&run(&ambit, &["token", "create", "--name", "sam", "--role", "analyst", "--days", "1"]));
    assert!(token.starts_with("amb_"), "{token}");
    let listed = text(&run(&ambit, &["token", "list"]));
    assert!(listed.contains("sam") && !listed.contains(&token), "{listed}");

    let found = ambit.wait_for("/api/v1/findings?limit=1", |page| page["items"][0].is_object()).await;
    let id = found["items"][0]["finding"]["id"].as_str().unwrap().to_owned();
    let secret = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let (base, _) = ambit.address();
    let sent = reqwest::Client::new()
        .post(format!("{base}/api/v1/findings/{id}/triage"))
        .bearer_auth(&token)
        .json(&json!({"state": "acknowledged", "note": format!("it used {secret}")}))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 202, "{}", sent.text().await.unwrap());
    let path = format!("/api/v1/findings/{id}");
    let read = ambit.wait_for(&path, |view| view["triage"]["state"] == "acknowledged").await;
    assert_eq!(read["triage"]["changed_by"], "sam");
    assert!(!read.to_string().contains(&secret), "INVARIANT P-1: {read}");

    let export = ask(&ambit, &token, "/api/v1/export/events?kind=tool_call.*").await.text().await.unwrap();
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"]["complete"], true, "{last}");

    // Each step is an event with its author, in time.
    let trail =
        ambit.wait_for("/api/v1/events?kind=query.exported", |page| page["items"][0].is_object()).await;
    let record = &trail["items"][0]["data"]["query"];
    assert_eq!((&record["author"], &record["route"]), (&json!("sam"), &json!("GET /api/v1/export/events")));
    assert_eq!(record["rows"], last["end"]["items"]);
    assert_eq!(ask(&ambit, &token, "/api/v1/events?kind=query.*").await.status(), 403);

    let listed = text(&run(&ambit, &["token", "list", "--json"]));
    let token_id = serde_json::from_str::<Value>(&listed).unwrap()["id"].as_str().unwrap().to_owned();
    run(&ambit, &["token", "revoke", &token_id]);
    let deadline = Instant::now() + PATIENCE;
    while ask(&ambit, &token, "/api/v1/events").await.status() != 401 {
        assert!(Instant::now() < deadline, "a revoked token is still accepted");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    // What was asked just before the end is recorded too.
    let before = ambit.get("/api/v1/agents").await;
    ambit.stop();
    let file = dir.path().join("findings.csv");
    run(&ambit, &["export", "findings", "--format", "csv", "--to-file", file.to_str().unwrap()]);
    let csv = std::fs::read_to_string(&file).unwrap();
    assert!(csv.contains(&id) && csv.contains(",acknowledged,"), "{csv}");
    let agents = run(&ambit, &["agent", "--output", "json"]);
    let agents: Value = serde_json::from_slice(&agents.stdout).unwrap();
    assert_eq!(agents["items"].as_array().unwrap().len(), before["items"].as_array().unwrap().len());
    let root = found["items"][0]["finding"]["task"]["root_id"].as_str().unwrap();
    assert!(text(&run(&ambit, &["chain", root])).contains("findings"));
    let verified = ambit.command().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
}

/// K3: an export that is cut off by a crash is never taken for whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_a_crash_cut_off_does_not_look_whole() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    run(&ambit, &["simulate", "--seed", "6", "--run", "cut", "--events", "20000"]);
    let stored = |overview: &Value| overview["events"].as_u64().unwrap_or_default() >= 20_000;
    ambit.wait_for("/api/v1/overview", stored).await;
    let (_, first) = ambit.address();
    let mut response = ask(&ambit, first, "/api/v1/export/events").await;
    let mut got = response.chunk().await.unwrap().unwrap().to_vec();
    ambit.kill();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            other => break other,
        }
    };
    assert!(ended.is_err(), "the transfer ended as if it were whole");
    assert!(!String::from_utf8_lossy(&got).contains("\"end\":{\"complete\""));
}

/// A proof tells how much stands in the shard: who sees one tenant gets it when asked for, and nothing of it otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_asks_for_a_proof_and_has_an_overview_of_its_own() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    run(&ambit, &["simulate", "--seed", "5", "--run", "proof", "--events", "100"]);
    let create = ["token", "create", "--name", "kim", "--role", "auditor", "--tenant", "acme"];
    let token = text(&run(&ambit, &create));
    let found = ambit.wait_for("/api/v1/events?kind=tool_call.*", |page| page["items"][0].is_object()).await;
    let path = format!("/api/v1/events/{}", found["items"][0]["ref"].as_str().unwrap());
    let whole = ambit.wait_for(&path, |detail| detail["proof"]["verified"] == true).await;
    assert!(whole["event"]["leaf_index"].is_u64() && whole["event"]["offset"].is_u64(), "{whole}");
    let get = async |path: &str| -> Value { ask(&ambit, &token, path).await.json().await.unwrap() };
    let plain = get(&path).await;
    assert_eq!((&plain["proof"], &plain["event"]["leaf_index"]), (&Value::Null, &Value::Null), "{plain}");
    let proved = get(&format!("{path}?proof=true")).await;
    assert_eq!(proved["proof"]["verified"], true, "{proved}");
    assert_eq!(proved["proof"]["leaf_index"], whole["event"]["leaf_index"]);
    assert_eq!(ambit.get(&format!("{path}?proof=false")).await["proof"], Value::Null);
    let overview = get("/api/v1/overview").await;
    assert!(overview["events"].as_u64().unwrap() > 0 && overview["shards"] == json!([]), "{overview}");
}
