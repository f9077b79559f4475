//! Connectors made, verified, enabled and fixed from the command line, against the program's own simulated API.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cf_sso_audit::simulator::{self, Clock, Options, World};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::*;

const READ_ONLY: &str = "cfut_0123456789abcdefghijklmnopqrstuvwxyzABCDREAD0001";
/// How long a verification takes here.
pub const VERIFICATION: Duration = Duration::from_secs(60);

/// The simulated API, whose time is moved by hand.
pub struct Simulated {
    pub running: simulator::Running,
    time: Arc<Mutex<DateTime<Utc>>>,
    accounts: Vec<String>,
    dir: Rc<TempDir>,
    /// Serves until the test is over.
    runtime: Runtime,
}

impl Simulated {
    pub fn start(world: impl FnOnce(DateTime<Utc>) -> World) -> Self {
        let now = DateTime::from_timestamp(NOW.parse().unwrap(), 0).unwrap();
        Self::start_at(now, world)
    }

    /// The same, whose time is this.
    pub fn start_at(now: DateTime<Utc>, world: impl FnOnce(DateTime<Utc>) -> World) -> Self {
        let time = Arc::new(Mutex::new(now));
        let shown = Arc::clone(&time);
        let world = world(now)
            .with_clock(Clock::new(move || *shown.lock().unwrap()))
            .with_verification_delay(VERIFICATION);
        let accounts = world.accounts().map(|(id, _)| id).collect();
        let runtime = Runtime::new().unwrap();
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            dns_listen: ([127, 0, 0, 1], 0).into(),
            token: TOKEN.to_owned(),
            more_tokens: Vec::new(),
            read_only_token: Some(READ_ONLY.to_owned()),
            rate: None,
            latency: Duration::ZERO,
            account_owned_token: false,
            troubles: simulator::Troubles::default(),
        };
        let running = runtime.block_on(simulator::start(world, options)).unwrap();
        Self {
            running,
            time,
            accounts,
            dir: shared_dir(),
            runtime,
        }
    }

    pub fn pass(&self, time: Duration) {
        *self.time.lock().unwrap() += time;
    }

    fn command(&self, name: &str) -> Program {
        program_in(&self.dir, name)
            .env("CLOUDFLARE_BASE_URL", self.running.base_url())
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
    }

    /// `connector` with an operation on the account with an index.
    pub fn connector(&self, operation: &str, account: usize) -> Program {
        self.command("connector")
            .args([operation, &self.accounts[account]])
    }

    pub fn stop(self) {
        self.runtime.block_on(self.running.stop());
    }

    fn get(&self, account: usize, domain: &str) -> Value {
        self.connector("get", account)
            .args([domain, "--json"])
            .run()
            .expect(0)
            .stdout_json()
    }
}

#[test]
fn a_connector_lives_from_its_making_to_its_end() {
    let simulated = Simulated::start(|now| World::generate(2, 0, 7, now));
    let made = simulated
        .connector("create", 0)
        .args([
            "--email-domain",
            "corp.example",
            "--no-begin-verification",
            "--json",
        ])
        .run()
        .expect(0)
        .stdout_json();
    assert_eq!(made["verification"]["status"], "awaiting");
    let record = format!(
        "corp.example. 300 IN TXT \"{}\"\n",
        made["verification"]["code"].as_str().unwrap()
    );
    simulated
        .connector("get", 0)
        .arg("corp.example")
        .run()
        .expect(0)
        .prints(&[&record]);
    // The same domain twice, and one that belongs to everybody.
    for domain in ["CORP.example", "gmail.com"] {
        simulated
            .connector("create", 0)
            .args(["--email-domain", domain])
            .run()
            .expect(1)
            .says(&["error: api 1200", "hint: "]);
    }
    let enable = || {
        simulated
            .connector("update", 0)
            .args(["corp.example", "--enabled", "true", "--yes"])
            .run()
    };
    enable().expect(1).says(&["error: api 12"]);
    simulated
        .connector("begin-verification", 0)
        .arg("corp.example")
        .run()
        .expect(0);
    assert_eq!(
        simulated.get(0, "corp.example")["verification"]["status"],
        "pending"
    );
    enable().expect(1);
    simulated.pass(VERIFICATION);
    enable().expect(0).prints(&["enabled        true"]);
    assert_eq!(simulated.get(0, "corp.example")["enabled"], true);

    // In another account the same domain cannot be enabled meanwhile.
    simulated
        .connector("create", 1)
        .args(["--email-domain", "corp.example", "--use-fedramp-language"])
        .run()
        .expect(0);
    simulated.pass(VERIFICATION);
    assert_eq!(
        simulated.get(1, "corp.example")["use_fedramp_language"],
        true
    );
    simulated
        .connector("update", 1)
        .args(["corp.example", "--enabled", "true", "--yes"])
        .run()
        .expect(1)
        .says(&["error: api 12"]);

    simulated
        .connector("delete", 0)
        .args(["corp.example", "--yes"])
        .run()
        .expect(0);
    simulated
        .connector("list", 0)
        .run()
        .expect(0)
        .prints(&["no connector"]);
    simulated
        .connector("get", 0)
        .arg(made["id"].as_str().unwrap())
        .run()
        .expect(1)
        .says(&["not-found"]);
}

#[test]
fn a_token_that_may_only_read_changes_nothing() {
    let simulated = Simulated::start(|now| World::generate(1, 2, 7, now));
    let list = simulated
        .connector("list", 0)
        .arg("--json")
        .run()
        .expect(0)
        .stdout_json();
    let connector = list[0]["id"].as_str().unwrap();
    let read_only = |operation: &str, more: &[&str]| {
        simulated
            .connector(operation, 0)
            .env("CLOUDFLARE_API_TOKEN", READ_ONLY)
            .args(more)
            .run()
    };
    read_only("list", &[]).expect(0);
    for (operation, more) in [
        ("create", &["--email-domain", "corp.example"][..]),
        ("update", &[connector, "--use-fedramp-language", "true"]),
        ("delete", &[connector, "--yes"]),
        ("begin-verification", &[connector]),
    ] {
        read_only(operation, more)
            .expect(1)
            .says(&["SSO Connector"]);
    }
    let after = simulated
        .connector("list", 0)
        .arg("--json")
        .run()
        .expect(0)
        .stdout_json();
    assert_eq!(after, list);
}

#[test]
fn the_demos_findings_are_mended_once_and_stay_so() {
    let simulated = Simulated::start(World::demo);
    let policy = "[defaults]\nfedramp = \"forbidden\"\n";
    let audit = |day: i64| {
        simulated
            .command("audit")
            .arg("--all-accounts")
            .policy(policy)
            .on_day(day)
            .run()
            .expect(0)
    };
    let first = audit(0);
    let run = first.run_dir();
    let fix = |more: &[&str]| {
        simulated
            .command("fix")
            .arg(&run)
            .policy(policy)
            .args(["--enable", "--disable"])
            .args(more)
            .run()
    };
    let plan = fix(&["--json"]).expect(0).stdout_json();
    let steps = plan["steps"].as_array().unwrap();
    let kinds: std::collections::BTreeSet<_> = steps
        .iter()
        .map(|step| step["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["begin-verification", "disable", "enable", "fedramp-off"]
    );
    assert_eq!(simulated.running.writes(), 0, "a plan is not sent");

    let applied = fix(&["--apply"]);
    // A domain that is enabled in another account is refused by the API; what is refused is told and not hidden.
    let log = std::fs::read_to_string(run.join("fix-log.jsonl")).unwrap();
    let log: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        // What was about to be sent is noted first; here it is about what became of it.
        .filter(|line| line["result"] != "sending")
        .collect();
    let count = |result: &str| log.iter().filter(|line| line["result"] == result).count();
    assert_eq!(log.len(), steps.len());
    assert_eq!(applied.code(), Some(i32::from(count("failed") > 0)));
    assert!(count("done") > count("failed"), "{}", applied.stdout);
    assert_eq!(
        simulated.running.writes() as usize,
        count("done") + count("failed")
    );
    for line in log.iter().filter(|line| line["result"] == "failed") {
        assert_eq!(line["action"], "enable", "{line}");
        assert!(
            line["reason"]
                .as_str()
                .unwrap()
                .starts_with("the API refused the request the request: 12")
        );
    }
    // What was done is not done again.
    let writes = simulated.running.writes();
    fix(&["--apply"]);
    assert_eq!(simulated.running.writes() - writes, count("failed") as u64);

    simulated.pass(VERIFICATION);
    let second = audit(1);
    let open = |outcome: &Outcome, rule: &str| {
        outcome.json()["totals"]["findings_by_rule"][rule]["open"].clone()
    };
    assert_ne!(open(&first, "enabled-unverified"), json!(0));
    for rule in ["enabled-unverified", "fedramp-language"] {
        assert_eq!(open(&second, rule), json!(0), "{rule}");
    }
    assert_eq!(second.json()["run"]["baseline"], RUN_ID);
    assert!(
        second
            .column("changes.csv", "kind")
            .contains(&"finding-resolved".to_owned())
    );
}

#[test]
fn a_plan_with_a_token_that_may_only_read_stops_and_changes_nothing() {
    let simulated = Simulated::start(World::demo);
    let run = simulated
        .command("audit")
        .arg("--all-accounts")
        .run()
        .expect(0)
        .run_dir();
    let before = simulated.running.totals();
    simulated
        .command("fix")
        .arg(&run)
        .arg("--apply")
        .env("CLOUDFLARE_API_TOKEN", READ_ONLY)
        .run()
        .expect(1)
        .says(&["SSO Connector Write"]);
    assert_eq!(simulated.running.totals(), before);
}

#[test]
fn doctor_finds_the_simulated_api_well() {
    let simulated = Simulated::start(World::demo);
    *simulated.time.lock().unwrap() = Utc::now();
    simulated
        .command("doctor")
        .arg(&simulated.accounts[0])
        .run()
        .expect(0)
        .prints(&[
            "pass  reach: ",
            "pass  clock: ",
            "pass  token valid: active",
            "pass  read ",
        ]);
}
