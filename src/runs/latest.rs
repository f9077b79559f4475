//! The link to the newest run that is whole.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::names::{is_run_id, run_order};

/// The link's name.
pub(super) const LATEST: &str = "latest";

/// Why what is called `latest` is not replaced by a link.
pub(super) fn latest_obstacle(output: &Path) -> Option<&'static str> {
    let found = output.join(LATEST).symlink_metadata().ok()?.file_type();
    if found.is_symlink() {
        None
    } else if found.is_dir() {
        Some("it is a folder, not a link")
    } else {
        Some("it is a file, not a link")
    }
}

/// Warns where `latest` will not be pointed to the run that is begun.
pub(super) fn warn_of_latest(output: &Path) {
    if let Some(why) = latest_obstacle(output) {
        tracing::warn!(
            "{} will not be updated: {why}; remove or rename it",
            output.join(LATEST).display()
        );
    }
}

/// Points `latest` to a run.
pub(super) fn point_latest(output: &Path, run_id: &str) -> io::Result<()> {
    match latest_obstacle(output) {
        Some(why) => Err(io::Error::other(why)),
        None => replace_latest(output, run_id),
    }
}

#[cfg(unix)]
fn replace_latest(output: &Path, run_id: &str) -> io::Result<()> {
    let latest = output.join(LATEST);
    if let Ok(target) = std::fs::read_link(&latest) {
        let name = target.to_string_lossy().into_owned();
        if is_run_id(&name) && run_order(&name) > run_order(run_id) {
            tracing::warn!(
                "{} pointed to {name}, which is newer than this run, {run_id}, by its name: the clock was \
                 wrong then or is wrong now, or two runs overlapped",
                latest.display()
            );
        }
    }
    // A link cannot be changed, only replaced: made aside under a name of this run's own, then moved over.
    let aside = output.join(format!(".{LATEST}-{run_id}"));
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(run_id, &aside)?;
    std::fs::rename(&aside, &latest).inspect_err(|_| {
        // The link is of no use under its other name; the error that counts is that of moving it.
        let _ = std::fs::remove_file(&aside);
    })
}

#[cfg(not(unix))]
fn replace_latest(output: &Path, run_id: &str) -> io::Result<()> {
    let latest = output.join(LATEST);
    match std::fs::remove_dir(&latest) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::windows::fs::symlink_dir(run_id, &latest)
}
