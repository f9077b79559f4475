//! Night after night: whole sequences of runs in one folder, held against a model of their history that knows the
//! contract and none of the program's code.
//!
//! - `nights/world.rs`: what happens. Accounts, connectors, a policy and a clock, changed a little from night to night.
//! - `nights/model.rs`: what must be said of it.
//! - here: how a night is run, in this process (many) and by the program itself (some), and what its files say.
//!
//! Beyond the gate: `PROPTEST_CASES=3000 cargo test --test it nights::`.

mod model;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cf_sso_audit::accounts::{AskedAccount, Source};
use cf_sso_audit::baseline::{History, Newest};
use cf_sso_audit::evidence::{self, AccountEvidence, Evidence, EvidenceWriter, Limits, RunHeader};
use cf_sso_audit::file_mode::FileMode;
use cf_sso_audit::outcome::{ErrorKind, Outcome as Read, ReadError};
use cf_sso_audit::policy::Policy;
use cf_sso_audit::report::html::template::PageTemplate;
use cf_sso_audit::report::{self, Dialect, FORMATS, FormatSpec, OcsfOptions, Settings};
use cf_sso_audit::runs::ApiAsked;
use chrono::{DateTime, NaiveDateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;
use model::{Change, Finding, Folder, Point, Said};
use world::{Seen, Tamper, Tonight, World, sequences};

/// In the gate; `PROPTEST_CASES` sets another number.
const SEQUENCES: u32 = 256;
/// By the program itself.
const REAL_SEQUENCES: u32 = 25;

fn config(cases: u32) -> ProptestConfig {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default().cases
    } else {
        cases
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(SEQUENCES))]
    #[test]
    fn every_night_says_what_the_contract_says_of_it(sequence in sequences(2..9)) {
        let mut press = InProcess::new();
        run_nights(&mut press, World::nights(&sequence));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: REAL_SEQUENCES, ..config(REAL_SEQUENCES) })]
    #[test]
    fn so_does_the_program_itself(sequence in sequences(2..6)) {
        let mut press = Program::new();
        run_nights(&mut press, World::nights(&sequence));
    }
}

/// Something that makes runs.
trait Press {
    /// The folder of all runs.
    fn output(&self) -> PathBuf;
    /// Runs an audit; gives the run's directory. `unreadable`: the newest run cannot be read.
    fn run(&mut self, tonight: &Tonight, said: &Said, unreadable: bool) -> PathBuf;
}

/// A run of the folder, and what the model knows after it.
struct Run {
    directory: PathBuf,
    damaged: bool,
    folder: Folder,
}

/// Runs night after night, and holds each against the model.
fn run_nights(press: &mut dyn Press, nights: impl Iterator<Item = (Tamper, Tonight)>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut story = String::new();
    for (what_befalls, tonight) in nights {
        tamper(what_befalls, &mut runs);
        let newest = runs.iter().rfind(|run| !run.damaged);
        let passed_over = runs.iter().rev().take_while(|run| run.damaged);
        let passed_over: Vec<_> = match tonight.baseline_none {
            true => Vec::new(),
            false => passed_over.map(|run| name(&run.directory)).collect(),
        };
        let compared = newest.filter(|_| !tonight.baseline_none);
        let before = newest.map_or_else(Folder::default, |run| run.folder.clone());
        let (expected, folder) = before.night(&tonight, compared.is_some());

        if what_befalls != Tamper::Nothing {
            story += &format!("{what_befalls:?}\n");
        }
        story += &format!("{tonight:?}\n");
        let directory = press.run(&tonight, &expected, !passed_over.is_empty());
        let is = Observed::of(&directory);
        let at = || {
            format!(
                "{story}\nThe last of these nights ({})",
                directory.display()
            )
        };
        is.agrees_with_itself(&at);
        let compared = compared.map(|run| name(&run.directory));
        assert_eq!(is.baseline, compared, "{}: the baseline", at());
        assert_eq!(is.passed_over, passed_over, "{}: passed over", at());
        is.agrees_with(&expected, &at);
        quiet_nights_are_quiet(&tonight, &is, &at);
        runs.push(Run {
            directory,
            damaged: false,
            folder,
        });
    }
}

/// What is in the contract in so many words, apart from the model.
fn quiet_nights_are_quiet(tonight: &Tonight, is: &Observed, at: &dyn Fn() -> String) {
    if tonight
        .seen
        .values()
        .any(|seen| !matches!(seen, Seen::Nothing(_)))
    {
        return;
    }
    for change in &is.said.changes {
        let about_reading = change.what == "unread-account" || change.kind.starts_with("account-");
        assert!(
            about_reading && change.kind != "finding-resolved",
            "{}: nothing was read, and {change:?}",
            at()
        );
    }
}

fn name(directory: &Path) -> String {
    directory
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// Does to the folder what a plan says.
fn tamper(tamper: Tamper, runs: &mut Vec<Run>) {
    match tamper {
        Tamper::Nothing => {}
        Tamper::Delete => {
            if let Some(run) = runs.pop() {
                fs::remove_dir_all(run.directory).unwrap();
            }
        }
        Tamper::CutOff(count, place) => {
            for run in runs.iter_mut().rev().take(count) {
                let path = run.directory.join("ledger.jsonl");
                let bytes = fs::read(&path).unwrap();
                let first_line = bytes.iter().position(|&b| b == b'\n').unwrap_or(0);
                let left = match place {
                    0 => 0,
                    1 => first_line / 2,
                    2 => first_line + 1,
                    _ => bytes.len() - bytes.len().min(3),
                };
                fs::write(&path, &bytes[..left.min(bytes.len())]).unwrap();
                run.damaged = true;
            }
        }
    }
}

/// What the files of a run say.
struct Observed {
    said: Said,
    /// Of `findings.csv` and of `report.json`, told apart by nothing: both must say the same.
    json: Value,
    baseline: Option<String>,
    passed_over: Vec<String>,
}

impl Observed {
    fn of(directory: &Path) -> Self {
        let read = |file: &str| fs::read(directory.join(file)).unwrap();
        let json: Value = serde_json::from_slice(&read("report.json")).unwrap();
        let both = |file: &str, key: &str| rows_of_both(directory, file, key);
        let findings = both("findings.csv", "findings").into_iter().map(finding);
        let changes = both("changes.csv", "changes").into_iter().map(change);
        let mut said = Said {
            findings: findings.collect(),
            changes: changes.collect(),
            trend: json["trend"]
                .as_array()
                .unwrap()
                .iter()
                .map(point)
                .collect(),
            unclear: BTreeSet::new(),
        };
        said.findings.sort();
        said.changes.sort();
        let run = &json["run"];
        let passed_over = run["baselines_unreadable"].as_array().unwrap().iter();
        Self {
            said,
            baseline: run["baseline"].as_str().map(str::to_owned),
            passed_over: passed_over
                .map(|run| run["run_id"].as_str().unwrap().to_owned())
                .collect(),
            json,
        }
    }

    /// One definition of new, and the same number everywhere.
    fn agrees_with_itself(&self, at: &dyn Fn() -> String) {
        let findings = &self.said.findings;
        let totals = &self.json["totals"];
        let new = findings.iter().filter(|f| f.change == "new").count();
        let of_kind = |kind: &str| self.said.changes.iter().filter(|c| c.kind == kind).count();
        let number = |value: &Value| value.as_u64().unwrap_or(0) as usize;
        let by = |key: &str| -> usize {
            let counts = totals[key].as_object().unwrap().values();
            counts.map(|count| number(&count["new"])).sum()
        };
        let last = self.said.trend.last().unwrap();
        for (place, found) in [
            ("changes.csv", of_kind("finding-new")),
            ("totals.findings", number(&totals["findings"]["new"])),
            ("totals.findings_by_severity", by("findings_by_severity")),
            ("totals.findings_by_rule", by("findings_by_rule")),
            ("totals.changes", number(&totals["changes"]["finding-new"])),
            ("trend", last.new),
        ] {
            assert_eq!(found, new, "{}: new in findings.csv and in {place}", at());
        }
        for status in ["open", "waived"] {
            let found = findings.iter().filter(|f| f.status == status).count();
            assert_eq!(
                number(&totals["findings"][status]),
                found,
                "{}: {status}",
                at()
            );
        }
        let resolved = of_kind("finding-resolved");
        assert_eq!(last.resolved, resolved, "{}: resolved in the trend", at());
        assert_eq!(
            totals["changes"].is_null(),
            self.baseline.is_none(),
            "{}",
            at()
        );
    }

    fn agrees_with(&self, expected: &Said, at: &dyn Fn() -> String) {
        let is = &self.said;
        differ("findings", &expected.findings, &is.findings, at);
        let clear = |change: &&Change| {
            !(change.kind.starts_with("connector-") && expected.unclear.contains(&change.account))
        };
        // A cause that is not clear may be any.
        let causeless = |changes: &[Change]| -> Vec<Change> {
            let without = changes.iter().filter(clear).map(|change| Change {
                cause: String::new(),
                ..change.clone()
            });
            without.collect()
        };
        differ(
            "changes",
            &causeless(&expected.changes),
            &causeless(&is.changes),
            at,
        );
        for wanted in expected
            .changes
            .iter()
            .filter(clear)
            .filter(|c| !c.cause.is_empty())
        {
            assert!(
                is.changes.contains(wanted),
                "{}: the cause of {wanted:?}, which is said to be {:?}",
                at(),
                is.changes
                    .iter()
                    .filter(|c| (&c.kind, &c.account, &c.what, &c.connector)
                        == (
                            &wanted.kind,
                            &wanted.account,
                            &wanted.what,
                            &wanted.connector
                        ))
                    .map(|c| &c.cause)
                    .collect::<Vec<_>>()
            );
        }
        assert!(
            is.changes.iter().all(|c| !c.cause.is_empty()),
            "{}: a cause each",
            at()
        );
        assert_eq!(is.trend, expected.trend, "{}: the trend", at());
    }
}

/// Fails where two sorted lists are not the same, and says in what.
fn differ<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &[T],
    is: &[T],
    at: &dyn Fn() -> String,
) {
    if expected == is {
        return;
    }
    let only = |one: &[T], other: &[T]| -> String {
        let only = one.iter().filter(|item| !other.contains(item));
        only.map(|item| format!("\n  {item:?}")).collect()
    };
    panic!(
        "{}: {what}\nexpected and not there:{}\nthere and not expected:{}\n({} expected, {} there)",
        at(),
        only(expected, is),
        only(is, expected),
        expected.len(),
        is.len()
    );
}

fn finding(row: Row) -> Finding {
    let at = NaiveDateTime::parse_from_str(&row["first_seen_utc"], "%Y-%m-%d %H:%M:%S");
    Finding {
        rule: row["rule"].clone(),
        account: row["account_id"].clone(),
        connector: row["connector_id"].clone(),
        domain: row["email_domain"].clone(),
        status: row["status"].clone(),
        change: row["change"].clone(),
        first_seen: at.unwrap().and_utc().timestamp(),
    }
}

fn change(row: Row) -> Change {
    // The model does not know how bad a finding is.
    let is_severity = ["finding-new", "finding-resolved"].contains(&row["kind"].as_str());
    let unless_severity = |text: &str| {
        if is_severity {
            String::new()
        } else {
            text.to_owned()
        }
    };
    Change {
        kind: row["kind"].clone(),
        account: row["account_id"].clone(),
        connector: row["connector_id"].clone(),
        domain: row["email_domain"].clone(),
        what: row["what"].clone(),
        from: unless_severity(&row["from"]),
        to: unless_severity(&row["to"]),
        cause: row["cause"].clone(),
    }
}

fn point(point: &Value) -> Point {
    let number = |key: &str| point[key].as_u64().unwrap() as usize;
    Point {
        asked: number("accounts_asked"),
        read: number("accounts_read"),
        open: number("open"),
        new: number("new"),
        resolved: number("resolved"),
    }
}

/// Makes runs in this process, as `audit` does once it has its answers.
struct InProcess {
    dir: TempDir,
    template: PageTemplate,
    formats: Vec<&'static FormatSpec>,
}

const BASE_URL: &str = "https://api.example/client/v4";

impl InProcess {
    fn new() -> Self {
        // Evidence is brought to the disk; in memory that takes no time.
        let memory = Path::new("/dev/shm");
        Self {
            dir: if memory.is_dir() {
                tempfile::tempdir_in(memory).unwrap()
            } else {
                tempfile::tempdir().unwrap()
            },
            template: PageTemplate::built_in(),
            formats: FORMATS.iter().filter(|f| f.name != "html").collect(),
        }
    }

    fn header(&self, tonight: &Tonight, started: DateTime<Utc>) -> RunHeader {
        let sources = tonight.names.iter().map(|naming| Source {
            accounts: naming.accounts.len(),
            whole: naming.whole,
            ..match naming.source {
                world::Source::File => Source::file(&self.dir.path().join("accounts.txt")),
                world::Source::List => Source::list("the list", "token"),
                world::Source::CommandLine => Source::unrecognisable("the command line"),
            }
        });
        let accounts = tonight.seen.keys().map(|account| {
            let names = tonight.names.iter().enumerate();
            let names = names.filter(|(_, naming)| naming.accounts.contains(account));
            AskedAccount {
                sources: names.map(|(position, _)| position as u32).collect(),
                ..AskedAccount::new(&id(*account), "")
            }
        });
        let short = tonight.names.iter().filter(|naming| !naming.whole);
        RunHeader {
            schema: evidence::SCHEMA.to_owned(),
            run_id: started.format("%Y%m%dT%H%M%SZ").to_string(),
            version: "0.0.0".to_owned(),
            started,
            base_url: BASE_URL.to_owned(),
            demo: false,
            begun_after: None,
            sources: sources.collect(),
            gaps: short.map(|_| "the list is short".to_owned()).collect(),
            organizations: Vec::new(),
            share: None,
            merged: None,
            limits: Limits {
                concurrency: 32,
                rate: "1000/300s".to_owned(),
                timeout_seconds: 30.0,
                retries: 5,
            },
            accounts: accounts.collect(),
        }
    }

    fn collect(&self, tonight: &Tonight, header: RunHeader, partial: &Path) -> Evidence {
        let path = partial.join(evidence::FILE_NAME);
        let now = header.started;
        let mut writer = EvidenceWriter::create(&path, header, FileMode::default()).unwrap();
        for (position, seen) in tonight.seen.values().enumerate() {
            let (outcome, error) = match seen {
                Seen::Whole(_) => (Read::Read, None),
                Seen::Part(_) => (Read::Incomplete, Some(ErrorKind::IncompleteList)),
                Seen::Nothing(kind) => {
                    use ErrorKind::{Forbidden, Interrupted, NotFound, Server};
                    let kinds = [Forbidden, NotFound, Server, Interrupted];
                    (Read::Unread, Some(kinds[usize::from(*kind)]))
                }
            };
            if let Seen::Nothing(3) = seen {
                // An account that a run did not come to has no line.
                continue;
            }
            let body = json!({"success": true, "result": list(seen)}).to_string();
            let is_read = outcome != Read::Unread;
            let answered = AccountEvidence {
                position,
                outcome,
                error: error.map(|kind| ReadError::new(kind, "so it went")),
                connectors: serde_json::from_value(list(seen)).unwrap(),
                http_status: None,
                cf_ray: None,
                attempts: 1,
                read_at: Some(now),
                body_sha256: is_read.then(|| cf_sso_audit::text::sha256_hex(body.as_bytes())),
            };
            let body = is_read.then_some(body.as_bytes());
            writer.append(&answered, body).unwrap();
        }
        writer.finish().unwrap()
    }

    /// As `cli::judgement` finds them.
    fn history(&self, header: &RunHeader, baseline_none: bool) -> History {
        let newest = Newest::find(&self.output(), ApiAsked::by(header), &header.run_id).unwrap();
        let mut history = match newest.run {
            run if baseline_none => History::uncompared(run),
            run => run.map_or_else(History::default, History::after),
        };
        if !baseline_none {
            history.passed_over = newest.passed_over;
        }
        history.sequence = newest.sequence;
        history
    }
}

fn list(seen: &Seen) -> Value {
    seen.connectors().iter().map(world::Conn::json).collect()
}

impl Press for InProcess {
    fn output(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn run(&mut self, tonight: &Tonight, _: &Said, _: bool) -> PathBuf {
        let now = DateTime::from_timestamp(tonight.now, 0).unwrap();
        let header = self.header(tonight, now);
        let whole = self.output().join(&header.run_id);
        let partial = self.output().join(format!("{}.partial", header.run_id));
        fs::create_dir(&partial).unwrap();
        let evidence = self.collect(tonight, header.clone(), &partial);
        let policy = tonight
            .policy
            .as_ref()
            .map_or_else(Policy::default, |text| {
                Policy::parse("policy.toml", text.as_bytes()).unwrap()
            });
        let history = self.history(&header, tonight.baseline_none);
        let ledger =
            history.ledger_header(&evidence, now, policy.source.clone(), Default::default());
        let settings = Settings {
            ledger: &ledger,
            policy: &policy,
            now,
            formats: &self.formats,
            dialect: Dialect::Plain,
            ocsf: OcsfOptions::default(),
            template: &self.template,
            title: None,
            mode: FileMode::default(),
        };
        report::write(&partial, &evidence, &header, &history, &settings).unwrap();
        fs::rename(&partial, &whole).unwrap();
        whole
    }
}

/// Makes runs as people do.
struct Program {
    dir: Rc<TempDir>,
    server: Server,
}

impl Program {
    fn new() -> Self {
        Self {
            dir: shared_dir(),
            server: Server::of(Vec::new()),
        }
    }
}

/// Answers as the world of a night does: lists of connectors, and the list of accounts.
fn answer_for(tonight: &Tonight, request: &Request) -> Reply {
    if let Some(naming) = tonight
        .names
        .iter()
        .find(|n| n.source == world::Source::List)
        && request.path.starts_with("/client/v4/accounts?")
    {
        let named = naming.accounts.iter();
        let accounts: Vec<_> = named.map(|a| json!({"id": id(*a), "name": ""})).collect();
        let count = accounts.len() + usize::from(!naming.whole);
        return match request.parameter("page") {
            Some("1") => enveloped(json!(accounts), json!({"total_count": count})),
            _ => enveloped(json!([]), json!({"total_count": count})),
        };
    }
    let seen = tonight
        .seen
        .iter()
        .find(|(account, _)| id(**account) == request.account());
    match seen.map(|(_, seen)| seen) {
        Some(seen @ Seen::Whole(_)) => success(list(seen)),
        Some(seen @ Seen::Part(_)) => enveloped(list(seen), json!({"total_count": 9})),
        Some(Seen::Nothing(0)) | None => forbidden(),
        Some(Seen::Nothing(_)) => failure(404, 7003, "Could not route to it"),
    }
}

impl Press for Program {
    fn output(&self) -> PathBuf {
        self.dir.path().join("reports")
    }

    fn run(&mut self, tonight: &Tonight, said: &Said, unreadable: bool) -> PathBuf {
        let answers = tonight.clone();
        self.server
            .now(move |request| answer_for(&answers, request));
        let audit = || {
            let mut audit = audit_in(&self.dir, &self.server)
                .env("SOURCE_DATE_EPOCH", tonight.now.to_string())
                .args(["--csv-dialect", "plain"]);
            for naming in &tonight.names {
                let ids = naming.accounts.iter().map(|account| id(*account));
                audit = match naming.source {
                    world::Source::File => {
                        audit.accounts_file("accounts.txt", ids.collect::<Vec<_>>().join("\n"))
                    }
                    world::Source::List => audit.arg("--all-accounts"),
                    world::Source::CommandLine => audit.args(ids),
                };
            }
            if let Some(policy) = &tonight.policy {
                audit = audit.policy(policy);
            }
            if tonight.baseline_none {
                audit = audit.args(["--baseline", "none"]);
            }
            audit
        };
        let fail_on_new = || audit().args(["--fail-on-new", "low"]);
        let is_whole = tonight.seen.values().all(Seen::is_whole)
            && tonight.names.iter().all(|naming| naming.whole);
        let is_new = |f: &Finding| f.change == "new" && f.status == "open";
        let outcome = if unreadable {
            let asked_nothing = fail_on_new().run().expect(1);
            assert_eq!(asked_nothing.stdout, "");
            assert!(
                self.server.requests().is_empty(),
                "before anything is asked"
            );
            audit().run().expect(if is_whole { 0 } else { 3 })
        } else {
            let code = match (is_whole, said.findings.iter().any(is_new)) {
                (false, _) => 3,
                (true, true) => 10,
                (true, false) => 0,
            };
            fail_on_new().run().expect(code)
        };
        let directory = outcome.run_dir();
        assert_eq!(directory.parent().unwrap(), self.output());
        the_summary_says_how_many(&outcome, said);
        directory
    }
}

/// `Since 20261121T101500Z: 1 new finding, 2 findings resolved, …`, and `Findings high 3 (1 new)`.
fn the_summary_says_how_many(outcome: &Outcome, said: &Said) {
    let last = said.trend.last().unwrap();
    let some = |number: u64, one: &str, several: &str| {
        format!("{number} {}", if number == 1 { one } else { several })
    };
    let sentence = format!(
        ": {}, {}",
        some(last.new as u64, "new finding", "new findings"),
        some(
            last.resolved as u64,
            "finding resolved",
            "findings resolved"
        )
    );
    let compared = outcome
        .stdout
        .lines()
        .find(|line| line.starts_with("Since "));
    if let Some(line) = compared {
        let rest = line.split_once(&sentence).map(|(_, rest)| rest);
        let ends = rest.is_some_and(|rest| rest == "." || rest.starts_with(", "));
        assert!(ends, "{sentence:?} in {line:?}");
    } else {
        assert_eq!((last.new, last.resolved), (0, 0), "{}", outcome.stdout);
    }
    // New open ones are beside the open ones, and new waived ones beside the waived.
    let findings = outcome.stdout.lines();
    let findings = findings.filter(|line| line.starts_with("  Findings "));
    let by_severity = findings.flat_map(|line| {
        let brackets = line.split('(').skip(1);
        brackets.map(|rest| {
            rest.split_once(" new)")
                .unwrap()
                .0
                .parse::<usize>()
                .unwrap()
        })
    });
    assert_eq!(by_severity.sum::<usize>(), last.new, "{}", outcome.stdout);
}
