//! What the page keeps of the rows that the workers bring: as many as a table has room for, worst first; and of those
//! beyond, a line each for the search.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::index::Index;
use crate::threads::{lock, owned};

/// A row for a table, or the line of one for which there is no room.
#[derive(Debug)]
pub enum Item<T> {
    /// It may find room.
    Row(T),
    /// It does not.
    Line(String),
}

/// What the page keeps of what the workers bring, which are told which of theirs there still is room for. A row's place
/// says how much it matters: 0 is the worst.
#[derive(Debug)]
pub struct Kept<T> {
    state: Mutex<State<T>>,
    /// So many of the places, worst first, still have room; never more than before.
    open_places: AtomicUsize,
    /// Whether the index takes further lines; never again once it does not.
    is_indexed: AtomicBool,
}

#[derive(Debug)]
struct State<T> {
    rows: WorstFirst<T>,
    index: Index,
}

impl<T> Kept<T> {
    /// Room for `limit` rows of so many places, and for so many bytes of lines of those beyond.
    pub fn new(limit: usize, places: usize, index_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                rows: WorstFirst::new(limit, places),
                index: Index::new(index_bytes),
            }),
            open_places: AtomicUsize::new(places),
            is_indexed: AtomicBool::new(index_bytes > 0),
        }
    }

    /// Adds what waits, in its order. `line` makes the line of a row that had room, and has none.
    pub fn add(&self, waiting: &mut Waiting<T>, line: impl Fn(&T) -> String) -> io::Result<()> {
        if waiting.total == 0 {
            return Ok(());
        }
        let mut state = lock(&self.state);
        let State { rows, index } = &mut *state;
        rows.total += waiting.total;
        waiting.total = 0;
        waiting.bytes = 0;
        for (place, item) in waiting.items.drain(..) {
            match item {
                Item::Line(line) => index.add(&line)?,
                Item::Row(row) => {
                    if let Some(row) = rows.keep(place, row)
                        && index.is_open()
                    {
                        index.add(&line(&row))?;
                    }
                }
            }
        }
        self.open_places
            .store(rows.open_places(), Ordering::Relaxed);
        self.is_indexed.store(index.is_open(), Ordering::Relaxed);
        Ok(())
    }

    /// The rows, and the lines of those beyond.
    pub fn into_parts(self) -> (WorstFirst<T>, Index) {
        let state = owned(self.state);
        (state.rows, state.index)
    }
}

/// What waits for its turn.
#[derive(Debug)]
pub struct Waiting<T> {
    /// All that there were since the last turn, kept or not.
    total: usize,
    /// About what waits, in bytes.
    bytes: usize,
    items: Vec<(usize, Item<T>)>,
}

impl<T> Waiting<T> {
    /// About what a row takes, in bytes.
    const ROW: usize = 2048;

    pub fn new() -> Self {
        Self {
            total: 0,
            bytes: 0,
            items: Vec::new(),
        }
    }

    /// Takes a row, made only where it may find room; or else its line, where the index still takes one.
    pub fn push(
        &mut self,
        kept: &Kept<T>,
        place: usize,
        row: impl FnOnce() -> T,
        line: impl FnOnce() -> String,
    ) {
        self.total += 1;
        // Both only ever go from yes to no, by what came before: so this never decides otherwise than the turn would.
        if place < kept.open_places.load(Ordering::Relaxed) {
            self.bytes += Self::ROW;
            self.items.push((place, Item::Row(row())));
        } else if kept.is_indexed.load(Ordering::Relaxed) {
            let line = line();
            self.bytes += line.len() + size_of::<(usize, Item<T>)>();
            self.items.push((place, Item::Line(line)));
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Items of which there is room for a limited number: the worst, in the order in which they came.
#[derive(Debug)]
pub struct WorstFirst<T> {
    limit: usize,
    /// All that there were.
    pub total: usize,
    /// One list a place.
    kept: Vec<Vec<T>>,
}

impl<T> WorstFirst<T> {
    fn new(limit: usize, places: usize) -> Self {
        Self {
            limit,
            total: 0,
            kept: (0..places).map(|_| Vec::new()).collect(),
        }
    }

    /// Keeps an item, and gives back the one for which there is no room: itself, or another because it is worse.
    fn keep(&mut self, place: usize, item: T) -> Option<T> {
        let better: usize = self.kept[..=place].iter().map(Vec::len).sum();
        if better >= self.limit {
            return Some(item);
        }
        self.kept[place].push(item);
        if self.shown() <= self.limit {
            return None;
        }
        let least = self.kept.iter_mut().rfind(|list| !list.is_empty());
        least.and_then(Vec::pop)
    }

    /// How many of the places, worst first, still have room.
    fn open_places(&self) -> usize {
        let mut kept = 0;
        let with_room = self.kept.iter().take_while(|list| {
            kept += list.len();
            kept < self.limit
        });
        with_room.count()
    }

    /// How many are kept.
    pub fn shown(&self) -> usize {
        self.kept.iter().map(Vec::len).sum()
    }
}

impl<T> IntoIterator for WorstFirst<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_drives_out_what_is_not() {
        let mut kept = WorstFirst::new(3, 5);
        let mut out = Vec::new();
        for (place, item) in [(4, 1), (3, 2), (4, 3), (0, 4), (3, 5), (3, 6)] {
            out.extend(kept.keep(place, item));
        }
        assert_eq!(out, [3, 1, 6]);
        // There is room for one that is worse than those that there are, and for no other.
        assert_eq!((kept.shown(), kept.open_places()), (3, 3));
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [4, 2, 5]);
    }

    /// Brings rows in chunks of a size, each with a worker that saw the state before it or an older one.
    fn brought(chunk: usize, sees_old_state: bool) -> (Vec<usize>, String, usize) {
        let kept = Kept::new(10, 3, 1_000_000);
        let line = |row: &usize| format!("row {row}");
        let rows: Vec<usize> = (0..1000).collect();
        let mut late: Option<Waiting<usize>> = None;
        for chunk in rows.chunks(chunk) {
            let mut waiting = Waiting::new();
            for &row in chunk {
                waiting.push(&kept, row * 7 % 3, || row, || line(&row));
            }
            let next = if sees_old_state {
                late.replace(waiting)
            } else {
                Some(waiting)
            };
            if let Some(mut next) = next {
                kept.add(&mut next, line).unwrap();
            }
        }
        if let Some(mut last) = late {
            kept.add(&mut last, line).unwrap();
        }
        let (rows, index) = kept.into_parts();
        assert_eq!(rows.total, 1000);
        let (text, lines) = index.finish().unwrap();
        (rows.into_iter().collect(), text, lines)
    }

    #[test]
    fn the_same_is_kept_whoever_brings_it() {
        let first = brought(1000, false);
        assert_eq!((first.0.len(), first.2), (10, 990));
        for chunk in [1, 3, 64] {
            for sees_old_state in [false, true] {
                assert!(brought(chunk, sees_old_state) == first, "{chunk}");
            }
        }
    }
}
