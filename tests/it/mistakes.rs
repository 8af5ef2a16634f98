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
        ("[kafka]\nreplication = 0", &["kafka.replication"]),
        ("[kafka.properties]\n\"security.protocl\" = \"SSL\"", &["security.protocl"]),
        ("[kafka.properties]\n\"sasl.password\" = { env = \"NOPE\" }", &["sasl.password", "NOPE"]),
        ("[broker]\nprogram = \"/absent/ambit-broker\"", &["broker.program", "/absent/ambit-broker"]),
        ("[broker]\nembedded = false", &["kafka.bootstrap_servers", "host:port"]),
        (
            "[broker]\nembedded = true\n[kafka]\nbootstrap_servers = \"kafka-1:9092\"",
            &["kafka-1:9092", "broker.embedded", "remove one"],
        ),
        ("[gateway]\nlisten = \"nonsense\"", &["listen", "nonsense", "HOST:PORT"]),
        ("[api]\nquery_timeout_ms = 0", &["api.query_timeout_ms"]),
        ("[enforcement]\npolicy_file = \"/absent/policy.toml\"", &["/absent/policy.toml cannot be read"]),
        ("[ledger]\nlog_name = \"two words\"", &["ledger.log_name"]),
    ] {
        std::fs::write(&config, text).unwrap();
        fails_with(&["--config", &path, "config", "check"], words);
    }
    // A policy whose rule can never act would disarm everything below it.
    let policy = dir.path().join("policy.toml").display().to_string();
    std::fs::write(&config, format!("[enforcement]\npolicy_file = \"{policy}\"")).unwrap();
    for (text, words) in [
        (
            "[[rule]]\nname = \"stop\"\nrules = [\"E-NOPE\"]\naction = \"revoke_task\"",
            &["E-NOPE", "E-TOOL"][..],
        ),
        ("[[rule]]\nname = \"stop\"\naction = \"explode\"", &["explode"]),
    ] {
        std::fs::write(&policy, text).unwrap();
        fails_with(
            &["--config", &path, "config", "check"],
            &[&[policy.as_str(), "not valid"], words].concat(),
        );
    }
    fails_with(&["--data-dir", &data, "verify"], &["there is no store", "--data-dir"]);
    for (listen, words) in [
        ("nonsense", &["`--listen`", "nonsense", "HOST:PORT"][..]),
        ("no.such.host.invalid:7070", &["`--listen`", "no.such.host.invalid"]),
    ] {
        fails_with(&["--data-dir", &data, "up", "--listen", listen], words);
        fails_with(&["--data-dir", &data, "demo", "--listen", listen], words);
    }
    fails_with(&["--log", "ambit=loud", "config", "check"], &["--log", "ambit=loud", "debug"]);
    fails_with(&["--data-dir", &data, "search", "x"], &["there is no store"]);
    fails_with(
        &["--data-dir", &data, "--bootstrap-servers", "127.0.0.1:1", "ingest"],
        &["127.0.0.1:1", "does not answer", "check that it runs", "Connection refused"],
    );
    let absent = dir.path().join("absent").display().to_string();
    fails_with(&["eval", "--data", &absent], &["cannot read the data folder"]);
}

/// Each address is tried before anything starts: one sentence, with the option to set, and nothing left behind.
#[test]
fn a_taken_port_is_named_with_its_option() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let config = dir.path().join("ambit.toml");
    let path = config.display().to_string();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    for part in ["api", "gateway", "broker"] {
        let of = |other| if other == part { port } else { free_port() };
        let text = ["api", "gateway", "broker"]
            .map(|other| format!("[{other}]\nlisten = \"127.0.0.1:{}\"\n", of(other)));
        std::fs::write(&config, text.concat()).unwrap();
        let output = run(&["--config", &path, "--data-dir", &data, "up"]);
        assert!(!output.status.success());
        let told = said(&output);
        assert!(told.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{told}");
        assert!(told.contains(&format!("set `{part}.listen`")), "{told}");
        assert_eq!(told.trim().lines().count(), 1, "{told}");
    }
}

/// What goes wrong after the broker has started is told alone too: what has started is stopped in order.
#[test]
fn a_token_that_was_cut_off_lets_nobody_in_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, keys) = (dir.path().join("data"), dir.path().join("data/keys"));
    std::fs::create_dir_all(&keys).unwrap();
    let data = data.display().to_string();
    for name in ["api.token", "gateway.token", "redaction.key"] {
        let file = keys.join(name);
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = dir.path().join("ambit.toml");
        let ports = ["api", "gateway", "broker"]
            .map(|part| format!("[{part}]\nlisten = \"127.0.0.1:{}\"\n", free_port()));
        std::fs::write(&config, ports.concat()).unwrap();
        let path = config.display().to_string();
        let output = run(&["--config", &path, "--data-dir", &data, "--log", "warn", "up"]);
        assert!(!output.status.success(), "{}", said(&output));
        let told = said(&output);
        assert!(told.contains(name) && told.contains("delete it"), "{told}");
        assert!(
            !told.contains("panicked") && !told.contains("ancelled") && !told.contains("killed"),
            "{told}"
        );
        std::fs::remove_file(&file).unwrap();
    }
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

/// The example of the manual means what it says: brokers of one's own, so no embedded one.
#[test]
fn brokers_that_the_file_names_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let example = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let path = dir.path().join("ambit.toml");
    std::fs::write(&path, example).unwrap();
    let dumped = run(&["--config", &path.display().to_string(), "config", "dump"]);
    assert!(dumped.status.success(), "{}", said(&dumped));
    let dumped: toml::Table = toml::from_str(&String::from_utf8_lossy(&dumped.stdout)).unwrap();
    assert_eq!(dumped["kafka"]["bootstrap_servers"].as_str(), Some("kafka-1:9093,kafka-2:9093"));
    assert_eq!(dumped["broker"]["embedded"].as_bool(), Some(false));
    let (password, masked) = ("[kafka.properties]\n\"sasl.password\" = \"hunter2\"", "\"***\"");
    std::fs::write(&path, password).unwrap();
    let dumped = said(&run(&["--config", &path.display().to_string(), "config", "dump"]));
    assert!(!dumped.contains("hunter2") && dumped.contains(masked), "{dumped}");
    assert!(
        dumped.contains("embedded = true") && dumped.contains("bootstrap_servers = \"127.0.0.1:7092\""),
        "{dumped}"
    );
}
