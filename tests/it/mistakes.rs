//! Mistakes people make: each is answered with what to do.

use crate::harness::{run, said};
use ambit_bus::testing::free_port;
use std::net::TcpListener;

fn fails_with(args: &[&str], words: &[&str]) {
    let output = run(args);
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let config = dir.path().join("ambit.toml");
    let path = config.display().to_string();
    fails_with(&["--config", "absent.toml", "config", "check"], &["cannot read configuration absent.toml"]);
    for (text, words) in [
        ("colour = \"red\"", &["not valid", "colour"][..]),
        ("[kafka]\npartitions = 0", &["kafka.partitions", "1 to 1024"]),
        ("[kafka.properties]\nacks = \"0\"", &["acks"]),
        ("[api]\nlisten = \"0.0.0.0:7070\"", &["loopback", "allowed_hosts"]),
        (
            "[[enforcement.receivers]]\nid = \"r\"\nurl = \"http://10.0.0.1/\"\nsecrets = [{ env = \"NOPE\" }]",
            &["receiver `r`", "https"],
        ),
        (
            "[[enforcement.receivers]]\nid = \"r\"\nurl = \"https://r.example/\"\nsecrets = [{ env = \"NOPE\" }]",
            &["receiver `r`", "NOPE"],
        ),
        ("[ledger]\nlog_name = \"two words\"", &["ledger.log_name"]),
    ] {
        std::fs::write(&config, text).unwrap();
        fails_with(&["--config", &path, "config", "check"], words);
    }
    fails_with(&["--data-dir", &data, "verify"], &["there is no store", "--data-dir"]);
    fails_with(&["--data-dir", &data, "search", "x"], &["there is no store"]);
    fails_with(
        &["--data-dir", &data, "--bootstrap-servers", "127.0.0.1:1", "ingest"],
        &["127.0.0.1:1", "does not answer", "check that it runs"],
    );
    fails_with(&["eval", "--data", &data], &["cannot read the data folder"]);
}

#[test]
fn a_taken_port_is_named_with_its_option() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let config = dir.path().join("ambit.toml");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\n[broker]\nlisten = \"127.0.0.1:{}\"\n[gateway]\nenabled = false",
        free_port()
    );
    std::fs::write(&config, text).unwrap();
    let path = config.display().to_string();
    fails_with(&["--config", &path, "--data-dir", &data, "up"], &[&port.to_string(), "api.listen"]);
    let text = format!("[broker]\nlisten = \"127.0.0.1:{port}\"");
    std::fs::write(&config, text).unwrap();
    fails_with(&["--config", &path, "--data-dir", &data, "up"], &["broker", &port.to_string()]);
}

#[test]
fn the_configuration_in_effect_can_be_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let dumped = run(&["config", "dump"]);
    assert!(dumped.status.success(), "{}", said(&dumped));
    let path = dir.path().join("dump.toml");
    std::fs::write(&path, &dumped.stdout).unwrap();
    let again = run(&["--config", &path.display().to_string(), "config", "dump"]);
    assert_eq!(again.stdout, dumped.stdout, "{}", said(&again));
}
