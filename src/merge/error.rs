//! Why runs cannot be merged.

use std::path::PathBuf;

use crate::evidence::EvidenceError;
use crate::jsonl::FileError;

/// Why runs cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no run was given")]
    Nothing,
    /// A run is incomplete.
    #[error("{} is an unfinished run", run.display())]
    Unfinished {
        /// Its directory.
        run: PathBuf,
    },
    /// A run cannot be read.
    #[error("a run cannot be merged: {0}")]
    Unreadable(EvidenceError),
    /// Two runs asked two APIs.
    #[error("{} asked {}, but {} asked {}", one.0.display(), one.1, other.0.display(), other.1)]
    OtherApi {
        /// A run's directory, and whom it asked.
        one: Box<(PathBuf, String)>,
        /// Another's.
        other: Box<(PathBuf, String)>,
    },
    /// Two runs are of two sets of shards.
    #[error(
        "{} is of {} shards, and {} is of {}",
        one.0.display(),
        one.1,
        other.0.display(),
        other.1
    )]
    OtherShards {
        /// A run's directory, and how many shards its set has.
        one: Box<(PathBuf, u32)>,
        /// Another's.
        other: Box<(PathBuf, u32)>,
    },
    /// The newest run that the merged one would go on from has newer answers.
    #[error(
        "run {run_id} has newer answers of {} of these accounts ({first} among them): the older ones would be reported as changes since then",
        accounts
    )]
    Overtaken {
        /// The newer run.
        run_id: String,
        /// How many accounts.
        accounts: usize,
        /// The first of them.
        first: String,
    },
    /// The merged evidence cannot be written, or a run's cannot be read any more.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The same of what was looked up in DNS.
    #[error(transparent)]
    Lookups(#[from] FileError),
}
