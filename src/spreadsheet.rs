//! What a spreadsheet makes of text from outside, and how it is kept from it.

use std::borrow::Cow;

use crate::text::on_one_line;

/// Text with a leading `'` where a spreadsheet would take it for a formula, a number or a date.
pub fn guarded(text: &str) -> Cow<'_, str> {
    let line = on_one_line(text);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
        || line.trim_start().starts_with(['=', '+', '-', '@']);
    if is_formula || is_number(&line) || is_date(&line) {
        return Cow::Owned(format!("'{line}"));
    }
    line
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

    #[test]
    fn what_a_spreadsheet_would_take_for_a_formula_number_or_date_is_guarded() {
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\tx",
            "\r=1",
            "\n=1",
            " =1",
            "00000000000000000000000000000123",
            "1e23",
            "12E5",
            "1.234,5",
            "1,234.5",
            "12 %",
            "2025-01-01",
            "1/2",
            "3.4.2025",
            "12:30",
            "12:30 PM",
            "1 jan",
            "jan-1",
            "1jan",
            "March 2025",
            "2025-01-01T12:21:02Z",
            "7",
        ] {
            assert_eq!(guarded(text).chars().next(), Some('\''), "{text:?}");
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in [
            "",
            "acme.example",
            "023e105f4ecef8ad9ca31a8372d0c353",
            "Acme, Inc. \"Ltd\"",
            "cloudflare_dashboard_sso=1",
            "B\u{fc}cher & Co",
            "'quoted",
            "e",
            "march.example",
            "Mar Ltd",
            "8a1b2c3d4e5f6789-SYD",
            "may be",
            "abe1",
        ] {
            assert_eq!(guarded(text), text);
        }
    }
}
