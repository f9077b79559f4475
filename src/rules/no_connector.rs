//! An account that has no connector at all.

use super::controls::{CIS_5_6, CIS_6_7, NIST_IA_2};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::outcome::Outcome;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "no-connector",
    title: "Account without a connector",
    severity: Severity::Low,
    topic: Topic::Account,
    basis: Basis::Account,
    mandatory: None,
    what: "The account was read whole and has no connector.",
    why: "Its members sign in with passwords, or through a domain that another account manages. Either may be \
          intended; an auditor will ask.",
    remedy: "Create a connector for the members' e-mail domain, or waive the finding if another account manages it.",
    fix: Fix::Manual,
    controls: &[NIST_IA_2, CIS_5_6, CIS_6_7],
    judges: |subject, _| subject.evidence.outcome == Outcome::Read,
    judge: Judge::Account(judge),
};

fn judge(subject: &Subject<'_>) -> Vec<Hit> {
    let none = subject.evidence.outcome == Outcome::Read && subject.evidence.connectors.is_empty();
    if none {
        vec![Hit::new("the account has no SSO connector")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_on_an_empty_account_that_was_read_whole() {
        let mut case = Case::read(json!([]));
        assert_eq!(case.said_by(&RULE), ["the account has no SSO connector"]);
        for outcome in [Outcome::Incomplete, Outcome::Unread] {
            case.evidence.outcome = outcome;
            assert!(case.judged_by(&RULE).is_empty(), "{outcome:?}");
        }
        assert!(Case::read(json!([{}])).judged_by(&RULE).is_empty());
    }
}
