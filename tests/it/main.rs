//! One integration binary: a single link, parallel tests, one harness.

#![allow(clippy::disallowed_methods, reason = "scripts tell the tests by the environment what to do")]
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

mod api;
mod baselines;
mod candidates;
mod crashes;
mod dead_letters;
mod disk;
mod gaps;
mod group;
mod harness;
mod hostile;
mod ledger;
mod mistakes;
mod monitoring;
mod notices;
mod oracle;
mod outage;
mod pipeline;
mod points;
mod recorded;
mod respond;
mod rules;
mod sources;
mod sources_otlp;
mod sources_topics;
mod stopping;
mod tidy;
mod webhooks;
mod witness;
mod workers;
