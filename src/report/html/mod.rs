//! `report.html`: one self-contained page. Here the view is filled that the templates render.
//!
//! The page has room for [`ROW_LIMIT`] rows a table. What calls for action stands before what does not, worst
//! first; how many rows are left out is said, and which file has them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::files::{StagedFile, Staging};
use super::tables::{
    ACCOUNTS, CHANGES, CONNECTORS, Cell, Context, DISABLED, FEDRAMP, FINDINGS, Row, Table, UNREAD,
    UNVERIFIED, emit_changes,
};
use super::{Format, Settings, Summary, WaiverUse, files_written, judges_fedramp, rule_counts};
use crate::accounts::Source;
use crate::assess::Assessed;
use crate::compare::{Change, ChangeKind};
use crate::ledger::AccountMemory;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::rules::controls::CONTROLS;
use crate::rules::{Basis, RULES, Rule};
use crate::severity::Severity;
use crate::text::{count, utc};

mod helpers;
pub mod template;

/// Rows a table of the page has room for.
pub const ROW_LIMIT: usize = 500;
/// Accounts that the matrix of accounts and rules has room for.
const MATRIX_LIMIT: usize = 200;

/// Writes the page.
pub struct Page<'a> {
    file: StagedFile,
    settings: &'a Settings<'a>,
    tables: Vec<PageTable>,
    unread: PageTable,
    matrix: WorstFirst<MatrixRow>,
}

/// The tables of the page by the name under which the templates know them.
const PAGE_TABLES: [(&str, &Table); 7] = [
    ("unverified", &UNVERIFIED),
    ("disabled", &DISABLED),
    ("fedramp_settings", &FEDRAMP),
    ("findings", &FINDINGS),
    ("accounts", &ACCOUNTS),
    ("connectors", &CONNECTORS),
    ("changes", &CHANGES),
];

impl<'a> Page<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(staging: &Staging, settings: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        Ok(Box::new(Self {
            file: staging.file("report.html")?,
            settings,
            tables: PAGE_TABLES
                .iter()
                .map(|(_, table)| PageTable::new(table))
                .collect(),
            unread: PageTable::new(&UNREAD),
            matrix: WorstFirst::new(MATRIX_LIMIT),
        }))
    }

    fn context(&self) -> Context<'a> {
        self.settings.context()
    }
}

/// Items of which there is room for a limited number: the worst, in the order in which they came.
#[derive(Debug)]
struct WorstFirst<T> {
    limit: usize,
    total: usize,
    /// One list a severity, and one for what calls for no action.
    kept: [Vec<T>; Severity::ALL.len() + 1],
}

impl<T> WorstFirst<T> {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            total: 0,
            kept: Default::default(),
        }
    }

    fn push(&mut self, severity: Option<Severity>, item: impl FnOnce() -> T) {
        self.total += 1;
        let place = severity.map_or(Severity::ALL.len(), |severity| severity as usize);
        let better: usize = self.kept[..=place].iter().map(Vec::len).sum();
        if better >= self.limit {
            return;
        }
        self.kept[place].push(item());
        // What now has no room, because worse came, is let go.
        let kept: usize = self.kept.iter().map(Vec::len).sum();
        if kept > self.limit
            && let Some(least) = self.kept.iter_mut().rfind(|list| !list.is_empty())
        {
            least.pop();
        }
    }

    fn items(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().flatten()
    }

    fn shown(&self) -> usize {
        self.items().count()
    }
}

/// The rows of one table.
#[derive(Debug)]
struct PageTable {
    table: &'static Table,
    rows: WorstFirst<Vec<Value>>,
}

impl PageTable {
    fn new(table: &'static Table) -> Self {
        Self {
            table,
            rows: WorstFirst::new(ROW_LIMIT),
        }
    }

    fn push(&mut self, row: &Row<'_, '_>) {
        self.rows
            .push(row.severity, || row.cells.iter().map(Cell::json).collect());
    }
}

impl Serialize for PageTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.rows.shown();
        let object = |row: &Vec<Value>| -> serde_json::Map<String, Value> {
            let value = |value: &Value| {
                if value.is_null() {
                    Value::String(String::new())
                } else {
                    value.clone()
                }
            };
            let columns = self.table.columns.iter().map(|column| (*column).to_owned());
            columns.zip(row.iter().map(value)).collect()
        };
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("file", self.table.file)?;
        map.serialize_entry("total", &self.rows.total)?;
        map.serialize_entry("shown", &shown)?;
        map.serialize_entry("left_out", &(self.rows.total - shown))?;
        map.serialize_entry("rows", &self.rows.items().map(object).collect::<Vec<_>>())?;
        map.end()
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

impl Format for Page<'_> {
    fn account(&mut self, assessed: &Assessed<'_>) -> io::Result<()> {
        let context = self.context();
        for table in &mut self.tables {
            (table.table.rows)(assessed, &context, &mut |row| {
                // A waived finding calls for no action: it stands after those that do.
                let waived = table.table.file == FINDINGS.file
                    && row.cells.contains(&Cell::Word("waived".into()));
                let severity = row.severity.filter(|_| !waived);
                table.push(&Row { severity, ..row });
            });
        }
        if assessed.evidence.outcome != Outcome::Read {
            (UNREAD.rows)(assessed, &context, &mut |row| self.unread.push(&row));
        }
        if !assessed.findings.is_empty() {
            let worst = assessed
                .findings
                .iter()
                .find(|finding| finding.is_open())
                .map(|finding| finding.severity);
            self.matrix.push(worst, || MatrixRow::of(assessed));
        }
        Ok(())
    }

    fn not_asked(&mut self, _: &AccountMemory, changes: &[Change]) -> io::Result<()> {
        let mut tables = self.tables.iter_mut();
        if let Some(table) = tables.find(|table| table.table.file == CHANGES.file) {
            emit_changes(changes, &mut |row| table.push(&row));
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut view = json!({
            "run": run(summary),
            "verdict": verdict(summary),
            "coverage": coverage(summary),
            "totals": totals(summary),
            "fedramp": fedramp(summary),
            "unread": self.unread,
            "matrix": matrix(&self.matrix, summary.policy),
            "waivers": waivers(summary),
            "trend": summary.trend,
            "controls": controls(summary),
            "rules": RULES.iter().map(|rule| explained(rule, summary.policy)).collect::<Vec<_>>(),
            "files": files(self.settings),
        });
        for ((name, _), table) in PAGE_TABLES.iter().zip(&self.tables) {
            view[name] = if *name == "changes" {
                changes(summary, table)
            } else {
                json!(table)
            };
        }
        self.settings
            .template
            .render(&view, &mut self.file)
            .map_err(io::Error::other)?;
        self.file.flush()?;
        self.file.finish()
    }
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
        "gaps": coverage.gaps,
    })
}

fn totals(summary: &Summary<'_>) -> Value {
    let totals = &summary.totals;
    let mut statuses = Vec::new();
    let known = ["verified", "pending", "awaiting", "failed", "unknown"];
    for status in known {
        statuses.push(json!({"status": status, "count": totals.statuses.get(status).copied().unwrap_or_default()}));
    }
    for (status, number) in totals
        .statuses
        .iter()
        .filter(|(status, _)| !known.contains(&status.as_str()))
    {
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
    let rule = |(rule, count): (&Rule, super::FindingCount)| {
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

fn changes(summary: &Summary<'_>, table: &PageTable) -> Value {
    let totals = &summary.totals;
    let count = |kind: &ChangeKind| {
        let number = totals.changes.get(kind).copied().unwrap_or_default();
        let (one, several) = kind.labels();
        let label = if number == 1 { one } else { several };
        json!({"kind": kind.as_str(), "label": label, "count": number})
    };
    json!({
        "compared": summary.baseline.is_some(),
        "baseline_run": summary.baseline,
        "policy_changed": summary.policy_changed,
        "passed_over": !summary.passed_over.is_empty(),
        "not_asked": summary.coverage.not_asked,
        "not_judged": totals.not_judged.sentence(),
        "accounts_compared": totals.accounts_compared,
        "accounts_not_compared": summary.coverage.asked - totals.accounts_compared,
        "counts": ChangeKind::ALL.iter().map(count).collect::<Vec<_>>(),
        "table": table,
    })
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
    let files = files_written(settings.formats);
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
            kept.push(severity, || item);
        }
        assert_eq!(kept.items().copied().collect::<Vec<_>>(), [4, 2, 5]);
        assert_eq!((kept.total, kept.shown()), (6, 3));
    }
}
