//! Small ways of writing bytes, times and numbers that several files need.

use chrono::{DateTime, Utc};
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
    at.format("%Y-%m-%d %H:%M:%S").to_string()
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
    fn numbers_agree_with_their_nouns() {
        assert_eq!(
            (count(0, "account"), count(1, "account")),
            ("0 accounts".into(), "1 account".into())
        );
    }
}
