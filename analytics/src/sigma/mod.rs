//! Family R: rules that the customer writes, in Sigma (specification 2.1, detections and correlations).
//!
//! Parsing and matching are `rsigma`'s. Which set of rules judges an event is told by the shard itself: a
//! `rules.activated` event carries the set, and the set holds from there to the next one (INVARIANT A-1). Correlations
//! are folded here: `rsigma`'s own fold forgets in an order that depends on hashing, and counts whole seconds.
//!
//! ```text
//! folder -> check -> rules.activated -> RuleSet --+
//!                                      event -----+-> rules that match -> windows of correlations -> findings
//! ```

mod correlation;
mod examples;
mod fields;
mod judge;
mod lint;
mod load;
mod source;
mod window;
mod yaml;

pub use examples::{Example, run_examples};
pub use fields::{CATEGORIES, FIELDS, Field};
pub use lint::check;
pub use load::{InvalidSet, RuleSet, Summary};
pub use source::{Level, Problem};

pub(crate) use judge::Sigma;
pub(crate) use load::ENGINE;
