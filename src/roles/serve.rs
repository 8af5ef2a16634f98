//! The API's part of the process: who may ask, where it is recorded, and how what people do gets into Kafka.

use crate::config::Config;
use crate::keys;
use crate::roles::parts::Parts;
use crate::simulate::now;
use ambit_bus::{Health, Producer};
use ambit_enforcement::Fetcher;
use ambit_query_api::access::{Access, Fetch};
use ambit_query_api::trail::{Asked, Fold, Trail};
use ambit_query_api::{Publish, PublishError};
use ambit_schemas::redact::{RedactionSecret, join, redact};
use ambit_schemas::{Event, Outgoing, Shard, encode};
use anyhow::Context;
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

/// Said where questions are not recorded.
pub const NOT_RECORDED: &str = "who asks what is not recorded: `api.audit.enabled` is false";
/// How long Kafka may take for one event.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long is waited after Kafka did not take a record of the audit trail.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked whether questions alike are to be recorded.
const FOLD_EVERY: Duration = Duration::from_secs(1);
/// How long the end may take: what Kafka has not taken by then is told in the log.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What the configuration and the keys say about who may ask. The token of the first start is returned beside it.
pub fn access(config: &Config) -> anyhow::Result<(Arc<Access>, Zeroizing<String>)> {
    let first = keys::token(&config.keys_dir().join("api.token"))?;
    let oidc = match &config.api.oidc {
        None => None,
        Some(options) => {
            let fetcher = Fetcher::new(options.allow_private).context("`api.oidc`")?;
            Some((options.clone(), Arc::new(Https(fetcher)) as Arc<dyn Fetch>))
        }
    };
    Ok((Arc::new(Access::new(&first, config.tokens_path(), oidc)), first))
}

/// Gets an identity provider's documents with the client that guards webhooks.
struct Https(Fetcher);

impl Fetch for Https {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(async move { self.0.get(url).await.map_err(|error| format!("{url}: {error}")) })
    }
}

/// Writes what people do and ask to Kafka.
#[derive(Debug)]
pub struct Writer {
    producer: Producer,
    kafka: Health,
    redaction: RedactionSecret,
}

impl Writer {
    /// A writer.
    pub fn new(config: &Config, kafka: Health) -> anyhow::Result<Self> {
        let secret = keys::token(&config.keys_dir().join("redaction.key"))?;
        let producer = Parts { config }.prompt_producer("ambit-api")?;
        Ok(Self { producer, kafka, redaction: RedactionSecret::new(secret.as_bytes()) })
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(Shard, u64), PublishError> {
        if let Some(trouble) = self.kafka.trouble() {
            return Err(PublishError(trouble));
        }
        match timeout(SEND_WITHIN, self.producer.send(outgoing)).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(error)) => {
                tracing::warn!("what somebody did or asked could not be written to Kafka: {error}");
                Err(PublishError("Kafka did not take it: do it again".into()))
            }
            Err(_) => Err(PublishError("Kafka did not take it in time: do it again".into())),
        }
    }
}

/// INVARIANT P-1: people paste secrets into notes.
fn redacted(event: &Event, secret: &RedactionSecret) -> anyhow::Result<Outgoing> {
    let mut outgoing = encode(event)?;
    let mut data: Value = serde_json::from_slice(&outgoing.value)?;
    let report = redact(&mut data, &secret.key(&event.tenant));
    if report.total > 0 {
        join(&mut data, &report);
        outgoing.value = serde_json::to_vec(&data)?.into();
    }
    Ok(outgoing)
}

impl Publish for Writer {
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(Shard, u64), PublishError>> {
        Box::pin(async move {
            let outgoing =
                redacted(&event, &self.redaction).map_err(|error| PublishError(error.to_string()))?;
            self.send(outgoing).await
        })
    }
}

/// Where questions are recorded, and what writes them to Kafka; with the trail switched off neither is anything.
pub fn trail(config: &Config) -> (Trail, Option<TrailWriter>) {
    let options = &config.api.audit;
    if !options.enabled {
        return (Trail::off(), None);
    }
    let (trail, asked) = Trail::new(options.queue);
    (trail, Some(TrailWriter { asked, fold: Fold::new(options.fold_seconds), queue: options.queue.max(1) }))
}

/// Takes records of questions and writes them to Kafka, in their order. While Kafka takes none they are kept, as many as
/// may wait; then the API refuses to answer.
#[derive(Debug)]
pub struct TrailWriter {
    asked: Receiver<Asked>,
    fold: Fold,
    queue: usize,
}

impl TrailWriter {
    /// Runs until nobody can ask any more and all is written, or the end has taken too long.
    pub async fn run(mut self, writer: Arc<Writer>) {
        let mut waiting: VecDeque<Event> = VecDeque::new();
        let mut sending: Option<BoxFuture<'static, bool>> = None;
        let mut tick = tokio::time::interval(FOLD_EVERY);
        let mut open = true;
        while open {
            let has_room = waiting.len() < self.queue;
            if sending.is_none() {
                sending = waiting.front().map(|event| send(Arc::clone(&writer), event.clone()));
            }
            tokio::select! {
                asked = self.asked.recv(), if has_room => match asked {
                    Some(asked) => push(&mut waiting, self.fold.take(asked)),
                    None => open = false,
                },
                _ = tick.tick() => self.fold.due(now()).into_iter().for_each(|one| push(&mut waiting, Some(one))),
                sent = under_way(&mut sending) => {
                    sending = None;
                    if sent {
                        waiting.pop_front();
                    }
                }
            }
        }
        self.fold.finish().into_iter().for_each(|one| push(&mut waiting, Some(one)));
        let end = async {
            while let Some(event) = waiting.front() {
                let first = sending.take().unwrap_or_else(|| send(Arc::clone(&writer), event.clone()));
                if first.await {
                    waiting.pop_front();
                }
            }
        };
        if timeout(END_WITHIN, end).await.is_err() {
            tracing::error!(records = waiting.len(), "the end of the audit trail did not reach Kafka");
        }
    }
}

fn push(waiting: &mut VecDeque<Event>, asked: Option<Asked>) {
    match asked.map(Asked::event).transpose() {
        Ok(event) => waiting.extend(event),
        // Names were ids before.
        Err(error) => tracing::error!("a record of the audit trail is no event: {error}"),
    }
}

/// Sends a record. Whether Kafka has it; if not, a moment has passed.
fn send(writer: Arc<Writer>, event: Event) -> BoxFuture<'static, bool> {
    Box::pin(async move {
        let sent = match encode(&event) {
            Ok(outgoing) => writer.send(outgoing).await.is_ok(),
            // It holds no text of unbounded length.
            Err(error) => {
                tracing::error!("a record of the audit trail cannot be written: {error}");
                true
            }
        };
        if !sent {
            sleep(RETRY_AFTER).await;
        }
        sent
    })
}

async fn under_way(sending: &mut Option<BoxFuture<'static, bool>>) -> bool {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::Timestamp;
    use ambit_schemas::event::Body;
    use ambit_schemas::notice::notice;
    use ambit_schemas::triage::{TriageChange, TriageState};

    #[test]
    fn a_secret_in_a_note_is_not_written_and_all_else_is_as_it_was() {
        let event = |note: &str| {
            let change = TriageChange {
                finding_id: "fnd-9f86d081884c7d659a2feaa0c55ad015".parse().unwrap(),
                author: "https://login.example/soc#9f86d081-884c-7d65-9a2f-eaa0c55ad015".parse().unwrap(),
                state: Some(TriageState::Acknowledged),
                disposition: None,
                assignee: Some("kim".parse().unwrap()),
                unassigned: false,
                note: Some(note.into()),
            };
            let body = Body::TriageChanged(Box::new(change));
            notice("ambit/api", "triage.changed-019a", Timestamp::from_micros(0), body).unwrap()
        };
        let secret = RedactionSecret::new(b"installation");
        let plain = event("looks like the agent's own doing");
        assert_eq!(redacted(&plain, &secret).unwrap(), encode(&plain).unwrap());
        let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
        let written = redacted(&event(&format!("it used {token} here")), &secret).unwrap();
        let text = std::str::from_utf8(&written.value).unwrap();
        assert!(!text.contains(&token) && text.contains("it used") && text.contains("redactions"), "{text}");
    }
}
