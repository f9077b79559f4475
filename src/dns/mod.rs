//! Whether a connector's record is in DNS: what was asked of which resolver, what was answered, and what follows.
//!
//! What follows ([`record`]) is pure. What was answered is evidence ([`lookups`]): a report is made from it again without
//! asking anybody. Only [`resolver`] asks.

pub mod lookups;
pub mod names;
mod pace;
pub mod record;
pub mod resolver;

pub use lookups::{Lookups, LookupsHeader, LookupsWriter};
pub use record::{Claim, DnsTxt, KnownCodes, SeenInDns};
pub use resolver::{Asker, AskerOptions};
