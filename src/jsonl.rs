//! Files of one JSON object a line: read once from first to last, and then line by line in any order, by several threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::sha256::Sha256;
use crate::threads::{lock, on_all, owned};

/// The room that is kept for a line, in bytes; a longer one gets its own, and gives it back.
const ORDINARY_LINE: usize = 256 * 1024;
/// Lines longer than this, in bytes, are looked at one at a time.
const HEAVY_LINE: usize = 2 * 1024 * 1024;

/// Where a line is in its file.
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
    /// It is incomplete, in words.
    Damaged(String),
}

/// What went wrong with such a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not what this program writes.
    #[error("{} line {line}: {cause}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

impl FileError {
    /// The file system refused.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// A line is not what this program writes.
    pub fn damaged(path: &Path, line: usize, cause: String) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            line,
            cause,
        }
    }

    /// A line cannot be read.
    pub fn of_line(path: &Path, line: usize, error: LineError) -> Self {
        match error {
            LineError::Io(source) => Self::io(path, source),
            LineError::Damaged(cause) => Self::damaged(path, line, cause),
        }
    }
}

/// Reads a file's lines from first to last, and sums them.
#[derive(Debug)]
pub struct LineReader {
    reader: BufReader<File>,
    digest: Sha256,
    offset: u64,
    /// How many were read.
    lines: usize,
}

impl LineReader {
    /// From the beginning of a file.
    pub fn new(file: File) -> Self {
        Self {
            reader: BufReader::with_capacity(ORDINARY_LINE, file),
            digest: Sha256::default(),
            offset: 0,
            lines: 0,
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
        self.append_next(longest, line)
    }

    fn append_next(
        &mut self,
        longest: u64,
        lines: &mut Vec<u8>,
    ) -> Result<Option<Place>, LineError> {
        let before = lines.len();
        let mut reader = (&mut self.reader).take(longest);
        reader.read_until(b'\n', lines).map_err(LineError::Io)?;
        let line = &lines[before..];
        if line.is_empty() {
            return Ok(None);
        }
        self.lines += 1;
        if !line.ends_with(b"\n") {
            let cause = if line.len() as u64 == longest {
                "is longer than any valid line"
            } else {
                "is truncated"
            };
            return Err(LineError::Damaged(cause.to_owned()));
        }
        self.digest.update(line);
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

/// Of a line that cannot be read, which it is, and why.
#[derive(Debug)]
pub struct BadLine {
    /// 1-based.
    pub number: usize,
    /// Why.
    pub error: LineError,
}

/// Looks at each further line of a file, on several threads, and takes what was seen in the order of the lines.
///
/// # Errors
/// The first line that cannot be read, or of which `look` or `take` say that it is damaged.
pub fn look_at_all<T: Send>(
    reader: LineReader,
    longest: u64,
    look: impl Fn(&[u8], Place) -> Result<T, String> + Sync,
    take: impl FnMut(T) -> Result<(), String> + Send,
) -> Result<LineReader, BadLine> {
    let source = Mutex::new(Source {
        reader,
        batches: 0,
        is_done: false,
    });
    let taken = Mutex::new(Taken {
        next: 0,
        waiting: BTreeMap::new(),
        take,
        bad: None,
    });
    on_all(|| {
        let mut batch = Batch::default();
        loop {
            let mut reading = lock(&source);
            if !reading.fill(longest, &mut batch) {
                break;
            }
            // No other thread reads a next line meanwhile: as many heavy ones as there are processors would not fit.
            let alone = (batch.lines.len() > HEAVY_LINE).then_some(reading);
            let seen = batch.looked_at(&look);
            drop(alone);
            let goes_on = lock(&taken).add(batch.number, batch.first_line, seen);
            if !goes_on {
                lock(&source).is_done = true;
            }
        }
    });
    match owned(taken).bad {
        Some(bad) => Err(bad),
        None => Ok(owned(source).reader),
    }
}

/// Where lines come from.
struct Source {
    reader: LineReader,
    batches: usize,
    is_done: bool,
}

/// Some lines.
#[derive(Default)]
struct Batch {
    number: usize,
    /// 1-based.
    first_line: usize,
    lines: Vec<u8>,
    places: Vec<Place>,
    /// What came in place of the next line.
    end: Option<LineError>,
}

impl Source {
    /// Reads the next lines; `false` where there are none left.
    fn fill(&mut self, longest: u64, batch: &mut Batch) -> bool {
        batch.lines.clear();
        batch.lines.shrink_to(ORDINARY_LINE);
        batch.places.clear();
        batch.end = None;
        batch.number = self.batches;
        batch.first_line = self.reader.lines + 1;
        self.batches += 1;
        while !self.is_done && batch.lines.len() < ORDINARY_LINE / 2 {
            match self.reader.append_next(longest, &mut batch.lines) {
                Ok(Some(place)) => batch.places.push(place),
                Ok(None) => self.is_done = true,
                Err(error) => {
                    batch.end = Some(error);
                    self.is_done = true;
                }
            }
        }
        !batch.places.is_empty() || batch.end.is_some()
    }
}

impl Batch {
    fn looked_at<T>(
        &mut self,
        look: &(impl Fn(&[u8], Place) -> Result<T, String> + Sync),
    ) -> Vec<Result<T, LineError>> {
        let mut at = 0;
        let mut seen = Vec::with_capacity(self.places.len());
        for &place in &self.places {
            let line = &self.lines[at..at + place.length];
            at += place.length;
            seen.push(look(line, place).map_err(LineError::Damaged));
        }
        seen.extend(self.end.take().map(Err));
        seen
    }
}

/// What was seen, and is taken in order.
struct Taken<T, F> {
    /// The batch that is taken next.
    next: usize,
    waiting: BTreeMap<usize, (usize, Vec<Result<T, LineError>>)>,
    take: F,
    bad: Option<BadLine>,
}

impl<T, F: FnMut(T) -> Result<(), String>> Taken<T, F> {
    /// Takes a batch, once those before it are; whether more is of any use.
    fn add(&mut self, batch: usize, first_line: usize, seen: Vec<Result<T, LineError>>) -> bool {
        self.waiting.insert(batch, (first_line, seen));
        while let Some((first_line, seen)) = self.waiting.remove(&self.next) {
            self.next += 1;
            for (number, seen) in (first_line..).zip(seen) {
                let taken = seen.and_then(|seen| (self.take)(seen).map_err(LineError::Damaged));
                if let (Err(error), None) = (taken, &self.bad) {
                    self.bad = Some(BadLine { number, error });
                    return false;
                }
            }
        }
        self.bad.is_none()
    }
}

/// How long a file is without a last line that is only half there, in bytes.
///
/// # Errors
/// It cannot be read.
pub fn length_of_whole_lines(mut file: &File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = vec![0; ORDINARY_LINE];
    while end > 0 {
        let start = end.saturating_sub(ORDINARY_LINE as u64);
        let chunk = &mut chunk[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(chunk)?;
        if let Some(at) = chunk.iter().rposition(|&b| b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
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
            crate::text::hex(&digest.finish()),
            crate::text::sha256_hex(lines.concat().as_bytes())
        );
        for number in [3, 1, 0, 2, 2] {
            read_again(&file, places[number], &mut line).unwrap();
            assert_eq!(line, lines[number].as_bytes());
        }
        assert!(line.capacity() <= ORDINARY_LINE);
    }

    #[test]
    fn what_was_seen_is_taken_in_order_up_to_the_first_bad_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let line = |number: usize| format!("{number} {}\n", "x".repeat(number % 2000));
        let lines = |numbers: std::ops::Range<usize>| numbers.map(line).collect::<String>();
        let read = |text: &str, bad: usize| {
            std::fs::write(&path, text).unwrap();
            let mut taken = Vec::new();
            let mut reader = LineReader::new(File::open(&path).unwrap());
            reader.next(u64::MAX, &mut Vec::new()).unwrap();
            let look = |line: &[u8], _| {
                let text = std::str::from_utf8(line).unwrap();
                let number: usize = text.split(' ').next().unwrap().parse().unwrap();
                if number >= bad {
                    Err(format!("is bad {number}"))
                } else {
                    Ok(number)
                }
            };
            let end = look_at_all(reader, 5000, look, |number| {
                taken.push(number);
                Ok(())
            });
            (end, taken)
        };
        let (end, taken) = read(&lines(0..3000), usize::MAX);
        assert_eq!(taken, (1..3000).collect::<Vec<_>>());
        let sum = crate::text::hex(&end.unwrap().into_parts().1.finish());
        assert_eq!(sum, crate::text::sha256_hex(lines(0..3000).as_bytes()));
        let (end, taken) = read(&lines(0..3000), 1234);
        let bad = end.unwrap_err();
        assert_eq!((bad.number, taken.len()), (1235, 1233));
        assert!(matches!(bad.error, LineError::Damaged(cause) if cause == "is bad 1234"));
        let (end, taken) = read(&(lines(0..300) + "300 half"), usize::MAX);
        assert_eq!((end.unwrap_err().number, taken.len()), (301, 299));
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
        assert_eq!(cause(100), "is truncated");
        assert_eq!(cause(4), "is longer than any valid line");
    }
}
