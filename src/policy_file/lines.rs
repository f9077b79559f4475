//! Where in a text a byte stands, without searching from the start each time.

/// The lines of a text, numbered from 0.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// The line that a byte stands on; a line break belongs to the line that it ends.
    pub(super) fn of(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset) - 1
    }

    /// All of it.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// A line without its line break.
    pub(super) fn line(&self, line: usize) -> &'t str {
        let end = match self.starts.get(line + 1) {
            Some(next) => next - 1,
            None => self.text.len(),
        };
        &self.text[self.starts[line]..end]
    }

    /// What stands on a byte's line from that byte on.
    pub(super) fn rest_of_line(&self, offset: usize) -> &'t str {
        let line = self.of(offset);
        let start = offset - self.starts[line];
        self.line(line).get(start..).unwrap_or_default()
    }

    /// Line and column of a byte as people count them: from 1, columns in characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.of(offset);
        let before = self.text.get(self.starts[line]..offset).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_are_those_that_counting_from_the_start_finds(text in "[aü\n]{0,20}", offset in 0usize..40) {
            let offset = (0..=offset.min(text.len())).rfind(|&at| text.is_char_boundary(at)).unwrap_or(0);
            let before = &text[..offset];
            let line = before.matches('\n').count();
            let column = before.rsplit('\n').next().unwrap_or("").chars().count();
            let lines = Lines::new(&text);
            prop_assert_eq!(lines.position(offset), (line + 1, column + 1));
            prop_assert_eq!(Some(lines.line(line)), text.split('\n').nth(line));
            prop_assert_eq!(lines.count(), text.split('\n').count());
        }
    }
}
