//! Which connectors a domain has: an index over a world's e-mail domains.

use super::seed::Id;
use std::collections::BTreeMap;

/// The connectors of each domain. Its keys are the domains with their labels from right to left, so that all domains
/// below one lie side by side.
#[derive(Default)]
pub(super) struct Domains(BTreeMap<Box<str>, Vec<Place>>);

/// Where a connector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The place of its account among the world's.
    pub(super) account: usize,
    pub(super) connector: Id,
}

impl Domains {
    /// `domain` in its form for comparing, as all domains here.
    pub(super) fn insert(&mut self, domain: &str, place: Place) {
        self.0.entry(reversed(domain)).or_default().push(place);
    }

    pub(super) fn remove(&mut self, domain: &str, place: Place) {
        let key = reversed(domain);
        if let Some(places) = self.0.get_mut(&key) {
            places.retain(|known| *known != place);
            if places.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// The connectors of this very domain.
    pub(super) fn at(&self, domain: &str) -> &[Place] {
        self.0.get(&reversed(domain)).map_or(&[], Vec::as_slice)
    }

    /// The connectors of all domains below this one; below the root, which is empty, are all.
    pub(super) fn below(&self, domain: &str) -> impl Iterator<Item = Place> {
        let start = match domain {
            "" => Box::default(),
            _ => format!("{}.", reversed(domain)).into_boxed_str(),
        };
        self.0
            .range(start.clone()..)
            .take_while(move |(key, _)| key.starts_with(&*start))
            .flat_map(|(_, places)| places)
            .copied()
    }
}

fn reversed(domain: &str) -> Box<str> {
    let labels: Vec<&str> = domain.rsplit('.').collect();
    labels.join(".").into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_its_connectors_and_those_below() {
        let mut domains = Domains::default();
        let place = |account| Place {
            account,
            connector: Id::of("x"),
        };
        for (account, domain) in [
            "corp.example",
            "eu.corp.example",
            "a.b.eu.corp.example",
            // Neighbours in the index that do not lie below.
            "corp-x.example",
            "corporate.example",
            "corp.example",
        ]
        .into_iter()
        .enumerate()
        {
            domains.insert(domain, place(account));
        }
        let below = |domains: &Domains, domain: &str| -> Vec<usize> {
            domains.below(domain).map(|place| place.account).collect()
        };
        assert_eq!(domains.at("corp.example"), [place(0), place(5)]);
        assert_eq!(below(&domains, "corp.example"), [1, 2]);
        assert_eq!(below(&domains, "b.eu.corp.example"), [2]);
        assert_eq!(below(&domains, "example").len(), 6);
        assert_eq!(below(&domains, "").len(), 6);
        assert_eq!(domains.at("example"), []);
        assert_eq!(below(&domains, "test"), [0; 0]);

        domains.remove("corp.example", place(0));
        assert_eq!(domains.at("corp.example"), [place(5)]);
        domains.remove("a.b.eu.corp.example", place(2));
        assert_eq!(below(&domains, "corp.example"), [1]);
        domains.remove("never.example", place(0));
    }
}
