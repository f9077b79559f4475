//! `cf-sso-audit export WHAT RUN_DIR`: what other tools take, on stdout.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::judgement::check_evidence;
use super::{Failure, exit, json_text, print, tell_line};
use crate::evidence::{AccountEvidence, Evidence, FILE_NAME};
use crate::export::{Records, head, of_account};
use crate::model::sort_connectors;
use crate::outcome::Outcome;
use crate::text::count;

/// Export a run for other tools: Terraform configuration, or TXT records to publish
///
/// From the run's evidence alone: no network, no token. Where accounts were not read in full, the exit code is 3, and a
/// warning says how many.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Import the connectors into Terraform as they are:
      cf-sso-audit export terraform reports/latest > sso_connectors.tf
  The TXT records still to be added, as zone-file lines:
      cf-sso-audit export dns reports/latest
  The same for a DNS tool, as JSON:
      cf-sso-audit export dns reports/latest --format json")]
pub struct ExportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A cloudflare_sso_connector resource with an import block for each connector
    ///
    /// begin_verification is left out: if it is configured, the provider replaces a live connector.
    Terraform {
        /// The run's directory
        run_dir: PathBuf,
    },
    /// The TXT records to add for unverified domains
    Dns {
        /// The run's directory
        run_dir: PathBuf,
        /// Zone-file lines, or JSON for DNS tools
        #[arg(long, value_enum, default_value_t = DnsFormat::Zone)]
        format: DnsFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DnsFormat {
    Zone,
    Json,
}

/// How much is gathered before it is written, in bytes.
const CHUNK: usize = 64 * 1024;

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<u8, Failure> {
    match &args.what {
        What::Terraform { run_dir } => {
            let evidence = open(run_dir)?;
            let mut text = head(evidence.header());
            let not_whole = each(&evidence, |position, account| {
                text.push_str(&of_account(&evidence.header().accounts[position], account));
                if text.len() > CHUNK {
                    print(&text)?;
                    text.clear();
                }
                Ok(())
            })?;
            print(&text)?;
            Ok(ended(not_whole))
        }
        What::Dns { run_dir, format } => {
            let evidence = open(run_dir)?;
            let header = evidence.header();
            let mut records = Records::default();
            let not_whole = each(&evidence, |position, account| {
                records.add(&header.accounts[position], account);
                Ok(())
            })?;
            print(&match format {
                DnsFormat::Zone => records.zone(&header.run_id),
                DnsFormat::Json => {
                    let json = records.json(&header.run_id);
                    let json = json.map_err(|error| Failure::failed(error.to_string()))?;
                    json_text(&json)
                }
            })?;
            Ok(ended(not_whole))
        }
    }
}

fn open(run_dir: &Path) -> Result<Evidence, Failure> {
    let evidence = Evidence::open(&run_dir.join(FILE_NAME)).map_err(|error| {
        Failure::usage(format!("the evidence cannot be read: {error}"))
            .hint("give the directory of a run, which contains evidence.jsonl")
    })?;
    let place = run_dir.canonicalize();
    check_evidence(place.as_deref().unwrap_or(run_dir), &evidence)?;
    Ok(evidence)
}

/// Hands on each account, its connectors in order; how many were not read in full.
fn each(
    evidence: &Evidence,
    mut take: impl FnMut(usize, &AccountEvidence) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut not_whole = 0;
    let mut line = Vec::new();
    for position in 0..evidence.header().accounts.len() {
        let account = evidence.account(position, &mut line);
        let mut account = account.map_err(|error| Failure::failed(error.to_string()))?;
        sort_connectors(&mut account.connectors);
        not_whole += usize::from(account.outcome != Outcome::Read);
        take(position, &account)?;
    }
    Ok(not_whole)
}

fn ended(not_whole: usize) -> u8 {
    if not_whole == 0 {
        return exit::DONE;
    }
    let verb = if not_whole == 1 { "was" } else { "were" };
    tell_line(&format!(
        "warning: {} {verb} not read in full: connectors are missing from the output",
        count(not_whole, "account")
    ));
    exit::INCOMPLETE
}
