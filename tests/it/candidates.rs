//! Candidate envelopes on history: whom they would have stopped, and that one which changes nothing finds nothing.

use crate::harness::{Ambit, said};
use crate::rules::{replay, simulate, stored};
use ambit_bus::testing::TestBroker;
use serde_json::Value;
use std::path::Path;

/// A folder of candidates.
fn folder(dir: &Path, name: &str, files: &[(&str, &str)]) -> String {
    let folder = dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    for (file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// Payments of nothing: each one that went through breaks it.
const NO_MONEY: &str = r#"
purpose = "Pay INV-1 of Somebody, account DE1, at most 5.00 EUR"
[[tools]]
name = "read_invoice"
[[tools]]
name = "send_money"
arguments = [{ pointer = "/amount", check = { range = { max = 0.0 } } }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn candidate_envelopes_are_tried_on_history() {
    let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    simulate(&ambit, "7");
    stored(&ambit, 300, 0).await;
    ambit.stop();

    let nobody = ("nobody.json", r#"{"task_id": "nobody", "tools": []}"#);
    let tried = folder(dir.path(), "tried", &[("pay.toml", NO_MONEY), nobody, ("notes.txt", "no candidate")]);
    let other = replay(&ambit, &["--envelopes", &tried, "--json"]);
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    let told: Value = serde_json::from_slice(&other.stdout).unwrap();
    let count =
        |pointer: &str| told.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{told}"));
    assert!(count("/rules/E-ARG/new") > 0 && count("/rules/E-ARG/stops") > 0, "{told}");
    assert!(count("/candidates/pay.toml") >= count("/broken_tasks") && count("/broken_tasks") > 0, "{told}");
    assert!(count("/approved_tasks") > count("/candidates/pay.toml"), "{told}");
    assert_eq!(count("/candidates/nobody.json"), 0, "{told}");
    let first = &told["first_broken_tasks"][0]["first"];
    assert!(first.as_str().is_some_and(|line| line.contains("E-ARG")), "{told}");
    let text = said(&replay(&ambit, &["--envelopes", &tried]));
    assert!(text.contains("approved tasks ran then and would be stopped now"), "{text}");
    assert!(text.contains("candidate nobody.json stood in for nothing"), "{text}");

    // The negative control: a candidate that changes no bound, of the same tasks.
    let pay = NO_MONEY.lines().nth(1).unwrap();
    let same = replay(&ambit, &["--envelopes", &folder(dir.path(), "same", &[("pay.toml", pay)])]);
    assert!(same.status.success() && said(&same).contains("byte for byte"), "{}", said(&same));
    assert!(!said(&same).contains("stood in for nothing"), "{}", said(&same));

    let wrong = folder(dir.path(), "wrong", &[("a.toml", "purpose = \"Pay\"\ndestinatons = []\n")]);
    let refused = replay(&ambit, &["--envelopes", &wrong]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("a.toml") && said(&refused).contains("destinatons"),
        "{}",
        said(&refused)
    );
    let empty = replay(&ambit, &["--envelopes", &folder(dir.path(), "empty", &[])]);
    assert!(empty.status.code() == Some(1) && said(&empty).contains(".json or .toml"), "{}", said(&empty));
}
