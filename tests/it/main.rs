//! One integration binary: a single link, parallel tests, one harness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::string_slice,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod crashes;
mod harness;
mod hostile;
mod ledger;
mod mistakes;
mod pipeline;
mod recorded;
mod sources;
mod tidy;
