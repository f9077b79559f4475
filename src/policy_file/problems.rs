//! What is wrong with a policy file, by line and column.

use std::collections::BTreeSet;
use std::fmt;

use super::lines::Lines;
use crate::text::count;

/// So many problems of a file are listed, and so many warnings; the rest is counted.
pub(super) const LISTED: usize = 50;

/// Something in a policy file that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// What is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// The file, as it was given.
    pub path: String,
    /// The first ones, in the order of the file.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl PolicyError {
    pub(super) fn new(path: &str, lines: &Lines<'_>, found: Found) -> Self {
        let more = found.more();
        let problem = |(offset, message)| {
            let (line, column) = lines.position(offset);
            Problem {
                line,
                column,
                message,
            }
        };
        Self {
            path: path.to_owned(),
            problems: found.first.into_iter().map(problem).collect(),
            more,
        }
    }
}

/// What was found, by the byte that it is about: the first [`LISTED`] in the order of the file, and how many in all.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) first: BTreeSet<(usize, String)>,
    pub(super) count: usize,
}

impl Found {
    /// The message is made only where it will be listed: a file may have problems by the hundred thousand.
    pub(super) fn add(&mut self, at: usize, message: impl FnOnce() -> String) {
        self.count += 1;
        let is_full = self.first.len() == LISTED;
        if is_full && self.first.last().is_some_and(|(last, _)| *last < at) {
            return;
        }
        self.first.insert((at, message()));
        if self.first.len() > LISTED {
            self.first.pop_last();
        }
    }

    pub(super) fn more(&self) -> usize {
        self.count - self.first.len()
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = count(self.problems.len() + self.more, "problem");
        write!(formatter, "the policy {} has {number}:", self.path)?;
        for Problem {
            line,
            column,
            message,
        } in &self.problems
        {
            write!(formatter, "\n{}:{line}:{column}: {message}", self.path)?;
        }
        if self.more > 0 {
            write!(formatter, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}
