//! Other runs of the folder that are completed while one is in progress.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::error::AuditError;
use crate::baseline::Newest;
use crate::evidence::RunHeader;
use crate::runs::{self, ApiAsked};

/// The runs that were completed since a run last looked for them.
#[derive(Debug)]
pub(super) struct Newer {
    /// The sequence of the last that is known.
    sequence: u64,
}

impl Newer {
    /// Those that are completed after a run was begun.
    pub(super) fn than(header: &RunHeader) -> Self {
        Self {
            sequence: header.begun_after.unwrap_or(0),
        }
    }

    /// The accounts that they have read in full: what is known of them may be newer than what this run was answered, and
    /// would be reported as changed back. Not by the clock, which may be wrong.
    pub(super) fn overtaken(
        &mut self,
        output: &Path,
        header: &RunHeader,
    ) -> Result<Vec<usize>, AuditError> {
        let failed = |error| unknown(output, error);
        let api = ApiAsked::by(header);
        let since = runs::runs_since(output, api, self.sequence).map_err(failed)?;
        let Some(last) = since.iter().map(|(_, sequence)| *sequence).max() else {
            return Ok(Vec::new());
        };
        self.sequence = last;
        let newest = Newest::find(output, api, &header.run_id).map_err(failed)?;
        let Some(newest) = newest.run else {
            return Ok(Vec::new());
        };
        let since: HashSet<&str> = since.iter().map(|(run_id, _)| run_id.as_str()).collect();
        let was_read_since = |position: &usize| {
            let account = &header.accounts[*position];
            let by = newest.read_by(&account.id);
            account.is_valid() && by.is_some_and(|run_id| since.contains(run_id))
        };
        Ok((0..header.accounts.len()).filter(was_read_since).collect())
    }
}

/// Refuses to continue with a run that a newer one has overtaken: its answers are older than those that are known, and what
/// was fixed since would be reported as new.
pub(super) fn refuse_overtaken(
    output: &Path,
    partial: &Path,
    header: &RunHeader,
) -> Result<(), AuditError> {
    let begun_after = header.begun_after.unwrap_or(0);
    let since = runs::runs_since(output, ApiAsked::by(header), begun_after)
        .map_err(|error| unknown(output, error))?;
    match since.into_iter().next() {
        None => Ok(()),
        Some((newer, _)) => Err(AuditError::Overtaken {
            partial: partial.to_owned(),
            newer,
        }),
    }
}

fn unknown(output: &Path, source: io::Error) -> AuditError {
    AuditError::NewerUnknown {
        output: output.to_owned(),
        source,
    }
}
