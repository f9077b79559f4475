//! CSV: one file a table, in the dialect that the spreadsheet at hand takes.

use std::io::{self, Write};
use std::sync::Mutex;

use tempfile::SpooledTempFile;

use super::columns::{
    ACCOUNTS, CHANGES, CONNECTORS, Cell, DISABLED, DNS_RECORDS, FEDRAMP, FINDINGS, HISTORY,
    HistoryRow, Kind, OfConnector, Table, UNVERIFIED, connector_tables,
};
use super::dialect::Dialect;
use super::files::{StagedFile, Staging, append, append_spool};
use super::tables::{Rows as _, Tables, Waiting, Worker};
use super::{Format, FormatSpec, FormatWorker, Settings, Summary, tables};
use crate::severity::Severity;
use crate::threads::owned;

impl Dialect {
    fn builder(self) -> csv::WriterBuilder {
        let terminator = if self.is_for_spreadsheets() {
            csv::Terminator::CRLF
        } else {
            csv::Terminator::Any(b'\n')
        };
        let mut builder = csv::WriterBuilder::new();
        builder.delimiter(self.delimiter()).terminator(terminator);
        builder
    }

    /// Of rows: in the excel dialects quotes keep a cell together where the file is read with another separator than ours.
    fn row_builder(self) -> csv::WriterBuilder {
        let mut builder = self.builder();
        if self.is_for_spreadsheets() {
            builder.quote_style(csv::QuoteStyle::Always);
        }
        builder
    }

    /// What a file begins with.
    fn head<K: Kind>(self, table: &Table<K>) -> io::Result<Vec<u8>> {
        // Our own words need no quotes.
        let mut head = self.builder().from_writer(Vec::new());
        head.write_record(table.names())?;
        let head = head.into_inner().map_err(|error| error.into_error())?;
        let bom = if self.is_for_spreadsheets() {
            "\u{feff}"
        } else {
            ""
        };
        Ok([bom.as_bytes(), &head].concat())
    }
}

/// See the module.
pub const FORMAT: FormatSpec = FormatSpec {
    name: "csv",
    files: &[
        (UNVERIFIED.file, "connectors whose domain is not verified"),
        (DISABLED.file, "connectors that are not enabled"),
        (FEDRAMP.file, "FedRAMP text of every connector"),
        (FINDINGS.file, "findings, worst first"),
        (
            ACCOUNTS.file,
            "every account asked for, and whether it was read",
        ),
        (CONNECTORS.file, "every connector"),
        (CHANGES.file, "what changed since the baseline"),
        (
            DNS_RECORDS.file,
            "the state of every connector's TXT record in DNS",
        ),
        (HISTORY.file, "the findings of each rule, run by run"),
    ],
    by_default: true,
    open: CsvFiles::open,
};

/// All tables as CSV.
struct CsvFiles {
    dialect: Dialect,
    connector_tables: &'static [&'static Table<OfConnector>],
    connectors: Vec<Mutex<StagedFile>>,
    accounts: Mutex<StagedFile>,
    changes: Mutex<StagedFile>,
    history: Mutex<StagedFile>,
    findings: Mutex<StagedFile>,
    /// The findings of the severities after the first, which are in the file last.
    later_findings: [Mutex<SpooledTempFile>; Severity::ALL.len() - 1],
}

impl CsvFiles {
    /// Opens a file for each table and writes the heads.
    ///
    /// # Errors
    /// A file cannot be written.
    fn open<'a>(staging: &Staging, settings: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        let dialect = settings.dialect;
        let connector_tables = connector_tables(settings.dns_was_looked_up());
        let begin = |table: &&Table<OfConnector>| begun(staging, dialect, table);
        let connectors: io::Result<_> = connector_tables.iter().map(begin).collect();
        Ok(Box::new(Self {
            dialect,
            connector_tables,
            connectors: connectors?,
            accounts: begun(staging, dialect, &ACCOUNTS)?,
            changes: begun(staging, dialect, &CHANGES)?,
            history: begun(staging, dialect, &HISTORY)?,
            findings: begun(staging, dialect, &FINDINGS)?,
            later_findings: std::array::from_fn(|_| Mutex::new(staging.spool())),
        }))
    }
}

fn begun<K: Kind>(
    staging: &Staging,
    dialect: Dialect,
    table: &Table<K>,
) -> io::Result<Mutex<StagedFile>> {
    let mut file = staging.file(table.file)?;
    file.write_all(&dialect.head(table)?)?;
    Ok(Mutex::new(file))
}

impl Format for CsvFiles {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker::of(self))
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut history = Rows::new(self.dialect);
        for row in HistoryRow::all(&summary.trend, self.dialect) {
            history.push(&HISTORY, &row)?;
        }
        history.hand_on(&self.history)?;
        let mut findings = owned(self.findings);
        for later in self.later_findings {
            append_spool(&mut owned(later), &mut findings)?;
        }
        findings.finish();
        let single = [self.accounts, self.changes, self.history];
        for file in self.connectors.into_iter().chain(single) {
            owned(file).finish();
        }
        Ok(())
    }
}

/// Rows that wait for their turn.
struct Rows {
    dialect: Dialect,
    writer: csv::Writer<Vec<u8>>,
}

impl Rows {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            writer: dialect.row_builder().from_writer(Vec::new()),
        }
    }

    fn hand_on(&mut self, to: &Mutex<impl Write>) -> io::Result<()> {
        self.writer.flush()?;
        if self.waiting() == 0 {
            return Ok(());
        }
        let empty = self.dialect.row_builder().from_writer(Vec::new());
        let full = std::mem::replace(&mut self.writer, empty);
        let mut bytes = full.into_inner().map_err(|error| error.into_error())?;
        append(to, &mut bytes)?;
        self.writer = self.dialect.row_builder().from_writer(bytes);
        Ok(())
    }
}

impl tables::Rows for Rows {
    fn push<K: Kind>(&mut self, table: &Table<K>, row: &K::Row<'_>) -> io::Result<()> {
        for column in table.columns {
            match (column.cell)(row) {
                Cell::Text(text) => self.writer.write_field(text.in_csv())?,
                Cell::Number(number) => self.writer.write_field(number.to_string())?,
                cell => self.writer.write_field(cell.text().unwrap_or_default())?,
            }
        }
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    fn waiting(&self) -> usize {
        self.writer.get_ref().len()
    }
}

impl Tables for CsvFiles {
    type Rows = Rows;

    fn rows(&self) -> Rows {
        Rows::new(self.dialect)
    }

    fn connector_tables(&self) -> &'static [&'static Table<OfConnector>] {
        self.connector_tables
    }

    fn take(&self, waiting: &mut Waiting<Rows>) -> io::Result<()> {
        for (rows, file) in waiting.connectors.iter_mut().zip(&self.connectors) {
            rows.hand_on(file)?;
        }
        waiting.accounts.hand_on(&self.accounts)?;
        waiting.changes.hand_on(&self.changes)?;
        let [first, later @ ..] = &mut waiting.findings;
        first.hand_on(&self.findings)?;
        for (rows, spool) in later.iter_mut().zip(&self.later_findings) {
            rows.hand_on(spool)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spreadsheet::guarded;
    use crate::text::on_one_line;
    use proptest::prelude::*;

    fn written(dialect: Dialect, texts: &[String]) -> Vec<u8> {
        // A head of its own, because a BOM means something at the beginning of a file only.
        let mut writer = dialect.row_builder().from_writer(b"head\n".to_vec());
        for text in texts {
            writer.write_field(&*dialect.guarded(text)).unwrap();
        }
        writer.write_record(None::<&[u8]>).unwrap();
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn any_text_comes_back_through_a_real_parser(texts in proptest::collection::vec(".{0,30}", 2..5)) {
            for dialect in [Dialect::Excel, Dialect::ExcelSemicolon, Dialect::Plain] {
                let bytes = written(dialect, &texts);
                let mut reader = csv::ReaderBuilder::new().has_headers(true).flexible(true).delimiter(dialect.delimiter()).from_reader(&bytes[..]);
                let records: Vec<_> = reader.records().map(Result::unwrap).collect();
                prop_assert_eq!(records.len(), 1);
                for (cell, text) in records[0].iter().zip(&texts) {
                    let expected = if dialect == Dialect::Plain { on_one_line(text) } else { guarded(text) };
                    prop_assert_eq!(cell, expected);
                    prop_assert!(!cell.chars().any(char::is_control));
                    prop_assert!(dialect == Dialect::Plain || !cell.trim_start().starts_with(['=', '+', '-', '@']));
                }
            }
        }
    }
}
