//! The ledger: what the next run compares itself with. Always written.

use std::io::{self, BufWriter, Write};
use std::sync::Mutex;

use super::files::{StagedFile, Staging};
use super::{Format, FormatWorker, Settings, Summary};
use crate::ledger::{FILE_NAME, Figures, write_account};
use crate::memory::Known;
use crate::threads::{lock, owned};

/// Writes the ledger.
pub struct Ledger {
    file: Mutex<StagedFile>,
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
        let mut file = staging.file(FILE_NAME)?;
        write_line(&mut file, settings.ledger)?;
        let file = Mutex::new(file);
        Ok(Box::new(Self { file }))
    }
}

fn write_line(file: &mut StagedFile, line: &impl serde::Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

impl Format for Ledger {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            file: &self.file,
            lines: Vec::new(),
        })
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut file = owned(self.file);
        let trend = summary.trend.clone();
        write_line(&mut file, &Figures { trend })?;
        file.finish();
        Ok(())
    }
}

struct Worker<'f> {
    file: &'f Mutex<StagedFile>,
    lines: Vec<u8>,
}

impl FormatWorker for Worker<'_> {
    fn known(&mut self, known: Known<'_>, is_its_turn: bool) -> io::Result<()> {
        if !is_its_turn {
            return write_account(&mut self.lines, known);
        }
        super::files::append(self.file, &mut self.lines)?;
        let mut file = lock(self.file);
        let mut out = BufWriter::new(&mut *file);
        write_account(&mut out, known)?;
        out.flush()
    }

    fn waiting(&self) -> usize {
        self.lines.len()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        super::files::append(self.file, &mut self.lines)
    }
}
