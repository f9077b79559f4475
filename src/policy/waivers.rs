//! What is accepted until when, and which waivers mean a finding.

use std::collections::HashMap;
use std::ops::Deref;

use chrono::{DateTime, NaiveDate, Utc};

/// A waiver that runs out within so many days is listed as expiring.
pub const EXPIRING_DAYS: i64 = 30;

/// A finding that is accepted until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule whose findings it waives.
    pub rule: &'static str,
    /// The account, or `None` for every one.
    pub account: Option<String>,
    /// The canonical domain, or `None` for every one.
    pub domain: Option<String>,
    /// Why it was accepted.
    pub reason: String,
    /// Who accepted it.
    pub owner: String,
    /// The last day on which it holds, in UTC.
    pub expires: NaiveDate,
}

impl Waiver {
    /// Whether it still holds and runs out within [`EXPIRING_DAYS`].
    pub fn is_expiring(&self, now: DateTime<Utc>) -> bool {
        let left = (self.expires - now.date_naive()).num_days();
        (0..=EXPIRING_DAYS).contains(&left)
    }

    /// Whether it no longer holds: from the day after its last.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now.date_naive() > self.expires
    }
}

/// Waivers in the order of the file, no two of them for the same rule, account and domain. Those that mean a finding
/// are found by looking up, however many there are.
#[derive(Debug, Clone, Default)]
pub struct Waivers {
    list: Vec<Waiver>,
    index: Targets,
}

/// Positions in a list by the findings that are meant: by rule, then account, then domain.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets(HashMap<&'static str, Scope<Scope<Option<usize>>>>);

impl Targets {
    /// Notes a position.
    ///
    /// # Errors
    /// There is one for the same rule, account and domain already, which stays.
    pub(super) fn add(
        &mut self,
        rule: &'static str,
        account: Option<&str>,
        domain: Option<&str>,
        position: usize,
    ) -> Result<(), usize> {
        let place = self.0.entry(rule).or_default().entry(account).entry(domain);
        match *place {
            Some(first) => Err(first),
            None => {
                *place = Some(position);
                Ok(())
            }
        }
    }

    /// The positions that mean a finding: at most four, in no order.
    pub(super) fn matching(
        &self,
        rule: &str,
        account: &str,
        canonical_domain: Option<&str>,
    ) -> impl Iterator<Item = usize> {
        let of_rule = self.0.get(rule);
        of_rule
            .into_iter()
            .flat_map(move |accounts| accounts.matching(Some(account)))
            .flat_map(move |domains| domains.matching(canonical_domain))
            .filter_map(|position| *position)
    }
}

/// What is meant for every account or domain, and what for single ones.
#[derive(Debug, Clone, Default)]
struct Scope<T> {
    every: T,
    single: HashMap<String, T>,
}

impl<T: Default> Scope<T> {
    fn entry(&mut self, name: Option<&str>) -> &mut T {
        match name {
            None => &mut self.every,
            Some(name) => self.single.entry(name.to_owned()).or_default(),
        }
    }

    fn matching(&self, name: Option<&str>) -> impl Iterator<Item = &T> {
        let single = name.and_then(|name| self.single.get(name));
        std::iter::once(&self.every).chain(single)
    }
}

impl Waivers {
    /// Adds a waiver behind the others.
    ///
    /// # Errors
    /// There is one for the same rule, account and domain already: its position.
    pub fn add(&mut self, waiver: Waiver) -> Result<(), usize> {
        let (account, domain) = (waiver.account.as_deref(), waiver.domain.as_deref());
        self.index
            .add(waiver.rule, account, domain, self.list.len())?;
        self.list.push(waiver);
        Ok(())
    }

    /// The positions of the waivers that mean a finding, be they expired or not: at most four, in no order.
    pub fn matching(
        &self,
        rule: &str,
        account: &str,
        canonical_domain: Option<&str>,
    ) -> impl Iterator<Item = usize> {
        self.index.matching(rule, account, canonical_domain)
    }

    /// The position of the first waiver in the file that means a finding and still holds.
    pub fn holding(
        &self,
        rule: &str,
        account: &str,
        canonical_domain: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<usize> {
        self.matching(rule, account, canonical_domain)
            .filter(|&position| !self.list[position].is_expired(now))
            .min()
    }
}

impl Deref for Waivers {
    type Target = [Waiver];

    fn deref(&self) -> &[Waiver] {
        &self.list
    }
}

/// Of several for the same rule, account and domain the first is kept.
impl FromIterator<Waiver> for Waivers {
    fn from_iter<I: IntoIterator<Item = Waiver>>(waivers: I) -> Self {
        let mut all = Self::default();
        for waiver in waivers {
            // One that is there already says the same.
            let _ = all.add(waiver);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waiver(
        rule: &'static str,
        account: Option<&str>,
        domain: Option<&str>,
        expires: &str,
    ) -> Waiver {
        Waiver {
            rule,
            account: account.map(str::to_owned),
            domain: domain.map(str::to_owned),
            reason: String::new(),
            owner: String::new(),
            expires: expires.parse().unwrap(),
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Whether a waiver means a finding, as its fields say.
    fn means(waiver: &Waiver, rule: &str, account: &str, domain: Option<&str>) -> bool {
        let matches = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        waiver.rule == rule
            && matches(&waiver.account, Some(account))
            && matches(&waiver.domain, domain)
    }

    #[test]
    fn a_waiver_holds_on_its_last_day_and_not_the_day_after() {
        let waiver = waiver("disabled-connector", None, Some("a.example"), "2027-01-31");
        assert!(!waiver.is_expired(at("2027-01-31T23:59:59Z")));
        assert!(waiver.is_expired(at("2027-02-01T00:00:00Z")));
    }

    #[test]
    fn the_same_waiver_twice_is_refused_with_the_position_of_the_first() {
        let mut waivers = Waivers::default();
        let one = |account, domain, expires| waiver("no-connector", account, domain, expires);
        assert_eq!(waivers.add(one(None, None, "2027-01-31")), Ok(()));
        assert_eq!(waivers.add(one(Some("a"), None, "2027-01-31")), Ok(()));
        assert_eq!(
            waivers.add(one(Some("a"), Some("x.example"), "2027-01-31")),
            Ok(())
        );
        assert_eq!(waivers.add(one(Some("a"), None, "2028-12-31")), Err(1));
        assert_eq!(waivers.len(), 3);
    }

    #[test]
    fn a_domain_that_is_empty_or_a_star_is_not_every_domain() {
        let waivers: Waivers = [waiver("no-connector", None, None, "2027-01-31")]
            .into_iter()
            .collect();
        for domain in [None, Some(""), Some("*")] {
            let found: Vec<_> = waivers.matching("no-connector", "*", domain).collect();
            assert_eq!(found, [0], "{domain:?} counts once");
        }
    }

    fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
        proptest::option::of(proptest::sample::select(names))
    }

    const RULES: &[&str] = &["no-connector", "disabled-connector"];
    const ACCOUNTS: &[&str] = &["a", "b", "*"];
    const DOMAINS: &[&str] = &["x.example", "y.example", ""];

    proptest! {
        #[test]
        fn looking_up_finds_what_walking_all_waivers_finds(
            written in proptest::collection::vec(
                (proptest::sample::select(RULES), one_of(ACCOUNTS), one_of(DOMAINS), proptest::bool::ANY), 0..30),
            rule in proptest::sample::select(RULES),
            account in proptest::sample::select(ACCOUNTS),
            domain in one_of(DOMAINS),
        ) {
            let now = at("2026-11-21T10:15:00Z");
            let waivers: Waivers = written
                .into_iter()
                .map(|(rule, account, domain, expired)| {
                    waiver(rule, account, domain, if expired { "2026-11-20" } else { "2026-11-21" })
                })
                .collect();
            let all = || (0..waivers.len()).filter(|&n| means(&waivers[n], rule, account, domain));
            let mut found: Vec<_> = waivers.matching(rule, account, domain).collect();
            found.sort_unstable();
            prop_assert_eq!(found, all().collect::<Vec<_>>());
            prop_assert_eq!(
                waivers.holding(rule, account, domain, now),
                all().find(|&n| !waivers[n].is_expired(now))
            );
        }
    }
}
