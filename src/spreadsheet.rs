//! What a spreadsheet makes of text from outside, and how it is kept from it.

use std::borrow::Cow;

use crate::text::{is_invisible, on_one_line};

/// Text with a leading `'` where a spreadsheet would take it for a formula, a number or a date; and with one within where
/// it would, if the file were read with another separator than ours, take the rest of it for a formula in a cell of its
/// own. The page's "Copy as TSV" does the same (templates/report.js); tests/spreadsheet-cases.json holds both to it.
pub fn guarded(text: &str) -> Cow<'_, str> {
    let whole = is_formula(text) || is_number(text) || is_date(text);
    let within: Vec<_> = starts_of_cells(text)
        .filter(|&at| is_formula(&text[at..]))
        .map(|at| at + text[at..].len() - bare(&text[at..]).len())
        .collect();
    if !whole && within.is_empty() {
        return on_one_line(text);
    }
    let mut guarded = String::with_capacity(text.len() + 1 + within.len());
    if whole {
        guarded.push('\'');
    }
    let mut written = 0;
    for at in within {
        guarded.push_str(&text[written..at]);
        guarded.push('\'');
        written = at;
    }
    guarded.push_str(&text[written..]);
    Cow::Owned(on_one_line(&guarded).into_owned())
}

/// Where, after the beginning, a cell would begin if any of the usual separators were ours.
fn starts_of_cells(text: &str) -> impl Iterator<Item = usize> {
    memchr::memchr3_iter(b';', b',', b'\t', text.as_bytes()).map(|at| at + 1)
}

/// Whether a spreadsheet would calculate a cell of this text. Some do so behind what shows nothing, and with the full-width
/// forms of the signs.
fn is_formula(cell: &str) -> bool {
    // Most cells begin with a letter or a digit.
    if cell.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return false;
    }
    cell.starts_with(['\t', '\r', '\n'])
        || bare(cell).starts_with([
            '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{2212}',
        ])
}

/// Text without what shows nothing at its beginning.
fn bare(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || is_invisible(c))
}

/// Whether a spreadsheet may take the text for a number: `007`, `1e23`, `1.234,5`, `12 %`.
fn is_number(text: &str) -> bool {
    let text = text
        .trim()
        .trim_start_matches(['(', '$', '\u{20ac}', '\u{a3}'])
        .trim_end_matches([')', '%', ' ']);
    let (mut digits, mut exponents) = (0, 0);
    for (index, c) in text.chars().enumerate() {
        match c {
            '0'..='9' => digits += 1,
            '.' | ',' | '\'' | ' ' | '\u{a0}' => {}
            'e' | 'E' if index > 0 => exponents += 1,
            '+' | '-' if index > 0 && exponents > 0 => {}
            _ => return false,
        }
    }
    digits > 0 && exponents <= 1
}

/// Whether a spreadsheet may take the text for a date or a time: `2025-01-01`, `1/2`, `3 mar`, `12:30 pm`.
fn is_date(text: &str) -> bool {
    /// The longest that a date with a time gets, in bytes; anything longer is text.
    const LONGEST: usize = 40;
    let text = text.trim();
    if text.len() > LONGEST {
        return false;
    }
    // Most texts are told from a date by their first word.
    let letters = text.split(|c: char| !c.is_ascii_alphabetic());
    let mut words = 0;
    for word in letters.filter(|word| !word.is_empty()) {
        if !DATE_WORDS
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
        {
            return false;
        }
        words += 1;
    }
    let separator = |c: char| " -/.:,+".contains(c);
    let digits = text.split(|c: char| !c.is_ascii_digit());
    let numbers = digits.filter(|number| !number.is_empty()).count();
    numbers > 0
        && numbers + words > 1
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || separator(c))
}

/// The words that dates and times hold.
const DATE_WORDS: [&str; 28] = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "am",
    "pm",
    "t",
    "z",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Cases {
        guarded: Vec<(String, String)>,
        plain: Vec<String>,
    }

    /// The cases that the browser tests hold "Copy as TSV" to as well.
    fn cases() -> Cases {
        serde_json::from_str(include_str!("../tests/spreadsheet-cases.json")).unwrap()
    }

    #[test]
    fn what_a_spreadsheet_would_take_for_a_formula_number_or_date_is_guarded() {
        for (text, written) in cases().guarded {
            assert_eq!(guarded(&text), written, "{text:?}");
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in cases().plain {
            assert_eq!(guarded(&text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_cell_begins_with_a_formula_whatever_the_separator(text in "[-=+@;,\t\n \u{200b}\u{ff1d}a1\"']{0,12}") {
            let written = guarded(&text);
            for separator in [';', ',', '\t'] {
                for cell in written.split(separator) {
                    proptest::prop_assert!(!is_formula(cell), "{:?} is written {:?}", text, written);
                }
            }
            // Nothing but guards is added.
            let without: String = written.chars().filter(|c| *c != '\'').collect();
            let text: String = on_one_line(&text).chars().filter(|c| *c != '\'').collect();
            proptest::prop_assert_eq!(without, text);
        }
    }
}
