//! What people vouch for beside what can be read: that a control is met, and until when a finding will be fixed.

use std::ops::Deref;

use chrono::{DateTime, NaiveDate, Utc};

use super::waivers::{EXPIRING_DAYS, Targets};

/// Somebody's word that a control is met, where no answer of the API can show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The control, as whoever wrote it calls it.
    pub control: String,
    /// What is attested.
    pub statement: String,
    /// Who attests it.
    pub by: String,
    /// The day on which it was attested.
    pub on: NaiveDate,
    /// The last day on which it holds, in UTC.
    pub expires: NaiveDate,
}

impl Attestation {
    /// Whether it no longer holds: from the day after its last.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now.date_naive() > self.expires
    }

    /// Whether it still holds and runs out within [`EXPIRING_DAYS`].
    pub fn is_expiring(&self, now: DateTime<Utc>) -> bool {
        let left = (self.expires - now.date_naive()).num_days();
        (0..=EXPIRING_DAYS).contains(&left)
    }
}

/// By when findings will be fixed, and by whom. It waives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remediation {
    /// The rule whose findings it means.
    pub rule: &'static str,
    /// The account, or `None` for every one.
    pub account: Option<String>,
    /// The canonical domain, or `None` for every one.
    pub domain: Option<String>,
    /// Who fixes it.
    pub owner: String,
    /// The last day by which it is to be fixed, in UTC.
    pub due: NaiveDate,
    /// What else there is to say; may be empty.
    pub note: String,
}

impl Remediation {
    /// Whether its day has passed.
    pub fn is_past(&self, now: DateTime<Utc>) -> bool {
        now.date_naive() > self.due
    }
}

/// Remediations in the order of the file, no two of them for the same rule, account and domain.
#[derive(Debug, Clone, Default)]
pub struct Remediations {
    list: Vec<Remediation>,
    index: Targets,
}

impl Remediations {
    /// Adds one behind the others.
    ///
    /// # Errors
    /// There is one for the same rule, account and domain already: its position.
    pub fn add(&mut self, remediation: Remediation) -> Result<(), usize> {
        let Remediation {
            rule,
            account,
            domain,
            ..
        } = &remediation;
        let position = self.list.len();
        self.index
            .add(rule, account.as_deref(), domain.as_deref(), position)?;
        self.list.push(remediation);
        Ok(())
    }

    /// Those of them that are to be kept, in their order.
    pub fn only(&self, keep: impl Fn(&Remediation) -> bool) -> Self {
        let mut kept = Self::default();
        for remediation in self.list.iter().filter(|remediation| keep(remediation)) {
            // No two of them are alike, as no two of all.
            let _ = kept.add(remediation.clone());
        }
        kept
    }

    /// The position of the one that means a finding; of several the one that is due first.
    pub fn of(&self, rule: &str, account: &str, canonical_domain: Option<&str>) -> Option<usize> {
        let matching = self.index.matching(rule, account, canonical_domain);
        matching.min_by_key(|&position| (self.list[position].due, position))
    }
}

impl Deref for Remediations {
    type Target = [Remediation];

    fn deref(&self) -> &[Remediation] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remediation(account: Option<&str>, domain: Option<&str>, due: &str) -> Remediation {
        Remediation {
            rule: "disabled-connector",
            account: account.map(str::to_owned),
            domain: domain.map(str::to_owned),
            owner: String::new(),
            due: due.parse().unwrap(),
            note: String::new(),
        }
    }

    #[test]
    fn the_one_that_is_due_first_counts() {
        let mut all = Remediations::default();
        assert_eq!(all.add(remediation(None, None, "2027-03-01")), Ok(()));
        let of_account = remediation(Some("a"), None, "2027-02-01");
        assert_eq!(all.add(of_account.clone()), Ok(()));
        assert_eq!(all.add(of_account), Err(1));
        assert_eq!(
            all.of("disabled-connector", "a", Some("x.example")),
            Some(1)
        );
        assert_eq!(all.of("disabled-connector", "b", None), Some(0));
        assert_eq!(all.of("no-connector", "a", None), None);
    }

    #[test]
    fn a_day_is_past_from_the_day_after() {
        let one = remediation(None, None, "2027-01-31");
        assert!(!one.is_past("2027-01-31T23:59:59Z".parse().unwrap()));
        assert!(one.is_past("2027-02-01T00:00:00Z".parse().unwrap()));
    }
}
