//! Small ways of writing bytes, times and numbers that several files need.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Timelike, Utc};
use sha2::{Digest, Sha256};

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
    hex(&Sha256::digest(bytes))
}

/// A hash that is the same on every machine and in every version: the first 8 bytes of the SHA-256.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .take(8)
        .fold(0, |hash, &byte| hash << 8 | u64::from(byte))
}

/// A moment as the files write it: `YYYY-MM-DD HH:MM:SS`, in UTC.
pub fn utc(at: DateTime<Utc>) -> String {
    // Written by hand: a report holds millions of times, and chrono reads its format anew for each.
    let (year, month, day) = (at.year(), at.month(), at.day());
    if !(0..=9999).contains(&year) {
        return at.format("%Y-%m-%d %H:%M:%S").to_string();
    }
    let mut text = String::with_capacity(19);
    for (number, digits, after) in [
        (year.unsigned_abs(), 4, "-"),
        (month, 2, "-"),
        (day, 2, " "),
        (at.hour(), 2, ":"),
        (at.minute(), 2, ":"),
        (at.second(), 2, ""),
    ] {
        for place in (0..digits).rev() {
            text.push(char::from(b'0' + (number / 10u32.pow(place) % 10) as u8));
        }
        text.push_str(after);
    }
    text
}

/// Text from outside on one line, doing nothing to a terminal: line breaks and tabs become spaces, other control
/// characters a sign that something was there.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if plain || !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let harmless = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    Cow::Owned(text.chars().map(harmless).collect())
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// As [`on_one_line`], with its line breaks.
pub fn printable_lines(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// A number with its noun: `1 account`, `2 accounts`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
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
            on_one_line("a\u{1b}[2J\r\nb\u{9b}"),
            "a\u{fffd}[2J  b\u{fffd}"
        );
        assert_eq!(printable_lines("a\u{7}\nb"), "a\u{fffd}\nb");
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
