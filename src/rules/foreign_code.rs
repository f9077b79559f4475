//! A domain that publishes the code of a connector that nobody here knows.

use std::collections::{BTreeMap, BTreeSet};

use super::controls::{CIS_5_6, ISO_A_5_16, NIST_AC_2, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::dns::DnsTxt;
use crate::severity::Severity;
use crate::text::{count, shortened};

/// Codes that are named in a message; the others are counted.
const NAMED: usize = 3;
/// What is shown of a code, in characters.
const SHOWN: usize = 100;

/// See the module.
pub const RULE: Rule = Rule {
    id: "foreign-code",
    title: "Code of an unknown connector",
    severity: Severity::Low,
    topic: Topic::Account,
    basis: Basis::Dns,
    mandatory: None,
    what: "DNS was checked (`--check-dns`), and one of the account's domains publishes a dashboard SSO code of \
           a connector that neither this run nor any earlier run has seen. One finding per account and domain.",
    why: "The code may belong to a connector in an account that was not audited; that account would then \
          control how the domain's members sign in. It is a lead, not proof: zones often keep the codes of \
          deleted connectors.",
    remedy: "Ask the domain's owner what the code is for, then audit the account that has the connector, or remove the old TXT record.",
    fix: Fix::Manual,
    controls: &[NIST_AC_2, ISO_A_5_16, SOC2_CC6_1, CIS_5_6],
    judges: |subject, _| {
        let connectors = &subject.evidence.connectors;
        connectors.is_empty()
            || connectors.iter().any(|connector| {
                connector
                    .dns_txt()
                    .is_some_and(|txt| txt != DnsTxt::Unknown)
            })
    },
    judge: Judge::Account(judge),
};

fn judge(subject: &Subject<'_>) -> Vec<Hit> {
    // By domain; `None` where a connector's own code is not known, and may be one of those published.
    let mut domains: BTreeMap<_, Option<BTreeSet<&str>>> = BTreeMap::new();
    for connector in subject.evidence.connectors {
        let (Some(domain), Some(seen)) = (connector.canonical_domain(), &connector.dns) else {
            continue;
        };
        let codes = domains
            .entry(domain)
            .or_insert_with(|| Some(BTreeSet::new()));
        if connector.code().is_none() {
            *codes = None;
        }
        if let Some(codes) = codes {
            let unknown = seen
                .other_codes
                .iter()
                .filter(|code| !subject.known_codes.hold(code));
            codes.extend(unknown.map(String::as_str));
        }
    }
    let found = domains.into_iter().filter_map(|(domain, codes)| {
        let codes = codes.filter(|codes| !codes.is_empty())?;
        Some(Hit {
            domain: Some(domain.into_owned()),
            ..Hit::new(message(&codes))
        })
    });
    found.collect()
}

fn message(codes: &BTreeSet<&str>) -> String {
    let named = codes.iter().take(NAMED);
    let mut named: Vec<_> = named
        .map(|code| shortened(code, SHOWN).into_owned())
        .collect();
    if codes.len() > NAMED {
        named.push(format!("{} more", codes.len() - NAMED));
    }
    format!(
        "the domain publishes {} of connectors that no run in this folder has seen: {}",
        count(codes.len(), "code"),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, with_dns};
    use super::*;
    use crate::model::Connector;
    use serde_json::json;

    fn connector(domain: &str, code: Option<&str>, others: &[&str]) -> Connector {
        let json = json!({"email_domain": domain, "verification": {"code": code}});
        let mut connector = with_dns(&json, DnsTxt::Match, "");
        if let Some(seen) = &mut connector.dns {
            seen.other_codes = others.iter().map(|&code| code.to_owned()).collect();
        }
        connector
    }

    #[test]
    fn fires_once_a_domain_on_codes_that_nobody_knows() {
        let (own, foreign) = ("cloudflare_dashboard_sso=1", "cloudflare_dashboard_sso=9");
        let mut case = Case::of_connectors(vec![
            connector(
                "A.example.",
                Some(own),
                &[foreign, "cloudflared_dashboard_sso=2"],
            ),
            connector(
                "a.example",
                Some("cloudflare_dashboard_sso=3"),
                &[own, foreign],
            ),
            connector("b.example", Some("cloudflare_dashboard_sso=4"), &[own]),
        ]);
        let known = [
            own,
            "cloudflare_dashboard_sso=2",
            "cloudflare_dashboard_sso=3",
            "cloudflare_dashboard_sso=4",
        ];
        case.known_codes.add(known.into_iter());
        let hits = case.judged_by(&RULE);
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].domain.as_deref(), Some("a.example"));
        assert_eq!(
            hits[0].message,
            "the domain publishes 1 code of connectors that no run in this folder has seen: cloudflare_dashboard_sso=9"
        );
    }

    #[test]
    fn keeps_silent_where_the_code_may_be_the_connectors_own() {
        let case = Case::of_connectors(vec![
            connector("a.example", None, &["cloudflare_dashboard_sso=9"]),
            connector(
                "a.example",
                Some("cloudflare_dashboard_sso=1"),
                &["cloudflare_dashboard_sso=9"],
            ),
        ]);
        assert!(case.judged_by(&RULE).is_empty());
    }
}
