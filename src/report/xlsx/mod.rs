//! `report.xlsx`: a workbook with a sheet for each table, and before them one that says how much was read and what was
//! found. Its cells have types: a spreadsheet has nothing to guess.

use std::io::{self, BufReader, Seek};
use std::sync::Mutex;

use rust_xlsxwriter::DocProperties;
use tempfile::SpooledTempFile;

use super::columns::{
    ACCOUNTS, CHANGES, FINDINGS, HISTORY, HistoryRow, OfConnector, Table, connector_tables,
};
use super::files::{StagedFile, Staging, append};
use super::tables::{Rows as _, Waiting, Worker};
use super::{Format, FormatSpec, FormatWorker, Settings, Summary, tables};
use crate::severity::Severity;
use crate::threads::{lock, owned};

mod book;
mod first;
mod rows;

use book::{Book, MOST_ROWS, Sheets};
use rows::Rows;

const FILE: &str = "report.xlsx";

/// See the module.
pub const FORMAT: FormatSpec = FormatSpec {
    name: "xlsx",
    files: &[(FILE, "all tables in one workbook, with a summary first")],
    by_default: false,
    open: |staging, settings| Xlsx::open(staging, settings, MOST_ROWS),
};

/// Writes the workbook.
struct Xlsx<'a> {
    file: StagedFile,
    settings: &'a Settings<'a>,
    connector_tables: &'static [&'static Table<OfConnector>],
    tables: Mutex<Tables>,
    /// The findings of the severities after the first, which stand in the sheet last.
    later_findings: [Mutex<SpooledTempFile>; Severity::ALL.len() - 1],
}

/// The sheets, begun.
struct Tables {
    book: Book,
    connectors: Vec<Sheets>,
    findings: Sheets,
    accounts: Sheets,
    changes: Sheets,
    history: Sheets,
}

impl<'a> Xlsx<'a> {
    /// Begins the sheets, with so many rows in each.
    ///
    /// # Errors
    /// They cannot be written.
    fn open(
        staging: &Staging,
        settings: &'a Settings<'a>,
        most_rows: u32,
    ) -> io::Result<Box<dyn Format + 'a>> {
        let connector_tables = connector_tables(settings.dns_was_looked_up());
        let mut book = Book::new(staging.folder(), most_rows)?;
        let connectors: io::Result<_> = connector_tables
            .iter()
            .map(|table| book.sheets(table))
            .collect();
        let tables = Tables {
            connectors: connectors?,
            findings: book.sheets(&FINDINGS)?,
            accounts: book.sheets(&ACCOUNTS)?,
            changes: book.sheets(&CHANGES)?,
            history: book.sheets(&HISTORY)?,
            book,
        };
        Ok(Box::new(Self {
            file: staging.file(FILE)?,
            settings,
            connector_tables,
            tables: Mutex::new(tables),
            later_findings: std::array::from_fn(|_| Mutex::new(staging.spool())),
        }))
    }
}

impl Format for Xlsx<'_> {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker::of(self))
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let Self {
            mut file,
            settings,
            tables,
            later_findings,
            ..
        } = *self;
        let Tables {
            mut book,
            connectors,
            mut findings,
            accounts,
            changes,
            mut history,
        } = owned(tables);
        for later in later_findings {
            let mut later = owned(later);
            later.rewind()?;
            findings.add(&mut book, BufReader::new(later))?;
        }
        let mut runs = Rows::default();
        for row in HistoryRow::all(&summary.trend, settings.dialect) {
            runs.push(&HISTORY, &row)?;
        }
        history.add(&mut book, &*runs.0)?;
        let title = settings.title.unwrap_or(super::TITLE);
        let mut sheets = vec![first::sheet(summary, title, &book.looks)?];
        let single = [findings, accounts, changes, history];
        for table in connectors.into_iter().chain(single) {
            sheets.extend(table.finish()?);
        }
        let properties = DocProperties::new()
            .set_title(title)
            .set_creation_datetime(&summary.now);
        book.save(&properties, sheets, &mut file)?;
        file.finish();
        Ok(())
    }
}

impl tables::Tables for Xlsx<'_> {
    type Rows = Rows;

    fn rows(&self) -> Rows {
        Rows::default()
    }

    fn connector_tables(&self) -> &'static [&'static Table<OfConnector>] {
        self.connector_tables
    }

    fn take(&self, waiting: &mut Waiting<Rows>) -> io::Result<()> {
        let mut tables = lock(&self.tables);
        let Tables {
            book,
            connectors,
            findings,
            accounts,
            changes,
            ..
        } = &mut *tables;
        let [first, later @ ..] = &mut waiting.findings;
        let single = [
            (accounts, &mut waiting.accounts),
            (changes, &mut waiting.changes),
            (findings, first),
        ];
        let connectors = connectors.iter_mut().zip(&mut waiting.connectors);
        for (sheets, rows) in connectors.chain(single) {
            sheets.add(book, &*rows.0)?;
            rows.0.clear();
        }
        for (rows, spool) in later.iter_mut().zip(&self.later_findings) {
            append(spool, &mut rows.0)?;
        }
        Ok(())
    }
}
