//! `fix`: the plan that would fix a run's findings, and carrying it out.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// Accounts whose connectors can be read and changed, as at the API.
#[derive(Clone)]
struct World(Arc<Mutex<BTreeMap<String, Vec<Value>>>>);

impl World {
    fn of(accounts: Vec<(String, Vec<Value>)>) -> Self {
        Self(Arc::new(Mutex::new(accounts.into_iter().collect())))
    }

    fn answer(&self, request: &Request) -> Reply {
        let not_found = || failure(404, 12003, "connector not found");
        let mut accounts = self.0.lock().unwrap();
        let rest = request.path.strip_prefix("/client/v4/accounts/").unwrap();
        let mut parts = rest.split('/');
        let (account, list) = (parts.next().unwrap(), parts.next());
        assert_eq!(list, Some("sso_connectors"));
        let Some(connectors) = accounts.get_mut(account) else {
            return forbidden();
        };
        let Some(id) = parts.next() else {
            assert_eq!(request.method, "GET");
            return success(json!(connectors));
        };
        let Some(connector) = connectors.iter_mut().find(|c| c["id"] == id) else {
            return not_found();
        };
        match (request.method.as_str(), parts.next()) {
            ("GET", None) => success(connector.clone()),
            ("POST", Some("begin_verification")) => {
                connector["verification"]["status"] = "pending".into();
                answer(200, r#"{"success":true,"errors":[],"messages":[]}"#)
            }
            ("PATCH", None) => {
                let change: Value = serde_json::from_slice(&request.body).unwrap();
                for (key, value) in change.as_object().unwrap() {
                    connector[key] = value.clone();
                }
                success(connector.clone())
            }
            other => panic!("{other:?} is no request of a plan"),
        }
    }

    fn serve(&self) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
        let world = self.clone();
        move |request| world.answer(request)
    }

    fn change(&self, account: usize, number: usize, fields: Value) {
        let mut accounts = self.0.lock().unwrap();
        let connectors = accounts.get_mut(&id(account)).unwrap();
        let connector = connectors
            .iter_mut()
            .find(|c| c["id"] == connector_id(number))
            .unwrap();
        for (key, value) in fields.as_object().unwrap() {
            connector[key] = value.clone();
        }
    }
}

fn state(number: usize, domain: &str, enabled: bool, status: &str) -> Value {
    connector_with(
        number,
        domain,
        json!({"enabled": enabled, "verification": {"status": status, "code": format!("code-{number}")}}),
    )
}

/// One connector of each kind that a plan may fix, in two accounts.
fn all_kinds() -> Vec<(String, Vec<Value>)> {
    vec![
        (
            id(1),
            vec![
                state(1, "awaiting.example", false, "awaiting"),
                state(2, "failed.example", false, "failed"),
                state(3, "off.example", false, "verified"),
                state(4, "open.example", true, "failed"),
                state(5, "fine.example", true, "verified"),
            ],
        ),
        (
            id(2),
            vec![connector_with(
                6,
                "gov.example",
                json!({"use_fedramp_language": false}),
            )],
        ),
    ]
}

fn policy() -> String {
    format!("[[accounts]]\nid = \"{}\"\nfedramp = \"required\"\n", id(2))
}

/// An audited world, at a server.
struct Audited {
    dir: Rc<TempDir>,
    server: Server,
    world: World,
    run: PathBuf,
}

impl Audited {
    fn new(accounts: Vec<(String, Vec<Value>)>) -> Self {
        let asked: Vec<_> = accounts.iter().map(|(id, _)| id.clone()).collect();
        let world = World::of(accounts);
        let server = Server::start(world.serve());
        let dir = shared_dir();
        let run = audit_in(&dir, &server)
            .args(asked)
            .run()
            .expect(0)
            .run_dir();
        server.now(world.serve());
        Self {
            dir,
            server,
            world,
            run,
        }
    }

    fn fix(&self) -> Program {
        program_in(&self.dir, "fix")
            .at(&self.server)
            .arg(&self.run)
            .args(["--retry-delay", "0s"])
    }

    /// Method and the end of the path of each request so far.
    fn requests(&self) -> Vec<String> {
        let of = |request: Request| {
            let (_, end) = request.path.split_once("/sso_connectors").unwrap();
            format!(
                "{} {} {}",
                request.method,
                end.trim_start_matches('/')
                    .replace("c0000000000000000000000000000", ""),
                String::from_utf8_lossy(&request.body)
            )
            .trim_end()
            .to_owned()
        };
        self.server.requests().into_iter().map(of).collect()
    }

    fn changes(&self) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|r| r.method != "GET").count()
    }

    fn log(&self) -> Vec<Value> {
        fs::read_to_string(self.run.join("fix-log.jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn results(&self) -> Vec<String> {
        let of = |line: Value| {
            format!(
                "{} {}",
                line["result"].as_str().unwrap(),
                line["action"].as_str().unwrap()
            )
        };
        self.log().into_iter().map(of).collect()
    }
}

fn actions(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap();
    let of = |step: &Value| {
        format!(
            "{} {}",
            step["action"].as_str().unwrap(),
            step["email_domain"].as_str().unwrap()
        )
    };
    steps.iter().map(of).collect()
}

#[test]
fn without_apply_nothing_is_sent_and_no_token_is_needed() {
    let audited = Audited::new(all_kinds());
    for flags in [
        &[][..],
        &["--json"],
        &["--csv"],
        &["--enable", "--disable"],
        &["--enable", "--disable", "--json"],
    ] {
        audited.fix().policy(&policy()).args(flags).run().expect(0);
        program_in(&audited.dir, "fix")
            .arg(&audited.run)
            .policy(&policy())
            .args(flags)
            .run()
            .expect(0);
    }
    assert_eq!(audited.requests(), [""; 0]);
    assert!(!audited.run.join("fix-log.jsonl").exists());
}

#[test]
fn the_plan_holds_what_is_harmless_and_what_is_not_with_its_flag() {
    let audited = Audited::new(all_kinds());
    let plan = |flags: &[&str]| {
        audited
            .fix()
            .policy(&policy())
            .arg("--json")
            .args(flags)
            .run()
            .expect(0)
            .stdout_json()
    };
    let harmless = [
        "begin-verification failed.example",
        "begin-verification open.example",
        "fedramp-on gov.example",
        "begin-verification awaiting.example",
    ];
    assert_eq!(actions(&plan(&[])), harmless);
    let mut with_enable = harmless.to_vec();
    with_enable.push("enable off.example");
    assert_eq!(actions(&plan(&["--enable"])), with_enable);
    // What is critical comes first, and the same connector's other step with it.
    assert_eq!(
        actions(&plan(&["--disable"])),
        [
            "disable open.example",
            "begin-verification open.example",
            "begin-verification failed.example",
            "fedramp-on gov.example",
            "begin-verification awaiting.example",
        ]
    );
    assert_eq!(actions(&plan(&["--enable", "--disable"])).len(), 6);

    let bare = plan(&[]);
    let step = &bare["steps"][0];
    for (key, value) in [
        ("account_id", json!(id(1))),
        ("connector_id", json!(connector_id(2))),
        ("rule", json!("unverified-domain")),
        ("severity", json!("high")),
        ("evidence", state(2, "failed.example", false, "failed")),
    ] {
        assert_eq!(step[key], value, "{key}");
    }
    let reasons: Vec<_> = bare["unmended"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| {
            format!(
                "{} {}",
                left["rule"].as_str().unwrap(),
                left["reason"].as_str().unwrap()
            )
        })
        .collect();
    for reason in [
        "enabled-unverified needs --disable",
        "disabled-connector needs --enable",
        "disabled-connector can be enabled once its domain is verified",
    ] {
        assert!(
            reasons.iter().any(|told| told.starts_with(reason)),
            "{reason} in {reasons:?}"
        );
    }
    assert_eq!(
        bare["records"],
        json!([
            {"name": "awaiting.example", "value": "code-1"},
            {"name": "failed.example", "value": "code-2"},
            {"name": "open.example", "value": "code-4"},
        ])
    );
}

#[test]
fn the_fedramp_text_follows_the_policy() {
    for (expected, actual, action) in [
        ("required", false, Some("fedramp-on gov.example")),
        ("required", true, None),
        ("forbidden", true, Some("fedramp-off gov.example")),
        ("forbidden", false, None),
        ("any", true, None),
    ] {
        let audited = Audited::new(vec![(
            id(1),
            vec![connector_with(
                1,
                "gov.example",
                json!({"use_fedramp_language": actual}),
            )],
        )]);
        let plan = audited
            .fix()
            .policy(&format!("[defaults]\nfedramp = \"{expected}\"\n"))
            .arg("--json")
            .run()
            .expect(0)
            .stdout_json();
        let planned: Vec<_> = action.into_iter().collect();
        assert_eq!(actions(&plan), planned, "{expected} {actual}");
    }
}

#[test]
fn people_get_the_plan_with_the_records_as_zone_file_and_csv() {
    let long = "x".repeat(300);
    let audited = Audited::new(vec![(
        id(1),
        vec![
            state(1, "Awaiting.Example.", false, "awaiting"),
            connector_with(
                2,
                "b.example",
                json!({"enabled": false, "verification": {"status": "failed", "code": "say \"yes\"\\\u{1b}é"}}),
            ),
            connector_with(
                3,
                "c.example",
                json!({"enabled": false, "verification": {"status": "failed", "code": long}}),
            ),
        ],
    )]);
    let text = audited.fix().run().expect(0).prints(&[
        "3 TXT records to publish first, as a zone file",
        "3 steps to carry out\n",
        "  high    begin-verification  b.example          connector ",
        "findings need manual action\n",
        "\nNothing was sent. To carry out the plan, add --apply.\n",
        "awaiting.example. 300 IN TXT \"code-1\"\n",
        "b.example. 300 IN TXT \"say \\\"yes\\\"\\\\\\027\\195\\169\"\n",
        &format!(
            "c.example. 300 IN TXT \"{}\" \"{}\"\n",
            "x".repeat(255),
            "x".repeat(45)
        ),
    ]);
    assert!(!text.stdout.contains('\u{1b}'));
    // What has to be published comes before the steps that need it, and once.
    assert_eq!(text.stdout.matches("\"code-1\"").count(), 1);
    assert!(text.stdout.find("code-1") < text.stdout.find("3 steps"));
    let csv = audited.fix().arg("--csv").run().expect(0).stdout;
    let found: Vec<_> = rows(csv.as_bytes(), b',')
        .into_iter()
        .map(|row| {
            (
                row["action"].clone(),
                row["connector_id"].clone(),
                row["txt_value"].clone(),
            )
        })
        .collect();
    assert_eq!(found.len(), 3);
    let awaiting = (
        "begin-verification".to_owned(),
        connector_id(1),
        "code-1".to_owned(),
    );
    assert!(found.contains(&awaiting), "{found:?}");
    assert!(!csv.contains('\u{1b}'));
    audited
        .fix()
        .args(["--csv", "--json"])
        .run()
        .expect(2)
        .says(&["--csv"]);
}

#[test]
fn each_connector_is_read_again_before_it_is_changed() {
    let audited = Audited::new(all_kinds());
    audited
        .fix()
        .policy(&policy())
        .args(["--apply", "--enable", "--disable"])
        .run()
        .expect(0)
        .prints(&[
            "done  disable open.example\n",
            "done  enable off.example\n",
            "done  fedramp-on gov.example\n",
            "6 done, 0 skipped, 0 failed; see ",
        ]);
    assert_eq!(
        audited.requests(),
        [
            "GET 004",
            "PATCH 004 {\"enabled\":false}",
            "GET 004",
            "POST 004/begin_verification",
            "GET 002",
            "POST 002/begin_verification",
            "GET 006",
            "PATCH 006 {\"use_fedramp_language\":true}",
            "GET 001",
            "POST 001/begin_verification",
            "GET 003",
            "PATCH 003 {\"enabled\":true}",
        ]
    );
    let log = audited.log();
    assert_eq!(log.len(), 12);
    for line in log.iter().step_by(2) {
        assert_eq!(line["result"], "sending");
    }
    for line in log.iter().skip(1).step_by(2) {
        assert_eq!(line["result"], "done");
        assert_eq!(line["http_status"], 200);
        assert!(line["cf_ray"].as_str().unwrap().ends_with("-SYD"));
        assert_eq!(line["at"], "2026-11-21T10:15:00Z");
    }
    assert_eq!(
        (&log[0]["action"], &log[0]["connector_id"]),
        (&json!("disable"), &json!(connector_id(4)))
    );
}

#[test]
fn twice_does_nothing_the_second_time() {
    let audited = Audited::new(all_kinds());
    let apply = || {
        audited
            .fix()
            .policy(&policy())
            .args(["--apply", "--enable", "--disable"])
            .run()
            .expect(0)
    };
    apply();
    assert_eq!(audited.changes(), 6);
    apply().prints(&["0 done, 6 skipped, 0 failed", "done before"]);
    assert_eq!(audited.changes(), 6);
    // Without the log, what the connectors are like now tells.
    fs::remove_file(audited.run.join("fix-log.jsonl")).unwrap();
    apply().prints(&["0 done, 6 skipped, 0 failed", "and is"]);
    assert_eq!(audited.changes(), 6);
}

#[test]
fn what_changed_meanwhile_is_left_alone_with_the_reason() {
    let audited = Audited::new(all_kinds());
    let of = |status: &str, code: &str| json!({"verification": {"status": status, "code": code}});
    let world = &audited.world;
    world.change(1, 1, of("verified", "code-1"));
    world.change(1, 2, of("failed", "another"));
    world.change(1, 3, json!({"email_domain": "else.example"}));
    world.change(
        1,
        4,
        json!({"use_fedramp_language": true, "enabled": false}),
    );
    world.change(2, 6, json!({"enabled": false}));
    audited
        .fix()
        .policy(&policy())
        .args(["--apply", "--enable", "--disable"])
        .run()
        .expect(0)
        .prints(&[
            "0 done, 6 skipped, 0 failed",
            "skipped  disable open.example: enabled was true and is now false; the FedRAMP text was false and is now true\n",
            "skipped  begin-verification open.example: enabled was true and is now false; the FedRAMP text was",
            "skipped  begin-verification failed.example: its verification code was code-2 and is now another\n",
            "skipped  begin-verification awaiting.example: its status was awaiting and is now verified\n",
            "skipped  enable off.example: its domain was off.example and is now else.example\n",
            "skipped  fedramp-on gov.example: enabled was true and is now false\n",
        ]);
    assert_eq!(audited.changes(), 0);
    assert_eq!(audited.log().len(), 6);
    assert!(
        audited.log()[0]["reason"]
            .as_str()
            .unwrap()
            .contains("enabled was true")
    );
}

#[test]
fn a_verified_connector_is_not_enabled_where_it_no_longer_is_verified() {
    let audited = Audited::new(vec![(
        id(1),
        vec![state(3, "off.example", false, "verified")],
    )]);
    audited
        .world
        .change(1, 3, json!({"verification": {"status": "failed"}}));
    audited
        .fix()
        .args(["--apply", "--enable"])
        .run()
        .expect(0)
        .prints(&["its status was verified and is now failed"]);
    assert_eq!(audited.changes(), 0);
}

/// So many connectors that wait to be verified.
fn waiting(count: usize) -> Vec<(String, Vec<Value>)> {
    let connectors = (1..=count)
        .map(|n| state(n, &format!("d{n}.example"), false, "awaiting"))
        .collect();
    vec![(id(1), connectors)]
}

#[test]
fn it_stops_after_three_failures_in_a_row() {
    let audited = Audited::new(waiting(9));
    let world = audited.world.clone();
    audited.server.now(move |request| {
        // The second and fourth go well; from the fifth on none does.
        let number = |n: usize| request.path.contains(&connector_id(n));
        if request.method == "GET" || number(2) || number(4) {
            world.answer(request)
        } else {
            failure(400, 12006, "not now")
        }
    });
    let outcome = audited.fix().arg("--apply").run().expect(1).says(&[
        "stopped after 3 failures in a row in an account",
        "with 2 steps left",
        "fix-log.jsonl",
    ]);
    outcome.prints(&[
        "failed  begin-verification d1.example: the API refused the request the request: 12006 not now\n",
    ]);
    let results: Vec<_> = audited
        .log()
        .iter()
        .map(|line| line["result"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        results,
        [
            "failed", "done", "failed", "done", "failed", "failed", "failed"
        ]
        .map(|result| ["sending", result])
        .as_flattened()
    );
    assert_eq!(audited.log()[1]["http_status"], 400);
    assert_eq!(audited.changes(), 7);
    // When the cause is fixed, the rest is done, and what was done is not done again.
    audited.server.now(audited.world.serve());
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["7 done, 2 skipped, 0 failed"]);
    assert_eq!(audited.changes(), 7);
}

#[test]
fn failures_that_do_not_stop_it_still_fail_the_command() {
    let audited = Audited::new(waiting(4));
    let world = audited.world.clone();
    audited.server.now(move |request| {
        if request.path.ends_with(&connector_id(2)) {
            return failure(400, 12003, "not now");
        }
        world.answer(request)
    });
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(1)
        .prints(&[
            "failed  begin-verification d2.example: it could not be read again: 12003 not now",
            "3 done, 0 skipped, 1 failed",
        ])
        .says(&["not every step was carried out", "run the command again"]);
}

#[test]
fn connectors_that_were_deleted_since_the_audit_stop_nothing() {
    let audited = Audited::new(waiting(6));
    let world = audited.world.clone();
    {
        let mut accounts = world.0.lock().unwrap();
        accounts.get_mut(&id(1)).unwrap().drain(..4);
    }
    // One more is deleted between the reading and the change.
    audited.server.now(move |request| {
        if request.method == "POST" && request.path.contains(&connector_id(5)) {
            return failure(404, 12003, "connector not found");
        }
        world.answer(request)
    });
    audited.fix().arg("--apply").run().expect(0).prints(&[
        "skipped  begin-verification d1.example: it is no longer there: 12003 connector not found\n",
        "skipped  begin-verification d5.example: it is no longer there: 12003 connector not found\n",
        "1 done, 5 skipped, 0 failed",
    ]);
}

#[test]
fn a_404_that_is_not_the_apis_own_is_a_failure() {
    let audited = Audited::new(waiting(1));
    audited
        .server
        .now(|_| answer(404, "<html>no such page</html>"));
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(1)
        .prints(&["0 done, 0 skipped, 1 failed"]);
}

#[test]
fn each_line_of_the_log_is_there_before_the_next_step_begins() {
    let audited = Audited::new(waiting(4));
    let (world, log) = (audited.world.clone(), audited.run.join("fix-log.jsonl"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    audited.server.now(move |request| {
        let lines = fs::read_to_string(&log).map_or(0, |text| text.matches('\n').count());
        noted.lock().unwrap().push(lines);
        world.answer(request)
    });
    audited.fix().arg("--apply").run().expect(0);
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn interrupted_and_applied_again_each_step_is_done_once() {
    for (signal, code) in [("TERM", Some(130)), ("INT", Some(130)), ("KILL", None)] {
        let audited = Audited::new(waiting(5));
        let world = audited.world.clone();
        // The third change is carried out, and its answer never comes.
        audited.server.now(move |request| {
            let reply = world.answer(request);
            if request.method == "POST" && request.path.contains(&connector_id(3)) {
                return Reply::Hang;
            }
            reply
        });
        let running = audited.fix().arg("--apply").spawn();
        wait_until("the third change is under way", || audited.changes() == 3);
        running.signal(signal);
        let outcome = running.wait();
        assert_eq!(outcome.code(), code, "{}", outcome.stderr);
        if code.is_some() {
            outcome.says(&["interrupted with 3 steps left", "run the command again"]);
        }
        // That it was sent is on the disk, whatever ended the program.
        let last = match code {
            Some(_) => ["sending", "unknown"].as_slice(),
            None => &["sending"],
        };
        let results: Vec<_> = audited.results();
        assert_eq!(results.len(), 4 + last.len());
        for (result, expected) in results[4..].iter().zip(last) {
            assert_eq!(*result, format!("{expected} begin-verification"));
        }
        audited.server.now(audited.world.serve());
        audited.fix().arg("--apply").run().expect(0).prints(&[
            "3 done, 2 skipped, 0 failed",
            "done  begin-verification d3.example: already so: an earlier attempt got no answer\n",
        ]);
        assert_eq!(audited.changes(), 2, "the two that were left");
        // What was found out is known from now on.
        audited
            .fix()
            .arg("--apply")
            .run()
            .expect(0)
            .prints(&["0 done, 5 skipped"]);
    }
}

#[test]
fn a_log_that_was_cut_off_is_gone_on_with() {
    let audited = Audited::new(waiting(2));
    audited.fix().arg("--apply").run().expect(0);
    let path = audited.run.join("fix-log.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 30]).unwrap();
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["1 done, 1 skipped", "already so"]);
    assert_eq!(audited.changes(), 2);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 6);
    let whole = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(
        whole.count(),
        5,
        "only the one that was cut off is not whole"
    );
}

#[test]
fn a_log_that_cannot_be_written_means_that_nothing_is_changed() {
    let audited = Audited::new(waiting(2));
    fs::create_dir(audited.run.join("fix-log.jsonl")).unwrap();
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(1)
        .says(&["fix-log.jsonl", "nothing more is changed without a log"]);
    assert_eq!(audited.changes(), 0);
}

#[test]
fn waived_findings_are_left_out() {
    let audited = Audited::new(waiting(2));
    let waiver = |expires: &str| {
        format!(
            "[[waivers]]\nrule = \"unverified-domain\"\naccount = \"*\"\ndomain = \"d1.example\"\nexpires = {expires}\n"
        )
    };
    for (expires, planned) in [
        ("2026-11-21", &["begin-verification d2.example"][..]),
        (
            "2026-11-20",
            &[
                "begin-verification d1.example",
                "begin-verification d2.example",
            ],
        ),
    ] {
        let plan = audited
            .fix()
            .policy(&waiver(expires))
            .arg("--json")
            .run()
            .expect(0);
        assert_eq!(actions(&plan.stdout_json()), planned, "{expires}");
    }
}

#[test]
fn the_policy_that_the_run_was_judged_by_is_not_forgotten() {
    let mut audited = Audited::new(waiting(1));
    let mut judged = |policy: &str| {
        let place = audited.dir.path().join("judged");
        program_in(&audited.dir, "render")
            .arg(&audited.run)
            .policy(policy)
            .arg("-o")
            .arg(&place)
            .run()
            .expect(0);
        audited.run = place;
    };
    judged("[thresholds]\npending_days = 3\n");
    audited.fix().run().expect(2).says(&[
        "used the policy",
        "but none was given",
        "hint: ",
        "--policy",
    ]);
    audited
        .fix()
        .policy("[thresholds]\npending_days = 3\n")
        .run()
        .expect(0);
    audited
        .fix()
        .policy("[thresholds]\npending_days = 4\n")
        .run()
        .expect(0)
        .says(&["used another policy"]);
}

#[test]
fn another_api_than_the_audits_is_refused() {
    let audited = Audited::new(waiting(1));
    let other = Server::start(audited.world.serve());
    audited
        .fix()
        .at(&other)
        .arg("--apply")
        .run()
        .expect(2)
        .says(&[&audited.server.base_url(), &other.base_url(), "--base-url"]);
    assert_eq!(other.requests().len(), 0);
    assert_eq!(audited.requests(), [""; 0]);
}

#[test]
fn each_account_is_fixed_with_its_own_token() {
    let world = World::of(vec![
        (id(1), vec![state(1, "a.example", false, "awaiting")]),
        (id(2), vec![state(2, "b.example", false, "awaiting")]),
    ]);
    let server = Server::start(world.serve());
    let dir = shared_dir();
    let tokens = |program: Program| {
        program
            .without_env("CLOUDFLARE_API_TOKEN")
            .env("TOKEN_A", "cfut_aaa")
            .env("TOKEN_B", "cfut_bbb")
    };
    let run = tokens(audit_in(&dir, &server))
        .accounts_file(
            "accounts.csv",
            format!(
                "account_id,token_env\n{},TOKEN_A\n{},TOKEN_B\n",
                id(1),
                id(2)
            ),
        )
        .run()
        .expect(0)
        .run_dir();
    let fix = || program_in(&dir, "fix").at(&server).arg(&run).arg("--apply");
    server.now(world.serve());
    // One that is missing is told before anything is asked.
    tokens(fix())
        .without_env("TOKEN_B")
        .run()
        .expect(2)
        .says(&["TOKEN_B"]);
    assert_eq!(server.requests().len(), 0);
    tokens(fix()).run().expect(0);
    let used: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(
        used,
        [
            "Bearer cfut_aaa",
            "Bearer cfut_aaa",
            "Bearer cfut_bbb",
            "Bearer cfut_bbb"
        ]
    );
}

#[test]
fn a_plan_that_is_carried_out_can_still_be_read_by_a_program() {
    let audited = Audited::new(waiting(2));
    let json = audited.fix().args(["--apply", "--json"]).run().expect(0);
    assert_eq!(actions(&json.stdout_json()).len(), 2);
    assert!(
        json.stderr.contains("2 done, 0 skipped, 0 failed"),
        "{}",
        json.stderr
    );
    let audited = Audited::new(waiting(2));
    let csv = audited.fix().args(["--apply", "--csv"]).run().expect(0);
    assert_eq!(rows(csv.stdout.as_bytes(), b',').len(), 2);
}

#[test]
fn what_the_api_says_does_nothing_to_a_terminal() {
    let audited = Audited::new(vec![(
        id(1),
        vec![
            state(1, "a\u{1b}[31m.example", false, "awaiting"),
            state(2, "b.example", false, "awaiting"),
        ],
    )]);
    let world = audited.world.clone();
    audited.server.now(move |request| {
        if request.method == "POST" && request.path.contains(&connector_id(2)) {
            return failure(400, 12006, "not\u{1b}[2J now");
        }
        world.answer(request)
    });
    let outcome = audited.fix().arg("--apply").run().expect(1);
    assert!(!outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'));
    outcome.prints(&["1 done, 0 skipped, 1 failed"]);
}

#[test]
fn nothing_to_fix_is_said_and_damaged_evidence_refused() {
    let audited = Audited::new(vec![(id(1), vec![connector(1, "a.example")])]);
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["0 steps to carry out"]);
    assert_eq!(audited.requests(), [""; 0]);
    fs::write(audited.run.join("evidence.jsonl"), "nonsense\n").unwrap();
    audited
        .fix()
        .run()
        .expect(2)
        .says(&["evidence.jsonl line 1", "hint: "]);
}

#[test]
fn it_is_paced_as_the_audit() {
    let audited = Audited::new(waiting(3));
    audited
        .fix()
        .args(["--apply", "--rate", "2/150ms"])
        .run()
        .expect(0);
    let at: Vec<_> = audited.server.requests().iter().map(|r| r.at).collect();
    assert_eq!(at.len(), 6);
    for (earlier, later) in at.iter().zip(&at[2..]) {
        let apart = *later - *earlier;
        assert!(apart.as_millis() >= 149, "a third request after {apart:?}");
    }
}

#[test]
fn throttling_pauses_it_and_each_change_is_done_once() {
    let audited = Audited::new(waiting(4));
    let world = audited.world.clone();
    audited.server.now(move |request| {
        if request.earlier == 0 && request.method == "POST" {
            return throttled().with("retry-after", "0");
        }
        world.answer(request)
    });
    audited
        .fix()
        .args(["--apply", "--rate", "100/50ms"])
        .run()
        .expect(0)
        .prints(&["4 done, 0 skipped, 0 failed"]);
    assert_eq!(
        audited.results(),
        [["sending begin-verification", "done begin-verification"]; 4].as_flattened()
    );
    assert_eq!(audited.changes(), 8, "each was throttled once");
}

#[test]
fn what_a_person_must_decide_is_never_a_step() {
    let audited = Audited::new(vec![
        (
            id(1),
            vec![
                state(1, "shared.example", false, "verified"),
                state(2, "evil.example", false, "verified"),
                state(3, "good.example", false, "verified"),
            ],
        ),
        (id(2), vec![state(4, "Shared.example.", true, "failed")]),
    ]);
    let policy = format!(
        "[[accounts]]\nid = \"{}\"\nallow_domains = [\"shared.example\", \"good.example\"]\n",
        id(1)
    );
    let fix = || {
        audited
            .fix()
            .policy(&policy)
            .args(["--enable", "--disable"])
    };
    let plan = fix().arg("--json").run().expect(0).stdout_json();
    assert_eq!(
        actions(&plan),
        ["disable Shared.example.", "enable good.example"]
    );
    fix().run().expect(0).prints(&[
        "first decide about the connector itself: see unexpected-domain\n",
        "first decide about the connector itself: see duplicate-domain\n",
    ]);
    fix().arg("--apply").run().expect(0);
    assert_eq!(
        audited.requests(),
        [
            "GET 004",
            "PATCH 004 {\"enabled\":false}",
            "GET 003",
            "PATCH 003 {\"enabled\":true}"
        ]
    );
}

#[test]
fn a_connector_whose_id_the_api_could_not_take_is_not_planned() {
    let audited = Audited::new(vec![(
        id(1),
        vec![
            connector_with(
                1,
                "short.example",
                json!({"id": "023e105f4ecef8ad9ca31a8372d0c35", "enabled": false, "verification": {"status": "failed", "code": "x"}}),
            ),
            state(2, "b.example", false, "failed"),
        ],
    )]);
    audited.fix().arg("--apply").run().expect(0).prints(&[
        "  short.example  ac",
        "its ID has 31 characters, but the API takes IDs of 32: change it in the dashboard\n",
        "1 done, 0 skipped, 0 failed",
    ]);
}

#[test]
fn a_change_whose_answer_is_lost_is_unknown_until_the_next_run_looks() {
    for (is_received, reply) in [
        (true, Reply::Close),
        (true, success(json!({})).cut_off()),
        (true, answer(502, "<html>")),
        (true, answer(200, "<html>")),
        (true, Reply::Hang),
        (false, Reply::Close),
    ] {
        let audited = Audited::new(vec![(
            id(1),
            vec![
                state(1, "a.example", true, "failed"),
                state(2, "b.example", false, "failed"),
            ],
        )]);
        let world = audited.world.clone();
        let lost = reply.clone();
        audited.server.now(move |request| {
            if request.method == "PATCH" {
                if is_received {
                    world.answer(request);
                }
                return lost.clone();
            }
            world.answer(request)
        });
        let fix = || audited.fix().args(["--apply", "--disable"]);
        fix()
            .args(["--timeout", "300ms"])
            .run()
            .expect(1)
            .prints(&[
                "unknown  disable a.example: it may have been done: ",
                ", 0 skipped, 0 failed, 1 unknown; see",
            ])
            .says(&["run the command again"]);
        assert_eq!(
            audited.results()[..2],
            ["sending disable", "unknown disable"],
            "{reply:?}"
        );
        audited.server.now(audited.world.serve());
        let again = fix().run().expect(0);
        let changed = audited.requests().iter().any(|r| r.starts_with("PATCH"));
        assert_eq!(changed, !is_received, "{reply:?}");
        let said = match is_received {
            true => "done  disable a.example: already so: an earlier attempt got no answer\n",
            false => "done  disable a.example\n",
        };
        again.prints(&[said]);
        let mut concluded = audited
            .log()
            .into_iter()
            .filter(|line| line["action"] == "disable");
        assert_eq!(concluded.next_back().unwrap()["result"], "done");
        // In either case the connector's other step was not held up.
        assert_eq!(
            audited.world.0.lock().unwrap()[&id(1)][0]["verification"]["status"],
            "pending"
        );
    }
}

#[test]
fn an_id_that_two_accounts_have_is_two_connectors() {
    let audited = Audited::new(vec![
        (id(1), vec![state(1, "a.example", false, "failed")]),
        (id(2), vec![state(1, "b.example", false, "failed")]),
    ]);
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["2 done, 0 skipped, 0 failed"]);
    assert_eq!(audited.changes(), 2);
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["0 done, 2 skipped, 0 failed"]);
}

#[test]
fn several_steps_on_one_connector_do_not_block_each_other() {
    let gov = || {
        connector_with(
            1,
            "gov.example",
            json!({"enabled": true, "use_fedramp_language": false, "verification": {"status": "failed", "code": "x"}}),
        )
    };
    let required = "[defaults]\nfedramp = \"required\"\n";
    let audited = Audited::new(vec![(id(1), vec![gov()])]);
    audited
        .fix()
        .policy(required)
        .args(["--apply", "--disable"])
        .run()
        .expect(0)
        .prints(&["3 done, 0 skipped, 0 failed"]);
    // Nor where the first was carried out by an earlier call, with a flag that is not given any more.
    let audited = Audited::new(vec![(id(1), vec![gov()])]);
    let world = audited.world.clone();
    audited
        .server
        .now(move |request| match request.method.as_str() {
            "POST" => failure(400, 12006, "not now"),
            _ => world.answer(request),
        });
    let fix = || audited.fix().policy(required).arg("--apply");
    fix()
        .arg("--disable")
        .run()
        .expect(1)
        .prints(&["2 done, 0 skipped, 1 failed"]);
    audited.server.now(audited.world.serve());
    fix()
        .run()
        .expect(0)
        .prints(&["1 done, 1 skipped, 0 failed", "done  begin-verification"]);
    // But what nobody of ours changed is still in the way.
    let audited = Audited::new(vec![(id(1), vec![gov()])]);
    audited.world.change(1, 1, json!({"enabled": false}));
    audited
        .fix()
        .policy(required)
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["0 done, 2 skipped, 0 failed"]);
}

#[test]
fn a_domain_forges_neither_a_record_nor_a_line_nor_a_formula() {
    let audited = Audited::new(vec![(
        id(1),
        vec![
            state(
                1,
                "x.example\nvictim.example. 300 IN A 6.6.6.6\n",
                false,
                "failed",
            ),
            state(2, "=HYPERLINK(\"http://x\")", false, "failed"),
            connector_with(
                3,
                "c.example",
                json!({"enabled": false, "verification": {"status": "failed", "code": "=1+1"}}),
            ),
        ],
    )]);
    let text = audited.fix().run().expect(0).stdout;
    assert!(
        !text.lines().any(|line| line.starts_with("victim.example")),
        "{text}"
    );
    assert!(
        text.contains("; left out: \"x.example\\nvictim.example. 300 in a 6.6.6.6"),
        "{text}"
    );
    assert!(
        text.contains("\nc.example. 300 IN TXT \"=1+1\"\n"),
        "{text}"
    );
    let csv = audited.fix().arg("--csv").run().expect(0).stdout;
    let cells: Vec<_> = rows(csv.as_bytes(), b',')
        .into_iter()
        .flat_map(|row| row.into_values())
        .collect();
    assert!(!cells.iter().any(|cell| cell.starts_with('=')), "{cells:?}");
    assert!(cells.contains(&"'=1+1".to_owned()));
}

#[test]
fn accounts_are_named_and_the_critical_comes_first() {
    let world = World::of(vec![
        (id(1), vec![state(1, "a.example", false, "awaiting")]),
        (id(2), vec![state(2, "b.example", true, "failed")]),
    ]);
    let server = Server::start(world.serve());
    let dir = shared_dir();
    let run = audit_in(&dir, &server)
        .accounts_file(
            "accounts.csv",
            format!("account_id,account_name\n{},Acme\n{},Best\n", id(1), id(2)),
        )
        .run()
        .expect(0)
        .run_dir();
    let text = program_in(&dir, "fix")
        .arg(&run)
        .arg("--disable")
        .run()
        .expect(0)
        .stdout;
    let steps: Vec<_> = text
        .lines()
        .skip_while(|line| !line.ends_with("steps to carry out"))
        .skip(1)
        .take(3)
        .collect();
    let line =
        |severity: &str, action: &str, domain: &str, number: usize, name: &str, rule: &str| {
            format!(
                "  {severity:8}  {action:18}  {domain}  connector {}  {name} ({})  {rule}",
                connector_id(number),
                id(number)
            )
        };
    let unverified = "unverified-domain";
    assert_eq!(
        steps,
        [
            line(
                "critical",
                "disable",
                "b.example",
                2,
                "Best",
                "enabled-unverified"
            ),
            line(
                "high",
                "begin-verification",
                "b.example",
                2,
                "Best",
                unverified
            ),
            line(
                "medium",
                "begin-verification",
                "a.example",
                1,
                "Acme",
                unverified
            ),
        ]
    );
}

#[test]
fn a_refused_change_says_which_permission_it_needs() {
    for (code, message) in [
        (9109, "Unauthorized to access requested resource"),
        (10000, "Authentication error"),
    ] {
        let audited = Audited::new(waiting(1));
        let world = audited.world.clone();
        audited
            .server
            .now(move |request| match request.method.as_str() {
                "GET" => world.answer(request),
                _ => failure(403, code, message),
            });
        let outcome = audited
            .fix()
            .arg("--apply")
            .run()
            .expect(1)
            .says(&["SSO Connector Write (labelled Edit in the dashboard)"]);
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!text.contains("SSO Connector Read"), "{text}");
        }
        // Where reading is refused, reading is what is missing.
        audited.server.now(move |_| failure(403, code, message));
        let outcome = audited
            .fix()
            .arg("--apply")
            .run()
            .expect(1)
            .says(&["SSO Connector Read"]);
        assert!(!outcome.stderr.contains("SSO Connector Write"));
    }
}

#[test]
fn two_at_once_send_each_change_once() {
    let audited = Audited::new(waiting(3));
    let world = audited.world.clone();
    let gate = Gate::default();
    let at_the_gate = gate.clone();
    audited.server.now(move |request| {
        if request.method == "POST" {
            at_the_gate.wait();
        }
        world.answer(request)
    });
    let first = audited.fix().arg("--apply").spawn();
    wait_until("the first change is under way", || audited.changes() == 1);
    let asked = audited.server.requests().len();
    audited.fix().arg("--apply").run().expect(1).says(&[
        "another `fix --apply` is working on this run",
        "fix-log.jsonl",
        "hint: wait until it has finished",
    ]);
    assert_eq!(audited.server.requests().len(), asked, "it asked nothing");
    // A plan alone can still be looked at.
    audited.fix().run().expect(0);
    gate.open();
    first.wait().expect(0).prints(&["3 done, 0 skipped"]);
    assert_eq!(audited.changes(), 3);
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(0)
        .prints(&["0 done, 3 skipped"]);
}

#[cfg(unix)]
#[test]
fn who_may_read_the_evidence_may_read_the_log() {
    use std::os::unix::fs::PermissionsExt;
    for mode in [0o600, 0o640, 0o644] {
        let audited = Audited::new(waiting(1));
        let of = |name: &str| audited.run.join(name);
        fs::set_permissions(of("evidence.jsonl"), fs::Permissions::from_mode(mode)).unwrap();
        audited.fix().arg("--apply").run().expect(0);
        let log = fs::metadata(of("fix-log.jsonl")).unwrap();
        assert_eq!(log.permissions().mode() & 0o777, mode);
    }
}

#[test]
fn nothing_is_changed_on_evidence_that_is_not_what_the_run_wrote() {
    let shared = |number| {
        (
            id(number),
            vec![state(number, "dup.example", false, "verified")],
        )
    };
    let audited = Audited::new(vec![shared(1), shared(2)]);
    // As written, the plan leaves the shared domain to a person.
    let plan = || audited.fix().args(["--enable", "--json"]);
    assert!(actions(&plan().run().expect(0).stdout_json()).is_empty());
    let evidence = audited.run.join("evidence.jsonl");
    let whole = fs::read_to_string(&evidence).unwrap();
    let mut lines = whole.lines();
    let kept: Vec<_> = lines.by_ref().take(2).collect();
    fs::write(&evidence, kept.join("\n") + "\n").unwrap();
    for apply in [false, true] {
        let fix = audited.fix().args(["--enable"]);
        let fix = if apply { fix.arg("--apply") } else { fix };
        fix.run().expect(2).says(&[
            "the evidence cannot be trusted",
            "nothing was written or changed",
        ]);
    }
    // Nor where nothing says what the run wrote.
    fs::write(&evidence, whole).unwrap();
    fs::remove_file(audited.run.join("SHA256SUMS")).unwrap();
    audited
        .fix()
        .arg("--apply")
        .run()
        .expect(2)
        .says(&["has no SHA256SUMS"]);
    // Nor for a run that is not complete.
    let partial = audited.run.with_extension("partial");
    fs::rename(&audited.run, &partial).unwrap();
    program_in(&audited.dir, "fix")
        .at(&audited.server)
        .arg(&partial)
        .arg("--apply")
        .run()
        .expect(2)
        .says(&["is not complete", "audit --resume"]);
    assert_eq!(audited.changes(), 0);
}

#[test]
fn enabling_needs_a_run_that_read_every_account() {
    let world = World::of(vec![(
        id(1),
        vec![state(1, "off.example", false, "verified")],
    )]);
    let server = Server::start(world.serve());
    let dir = shared_dir();
    // The second may hold the domain too.
    let outcome = audit_in(&dir, &server).args(ids(2)).run().expect(3);
    program_in(&dir, "fix")
        .at(&server)
        .arg(outcome.run_dir())
        .arg("--enable")
        .run()
        .expect(0)
        .prints(&[
            "0 steps",
            "can only be enabled from a run that read every account",
        ]);
}

#[test]
fn a_change_is_done_only_where_the_connector_shows_it() {
    let fedramp = |on: bool| connector_with(6, "gov.example", json!({"use_fedramp_language": on}));
    for (patched, then, result) in [
        // It succeeded, the answer says, and shows the old value.
        (success(fedramp(false)), fedramp(false), "failed"),
        // It shows another connector.
        (
            success(connector(9, "other.example")),
            fedramp(false),
            "failed",
        ),
        // The answer does not show the connector: it is looked at.
        (success(json!([])), fedramp(true), "done"),
        (success(json!([])), fedramp(false), "failed"),
        // The answer does not even say that it succeeded.
        (answer(200, "{}"), fedramp(false), "unknown"),
        (
            answer(200, json!({"result": fedramp(true)}).to_string()),
            fedramp(true),
            "unknown",
        ),
    ] {
        let audited = Audited::new(vec![(id(2), vec![fedramp(false)])]);
        let is_patched = Arc::new(AtomicBool::new(false));
        let shown = patched.clone();
        audited.server.now(move |request| {
            if request.method == "PATCH" {
                is_patched.store(true, Ordering::SeqCst);
                return shown.clone();
            }
            success(match is_patched.load(Ordering::SeqCst) {
                true => then.clone(),
                false => fedramp(false),
            })
        });
        let code = if result == "done" { 0 } else { 1 };
        audited
            .fix()
            .arg("--apply")
            .policy(&policy())
            .run()
            .expect(code);
        let log = audited.log();
        assert_eq!(log.last().unwrap()["result"], result, "{patched:?}");
    }
}

#[test]
fn an_account_that_refuses_holds_up_no_other() {
    let waiting = |account: usize| {
        let connectors = (1..=4).map(|n| {
            let number = account * 10 + n;
            state(number, &format!("d{number}.example"), false, "awaiting")
        });
        (id(account), connectors.collect())
    };
    let audited = Audited::new(vec![waiting(1), waiting(2)]);
    let world = audited.world.clone();
    audited.server.now(move |request| {
        if request.path.contains(&id(1)) && request.method != "GET" {
            return forbidden();
        }
        world.answer(request)
    });
    audited.fix().arg("--apply").run().expect(1).says(&[
        "stopped after 3 failures in a row in an account",
        "with 1 step left: 4 done, 0 skipped, 3 failed, 1 left out",
    ]);
}
