//! Rows for which a table of the page has no room, so that the page's search knows them too: compressed, and read only
//! when something is searched.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::helpers::spelled_out;

/// Lines go to the compressor in blocks of this size, however they come: so the bytes are always the same.
const BLOCK: usize = 32 * 1024;

/// Lines, compressed, as long as there is room.
#[derive(Debug)]
pub struct Index {
    most: usize,
    block: Vec<u8>,
    /// Made with the first block: it takes some room of its own, and most tables need none.
    encoder: Option<DeflateEncoder<Vec<u8>>>,
    lines: usize,
    is_open: bool,
}

impl Index {
    /// Room for about so many compressed bytes.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            block: Vec::new(),
            encoder: None,
            lines: 0,
            is_open: most > 0,
        }
    }

    /// Whether it takes further lines.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Adds a line, where there is room.
    pub fn add(&mut self, line: &str) -> io::Result<()> {
        if !self.is_open {
            return Ok(());
        }
        self.block.extend_from_slice(line.as_bytes());
        self.block.push(b'\n');
        self.lines += 1;
        while self.block.len() >= BLOCK {
            let rest = self.block.split_off(BLOCK);
            let block = std::mem::replace(&mut self.block, rest);
            self.compress(&block)?;
        }
        Ok(())
    }

    fn compress(&mut self, block: &[u8]) -> io::Result<()> {
        let new = || DeflateEncoder::new(Vec::new(), Compression::new(4));
        let encoder = self.encoder.get_or_insert_with(new);
        encoder.write_all(block)?;
        self.is_open = encoder.get_ref().len() < self.most;
        Ok(())
    }

    /// What was compressed, as Base64, and how many lines that are. Empty where there is none.
    pub fn finish(mut self) -> io::Result<(String, usize)> {
        if self.lines == 0 {
            return Ok((String::new(), 0));
        }
        let block = std::mem::take(&mut self.block);
        self.compress(&block)?;
        let bytes = self
            .encoder
            .map_or_else(|| Ok(Vec::new()), DeflateEncoder::finish)?;
        Ok((BASE64.encode(bytes), self.lines))
    }
}

/// A line of cells, apart by tabs. What a page spells out, this does too.
#[derive(Debug)]
pub struct Line {
    /// What it holds so far.
    pub text: String,
    cells: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            text: String::with_capacity(320),
            cells: 0,
        }
    }
}

impl Line {
    /// Adds a cell.
    pub fn push(&mut self, cell: &str) {
        if self.cells > 0 {
            self.text.push('\t');
        }
        self.cells += 1;
        spelled_out(cell, &mut self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn read(text: &str) -> String {
        let bytes = BASE64.decode(text).unwrap();
        let mut lines = String::new();
        flate2::read::DeflateDecoder::new(&*bytes)
            .read_to_string(&mut lines)
            .unwrap();
        lines
    }

    #[test]
    fn lines_come_back_as_they_were_until_there_is_no_room() {
        let mut index = Index::new(20_000);
        let mut expected = String::new();
        for number in 0..100_000 {
            let text = crate::text::sha256_hex(&[number as u8, (number >> 8) as u8]);
            let mut line = Line::default();
            for cell in [text.as_str(), "a\tb\nc", "\u{202e}x"] {
                line.push(cell);
            }
            let line = line.text;
            assert!(line.ends_with("\ta b c\t⟨U+202E⟩x"));
            if index.is_open() {
                expected += &line;
                expected.push('\n');
            }
            index.add(&line).unwrap();
        }
        let (text, lines) = index.finish().unwrap();
        assert!((100..5000).contains(&lines), "{lines}");
        assert!(text.len() < 80_000, "{}", text.len());
        assert!(read(&text) == expected);
        assert_eq!(Index::new(10).finish().unwrap(), (String::new(), 0));
    }
}
