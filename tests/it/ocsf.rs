//! `report.ocsf.json`: events as the published schema describes them, one for each finding.
//!
//! The schemas are those of tests/ocsf, which the gate compares with the published ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::support::*;

/// The schema of each class, which take a while to compile.
static SCHEMAS: LazyLock<BTreeMap<u64, Validator>> = LazyLock::new(|| {
    let schemas = [
        (2003, include_str!("../ocsf/compliance_finding-1.8.0.json")),
        (2004, include_str!("../ocsf/detection_finding-1.8.0.json")),
    ];
    let compiled = schemas.map(|(class, schema)| {
        let schema = serde_json::from_str(schema).unwrap();
        (class, Validator::new(&schema))
    });
    compiled.into()
});

/// An audit that writes events, of passes too.
fn with_passes(program: Program) -> Program {
    program.args(["--format", "csv,ocsf", "--ocsf-passes"])
}

/// The events of a run, each of which is as the schema says.
#[track_caller]
fn events(run: &Outcome) -> Vec<Value> {
    let text = run.text("report.ocsf.json");
    valid_events(&text)
}

#[track_caller]
fn valid_events(text: &str) -> Vec<Value> {
    let mut uids = BTreeSet::new();
    let mut events = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let class = event["class_uid"].as_u64().unwrap();
        assert_eq!(SCHEMAS[&class].judge(&event), Ok(()), "{line}");
        assert_eq!(
            event["type_uid"],
            class * 100 + event["activity_id"].as_u64().unwrap()
        );
        says_something(&event);
        assert!(uids.insert(event["metadata"]["uid"].to_string()), "{line}");
        events.push(event);
    }
    events
}

/// Fails where an attribute is there and says nothing.
#[track_caller]
fn says_something(value: &Value) {
    match value {
        Value::Null => panic!("null"),
        Value::String(text) => assert!(!text.is_empty()),
        Value::Array(items) => {
            assert!(!items.is_empty());
            items.iter().for_each(says_something);
        }
        Value::Object(keys) => {
            assert!(!keys.is_empty());
            for (key, value) in keys {
                assert!(value != "" && !value.is_null(), "{key}");
                says_something(value);
            }
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_pass(event: &&Value) -> bool {
    event["status_code"] == "pass"
}

/// `rule account` of every pass, the account by its number.
fn passes(events: &[Value], numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    let numbers: BTreeMap<_, _> = numbers
        .into_iter()
        .map(|number| (id(number), number))
        .collect();
    let name = |event: &Value| {
        let account = event["cloud"]["account"]["uid"].as_str().unwrap();
        let rule = event["metadata"]["event_code"].as_str().unwrap();
        format!("{rule} {}", numbers[account])
    };
    events.iter().filter(is_pass).map(name).collect()
}

const POLICY: &str = r#"
[[accounts]]
id = "ACCOUNT"
owner = "gov-platform"
[[waivers]]
rule = "disabled-connector"
account = "*"
domain = "waived.example"
reason = "migration"
owner = "j.doe"
expires = 2027-01-31
[[remediations]]
rule = "disabled-connector"
account = "*"
domain = "planned.example"
owner = "a.smith"
due = 2027-02-28
"#;

/// A second night: a finding is new, one known, one waived, one planned to be fixed, one resolved; an account is unread.
fn second_night(options: &[&str]) -> Outcome {
    let nights = Nights::of(&[
        (
            1,
            json!([
                disabled(1, "known.example"),
                disabled(2, "waived.example"),
                disabled(3, "planned.example"),
                disabled(4, "mended.example"),
                connector(5, "broken.example"),
            ]),
        ),
        (2, json!([connector(6, "b.example")])),
    ]);
    let policy = POLICY.replace("ACCOUNT", &id(1));
    nights.night(0).policy(&policy).run().expect(0);
    nights.set(
        1,
        json!([
            disabled(1, "known.example"),
            disabled(2, "waived.example"),
            disabled(3, "planned.example"),
            connector(4, "mended.example"),
            connector_with(
                5,
                "broken.example",
                json!({"verification": {"status": "failed", "code": "c"}})
            ),
        ]),
    );
    nights.set(2, Value::Null);
    let night = nights.night(1).policy(&policy);
    night
        .args(["--format", "csv,ocsf"])
        .args(options)
        .run()
        .expect(3)
}

/// What an event says of itself, on a line.
fn in_short(event: &Value) -> String {
    let words = [
        &event["severity"],
        &event["metadata"]["event_code"],
        &event["resources"][0]["name"],
        &event["activity_name"],
        &event["status"],
        &event["compliance"]["status"],
        &event["unmapped"]["change"],
        &event["unmapped"]["cause"],
    ];
    let words: Vec<_> = words
        .iter()
        .map(|word| word.as_str().unwrap_or("-"))
        .collect();
    words.join(" | ")
}

#[test]
fn every_finding_is_an_event_in_the_order_of_the_table_and_then_what_is_resolved() {
    let run = second_night(&[]);
    let events = events(&run);
    let lines: Vec<_> = events.iter().map(in_short).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    Critical | enabled-unverified | broken.example | Create | New | Fail | new | -
    High | unverified-domain | broken.example | Create | New | Fail | new | -
    High | unread-account | - | Create | New | Unknown | new | -
    Medium | disabled-connector | known.example | Update | New | Fail | existing | -
    Medium | disabled-connector | planned.example | Update | In Progress | Fail | existing | -
    Medium | disabled-connector | waived.example | Update | Suppressed | Fail | existing | -
    Medium | disabled-connector | mended.example | Close | Resolved | Unknown | resolved | connector
    ");
    let ids = |events: &[Value]| -> Vec<String> {
        let uid = |event: &Value| event["finding_info"]["uid"].as_str().unwrap().to_owned();
        events.iter().map(uid).collect()
    };
    let (found, closed) = events.split_at(events.len() - 1);
    assert_eq!(ids(found), run.column("findings.csv", "finding_id"));
    // What is resolved has the id that it was found by.
    let nights = run.reports().join("20261121T101500Z").join("findings.csv");
    let before = std::fs::read_to_string(nights).unwrap();
    assert!(before.contains(&ids(closed)[0]), "{before}");
    check_sums(&run.run_dir());
}

#[test]
fn an_event_has_what_is_known_and_nothing_else() {
    let events = events(&second_night(&[]));
    let of = |domain: &str, code: &str| {
        let mut found = events.iter().filter(|event| {
            event["status_code"] == code && event["resources"][0]["name"] == domain
        });
        let mut event = found.next().unwrap().clone();
        // Another one in each version of the program.
        event["metadata"]["product"]["version"] = "VERSION".into();
        serde_json::to_string_pretty(&event).unwrap()
    };
    insta::assert_snapshot!("waived", of("waived.example", "waived"));
    insta::assert_snapshot!("resolved", of("mended.example", "resolved"));
    let unread = events
        .iter()
        .find(|event| event["metadata"]["event_code"] == "unread-account")
        .unwrap();
    assert_eq!(unread["compliance"]["status_id"], 0);
    assert_eq!(unread["unmapped"]["account_outcome"], "unread");
    assert_eq!(unread["unmapped"]["error"]["kind"], "forbidden");
    assert_eq!(unread["resources"][0]["uid"], id(2));
}

#[test]
fn a_detection_finding_has_no_result_and_keeps_the_controls() {
    let events = events(&second_night(&["--ocsf-class", "detection"]));
    assert!(events.len() > 5);
    for event in &events {
        assert_eq!(event["class_uid"], 2004);
        assert!(event.get("compliance").is_none());
        let controls = event["unmapped"]["controls"].as_array().unwrap();
        assert!(controls.len() >= 2, "{event}");
    }
}

#[test]
fn only_what_was_judged_and_found_good_passes() {
    let odd = connector_with(5, "odd.example", json!({"enabled": null}));
    let nights = Nights::of(&[
        (
            1,
            json!([connector(1, "a.example"), connector(2, "b.example")]),
        ),
        (2, json!([disabled(3, "waived.example")])),
        (3, json!([odd, connector(6, "d.example")])),
        (4, json!({"part": [connector(7, "e.example")]})),
        (5, json!([])),
    ]);
    let policy = format!(
        "{}[rules.stale-verification]\nseverity = \"off\"\n",
        POLICY.replace("ACCOUNT", &id(9))
    );
    let night = |day| with_passes(nights.night(day)).policy(&policy);
    let run = night(0).run().expect(3);
    let passed = passes(&events(&run), 1..=5);
    let all = [
        "enabled-unverified",
        "unverified-domain",
        "disabled-connector",
        "fedramp-inconsistent",
        "no-connector",
        "unknown-value",
        "unread-account",
    ];
    let mut wanted: BTreeSet<_> = all.map(|rule| format!("{rule} 1")).into();
    wanted.extend(
        all.iter()
            // It is waived, and not good.
            .filter(|rule| **rule != "disabled-connector")
            .map(|rule| format!("{rule} 2")),
    );
    wanted.extend(
        all.iter()
            // Nobody knows whether it is enabled.
            .filter(|rule| {
                !["enabled-unverified", "disabled-connector", "unknown-value"].contains(rule)
            })
            .map(|rule| format!("{rule} 3")),
    );
    // Of no connector, connectors' rules say nothing, and DNS was not asked.
    wanted.extend(["fedramp-inconsistent 5", "unread-account 5"].map(str::to_owned));
    assert_eq!(passed, wanted);
    // Who shares a domain is known once all accounts are read.
    nights.set(4, json!([connector(7, "e.example")]));
    let run = night(1).run().expect(0);
    let events = events(&run);
    let passed = passes(&events, 1..=5);
    for number in 1..=4 {
        assert!(passed.contains(&format!("duplicate-domain {number}")));
    }
    let pass = events.iter().find(is_pass).unwrap();
    assert_eq!(pass["compliance"]["status"], "Pass");
    assert_eq!(pass["severity"], "Informational");
    assert_eq!(pass["unmapped"]["connectors_judged"], 2);
    // They are last, and there are none where none are asked for.
    let first = events.iter().position(|event| is_pass(&event)).unwrap();
    assert!(events[first..].iter().all(|event| is_pass(&event)));
    let run = nights
        .night(2)
        .policy(&policy)
        .args(["--format", "ocsf"])
        .run()
        .expect(0);
    assert!(
        !valid_events(&run.text("report.ocsf.json"))
            .iter()
            .any(|event| is_pass(&event))
    );
}

#[test]
fn what_could_not_be_judged_again_is_no_pass() {
    let nights = Nights::of(&[
        (1, json!([connector(1, "shared.example")])),
        (2, json!([connector(2, "shared.example")])),
    ]);
    with_passes(nights.night(0)).run().expect(0);
    // The other account is not asked for, so nobody knows whether it still has the domain.
    let run = with_passes(nights.bare(1)).arg(id(1)).run().expect(0);
    let passed = passes(&events(&run), [1]);
    assert!(passed.contains("unverified-domain 1"), "{passed:?}");
    assert!(!passed.contains("duplicate-domain 1"), "{passed:?}");
}

#[test]
fn a_shard_does_not_know_who_shares_a_domain() {
    let accounts: Vec<_> = (1..=8)
        .map(|n| (n, json!([connector(n, &format!("d{n}.example"))])))
        .collect();
    let nights = Nights::of(&accounts);
    let of_rule = |run: &Outcome, rule: &str| {
        let passed = passes(&events(run), 1..=8);
        let of_it = passed.iter().filter(|pass| pass.starts_with(rule));
        of_it.count()
    };
    let shard = with_passes(nights.night(0)).args(["--shard", "0/2"]);
    let shard = shard.run().expect(0);
    assert!(of_rule(&shard, "unverified-domain") > 0);
    assert_eq!(of_rule(&shard, "duplicate-domain"), 0);
    let whole = with_passes(nights.night(1)).run().expect(0);
    assert_eq!(of_rule(&whole, "duplicate-domain"), 8);
}

#[test]
fn text_from_outside_breaks_no_line_and_is_as_it_was() {
    let name = "a\r\nb\u{85}c\u{2028}d\u{7f}\u{9b}31m\u{202e}\"\\";
    let nights = Nights::of(&[(
        1,
        json!([
            connector_with(1, name, json!({"enabled": false, "id": name})),
            // Neither has a name.
            {"enabled": false},
            {"id": "", "email_domain": "", "enabled": false},
        ]),
    )]);
    let list = format!("account_id,account_name,owner\n{},Ay,\"\u{2028}\"\n", id(1));
    let run = with_passes(nights.bare(0))
        .accounts_file("accounts.csv", list)
        .run()
        .expect(0);
    let text = run.text("report.ocsf.json");
    let is_raw = |c: char| c != '\n' && c.is_control() || "\u{2028}\u{2029}".contains(c);
    assert!(!text.contains(is_raw), "{text}");
    let events = events(&run);
    assert_eq!(text.matches('\n').count(), events.len());
    let resources: BTreeSet<_> = events
        .iter()
        .filter(|event| event["metadata"]["event_code"] == "disabled-connector")
        .map(|event| event["resources"][0].to_string())
        .collect();
    let named = events
        .iter()
        .any(|event| event["resources"][0]["name"] == name && event["resources"][0]["uid"] == name);
    assert!(named, "{resources:?}");
    // What has neither an id nor a domain is told of its account.
    assert!(
        resources
            .iter()
            .any(|resource| resource.contains("Cloudflare account") && resource.contains(&id(1))),
        "{resources:?}"
    );
}

#[test]
fn the_first_run_creates_and_the_next_updates() {
    let nights = Nights::of(&[(1, json!([disabled(1, "a.example")]))]);
    let night = |day| nights.night(day).args(["--format", "ocsf"]);
    let activity = |run: Outcome| valid_events(&run.text("report.ocsf.json"))[0].clone();
    let first = activity(night(0).run().expect(0));
    assert_eq!(first["activity_name"], "Create");
    assert!(first["unmapped"].get("change").is_none());
    let second = activity(night(1).run().expect(0));
    assert_eq!(second["activity_name"], "Update");
    assert_eq!(
        second["finding_info"]["first_seen_time"],
        first["finding_info"]["first_seen_time"]
    );
    // It is known, although it is compared with nothing.
    let third = activity(night(2).args(["--baseline", "none"]).run().expect(0));
    assert_eq!(third["activity_name"], "Update");
    assert_ne!(third["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(third["finding_info"]["uid"], first["finding_info"]["uid"]);
}

#[test]
fn render_writes_the_same_events() {
    let dir = shared_dir();
    let run = program_in(&dir, "audit")
        .args(["--demo", "--format", "ocsf", "--ocsf-passes"])
        .run()
        .expect(0);
    let before = run.read("report.ocsf.json");
    let all = valid_events(&String::from_utf8(before.clone()).unwrap());
    assert!(all.iter().filter(is_pass).count() > 100);
    assert!(
        all.iter()
            .all(|event| event["metadata"]["labels"] == json!(["demo"]))
    );
    let again = |options: &[&str]| {
        let program = render(&dir, &run.run_dir());
        program
            .args(["--format", "ocsf"])
            .args(options)
            .run()
            .expect(0);
        run.read("report.ocsf.json")
    };
    let without = again(&[]);
    assert!(before.starts_with(&without) && without.len() < before.len());
    assert_eq!(again(&["--ocsf-passes"]), before);
}

#[test]
fn an_option_that_would_do_nothing_is_refused_before_anything_is_asked() {
    for (options, said) in [
        (
            &["--ocsf-passes"][..],
            "--ocsf-passes has no effect without --format ocsf",
        ),
        (
            &["--ocsf-class", "detection"],
            "--ocsf-class detection has no effect",
        ),
        (
            &[
                "--format",
                "ocsf",
                "--ocsf-class",
                "detection",
                "--ocsf-passes",
            ],
            "--ocsf-passes cannot be used with --ocsf-class detection",
        ),
    ] {
        let run = program("audit").arg("--demo").args(options).run();
        let run = run.expect(2).says(&[said, "hint"]);
        assert!(!run.reports().exists());
    }
}
