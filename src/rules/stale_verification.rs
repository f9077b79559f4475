//! A verification that has been pending for longer than Cloudflare polls.

use super::controls::{ISO_A_8_9, NIST_CA_7, NIST_CM_6, SOC2_CC7_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic, txt_record};
use crate::model::{Connector, Status};
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "stale-verification",
    title: "Verification pending for too long",
    severity: Severity::Medium,
    topic: Topic::Verification,
    basis: Basis::Account,
    mandatory: None,
    what: "The status is `pending`, and the connector was last updated (or created, if no update is known) \
           more than `pending_days` ago; the policy sets it, 2 by default.",
    why: "Cloudflare stops looking for the TXT record within two days. A verification still pending after that \
          is waiting for nothing, and nobody has noticed.",
    remedy: "Check that the TXT record is published at the e-mail domain, then begin verification again.",
    fix: Fix::VerifyAgain,
    controls: &[NIST_CM_6, NIST_CA_7, ISO_A_8_9, SOC2_CC7_1],
    judges: |_, connector| {
        // How long a verification that is not pending has lasted does not matter.
        connector.is_some_and(|connector| match connector.verification.status.known() {
            Some(Status::Pending) => connector.changed_at().is_some(),
            status => status.is_some(),
        })
    },
    judge: Judge::Connector(judge),
};

fn judge(subject: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let pending = connector.verification.status.known() == Some(&Status::Pending);
    let age = subject.now - connector.changed_at().filter(|_| pending)?;
    let allowed = chrono::Duration::days(i64::from(subject.policy.thresholds.pending_days));
    (age > allowed).then(|| {
        // Rounded down to a tenth, and never so that it looks as if it were within the limit.
        let tenths = (age.num_minutes() * 10 / (24 * 60)).max(allowed.num_days() * 10 + 1);
        let message = format!(
            "pending for {}.{} days (limit {})",
            tenths / 10,
            tenths % 10,
            allowed.num_days()
        );
        Hit {
            // What DNS holds says more than the rule's own words.
            remedy: txt_record::remedy_of_stale(connector),
            ..Hit::new(message)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_once_the_allowed_days_are_over() {
        let case = Case::read(json!([
            {"verification": {"status": "pending"}, "updated_on": "2026-11-19T10:14:59Z", "created_on": "2026-11-21T00:00:00Z"},
            {"verification": {"status": "pending"}, "created_on": "2026-11-01T10:15:00Z"},
        ]));
        assert_eq!(
            case.said_by(&RULE),
            [
                "pending for 2.1 days (limit 2)",
                "pending for 20.0 days (limit 2)"
            ]
        );
    }

    #[test]
    fn keeps_silent_before_on_other_states_and_where_no_time_is_known() {
        let mut case = Case::read(json!([
            {"verification": {"status": "pending"}, "updated_on": "2026-11-19T10:15:00Z"},
            {"verification": {"status": "failed"}, "updated_on": "2025-01-01T00:00:00Z"},
            {"verification": {"status": "pending"}, "updated_on": "soon"},
            {"verification": {"status": "pending"}},
        ]));
        assert!(case.judged_by(&RULE).is_empty());
        case.policy.thresholds.pending_days = 1;
        assert_eq!(case.judged_by(&RULE).len(), 1);
    }
}
