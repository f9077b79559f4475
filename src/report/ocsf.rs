//! `report.ocsf.json`: an event of the Open Cybersecurity Schema Framework (OCSF) for each finding, one a line, for a
//! SIEM or a data lake. Findings are first, worst first, then those that are resolved, then passes where they are asked
//! for.
//!
//! An attribute of which nothing is known is left out. What the schema has no place for is in `unmapped`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{LazyLock, Mutex};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use tempfile::SpooledTempFile;

use super::columns::{AccountRow, ChangeRow, FindingRow};
use super::files::{StagedFile, Staging, append, append_spool};
use super::{Format, FormatSpec, FormatWorker, Settings, Summary};
use crate::compare::{Cause, Change, ChangeKind};
use crate::dns::DnsTxt;
use crate::finding::{Age, FindingId, Status};
use crate::judged::Judged;
use crate::ledger::LedgerHeader;
use crate::model::{Connector, canonical_if_any};
use crate::outcome::Outcome;
use crate::policy::{Remediation, Waiver};
use crate::region::Region;
use crate::rules::{Basis, Judge, RULES, Rule, Topic, rule};
use crate::severity::Severity;
use crate::text::count;
use crate::threads::owned;

/// The format's name on the command line.
pub const NAME: &str = "ocsf";
const FILE: &str = "report.ocsf.json";

/// See the module.
pub const FORMAT: FormatSpec = FormatSpec {
    name: NAME,
    files: &[(
        FILE,
        "an OCSF event for each finding, for a SIEM or a data lake",
    )],
    by_default: false,
    open: |staging, settings| Ocsf::open(staging, settings),
};

/// The version of the schema that the events are of. They use nothing that 1.4.0 does not have.
pub const VERSION: &str = "1.8.0";

/// Of which class the events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Compliance Finding (2003): whether a check passes or fails, and which controls it supports.
    #[default]
    Compliance,
    /// Detection Finding (2004): an alert.
    Detection,
}

/// What the events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Their class.
    pub class: Class,
    /// Whether there is an event for each rule that judged all of an account and found nothing; only for
    /// [`Class::Compliance`].
    pub passes: bool,
}

/// A value of one of the schema's enumerations, with its caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coded(u32, &'static str);

const CATEGORY: Coded = Coded(2, "Findings");

const CREATE: Coded = Coded(1, "Create");
const UPDATE: Coded = Coded(2, "Update");
const CLOSE: Coded = Coded(3, "Close");

const NEW: Coded = Coded(1, "New");
const IN_PROGRESS: Coded = Coded(2, "In Progress");
const SUPPRESSED: Coded = Coded(3, "Suppressed");
const RESOLVED: Coded = Coded(4, "Resolved");

/// Of severities, and of whether a check passes.
const UNKNOWN: Coded = Coded(0, "Unknown");
const INFORMATIONAL: Coded = Coded(1, "Informational");

const PASS: Coded = Coded(1, "Pass");
const WARNING: Coded = Coded(2, "Warning");
const FAIL: Coded = Coded(3, "Fail");

impl Class {
    fn coded(self) -> Coded {
        match self {
            Self::Compliance => Coded(2003, "Compliance Finding"),
            Self::Detection => Coded(2004, "Detection Finding"),
        }
    }
}

fn coded(severity: Severity) -> Coded {
    match severity {
        Severity::Critical => Coded(5, "Critical"),
        Severity::High => Coded(4, "High"),
        Severity::Medium => Coded(3, "Medium"),
        Severity::Low => Coded(2, "Low"),
    }
}

/// Whether a check fails that has found something: one that says what could not be seen has no result.
fn result_of(rule: &Rule) -> Coded {
    match (rule.basis, rule.topic) {
        (Basis::Reading, _) => UNKNOWN,
        (_, Topic::Clarity) => WARNING,
        _ => FAIL,
    }
}

fn type_of(topic: Topic) -> &'static str {
    match topic {
        Topic::Verification => "Domain verification",
        Topic::Enablement => "Connector enablement",
        Topic::Fedramp => "FedRAMP text",
        Topic::Clarity => "Unknown value",
        Topic::Account => "Account",
    }
}

/// The controls that each rule supports and their frameworks, by the rule's id.
static SUPPORTED: LazyLock<HashMap<&'static str, Supported>> = LazyLock::new(|| {
    let supported = |rule: &Rule| {
        let controls = rule.controls.iter();
        let mut frameworks: Vec<_> = controls.clone().map(|control| control.framework).collect();
        frameworks.sort_unstable();
        frameworks.dedup();
        Supported {
            controls: controls.map(|control| control.label()).collect(),
            frameworks,
        }
    };
    RULES
        .iter()
        .map(|rule| (rule.id, supported(rule)))
        .collect()
});

struct Supported {
    controls: Vec<String>,
    frameworks: Vec<&'static str>,
}

// ---------------------------------------------------------------- the shape

/// An event. The keys are the schema's; each is described there.
#[derive(Serialize)]
struct Event<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    type_name: String,
    time: i64,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    status_code: &'static str,
    message: Cow<'a, str>,
    metadata: Metadata<'a>,
    finding_info: FindingInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compliance: Option<Compliance<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation: Option<Described<'a>>,
    resources: [Resource<'a>; 1],
    cloud: Cloud<'a>,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    profiles: [&'static str; 1],
    product: Product,
    uid: String,
    correlation_uid: &'a str,
    event_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<[&'static str; 1]>,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct FindingInfo<'a> {
    uid: String,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_time: Option<i64>,
    analytic: Analytic<'a>,
}

#[derive(Serialize)]
struct Analytic<'a> {
    type_id: u32,
    r#type: &'static str,
    uid: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<&'static str>,
}

#[derive(Serialize)]
struct Compliance<'a> {
    control: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    requirements: &'static [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    standards: &'static [&'static str],
    status_id: u32,
    status: &'static str,
}

#[derive(Serialize)]
struct Described<'a> {
    desc: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

/// Has an id, a name, or both.
#[derive(Serialize)]
struct Resource<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Cloud<'a> {
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'static str>,
    account: CloudAccount<'a>,
}

#[derive(Serialize)]
struct CloudAccount<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    type_id: u32,
    r#type: &'static str,
}

/// What the schema has no place for.
#[derive(Serialize)]
struct Unmapped<'a> {
    account_outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// Only where the class has no place for them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    controls: &'static [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    waiver: Option<WaiverShown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_remediation: Option<PlanShown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorShown<'a>>,
    /// Of a pass: how many connectors were judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    connectors_judged: Option<u64>,
}

#[derive(Serialize)]
struct WaiverShown<'a> {
    owner: &'a str,
    reason: &'a str,
    expires: NaiveDate,
}

impl<'a> WaiverShown<'a> {
    fn of(waiver: &'a Waiver) -> Self {
        Self {
            owner: &waiver.owner,
            reason: &waiver.reason,
            expires: waiver.expires,
        }
    }
}

#[derive(Serialize)]
struct PlanShown<'a> {
    owner: &'a str,
    due: NaiveDate,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

impl<'a> PlanShown<'a> {
    fn of(remediation: &'a Remediation) -> Self {
        Self {
            owner: &remediation.owner,
            due: remediation.due,
            note: &remediation.note,
        }
    }
}

/// Why the account was not read in full.
#[derive(Serialize)]
struct ErrorShown<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cf_ray: Option<&'a str>,
}

// ---------------------------------------------------------------- the mapping

/// What is told of a rule in an account: what differs between a finding, a resolved one and a pass.
struct Told<'a> {
    activity: Coded,
    severity: Coded,
    status: Coded,
    status_code: &'static str,
    /// Whether the check passes.
    result: Coded,
    uid: FindingId,
    rule_id: &'a str,
    /// `None` where this version does not know it.
    rule: Option<&'static Rule>,
    message: Cow<'a, str>,
    remediation: Option<&'a str>,
    first_seen: Option<DateTime<Utc>>,
    /// Whether what it tells of was there when the account was read.
    is_there: bool,
    resource: Resource<'a>,
    change: Option<&'static str>,
    cause: Option<&'static str>,
    waiver: Option<&'a Waiver>,
    plan: Option<&'a Remediation>,
    connectors_judged: Option<u64>,
}

/// Makes the events.
#[derive(Clone, Copy)]
struct Mapping<'a> {
    settings: &'a Settings<'a>,
    options: Options,
}

impl Mapping<'_> {
    fn event<'e>(&'e self, row: &'e AccountRow<'_>, told: Told<'e>) -> Event<'e> {
        let LedgerHeader {
            run_id,
            base_url,
            demo,
            ..
        } = self.settings.ledger;
        let account = row.assessed;
        let evidence = &account.evidence;
        let read_at = evidence.read_at.unwrap_or(row.run_started());
        let time = read_at.timestamp_millis();
        let class = self.options.class.coded();
        let supported = SUPPORTED.get(told.rule_id);
        let controls = supported.map_or(&[][..], |supported| &supported.controls);
        let is_compliance = self.options.class == Class::Compliance;
        let title = told.rule.map_or(told.rule_id, |rule| rule.title);
        let first_seen = told.first_seen.map(|at| at.timestamp_millis());
        Event {
            activity_id: told.activity.0,
            activity_name: told.activity.1,
            category_uid: CATEGORY.0,
            category_name: CATEGORY.1,
            class_uid: class.0,
            class_name: class.1,
            type_uid: class.0 * 100 + told.activity.0,
            type_name: format!("{}: {}", class.1, told.activity.1),
            time,
            severity_id: told.severity.0,
            severity: told.severity.1,
            status_id: told.status.0,
            status: told.status.1,
            status_code: told.status_code,
            message: told.message,
            metadata: Metadata {
                version: VERSION,
                profiles: ["cloud"],
                product: Product {
                    name: env!("CARGO_PKG_NAME"),
                    vendor_name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                },
                uid: format!("{run_id}-{}", told.uid),
                correlation_uid: run_id,
                event_code: told.rule_id,
                labels: demo.then_some(["demo"]),
            },
            finding_info: FindingInfo {
                uid: told.uid.to_string(),
                title,
                desc: told.rule.map(|rule| rule.why),
                types: told.rule.map(|rule| [type_of(rule.topic)]),
                first_seen_time: first_seen,
                created_time: first_seen,
                last_seen_time: told.is_there.then_some(time),
                analytic: Analytic {
                    type_id: 1,
                    r#type: "Rule",
                    uid: told.rule_id,
                    name: title,
                    desc: told.rule.map(|rule| rule.what),
                },
            },
            compliance: is_compliance.then(|| Compliance {
                control: told.rule_id,
                requirements: controls,
                standards: supported.map_or(&[], |supported| &supported.frameworks),
                status_id: told.result.0,
                status: told.result.1,
            }),
            remediation: told.remediation.map(|desc| Described { desc }),
            resources: [told.resource],
            cloud: Cloud {
                provider: "Cloudflare",
                region: Region::at(base_url).map(Region::as_str),
                account: CloudAccount {
                    uid: &account.asked.id,
                    name: &account.asked.name,
                    type_id: 99,
                    r#type: ACCOUNT,
                },
            },
            unmapped: Unmapped {
                account_outcome: evidence.outcome.as_str(),
                change: told.change,
                cause: told.cause,
                controls: if is_compliance { &[] } else { controls },
                waiver: told.waiver.map(WaiverShown::of),
                planned_remediation: told.plan.map(PlanShown::of),
                error: evidence.error.as_ref().map(|error| ErrorShown {
                    kind: error.kind.as_str(),
                    code: error.code.as_deref(),
                    message: &error.message,
                    http_status: evidence.http_status,
                    cf_ray: evidence.cf_ray.as_deref(),
                }),
                connectors_judged: told.connectors_judged,
            },
        }
    }

    fn of_finding<'e>(&'e self, row: &'e FindingRow<'_>) -> Event<'e> {
        let (finding, account) = (row.finding, row.account);
        let policy = self.settings.policy;
        let waiver = match finding.status {
            Status::Open => None,
            Status::Waived(position) => policy.waivers.get(position),
        };
        let canonical = canonical_if_any(&finding.email_domain);
        let id = &account.assessed.asked.id;
        let plan = policy
            .remediations
            .of(finding.rule.id, id, canonical.as_deref());
        let plan = plan.map(|position| &policy.remediations[position]);
        let (status, status_code) = match (finding.is_open(), plan) {
            (false, _) => (SUPPRESSED, "waived"),
            (true, Some(_)) => (IN_PROGRESS, "open"),
            (true, None) => (NEW, "open"),
        };
        let is_known = match finding.age {
            Age::New => false,
            Age::Existing => true,
            Age::NotCompared => finding.first_seen < row.account.run_started(),
        };
        let told = Told {
            activity: if is_known { UPDATE } else { CREATE },
            severity: coded(finding.severity),
            status,
            status_code,
            result: result_of(finding.rule),
            uid: finding.id,
            rule_id: finding.rule.id,
            rule: Some(finding.rule),
            message: Cow::Borrowed(&finding.message),
            remediation: Some(&finding.remediation),
            first_seen: Some(finding.first_seen),
            is_there: true,
            resource: resource(
                account,
                Some(finding.rule),
                &finding.connector_id,
                &finding.email_domain,
            ),
            change: Some(finding.age.as_str()).filter(|word| !word.is_empty()),
            cause: None,
            waiver,
            plan,
            connectors_judged: None,
        };
        self.event(account, told)
    }

    /// A finding that is there no more. Whether its check passes is not said: the connector may be gone, or the policy
    /// may expect nothing of it any more.
    fn of_resolved<'e>(
        &'e self,
        account: &'e AccountRow<'_>,
        uid: FindingId,
        change: &'e Change<'_>,
    ) -> Event<'e> {
        let rule = rule(&change.what);
        let title = rule.map_or(&*change.what, |rule| rule.title);
        let told = Told {
            activity: CLOSE,
            severity: Severity::parse(&change.from).map_or(UNKNOWN, coded),
            status: RESOLVED,
            status_code: "resolved",
            result: UNKNOWN,
            uid,
            rule_id: &change.what,
            rule,
            message: Cow::Owned(format!("{title}: resolved")),
            remediation: None,
            first_seen: None,
            is_there: false,
            resource: resource(account, rule, &change.connector_id, &change.email_domain),
            change: Some("resolved"),
            cause: change.cause.map(Cause::as_str),
            waiver: None,
            plan: None,
            connectors_judged: None,
        };
        self.event(account, told)
    }

    fn of_pass<'e>(
        &'e self,
        account: &'e AccountRow<'_>,
        rule: &'static Rule,
        judged: Judged,
    ) -> Event<'e> {
        let connectors = matches!(rule.judge, Judge::Connector(_)).then_some(judged.judged);
        let scope = connectors.map_or(String::new(), |judged| {
            format!(" on {}", count(judged as usize, "connector"))
        });
        let told = Told {
            activity: CREATE,
            severity: INFORMATIONAL,
            status: RESOLVED,
            status_code: "pass",
            result: PASS,
            uid: FindingId::of(&format!("pass|{}|{}", rule.id, account.assessed.asked.id)),
            rule_id: rule.id,
            rule: Some(rule),
            message: Cow::Owned(format!("{}: not found{scope}", rule.title)),
            remediation: None,
            first_seen: None,
            is_there: true,
            resource: resource(account, None, "", ""),
            change: None,
            cause: None,
            waiver: None,
            plan: None,
            connectors_judged: connectors,
        };
        self.event(account, told)
    }
}

const ACCOUNT: &str = "Cloudflare account";

/// What a rule judged: the connector with an id or a domain, a domain without a connector, else the account.
fn resource<'e>(
    account: &'e AccountRow<'_>,
    rule: Option<&Rule>,
    connector_id: &'e str,
    domain: &'e str,
) -> Resource<'e> {
    let asked = account.assessed.asked;
    let judges_connectors = rule.is_some_and(|rule| matches!(rule.judge, Judge::Connector(_)));
    let (r#type, uid, name) = match (connector_id, domain) {
        ("", "") => (ACCOUNT, &*asked.id, &*asked.name),
        ("", domain) if !judges_connectors => ("Email domain", "", domain),
        (id, domain) => ("Cloudflare SSO connector", id, domain),
    };
    let owner = account.assessed.owner;
    Resource {
        r#type,
        uid,
        name,
        owner: (!owner.is_empty()).then_some(Named { name: owner }),
    }
}

/// The rules that judged all of an account and found nothing, with how much they judged. None of an account that was not
/// read in full, none with a finding that is waived or that could not be judged again, and none of what depends on other
/// accounts where these were not all read.
fn passes(row: &AccountRow<'_>) -> impl Iterator<Item = (&'static Rule, Judged)> {
    let account = row.assessed;
    let is_read = account.evidence.outcome == Outcome::Read;
    let found = account.findings.iter().map(|finding| finding.rule.id);
    let carried = account.carried.iter().map(|finding| &*finding.rule);
    let found: HashSet<&str> = found.chain(carried).collect();
    let rules = RULES.iter().copied().zip(account.judged.iter().copied());
    rules.filter(move |(rule, judged)| {
        is_read
            && judged.judged > 0
            && judged.not_judged == 0
            && !found.contains(rule.id)
            && (rule.basis != Basis::Run || row.run_is_whole())
            && saw_all(rule, &account.evidence.connectors)
    })
}

/// Whether a rule that judges accounts as a whole knew of every connector what it judges by. Of rules that judge
/// connectors, each that they could not judge is counted.
fn saw_all(rule: &Rule, connectors: &[Connector]) -> bool {
    let is_looked_up = |connector: &Connector| {
        let is_known = connector
            .dns_txt()
            .is_some_and(|txt| txt != DnsTxt::Unknown);
        is_known && connector.code().is_some()
    };
    match (rule.judge, rule.basis, rule.topic) {
        (Judge::Connector(_), ..) => true,
        // Without a domain, nothing is looked up.
        (_, Basis::Dns, _) => !connectors.is_empty() && connectors.iter().all(is_looked_up),
        (_, _, Topic::Fedramp) => connectors
            .iter()
            .all(|connector| connector.use_fedramp_language.known().is_some()),
        _ => true,
    }
}

// ---------------------------------------------------------------- the file

/// Where resolved findings are, behind those of each severity.
const CLOSED: usize = Severity::ALL.len();
/// Where passes are.
const PASSED: usize = CLOSED + 1;
const PARTS: usize = PASSED + 1;

/// Writes the events.
struct Ocsf<'a> {
    file: StagedFile,
    mapping: Mapping<'a>,
    /// One a severity, worst first; then what is resolved; then passes.
    parts: [Mutex<SpooledTempFile>; PARTS],
}

impl<'a> Ocsf<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    fn open(staging: &Staging, settings: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        Ok(Box::new(Self {
            file: staging.file(FILE)?,
            mapping: Mapping {
                settings,
                options: settings.ocsf,
            },
            parts: std::array::from_fn(|_| Mutex::new(staging.spool())),
        }))
    }
}

impl Format for Ocsf<'_> {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            mapping: self.mapping,
            parts: &self.parts,
            lines: Default::default(),
        })
    }

    fn finish(self: Box<Self>, _: &Summary<'_>) -> io::Result<()> {
        let mut file = self.file;
        for part in self.parts {
            append_spool(&mut owned(part), &mut file)?;
        }
        file.finish();
        Ok(())
    }
}

struct Worker<'f> {
    mapping: Mapping<'f>,
    parts: &'f [Mutex<SpooledTempFile>; PARTS],
    lines: [Vec<u8>; PARTS],
}

impl FormatWorker for Worker<'_> {
    fn account(&mut self, row: &AccountRow<'_>) -> io::Result<()> {
        if self.mapping.options.passes {
            for (rule, judged) in passes(row) {
                let event = self.mapping.of_pass(row, rule, judged);
                push(&mut self.lines[PASSED], &event)?;
            }
        }
        Ok(())
    }

    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        let lines = &mut self.lines[row.finding.severity as usize];
        push(lines, &self.mapping.of_finding(row))
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        // Of an account that was not asked for, nothing is resolved.
        let (ChangeKind::FindingResolved, Some(account), Some(uid)) =
            (row.kind(), row.account, row.change.finding_id)
        else {
            return Ok(());
        };
        let event = self.mapping.of_resolved(account, uid, row.change);
        push(&mut self.lines[CLOSED], &event)
    }

    fn waiting(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        for (lines, part) in self.lines.iter_mut().zip(self.parts) {
            append(part, lines)?;
        }
        Ok(())
    }
}

/// Appends an event as a line.
fn push(lines: &mut Vec<u8>, event: &Event<'_>) -> io::Result<()> {
    event.serialize(&mut Serializer::with_formatter(&mut *lines, OneLine))?;
    lines.push(b'\n');
    Ok(())
}

/// JSON in which no character is left that some reader takes for the end of a line, or a terminal for a command.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_escaped = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::with_dns;
    use serde_json::{Value, json};

    fn saw(id: &str, connectors: &[Connector]) -> bool {
        saw_all(rule(id).unwrap(), connectors)
    }

    #[test]
    fn an_account_passes_by_what_was_known_of_all_its_connectors() {
        let connector = |fedramp: Value, txt| {
            let value = json!({
                "email_domain": "a.example", "use_fedramp_language": fedramp,
                "verification": {"code": "c", "status": "pending"},
            });
            with_dns(&value, txt, "")
        };
        let known = connector(json!(true), DnsTxt::Match);
        let unseen = connector(json!(null), DnsTxt::Unknown);
        let mut not_looked_up = known.clone();
        not_looked_up.dns = None;
        let some = [known.clone(), unseen];
        for id in ["fedramp-inconsistent", "foreign-code"] {
            assert!(saw(id, &some[..1]), "{id}");
            assert!(!saw(id, &some), "{id}");
        }
        assert!(!saw("foreign-code", &[known, not_looked_up]));
        assert!(!saw("foreign-code", &[]), "there was no domain to look up");
        assert!(saw("fedramp-inconsistent", &[]) && saw("no-connector", &[]));
    }

    #[test]
    fn a_rule_about_what_could_not_be_seen_fails_nothing() {
        let without_result: Vec<_> = RULES
            .iter()
            .filter(|rule| result_of(rule) != FAIL)
            .map(|rule| (rule.id, result_of(rule).1))
            .collect();
        assert_eq!(
            without_result,
            [("unknown-value", "Warning"), ("unread-account", "Unknown")]
        );
    }

    #[test]
    fn a_line_stays_one_for_every_reader() {
        let text = "a\u{85}\u{2028}\u{2029}\u{7f}\u{9b}\r\n\"\\b\u{e4}\u{1f468}";
        let mut line = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut line, OneLine))
            .unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            "\"a\\u0085\\u2028\\u2029\\u007f\\u009b\\r\\n\\\"\\\\b\u{e4}\u{1f468}\""
        );
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
