//! A domain that the account should sign in through its identity provider, and does not.

use super::controls::{CIS_6_7, ISO_A_5_16, NIST_AC_2, NIST_IA_2, SOC2_CC6_1};
use super::{Basis, Hit, Judge, Rule, Severity, Subject, Topic};
use crate::evidence::Outcome;

/// See the module.
pub const RULE: Rule = Rule {
    id: "missing-domain",
    title: "Expected domain not in force",
    severity: Severity::High,
    topic: Topic::Account,
    basis: Basis::Account,
    what: "A domain of the account's `domains` has no connector that is both enabled and verified. One finding a domain.",
    why: "The policy says that members of the domain sign in through the identity provider; they do not.",
    remedy: "Create the connector if there is none, verify its domain, and enable it.",
    controls: &[NIST_IA_2, NIST_AC_2, ISO_A_5_16, SOC2_CC6_1, CIS_6_7],
    judge: Judge::Account(judge),
};

fn judge(subject: &Subject<'_>) -> Vec<Hit> {
    // Of an account that was not read whole nobody can say that something is missing.
    if subject.evidence.outcome != Outcome::Read {
        return Vec::new();
    }
    let expected = subject
        .policy
        .account(&subject.account.id)
        .map_or(&[][..], |expectation| &expectation.domains);
    let hit = |domain: &String| {
        let of_domain = || {
            let connectors = subject.evidence.connectors.iter();
            connectors.filter(|connector| connector.canonical_domain().as_deref() == Some(domain))
        };
        let in_force = of_domain().any(|c| c.is_verified() && c.enabled.known() == Some(&true));
        let state = if of_domain().next().is_none() {
            "no connector"
        } else {
            "no connector that is enabled and verified"
        };
        (!in_force).then(|| Hit {
            domain: Some(domain.clone()),
            ..Hit::new(format!(
                "the policy expects {domain}, and the account has {state} for it"
            ))
        })
    };
    expected.iter().filter_map(hit).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, ID};
    use super::*;
    use crate::policy::AccountExpectation;
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
                "the policy expects off.example, and the account has no connector that is enabled and verified for it",
                "the policy expects none.example, and the account has no connector for it"
            ]
        );
        case.evidence.outcome = Outcome::Incomplete;
        assert!(case.judged_by(&RULE).is_empty());
    }
}
