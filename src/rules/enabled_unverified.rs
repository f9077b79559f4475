//! A connector that signs members in for a domain nobody has shown to own.

use super::controls::{CIS_6_7, ISO_A_8_5, NIST_AC_2, NIST_IA_2, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic, txt_record};
use crate::model::Connector;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "enabled-unverified",
    title: "Enabled without a verified domain",
    severity: Severity::Critical,
    topic: Topic::Verification,
    basis: Basis::Account,
    mandatory: None,
    what: "The connector is enabled, and its domain's status is not `verified`.",
    why: "An enabled connector decides who signs in for every address of the domain. While the domain is not \
          verified, nothing proves that the account owns it. The API refuses to enable such a connector, so \
          something changed afterwards, or the status is one this program does not know.",
    remedy: "Disable the connector, publish its TXT record, begin verification, and enable it once it is verified.",
    fix: Fix::Disable,
    controls: &[NIST_IA_2, NIST_AC_2, ISO_A_8_5, SOC2_CC6_1, CIS_6_7],
    judges: |_, connector| connector.is_some_and(|connector| connector.enabled.known().is_some()),
    judge: Judge::Connector(judge),
};

fn judge(_: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    (connector.is_enabled() && !connector.is_verified()).then(|| {
        let message = format!(
            "enabled, but its domain is not verified (status: {})",
            connector.verification.status.shown("unknown")
        );
        Hit {
            remedy: txt_record::remedy_of_enabled(connector),
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
    fn fires_on_an_enabled_connector_that_is_not_verified() {
        for (status, shown) in [
            (json!("pending"), "pending"),
            (json!("superseded"), "superseded"),
            (json!(null), "unknown"),
        ] {
            let case = Case::read(json!([{"enabled": true, "verification": {"status": status}}]));
            assert_eq!(
                case.said_by(&RULE),
                [format!(
                    "enabled, but its domain is not verified (status: {shown})"
                )]
            );
        }
    }

    #[test]
    fn keeps_silent_on_verified_disabled_and_unknown_ones() {
        let case = Case::read(json!([
            {"enabled": true, "verification": {"status": "verified"}},
            {"enabled": false, "verification": {"status": "failed"}},
            {"enabled": null, "verification": {"status": "failed"}},
            {"enabled": "true", "verification": {"status": "failed"}},
        ]));
        assert!(case.judged_by(&RULE).is_empty());
    }
}
