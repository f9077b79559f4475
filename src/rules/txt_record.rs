//! What has to be done about a connector's TXT record, by what DNS was seen to hold: words that several rules share.

use crate::dns::DnsTxt;
use crate::model::{Connector, Status};
use crate::text::shortened;

/// What is shown of a text that DNS holds, in characters.
const SHOWN: usize = 150;

/// What to do so that Cloudflare finds the record; `None` where domain or code are not known.
pub fn remedy(connector: &Connector) -> Option<String> {
    let (domain, code) = (connector.email_domain.known()?, connector.code()?);
    let last = "delete the connector if the domain is not yours";
    let Some(seen) = &connector.dns else {
        return Some(format!(
            "Publish the TXT record \"{code}\" at {domain}, then begin verification; {last}."
        ));
    };
    let detail = shortened(&seen.detail, SHOWN);
    Some(match seen.txt {
        DnsTxt::Match => match connector.verification.status.known() {
            Some(Status::Awaiting) => {
                format!("The TXT record is published at {domain}: begin verification.")
            }
            Some(Status::Pending) => format!(
                "The TXT record is published at {domain}: wait for Cloudflare to find it, and begin verification again if it is not verified after two days."
            ),
            _ => begin_again(domain),
        },
        DnsTxt::Misspelt => format!(
            "Replace the TXT record \"{detail}\" at {domain} with \"{code}\", then begin verification."
        ),
        DnsTxt::Misplaced => format!(
            "Move the TXT record \"{code}\" from {detail} to {domain} itself, then begin verification."
        ),
        DnsTxt::Different => format!(
            "Publish the TXT record \"{code}\" at {domain}, where \"{detail}\" is the code of another connector, then begin verification; {last}."
        ),
        DnsTxt::NxDomain => format!(
            "{domain} does not exist in DNS: {last}, or register the domain, publish the TXT record \"{code}\" and begin verification."
        ),
        DnsTxt::Unknown => format!(
            "Check the TXT record again: it is unknown whether \"{code}\" is published at {domain}. Once it is, begin verification; {last}."
        ),
        DnsTxt::Absent => format!(
            "Publish the TXT record \"{code}\" at {domain}, then begin verification; {last}."
        ),
    })
}

/// As [`remedy`], for a verification that has been in progress for too long.
pub fn remedy_of_stale(connector: &Connector) -> Option<String> {
    match connector.dns_txt()? {
        DnsTxt::Match => connector
            .email_domain
            .known()
            .map(|domain| begin_again(domain)),
        _ => remedy(connector),
    }
}

/// As [`remedy`], for a connector that is enabled meanwhile.
pub fn remedy_of_enabled(connector: &Connector) -> Option<String> {
    connector.dns.as_ref()?;
    let remedy = remedy(connector)?;
    Some(format!(
        "Disable the connector. {remedy} Enable it once it is verified."
    ))
}

fn begin_again(domain: &str) -> String {
    format!("The TXT record is published at {domain}: begin verification again.")
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_dns;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_remedy_fits_what_dns_holds() {
        let connector = json!({"email_domain": "a.example", "verification": {"status": "failed", "code": "cloudflare_dashboard_sso=1"}});
        let said = |txt| remedy(&with_dns(&connector, txt, "SEEN")).unwrap();
        insta::assert_snapshot!(DnsTxt::ALL.map(said).join("\n"), @r#"
        The TXT record is published at a.example: begin verification again.
        Publish the TXT record "cloudflare_dashboard_sso=1" at a.example, where "SEEN" is the code of another connector, then begin verification; delete the connector if the domain is not yours.
        Replace the TXT record "SEEN" at a.example with "cloudflare_dashboard_sso=1", then begin verification.
        Move the TXT record "cloudflare_dashboard_sso=1" from SEEN to a.example itself, then begin verification.
        Publish the TXT record "cloudflare_dashboard_sso=1" at a.example, then begin verification; delete the connector if the domain is not yours.
        a.example does not exist in DNS: delete the connector if the domain is not yours, or register the domain, publish the TXT record "cloudflare_dashboard_sso=1" and begin verification.
        Check the TXT record again: it is unknown whether "cloudflare_dashboard_sso=1" is published at a.example. Once it is, begin verification; delete the connector if the domain is not yours.
        "#);
        let unknown = json!({"email_domain": "a.example"});
        assert_eq!(remedy(&with_dns(&unknown, DnsTxt::Absent, "")), None);
        let of_status = |status: &str| {
            let connector = json!({"email_domain": "a.example", "verification": {"status": status, "code": "c=1"}});
            with_dns(&connector, DnsTxt::Match, "")
        };
        let (awaiting, pending) = (of_status("awaiting"), of_status("pending"));
        assert_eq!(
            remedy(&awaiting).unwrap(),
            "The TXT record is published at a.example: begin verification."
        );
        assert!(remedy(&pending).unwrap().contains("wait for Cloudflare"));
        assert_eq!(
            remedy_of_stale(&pending).unwrap(),
            "The TXT record is published at a.example: begin verification again."
        );
        assert_eq!(
            remedy_of_enabled(&awaiting).unwrap(),
            "Disable the connector. The TXT record is published at a.example: begin verification. Enable it once it is verified."
        );
    }
}
