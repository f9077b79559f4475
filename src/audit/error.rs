//! Why an audit cannot be begun, resumed, or read to its end.

use std::io;
use std::path::PathBuf;

use crate::accounts::FileProblems;
use crate::evidence::EvidenceError;
use crate::organizations::Gap;
use crate::outcome::ReadError;
use crate::runs::DirectoryError;
use crate::shard::Shard;
use crate::text::{count, for_terminal};
use crate::tokens::TokensError;

/// Why an audit cannot be begun, resumed, or read to its end. Shows no token.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Nothing names an account.
    #[error("no account was named")]
    NoAccount,
    /// None of the accounts that were named can be asked for.
    #[error("no account has a valid ID:\n{0}")]
    NoValidAccount(String),
    /// Where an id belongs stands what may be a token.
    #[error("{what} {number} on the command line looks like an API token (not shown)")]
    IdMayBeToken {
        /// What the id would be of.
        what: &'static str,
        /// Which one it is, from 1.
        number: usize,
    },
    /// Where an accounts file belongs stands what may be a token.
    #[error("--accounts-file was given what looks like an API token instead of a file (not shown)")]
    PathMayBeToken,
    /// An accounts file names an account of another region.
    #[error(
        "{place} names an account in the region {}, but this audit asks {asked}",
        for_terminal(named)
    )]
    OtherRegion {
        /// File and line.
        place: String,
        /// The region that is there.
        named: String,
        /// The region that is asked.
        asked: &'static str,
    },
    /// An accounts file cannot be read.
    #[error("cannot read the accounts file {name}: {source}")]
    UnreadableFile {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// An accounts file is not one.
    #[error("{0}")]
    BadFile(FileProblems),
    /// A token cannot be had.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The run has no directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The API does not list accounts.
    #[error("cannot list {what} ({}{}): {}", error.kind.as_str(), code(error), error.message)]
    Unlisted {
        /// What was to be listed.
        what: String,
        /// What it said.
        error: ReadError,
    },
    /// No organization that was named brought an account; why not.
    #[error("no account of an organization can be listed:\n{}", first_of(.0))]
    UnlistedOrganizations(Vec<Gap>),
    /// It was asked to stop while accounts were listed.
    #[error("interrupted before any account was read")]
    Stopped,
    /// The folder cannot be searched for unfinished runs.
    #[error("cannot look for unfinished runs in {}: {source}", output.display())]
    UnfinishedUnknown {
        /// The folder.
        output: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to resume.
    #[error("there is no unfinished run in {}", output.display())]
    NothingUnfinished {
        /// The folder.
        output: PathBuf,
    },
    /// Another process works on the unfinished run.
    #[error(transparent)]
    Locked(EvidenceError),
    /// The unfinished run's evidence is of no use.
    #[error("the unfinished run cannot be resumed: {0}")]
    Unresumable(EvidenceError),
    /// The unfinished run asked another API.
    #[error("{} was started with {begun_with}, not with {now}", partial.display())]
    OtherApi {
        /// The unfinished run.
        partial: PathBuf,
        /// The API that it asked.
        begun_with: String,
        /// The one that is given now.
        now: String,
    },
    /// The unfinished run has the accounts of another shard.
    #[error(
        "{} was started {}, not with --shard {now}",
        partial.display(),
        begun_with.as_ref().map_or("without --shard".to_owned(), |shard| format!("with --shard {shard}"))
    )]
    OtherShard {
        /// The unfinished run.
        partial: PathBuf,
        /// Its shard.
        begun_with: Option<String>,
        /// The one that is given now.
        now: Shard,
    },
    /// The unfinished run was not read, but merged.
    #[error("{} was started by merge, not by audit", partial.display())]
    WasMerged {
        /// The unfinished run.
        partial: PathBuf,
    },
    /// The unfinished run's answers are older than those that are known.
    #[error(
        "run {newer} was completed after {} was started: its older answers would be reported as changes since then",
        partial.display()
    )]
    Overtaken {
        /// The unfinished run.
        partial: PathBuf,
        /// The newer one.
        newer: String,
    },
    /// The unfinished run asked for other accounts.
    #[error("{} was started with other accounts than those named now", partial.display())]
    OtherAccounts {
        /// The unfinished run.
        partial: PathBuf,
    },
    /// The unfinished run names variables that nobody names now.
    #[error(
        "{} would send the value of {}{}, which no accounts file in this command names",
        partial.display(),
        for_terminal(first),
        more_variables(*more)
    )]
    OtherVariables {
        /// The unfinished run.
        partial: PathBuf,
        /// The first of them.
        first: String,
        /// How many more there are.
        more: usize,
    },
    /// The folder cannot be searched for runs that were completed meanwhile.
    #[error("cannot look for newer runs in {}: {source}", output.display())]
    NewerUnknown {
        /// The folder.
        output: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder cannot be locked.
    #[error("cannot lock {}: {source}", output.display())]
    Unlockable {
        /// The folder.
        output: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread that waits for a lock has ended.
    #[error(transparent)]
    Waiting(#[from] tokio::task::JoinError),
    /// What was sent before the interruption is not known.
    #[error(transparent)]
    RequestsUnknown(EvidenceError),
    /// The evidence cannot be written.
    #[error("the evidence cannot be kept: {error}")]
    Unkept {
        /// The run, where what was read is kept.
        partial: PathBuf,
        /// Why.
        error: EvidenceError,
    },
}

/// The first of several sentences, and how many more there are.
fn first_of(gaps: &[Gap]) -> String {
    const MOST: usize = 10;
    let mut lines: Vec<_> = gaps
        .iter()
        .take(MOST)
        .map(|gap| gap.sentence.clone())
        .collect();
    if gaps.len() > MOST {
        lines.push(format!("and {} more", gaps.len() - MOST));
    }
    lines.join("\n")
}

fn code(error: &ReadError) -> String {
    let code = error.code.as_ref();
    code.map_or(String::new(), |code| format!(", code {code}"))
}

fn more_variables(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and of {}", count(more, "other variable")),
    }
}
