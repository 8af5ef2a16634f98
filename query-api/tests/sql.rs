//! SQL for analysts: what is answered, what is refused, and that no tenant hears of another.

use crate::support::{Fixture, Told};
use ambit_query_api::{Error, SQL_ROWS_MAX, Scope, Session};
use serde_json::{Value, json};

async fn store() -> Fixture {
    let mut fixture = Fixture::new().await;
    let finding = json!({"finding": {"id": "fnd-1", "tenant_uid": "acme", "rule": {"id": "E-TOOL", "version": 1, "maturity": "stable"},
        "severity": "high", "title": "t", "reason": "r", "events": [], "controls": [], "time": "2026-11-24T09:00:03Z"}});
    let mut events: Vec<Told> = (0..20)
        .map(|n| {
            Told::call(
                n,
                "billing-1",
                "t-1",
                if n % 2 == 0 { "read_file" } else { "pay" },
                json!({"n": n, "w": "invoice"}),
            )
        })
        .collect();
    events.push(
        Told::new("finding.created", 30, "billing-1", "t-1", finding).topic(ambit_schemas::Topic::Findings),
    );
    events.push(Told::call(40, "spy", "t-2", "steal", json!({"password": "hunter2"})).tenant("rival"));
    fixture.append(&events).await;
    fixture
}

async fn rows(session: &Session, sql: &str) -> Vec<Vec<Value>> {
    session.sql(sql, 100).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows
}

#[tokio::test]
async fn selects_are_answered_with_their_provenance() {
    let fixture = store().await;
    let session = fixture.session();
    let counted = rows(
        &session,
        "SELECT tool, count(*) AS n FROM events WHERE match(data, 'invoice') GROUP BY tool ORDER BY tool",
    )
    .await;
    assert_eq!(counted, [vec![json!("pay"), json!(10)], vec![json!("read_file"), json!(10)]]);
    assert_eq!(
        rows(&session, "SELECT rule, severity FROM findings").await,
        [vec![json!("E-TOOL"), json!("high")]]
    );
    assert_eq!(rows(&session, "SELECT count(*) FROM responses").await, [vec![json!(0)]]);
    assert_eq!(
        rows(&session, "SELECT count(*) FROM events WHERE NOT match(data, 'invoice', 'args')").await,
        [vec![json!(2)]]
    );
    let joined = "WITH r AS (SELECT at, task FROM events WHERE tool = 'read_file') \
        SELECT count(*) FROM events p JOIN r ON p.task = r.task AND p.at > r.at WHERE p.tool = 'pay' AND match(p.data, 'invoice')";
    assert_eq!(rows(&session, joined).await, [vec![json!(55)]]);
    let times = rows(&session, "SELECT at, \"offset\" FROM events ORDER BY at LIMIT 1").await;
    assert_eq!(times, [vec![json!("2026-11-24T09:00:00Z"), json!(0)]]);

    let cut = session.sql("select id from events", 3).await.unwrap();
    assert_eq!(cut.rows.len(), 3);
    assert!(cut.incomplete.is_some() && cut.provenance.table_version > 0);
    let again = session.sql("SELECT  id\nFROM events -- the same", 3).await.unwrap();
    assert_eq!(cut.provenance, again.provenance, "white space and comments do not make another question");
    assert_eq!(cut.columns.first().unwrap().name, "id");
}

#[tokio::test]
async fn everything_but_a_select_over_the_tables_is_refused() {
    let fixture = store().await;
    let session = fixture.session();
    let secret = fixture.dir.path().join("secret.csv");
    std::fs::write(&secret, "a,b\n1,2\n").unwrap();
    let path = secret.display();
    for sql in [
        "DROP TABLE events".to_owned(),
        "CREATE TABLE x AS SELECT 1".into(),
        "CREATE VIEW x AS SELECT 1".into(),
        format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{path}'"),
        "INSERT INTO events SELECT * FROM events".into(),
        "DELETE FROM events".into(),
        "UPDATE events SET tool = 'x'".into(),
        "TRUNCATE TABLE events".into(),
        format!("COPY events TO '{path}.out' STORED AS CSV"),
        format!("COPY (SELECT 1) TO '{path}.out' STORED AS CSV"),
        "SELECT 1 INTO x FROM events".into(),
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM read_csv('{path}')"),
        format!("SELECT * FROM read_parquet('{path}')"),
        format!("SELECT * FROM parquet_metadata('{path}')"),
        "SELECT * FROM information_schema.tables".into(),
        "SHOW TABLES".into(),
        "SET datafusion.execution.batch_size = 1".into(),
        "EXPLAIN SELECT 1".into(),
        "EXPLAIN ANALYZE SELECT 1".into(),
        "PREPARE p AS SELECT 1".into(),
        "BEGIN".into(),
        "SELECT 1; SELECT 2".into(),
        "WITH x AS (DELETE FROM events) SELECT 1".into(),
        "SELECT repeat('x', 2000000000)".into(),
        "SELECT lpad('x', 2000000000)".into(),
        "SELECT * FROM generate_series(1, 1000000000000)".into(),
        "SELECT array_repeat('x', 2000000000)".into(),
        "SELECT headers FROM events".into(),
        "SELECT * FROM users".into(),
        "SELECT match(data, tool) FROM events".into(),
        "SELECT * FROM events WHERE match(data, '--')".into(),
        "SELEC 1".into(),
        String::new(),
        format!("SELECT {}1", "1+".repeat(3_000)),
        format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT {}", "1,".repeat(3_000)),
        format!("SELECT '{}'", "x".repeat(10_000)),
    ] {
        let error = session.sql(&sql, 10).await.expect_err(&sql);
        assert!(matches!(error, Error::Bad(_)), "{sql}: {error:?}");
    }
    assert!(!fixture.dir.path().join("secret.csv.out").exists());
    for limit in [0, SQL_ROWS_MAX + 1] {
        assert!(matches!(session.sql("SELECT 1", limit).await, Err(Error::Bad(_))));
    }
    // What is just within the bounds is planned without running out of stack.
    for sql in
        [format!("SELECT {}1", "1+".repeat(60)), format!("SELECT {}1{}", "(".repeat(45), ")".repeat(45))]
    {
        assert_eq!(rows(&session, &sql).await.len(), 1);
    }
}

#[tokio::test]
async fn time_is_bounded() {
    let fixture = store().await;
    let options = ambit_query_api::Options { query_timeout_ms: 300, ..ambit_query_api::Options::default() };
    let session =
        ambit_query_api::Engine::new(fixture.store.clone(), &options).unwrap().session(Scope::all());
    let endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let error = session.sql(endless, 10).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(300) | Error::Bad(_)), "{error:?}");
    assert_eq!(
        rows(&session, "SELECT count(*) FROM events").await,
        [vec![json!(22)]],
        "the engine is free again"
    );
}

#[tokio::test]
async fn a_tenant_hears_nothing_of_another_not_even_by_an_error() {
    let fixture = store().await;
    let acme = ambit_schemas::id::TenantId::try_from("acme").unwrap();
    for engine in [fixture.plain(), {
        let (engine, keeper, _) = fixture.indexed();
        keeper.pass().await.unwrap();
        engine
    }] {
        let session = engine.session(Scope::tenant(acme.clone()));
        for (sql, expected) in [
            ("SELECT count(*) FROM events WHERE tool = 'steal'", 0),
            ("SELECT count(*) FROM events WHERE tenant = 'rival' OR true", 21),
            ("SELECT count(*) FROM events WHERE match(data, 'hunter2')", 0),
            ("SELECT count(DISTINCT tenant) FROM events", 1),
            ("SELECT count(*) FROM events WHERE tenant IS NULL", 0),
            ("SELECT count(*) FROM (SELECT 1 FROM events UNION ALL SELECT 1 FROM events) x", 42),
        ] {
            assert_eq!(rows(&session, sql).await, [vec![json!(expected)]], "{sql}");
        }
        // This fails on the other tenant's row only: within the scope it does not fail at all.
        let trap = "SELECT count(*) FROM events WHERE CAST(CASE WHEN tool = 'steal' THEN data ELSE '1' END AS INT) > 0";
        assert_eq!(rows(&session, trap).await, [vec![json!(21)]]);
        let all = engine.session(Scope::all()).sql(trap, 10).await.unwrap_err();
        assert!(all.to_string().contains("hunter2"), "the trap catches nothing: {all}");
    }
}
