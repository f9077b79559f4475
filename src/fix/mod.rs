//! From findings to the plan that would fix them, and carrying it out.
//!
//! A plan never deletes, and does not decide what a person must decide. What it would do to a connector rests on what
//! the evidence says of it; whoever carries it out reads the connector again first, and leaves alone what is no longer so.

mod apply;
mod log;
mod plan;
mod records;
mod step;

pub use apply::{ApplyError, Hand, Tally};
pub use log::{FixLog, LogError, StepOutcome, StepResult};
pub use plan::{Allowed, Manual, Plan};
pub use records::{Record, TTL, publishable, unpublishable, zone_snippet};
pub use step::{Action, Step};
