//! `report.json`: the report for programs. Its shape is a contract of its own, apart from the types inside.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use tempfile::SpooledTempFile;

use super::files::{StagedFile, Staging, append};
use super::tables::{ACCOUNTS, CHANGES, Cell, Context, FINDINGS, Row, Table, emit_changes};
use super::{Format, Summary, judges_fedramp, rule_counts};
use crate::accounts::Source;
use crate::assess::Assessed;
use crate::compare::Change;
use crate::ledger::AccountMemory;
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
fn rows(table: &Table) -> Value {
    let cell = |column: &&'static str| (*column, json!({"type": ["string", "integer", "null"]}));
    object(&table.columns.iter().map(cell).collect::<Vec<_>>())
}

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
            accounts: List::new(staging),
            findings: Severity::ALL.iter().map(|_| List::new(staging)).collect(),
            changes: List::new(staging),
        }))
    }
}

/// The items of a list, which stand in the report after figures that are known last.
struct List {
    items: BufWriter<SpooledTempFile>,
    any: bool,
}

impl List {
    fn new(staging: &Staging) -> Self {
        Self {
            items: BufWriter::new(staging.spool()),
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

    fn not_asked(&mut self, _: &AccountMemory, changes: &[Change]) -> io::Result<()> {
        let mut result = Ok(());
        emit_changes(changes, &mut |row| {
            if result.is_ok() {
                result = self.changes.push(&CHANGES, &row);
            }
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
        "findings_not_judged": totals.not_judged.total(),
        "findings_not_judged_by_severity": totals.not_judged.by_severity,
    })
}

fn waivers(summary: &Summary<'_>) -> Value {
    let one = |usage: &super::WaiverUse<'_>| {
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
