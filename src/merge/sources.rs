//! What named the accounts of several runs, each once.

use std::collections::HashMap;

use crate::accounts::{AskedAccount, Source};

/// The sources of several runs.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: Vec<Source>,
    /// By key where they have one, else by the group of runs and name.
    positions: HashMap<Known, u32>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Known {
    ByKey(String),
    /// The command line of a set of shards is one, and that of another run another.
    ByName(usize, String),
}

impl Sources {
    /// Adds those of a run; where each of them stands now. Shards of a set are one group, every other run is its own.
    pub(super) fn add(&mut self, group: usize, sources: &[Source]) -> Vec<u32> {
        sources
            .iter()
            .map(|source| self.place(group, source))
            .collect()
    }

    fn place(&mut self, group: usize, source: &Source) -> u32 {
        let known = match &source.key {
            Some(key) => Known::ByKey(key.clone()),
            None => Known::ByName(group, source.name.clone()),
        };
        let next = self.sources.len() as u32;
        let position = *self.positions.entry(known).or_insert(next);
        match self.sources.get_mut(position as usize) {
            Some(there) => {
                there.whole &= source.whole;
                there.accounts = there.accounts.max(source.accounts);
            }
            None => self.sources.push(source.clone()),
        }
        position
    }

    /// All of them; each named at least the accounts that say so.
    pub(super) fn finish(mut self, accounts: &[AskedAccount]) -> Vec<Source> {
        let mut named = vec![0; self.sources.len()];
        for &source in accounts.iter().flat_map(|account| &account.sources) {
            named[source as usize] += 1;
        }
        for (source, named) in self.sources.iter_mut().zip(named) {
            source.accounts = source.accounts.max(named);
        }
        self.sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_recognised_is_one_and_a_command_line_is_each_groups_own() {
        let list = Source::list("all", "f1");
        let line = Source::unrecognisable("the command line");
        let mut sources = Sources::default();
        let short = Source {
            whole: false,
            ..list.clone()
        };
        assert_eq!(sources.add(0, &[line.clone(), list.clone()]), [0, 1]);
        assert_eq!(sources.add(0, &[line.clone(), short]), [0, 1]);
        assert_eq!(sources.add(2, &[list, line]), [1, 2]);
        let by = |sources: &[u32]| AskedAccount {
            sources: sources.to_vec(),
            ..AskedAccount::default()
        };
        let sources = sources.finish(&[by(&[0]), by(&[1]), by(&[1, 2])]);
        let counts: Vec<_> = sources.iter().map(|source| source.accounts).collect();
        assert_eq!(counts, [1, 2, 1]);
        assert!(sources[0].whole && !sources[1].whole);
    }
}
