//! Of a run that was merged of several: which ones, and what they said differently.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::text::{count, utc};

/// Where a merged run came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Merged {
    /// The runs, in the order in which they were given.
    pub runs: Vec<MergedRun>,
    /// Accounts that several of them have.
    #[serde(default)]
    pub in_several: SomeAccounts,
    /// Of these, accounts that several runs read in full, with different answers.
    #[serde(default)]
    pub differing: SomeAccounts,
    /// When the first and the last of all runs began that it was merged of, also of those merged before.
    #[serde(default)]
    pub started: (DateTime<Utc>, DateTime<Utc>),
}

/// One of the runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedRun {
    /// The run.
    pub run_id: String,
    /// The version of the program that read it.
    pub version: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// How many accounts it was asked for.
    pub accounts: usize,
    /// The SHA-256 of its evidence, in hex.
    pub evidence_sha256: String,
    /// Its shard, in words; absent where it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

/// Runs that began further apart than this are hardly of the same night, in hours.
const ONE_NIGHT: i64 = 12;

/// The most accounts that are named; the others are counted.
const MOST_NAMED: usize = 10;

/// Some accounts: how many, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SomeAccounts {
    /// How many.
    pub count: usize,
    /// The first, by their ids; at most 10.
    pub first: Vec<String>,
    /// The ids of the others: the next run that is merged of this one counts none twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl SomeAccounts {
    /// Adds one.
    pub fn add(&mut self, id: &str) {
        self.count += 1;
        let ids = match self.first.len() {
            MOST_NAMED.. => &mut self.others,
            _ => &mut self.first,
        };
        ids.push(id.to_owned());
    }

    /// Adds those of others that are not among these.
    pub fn join(&mut self, others: &Self) {
        let own: HashSet<String> = self.ids().map(str::to_owned).collect();
        for id in others.ids().filter(|id| !own.contains(*id)) {
            self.add(id);
        }
        // Earlier versions kept the first ones only.
        self.count += others.count.saturating_sub(others.ids().count());
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.first.iter().chain(&self.others).map(String::as_str)
    }

    fn words(&self) -> String {
        let mut words = self.first.join(", ");
        if self.count > self.first.len() {
            words.push_str(&format!(" and {} more", self.count - self.first.len()));
        }
        words
    }
}

impl Merged {
    /// The same for a report about some of the accounts, which names no others.
    #[must_use]
    pub fn without_others(&self) -> Self {
        Self {
            started: self.started,
            ..Self::default()
        }
    }

    /// What has to be known of it to read the report right.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let (first, last) = self.started;
        if last - first > TimeDelta::hours(ONE_NIGHT) {
            sentences.push(format!(
                "The merged runs were started at different times, from {} to {} UTC: an older one may be left from an earlier night, because its audit failed since.",
                utc(first),
                utc(last)
            ));
        }
        let several = &self.in_several;
        if several.count > 0 {
            let (verb, each) = match several.count {
                1 => ("is", "the"),
                _ => ("are", "for each, the"),
            };
            sentences.push(format!(
                "{} {verb} in several of the merged runs; {each} most complete answer is used, and of equally complete ones the newest: {}.",
                count(several.count, "account"),
                several.words()
            ));
        }
        let differing = &self.differing;
        if differing.count > 0 {
            sentences.push(format!(
                "{} of these had different connectors in the runs that read {}: {}.",
                differing.count,
                if differing.count == 1 { "it" } else { "them" },
                differing.words()
            ));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_named_up_to_ten_and_counted() {
        let mut some = SomeAccounts::default();
        (0..9).for_each(|number| some.add(&number.to_string()));
        let mut more = SomeAccounts::default();
        (9..13).for_each(|number| more.add(&number.to_string()));
        some.join(&more);
        assert_eq!(some.words(), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more");
        // None is counted twice, however often it was met.
        let before = some.clone();
        some.join(&before);
        some.join(&more);
        assert_eq!(some, before);
        let mut one = SomeAccounts::default();
        one.add("3");
        let merged = Merged {
            in_several: some,
            differing: one,
            ..Merged::default()
        };
        let said = merged.sentences();
        assert!(
            said[0].starts_with("13 accounts are in several"),
            "{said:?}"
        );
        assert!(said[1].ends_with("read it: 3."), "{said:?}");
        assert!(Merged::default().sentences().is_empty());
    }
}
