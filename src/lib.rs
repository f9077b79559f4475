//! Audits the SSO connectors of many Cloudflare accounts.
//!
//! Data flows one way: accounts → evidence → assessed → files.

pub mod accounts;
pub mod api;
pub mod assess;
pub mod audit;
pub mod baseline;
pub mod bounds;
pub mod caught;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod compare;
pub mod dns;
pub mod evidence;
pub mod export;
pub mod file_mode;
pub mod finding;
pub mod fix;
pub mod jsonl;
pub mod judged;
pub mod ledger;
pub mod lock;
pub mod memory;
pub mod model;
pub mod organizations;
pub mod outcome;
pub mod policy;
pub mod policy_file;
pub mod process_group;
pub mod rate;
pub mod region;
pub mod report;
pub mod rules;
pub mod runs;
pub mod severity;
pub mod simulator;
pub mod spreadsheet;
pub mod text;
pub mod threads;
pub mod thresholds;
pub mod token_command;
pub mod token_form;
pub mod tokens;
