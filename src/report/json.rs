//! `report.json`: the report for programs. Its shape is a contract of its own, apart from the types inside.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use tempfile::SpooledTempFile;

use super::files::{StagedFile, Staging, append};
use super::tables::{ACCOUNTS, CHANGES, Cell, Context, FINDINGS, Row, Table, emit_change};
use super::{EXPIRING_DAYS, Format, Summary, judges_fedramp, rule_counts};
use crate::assess::Assessed;
use crate::compare::Change;
use crate::policy::Waiver;
use crate::rules::Severity;
use crate::text::utc;

/// The name and version of the report's shape.
pub const SCHEMA: &str = "cf-sso-audit/report/v1";
/// Up to this many bytes of a list wait in memory, more in a file.
const SPOOL: usize = 1024 * 1024;

/// Writes the report.
pub struct JsonReport<'a> {
    file: StagedFile,
    context: Context<'a>,
    accounts: List,
    /// One list a severity, worst first.
    findings: Vec<List>,
    changes: List,
}

impl<'a> JsonReport<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(staging: &Staging, context: Context<'a>) -> io::Result<Box<dyn Format + 'a>> {
        Ok(Box::new(Self {
            file: staging.file("report.json")?,
            context,
            accounts: List::new(),
            findings: Severity::ALL.iter().map(|_| List::new()).collect(),
            changes: List::new(),
        }))
    }
}

/// The items of a list, which stand in the report after figures that are known last.
struct List {
    items: BufWriter<SpooledTempFile>,
    any: bool,
}

impl List {
    fn new() -> Self {
        Self {
            items: BufWriter::new(SpooledTempFile::new(SPOOL)),
            any: false,
        }
    }

    fn push(&mut self, table: &Table, row: &Row<'_, '_>) -> io::Result<()> {
        self.items
            .write_all(if self.any { b",\n    " } else { b"\n    " })?;
        self.any = true;
        let object = Object {
            columns: table.columns,
            cells: row.cells,
        };
        Ok(serde_json::to_writer(&mut self.items, &object)?)
    }
}

/// A row as an object whose keys are the columns.
struct Object<'r, 'a> {
    columns: &'static [&'static str],
    cells: &'r [Cell<'a>],
}

impl Serialize for Object<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            match cell {
                Cell::Text(text) | Cell::Word(text) => map.serialize_entry(column, text)?,
                Cell::Number(number) => map.serialize_entry(column, number)?,
                Cell::NoNumber => map.serialize_entry(column, &Value::Null)?,
            }
        }
        map.end()
    }
}

impl Format for JsonReport<'_> {
    fn account(&mut self, assessed: &Assessed<'_>) -> io::Result<()> {
        let mut result = Ok(());
        let mut keep = |outcome: io::Result<()>| {
            if result.is_ok() {
                result = outcome;
            }
        };
        (ACCOUNTS.rows)(assessed, &self.context, &mut |row| {
            keep(self.accounts.push(&ACCOUNTS, &row))
        });
        (FINDINGS.rows)(assessed, &self.context, &mut |row| {
            let place = row.severity.map_or(0, |severity| severity as usize);
            keep(self.findings[place].push(&FINDINGS, &row));
        });
        (CHANGES.rows)(assessed, &self.context, &mut |row| {
            keep(self.changes.push(&CHANGES, &row))
        });
        result
    }

    fn departed(&mut self, change: &Change) -> io::Result<()> {
        let mut result = Ok(());
        emit_change(change, &mut |row| {
            result = self.changes.push(&CHANGES, &row)
        });
        result
    }

    fn finish(mut self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let file = &mut self.file;
        write!(file, "{{\n  \"schema\": {}", Value::from(SCHEMA))?;
        for (key, value) in [
            ("run", run(summary)),
            ("coverage", coverage(summary)),
            ("totals", totals(summary)),
            ("waivers", waivers(summary)),
            (
                "policy_accounts_absent",
                json!(summary.policy_accounts_absent),
            ),
            ("trend", json!(summary.trend)),
        ] {
            write!(file, ",\n  \"{key}\": {value}")?;
        }
        for (key, lists) in [
            ("accounts", vec![self.accounts]),
            ("findings", self.findings),
            ("changes", vec![self.changes]),
        ] {
            write!(file, ",\n  \"{key}\": [")?;
            let mut any = false;
            for list in lists {
                if any && list.any {
                    file.write_all(b",")?;
                }
                any |= list.any;
                let mut items = list
                    .items
                    .into_inner()
                    .map_err(|error| error.into_error())?;
                append(&mut items, file)?;
            }
            file.write_all(if any { b"\n  ]" } else { b"]" })?;
        }
        file.write_all(b"\n}\n")?;
        self.file.finish()
    }
}

fn run(summary: &Summary<'_>) -> Value {
    let header = summary.header;
    json!({
        "id": header.run_id,
        "version": header.version,
        "started_utc": utc(header.started),
        "finished_utc": utc(summary.finished),
        "judged_at_utc": utc(summary.now),
        "base_url": header.base_url,
        "demo": header.demo,
        "sources": header.sources,
        "limits": header.limits,
        "policy": summary.policy.source,
        "baseline": summary.baseline,
        "evidence_sha256": summary.evidence_sha256,
    })
}

fn coverage(summary: &Summary<'_>) -> Value {
    let coverage = &summary.coverage;
    json!({
        "asked": coverage.asked,
        "read": coverage.read,
        "incomplete": coverage.incomplete,
        "unread": coverage.unread,
        "whole": coverage.is_whole(),
        "gaps": coverage.gaps,
        "sentence": coverage.sentence(),
    })
}

fn totals(summary: &Summary<'_>) -> Value {
    let totals = &summary.totals;
    let severity = |severity: &Severity| {
        let count = totals
            .by_severity
            .get(severity)
            .copied()
            .unwrap_or_default();
        (severity.as_str().to_owned(), json!(count))
    };
    let rule = |(rule, count): (&crate::rules::Rule, super::FindingCount)| {
        (rule.id.to_owned(), json!(count))
    };
    let changes = totals
        .changes
        .iter()
        .map(|(kind, number)| (kind.as_str().to_owned(), json!(number)));
    json!({
        "connectors": totals.connectors,
        "enabled": totals.enabled,
        "disabled": totals.disabled,
        "enabled_unknown": totals.enabled_unknown,
        "unverified": totals.unverified,
        "statuses": totals.statuses,
        "fedramp_on": totals.fedramp_on,
        "fedramp_off": totals.fedramp_off,
        "fedramp_unknown": totals.fedramp_unknown,
        "fedramp_judged": judges_fedramp(summary.policy),
        "fedramp_compliance": totals.fedramp_compliance,
        "findings": totals.findings,
        "findings_by_severity": Severity::ALL.iter().map(severity).collect::<serde_json::Map<_, _>>(),
        "findings_by_rule": rule_counts(totals).map(rule).collect::<serde_json::Map<_, _>>(),
        "changes": summary.baseline.as_ref().map(|_| changes.collect::<serde_json::Map<_, _>>()),
        "accounts_compared": summary.baseline.as_ref().map(|_| totals.accounts_compared),
    })
}

fn waivers(summary: &Summary<'_>) -> Value {
    let one = |usage: &super::WaiverUse<'_>| {
        let waiver: &Waiver = usage.waiver;
        let left = (waiver.expires - summary.now.date_naive()).num_days();
        json!({
            "rule": waiver.rule,
            "account": waiver.account.as_deref().unwrap_or("*"),
            "domain": waiver.domain,
            "reason": waiver.reason,
            "owner": waiver.owner,
            "expires": waiver.expires,
            "expired": waiver.is_expired(summary.now),
            "expiring": (0..=EXPIRING_DAYS).contains(&left),
            "waived": usage.waived,
            "matched": usage.matched,
        })
    };
    Value::Array(summary.waivers.iter().map(one).collect())
}
