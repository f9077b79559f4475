//! The tables that every format renders: which columns, and which rows.
//!
//! What is shown of an account, a connector, a finding or a change is prepared once, in a row that all tables share. A
//! table is a list of columns over such rows, and says which rows it has.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde_json::Value;

use super::dialect::Dialect;
use crate::assess::Assessed;
use crate::compare::{Cause, Change, ChangeKind};
use crate::dns::DnsTxt;
use crate::finding::{Finding, Status};
use crate::ledger::{RuleFigures, TrendPoint};
use crate::model::{Connector, Field, Timestamp, Wire};
use crate::outcome::Outcome;
use crate::policy::{FedrampExpectation, Policy, Waiver};
use crate::rules::{RULES, Topic, rule};
use crate::runs::is_run_id;
use crate::severity::Severity;
use crate::text::utc;

/// What rows need beside the account itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What is expected and waived.
    pub policy: &'a Policy,
    /// The moment up to which ages count.
    pub now: DateTime<Utc>,
    /// How CSV is written.
    pub dialect: Dialect,
    /// When the run began.
    pub started: DateTime<Utc>,
    /// Whether every account of the run was read in full, and none may be missing from its list.
    pub is_whole: bool,
}

/// Text from outside, or with some in it: as it is, and as CSV holds it.
#[derive(Debug)]
pub struct Text<'r> {
    plain: Cow<'r, str>,
    /// `None` where CSV holds it as it is.
    in_csv: Option<String>,
}

impl<'r> Text<'r> {
    fn new(plain: impl Into<Cow<'r, str>>, dialect: Dialect) -> Self {
        let plain = plain.into();
        let in_csv = match dialect.guarded(&plain) {
            Cow::Borrowed(_) => None,
            Cow::Owned(guarded) => Some(guarded),
        };
        Self { plain, in_csv }
    }

    /// As CSV holds it.
    pub fn in_csv(&self) -> &str {
        self.in_csv.as_deref().unwrap_or(&self.plain)
    }
}

/// A moment or a day, and the way the files write it.
#[derive(Debug)]
pub struct Dated<'r, T> {
    /// The value.
    pub value: T,
    text: Cow<'r, str>,
}

impl Dated<'_, DateTime<Utc>> {
    fn at(value: DateTime<Utc>) -> Self {
        let text = Cow::Owned(utc(value));
        Self { value, text }
    }
}

/// One value of a row.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'r> {
    /// Text that came from outside, or may hold some.
    Text(&'r Text<'r>),
    /// One of our own words and ids, which no spreadsheet mistakes for a formula.
    Word(&'r str),
    /// How bad something is.
    Severity(Severity),
    /// Whether something is so.
    Flag(bool),
    /// A moment, in UTC.
    Time(&'r Dated<'r, DateTime<Utc>>),
    /// A day.
    Day(&'r Dated<'r, NaiveDate>),
    /// A count.
    Number(u64),
    /// A count that is not known.
    NoNumber,
}

impl<'r> Cell<'r> {
    fn count(number: usize) -> Self {
        Self::Number(number as u64)
    }

    fn known_count(number: Option<u64>) -> Self {
        number.map_or(Self::NoNumber, Self::Number)
    }

    fn severity(severity: Option<Severity>) -> Self {
        severity.map_or(Self::Word(""), Self::Severity)
    }

    fn time(time: &'r Option<Dated<'r, DateTime<Utc>>>) -> Self {
        time.as_ref().map_or(Self::Word(""), Self::Time)
    }

    /// The text of a cell that holds one.
    pub fn text(self) -> Option<&'r str> {
        match self {
            Self::Text(text) => Some(&text.plain),
            Self::Word(word) => Some(word),
            Self::Severity(severity) => Some(severity.as_str()),
            Self::Flag(flag) => Some(if flag { "true" } else { "false" }),
            Self::Time(time) => Some(&time.text),
            Self::Day(day) => Some(&day.text),
            Self::Number(_) | Self::NoNumber => None,
        }
    }

    /// The value for a page: counts are numbers, and empty where they are not known; everything else is text.
    pub fn for_page(self) -> Value {
        match self {
            Self::Number(number) => Value::from(number),
            cell => Value::from(cell.text().unwrap_or_default()),
        }
    }
}

/// A field as it is shown: one of our own words, a value of a kind of its own, or text from outside.
#[derive(Debug)]
enum Shown<'r> {
    Word(Cow<'r, str>),
    Flag(bool),
    Time(Dated<'r, DateTime<Utc>>),
    Text(Text<'r>),
}

impl<'r> Shown<'r> {
    fn of<T: Wire>(field: &'r Field<T>, missing: &'static str, dialect: Dialect) -> Self {
        match field {
            Field::Unrecognised(_) => Self::Text(Text::new(field.shown(missing), dialect)),
            _ => Self::Word(field.shown(missing)),
        }
    }

    fn flag(field: &'r Field<bool>, missing: &'static str, dialect: Dialect) -> Self {
        match field {
            Field::Known(flag) => Self::Flag(*flag),
            _ => Self::of(field, missing, dialect),
        }
    }

    fn time(field: &'r Field<Timestamp>, missing: &'static str, dialect: Dialect) -> Self {
        match field {
            Field::Known(time) => Self::Time(Dated::at(time.at)),
            _ => Self::of(field, missing, dialect),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Word(word) => Cell::Word(word),
            Self::Flag(flag) => Cell::Flag(*flag),
            Self::Time(time) => Cell::Time(time),
            Self::Text(text) => Cell::Text(text),
        }
    }
}

/// A kind of rows.
pub trait Kind: 'static {
    /// The rows.
    type Row<'r>;
}

/// A column of a table: its head, and how a row fills it.
pub struct Column<K: Kind> {
    /// The head.
    pub name: &'static str,
    /// The cell.
    pub cell: for<'r, 's> fn(&'r K::Row<'s>) -> Cell<'r>,
}

/// A table.
pub struct Table<K: Kind> {
    /// The CSV file's name.
    pub file: &'static str,
    /// The columns, in order.
    pub columns: &'static [Column<K>],
    /// Whether it has a row.
    pub admits: for<'r, 's> fn(&'r K::Row<'s>) -> bool,
    /// How much a row matters, worst first; `None` for what calls for no action.
    pub severity: for<'r, 's> fn(&'r K::Row<'s>) -> Option<Severity>,
}

impl<K: Kind> Table<K> {
    /// The heads of the columns, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|column| column.name).collect()
    }

    /// The cell of a row under a head; `None` where there is no such column.
    pub fn cell<'r>(&self, name: &str, row: &'r K::Row<'_>) -> Option<Cell<'r>> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        Some((column.cell)(row))
    }
}

/// `Column { name, cell }`, for short.
const fn column<K: Kind>(
    name: &'static str,
    cell: for<'r, 's> fn(&'r K::Row<'s>) -> Cell<'r>,
) -> Column<K> {
    Column { name, cell }
}

// ---------------------------------------------------------------- accounts

/// Rows that show an account.
pub struct OfAccount;

impl Kind for OfAccount {
    type Row<'r> = AccountRow<'r>;
}

/// What is shown of an account.
pub struct AccountRow<'r> {
    /// The account, judged.
    pub assessed: &'r Assessed<'r>,
    context: Context<'r>,
    id: Text<'r>,
    name: Text<'r>,
    owner: Text<'r>,
    expected: FedrampExpectation,
    connectors: ConnectorCounts,
    /// Open findings by severity.
    findings: [usize; Severity::ALL.len()],
    error_code: Text<'r>,
    error_message: Text<'r>,
    cf_ray: Text<'r>,
    read_at: Option<Dated<'r, DateTime<Utc>>>,
    last_read: Option<Dated<'r, DateTime<Utc>>>,
    unread_since: Option<Dated<'r, DateTime<Utc>>>,
}

/// The connectors of an account.
#[derive(Debug, Default)]
struct ConnectorCounts {
    unverified: usize,
    disabled: usize,
    fedramp_on: usize,
    fedramp_off: usize,
}

impl ConnectorCounts {
    fn of(connectors: &[Connector]) -> Self {
        let mut counts = Self::default();
        for connector in connectors {
            counts.unverified += usize::from(!connector.is_verified());
            counts.disabled += usize::from(!connector.is_enabled());
            match connector.use_fedramp_language.known() {
                Some(true) => counts.fedramp_on += 1,
                Some(false) => counts.fedramp_off += 1,
                None => {}
            }
        }
        counts
    }
}

impl<'r> AccountRow<'r> {
    /// Prepares what is shown of an account.
    pub fn of(assessed: &'r Assessed<'r>, context: Context<'r>) -> Self {
        let text = |text: &'r str| Text::new(text, context.dialect);
        let evidence = &assessed.evidence;
        let error = evidence.error.as_ref();
        let time = |at: Option<DateTime<Utc>>| at.map(Dated::at);
        let mut findings = [0; Severity::ALL.len()];
        for finding in assessed.findings.iter().filter(|finding| finding.is_open()) {
            findings[finding.severity as usize] += 1;
        }
        Self {
            assessed,
            context,
            id: text(&assessed.asked.id),
            name: text(&assessed.asked.name),
            owner: text(assessed.owner),
            expected: context.policy.fedramp(&assessed.asked.id),
            connectors: ConnectorCounts::of(&evidence.connectors),
            findings,
            error_code: text(
                error
                    .and_then(|error| error.code.as_deref())
                    .unwrap_or_default(),
            ),
            error_message: text(error.map_or("", |error| &error.message)),
            cf_ray: text(evidence.cf_ray.as_deref().unwrap_or_default()),
            read_at: time(evidence.read_at),
            last_read: time(assessed.state.read.as_ref().map(|read| read.at)),
            unread_since: time(assessed.state.unread_since),
        }
    }

    /// Of an account of which nothing was read, no number is known.
    fn count_if_read(&self, number: usize) -> Cell<'_> {
        if self.assessed.evidence.outcome == Outcome::Unread {
            Cell::NoNumber
        } else {
            Cell::count(number)
        }
    }

    fn open(&self, severity: Severity) -> Cell<'_> {
        Cell::count(self.findings[severity as usize])
    }

    /// When the run began that asked for it.
    pub fn run_started(&self) -> DateTime<Utc> {
        self.context.started
    }

    /// Whether every account of that run was read in full, and none may be missing from its list.
    pub fn run_is_whole(&self) -> bool {
        self.context.is_whole
    }

    /// The worst of its open findings.
    pub fn worst_open(&self) -> Option<Severity> {
        let open = |severity: &Severity| self.findings[*severity as usize] > 0;
        Severity::ALL.into_iter().find(open)
    }
}

/// The columns that several of its tables have.
impl OfAccount {
    const ACCOUNT_ID: Column<Self> = column("account_id", |row| Cell::Text(&row.id));
    const ACCOUNT_NAME: Column<Self> = column("account_name", |row| Cell::Text(&row.name));
    const OWNER: Column<Self> = column("owner", |row| Cell::Text(&row.owner));
    const OUTCOME: Column<Self> = column("outcome", |row| {
        Cell::Word(row.assessed.evidence.outcome.as_str())
    });
    const ERROR_KIND: Column<Self> = column("error_kind", |row| {
        let error = row.assessed.evidence.error.as_ref();
        Cell::Word(error.map_or("", |error| error.kind.as_str()))
    });
    const ERROR_CODE: Column<Self> = column("error_code", |row| Cell::Text(&row.error_code));
    const ERROR_MESSAGE: Column<Self> =
        column("error_message", |row| Cell::Text(&row.error_message));
    const HTTP_STATUS: Column<Self> = column("http_status", |row| {
        Cell::known_count(row.assessed.evidence.http_status.map(Into::into))
    });
    const CF_RAY: Column<Self> = column("cf_ray", |row| Cell::Text(&row.cf_ray));
    const ATTEMPTS: Column<Self> = column("attempts", |row| {
        Cell::Number(row.assessed.evidence.attempts.into())
    });
    const READ_AT: Column<Self> = column("read_at_utc", |row| Cell::time(&row.read_at));
}

/// Every account asked for. The counts of findings are of those that are open.
pub const ACCOUNTS: Table<OfAccount> = Table {
    file: "accounts.csv",
    columns: &[
        OfAccount::ACCOUNT_ID,
        OfAccount::ACCOUNT_NAME,
        OfAccount::OWNER,
        OfAccount::OUTCOME,
        column("connectors", |row| {
            row.count_if_read(row.assessed.evidence.connectors.len())
        }),
        column("unverified", |row| {
            row.count_if_read(row.connectors.unverified)
        }),
        column("disabled", |row| row.count_if_read(row.connectors.disabled)),
        column("fedramp_on", |row| {
            row.count_if_read(row.connectors.fedramp_on)
        }),
        column("fedramp_off", |row| {
            row.count_if_read(row.connectors.fedramp_off)
        }),
        column("findings_critical", |row| row.open(Severity::Critical)),
        column("findings_high", |row| row.open(Severity::High)),
        column("findings_medium", |row| row.open(Severity::Medium)),
        column("findings_low", |row| row.open(Severity::Low)),
        OfAccount::ERROR_KIND,
        OfAccount::ERROR_CODE,
        OfAccount::ERROR_MESSAGE,
        OfAccount::HTTP_STATUS,
        OfAccount::CF_RAY,
        OfAccount::ATTEMPTS,
        OfAccount::READ_AT,
    ],
    admits: |_| true,
    severity: |row| row.worst_open(),
};

/// Accounts that were not read in full: since when, and why. For the page; `accounts.csv` has them among all others.
pub const UNREAD: Table<OfAccount> = Table {
    file: ACCOUNTS.file,
    columns: &[
        OfAccount::ACCOUNT_ID,
        OfAccount::ACCOUNT_NAME,
        OfAccount::OWNER,
        OfAccount::OUTCOME,
        column("last_read_utc", |row| Cell::time(&row.last_read)),
        column("unread_since_utc", |row| Cell::time(&row.unread_since)),
        OfAccount::ERROR_KIND,
        OfAccount::ERROR_CODE,
        OfAccount::ERROR_MESSAGE,
        OfAccount::HTTP_STATUS,
        OfAccount::CF_RAY,
        OfAccount::ATTEMPTS,
        OfAccount::READ_AT,
    ],
    admits: |row| row.assessed.evidence.outcome != Outcome::Read,
    severity: |_| None,
};

// ---------------------------------------------------------------- connectors

/// Rows that show a connector.
pub struct OfConnector;

impl Kind for OfConnector {
    type Row<'r> = ConnectorRow<'r>;
}

/// What is shown of a connector.
pub struct ConnectorRow<'r> {
    account: &'r AccountRow<'r>,
    connector: &'r Connector,
    names: &'r ConnectorNames<'r>,
    code: Text<'r>,
    enabled: Shown<'r>,
    status: Shown<'r>,
    fedramp: Shown<'r>,
    created_on: Shown<'r>,
    updated_on: Shown<'r>,
    /// Days since it last changed.
    age: Option<u64>,
    about_verification: Verdict,
    about_enablement: Verdict,
    about_fedramp: Verdict,
    dns_detail: Text<'r>,
    dns_other_codes: Text<'r>,
    /// The rules that fired.
    rules: String,
    worst: Option<Severity>,
    worst_open: Option<Severity>,
}

/// What names a connector, also in the rows of its findings.
pub struct ConnectorNames<'r> {
    id: Text<'r>,
    domain: Text<'r>,
}

impl<'r> ConnectorNames<'r> {
    /// Prepares what names a connector.
    pub fn of(connector: &'r Connector, context: Context<'_>) -> Self {
        Self {
            id: Text::new(connector.id.shown(""), context.dialect),
            domain: Text::new(connector.email_domain.shown(""), context.dialect),
        }
    }
}

/// How bad what one of the three reports shows of a connector is.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    worst: Option<Severity>,
    /// Whether all of it is waived.
    waived: bool,
}

impl Verdict {
    fn of<T>(row: &AccountRow<'_>, position: usize, topic: Topic, field: &Field<T>) -> Self {
        let odd = field.known().is_none();
        let (worst, waived) = row.assessed.worst_about(position, topic, odd);
        Self { worst, waived }
    }

    fn open(self) -> Option<Severity> {
        self.worst.filter(|_| !self.waived)
    }
}

impl<'r> ConnectorRow<'r> {
    /// Prepares what is shown of the connector at a position.
    pub fn of(
        account: &'r AccountRow<'r>,
        position: usize,
        connector: &'r Connector,
        names: &'r ConnectorNames<'r>,
    ) -> Self {
        let Context { now, dialect, .. } = account.context;
        let verification = &connector.verification;
        let mut rules = String::new();
        let (mut worst, mut worst_open): (Option<Severity>, Option<Severity>) = (None, None);
        for finding in account.assessed.findings_of(position) {
            if !rules.is_empty() {
                rules.push(' ');
            }
            rules.push_str(finding.rule.id);
            // Findings stand worst first.
            worst = worst.or(Some(finding.severity));
            worst_open = worst_open.or(Some(finding.severity).filter(|_| finding.is_open()));
        }
        let age = connector.changed_at().map(|at| (now - at).num_days());
        let dns = connector.dns.as_deref();
        let about_fedramp = Verdict::of(
            account,
            position,
            Topic::Fedramp,
            &connector.use_fedramp_language,
        );
        Self {
            account,
            connector,
            names,
            code: Text::new(verification.code.shown(""), dialect),
            enabled: Shown::flag(&connector.enabled, "unknown", dialect),
            status: Shown::of(&verification.status, "unknown", dialect),
            fedramp: Shown::flag(&connector.use_fedramp_language, "unknown", dialect),
            created_on: Shown::time(&connector.created_on, "", dialect),
            updated_on: Shown::time(&connector.updated_on, "", dialect),
            age: age.and_then(|days| days.try_into().ok()),
            about_verification: Verdict::of(
                account,
                position,
                Topic::Verification,
                &verification.status,
            ),
            about_enablement: Verdict::of(account, position, Topic::Enablement, &connector.enabled),
            about_fedramp,
            dns_detail: Text::new(dns.map_or("", |seen| &seen.detail), dialect),
            dns_other_codes: Text::new(
                dns.map(|seen| listed(&seen.other_codes))
                    .unwrap_or_default(),
                dialect,
            ),
            rules,
            worst,
            worst_open,
        }
    }
}

impl ConnectorRow<'_> {
    /// Which FedRAMP text the policy expects of it.
    pub fn expected(&self) -> FedrampExpectation {
        self.account.expected
    }
}

/// Codes in one cell: a zone may hold thousands, and a spreadsheet's cell has room for some.
fn listed(codes: &[String]) -> String {
    const MOST: usize = 20;
    let mut listed = codes[..codes.len().min(MOST)].join(", ");
    if codes.len() > MOST {
        listed.push_str(&format!(" and {} more", codes.len() - MOST));
    }
    listed
}

/// Whether a connector's FedRAMP text is as expected: `yes`, `no`, `unknown` or `not-judged`.
pub fn compliance(expected: FedrampExpectation, connector: &Connector) -> &'static str {
    let wanted = match expected {
        FedrampExpectation::Any => return "not-judged",
        FedrampExpectation::Required => true,
        FedrampExpectation::Forbidden => false,
    };
    match connector.use_fedramp_language.known() {
        None => "unknown",
        Some(&on) if on == wanted => "yes",
        Some(_) => "no",
    }
}

/// The columns that several of its tables have.
impl OfConnector {
    const ACCOUNT_ID: Column<Self> = column("account_id", |row| Cell::Text(&row.account.id));
    const ACCOUNT_NAME: Column<Self> = column("account_name", |row| Cell::Text(&row.account.name));
    const CONNECTOR_ID: Column<Self> = column("connector_id", |row| Cell::Text(&row.names.id));
    const EMAIL_DOMAIN: Column<Self> = column("email_domain", |row| Cell::Text(&row.names.domain));
    const ENABLED: Column<Self> = column("enabled", |row| row.enabled.cell());
    const VERIFICATION_STATUS: Column<Self> =
        column("verification_status", |row| row.status.cell());
    const USE_FEDRAMP_LANGUAGE: Column<Self> =
        column("use_fedramp_language", |row| row.fedramp.cell());
    const TXT_NAME: Column<Self> = column("txt_name", |row| Cell::Text(&row.names.domain));
    const TXT_VALUE: Column<Self> = column("txt_value", |row| Cell::Text(&row.code));
    const DNS_TXT: Column<Self> = column("dns_txt", |row| {
        Cell::Word(row.connector.dns_txt().map_or("", DnsTxt::as_str))
    });
    const CREATED_ON: Column<Self> = column("created_on_utc", |row| row.created_on.cell());
    const UPDATED_ON: Column<Self> = column("updated_on_utc", |row| row.updated_on.cell());
    /// Last, for tables that had none before: whoever counts columns finds the others where they were.
    const OWNER: Column<Self> = column("owner", |row| Cell::Text(&row.account.owner));
}

/// Connectors whose status is not `verified`.
pub const UNVERIFIED: Table<OfConnector> = Table {
    file: "unverified_domains.csv",
    columns: &[
        OfConnector::ACCOUNT_ID,
        OfConnector::ACCOUNT_NAME,
        OfConnector::CONNECTOR_ID,
        OfConnector::EMAIL_DOMAIN,
        OfConnector::VERIFICATION_STATUS,
        OfConnector::ENABLED,
        OfConnector::TXT_NAME,
        OfConnector::TXT_VALUE,
        OfConnector::DNS_TXT,
        column("age_days", |row| Cell::known_count(row.age)),
        column("severity", |row| {
            Cell::severity(row.about_verification.worst)
        }),
        column("waived", |row| Cell::Flag(row.about_verification.waived)),
        OfConnector::CREATED_ON,
        OfConnector::UPDATED_ON,
        OfConnector::OWNER,
    ],
    admits: |row| !row.connector.is_verified(),
    severity: |row| row.about_verification.open(),
};

/// Connectors whose `enabled` is not true.
pub const DISABLED: Table<OfConnector> = Table {
    file: "disabled_connectors.csv",
    columns: &[
        OfConnector::ACCOUNT_ID,
        OfConnector::ACCOUNT_NAME,
        OfConnector::CONNECTOR_ID,
        OfConnector::EMAIL_DOMAIN,
        OfConnector::ENABLED,
        OfConnector::VERIFICATION_STATUS,
        column("severity", |row| Cell::severity(row.about_enablement.worst)),
        column("waived", |row| Cell::Flag(row.about_enablement.waived)),
        OfConnector::CREATED_ON,
        OfConnector::UPDATED_ON,
        OfConnector::OWNER,
    ],
    admits: |row| !row.connector.is_enabled(),
    severity: |row| row.about_enablement.open(),
};

/// Every connector with its FedRAMP text, and whether that is as expected.
pub const FEDRAMP: Table<OfConnector> = Table {
    file: "fedramp_settings.csv",
    columns: &[
        OfConnector::ACCOUNT_ID,
        OfConnector::ACCOUNT_NAME,
        OfConnector::CONNECTOR_ID,
        OfConnector::EMAIL_DOMAIN,
        OfConnector::USE_FEDRAMP_LANGUAGE,
        column("expected", |row| Cell::Word(row.account.expected.as_str())),
        column("compliant", |row| {
            Cell::Word(compliance(row.account.expected, row.connector))
        }),
        OfConnector::ENABLED,
        OfConnector::VERIFICATION_STATUS,
        OfConnector::OWNER,
    ],
    admits: |_| true,
    severity: |row| row.about_fedramp.open(),
};

/// Every connector.
pub const CONNECTORS: Table<OfConnector> = Table {
    file: "connectors.csv",
    columns: &[
        OfConnector::ACCOUNT_ID,
        OfConnector::ACCOUNT_NAME,
        OfConnector::CONNECTOR_ID,
        OfConnector::EMAIL_DOMAIN,
        OfConnector::ENABLED,
        OfConnector::VERIFICATION_STATUS,
        column("verification_code", |row| Cell::Text(&row.code)),
        OfConnector::USE_FEDRAMP_LANGUAGE,
        OfConnector::CREATED_ON,
        OfConnector::UPDATED_ON,
        column("rules", |row| Cell::Word(&row.rules)),
        column("worst_severity", |row| Cell::severity(row.worst)),
        OfConnector::OWNER,
    ],
    admits: |_| true,
    severity: |row| row.worst_open,
};

/// Every connector whose domain was looked up in DNS, with how its record is there.
pub const DNS_RECORDS: Table<OfConnector> = Table {
    file: "dns_records.csv",
    columns: &[
        OfConnector::ACCOUNT_ID,
        OfConnector::ACCOUNT_NAME,
        OfConnector::CONNECTOR_ID,
        OfConnector::EMAIL_DOMAIN,
        OfConnector::VERIFICATION_STATUS,
        OfConnector::ENABLED,
        OfConnector::TXT_NAME,
        OfConnector::TXT_VALUE,
        OfConnector::DNS_TXT,
        column("detail", |row| Cell::Text(&row.dns_detail)),
        column("other_codes", |row| Cell::Text(&row.dns_other_codes)),
    ],
    admits: |row| row.connector.dns.is_some(),
    severity: |row| row.about_verification.open(),
};

/// Verified connectors whose record is not where it was: for the page, as information. `dns_records.csv` has them among
/// all others.
pub const RECORD_GONE: Table<OfConnector> = Table {
    columns: &[
        OfConnector::ACCOUNT_ID,
        OfConnector::ACCOUNT_NAME,
        OfConnector::CONNECTOR_ID,
        OfConnector::EMAIL_DOMAIN,
        OfConnector::ENABLED,
        OfConnector::TXT_VALUE,
        OfConnector::DNS_TXT,
    ],
    admits: |row| row.connector.is_verified_and_record_gone(),
    severity: |_| None,
    ..DNS_RECORDS
};

/// The tables of connectors, the three reports that people ask for first.
const CONNECTOR_TABLES: &[&Table<OfConnector>] = &[
    &UNVERIFIED,
    &DISABLED,
    &FEDRAMP,
    &CONNECTORS,
    // Last, since it is there only where DNS was looked up.
    &DNS_RECORDS,
];

/// The tables of connectors that a report has.
pub fn connector_tables(dns_was_looked_up: bool) -> &'static [&'static Table<OfConnector>] {
    match dns_was_looked_up {
        true => CONNECTOR_TABLES,
        false => &CONNECTOR_TABLES[..CONNECTOR_TABLES.len() - 1],
    }
}

// ---------------------------------------------------------------- findings

/// Rows that show a finding.
pub struct OfFinding;

impl Kind for OfFinding {
    type Row<'r> = FindingRow<'r>;
}

/// What is shown of a finding.
pub struct FindingRow<'r> {
    /// The account that it is about.
    pub account: &'r AccountRow<'r>,
    /// The finding.
    pub finding: &'r Finding,
    /// Hex digits, which a spreadsheet may take for a number.
    id: Text<'r>,
    connector_id: Borrowed<'r>,
    domain: Borrowed<'r>,
    message: Text<'r>,
    remediation: Text<'r>,
    first_seen: Dated<'r, DateTime<Utc>>,
    waiver: Option<WaiverTexts<'r>>,
}

/// A text that a connector's row has prepared already, or one of its own.
enum Borrowed<'r> {
    Prepared(&'r Text<'r>),
    Own(Text<'r>),
}

impl<'r> Borrowed<'r> {
    fn of(text: &'r str, prepared: Option<&'r Text<'r>>, dialect: Dialect) -> Self {
        match prepared.filter(|prepared| prepared.plain == text) {
            Some(prepared) => Self::Prepared(prepared),
            None => Self::Own(Text::new(text, dialect)),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Prepared(text) => Cell::Text(text),
            Self::Own(text) => Cell::Text(text),
        }
    }
}

struct WaiverTexts<'r> {
    owner: Text<'r>,
    reason: Text<'r>,
    expires: Dated<'r, NaiveDate>,
}

impl<'r> FindingRow<'r> {
    /// Prepares what is shown of a finding, about a connector or about the account as a whole.
    pub fn of(
        account: &'r AccountRow<'r>,
        connector: Option<&'r ConnectorNames<'r>>,
        finding: &'r Finding,
    ) -> Self {
        let Context {
            policy, dialect, ..
        } = account.context;
        let waiver = match finding.status {
            Status::Open => None,
            Status::Waived(position) => policy.waivers.get(position),
        };
        let waiver = waiver.map(|waiver: &Waiver| WaiverTexts {
            owner: Text::new(&*waiver.owner, dialect),
            reason: Text::new(&*waiver.reason, dialect),
            expires: Dated {
                value: waiver.expires,
                text: Cow::Owned(waiver.expires.to_string()),
            },
        });
        let id = connector.map(|connector| &connector.id);
        let domain = connector.map(|connector| &connector.domain);
        Self {
            account,
            finding,
            id: Text::new(finding.id.to_string(), dialect),
            connector_id: Borrowed::of(&finding.connector_id, id, dialect),
            domain: Borrowed::of(&finding.email_domain, domain, dialect),
            message: Text::new(&*finding.message, dialect),
            remediation: Text::new(&*finding.remediation, dialect),
            first_seen: Dated::at(finding.first_seen),
            waiver,
        }
    }

    /// The account that it is about.
    pub fn account_id(&self) -> &str {
        &self.account.assessed.asked.id
    }

    fn of_waiver<'t>(&'t self, text: fn(&'t WaiverTexts<'r>) -> &'t Text<'r>) -> Cell<'t> {
        self.waiver
            .as_ref()
            .map_or(Cell::Word(""), |waiver| Cell::Text(text(waiver)))
    }
}

/// The controls that each rule supports, by the rule's id, as tables list them.
static CONTROLS: LazyLock<HashMap<&'static str, String>> = LazyLock::new(|| {
    let labels = |rule: &crate::rules::Rule| {
        let labels: Vec<_> = rule
            .controls
            .iter()
            .map(|control| control.label())
            .collect();
        labels.join("; ")
    };
    RULES.iter().map(|rule| (rule.id, labels(rule))).collect()
});

/// Every finding.
pub const FINDINGS: Table<OfFinding> = Table {
    file: "findings.csv",
    columns: &[
        column("finding_id", |row| Cell::Text(&row.id)),
        column("rule", |row| Cell::Word(row.finding.rule.id)),
        column("severity", |row| Cell::Severity(row.finding.severity)),
        column("status", |row| {
            Cell::Word(if row.finding.is_open() {
                "open"
            } else {
                "waived"
            })
        }),
        column("change", |row| Cell::Word(row.finding.age.as_str())),
        column("account_id", |row| Cell::Text(&row.account.id)),
        column("account_name", |row| Cell::Text(&row.account.name)),
        column("owner", |row| Cell::Text(&row.account.owner)),
        column("connector_id", |row| row.connector_id.cell()),
        column("email_domain", |row| row.domain.cell()),
        column("message", |row| Cell::Text(&row.message)),
        column("remediation", |row| Cell::Text(&row.remediation)),
        column("controls", |row| {
            Cell::Word(CONTROLS.get(row.finding.rule.id).map_or("", String::as_str))
        }),
        column("first_seen_utc", |row| Cell::Time(&row.first_seen)),
        column("waiver_owner", |row| row.of_waiver(|waiver| &waiver.owner)),
        column("waiver_reason", |row| {
            row.of_waiver(|waiver| &waiver.reason)
        }),
        column("waiver_expires", |row| {
            let waiver = row.waiver.as_ref();
            waiver.map_or(Cell::Word(""), |waiver| Cell::Day(&waiver.expires))
        }),
    ],
    admits: |_| true,
    // A waived finding calls for no action.
    severity: |row| Some(row.finding.severity).filter(|_| row.finding.is_open()),
};

// ---------------------------------------------------------------- changes

/// Rows that show a change.
pub struct OfChange;

impl Kind for OfChange {
    type Row<'r> = ChangeRow<'r>;
}

/// What is shown of a change.
pub struct ChangeRow<'r> {
    /// The change.
    pub change: &'r Change<'r>,
    /// The account, where this run was asked for it.
    pub account: Option<&'r AccountRow<'r>>,
    account_id: Text<'r>,
    account_name: Text<'r>,
    connector_id: Text<'r>,
    domain: Text<'r>,
    from: Text<'r>,
    to: Text<'r>,
}

impl<'r> ChangeRow<'r> {
    /// Of what kind the change is.
    pub fn kind(&self) -> ChangeKind {
        self.change.kind
    }

    /// Prepares what is shown of a change.
    pub fn of(
        change: &'r Change<'r>,
        account: Option<&'r AccountRow<'r>>,
        context: Context<'_>,
    ) -> Self {
        let text = |text: &'r str| Text::new(text, context.dialect);
        Self {
            change,
            account,
            account_id: text(change.account_id),
            account_name: text(change.account_name),
            connector_id: text(&change.connector_id),
            domain: text(&change.email_domain),
            from: text(&change.from),
            to: text(&change.to),
        }
    }
}

/// Every change since each account was last read in full.
pub const CHANGES: Table<OfChange> = Table {
    file: "changes.csv",
    columns: &[
        column("kind", |row| Cell::Word(row.change.kind.as_str())),
        column("account_id", |row| Cell::Text(&row.account_id)),
        column("account_name", |row| Cell::Text(&row.account_name)),
        column("connector_id", |row| Cell::Text(&row.connector_id)),
        column("email_domain", |row| Cell::Text(&row.domain)),
        column("what", |row| Cell::Word(&row.change.what)),
        column("from", |row| Cell::Text(&row.from)),
        column("to", |row| Cell::Text(&row.to)),
        column("cause", |row| {
            Cell::Word(row.change.cause.map_or("", Cause::as_str))
        }),
    ],
    admits: |_| true,
    // A new finding matters as much as the finding does.
    severity: |row| {
        let is_new = row.change.kind == ChangeKind::FindingNew;
        is_new.then(|| Severity::parse(&row.change.to)).flatten()
    },
};

// ---------------------------------------------------------------- history

/// Rows that show a rule in a run.
pub struct OfHistory;

impl Kind for OfHistory {
    type Row<'r> = HistoryRow<'r>;
}

/// What is shown of a rule in a run. Run and rule are as a ledger has them: text from outside.
pub struct HistoryRow<'r> {
    run_id: Shown<'r>,
    started: Shown<'r>,
    rule: Text<'r>,
    point: &'r TrendPoint,
    figures: &'r RuleFigures,
    severity: Option<Severity>,
}

impl<'r> HistoryRow<'r> {
    /// A row for each rule of each run, oldest first; the rules in the order of the list, then those that this version
    /// does not know.
    pub fn all(trend: &'r [TrendPoint], dialect: Dialect) -> impl Iterator<Item = Self> {
        trend.iter().flat_map(move |point| {
            let listed = RULES
                .iter()
                .filter_map(|rule| point.rules.get_key_value(rule.id));
            let unknown = |(id, _): &(&String, &RuleFigures)| rule(id).is_none();
            let others = point.rules.iter().filter(unknown);
            listed
                .chain(others)
                .map(move |(id, figures)| Self::of(point, id, figures, dialect))
        })
    }

    fn of(point: &'r TrendPoint, id: &'r str, figures: &'r RuleFigures, dialect: Dialect) -> Self {
        Self {
            run_id: match is_run_id(&point.run_id) {
                true => Shown::Word(Cow::Borrowed(&point.run_id)),
                false => Shown::Text(Text::new(&*point.run_id, dialect)),
            },
            // A time is not guarded as text from outside is, for spreadsheets are to take it for one.
            started: match NaiveDateTime::parse_from_str(&point.started_utc, "%Y-%m-%d %H:%M:%S") {
                Ok(started) => Shown::Time(Dated {
                    value: started.and_utc(),
                    text: Cow::Borrowed(&point.started_utc),
                }),
                Err(_) => Shown::Text(Text::new(&*point.started_utc, dialect)),
            },
            rule: Text::new(id, dialect),
            point,
            figures,
            // Ledgers of earlier versions do not have it: what the rule itself says is the best guess then.
            severity: match figures.judged {
                Some(_) => figures.severity,
                None => rule(id).map(|rule| rule.severity),
            },
        }
    }
}

/// Every rule in every run that the ledger remembers.
pub const HISTORY: Table<OfHistory> = Table {
    file: "history.csv",
    columns: &[
        column("run_id", |row| row.run_id.cell()),
        column("started_utc", |row| row.started.cell()),
        column("accounts_asked", |row| {
            Cell::Number(row.point.accounts_asked)
        }),
        column("accounts_read", |row| Cell::Number(row.point.accounts_read)),
        column("rule", |row| Cell::Text(&row.rule)),
        column("severity", |row| Cell::severity(row.severity)),
        column("judged", |row| Cell::known_count(row.figures.judged)),
        column("not_judged", |row| {
            Cell::known_count(row.figures.not_judged)
        }),
        column("open", |row| Cell::Number(row.figures.open)),
        column("new", |row| Cell::Number(row.figures.new)),
        column("resolved", |row| Cell::Number(row.figures.resolved)),
        column("waived", |row| Cell::Number(row.figures.waived)),
    ],
    admits: |_| true,
    severity: |row| row.severity.filter(|_| row.figures.open > 0),
};

/// The tables that have a CSV file, with the heads of their columns.
pub fn files_with_columns() -> [(&'static str, Vec<&'static str>); 8] {
    let of_connectors = |table: &Table<OfConnector>| (table.file, table.names());
    [
        of_connectors(&UNVERIFIED),
        of_connectors(&DISABLED),
        of_connectors(&FEDRAMP),
        (FINDINGS.file, FINDINGS.names()),
        (ACCOUNTS.file, ACCOUNTS.names()),
        of_connectors(&CONNECTORS),
        (CHANGES.file, CHANGES.names()),
        (HISTORY.file, HISTORY.names()),
    ]
}
