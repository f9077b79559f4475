//! Compared with last time: which run is the baseline, what changed since, what is carried along, and `diff`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::*;

/// The changes as `changes.csv` has them, each in a line: kind, account's number, domain, what, from, to.
fn changes(outcome: &Outcome) -> Vec<String> {
    let rows = rows_of_both(&outcome.run_dir(), "changes.csv", "changes");
    rows.iter().map(line).collect()
}

fn line(row: &Row) -> String {
    let number = account_number(row);
    format!(
        "{} {number} {} {} [{}] [{}]",
        row["kind"], row["email_domain"], row["what"], row["from"], row["to"]
    )
}

fn ages(outcome: &Outcome) -> Vec<(String, String)> {
    outcome
        .csv("findings.csv")
        .into_iter()
        .map(|row| (row["change"].clone(), row["first_seen_utc"].clone()))
        .collect()
}

fn baseline(outcome: &Outcome) -> Value {
    outcome.json()["run"]["baseline"].clone()
}

fn said(change: &str, at: &str) -> (String, String) {
    (change.to_owned(), at.to_owned())
}

/// What a change is called in both directions: two states of the accounts, and the changes there and back.
struct Case {
    name: &'static str,
    before: Accounts,
    after: Accounts,
    there: &'static [&'static str],
    back: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    let one = |connectors: Value| vec![(id(1), connectors)];
    let changed = |fields: Value| {
        (
            one(json!([connector(1, "a.example")])),
            one(json!([connector_with(1, "a.example", fields)])),
        )
    };
    let case = |name, (before, after): (Accounts, Accounts), there, back| Case {
        name,
        before,
        after,
        there,
        back,
    };
    vec![
        case(
            "nothing",
            (
                one(json!([disabled(1, "a.example")])),
                one(json!([disabled(1, "a.example")])),
            ),
            &[],
            &[],
        ),
        case(
            "a connector more, with a finding",
            (
                one(json!([connector(1, "a.example")])),
                one(json!([connector(1, "a.example"), disabled(2, "b.example")])),
            ),
            &[
                "finding-new 1 b.example disabled-connector [] [medium]",
                "connector-added 1 b.example connector [] [verified]",
            ],
            &[
                "finding-resolved 1 b.example disabled-connector [medium] []",
                "connector-removed 1 b.example connector [verified] []",
            ],
        ),
        case(
            "a connector recreated",
            (
                one(json!([connector(1, "a.example")])),
                one(json!([connector_with(
                    2,
                    "A.Example.",
                    json!({"verification": {"status": "verified", "code": "cloudflare_dashboard_sso=c0000000000000000000000000000001"}})
                )])),
            ),
            &[
                "connector-changed 1 A.Example. email_domain [a.example] [A.Example.]",
                "connector-recreated 1 A.Example. id [c0000000000000000000000000000001] [c0000000000000000000000000000002]",
            ],
            &[
                "connector-changed 1 a.example email_domain [A.Example.] [a.example]",
                "connector-recreated 1 a.example id [c0000000000000000000000000000002] [c0000000000000000000000000000001]",
            ],
        ),
        case(
            "the setting",
            changed(json!({"enabled": false})),
            &[
                "connector-changed 1 a.example enabled [true] [false]",
                "finding-new 1 a.example disabled-connector [] [medium]",
            ],
            &[
                "connector-changed 1 a.example enabled [false] [true]",
                "finding-resolved 1 a.example disabled-connector [medium] []",
            ],
        ),
        case(
            "the status and the code",
            changed(json!({"enabled": true, "verification": {"status": "failed", "code": "new"}})),
            &[
                "connector-changed 1 a.example verification_code [cloudflare_dashboard_sso=c0000000000000000000000000000001] [new]",
                "connector-changed 1 a.example verification_status [verified] [failed]",
                "finding-new 1 a.example enabled-unverified [] [critical]",
                "finding-new 1 a.example unverified-domain [] [high]",
            ],
            &[
                "connector-changed 1 a.example verification_code [new] [cloudflare_dashboard_sso=c0000000000000000000000000000001]",
                "connector-changed 1 a.example verification_status [failed] [verified]",
                "finding-resolved 1 a.example enabled-unverified [critical] []",
                "finding-resolved 1 a.example unverified-domain [high] []",
            ],
        ),
        case(
            "the FedRAMP text",
            changed(json!({"use_fedramp_language": true})),
            &["connector-changed 1 a.example use_fedramp_language [false] [true]"],
            &["connector-changed 1 a.example use_fedramp_language [true] [false]"],
        ),
        case(
            "the domain",
            changed(json!({"email_domain": "b.example"})),
            &["connector-changed 1 b.example email_domain [a.example] [b.example]"],
            &["connector-changed 1 a.example email_domain [b.example] [a.example]"],
        ),
        case(
            "an account more",
            (
                one(json!([connector(1, "a.example")])),
                vec![
                    (id(1), json!([connector(1, "a.example")])),
                    (id(2), json!([disabled(2, "b.example")])),
                ],
            ),
            &[
                "account-added 2  outcome [] [read]",
                "finding-new 2 b.example disabled-connector [] [medium]",
            ],
            &["account-removed 2  outcome [read] []"],
        ),
        case(
            "an account that is not read",
            (one(json!([disabled(1, "a.example")])), one(Value::Null)),
            &[
                "account-unread 1  outcome [read] [unread]",
                "finding-new 1  unread-account [] [high]",
            ],
            &[
                "account-read 1  outcome [unread] [read]",
                "finding-resolved 1  unread-account [high] []",
            ],
        ),
        case(
            "an account that is read in part",
            (
                one(json!([disabled(1, "a.example"), disabled(2, "b.example")])),
                one(json!({"part": [disabled(1, "a.example"), disabled(3, "c.example")]})),
            ),
            &[
                "account-unread 1  outcome [read] [incomplete]",
                "finding-new 1  unread-account [] [high]",
                "finding-new 1 c.example disabled-connector [] [medium]",
            ],
            &[
                "account-read 1  outcome [incomplete] [read]",
                "finding-resolved 1  unread-account [high] []",
                "finding-resolved 1 c.example disabled-connector [medium] []",
            ],
        ),
        case(
            "an account that is read in part and then not at all",
            (
                one(json!({"part": [disabled(1, "a.example")]})),
                one(Value::Null),
            ),
            &[],
            &[],
        ),
        case(
            "an account that is read in neither",
            (one(Value::Null), one(Value::Null)),
            &[],
            &[],
        ),
    ]
}

fn code(accounts: &Accounts) -> i32 {
    if accounts.iter().any(|(_, list)| !list.is_array()) {
        3
    } else {
        0
    }
}

#[test]
fn every_kind_of_change_is_told_both_ways() {
    let mut seen = BTreeSet::new();
    for case in cases() {
        let history = Nights::new();
        let run = |day, accounts: &Accounts| {
            let program = history.day(day, accounts.clone());
            program.run().expect(code(accounts))
        };
        let first = run(0, &case.before);
        assert_eq!(baseline(&first), Value::Null);
        assert_eq!(first.csv("changes.csv").len(), 0);
        let there = run(1, &case.after);
        let back = run(2, &case.before);
        let sorted = |outcome: &Outcome| {
            let mut lines = changes(outcome);
            lines.sort();
            lines
        };
        let expected = |lines: &[&str]| {
            let mut lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&there), expected(case.there), "{}", case.name);
        assert_eq!(sorted(&back), expected(case.back), "{}: back", case.name);
        for row in there
            .csv("changes.csv")
            .iter()
            .chain(&back.csv("changes.csv"))
        {
            seen.insert(row["kind"].clone());
        }

        // `diff` says the same of the same two runs, and its way back is the way of the third.
        for (old, new, changed) in [
            (&first, &there, &there),
            (&there, &back, &back),
            (&there, &first, &back),
        ] {
            let (code, lines) = diff_lines(&old.run_dir(), &new.run_dir());
            assert_eq!(lines, sorted(changed), "{}: diff", case.name);
            assert_eq!(code, if lines.is_empty() { 0 } else { 10 }, "{}", case.name);
        }
        for run in [&first, &there] {
            assert_eq!(diff_lines(&run.run_dir(), &run.run_dir()), (0, Vec::new()));
        }
    }
    // What only a policy or the clock brings about is tried elsewhere.
    seen.extend(["finding-reopened", "finding-waived"].map(str::to_owned));
    let all: BTreeSet<_> = cf_sso_audit::compare::ChangeKind::ALL
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect();
    assert_eq!(seen, all, "every kind has a case");
}

fn diff_lines(old: &Path, new: &Path) -> (i32, Vec<String>) {
    let outcome = program("diff").arg(old).arg(new).arg("--json").run();
    let json = outcome.stdout_json();
    assert_eq!(json["schema"], "cf-sso-audit/diff/v1");
    let rows: Vec<Row> = serde_json::from_value(json["changes"].clone()).unwrap();
    let counted: u64 = json["counts"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted as usize, rows.len());
    let mut lines: Vec<_> = rows.iter().map(line).collect();
    lines.sort();
    (outcome.code().unwrap(), lines)
}

#[test]
fn diff_tells_people_what_changed() {
    let history = Nights::new();
    let first = history
        .day(
            0,
            vec![
                (id(1), json!([connector(1, "a.example")])),
                (id(2), json!([connector(2, "b.example")])),
            ],
        )
        .run()
        .expect(0);
    let second = history
        .day(
            1,
            vec![
                (id(1), json!([disabled(1, "a.example")])),
                (id(2), Value::Null),
            ],
        )
        .run()
        .expect(3);
    let (old, new) = (first.run_dir(), second.run_dir());
    let both = |old: &Path, new: &Path| program("diff").arg(old).arg(new);
    let text = both(&old, &new).run().expect(10).prints(&[
        "From 20261121T101500Z to 20261122T101500Z: 1 account compared, 1 not compared (not read in full since 20261121T101500Z, or never before it)",
        "  2 new findings",
        "  1 connector field changed",
        "  1 account that became unread or incomplete",
        &id(1),
        "a.example  enabled: true -> false",
        "outcome: read -> unread",
    ]);
    assert!(!text.stdout.contains('\u{1b}'));
    both(&old, &old).run().expect(0).prints(&["No changes."]);
    // What has to be known beside it: which of the two is the later, and what was judged by what.
    both(&new, &old)
        .run()
        .expect(10)
        .prints(&["20261122T101500Z started after 20261121T101500Z"]);
    let off = history
        .day(
            2,
            vec![
                (id(1), json!([disabled(1, "a.example")])),
                (id(2), Value::Null),
            ],
        )
        .policy("[rules.disabled-connector]\nseverity = \"off\"\n")
        .run()
        .expect(3);
    both(&new, &off.run_dir()).run().expect(0).prints(&[
        "The two runs used different policies.",
        "1 known finding could not be judged by 20261123T101500Z",
        "No changes.",
    ]);
    let other = audit(&Server::of(Vec::new())).arg(id(1)).run().expect(3);
    both(&old, &other.run_dir())
        .run()
        .expect(2)
        .says(&["asked http://127.0.0.1:", "two runs of the same API"]);
    // `latest` is a run too, and neither token nor address is needed.
    let latest = first.reports().join("latest");
    both(&old, &latest).run().expect(10);
    for (old, new) in [(&old, &first.reports()), (&first.reports(), &new)] {
        both(old, new)
            .run()
            .expect(2)
            .says(&["a run cannot be read", "ledger.jsonl", "hint: "]);
    }
}

#[test]
fn a_hostile_name_in_a_diff_does_nothing_to_a_terminal() {
    let dir = shared_dir();
    let server = Server::of(Vec::new());
    let run = |moment: &str, enabled: bool| {
        let mut one = connector(1, "a.\u{202e}example\u{200b}");
        one["enabled"] = enabled.into();
        server.now(move |_| success(json!([one])));
        audit_in(&dir, &server)
            .env("SOURCE_DATE_EPOCH", epoch(moment))
            .args(["--baseline", "none"])
            .accounts_file(
                "accounts.csv",
                format!("account_id,account_name\n{},evil\u{1b}[2J\n", id(1)),
            )
            .run()
            .expect(0)
            .run_dir()
    };
    let (old, new) = (
        run("2026-11-21T10:15:00Z", true),
        run("2026-11-22T10:15:00Z", false),
    );
    let text = program("diff").arg(&old).arg(&new).run().expect(10).stdout;
    assert!(text.contains("evil\u{fffd}[2J"), "{text}");
    assert!(
        text.contains("a.\u{fffd}example\u{fffd}  enabled"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_baseline_is_the_newest_complete_run_of_the_same_api() {
    let history = Nights::new();
    let accounts = || vec![(id(1), json!([disabled(1, "a.example")]))];
    let run = |day| history.day(day, accounts()).run().expect(0);
    assert_eq!(baseline(&run(0)), Value::Null);
    assert_eq!(baseline(&run(1)), "20261121T101500Z");
    // A run that is incomplete, another API's and a stranger's folder are no baselines.
    let reports = history.dir.path().join("reports");
    let copy = |name: &str| {
        fs::create_dir(reports.join(name)).unwrap();
        for file in ["evidence.jsonl", "ledger.jsonl", "SHA256SUMS"] {
            fs::copy(
                reports.join("20261122T101500Z").join(file),
                reports.join(name).join(file),
            )
            .unwrap();
        }
    };
    copy("20261123T101500Z.partial");
    copy("zzz");
    let other = Server::of(accounts());
    let elsewhere = audit_in(&history.dir, &other)
        .on_day(3)
        .arg(id(1))
        .run()
        .expect(0);
    assert_eq!(baseline(&elsewhere), Value::Null);
    assert_eq!(baseline(&run(4)), "20261122T101500Z");
    // Asked for, any run will do; or none.
    let asked = history
        .day(5, accounts())
        .args(["--baseline", "reports/20261121T101500Z"])
        .run()
        .expect(0);
    assert_eq!(baseline(&asked), "20261121T101500Z");
    let none = history
        .day(6, accounts())
        .args(["--baseline", "none"])
        .run()
        .expect(0);
    assert_eq!(baseline(&none), Value::Null);
    // Even then it is not forgotten since when a finding is known.
    assert_eq!(ages(&none), [said("", "2026-11-21 10:15:00")]);
    assert_eq!(none.json()["totals"]["changes"], Value::Null);
    assert!(none.text("report.html").contains("Not compared: "));
}

#[test]
fn findings_keep_the_day_they_were_first_seen() {
    let history = Nights::new();
    let read = || vec![(id(1), json!([disabled(1, "a.example")]))];
    let day = |day: i64, accounts: Accounts| {
        let code = code(&accounts);
        history.day(day, accounts).run().expect(code)
    };
    let mended = || vec![(id(1), json!([connector(1, "a.example")]))];
    let first = "2026-11-21 10:15:00";
    assert_eq!(ages(&day(0, read())), [said("", first)]);
    assert_eq!(ages(&day(1, read())), [said("existing", first)]);
    // What cannot be read for two nights is neither resolved nor new after them.
    for unread in [2, 3] {
        let outcome = day(unread, vec![(id(1), Value::Null)]);
        let told: Vec<_> = changes(&outcome)
            .into_iter()
            .filter(|line| line.starts_with("finding-"))
            .collect();
        let expected: &[&str] = match unread {
            2 => &["finding-new 1  unread-account [] [high]"],
            _ => &[],
        };
        assert_eq!(told, expected);
        assert_eq!(outcome.column("findings.csv", "rule"), ["unread-account"]);
        let since = "2026-11-23 10:15:00";
        let age = if unread == 2 { "new" } else { "existing" };
        assert_eq!(ages(&outcome), [said(age, since)]);
        let page = outcome.text("report.html");
        let section = &page[page.find("<section id=\"unread\"").unwrap()..];
        for moment in ["2026-11-22 10:15:00", since] {
            let (day, time) = moment.split_at(10);
            assert!(
                section.contains(&format!("<bdi>{day}<span>{time}</span></bdi>")),
                "since when it is not read: {moment}"
            );
        }
    }
    let read_again = "account-read 1  outcome [unread] [read]";
    let no_longer_unread = "finding-resolved 1  unread-account [high] []";
    let again = day(4, read());
    assert_eq!(ages(&again), [said("existing", first)]);
    assert_eq!(changes(&again), [read_again, no_longer_unread]);
    // Fixed and broken again, it is new.
    assert_eq!(ages(&day(5, mended())), []);
    assert_eq!(ages(&day(6, read())), [said("new", "2026-11-27 10:15:00")]);
    // What was fixed while the account could not be read is resolved in the run that reads it again, once.
    day(7, vec![(id(1), Value::Null)]);
    let gone = day(8, mended());
    assert_eq!(ages(&gone), []);
    assert_eq!(
        changes(&gone),
        [
            read_again,
            no_longer_unread,
            "finding-resolved 1 a.example disabled-connector [medium] []",
            "connector-changed 1 a.example enabled [false] [true]",
        ]
    );
    assert_eq!(changes(&day(9, mended())), [""; 0]);
}

#[test]
fn new_and_existing_are_all_findings() {
    let history = Nights::new();
    history
        .day(
            0,
            vec![
                (id(1), json!([disabled(1, "a.example")])),
                (id(2), Value::Null),
            ],
        )
        .run()
        .expect(3);
    let second = history
        .day(
            1,
            vec![
                (
                    id(1),
                    json!([disabled(1, "a.example"), disabled(2, "b.example")]),
                ),
                (id(2), json!([disabled(3, "c.example")])),
                (id(3), json!([])),
                (id(4), Value::Null),
            ],
        )
        .run()
        .expect(3);
    let rows = second.csv("findings.csv");
    let count = |change: &str| rows.iter().filter(|row| row["change"] == change).count();
    assert_eq!((count("new"), count("existing"), rows.len()), (4, 1, 5));
    assert_eq!(second.json()["totals"]["findings"]["new"], 4);
}

#[test]
fn only_what_is_new_fails_a_run_that_inherits_old_debt() {
    let history = Nights::new();
    let old = disabled(1, "a.example");
    let fail = |day, connectors: Value, code| {
        history
            .day(day, vec![(id(1), connectors)])
            .args(["--fail-on-new", "medium"])
            .run()
            .expect(code)
    };
    fail(0, json!([old]), 0);
    fail(1, json!([old]), 0);
    fail(2, json!([old, disabled(2, "b.example")]), 10);
    fail(3, json!([old, disabled(2, "b.example")]), 0);
    // What is waived does not count, be it new or not; and an unread account outranks what does.
    let waiver = "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"c.example\"\nexpires = 2027-01-31\n";
    let three = json!([old, disabled(2, "b.example"), disabled(3, "c.example")]);
    history
        .day(4, vec![(id(1), three.clone())])
        .policy(waiver)
        .args(["--fail-on-new", "low"])
        .run()
        .expect(0);
    history
        .day(
            5,
            vec![
                (id(1), json!([disabled(9, "z.example")])),
                (id(2), Value::Null),
            ],
        )
        .args(["--fail-on-new", "medium", "--fail-on", "low"])
        .run()
        .expect(3);
    // Each of the two flags is enough.
    history
        .day(6, vec![(id(1), json!([disabled(9, "z.example")]))])
        .args(["--fail-on-new", "medium", "--fail-on", "medium"])
        .run()
        .expect(10);
}

#[test]
fn a_damaged_baseline_is_a_warning_by_default_and_an_error_where_it_was_asked_for() {
    let accounts = || vec![(id(1), json!([disabled(1, "a.example")]))];
    type Damage = fn(&str) -> String;
    let damages: [(&str, Damage, &str); 7] = [
        (
            "ledger.jsonl",
            |_| "nonsense\n".to_owned(),
            "ledger.jsonl line 1",
        ),
        (
            "ledger.jsonl",
            |text| text.replace("ledger/v2", "ledger/v9"),
            "cf-sso-audit/ledger/v9",
        ),
        (
            "ledger.jsonl",
            |text| text.replacen("{\"account_id\"", "{\"account\"", 1),
            "ledger.jsonl line 2",
        ),
        // Cut off at the end of a line.
        (
            "ledger.jsonl",
            |text| text[..text.find("{\"trend\"").unwrap()].to_owned(),
            "ledger.jsonl line 3: is missing: the file is truncated",
        ),
        (
            "ledger.jsonl",
            |text| text.replace("\"severity\":\"medium\"", "\"severity\":\"low\""),
            "ledger.jsonl has changed since the run",
        ),
        ("evidence.jsonl", |_| String::new(), "evidence.jsonl line 1"),
        (
            "evidence.jsonl",
            |_| "{\"schema\":\"cf-sso-audit/evidence/v9\"}\n".to_owned(),
            "cf-sso-audit/evidence/v9",
        ),
    ];
    for (file, damage, told) in damages {
        let history = Nights::new();
        history.day(0, accounts()).run().expect(0);
        let second = history.day(1, accounts()).run().expect(0);
        let good = second.text(file);
        fs::write(second.run_dir().join(file), damage(&good)).unwrap();
        // Where new findings decide, it must be known what is new: nothing is asked, and nothing is lost.
        history
            .day(2, accounts())
            .args(["--fail-on-new", "low", "-q"])
            .run()
            .expect(1)
            .says(&["--fail-on-new", "20261122T101500Z", told, "hint: "]);
        assert_eq!(history.server.requests().len(), 0, "{told}");
        let third = history.day(2, accounts()).run().expect(0).says(&[
            "WARN",
            "cannot compare with",
            "20261122T101500Z",
            told,
        ]);
        assert_eq!(
            baseline(&third),
            "20261121T101500Z",
            "the one before it will do"
        );
        let page = third.text("report.html");
        let first_screen = &page[..page.find("<section id=\"changes\"").unwrap()];
        assert!(
            first_screen.contains("Run 20261122T101500Z could not be read")
                && first_screen.contains("compared with run 20261121T101500Z instead"),
            "{first_screen}"
        );
        assert_eq!(
            third.json()["run"]["baselines_unreadable"][0]["run_id"],
            "20261122T101500Z"
        );
        // The run that continued the older one is the newest now.
        assert_eq!(
            baseline(
                &history
                    .day(2, accounts())
                    .args(["--fail-on-new", "low"])
                    .run()
                    .expect(0)
            ),
            "20261123T101500Z"
        );
        let asked = history
            .day(3, accounts())
            .args(["--baseline", "reports/20261122T101500Z"])
            .run()
            .expect(2)
            .says(&["--baseline reports/20261122T101500Z", told, "hint: "]);
        assert_eq!(asked.stdout, "");
        assert_eq!(
            history.server.requests().len(),
            0,
            "{told}: it is told before anything is asked"
        );
        // `render` and `diff` refuse it too.
        for command in ["render", "diff"] {
            let mut program = program(command).arg(third.run_dir());
            if command == "render" {
                program = program.arg("--baseline");
            }
            program.arg(second.run_dir()).run().expect(2).says(&[told]);
        }
    }
}

#[test]
fn a_baseline_that_was_altered_is_refused_whatever_its_checksums_say() {
    type Damage = fn(&str) -> String;
    let damages: [(&str, Damage, &str); 3] = [
        (
            "evidence.jsonl",
            |evidence| evidence.replace("a.example", "b.example"),
            "the answer kept for account",
        ),
        (
            "evidence.jsonl",
            |evidence| evidence.lines().next().unwrap().to_owned() + "\n",
            "ledger.jsonl says that account",
        ),
        (
            "ledger.jsonl",
            |ledger| ledger.replace("\"severity\":\"medium\"", "\"severity\":\"mild\""),
            "ledger.jsonl line 2: is not a line of a ledger",
        ),
    ];
    for (file, damage, told) in damages {
        let history = Nights::of(&[(1, json!([disabled(1, "a.example")]))]);
        let first = history.night(0).run().expect(0);
        let good = first.text(file);
        let altered = damage(&good);
        let sum = |text: &str| cf_sso_audit::text::sha256_hex(text.as_bytes());
        let sums = first.text("SHA256SUMS");
        let sums = sums.replace(&sum(&good), &sum(&altered));
        fs::write(first.run_dir().join(file), altered).unwrap();
        fs::write(first.run_dir().join("SHA256SUMS"), sums).unwrap();
        let second = history.night(1).run().expect(0);
        second.says(&["WARN", "cannot compare with", told]);
    }
}

#[test]
fn the_trend_holds_the_figures_of_the_runs_so_far() {
    let history = Nights::new();
    let pending = connector_with(
        3,
        "c.example",
        json!({"enabled": false, "verification": {"status": "failed", "code": "x"}}),
    );
    let first = history
        .day(0, vec![(id(1), json!([connector(1, "a.example")]))])
        .run()
        .expect(0);
    assert!(
        !first.text("report.html").contains("Trend over"),
        "one run is no trend"
    );
    history
        .day(
            1,
            vec![(
                id(1),
                json!([connector(1, "a.example"), disabled(2, "b.example")]),
            )],
        )
        .run()
        .expect(0);
    let third = history
        .day(
            2,
            vec![(
                id(1),
                json!([connector(1, "a.example"), disabled(2, "b.example"), pending]),
            )],
        )
        .run()
        .expect(0);
    let points = third.json()["trend"].clone();
    let figures = |point: &Value| {
        let figure = |name: &str| point[name].as_u64().unwrap();
        let names = [
            "connectors",
            "unverified",
            "disabled",
            "open",
            "high",
            "medium",
            "new",
        ];
        (
            point["run_id"].as_str().unwrap().to_owned(),
            names.map(figure),
        )
    };
    let run = |day: u32, figures| (format!("202611{day}T101500Z"), figures);
    assert_eq!(
        points
            .as_array()
            .unwrap()
            .iter()
            .map(figures)
            .collect::<Vec<_>>(),
        [
            run(21, [1, 0, 0, 0, 0, 0, 0]),
            run(22, [2, 0, 1, 1, 0, 1, 1]),
            run(23, [3, 1, 2, 3, 1, 2, 2]),
        ]
    );
    assert_eq!(
        points[2]["rules"]["unverified-domain"],
        json!({"judged": 1, "not_judged": 0, "open": 1, "waived": 0, "new": 1, "resolved": 0})
    );
    let page = third.text("report.html");
    assert!(page.contains("Trend over the last 3 runs"));
    assert!(page.contains("Open findings: from 0 to 3; complete runs between 0 and 3"));
    let trend = &page[page.find("Trend over").unwrap()..];
    assert_eq!(trend.matches("<polyline points=\"").count(), 7);
    // An earlier run rendered again reports itself and those before it, not later ones.
    let again = program("render")
        .arg(history.dir.path().join("reports/20261122T101500Z"))
        .on_day(1)
        .run()
        .expect(0);
    assert_eq!(again.json()["trend"].as_array().unwrap().len(), 2);
}

#[test]
fn the_trend_says_which_runs_were_whole_and_joins_only_those() {
    let history = Nights::new();
    let both = |second: Value| vec![(id(1), json!([disabled(1, "a.example")])), (id(2), second)];
    let list = || json!([disabled(2, "b.example")]);
    history.day(0, both(list())).run().expect(0);
    history.day(1, both(list())).run().expect(0);
    history.day(2, both(Value::Null)).run().expect(3);
    // Of one account alone: read to the end, and no picture of all.
    history.one(3, id(2), list()).run().expect(0);
    let last = history.day(4, both(list())).run().expect(0);
    let json = last.json();
    let figures: Vec<_> = json["trend"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| {
            (
                point["accounts_read"].as_u64().unwrap(),
                point["accounts_asked"].as_u64().unwrap(),
                point["whole"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        figures,
        [
            (2, 2, true),
            (2, 2, true),
            (1, 2, false),
            (1, 1, false),
            (2, 2, true)
        ]
    );
}

#[test]
fn the_trend_reaches_back_a_hundred_and_twenty_runs() {
    let history = Nights::new();
    let accounts = || vec![(id(1), json!([connector(1, "a.example")]))];
    let first = history.day(0, accounts()).run().expect(0);
    let ledger = first.run_dir().join("ledger.jsonl");
    let text = fs::read_to_string(&ledger).unwrap();
    let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
    let mut last: Value = serde_json::from_str(last).unwrap();
    let point = last["trend"][0].clone();
    let long: Vec<_> = (0..120)
        .map(|n| {
            let mut point = point.clone();
            point["connectors"] = n.into();
            point
        })
        .collect();
    last["trend"] = long.into();
    fs::write(&ledger, format!("{rest}\n{last}\n")).unwrap();
    first.sum_again("ledger.jsonl", &text);
    let second = history.day(1, accounts()).run().expect(0);
    let trend = second.json()["trend"].as_array().unwrap().clone();
    assert_eq!(trend.len(), 120);
    assert_eq!(trend[0]["connectors"], 1, "the oldest is gone");
    assert_eq!(trend[119]["run_id"], "20261122T101500Z");
    assert!(
        second
            .text("report.html")
            .contains("Trend over the last 120 runs")
    );
}

#[test]
fn the_page_says_what_changed_before_it_lists_what_is() {
    let history = Nights::new();
    history
        .day(0, vec![(id(1), json!([connector(1, "a.example")]))])
        .run()
        .expect(0);
    let second = history
        .day(
            1,
            vec![(
                id(1),
                json!([connector(1, "a.example"), disabled(2, "b.example")]),
            )],
        )
        .run()
        .expect(0);
    let page = second.text("report.html");
    let at = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what}"));
    assert!(at("<h2>What changed</h2>") < at("<section id=\"unverified\""));
    assert!(at("<h2>What changed</h2>") < at("<section id=\"findings\""));
    let changed = &page[at("<section id=\"changes\"")..at("<section id=\"unverified\"")];
    for told in [
        "Each account is compared with the last time it was read in full, as recorded in run <code>20261121T101500Z</code>: 1 account compared.",
        "<td>finding-new<",
        "<td>connector-added<",
        "b<wbr>.example",
        "<b>1</b> new finding",
        "<b>1</b> connector added",
    ] {
        assert!(changed.contains(told), "{told} in {changed}");
    }
}

#[test]
fn the_demo_is_compared_with_demos_only() {
    let dir = shared_dir();
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let demo = |day: i64| {
        program_in(&dir, "audit")
            .arg("--demo")
            .on_day(day)
            .run()
            .expect(0)
    };
    assert_eq!(baseline(&demo(0)), Value::Null);
    let real = audit_in(&dir, &server).on_day(1).arg(id(1)).run().expect(0);
    assert_eq!(baseline(&real), Value::Null);
    assert_eq!(baseline(&demo(2)), "20261121T101500Z");
}

#[test]
fn an_account_that_came_and_went_between_two_runs_is_no_difference() {
    let history = Nights::new();
    let one = || (id(1), json!([connector(1, "a.example")]));
    let run = |day, accounts: Accounts| history.day(day, accounts).run().expect(0).run_dir();
    let first = run(0, vec![one()]);
    run(1, vec![one(), (id(2), json!([disabled(2, "b.example")]))]);
    let last = run(2, vec![one()]);
    program("diff")
        .arg(&first)
        .arg(&last)
        .run()
        .expect(0)
        .prints(&["No changes"]);
}

#[test]
fn diff_of_two_folders_calls_nothing_resolved_or_removed_that_the_later_run_does_not_know() {
    let found = vec![
        (id(1), json!([disabled(1, "a.example")])),
        (id(2), json!([disabled(2, "b.example")])),
    ];
    let server = Server::of(found);
    let old = audit(&server).args(ids(2)).run().expect(0);
    // Begun in the same second, and another one.
    let same_second = audit(&server).arg(id(1)).run().expect(0);
    server.now(|_| answer(403, "{}"));
    let new = audit(&server).on_day(1).arg(id(1)).run().expect(3);
    let diff_to = |other: &Outcome| {
        let program = program("diff").arg(old.run_dir()).arg(other.run_dir());
        program.run()
    };
    let told = diff_to(&new).expect(10).prints(&[
        "0 accounts compared, 2 not compared",
        "1 account of 20261121T101500Z not included in 20261122T101500Z and left out of the comparison.",
        "2 known findings could not be judged",
    ]);
    for wrong in ["resolved\n", "removed"] {
        assert!(!told.stdout.contains(wrong), "{}", told.stdout);
    }
    let told = diff_to(&same_second).expect(0);
    assert!(!told.stdout.contains("the same run"), "{}", told.stdout);
}

#[test]
fn a_run_of_another_api_is_no_baseline() {
    let of = |status: &str| {
        let connector = connector_with(1, "a.example", json!({"verification": {"status": status}}));
        Server::of(vec![(id(1), json!([connector]))])
    };
    let (one, other) = (of("verified"), of("failed"));
    let first = audit(&one).arg(id(1)).run().expect(0);
    let refused = audit(&other)
        .arg(id(1))
        .arg("--baseline")
        .arg(first.run_dir())
        .run()
        .expect(2);
    refused.says(&[&one.base_url(), &other.base_url(), "or none"]);
    assert_eq!(other.requests().len(), 0, "before anything is asked");
    let second = audit(&other).arg(id(1)).run().expect(0);
    program("render")
        .arg(second.run_dir())
        .arg("--baseline")
        .arg(first.run_dir())
        .run()
        .expect(2)
        .says(&["asked", "or none"]);
}

#[test]
fn the_name_of_a_run_does_nothing_to_a_terminal() {
    let nights = Nights::of(&[(1, json!([disabled(1, "a.example")]))]);
    let old = nights.night(0).run().expect(0).run_dir();
    let new = nights.night(1).run().expect(0).run_dir();
    // Whoever changes a run's files can change its checksums, too.
    for name in ["evidence.jsonl", "ledger.jsonl"] {
        let text = fs::read_to_string(old.join(name)).unwrap();
        let forged = text.replacen("20261121T101500Z", "x\\nAll is well\\u001b[31m", 1);
        assert_ne!(forged, text);
        fs::write(old.join(name), &forged).unwrap();
        let sums = fs::read_to_string(old.join("SHA256SUMS")).unwrap();
        let sums = sums.replace(
            &cf_sso_audit::text::sha256_hex(text.as_bytes()),
            &cf_sso_audit::text::sha256_hex(forged.as_bytes()),
        );
        fs::write(old.join("SHA256SUMS"), sums).unwrap();
    }
    let outcome = program_in(&nights.dir, "diff").arg(&old).arg(&new).run();
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("All is well"), "{said:?}");
    assert!(
        !said.contains("\nAll is well") && !said.contains('\u{1b}'),
        "{said:?}"
    );
}
