//! A domain that is not verified, and does not publish the connector's TXT record.

use super::controls::{ISO_A_8_9, NIST_CM_6, NIST_IA_2, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic, txt_record};
use crate::dns::DnsTxt;
use crate::model::Connector;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "txt-missing",
    title: "TXT record not published",
    severity: Severity::Medium,
    topic: Topic::Verification,
    basis: Basis::Dns,
    mandatory: None,
    what: "DNS was checked (`--check-dns`), the status is not `verified`, and the TXT record is absent or has \
           another value, or the domain does not exist. A failed lookup is never a finding.",
    why: "Cloudflare verifies a domain by the TXT record at the e-mail domain itself. Until it is there, \
          verification cannot succeed, however often it is started.",
    remedy: "Publish the connector's TXT record at the e-mail domain, then begin verification.",
    fix: Fix::Publish,
    controls: &[NIST_IA_2, NIST_CM_6, ISO_A_8_9, SOC2_CC6_1],
    judges: |_, connector| {
        let dns_txt = connector.and_then(Connector::dns_txt);
        dns_txt.is_some_and(|txt| txt != DnsTxt::Unknown)
    },
    judge: Judge::Connector(judge),
};

fn judge(_: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let message = match connector.dns_txt().filter(|_| !connector.is_verified())? {
        DnsTxt::Absent => "the domain does not publish the TXT record",
        DnsTxt::NxDomain => "the domain does not exist in DNS",
        DnsTxt::Different => "the domain publishes another connector's code instead of this one's",
        DnsTxt::Match | DnsTxt::Misspelt | DnsTxt::Misplaced | DnsTxt::Unknown => return None,
    };
    Some(Hit {
        remedy: txt_record::remedy(connector),
        ..Hit::new(message)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, with_dns};
    use super::*;
    use serde_json::json;

    #[test]
    fn fires_where_the_record_is_known_not_to_be_there() {
        for (status, fires) in [
            ("failed", true),
            ("pending", true),
            ("new", true),
            ("verified", false),
        ] {
            let connector = json!({"email_domain": "a.example", "verification": {"status": status, "code": "c=1"}});
            for txt in DnsTxt::ALL {
                let case = Case::of_connectors(vec![with_dns(&connector, txt, "")]);
                let bad = matches!(txt, DnsTxt::Absent | DnsTxt::NxDomain | DnsTxt::Different);
                assert_eq!(
                    !case.said_by(&RULE).is_empty(),
                    fires && bad,
                    "{status} {txt:?}"
                );
            }
        }
        assert!(
            Case::read(json!([{"verification": {"status": "failed"}}]))
                .said_by(&RULE)
                .is_empty()
        );
    }
}
