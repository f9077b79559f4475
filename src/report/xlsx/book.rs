//! The workbook: a sheet for each table, and further ones where a table has more rows than a sheet.

use std::io::{self, BufRead, Write};
use std::path::Path;

use rust_xlsxwriter::{
    Color, DocProperties, Format, FormatAlign, FormatBorder, Workbook, Worksheet, XlsxError,
};

use super::rows::{Reader, Value};
use crate::caught::caught;
use crate::report::columns::{Kind, Table};
use crate::severity::Severity;

/// The rows that a sheet has at most, its head included.
pub const MOST_ROWS: u32 = 1_048_576;

/// How cells look.
#[derive(Debug)]
pub struct Looks {
    /// The head of a table.
    pub head: Format,
    /// The head of a sheet.
    pub title: Format,
    /// What comes first under it.
    pub strong: Format,
    time: Format,
    day: Format,
    severities: [Format; Severity::ALL.len()],
}

impl Looks {
    fn new() -> Self {
        let strong = Format::new().set_bold();
        let head = strong
            .clone()
            .set_background_color(Color::RGB(0xf0_f2_f5))
            .set_border_bottom(FormatBorder::Thin);
        let left = || Format::new().set_align(FormatAlign::Left);
        // The page's colours (templates/theme.css).
        let severity = |severity| {
            let (ground, ink) = match severity {
                Severity::Critical => (0x86_12_2f, 0xff_ff_ff),
                Severity::High => (0xbf_43_12, 0xff_ff_ff),
                Severity::Medium => (0xf6_d7_7a, 0x4c_36_00),
                Severity::Low => (0xe6_eb_f2, 0x3a_47_5a),
            };
            let format = Format::new().set_background_color(Color::RGB(ground));
            format.set_font_color(Color::RGB(ink))
        };
        Self {
            head,
            title: strong.clone().set_font_size(16),
            strong,
            time: left().set_num_format("yyyy-mm-dd hh:mm:ss"),
            day: left().set_num_format("yyyy-mm-dd"),
            severities: Severity::ALL.map(severity),
        }
    }

    /// Writes a cell.
    ///
    /// # Errors
    /// The library's.
    pub fn put(
        &self,
        sheet: &mut Worksheet,
        (row, column): (u32, u16),
        value: Value<'_>,
    ) -> Result<(), XlsxError> {
        match value {
            Value::Empty => {}
            // As a string, whatever it looks like: no formula, no link, no number.
            Value::Text(text) => drop(sheet.write_string(row, column, text)?),
            Value::Severity(severity) => {
                let look = &self.severities[severity as usize];
                sheet.write_string_with_format(row, column, severity.as_str(), look)?;
            }
            Value::Flag(flag) => drop(sheet.write_boolean(row, column, flag)?),
            Value::Number(number) => drop(sheet.write_number(row, column, number as f64)?),
            Value::Time(at) => {
                sheet.write_datetime_with_format(row, column, at, &self.time)?;
            }
            Value::Day(day) => drop(sheet.write_datetime_with_format(row, column, day, &self.day)?),
        }
        Ok(())
    }
}

/// What sheets are made with.
pub struct Book {
    workbook: Workbook,
    /// How cells look.
    pub looks: Looks,
    most_rows: u32,
}

impl Book {
    /// A workbook without sheets, whose rows wait in files without a name in a folder; so many rows a sheet, its head
    /// included.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn new(folder: &Path, most_rows: u32) -> io::Result<Self> {
        let mut workbook = Workbook::new();
        workbook.set_tempdir(folder).map_err(failed)?;
        Ok(Self {
            workbook,
            looks: Looks::new(),
            most_rows,
        })
    }

    /// Begins the sheet of a table.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn sheets<K: Kind>(&mut self, table: &Table<K>) -> io::Result<Sheets> {
        let name = table.file.strip_suffix(".csv").unwrap_or(table.file);
        let heads = table.names();
        let sheet = self.sheet(name, &heads)?;
        Ok(Sheets {
            name,
            heads,
            full: Vec::new(),
            sheet,
            rows: 1,
        })
    }

    /// An empty sheet with the head of a table, which stays in sight.
    fn sheet(&mut self, name: &str, heads: &[&str]) -> io::Result<Worksheet> {
        let Self {
            workbook, looks, ..
        } = self;
        let mut begin = || {
            let mut sheet = workbook.new_worksheet_with_constant_memory()?;
            sheet.set_name(name)?.set_freeze_panes(1, 0)?;
            for (column, head) in (0..).zip(heads) {
                sheet.set_column_width(column, width(head))?;
                sheet.write_string_with_format(0, column, *head, &looks.head)?;
            }
            Ok(sheet)
        };
        begin().map_err(failed)
    }

    /// Ends the workbook with these sheets. The same sheets with the same properties are the same bytes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(
        mut self,
        properties: &DocProperties,
        sheets: impl IntoIterator<Item = Worksheet>,
        to: &mut (impl Write + Send),
    ) -> io::Result<()> {
        self.workbook.set_properties(properties);
        for sheet in sheets {
            self.workbook.push_worksheet(sheet);
        }
        let mut to = UpToError { to, error: None };
        let saved = written(|| self.workbook.save_to_writer(&mut to).map_err(failed));
        // What the file said is more than what the library makes of it.
        to.error.map_or(saved, Err)
    }
}

/// The sheets of a table, one after the other.
pub struct Sheets {
    name: &'static str,
    heads: Vec<&'static str>,
    full: Vec<Worksheet>,
    sheet: Worksheet,
    /// Rows of the last sheet, its head included.
    rows: u32,
}

impl Sheets {
    /// Adds rows that waited.
    ///
    /// # Errors
    /// They cannot be read, or written.
    pub fn add(&mut self, book: &mut Book, rows: impl BufRead) -> io::Result<()> {
        written(|| self.add_all(book, Reader::new(rows)))
    }

    fn add_all(&mut self, book: &mut Book, mut rows: Reader<impl BufRead>) -> io::Result<()> {
        while !rows.is_at_end()? {
            if self.rows == book.most_rows {
                self.begin_next(book)?;
            }
            for (column, _) in (0..).zip(&self.heads) {
                let place = (self.rows, column);
                let put = book.looks.put(&mut self.sheet, place, rows.cell()?);
                put.map_err(failed)?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn begin_next(&mut self, book: &mut Book) -> io::Result<()> {
        self.add_filter()?;
        let number = self.full.len() + 2;
        let next = book.sheet(&format!("{} ({number})", self.name), &self.heads)?;
        self.full.push(std::mem::replace(&mut self.sheet, next));
        self.rows = 1;
        Ok(())
    }

    fn add_filter(&mut self) -> io::Result<()> {
        let last = self.heads.len().saturating_sub(1);
        let last = u16::try_from(last).map_err(io::Error::other)?;
        let added = self.sheet.autofilter(0, 0, self.rows - 1, last);
        added.map(drop).map_err(failed)
    }

    /// The sheets, with all their rows.
    ///
    /// # Errors
    /// The last cannot be ended.
    pub fn finish(mut self) -> io::Result<impl Iterator<Item = Worksheet>> {
        self.add_filter()?;
        Ok(self.full.into_iter().chain([self.sheet]))
    }
}

/// How wide a column is, in characters: as what it mostly holds, and no less than its head with the filter's button.
fn width(head: &str) -> f64 {
    let holds = match head {
        "message" | "remediation" | "error_message" | "waiver_reason" | "detail" => 60,
        "txt_value" | "verification_code" => 58,
        "controls" | "other_codes" => 40,
        "account_id" | "connector_id" => 34,
        "email_domain" | "txt_name" | "account_name" | "rules" | "from" | "to" => 28,
        "rule" | "what" | "owner" | "waiver_owner" | "kind" | "finding_id" | "run_id"
        | "cf_ray" => 20,
        time if time.ends_with("_utc") => 20,
        _ => 0,
    };
    (head.len() + 4).max(holds) as f64
}

/// Has the library write. It panics where a file of its own cannot be written.
fn written<R>(work: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    caught(work).unwrap_or_else(|said| Err(of_panic(&said)))
}

/// What went wrong, by what a panic said: `Couldn't write to xml file: Os { code: 28, … }`.
fn of_panic(said: &str) -> io::Error {
    let code = said.split_once("Os { code: ").map(|(_, rest)| rest);
    let code = code.and_then(|rest| rest.split(',').next()?.parse().ok());
    match code {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(format!("the workbook cannot be made: {said}")),
    }
}

/// The library's error as one of writing.
pub fn failed(error: XlsxError) -> io::Error {
    match error {
        XlsxError::IoError(error) | XlsxError::TempFileError(_, error) => error,
        error => io::Error::other(format!("the workbook cannot be made: {error}")),
    }
}

/// Writes up to the first error, which is kept. What is written after it is lost: who has been told of the error drops
/// what was half written, and `zip` would try to end that, and complain on standard error.
struct UpToError<W> {
    to: W,
    error: Option<io::Error>,
}

impl<W: Write> Write for UpToError<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Ok(bytes.len());
        }
        self.to.write(bytes).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error = Some(error);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Data, Reader as _, Xlsx};

    use super::*;
    use crate::report::columns::HISTORY;
    use crate::report::xlsx::rows::Rows;

    /// Rows of the table of history, numbered in the first column.
    fn numbered(rows: std::ops::Range<u64>) -> Rows {
        let mut waiting = Rows::default();
        for row in rows {
            waiting.add(Value::Number(row));
            for _ in 1..HISTORY.columns.len() {
                waiting.add(Value::Empty);
            }
        }
        waiting
    }

    /// The workbook of tables with so many rows each, five rows a sheet, the head included.
    fn book_of(tables: &[u64]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::new(dir.path(), 5).unwrap();
        let mut all = Vec::new();
        for (number, rows) in tables.iter().enumerate() {
            let file = ["one.csv", "two.csv", "three.csv"][number];
            let mut sheets = book.sheets(&Table { file, ..HISTORY }).unwrap();
            // In two parts, as chunks bring them.
            for part in [0..rows / 3, rows / 3..*rows] {
                sheets.add(&mut book, &*numbered(part).0).unwrap();
            }
            all.extend(sheets.finish().unwrap());
        }
        let mut bytes = Vec::new();
        book.save(&DocProperties::new(), all, &mut bytes).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        bytes
    }

    /// A part of a workbook, as XML.
    fn part(bytes: &[u8], name: &str) -> String {
        let mut text = String::new();
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut file = archive.by_name(name).unwrap();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        text
    }

    #[test]
    fn what_a_sheet_has_no_room_for_stands_in_further_ones() {
        let bytes = book_of(&[9, 4, 0]);
        let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes.clone())).unwrap();
        let names = ["one", "one (2)", "one (3)", "two", "three"];
        assert_eq!(book.sheet_names(), names);
        let mut shown = Vec::new();
        for (name, rows) in names.into_iter().zip([4, 4, 1, 4, 0]) {
            let cells = book.worksheet_range(name).unwrap();
            let head: Vec<_> = cells
                .rows()
                .next()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(head, HISTORY.names(), "{name} has the head");
            assert_eq!(cells.rows().count(), 1 + rows, "{name}");
            shown.extend(cells.rows().skip(1).map(|row| row[0].clone()));
        }
        let expected = (0..9).chain(0..4).map(|row| Data::Float(f64::from(row)));
        assert_eq!(shown, expected.collect::<Vec<_>>());
        for (number, last) in [(1, 5), (2, 5), (3, 2), (4, 5), (5, 1)] {
            let sheet = part(&bytes, &format!("xl/worksheets/sheet{number}.xml"));
            let filter = format!("<autoFilter ref=\"A1:L{last}\"/>");
            assert!(sheet.contains(&filter), "{sheet}");
            assert!(sheet.contains("<pane ySplit=\"1\"") && sheet.contains("state=\"frozen\""));
        }
    }

    #[test]
    fn severities_have_the_colours_of_the_page() {
        let theme = include_str!("../../../templates/theme.css");
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::new(dir.path(), MOST_ROWS).unwrap();
        let mut sheets = book.sheets(&HISTORY).unwrap();
        let mut rows = Rows::default();
        for severity in Severity::ALL {
            (0..HISTORY.columns.len()).for_each(|_| rows.add(Value::Severity(severity)));
        }
        sheets.add(&mut book, &*rows.0).unwrap();
        let mut bytes = Vec::new();
        book.save(&DocProperties::new(), sheets.finish().unwrap(), &mut bytes)
            .unwrap();
        let styles = part(&bytes, "xl/styles.xml").to_lowercase();
        for severity in Severity::ALL {
            for (name, before) in [
                (format!("--{severity}: #"), "<fgcolor rgb=\"ff"),
                (format!("--on-{severity}: #"), "<color rgb=\"ff"),
            ] {
                let (_, rest) = theme.split_once(&name).unwrap();
                let colour = format!("{before}{}", &rest[..6]);
                assert!(styles.contains(&colour), "{colour} in {styles}");
            }
        }
    }

    #[test]
    fn the_same_sheets_are_the_same_bytes() {
        assert!(book_of(&[9, 4]) == book_of(&[9, 4]));
    }

    #[test]
    fn what_the_system_said_is_found_in_a_panic() {
        let error = of_panic(
            "Couldn't write to xml file: Os { code: 28, kind: StorageFull, message: \"No space left on device\" }",
        );
        assert_eq!(error.raw_os_error(), Some(28));
        assert_eq!(
            of_panic("boom").to_string(),
            "the workbook cannot be made: boom"
        );
    }
}
