//! Cloudflare's SSO connector API on loopback, made up: for `audit --demo`, for `simulate`, and for the tests.
//!
//! It answers the operations of openapi/ with the documented envelopes, keeps what it is told, and refuses what the API
//! would refuse. It is written from the API's documentation alone and shares no code with the client, so that a mistake
//! in the one does not hide in the other.
//!
//! ```text
//! world     what there is (accounts, connectors) and how it may change      domains  which connectors a domain has
//! generate  a world of any size from a seed      demo   the world of `audit --demo`
//! routes    one request, one answer              answer the envelopes and the refusals
//! server    sockets, tokens, pacing, headers     rate   the limit on requests
//! trouble   accounts that cannot be read, on purpose
//! zone      what DNS holds for the world       name_server  answers questions about it
//! ```

mod answer;
mod clock;
mod demo;
mod domains;
mod generate;
mod name_server;
mod rate;
mod routes;
mod seed;
mod server;
#[cfg(test)]
mod tests;
mod trouble;
mod world;
mod zone;

pub use clock::Clock;
pub use rate::Rate;
pub use server::{Options, Running, start};
pub use trouble::{TroubleShare, Troubles};
pub use world::{Totals, World};
