//! A connector that cannot be judged, because what it says of itself is not understood.

use super::controls::{ISO_A_8_9, NIST_CA_7, NIST_CM_6, SOC2_CC7_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::model::{Connector, Field};
use crate::severity::Severity;
use crate::text::shortened;

/// See the module.
pub const RULE: Rule = Rule {
    id: "unknown-value",
    title: "Unrecognised value",
    severity: Severity::Medium,
    topic: Topic::Clarity,
    basis: Basis::Account,
    mandatory: None,
    what: "The connector's ID, domain, `enabled`, status or FedRAMP setting is absent, null or unrecognised. \
           One finding per connector, naming the fields.",
    why: "The other rules do not judge a value they do not recognise. Treating it as false, or as fine, would be a guess.",
    remedy: "Check the connector in the dashboard. If the API returns something new, a newer version of this \
             program may recognise it.",
    fix: Fix::Manual,
    controls: &[NIST_CM_6, NIST_CA_7, ISO_A_8_9, SOC2_CC7_1],
    judges: |_, _| true,
    judge: Judge::Connector(judge),
};

fn judge(_: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let fields = [
        oddity("id", &connector.id),
        oddity("email_domain", &connector.email_domain),
        oddity("enabled", &connector.enabled),
        oddity("verification.status", &connector.verification.status),
        oddity("use_fedramp_language", &connector.use_fedramp_language),
    ];
    let odd: Vec<_> = fields.into_iter().flatten().collect();
    (!odd.is_empty()).then(|| Hit::new(odd.join("; ")))
}

/// The longest value that a message repeats, in characters.
const LONGEST_VALUE: usize = 60;

/// What is odd about a field, with the value where it has one.
fn oddity<T>(name: &str, field: &Field<T>) -> Option<String> {
    let oddity = field.oddity()?;
    let Field::Unrecognised(value) = field else {
        return Some(format!("{name} is {oddity}"));
    };
    let value = value.to_string();
    let value = shortened(&value, LONGEST_VALUE);
    Some(format!("{name} is {oddity}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    #[test]
    fn names_every_field_that_is_not_understood() {
        let case = Case::read(json!([
            {"id": null, "enabled": "yes", "verification": {"status": "superseded"}, "use_fedramp_language": false},
            "not an object",
        ]));
        assert_eq!(
            case.said_by(&RULE),
            [
                "id is null; email_domain is absent; enabled is unrecognised: \"yes\"; verification.status is unrecognised: \"superseded\"",
                "id is absent; email_domain is absent; enabled is absent; verification.status is absent; use_fedramp_language is absent",
            ]
        );
    }

    #[test]
    fn keeps_silent_on_a_short_id_absent_times_and_new_fields() {
        let case = Case::read(json!([{
            "id": "023e105f4ecef8ad9ca31a8372d0c35", "email_domain": "a.example", "enabled": true,
            "use_fedramp_language": false, "verification": {"status": "verified"}, "updated_on": "soon", "new": 1,
        }]));
        assert!(case.judged_by(&RULE).is_empty());
    }
}
