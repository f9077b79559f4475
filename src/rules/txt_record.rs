//! What has to be done about a connector's TXT record, by what DNS was seen to hold: words that several rules share.

use crate::dns::DnsTxt;
use crate::model::Connector;
use crate::text::shortened;

/// What is shown of a text that DNS holds, in characters.
const SHOWN: usize = 150;

/// What to do so that Cloudflare finds the record; `None` where domain or code are not known.
pub fn remedy(connector: &Connector) -> Option<String> {
    let (domain, code) = (connector.email_domain.known()?, connector.code()?);
    let (txt, detail) = match &connector.dns {
        Some(seen) => (seen.txt, shortened(&seen.detail, SHOWN)),
        None => (DnsTxt::Unknown, "".into()),
    };
    let last = "delete the connector if the domain is not yours";
    Some(match txt {
        DnsTxt::Match => {
            format!("The TXT record is published at {domain}: begin verification again.")
        }
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
            "{domain} does not exist in DNS: {last}, or else register the domain, publish the TXT record \"{code}\" and begin verification."
        ),
        DnsTxt::Absent | DnsTxt::Unknown => format!(
            "Publish the TXT record \"{code}\" at {domain}, then begin verification; {last}."
        ),
    })
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
        a.example does not exist in DNS: delete the connector if the domain is not yours, or else register the domain, publish the TXT record "cloudflare_dashboard_sso=1" and begin verification.
        Publish the TXT record "cloudflare_dashboard_sso=1" at a.example, then begin verification; delete the connector if the domain is not yours.
        "#);
        let unknown = json!({"email_domain": "a.example"});
        assert_eq!(remedy(&with_dns(&unknown, DnsTxt::Absent, "")), None);
    }
}
