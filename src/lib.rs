//! Audits the SSO connectors of many Cloudflare accounts.
//!
//! Data flows one way: accounts → evidence → assessed → files.

pub mod accounts;
pub mod api;
pub mod clock;
pub mod evidence;
pub mod model;
pub mod policy;
pub mod rules;
pub mod text;
