//! A login text that is not the one the policy expects.

use super::controls::{ISO_A_8_9, NIST_AC_8, NIST_CM_6};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::model::Connector;
use crate::policy::FedrampExpectation;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "fedramp-language",
    title: "FedRAMP text differs from policy",
    severity: Severity::High,
    topic: Topic::Fedramp,
    basis: Basis::Account,
    mandatory: None,
    what: "The policy expects the FedRAMP text to be `required` and it is off, or `forbidden` and it is on.",
    why: "The setting decides which text users see at login. FedRAMP accounts must show it, and others must \
          not claim it. It is only a text, not a FedRAMP authorisation.",
    remedy: "Set the connector's FedRAMP text to what the policy expects, or correct the policy.",
    fix: Fix::FedrampText,
    controls: &[NIST_AC_8, NIST_CM_6, ISO_A_8_9],
    judges: |subject, connector| {
        let known = |connector: &Connector| connector.use_fedramp_language.known().is_some();
        subject.policy.fedramp(&subject.account.id) != FedrampExpectation::Any
            && connector.is_some_and(known)
    },
    judge: Judge::Connector(judge),
};

fn judge(subject: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let on = *connector.use_fedramp_language.known()?;
    match subject.policy.fedramp(&subject.account.id) {
        FedrampExpectation::Required if !on => Some(Hit::new(
            "the FedRAMP text is off, but the policy requires it",
        )),
        FedrampExpectation::Forbidden if on => Some(Hit::new(
            "the FedRAMP text is on, but the policy forbids it",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, ID};
    use super::*;
    use crate::policy::AccountExpectation;
    use serde_json::json;

    #[test]
    fn judges_by_the_accounts_expectation_and_else_by_the_default() {
        let mut case = Case::read(json!([
            {"use_fedramp_language": true}, {"use_fedramp_language": false}, {"use_fedramp_language": null}, {},
        ]));
        assert!(case.judged_by(&RULE).is_empty());
        case.policy.fedramp = FedrampExpectation::Required;
        assert_eq!(
            case.said_by(&RULE),
            ["the FedRAMP text is off, but the policy requires it"]
        );
        let forbidden = AccountExpectation {
            fedramp: Some(FedrampExpectation::Forbidden),
            ..AccountExpectation::default()
        };
        case.policy.accounts.insert(ID.to_owned(), forbidden);
        assert_eq!(
            case.said_by(&RULE),
            ["the FedRAMP text is on, but the policy forbids it"]
        );
    }
}
