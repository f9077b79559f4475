//! Files of one JSON object a line: read once from first to last, and then line by line in any order, by several threads.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest, Sha256};

/// The room that is kept for a line, in bytes; a longer one gets its own, and gives it back.
const ORDINARY_LINE: usize = 256 * 1024;

/// Where a line stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Of its first byte.
    pub offset: u64,
    /// In bytes, its end included.
    pub length: usize,
}

/// Why a line cannot be read.
#[derive(Debug)]
pub enum LineError {
    /// The file system refused.
    Io(io::Error),
    /// It is not whole, in words.
    Damaged(String),
}

/// Reads a file's lines from first to last, and sums them.
#[derive(Debug)]
pub struct LineReader {
    reader: BufReader<File>,
    digest: Sha256,
    offset: u64,
}

impl LineReader {
    /// From the beginning of a file.
    pub fn new(file: File) -> Self {
        Self {
            reader: BufReader::with_capacity(ORDINARY_LINE, file),
            digest: Sha256::new(),
            offset: 0,
        }
    }

    /// What comes next in the file, as far as it has been read already.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    /// Reads the next line with its end; `None` after the last.
    ///
    /// # Errors
    /// The file cannot be read, or the line is longer than `longest` or has no end.
    pub fn next(&mut self, longest: u64, line: &mut Vec<u8>) -> Result<Option<Place>, LineError> {
        line.clear();
        line.shrink_to(ORDINARY_LINE);
        let mut reader = (&mut self.reader).take(longest);
        reader.read_until(b'\n', line).map_err(LineError::Io)?;
        if line.is_empty() {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            let cause = if line.len() as u64 == longest {
                "is longer than any line of such a file"
            } else {
                "is cut off in the middle"
            };
            return Err(LineError::Damaged(cause.to_owned()));
        }
        self.digest.update(&line);
        let place = Place {
            offset: self.offset,
            length: line.len(),
        };
        self.offset += line.len() as u64;
        Ok(Some(place))
    }

    /// The file, and the SHA-256 of what was read of it.
    pub fn into_parts(self) -> (File, Sha256) {
        (self.reader.into_inner(), self.digest)
    }
}

/// Reads a line again.
///
/// # Errors
/// The file cannot be read, or is shorter than it was.
pub fn read_again(file: &File, place: Place, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    line.shrink_to(ORDINARY_LINE.max(place.length));
    line.resize(place.length, 0);
    read_at(file, line, place.offset)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_turn_and_again_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let lines = [
            "first\n".to_owned(),
            "x".repeat(3 * ORDINARY_LINE) + "\n",
            "\n".to_owned(),
            "last\n".to_owned(),
        ];
        std::fs::write(&path, lines.concat()).unwrap();
        let mut reader = LineReader::new(File::open(&path).unwrap());
        assert!(reader.peek().unwrap().starts_with(b"first"));
        let (mut line, mut places) = (Vec::new(), Vec::new());
        while let Some(place) = reader.next(u64::MAX, &mut line).unwrap() {
            assert_eq!(line, lines[places.len()].as_bytes());
            places.push(place);
        }
        let (file, digest) = reader.into_parts();
        assert_eq!(
            crate::text::hex(&digest.finalize()),
            crate::text::sha256_hex(lines.concat().as_bytes())
        );
        for number in [3, 1, 0, 2, 2] {
            read_again(&file, places[number], &mut line).unwrap();
            assert_eq!(line, lines[number].as_bytes());
        }
        assert!(line.capacity() <= ORDINARY_LINE);
    }

    #[test]
    fn a_line_without_end_or_out_of_measure_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        std::fs::write(&path, "whole\nhalf").unwrap();
        let cause = |longest| {
            let mut reader = LineReader::new(File::open(&path).unwrap());
            let mut line = Vec::new();
            loop {
                match reader.next(longest, &mut line) {
                    Ok(_) => {}
                    Err(LineError::Damaged(cause)) => break cause,
                    Err(LineError::Io(error)) => panic!("{error}"),
                }
            }
        };
        assert_eq!(cause(100), "is cut off in the middle");
        assert_eq!(cause(4), "is longer than any line of such a file");
    }
}
