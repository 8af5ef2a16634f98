//! Judgement from outside: scenarios are data, the fold's properties hold over all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod drift_evidence;
mod flow;
mod fold;
mod late;
mod oracle;
mod rules;
mod scenario;
mod sigma;
mod sigma_windows;
