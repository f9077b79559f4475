//! Shards: how the accounts of one audit are divided among several runs, so that each account falls to exactly one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::accounts::AskedAccount;
use crate::text::{count, grouped, hex, stable_hash};

/// The most shards that accounts are divided into: far more than there are tokens or addresses to read them with.
pub const MOST_SHARDS: u32 = 10_000;

/// One shard of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one, 0-based.
    number: u32,
    /// How many there are, at least 1.
    of: u32,
}

impl Shard {
    /// The shard with a number, 0-based, of so many.
    ///
    /// # Errors
    /// What is wrong, with what a shard looks like.
    pub fn new(number: u32, of: u32) -> Result<Self, String> {
        if !(1..=MOST_SHARDS).contains(&of) {
            return Err(format!(
                "accounts are divided into 1 to {MOST_SHARDS} shards"
            ));
        }
        if number >= of {
            return Err(format!(
                "with {}, K must be from 0 to {}",
                count(of as usize, "shard"),
                of - 1
            ));
        }
        Ok(Self { number, of })
    }

    /// The accounts that fall to it, of all that were named, in their order.
    pub fn share_of(self, named: Vec<AskedAccount>) -> (Vec<AskedAccount>, Share) {
        let list = WholeList::of(&named);
        let mut places = Vec::new();
        let mut accounts = Vec::new();
        for (place, account) in (0..).zip(named) {
            if number_of(&account.id, self.of) == self.number {
                places.push(place);
                accounts.push(account);
            }
        }
        let share = Share {
            of: self.of,
            shards: vec![self.number],
            lists: vec![list],
            places,
        };
        (accounts, share)
    }

    /// How many shards there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether an account falls to it.
    pub fn holds(self, account_id: &str) -> bool {
        number_of(account_id, self.of) == self.number
    }
}

/// `1/3`.
impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "a shard looks like 0/3: the first of three";
        let (number, of) = text
            .split_once('/')
            .ok_or_else(|| format!("has no slash; {EXAMPLE}"))?;
        let parsed = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| format!("{text:?} is not a number of shards; {EXAMPLE}"))
        };
        Self::new(parsed(number)?, parsed(of)?).map_err(|error| format!("{error}; {EXAMPLE}"))
    }
}

/// The number of the shard to which an account falls: the first 8 bytes of the SHA-256 of its id, as a big-endian number,
/// modulo the number of shards. Of an id that is not valid, the text as it was given is hashed.
fn number_of(account_id: &str, of: u32) -> u32 {
    (stable_hash(account_id.as_bytes()) % u64::from(of)) as u32
}

/// The place of an account that was in no list that shards divided.
pub const OUTSIDE: u32 = u32::MAX;

/// The shards of a set whose accounts a run has, where these are not all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many shards there are.
    pub of: u32,
    /// Which of them the run has, 0-based, in order.
    pub shards: Vec<u32>,
    /// The whole list, as those shards were given it: one, unless they were given different ones.
    pub lists: Vec<WholeList>,
    /// Of each account of the run, its place in the whole list; [`OUTSIDE`] for those of other runs that were merged with
    /// the shards.
    pub places: Vec<u32>,
}

/// All accounts that were named, before they were divided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WholeList {
    /// How many.
    pub accounts: usize,
    /// The SHA-256 of their ids, sorted, each with a line break; in hex.
    pub sha256: String,
}

impl WholeList {
    fn of(accounts: &[AskedAccount]) -> Self {
        use crate::sha256::Sha256;
        let mut ids: Vec<_> = accounts.iter().map(|account| account.id.as_str()).collect();
        ids.sort_unstable();
        let mut digest = Sha256::default();
        for id in ids {
            digest.update(id);
            digest.update("\n");
        }
        Self {
            accounts: accounts.len(),
            sha256: hex(&digest.finish()),
        }
    }
}

/// The most missing shards that are named; the others are counted.
const MOST_NAMED: usize = 20;

impl Share {
    /// Whether it can be that of a run with these accounts: it may come of a file that somebody has changed.
    pub fn is_possible(&self, accounts: &[AskedAccount]) -> bool {
        let falls_to_it =
            |(account, place): (&AskedAccount, &u32)| *place == OUTSIDE || self.holds(&account.id);
        let is_ascending = self.shards.is_sorted_by(|a, b| a < b);
        let last = self.shards.last();
        (1..=MOST_SHARDS).contains(&self.of)
            && is_ascending
            && last.is_some_and(|last| *last < self.of)
            && self.places.len() == accounts.len()
            && accounts.iter().zip(&self.places).all(falls_to_it)
    }

    /// Whether an account falls to one of the run's shards.
    pub fn holds(&self, account_id: &str) -> bool {
        let number = number_of(account_id, self.of);
        self.shards.binary_search(&number).is_ok()
    }

    /// Whether all shards divided the same list: of several, one may lack what another has, and no shard read it.
    pub fn is_of_one_list(&self) -> bool {
        self.lists.len() <= 1
    }

    /// Whether it is that of one shard.
    pub fn is_that_of(&self, shard: Shard) -> bool {
        self.of == shard.of && self.shards == [shard.number]
    }

    /// The shards that the run does not have.
    pub fn missing(&self) -> Vec<u32> {
        let is_missing = |number: &u32| self.shards.binary_search(number).is_err();
        (0..self.of).filter(is_missing).collect()
    }

    /// The shards in words: `1/3`, `0 and 2 of 3`.
    pub fn words(&self) -> String {
        match self.shards.as_slice() {
            [number] => format!("{number}/{}", self.of),
            numbers => format!("{} of {}", listed(numbers), self.of),
        }
    }

    /// How many accounts the whole list has; the longest, where the shards were given different ones.
    pub fn named(&self) -> usize {
        let longest = self.lists.iter().map(|list| list.accounts).max();
        longest.unwrap_or_default()
    }

    /// How many accounts of the whole list the run has.
    fn accounts(&self) -> usize {
        let places = self.places.iter();
        places.filter(|place| **place != OUTSIDE).count()
    }

    /// What it is, for reports: `1/3: 34 of 100 accounts`.
    pub fn sentence(&self) -> String {
        format!(
            "{}: {} of {}",
            self.words(),
            grouped(self.accounts() as u64),
            count(self.named(), "account")
        )
    }

    /// Why accounts may be missing from a run that was merged of these shards, one sentence each.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let missing = self.missing();
        if let Some(first) = missing.first() {
            let (noun, verb) = match missing.len() {
                1 => ("shard", "is"),
                _ => ("shards", "are"),
            };
            gaps.push(format!(
                "{noun} {} of {} {verb} missing (shards count from 0): no run of {} was merged, so no account that falls to {} was read; repeat the audit with the same accounts for {}, then merge again",
                listed(&missing),
                self.of,
                if missing.len() == 1 { "it" } else { "them" },
                if missing.len() == 1 { "it" } else { "them" },
                match missing.len() {
                    1 => format!("it (--shard {first}/{})", self.of),
                    _ => format!("each of them (--shard {first}/{} and so on)", self.of),
                }
            ));
        }
        if self.lists.len() > 1 {
            let lengths: Vec<_> = self
                .lists
                .iter()
                .take(MOST_NAMED)
                .map(|list| grouped(list.accounts as u64))
                .collect();
            gaps.push(format!(
                "the shards were given {} different lists ({} accounts): an account that one list has and another lacks may have been read by no shard; give every shard the same --accounts-file, as `cf-sso-audit accounts` writes it",
                self.lists.len(),
                lengths.join(", ")
            ));
        } else if missing.is_empty() && self.accounts() < self.named() {
            gaps.push(format!(
                "{} of the {} in the list are in no shard",
                grouped((self.named() - self.accounts()) as u64),
                count(self.named(), "account")
            ));
        }
        gaps
    }

    /// Whether a run that was merged of these shards has all accounts: [`Self::gaps`] has nothing to say.
    pub fn is_whole(&self) -> bool {
        self.shards.len() == self.of as usize
            && self.is_of_one_list()
            && self.accounts() >= self.named()
    }
}

/// `0, 2 and 5`; no more than [`MOST_NAMED`] by their numbers.
fn listed(numbers: &[u32]) -> String {
    let shown = numbers.iter().take(MOST_NAMED).map(u32::to_string);
    let mut words: Vec<_> = shown.collect();
    if numbers.len() > MOST_NAMED {
        words.push(format!("{} more", numbers.len() - MOST_NAMED));
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accounts(count: usize) -> Vec<AskedAccount> {
        let id = |number| AskedAccount::new(&format!("{number:032x}"), "");
        (0..count).map(id).collect()
    }

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_falls_where_anyone_can_compute() {
        // printf 023e105f4ecef8ad9ca31a8372d0c353 | sha256sum begins with this.
        let id = "023e105f4ecef8ad9ca31a8372d0c353";
        let hash = stable_hash(id.as_bytes());
        assert_eq!(hash, 0x239a_5169_e1ad_8bc1);
        for of in [1, 3, 7, 16, 1000] {
            let number = (hash % u64::from(of)) as u32;
            assert!(Shard::new(number, of).unwrap().holds(id), "{of}");
        }
    }

    #[test]
    fn a_shard_is_read_or_refused_with_an_example() {
        assert_eq!(shard("0/1").to_string(), "0/1");
        assert_eq!(shard("9/10"), Shard { number: 9, of: 10 });
        for bad in [
            "", "1", "3/3", "0/0", "-1/3", "a/3", "1/b", "0/10001", "auto/x",
        ] {
            let error = bad.parse::<Shard>().unwrap_err();
            assert!(error.contains("0/3"), "{bad}: {error}");
        }
        assert!(
            Shard::new(3, 3)
                .unwrap_err()
                .contains("K must be from 0 to 2")
        );
    }

    #[test]
    fn what_is_missing_is_said_by_number_and_bounded() {
        let agrees = |share: &Share| assert_eq!(share.is_whole(), share.gaps().is_empty());
        let mut share = shard("1/3").share_of(accounts(10)).1;
        agrees(&share);
        assert!(share.gaps()[0].starts_with("shards 0 and 2 of 3 are missing"));
        assert!(
            share.gaps()[0].contains("for each of them (--shard 0/3 and so on), then merge again")
        );
        share.shards = vec![0, 1, 2];
        share.places = (0..10).collect();
        assert!(share.is_whole());
        agrees(&share);
        share.places[3] = OUTSIDE;
        agrees(&share);
        assert_eq!(
            share.gaps(),
            ["1 of the 10 accounts in the list are in no shard"]
        );
        let longer = shard("0/3").share_of(accounts(11)).1;
        share.places[3] = 3;
        share.lists.extend(longer.lists);
        agrees(&share);
        assert!(share.gaps()[0].contains("2 different lists (10, 11 accounts)"));
        let (of_it, many) = shard("0/1000").share_of(accounts(3000));
        assert!(!of_it.is_empty() && many.is_possible(&of_it));
        assert!(!many.is_possible(&of_it[1..]), "another number of accounts");
        let others = shard("1/1000").share_of(accounts(3000)).0;
        let others: Vec<_> = others.iter().cycle().take(of_it.len()).cloned().collect();
        assert!(!many.is_possible(&others), "accounts of another shard");
        for (of, shards) in [
            (0, vec![0]),
            (2, vec![2]),
            (2, vec![1, 0]),
            (2, vec![]),
            (u32::MAX, vec![0]),
        ] {
            let share = Share {
                of,
                shards,
                ..many.clone()
            };
            assert!(!share.is_possible(&of_it), "{share:?}");
        }
        assert!(
            many.gaps()[0].contains(", 20 and 979 more of 1000 are missing"),
            "{:?}",
            many.gaps()
        );
    }

    proptest! {
        #[test]
        fn each_account_falls_to_exactly_one_shard_in_its_place(count in 0usize..200, of in 1u32..20, text in ".{0,40}") {
            let mut named = accounts(count);
            named.push(AskedAccount::new(&text, ""));
            let mut put_back = vec![None; named.len()];
            let whole = WholeList::of(&named);
            for number in 0..of {
                let (accounts, share) = Shard::new(number, of).unwrap().share_of(named.clone());
                prop_assert_eq!(&share.lists, std::slice::from_ref(&whole));
                prop_assert_eq!(accounts.len(), share.places.len());
                for (account, place) in accounts.into_iter().zip(share.places) {
                    prop_assert!(put_back[place as usize].replace(account).is_none());
                }
            }
            let put_back: Vec<_> = put_back.into_iter().flatten().collect();
            prop_assert_eq!(put_back, named);
        }
    }
}
