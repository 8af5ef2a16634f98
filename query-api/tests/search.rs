//! Search with text indexes, without them, and with them for some files only: always the same answer.

use crate::support::{Fixture, START, Told, found};
use ambit_query_api::{NODES_MAX, Scope, Session};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

const WORDS: [&str; 12] = [
    "invoice",
    "pay",
    "the",
    "Evil.Example",
    "a.b@corp.example",
    "/etc/passwd",
    "ÄRGER",
    "請求書",
    "10.0.0.7",
    "in",
    "payment",
    "read_file",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS.as_slice()), 1..5).prop_map(|words| words.join(" "))
}

fn event() -> impl Strategy<Value = Told> {
    let agents = prop::sample::select(vec!["billing-1", "billing-2", "mailer"]);
    let tools = prop::sample::select(vec!["read_file", "send_email", "pay"]);
    (0_i64..5_000, agents, tools, text(), text(), 0_u8..10).prop_map(|(second, agent, tool, first, last, kind)| {
        let task = format!("task-{}", second % 7);
        match kind {
            0 => Told { data: json!(format!("not json: {first}")), ..Told::call(second, agent, &task, tool, json!({})) },
            1 => Told::new("tool_call.denied", second, agent, &task,
                json!({"tool_call": {"id": "c", "name": tool, "error_type": last}, "sub_id": {"format": "opaque", "id": "emma"}})),
            _ => Told::call(second, agent, &task, tool, json!({"to": first, "n": second, "body": [last]})),
        }
    })
}

fn clause() -> impl Strategy<Value = String> {
    let word = || prop::sample::select(WORDS.as_slice());
    prop_oneof![
        word().prop_map(|word| format!("\"{word}\"")),
        text().prop_map(|text| format!("\"{text}\"")),
        text().prop_map(|text| format!(
            "\"{}\"*",
            text.get(..text.floor_char_boundary(text.len() - 1)).unwrap()
        )),
        word().prop_map(|word| format!("args:\"{word}\"")),
        prop::sample::select(vec![
            "p*",
            "agent:billing-*",
            "agent:mailer",
            "tool:pay",
            "tool:*_*",
            "status:denied",
            "status:*",
            "kind:tool_call.*",
            "task:task-3",
            "within:task-4",
            "since:30m",
            "principal:emma",
            "args:emma",
            "args:to",
            "kind:dead_letter",
            "json",
            "agent:spiffe*",
            "id:evt-1*",
            "offset<9",
            "tenant:acme",
        ])
        .prop_map(str::to_owned),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let part = (prop::bool::ANY, clause())
        .prop_map(|(negated, clause)| if negated { format!("-{clause}") } else { clause });
    let all = prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(" "));
    prop::collection::vec(all, 1..3).prop_map(|choices| choices.join(" OR "))
}

async fn same(left: &Session, right: &Session, queries: &[String]) -> usize {
    let mut hits = 0;
    let now = START + 3_000_000_000;
    for query in queries {
        let expected = found(left, query, now).await;
        assert_eq!(found(right, query, now).await, expected, "{query}");
        hits += expected.len();
    }
    hits
}

#[test]
fn with_or_without_indexes_the_answer_is_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 3, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let strategy = (prop::collection::vec(event(), 90..180), prop::collection::vec(query(), 8));
    let done = TestRunner::new(config).run(&strategy, |(events, queries)| {
        runtime.block_on(async {
            let mut fixture = Fixture::new().await;
            let (first, rest) = events.split_at(40);
            let (second, third) = rest.split_at(40);
            fixture.append(first).await;
            fixture.append(second).await;
            let (engine, keeper, kept) = fixture.indexed();
            let (with, without) = (engine.session(Scope::all()), fixture.session());
            keeper.pass().await.unwrap();
            assert_eq!((kept.indexed_files.load(Relaxed), kept.pending_files.load(Relaxed)), (2, 0));
            same(&without, &with, &queries).await;
            // One file without an index beside two that have one.
            fixture.append(third).await;
            let hits = same(&without, &with, &queries).await;
            fixture.compact().await;
            assert_eq!(same(&without, &with, &queries).await, hits, "compaction changes no answer");
            keeper.pass().await.unwrap();
            assert_eq!((kept.indexed_files.load(Relaxed), kept.removed.load(Relaxed)), (1, 2));
            assert_eq!(same(&without, &with, &queries).await, hits);
        });
        Ok(())
    });
    done.unwrap();
}

/// What a word search means, said once more in another way.
#[tokio::test]
async fn words_are_found_where_they_stand() {
    let mut fixture = Fixture::new().await;
    let texts = [
        "Pay the invoice",
        "the invoice, pay",
        "to: a.b@corp.example",
        "/etc/passwd",
        "invoices",
        "請求書です",
    ];
    let events: Vec<Told> = texts
        .iter()
        .zip(0..)
        .map(|(text, at)| Told::call(at, "mailer", "t", "send_email", json!({"body": text})))
        .collect();
    fixture.append(&events).await;
    let (engine, keeper, _) = fixture.indexed();
    keeper.pass().await.unwrap();
    for session in [engine.session(Scope::all()), fixture.session()] {
        for (query, expected) in [
            ("invoice", vec![0, 1]),
            ("invoice*", vec![0, 1, 4]),
            ("\"pay the\"", vec![0]),
            ("\"pay the inv\"*", vec![0]),
            ("args:pay -\"pay the\"", vec![1]),
            ("a.b@corp.example", vec![2]),
            ("corp", vec![2]),
            ("/etc/passwd", vec![3]),
            ("passwd OR corp", vec![2, 3]),
            ("請求", vec![5]),
            ("agent:mail* tool:send_* etc", vec![3]),
            ("-(invoice* OR etc) body", vec![2, 5]),
            ("args:body etc", vec![3]),
            ("send_email", vec![0, 1, 2, 3, 4, 5]),
            ("args:send_email", vec![]),
        ] {
            let expected: Vec<String> = expected.iter().map(|at| format!("ambit.events:0:{at}")).collect();
            assert_eq!(found(&session, query, START).await, expected, "{query}");
        }
    }
}

fn index_dirs(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir.join("index")).unwrap().map(|entry| entry.unwrap().path());
    let mut dirs: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

#[tokio::test]
async fn an_index_is_what_answers_and_a_damaged_one_is_built_anew() {
    let mut fixture = Fixture::new().await;
    let calls = |word: &str| {
        vec![Told::call(1, "a", "t", "x", json!({"w": word})), Told::call(2, "a", "t", "x", json!({}))]
    };
    fixture.append(&calls("first")).await;
    fixture.append(&calls("second")).await;
    let (_, keeper, _) = fixture.indexed();
    keeper.pass().await.unwrap();
    let dirs = index_dirs(fixture.dir.path());
    assert_eq!(dirs.len(), 2);

    // The two indexes change places, and say so: whoever used them finds the words in the wrong rows.
    let seals: Vec<String> =
        dirs.iter().map(|dir| std::fs::read_to_string(dir.join("ambit.json")).unwrap()).collect();
    let file = |seal: &str| {
        serde_json::from_str::<serde_json::Value>(seal).unwrap()["file"].as_str().unwrap().to_owned()
    };
    let other = fixture.dir.path().join("index/other");
    std::fs::rename(&dirs[0], &other).unwrap();
    std::fs::rename(&dirs[1], &dirs[0]).unwrap();
    std::fs::rename(&other, &dirs[1]).unwrap();
    std::fs::write(dirs[0].join("ambit.json"), seals[1].replace(&file(&seals[1]), &file(&seals[0]))).unwrap();
    std::fs::write(dirs[1].join("ambit.json"), seals[0].replace(&file(&seals[0]), &file(&seals[1]))).unwrap();
    let reader = fixture.plain().with_index(fixture.dir.path().join("index")).session(Scope::all());
    assert_eq!(found(&reader, "first", START).await, ["ambit.events:0:2"], "the index is what answers");

    // Without the seal's consent it is not used, and the rows are asked.
    std::fs::write(dirs[0].join("ambit.json"), "{}").unwrap();
    std::fs::write(dirs[1].join("ambit.json"), "{}").unwrap();
    let (engine, keeper, kept) = fixture.indexed();
    let session = engine.session(Scope::all());
    assert_eq!(found(&session, "first", START).await, ["ambit.events:0:0"]);
    keeper.pass().await.unwrap();
    assert_eq!(
        (kept.failed.load(Relaxed), kept.built.load(Relaxed), kept.indexed_files.load(Relaxed)),
        (2, 2, 2)
    );

    // A bit that rotted is told by the sums.
    let terms = std::fs::read_dir(&dirs[0]).unwrap().map(|entry| entry.unwrap().path());
    let terms = terms.into_iter().find(|path| path.extension().is_some_and(|end| end == "term")).unwrap();
    let mut bytes = std::fs::read(&terms).unwrap();
    bytes[3] ^= 0x10;
    std::fs::write(&terms, bytes).unwrap();
    let (engine, keeper, kept) = fixture.indexed();
    keeper.pass().await.unwrap();
    assert_eq!(
        (kept.failed.load(Relaxed), kept.built.load(Relaxed), kept.indexed_files.load(Relaxed)),
        (1, 1, 2)
    );
    let session = engine.session(Scope::all());
    for (word, reference) in [("first", "ambit.events:0:0"), ("second", "ambit.events:0:2")] {
        assert_eq!(found(&session, word, START).await, [reference]);
    }

    // Deleted altogether, it is made again.
    std::fs::remove_dir_all(fixture.dir.path().join("index")).unwrap();
    let (engine, keeper, _) = fixture.indexed();
    std::fs::create_dir_all(fixture.dir.path().join("index/leftover.partial")).unwrap();
    keeper.pass().await.unwrap();
    assert_eq!(index_dirs(fixture.dir.path()).len(), 2);
    assert_eq!(found(&engine.session(Scope::all()), "second", START).await, ["ambit.events:0:2"]);
}

#[tokio::test]
async fn one_keeper_works_at_a_time_and_ends_when_asked() {
    let mut fixture = Fixture::new().await;
    fixture.append(&[Told::call(1, "a", "t", "x", json!({"w": "word"}))]).await;
    let (_, first, kept) = fixture.indexed();
    let (_, second, idle) = fixture.indexed();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let mut keepers = tokio::task::JoinSet::new();
    keepers.spawn(first.run(shutdown.clone()));
    while kept.indexed_files.load(Relaxed) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    keepers.spawn(second.run(shutdown.clone()));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(idle.indexed_files.load(Relaxed), 0, "the other one holds the lock");
    shutdown.cancel();
    for ended in keepers.join_all().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_with_and_without_an_index() {
    let mut fixture = Fixture::new().await;
    let call = |second, tenant: &str| Told::call(second, "a", "t", "x", json!({"w": "word"})).tenant(tenant);
    let letter = Told { data: json!("word"), ..call(3, "acme") };
    fixture.append(&[call(1, "acme"), call(2, "rival"), letter]).await;
    let (engine, keeper, _) = fixture.indexed();
    let acme = || Scope::tenant(ambit_schemas::id::TenantId::try_from("acme").unwrap());
    for _ in 0..2 {
        for query in ["word", "", "tenant:rival OR word", "-tenant:acme OR word"] {
            assert_eq!(found(&engine.session(acme()), query, START).await, ["ambit.events:0:0"], "{query}");
        }
        assert_eq!(found(&engine.session(Scope::all()), "word", START).await.len(), 3);
        assert!(engine.session(acme()).chain("t", None, NODES_MAX).await.unwrap().nodes.len() == 1);
        keeper.pass().await.unwrap();
    }
}
