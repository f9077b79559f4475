//! The tables that every format renders: which columns, and which rows an account gives.

use std::borrow::Cow;

use serde_json::Value;

use crate::assess::Assessed;
use crate::compare::{Cause, Change, ChangeKind};
use crate::finding::{Finding, Status};
use crate::model::Connector;
use crate::outcome::Outcome;
use crate::policy::{FedrampExpectation, Policy};
use crate::rules::Topic;
use crate::severity::Severity;
use crate::text::utc;
use chrono::{DateTime, Utc};

/// What tables need beside the account itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What is expected and waived.
    pub policy: &'a Policy,
    /// The moment up to which ages count.
    pub now: DateTime<Utc>,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Text that came from outside, or may hold some.
    Text(Cow<'a, str>),
    /// One of our own words, times and ids, which no spreadsheet mistakes for a formula.
    Word(Cow<'a, str>),
    /// A count.
    Number(u64),
    /// A count that is not known.
    NoNumber,
}

impl Cell<'_> {
    /// The value as text, as it stands in the page.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) | Self::Word(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::NoNumber => Cow::Borrowed(""),
        }
    }

    /// The value for JSON: counts are numbers, everything else is text.
    pub fn json(&self) -> Value {
        match self {
            Self::Text(text) | Self::Word(text) => Value::String(text.as_ref().to_owned()),
            Self::Number(number) => Value::from(*number),
            Self::NoNumber => Value::Null,
        }
    }
}

/// A row with its place among the others.
#[derive(Debug)]
pub struct Row<'r, 'a> {
    /// How much it matters, worst first; `None` for what calls for no action.
    pub severity: Option<Severity>,
    /// One for each column.
    pub cells: &'r [Cell<'a>],
}

/// What takes rows.
pub type Emit<'e> = dyn FnMut(Row<'_, '_>) + 'e;

/// A table with a CSV file of its own.
#[derive(Debug)]
pub struct Table {
    /// The CSV file's name.
    pub file: &'static str,
    /// The columns, in order.
    pub columns: &'static [&'static str],
    /// Whether rows stand by severity first, over all accounts; else they stand in the accounts' order.
    pub by_severity: bool,
    /// The rows that an account gives.
    pub rows: fn(&Assessed<'_>, &Context<'_>, &mut Emit<'_>),
}

/// Every table, the three reports that people ask for first.
pub const TABLES: &[&Table] = &[
    &UNVERIFIED,
    &DISABLED,
    &FEDRAMP,
    &FINDINGS,
    &ACCOUNTS,
    &CONNECTORS,
    &CHANGES,
];

fn text<'a>(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    Cell::Text(text.into())
}

fn word<'a>(word: impl Into<Cow<'a, str>>) -> Cell<'a> {
    Cell::Word(word.into())
}

fn flag(flag: bool) -> Cell<'static> {
    word(if flag { "true" } else { "false" })
}

fn severity(severity: Option<Severity>) -> Cell<'static> {
    word(severity.map_or("", Severity::as_str))
}

fn time(at: Option<DateTime<Utc>>) -> Cell<'static> {
    word(at.map(utc).unwrap_or_default())
}

/// A known setting is our own word; an unrecognised one is text from outside.
macro_rules! setting {
    ($field:expr) => {
        match $field.known() {
            Some(_) => word($field.shown("unknown")),
            None => text($field.shown("unknown")),
        }
    };
}

/// A time as the files write it, or what came in its place.
macro_rules! moment {
    ($field:expr) => {
        match $field.known() {
            Some(timestamp) => word(utc(timestamp.at)),
            None => text($field.shown("")),
        }
    };
}

fn account_cells<'a>(assessed: &'a Assessed<'_>) -> [Cell<'a>; 2] {
    [text(&*assessed.asked.id), text(&*assessed.asked.name)]
}

fn connectors<'a>(assessed: &'a Assessed<'_>) -> impl Iterator<Item = (usize, &'a Connector)> {
    assessed.evidence.connectors.iter().enumerate()
}

/// Connectors whose status is not `verified`.
pub const UNVERIFIED: Table = Table {
    file: "unverified_domains.csv",
    columns: &[
        "account_id",
        "account_name",
        "connector_id",
        "email_domain",
        "verification_status",
        "enabled",
        "txt_name",
        "txt_value",
        "dns_txt",
        "age_days",
        "severity",
        "waived",
        "created_on_utc",
        "updated_on_utc",
    ],
    by_severity: false,
    rows: |assessed, context, emit| {
        for (index, connector) in
            connectors(assessed).filter(|(_, connector)| !connector.is_verified())
        {
            let odd = connector.verification.status.known().is_none();
            let (worst, waived) = assessed.worst_about(index, Topic::Verification, odd);
            let age = connector
                .changed_at()
                .and_then(|at| u64::try_from((context.now - at).num_days()).ok());
            let [account_id, account_name] = account_cells(assessed);
            let cells = [
                account_id,
                account_name,
                text(connector.id.shown("")),
                text(connector.email_domain.shown("")),
                setting!(connector.verification.status),
                setting!(connector.enabled),
                text(connector.email_domain.shown("")),
                text(connector.verification.code.shown("")),
                word(""),
                age.map_or(Cell::NoNumber, Cell::Number),
                severity(worst),
                flag(waived),
                moment!(connector.created_on),
                moment!(connector.updated_on),
            ];
            emit(Row {
                severity: worst.filter(|_| !waived),
                cells: &cells,
            });
        }
    },
};

/// Whether a connector counts as disabled: its `enabled` is not true.
pub fn is_disabled(connector: &Connector) -> bool {
    connector.enabled.known() != Some(&true)
}

/// Connectors whose `enabled` is not true.
pub const DISABLED: Table = Table {
    file: "disabled_connectors.csv",
    columns: &[
        "account_id",
        "account_name",
        "connector_id",
        "email_domain",
        "enabled",
        "verification_status",
        "severity",
        "waived",
        "created_on_utc",
        "updated_on_utc",
    ],
    by_severity: false,
    rows: |assessed, _, emit| {
        for (index, connector) in
            connectors(assessed).filter(|(_, connector)| is_disabled(connector))
        {
            let odd = connector.enabled.known().is_none();
            let (worst, waived) = assessed.worst_about(index, Topic::Enablement, odd);
            let [account_id, account_name] = account_cells(assessed);
            let cells = [
                account_id,
                account_name,
                text(connector.id.shown("")),
                text(connector.email_domain.shown("")),
                setting!(connector.enabled),
                setting!(connector.verification.status),
                severity(worst),
                flag(waived),
                moment!(connector.created_on),
                moment!(connector.updated_on),
            ];
            emit(Row {
                severity: worst.filter(|_| !waived),
                cells: &cells,
            });
        }
    },
};

/// Whether a connector's FedRAMP text is as expected: `yes`, `no`, `unknown` or `not-judged`.
pub fn compliance(expected: FedrampExpectation, connector: &Connector) -> &'static str {
    match (expected, connector.use_fedramp_language.known()) {
        (FedrampExpectation::Any, _) => "not-judged",
        (_, None) => "unknown",
        (FedrampExpectation::Required, Some(on)) => {
            if *on {
                "yes"
            } else {
                "no"
            }
        }
        (FedrampExpectation::Forbidden, Some(on)) => {
            if *on {
                "no"
            } else {
                "yes"
            }
        }
    }
}

/// Every connector with its FedRAMP text, and whether that is as expected.
pub const FEDRAMP: Table = Table {
    file: "fedramp_settings.csv",
    columns: &[
        "account_id",
        "account_name",
        "connector_id",
        "email_domain",
        "use_fedramp_language",
        "expected",
        "compliant",
        "enabled",
        "verification_status",
    ],
    by_severity: false,
    rows: |assessed, context, emit| {
        let expected = context.policy.fedramp(&assessed.asked.id);
        for (index, connector) in connectors(assessed) {
            let odd = connector.use_fedramp_language.known().is_none();
            let (worst, waived) = assessed.worst_about(index, Topic::Fedramp, odd);
            let [account_id, account_name] = account_cells(assessed);
            let cells = [
                account_id,
                account_name,
                text(connector.id.shown("")),
                text(connector.email_domain.shown("")),
                setting!(connector.use_fedramp_language),
                word(expected.as_str()),
                word(compliance(expected, connector)),
                setting!(connector.enabled),
                setting!(connector.verification.status),
            ];
            emit(Row {
                severity: worst.filter(|_| !waived),
                cells: &cells,
            });
        }
    },
};

/// Every connector.
pub const CONNECTORS: Table = Table {
    file: "connectors.csv",
    columns: &[
        "account_id",
        "account_name",
        "connector_id",
        "email_domain",
        "enabled",
        "verification_status",
        "verification_code",
        "use_fedramp_language",
        "created_on_utc",
        "updated_on_utc",
        "rules",
        "worst_severity",
    ],
    by_severity: false,
    rows: |assessed, _, emit| {
        for (index, connector) in connectors(assessed) {
            let mut rules = String::new();
            let (mut worst, mut worst_open): (Option<Severity>, Option<Severity>) = (None, None);
            for finding in assessed.findings_of(index) {
                if !rules.is_empty() {
                    rules.push(' ');
                }
                rules.push_str(finding.rule.id);
                // Findings stand worst first.
                worst = worst.or(Some(finding.severity));
                worst_open = worst_open.or(Some(finding.severity).filter(|_| finding.is_open()));
            }
            let [account_id, account_name] = account_cells(assessed);
            let cells = [
                account_id,
                account_name,
                text(connector.id.shown("")),
                text(connector.email_domain.shown("")),
                setting!(connector.enabled),
                setting!(connector.verification.status),
                text(connector.verification.code.shown("")),
                setting!(connector.use_fedramp_language),
                moment!(connector.created_on),
                moment!(connector.updated_on),
                word(rules),
                severity(worst),
            ];
            emit(Row {
                severity: worst_open,
                cells: &cells,
            });
        }
    },
};

/// Every finding.
pub const FINDINGS: Table = Table {
    file: "findings.csv",
    columns: &[
        "finding_id",
        "rule",
        "severity",
        "status",
        "change",
        "account_id",
        "account_name",
        "owner",
        "connector_id",
        "email_domain",
        "message",
        "remediation",
        "controls",
        "first_seen_utc",
        "waiver_owner",
        "waiver_reason",
        "waiver_expires",
    ],
    by_severity: true,
    rows: |assessed, context, emit| {
        for finding in &assessed.findings {
            let waiver = match finding.status {
                Status::Open => None,
                Status::Waived(position) => context.policy.waivers.get(position),
            };
            let [account_id, account_name] = account_cells(assessed);
            let cells = [
                text(&*finding.id),
                word(finding.rule.id),
                word(finding.severity.as_str()),
                word(if finding.is_open() { "open" } else { "waived" }),
                word(finding.age.as_str()),
                account_id,
                account_name,
                text(assessed.owner),
                text(&*finding.connector_id),
                text(&*finding.email_domain),
                text(&*finding.message),
                text(&*finding.remediation),
                word(controls(finding)),
                time(Some(finding.first_seen)),
                text(waiver.map_or("", |waiver| &waiver.owner)),
                text(waiver.map_or("", |waiver| &waiver.reason)),
                word(
                    waiver
                        .map(|waiver| waiver.expires.to_string())
                        .unwrap_or_default(),
                ),
            ];
            emit(Row {
                severity: Some(finding.severity),
                cells: &cells,
            });
        }
    },
};

fn controls(finding: &Finding) -> String {
    let labels: Vec<_> = finding
        .rule
        .controls
        .iter()
        .map(|control| control.label())
        .collect();
    labels.join("; ")
}

/// Every account asked for. The counts of findings are of those that are open.
pub const ACCOUNTS: Table = Table {
    file: "accounts.csv",
    columns: &[
        "account_id",
        "account_name",
        "owner",
        "outcome",
        "connectors",
        "unverified",
        "disabled",
        "fedramp_on",
        "fedramp_off",
        "findings_critical",
        "findings_high",
        "findings_medium",
        "findings_low",
        "error_kind",
        "error_code",
        "error_message",
        "http_status",
        "cf_ray",
        "attempts",
        "read_at_utc",
    ],
    by_severity: false,
    rows: |assessed, _, emit| {
        let evidence = &assessed.evidence;
        // Of an account of which nothing was read, no number is known.
        let known = |number: usize| {
            if evidence.outcome == Outcome::Unread {
                Cell::NoNumber
            } else {
                Cell::Number(number as u64)
            }
        };
        let connectors_with = |wanted: &dyn Fn(&Connector) -> bool| {
            known(evidence.connectors.iter().filter(|c| wanted(c)).count())
        };
        let open = |severity| {
            let findings = assessed
                .findings
                .iter()
                .filter(|finding| finding.is_open() && finding.severity == severity);
            Cell::Number(findings.count() as u64)
        };
        let error = evidence.error.as_ref();
        let [account_id, account_name] = account_cells(assessed);
        let cells = [
            account_id,
            account_name,
            text(assessed.owner),
            word(evidence.outcome.as_str()),
            known(evidence.connectors.len()),
            connectors_with(&|connector| !connector.is_verified()),
            connectors_with(&is_disabled),
            connectors_with(&|connector| connector.use_fedramp_language.known() == Some(&true)),
            connectors_with(&|connector| connector.use_fedramp_language.known() == Some(&false)),
            open(Severity::Critical),
            open(Severity::High),
            open(Severity::Medium),
            open(Severity::Low),
            word(error.map_or("", |error| error.kind.as_str())),
            text(
                error
                    .and_then(|error| error.code.as_deref())
                    .unwrap_or_default(),
            ),
            text(error.map_or("", |error| &error.message)),
            evidence
                .http_status
                .map_or(Cell::NoNumber, |status| Cell::Number(status.into())),
            text(evidence.cf_ray.as_deref().unwrap_or_default()),
            Cell::Number(evidence.attempts.into()),
            time(evidence.read_at),
        ];
        let worst_open = assessed
            .findings
            .iter()
            .find(|finding| finding.is_open())
            .map(|finding| finding.severity);
        emit(Row {
            severity: worst_open,
            cells: &cells,
        });
    },
};

/// Accounts that were not read whole: since when, and why. For the page; `accounts.csv` has them among all others.
pub const UNREAD: Table = Table {
    file: ACCOUNTS.file,
    columns: &[
        "account_id",
        "account_name",
        "owner",
        "outcome",
        "last_read_utc",
        "unread_since_utc",
        "error_kind",
        "error_code",
        "error_message",
        "http_status",
        "cf_ray",
        "attempts",
        "read_at_utc",
    ],
    by_severity: false,
    rows: |assessed, _, emit| {
        let evidence = &assessed.evidence;
        let error = evidence.error.as_ref();
        let [account_id, account_name] = account_cells(assessed);
        let cells = [
            account_id,
            account_name,
            text(assessed.owner),
            word(evidence.outcome.as_str()),
            time(assessed.memory.read.as_ref().map(|read| read.at)),
            time(assessed.memory.unread_since),
            word(error.map_or("", |error| error.kind.as_str())),
            text(
                error
                    .and_then(|error| error.code.as_deref())
                    .unwrap_or_default(),
            ),
            text(error.map_or("", |error| &error.message)),
            evidence
                .http_status
                .map_or(Cell::NoNumber, |status| Cell::Number(status.into())),
            text(evidence.cf_ray.as_deref().unwrap_or_default()),
            Cell::Number(evidence.attempts.into()),
            time(evidence.read_at),
        ];
        emit(Row {
            severity: None,
            cells: &cells,
        });
    },
};

/// Every change since each account was last read whole.
pub const CHANGES: Table = Table {
    file: "changes.csv",
    columns: &[
        "kind",
        "account_id",
        "account_name",
        "connector_id",
        "email_domain",
        "what",
        "from",
        "to",
        "cause",
    ],
    by_severity: false,
    rows: |assessed, _, emit| emit_changes(&assessed.changes, emit),
};

/// The rows of changes.
pub fn emit_changes(changes: &[Change], emit: &mut Emit<'_>) {
    for change in changes {
        let cells = [
            word(change.kind.as_str()),
            text(&*change.account_id),
            text(&*change.account_name),
            text(&*change.connector_id),
            text(&*change.email_domain),
            word(&*change.what),
            text(&*change.from),
            text(&*change.to),
            word(change.cause.map_or("", Cause::as_str)),
        ];
        // A new finding matters as much as the finding does.
        let severity = (change.kind == ChangeKind::FindingNew)
            .then(|| Severity::parse(&change.to))
            .flatten();
        emit(Row {
            severity,
            cells: &cells,
        });
    }
}
