//! The program as people run it: the real binary against servers on loopback, some of which misbehave.

mod accounts;
mod accounts_cmd;
mod answers;
mod audit;
mod baselines;
mod connectors;
mod crashes;
mod csv_files;
mod determinism;
mod doctor;
mod faults;
mod fixes;
mod harness;
mod html_page;
mod pacing;
mod policies;
mod rendering;
mod retries;
mod server;
mod simulated;
mod spec;
mod summaries;
mod tokens;
mod usage;
