//! What other tools take of a run: pure, from its evidence alone.

mod dns;
mod terraform;

pub use dns::{DnsRecord, Records};
pub use terraform::{head, of_account};
