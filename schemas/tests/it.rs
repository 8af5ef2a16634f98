//! What others read is held still by files: wire examples of every kind, and JSON schemas. To accept a change on
//! purpose, run with `UPDATE_GOLDEN=1` and review the difference.

#![allow(clippy::disallowed_methods, reason = "scripts tell the tests by the environment what to do")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::let_underscore_must_use,
    clippy::missing_panics_doc,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    clippy::unnecessary_box_returns,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod examples;
mod examples_orders;
mod golden;
mod hostile;
mod json_schema;
mod sources;
