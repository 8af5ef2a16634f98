//! Witnesses, both ways: whose logs this installation cosigns, and who cosigns its own.

use ambit_enforcement::guard::Guard;
use ambit_ledger::CheckpointKey;
use ambit_ledger::witness::{TrustedLog, TrustedLogs, WitnessKey};
use ambit_query_api::listen_address;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use url::Url;

/// What is added to a witness's URL (C2SP tlog-witness).
const ADD_CHECKPOINT: &str = "add-checkpoint";

/// The witness for logs of others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Witness {
    /// Where it listens, for plain HTTP: TLS is for a proxy before it.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// The name in its key, best a URL without its scheme; `<ledger.log_name>/witness` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Most logs that are remembered: each shard of another Ambit is one.
    pub max_logs: usize,
    /// Whose checkpoints are cosigned.
    pub logs: Vec<WitnessedLog>,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7085)),
            name: None,
            max_logs: 4_096,
            logs: Vec::new(),
        }
    }
}

/// A log that is witnessed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessedLog {
    /// Its origin, or `<log name>/*` for all shards of an Ambit.
    pub origin: String,
    /// Its public key, `name+hash+key`.
    pub key: String,
}

impl Witness {
    /// The logs with their keys.
    pub fn trusted(&self) -> anyhow::Result<TrustedLogs> {
        let read = |log: &WitnessedLog| {
            let key = log.key.parse::<CheckpointKey>()?;
            Ok::<_, anyhow::Error>(TrustedLog::new(&log.origin, key)?)
        };
        let logs = self.logs.iter().map(|log| read(log).context("`witness.logs`"));
        Ok(TrustedLogs::new(logs.collect::<Result<_, _>>()?))
    }

    /// Checks what can be known beforehand.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.logs.is_empty() {
            bail!("`witness` knows no log: add `[[witness.logs]]` with `origin` and `key`");
        }
        if self.max_logs == 0 {
            bail!("`witness.max_logs` must be at least 1");
        }
        self.trusted().map(drop)
    }
}

/// Who cosigns the checkpoints of this ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerWitness {
    /// Where it is asked: its submission prefix, before `/add-checkpoint`.
    pub url: String,
    /// Its public key, `name+hash+key`, as it prints it.
    pub key: String,
    /// Whether `ambit verify` fails for a shard that it has not cosigned.
    #[serde(default)]
    pub require: bool,
    /// Whether plain HTTP, and addresses of private networks and this machine, are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Milliseconds that one question may take.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

const fn default_timeout_ms() -> u64 {
    10_000
}

impl LedgerWitness {
    /// Its key.
    pub fn key(&self) -> anyhow::Result<WitnessKey> {
        self.key.parse().context("`ledger.witnesses`: `key`")
    }

    /// Where checkpoints are posted.
    pub fn address(&self) -> anyhow::Result<Url> {
        let text = format!("{}/{ADD_CHECKPOINT}", self.url.trim_end_matches('/'));
        let url =
            Url::parse(&text).with_context(|| format!("`ledger.witnesses`: `url` {} is none", self.url))?;
        if url.query().is_some() || url.fragment().is_some() {
            bail!(
                "`ledger.witnesses`: `url` {} has a query or a fragment: give what stands before them",
                self.url
            );
        }
        let guard = Guard { allow_private: self.allow_private, ..Guard::default() };
        guard
            .check_url(&url)
            .with_context(|| format!("`ledger.witnesses`: `url` {} cannot be used", self.url))?;
        Ok(url)
    }

    /// Checks all witnesses of a ledger.
    pub(super) fn check(all: &[Self]) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        for witness in all {
            witness.address()?;
            let key = witness.key()?;
            if witness.timeout_ms == 0 {
                bail!("`ledger.witnesses`: `timeout_ms` must be at least 1");
            }
            if !seen.insert(key.id()) {
                bail!("`ledger.witnesses` names the key {key} twice: each witness has a key of its own");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";

    fn witness(url: &str) -> LedgerWitness {
        LedgerWitness {
            url: url.into(),
            key: KEY.into(),
            require: false,
            allow_private: false,
            timeout_ms: 1,
        }
    }

    #[test]
    fn a_witness_is_asked_below_its_prefix() {
        for url in ["https://witness.example", "https://witness.example/", "https://witness.example/a/b"] {
            let address = witness(url).address().unwrap();
            assert!(address.as_str().ends_with("/add-checkpoint"), "{address}");
        }
        assert!(LedgerWitness::check(&[witness("https://witness.example/a")]).is_ok());
        for url in
            ["", "witness.example", "http://witness.example", "https://10.0.0.1", "https://w.example/?a=b"]
        {
            assert!(LedgerWitness::check(&[witness(url)]).is_err(), "{url}");
        }
        let private = LedgerWitness { allow_private: true, ..witness("http://10.0.0.1:7085") };
        assert!(LedgerWitness::check(&[private]).is_ok());
    }

    #[test]
    fn a_witness_stands_once_and_has_the_key_of_a_witness() {
        let twice = [witness("https://a.example"), witness("https://b.example")];
        assert!(LedgerWitness::check(&twice).unwrap_err().to_string().contains("twice"));
        let log = "log.example/a+d870bab6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
        let of_a_log = LedgerWitness { key: log.into(), ..witness("https://a.example") };
        let refused = format!("{:#}", LedgerWitness::check(&[of_a_log]).unwrap_err());
        assert!(refused.contains("key of a log"), "{refused}");

        let known = |origin: &str, key: &str| Witness {
            logs: vec![WitnessedLog { origin: origin.into(), key: key.into() }],
            ..Witness::default()
        };
        assert!(known("log.example/*", log).check().is_ok());
        assert!(Witness::default().check().is_err());
        assert!(known("log.example/*", KEY).check().is_err());
        assert!(known("two words/*", log).check().is_err());
        assert!(known("/*", log).check().is_err());
    }
}
