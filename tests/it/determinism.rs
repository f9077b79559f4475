//! The same accounts give the same files, however many are asked at once, and in whatever order their answers come.

use std::sync::{Condvar, Mutex};

use cf_sso_audit::text::sha256_hex;
use serde_json::json;

use crate::support::*;

/// How many accounts there are: as many as are asked at once where nothing is said, so that all wait for an answer
/// together.
const ACCOUNTS: usize = 32;

/// Accounts of every kind. On the second night, some have changed.
fn answer_of(number: usize, second: bool) -> Reply {
    match number % 8 {
        0 => forbidden(),
        1 => success(json!([])),
        2 => enveloped(
            json!([connector(1, "shared.example")]),
            json!({"total_count": 3}),
        ),
        3 if second => answer(200, "<html>"),
        _ => success(json!([
            connector_with(
                number,
                &format!("z{number}.example"),
                json!({"enabled": number.is_multiple_of(3) != second})
            ),
            connector_with(
                number + 500,
                "Shared.Example.",
                json!({"verification": {"status": "pending", "code": "x"}})
            ),
        ])),
    }
}

/// In which order the accounts of the second night are answered.
#[derive(Clone, Copy)]
enum Answered {
    AsAsked,
    /// Once all have been asked, and the one that was named last comes first.
    Backwards,
}

/// Two nights of these accounts.
fn two_nights(server: &Server, concurrency: &str, answered: Answered) -> Outcome {
    let dir = shared_dir();
    let named: Vec<_> = ids(ACCOUNTS).into_iter().rev().collect();
    let night = |day| {
        audit_in(&dir, server)
            .on_day(day)
            .args(["--concurrency", concurrency])
            .args(["--format", "csv,html,json,ocsf", "--ocsf-passes"])
            .args(&named)
    };
    server.now(|request| answer_of(request.number(), false));
    night(0).run().expect(3);
    let asked_and_answered = Mutex::new((0, 0));
    let changed = Condvar::new();
    server.now(move |request| {
        let number = request.number();
        if matches!(answered, Answered::Backwards) && request.earlier == 0 {
            let mut state = asked_and_answered.lock().unwrap();
            state.0 += 1;
            changed.notify_all();
            // The account with number 1 was named last.
            let mut state = changed
                .wait_while(state, |state| *state != (ACCOUNTS, number - 1))
                .unwrap();
            state.1 += 1;
            changed.notify_all();
        }
        answer_of(number, true)
    });
    let outcome = night(1).run().expect(3);
    assert_eq!(outcome.column("accounts.csv", "account_id"), named);
    outcome
}

/// The accounts in the order in which their answers came.
fn order_of_answers(outcome: &Outcome) -> Vec<u64> {
    let evidence = outcome.text("evidence.jsonl");
    let lines = evidence.lines().skip(1);
    lines
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["account"].as_u64().unwrap())
        .collect()
}

/// A file of a run without what it says of the concurrency and of the order of the answers, as the sum of the evidence
/// does.
fn file(outcome: &Outcome, name: &str) -> String {
    let text = outcome.text(name);
    let evidence = sha256_hex(&outcome.read("evidence.jsonl"));
    let concurrency = outcome.json()["run"]["limits"]["concurrency"].clone();
    match name {
        "report.json" => {
            let mut json = outcome.json();
            json["run"]["limits"]["concurrency"] = 0.into();
            json.to_string()
        }
        _ => text.replace(
            &format!("<dd>{concurrency} concurrent requests"),
            "<dd>N concurrent requests",
        ),
    }
    .replace(&evidence, "the evidence's")
}

#[test]
fn every_file_is_the_same_at_any_concurrency_and_in_any_order_of_answers() {
    let server = Server::of(Vec::new());
    let first = two_nights(&server, "1", Answered::AsAsked);
    for table in ["changes.csv", "findings.csv"] {
        assert!(first.csv(table).len() > 30, "{table} has something to tell");
    }
    let events = first.text("report.ocsf.json");
    for word in ["\"open\"", "\"resolved\"", "\"pass\""] {
        assert!(events.contains(word), "there are events that are {word}");
    }
    let backwards = two_nights(&server, "32", Answered::Backwards);
    assert_ne!(
        order_of_answers(&first),
        order_of_answers(&backwards),
        "the answers came in another order"
    );
    let others = [
        ("in order", two_nights(&server, "32", Answered::AsAsked)),
        ("at 7", two_nights(&server, "7", Answered::AsAsked)),
        ("backwards", backwards),
    ];
    for (how, other) in others {
        let files = names(&other.run_dir());
        assert_eq!(files, names(&first.run_dir()));
        for name in files.iter().map(String::as_str) {
            // The evidence is in the order of the answers, and its sum and those of what names it differ with it.
            if !["evidence.jsonl", "SHA256SUMS"].contains(&name) {
                assert!(file(&first, name) == file(&other, name), "{name} {how}");
            }
        }
    }
}

#[test]
fn the_same_run_twice_is_the_same_byte_for_byte() {
    let server = Server::of(Vec::new());
    let run = || two_nights(&server, "1", Answered::AsAsked);
    let (one, other) = (run(), run());
    for name in names(&one.run_dir()) {
        assert!(one.read(&name) == other.read(&name), "{name}");
    }
}
