//! Security event tokens, fetched (RFC 8936): deliveries stay in the outbox until the receiver acknowledges them.

use crate::deliver::{Clock, SharedOutbox, with};
use crate::error::Error;
use crate::handle::Handle;
use crate::outbox::{Due, Outbox, Tried};
use crate::receiver::Receiver;
use crate::receiver::set_push::meaning;
use crate::records;
use crate::schedule::Next;
use crate::set::{Set, SetOptions, sets};
use crate::transmitter::Transmitter;
use ambit_bus::SecretRef;
use ambit_schemas::id::{DeliveryId, ReceiverId};
use ambit_schemas::response::Attempt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most tokens of one answer.
const TOKENS_MAX: usize = 100;
/// Most deliveries that are looked at for one question.
const DELIVERIES_MAX: usize = 512;
/// How long a question waits for tokens.
const WAIT: Duration = Duration::from_secs(30);
/// How often it is looked whether there are some meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Fewest characters of a token with which a receiver asks.
const BEARER_CHARS_MIN: usize = 32;

/// A receiver of security event tokens that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPollOptions {
    /// The bearer token with which it asks, at least 32 characters.
    pub bearer: SecretRef,
    /// What it is told.
    pub set: SetOptions,
}

#[derive(Debug, Clone)]
pub(crate) struct SetPoll {
    options: Arc<SetPollOptions>,
    transmitter: Arc<Transmitter>,
}

impl SetPoll {
    pub(super) fn new(options: &SetPollOptions, transmitter: Arc<Transmitter>) -> Result<Self, String> {
        if options.bearer.read()?.len() < BEARER_CHARS_MIN {
            return Err(format!("field `bearer`: at least {BEARER_CHARS_MIN} characters are needed"));
        }
        Ok(Self { options: Arc::new(options.clone()), transmitter })
    }

    fn admits(&self, bearer: &str) -> bool {
        // Digests are compared, so that the time tells nothing of the token.
        self.options
            .bearer
            .read()
            .is_ok_and(|token| Sha256::digest(token.as_bytes()) == Sha256::digest(bearer))
    }
}

/// What a receiver asks (RFC 8936, 2.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    #[serde(default)]
    max_events: Option<usize>,
    #[serde(default)]
    return_immediately: bool,
    #[serde(default)]
    ack: Vec<String>,
    #[serde(default)]
    set_errs: HashMap<String, SetError>,
}

#[derive(Debug, Deserialize)]
struct SetError {
    err: String,
}

/// An answer to a receiver that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

impl Polled {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes() }
    }

    fn error(status: u16, code: &str, description: &str) -> Self {
        Self::json(status, &json!({"err": code, "description": description}))
    }
}

/// What answers receivers that ask. A cheap clone; while enforcement does not run, it says so.
#[derive(Debug, Clone, Default)]
pub struct Polls(Arc<Mutex<Option<Arc<Open>>>>);

/// What answers need.
pub(crate) struct Open {
    outbox: SharedOutbox,
    receivers: Vec<(ReceiverId, SetPoll)>,
    handle: Handle,
    /// Told when there are new events to tell.
    tell: Arc<Notify>,
    clock: Clock,
    /// Tokens of deliveries with several, of which some are acknowledged. Lost with the process: the receiver then gets
    /// all of them again, with the same ids.
    partly: Mutex<HashMap<DeliveryId, HashSet<String>>>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("receivers", &self.receivers).finish_non_exhaustive()
    }
}

impl Polls {
    pub(crate) fn open(&self, open: Option<Open>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = open.map(Arc::new);
    }

    fn now_open(&self) -> Option<Arc<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one question. A wrong token and an unknown receiver are answered alike.
    pub async fn answer(&self, receiver: &str, bearer: Option<&str>, body: &[u8]) -> Polled {
        let Some(open) = self.now_open() else {
            return Polled::error(503, "unavailable", "enforcement does not run");
        };
        let known = open.receivers.iter().find(|(id, _)| id.as_str() == receiver);
        let Some((id, poll)) = known.filter(|(_, poll)| bearer.is_some_and(|bearer| poll.admits(bearer)))
        else {
            return Polled::error(401, "authentication_failed", "the bearer token is not this receiver's");
        };
        // An object, and not what could be read as one.
        let object = serde_json::from_slice::<Map<String, Value>>(body);
        let question = object.and_then(|object| serde_json::from_value::<Question>(Value::Object(object)));
        let Ok(question) = question else {
            return Polled::error(400, "invalid_request", "the body is no request by RFC 8936");
        };
        let deadline = Instant::now() + WAIT;
        let answered = async {
            open.settle(id, poll, &question).await?;
            let most = question.max_events.unwrap_or(TOKENS_MAX).min(TOKENS_MAX);
            loop {
                let (sets, more) = open.waiting(id, poll, most).await?;
                let done = !sets.is_empty() || question.return_immediately || most == 0;
                if done || Instant::now() >= deadline {
                    return Ok(Polled::json(200, &json!({"sets": sets, "moreAvailable": more})));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        answered
            .await
            .unwrap_or_else(|_: Error| Polled::error(503, "unavailable", "the outbox cannot be used"))
    }
}

impl Open {
    /// For the receivers that ask, if there are any.
    pub(crate) fn new(
        receivers: &[Receiver],
        outbox: &SharedOutbox,
        handle: &Handle,
        tell: &Arc<Notify>,
        clock: &Clock,
    ) -> Option<Self> {
        let polled =
            receivers.iter().filter_map(|receiver| Some((receiver.id.clone(), receiver.polled()?.clone())));
        let receivers: Vec<_> = polled.collect();
        (!receivers.is_empty()).then(|| Self {
            outbox: Arc::clone(outbox),
            receivers,
            handle: handle.clone(),
            tell: Arc::clone(tell),
            clock: Arc::clone(clock),
            partly: Mutex::default(),
        })
    }

    async fn due(&self, id: &ReceiverId) -> Result<Vec<Due>, Error> {
        let (id, now) = (id.clone(), (self.clock)());
        with(&self.outbox, move |outbox| outbox.due(&id, now, DELIVERIES_MAX, &[])).await
    }

    fn tokens(&self, poll: &SetPoll, due: &Due) -> Vec<Set> {
        let acknowledged = self.partly.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = acknowledged.get(&due.delivery_id);
        let seconds = (self.clock)().micros().div_euclid(1_000_000);
        let mut tokens = sets(&poll.options.set, &poll.transmitter, due, seconds);
        tokens.retain(|token| !taken.is_some_and(|taken| taken.contains(&token.id)));
        tokens
    }

    /// Tokens that wait, by id, and whether there are more.
    async fn waiting(
        &self,
        id: &ReceiverId,
        poll: &SetPoll,
        most: usize,
    ) -> Result<(Map<String, Value>, bool), Error> {
        let (mut sets, mut more) = (Map::new(), false);
        for due in self.due(id).await? {
            for set in self.tokens(poll, &due) {
                if sets.len() >= most {
                    more = true;
                } else if let Ok(token) = poll.transmitter.sign(&set.claims) {
                    sets.insert(set.id, Value::String(token));
                }
            }
        }
        Ok((sets, more))
    }

    /// Notes what the receiver has taken, and what it will not take.
    async fn settle(&self, id: &ReceiverId, poll: &SetPoll, question: &Question) -> Result<(), Error> {
        if question.ack.is_empty() && question.set_errs.is_empty() {
            return Ok(());
        }
        let mut tries = Vec::new();
        for due in self.due(id).await? {
            let tokens = self.tokens(poll, &due);
            let refused = tokens.iter().find_map(|token| question.set_errs.get(&token.id));
            if let Some(error) = refused {
                // What the receiver may take later stays: it asks again.
                if let (false, class) = meaning(&error.err) {
                    tries.push(self.tried(due, Next::DeadLetter(class)));
                }
                continue;
            }
            let taken: Vec<&Set> = tokens.iter().filter(|token| question.ack.contains(&token.id)).collect();
            if taken.len() == tokens.len() {
                tries.push(self.tried(due, Next::Acknowledged));
            } else if !taken.is_empty() {
                let mut partly = self.partly.lock().unwrap_or_else(PoisonError::into_inner);
                let of = partly.entry(due.delivery_id.clone()).or_default();
                of.extend(taken.into_iter().map(|token| token.id.clone()));
            }
        }
        {
            let mut partly = self.partly.lock().unwrap_or_else(PoisonError::into_inner);
            for tried in &tries {
                partly.remove(&tried.due.delivery_id);
            }
        }
        with(&self.outbox, move |outbox: &mut Outbox| outbox.record(&tries)).await?;
        self.tell.notify_one();
        Ok(())
    }

    fn tried(&self, due: Due, next: Next) -> Tried {
        let (now, number) = ((self.clock)(), due.attempts + 1);
        let error = match next {
            Next::Acknowledged => {
                self.handle.acknowledged();
                None
            }
            Next::DeadLetter(class) => {
                self.handle.dead_lettered();
                Some(class.to_owned())
            }
            Next::Retry(_) => None,
        };
        self.handle.attempted(Duration::ZERO);
        let attempt = Attempt { http_status: Some(200), error, ..records::attempt(&due, number, now) };
        Tried { due, attempt, next, ended_at: now, evidence: None }
    }
}
