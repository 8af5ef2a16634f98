//! How to reach Kafka.

use crate::error::Error;
use crate::secret::SecretRef;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Properties that carry guarantees: acknowledgement, order, positions, integrity.
const RESERVED: [&str; 15] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "group.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

/// What stands in place of a secret where a configuration is shown.
const MASK: &str = "***";

/// A value of a librdkafka property.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Property {
    /// As it is.
    Text(String),
    /// A secret that stands elsewhere.
    Secret(SecretRef),
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Which property it is of is not known here.
            Self::Text(_) => f.write_str(MASK),
            Self::Secret(place) => place.fmt(f),
        }
    }
}

impl From<&str> for Property {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Whether a property's value is a secret by its name.
fn is_secret(name: &str) -> bool {
    name == "ssl.key.pem" || [".password", ".key", ".secret"].iter().any(|ending| name.ends_with(ending))
}

/// Shows everything but secrets that stand in the configuration itself.
fn masked<S: Serializer>(properties: &BTreeMap<String, Property>, serializer: S) -> Result<S::Ok, S::Error> {
    let mask = |name: &String, value: &Property| match value {
        Property::Text(_) if is_secret(name) => MASK.into(),
        Property::Text(_) | Property::Secret(_) => value.clone(),
    };
    serializer.collect_map(properties.iter().map(|(name, value)| (name, mask(name, value))))
}

/// How to reach Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaOptions {
    /// Brokers, `host:port`, separated by commas. Empty when none are named: then the embedded one is used.
    pub bootstrap_servers: String,
    /// Partitions of each topic when it is created. A partition is a shard; the number cannot be changed later.
    pub partitions: u32,
    /// Replicas of each partition when a topic is created.
    pub replication: u32,
    /// Passed to librdkafka as they are: TLS (`security.protocol`, `ssl.*`), SASL (`sasl.*`), timeouts. A secret may
    /// stand in a file, `{ file = "..." }`, or in the environment, `{ env = "..." }`.
    #[serde(serialize_with = "masked")]
    pub properties: BTreeMap<String, Property>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { bootstrap_servers: String::new(), partitions: 4, replication: 1, properties: BTreeMap::new() }
    }
}

impl KafkaOptions {
    /// Checks what can be checked without a broker: that no property is reserved or unknown, that secrets are there.
    pub fn check(&self) -> Result<(), Error> {
        let Err(refused) = self.client("ambit-check")?.create_native_config() else { return Ok(()) };
        if let KafkaError::ClientConfig(_, why, property, _) = refused {
            return Err(Error::Property { property, why });
        }
        Err(Error::Client(refused))
    }

    /// The configuration of a member of a consumer group. Positions are never committed by librdkafka itself
    /// (INVARIANT L-3), and an offset that Kafka does not have is an error, not a reason to begin elsewhere (L-4).
    pub(crate) fn member(&self, group: &str, client_id: &str) -> Result<ClientConfig, Error> {
        let mut config = self.client(client_id)?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000");
        Ok(config)
    }

    /// A client's configuration, before its own settings.
    pub(crate) fn client(&self, client_id: &str) -> Result<ClientConfig, Error> {
        if let Some(name) = self.properties.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return Err(Error::ReservedProperty(name.clone()));
        }
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            match value {
                Property::Text(text) => config.set(name, text),
                Property::Secret(place) => {
                    let secret = place.read();
                    let secret = secret.map_err(|why| Error::Secret { property: name.clone(), why })?;
                    config.set(name, secret.as_str())
                }
            };
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000");
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: impl Into<Property>) -> KafkaOptions {
        let properties = BTreeMap::from([(name.to_owned(), value.into())]);
        KafkaOptions { properties, ..KafkaOptions::default() }
    }

    #[test]
    fn what_carries_a_guarantee_cannot_be_set() {
        for name in RESERVED {
            assert!(with(name, "x").check().unwrap_err().to_string().contains(name));
        }
        with("security.protocol", "SASL_SSL").check().unwrap();
    }

    #[test]
    fn unknown_properties_and_values_are_named() {
        for (name, value) in
            [("security.protocl", "SSL"), ("security.protocol", "SLS"), ("socket.timeout.ms", "-1")]
        {
            let told = with(name, value).check().unwrap_err().to_string();
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn secrets_come_from_elsewhere_and_are_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let options = with("sasl.password", Property::Secret(SecretRef::File(path.clone())));
        assert!(options.check().unwrap_err().to_string().contains("sasl.password"));
        std::fs::write(&path, "\n").unwrap();
        assert!(options.check().unwrap_err().to_string().contains("is empty"));
        std::fs::write(&path, "hunter2hunter2\n").unwrap();
        assert_eq!(options.client("t").unwrap().get("sasl.password"), Some("hunter2hunter2"));
        for name in
            ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret", "ssl.key.pem", "a.key"]
        {
            let options = with(name, "hunter2hunter2");
            let shown = format!("{options:?} {}", serde_json::to_string(&options).unwrap());
            assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        }
        let shown = serde_json::to_string(&with("sasl.username", "ambit")).unwrap();
        assert!(shown.contains("ambit"), "{shown}");
    }
}
