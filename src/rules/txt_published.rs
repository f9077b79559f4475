//! A domain that is not verified although it publishes the connector's TXT record.

use super::controls::{ISO_A_8_9, NIST_CA_7, NIST_CM_6, SOC2_CC7_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic, txt_record};
use crate::dns::DnsTxt;
use crate::model::Connector;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "txt-published",
    title: "TXT record published, domain not verified",
    severity: Severity::Low,
    topic: Topic::Verification,
    basis: Basis::Dns,
    mandatory: None,
    what: "DNS was checked (`--check-dns`), the status is not `verified`, and the TXT record is published.",
    why: "Cloudflare stops looking for the record within two days. A record published later is only found when \
          verification is started again.",
    remedy: "Begin verification again.",
    fix: Fix::Verify,
    controls: &[NIST_CM_6, NIST_CA_7, ISO_A_8_9, SOC2_CC7_1],
    judges: |_, connector| {
        let dns_txt = connector.and_then(Connector::dns_txt);
        dns_txt.is_some_and(|txt| txt != DnsTxt::Unknown)
    },
    judge: Judge::Connector(judge),
};

fn judge(_: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let published = connector.dns_txt() == Some(DnsTxt::Match);
    (published && !connector.is_verified()).then(|| Hit {
        remedy: txt_record::remedy(connector),
        ..Hit::new("the TXT record is published, but the domain is not verified")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, with_dns};
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_where_only_verification_is_left_to_do() {
        for (status, fires) in [
            ("awaiting", true),
            ("failed", true),
            ("new", true),
            ("verified", false),
        ] {
            let connector = json!({"email_domain": "a.example", "verification": {"status": status, "code": "c=1"}});
            for txt in DnsTxt::ALL {
                let case = Case::of_connectors(vec![with_dns(&connector, txt, "")]);
                let fires = fires && txt == DnsTxt::Match;
                assert_eq!(!case.said_by(&RULE).is_empty(), fires, "{status} {txt:?}");
            }
        }
    }
}
