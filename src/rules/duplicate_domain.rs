//! One domain on several connectors of the run.

use super::controls::{CIS_5_6, ISO_A_5_16, NIST_CM_6, SOC2_CC6_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::evidence::Claimant;
use crate::model::Connector;
use crate::severity::Severity;
use crate::text::count;

/// See the module.
pub const RULE: Rule = Rule {
    id: "duplicate-domain",
    title: "Domain on several connectors",
    severity: Severity::High,
    topic: Topic::Account,
    basis: Basis::Run,
    mandatory: None,
    what: "The same domain (lower-cased, without a trailing dot, in IDNA form) is on more than one connector \
           in the run. One finding per connector.",
    why: "A domain can be enabled in one account only, and that account decides how every address of the domain signs \
          in. The other connectors do nothing, or wait to take over the domain.",
    remedy: "Decide which account owns the domain, and delete the connectors for it elsewhere.",
    fix: Fix::Decision,
    controls: &[NIST_CM_6, ISO_A_5_16, SOC2_CC6_1, CIS_5_6],
    judges: |_, connector| {
        connector.is_some_and(|connector| connector.canonical_domain().is_some())
    },
    judge: Judge::Connector(judge),
};

/// How many other accounts a message names.
const NAMED: usize = 3;

fn judge(subject: &Subject<'_>, connector: &Connector) -> Option<Hit> {
    let domain = connector.canonical_domain()?;
    let claimants = subject.shared_domains.claimants(&domain);
    if claimants.is_empty() {
        return None;
    }
    let is_here = |claimant: &&Claimant| claimant.position == subject.evidence.position;
    let here = claimants
        .binary_search_by_key(&subject.evidence.position, |claimant| claimant.position)
        .map_or(0, |at| claimants[at].connectors);
    let elsewhere = claimants.len() - usize::from(here > 0);

    let mut places = Vec::new();
    if here > 1 {
        places.push(format!("{} more of this account", here - 1));
    }
    if elsewhere > 0 {
        let name = |claimant: &Claimant| {
            let account = subject.accounts.get(claimant.position)?;
            Some(if account.name.is_empty() {
                account.id.clone()
            } else {
                format!("{} ({})", account.name, account.id)
            })
        };
        // A report for one owner says of others' accounts that there are any, and no more.
        let is_told = |claimant: &&Claimant| {
            let account = subject.accounts.get(claimant.position);
            account.is_some_and(|account| !account.id.is_empty())
        };
        let others = claimants.iter().filter(|claimant| !is_here(claimant));
        let told = others.filter(is_told);
        let number = told.clone().count();
        let mut named: Vec<_> = told.take(NAMED).filter_map(name).collect();
        if number > NAMED {
            named.push(count(number - NAMED, "more account"));
        }
        if number < elsewhere {
            named.push("another account".to_owned());
        }
        places.push(format!("connectors of {}", named.join(", ")));
    }
    Some(Hit::new(format!(
        "{domain} is also on {}",
        places.join(" and on ")
    )))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use crate::evidence::SharedDomains;
    use serde_json::json;

    #[test]
    fn names_who_else_claims_the_domain() {
        let mut case = Case::read(json!([{"email_domain": "A.example."}]));
        case.shared = SharedDomains::claimed_by("a.example", &[0, 0, 1]);
        assert_eq!(
            case.said_by(&RULE),
            [
                "a.example is also on 1 more of this account and on connectors of Other Ltd (b0000000000000000000000000000002)"
            ]
        );
    }

    #[test]
    fn says_no_more_of_accounts_that_are_withheld() {
        let mut case = Case::read(json!([{"email_domain": "a.example"}]));
        case.shared = SharedDomains::claimed_by("a.example", &[0, 1, 2, 3]);
        case.accounts.truncate(1);
        case.accounts
            .resize(4, crate::accounts::AskedAccount::default());
        assert_eq!(
            case.said_by(&RULE),
            ["a.example is also on connectors of another account"]
        );
    }

    #[test]
    fn keeps_silent_on_a_domain_of_its_own_and_on_none() {
        let mut case = Case::read(
            json!([{"email_domain": "b.example"}, {"email_domain": null}, {"email_domain": 5}]),
        );
        case.shared = SharedDomains::claimed_by("a.example", &[0, 1]);
        assert!(case.judged_by(&RULE).is_empty());
    }
}
