//! One integration binary: a single link, parallel tests, one harness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::string_slice,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod tidy;
