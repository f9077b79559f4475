//! What the tests share: the program and what came of it, servers that do as they are told, and the files of a run.

mod files;
mod gate;
mod harness;
mod json_schema;
mod name_server;
mod nights;
mod pages;
mod relays;
mod server;
mod steps;
mod workbooks;

pub use files::*;
pub use gate::*;
pub use harness::*;
pub use json_schema::*;
pub use name_server::*;
pub use nights::*;
pub use pages::*;
pub use relays::*;
pub use server::*;
pub use workbooks::*;
