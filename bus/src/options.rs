//! How to reach Kafka.

use crate::error::Error;
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// How to reach Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaOptions {
    /// Brokers, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Partitions of each topic when it is created. A partition is a shard; the number cannot be changed later.
    pub partitions: u32,
    /// Replicas of each partition when a topic is created.
    pub replication: u32,
    /// Passed to librdkafka as they are: TLS (`security.protocol`, `ssl.*`), SASL (`sasl.*`), timeouts.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".into(),
            partitions: 4,
            replication: 1,
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaOptions {
    /// Checks what can be checked without a broker.
    pub fn check(&self) -> Result<(), Error> {
        match self.properties.keys().find(|name| RESERVED.contains(&name.as_str())) {
            Some(name) => Err(Error::ReservedProperty(name.clone())),
            None => Ok(()),
        }
    }

    /// A client's configuration, before its own settings.
    pub(crate) fn client(&self, client_id: &str) -> Result<ClientConfig, Error> {
        self.check()?;
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
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

    #[test]
    fn what_carries_a_guarantee_cannot_be_set() {
        for name in RESERVED {
            let properties = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            let options = KafkaOptions { properties, ..KafkaOptions::default() };
            assert!(options.check().unwrap_err().to_string().contains(name));
        }
        let properties = BTreeMap::from([("security.protocol".to_owned(), "SASL_SSL".to_owned())]);
        KafkaOptions { properties, ..KafkaOptions::default() }.client("t").unwrap();
    }
}
