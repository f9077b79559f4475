//! How long the stages of an audit take: decoding an answer, judging an account, writing a report, reading evidence.
//!
//! `cargo bench --bench stages`; see BENCHMARKS.md. Files go to memory where the machine has such a folder, so that the
//! program is measured and not the disk.

#![allow(
    clippy::unwrap_used,
    reason = "as in tests: where a stage fails, nothing is left to measure"
)]

use std::path::{Path, PathBuf};

use cf_sso_audit::accounts::{AskedAccount, Source};
use cf_sso_audit::assess::Assessor;
use cf_sso_audit::baseline::History;
use cf_sso_audit::claims::KnownElsewhere;
use cf_sso_audit::evidence::{
    self, AccountEvidence, Evidence, EvidenceWriter, Limits, RunHeader, SharedDomains,
};
use cf_sso_audit::file_mode::FileMode;
use cf_sso_audit::memory::Earlier;
use cf_sso_audit::model::Connector;
use cf_sso_audit::outcome::Outcome;
use cf_sso_audit::policy::Policy;
use cf_sso_audit::report::html::template::PageTemplate;
use cf_sso_audit::report::{self, Dialect, FORMATS, FormatSpec, OcsfOptions, Settings};
use cf_sso_audit::text::sha256_hex;
use chrono::{DateTime, TimeDelta, Utc};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Connectors of each account.
const CONNECTORS: usize = 20;
/// Accounts of the report.
const REPORTED: usize = 200;
/// Accounts of the evidence that is read.
const READ: usize = 2000;

fn main() {
    divan::main();
}

// --- Made-up answers

/// The moment of the run: 2026-11-21, 10:15.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_256_100, 0).unwrap()
}

fn account_id(account: usize) -> String {
    format!("{account:032x}")
}

/// A connector as the API writes it. One in ten is not verified, one in eight not enabled, and every fifth account has
/// the FedRAMP text on.
fn connector(account: usize, place: usize) -> Value {
    let number = account * CONNECTORS + place;
    let days = i64::try_from(number % 700).unwrap();
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S.0000Z").to_string();
    let updated = now() - TimeDelta::days(days);
    let status = match number % 40 {
        7 => "awaiting",
        17 => "pending",
        27 | 37 => "failed",
        _ => "verified",
    };
    json!({
        "id": format!("{:032x}", 0xc0_0000_0000 + number),
        "email_domain": format!("team-{place}.company-{account}.example"),
        "enabled": number % 8 != 3,
        "use_fedramp_language": account.is_multiple_of(5),
        "created_on": time(updated - TimeDelta::days(30)),
        "updated_on": time(updated),
        "verification": {
            "code": format!("cloudflare_dashboard_sso={number:032x}"),
            "status": status,
        },
    })
}

/// The whole answer for an account.
fn answer(account: usize) -> String {
    let list: Vec<_> = (0..CONNECTORS)
        .map(|place| connector(account, place))
        .collect();
    json!({"success": true, "errors": [], "messages": [], "result": list}).to_string()
}

/// The part of an answer that is judged.
#[derive(Deserialize)]
struct Answer {
    result: Vec<Connector>,
}

fn decoded(body: &str) -> Vec<Connector> {
    serde_json::from_str::<Answer>(body).unwrap().result
}

fn header(accounts: usize) -> RunHeader {
    let source = Source::unrecognisable("the command line");
    RunHeader {
        schema: evidence::SCHEMA.to_owned(),
        run_id: "20261121T101500Z".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: now(),
        base_url: "http://127.0.0.1/client/v4".to_owned(),
        demo: false,
        begun_after: None,
        sources: vec![Source { accounts, ..source }],
        gaps: Vec::new(),
        organizations: Vec::new(),
        share: None,
        merged: None,
        limits: Limits {
            concurrency: 32,
            rate: "1000/300s".to_owned(),
            timeout_seconds: 30.0,
            retries: 5,
        },
        accounts: (0..accounts)
            .map(|account| AskedAccount::new(&account_id(account), ""))
            .collect(),
    }
}

fn evidence_of(account: usize, body: &str) -> AccountEvidence {
    AccountEvidence {
        position: account,
        outcome: Outcome::Read,
        error: None,
        connectors: decoded(body),
        http_status: Some(200),
        cf_ray: Some(format!("{account:016x}-SYD")),
        attempts: 1,
        read_at: Some(now()),
        body_sha256: Some(sha256_hex(body.as_bytes())),
    }
}

/// A folder in memory, where there is one.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// An evidence file of so many accounts.
fn written(folder: &Path, accounts: usize) -> PathBuf {
    let path = folder.join(evidence::FILE_NAME);
    let mode = FileMode::default();
    let mut writer = EvidenceWriter::create(&path, header(accounts), mode).unwrap();
    for account in 0..accounts {
        let body = answer(account);
        let evidence = evidence_of(account, &body);
        writer.append(&evidence, Some(body.as_bytes())).unwrap();
    }
    writer.finish().unwrap();
    path
}

// --- Decode

/// An answer of 20 connectors.
#[divan::bench]
fn decode(bencher: Bencher) {
    let body = answer(7);
    bencher
        .counter(ItemsCount::new(CONNECTORS))
        .counter(BytesCount::of_str(&body))
        .bench(|| decoded(black_box(&body)));
}

// --- Judge

/// An account of 20 connectors, in a first run and with no policy.
#[divan::bench]
fn judge(bencher: Bencher) {
    let (header, policy) = (header(REPORTED), Policy::default());
    let (shared_domains, elsewhere) = (SharedDomains::default(), KnownElsewhere::default());
    let assessor = Assessor {
        header: &header,
        policy: &policy,
        shared_domains: &shared_domains,
        elsewhere: &elsewhere,
        now: now(),
        compares: false,
    };
    let body = answer(7);
    bencher
        .counter(ItemsCount::new(CONNECTORS))
        .with_inputs(|| evidence_of(7, &body))
        .bench_values(|evidence| assessor.assess(evidence, Earlier::of(None)));
}

// --- Render

/// What a report may consist of; with no format at all it is the ledger, which every report has.
const REPORTS: [&str; 6] = ["none", "csv", "html", "json", "ocsf", "all"];

fn formats(report: &str) -> Vec<&'static FormatSpec> {
    let is_asked = |format: &&FormatSpec| report == "all" || report == format.name;
    FORMATS.iter().filter(is_asked).collect()
}

/// The report of 200 accounts of 20 connectors, from their evidence: reading and judging are part of it.
#[divan::bench(args = REPORTS)]
fn render(bencher: Bencher, report: &str) {
    let source = folder();
    let evidence = Evidence::open(&written(source.path(), REPORTED)).unwrap();
    let (policy, history, formats) = (Policy::default(), History::default(), formats(report));
    let ledger = history.ledger_header(&evidence, now(), None, Default::default());
    let settings = Settings {
        policy: &policy,
        now: now(),
        formats: &formats,
        dialect: Dialect::default(),
        ocsf: OcsfOptions::default(),
        template: &PageTemplate::built_in(),
        title: None,
        mode: FileMode::default(),
        ledger: &ledger,
    };
    bencher
        .counter(ItemsCount::new(REPORTED * CONNECTORS))
        .with_inputs(folder)
        .bench_refs(|folder| {
            let (path, header) = (folder.path(), evidence.header());
            report::write(path, &evidence, header, &history, &settings).unwrap()
        });
}

// --- Read evidence

/// Opening the evidence of 2,000 accounts of 20 connectors, every line of which is checked.
#[divan::bench]
fn open_evidence(bencher: Bencher) {
    let folder = folder();
    let path = written(folder.path(), READ);
    bencher
        .counter(ItemsCount::new(READ * CONNECTORS))
        .counter(BytesCount::new(path.metadata().unwrap().len()))
        .bench(|| Evidence::open(&path).unwrap());
}

/// Reading each of those accounts again, one after the other.
#[divan::bench]
fn read_accounts(bencher: Bencher) {
    let folder = folder();
    let path = written(folder.path(), READ);
    let evidence = Evidence::open(&path).unwrap();
    let mut line = Vec::new();
    bencher
        .counter(ItemsCount::new(READ * CONNECTORS))
        .counter(BytesCount::new(path.metadata().unwrap().len()))
        .bench_local(|| {
            for position in 0..READ {
                black_box(evidence.account(position, &mut line).unwrap());
            }
        });
}
