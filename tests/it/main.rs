//! The program as people run it: the real binary against servers on loopback, some of which misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by panicking; clippy.toml allows it in the tests themselves, not in what they share"
)]

mod accounts;
mod accounts_cmd;
mod answers;
mod audit;
mod baselines;
mod completions;
mod connections;
mod connectors;
mod crashes;
mod csv_files;
mod deploy;
mod determinism;
mod dns;
mod docs;
mod docs_commands;
mod docs_generated;
mod doctor;
mod exports;
mod faults;
mod first_screen;
mod fixes;
mod fuzz;
mod history;
mod html_page;
mod keep;
mod limits;
mod markdown;
mod metrics;
mod name_servers;
mod nights;
mod ocsf;
mod openapi_checks;
mod organizations;
mod pacing;
mod policies;
mod rendering;
mod retries;
mod schemas;
mod shards;
mod simulated;
mod spec;
mod split;
mod summaries;
mod support;
mod tokens;
mod usage;
mod workbooks;
