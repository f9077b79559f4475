//! A connector that nobody signs in through.

use super::controls::{CIS_5_6, CIS_6_7, ISO_A_5_16, NIST_AC_2, NIST_IA_2, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::model::{Connector, Status};
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "disabled-connector",
    title: "Connector disabled",
    severity: Severity::Medium,
    topic: Topic::Enablement,
    basis: Basis::Account,
    mandatory: None,
    what: "The connector's `enabled` is false.",
    why: "Members of the domain sign in with passwords and bypass the identity provider: its second factor, \
          conditional access and offboarding do not apply to them.",
    remedy: "Verify the domain if necessary, test the identity provider with one member, then enable the \
             connector. Keep an account API token with the permission SSO Connector Write (labelled Edit in \
             the dashboard) for emergencies.",
    fix: Fix::Enable,
    controls: &[
        NIST_IA_2, NIST_AC_2, ISO_A_5_16, SOC2_CC6_1, CIS_5_6, CIS_6_7,
    ],
    judges: |_, connector| connector.is_some_and(|connector| connector.enabled.known().is_some()),
    judge: Judge::Connector(judge),
};

fn judge(_: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    connector.is_disabled().then(|| {
        let state = match connector.verification.status.known() {
            Some(Status::Verified) => "the domain is verified",
            Some(_) => "the domain is not verified either",
            None => "it is unknown whether the domain is verified",
        };
        Hit::new(format!("disabled: members fall back to passwords; {state}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_on_false_and_on_nothing_else() {
        let case = Case::read(json!([
            {"enabled": false, "verification": {"status": "verified"}},
            {"enabled": false, "verification": {"status": "failed"}},
            {"enabled": false, "verification": {"status": "superseded"}},
            {"enabled": true},
            {"enabled": null},
            {"enabled": "false"},
            {"enabled": 0},
            {},
        ]));
        assert_eq!(
            case.said_by(&RULE),
            [
                "disabled: members fall back to passwords; the domain is verified",
                "disabled: members fall back to passwords; the domain is not verified either",
                "disabled: members fall back to passwords; it is unknown whether the domain is verified",
            ]
        );
    }
}
