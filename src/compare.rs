//! What changed between two runs: pure, one account at a time.
//!
//! What was not read whole in both runs is not compared: nothing of it is new, resolved, added or removed.

use serde::Serialize;

use crate::baseline::KnownFinding;
use crate::evidence::{AccountEvidence, Outcome};
use crate::model::Connector;

/// What kind of change it is. Each has its mirror image, seen from the other run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A finding that was not there.
    FindingNew,
    /// A finding that is there no more.
    FindingResolved,
    /// A connector that was not there.
    ConnectorAdded,
    /// A connector that is there no more.
    ConnectorRemoved,
    /// A connector for the same domain, with another id.
    ConnectorRecreated,
    /// A connector with another value in a field.
    ConnectorChanged,
    /// An account that was not asked for before.
    AccountAdded,
    /// An account that is no longer asked for.
    AccountRemoved,
    /// An account that was read whole before, and is not now.
    AccountUnread,
    /// An account that was not read whole before, and is now.
    AccountRead,
}

impl ChangeKind {
    /// Every kind, in the order in which reports count them.
    pub const ALL: [Self; 10] = [
        Self::FindingNew,
        Self::FindingResolved,
        Self::ConnectorAdded,
        Self::ConnectorRemoved,
        Self::ConnectorRecreated,
        Self::ConnectorChanged,
        Self::AccountAdded,
        Self::AccountRemoved,
        Self::AccountUnread,
        Self::AccountRead,
    ];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FindingNew => "finding-new",
            Self::FindingResolved => "finding-resolved",
            Self::ConnectorAdded => "connector-added",
            Self::ConnectorRemoved => "connector-removed",
            Self::ConnectorRecreated => "connector-recreated",
            Self::ConnectorChanged => "connector-changed",
            Self::AccountAdded => "account-added",
            Self::AccountRemoved => "account-removed",
            Self::AccountUnread => "account-unread",
            Self::AccountRead => "account-read",
        }
    }

    /// In words, for counts: `3 connectors changed`.
    pub fn label(self) -> &'static str {
        match self {
            Self::FindingNew => "new findings",
            Self::FindingResolved => "findings resolved",
            Self::ConnectorAdded => "connectors added",
            Self::ConnectorRemoved => "connectors removed",
            Self::ConnectorRecreated => "connectors recreated",
            Self::ConnectorChanged => "connector fields changed",
            Self::AccountAdded => "accounts added",
            Self::AccountRemoved => "accounts removed",
            Self::AccountUnread => "accounts no longer read whole",
            Self::AccountRead => "accounts read whole again",
        }
    }

    /// The same change seen from the other run.
    pub fn mirrored(self) -> Self {
        match self {
            Self::FindingNew => Self::FindingResolved,
            Self::FindingResolved => Self::FindingNew,
            Self::ConnectorAdded => Self::ConnectorRemoved,
            Self::ConnectorRemoved => Self::ConnectorAdded,
            Self::AccountAdded => Self::AccountRemoved,
            Self::AccountRemoved => Self::AccountAdded,
            Self::AccountUnread => Self::AccountRead,
            Self::AccountRead => Self::AccountUnread,
            same @ (Self::ConnectorRecreated | Self::ConnectorChanged) => same,
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Of what kind.
    pub kind: ChangeKind,
    /// Where.
    pub account_id: String,
    /// The account's name, or empty.
    pub account_name: String,
    /// The connector's id, or empty.
    pub connector_id: String,
    /// The connector's or finding's domain, or empty.
    pub email_domain: String,
    /// The field that changed, or the rule of the finding.
    pub what: String,
    /// Before.
    pub from: String,
    /// Now.
    pub to: String,
}

/// One account in one of the two runs.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The account's id.
    pub account_id: &'a str,
    /// The account's name, or empty.
    pub account_name: &'a str,
    /// What it was answered.
    pub evidence: &'a AccountEvidence,
    /// What was found in it.
    pub findings: &'a [KnownFinding],
}

/// What changed in one account; `None` for the run that did not ask for it.
pub fn compare_accounts(old: Option<Side<'_>>, new: Option<Side<'_>>) -> Vec<Change> {
    let whole = |side: Side<'_>| side.evidence.outcome == Outcome::Read;
    match (old, new) {
        (None, None) => Vec::new(),
        (None, Some(new)) => vec![of_account(new, ChangeKind::AccountAdded, "", outcome(new))],
        (Some(old), None) => vec![of_account(
            old,
            ChangeKind::AccountRemoved,
            outcome(old),
            "",
        )],
        (Some(old), Some(new)) if whole(old) && whole(new) => {
            let mut changes = compare_findings(old, new);
            changes.extend(compare_connectors(old, new));
            changes
        }
        (Some(old), Some(new)) if whole(old) => {
            vec![of_account(
                new,
                ChangeKind::AccountUnread,
                outcome(old),
                outcome(new),
            )]
        }
        (Some(old), Some(new)) if whole(new) => {
            vec![of_account(
                new,
                ChangeKind::AccountRead,
                outcome(old),
                outcome(new),
            )]
        }
        (Some(_), Some(_)) => Vec::new(),
    }
}

fn outcome(side: Side<'_>) -> &'static str {
    side.evidence.outcome.as_str()
}

fn of_account(side: Side<'_>, kind: ChangeKind, from: &str, to: &str) -> Change {
    Change {
        kind,
        account_id: side.account_id.to_owned(),
        account_name: side.account_name.to_owned(),
        connector_id: String::new(),
        email_domain: String::new(),
        what: "outcome".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

fn compare_findings(old: Side<'_>, new: Side<'_>) -> Vec<Change> {
    let absent_from = |other: Side<'_>, finding: &&KnownFinding| {
        !other.findings.iter().any(|f| f.id == finding.id)
    };
    let change = |side: Side<'_>, finding: &KnownFinding, kind| {
        let severity = finding.severity.as_str().to_owned();
        let (from, to) = if kind == ChangeKind::FindingNew {
            (String::new(), severity)
        } else {
            (severity, String::new())
        };
        Change {
            connector_id: finding.connector_id.clone(),
            email_domain: finding.email_domain.clone(),
            what: finding.rule.clone(),
            from,
            to,
            ..of_account(side, kind, "", "")
        }
    };
    let looked_for = |finding: &&KnownFinding| !finding.carried;
    let appeared = new
        .findings
        .iter()
        .filter(looked_for)
        .filter(|finding| absent_from(old, finding));
    let resolved = old
        .findings
        .iter()
        .filter(looked_for)
        .filter(|finding| absent_from(new, finding));
    appeared
        .map(|finding| change(new, finding, ChangeKind::FindingNew))
        .chain(resolved.map(|finding| change(old, finding, ChangeKind::FindingResolved)))
        .collect()
}

fn compare_connectors(old: Side<'_>, new: Side<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut removed, mut added): (Vec<&Connector>, Vec<&Connector>) = (Vec::new(), Vec::new());
    let mut candidates: Vec<&Connector> = new.evidence.connectors.iter().collect();
    for before in &old.evidence.connectors {
        let same = |now: &&Connector| before.id.known().is_some() && now.id == before.id;
        match candidates.iter().position(same) {
            Some(at) => changes.extend(compare_fields(new, before, candidates.remove(at))),
            None => removed.push(before),
        }
    }
    added.append(&mut candidates);

    // A connector without an id, or with another, for the same domain.
    removed.retain(|before| {
        let domain = before.canonical_domain();
        let same = |now: &&Connector| domain.is_some() && now.canonical_domain() == domain;
        let Some(at) = added.iter().position(same) else {
            return true;
        };
        let now = added.remove(at);
        if before.id != now.id {
            let (from, to) = (before.id.shown(""), now.id.shown(""));
            changes.push(of_connector(
                new,
                now,
                ChangeKind::ConnectorRecreated,
                "id",
                &from,
                &to,
            ));
        }
        changes.extend(compare_fields(new, before, now));
        false
    });
    // Records without an id and a domain are the same where they are equal.
    removed.retain(|before| match added.iter().position(|now| now == before) {
        Some(at) => {
            added.remove(at);
            false
        }
        None => true,
    });
    let state = |connector: &Connector| connector.verification.status.shown("unknown").into_owned();
    changes.extend(removed.into_iter().map(|c| {
        of_connector(
            old,
            c,
            ChangeKind::ConnectorRemoved,
            "connector",
            &state(c),
            "",
        )
    }));
    changes.extend(added.into_iter().map(|c| {
        of_connector(
            new,
            c,
            ChangeKind::ConnectorAdded,
            "connector",
            "",
            &state(c),
        )
    }));
    changes
}

fn compare_fields(side: Side<'_>, before: &Connector, now: &Connector) -> Vec<Change> {
    let fields = |c: &Connector| {
        [
            ("email_domain", c.email_domain.shown("unknown").into_owned()),
            ("enabled", c.enabled.shown("unknown").into_owned()),
            (
                "verification_status",
                c.verification.status.shown("unknown").into_owned(),
            ),
            (
                "verification_code",
                c.verification.code.shown("").into_owned(),
            ),
            (
                "use_fedramp_language",
                c.use_fedramp_language.shown("unknown").into_owned(),
            ),
        ]
    };
    let pairs = fields(before).into_iter().zip(fields(now));
    pairs
        .filter(|((_, from), (_, to))| from != to)
        .map(|((what, from), (_, to))| {
            of_connector(side, now, ChangeKind::ConnectorChanged, what, &from, &to)
        })
        .collect()
}

fn of_connector(
    side: Side<'_>,
    connector: &Connector,
    kind: ChangeKind,
    what: &str,
    from: &str,
    to: &str,
) -> Change {
    Change {
        connector_id: connector.id.shown("").into_owned(),
        email_domain: connector.email_domain.shown("").into_owned(),
        what: what.to_owned(),
        ..of_account(side, kind, from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{ErrorKind, ReadError};
    use crate::rules::Severity;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// One account in one run, to be borrowed as a side.
    #[derive(Debug, Clone)]
    struct Account {
        evidence: AccountEvidence,
        findings: Vec<KnownFinding>,
    }

    fn account(connectors: Value, findings: &[&str]) -> Account {
        let mut evidence = AccountEvidence::unread(0, ReadError::new(ErrorKind::Api, ""));
        evidence.outcome = Outcome::Read;
        evidence.error = None;
        evidence.connectors = serde_json::from_value(connectors).unwrap();
        crate::assess::sort_connectors(&mut evidence.connectors);
        let finding = |id: &&str| KnownFinding {
            id: (*id).to_owned(),
            rule: "disabled-connector".to_owned(),
            severity: Severity::High,
            waived: false,
            carried: false,
            connector_id: String::new(),
            email_domain: String::new(),
            first_seen: crate::rules::testing::NOW.parse().unwrap(),
        };
        Account {
            evidence,
            findings: findings.iter().map(finding).collect(),
        }
    }

    impl Account {
        fn unread(mut self) -> Self {
            self.evidence.outcome = Outcome::Unread;
            self
        }

        fn side(&self) -> Side<'_> {
            Side {
                account_id: "023e105f4ecef8ad9ca31a8372d0c353",
                account_name: "Acme",
                evidence: &self.evidence,
                findings: &self.findings,
            }
        }
    }

    fn compared(old: Option<&Account>, new: Option<&Account>) -> Vec<Change> {
        compare_accounts(old.map(Account::side), new.map(Account::side))
    }

    /// Kind, subject, field, before and after, for short.
    fn told(old: Option<&Account>, new: Option<&Account>) -> Vec<String> {
        let tell = |c: Change| {
            format!(
                "{} {}{} {} {:?} {:?}",
                c.kind.as_str(),
                c.email_domain,
                c.connector_id,
                c.what,
                c.from,
                c.to
            )
        };
        compared(old, new).into_iter().map(tell).collect()
    }

    #[test]
    fn every_kind_of_change_is_seen_from_both_sides() {
        let one = |id: &str, domain: &str, enabled: bool| json!({"id": id, "email_domain": domain, "enabled": enabled, "verification": {"status": "verified"}});
        let a = account(
            json!([
                one("1", "a.example", true),
                one("2", "b.example", true),
                one("3", "c.example", true)
            ]),
            &["f1", "f2"],
        );
        let b = account(
            json!([
                one("1", "a.example", false),
                one("9", "B.example.", true),
                one("4", "d.example", true)
            ]),
            &["f2", "f3"],
        );
        assert_eq!(
            told(Some(&a), Some(&b)),
            [
                "finding-new  disabled-connector \"\" \"high\"",
                "finding-resolved  disabled-connector \"high\" \"\"",
                "connector-changed a.example1 enabled \"true\" \"false\"",
                "connector-recreated B.example.9 id \"2\" \"9\"",
                "connector-changed B.example.9 email_domain \"b.example\" \"B.example.\"",
                "connector-removed c.example3 connector \"verified\" \"\"",
                "connector-added d.example4 connector \"\" \"verified\"",
            ]
        );
        let unread = b.clone().unread();
        assert_eq!(
            told(Some(&a), None),
            ["account-removed  outcome \"read\" \"\""]
        );
        assert_eq!(
            told(None, Some(&unread)),
            ["account-added  outcome \"\" \"unread\""]
        );
        assert_eq!(
            told(Some(&a), Some(&unread)),
            ["account-unread  outcome \"read\" \"unread\""]
        );
        assert_eq!(
            told(Some(&unread), Some(&a)),
            ["account-read  outcome \"unread\" \"read\""]
        );
        assert!(
            told(Some(&unread), Some(&unread)).is_empty(),
            "what was not read in either is not compared"
        );
    }

    #[test]
    fn what_an_earlier_run_carried_along_is_neither_new_nor_resolved() {
        let mut old = account(json!([]), &["f1"]);
        old.findings[0].carried = true;
        let new = account(json!([]), &[]);
        assert!(compared(Some(&old), Some(&new)).is_empty());
        assert!(compared(Some(&new), Some(&old)).is_empty());
    }

    fn connectors() -> impl Strategy<Value = Value> {
        let id = prop_oneof![Just(Value::Null), "[a-d]".prop_map(Value::from)];
        let domain = prop_oneof![Just(Value::Null), "[a-c]\\.example".prop_map(Value::from)];
        let one = (id, domain, any::<Option<bool>>(), "verified|pending|odd").prop_map(|(id, domain, enabled, status)| {
            json!({"id": id, "email_domain": domain, "enabled": enabled, "verification": {"status": status}})
        });
        proptest::collection::vec(one, 0..6).prop_map(Value::from)
    }

    fn accounts() -> impl Strategy<Value = Account> {
        let findings = proptest::sample::subsequence(vec!["f1", "f2", "f3"], 0..=3);
        (connectors(), findings, any::<bool>()).prop_map(|(connectors, findings, unread)| {
            let account = account(connectors, &findings);
            if unread { account.unread() } else { account }
        })
    }

    proptest! {
        #[test]
        fn nothing_changed_between_a_run_and_itself(one in accounts()) {
            prop_assert_eq!(compared(Some(&one), Some(&one)), vec![]);
        }

        #[test]
        fn the_way_back_mirrors_the_way_there(old in proptest::option::of(accounts()), new in proptest::option::of(accounts())) {
            let mirrored = |change: Change| (change.kind.mirrored(), change.what, change.to, change.from);
            let mut there: Vec<_> = compared(old.as_ref(), new.as_ref()).into_iter().map(mirrored).collect();
            let mut back: Vec<_> = compared(new.as_ref(), old.as_ref()).into_iter().map(|c| (c.kind, c.what, c.from, c.to)).collect();
            there.sort();
            back.sort();
            prop_assert_eq!(there, back);
        }
    }
}
