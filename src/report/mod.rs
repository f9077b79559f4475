//! From evidence to files: what every format renders, and the one way in which a report is made.
//!
//! Accounts are judged in chunks by several workers, and each row is offered to every format. What stays in memory are
//! the chunks in progress, counters, the domains that several accounts claim, and the rows that the page has room for. A
//! new format is a file here and a line in [`FORMATS`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chrono::{DateTime, Utc};

use crate::assess::Assessor;
use crate::baseline::{BaselineError, History};
use crate::dns::lookups;
use crate::evidence::{self, Evidence, EvidenceError, RunHeader};
use crate::file_mode::FileMode;
use crate::ledger::{self as ledger_file, LedgerHeader, TrendPoint};
use crate::memory::Known;
use crate::policy::Policy;
use crate::runs::SUMS;
use crate::threads::{lock, on_all};

mod columns;
mod csv;
mod dialect;
pub mod files;
pub mod html;
mod json;
mod ledger;
mod markdown;
pub mod metrics;
mod ocsf;
mod pipeline;
mod shape;
pub mod split;
mod summary;
mod tables;
mod xlsx;

pub use columns::files_with_columns;
pub use dialect::Dialect;
pub use ocsf::{Class as OcsfClass, NAME as OCSF, Options as OcsfOptions};
pub use shape::{SCHEMA, schema};
pub use summary::{Coverage, Summary, Totals};

use columns::{AccountRow, ChangeRow, ConnectorRow, Context, FindingRow};
use files::Staging;

/// A format at work: its files, begun.
pub trait Format: Send + Sync {
    /// What renders rows on one thread.
    fn worker(&self) -> Box<dyn FormatWorker + '_>;

    /// Ends the files.
    ///
    /// # Errors
    /// A file cannot be written.
    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()>;
}

/// Renders the rows of a chunk of accounts, which wait until it is the chunk's turn. A format takes the rows that it has
/// a use for.
pub trait FormatWorker {
    /// Takes the next account.
    ///
    /// # Errors
    /// It cannot be rendered.
    fn account(&mut self, _: &AccountRow<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Takes the next connector.
    ///
    /// # Errors
    /// It cannot be rendered.
    fn connector(&mut self, _: &ConnectorRow<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Takes the next finding. An account's come worst first; those of one severity come in the accounts' order.
    ///
    /// # Errors
    /// It cannot be rendered.
    fn finding(&mut self, _: &FindingRow<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Takes the next change.
    ///
    /// # Errors
    /// It cannot be rendered.
    fn change(&mut self, _: &ChangeRow<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Takes what later runs will know of the account. Where it is the chunk's turn already, that may go to the file at
    /// once: of a large account it is too much to wait in memory.
    ///
    /// # Errors
    /// It cannot be rendered or written.
    fn known(&mut self, _: Known<'_>, _is_its_turn: bool) -> io::Result<()> {
        Ok(())
    }

    /// How much waits, in bytes.
    fn waiting(&self) -> usize;

    /// Adds what waits to the files.
    ///
    /// # Errors
    /// A file cannot be written.
    fn hand_on(&mut self) -> io::Result<()>;
}

/// A format by its name on the command line.
pub struct FormatSpec {
    /// The name.
    pub name: &'static str,
    /// The files it writes, with what is in them.
    pub files: &'static [(&'static str, &'static str)],
    /// Whether it is written where nothing is said.
    pub by_default: bool,
    open: for<'a> fn(&Staging, &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>>,
}

impl std::fmt::Debug for FormatSpec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Every format that can be asked for.
pub const FORMATS: &[FormatSpec] = &[
    csv::FORMAT,
    html::FORMAT,
    json::FORMAT,
    markdown::FORMAT,
    xlsx::FORMAT,
    ocsf::FORMAT,
];

/// The heading of a report that is given no other.
const TITLE: &str = "Cloudflare SSO connector audit";

/// What a report is made by, beside the evidence.
pub struct Settings<'a> {
    /// What is expected and waived.
    pub policy: &'a Policy,
    /// The moment up to which ages count, and on which waivers hold or do not.
    pub now: DateTime<Utc>,
    /// What is written.
    pub formats: &'a [&'static FormatSpec],
    /// How CSV is written.
    pub dialect: Dialect,
    /// What the OCSF events are.
    pub ocsf: OcsfOptions,
    /// What the page is made of.
    pub template: &'a html::template::PageTemplate,
    /// The page's heading, where it is not the usual one.
    pub title: Option<&'a str>,
    /// Who may read the files.
    pub mode: FileMode,
    /// What the ledger begins with: which runs this one continues.
    pub ledger: &'a LedgerHeader,
}

impl Settings<'_> {
    /// Whether the report shows what DNS holds.
    fn dns_was_looked_up(&self) -> bool {
        self.ledger.dns.is_some()
    }

    fn context(&self, header: &RunHeader, is_whole: bool) -> Context<'_> {
        Context {
            policy: self.policy,
            now: self.now,
            dialect: self.dialect,
            started: header.started,
            is_whole,
        }
    }
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The evidence cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The baseline cannot be read.
    #[error("the baseline cannot be read: {0}")]
    Baseline(#[from] BaselineError),
    /// A file cannot be written.
    #[error("cannot write the report into {}: {source}", path.display())]
    Write {
        /// The run's directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Judges every account of the evidence and writes the report into a directory that is there. Nothing is in
/// its place before all of it is written.
///
/// # Errors
/// Evidence or baseline cannot be read, or a file cannot be written; then the directory is as it was.
pub fn write<'a>(
    directory: &Path,
    evidence: &Evidence,
    header: &'a RunHeader,
    history: &History,
    settings: &'a Settings<'a>,
) -> Result<Summary<'a>, ReportError> {
    let write_error = |source| ReportError::Write {
        path: directory.to_owned(),
        source,
    };
    let names: Vec<_> = report_files()
        .chain([ledger_file::FILE_NAME, lookups::FILE_NAME, SUMS])
        .collect();
    let staging = Staging::new(directory, settings.mode, &names).map_err(write_error)?;
    let made = make(&staging, evidence, header, history, settings, &write_error);
    let written = made.and_then(|summary| {
        // Lookups that this report was not made from are another one's.
        let names = report_files().chain([lookups::FILE_NAME]);
        let published = staging.publish(names);
        published.map(|()| summary).map_err(write_error)
    });
    if written.is_err() {
        staging.discard();
    }
    written
}

fn make<'a>(
    staging: &Staging,
    evidence: &Evidence,
    header: &'a RunHeader,
    history: &History,
    settings: &'a Settings<'a>,
    write_error: &(dyn Fn(io::Error) -> ReportError + Sync),
) -> Result<Summary<'a>, ReportError> {
    let shared_domains = evidence.index().shared_domains();
    let elsewhere = history.elsewhere(evidence, shared_domains)?;
    let assessor = Assessor {
        header,
        policy: settings.policy,
        shared_domains,
        elsewhere: &elsewhere,
        now: settings.now,
        compares: history.compared().is_some(),
    };
    let source = pipeline::Source {
        evidence,
        assessor: &assessor,
        history,
        context: settings.context(header, evidence.is_whole()),
        scope: &pipeline::Scope::whole(header, history),
    };
    staging.add_sum(evidence::FILE_NAME, evidence.sha256());
    if let Some(lookups) = evidence.lookups() {
        let sha256 = lookups.sha256().to_owned();
        staging
            .adopt(lookups.path(), lookups::FILE_NAME, sha256)
            .map_err(write_error)?;
    }
    let earlier = history.remembered().map(|run| run.trend().to_vec());
    let about = About {
        header,
        trend: earlier.unwrap_or_default(),
    };
    make_of(staging, &source, about, settings, |_| {}, write_error)
}

/// What a report is about, beside the accounts.
struct About<'a> {
    /// The run.
    header: &'a RunHeader,
    /// The figures of earlier runs, oldest first.
    trend: Vec<TrendPoint>,
}

/// Makes a report about some accounts; `adjust` has the last word on what holds for all of them.
fn make_of<'a>(
    staging: &Staging,
    source: &pipeline::Source<'_>,
    about: About<'a>,
    settings: &'a Settings<'a>,
    adjust: impl FnOnce(&mut Summary<'a>),
    write_error: &(dyn Fn(io::Error) -> ReportError + Sync),
) -> Result<Summary<'a>, ReportError> {
    let mut formats = vec![ledger::Ledger::open(staging, settings).map_err(write_error)?];
    for format in settings.formats {
        formats.push((format.open)(staging, settings).map_err(write_error)?);
    }
    let tally = pipeline::run(source, &formats, write_error)?;
    let mut summary = tally.finish(about, settings, source.evidence, source.history);
    adjust(&mut summary);
    finish_all(formats, &summary).map_err(write_error)?;
    Ok(summary)
}

/// Ends every format, side by side; where the system has no thread to give, one after the other.
fn finish_all(formats: Vec<Box<dyn Format + '_>>, summary: &Summary<'_>) -> io::Result<()> {
    let waiting = Mutex::new(formats);
    let next = || lock(&waiting).pop();
    let finish = || {
        let mut ended = Ok(());
        while let Some(format) = next() {
            ended = ended.and(format.finish(summary));
        }
        ended
    };
    on_all(finish).into_iter().collect()
}

/// The names of all files that a report may consist of, whatever the formats.
fn report_files() -> impl Iterator<Item = &'static str> {
    let files = FORMATS.iter().flat_map(|format| format.files);
    files.map(|(name, _)| *name)
}

/// The names of all files that a report with these formats consists of, beside the evidence.
pub fn files_of_report(formats: &[&'static FormatSpec]) -> impl Iterator<Item = &'static str> {
    let files = formats.iter().flat_map(|format| format.files);
    files.map(|(name, _)| *name).chain([ledger_file::FILE_NAME])
}

/// Every file that a run's directory may hold, with what is in it; those about DNS only where that was looked up.
pub fn files_written(
    formats: &[&'static FormatSpec],
    dns_was_looked_up: bool,
) -> Vec<(&'static str, &'static str)> {
    let mut files: Vec<_> = formats
        .iter()
        .flat_map(|format| format.files)
        .copied()
        .collect();
    files.extend([
        (
            evidence::FILE_NAME,
            "what the API answered for every account: the source of everything else",
        ),
        (
            lookups::FILE_NAME,
            "every DNS lookup: the query, the resolver, the time and the answer",
        ),
        (ledger_file::FILE_NAME, "what the next run is compared with"),
        (SUMS, "checksums of all files, for sha256sum -c"),
    ]);
    let about_dns = [lookups::FILE_NAME, columns::DNS_RECORDS.file];
    files.retain(|(name, _)| dns_was_looked_up || !about_dns.contains(name));
    files
}
