//! Topics of other systems that the gateway reads.

use crate::import::Reads;
use ambit_schemas::Topic;
use ambit_schemas::id::{EventSource, TenantId};
use ambit_schemas::sources::{Format, Signal};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Most topics that are read.
const TOPICS_MAX: usize = 100;

/// A topic of another system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTopic {
    /// Its name.
    pub name: String,
    /// What its records are.
    pub format: TopicFormat,
    /// What an OTLP topic in protobuf carries: `traces` or `logs`. The bytes do not say so themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<TopicSignal>,
    /// Whose records they are. Ambit's own events name their tenant themselves.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// Which of several installations of one system they are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

fn default_tenant() -> String {
    "default".to_owned()
}

/// What the records of a topic are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicFormat {
    /// What the fields of each record tell.
    Auto,
    /// Ambit's own events, as CloudEvents in JSON.
    Cloudevents,
    /// OTLP in protobuf, as a collector's Kafka exporter writes it unless told otherwise.
    OtlpProto,
    /// OTLP in JSON.
    OtlpJson,
    /// AWS CloudTrail.
    Cloudtrail,
    /// Vault and OpenBao audit devices.
    Vault,
    /// Kubernetes audit events.
    Kubernetes,
    /// GitHub audit log.
    Github,
    /// Logs of MCP gateways.
    Mcp,
}

/// What an OTLP topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicSignal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

impl SourceTopic {
    /// What its records are read as.
    pub const fn reads(&self) -> Reads {
        match self.format {
            TopicFormat::Auto => Reads::Auto,
            TopicFormat::Cloudevents => Reads::CloudEvents,
            TopicFormat::OtlpProto | TopicFormat::OtlpJson => Reads::Foreign(Format::Otlp),
            TopicFormat::Cloudtrail => Reads::Foreign(Format::CloudTrail),
            TopicFormat::Vault => Reads::Foreign(Format::Vault),
            TopicFormat::Kubernetes => Reads::Foreign(Format::Kubernetes),
            TopicFormat::Github => Reads::Foreign(Format::Github),
            TopicFormat::Mcp => Reads::Foreign(Format::Mcp),
        }
    }

    /// What protobuf it carries, if it does.
    pub fn protobuf(&self) -> Option<Signal> {
        let signal = self.signal.filter(|_| self.format == TopicFormat::OtlpProto)?;
        Some(match signal {
            TopicSignal::Traces => Signal::Traces,
            TopicSignal::Logs => Signal::Logs,
        })
    }

    /// Its tenant.
    pub fn tenant(&self) -> anyhow::Result<TenantId> {
        TenantId::try_from(self.tenant.as_str()).with_context(|| format!("the tenant of topic {}", self.name))
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.name.is_empty() || self.name.starts_with('^') || self.name.len() > 249 {
            bail!("`{}` is not the name of a topic", self.name);
        }
        if Topic::from_name(&self.name).is_some() || self.name == ambit_bus::CHECKPOINT_TOPIC {
            bail!(
                "{} is Ambit's own: what stands there would be written there again, without end",
                self.name
            );
        }
        if (self.format == TopicFormat::OtlpProto) != self.signal.is_some() {
            bail!(
                "`signal` of topic {} must be `traces` or `logs` for `otlp_proto`, and absent for others",
                self.name
            );
        }
        if let Some(origin) = &self.origin {
            EventSource::try_from(format!("x/{origin}"))
                .with_context(|| format!("the origin of topic {}", self.name))?;
        }
        self.tenant().map(|_| ())
    }
}

/// Checks all topics.
pub(super) fn check(topics: &[SourceTopic]) -> anyhow::Result<()> {
    if topics.len() > TOPICS_MAX {
        bail!("{} topics, more than {TOPICS_MAX}", topics.len());
    }
    for (at, topic) in topics.iter().enumerate() {
        topic.check()?;
        if topics.iter().take(at).any(|other| other.name == topic.name) {
            bail!("topic {} is named twice", topic.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Topics {
            topics: Vec<SourceTopic>,
        }
        check(&toml::from_str::<Topics>(text)?.topics)
    }

    #[test]
    fn what_cannot_be_read_or_would_never_end_is_refused() {
        checked("[[topics]]\nname = 'otlp_spans'\nformat = 'otlp_proto'\nsignal = 'traces'").unwrap();
        for (text, word) in [
            ("name = 'otlp_spans'\nformat = 'otlp_proto'", "signal"),
            ("name = 'vault'\nformat = 'vault'\nsignal = 'logs'", "signal"),
            ("name = 'ambit.events'\nformat = 'auto'", "without end"),
            ("name = '^.*'\nformat = 'auto'", "name of a topic"),
            ("name = 'a'\nformat = 'auto'\ntenant = ''", "tenant"),
            ("name = 'a'\nformat = 'auto'\norigin = \"\\n\"", "origin"),
            ("name = 'a'\nformat = 'auto'\n[[topics]]\nname = 'a'\nformat = 'vault'", "twice"),
            ("name = 'a'\nformat = 'syslog'", "syslog"),
        ] {
            let why = format!("{:#}", checked(&format!("[[topics]]\n{text}")).unwrap_err());
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
