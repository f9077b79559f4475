//! `cf-sso-audit audit`: collect, judge, report.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::after::{AfterArgs, Meter};
use super::connection::{ConnectionArgs, TOKEN_IN_THE_OPEN};
use super::failure::write_hint;
use super::judgement::{FilesArgs, Judged, JudgementArgs};
use super::lookups::{LookupArgs, LookupProgress};
use super::progress::{Progress, When};
use super::shard::ShardArg;
use super::stop::Stop;
use super::{Failure, exit, print, tell_line};
use crate::api::{BaseUrl, Gate, Token};
use crate::audit::{self, Asked, AuditError, Collected, Place, Resumed, Selection};
use crate::clock::Clock;
use crate::collect::End;
use crate::dns::{Asker, LookupsWriter, lookups};
use crate::evidence::{Evidence, EvidenceError};
use crate::file_mode::FileMode;
use crate::jsonl::FileError;
use crate::outcome::ErrorKind;
use crate::region::Region;
use crate::report::files::give_up;
use crate::runs::{ApiAsked, RunDirectory};
use crate::simulator::{self, World};
use crate::tokens::{DefaultToken, Tokens, TokensError};

/// Audit many accounts and write a report
///
/// Reads the SSO connectors of every account you name, checks them against the rules, and writes a report to a new
/// directory under --output. An account that cannot be read is a result too: every file lists it, and the exit code
/// is 3.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(flatten)]
    accounts: AccountsArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    lookups: LookupArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
    #[command(flatten)]
    report: ReportArgs,
}

const EXAMPLES: &str = "\
Examples:
  Try it with made-up accounts:
      cf-sso-audit audit --demo
  Audit two accounts:
      cf-sso-audit audit 023e105f4ecef8ad9ca31a8372d0c353 b0000000000000000000000000000002
  Audit several customers, each with its own token (the column token_env names the variable that holds it):
      cf-sso-audit audit --accounts-file accounts.csv
  Take the accounts from another program:
      list-accounts | cf-sso-audit audit --accounts-file -
  Resume after an interruption:
      cf-sso-audit audit --resume";

#[derive(Debug, Args)]
#[command(next_help_heading = "Accounts")]
struct AccountsArgs {
    /// IDs of the accounts to audit (32 hex digits each)
    #[arg(value_name = "ACCOUNT_ID")]
    ids: Vec<String>,
    /// File with one account ID per line, or a CSV with the column account_id (and optionally account_name, owner,
    /// token_env). Use - for standard input
    #[arg(long, value_name = "PATH")]
    accounts_file: Vec<PathBuf>,
    /// Every account the token can list
    #[arg(long)]
    all_accounts: bool,
    /// Every account in an organization and in all organizations below it
    #[arg(long, value_name = "ID")]
    organization: Vec<String>,
    /// Made-up accounts from a simulated API on this machine; needs no token
    #[arg(long, conflicts_with_all = ["base_url", "region", "token_file", "token_command", "ids", "accounts_file", "organization", "resume", "resolver"])]
    demo: bool,
    /// Only the accounts that fall to shard K of N, from 0; auto takes K from JOB_COMPLETION_INDEX (Kubernetes),
    /// AWS_BATCH_JOB_ARRAY_INDEX or SLURM_ARRAY_TASK_ID. `merge` makes one run of all shards
    #[arg(long, value_name = "K/N|auto/N")]
    shard: Option<ShardArg>,
    /// Resume the newest unfinished run under --output; accounts already read are not read again
    #[arg(long)]
    resume: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
struct ReportArgs {
    /// Folder for all runs; this one goes to DIR/<UTC start>/, and DIR/latest points to the newest complete run
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    output: PathBuf,
    #[command(flatten)]
    files: FilesArgs,
    #[command(flatten)]
    after: AfterArgs,
    /// When to show progress
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    progress: When,
}

impl AccountsArgs {
    fn selection(&self, base_url: &BaseUrl) -> Result<Selection, Failure> {
        Ok(Selection {
            ids: self.ids.clone(),
            files: self.accounts_file.clone(),
            all: self.all_accounts,
            demo: self.demo,
            organizations: self.organization.clone(),
            shard: self.shard.map(ShardArg::shard).transpose()?,
            region: Region::word(base_url.as_str()),
        })
    }
}

/// Runs the command.
pub async fn run(args: AuditArgs, quiet: bool) -> Result<u8, Failure> {
    let stop = Stop::listen();
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let mut meter = args
        .report
        .after
        .meter(clock, args.report.files.output_mode)?;
    let ended = audit(&args, clock, &stop, quiet, &mut meter).await;
    meter.write(
        ended
            .as_ref()
            .map_or_else(|failure| failure.exit, Ended::code),
    );
    match ended? {
        Ended::With(code) => Ok(code),
        Ended::WhileWriting => std::process::exit(i32::from(exit::INTERRUPTED)),
    }
}

/// How an audit ended.
enum Ended {
    /// All that it began is done.
    With(u8),
    /// It is asked to stop, and a thread of its own that cannot be stopped still writes.
    WhileWriting,
}

impl Ended {
    fn code(&self) -> u8 {
        match self {
            Self::With(code) => *code,
            Self::WhileWriting => exit::INTERRUPTED,
        }
    }
}

async fn audit(
    args: &AuditArgs,
    clock: Clock,
    stop: &Stop,
    quiet: bool,
    meter: &mut Meter,
) -> Result<Ended, Failure> {
    let template = args.report.files.template()?;
    let ocsf = args.report.files.ocsf()?;
    let policy = args.judgement.policy(args.accounts.demo)?;
    // The simulated API lives as long as the run.
    let demo = if args.accounts.demo {
        Some(start_demo(clock).await?)
    } else {
        None
    };
    let base_url = match &demo {
        Some(running) => BaseUrl::parse(&running.base_url()).map_err(Failure::failed)?,
        None => args.connection.base_url()?,
    };
    let api = api_asked(args, &base_url);
    let _baseline = args
        .judgement
        .comparison()
        .check(&args.report.output, api)?;
    let resolver = demo.as_ref().map(simulator::Running::resolver);
    let asker = args.lookups.asker(clock, resolver)?;
    let mut tokens = tokens(args, demo.as_ref())?;
    let (collected, gate) =
        collect(args, &base_url, clock, &mut tokens, stop, quiet, meter).await?;
    // Which run is the newest, and what it knows, holds until this one is the newest.
    let (directory, evidence, _lock) = match collected {
        Collected::Interrupted {
            directory,
            is_overtaken,
        } => return Ok(Ended::With(interrupted(args, &directory, is_overtaken))),
        Collected::Whole {
            directory,
            evidence,
            lock,
        } => (directory, evidence, lock),
    };
    let asker = asker.map(|mut asker| {
        // A zone may hold anything, the token too.
        asker.keep_out(Box::new(move |text| gate.without_secrets(text)));
        asker
    });
    let Some(evidence) = look_up(args, evidence, asker, &directory, stop, quiet).await? else {
        return Ok(Ended::With(interrupted(args, &directory, false)));
    };
    let history = args
        .judgement
        .comparison()
        .history(evidence.header(), &args.report.output)?;
    let judged = Judged {
        directory: directory.partial(),
        evidence,
        history,
        policy,
        thresholds: args.judgement.thresholds(None),
        template,
        ocsf,
        title: None,
    };
    let written = tokio::select! {
        written = judged.write(&args.report.files) => written,
        () = stop.requested() => {
            // The evidence is whole; only the writing is given up, with the thread that does it.
            give_up(&directory.partial());
            interrupted(args, &directory, false);
            return Ok(Ended::WhileWriting);
        }
    };
    let written = written.map_err(|failure| {
        let partial = directory.partial();
        failure.hint(format!(
            "the evidence is kept in {}: fix the cause, then run the same command with --resume",
            partial.display()
        ))
    })?;
    let whole = directory.publish()?;
    let kept = args
        .report
        .after
        .keep(&args.report.output, api, &directory, &written);
    meter.report(written.figures);
    if !quiet {
        // Once for each token, however many of its accounts are unread for it.
        for stopped in tokens.lanes().iter().filter_map(|lane| lane.stopped()) {
            print(&format!("{}\n", stopped.message))?;
        }
        print(&kept)?;
        print(&written.text)?;
    }
    print(&format!("{}\n", whole.display()))?;
    if let Some(running) = demo {
        running.stop().await;
    }
    Ok(Ended::With(written.code))
}

/// Reads what is asked for, or the rest of it.
async fn collect(
    args: &AuditArgs,
    base_url: &BaseUrl,
    clock: Clock,
    tokens: &mut Tokens,
    stop: &Stop,
    quiet: bool,
    meter: &mut Meter,
) -> Result<(Collected, Arc<Gate>), Failure> {
    let selection = args.accounts.selection(base_url)?;
    let place = Place {
        output: &args.report.output,
        mode: FileMode(args.report.files.output_mode),
    };
    let (ready, api) = if args.accounts.resume {
        let resumed = Resumed::open(&selection, place.output, base_url)?;
        unless_stopped(stop, resumed.read_tokens(tokens)).await?;
        let api = args.connection.api(base_url.clone(), clock)?;
        meter.watch(&api);
        let ready = resumed.begun().ready(&api, tokens).await?;
        ready.recall_requests(&api, tokens)?;
        (ready, api)
    } else {
        let asked = Asked::read(&selection, place.output, api_asked(args, base_url))?;
        unless_stopped(stop, asked.read_tokens(tokens)).await?;
        let api = args.connection.api(base_url.clone(), clock)?;
        meter.watch(&api);
        let begun = asked.begin(place, &api, tokens, stop.requested()).await?;
        (begun.ready(&api, tokens).await?, api)
    };
    meter.watch_lanes(tokens.lanes());
    let mut progress = Progress::new(
        args.report.progress,
        quiet,
        Arc::clone(api.gate()),
        tokens.lanes(),
        ready.total(),
        ready.done(),
    );
    let collected = ready
        .collect(place, &api, &mut progress, stop.requested())
        .await?;
    Ok((collected, Arc::clone(api.gate())))
}

/// Adds what DNS holds, where that is asked for; `None` where it was asked to stop.
async fn look_up(
    args: &AuditArgs,
    mut evidence: Box<Evidence>,
    asker: Option<Asker>,
    directory: &RunDirectory,
    stop: &Stop,
    quiet: bool,
) -> Result<Option<Box<Evidence>>, Failure> {
    let path = directory.partial().join(lookups::FILE_NAME);
    let unkept = |error| AuditError::Unkept {
        partial: directory.partial(),
        error,
    };
    if let Some(asker) = asker {
        let mode = FileMode(args.report.files.output_mode);
        let mut progress = LookupProgress::new(args.report.progress, quiet);
        let concurrency = args.connection.concurrency;
        let stopped = stop.requested();
        let ended = audit::look_up(
            &evidence,
            asker,
            &path,
            mode,
            concurrency,
            &mut progress,
            stopped,
        );
        if ended.await.map_err(unkept)? == End::Interrupted {
            return Ok(None);
        }
    } else if path.symlink_metadata().is_ok() {
        tracing::warn!(
            "this run had started its DNS lookups: what it has is used, and no more are made without --check-dns"
        );
        let kept = LookupsWriter::resume(&path).and_then(LookupsWriter::finish);
        kept.map_err(|error| unkept(error.into()))?;
    } else {
        return Ok(Some(evidence));
    }
    evidence.add_lookups(&path).map_err(unkept)?;
    Ok(Some(evidence))
}

/// Waits for what may take its time, such as a command that prints a token; not once it was asked to stop.
async fn unless_stopped(
    stop: &Stop,
    work: impl Future<Output = Result<(), AuditError>>,
) -> Result<(), AuditError> {
    tokio::select! {
        biased;
        () = stop.requested() => Err(AuditError::Stopped),
        done = work => done,
    }
}

fn api_asked<'a>(args: &AuditArgs, base_url: &'a BaseUrl) -> ApiAsked<'a> {
    ApiAsked {
        base_url: base_url.as_str(),
        demo: args.accounts.demo,
    }
}

fn tokens(args: &AuditArgs, demo: Option<&simulator::Running>) -> Result<Tokens, Failure> {
    let Some(running) = demo else {
        return Ok(args.connection.tokens());
    };
    let token = Token::parse("the demo", running.token()).map_err(TokensError::from)?;
    let default = DefaultToken::Given("the demo", token);
    Ok(Tokens::new(default, args.connection.rate))
}

fn interrupted(args: &AuditArgs, directory: &RunDirectory, is_overtaken: bool) -> u8 {
    let (output, partial) = (args.report.output.display(), directory.partial());
    let partial = partial.display();
    let lookups = if args.lookups.check_dns {
        " --check-dns"
    } else {
        ""
    };
    tell_line(&if is_overtaken {
        format!(
            "interrupted: another run was completed in the meantime, so start a new one; what was read is kept in {partial}"
        )
    } else {
        format!(
            "interrupted: what was read is kept in {partial}; to resume, give the same options with --resume: `cf-sso-audit audit --resume --output {output}{lookups}`, plus the same policy, connection and thresholds, and the accounts file if it names tokens"
        )
    });
    exit::INTERRUPTED
}

async fn start_demo(clock: Clock) -> Result<simulator::Running, Failure> {
    let options = simulator::Options {
        listen: ([127, 0, 0, 1], 0).into(),
        dns_listen: ([127, 0, 0, 1], 0).into(),
        token: super::simulate::TOKEN.to_owned(),
        more_tokens: Vec::new(),
        read_only_token: None,
        rate: None,
        latency: std::time::Duration::ZERO,
        account_owned_token: false,
        troubles: simulator::Troubles::default(),
    };
    simulator::start(World::demo(clock.now()), options)
        .await
        .map_err(|error| Failure::failed(format!("cannot serve the demo on 127.0.0.1: {error}")))
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let message = error.to_string();
        let hint = match error {
            AuditError::Tokens(error) => return error.into(),
            AuditError::Directory(error) => return error.into(),
            AuditError::Stopped => return Self::new(exit::INTERRUPTED, message),
            AuditError::UnfinishedUnknown { .. }
            | AuditError::NewerUnknown { .. }
            | AuditError::Waiting(_)
            | AuditError::RequestsUnknown(_) => return Self::failed(message),
            AuditError::Unlisted { error, .. } => {
                return Self::failed(message).hint(listing_hint(error.kind));
            }
            AuditError::UnlistedOrganizations(gaps) => {
                let failure = Self::failed(message);
                return match gaps.into_iter().next() {
                    Some(gap) => failure.hint(gap.remedy),
                    None => failure,
                };
            }
            AuditError::Locked(_) => {
                return Self::failed(message)
                    .hint("wait until it is done, or start a new run without --resume");
            }
            AuditError::Unresumable(_) => {
                return Self::failed(message)
                    .hint("start a new run without --resume; you can remove the folder");
            }
            AuditError::Unlockable { .. } => {
                return Self::failed(message).hint(
                    "the evidence is kept; fix the cause, then run the same command with --resume",
                );
            }
            AuditError::Unkept { partial, error } => {
                return Self::failed(message).hint(format!(
                    "{}; what was read is kept in {}, and --resume continues from it",
                    evidence_hint(&error),
                    partial.display()
                ));
            }
            AuditError::UnreadableFile { .. } => "check the path and the file's permissions",
            AuditError::NoAccount => {
                "give account IDs, --accounts-file, --all-accounts or --organization; `audit --demo` shows a report of made-up accounts"
            }
            AuditError::NoValidAccount(_) => {
                "an account ID is in the dashboard's address: https://dash.cloudflare.com/<account ID>"
            }
            AuditError::OtherRegion { .. } => {
                "audit each region separately: give --region, or a file with only this region's accounts"
            }
            AuditError::IdMayBeToken { .. } => TOKEN_IN_THE_OPEN,
            AuditError::PathMayBeToken => TOKEN_IN_THE_OPEN,
            AuditError::BadFile(_) => {
                "an accounts file has one account ID per line, or is a CSV with the column account_id"
            }
            AuditError::NothingUnfinished { .. } => {
                "start a new run without --resume, or give the unfinished run's folder with --output"
            }
            AuditError::OtherApi { .. } => {
                "resume it with the same --base-url, or start a new run without --resume"
            }
            AuditError::Overtaken { .. } => {
                "start a new run without --resume; you can remove the unfinished one's folder"
            }
            AuditError::OtherAccounts { .. } => {
                "name no accounts to resume with the original ones, or start a new run without --resume"
            }
            AuditError::OtherShard { .. } => {
                "leave out --shard to keep the one it was started with; give each shard a folder of its own with --output"
            }
            AuditError::WasMerged { .. } => {
                "merge the runs again; you can remove the unfinished one's folder"
            }
            AuditError::OtherVariables { .. } => {
                "give the --accounts-file that the run was started with"
            }
        };
        Self::usage(message).hint(hint)
    }
}

fn evidence_hint(error: &EvidenceError) -> &'static str {
    match error {
        EvidenceError::File(FileError::Io { source, .. }) => write_hint(source),
        _ => "choose another folder with --output",
    }
}

/// What to do where a list of accounts cannot be had.
fn listing_hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Auth | ErrorKind::Forbidden | ErrorKind::Api => {
            "check the token with `cf-sso-audit doctor`: listing needs a user's token with the permission Account Settings Read; an account's own token cannot list, so name the accounts instead"
        }
        _ => "try again later, or name the accounts with --accounts-file to avoid the list",
    }
}
