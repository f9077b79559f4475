//! `cf-sso-audit render RUN_DIR`: judge and report again, from evidence alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use super::judgement::{FilesArgs, Judged, JudgementArgs, Written, check_evidence, judged_at};
use super::lookups::{LookupArgs, LookupProgress};
use super::progress::When;
use super::stop::Stop;
use super::{Failure, exit, print, tell_line};
use crate::audit;
use crate::clock::Clock;
use crate::collect::End;
use crate::evidence::{self, Evidence, EvidenceError};
use crate::file_mode::FileMode;
use crate::jsonl::FileError;
use crate::ledger::{self, LedgerHeader};
use crate::report::files::give_up;
use crate::report::{files_of_report, split};
use crate::runs::{Claim, ClaimError, is_unfinished};
use crate::text::utc;
use crate::thresholds::{Thresholds, severity_or_never};

/// Rebuild a run's report from its evidence: no network, no token
///
/// Given the same policy, baseline and clock (SOURCE_DATE_EPOCH, or the run's start), the files are identical byte
/// for byte. A run's own folder is only overwritten with the policy and baseline that the run used; for anything
/// else, give --output. You can render an interrupted run too: accounts it did not reach are unread.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Apply a new policy to last night's run, in a separate folder:
      cf-sso-audit render reports/latest --policy policy.toml -o /tmp/judged-again
  Write an old run's files again, with the policy it used:
      cf-sso-audit render reports/20261121T101500Z --policy policy.toml")]
pub struct RenderArgs {
    /// The run's directory
    run_dir: PathBuf,
    #[command(flatten)]
    lookups: LookupArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
    #[command(flatten)]
    files: FilesArgs,
    /// Folder for the report; by default the run's own
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: RenderArgs, quiet: bool) -> Result<u8, Failure> {
    let stop = Stop::listen();
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let asker = args.lookups.asker(clock, None)?;
    let template = args.files.template()?;
    let ocsf = args.files.ocsf()?;
    let source = args.run_dir.join(evidence::FILE_NAME);
    let mut evidence = Evidence::open(&source).map_err(|error| {
        Failure::usage(format!("the evidence cannot be read: {error}")).hint(match error {
            EvidenceError::File(FileError::Damaged { line, .. }) if line > 1 => {
                "restore the file from a copy; nothing was written or changed"
            }
            _ => "give the directory of a run, which contains evidence.jsonl",
        })
    })?;
    // A link such as `latest` is beside the runs that it points to.
    let run_dir = args
        .run_dir
        .canonicalize()
        .unwrap_or_else(|_| args.run_dir.clone());
    check_evidence(&run_dir, &evidence)?;
    if asker.is_some() {
        evidence = evidence.without_lookups();
    }
    let header = evidence.header();
    let policy = args.judgement.policy(header.demo)?;
    let record = record_of(&run_dir)?;
    let thresholds = args.judgement.thresholds(record.as_ref());
    let runs = run_dir.parent().unwrap_or(Path::new("."));
    let comparison = args.judgement.comparison();
    let history = match &record {
        Some(record) => comparison.recorded_history(record, runs)?,
        None => comparison.history(header, runs)?,
    };
    let directory = args.output.clone().unwrap_or_else(|| run_dir.clone());
    let is_own = directory.canonicalize().is_ok_and(|place| place == run_dir);
    if is_own {
        let now = judged_at(header)?;
        let now = history.ledger_header(&evidence, now, policy.source.clone(), thresholds);
        judged_as_before(&run_dir, record.as_ref(), &now, asker.is_some())?;
    }
    let mode = FileMode(args.files.output_mode);
    let own = args.output.is_none();
    let mut claim = Claim::on(&directory, own, &header.run_id, mode)?;
    claim.check_files(files_of_report(&args.files.formats()))?;
    claim.bring_evidence(&source, mode)?;
    if let Some(asker) = asker {
        let aside = claim.room_for_lookups()?;
        let mut progress = LookupProgress::new(When::Auto, quiet);
        let stopped = stop.requested();
        let ended = audit::look_up(
            &evidence,
            asker,
            &aside,
            mode,
            CONCURRENCY,
            &mut progress,
            stopped,
        );
        let ended = ended.await.and_then(|end| {
            evidence.add_lookups(&aside)?;
            Ok(end)
        });
        let ended = ended.map_err(|error| Failure::failed(error.to_string()));
        if ended.inspect_err(|_| claim.give_up_lookups())? == End::Interrupted {
            claim.give_up_lookups();
            let place = directory.display();
            tell_line(&format!("interrupted: {place} is unchanged"));
            return Ok(exit::INTERRUPTED);
        }
    } else if evidence.lookups().is_some() {
        claim.bring_lookups(&mut evidence, mode)?;
    }
    let judged = Judged {
        directory: directory.clone(),
        evidence: Box::new(evidence),
        history,
        policy,
        thresholds,
        template,
        ocsf,
        title: record.and_then(|record| record.title),
    };
    let Written { code, text, .. } = tokio::select! {
        written = judged.write(&args.files) => written?,
        () = stop.requested() => {
            let place = directory.display();
            // Only the thread that writes is left, and it moves nothing into its place any more.
            tell_line(&match give_up(&directory) {
                0 => format!("interrupted: the report in {place} is unchanged"),
                _ if args.files.is_split() => format!(
                    "interrupted: the main report in {place} is new, but not that of every owner: run the same command again"
                ),
                _ => format!("interrupted: the report in {place} was already written"),
            });
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    };
    // Judged as before, what owners were given still holds.
    if !is_own && !args.files.is_split() {
        split::remove_stale(&directory, &BTreeSet::new());
    }
    drop(claim);
    if !quiet {
        print(&text)?;
    }
    print(&format!("{}\n", directory.display()))?;
    Ok(code)
}

/// What the run was judged by, and which runs it continued; `None` where it was never judged.
fn record_of(run_dir: &Path) -> Result<Option<LedgerHeader>, Failure> {
    let path = run_dir.join(ledger::FILE_NAME);
    if is_unfinished(run_dir) || !path.exists() {
        return Ok(None);
    }
    ledger::read_header(&path).map(Some).map_err(|error| {
        Failure::usage(format!("cannot determine the policy and baseline of the run: {error}"))
            .hint("restore ledger.jsonl from a copy, or copy only evidence.jsonl to another folder and render that")
    })
}

/// Refuses to replace a run's own report by one that is judged in another way.
fn judged_as_before(
    run_dir: &Path,
    record: Option<&LedgerHeader>,
    now: &LedgerHeader,
    looks_up: bool,
) -> Result<(), Failure> {
    let refused = |problem: String| {
        Err(Failure::usage(format!("{}: {problem}", run_dir.display()))
            .hint("give the original options, or a folder for the new report with --output"))
    };
    let Some(record) = record else {
        if is_unfinished(run_dir) {
            return Ok(());
        }
        return refused(
            "the run's policy and baseline are not on record, so its report is not replaced"
                .to_owned(),
        );
    };
    let policy = |header: &LedgerHeader| match &header.policy {
        Some(source) => format!(
            "made with the policy {} (SHA-256 {:.12}...)",
            source.path, source.sha256
        ),
        None => "made without a policy".to_owned(),
    };
    let sha256 = |header: &LedgerHeader| {
        let source = header.policy.as_ref();
        source.map(|source| source.sha256.clone())
    };
    let run = |verb: &str, run_id: Option<&String>| match run_id {
        Some(run_id) => format!("{verb} run {run_id}"),
        None => format!("{verb} no run"),
    };
    let mut differences = Vec::new();
    if sha256(record) != sha256(now) {
        differences.push([record, now].map(policy));
    }
    if record.compared_with != now.compared_with {
        let compared = |header: &LedgerHeader| run("compared with", header.compared_with.as_ref());
        differences.push([record, now].map(compared));
    } else if record.parent() != now.parent() {
        let carries = |header: &LedgerHeader| run("continuing the history of", header.parent());
        differences.push([record, now].map(carries));
    }
    let looked_up = |header: &LedgerHeader| match &header.dns {
        Some(sha256) => format!("made from the DNS lookups in dns.jsonl (SHA-256 {sha256:.12}...)"),
        None => "made without DNS lookups".to_owned(),
    };
    if looks_up {
        let new = "made from new DNS lookups".to_owned();
        differences.push([looked_up(record), new]);
    } else if record.dns != now.dns {
        differences.push([record, now].map(looked_up));
    }
    if record.thresholds != now.thresholds {
        differences.push([record, now].map(|header| thresholds_in_words(&header.thresholds)));
    }
    if record.judged_at != now.judged_at {
        differences
            .push([record, now].map(|header| format!("made as of {} UTC", utc(header.judged_at))));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let said = differences
        .into_iter()
        .map(|[was, would_be]| format!("its report was {was}, but would be {would_be}"));
    refused(said.collect::<Vec<_>>().join("; "))
}

fn thresholds_in_words(thresholds: &Thresholds) -> String {
    format!(
        "made with --fail-on {}, --fail-on-new {} and --allow-unread {}",
        severity_or_never(thresholds.fail_on),
        severity_or_never(thresholds.fail_on_new),
        thresholds.allow_unread
    )
}

/// Names that are asked for at once.
const CONCURRENCY: usize = 32;

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        let message = error.to_string();
        match error {
            ClaimError::Gone { .. } => Self::failed(message).hint(
                "an unfinished run is renamed when it completes: give the directory's new name",
            ),
            ClaimError::Write { .. } => {
                Self::failed(message).hint("choose another folder with --output")
            }
            ClaimError::NotAFolder { .. } => {
                Self::usage(message).hint("move it away, or choose another folder with --output")
            }
            ClaimError::Taken { .. } => Self::failed(message)
                .hint("wait until it is done, or choose another folder with --output"),
            ClaimError::OfAnotherRun { .. } => {
                Self::usage(message).hint("choose another folder with --output")
            }
            ClaimError::Foreign { .. } => {
                Self::usage(message).hint("move them away, or choose another folder with --output")
            }
            ClaimError::Lookups(_) => Self::failed(message),
        }
    }
}
