//! `cf-sso-audit audit`: collect, judge, report.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use clap::Args;

use super::connection::{ConnectionArgs, refuse_token_as_path};
use super::failure::write_hint;
use super::judgement::{FilesArgs, Judged, JudgementArgs};
use super::progress::{Progress, When};
use super::stop::Stop;
use super::values::rate_text;
use super::{Failure, exit, print};
use crate::accounts::{AccountList, AskedAccount, LARGEST_FILE, Source, parse_accounts_file};
use crate::api::{Api, BaseUrl, Lane, ListedAccounts, Token};
use crate::baseline::Newest;
use crate::clock::Clock;
use crate::collect::{End, collect};
use crate::evidence::{self, EvidenceError, EvidenceWriter, Limits, RunHeader};
use crate::file_mode::FileMode;
use crate::outcome::{ErrorKind, ReadError};
use crate::runs::{self, ApiAsked, FolderLock, RunDirectory};
use crate::simulator::{self, World};
use crate::text::{count, for_terminal};
use crate::token_form::id_may_be_token;
use crate::tokens::{DefaultToken, Tokens, TokensError};

/// Audit many accounts: collect, judge, report
///
/// Reads the SSO connectors of every account named, judges them by the rules, and writes the report into a directory of
/// its own under --output. An account that cannot be read is a result: it stands in every file, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(flatten)]
    accounts: AccountsArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
    #[command(flatten)]
    report: ReportArgs,
}

const EXAMPLES: &str = "\
Examples:
  See a report of made-up accounts:
      cf-sso-audit audit --demo
  Two accounts by their ids:
      cf-sso-audit audit 023e105f4ecef8ad9ca31a8372d0c353 b0000000000000000000000000000002
  Accounts of several customers, each with a token of its own (column token_env names the variable that holds it):
      cf-sso-audit audit --accounts-file accounts.csv
  Accounts from another program:
      list-accounts | cf-sso-audit audit --accounts-file -
  Go on after an interruption:
      cf-sso-audit audit --resume";

#[derive(Debug, Args)]
#[command(next_help_heading = "Accounts")]
struct AccountsArgs {
    /// Accounts to read, by their ids of 32 hex digits
    #[arg(value_name = "ACCOUNT_ID")]
    ids: Vec<String>,
    /// A file with one id a line, or CSV with a column account_id (and optionally account_name, owner, token_env). - reads
    /// standard input
    #[arg(long, value_name = "PATH")]
    accounts_file: Vec<PathBuf>,
    /// Every account that the token can list
    #[arg(long)]
    all_accounts: bool,
    /// Every account of an organization
    #[arg(long, value_name = "ID")]
    organization: Vec<String>,
    /// Made-up accounts, served by the embedded simulated API on this machine; needs no token
    #[arg(long, conflicts_with_all = ["base_url", "token_file", "ids", "accounts_file", "organization", "resume"])]
    demo: bool,
    /// Go on with the newest unfinished run under --output: accounts already read are not asked again
    #[arg(long)]
    resume: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
struct ReportArgs {
    /// The folder that holds the runs; this one gets DIR/<UTC start>/, and DIR/latest points to the newest complete one
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    output: PathBuf,
    #[command(flatten)]
    files: FilesArgs,
    /// Whether to show how it goes on
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    progress: When,
}

/// Runs the command.
pub async fn run(args: AuditArgs, quiet: bool) -> Result<u8, Failure> {
    let stop = Stop::listen();
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let template = args.report.files.template()?;
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
    let asked = ApiAsked {
        base_url: base_url.as_str(),
        demo: args.accounts.demo,
    };
    args.judgement.check_baseline(&args.report.output, asked)?;

    let mut run = match resumable(&args)? {
        Some(partial) => Run::resume(&args, &partial, &base_url)?,
        None => Run::prepare(&args, asked)?,
    };
    let mut tokens = match &demo {
        Some(running) => {
            let token = Token::parse("the demo", running.token()).map_err(TokensError::from)?;
            Tokens::new(DefaultToken::Given("the demo", token), args.connection.rate)
        }
        None => args.connection.tokens(),
    };
    run.check_tokens(&mut tokens, &args.accounts)?;
    let api = args.connection.api(base_url, clock)?;
    if run.writer.is_none() {
        run.begin(&args, &api, &mut tokens, &stop, demo.is_some())
            .await?;
    }
    let outcome = run.collect(&args, &api, &mut tokens, &stop, quiet).await?;
    // Which run is the newest, and what it knows, holds until this one is the newest.
    let (destination, evidence, _lock) = match outcome {
        Collected::Interrupted(destination, false) => return Ok(interrupted(&args, &destination)),
        Collected::Interrupted(destination, true) => {
            super::tell_line(&format!(
                "interrupted: another run was completed meanwhile, so begin a new one; what was read is kept in {}",
                destination.partial().display()
            ));
            return Ok(exit::INTERRUPTED);
        }
        Collected::Whole(destination, evidence, lock) => (destination, evidence, lock),
    };
    let history = args
        .judgement
        .history(evidence.header(), &args.report.output)?;
    let judged = Judged {
        directory: destination.partial(),
        evidence,
        history,
        policy,
        template,
    };
    let written = tokio::select! {
        written = judged.write(&args.judgement, &args.report.files) => written,
        () = stop.requested() => {
            // The evidence is whole; only the writing is given up, with the thread that does it.
            std::process::exit(i32::from(interrupted(&args, &destination)));
        }
    };
    let (code, text) = written.map_err(|failure| {
        let partial = destination.partial();
        failure.hint(format!(
            "the evidence is kept in {}: mend the cause, then run the same command with --resume",
            partial.display()
        ))
    })?;
    let whole = destination.publish()?;
    if !quiet {
        // Once for each token, however many of its accounts are unread for it.
        for stopped in tokens.lanes().iter().filter_map(|lane| lane.stopped()) {
            print(&format!("{}\n", stopped.message))?;
        }
        print(&text)?;
    }
    print(&format!("{}\n", whole.display()))?;
    if let Some(running) = demo {
        running.stop().await;
    }
    Ok(code)
}

fn interrupted(args: &AuditArgs, destination: &RunDirectory) -> u8 {
    let output = args.report.output.display();
    super::tell_line(&format!(
        "interrupted: what was read is kept in {}; resume with `cf-sso-audit audit --resume --output {output}` and the same connection",
        destination.partial().display()
    ));
    exit::INTERRUPTED
}

/// Waits, where it has to, on a thread of its own, so that a signal still ends the program at once.
async fn lock_folder(args: &AuditArgs) -> Result<FolderLock, Failure> {
    let output = args.report.output.clone();
    let mode = FileMode(args.report.files.output_mode);
    let locking = tokio::task::spawn_blocking(move || {
        runs::lock_folder(&output, mode).map_err(|error| {
            Failure::failed(format!("cannot lock {}: {error}", output.display())).hint(
                "the evidence is kept; fix the cause, then run the same command with --resume",
            )
        })
    });
    locking
        .await
        .map_err(|error| Failure::failed(error.to_string()))?
}

async fn start_demo(clock: Clock) -> Result<simulator::Running, Failure> {
    let options = simulator::Options {
        listen: ([127, 0, 0, 1], 0).into(),
        token: super::simulate::TOKEN.to_owned(),
        read_only_token: None,
        rate: None,
        latency: std::time::Duration::ZERO,
        account_owned_token: false,
    };
    simulator::start(World::demo(clock.now()), options)
        .await
        .map_err(|error| Failure::failed(format!("cannot serve the demo on 127.0.0.1: {error}")))
}

/// The unfinished run to go on with, where that is asked for.
fn resumable(args: &AuditArgs) -> Result<Option<PathBuf>, Failure> {
    if !args.accounts.resume {
        return Ok(None);
    }
    let output = &args.report.output;
    let newest = runs::newest_partial(output).map_err(|error| {
        Failure::failed(format!(
            "cannot look for unfinished runs in {}: {error}",
            output.display()
        ))
    })?;
    match newest {
        Some(partial) => Ok(Some(partial)),
        None => Err(Failure::usage(format!("there is no unfinished run in {}", output.display()))
            .hint("begin a new run without --resume, or give the folder of the unfinished one with --output")),
    }
}

/// The most accounts named more than once that are listed; the others are counted.
const MOST_DUPLICATES: usize = 10;

/// A run on its way.
struct Run {
    /// The accounts that were named without asking the API; those that it lists come later.
    named: AccountList,
    sources: Vec<Source>,
    /// Where the files first name each variable that holds a token, for messages: `accounts.csv line 3`.
    variables: HashMap<String, String>,
    destination: Option<RunDirectory>,
    writer: Option<EvidenceWriter>,
    /// The sequence of the newest run of the folder, before anything is listed.
    begun_after: u64,
}

enum Collected {
    /// With whether another run was completed meanwhile.
    Interrupted(RunDirectory, bool),
    Whole(RunDirectory, Box<evidence::Evidence>, FolderLock),
}

impl Run {
    /// Reads what names the accounts, before any request.
    fn prepare(args: &AuditArgs, api: ApiAsked<'_>) -> Result<Self, Failure> {
        let output = &args.report.output;
        let earlier = runs::runs_since(output, api, 0).unwrap_or_else(|error| {
            tracing::warn!(
                "cannot look for earlier runs in {}: {error}",
                output.display()
            );
            Vec::new()
        });
        let begun_after = earlier.iter().map(|(_, sequence)| *sequence).max();
        let mut run = Self {
            named: AccountList::default(),
            sources: Vec::new(),
            variables: HashMap::new(),
            destination: None,
            writer: None,
            begun_after: begun_after.unwrap_or(0),
        };
        run.read_named(&args.accounts)?;
        let AccountsArgs {
            all_accounts,
            demo,
            organization,
            ..
        } = &args.accounts;
        let asks_api = *all_accounts || *demo || !organization.is_empty();
        if !asks_api && run.named.accounts().is_empty() {
            return Err(Failure::usage("no account was named").hint(
                "give account ids, --accounts-file, --all-accounts or --organization; `audit --demo` shows a report of made-up accounts",
            ));
        }
        if !asks_api {
            run.some_account_is_valid()?;
        }
        Ok(run)
    }

    fn read_named(&mut self, args: &AccountsArgs) -> Result<(), Failure> {
        refuse_tokens(&args.ids, "account ID")?;
        refuse_tokens(&args.organization, "organization ID")?;
        if !args.ids.is_empty() {
            let source = Source::unrecognisable("the command line");
            let accounts = args
                .ids
                .iter()
                .map(|id| AskedAccount::new(id, &source.name));
            let accounts = accounts.collect();
            self.add(source, accounts);
        }
        for path in &args.accounts_file {
            refuse_token_as_path(path, "--accounts-file")?;
            let source = if path == Path::new("-") {
                Source::unrecognisable("standard input")
            } else {
                Source::file(path)
            };
            let name = &source.name;
            let bytes = read_file_or_stdin(path).map_err(|error| {
                Failure::usage(format!("cannot read the accounts file {name}: {error}"))
            })?;
            let lines = parse_accounts_file(name, &bytes).map_err(|problems| {
                Failure::usage(problems.to_string()).hint("an accounts file has one account ID per line, or is CSV with a column account_id")
            })?;
            for named in &lines {
                self.variables
                    .entry(named.account.token_env.clone())
                    .or_insert_with(|| format!("{name} line {}", named.line));
            }
            let accounts = lines.into_iter().map(|named| named.account).collect();
            self.add(source, accounts);
        }
        Ok(())
    }

    /// Adds what a source named.
    fn add(&mut self, source: Source, accounts: Vec<AskedAccount>) {
        let position = self.sources.len() as u32;
        self.sources.push(Source {
            accounts: accounts.len(),
            ..source
        });
        for account in accounts {
            self.named.add(AskedAccount {
                sources: vec![position],
                ..account
            });
        }
    }

    /// Refuses to send what variables hold that nobody named now: whoever may write to the folder could name any.
    fn refuse_other_variables(
        &self,
        partial: &str,
        accounts: &[AskedAccount],
    ) -> Result<(), Failure> {
        let others: BTreeSet<_> = accounts
            .iter()
            .filter(|account| account.is_valid())
            .map(|account| account.token_env.as_str())
            .filter(|variable| !variable.is_empty() && !self.variables.contains_key(*variable))
            .collect();
        let Some(first) = others.first() else {
            return Ok(());
        };
        let more = match others.len() - 1 {
            0 => String::new(),
            more => format!(" and of {}", count(more, "other variable")),
        };
        Err(Failure::usage(format!(
            "{partial} would send the value of {}{more}, which no accounts file of this command names",
            for_terminal(first)
        ))
        .hint("give the --accounts-file that the run was begun with once more"))
    }

    fn some_account_is_valid(&self) -> Result<(), Failure> {
        if self.accounts().iter().any(AskedAccount::is_valid) {
            return Ok(());
        }
        let problems: Vec<_> = self
            .accounts()
            .iter()
            .take(10)
            .map(|account| account.problem.as_str())
            .collect();
        let more = self.accounts().len() - problems.len();
        let more = if more > 0 {
            format!("\nand {more} more")
        } else {
            String::new()
        };
        Err(Failure::usage(format!("no account has a valid id:\n{}{more}", problems.join("\n")))
            .hint("an account id stands in the dashboard's address: https://dash.cloudflare.com/<account id>"))
    }

    /// Reads every token that will be needed, so that a missing one is told before any request.
    fn check_tokens(&self, tokens: &mut Tokens, accounts: &AccountsArgs) -> Result<(), Failure> {
        if accounts.all_accounts || accounts.demo || !accounts.organization.is_empty() {
            tokens.lane("")?;
        }
        let asked = self.accounts().iter().filter(|account| account.is_valid());
        let variables = asked.map(|account| account.token_env.as_str());
        Ok(tokens.read_all(variables, &self.variables)?)
    }

    fn accounts(&self) -> &[AskedAccount] {
        match &self.writer {
            Some(writer) => &writer.header().accounts,
            None => self.named.accounts(),
        }
    }

    /// Opens an unfinished run, and checks that it is the one that is meant.
    fn resume(args: &AuditArgs, partial: &Path, base_url: &BaseUrl) -> Result<Self, Failure> {
        let shown = partial.display();
        let writer = EvidenceWriter::resume(&partial.join(evidence::FILE_NAME)).map_err(
            |error| match &error {
                EvidenceError::Locked { .. } => Failure::failed(error.to_string())
                    .hint("wait until it is done, or begin a new run without --resume"),
                _ => Failure::failed(format!(
                    "the unfinished run cannot be gone on with: {error}"
                ))
                .hint("begin a new run without --resume; the folder may be removed"),
            },
        )?;
        let header = writer.header();
        if header.base_url != base_url.as_str() {
            return Err(Failure::usage(format!(
                "{shown} was begun with {}, not with {}",
                header.base_url,
                base_url.as_str()
            ))
            .hint("resume it with the same --base-url, or begin a new run without --resume"));
        }
        refuse_overtaken(&args.report.output, partial, header)?;
        let mut named = Self {
            named: AccountList::default(),
            sources: Vec::new(),
            variables: HashMap::new(),
            destination: None,
            writer: None,
            begun_after: 0,
        };
        named.read_named(&args.accounts)?;
        let ids = |accounts: &[AskedAccount]| {
            accounts
                .iter()
                .map(|account| account.id.clone())
                .collect::<Vec<_>>()
        };
        let lists = args.accounts.all_accounts || !args.accounts.organization.is_empty();
        if !lists && !named.accounts().is_empty() && ids(named.accounts()) != ids(&header.accounts)
        {
            return Err(Failure::usage(format!("{shown} was begun with other accounts than those named now")).hint(
                "name no account to go on with those it was begun with, or begin a new run without --resume",
            ));
        }
        named.refuse_other_variables(&shown.to_string(), &header.accounts)?;
        let read = (0..header.accounts.len())
            .filter(|&position| writer.is_read(position))
            .count();
        tracing::info!(
            "going on with {shown}: {read} of {} read already",
            count(header.accounts.len(), "account")
        );
        Ok(Self {
            destination: RunDirectory::of_partial(partial),
            writer: Some(writer),
            ..named
        })
    }

    /// Lists what the API is asked to list, and begins the run's directory.
    async fn begin(
        &mut self,
        args: &AuditArgs,
        api: &Api,
        tokens: &mut Tokens,
        stop: &Stop,
        demo: bool,
    ) -> Result<(), Failure> {
        let mode = FileMode(args.report.files.output_mode);
        let started = api.gate().options().clock.now();
        let destination = RunDirectory::create(&args.report.output, started, mode)?;
        let gaps = match self.list(args, api, tokens, stop).await {
            Ok(gaps) => gaps,
            Err(failure) => {
                destination.discard();
                return Err(failure);
            }
        };
        let duplicates = &self.named.duplicates;
        for id in duplicates.iter().take(MOST_DUPLICATES) {
            tracing::warn!("account {id} is named more than once, and read once");
        }
        if duplicates.len() > MOST_DUPLICATES {
            tracing::warn!(
                "and {} more than once",
                count(duplicates.len() - MOST_DUPLICATES, "more account")
            );
        }
        let limits = &args.connection;
        let header = RunHeader {
            schema: evidence::SCHEMA.to_owned(),
            run_id: destination.run_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            base_url: api.base_url().as_str().to_owned(),
            demo,
            begun_after: Some(self.begun_after),
            sources: std::mem::take(&mut self.sources),
            gaps,
            limits: Limits {
                concurrency: api.gate().options().concurrency,
                rate: rate_text(limits.rate),
                timeout_seconds: limits.timeout.as_secs_f64(),
                retries: limits.retries,
            },
            accounts: std::mem::take(&mut self.named).into_accounts(),
        };
        let path = destination.partial().join(evidence::FILE_NAME);
        let writer = EvidenceWriter::create(&path, header, mode)
            .map_err(|error| evidence_failure(&error, &destination))?;
        self.writer = Some(writer);
        self.destination = Some(destination);
        Ok(())
    }

    /// Adds the accounts that the API lists; why the lists may lack some.
    async fn list(
        &mut self,
        args: &AuditArgs,
        api: &Api,
        tokens: &mut Tokens,
        stop: &Stop,
    ) -> Result<Vec<String>, Failure> {
        let mut gaps = Vec::new();
        let mut add = |run: &mut Self, source: Source, listed: ListedAccounts| {
            let whole = listed.gaps.is_empty();
            run.add(Source { whole, ..source }, listed.accounts);
            for gap in &listed.gaps {
                tracing::warn!("{gap}");
            }
            gaps.extend(listed.gaps);
        };
        if args.accounts.all_accounts || args.accounts.demo {
            let lane = tokens.lane("")?;
            let listed = until_stopped(stop, api.list_accounts(&lane))
                .await?
                .map_err(|error| listing_failure("the token's accounts", &error))?;
            let source = if args.accounts.demo {
                Source::list("the demo's accounts", "demo")
            } else {
                Source::list("all accounts that the token can list", &lane.fingerprint())
            };
            add(self, source, listed);
        }
        for organization in &args.accounts.organization {
            let lane = tokens.lane("")?;
            let source = Source::organization(organization);
            let listed = until_stopped(stop, api.list_organization(&lane, organization))
                .await?
                .map_err(|error| listing_failure(&source.name, &error))?;
            add(self, source, listed);
        }
        self.some_account_is_valid()?;
        Ok(gaps)
    }

    /// Reads every account that is not read yet, and again what another run has read since; then no other run of the
    /// folder is completed before this one.
    async fn collect(
        self,
        args: &AuditArgs,
        api: &Api,
        tokens: &mut Tokens,
        stop: &Stop,
        quiet: bool,
    ) -> Result<Collected, Failure> {
        let (Some(mut writer), Some(destination)) = (self.writer, self.destination) else {
            return Err(Failure::failed(
                "the run was not begun; this is a bug of this program",
            ));
        };
        let accounts = &writer.header().accounts;
        let total = accounts.len();
        // An account that will not be asked needs no token.
        let default = accounts
            .iter()
            .find(|account| account.is_valid())
            .map(|account| account.token_env.clone())
            .unwrap_or_default();
        let mut lanes = Vec::with_capacity(total);
        for account in accounts {
            lanes.push(tokens.lane(if account.is_valid() {
                &account.token_env
            } else {
                &default
            })?);
        }
        if args.accounts.resume {
            recall_requests(&writer, &lanes, api, tokens)?;
        }
        let done = (0..total)
            .filter(|&position| writer.is_read(position))
            .count();
        let distinct = tokens.lanes();
        for lane in &distinct {
            api.gate().keep_secret(lane);
        }
        let mut progress = Progress::new(
            args.report.progress,
            quiet,
            Arc::clone(api.gate()),
            distinct,
            total,
            done,
        );
        let began = std::time::Instant::now();
        let accounts = writer.header().accounts.iter().enumerate();
        let mut positions: Vec<_> = accounts
            .filter(|(position, account)| match account.is_valid() {
                true => !writer.is_read(*position),
                false => !writer.has(*position),
            })
            .map(|(position, _)| position)
            .collect();
        let mut known = writer.header().begun_after.unwrap_or(0);
        let mut rounds = 0;
        let mut held = None;
        let lock = loop {
            let asked = std::mem::take(&mut positions);
            let end = collect(
                api,
                asked,
                &lanes,
                &mut writer,
                &mut progress,
                stop.requested(),
            )
            .await;
            let interrupted = |destination| Ok(Collected::Interrupted(destination, rounds > 0));
            match end.map_err(|error| evidence_failure(&error, &destination))? {
                End::Interrupted => {
                    progress.finish();
                    return interrupted(destination);
                }
                End::Done => {}
            }
            let lock = match held.take() {
                Some(lock) => lock,
                None => tokio::select! {
                    lock = lock_folder(args) => lock?,
                    () = stop.requested() => {
                        progress.finish();
                        return interrupted(destination);
                    }
                },
            };
            let (overtaken, last) = overtaken(&args.report.output, &writer, known)?;
            if overtaken.is_empty() {
                break lock;
            }
            tracing::info!(
                "{} read since by another run are asked again",
                count(overtaken.len(), "account")
            );
            progress.again(overtaken.len());
            positions = overtaken;
            known = last;
            rounds += 1;
            // At first the others go on meanwhile; if one of them is done first once more, they wait.
            if rounds > 1 {
                held = Some(lock);
            }
        };
        progress.finish();
        let (seconds, requests) = (began.elapsed().as_secs_f64(), api.gate().sent());
        tracing::info!(seconds, requests, "collected");
        let evidence = writer
            .finish()
            .map_err(|error| evidence_failure(&error, &destination))?;
        Ok(Collected::Whole(destination, Box::new(evidence), lock))
    }
}

/// The accounts that runs have read whole that were completed after the one with a sequence: what is known of them may be
/// newer than what this run was answered, and would be reported as changed back. Not by the clock, which may be wrong.
/// With them, the sequence of the newest of these runs.
fn overtaken(
    output: &Path,
    writer: &EvidenceWriter,
    sequence: u64,
) -> Result<(Vec<usize>, u64), Failure> {
    let header = writer.header();
    let failed = |error: std::io::Error| unsearchable(output, &error);
    let api = ApiAsked::by(header);
    let since = runs::runs_since(output, api, sequence).map_err(failed)?;
    let Some(last) = since.iter().map(|(_, sequence)| *sequence).max() else {
        return Ok((Vec::new(), sequence));
    };
    let Some(newest) = Newest::find(output, api, &header.run_id)
        .map_err(failed)?
        .run
    else {
        return Ok((Vec::new(), last));
    };
    let since: HashSet<&str> = since.iter().map(|(run_id, _)| run_id.as_str()).collect();
    let was_read_since = |position: &usize| {
        let account = &header.accounts[*position];
        let by = newest.read_by(&account.id);
        account.is_valid() && by.is_some_and(|run_id| since.contains(run_id))
    };
    let positions = (0..header.accounts.len()).filter(was_read_since);
    Ok((positions.collect(), last))
}

/// Refuses to go on with a run that a newer one has overtaken: its answers are older than those that are known, and what
/// was fixed since would be reported as new.
fn refuse_overtaken(output: &Path, partial: &Path, header: &RunHeader) -> Result<(), Failure> {
    let since = runs::runs_since(
        output,
        ApiAsked::by(header),
        header.begun_after.unwrap_or(0),
    );
    match since.map_err(|error| unsearchable(output, &error))?.first() {
        None => Ok(()),
        Some((newer, _)) => Err(Failure::usage(format!(
            "run {newer} was completed after {} was begun: the older answers would be reported as changes since then",
            partial.display()
        ))
        .hint("begin a new run without --resume; the folder of the unfinished one may be removed")),
    }
}

fn unsearchable(output: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot look for newer runs in {}: {error}",
        output.display()
    ))
}

/// Counts what was sent before the interruption, so that both together stay within the limit. What cannot be known is
/// taken as sent at the last moment that is: requests that were under way, and those that listed the accounts.
fn recall_requests(
    writer: &EvidenceWriter,
    lanes: &[Arc<Lane>],
    api: &Api,
    tokens: &Tokens,
) -> Result<(), Failure> {
    /// Accounts that a page of a list has at least.
    const PAGE: usize = 50;
    let options = api.gate().options();
    let (requests, written) = writer
        .requests()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let since_written = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    let ago = |at: DateTime<Utc>| {
        let clock_stands = options.clock.is_fixed();
        let elapsed = (Utc::now() - at).to_std().unwrap_or_default();
        if clock_stands { since_written } else { elapsed }
    };
    for request in requests {
        let times = std::iter::repeat_n(ago(request.at), request.count as usize);
        lanes[request.position].recall(times);
    }
    let lists = writer
        .header()
        .sources
        .iter()
        .filter(|source| source.is_listed());
    let pages: usize = lists.map(|source| source.accounts / PAGE + 2).sum();
    for lane in tokens.lanes() {
        lane.recall(std::iter::repeat_n(
            since_written,
            options.concurrency + pages,
        ));
    }
    Ok(())
}

/// A listing that ends early when the program is asked to stop; nothing has been read by then.
async fn until_stopped<T>(stop: &Stop, listing: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        done = listing => Ok(done),
        () = stop.requested() => Err(Failure::new(exit::INTERRUPTED, "interrupted before any account was read")),
    }
}

/// Refuses what looks like a token where an id belongs, before any message or file repeats it.
fn refuse_tokens(ids: &[String], what: &str) -> Result<(), Failure> {
    match ids.iter().position(|id| id_may_be_token(id)) {
        None => Ok(()),
        Some(at) => Err(Failure::usage(format!(
            "{what} {} on the command line looks like an API token, and is not shown",
            at + 1
        ))
        .hint("put the token into CLOUDFLARE_API_TOKEN or a --token-file; roll it if the command line was recorded or others could see it")),
    }
}

fn evidence_failure(error: &EvidenceError, destination: &RunDirectory) -> Failure {
    let partial = destination.partial();
    let todo = match error {
        EvidenceError::Io { source, .. } => write_hint(source),
        _ => "choose another folder with --output",
    };
    Failure::failed(format!("the evidence cannot be kept: {error}")).hint(format!(
        "{todo}; what was read is kept in {}, and --resume goes on with it",
        partial.display()
    ))
}

/// Why a list of accounts could not be had, with what to do about it.
pub fn listing_failure(what: &str, error: &ReadError) -> Failure {
    let code = error
        .code
        .as_ref()
        .map(|code| format!(", code {code}"))
        .unwrap_or_default();
    let failure = Failure::failed(format!(
        "cannot list {what} ({}{code}): {}",
        error.kind.as_str(),
        error.message
    ));
    match error.kind {
        ErrorKind::Auth | ErrorKind::Forbidden | ErrorKind::Api => failure.hint(
            "check the token with `cf-sso-audit doctor`: listing needs a user's token with the permission Account Settings Read; an account's own token cannot list: name the accounts instead",
        ),
        ErrorKind::NotFound => failure.hint("check the organization's id"),
        _ => failure.hint("try again later; name the accounts with --accounts-file to do without the list"),
    }
}

/// Reads a file, or standard input, as far as one can be that is of use: one byte more shows that there is more.
fn read_file_or_stdin(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = LARGEST_FILE as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
