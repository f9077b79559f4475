//! `report.html`: one self-contained page. Here the view is filled that the templates render.
//!
//! The page has room for [`ROW_LIMIT`] rows a table. What calls for action stands before what does not, worst
//! first; how many rows are left out is said, and which file has them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::columns::{
    ACCOUNTS, AccountRow, CHANGES, CONNECTORS, ChangeRow, Column, ConnectorRow, DISABLED, FEDRAMP,
    FINDINGS, FindingRow, Kind, OfConnector, RECORD_GONE, Table, UNREAD, UNVERIFIED,
};
use super::files::{StagedFile, Staging};
use super::summary::{FindingCount, Summary, WaiverUse, judges_fedramp, rule_counts};
use super::{Format, FormatSpec, FormatWorker, Settings, files_written};
use crate::accounts::Source;
use crate::assess::Assessed;
use crate::compare::ChangeKind;
use crate::dns::DnsTxt;
use crate::organizations::{Organization, Unlisted, in_order};
use crate::policy::Policy;
use crate::region::Region;
use crate::rules::controls::CONTROLS;
use crate::rules::{Basis, RULES, Rule};
use crate::severity::Severity;
use crate::text::{count, utc};
use crate::threads::{lock, owned};

mod helpers;
pub mod template;

/// Rows a table of the page has room for.
pub const ROW_LIMIT: usize = 500;
/// Accounts that the matrix of accounts and rules has room for.
const MATRIX_LIMIT: usize = 200;

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
    matrix: Kept<MatrixRow>,
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
                .iter()
                .map(|_| Kept::new(ROW_LIMIT))
                .collect(),
            matrix: Kept::new(MATRIX_LIMIT),
        }))
    }
}

/// What the page keeps of what the workers bring, which is told which of theirs there still is room for.
#[derive(Debug)]
struct Kept<T> {
    items: Mutex<WorstFirst<T>>,
    /// So many of the places, worst first, still have room; never more than before.
    open_places: AtomicUsize,
}

impl<T> Kept<T> {
    fn new(limit: usize) -> Self {
        Self {
            items: Mutex::new(WorstFirst::new(limit)),
            open_places: AtomicUsize::new(PLACES),
        }
    }

    /// Whether an item may still find room. One that does not is not worth making.
    fn admits(&self, severity: Option<Severity>) -> bool {
        place(severity) < self.open_places.load(Ordering::Relaxed)
    }

    fn add(&self, waiting: &mut Waiting<T>) {
        if waiting.total == 0 {
            return;
        }
        let mut items = lock(&self.items);
        items.total += waiting.total;
        waiting.total = 0;
        for (severity, item) in waiting.items.drain(..) {
            items.keep(severity, item);
        }
        self.open_places
            .store(items.open_places(), Ordering::Relaxed);
    }
}

/// What waits for its turn.
#[derive(Debug)]
struct Waiting<T> {
    /// All that there were since the last turn, kept or not.
    total: usize,
    items: Vec<(Option<Severity>, T)>,
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Self {
            total: 0,
            items: Vec::new(),
        }
    }

    fn push(&mut self, kept: &Kept<T>, severity: Option<Severity>, item: impl FnOnce() -> T) {
        self.total += 1;
        if kept.admits(severity) {
            self.items.push((severity, item()));
        }
    }
}

/// One place a severity, and one for what calls for no action.
const PLACES: usize = Severity::ALL.len() + 1;

fn place(severity: Option<Severity>) -> usize {
    severity.map_or(Severity::ALL.len(), |severity| severity as usize)
}

/// Items of which there is room for a limited number: the worst, in the order in which they came.
#[derive(Debug)]
struct WorstFirst<T> {
    limit: usize,
    total: usize,
    /// One list a place.
    kept: [Vec<T>; PLACES],
}

impl<T> WorstFirst<T> {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            total: 0,
            kept: Default::default(),
        }
    }

    fn keep(&mut self, severity: Option<Severity>, item: T) {
        let place = place(severity);
        let better: usize = self.kept[..=place].iter().map(Vec::len).sum();
        if better >= self.limit {
            return;
        }
        self.kept[place].push(item);
        // What now has no room, because worse came, is let go.
        let kept: usize = self.kept.iter().map(Vec::len).sum();
        if kept > self.limit
            && let Some(least) = self.kept.iter_mut().rfind(|list| !list.is_empty())
        {
            least.pop();
        }
    }

    /// How many of the places, worst first, still have room.
    fn open_places(&self) -> usize {
        let mut kept = 0;
        let with_room = self.kept.iter().take_while(|list| {
            kept += list.len();
            kept < self.limit
        });
        with_room.count()
    }

    fn items(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().flatten()
    }

    fn shown(&self) -> usize {
        self.kept.iter().map(Vec::len).sum()
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

struct Worker<'f, 'a> {
    page: &'f Page<'a>,
    tables: [Waiting<Value>; PageTable::ALL.len()],
    matrix: Waiting<MatrixRow>,
}

impl Worker<'_, '_> {
    fn push<K: Kind>(&mut self, which: PageTable, table: &Table<K>, row: &K::Row<'_>) {
        if (table.admits)(row) {
            let kept = &self.page.tables[which as usize];
            let severity = (table.severity)(row);
            self.tables[which as usize].push(kept, severity, || {
                let cells = table.columns.iter();
                let cell =
                    |column: &Column<K>| (column.name.to_owned(), (column.cell)(row).for_page());
                Value::Object(cells.map(cell).collect())
            });
        }
    }
}

impl FormatWorker for Worker<'_, '_> {
    fn account(&mut self, row: &AccountRow<'_>) -> io::Result<()> {
        self.push(PageTable::Accounts, &ACCOUNTS, row);
        self.push(PageTable::Unread, &UNREAD, row);
        if !row.assessed.findings.is_empty() {
            let matrix = || MatrixRow::of(row.assessed);
            self.matrix
                .push(&self.page.matrix, row.worst_open(), matrix);
        }
        Ok(())
    }

    fn connector(&mut self, row: &ConnectorRow<'_>) -> io::Result<()> {
        for (which, table) in OF_CONNECTORS {
            self.push(which, table, row);
        }
        Ok(())
    }

    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        self.push(PageTable::Findings, &FINDINGS, row);
        Ok(())
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        self.push(PageTable::Changes, &CHANGES, row);
        Ok(())
    }

    fn waiting(&self) -> usize {
        /// About what a row takes, in bytes.
        const ROW: usize = 2048;
        let rows = self.tables.iter().map(|table| table.items.len());
        ROW * (rows.sum::<usize>() + self.matrix.items.len())
    }

    fn hand_on(&mut self) -> io::Result<()> {
        for (waiting, kept) in self.tables.iter_mut().zip(&self.page.tables) {
            kept.add(waiting);
        }
        self.page.matrix.add(&mut self.matrix);
        Ok(())
    }
}

impl Format for Page<'_> {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            page: self,
            tables: std::array::from_fn(|_| Waiting::new()),
            matrix: Waiting::new(),
        })
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut file = self.file;
        let mut view = json!({
            "run": run(summary),
            "verdict": verdict(summary),
            "coverage": coverage(summary),
            "totals": totals(summary),
            "fedramp": fedramp(summary),
            "matrix": matrix(&owned(self.matrix.items), summary.policy),
            "waivers": waivers(summary),
            "trend": summary.trend,
            "controls": controls(summary),
            "rules": RULES.iter().map(|rule| explained(rule, summary.policy)).collect::<Vec<_>>(),
            "dns": dns(summary),
            "files": files(self.settings),
        });
        for (which, kept) in PageTable::ALL.into_iter().zip(self.tables) {
            let rows = owned(kept.items);
            let (name, file) = which.name_and_file();
            let table = table(file, rows);
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
fn table(file: &str, rows: WorstFirst<Value>) -> Value {
    let (total, shown) = (rows.total, rows.shown());
    let mut table =
        json!({"file": file, "total": total, "shown": shown, "left_out": total - shown});
    // Moved: `json!` would copy every row.
    table["rows"] = rows.kept.into_iter().flatten().collect();
    table
}

fn run(summary: &Summary<'_>) -> Value {
    let header = summary.header;
    let limits = &header.limits;
    json!({
        "id": header.run_id,
        "version": header.version,
        "started_utc": utc(header.started),
        "finished_utc": utc(summary.finished),
        "judged_at_utc": utc(summary.now),
        "base_url": header.base_url,
        "region": Region::at(&header.base_url).map(Region::title),
        "demo": header.demo,
        "sources": header.sources.iter().map(Source::words).collect::<Vec<_>>(),
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

fn verdict(summary: &Summary<'_>) -> Value {
    let totals = &summary.totals;
    let level = match summary.totals.findings.open {
        _ if !summary.coverage.is_whole() => "incomplete",
        0 => "clean",
        _ => "findings",
    };
    let of_all = |number: u64, one: &str, more: &str| {
        let verb = if number == 1 { one } else { more };
        format!(
            "{number} of {} {verb}.",
            count(totals.connectors as usize, "connector")
        )
    };
    let mut sentences = Vec::new();
    // That an account was not read is a finding, and none about what was.
    let about_reading = totals
        .by_rule
        .iter()
        .filter(|(id, _)| crate::rules::rule(id).is_some_and(|rule| rule.basis == Basis::Reading))
        .map(|(_, count)| count.open);
    let in_what_was_read = totals.findings.open - about_reading.sum::<u64>();
    sentences.push(match (summary.coverage.is_whole(), in_what_was_read) {
        (true, _) => format!("{}.", summary.coverage.sentence()),
        (false, 0) => "No open findings in what was read.".to_owned(),
        (false, open) => format!("{} in what was read.", count(open as usize, "open finding")),
    });
    sentences.push(of_all(
        totals.unverified,
        "has no verified domain",
        "have no verified domain",
    ));
    sentences.push(of_all(totals.disabled, "is not enabled", "are not enabled"));
    let compliance = |word| {
        totals
            .fedramp_compliance
            .get(word)
            .copied()
            .unwrap_or_default()
    };
    sentences.push(if judges_fedramp(summary.policy) {
        of_all(
            compliance("no"),
            "shows another FedRAMP text than the policy expects",
            "show another FedRAMP text than the policy expects",
        )
    } else {
        format!(
            "The FedRAMP text is on for {} and off for {}; no policy says which is right.",
            totals.fedramp_on, totals.fedramp_off
        )
    });
    sentences.extend(summary.passed_over_sentences());
    if !summary.policy_accounts_absent.is_empty() {
        let absent = &summary.policy_accounts_absent;
        sentences.push(format!(
            "The policy names {} that this run was not asked for: {}.",
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
    let mut changes = json!({
        "compared": summary.baseline.is_some(),
        "baseline_run": summary.baseline,
        "policy_changed": summary.policy_changed,
        "passed_over": !summary.passed_over.is_empty(),
        "not_asked": summary.coverage.not_asked,
        "not_judged": totals.not_judged.sentence(),
        "accounts_compared": totals.accounts_compared,
        "accounts_not_compared": summary.coverage.asked - totals.accounts_compared,
        "counts": ChangeKind::ALL.iter().map(count).collect::<Vec<_>>(),
    });
    changes["table"] = table;
    changes
}

fn matrix(rows: &WorstFirst<MatrixRow>, policy: &Policy) -> Value {
    let rules: Vec<_> = policy.rules_in_force().collect();
    let shown = rows.shown();
    json!({
        "rules": rules.iter().map(|rule| json!({"id": rule.id, "title": rule.title})).collect::<Vec<_>>(),
        "total": rows.total,
        "shown": shown,
        "left_out": rows.total - shown,
        "rows": rows.items().map(|row| row.json(&rules)).collect::<Vec<_>>(),
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
    // Each waiver stands in one list.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_drives_out_what_is_not() {
        let mut kept = WorstFirst::new(3);
        for (severity, item) in [
            (None, 1),
            (Some(Severity::Low), 2),
            (None, 3),
            (Some(Severity::Critical), 4),
            (Some(Severity::Low), 5),
            (Some(Severity::Low), 6),
        ] {
            kept.keep(severity, item);
        }
        assert_eq!(kept.items().copied().collect::<Vec<_>>(), [4, 2, 5]);
        assert_eq!(kept.shown(), 3);
        // There is room for one that is worse than those that there are, and for no other.
        assert_eq!(kept.open_places(), Severity::Low as usize);
    }
}
