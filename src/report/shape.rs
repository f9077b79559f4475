//! The shape of `report.json`, apart from the types inside: it is a contract of its own, and its JSON Schema is derived
//! from it. The rows of accounts, findings and changes are those of the tables in `columns.rs`.
//!
//! Fields are in the order of the alphabet, in which they have always been written.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::columns::{ACCOUNTS, CHANGES, FINDINGS, Kind, Table};
use super::summary::{FindingCount, RemediationUse, Summary, WaiverUse, rule_counts};
use crate::accounts::Source;
use crate::evidence::RunHeader;
use crate::ledger::TrendPoint;
use crate::merged::{Merged, MergedRun, SomeAccounts};
use crate::organizations::{Organization, Unlisted, in_order};
use crate::policy::Attestation;
use crate::region::Region;
use crate::rules::RULES;
use crate::severity::Severity;
use crate::text::utc;
use crate::thresholds::severity_or_never;

/// The name and version of the report's shape.
pub const SCHEMA: &str = "cf-sso-audit/report/v1";

/// Times as the files write them.
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$";

/// Everything before the rows.
#[derive(JsonSchema)]
#[schemars(title = "Report of cf-sso-audit")]
pub struct Head<'a> {
    /// The run.
    pub run: Run<'a>,
    /// How far the accounts were read.
    pub coverage: Coverage<'a>,
    /// When the run does not end with 0, and whether that was reached.
    pub thresholds: Reached,
    /// The figures.
    pub totals: Totals<'a>,
    /// The policy's waivers, with what became of them.
    pub waivers: Vec<WaiverShown<'a>>,
    /// What the policy says that somebody attests.
    pub attestations: Vec<AttestationShown<'a>>,
    /// By when the policy says that findings will be fixed.
    pub remediations: Vec<RemediationShown<'a>>,
    /// Accounts that the policy names and the run was not asked for.
    pub policy_accounts_absent: &'a [String],
    /// The figures of this run and those before it, oldest first.
    pub trend: Vec<Point<'a>>,
    /// What DNS was seen to hold; null where nothing was looked up.
    pub dns: Option<Dns<'a>>,
}

/// What DNS was seen to hold.
#[derive(Serialize, JsonSchema)]
pub struct Dns<'a> {
    /// Connectors whose domains were looked up, by how their records stand.
    connectors: &'a BTreeMap<&'static str, u64>,
    /// Why nobody was asked.
    nobody: Option<&'a str>,
    /// Who was asked.
    resolvers: &'a [String],
    /// The words of the report.
    sentences: Vec<String>,
    #[schemars(extend("pattern" = TIME))]
    started_utc: String,
    /// Verified connectors whose record is not there any more.
    verified_without_record: u64,
}

impl<'a> Dns<'a> {
    fn of(summary: &'a Summary<'_>) -> Option<Self> {
        let lookups = summary.lookups.as_ref()?;
        Some(Self {
            connectors: &summary.totals.dns,
            nobody: lookups.nobody.as_deref(),
            resolvers: &lookups.resolvers,
            sentences: summary.dns_sentences()?,
            started_utc: utc(lookups.started),
            verified_without_record: summary.totals.records_gone,
        })
    }
}

/// The run.
#[derive(Serialize, JsonSchema)]
pub struct Run<'a> {
    base_url: &'a str,
    baseline: Option<&'a str>,
    baselines_unreadable: Vec<Unreadable<'a>>,
    demo: bool,
    evidence_sha256: &'a str,
    #[schemars(extend("pattern" = TIME))]
    finished_utc: String,
    id: &'a str,
    #[schemars(extend("pattern" = TIME))]
    judged_at_utc: String,
    limits: Limits<'a>,
    /// The runs that it was merged of; null where it was read.
    merged: Option<MergedShown<'a>>,
    policy: Option<PolicyShown<'a>>,
    /// `public`, `fedramp-high`, or `other` for an address that is none of Cloudflare's own.
    region: &'static str,
    /// The shards whose accounts alone the run has; null where it has all.
    shard: Option<ShardShown<'a>>,
    sources: Vec<String>,
    #[schemars(extend("pattern" = TIME))]
    started_utc: String,
    version: &'a str,
}

/// The shards whose accounts alone a run has.
#[derive(Serialize, JsonSchema)]
struct ShardShown<'a> {
    /// Accounts in the list that was divided.
    accounts_named: usize,
    /// Shards that the run lacks, of a run that was merged; of a run of one shard none is missing.
    missing: Vec<u32>,
    /// The shards, from 0.
    numbers: &'a [u32],
    of: u32,
}

impl<'a> ShardShown<'a> {
    fn of(header: &'a RunHeader) -> Option<Self> {
        let share = header.shards_alone()?;
        Some(Self {
            accounts_named: share.named(),
            missing: match &header.merged {
                Some(_) => share.missing(),
                None => Vec::new(),
            },
            numbers: &share.shards,
            of: share.of,
        })
    }
}

/// The runs that a run was merged of.
#[derive(Serialize, JsonSchema)]
struct MergedShown<'a> {
    /// Accounts that several of them read in full, with different connectors; the ids of the first ones.
    differing: SomeShown<'a>,
    /// Accounts that several of them have; the ids of the first ones.
    in_several: SomeShown<'a>,
    runs: Vec<MergedRunShown<'a>>,
    sentences: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct SomeShown<'a> {
    count: usize,
    first: &'a [String],
}

#[derive(Serialize, JsonSchema)]
struct MergedRunShown<'a> {
    accounts: usize,
    evidence_sha256: &'a str,
    id: &'a str,
    shard: Option<&'a str>,
    #[schemars(extend("pattern" = TIME))]
    started_utc: String,
    version: &'a str,
}

impl<'a> MergedShown<'a> {
    /// `None` where there is nothing to say: a report about some of the accounts names no runs.
    fn of(merged: &'a Merged) -> Option<Self> {
        let sentences = merged.sentences();
        if merged.runs.is_empty() && sentences.is_empty() {
            return None;
        }
        let some = |some: &'a SomeAccounts| SomeShown {
            count: some.count,
            first: &some.first,
        };
        let run = |run: &'a MergedRun| MergedRunShown {
            accounts: run.accounts,
            evidence_sha256: &run.evidence_sha256,
            id: &run.run_id,
            shard: run.shard.as_deref(),
            started_utc: utc(run.started),
            version: &run.version,
        };
        Some(Self {
            differing: some(&merged.differing),
            in_several: some(&merged.in_several),
            runs: merged.runs.iter().map(run).collect(),
            sentences,
        })
    }
}

#[derive(Serialize, JsonSchema)]
struct Unreadable<'a> {
    cause: &'a str,
    run_id: &'a str,
}

#[derive(Serialize, JsonSchema)]
struct Limits<'a> {
    concurrency: usize,
    rate: &'a str,
    retries: u32,
    timeout_seconds: f64,
}

#[derive(Serialize, JsonSchema)]
struct PolicyShown<'a> {
    path: &'a str,
    sha256: &'a str,
}

impl<'a> Run<'a> {
    fn of(summary: &'a Summary<'_>) -> Self {
        let header = summary.header;
        let limits = &header.limits;
        let unreadable = summary.passed_over.iter().map(|run| Unreadable {
            cause: &run.cause,
            run_id: &run.run_id,
        });
        Self {
            base_url: &header.base_url,
            baseline: summary.baseline.as_deref(),
            baselines_unreadable: unreadable.collect(),
            demo: header.demo,
            evidence_sha256: &summary.evidence_sha256,
            finished_utc: utc(summary.finished),
            id: &header.run_id,
            judged_at_utc: utc(summary.now),
            limits: Limits {
                concurrency: limits.concurrency,
                rate: &limits.rate,
                retries: limits.retries,
                timeout_seconds: limits.timeout_seconds,
            },
            merged: header.merged.as_ref().and_then(MergedShown::of),
            policy: summary.policy.source.as_ref().map(|source| PolicyShown {
                path: &source.path,
                sha256: &source.sha256,
            }),
            region: Region::word(&header.base_url),
            shard: ShardShown::of(header),
            sources: header.sources.iter().map(Source::words).collect(),
            started_utc: utc(header.started),
            version: &header.version,
        }
    }
}

/// How far the accounts were read.
#[derive(Serialize, JsonSchema)]
pub struct Coverage<'a> {
    asked: u64,
    /// Accounts that were not read in full, by `error_kind`.
    causes: &'a BTreeMap<&'static str, u64>,
    gaps: &'a [String],
    incomplete: u64,
    not_asked: u64,
    organizations: Option<Organizations<'a>>,
    read: u64,
    sentence: String,
    unread: u64,
    whole: bool,
}

impl<'a> Coverage<'a> {
    fn of(summary: &'a Summary<'_>) -> Self {
        let coverage = &summary.coverage;
        Self {
            asked: coverage.asked,
            causes: &coverage.causes,
            gaps: &coverage.gaps,
            incomplete: coverage.incomplete,
            not_asked: coverage.not_asked,
            organizations: Organizations::of(summary),
            read: coverage.read,
            sentence: coverage.sentence(),
            unread: coverage.unread,
            whole: coverage.is_whole(),
        }
    }
}

/// When the run does not end with 0, and whether that was reached: whatever the exit code, which reports one thing only.
#[derive(Serialize, JsonSchema)]
pub struct Reached {
    /// Up to how many accounts not read in full are allowed, and whether more of them, or of the list of accounts, were not read.
    allow_unread: Unread,
    fail_on: FailOn,
    fail_on_new: FailOn,
}

#[derive(Serialize, JsonSchema)]
struct Unread {
    allowed: String,
    reached: bool,
}

#[derive(Serialize, JsonSchema)]
struct FailOn {
    reached: bool,
    /// A severity, or `never`.
    severity: &'static str,
}

impl Reached {
    /// Whether each was reached.
    pub fn of(summary: &Summary<'_>) -> Self {
        let thresholds = &summary.thresholds;
        let fail_on = |severity, reached| FailOn {
            reached,
            severity: severity_or_never(severity),
        };
        Self {
            allow_unread: Unread {
                allowed: thresholds.allow_unread.to_string(),
                reached: !summary.is_read_enough(),
            },
            fail_on: fail_on(thresholds.fail_on, summary.reaches_fail_on()),
            fail_on_new: fail_on(thresholds.fail_on_new, summary.reaches_fail_on_new()),
        }
    }
}

/// The organizations whose accounts were listed.
#[derive(Serialize, JsonSchema)]
struct Organizations<'a> {
    accounts: usize,
    organizations: usize,
    sentence: String,
    /// Each before those under it.
    tree: Vec<OrganizationShown<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct OrganizationShown<'a> {
    accounts: usize,
    id: &'a str,
    level: usize,
    name: &'a str,
    parent: Option<&'a str>,
    unlisted: Vec<UnlistedShown<'a>>,
}

/// A list of an organization's that is incomplete.
#[derive(Serialize, JsonSchema)]
struct UnlistedShown<'a> {
    error_code: Option<&'a str>,
    error_kind: &'static str,
    error_message: &'a str,
    list: &'static str,
    remedy: String,
}

impl<'a> Organizations<'a> {
    fn of(summary: &'a Summary<'_>) -> Option<Self> {
        let organizations = &summary.header.organizations;
        let shown = |(level, organization): (usize, &'a Organization)| OrganizationShown {
            accounts: organization.accounts,
            id: &organization.id,
            level,
            name: &organization.name,
            parent: organization.parent.as_deref(),
            unlisted: organization.problems.iter().map(unlisted).collect(),
        };
        Some(Self {
            accounts: summary.header.organization_accounts(),
            organizations: organizations.len(),
            sentence: summary.organizations_sentence()?,
            tree: in_order(organizations).into_iter().map(shown).collect(),
        })
    }
}

fn unlisted(problem: &Unlisted) -> UnlistedShown<'_> {
    UnlistedShown {
        error_code: problem.error.code.as_deref(),
        error_kind: problem.error.kind.as_str(),
        error_message: &problem.error.message,
        list: problem.list.as_str(),
        remedy: problem.remedy(),
    }
}

/// The figures.
#[derive(Serialize, JsonSchema)]
pub struct Totals<'a> {
    accounts_compared: Option<u64>,
    changes: Option<BTreeMap<&'static str, u64>>,
    connectors: u64,
    disabled: u64,
    enabled: u64,
    enabled_unknown: u64,
    fedramp_compliance: &'a BTreeMap<&'static str, u64>,
    fedramp_judged: bool,
    fedramp_off: u64,
    fedramp_on: u64,
    fedramp_unknown: u64,
    findings: Count,
    #[schemars(schema_with = "by_rule")]
    findings_by_rule: BTreeMap<&'static str, Count>,
    #[schemars(schema_with = "by_severity")]
    findings_by_severity: BTreeMap<&'static str, Count>,
    findings_not_judged: u64,
    findings_not_judged_by_severity: BTreeMap<&'static str, u64>,
    /// How much each rule could judge: connectors, or accounts where it judges these. Connectors that could not be read
    /// are in no figure.
    #[schemars(schema_with = "judged_by_rule")]
    judged_by_rule: BTreeMap<&'static str, JudgedShown>,
    statuses: BTreeMap<&'a str, u64>,
    unverified: u64,
}

/// How much one rule could judge, and what it found.
#[derive(Serialize, JsonSchema)]
struct JudgedShown {
    fired: u64,
    judged: u64,
    not_judged: u64,
    waived: u64,
}

/// How many findings there are of one kind.
#[derive(Serialize, JsonSchema)]
struct Count {
    new: u64,
    open: u64,
    waived: u64,
}

impl From<FindingCount> for Count {
    fn from(count: FindingCount) -> Self {
        Self {
            new: count.new,
            open: count.open,
            waived: count.waived,
        }
    }
}

/// Every rule has its count.
fn by_rule(generator: &mut SchemaGenerator) -> Schema {
    counts(generator, RULES.iter().map(|rule| rule.id))
}

/// Every rule has its figures.
fn judged_by_rule(generator: &mut SchemaGenerator) -> Schema {
    let shown = generator.subschema_for::<JudgedShown>();
    let names: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    let properties: BTreeMap<_, _> = names.iter().map(|name| (*name, &shown)).collect();
    json_schema!({"type": "object", "properties": properties, "required": names})
}

/// Every severity has its count.
fn by_severity(generator: &mut SchemaGenerator) -> Schema {
    counts(generator, Severity::ALL.into_iter().map(Severity::as_str))
}

fn counts(generator: &mut SchemaGenerator, names: impl Iterator<Item = &'static str>) -> Schema {
    let count = generator.subschema_for::<Count>();
    let names: Vec<_> = names.collect();
    let properties: BTreeMap<_, _> = names.iter().map(|name| (*name, &count)).collect();
    json_schema!({"type": "object", "properties": properties, "required": names})
}

impl<'a> Totals<'a> {
    fn of(summary: &'a Summary<'_>) -> Self {
        let totals = &summary.totals;
        let is_compared = summary.baseline.is_some();
        let by_severity = |severity: Severity| {
            let count = totals.by_severity.get(&severity).copied();
            (severity.as_str(), count.unwrap_or_default().into())
        };
        let changes = totals
            .changes
            .iter()
            .map(|(kind, number)| (kind.as_str(), *number));
        let not_judged = totals.not_judged.by_severity.iter();
        Self {
            accounts_compared: is_compared.then_some(totals.accounts_compared),
            changes: is_compared.then(|| changes.collect()),
            connectors: totals.connectors,
            disabled: totals.disabled,
            enabled: totals.enabled,
            enabled_unknown: totals.enabled_unknown,
            fedramp_compliance: &totals.fedramp_compliance,
            fedramp_judged: summary.judges_fedramp(),
            fedramp_off: totals.fedramp_off,
            fedramp_on: totals.fedramp_on,
            fedramp_unknown: totals.fedramp_unknown,
            findings: totals.findings.into(),
            findings_by_rule: rule_counts(totals)
                .map(|(rule, count)| (rule.id, count.into()))
                .collect(),
            findings_by_severity: Severity::ALL.into_iter().map(by_severity).collect(),
            findings_not_judged: totals.not_judged.total(),
            findings_not_judged_by_severity: not_judged
                .map(|(severity, number)| (severity.as_str(), *number))
                .collect(),
            judged_by_rule: rule_counts(totals)
                .zip(&summary.judged)
                .map(|((rule, count), judged)| {
                    let shown = JudgedShown {
                        fired: count.open + count.waived,
                        judged: judged.judged,
                        not_judged: judged.not_judged,
                        waived: count.waived,
                    };
                    (rule.id, shown)
                })
                .collect(),
            statuses: totals.statuses.by_name(),
            unverified: totals.unverified,
        }
    }
}

/// A waiver, with what became of it.
#[derive(Serialize, JsonSchema)]
pub struct WaiverShown<'a> {
    account: &'a str,
    domain: Option<&'a str>,
    expired: bool,
    #[schemars(schema_with = "date")]
    expires: NaiveDate,
    expiring: bool,
    matched: u64,
    owner: &'a str,
    reason: &'a str,
    rule: &'a str,
    waived: u64,
}

fn date(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date"})
}

impl<'a> WaiverShown<'a> {
    fn of(usage: &'a WaiverUse<'_>, summary: &Summary<'_>) -> Self {
        let waiver = usage.waiver;
        Self {
            account: waiver.account.as_deref().unwrap_or("*"),
            domain: waiver.domain.as_deref(),
            expired: waiver.is_expired(summary.now),
            expires: waiver.expires,
            expiring: waiver.is_expiring(summary.now),
            matched: usage.matched,
            owner: &waiver.owner,
            reason: &waiver.reason,
            rule: waiver.rule,
            waived: usage.waived,
        }
    }
}

/// What somebody attests.
#[derive(Serialize, JsonSchema)]
pub struct AttestationShown<'a> {
    by: &'a str,
    control: &'a str,
    expired: bool,
    #[schemars(schema_with = "date")]
    expires: NaiveDate,
    expiring: bool,
    #[schemars(schema_with = "date")]
    on: NaiveDate,
    statement: &'a str,
}

impl<'a> AttestationShown<'a> {
    fn of(attestation: &'a Attestation, summary: &Summary<'_>) -> Self {
        Self {
            by: &attestation.by,
            control: &attestation.control,
            expired: attestation.is_expired(summary.now),
            expires: attestation.expires,
            expiring: attestation.is_expiring(summary.now),
            on: attestation.on,
            statement: &attestation.statement,
        }
    }
}

/// By when findings will be fixed.
#[derive(Serialize, JsonSchema)]
pub struct RemediationShown<'a> {
    account: &'a str,
    domain: Option<&'a str>,
    #[schemars(schema_with = "date")]
    due: NaiveDate,
    note: &'a str,
    /// Findings known from before that it means and that this run could not judge again.
    not_judged: u64,
    /// Open findings that it means.
    open: u64,
    overdue: bool,
    owner: &'a str,
    rule: &'a str,
    /// `done`, `planned`, `overdue` or `not-judged`.
    state: &'static str,
}

impl<'a> RemediationShown<'a> {
    fn of(usage: &'a RemediationUse<'_>, summary: &Summary<'_>) -> Self {
        let remediation = usage.remediation;
        Self {
            account: remediation.account.as_deref().unwrap_or("*"),
            domain: remediation.domain.as_deref(),
            due: remediation.due,
            note: &remediation.note,
            not_judged: usage.not_judged,
            open: usage.open,
            overdue: usage.is_overdue(summary.now),
            owner: &remediation.owner,
            rule: remediation.rule,
            state: usage.state(summary.now),
        }
    }
}

/// The figures of one run.
#[derive(Serialize, JsonSchema)]
pub struct Point<'a> {
    accounts_asked: u64,
    accounts_read: u64,
    connectors: u64,
    critical: u64,
    disabled: u64,
    high: u64,
    low: u64,
    medium: u64,
    new: u64,
    open: u64,
    resolved: u64,
    rules: BTreeMap<&'a str, OfRule>,
    run_id: &'a str,
    #[schemars(extend("pattern" = TIME))]
    started_utc: &'a str,
    unverified: u64,
    whole: bool,
}

/// The findings of one rule in one run.
#[derive(Serialize, JsonSchema)]
struct OfRule {
    /// Accounts that the rule judged; null in runs of earlier versions.
    judged: Option<u64>,
    new: u64,
    /// Accounts asked for that it did not judge; null as above.
    not_judged: Option<u64>,
    open: u64,
    resolved: u64,
    waived: u64,
}

impl<'a> Point<'a> {
    fn of(point: &'a TrendPoint) -> Self {
        let rules = point.rules.iter().map(|(rule, figures)| {
            let of_rule = OfRule {
                judged: figures.judged,
                new: figures.new,
                not_judged: figures.not_judged,
                open: figures.open,
                resolved: figures.resolved,
                waived: figures.waived,
            };
            (rule.as_str(), of_rule)
        });
        Self {
            accounts_asked: point.accounts_asked,
            accounts_read: point.accounts_read,
            connectors: point.connectors,
            critical: point.critical,
            disabled: point.disabled,
            high: point.high,
            low: point.low,
            medium: point.medium,
            new: point.new,
            open: point.open,
            resolved: point.resolved,
            rules: rules.collect(),
            run_id: &point.run_id,
            started_utc: &point.started_utc,
            unverified: point.unverified,
            whole: point.whole,
        }
    }
}

impl<'a> Head<'a> {
    /// What holds for all accounts of a run.
    pub fn of(summary: &'a Summary<'_>) -> Self {
        let waivers = summary.waivers.iter();
        Self {
            run: Run::of(summary),
            coverage: Coverage::of(summary),
            thresholds: Reached::of(summary),
            totals: Totals::of(summary),
            waivers: waivers
                .map(|usage| WaiverShown::of(usage, summary))
                .collect(),
            attestations: summary
                .policy
                .attestations
                .iter()
                .map(|attestation| AttestationShown::of(attestation, summary))
                .collect(),
            remediations: summary
                .remediations
                .iter()
                .map(|usage| RemediationShown::of(usage, summary))
                .collect(),
            policy_accounts_absent: &summary.policy_accounts_absent,
            trend: summary.trend.iter().map(Point::of).collect(),
            dns: Dns::of(summary),
        }
    }

    /// Its keys with their values, in the order in which they are written.
    ///
    /// # Errors
    /// None that is known: nothing in it has a shape that JSON does not know.
    pub fn entries(&self) -> serde_json::Result<[(&'static str, String); 10]> {
        use serde_json::to_string;
        Ok([
            ("run", to_string(&self.run)?),
            ("coverage", to_string(&self.coverage)?),
            ("thresholds", to_string(&self.thresholds)?),
            ("totals", to_string(&self.totals)?),
            ("waivers", to_string(&self.waivers)?),
            ("attestations", to_string(&self.attestations)?),
            ("remediations", to_string(&self.remediations)?),
            (
                "policy_accounts_absent",
                to_string(self.policy_accounts_absent)?,
            ),
            ("trend", to_string(&self.trend)?),
            ("dns", to_string(&self.dns)?),
        ])
    }
}

/// The JSON Schema of the report. Keys may be added in later versions; none goes.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let generator = settings.into_generator();
    let mut schema = generator.into_root_schema_for::<Head<'_>>().to_value();
    let list = |items: Value| json!({"type": "array", "items": items});
    for (key, of_key) in [
        ("schema", json!({"const": SCHEMA})),
        ("accounts", list(rows(&ACCOUNTS))),
        ("findings", list(rows(&FINDINGS))),
        ("changes", list(rows(&CHANGES))),
    ] {
        schema["properties"][key] = of_key;
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(key.into());
        }
    }
    schema
}

/// The shape of a table's rows: counts are numbers or null, everything else is text.
fn rows<K: Kind>(table: &Table<K>) -> Value {
    let names = table.names();
    let cell = |name: &&'static str| (*name, json!({"type": ["string", "integer", "null"]}));
    let properties: BTreeMap<_, _> = names.iter().map(cell).collect();
    json!({"type": "object", "properties": properties, "required": names})
}
