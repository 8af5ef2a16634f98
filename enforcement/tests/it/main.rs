//! Consequence from outside: what the policy decides, what the outbox keeps, what receivers get.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod contract;
mod delivery;
mod outbox;
mod policy;
mod receivers;
mod support;
