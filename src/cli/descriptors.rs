//! Open files and connections: how many this process may have, and what that means for the concurrency.

use super::Failure;

/// Descriptors kept for what is no connection: evidence, reports, spools, the runtime's own.
const RESERVE: u64 = 64;

/// With fewer than these, the files of a report cannot be open at once.
const FEWEST: u64 = 40;

/// How many requests may be in progress at once with the descriptors that this process may have; warns where that is fewer
/// than were asked for. The soft limit is raised as far as the system allows.
///
/// # Errors
/// There are too few for any work: that is told before anything is asked, and not after all was read.
pub fn possible_concurrency(wanted: usize) -> Result<usize, Failure> {
    let needed = wanted as u64 + RESERVE;
    let Some(limit) = raised_limit(needed) else {
        return Ok(wanted);
    };
    if limit < FEWEST {
        return Err(Failure::failed(format!(
            "this process may open {limit} files and connections, but needs {FEWEST}"
        ))
        .hint("raise the limit: `ulimit -n`, or LimitNOFILE= in a service"));
    }
    let possible = bounded(wanted, limit);
    if possible < wanted {
        tracing::warn!(
            "this process may open {limit} files and connections: using a concurrency of {possible} instead of {wanted} (raise the limit with `ulimit -n`)"
        );
    }
    Ok(possible)
}

/// Makes room for so many files that are open at once, beside those of a report.
///
/// # Errors
/// The system does not allow so many.
pub fn make_room(files: usize) -> Result<(), Failure> {
    let needed = files as u64 + RESERVE;
    match raised_limit(needed) {
        Some(limit) if limit < needed => Err(Failure::failed(format!(
            "this process may have {limit} files open, and needs {needed}"
        ))
        .hint("raise the limit (`ulimit -n`), or merge fewer runs at a time and then the results")),
        _ => Ok(()),
    }
}

fn bounded(wanted: usize, limit: u64) -> usize {
    let possible = usize::try_from(limit.saturating_sub(RESERVE)).unwrap_or(usize::MAX);
    wanted.min(possible.max(1))
}

#[cfg(unix)]
fn raised_limit(needed: u64) -> Option<u64> {
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) => Some(limit),
        // It cannot be raised: what there is may do.
        Err(_) => rlimit::Resource::NOFILE.get_soft().ok(),
    }
}

#[cfg(not(unix))]
fn raised_limit(_: u64) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_mean_few_connections_but_never_none() {
        assert_eq!(bounded(32, 1024), 32);
        assert_eq!(bounded(1024, 1024), 960);
        assert_eq!(bounded(32, 70), 6);
        assert_eq!(bounded(32, 20), 1);
    }
}
