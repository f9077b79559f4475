//! `report.json`: the report for programs. Its shape is a contract of its own, apart from the types inside.

use std::fmt::Write as _;
use std::io::{self, Read, Seek, Write};
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::SpooledTempFile;

use super::columns::{
    ACCOUNTS, AccountRow, CHANGES, Cell, ChangeRow, FINDINGS, FindingRow, Kind, Table,
};
use super::files::{StagedFile, Staging, append, append_rest, owned};
use super::summary::{FindingCount, Summary, WaiverUse, judges_fedramp, rule_counts};
use super::{Format, FormatWorker, Settings};
use crate::accounts::Source;
use crate::policy::Waiver;
use crate::severity::Severity;
use crate::text::utc;

/// The name and version of the report's shape.
pub const SCHEMA: &str = "cf-sso-audit/report/v1";
/// The JSON Schema of the report.
pub fn schema() -> Value {
    let number = json!({"type": "integer", "minimum": 0});
    let numbers =
        json!({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}});
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let time = json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"});
    let or_null = |schema: &Value| json!({"anyOf": [schema, {"type": "null"}]});
    let count = object(&[
        ("open", number.clone()),
        ("waived", number.clone()),
        ("new", number.clone()),
    ]);
    let counts = |names: Vec<&str>| {
        object(
            &names
                .into_iter()
                .map(|name| (name, count.clone()))
                .collect::<Vec<_>>(),
        )
    };
    let limits = object(&[
        ("concurrency", number.clone()),
        ("rate", text.clone()),
        ("timeout_seconds", json!({"type": "number"})),
        ("retries", number.clone()),
    ]);
    let run = object(&[
        ("id", text.clone()),
        ("version", text.clone()),
        ("started_utc", time.clone()),
        ("finished_utc", time.clone()),
        ("judged_at_utc", time.clone()),
        ("base_url", text.clone()),
        ("demo", json!({"type": "boolean"})),
        ("sources", texts.clone()),
        ("limits", limits),
        (
            "policy",
            or_null(&object(&[("path", text.clone()), ("sha256", text.clone())])),
        ),
        ("baseline", or_null(&text)),
        (
            "baselines_unreadable",
            json!({"type": "array", "items": object(&[("run_id", text.clone()), ("cause", text.clone())])}),
        ),
        ("evidence_sha256", text.clone()),
    ]);
    let coverage = object(&[
        ("asked", number.clone()),
        ("read", number.clone()),
        ("incomplete", number.clone()),
        ("unread", number.clone()),
        ("not_asked", number.clone()),
        ("whole", json!({"type": "boolean"})),
        ("gaps", texts.clone()),
        ("sentence", text.clone()),
    ]);
    let mut totals: Vec<_> = [
        "connectors",
        "enabled",
        "disabled",
        "enabled_unknown",
        "unverified",
        "fedramp_on",
        "fedramp_off",
        "fedramp_unknown",
    ]
    .map(|name| (name, number.clone()))
    .to_vec();
    totals.extend([
        ("statuses", numbers.clone()),
        ("fedramp_judged", json!({"type": "boolean"})),
        ("fedramp_compliance", numbers.clone()),
        ("findings", count.clone()),
        (
            "findings_by_severity",
            counts(
                Severity::ALL
                    .iter()
                    .map(|severity| severity.as_str())
                    .collect(),
            ),
        ),
        (
            "findings_by_rule",
            counts(crate::rules::RULES.iter().map(|rule| rule.id).collect()),
        ),
        ("changes", or_null(&numbers)),
        ("accounts_compared", or_null(&number)),
        ("findings_not_judged", number.clone()),
        ("findings_not_judged_by_severity", numbers.clone()),
    ]);
    let waiver = object(&[
        ("rule", text.clone()),
        ("account", text.clone()),
        ("domain", or_null(&text)),
        ("reason", text.clone()),
        ("owner", text.clone()),
        ("expires", json!({"type": "string", "format": "date"})),
        ("expired", json!({"type": "boolean"})),
        ("expiring", json!({"type": "boolean"})),
        ("waived", number.clone()),
        ("matched", number.clone()),
    ]);
    let mut point: Vec<_> = vec![
        ("run_id", text.clone()),
        ("started_utc", time),
        ("whole", json!({"type": "boolean"})),
    ];
    point.extend(
        [
            "accounts_asked",
            "accounts_read",
            "connectors",
            "unverified",
            "disabled",
            "open",
            "critical",
            "high",
            "medium",
            "low",
            "new",
            "resolved",
        ]
        .map(|name| (name, number.clone())),
    );
    let of_rule = ["open", "waived", "new", "resolved"].map(|name| (name, number.clone()));
    point.push((
        "rules",
        json!({"type": "object", "additionalProperties": object(&of_rule)}),
    ));
    let list = |item: Value| json!({"type": "array", "items": item});
    let mut schema = object(&[
        ("schema", json!({"const": SCHEMA})),
        ("run", run),
        ("coverage", coverage),
        ("totals", object(&totals)),
        ("waivers", list(waiver)),
        ("policy_accounts_absent", texts),
        ("trend", list(object(&point))),
        ("accounts", list(rows(&ACCOUNTS))),
        ("findings", list(rows(&FINDINGS))),
        ("changes", list(rows(&CHANGES))),
    ]);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Report of cf-sso-audit".into();
    schema
}

/// The shape of an object that has all of these keys. Others may come in later versions.
fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<_, _> = properties
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// The shape of a table's rows: counts are numbers or null, everything else is text.
fn rows<K: Kind>(table: &Table<K>) -> Value {
    let cell = |name| (name, json!({"type": ["string", "integer", "null"]}));
    object(&table.names().into_iter().map(cell).collect::<Vec<_>>())
}

/// Writes the report.
pub struct JsonReport {
    file: StagedFile,
    accounts: Mutex<SpooledTempFile>,
    /// One list a severity, worst first.
    findings: [Mutex<SpooledTempFile>; Severity::ALL.len()],
    changes: Mutex<SpooledTempFile>,
}

impl JsonReport {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open<'a>(staging: &Staging, _: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        let list = || Mutex::new(staging.spool());
        Ok(Box::new(Self {
            file: staging.file("report.json")?,
            accounts: list(),
            findings: std::array::from_fn(|_| list()),
            changes: list(),
        }))
    }
}

/// What stands before an item of a list; the comma is left out before the first.
const BEFORE_ITEM: &[u8] = b",\n    ";

/// Appends a row as an object whose keys are the columns.
fn push<K: Kind>(items: &mut Vec<u8>, table: &Table<K>, row: &K::Row<'_>) -> io::Result<()> {
    items.extend_from_slice(BEFORE_ITEM);
    let mut before = b'{';
    for column in table.columns {
        items.push(before);
        before = b',';
        // The names of columns need no escaping.
        items.push(b'"');
        items.extend_from_slice(column.name.as_bytes());
        items.extend_from_slice(b"\":");
        let cell = (column.cell)(row);
        match cell {
            Cell::Number(number) => write!(items, "{number}")?,
            Cell::NoNumber => items.extend_from_slice(b"null"),
            Cell::Text(_) | Cell::Word(_) => serde_json::to_writer(&mut *items, &cell.text())?,
        }
    }
    items.push(b'}');
    Ok(())
}

struct Worker<'f> {
    report: &'f JsonReport,
    accounts: Vec<u8>,
    findings: [Vec<u8>; Severity::ALL.len()],
    changes: Vec<u8>,
}

impl FormatWorker for Worker<'_> {
    fn account(&mut self, row: &AccountRow<'_>) -> io::Result<()> {
        push(&mut self.accounts, &ACCOUNTS, row)
    }

    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        let items = &mut self.findings[row.finding.severity as usize];
        push(items, &FINDINGS, row)
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        push(&mut self.changes, &CHANGES, row)
    }

    fn waiting(&self) -> usize {
        let findings: usize = self.findings.iter().map(Vec::len).sum();
        self.accounts.len() + findings + self.changes.len()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        append(&self.report.accounts, &mut self.accounts)?;
        for (items, list) in self.findings.iter_mut().zip(&self.report.findings) {
            append(list, items)?;
        }
        append(&self.report.changes, &mut self.changes)
    }
}

impl Format for JsonReport {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            report: self,
            accounts: Vec::new(),
            findings: Default::default(),
            changes: Vec::new(),
        })
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let mut file = self.file;
        let mut head = format!("{{\n  \"schema\": {}", Value::from(SCHEMA));
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
            // Writing to a string cannot fail.
            let _ = write!(head, ",\n  \"{key}\": {value}");
        }
        file.write_all(head.as_bytes())?;
        let findings = self.findings.into_iter().map(owned).collect();
        for (key, lists) in [
            ("accounts", vec![owned(self.accounts)]),
            ("findings", findings),
            ("changes", vec![owned(self.changes)]),
        ] {
            write_list(&mut file, key, lists)?;
        }
        file.write_all(b"\n}\n")?;
        file.finish();
        Ok(())
    }
}

fn write_list(file: &mut StagedFile, key: &str, mut parts: Vec<SpooledTempFile>) -> io::Result<()> {
    file.write_all(format!(",\n  \"{key}\": [").as_bytes())?;
    let mut is_empty = true;
    for part in &mut parts {
        part.rewind()?;
        if is_empty {
            // The first item has none before it.
            let mut comma = [0];
            is_empty = part.read(&mut comma)? == 0;
        }
        append_rest(part, file)?;
    }
    file.write_all(if is_empty { b"]" } else { b"\n  ]" })
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
        "sources": header.sources.iter().map(Source::words).collect::<Vec<_>>(),
        "limits": header.limits,
        "policy": summary.policy.source,
        "baseline": summary.baseline,
        "baselines_unreadable": summary.passed_over,
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
        "not_asked": coverage.not_asked,
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
    let rule =
        |(rule, count): (&crate::rules::Rule, FindingCount)| (rule.id.to_owned(), json!(count));
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
        "statuses": totals.statuses.by_name(),
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
        "findings_not_judged": totals.not_judged.total(),
        "findings_not_judged_by_severity": totals.not_judged.by_severity,
    })
}

fn waivers(summary: &Summary<'_>) -> Value {
    let one = |usage: &WaiverUse<'_>| {
        let waiver: &Waiver = usage.waiver;
        json!({
            "rule": waiver.rule,
            "account": waiver.account.as_deref().unwrap_or("*"),
            "domain": waiver.domain,
            "reason": waiver.reason,
            "owner": waiver.owner,
            "expires": waiver.expires,
            "expired": waiver.is_expired(summary.now),
            "expiring": waiver.is_expiring(summary.now),
            "waived": usage.waived,
            "matched": usage.matched,
        })
    };
    Value::Array(summary.waivers.iter().map(one).collect())
}
