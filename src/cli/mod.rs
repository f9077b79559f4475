//! The command line: the only place that knows clap. One file a subcommand.

use std::any::Any;
use std::io::{self, BufRead as _, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::text::is_invisible;
use crate::token_form::id_may_be_token;

mod accounts;
mod after;
mod audit;
mod connection;
mod connector;
mod descriptors;
mod diff;
mod doctor;
mod export;
mod failure;
mod fix;
mod judgement;
mod logging;
mod lookups;
mod manual;
mod merge;
mod progress;
mod render;
mod rules;
mod schema;
mod screen;
mod shard;
mod simulate;
mod stop;
mod summary;
mod table;
mod values;

pub use failure::Failure;
pub use values::{parse_duration, parse_rate};

/// Exit codes, as the contract has them.
pub mod exit {
    /// What each of them means, for the manual.
    pub const MEANINGS: [(u8, &str); 6] = [
        (DONE, "Done and complete."),
        (FAILED, "The command failed."),
        (USAGE, "Invalid usage, policy or input file."),
        (
            INCOMPLETE,
            "Done, but more accounts are unread or incomplete than --allow-unread allows (by default none), or a list of accounts is incomplete.",
        ),
        (
            FINDINGS,
            "Done, and an open finding reaches --fail-on or --fail-on-new. 3 outranks 10. For diff: something changed.",
        ),
        (
            INTERRUPTED,
            "Interrupted. What was read is kept; audit --resume resumes the run.",
        ),
    ];

    /// Done and complete.
    pub const DONE: u8 = 0;
    /// Could not do the job.
    pub const FAILED: u8 = 1;
    /// Invalid usage, policy or input file.
    pub const USAGE: u8 = 2;
    /// Done, but some account is unread or incomplete.
    pub const INCOMPLETE: u8 = 3;
    /// Done, and an open finding reaches `--fail-on`.
    pub const FINDINGS: u8 = 10;
    /// Interrupted; the evidence is kept.
    pub const INTERRUPTED: u8 = 130;
}

/// Audit the SSO connectors of many Cloudflare accounts: unverified domains, disabled connectors, FedRAMP settings.
#[derive(Debug, Parser)]
#[command(name = "cf-sso-audit", version, propagate_version = true, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  Try it with made-up accounts:
      cf-sso-audit audit --demo
  Audit every account the token can list:
      CLOUDFLARE_API_TOKEN=... cf-sso-audit audit --all-accounts
  Audit the accounts in a file every night; exit 10 on high findings:
      cf-sso-audit audit --accounts-file accounts.csv --token-file /run/secrets/token --fail-on high -q
  Explain a rule and how to fix what it finds:
      cf-sso-audit rules enabled-unverified

Exit codes: 0 done and complete, 1 failed, 2 invalid usage, policy or input file, 3 done but some accounts are unread or incomplete, 10 done and an open finding reaches --fail-on, 130 interrupted (3 outranks 10).";

/// What every subcommand takes.
#[derive(Debug, Args)]
struct OutputArgs {
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more: -v each step, -vv each request, -vvv the libraries too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Format of the log on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Audit(Box<audit::AuditArgs>),
    Render(Box<render::RenderArgs>),
    Merge(Box<merge::MergeArgs>),
    Diff(diff::DiffArgs),
    Fix(Box<fix::FixArgs>),
    Export(export::ExportArgs),
    Connector(Box<connector::ConnectorArgs>),
    Accounts(Box<accounts::AccountsArgs>),
    Doctor(Box<doctor::DoctorArgs>),
    Rules(rules::RulesArgs),
    Schema(schema::SchemaArgs),
    Simulate(simulate::SimulateArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    // A shell that completes a command line sets the variable; nothing else is done then.
    manual::complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    logging::start(
        cli.output.quiet,
        cli.output.verbose,
        cli.output.log_format == LogFormat::Json,
    );
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(cli)));
    match ended.unwrap_or_else(|panic| Err(unexpected(&*panic))) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit)
        }
    }
}

/// Shows help, or what is wrong with the command line: as the log is to be written, as far as that can be known. An
/// argument that may be a token is not repeated.
fn misused(error: &clap::Error) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let asks_for_json = arguments
        .iter()
        .any(|argument| argument == "--log-format=json")
        || arguments
            .windows(2)
            .any(|pair| pair[0] == "--log-format" && pair[1] == "json");
    if !error.use_stderr() {
        error.exit();
    }
    let text = error.render().to_string();
    let shows_token = text.split_whitespace().any(|word| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        id_may_be_token(word)
    });
    if !asks_for_json && !shows_token {
        error.exit();
    }
    if asks_for_json {
        logging::start(true, 0, true);
    }
    if shows_token {
        Failure::usage("an unknown argument looks like an API token (not shown)")
            .hint(connection::TOKEN_IN_THE_OPEN)
            .print();
    } else {
        let message = text.trim_start_matches("error: ").trim_end();
        Failure::usage(message).print();
    }
    ExitCode::from(exit::USAGE)
}

/// A panic as an error like any other: mostly the system refused a thread, which the runtime does not tell otherwise.
fn unexpected(panic: &(dyn Any + Send)) -> Failure {
    Failure::failed(format!(
        "the program failed unexpectedly: {}",
        crate::caught::said(panic)
    ))
    .hint("if this machine limits processes, threads or memory, raise the limit; otherwise this is a bug: please report it")
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let quiet = cli.output.quiet;
    match cli.command {
        Command::Audit(args) => runtime()?.block_on(audit::run(*args, quiet)),
        Command::Render(args) => runtime()?.block_on(render::run(*args, quiet)),
        Command::Merge(args) => runtime()?.block_on(merge::run(*args, quiet)),
        Command::Diff(args) => diff::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Fix(args) => runtime()?.block_on(fix::run(*args)),
        Command::Connector(args) => runtime()?.block_on(unless_stopped(connector::run(*args))),
        Command::Accounts(args) => runtime()?.block_on(unless_stopped(accounts::run(*args))),
        Command::Doctor(args) => runtime()?.block_on(unless_stopped(doctor::run(*args))),
        Command::Rules(args) => rules::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Simulate(args) => runtime()?.block_on(simulate::run(args)),
    }
}

/// Does the work of a command that leaves nothing unfinished behind; what it has started ends with it.
async fn unless_stopped(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let stop = stop::Stop::listen();
    tokio::select! {
        biased;
        done = work => done,
        () = stop.requested() => Err(Failure::new(exit::INTERRUPTED, "interrupted")
            .hint("a change in progress may have been made: check with `connector get`")),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format!("cannot start the worker threads: {error}")).hint(
            "this machine limits processes or threads: raise the limit (`ulimit -u`, TasksMax=)",
        )
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // The runtime waits for ever for those of its threads that did start where the system refuses it another one. So it is
    // found out before whether it will; with one more for blocking work, and one for the end.
    try_threads(workers + 2).map_err(failed)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(failed)
}

/// Starts so many threads at once, which end again.
fn try_threads(count: usize) -> io::Result<()> {
    let gate = std::sync::RwLock::new(());
    // Held until all are there, so that none ends before.
    let held = gate.write();
    std::thread::scope(|scope| {
        let started: io::Result<Vec<_>> = (0..count)
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.read())))
            .collect();
        drop(held);
        started.map(drop)
    })
}

/// JSON for programs, which people may look at on a terminal: what would do something there is escaped.
fn json_text(value: &serde_json::Value) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for c in format!("{value:#}\n").chars() {
        if c != '\n' && (c.is_control() || is_invisible(c)) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Writes to standard output. That nobody reads it any more is no failure.
fn print(text: &str) -> Result<(), Failure> {
    write_out(text).map_err(unprinted)
}

/// Writes to standard output what a reader has, a piece at a time.
fn print_all(reader: impl io::Read) -> io::Result<()> {
    let mut reader = io::BufReader::with_capacity(64 * 1024, reader);
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        write_bytes(piece)?;
        let length = piece.len();
        reader.consume(length);
    }
}

/// As [`print()`], with the error as the system has it.
fn write_out(text: &str) -> io::Result<()> {
    write_bytes(text.as_bytes())
}

fn write_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn unprinted(error: io::Error) -> Failure {
    Failure::failed(format!("cannot write to standard output: {error}"))
}

/// Writes to standard error. That it cannot be written to, because its reader went away or its disk is full, costs
/// nothing else: whatever is said there is in the report, or in the exit code.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Says a line on standard error, in the form of the log.
fn tell_line(text: &str) {
    let line = logging::as_json("WARN", text, None);
    tell(&line.unwrap_or_else(|| format!("{text}\n")));
}

/// The command line as clap knows it, for tests of the documentation.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_does_nothing_to_a_terminal_and_says_the_same() {
        let value = serde_json::json!({"name": "a\u{1b}\u{9b}\u{202e}\u{e0001}\n\u{1f468}"});
        let text = json_text(&value);
        assert!(
            text.contains("a\\u001b\\u009b\\u202e\\udb40\\udc01\\n\u{1f468}"),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
