//! Consequence from outside: what the policy decides, what the outbox keeps, what receivers get.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod alive;
mod closed_loop;
mod contract;
mod delivery;
mod evidence;
mod hostile;
mod outbox;
mod pauses;
mod people;
mod policy;
mod receivers;
mod running;
mod shared;
mod support;
