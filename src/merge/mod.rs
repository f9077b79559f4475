//! Several runs made one: shards of an audit, or the audits of several operators. Nothing is asked; the evidence of the
//! runs is joined, and judged as that of any other run.
//!
//! A [`Plan`] says which run's answer is taken of each account, and in which order they stand: the one in which one run
//! over all would have had them. The lines of the evidence are copied one by one.

mod error;
mod plan;
mod sources;

pub use error::MergeError;
pub use plan::{Part, Plan};
