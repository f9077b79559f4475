//! How much each rule could judge: what tells "nothing found" from "not looked at".

use crate::rules::{Judge, RULES, Subject};

/// How much one rule could judge: connectors, or accounts where it judges these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// What it looked at.
    pub judged: u64,
    /// What it could not: it is off, the policy expects nothing, or what it needs was not read.
    pub not_judged: u64,
}

impl Judged {
    fn add(&mut self, is_judged: bool) {
        *(if is_judged {
            &mut self.judged
        } else {
            &mut self.not_judged
        }) += 1;
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.judged += other.judged;
        self.not_judged += other.not_judged;
    }
}

/// How much each rule could judge in an account, in the order of [`RULES`]. Connectors that could not be read cannot be
/// counted.
pub fn judged_by_rule(subject: &Subject<'_>) -> Vec<Judged> {
    let of_rule = |rule: &&crate::rules::Rule| {
        let is_in_force = subject.policy.is_in_force(rule);
        let mut judged = Judged::default();
        match rule.judge {
            Judge::Account(_) => judged.add(is_in_force && (rule.judges)(subject, None)),
            Judge::Connector(_) => {
                for connector in subject.evidence.connectors {
                    judged.add(is_in_force && (rule.judges)(subject, Some(connector)));
                }
            }
        }
        judged
    };
    RULES.iter().map(of_rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::policy::{FedrampExpectation, RuleSetting};
    use crate::rules::testing::Case;
    use serde_json::json;

    fn of(case: &Case, id: &str) -> (u64, u64) {
        let position = RULES.iter().position(|rule| rule.id == id).unwrap();
        let judged = case.with_subject(judged_by_rule)[position];
        (judged.judged, judged.not_judged)
    }

    #[test]
    fn what_is_not_known_not_expected_or_off_is_not_judged() {
        let mut case = Case::read(json!([
            {"enabled": true, "use_fedramp_language": true, "email_domain": "a.example", "verification": {"status": "verified"}},
            {"enabled": false, "use_fedramp_language": null, "verification": {"status": "pending"}},
            {"verification": {"status": "odd"}},
        ]));
        assert_eq!(of(&case, "disabled-connector"), (2, 1));
        assert_eq!(of(&case, "unverified-domain"), (2, 1));
        assert_eq!(
            of(&case, "stale-verification"),
            (1, 2),
            "since when one is pending is not known"
        );
        assert_eq!(of(&case, "duplicate-domain"), (1, 2));
        assert_eq!(of(&case, "unexpected-domain"), (0, 3));
        assert_eq!(of(&case, "missing-domain"), (0, 1));
        assert_eq!(of(&case, "unknown-value"), (3, 0));
        assert_eq!(
            of(&case, "fedramp-language"),
            (0, 3),
            "the policy sets no expectation"
        );
        assert_eq!(of(&case, "fedramp-inconsistent"), (1, 0));
        case.policy.fedramp = FedrampExpectation::Required;
        assert_eq!(of(&case, "fedramp-language"), (1, 2));
        assert_eq!(of(&case, "fedramp-inconsistent"), (0, 1));
        case.policy
            .rules
            .insert("disabled-connector", RuleSetting::Off);
        assert_eq!(of(&case, "disabled-connector"), (0, 3));
        case.evidence.outcome = Outcome::Unread;
        case.evidence.connectors.clear();
        assert_eq!(of(&case, "no-connector"), (0, 1));
        assert_eq!(of(&case, "unread-account"), (1, 0));
        assert_eq!(of(&case, "unverified-domain"), (0, 0));
    }

    #[test]
    fn a_rule_can_say_something_wherever_it_fires() {
        for enabled in [json!(true), json!(false), json!(null), json!("odd")] {
            for status in ["verified", "pending", "awaiting", "failed", "odd"] {
                for fedramp in [json!(true), json!(false), json!(null)] {
                    let mut case = Case::read(json!([{
                        "id": "x", "email_domain": "a.example", "enabled": enabled, "use_fedramp_language": fedramp,
                        "verification": {"status": status}, "created_on": "2020-01-01T00:00:00Z",
                    }]));
                    for expected in [
                        FedrampExpectation::Any,
                        FedrampExpectation::Required,
                        FedrampExpectation::Forbidden,
                    ] {
                        case.policy.fedramp = expected;
                        for rule in RULES {
                            let fired = !case.judged_by(rule).is_empty();
                            assert!(
                                !fired || of(&case, rule.id).0 > 0,
                                "{} on {enabled} {status} {fedramp}",
                                rule.id
                            );
                        }
                    }
                }
            }
        }
    }
}
