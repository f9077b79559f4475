//! The domains that an account may have.

use std::collections::HashSet;

use crate::model::canonical_domain;

/// Domains, and all domains below some: `agency.example` is itself and nothing else, `*.agency.example` is what stands
/// below it and not the domain itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedDomains {
    exactly: HashSet<String>,
    below: HashSet<String>,
    /// The length of the longest domain of `below`, beyond which no parent needs to be looked up.
    longest: usize,
}

impl AllowedDomains {
    fn add(&mut self, pattern: &str) {
        match pattern.trim().strip_prefix("*.") {
            None => {
                self.exactly.insert(canonical_domain(pattern).into_owned());
            }
            Some(parent) => {
                let parent = canonical_domain(parent);
                self.longest = self.longest.max(parent.len());
                self.below.insert(parent.into_owned());
            }
        }
    }

    /// Whether a canonical domain is among them.
    pub fn contains(&self, domain: &str) -> bool {
        if self.exactly.contains(domain) {
            return true;
        }
        // The parents of a.b.example, shortest first: example, b.example.
        domain
            .rmatch_indices('.')
            .map(|(dot, _)| (dot, &domain[dot + 1..]))
            .take_while(|(_, parent)| parent.len() <= self.longest)
            .any(|(dot, parent)| dot > 0 && self.below.contains(parent))
    }
}

/// From domains and patterns as they are written.
impl<'a> FromIterator<&'a str> for AllowedDomains {
    fn from_iter<I: IntoIterator<Item = &'a str>>(patterns: I) -> Self {
        let mut all = Self::default();
        for pattern in patterns {
            all.add(pattern);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_with_a_star_means_what_stands_below_and_not_the_domain_itself() {
        let below: AllowedDomains = ["*.Agency.example."].into_iter().collect();
        for (domain, expected) in [
            ("a.agency.example", true),
            ("a.b.agency.example", true),
            ("agency.example", false),
            ("myagency.example", false),
            (".agency.example", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(below.contains(domain), expected, "{domain}");
        }
        let exactly: AllowedDomains = ["Agency.EXAMPLE"].into_iter().collect();
        assert!(exactly.contains("agency.example") && !exactly.contains("a.agency.example"));
    }

    #[test]
    fn everything_below_a_top_level_domain_can_be_allowed() {
        let allowed: AllowedDomains = ["*.gov"].into_iter().collect();
        assert!(allowed.contains("agency.gov") && allowed.contains("a.b.gov"));
        assert!(!allowed.contains("gov") && !allowed.contains("agency.gov.example"));
    }

    /// Whether a pattern means a domain, as its text says.
    fn means(pattern: &str, domain: &str) -> bool {
        match pattern.strip_prefix("*.") {
            None => domain == pattern,
            Some(parent) => domain
                .strip_suffix(parent)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }

    proptest! {
        #[test]
        fn looking_up_finds_what_trying_every_pattern_finds(
            patterns in proptest::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,3}", 0..12),
            domain in "[ab.]{0,9}",
        ) {
            let allowed: AllowedDomains = patterns.iter().map(String::as_str).collect();
            prop_assert_eq!(
                allowed.contains(&domain),
                patterns.iter().any(|pattern| means(pattern, &domain))
            );
        }
    }
}
