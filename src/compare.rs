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
