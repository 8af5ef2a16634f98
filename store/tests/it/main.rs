//! One integration binary over real disks and real readers.

#![allow(clippy::disallowed_methods, reason = "scripts tell the tests by the environment what to do")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::too_many_lines,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod commits;
mod common;
mod compaction;
mod corruption;
mod evolution;
mod payloads;
mod power;
mod readers;
mod retention;
mod s3;
