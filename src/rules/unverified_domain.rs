//! A domain that an account claims and has not shown to own.

use super::controls::{ISO_A_8_9, NIST_CM_6, NIST_IA_2, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic, txt_record};
use crate::model::{Connector, Status};
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "unverified-domain",
    title: "Domain not verified",
    severity: Severity::Medium,
    topic: Topic::Verification,
    basis: Basis::Account,
    mandatory: None,
    what: "The status is known and is not `verified`: high where it is `failed`, medium where it is `awaiting` or `pending`.",
    why: "Until its domain is verified, a connector is an unproven claim and cannot be enabled: members keep \
          signing in with passwords.",
    remedy: "Publish the connector's TXT record at the e-mail domain and begin verification; delete the connector if the \
             domain is not yours.",
    fix: Fix::Verify,
    controls: &[NIST_IA_2, NIST_CM_6, ISO_A_8_9, SOC2_CC6_1],
    judges: |_, connector| {
        connector.is_some_and(|connector| connector.verification.status.known().is_some())
    },
    judge: Judge::Connector(judge),
};

fn judge(_: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let status = *connector.verification.status.known()?;
    let (severity, message) = match status {
        Status::Verified => return None,
        Status::Failed => (
            Severity::High,
            "verification failed: Cloudflare did not find the TXT record in time",
        ),
        Status::Pending => (
            Severity::Medium,
            "not verified yet: Cloudflare is looking for the TXT record",
        ),
        Status::Awaiting => (
            Severity::Medium,
            "not verified: verification was never started",
        ),
    };
    Some(Hit {
        severity: Some(severity),
        remedy: txt_record::remedy(connector),
        ..Hit::new(message)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_high_on_failed_and_medium_on_the_others() {
        let case = Case::read(json!([
            {"verification": {"status": "failed"}},
            {"verification": {"status": "pending"}},
            {"verification": {"status": "awaiting"}},
        ]));
        let severities: Vec<_> = case
            .judged_by(&RULE)
            .into_iter()
            .filter_map(|hit| hit.severity)
            .collect();
        assert_eq!(
            severities,
            [Severity::High, Severity::Medium, Severity::Medium]
        );
    }

    #[test]
    fn the_remedy_names_the_record_where_it_is_known() {
        let case = Case::read(json!([
            {"email_domain": "a.example", "verification": {"status": "failed", "code": "cloudflare_dashboard_sso=1"}},
        ]));
        let remedy = case.judged_by(&RULE).remove(0).remedy.unwrap();
        assert!(
            remedy
                .starts_with("Publish the TXT record \"cloudflare_dashboard_sso=1\" at a.example"),
            "{remedy}"
        );
    }

    #[test]
    fn keeps_silent_on_verified_and_unknown_ones() {
        let case = Case::read(json!([
            {"verification": {"status": "verified"}},
            {"verification": {"status": "superseded"}},
            {"verification": null},
            {},
        ]));
        assert!(case.judged_by(&RULE).is_empty());
    }
}
