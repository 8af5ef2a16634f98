//! Dead letters are looked at, corrected and sent again; each step leaves its trace.

use crate::harness::{Ambit, said};
use crate::oracle::{call, check, found, notices, stored};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_schemas::{Outgoing, Topic};
use bytes::Bytes;
use std::process::Output;

fn letters(ambit: &Ambit, args: &[&str]) -> Output {
    ambit.command().arg("dead-letters").args(args).output().unwrap()
}

/// A tool call that says of itself to be of another type.
fn of_type(number: u32, name: &str) -> Outgoing {
    let mut outgoing = call(number, "key");
    outgoing.headers = outgoing.headers.replaced("ce_type", name.as_bytes());
    outgoing
}

async fn send(producer: &Producer, outgoing: &Outgoing) -> String {
    let sent =
        producer.send_raw(Topic::Events, Some(&outgoing.key), &outgoing.headers, Some(&outgoing.value));
    let (shard, offset) = sent.await.unwrap();
    format!("{}:{}:{offset}", shard.topic, shard.partition)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_corrected_and_sent_again() {
    let broker = TestBroker::embedded();
    let (dir, options) = (tempfile::tempdir().unwrap(), broker.options());
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let typo = send(&producer, &of_type(1, "ambit.tool_cal.requested.v1")).await;
    let newer = send(&producer, &of_type(2, "ambit.tool_call.requested.v9")).await;
    let mut garbled = call(3, "key");
    garbled.value = Bytes::from_static(b"{\"password\": \x1b[2J");
    let garbled = send(&producer, &garbled).await;
    stored(&ambit, &options).await;

    let listed = said(&letters(&ambit, &["list"]));
    assert!([&typo, &newer, &garbled].iter().all(|reference| listed.contains(*reference)), "{listed}");
    let listed = said(&letters(&ambit, &["list", "--reason", "unknown_version"]));
    assert!(listed.contains(&newer) && !listed.contains(&typo), "{listed}");
    let page = ambit.get("/api/v1/dead-letters?reason=not_json").await;
    assert_eq!(page["items"][0]["ref"], garbled, "{page}");
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert!(ambit.try_get("/api/v1/dead-letters?reason=colour").await.unwrap_err().contains("not_json"));
    assert!(said(&letters(&ambit, &["list", "--reason", "colour"])).contains("not_json"));
    let shown = letters(&ambit, &["show", &garbled]);
    assert!(said(&shown).contains("not_json") && !shown.stdout.contains(&0x1b), "{}", said(&shown));
    assert_eq!(letters(&ambit, &["show", &garbled, "--raw"]).stdout, b"{\"password\": \x1b[2J");

    // What is still no event is left, and said so.
    let by = ["--author", "emma", "--reason", "the gateway was upgraded"];
    let refused = letters(&ambit, &[&["redrive", &newer, &garbled], &by[..]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("0 sent again, 2 left"), "{}", said(&refused));
    let fix = ["--attribute", "type=ambit.tool_call.requested.v1"];
    let dry = letters(&ambit, &[&["redrive", &typo, "--dry-run"], &fix[..], &by[..]].concat());
    assert!(
        dry.status.success() && said(&dry).contains("would be sent as tool_call.requested event-1"),
        "{}",
        said(&dry)
    );
    let all = letters(&ambit, &[&["redrive", "--all", "unknown_version"], &fix[..], &by[..]].concat());
    assert!(all.status.success(), "{}", said(&all));
    // A corrected value is redacted like all that comes in.
    let data = dir.path().join("data.json");
    let secret = r#"{"tenant_uid":"acme","ai_agent":{"uid":"agent"},"task":{"id":"task-3","root_id":"task-3"},"tool_call":{"id":"call-3","name":"login","arguments":{"password":"hunter22"}}}"#;
    std::fs::write(&data, secret).unwrap();
    let path = data.display().to_string();
    let one = letters(&ambit, &[&["redrive", &garbled, "--data", &path], &by[..]].concat());
    assert!(one.status.success(), "{}", said(&one));
    assert!(
        !letters(&ambit, &[&["redrive", &typo, &newer, "--data", &path], &by[..]].concat()).status.success()
    );

    // The events are judged, the notices name everything, and the dead letters are where they were.
    found(&ambit, 2).await;
    let told = notices(&ambit, "notice.redriven", 2).await.join("\n");
    for words in [&newer, &garbled, "by emma: the gateway was upgraded"] {
        assert!(told.contains(words), "{told}");
    }
    let notice =
        ambit.get("/api/v1/events?kind=notice.redriven&limit=1").await["items"][0]["data"]["notice"].clone();
    let again = ambit.get(&format!("/api/v1/events/{}", notice["sent_as"].as_str().unwrap())).await;
    assert_eq!(again["headers"]["ambit_redriven_from"], garbled, "{again}");
    assert_eq!(again["headers"]["ambit_redriven_by"], "emma");
    assert!(!again.to_string().contains("hunter22"), "{again}");
    assert_eq!(ambit.get("/api/v1/dead-letters").await["items"].as_array().unwrap().len(), 3);

    // Sent again by mistake, it is a duplicate and judged once.
    let twice = letters(&ambit, &[&["redrive", &newer], &fix[..], &by[..]].concat());
    let place = said(&twice).lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    stored(&ambit, &options).await;
    assert_eq!(ambit.get(&format!("/api/v1/events/{place}")).await["event"]["duplicate"], true);
    assert!(
        !letters(&ambit, &[&["redrive", &place], &by[..]].concat()).status.success(),
        "it is no dead letter"
    );
    found(&ambit, 2).await;
    ambit.stop();
    check(&ambit, &options).await;
}
