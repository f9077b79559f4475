//! A domain that the account is not expected to claim.

use super::controls::{ISO_A_8_9, NIST_CM_6, SOC2_CC7_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::model::Connector;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "unexpected-domain",
    title: "Domain not expected here",
    severity: Severity::Medium,
    topic: Topic::Account,
    basis: Basis::Account,
    mandatory: None,
    what: "The policy gives the account `allow_domains`, and the connector's domain matches none of them.",
    why: "A connector for an unplanned domain is a mistake, a leftover test, or someone's attempt to control \
          how another organisation's members sign in.",
    remedy: "Delete the connector, or add the domain to the account's `allow_domains`.",
    fix: Fix::Decision,
    controls: &[NIST_CM_6, ISO_A_8_9, SOC2_CC7_1],
    judges: |subject, connector| {
        let expectation = subject.policy.account(&subject.account.id);
        expectation.is_some_and(|expectation| expectation.allow_domains.is_some())
            && connector.is_some_and(|connector| connector.canonical_domain().is_some())
    },
    judge: Judge::Connector(judge),
};

fn judge(subject: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let allowed = subject
        .policy
        .account(&subject.account.id)?
        .allow_domains
        .as_ref()?;
    let domain = connector.canonical_domain()?;
    (!allowed.contains(&domain)).then(|| {
        Hit::new(format!(
            "the policy does not allow {domain} for this account"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, ID};
    use super::*;
    use crate::policy::AccountExpectation;
    use serde_json::json;

    #[test]
    fn fires_on_domains_that_match_no_pattern() {
        let mut case = Case::read(json!([
            {"email_domain": "Agency.example"}, {"email_domain": "a.agency.example"}, {"email_domain": "evil.example"}, {},
        ]));
        assert!(case.judged_by(&RULE).is_empty());
        let expectation = AccountExpectation {
            allow_domains: Some(["agency.example", "*.agency.example"].into_iter().collect()),
            ..AccountExpectation::default()
        };
        case.policy.accounts.insert(ID.to_owned(), expectation);
        assert_eq!(
            case.said_by(&RULE),
            ["the policy does not allow evil.example for this account"]
        );
    }
}
