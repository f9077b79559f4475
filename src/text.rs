//! Small ways of writing bytes, times and numbers that several files need.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::sha256::Sha256;

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// The SHA-256 of bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::of(bytes))
}

/// A hash that is the same on every machine and in every version: the first 8 bytes of the SHA-256.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let digest = Sha256::of(bytes);
    digest
        .iter()
        .take(8)
        .fold(0, |hash, &byte| hash << 8 | u64::from(byte))
}

/// A moment as the files write it: `YYYY-MM-DD HH:MM:SS`, in UTC.
pub fn utc(at: DateTime<Utc>) -> String {
    // Written by hand: a report holds millions of times, and chrono reads its format anew for each.
    let at = at.naive_utc();
    let year = match u32::try_from(at.year()) {
        Ok(year) if year <= 9999 => year,
        _ => return at.format("%Y-%m-%d %H:%M:%S").to_string(),
    };
    let mut text = String::with_capacity(19);
    for (two_digits, after) in [
        (year / 100, None),
        (year % 100, Some('-')),
        (at.month(), Some('-')),
        (at.day(), Some(' ')),
        (at.hour(), Some(':')),
        (at.minute(), Some(':')),
        (at.second(), None),
    ] {
        text.push(char::from(b'0' + (two_digits / 10) as u8));
        text.push(char::from(b'0' + (two_digits % 10) as u8));
        text.extend(after);
    }
    text
}

/// A number with its thousands apart: `12,345`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Text from outside on one line, for a cell: line breaks and tabs become spaces, other control characters a sign that
/// something was there.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |c| match c {
        c if breaks_line(c) => Some(' '),
        c if c.is_control() => Some(REPLACEMENT),
        _ => None,
    })
}

/// As [`on_one_line`], for a terminal or a log: what cannot be seen, or turns what is beside it around, becomes a
/// sign that something was there, too.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    replaced(text, |c| match c {
        c if breaks_line(c) => Some(' '),
        c if c.is_control() || is_invisible(c) => Some(REPLACEMENT),
        _ => None,
    })
}

/// As [`for_terminal`], with its line breaks: for text of our own that holds some from outside.
pub fn lines_for_terminal(text: &str) -> Cow<'_, str> {
    replaced(text, |c| match c {
        '\n' => None,
        c if breaks_line(c) => Some(' '),
        c if c.is_control() || is_invisible(c) => Some(REPLACEMENT),
        _ => None,
    })
}

const REPLACEMENT: char = '\u{fffd}';

fn replaced(text: &str, replacement: impl Fn(char) -> Option<char>) -> Cow<'_, str> {
    let plain = |b: u8| (b' '..=b'~').contains(&b);
    if text.bytes().all(plain) || !text.chars().any(|c| replacement(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let replaced = text.chars().map(|c| replacement(c).unwrap_or(c));
    Cow::Owned(replaced.collect())
}

fn breaks_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}')
}

/// Whether a character shows nothing of itself: it has no width, or gives the text around it another direction.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text cut to so many characters, with a sign where something is missing.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}\u{2026}", &text[..end])),
    }
}

/// A number with its noun: `1 account`, `2,000 accounts`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256() {
        assert!(sha256_hex(b"abc").starts_with("ba7816bf8f01cfea"));
        assert_eq!(stable_hash(b"abc"), 0xba78_16bf_8f01_cfea);
    }

    #[test]
    fn text_from_outside_does_nothing_to_a_terminal() {
        assert_eq!(
            for_terminal("a\u{1b}[2J\r\nb\u{9b}\u{202e}c\u{200b}"),
            "a\u{fffd}[2J  b\u{fffd}\u{fffd}c\u{fffd}"
        );
        assert_eq!(
            lines_for_terminal("a\u{7}\nb\u{2066}\u{2028}c"),
            "a\u{fffd}\nb\u{fffd} c"
        );
        assert!(matches!(for_terminal("B\u{fc}cher"), Cow::Borrowed(_)));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(shortened("b\u{fc}cher", 6), "b\u{fc}cher");
        assert_eq!(shortened("b\u{fc}cher", 2), "b\u{fc}\u{2026}");
    }

    #[test]
    fn no_line_break_or_control_character_is_left() {
        assert_eq!(
            on_one_line("a\r\nb\tc\u{0}\u{7f}\u{85}\u{2028}d"),
            "a  b c\u{fffd}\u{fffd}\u{fffd} d"
        );
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(
            (count(0, "account"), count(1, "account")),
            ("0 accounts".into(), "1 account".into())
        );
    }

    proptest::proptest! {
        #[test]
        fn times_are_written_as_chrono_would(seconds in -70_000_000_000i64..300_000_000_000) {
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            proptest::prop_assert_eq!(utc(at), at.format("%Y-%m-%d %H:%M:%S").to_string());
        }
    }
}
