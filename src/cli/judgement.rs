//! By what evidence is judged and how the report is written: what `audit` and `render` share, so that a report can
//! be made again, byte for byte.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::values::parse_mode;
use super::{Failure, exit, summary};
use crate::baseline::History;
use crate::baseline::choice::{Choice, ChoiceError, Compare};
use crate::clock::{self, Clock};
use crate::dns::lookups;
use crate::evidence::{self, Evidence, RunHeader};
use crate::file_mode::FileMode;
use crate::ledger::{LedgerHeader, TrendPoint};
use crate::metrics::Figure;
use crate::policy::Policy;
use crate::report::html::template::PageTemplate;
use crate::report::split::Split;
use crate::report::{self, Dialect, FORMATS, FormatSpec, OcsfClass, OcsfOptions, Settings};
use crate::runs::{SUMS, check_sums, is_listed, is_unfinished};
use crate::severity::Severity;
use crate::text::count;
use crate::thresholds::{AllowedUnread, Thresholds};

/// The largest policy, in bytes.
const LARGEST_POLICY: u64 = 4 * 1024 * 1024;

/// The policy by which the demo is judged, where no other is given.
const DEMO_POLICY: &str = include_str!("../simulator/demo.policy.toml");

/// By what evidence is judged.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judgement")]
pub struct JudgementArgs {
    /// Policy file (TOML): what to expect of accounts, and what is waived until when; see policy.example.toml
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Run to compare with, or none; by default the newest complete run of the same API under --output
    #[arg(long, value_name = "RUN_DIR|none")]
    baseline: Option<String>,
    /// Exit 10 if an open finding is at least this severe; default: never
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Exit 10 if a new open finding is at least this severe; new means not there the last time its account was read
    /// in full; default: never
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on_new: Option<FailOn>,
    /// Tolerate this many accounts (or this share of them) not read in full without exiting 3; the report lists them
    /// all the same; default: 0
    #[arg(long, value_name = "N|N%")]
    allow_unread: Option<AllowedUnread>,
}

/// The least severity that fails a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Never,
    Low,
    Medium,
    High,
    Critical,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Never => None,
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
            Self::Critical => Some(Severity::Critical),
        }
    }
}

/// How the report is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
pub struct FilesArgs {
    /// Output formats, comma-separated
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = default_formats(), value_parser = format_names())]
    format: Vec<String>,
    /// CSV dialect: excel has a BOM, commas and CRLF, and puts a ' before text that a spreadsheet would take for a
    /// formula, number or date; plain does none of this
    #[arg(long, value_enum, default_value_t = DialectArg::Excel, value_name = "DIALECT")]
    csv_dialect: DialectArg,
    /// Class of the events in report.ocsf.json: Compliance Finding (2003) or Detection Finding (2004)
    #[arg(long, value_enum, default_value_t = OcsfClassArg::Compliance, value_name = "CLASS")]
    ocsf_class: OcsfClassArg,
    /// Also write a passing event to report.ocsf.json for each rule that checked a whole account and found nothing
    #[arg(long)]
    ocsf_passes: bool,
    /// Folder with your own templates for report.html; missing files fall back to the built-in page
    #[arg(long, value_name = "DIR")]
    template: Option<PathBuf>,
    /// Also write a report for each owner to by-owner/OWNER, covering only that owner's accounts
    #[arg(long, value_enum, value_name = "WHAT")]
    split_by: Option<SplitBy>,
    /// Heading of report.html, such as "Client, quarterly review"
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Mode of the files written: 0600 only you can read them, 0640 your group can too
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = parse_mode)]
    pub output_mode: u32,
}

fn format_names() -> clap::builder::PossibleValuesParser {
    FORMATS
        .iter()
        .map(|format| format.name)
        .collect::<Vec<_>>()
        .into()
}

fn default_formats() -> Vec<String> {
    let by_default = FORMATS.iter().filter(|format| format.by_default);
    by_default.map(|format| format.name.to_owned()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DialectArg {
    Excel,
    ExcelSemicolon,
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OcsfClassArg {
    Compliance,
    Detection,
}

/// By what a report is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitBy {
    /// The owner named in the policy or the accounts file.
    Owner,
}

impl FilesArgs {
    fn dialect(&self) -> Dialect {
        match self.csv_dialect {
            DialectArg::Excel => Dialect::Excel,
            DialectArg::ExcelSemicolon => Dialect::ExcelSemicolon,
            DialectArg::Plain => Dialect::Plain,
        }
    }

    /// What the OCSF events are, checked before anything is collected: without the format, or of a class that knows no
    /// pass, an option would do nothing.
    pub fn ocsf(&self) -> Result<OcsfOptions, Failure> {
        let class = match self.ocsf_class {
            OcsfClassArg::Compliance => OcsfClass::Compliance,
            OcsfClassArg::Detection => OcsfClass::Detection,
        };
        let given = [
            ("--ocsf-class detection", class == OcsfClass::Detection),
            ("--ocsf-passes", self.ocsf_passes),
        ];
        let is_written = self.format.iter().any(|name| name == report::OCSF);
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) if !is_written => Err(Failure::usage(format!(
                "{option} has no effect without --format ocsf"
            ))
            .hint("add ocsf to --format, such as --format csv,html,json,ocsf")),
            _ if class == OcsfClass::Detection && self.ocsf_passes => Err(Failure::usage(
                "--ocsf-passes cannot be used with --ocsf-class detection",
            )
            .hint("a Detection Finding reports what was found: use --ocsf-class compliance for passes")),
            _ => Ok(OcsfOptions {
                class,
                passes: self.ocsf_passes,
            }),
        }
    }

    /// Whether there is a report for each owner, too.
    pub fn is_split(&self) -> bool {
        self.split_by == Some(SplitBy::Owner)
    }

    /// What is to be written.
    pub fn formats(&self) -> Vec<&'static FormatSpec> {
        let asked = |format: &&FormatSpec| self.format.iter().any(|name| name == format.name);
        FORMATS.iter().filter(asked).collect()
    }

    /// What the page is made of, checked before anything is collected.
    pub fn template(&self) -> Result<PageTemplate, Failure> {
        match &self.template {
            None => Ok(PageTemplate::built_in()),
            Some(dir) => PageTemplate::from_dir(dir).map_err(|error| {
                Failure::usage(format!("--template {}: {error}", dir.display()))
                    .hint("see templates/README.md for what a template can contain")
            }),
        }
    }
}

impl JudgementArgs {
    /// When the run does not end with 0: what is asked for, else what was asked for when it was first judged.
    pub fn thresholds(&self, record: Option<&LedgerHeader>) -> Thresholds {
        let recorded = record.map(|record| record.thresholds).unwrap_or_default();
        Thresholds {
            fail_on: self.fail_on.map_or(recorded.fail_on, FailOn::severity),
            fail_on_new: self
                .fail_on_new
                .map_or(recorded.fail_on_new, FailOn::severity),
            allow_unread: self.allow_unread.unwrap_or(recorded.allow_unread),
        }
    }

    /// What is asked of the comparison with earlier runs.
    pub fn comparison(&self) -> Choice<'_> {
        Choice {
            compare: match self.baseline.as_deref() {
                None => Compare::ByItself,
                Some(NONE) => Compare::WithNone,
                Some(run) => Compare::With(Path::new(run)),
            },
            must_know_what_is_new: self.fail_on_new.and_then(FailOn::severity).is_some(),
        }
    }

    /// See [`policy_of`].
    pub fn policy(&self, demo: bool) -> Result<Policy, Failure> {
        policy_of(self.policy.as_deref(), demo)
    }
}

/// Stands on the command line for no baseline.
const NONE: &str = "none";

impl From<ChoiceError> for Failure {
    fn from(error: ChoiceError) -> Self {
        let message = error.to_string();
        match error {
            ChoiceError::Missing { .. } | ChoiceError::NotARun { .. } => Self::usage(message).hint(
                "a run's directory is named after its start, such as reports/20261121T101500Z; or give none",
            ),
            ChoiceError::Unreadable { .. } => Self::usage(message)
                .hint("restore it from a copy, or give another complete run, or none"),
            ChoiceError::OtherApi { .. } => Self::usage(message).hint(
                "runs of two regions or APIs cannot be compared: give a run of the same one, or none",
            ),
            ChoiceError::Unrecoverable { .. } => Self::usage(message).hint(
                "give that run's directory with --baseline, or another (or none) together with --output",
            ),
            ChoiceError::NewUnknown { .. } => Self::failed(message).hint(
                "restore that run, move its directory away, or name another run to compare with: --baseline RUN_DIR",
            ),
        }
    }
}

/// The policy that was asked for, else the demo's for a demo, else the one that expects nothing.
pub fn policy_of(path: Option<&Path>, demo: bool) -> Result<Policy, Failure> {
    let usage = |error: crate::policy_file::PolicyError| {
        Failure::usage(error.to_string())
            .hint("see policy.example.toml, and `cf-sso-audit schema policy` for the schema")
    };
    match path {
        Some(path) => {
            let name = path.display().to_string();
            let mut bytes = Vec::new();
            let read = File::open(path)
                .and_then(|file| file.take(LARGEST_POLICY + 1).read_to_end(&mut bytes));
            read.map_err(|error| {
                Failure::usage(format!("cannot read the policy {name}: {error}"))
                    .hint("check the path and the file's permissions")
            })?;
            if bytes.len() as u64 > LARGEST_POLICY {
                return Err(Failure::usage(format!(
                    "the policy {name} is larger than the limit of {} MiB",
                    LARGEST_POLICY / 1024 / 1024
                )));
            }
            Policy::parse(&name, &bytes).map_err(usage)
        }
        None if demo => {
            Policy::parse("the demo's own policy", DEMO_POLICY.as_bytes()).map_err(usage)
        }
        None => Ok(Policy::default()),
    }
}

/// Evidence that is not what the run wrote is not judged: its checksum would be written anew over it, or something
/// changed by it.
pub fn check_evidence(run_dir: &Path, evidence: &Evidence) -> Result<(), Failure> {
    if is_unfinished(run_dir) {
        return Ok(());
    }
    if !run_dir.join(SUMS).exists() {
        tracing::warn!(
            "{} has no {SUMS}, so its evidence cannot be verified",
            run_dir.display()
        );
        return Ok(());
    }
    let sha256 = evidence.sha256();
    let mut files = vec![(evidence::FILE_NAME, sha256.as_str())];
    files.extend(
        evidence
            .lookups()
            .map(|lookups| (lookups::FILE_NAME, lookups.sha256())),
    );
    let lacks_lookups = evidence.lookups().is_none()
        && is_listed(run_dir, lookups::FILE_NAME).is_ok_and(|is_listed| is_listed);
    if lacks_lookups {
        let missing = run_dir.join(lookups::FILE_NAME);
        return Err(Failure::usage(format!(
            "the evidence is incomplete: {} is missing",
            missing.display()
        ))
        .hint("restore the file from a copy; nothing was written or changed"));
    }
    check_sums(run_dir, &files).map_err(|error| {
        Failure::usage(format!("the evidence cannot be trusted: {error}"))
            .hint("restore the file from a copy; nothing was written or changed")
    })
}

/// Evidence with all that it is judged by.
pub struct Judged {
    /// Where the report goes.
    pub directory: PathBuf,
    /// What was seen.
    pub evidence: Box<Evidence>,
    /// The runs that it is compared with and continues.
    pub history: History,
    /// What is expected and waived.
    pub policy: Policy,
    /// When the run does not end with 0.
    pub thresholds: Thresholds,
    /// What the page is made of.
    pub template: PageTemplate,
    /// What the OCSF events are.
    pub ocsf: OcsfOptions,
    /// The page's heading on record, for where none is given.
    pub title: Option<String>,
}

/// What a report that was written says.
pub struct Written {
    /// How the program ends.
    pub code: u8,
    /// The summary for people.
    pub text: String,
    /// The figures of this run and those before it, oldest first.
    pub trend: Vec<TrendPoint>,
    /// Those for `--metrics`.
    pub figures: Vec<Figure>,
}

impl Judged {
    /// Judges, and writes the report.
    pub async fn write(self, files: &FilesArgs) -> Result<Written, Failure> {
        let (formats, dialect, mode) = (
            files.formats(),
            files.dialect(),
            FileMode(files.output_mode),
        );
        let is_split = files.is_split();
        let title = files.title.clone().or_else(|| self.title.clone());
        let now = judged_at(self.evidence.header())?;
        // Writing takes the processor: it has a thread of its own, so that a signal still ends the program at once.
        let writing = tokio::task::spawn_blocking(move || {
            let mut ledger = self.history.ledger_header(
                &self.evidence,
                now,
                self.policy.source.clone(),
                self.thresholds,
            );
            ledger.title.clone_from(&title);
            let settings = Settings {
                ledger: &ledger,
                policy: &self.policy,
                now,
                formats: &formats,
                dialect,
                ocsf: self.ocsf,
                template: &self.template,
                title: title.as_deref(),
                mode,
            };
            let header = self.evidence.header();
            let began = std::time::Instant::now();
            let summary = report::write(
                &self.directory,
                &self.evidence,
                header,
                &self.history,
                &settings,
            )?;
            let mut notes = Vec::new();
            if is_split {
                let split = report::split::write(
                    &self.directory,
                    &self.evidence,
                    header,
                    &self.history,
                    &settings,
                )?;
                notes.push(split_in_words(split));
            }
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(seconds, "judged and written");
            let code = if !summary.is_read_enough() {
                exit::INCOMPLETE
            } else if summary.reaches_fail_on() || summary.reaches_fail_on_new() {
                exit::FINDINGS
            } else {
                exit::DONE
            };
            Ok(Written {
                code,
                text: summary::text(&summary, &notes),
                figures: report::metrics::figures(&summary),
                trend: summary.trend,
            })
        });
        writing
            .await
            .map_err(|error| {
                Failure::failed(format!(
                    "the report was not written: {error}; this is a bug of this program"
                ))
            })?
            .map_err(|error: report::ReportError| Failure::failed(error.to_string()))
    }
}

fn split_in_words(
    Split {
        owners,
        without_owner,
    }: Split,
) -> String {
    let mut words = format!(
        "{} with a report in {}/",
        count(owners, "owner"),
        report::split::FOLDER
    );
    if without_owner > 0 {
        let accounts = count(without_owner, "account");
        let verb = if without_owner == 1 { "has" } else { "have" };
        words.push_str(&format!("; {accounts} without an owner {verb} none"));
    }
    words + "."
}

/// The moment up to which ages count: the clock that is given, else the run's start, so that the same evidence gives
/// the same report whenever it is judged.
pub fn judged_at(header: &RunHeader) -> Result<DateTime<Utc>, Failure> {
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    if clock.is_fixed() && clock.now() < header.started {
        tracing::warn!(
            "{} sets the clock to before the run's start: ages are counted from there",
            clock::VARIABLE
        );
    }
    Ok(if clock.is_fixed() {
        clock.now()
    } else {
        header.started
    })
}
