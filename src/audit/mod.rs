//! An audit as far as reading goes: from what names the accounts to evidence that is whole, or can be resumed.
//!
//! What is [`Asked`] for is known before any request. What has [`Begun`], or is [`Resumed`], has a directory and evidence
//! in it.

mod asked;
mod begun;
mod error;
mod lookups;
mod named;
mod organizations;
mod overtaken;
mod place;
mod resume;

pub use asked::Asked;
pub use begun::{Begun, Collected, Ready, Watcher};
pub use error::AuditError;
pub use lookups::{LookupWatcher, look_up};
pub use named::{Named, Selection, refuse_tokens};
pub use organizations::{UnderOne, Walk};
pub use place::Place;
pub use resume::Resumed;
