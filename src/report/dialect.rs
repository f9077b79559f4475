//! The dialects of CSV.

use std::borrow::Cow;

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
    /// No BOM, comma, LF, text verbatim.
    Plain,
}

impl Dialect {
    /// What separates the cells.
    pub fn delimiter(self) -> u8 {
        if self == Self::ExcelSemicolon {
            b';'
        } else {
            b','
        }
    }

    /// Whether a spreadsheet is to take it.
    pub fn is_for_spreadsheets(self) -> bool {
        self != Self::Plain
    }

    /// Text from outside as a cell holds it.
    pub fn guarded(self, text: &str) -> Cow<'_, str> {
        if self.is_for_spreadsheets() {
            guarded(text)
        } else {
            on_one_line(text)
        }
    }
}
