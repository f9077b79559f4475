//! `report.html`: one self-contained page. Here the view is filled that the templates render.
//!
//! The page has room for [`ROW_LIMIT`] rows a table. What calls for action stands before what does not, worst
//! first; how many rows are left out is said, and which file has them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::columns::{
    ACCOUNTS, AccountRow, CHANGES, CONNECTORS, Cell, ChangeRow, Column, ConnectorRow, DISABLED,
    FEDRAMP, FINDINGS, FindingRow, Kind, OfConnector, RECORD_GONE, Table, UNREAD, UNVERIFIED,
};
use super::files::{StagedFile, Staging};
use super::summary::{FindingCount, RemediationUse, Summary, UnreadCause, WaiverUse, rule_counts};
use super::{Format, FormatSpec, FormatWorker, Settings, files_written};
use crate::accounts::Source;
use crate::assess::Assessed;
use crate::compare::ChangeKind;
use crate::dns::DnsTxt;
use crate::finding::Age;
use crate::judged::Judged;
use crate::memory::Known;
use crate::merged::{Merged, MergedRun};
use crate::model::canonical_if_any;
use crate::organizations::{Organization, Unlisted, in_order};
use crate::policy::{Attestation, FedrampExpectation, Policy};
use crate::region::Region;
use crate::rules::controls::CONTROLS;
use crate::rules::{Basis, Judge, RULES, Rule};
use crate::severity::Severity;
use crate::text::{count, grouped, utc};
use crate::threads::{lock, owned};

mod helpers;
mod index;
mod keep;
pub mod template;

use keep::{Kept, Waiting, WorstFirst};

/// Rows a table of the page has room for.
pub const ROW_LIMIT: usize = 500;
/// Accounts that the matrix of accounts and rules has room for.
const MATRIX_LIMIT: usize = 200;
/// Findings that stand on the first screen.
const URGENT_LIMIT: usize = 10;
/// How much a row of most tables matters: one place a severity, and one for what calls for no action.
const PLACES: usize = Severity::ALL.len() + 1;
/// Places of changes: new findings by severity, then other findings, connectors that changed, and the inventory.
const CHANGE_PLACES: usize = Severity::ALL.len() + 6;
/// Places of what is urgent: new criticals, new highs, then those that are not new.
const URGENT_PLACES: usize = 4;

const FILE: &str = "report.html";

/// See the module.
pub const FORMAT: FormatSpec = FormatSpec {
    name: "html",
    files: &[(FILE, "this page")],
    by_default: true,
    open: |staging, settings| Page::open(staging, settings),
};

/// Writes the page.
struct Page<'a> {
    file: StagedFile,
    settings: &'a Settings<'a>,
    /// One for each table, in the order of [`PageTable::ALL`].
    tables: Vec<Kept<Value>>,
    urgent: Kept<Value>,
    matrix: Mutex<Matrix>,
}

/// The tables of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageTable {
    Unverified,
    Disabled,
    Fedramp,
    Connectors,
    RecordGone,
    Findings,
    Accounts,
    Unread,
    Changes,
}

/// The tables of connectors.
const OF_CONNECTORS: [(PageTable, &Table<OfConnector>); 5] = [
    (PageTable::Unverified, &UNVERIFIED),
    (PageTable::Disabled, &DISABLED),
    (PageTable::Fedramp, &FEDRAMP),
    (PageTable::Connectors, &CONNECTORS),
    (PageTable::RecordGone, &RECORD_GONE),
];

impl PageTable {
    const ALL: [Self; 9] = [
        Self::Unverified,
        Self::Disabled,
        Self::Fedramp,
        Self::Connectors,
        Self::RecordGone,
        Self::Findings,
        Self::Accounts,
        Self::Unread,
        Self::Changes,
    ];

    /// Its name in the view, and the file that has all of its rows.
    fn name_and_file(self) -> (&'static str, &'static str) {
        match self {
            Self::Unverified => ("unverified", UNVERIFIED.file),
            Self::Disabled => ("disabled", DISABLED.file),
            Self::Fedramp => ("fedramp_settings", FEDRAMP.file),
            Self::Connectors => ("connectors", CONNECTORS.file),
            Self::RecordGone => ("record_gone", RECORD_GONE.file),
            Self::Findings => ("findings", FINDINGS.file),
            Self::Accounts => ("accounts", ACCOUNTS.file),
            Self::Unread => ("unread", UNREAD.file),
            Self::Changes => ("changes", CHANGES.file),
        }
    }

    /// How many compressed bytes the lines of the rows beyond [`ROW_LIMIT`] may take. All together leave the page below
    /// five million bytes.
    fn index_bytes(self) -> usize {
        const KB: usize = 1024;
        match self {
            Self::Findings => 700 * KB,
            Self::Connectors => 800 * KB,
            Self::Unverified => 280 * KB,
            Self::Accounts | Self::Disabled => 190 * KB,
            Self::Unread | Self::Fedramp | Self::Changes | Self::RecordGone => 100 * KB,
        }
    }

    /// The columns that are in the lines of its rows.
    fn indexed(self) -> Vec<&'static str> {
        let mut names = match self {
            Self::Unverified => UNVERIFIED.names(),
            Self::Disabled => DISABLED.names(),
            Self::Fedramp => FEDRAMP.names(),
            Self::Connectors => CONNECTORS.names(),
            Self::RecordGone => RECORD_GONE.names(),
            Self::Findings => FINDINGS.names(),
            Self::Accounts => ACCOUNTS.names(),
            Self::Unread => UNREAD.names(),
            Self::Changes => CHANGES.names(),
        };
        names.retain(|name| is_indexed(name));
        names
    }
}

/// Whether a column is in the lines: all are but what nobody searches for, and would take the most room.
fn is_indexed(column: &str) -> bool {
    column != "verification_code"
}

/// The line of a row that was made for the page.
fn line_of(names: &[&str], row: &Value) -> String {
    let mut line = index::Line::default();
    for name in names {
        match &row[*name] {
            Value::String(text) => line.push(text),
            other => line.push(&plain(other)),
        }
    }
    line.text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl<'a> Page<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    fn open(staging: &Staging, settings: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        Ok(Box::new(Self {
            file: staging.file(FILE)?,
            settings,
            tables: PageTable::ALL
                .into_iter()
                .map(|table| {
                    let places = if table == PageTable::Changes {
                        CHANGE_PLACES
                    } else {
                        PLACES
                    };
                    Kept::new(ROW_LIMIT, places, table.index_bytes())
                })
                .collect(),
            urgent: Kept::new(URGENT_LIMIT, URGENT_PLACES, 0),
            matrix: Mutex::default(),
        }))
    }
}

fn place(severity: Option<Severity>) -> usize {
    severity.map_or(Severity::ALL.len(), |severity| severity as usize)
}

/// How bad an account is: its open findings by severity, worst first, then its position among the accounts.
type Badness = ([Reverse<u64>; Severity::ALL.len()], usize);

/// The worst accounts, with their findings by rule.
#[derive(Debug, Default)]
struct Matrix {
    /// All accounts with findings.
    total: usize,
    rows: BTreeMap<Badness, MatrixRow>,
}

impl Matrix {
    /// Takes an account, which is looked at only where there is room for it.
    fn keep(&mut self, badness: Badness, row: impl FnOnce() -> MatrixRow) {
        let is_full = self.rows.len() == MATRIX_LIMIT;
        let least = self.rows.last_key_value().filter(|_| is_full);
        if least.is_some_and(|(least, _)| badness > *least) {
            return;
        }
        self.rows.insert(badness, row());
        if is_full {
            self.rows.pop_last();
        }
    }

    fn merge(&mut self, other: &mut Self) {
        self.total += std::mem::take(&mut other.total);
        for (badness, row) in std::mem::take(&mut other.rows) {
            self.keep(badness, || row);
        }
    }
}

/// An account's findings by rule.
#[derive(Debug)]
struct MatrixRow {
    account_id: String,
    account_name: String,
    /// By the rule's id: worst open severity, open, waived.
    cells: BTreeMap<&'static str, (Option<Severity>, u64, u64)>,
}

impl MatrixRow {
    fn of(assessed: &Assessed<'_>) -> Self {
        let mut cells = BTreeMap::<_, (Option<Severity>, u64, u64)>::new();
        for finding in &assessed.findings {
            let cell = cells.entry(finding.rule.id).or_default();
            if finding.is_open() {
                cell.0 = Some(
                    cell.0
                        .map_or(finding.severity, |worst| worst.min(finding.severity)),
                );
                cell.1 += 1;
            } else {
                cell.2 += 1;
            }
        }
        Self {
            account_id: assessed.asked.id.clone(),
            account_name: assessed.asked.name.clone(),
            cells,
        }
    }

    fn json(&self, rules: &[&Rule]) -> Value {
        let cell = |rule: &&Rule| {
            let (severity, open, waived) = self.cells.get(rule.id).copied().unwrap_or_default();
            json!({"rule": rule.id, "severity": severity.map_or("", Severity::as_str), "open": open, "waived": waived})
        };
        json!({
            "account_id": self.account_id,
            "account_name": self.account_name,
            "cells": rules.iter().map(cell).collect::<Vec<_>>(),
        })
    }
}

/// The names of the columns that are in the lines of each table.
type Indexed = [Vec<&'static str>; PageTable::ALL.len()];

struct Worker<'f, 'a> {
    page: &'f Page<'a>,
    tables: [Waiting<Value>; PageTable::ALL.len()],
    indexed: Indexed,
    urgent: Waiting<Value>,
    matrix: Matrix,
    /// What changed about the connector that changed last: one row, however many of its fields did.
    changed: Option<(usize, Map<String, Value>)>,
}

/// Adds by when a finding is to be fixed, and by whom.
fn promise(settings: &Settings<'_>, row: &FindingRow<'_>, values: &mut Map<String, Value>) {
    let Settings { policy, now, .. } = *settings;
    let finding = row.finding;
    let domain = canonical_if_any(&finding.email_domain);
    let found = policy
        .remediations
        .of(finding.rule.id, row.account_id(), domain.as_deref())
        .and_then(|position| policy.remediations.get(position));
    let text = |text: Option<String>| Value::from(text.unwrap_or_default());
    let is_overdue = finding.is_open() && found.is_some_and(|promised| promised.is_past(now));
    let days_open = (now - finding.first_seen).num_days().max(0);
    for (name, value) in [
        ("due", text(found.map(|promised| promised.due.to_string()))),
        (
            "due_owner",
            text(found.map(|promised| promised.owner.clone())),
        ),
        (
            "due_note",
            text(found.map(|promised| promised.note.clone())),
        ),
        ("overdue", is_overdue.into()),
        ("days_open", days_open.into()),
    ] {
        values.insert(name.to_owned(), value);
    }
}

/// A row as the templates know it.
fn values<K: Kind>(table: &Table<K>, row: &K::Row<'_>) -> Map<String, Value> {
    let cells = table.columns.iter();
    let cell = |column: &Column<K>| (column.name.to_owned(), (column.cell)(row).for_page());
    cells.map(cell).collect()
}

/// The line of a row that is not made.
fn line<K: Kind>(table: &Table<K>, row: &K::Row<'_>) -> String {
    let mut line = index::Line::default();
    let columns = table.columns.iter();
    for column in columns.filter(|column| is_indexed(column.name)) {
        match (column.cell)(row) {
            Cell::Number(number) => line.push(&number.to_string()),
            cell => line.push(cell.text().unwrap_or_default()),
        }
    }
    line.text
}

impl Worker<'_, '_> {
    fn push<K: Kind>(&mut self, which: PageTable, table: &Table<K>, row: &K::Row<'_>) {
        self.push_with(which, table, row, |_| {});
    }

    /// Takes a row; `more` adds what the page shows beside its columns.
    fn push_with<K: Kind>(
        &mut self,
        which: PageTable,
        table: &Table<K>,
        row: &K::Row<'_>,
        more: impl FnOnce(&mut Map<String, Value>),
    ) {
        if !(table.admits)(row) {
            return;
        }
        self.tables[which as usize].push(
            &self.page.tables[which as usize],
            place((table.severity)(row)),
            || {
                let mut values = values(table, row);
                more(&mut values);
                Value::Object(values)
            },
            || line(table, row),
        );
    }

    /// Hands on what changed about the connector that changed last.
    fn push_changed(&mut self) {
        let which = PageTable::Changes as usize;
        if let Some((place, values)) = self.changed.take() {
            let row = Value::Object(values);
            let names = &self.indexed[which];
            let line = line_of(names, &row);
            self.tables[which].push(&self.page.tables[which], place, || row, || line);
        }
    }
}

impl FormatWorker for Worker<'_, '_> {
    fn account(&mut self, row: &AccountRow<'_>) -> io::Result<()> {
        self.push(PageTable::Accounts, &ACCOUNTS, row);
        self.push(PageTable::Unread, &UNREAD, row);
        let findings = &row.assessed.findings;
        if !findings.is_empty() {
            let mut open = [Reverse(0); Severity::ALL.len()];
            for finding in findings.iter().filter(|finding| finding.is_open()) {
                open[finding.severity as usize].0 += 1;
            }
            let badness = (open, row.assessed.evidence.position);
            self.matrix.total += 1;
            self.matrix.keep(badness, || MatrixRow::of(row.assessed));
        }
        Ok(())
    }

    fn connector(&mut self, row: &ConnectorRow<'_>) -> io::Result<()> {
        for (which, table) in OF_CONNECTORS {
            // Where the policy expects nothing there is nothing to see: such connectors are counted.
            if which != PageTable::Fedramp || row.expected() != FedrampExpectation::Any {
                self.push(which, table, row);
            }
        }
        Ok(())
    }

    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        let settings = self.page.settings;
        let promised = |values: &mut Map<String, Value>| promise(settings, row, values);
        let finding = row.finding;
        let is_urgent = matches!(finding.severity, Severity::Critical | Severity::High);
        // That an account was not read stands by its cause beside it.
        if is_urgent && finding.is_open() && finding.rule.basis != Basis::Reading {
            let is_known = finding.age != Age::New;
            let place = finding.severity as usize + if is_known { 2 } else { 0 };
            let urgent = || {
                let mut values = values(&FINDINGS, row);
                promised(&mut values);
                Value::Object(values)
            };
            self.urgent
                .push(&self.page.urgent, place, urgent, String::new);
        }
        self.push_with(PageTable::Findings, &FINDINGS, row, promised);
        Ok(())
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        let mut values = values(&CHANGES, row);
        let kind = row.kind();
        if matches!(
            kind,
            ChangeKind::ConnectorChanged | ChangeKind::ConnectorRecreated
        ) {
            if let Some((_, before)) = &mut self.changed
                && ["account_id", "connector_id", "email_domain"]
                    .iter()
                    .all(|name| before[*name] == values[*name])
            {
                for (name, between) in
                    [("what", ", "), ("from", ", "), ("to", ", "), ("cause", " ")]
                {
                    let (one, more) = (plain(&before[name]), plain(&values[name]));
                    if name != "cause" || one != more {
                        before[name] = format!("{one}{between}{more}").into();
                    }
                }
                if let (Some(Value::Array(fields)), Some(field)) =
                    (before.get_mut("fields"), field(&values))
                {
                    fields.push(field);
                }
                return Ok(());
            }
            self.push_changed();
            let fields = field(&values).into_iter().collect();
            values.insert("fields".to_owned(), Value::Array(fields));
            self.changed = Some((place_of_change(kind, ""), values));
            return Ok(());
        }
        self.push_changed();
        let place = place_of_change(kind, &plain(&values["to"]));
        let fields = field(&values).into_iter().collect();
        values.insert("fields".to_owned(), Value::Array(fields));
        self.changed = Some((place, values));
        self.push_changed();
        Ok(())
    }

    fn known(&mut self, _: Known<'_>, _: bool) -> io::Result<()> {
        // The last of an account: nothing more comes of the connector that changed last.
        self.push_changed();
        Ok(())
    }

    fn waiting(&self) -> usize {
        let tables = self.tables.iter().map(Waiting::bytes);
        tables.sum::<usize>() + self.urgent.bytes()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let kept = self.page.tables.iter();
        for ((waiting, kept), names) in self.tables.iter_mut().zip(kept).zip(&self.indexed) {
            kept.add(waiting, |row| line_of(names, row))?;
        }
        self.page.urgent.add(&mut self.urgent, |_| String::new())?;
        lock(&self.page.matrix).merge(&mut self.matrix);
        Ok(())
    }
}

/// What changed, from what to what.
fn field(values: &Map<String, Value>) -> Option<Value> {
    let of = |name| values.get(name).cloned();
    Some(json!({"what": of("what")?, "from": of("from")?, "to": of("to")?}))
}

/// Findings first, then connectors that changed, then the inventory.
fn place_of_change(kind: ChangeKind, to: &str) -> usize {
    const AFTER_NEW: usize = Severity::ALL.len();
    match kind {
        ChangeKind::FindingNew => {
            Severity::parse(to).map_or(AFTER_NEW - 1, |severity| severity as usize)
        }
        ChangeKind::FindingReopened => AFTER_NEW,
        ChangeKind::FindingResolved => AFTER_NEW + 1,
        ChangeKind::FindingWaived => AFTER_NEW + 2,
        ChangeKind::ConnectorChanged | ChangeKind::ConnectorRecreated => AFTER_NEW + 3,
        ChangeKind::ConnectorAdded | ChangeKind::ConnectorRemoved => AFTER_NEW + 4,
        ChangeKind::AccountAdded
        | ChangeKind::AccountRemoved
        | ChangeKind::AccountUnread
        | ChangeKind::AccountRead => AFTER_NEW + 5,
    }
}

impl Format for Page<'_> {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            page: self,
            tables: std::array::from_fn(|_| Waiting::new()),
            indexed: PageTable::ALL.map(PageTable::indexed),
            urgent: Waiting::new(),
            matrix: Matrix::default(),
            changed: None,
        })
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut file = self.file;
        let (urgent, _) = self.urgent.into_parts();
        let now = summary.now;
        let mut view = json!({
            "run": run(summary, self.settings),
            "verdict": verdict(summary),
            "do_first": shown(urgent),
            "overdue": overdue(summary),
            "coverage": coverage(summary),
            "unread_causes": summary.causes.iter().map(unread_cause).collect::<Vec<_>>(),
            "totals": totals(summary),
            "fedramp": fedramp(summary),
            "passed": passed(summary),
            "matrix": matrix(&owned(self.matrix), summary),
            "waivers": waivers(summary),
            "attestations": summary.policy.attestations.iter().map(|one| attestation(one, now)).collect::<Vec<_>>(),
            "remediations": summary.remediations.iter().map(|one| remediation(one, now)).collect::<Vec<_>>(),
            "trend": summary.trend,
            "controls": controls(summary),
            "rules": RULES.iter().map(|rule| explained(rule, summary.policy)).collect::<Vec<_>>(),
            "dns": dns(summary),
            "files": files(self.settings),
        });
        for (which, kept) in PageTable::ALL.into_iter().zip(self.tables) {
            let (rows, lines) = kept.into_parts();
            let (name, _) = which.name_and_file();
            let table = table(which, rows, lines)?;
            view[name] = if which == PageTable::Changes {
                changes(summary, table)
            } else {
                table
            };
        }
        self.settings
            .template
            .render(view, &mut file)
            .map_err(io::Error::other)?;
        file.finish();
        Ok(())
    }
}

/// A table as the templates know it.
fn table(which: PageTable, rows: WorstFirst<Value>, lines: index::Index) -> io::Result<Value> {
    let (_, file) = which.name_and_file();
    let (index, indexed) = lines.finish()?;
    let mut table = shown(rows);
    let left_out = table["left_out"].as_u64().unwrap_or_default();
    table["file"] = file.into();
    table["columns"] = which.indexed().join(" ").into();
    table["indexed"] = indexed.into();
    table["unindexed"] = left_out.saturating_sub(indexed as u64).into();
    table["index"] = index.into();
    Ok(table)
}

/// Rows, and how many there are no room for.
fn shown(rows: WorstFirst<Value>) -> Value {
    let (total, shown) = (rows.total, rows.shown());
    let mut table = json!({"total": total, "shown": shown, "left_out": total - shown});
    // Moved: `json!` would copy every row.
    table["rows"] = rows.into_iter().collect();
    table
}

fn run(summary: &Summary<'_>, settings: &Settings<'_>) -> Value {
    let header = summary.header;
    let limits = &header.limits;
    json!({
        "id": header.run_id,
        "title": settings.title.unwrap_or(crate::report::TITLE),
        "dashboard": Region::at(&header.base_url).map_or("", Region::dashboard),
        "version": header.version,
        "started_utc": utc(header.started),
        "finished_utc": utc(summary.finished),
        "judged_at_utc": utc(summary.now),
        "base_url": header.base_url,
        "region": Region::at(&header.base_url).map(Region::title),
        "demo": header.demo,
        "sources": header.sources.iter().map(Source::words).collect::<Vec<_>>(),
        "shard": summary.shard(),
        "merged": header.merged_runs().map(merged),
        "accounts_asked": summary.coverage.asked,
        "concurrency": limits.concurrency,
        "rate": limits.rate,
        "retries": limits.retries,
        "timeout": format!("{} s", limits.timeout_seconds),
        "evidence_sha256": summary.evidence_sha256,
        "policy": summary.policy.source,
        "baseline": summary.baseline.as_ref().map(|run_id| json!({"run_id": run_id})),
        "row_limit": ROW_LIMIT,
    })
}

/// The runs that it was merged of, as far as the page has room for them.
fn merged(merged: &Merged) -> Value {
    const MOST_RUNS: usize = 50;
    let run = |run: &MergedRun| json!({"id": run.run_id, "shard": run.shard});
    let rows: Vec<_> = merged.runs.iter().take(MOST_RUNS).map(run).collect();
    json!({
        "count": merged.runs.len(),
        "left_out": merged.runs.len() - rows.len(),
        "rows": rows,
    })
}

fn verdict(summary: &Summary<'_>) -> Value {
    let totals = &summary.totals;
    let level = match summary.totals.findings.open {
        _ if !summary.coverage.is_whole() => "incomplete",
        0 => "clean",
        _ => "findings",
    };
    let of_all = |number: u64, none: &str, one: &str, more: &str| match number {
        0 => none.to_owned(),
        1 => format!(
            "1 of {} {one}.",
            count(totals.connectors as usize, "connector")
        ),
        number => format!(
            "{} of {} {more}.",
            grouped(number),
            count(totals.connectors as usize, "connector")
        ),
    };
    let mut sentences = Vec::new();
    sentences.extend(summary.parts_sentences());
    sentences.extend(summary.dns_silence().map(str::to_owned));
    if totals.connectors > 0 {
        let open: u64 = Severity::ALL
            .iter()
            .map(|severity| summary.found(*severity).open)
            .sum();
        let waived = match totals.findings.waived {
            0 => String::new(),
            waived => format!(" {} waived.", grouped(waived)),
        };
        let partly = match summary.coverage.is_whole() {
            true => "",
            false => " in what could be read",
        };
        sentences.push(format!(
            "{}{partly}.{waived}",
            count(open as usize, "open finding")
        ));
        sentences.push(of_all(
            totals.unverified,
            "All domains are verified.",
            "is for an unverified domain",
            "are for unverified domains",
        ));
        sentences.push(of_all(
            totals.disabled,
            "No connectors are disabled.",
            "is disabled or unknown",
            "are disabled or unknown",
        ));
        let differs = totals.fedramp_compliance.get("no").copied();
        sentences.push(if summary.judges_fedramp() {
            of_all(
                differs.unwrap_or_default(),
                "No FedRAMP text differs from policy.",
                "has a FedRAMP text that differs from policy",
                "have a FedRAMP text that differs from policy",
            )
        } else {
            format!(
                "The FedRAMP text is on for {} and off for {}; it was not judged, because the policy expects nothing of these connectors.",
                grouped(totals.fedramp_on), grouped(totals.fedramp_off)
            )
        });
    }
    sentences.extend(summary.passed_over_sentences());
    if !summary.policy_accounts_absent.is_empty() {
        let absent = &summary.policy_accounts_absent;
        sentences.push(format!(
            "The policy names {} not included in this run: {}.",
            count(absent.len(), "account"),
            absent.join(", ")
        ));
    }
    json!({"level": level, "headline": summary.headline(), "sentences": sentences})
}

fn coverage(summary: &Summary<'_>) -> Value {
    let coverage = &summary.coverage;
    json!({
        "asked": coverage.asked,
        "read": coverage.read,
        "incomplete": coverage.incomplete,
        "unread": coverage.unread,
        "whole": coverage.is_whole(),
        "sentence": coverage.sentence(),
        "causes": coverage.causes_in_words(),
        "gaps": coverage.gaps,
        "organizations": organizations(summary),
    })
}

/// The organizations as a tree, as far as the page has room for them.
fn organizations(summary: &Summary<'_>) -> Value {
    let ordered = in_order(&summary.header.organizations);
    let shown = |(level, organization): &(usize, &Organization)| {
        let problems = organization.problems.iter();
        json!({
            "level": level,
            "id": organization.id,
            "name": organization.name,
            "accounts": organization.accounts,
            "problems": problems.map(Unlisted::sentence).collect::<Vec<_>>(),
        })
    };
    let rows: Vec<_> = ordered.iter().take(ROW_LIMIT).map(shown).collect();
    json!({
        "sentence": summary.organizations_sentence(),
        "left_out": ordered.len() - rows.len(),
        "rows": rows,
    })
}

fn totals(summary: &Summary<'_>) -> Value {
    let totals = &summary.totals;
    let by_name = totals.statuses.by_name();
    let mut statuses = Vec::new();
    let known = ["verified", "pending", "awaiting", "failed", "unknown"];
    for status in known {
        statuses.push(
            json!({"status": status, "count": by_name.get(status).copied().unwrap_or_default()}),
        );
    }
    for (status, number) in by_name.iter().filter(|(status, _)| !known.contains(status)) {
        statuses.push(json!({"status": status, "count": number}));
    }
    let severity = |severity: &Severity| {
        let count = totals
            .by_severity
            .get(severity)
            .copied()
            .unwrap_or_default();
        json!({"severity": severity.as_str(), "open": count.open, "waived": count.waived, "new": count.new})
    };
    let rule = |(rule, count): (&Rule, FindingCount)| {
        json!({
            "id": rule.id, "title": rule.title, "severity": severity_in_force(rule, summary.policy),
            "open": count.open, "waived": count.waived, "new": count.new,
        })
    };
    json!({
        "connectors": totals.connectors,
        "enabled": totals.enabled,
        "disabled": totals.disabled - totals.enabled_unknown,
        "enabled_unknown": totals.enabled_unknown,
        "unverified": totals.unverified,
        "fedramp_on": totals.fedramp_on,
        "fedramp_off": totals.fedramp_off,
        "fedramp_unknown": totals.fedramp_unknown,
        "findings_open": totals.findings.open,
        "findings_waived": totals.findings.waived,
        "findings_new": totals.findings.new,
        "statuses": statuses,
        "severities": Severity::ALL.iter().map(severity).collect::<Vec<_>>(),
        "rules": rule_counts(totals).map(rule).collect::<Vec<_>>(),
    })
}

fn fedramp(summary: &Summary<'_>) -> Value {
    let of = |word| {
        summary
            .totals
            .fedramp_compliance
            .get(word)
            .copied()
            .unwrap_or_default()
    };
    json!({
        "compliant": of("yes"),
        "not_compliant": of("no"),
        "unknown": of("unknown"),
        "not_judged": of("not-judged"),
        "judged": summary.judges_fedramp(),
    })
}

fn changes(summary: &Summary<'_>, table: Value) -> Value {
    let totals = &summary.totals;
    let count = |kind: &ChangeKind| {
        let number = totals.changes.get(kind).copied().unwrap_or_default();
        let (one, several) = kind.labels();
        let label = if number == 1 { one } else { several };
        json!({"kind": kind.as_str(), "label": label, "count": number})
    };
    // Also where none is new or resolved.
    let always =
        |kind: &ChangeKind| matches!(kind, ChangeKind::FindingNew | ChangeKind::FindingResolved);
    let told = |kind: &&ChangeKind| always(kind) || totals.changes.contains_key(kind);
    let mut changes = json!({
        "compared": summary.baseline.is_some(),
        "baseline_run": summary.baseline,
        "policy_changed": summary.policy_changed,
        "passed_over": !summary.passed_over.is_empty(),
        "not_asked": summary.coverage.not_asked,
        "not_judged": totals.not_judged.sentence(),
        "accounts_compared": totals.accounts_compared,
        "accounts_not_compared": summary.coverage.asked - totals.accounts_compared,
        "counts": ChangeKind::ALL.iter().filter(told).map(count).collect::<Vec<_>>(),
    });
    changes["table"] = table;
    changes
}

/// The accounts with findings, worst first, under the rules that fired.
fn matrix(matrix: &Matrix, summary: &Summary<'_>) -> Value {
    let fired = |rule: &&Rule| summary.totals.by_rule.contains_key(rule.id);
    let rules: Vec<_> = summary.policy.rules_in_force().filter(fired).collect();
    let shown = matrix.rows.len();
    json!({
        "rules": rules.iter().map(|rule| json!({"id": rule.id, "title": rule.title})).collect::<Vec<_>>(),
        "total": matrix.total,
        "shown": shown,
        "left_out": matrix.total - shown,
        "rows": matrix.rows.values().map(|row| row.json(&rules)).collect::<Vec<_>>(),
    })
}

/// Every rule, with how much it could judge and what it found.
fn passed(summary: &Summary<'_>) -> Vec<Value> {
    let of_rule = |((rule, count), judged): ((&Rule, FindingCount), &Judged)| {
        let fired = count.open + count.waived;
        let state = match judged.judged {
            _ if !summary.policy.is_in_force(rule) => "off",
            _ if fired > 0 => "fired",
            0 => "not-judged",
            _ => "passed",
        };
        json!({
            "id": rule.id,
            "title": rule.title,
            "state": state,
            "unit": match rule.judge {
                Judge::Account(_) => "accounts",
                Judge::Connector(_) => "connectors",
            },
            "judged": judged.judged,
            "fired": fired,
            "waived": count.waived,
            "not_judged": judged.not_judged,
        })
    };
    rule_counts(&summary.totals)
        .zip(&summary.judged)
        .map(of_rule)
        .collect()
}

fn unread_cause(cause: &UnreadCause) -> Value {
    let day = |at: DateTime<Utc>| at.date_naive().to_string();
    let (longest, shortest) = (day(cause.longest), day(cause.shortest));
    let since = if longest == shortest {
        format!("since {longest}")
    } else {
        format!("the oldest since {longest}, the newest since {shortest}")
    };
    json!({"kind": cause.kind, "accounts": cause.accounts, "since": since})
}

fn attestation(attestation: &Attestation, now: DateTime<Utc>) -> Value {
    let state = match () {
        () if attestation.is_expired(now) => "expired",
        () if attestation.is_expiring(now) => "expiring",
        () => "active",
    };
    json!({
        "control": attestation.control,
        "statement": attestation.statement,
        "by": attestation.by,
        "on": attestation.on.to_string(),
        "expires": attestation.expires.to_string(),
        "state": state,
    })
}

fn remediation(usage: &RemediationUse<'_>, now: DateTime<Utc>) -> Value {
    let remediation = usage.remediation;
    json!({
        "rule": remediation.rule,
        "account": remediation.account.as_deref().unwrap_or("*"),
        "domain": remediation.domain.as_deref().unwrap_or_default(),
        "owner": remediation.owner,
        "due": remediation.due.to_string(),
        "note": remediation.note,
        "open": usage.open + usage.not_judged,
        "state": usage.state(now),
    })
}

/// What somebody vouched for and that does not hold any more, for the first screen.
fn overdue(summary: &Summary<'_>) -> Value {
    let now = summary.now;
    let remediations = summary.remediations.iter();
    let attestations = summary.policy.attestations.iter();
    json!({
        "remediations": remediations.filter(|one| one.is_overdue(now)).map(|one| remediation(one, now)).collect::<Vec<_>>(),
        "attestations": attestations.filter(|one| one.is_expired(now)).map(|one| attestation(one, now)).collect::<Vec<_>>(),
    })
}

fn waivers(summary: &Summary<'_>) -> Value {
    let one = |usage: &WaiverUse<'_>| {
        let waiver = usage.waiver;
        json!({
            "rule": waiver.rule,
            "account": waiver.account.as_deref().unwrap_or("*"),
            "domain": waiver.domain.as_deref().unwrap_or_default(),
            "reason": waiver.reason,
            "owner": waiver.owner,
            "expires": waiver.expires.to_string(),
            "unused": usage.matched == 0,
        })
    };
    // Each waiver is in one list.
    let list = |wanted: &dyn Fn(&WaiverUse<'_>) -> bool| -> Vec<Value> {
        summary
            .waivers
            .iter()
            .filter(|usage| wanted(usage))
            .map(one)
            .collect()
    };
    let expired = |usage: &WaiverUse<'_>| usage.waiver.is_expired(summary.now);
    let soon = |usage: &WaiverUse<'_>| usage.waiver.is_expiring(summary.now);
    let lasting = |usage: &WaiverUse<'_>| !expired(usage) && !soon(usage);
    json!({
        "active": list(&|usage| lasting(usage) && usage.matched > 0),
        "expiring": list(&soon),
        "expired": list(&expired),
        "unused": list(&|usage| lasting(usage) && usage.matched == 0),
    })
}

/// What DNS was seen to hold; null where nothing was looked up.
fn dns(summary: &Summary<'_>) -> Value {
    let Some(lookups) = &summary.lookups else {
        return Value::Null;
    };
    let of = |txt: &DnsTxt| {
        let number = summary.totals.dns.get(txt.as_str());
        json!({"txt": txt.as_str(), "words": txt.words(), "count": number.copied().unwrap_or_default()})
    };
    json!({
        "sentences": summary.dns_sentences(),
        "resolvers": lookups.resolvers,
        "counts": DnsTxt::ALL.iter().map(of).collect::<Vec<_>>(),
    })
}

fn controls(summary: &Summary<'_>) -> Vec<Value> {
    CONTROLS
        .iter()
        .map(|control| {
            let supports = |rule: &&&Rule| rule.controls.contains(control);
            let rules: Vec<_> = RULES.iter().filter(supports).map(|rule| rule.id).collect();
            let counts = rule_counts(&summary.totals).filter(|(rule, _)| rules.contains(&rule.id));
            json!({
                "control": control.id,
                "framework": control.framework,
                "title": control.title,
                "open": counts.map(|(_, count)| count.open).sum::<u64>(),
                "rules": rules,
            })
        })
        .collect()
}

/// The severity of a rule by the policy, or `off`.
fn severity_in_force(rule: &Rule, policy: &Policy) -> &'static str {
    policy
        .severity(rule, rule.severity)
        .map_or("off", Severity::as_str)
}

fn explained(rule: &Rule, policy: &Policy) -> Value {
    let (severity, default) = (severity_in_force(rule, policy), rule.severity.as_str());
    json!({
        "id": rule.id,
        "severity": severity,
        // Said only where the policy changes it.
        "default_severity": if severity == default { "" } else { default },
        "title": rule.title,
        "what": rule.what,
        "why": rule.why,
        "remedy": rule.remedy,
        "controls": rule.controls.iter().map(|control| control.label()).collect::<Vec<_>>(),
    })
}

fn files(settings: &Settings<'_>) -> Vec<Value> {
    let files = files_written(settings.formats, settings.dns_was_looked_up());
    files
        .into_iter()
        .map(|(name, what)| json!({"name": name, "what": what}))
        .collect()
}
