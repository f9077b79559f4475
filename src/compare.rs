//! What changed between two memories of an account: pure, one account at a time.
//!
//! A memory contains what was known the last time the account was read in full. So what was fixed while it could not be
//! read is resolved in the run that reads it again, and a night on which nothing could be read changes nothing.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use serde::Serialize;

use crate::finding::{FindingId, KnownFinding, KnownFindings};
use crate::memory::Known;
use crate::model::Connector;
use crate::outcome::Outcome;

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A finding that was not known.
    FindingNew,
    /// A finding that is there no more.
    FindingResolved,
    /// A finding that was waived and is open again.
    FindingReopened,
    /// A finding that was open and is waived.
    FindingWaived,
    /// A connector that was not there.
    ConnectorAdded,
    /// A connector that is there no more.
    ConnectorRemoved,
    /// A connector for the same domain, with another id.
    ConnectorRecreated,
    /// A connector with another value in a field.
    ConnectorChanged,
    /// An account that was never asked for before.
    AccountAdded,
    /// An account that what named it no longer names.
    AccountRemoved,
    /// An account that was read in full before, and is not now.
    AccountUnread,
    /// An account that was not read in full before, and is now.
    AccountRead,
}

impl ChangeKind {
    /// Every kind, in the order in which reports count them.
    pub const ALL: [Self; 12] = [
        Self::FindingNew,
        Self::FindingResolved,
        Self::FindingReopened,
        Self::FindingWaived,
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
            Self::FindingReopened => "finding-reopened",
            Self::FindingWaived => "finding-waived",
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

    /// In words, for counts: one of it, and several.
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::FindingNew => ("new finding", "new findings"),
            Self::FindingResolved => ("finding resolved", "findings resolved"),
            Self::FindingReopened => ("waived finding open again", "waived findings open again"),
            Self::FindingWaived => ("finding waived", "findings waived"),
            Self::ConnectorAdded => ("connector added", "connectors added"),
            Self::ConnectorRemoved => ("connector removed", "connectors removed"),
            Self::ConnectorRecreated => ("connector recreated", "connectors recreated"),
            Self::ConnectorChanged => ("connector field changed", "connector fields changed"),
            Self::AccountAdded => ("account added", "accounts added"),
            Self::AccountRemoved => ("account removed", "accounts removed"),
            Self::AccountUnread => (
                "account that became unread or incomplete",
                "accounts that became unread or incomplete",
            ),
            Self::AccountRead => ("account now read in full", "accounts now read in full"),
        }
    }

    /// The same change seen from the other side.
    pub fn mirrored(self) -> Self {
        match self {
            Self::FindingNew => Self::FindingResolved,
            Self::FindingResolved => Self::FindingNew,
            Self::FindingReopened => Self::FindingWaived,
            Self::FindingWaived => Self::FindingReopened,
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

/// Why something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Cloudflare's answer changed.
    Connector,
    /// The policy did.
    Policy,
    /// A threshold or a waiver's day passed.
    Time,
    /// What was read, or asked for, did.
    Coverage,
    /// TXT records in DNS did.
    Dns,
}

impl Cause {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::Policy => "policy",
            Self::Time => "time",
            Self::Coverage => "coverage",
            Self::Dns => "dns",
        }
    }
}

/// One change. An account may have very many at once, so their texts are borrowed from the memories that they report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change<'a> {
    /// Of what kind.
    pub kind: ChangeKind,
    /// Where.
    pub account_id: &'a str,
    /// The account's name, or empty.
    pub account_name: &'a str,
    /// The connector's id, or empty.
    pub connector_id: Cow<'a, str>,
    /// The connector's or finding's domain, or empty.
    pub email_domain: Cow<'a, str>,
    /// The field that changed, or the rule of the finding.
    pub what: Cow<'a, str>,
    /// Before.
    pub from: Cow<'a, str>,
    /// After.
    pub to: Cow<'a, str>,
    /// Why; absent where nobody can tell, as between any two runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The finding that it is about, where it is about one.
    #[serde(skip)]
    pub finding_id: Option<FindingId>,
}

/// What changed of an account from what was known to what is. Nothing known before: it was never asked for.
pub fn changes<'a>(before: Option<Known<'a>>, now: Option<Known<'a>>) -> Vec<Change<'a>> {
    let outcome = |known: Known<'_>| known.state.outcome.as_str();
    match (before, now) {
        (None, None) => Vec::new(),
        // Known from runs in between, and removed again: neither of the two was asked for it.
        (None, Some(only)) | (Some(only), None) if only.state.removed => Vec::new(),
        (None, Some(new)) => {
            let mut changes = vec![of_account(new, ChangeKind::AccountAdded, "", outcome(new))];
            changes.extend(compare_findings(KnownFindings::default(), new));
            changes
        }
        (Some(old), None) => vec![of_account(
            old,
            ChangeKind::AccountRemoved,
            outcome(old),
            "",
        )],
        (Some(old), Some(new)) => {
            let mut changes = Vec::new();
            let mut add = |kind| changes.push(of_account(new, kind, outcome(old), outcome(new)));
            let was_read = |known: Known<'_>| known.state.outcome == Outcome::Read;
            match (was_read(old), was_read(new)) {
                (true, false) => add(ChangeKind::AccountUnread),
                (false, true) => add(ChangeKind::AccountRead),
                _ => {}
            }
            if new.state.removed && !old.state.removed {
                changes.push(of_account(
                    old,
                    ChangeKind::AccountRemoved,
                    outcome(old),
                    "",
                ));
            }
            changes.extend(compare_findings(old.findings, new));
            if let (Some(before), Some(now)) = (old.connectors, new.connectors)
                && old.state.read != new.state.read
            {
                changes.extend(compare_connectors(new, before, now));
            }
            changes
        }
    }
}

fn of_account<'a>(
    known: Known<'a>,
    kind: ChangeKind,
    from: impl Into<Cow<'a, str>>,
    to: impl Into<Cow<'a, str>>,
) -> Change<'a> {
    Change {
        kind,
        account_id: &known.state.account_id,
        account_name: &known.state.account_name,
        connector_id: "".into(),
        email_domain: "".into(),
        what: "outcome".into(),
        from: from.into(),
        to: to.into(),
        cause: None,
        finding_id: None,
    }
}

fn compare_findings<'a>(old: KnownFindings<'a>, new: Known<'a>) -> Vec<Change<'a>> {
    let change = |finding: KnownFinding<'a>, kind, from: &'static str, to: &'static str| Change {
        connector_id: finding.connector_id,
        email_domain: finding.email_domain,
        what: finding.rule,
        finding_id: Some(finding.id),
        ..of_account(new, kind, from, to)
    };
    let was_waived: HashMap<FindingId, bool> = old
        .iter()
        .map(|finding| (finding.id, finding.waived))
        .collect();
    let now: HashSet<FindingId> = new.findings.iter().map(|finding| finding.id).collect();
    let mut changes = Vec::new();
    for finding in new.findings.iter() {
        let (kind, from, to) = match (was_waived.get(&finding.id), finding.waived) {
            (None, _) => (ChangeKind::FindingNew, "", finding.severity.as_str()),
            (Some(true), false) => (ChangeKind::FindingReopened, "waived", "open"),
            (Some(false), true) => (ChangeKind::FindingWaived, "open", "waived"),
            (Some(true), true) | (Some(false), false) => continue,
        };
        changes.push(change(finding, kind, from, to));
    }
    // Of an account that was never read in full nothing is known to be gone.
    let was_ever_read = new.state.read.is_some();
    let resolved = old
        .iter()
        .filter(|finding| was_ever_read && !now.contains(&finding.id));
    changes.extend(resolved.map(|finding| {
        let severity = finding.severity.as_str();
        change(finding, ChangeKind::FindingResolved, severity, "")
    }));
    changes
}

/// Connectors that have no partner yet, found by what they have in common with one of the other side.
struct Unmatched<'a> {
    connectors: &'a [Connector],
    matched: Vec<bool>,
}

impl<'a> Unmatched<'a> {
    /// For each key the positions of the connectors that have it, in their order.
    fn by<K: Eq + std::hash::Hash>(
        &self,
        key: impl Fn(&'a Connector) -> Option<K>,
    ) -> HashMap<K, VecDeque<usize>> {
        let mut positions: HashMap<K, VecDeque<usize>> = HashMap::new();
        for (position, connector) in self.connectors.iter().enumerate() {
            if !self.matched[position]
                && let Some(key) = key(connector)
            {
                positions.entry(key).or_default().push_back(position);
            }
        }
        positions
    }

    fn left(&self) -> impl Iterator<Item = &'a Connector> {
        let unmatched = self.connectors.iter().zip(&self.matched);
        unmatched
            .filter(|(_, matched)| !**matched)
            .map(|(connector, _)| connector)
    }
}

fn compare_connectors<'a>(
    known: Known<'a>,
    before: &'a [Connector],
    now: &'a [Connector],
) -> Vec<Change<'a>> {
    let unmatched = |connectors| Unmatched {
        connectors,
        matched: vec![false; <[Connector]>::len(connectors)],
    };
    let (mut old, mut new) = (unmatched(before), unmatched(now));
    let mut changes = Vec::new();
    // The same id and domain: one id may stand on several records.
    pair(
        &mut old,
        &mut new,
        |c| Some((c.id.known()?, c.canonical_domain()?)),
        |before, now| {
            changes.extend(compare_fields(known, before, now));
        },
    );
    // The same id.
    pair(
        &mut old,
        &mut new,
        |c| c.id.known(),
        |before, now| {
            changes.extend(compare_fields(known, before, now));
        },
    );
    // A connector without an id, or with another, for the same domain.
    pair(
        &mut old,
        &mut new,
        Connector::canonical_domain,
        |before, now| {
            if before.id != now.id {
                let (from, to) = (before.id.shown(""), now.id.shown(""));
                let kind = ChangeKind::ConnectorRecreated;
                changes.push(of_connector(known, now, kind, "id", from, to));
            }
            changes.extend(compare_fields(known, before, now));
        },
    );
    // Records without an id and a domain are the same where they are equal.
    pair(
        &mut old,
        &mut new,
        |c| {
            let is_nameless = c.id.known().is_none() && c.email_domain.known().is_none();
            is_nameless.then(|| serde_json::to_string(c).ok()).flatten()
        },
        |_, _| {},
    );
    fn state(connector: &Connector) -> Cow<'_, str> {
        connector.verification.status.shown("unknown")
    }
    changes.extend(old.left().map(|c| {
        of_connector(
            known,
            c,
            ChangeKind::ConnectorRemoved,
            "connector",
            state(c),
            "".into(),
        )
    }));
    changes.extend(new.left().map(|c| {
        of_connector(
            known,
            c,
            ChangeKind::ConnectorAdded,
            "connector",
            "".into(),
            state(c),
        )
    }));
    changes
}

/// Matches connectors of both sides that have a key in common, first with first.
fn pair<'a, K: Eq + std::hash::Hash>(
    old: &mut Unmatched<'a>,
    new: &mut Unmatched<'a>,
    key: impl Fn(&'a Connector) -> Option<K>,
    mut matched: impl FnMut(&'a Connector, &'a Connector),
) {
    let mut candidates = new.by(&key);
    for (position, before) in old.connectors.iter().enumerate() {
        if old.matched[position] {
            continue;
        }
        let partner = key(before)
            .and_then(|key| candidates.get_mut(&key))
            .and_then(VecDeque::pop_front);
        if let Some(partner) = partner {
            old.matched[position] = true;
            new.matched[partner] = true;
            matched(before, &new.connectors[partner]);
        }
    }
}

fn compare_fields<'a>(
    known: Known<'a>,
    before: &'a Connector,
    now: &'a Connector,
) -> Vec<Change<'a>> {
    fn fields(c: &Connector) -> [(&'static str, Cow<'_, str>); 5] {
        [
            ("email_domain", c.email_domain.shown("unknown")),
            ("enabled", c.enabled.shown("unknown")),
            (
                "verification_status",
                c.verification.status.shown("unknown"),
            ),
            ("verification_code", c.verification.code.shown("")),
            (
                "use_fedramp_language",
                c.use_fedramp_language.shown("unknown"),
            ),
        ]
    }
    let pairs = fields(before).into_iter().zip(fields(now));
    pairs
        .filter(|((_, from), (_, to))| from != to)
        .map(|((what, from), (_, to))| {
            of_connector(known, now, ChangeKind::ConnectorChanged, what, from, to)
        })
        .collect()
}

fn of_connector<'a>(
    known: Known<'a>,
    connector: &'a Connector,
    kind: ChangeKind,
    what: &'static str,
    from: Cow<'a, str>,
    to: Cow<'a, str>,
) -> Change<'a> {
    Change {
        connector_id: connector.id.shown(""),
        email_domain: connector.email_domain.shown(""),
        what: what.into(),
        ..of_account(known, kind, from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{AccountMemory, AccountState, LastRead};
    use crate::severity::Severity;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn account(run: &str, connectors: Value, findings: &[&str]) -> AccountMemory<'static> {
        let now = crate::rules::testing::NOW.parse().unwrap();
        let mut connectors: Vec<Connector> = serde_json::from_value(connectors).unwrap();
        crate::model::sort_connectors(&mut connectors);
        let finding = |id: &&str| KnownFinding {
            id: FindingId::of(id),
            rule: "disabled-connector".into(),
            severity: Severity::High,
            waived: false,
            carried: false,
            connector_id: "".into(),
            email_domain: "".into(),
            first_seen: now,
        };
        let state = AccountState {
            account_id: "023e105f4ecef8ad9ca31a8372d0c353".to_owned(),
            account_name: "Acme".to_owned(),
            sources: Vec::new(),
            former_codes: Vec::new(),
            removed: false,
            outcome: Outcome::Read,
            read: Some(LastRead {
                run_id: run.to_owned(),
                at: now,
                judged_at: now,
                policy: None,
                rules_off: Vec::new(),
                dns: None,
            }),
            unread_since: None,
        };
        AccountMemory {
            state,
            findings: findings.iter().map(finding).collect(),
            connectors: Some(connectors),
        }
    }

    /// The same account on a night on which it could not be read.
    fn unread(account: &AccountMemory<'static>) -> AccountMemory<'static> {
        let mut account = account.clone();
        account.state.outcome = Outcome::Unread;
        account
    }

    fn compared<'a>(
        old: Option<&'a AccountMemory<'_>>,
        new: Option<&'a AccountMemory<'_>>,
    ) -> Vec<Change<'a>> {
        changes(old.map(AccountMemory::known), new.map(AccountMemory::known))
    }

    /// Kind, subject, field, before and after, for short.
    fn told(old: Option<&AccountMemory<'_>>, new: Option<&AccountMemory<'_>>) -> Vec<String> {
        let tell = |c: Change<'_>| {
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
    fn every_kind_of_change_is_seen() {
        let one = |id: &str, domain: &str, enabled: bool| json!({"id": id, "email_domain": domain, "enabled": enabled, "verification": {"status": "verified"}});
        let a = account(
            "1",
            json!([
                one("1", "a.example", true),
                one("2", "b.example", true),
                one("3", "c.example", true)
            ]),
            &["f1", "f2"],
        );
        let b = account(
            "2",
            json!([
                one("1", "a.example", false),
                one("9", "B.example.", true),
                one("4", "d.example", true)
            ]),
            &["f2", "f3"],
        );
        let between = [
            "finding-new  disabled-connector \"\" \"high\"",
            "finding-resolved  disabled-connector \"high\" \"\"",
            "connector-changed a.example1 enabled \"true\" \"false\"",
            "connector-recreated B.example.9 id \"2\" \"9\"",
            "connector-changed B.example.9 email_domain \"b.example\" \"B.example.\"",
            "connector-removed c.example3 connector \"verified\" \"\"",
            "connector-added d.example4 connector \"\" \"verified\"",
        ];
        assert_eq!(told(Some(&a), Some(&b)), between);
        assert_eq!(
            told(None, Some(&b)),
            [
                "account-added  outcome \"\" \"read\"",
                "finding-new  disabled-connector \"\" \"high\"",
                "finding-new  disabled-connector \"\" \"high\"",
            ]
        );
        assert_eq!(
            told(Some(&a), None),
            ["account-removed  outcome \"read\" \"\""]
        );
        let mut removed = a.clone();
        removed.state.removed = true;
        assert_eq!(
            told(Some(&a), Some(&removed)),
            ["account-removed  outcome \"read\" \"\""]
        );
        assert!(told(Some(&removed), Some(&removed)).is_empty(), "once");
        // What happened while it could not be read is told when it is read again, and once.
        let gap = unread(&a);
        assert_eq!(
            told(Some(&a), Some(&gap)),
            ["account-unread  outcome \"read\" \"unread\""]
        );
        let again = told(Some(&gap), Some(&b));
        assert_eq!(again[0], "account-read  outcome \"unread\" \"read\"");
        assert_eq!(again[1..], between);
        assert!(told(Some(&gap), Some(&gap)).is_empty());
    }

    #[test]
    fn a_waiver_that_begins_or_ends_is_a_change_and_makes_nothing_new() {
        let open = account("1", json!([]), &["f1"]);
        let mut waived = open.clone();
        waived.findings[0].waived = true;
        assert_eq!(
            told(Some(&open), Some(&waived)),
            ["finding-waived  disabled-connector \"open\" \"waived\""]
        );
        assert_eq!(
            told(Some(&waived), Some(&open)),
            ["finding-reopened  disabled-connector \"waived\" \"open\""]
        );
    }

    fn connectors() -> impl Strategy<Value = Value> {
        let id = prop_oneof![Just(Value::Null), "[a-d]".prop_map(Value::from)];
        let domain = prop_oneof![Just(Value::Null), "[a-c]\\.example".prop_map(Value::from)];
        let one = (id, domain, any::<Option<bool>>(), "verified|pending|odd").prop_map(|(id, domain, enabled, status)| {
            json!({"id": id, "email_domain": domain, "enabled": enabled, "verification": {"status": status}})
        });
        proptest::collection::vec(one, 0..6).prop_map(Value::from)
    }

    fn accounts(run: &'static str) -> impl Strategy<Value = AccountMemory<'static>> {
        let findings = proptest::sample::subsequence(vec!["f1", "f2", "f3"], 0..=3);
        (connectors(), findings, any::<bool>()).prop_map(move |(connectors, findings, is_read)| {
            let account = account(run, connectors, &findings);
            if is_read { account } else { unread(&account) }
        })
    }

    proptest! {
        #[test]
        fn nothing_changed_between_a_run_and_itself(one in accounts("1")) {
            prop_assert_eq!(compared(Some(&one), Some(&one)), vec![]);
            // Nor where the same was read again.
            let mut again = one.clone();
            again.state.read = Some(LastRead { run_id: "2".to_owned(), ..again.state.read.unwrap() });
            prop_assert_eq!(compared(Some(&one), Some(&again)), vec![]);
        }

        #[test]
        fn the_way_back_mirrors_the_way_there(old in accounts("1"), new in accounts("2")) {
            let mirrored = |change: Change<'_>| (change.kind.mirrored(), change.what.into_owned(), change.to.into_owned(), change.from.into_owned());
            let mut there: Vec<_> = compared(Some(&old), Some(&new)).into_iter().map(mirrored).collect();
            let mut back: Vec<_> = compared(Some(&new), Some(&old)).into_iter().map(|c| (c.kind, c.what.into_owned(), c.from.into_owned(), c.to.into_owned())).collect();
            there.sort();
            back.sort();
            prop_assert_eq!(there, back);
        }
    }
}
