//! The ledger: what the next run compares itself with. Always written.

use std::io::{self, Write};

use super::files::{StagedFile, Staging};
use super::{Format, Settings, Summary};
use crate::assess::Assessed;
use crate::compare::Change;
use crate::ledger::{AccountMemory, FILE_NAME, Figures};

/// Writes the ledger.
pub struct Ledger {
    file: StagedFile,
}

impl Ledger {
    /// Begins the file with the line about the run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open<'a>(
        staging: &Staging,
        settings: &'a Settings<'a>,
    ) -> io::Result<Box<dyn Format + 'a>> {
        let mut ledger = Self {
            file: staging.file(FILE_NAME)?,
        };
        ledger.line(settings.ledger)?;
        Ok(Box::new(ledger))
    }

    fn line(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }
}

impl Format for Ledger {
    fn account(&mut self, assessed: &Assessed<'_>) -> io::Result<()> {
        self.line(&assessed.memory)
    }

    fn not_asked(&mut self, memory: &AccountMemory, _: &[Change]) -> io::Result<()> {
        self.line(memory)
    }

    fn finish(mut self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let trend = summary.trend.clone();
        self.line(&Figures { trend })?;
        self.file.finish()
    }
}
