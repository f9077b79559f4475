//! The ledger: what the next run compares itself with. Always written.

use std::io::{self, BufWriter, Write};

use tempfile::SpooledTempFile;

use super::files::{StagedFile, Staging, append};
use super::{Format, Settings, Summary};
use crate::assess::{Assessed, Finding};
use crate::baseline::{FILE_NAME, KnownFinding, LedgerHeader, LedgerLine, SCHEMA};
use crate::compare::Change;

/// Up to this many bytes wait in memory, more in a file.
const SPOOL: usize = 1024 * 1024;

/// Writes the ledger.
pub struct Ledger {
    file: StagedFile,
    /// The accounts' lines; the first line is known last.
    lines: BufWriter<SpooledTempFile>,
}

impl Ledger {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open<'a>(staging: &Staging, _: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        Ok(Box::new(Self {
            file: staging.file(FILE_NAME)?,
            lines: BufWriter::new(SpooledTempFile::new(SPOOL)),
        }))
    }
}

impl Format for Ledger {
    fn account(&mut self, assessed: &Assessed<'_>) -> io::Result<()> {
        let mut findings: Vec<_> = assessed.findings.iter().map(Finding::known).collect();
        findings.extend(assessed.carried.iter().map(|finding| KnownFinding {
            carried: true,
            ..finding.clone()
        }));
        if findings.is_empty() {
            return Ok(());
        }
        let line = LedgerLine {
            account_id: assessed.asked.id.clone(),
            findings,
        };
        serde_json::to_writer(&mut self.lines, &line)?;
        self.lines.write_all(b"\n")
    }

    fn departed(&mut self, _: &Change) -> io::Result<()> {
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let header = LedgerHeader {
            schema: SCHEMA.to_owned(),
            policy: summary.policy.source.clone(),
            trend: summary.trend.clone(),
        };
        serde_json::to_writer(&mut self.file, &header)?;
        self.file.write_all(b"\n")?;
        let mut lines = self
            .lines
            .into_inner()
            .map_err(|error| error.into_error())?;
        append(&mut lines, &mut self.file)?;
        self.file.finish()
    }
}
