//! CSV: one file a table, in the dialect that the spreadsheet at hand takes.

use std::io::{self, Write};

use tempfile::SpooledTempFile;

use super::files::{StagedFile, Staging};
use super::tables::{CHANGES, Cell, Context, Row, TABLES, Table, emit_changes};
use super::{Format, Summary};
use crate::assess::Assessed;
use crate::compare::Change;
use crate::ledger::AccountMemory;
use crate::severity::Severity;
use crate::spreadsheet::guarded;
use crate::text::on_one_line;

/// How CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// UTF-8 with BOM, comma, CRLF; text that a spreadsheet would take for something else gets a leading `'`.
    #[default]
    Excel,
    /// The same with semicolons, for locales whose decimal sign is the comma.
    ExcelSemicolon,
    /// No BOM, comma, LF, text as it came.
    Plain,
}

impl Dialect {
    fn delimiter(self) -> u8 {
        if self == Self::ExcelSemicolon {
            b';'
        } else {
            b','
        }
    }

    fn is_for_spreadsheets(self) -> bool {
        self != Self::Plain
    }
}

/// All tables as CSV.
pub struct CsvFiles<'a> {
    dialect: Dialect,
    context: Context<'a>,
    tables: Vec<TableFile>,
}

struct TableFile {
    table: &'static Table,
    file: csv::Writer<StagedFile>,
    /// The rows of the severities after the first, where the table stands by severity.
    later: Vec<csv::Writer<SpooledTempFile>>,
}

impl<'a> CsvFiles<'a> {
    /// Opens a file for each table and writes the heads.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn open(
        staging: &Staging,
        dialect: Dialect,
        context: Context<'a>,
    ) -> io::Result<Box<dyn Format + 'a>> {
        let mut tables = Vec::new();
        for table in TABLES {
            let mut file = staging.file(table.file)?;
            if dialect.is_for_spreadsheets() {
                file.write_all("\u{feff}".as_bytes())?;
            }
            // Our own words need no quotes.
            let mut head = builder(dialect).from_writer(Vec::new());
            head.write_record(table.columns)?;
            file.write_all(&head.into_inner().map_err(|error| error.into_error())?)?;
            let file = writer(dialect, file);
            let severities = if table.by_severity {
                Severity::ALL.len() - 1
            } else {
                0
            };
            let later = (0..severities)
                .map(|_| writer(dialect, staging.spool()))
                .collect();
            tables.push(TableFile { table, file, later });
        }
        Ok(Box::new(Self {
            dialect,
            context,
            tables,
        }))
    }
}

fn builder(dialect: Dialect) -> csv::WriterBuilder {
    let terminator = if dialect.is_for_spreadsheets() {
        csv::Terminator::CRLF
    } else {
        csv::Terminator::Any(b'\n')
    };
    let mut builder = csv::WriterBuilder::new();
    builder
        .delimiter(dialect.delimiter())
        .terminator(terminator);
    builder
}

/// Of rows: in the excel dialects quotes keep a cell together where the file is read with another separator than ours.
fn writer<W: Write>(dialect: Dialect, inner: W) -> csv::Writer<W> {
    let mut builder = builder(dialect);
    if dialect.is_for_spreadsheets() {
        builder.quote_style(csv::QuoteStyle::Always);
    }
    builder.from_writer(inner)
}

impl TableFile {
    fn write(&mut self, dialect: Dialect, row: &Row<'_, '_>) -> io::Result<()> {
        let place = row.severity.map_or(0, |severity| severity as usize);
        let later = place
            .checked_sub(1)
            .and_then(|place| self.later.get_mut(place));
        match later {
            Some(file) => write_row(file, dialect, row),
            None => write_row(&mut self.file, dialect, row),
        }
    }
}

fn write_row<W: Write>(
    file: &mut csv::Writer<W>,
    dialect: Dialect,
    row: &Row<'_, '_>,
) -> io::Result<()> {
    for cell in row.cells {
        match cell {
            Cell::Text(text) if dialect.is_for_spreadsheets() => {
                file.write_field(guarded(text).as_bytes())?
            }
            Cell::Text(text) => file.write_field(on_one_line(text).as_bytes())?,
            Cell::Word(word) => file.write_field(word.as_bytes())?,
            Cell::Number(_) | Cell::NoNumber => file.write_field(cell.text().as_bytes())?,
        }
    }
    Ok(file.write_record(None::<&[u8]>)?)
}

impl Format for CsvFiles<'_> {
    fn account(&mut self, assessed: &Assessed<'_>) -> io::Result<()> {
        for table in &mut self.tables {
            let mut result = Ok(());
            let rows = table.table.rows;
            rows(assessed, &self.context, &mut |row| {
                if result.is_ok() {
                    result = table.write(self.dialect, &row);
                }
            });
            result?;
        }
        Ok(())
    }

    fn not_asked(&mut self, _: &AccountMemory, changes: &[Change]) -> io::Result<()> {
        let dialect = self.dialect;
        let mut tables = self.tables.iter_mut();
        let Some(table) = tables.find(|table| table.table.file == CHANGES.file) else {
            return Ok(());
        };
        let mut result = Ok(());
        emit_changes(changes, &mut |row| {
            if result.is_ok() {
                result = table.write(dialect, &row);
            }
        });
        result
    }

    fn finish(self: Box<Self>, _: &Summary<'_>) -> io::Result<()> {
        for table in self.tables {
            let mut file = table
                .file
                .into_inner()
                .map_err(|error| error.into_error())?;
            for later in table.later {
                let mut rows = later.into_inner().map_err(|error| error.into_error())?;
                super::files::append(&mut rows, &mut file)?;
            }
            file.finish()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn written(dialect: Dialect, texts: &[String]) -> Vec<u8> {
        // A head of its own, because a BOM means something at the beginning of a file only.
        let mut file = writer(dialect, b"head\n".to_vec());
        let cells: Vec<_> = texts
            .iter()
            .map(|text| Cell::Text(Cow::Borrowed(text)))
            .collect();
        write_row(
            &mut file,
            dialect,
            &Row {
                severity: None,
                cells: &cells,
            },
        )
        .unwrap();
        file.into_inner().unwrap()
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
