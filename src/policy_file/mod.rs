//! The policy's file: how it is written, and how a valid policy is read of it. All that is wrong with it is told at once.

mod damage;
mod lines;
mod problems;
mod read;
mod value_schema;
mod words;
mod written;

pub use problems::{PolicyError, Problem};
pub use words::{is_domain, is_pattern};
pub use written::{WrittenPolicy, schema};
