//! The program as people run it: the real binary against servers on loopback, some of which misbehave.

mod accounts;
mod answers;
mod audit;
mod crashes;
mod csv_files;
mod determinism;
mod docs;
mod faults;
mod harness;
mod html_page;
mod pacing;
mod retries;
mod server;
mod spec;
mod tokens;
mod usage;
