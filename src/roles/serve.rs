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
use ambit_schemas::{Event, Shard, encode};
use anyhow::Context;
use futures::future::BoxFuture;
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

/// Writes what people do to Kafka.
#[derive(Debug)]
pub struct Writer {
    producer: Producer,
    kafka: Health,
}

impl Writer {
    /// A writer.
    pub fn new(config: &Config, kafka: Health) -> anyhow::Result<Self> {
        Ok(Self { producer: Parts { config }.prompt_producer("ambit-api")?, kafka })
    }
}

impl Publish for Writer {
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(Shard, u64), PublishError>> {
        Box::pin(async move {
            if let Some(trouble) = self.kafka.trouble() {
                return Err(PublishError(trouble));
            }
            let outgoing = encode(&event).map_err(|error| PublishError(error.to_string()))?;
            match timeout(SEND_WITHIN, self.producer.send(outgoing)).await {
                Ok(Ok(place)) => Ok(place),
                Ok(Err(error)) => {
                    tracing::warn!("what somebody did could not be written to Kafka: {error}");
                    Err(PublishError("Kafka did not take it: do it again".into()))
                }
                Err(_) => Err(PublishError("Kafka did not take it in time: do it again".into())),
            }
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
        let sent = writer.publish(event).await.is_ok();
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
