//! `cf-sso-audit merge RUN_DIR... -o DIR`: one run of several, without asking anybody.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::judgement::{FilesArgs, Judged, JudgementArgs, Written, check_evidence};
use super::stop::Stop;
use super::{Failure, descriptors, exit, print, tell_line};
use crate::baseline::History;
use crate::clock::Clock;
use crate::evidence::Evidence;
use crate::file_mode::FileMode;
use crate::merge::{MergeError, Part, Plan};
use crate::runs::{ApiAsked, FolderLock, RunDirectory, lock_folder};

/// Merge several runs into one: shards of an audit, or the audits of several operators
///
/// Joins the runs' evidence and judges it as a whole, across all accounts: no network, no token. The report is the one
/// that a single run over all accounts would have written. A missing shard is a gap in coverage, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Make one run of three shards, each in a folder of its own:
      cf-sso-audit audit --accounts-file accounts.csv --shard 0/3 -o shards/0    # and 1/3, 2/3
      cf-sso-audit merge shards/0/latest shards/1/latest shards/2/latest -o reports
  The same each night: what is new is found by the merged run of the night before, in reports:
      cf-sso-audit merge shards/*/latest -o reports --policy policy.toml --fail-on-new high")]
pub struct MergeArgs {
    /// The runs' directories
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    judgement: JudgementArgs,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
struct ReportArgs {
    /// The folder that holds the merged runs; this one gets DIR/<UTC start of the first>/, and is compared with the newest
    /// complete one there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    files: FilesArgs,
}

/// Runs the command.
pub async fn run(args: MergeArgs, quiet: bool) -> Result<u8, Failure> {
    let stop = Stop::listen();
    Clock::from_environment().map_err(Failure::usage)?;
    let template = args.report.files.template()?;
    let ocsf = args.report.files.ocsf()?;
    let mode = FileMode(args.report.files.output_mode);
    let args = Arc::new(args);
    let opened = aside(&args, open);
    let (parts, plan) = tokio::select! {
        opened = opened => opened?,
        () = stop.requested() => end_interrupted(&args, None),
    };
    let policy = args.judgement.policy(plan.header().demo)?;
    let directory = RunDirectory::create(&args.report.output, plan.started(), mode)?;
    let partial = directory.partial();
    let joined = aside(&args, {
        let (partial, run_id) = (partial.clone(), directory.run_id.clone());
        move |args| join(args, &parts, plan, &partial, &run_id)
    });
    let joined = tokio::select! {
        joined = joined => joined,
        () = stop.requested() => end_interrupted(&args, Some(&directory)),
    };
    let (evidence, history, _lock) = joined.inspect_err(|_| directory.discard())?;
    let judged = Judged {
        directory: partial,
        evidence: Box::new(evidence),
        history,
        policy,
        thresholds: args.judgement.thresholds(None),
        template,
        ocsf,
        title: None,
    };
    let written = tokio::select! {
        written = judged.write(&args.report.files) => written,
        () = stop.requested() => end_interrupted(&args, Some(&directory)),
    };
    // All of it can be made again.
    let Written { code, text, .. } = written.inspect_err(|_| directory.discard())?;
    let whole = directory.publish()?;
    if !quiet {
        print(&text)?;
    }
    print(&format!("{}\n", whole.display()))?;
    Ok(code)
}

/// Does work that waits for the disk or for a lock on a thread of its own, so that a signal still ends the program at once.
async fn aside<T: Send + 'static>(
    args: &Arc<MergeArgs>,
    work: impl FnOnce(&MergeArgs) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let args = Arc::clone(args);
    let working = tokio::task::spawn_blocking(move || work(&args));
    working.await.map_err(|error| {
        Failure::failed(format!(
            "the runs were not merged: {error}; this is a bug of this program"
        ))
    })?
}

/// Ends the program: only the thread that works is left, and nothing of what it writes is in its place.
fn end_interrupted(args: &MergeArgs, directory: Option<&RunDirectory>) -> ! {
    if let Some(directory) = directory {
        directory.discard();
    }
    let place = args.report.output.display();
    tell_line(&format!("interrupted: {place} is unchanged"));
    std::process::exit(i32::from(exit::INTERRUPTED));
}

/// Opens the runs, each once, and finds out how they become one.
fn open(args: &MergeArgs) -> Result<(Vec<Part>, Plan), Failure> {
    // Evidence and lookups of each stay open.
    descriptors::make_room(2 * args.runs.len())?;
    let mut parts: Vec<Part> = Vec::new();
    let mut seen = HashSet::new();
    for run in &args.runs {
        let part = Part::open(run)?;
        if !seen.insert(part.directory().to_owned()) {
            tracing::warn!(
                "{} was given more than once and is merged once",
                part.directory().display()
            );
            continue;
        }
        check_evidence(part.directory(), part.evidence())?;
        parts.push(part);
    }
    let plan = Plan::of(&parts)?;
    let api = ApiAsked::by(plan.header());
    args.judgement
        .comparison()
        .check(&args.report.output, api)?;
    Ok((parts, plan))
}

/// Joins the evidence, once no other run of the folder is being judged: which run is the newest, and what it knows, holds
/// until this one is the newest.
fn join(
    args: &MergeArgs,
    parts: &[Part],
    plan: Plan,
    partial: &Path,
    run_id: &str,
) -> Result<(Evidence, History, FolderLock), Failure> {
    let output = &args.report.output;
    let mode = FileMode(args.report.files.output_mode);
    let lock = lock_folder(output, mode)
        .map_err(|error| Failure::failed(format!("cannot lock {}: {error}", output.display())))?;
    let history = args.judgement.comparison().history(plan.header(), output)?;
    let plan = plan.named(run_id, &history);
    let evidence = plan.write(parts, partial, &history, mode)?;
    Ok((evidence, history, lock))
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        let message = error.to_string();
        let hint = match error {
            MergeError::Nothing => "give the directories of the runs to merge",
            MergeError::Unfinished { .. } => {
                "finish it with `cf-sso-audit audit --resume --output` and the folder it is in, or leave it out: the report then says what is missing"
            }
            MergeError::Unreadable(_) => {
                "give run directories, such as shards/0/latest; each contains evidence.jsonl"
            }
            MergeError::OtherApi { .. } => {
                "accounts of two regions or APIs are two reports: merge each region's or API's runs separately"
            }
            MergeError::OtherShards { .. } => {
                "merge each set of shards separately, then merge the results"
            }
            MergeError::Overtaken { .. } => "choose another folder with --output",
            MergeError::Evidence(_) | MergeError::Lookups(_) => {
                return Self::failed(message)
                    .hint("fix the cause and merge again; nothing was changed");
            }
        };
        Self::usage(message).hint(hint)
    }
}
