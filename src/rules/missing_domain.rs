//! A domain that the account should sign in through its identity provider, and does not.

use std::borrow::Cow;
use std::collections::HashMap;

use super::controls::{CIS_6_7, ISO_A_5_16, NIST_AC_2, NIST_IA_2, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::outcome::Outcome;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "missing-domain",
    title: "Required domain missing or inactive",
    severity: Severity::High,
    topic: Topic::Account,
    basis: Basis::Account,
    mandatory: None,
    what: "A domain listed in the account's `domains` has no connector that is both enabled and verified. One finding per domain.",
    why: "The policy says that members of the domain sign in through the identity provider, but they do not.",
    remedy: "Create the connector if there is none, verify its domain, and enable it.",
    fix: Fix::Manual,
    controls: &[NIST_IA_2, NIST_AC_2, ISO_A_5_16, SOC2_CC6_1, CIS_6_7],
    judges: |subject, _| {
        let expectation = subject.policy.account(&subject.account.id);
        subject.evidence.outcome == Outcome::Read
            && expectation.is_some_and(|expectation| !expectation.domains.is_empty())
    },
    judge: Judge::Account(judge),
};

fn judge(subject: &Subject<'_>) -> Vec<Hit> {
    // Of an account that was not read in full nobody can say that something is missing.
    if subject.evidence.outcome != Outcome::Read {
        return Vec::new();
    }
    let Some(expectation) = subject.policy.account(&subject.account.id) else {
        return Vec::new();
    };
    if expectation.domains.is_empty() {
        return Vec::new();
    }
    // Whether a domain that has connectors has one in force.
    let mut in_force: HashMap<Cow<'_, str>, bool> = HashMap::new();
    for connector in subject.evidence.connectors {
        if let Some(domain) = connector.canonical_domain() {
            *in_force.entry(domain).or_default() |=
                connector.is_verified() && connector.is_enabled();
        }
    }
    let hit = |domain: &String| {
        let lacks = match in_force.get(domain.as_str()) {
            Some(true) => return None,
            Some(false) => "no enabled and verified connector",
            None => "no connector",
        };
        Some(Hit {
            domain: Some(domain.clone()),
            ..Hit::new(format!(
                "the policy requires {domain}, but the account has {lacks} for it"
            ))
        })
    };
    expectation.domains.iter().filter_map(hit).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, ID};
    use super::*;
    use crate::policy::AccountExpectation;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn fires_once_for_each_expected_domain_that_is_not_in_force() {
        let mut case = Case::read(json!([
            {"email_domain": "ON.example.", "enabled": true, "verification": {"status": "verified"}},
            {"email_domain": "off.example", "enabled": false, "verification": {"status": "verified"}},
        ]));
        assert!(case.judged_by(&RULE).is_empty());
        let expectation = AccountExpectation {
            domains: ["on.example", "off.example", "none.example"]
                .map(str::to_owned)
                .to_vec(),
            ..AccountExpectation::default()
        };
        case.policy.accounts.insert(ID.to_owned(), expectation);
        assert_eq!(
            case.said_by(&RULE),
            [
                "the policy requires off.example, but the account has no enabled and verified connector for it",
                "the policy requires none.example, but the account has no connector for it"
            ]
        );
        case.evidence.outcome = Outcome::Incomplete;
        assert!(case.judged_by(&RULE).is_empty());
    }

    proptest! {
        #[test]
        fn looking_up_finds_what_going_through_all_connectors_finds(
            connectors in proptest::collection::vec(("[A-Da-d]\\.example\\.?", any::<bool>(), any::<bool>()), 0..9),
            domains in proptest::sample::subsequence(vec!["a.example", "b.example", "c.example"], 0..=3),
        ) {
            let verified = |yes: bool| if yes { "verified" } else { "pending" };
            let answered: Vec<_> = connectors
                .iter()
                .map(|(domain, enabled, yes)| {
                    json!({"email_domain": domain, "enabled": enabled, "verification": {"status": verified(*yes)}})
                })
                .collect();
            let mut case = Case::read(answered.into());
            let expectation = AccountExpectation {
                domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
                ..AccountExpectation::default()
            };
            case.policy.accounts.insert(ID.to_owned(), expectation);
            let found: Vec<_> = case.judged_by(&RULE).into_iter().filter_map(|hit| hit.domain).collect();
            let in_force = |wanted: &&&str| {
                connectors.iter().any(|(domain, enabled, verified)| {
                    domain.to_lowercase().trim_end_matches('.') == **wanted && *enabled && *verified
                })
            };
            let missing: Vec<_> = domains.iter().filter(|domain| !in_force(domain)).copied().collect();
            prop_assert_eq!(found, missing);
        }
    }
}
