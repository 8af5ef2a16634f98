//! How enforcement is configured. Secrets stand in files or in the environment, never in the configuration.

use crate::alive::WatchOptions;
use crate::error::Error;
use crate::guard::Guard;
use crate::network::Network;
use crate::receiver::Kind;
use crate::transmitter::TransmitterOptions;
use ambit_schemas::id::ReceiverId;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// How enforcement is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The response policy (TOML); without it the built-in one holds.
    pub policy_file: Option<PathBuf>,
    /// How long revocations are watched.
    pub watch: WatchOptions,
    /// Who is told, and who carries out.
    pub receivers: Vec<ReceiverOptions>,
    /// Hosts that receivers may have, as globs such as `*.acme.example`; empty for all that are public.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// Who Ambit is to receivers of security event tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmitter: Option<TransmitterOptions>,
}

/// A receiver: what all kinds have, and what its kind needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct ReceiverOptions {
    /// Its name in policies, events and metrics.
    pub id: ReceiverId,
    /// What it is; `webhook` unless said otherwise.
    #[serde(flatten)]
    pub kind: Kind,
    /// Whether addresses of private networks and this machine, and plain HTTP, are allowed: for laboratories.
    pub allow_private: bool,
    /// Networks that are allowed although they are not on the public internet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_networks: Vec<Network>,
    /// Certificates (PEM) of the authorities that are trusted for it, in place of the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Deliveries on their way to it at once.
    pub concurrency: usize,
    /// Milliseconds that one try may take, with every request that it needs.
    pub timeout_ms: u64,
}

/// What all kinds have, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    id: ReceiverId,
    #[serde(default)]
    allow_private: bool,
    #[serde(default)]
    allow_networks: Vec<Network>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default = "default_concurrency")]
    concurrency: usize,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
}

/// The fields of [`Common`].
const COMMON: [&str; 6] = ["id", "allow_private", "allow_networks", "ca_file", "concurrency", "timeout_ms"];

/// Sixteen: what ends while one transaction is written is recorded by the next, all at once.
const fn default_concurrency() -> usize {
    16
}

const fn default_timeout_ms() -> u64 {
    10_000
}

impl TryFrom<Map<String, Value>> for ReceiverOptions {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let name = fields.get("id").and_then(Value::as_str).unwrap_or("?").to_owned();
        let kind = match fields.remove("kind") {
            None => "webhook".to_owned(),
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(format!("receiver `{name}`: field `kind`: expected a text")),
        };
        let common = COMMON.iter().filter_map(|&field| fields.remove(field).map(|it| (field.to_owned(), it)));
        let common: Map<String, Value> = common.collect();
        // The kind first: whoever mistypes it is not told of its fields.
        let kind = Kind::read(&kind, fields).map_err(|why| format!("receiver `{name}`: {why}"))?;
        let common: Common = typed(common).map_err(|why| format!("receiver `{name}`: {why}"))?;
        Ok(Self {
            id: common.id,
            kind,
            allow_private: common.allow_private,
            allow_networks: common.allow_networks,
            ca_file: common.ca_file,
            concurrency: common.concurrency,
            timeout_ms: common.timeout_ms,
        })
    }
}

/// Fields as a type. The error names the field and never repeats its value, which may be a secret in the wrong place.
pub(crate) fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let (path, text) = (error.path().to_string(), error.inner().to_string());
        if text.starts_with("unknown field") || text.starts_with("missing field") {
            return text;
        }
        let expected = text.find("expected").and_then(|at| text.get(at..)).unwrap_or("it is not valid");
        format!("field `{path}`: {expected}")
    })
}

/// Globs, where there are any.
pub(crate) fn globs(field: &str, patterns: &[String]) -> Result<Option<GlobSet>, String> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let wrong = |error: globset::Error| format!("field `{field}`: {error}");
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map(Some).map_err(wrong)
}

impl ReceiverOptions {
    /// A receiver of this kind, with what all kinds have left at its defaults.
    pub const fn new(id: ReceiverId, kind: Kind) -> Self {
        Self {
            id,
            kind,
            allow_private: false,
            allow_networks: Vec::new(),
            ca_file: None,
            concurrency: default_concurrency(),
            timeout_ms: default_timeout_ms(),
        }
    }

    /// What it may reach.
    pub(crate) fn guard(&self, allowed_hosts: &[String]) -> Result<Guard, Error> {
        let hosts = globs("enforcement.allowed_hosts", allowed_hosts);
        Ok(Guard {
            allow_private: self.allow_private,
            networks: self.allow_networks.clone(),
            hosts: hosts.map_err(|why| self.wrong(why))?,
        })
    }

    /// Checks what can be checked before anything is sent.
    pub(crate) fn check(&self, guard: &Guard) -> Result<(), Error> {
        if self.concurrency == 0 || self.timeout_ms == 0 {
            return Err(self.wrong("`concurrency` and `timeout_ms` must be at least 1".into()));
        }
        for (field, url) in self.kind.urls() {
            guard.check_url(url).map_err(|refused| self.wrong(format!("field `{field}`: {refused}")))?;
        }
        Ok(())
    }

    pub(crate) fn wrong(&self, why: String) -> Error {
        Error::Receiver { id: self.id.to_string(), why }
    }
}
