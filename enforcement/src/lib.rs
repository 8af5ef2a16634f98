//! Consequence: from findings to signed webhooks that somebody has acknowledged.
//!
//! ```text
//! ambit.findings -> policy -> outbox (SQLite) -> deliverer -> signed webhook -> receiver
//!                                |                  |
//!                                +---- events ------+----> ambit.responses
//! ```
//! A finding is read back from Kafka, so it is durable before anything leaves (INVARIANT E-1). What the policy
//! decides, to whom it goes, how each try went and the events that tell of it are written to the outbox in one
//! transaction each; the deliverer is woken by a signal and by a timer, reads what is due, and takes no other input,
//! so the path after a crash is the path of every day. Ids are functions of finding, action and receiver: whatever
//! happens twice has the same id (INVARIANT E-2). The outbox can be deleted: it is rebuilt from the two topics.
//!
//! The loop is closed by two more readers. The follower reads all of `ambit.responses`: what people ordered, what other
//! workers did, what was acknowledged. The watcher reads `ambit.events`: an acknowledged revocation is effective when no
//! use follows it, and a finding when one does.

mod alive;
mod breaker;
mod client;
mod criteria;
mod deliver;
mod error;
mod fetch;
mod follow;
pub mod guard;
mod handle;
mod jwt;
mod network;
mod options;
pub mod outbound;
mod outbox;
mod policy;
mod range;
pub mod receiver;
mod records;
mod schedule;
mod service;
mod set;
pub mod sign;
mod taker;
mod transmitter;
mod watch;
mod watchlist;

pub use alive::{Alive, Asked, RULE_ALIVE, Sight, Watch, WatchOptions, WatchState};
pub use ambit_bus::SecretRef;
pub use deliver::Clock;
pub use error::Error;
pub use fetch::{FetchError, Fetcher, Replied};
pub use handle::{Effectiveness, Handle};
pub use network::Network;
pub use options::{Options, ReceiverOptions};
pub use outbox::{DeliveryState, Done, Due, Outbox};
pub use outbox::{Incoming, Tried};
pub use policy::{BUILT_IN, Before, Blast};
pub use policy::{Decision, Policy, Question};
pub use receiver::set_poll::{Polled, Polls};
pub use receiver::{Kind, Receiver};
pub use records::RULE_ORDER;
pub use schedule::{Evidence, Next, Outcome, next};
pub use service::Service;
pub use set::{CredentialEvent, SetOptions};
pub use transmitter::{TransmitterOptions, jwks, ssf_configuration};
