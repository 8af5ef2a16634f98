//! Each kind of receiver against a server that keeps its contract, and against one that does not.

pub mod carry_out;
mod config;
mod hostile;
mod kubernetes;
mod notices;
mod polls;
mod real;
mod set;

use crate::contract::Server;
use crate::support::finding;
use ambit_enforcement::{Due, Next, Options, Outcome, Receiver, next};
use ambit_schemas::id::{AgentId, CredentialId, DeliveryId, ReceiverId, ResponseId};
use ambit_schemas::response::Action;
use std::path::Path;

/// Seconds since 1970 of every try here.
pub const NOW: i64 = 1_795_683_700;

/// A directory with a file for each secret.
pub fn secrets() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("webhook", crate::support::SECRET),
        ("token", "secret-bearer-token-0123456789abcdef\n"),
        ("client", "client secret/+&"),
        ("key-id", "AKIDEXAMPLE"),
        ("key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ("session", "session-token=="),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Reads options; `$SECRETS` and `$KEYS` stand for the directories with secrets and keys, `$BASE` for the server.
pub fn options(text: &str, secrets: &Path, base: &str) -> Result<Options, String> {
    let keys = crate::contract::key_file("");
    let text = text
        .replace("$SECRETS", secrets.to_str().unwrap())
        .replace("$KEYS", keys.to_str().unwrap().trim_end_matches('/'))
        .replace("$BASE", base);
    toml::from_str(&text).map_err(|error| error.to_string())
}

pub const TRANSMITTER: &str = r#"
    [transmitter]
    issuer = "https://ambit.acme.example"
    signing_keys = [{ file = "$KEYS/ed25519.pem" }]
    listen = "127.0.0.1:0"
"#;

/// One receiver's own fields, made a receiver that may reach this machine.
pub fn receiver(own: &str, secrets: &Path, server: &Server) -> Receiver {
    let text =
        format!("{TRANSMITTER}\n[[receivers]]\nid = \"r\"\nallow_private = true\ntimeout_ms = 400\n{own}");
    let options = options(&text, secrets, &server.base).unwrap();
    Receiver::new(&options.receivers[0], &options).unwrap()
}

/// A delivery about an agent that holds these credentials.
pub fn due(action: Action, agent: &str, credentials: &[&str]) -> Due {
    let mut finding = finding(1);
    finding.agent.as_mut().unwrap().uid = AgentId::try_from(agent).unwrap();
    finding.credentials = credentials.iter().map(|&uid| CredentialId::try_from(uid).unwrap()).collect();
    Due {
        delivery_id: DeliveryId::try_from("dlv-1").unwrap(),
        response_id: ResponseId::try_from("rsp-1").unwrap(),
        receiver: ReceiverId::try_from("r").unwrap(),
        action,
        attempts: 0,
        body: b"{\"type\":\"ambit.response.revoke_task\"}".to_vec(),
        decided_at: finding.time,
        partition: 0,
        finding,
    }
}

/// What follows from the first try.
pub fn first(outcome: &Outcome) -> Next {
    next(outcome, 1, 0.0)
}

/// Compares what a server was asked with a committed file, or writes the file when asked to.
#[allow(clippy::disallowed_methods, reason = "a switch of the test")]
pub fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "{name} differs: review, then run with UPDATE_GOLDEN=1");
}

/// All requests of a server, for a golden file.
pub fn asked(server: &Server) -> String {
    let texts: Vec<String> = server.seen().iter().map(crate::contract::Seen::text).collect();
    texts.join("\n").replace(&server.base, "BASE")
}
