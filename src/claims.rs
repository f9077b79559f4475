//! Which domains accounts claim, for findings that depend on several of them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::dns::KnownCodes;
use crate::finding::KnownFinding;
use crate::model::{Connector, canonical_domain, domain_hash};

/// The domains that accounts claimed when they were last read in full: an index by hash.
#[derive(Debug, Default)]
pub struct Claims(HashSet<u64>);

impl Claims {
    /// Adds the domains of an account's connectors.
    pub fn add(&mut self, connectors: &[Connector]) {
        let domains = connectors.iter().filter_map(Connector::canonical_domain);
        self.0.extend(domains.map(|domain| domain_hash(&domain)));
    }

    /// Adds the domains of an account's findings about shared domains: what was found since it was last read in full, in
    /// a part of it, may be there still.
    pub fn add_shared(&mut self, findings: &[KnownFinding<'_>]) {
        let shared = findings.iter().filter(|finding| finding.is_shared());
        let domains = shared.map(|finding| canonical_domain(&finding.email_domain));
        self.0.extend(domains.map(|domain| domain_hash(&domain)));
    }

    /// Whether one of the accounts claimed a domain.
    pub fn hold(&self, canonical_domain: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&domain_hash(canonical_domain))
    }
}

/// What earlier runs know of the accounts as a whole, for findings that depend on several of them.
#[derive(Debug, Default)]
pub struct KnownElsewhere {
    /// The domains of accounts that this run did not read in full: what is shared with them may be shared still.
    pub unread: Claims,
    /// The domains of accounts that are removed since.
    pub removed: Claims,
    /// Whether the run that is carried on was completed after this one had begun: then what this one's lists no longer
    /// name says nothing.
    pub lists_are_old: bool,
    /// Whether each account of this run was ever read in full before, by position.
    pub read_before: Vec<bool>,
    /// The domains shared in this run that accounts of it claimed already when they were last read in full, where that
    /// was before the run that is compared with.
    pub claimed_unread: ClaimsOfAccounts,
    /// The codes of all connectors of this run and those before it.
    pub codes: KnownCodes,
}

/// The domains that accounts claimed when they were last read in full, with when that was: an index by hash.
#[derive(Debug, Default)]
pub struct ClaimsOfAccounts(HashMap<u64, EarliestClaims>);

/// Of one domain.
#[derive(Debug)]
struct EarliestClaims {
    /// The account that was read first, and when.
    first: (DateTime<Utc>, usize),
    /// When the next account was.
    next: Option<DateTime<Utc>>,
}

impl ClaimsOfAccounts {
    /// Adds what an account claimed when it was last read in full.
    pub fn add(&mut self, domain: u64, position: usize, read_at: DateTime<Utc>) {
        let claim = (read_at, position);
        let claims = self.0.entry(domain).or_insert(EarliestClaims {
            first: claim,
            next: None,
        });
        if claims.first.1 != position {
            let (earlier, later) = (claims.first.min(claim), claims.first.max(claim));
            claims.first = earlier;
            claims.next = Some(claims.next.map_or(later.0, |next| next.min(later.0)));
        }
    }

    /// Whether an account other than the one at a position was seen to claim a domain, up to a moment.
    pub fn elsewhere(&self, canonical_domain: &str, position: usize, until: DateTime<Utc>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Some(claims) = self.0.get(&domain_hash(canonical_domain)) else {
            return false;
        };
        let (first, of) = claims.first;
        let earliest = if of == position {
            claims.next
        } else {
            Some(first)
        };
        earliest.is_some_and(|earliest| earliest <= until)
    }
}

/// The domains that the connectors of an account claim, put in order only where somebody asks.
#[derive(Debug)]
pub struct OwnClaims<'a> {
    connectors: &'a [Connector],
    /// For each domain the ids of its connectors; an empty one for each that has none.
    by_domain: Option<HashMap<Cow<'a, str>, Vec<Cow<'a, str>>>>,
}

/// An account's own claims to one domain.
#[derive(Debug, Clone, Copy)]
pub struct OwnClaim {
    /// With how many connectors.
    pub connectors: usize,
    /// Whether the connector in question is one of them.
    pub is_there: bool,
}

impl<'a> OwnClaims<'a> {
    /// Of an account's connectors.
    pub fn of(connectors: &'a [Connector]) -> Self {
        Self {
            connectors,
            by_domain: None,
        }
    }

    /// The claims to a domain, and whether the connector with an id, or one without, is among them.
    pub fn to(&mut self, connector_id: &str, canonical_domain: &str) -> OwnClaim {
        let connectors = self.connectors;
        let by_domain = self.by_domain.get_or_insert_with(|| {
            let mut by_domain: HashMap<_, Vec<_>> = HashMap::new();
            for connector in connectors {
                if let Some(domain) = connector.canonical_domain() {
                    let ids = by_domain.entry(domain).or_default();
                    ids.push(connector.id.shown(""));
                }
            }
            by_domain.values_mut().for_each(|ids| ids.sort_unstable());
            by_domain
        });
        let ids = by_domain
            .get(canonical_domain)
            .map_or(&[][..], Vec::as_slice);
        let found = ids.binary_search_by(|id| id.as_ref().cmp(connector_id));
        OwnClaim {
            connectors: ids.len(),
            is_there: found.is_ok(),
        }
    }
}
