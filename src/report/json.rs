//! `report.json`: the report for programs. Its shape is in `shape.rs`.

use std::fmt::Write as _;
use std::io::{self, Read, Seek, Write};
use std::sync::Mutex;

use tempfile::SpooledTempFile;

use super::columns::{
    ACCOUNTS, AccountRow, CHANGES, Cell, ChangeRow, FINDINGS, FindingRow, Kind, Table,
};
use super::files::{StagedFile, Staging, append, append_rest};
use super::shape::{Head, SCHEMA};
use super::{Format, FormatSpec, FormatWorker, Settings, Summary};
use crate::severity::Severity;
use crate::threads::owned;

const FILE: &str = "report.json";

/// See the module.
pub const FORMAT: FormatSpec = FormatSpec {
    name: "json",
    files: &[(
        FILE,
        "run, coverage, totals, accounts, findings and changes, for programs",
    )],
    by_default: true,
    open: JsonReport::open,
};

/// Writes the report.
struct JsonReport {
    file: StagedFile,
    accounts: Mutex<SpooledTempFile>,
    /// One list a severity, worst first.
    findings: [Mutex<SpooledTempFile>; Severity::ALL.len()],
    changes: Mutex<SpooledTempFile>,
}

impl JsonReport {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    fn open<'a>(staging: &Staging, _: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        let list = || Mutex::new(staging.spool());
        Ok(Box::new(Self {
            file: staging.file(FILE)?,
            accounts: list(),
            findings: std::array::from_fn(|_| list()),
            changes: list(),
        }))
    }
}

/// What stands before an item of a list; the comma is left out before the first.
const BEFORE_ITEM: &[u8] = b",\n    ";

/// Appends a row as an object whose keys are the columns.
fn push<K: Kind>(items: &mut Vec<u8>, table: &Table<K>, row: &K::Row<'_>) -> io::Result<()> {
    items.extend_from_slice(BEFORE_ITEM);
    let mut before = b'{';
    for column in table.columns {
        items.push(before);
        before = b',';
        // The names of columns need no escaping.
        items.push(b'"');
        items.extend_from_slice(column.name.as_bytes());
        items.extend_from_slice(b"\":");
        let cell = (column.cell)(row);
        match cell {
            Cell::Number(number) => write!(items, "{number}")?,
            Cell::NoNumber => items.extend_from_slice(b"null"),
            cell => serde_json::to_writer(&mut *items, &cell.text())?,
        }
    }
    items.push(b'}');
    Ok(())
}

struct Worker<'f> {
    report: &'f JsonReport,
    accounts: Vec<u8>,
    findings: [Vec<u8>; Severity::ALL.len()],
    changes: Vec<u8>,
}

impl FormatWorker for Worker<'_> {
    fn account(&mut self, row: &AccountRow<'_>) -> io::Result<()> {
        push(&mut self.accounts, &ACCOUNTS, row)
    }

    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        let items = &mut self.findings[row.finding.severity as usize];
        push(items, &FINDINGS, row)
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        push(&mut self.changes, &CHANGES, row)
    }

    fn waiting(&self) -> usize {
        let findings: usize = self.findings.iter().map(Vec::len).sum();
        self.accounts.len() + findings + self.changes.len()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        append(&self.report.accounts, &mut self.accounts)?;
        for (items, list) in self.findings.iter_mut().zip(&self.report.findings) {
            append(list, items)?;
        }
        append(&self.report.changes, &mut self.changes)
    }
}

impl Format for JsonReport {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            report: self,
            accounts: Vec::new(),
            findings: Default::default(),
            changes: Vec::new(),
        })
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut file = self.file;
        let mut head = format!("{{\n  \"schema\": \"{SCHEMA}\"");
        for (key, value) in Head::of(summary).entries()? {
            // Writing to a string cannot fail.
            let _ = write!(head, ",\n  \"{key}\": {value}");
        }
        file.write_all(head.as_bytes())?;
        let findings = self.findings.into_iter().map(owned).collect();
        for (key, lists) in [
            ("accounts", vec![owned(self.accounts)]),
            ("findings", findings),
            ("changes", vec![owned(self.changes)]),
        ] {
            write_list(&mut file, key, lists)?;
        }
        file.write_all(b"\n}\n")?;
        file.finish();
        Ok(())
    }
}

fn write_list(file: &mut StagedFile, key: &str, mut parts: Vec<SpooledTempFile>) -> io::Result<()> {
    file.write_all(format!(",\n  \"{key}\": [").as_bytes())?;
    let mut is_empty = true;
    for part in &mut parts {
        part.rewind()?;
        if is_empty {
            // The first item has none before it.
            let mut comma = [0];
            is_empty = part.read(&mut comma)? == 0;
        }
        append_rest(part, file)?;
    }
    file.write_all(if is_empty { b"]" } else { b"\n  ]" })
}
