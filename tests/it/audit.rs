//! The main job, from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::*;

#[test]
fn the_demo_leaves_a_whole_report() {
    let demo = program("audit").arg("--demo").run().expect(0);
    let mut files = FILES.to_vec();
    files.extend(["dns.jsonl", "dns_records.csv"]);
    files.sort_unstable();
    assert_eq!(names(&demo.run_dir()), files);
    assert_eq!(names(&demo.reports()), [RUN_ID, "latest"]);
    assert_eq!(demo.latest(), RUN_ID);
    check_sums(&demo.run_dir());
    let json = demo.json();
    assert_eq!(json["schema"], "cf-sso-audit/report/v1");
    assert_eq!(json["coverage"]["whole"], true);
    assert_eq!(json["coverage"]["asked"], json["coverage"]["read"]);
    assert_eq!(json["run"]["demo"], true);
    let asked = json["coverage"]["asked"].as_u64().unwrap();
    assert!((35..=45).contains(&asked), "about 40 accounts, not {asked}");
    assert!(
        demo.stdout
            .starts_with(&format!("{asked} of {asked} accounts read.\n"))
    );
}

#[test]
fn the_demo_shows_every_rule_but_the_one_for_unread_accounts() {
    let demo = program("audit").arg("--demo").run().expect(0);
    let fired: BTreeSet<_> = demo.column("findings.csv", "rule").into_iter().collect();
    let expected: BTreeSet<_> = cf_sso_audit::rules::RULES
        .iter()
        .map(|rule| rule.id.to_owned())
        .filter(|id| id != "unread-account")
        .collect();
    assert_eq!(fired, expected);
}

#[test]
fn the_demo_needs_no_token_and_takes_none() {
    let demo = program("audit")
        .arg("--demo")
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .env("CLOUDFLARE_BASE_URL", "https://api.example/client/v4")
        .run()
        .expect(0);
    for (name, bytes) in demo.everything() {
        assert!(
            memchr::memmem::find(&bytes, TOKEN.as_bytes()).is_none(),
            "{name}"
        );
    }
}

/// `simulate` as a process of its own.
struct Simulated {
    child: Child,
    base_url: String,
    token: String,
}

impl Simulated {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cf-sso-audit"))
            .arg("simulate")
            .args(arguments)
            .env("SOURCE_DATE_EPOCH", NOW)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut exported = |name: &str| {
            let line = lines.next().unwrap().unwrap();
            let value = line.strip_prefix(&format!("export {name}="));
            value
                .unwrap_or_else(|| panic!("{line:?} exports no {name}"))
                .to_owned()
        };
        let base_url = exported("CLOUDFLARE_BASE_URL");
        let token = exported("CLOUDFLARE_API_TOKEN");
        Self {
            child,
            base_url,
            token,
        }
    }

    /// What a path is answered, over a socket of the test's own.
    fn get(&self, path: &str) -> Value {
        let rest = self.base_url.strip_prefix("http://").unwrap();
        let (address, prefix) = rest.split_once('/').unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /{prefix}{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            self.token
        );
        connection.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn trouble_can_be_asked_for_and_looks_as_it_does_in_the_wild() {
    for (kind, told) in [
        ("server", "server"),
        ("timeout", "timeout"),
        ("forbidden", "forbidden"),
        ("incomplete", "incomplete-list"),
        ("malformed", "malformed"),
    ] {
        let simulated = Simulated::start(&["--accounts", "6", "--fail", &format!("{kind}=100%")]);
        let outcome = program("audit")
            .args(["--all-accounts", "--retries", "0", "--timeout", "300ms"])
            .env("CLOUDFLARE_BASE_URL", &simulated.base_url)
            .env("CLOUDFLARE_API_TOKEN", &simulated.token)
            .run()
            .expect(3);
        assert_eq!(outcome.column("accounts.csv", "error_kind"), [told; 6]);
    }
    for (wrong, said) in [
        ("server", "has no share"),
        (
            "flood=1%",
            "is no kind of trouble; there are server, timeout",
        ),
        ("server=2", "is no share"),
    ] {
        let outcome = program("simulate").args(["--fail", wrong]).run().expect(2);
        outcome.says(&[said]);
    }
    let sum = ["--fail", "server=60%", "--fail", "timeout=60%"];
    program("simulate")
        .args(sum)
        .run()
        .expect(2)
        .says(&["more than all"]);
}

#[test]
fn simulate_and_audit_agree_on_every_number() {
    let simulated = Simulated::start(&["--accounts", "57", "--connectors", "4", "--seed", "9"]);
    let mut accounts = Vec::new();
    for page in 1.. {
        let listed = simulated.get(&format!("/accounts?per_page=50&page={page}"));
        let listed = listed["result"].as_array().unwrap().clone();
        if listed.is_empty() {
            break;
        }
        accounts.extend(listed);
    }
    assert_eq!(accounts.len(), 57);

    let outcome = program("audit")
        .arg("--all-accounts")
        .env("CLOUDFLARE_BASE_URL", &simulated.base_url)
        .env("CLOUDFLARE_API_TOKEN", &simulated.token)
        .run()
        .expect(0);
    let rows = outcome.csv("accounts.csv");
    let listed = accounts
        .iter()
        .map(|a| a["id"].as_str().unwrap().to_owned());
    assert_eq!(
        outcome.column("accounts.csv", "account_id"),
        listed.collect::<Vec<_>>()
    );
    let mut totals = BTreeMap::new();
    for (account, row) in accounts.iter().zip(&rows) {
        let id = account["id"].as_str().unwrap();
        let list = simulated.get(&format!("/accounts/{id}/sso_connectors"));
        let connectors = list["result"].as_array().unwrap();
        let count = |wanted: &dyn Fn(&Value) -> bool| {
            connectors.iter().filter(|c| wanted(c)).count().to_string()
        };
        for (column, number) in [
            ("connectors", count(&|_| true)),
            (
                "unverified",
                count(&|c| c["verification"]["status"] != "verified"),
            ),
            ("disabled", count(&|c| c["enabled"] != true)),
            ("fedramp_on", count(&|c| c["use_fedramp_language"] == true)),
            (
                "fedramp_off",
                count(&|c| c["use_fedramp_language"] == false),
            ),
        ] {
            assert_eq!(row[column], number, "{column} of {id}");
            *totals.entry(column).or_insert(0) += number.parse::<u64>().unwrap();
        }
    }
    let json = outcome.json();
    for (column, total) in &totals {
        assert_eq!(json["totals"][column], *total, "{column}");
    }
    assert_eq!(totals["connectors"], 57 * 4);
    for (file, column) in [
        ("connectors.csv", "connectors"),
        ("unverified_domains.csv", "unverified"),
        ("disabled_connectors.csv", "disabled"),
        ("fedramp_settings.csv", "connectors"),
    ] {
        assert_eq!(
            outcome.csv(file).len() as u64,
            totals[column],
            "rows of {file}"
        );
    }
    let said = |name: &str, column: &str| {
        let line = outcome
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        let figure = line.and_then(|line| line.split_whitespace().last());
        assert_eq!(figure, Some(&*totals[column].to_string()), "{name}");
    };
    said("Connectors", "connectors");
    said("Unverified domains", "unverified");
    said("Disabled connectors", "disabled");
}

#[test]
fn simulated_organizations_show_a_tree_with_one_that_refuses() {
    let simulated = Simulated::start(&["--accounts", "40", "--organizations", "6"]);
    let roots = simulated.get("/organizations?parent.id=null");
    let root = roots["result"][0]["id"].as_str().unwrap();
    let outcome = program("audit")
        .env("CLOUDFLARE_BASE_URL", &simulated.base_url)
        .env("CLOUDFLARE_API_TOKEN", &simulated.token)
        .args(["--organization", root])
        .run()
        .expect(3)
        .prints(&["6 organizations, 27 accounts:\n", "0 accounts, incomplete"]);
    let gaps = outcome.json()["coverage"]["gaps"].clone();
    assert_eq!(gaps.as_array().unwrap().len(), 1);
}

#[test]
fn simulate_ends_on_sigterm() {
    let mut simulated = Simulated::start(&["--accounts", "1"]);
    send_signal("TERM", simulated.child.id());
    wait_until("simulate ends", || {
        simulated.child.try_wait().unwrap().is_some()
    });
    assert_eq!(simulated.child.wait().unwrap().code(), Some(0));
}

#[test]
fn every_account_asked_for_stands_once_in_every_output() {
    let good = id(1);
    let server = Server::of(vec![(good.clone(), json!([connector(1, "a.example")]))]);
    let outcome = audit(&server)
        .args([&good, &id(2), "no-id"])
        .run()
        .expect(3);
    assert_eq!(
        outcome.column("accounts.csv", "account_id"),
        [&good, &id(2), "no-id"]
    );
    assert_eq!(
        outcome.column("accounts.csv", "outcome"),
        ["read", "unread", "unread"]
    );
    let json = outcome.json();
    let listed: Vec<_> = json["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| account["account_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, outcome.column("accounts.csv", "account_id"));
    let of_unread: Vec<_> = outcome
        .csv("findings.csv")
        .into_iter()
        .filter(|row| row["rule"] == "unread-account")
        .map(|row| row["account_id"].clone())
        .collect();
    assert_eq!(of_unread, [&id(2), "no-id"]);
    assert!(
        outcome
            .stdout
            .contains("1 of 3 accounts read; 2 unread, so this report is incomplete")
    );
    let evidence = outcome.text("evidence.jsonl");
    assert_eq!(evidence.lines().count(), 4);
    check_sums(&outcome.run_dir());
}

#[test]
fn no_number_is_told_of_what_was_not_read() {
    let server = Server::start(|_| forbidden());
    let outcome = audit(&server).arg(id(1)).run().expect(3);
    let row = outcome.account(&id(1));
    for column in [
        "connectors",
        "unverified",
        "disabled",
        "fedramp_on",
        "fedramp_off",
    ] {
        assert_eq!(row[column], "", "{column}");
    }
    assert_eq!(row["findings_high"], "1");
}

#[test]
fn fail_on_is_told_by_the_exit_code_and_an_unread_account_outranks_it() {
    let of = |status: &str| {
        json!([connector_with(
            1,
            "a.example",
            json!({"enabled": false, "verification": {"status": status}})
        )])
    };
    let server = Server::of(vec![(id(1), of("verified")), (id(2), of("failed"))]);
    for (level, asked, code) in [
        ("never", vec![id(1), id(2)], 0),
        // disabled-connector is medium.
        ("high", vec![id(1)], 0),
        ("medium", vec![id(1)], 10),
        ("low", vec![id(1)], 10),
        // unverified-domain is high where the verification failed.
        ("high", vec![id(2)], 10),
        ("critical", vec![id(2)], 0),
        ("low", vec![id(2), id(3)], 3),
    ] {
        audit(&server)
            .args(["--fail-on", level])
            .args(asked)
            .run()
            .expect(code);
    }
}

#[test]
fn so_many_accounts_may_go_unread_as_are_allowed() {
    let open = json!([disabled(1, "a.example")]);
    let server = Server::of(vec![(id(1), open), (id(2), json!([]))]);
    // Two of the four are not there.
    for (allowed, fail_on, code) in [
        ("0", "never", 3),
        ("1", "never", 3),
        ("2", "never", 0),
        ("2", "medium", 10),
        ("49.9%", "never", 3),
        ("50%", "never", 0),
        ("1", "medium", 3),
    ] {
        let outcome = audit(&server)
            .args(["--allow-unread", allowed, "--fail-on", fail_on])
            .args(["--fail-on-new", "high"])
            .args(ids(4))
            .run()
            .expect(code);
        // Whatever the code, it is said what was reached.
        let thresholds = &outcome.json()["thresholds"];
        let is_reached = fail_on != "never";
        assert_eq!(
            thresholds,
            &json!({
                "allow_unread": {"allowed": allowed, "reached": code == 3},
                "fail_on": {"severity": fail_on, "reached": is_reached},
                "fail_on_new": {"severity": "high", "reached": false},
            })
        );
        let said = |text: &str| outcome.stdout.contains(text);
        assert_eq!(said("--fail-on medium: reached."), is_reached);
        assert!(said("--fail-on-new high: not reached."));
        assert_eq!(
            said(&format!(
                "--allow-unread {allowed}: 2 accounts not read in full"
            )),
            allowed != "0"
        );
        // The report says of them what it always says.
        assert!(said("2 unread, so this report is incomplete."));
        assert!(said("  Not read in full: 2 accounts: not-found.\n"));
        assert_eq!(
            outcome.json()["coverage"]["causes"],
            json!({"not-found": 2})
        );
        // Rendering takes them from the run.
        let again = program("render").arg(outcome.run_dir()).run().expect(code);
        assert_eq!(again.stdout, outcome.stdout);
        let other = program("render")
            .arg(outcome.run_dir())
            .args(["--fail-on", "critical"])
            .run()
            .expect(2);
        other.says(&["made with --fail-on", "--output"]);
    }
}

#[test]
fn what_costs_many_accounts_is_told_once_and_each_where_it_is_asked_for() {
    let server = Server::start(|request| match request.account() {
        account if account == id(1) => success(json!([])),
        account if account == id(2) => failure(404, 7003, "no such account"),
        _ => forbidden(),
    });
    let lines = |flags: &[&str], what: &str| {
        let outcome = audit(&server).args(flags).args(ids(9)).run().expect(3);
        let lines = outcome.stderr.lines().filter(|line| line.contains(what));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let warned = lines(&[], "WARN");
    assert_eq!(warned.len(), 2, "{warned:?}");
    let many = "7 accounts not read in full: Unauthorized";
    assert!(warned[0].contains(many), "{warned:?}");
    assert!(warned[0].contains("the first of these; -v shows all"));
    let one = "1 account not read in full: no such account account=\"";
    assert!(warned[1].contains(one), "{warned:?}");
    let each = lines(&["-v"], "account unread:");
    assert_eq!(each.len(), 8);
    assert!((2..10).all(|number| each.iter().any(|line| line.contains(&id(number)))));
}

#[test]
fn only_the_formats_asked_for_are_written() {
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let outcome = audit(&server)
        .args(["--format", "json", &id(1)])
        .run()
        .expect(0);
    assert_eq!(
        names(&outcome.run_dir()),
        [
            "SHA256SUMS",
            "evidence.jsonl",
            "ledger.jsonl",
            "report.json"
        ]
    );
    check_sums(&outcome.run_dir());
}

#[cfg(unix)]
#[test]
fn files_are_the_users_alone_unless_told_otherwise() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    for (arguments, file_mode, folder_mode) in [
        (&[][..], 0o600, 0o700),
        (&["--output-mode", "0640"][..], 0o640, 0o750),
    ] {
        let outcome = audit(&server).args(arguments).arg(id(1)).run().expect(0);
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let run = outcome.run_dir();
        assert_eq!(mode(&outcome.reports()), folder_mode);
        assert_eq!(mode(&run), folder_mode);
        for name in FILES {
            assert_eq!(mode(&run.join(name)), file_mode, "{name}");
        }
    }
}

#[test]
fn rows_stand_by_account_then_domain_then_connector_and_findings_by_severity() {
    let disabled = |number, domain| connector_with(number, domain, json!({"enabled": false}));
    let server = Server::of(vec![
        (
            id(1),
            json!([
                disabled(3, "z.example"),
                disabled(2, "m.example"),
                disabled(1, "z.example"),
            ]),
        ),
        (
            id(2),
            json!([connector_with(
                4,
                "b.example",
                json!({"verification": {"status": "pending"}})
            )]),
        ),
    ]);
    let outcome = audit(&server).args([id(2), id(1)]).run().expect(0);
    let order: Vec<_> = outcome
        .csv("connectors.csv")
        .iter()
        .map(|row| (row["email_domain"].clone(), row["connector_id"].clone()))
        .collect();
    let expected = [
        ("b.example", 4),
        ("m.example", 2),
        ("z.example", 1),
        ("z.example", 3),
    ]
    .map(|(domain, number)| (domain.to_owned(), format!("c0{number:030x}")));
    assert_eq!(order, expected);
    let severities = outcome.column("findings.csv", "severity");
    let rank = |word: &String| {
        ["critical", "high", "medium", "low"]
            .iter()
            .position(|w| w == word)
    };
    assert!(severities.is_sorted_by_key(rank), "{severities:?}");
    assert_eq!(severities[0], "critical");
    assert!(severities.len() >= 5);
}

#[test]
fn a_finding_keeps_its_id_from_run_to_run() {
    let server = Server::of(vec![(
        id(1),
        json!([connector_with(1, "a.example", json!({"enabled": false}))]),
    )]);
    let first = audit(&server).arg(id(1)).run().expect(0);
    let row = first.csv("findings.csv").remove(0);
    let digest = Sha256::digest(format!("disabled-connector|{}|c0{:030x}", id(1), 1));
    let expected: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    assert_eq!(row["rule"], "disabled-connector");
    // An id that a spreadsheet would take for a number has a ' in front.
    assert_eq!(row["finding_id"].trim_start_matches('\''), expected);
}

#[test]
fn the_requests_are_those_of_the_api() {
    let server = Server::of(vec![(id(1), json!([]))]);
    audit(&server).arg(id(1).to_uppercase()).run().expect(0);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.method, "GET");
    assert_eq!(
        request.path,
        format!("/client/v4/accounts/{}/sso_connectors", id(1))
    );
    assert_eq!(
        request.header("authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
    assert!(
        request
            .header("user-agent")
            .unwrap()
            .starts_with("cf-sso-audit/")
    );
    assert_eq!(request.header("api-version"), None);
    assert!(request.body.is_empty());
}

#[test]
fn the_evidence_says_what_came_when_and_with_which_checksum() {
    let body = json!({"success": true, "result": [connector(1, "a.example")], "extra": {"x": 1}});
    // With line breaks, which no line of evidence may hold.
    let body = serde_json::to_string_pretty(&body).unwrap();
    let sent = body.clone();
    let server = Server::start(move |request| {
        if request.account() == id(1) {
            answer(200, sent.clone())
        } else {
            failure(404, 7003, "Could not route to it")
        }
    });
    let outcome = audit(&server)
        .args(["--concurrency", "1"])
        .args(ids(2))
        .run()
        .expect(3);
    let evidence = outcome.text("evidence.jsonl");
    let lines: Vec<Value> = evidence
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["schema"], "cf-sso-audit/evidence/v2");
    assert_eq!(lines[0]["base_url"], server.base_url());
    let expected: String = Sha256::digest(&body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(lines[1]["body_sha256"], expected);
    assert_eq!(
        lines[1]["body"],
        serde_json::from_str::<Value>(&body).unwrap()
    );
    assert_eq!(lines[1]["cf_ray"], "8a1b2c3d4e5f6200-SYD");
    assert_eq!(lines[1]["attempts"], 1);
    assert_eq!(lines[1]["read_at"], "2026-11-21T10:15:00Z");
    assert_eq!(lines[2]["outcome"], "unread");
    assert_eq!(
        lines[2]["error"],
        json!({"kind": "not-found", "code": "7003", "message": "Could not route to it"})
    );
}
