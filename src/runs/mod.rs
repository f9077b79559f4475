//! The folder of all runs: how their directories are named, which of them go before others, and whether what stands
//! in them is what was written.

mod api_asked;
mod claim;
mod directory;
mod keep;
mod latest;
mod list;
mod lock;
mod names;
mod sums;

pub use api_asked::ApiAsked;
pub use claim::{Claim, ClaimError};
pub use directory::{DirectoryError, RunDirectory, try_out};
pub use keep::{Left, Removal, keep_newest, remove_report};
pub use list::{WholeRun, newest_unfinished, runs_since, whole_runs};
pub use lock::{FolderLock, lock_folder};
pub use names::{BY_OWNER, STAGING, is_run_id, is_unfinished};
pub use sums::{SUMS, SumsError, check_sums, is_listed, not_made_by_a_run};
