//! Rows that wait for their turn, or on disk for others to come before them: cell after cell, each with its type.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::report::columns::{Cell, Kind, Table};
use crate::report::tables;
use crate::severity::Severity;
use crate::text::on_one_line;

/// The most that a cell holds, in units of UTF-16: <https://support.microsoft.com/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3>.
const LONGEST: usize = 32_767;

/// What a cell of a sheet holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'t> {
    /// Nothing.
    Empty,
    /// Text, whatever it looks like.
    Text(&'t str),
    /// How bad something is.
    Severity(Severity),
    /// Whether something is so.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A moment, in UTC.
    Time(NaiveDateTime),
    /// A day.
    Day(NaiveDate),
}

impl Value<'_> {
    /// A moment, where spreadsheets can count so far.
    pub fn time(at: DateTime<Utc>) -> Option<Self> {
        // No fraction of a second: the files show none, and a sheet would round it.
        let at = DateTime::from_timestamp(at.timestamp(), 0)?.naive_utc();
        is_countable(at.date()).then_some(Self::Time(at))
    }

    fn day(day: NaiveDate) -> Option<Self> {
        is_countable(day).then_some(Self::Day(day))
    }
}

/// Whether a spreadsheet counts a day: none before 1900, and until its 29th of February, which there was not, not all of them the
/// same.
fn is_countable(day: NaiveDate) -> bool {
    let first_that_all_agree_on = day.year() > 1900 || (day.year() == 1900 && day.month() > 2);
    first_that_all_agree_on && day.year() <= 9999
}

/// Text from outside as a cell holds it: on one line, and no longer than a cell may be.
pub fn for_cell(text: &str) -> Cow<'_, str> {
    let text = on_one_line(text);
    // No text has more of these units than bytes.
    if text.len() <= LONGEST || text.encode_utf16().count() <= LONGEST {
        return text;
    }
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units < LONGEST
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('\u{2026}');
    Cow::Owned(cut)
}

/// What a cell is written as, before its value.
mod tag {
    pub const EMPTY: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const SEVERITY: u8 = 2;
    pub const FALSE: u8 = 3;
    pub const TRUE: u8 = 4;
    pub const NUMBER: u8 = 5;
    pub const TIME: u8 = 6;
    pub const DAY: u8 = 7;
}

/// Rows that wait.
#[derive(Debug, Default)]
pub struct Rows(pub Vec<u8>);

impl Rows {
    /// Adds a cell.
    pub fn add(&mut self, value: Value<'_>) {
        let bytes = &mut self.0;
        match value {
            Value::Empty | Value::Text("") => bytes.push(tag::EMPTY),
            Value::Text(text) => {
                bytes.push(tag::TEXT);
                self.add_number(text.len() as u64);
                self.0.extend_from_slice(text.as_bytes());
            }
            Value::Severity(severity) => bytes.extend([tag::SEVERITY, severity as u8]),
            Value::Flag(flag) => bytes.push(if flag { tag::TRUE } else { tag::FALSE }),
            Value::Number(number) => {
                bytes.push(tag::NUMBER);
                self.add_number(number);
            }
            Value::Time(at) => {
                bytes.push(tag::TIME);
                self.add_number(at.and_utc().timestamp() as u64);
            }
            Value::Day(day) => {
                bytes.push(tag::DAY);
                let at = day.and_time(NaiveTime::MIN);
                self.add_number(at.and_utc().timestamp() as u64);
            }
        }
    }

    fn add_number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }
}

impl tables::Rows for Rows {
    fn push<K: Kind>(&mut self, table: &Table<K>, row: &K::Row<'_>) -> io::Result<()> {
        for column in table.columns {
            let cell = (column.cell)(row);
            let typed = match cell {
                Cell::Severity(severity) => Some(Value::Severity(severity)),
                Cell::Flag(flag) => Some(Value::Flag(flag)),
                Cell::Number(number) => Some(Value::Number(number)),
                Cell::NoNumber => Some(Value::Empty),
                Cell::Time(time) => Value::time(time.value),
                Cell::Day(day) => Value::day(day.value),
                Cell::Text(_) | Cell::Word(_) => None,
            };
            match typed {
                Some(value) => self.add(value),
                None => self.add(Value::Text(&for_cell(cell.text().unwrap_or_default()))),
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.0.len()
    }
}

/// Reads rows back, cell by cell.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    text: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Of rows that [`Rows`] has written.
    pub fn new(from: R) -> Self {
        let text = Vec::new();
        Self { from, text }
    }

    /// Whether nothing is left.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.from.fill_buf()?.is_empty())
    }

    /// The next cell.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn cell(&mut self) -> io::Result<Value<'_>> {
        let [tag] = self.bytes()?;
        Ok(match tag {
            tag::EMPTY => Value::Empty,
            tag::TEXT => {
                let length = self.number()?;
                self.text.clear();
                self.from
                    .by_ref()
                    .take(length)
                    .read_to_end(&mut self.text)?;
                if self.text.len() as u64 != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let text = std::str::from_utf8(&self.text).map_err(damaged)?;
                Value::Text(text)
            }
            tag::SEVERITY => {
                let [place] = self.bytes()?;
                let severity = Severity::ALL.get(usize::from(place));
                Value::Severity(*severity.ok_or_else(|| damaged("no such severity"))?)
            }
            tag::FALSE => Value::Flag(false),
            tag::TRUE => Value::Flag(true),
            tag::NUMBER => Value::Number(self.number()?),
            tag::TIME => Value::Time(self.time()?),
            tag::DAY => Value::Day(self.time()?.date()),
            _ => return Err(damaged("no such type of a cell")),
        })
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn time(&mut self) -> io::Result<NaiveDateTime> {
        let seconds = self.number()? as i64;
        let at = DateTime::from_timestamp(seconds, 0).ok_or_else(|| damaged("no such time"))?;
        Ok(at.naive_utc())
    }
}

/// The file that rows waited in is not as it was written.
fn damaged(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(seconds: i64) -> NaiveDateTime {
        DateTime::from_timestamp(seconds, 0).unwrap().naive_utc()
    }

    proptest! {
        #[test]
        fn cells_come_back_as_they_were(
            texts in proptest::collection::vec("\\PC{0,20}", 0..4), number: u64, flag: bool, seconds in -2_000_000_000i64..200_000_000_000,
        ) {
            let mut values = vec![
                Value::Number(number), Value::Flag(flag), Value::Time(time(seconds)), Value::Day(time(seconds).date()), Value::Empty,
            ];
            values.extend(texts.iter().filter(|text| !text.is_empty()).map(|text| Value::Text(text)));
            values.extend(Severity::ALL.map(Value::Severity));
            let mut rows = Rows::default();
            values.iter().for_each(|value| rows.add(*value));
            let mut reader = Reader::new(&*rows.0);
            for value in &values {
                prop_assert!(!reader.is_at_end().unwrap());
                prop_assert_eq!(&reader.cell().unwrap(), value);
            }
            prop_assert!(reader.is_at_end().unwrap());
        }

        #[test]
        fn what_was_not_written_is_an_error_and_no_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&*bytes);
            while reader.cell().is_ok() {}
        }
    }

    #[test]
    fn text_is_cut_to_what_a_cell_holds() {
        let fits = "x".repeat(LONGEST);
        assert_eq!(for_cell(&fits), fits);
        // Each is two units of UTF-16, so that one place is left.
        for long in ["x".repeat(LONGEST + 1), "\u{1f600}".repeat(20_000)] {
            let cut = for_cell(&long);
            let units = cut.encode_utf16().count();
            assert!((LONGEST - 1..=LONGEST).contains(&units), "{units}");
            assert!(long.starts_with(cut.strip_suffix('\u{2026}').unwrap()));
        }
        // Many bytes, and few characters.
        let wide = "\u{e9}".repeat(LONGEST);
        assert_eq!(for_cell(&wide), wide);
        assert_eq!(for_cell("a\nb\u{0}"), "a b\u{fffd}");
    }

    #[test]
    fn times_before_and_after_what_a_spreadsheet_counts_are_none() {
        let at = |text: &str| Value::time(text.parse().unwrap());
        for odd in [
            "0001-01-01T00:00:00Z",
            "1900-02-28T23:59:59Z",
            "+10000-01-01T00:00:00Z",
        ] {
            assert_eq!(at(odd), None, "{odd}");
        }
        let whole = at("9999-12-31T23:59:59Z");
        assert!(whole.is_some());
        assert_eq!(at("9999-12-31T23:59:59.999Z"), whole);
        assert!(at("1900-03-01T00:00:00Z").is_some());
    }
}
