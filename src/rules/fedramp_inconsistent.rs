//! One account whose connectors show different login texts.

use super::controls::{NIST_AC_8, NIST_CM_6};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::outcome::Outcome;
use crate::policy::FedrampExpectation;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "fedramp-inconsistent",
    title: "FedRAMP text differs within the account",
    severity: Severity::Low,
    topic: Topic::Fedramp,
    basis: Basis::Account,
    mandatory: None,
    what: "The policy expects `any`, and the FedRAMP text is on for some of the account's connectors and off \
           for others. One finding per account.",
    why: "Members of one organisation see different texts at login. If nobody has decided which is right, one \
          of them is probably a mistake.",
    remedy: "Decide which text the account must show, set it in the policy (`fedramp`), and set all connectors to it.",
    fix: Fix::Manual,
    controls: &[NIST_AC_8, NIST_CM_6],
    judges: |subject, _| {
        subject.evidence.outcome != Outcome::Unread
            && subject.policy.fedramp(&subject.account.id) == FedrampExpectation::Any
    },
    judge: Judge::Account(judge),
};

fn judge(subject: &Subject<'_>) -> Vec<Hit> {
    if subject.policy.fedramp(&subject.account.id) != FedrampExpectation::Any {
        return Vec::new();
    }
    let with = |wanted: bool| {
        let connectors = subject.evidence.connectors.iter();
        connectors
            .filter(|connector| connector.use_fedramp_language.known() == Some(&wanted))
            .count()
    };
    let (on, off) = (with(true), with(false));
    if on == 0 || off == 0 {
        return Vec::new();
    }
    vec![Hit::new(format!(
        "the FedRAMP text is on for {on} and off for {off} of its connectors"
    ))]
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_once_where_connectors_go_both_ways() {
        let both = json!([{"use_fedramp_language": true}, {"use_fedramp_language": false}, {"use_fedramp_language": false}]);
        let mut case = Case::read(both);
        assert_eq!(
            case.said_by(&RULE),
            ["the FedRAMP text is on for 1 and off for 2 of its connectors"]
        );
        case.policy.fedramp = FedrampExpectation::Required;
        assert!(case.judged_by(&RULE).is_empty());
    }

    #[test]
    fn unknown_settings_are_neither_on_nor_off() {
        let case =
            Case::read(json!([{"use_fedramp_language": true}, {"use_fedramp_language": null}, {}]));
        assert!(case.judged_by(&RULE).is_empty());
    }
}
