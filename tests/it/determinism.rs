//! The same accounts give the same files, however many are asked at once, and whenever their answers come.

use std::time::Duration;

use serde_json::json;

use crate::support::*;

/// Accounts of every kind, whose answers come in another order than they are asked for.
fn mixed() -> Server {
    Server::start(|request| {
        let number = request.number();
        let delay = Duration::from_millis((number * 7 % 11) as u64);
        let reply = match number % 8 {
            0 => forbidden(),
            1 => success(json!([])),
            2 => enveloped(
                json!([connector(1, "shared.example")]),
                json!({"total_count": 3}),
            ),
            3 => answer(200, "<html>"),
            _ => success(json!([
                connector_with(
                    number,
                    &format!("z{number}.example"),
                    json!({"enabled": number % 3 == 0})
                ),
                connector_with(
                    number + 500,
                    "Shared.Example.",
                    json!({"verification": {"status": "pending", "code": "x"}})
                ),
            ])),
        };
        reply.after(delay)
    })
}

#[test]
fn every_file_is_the_same_at_any_concurrency() {
    let server = mixed();
    let mut order = ids(60);
    order.reverse();
    let runs: Vec<_> = ["1", "32", "7"]
        .map(|concurrency| {
            let outcome = audit(&server)
                .args(["--concurrency", concurrency])
                .args(&order)
                .run()
                .expect(3);
            (concurrency, outcome)
        })
        .into_iter()
        .collect();
    let (_, first) = &runs[0];
    assert_eq!(first.column("accounts.csv", "account_id"), order);
    for (concurrency, other) in &runs[1..] {
        for name in [
            "unverified_domains.csv",
            "disabled_connectors.csv",
            "fedramp_settings.csv",
            "connectors.csv",
            "findings.csv",
            "accounts.csv",
        ] {
            assert!(
                first.read(name) == other.read(name),
                "{name} at {concurrency}"
            );
        }
        // What the page and report.json say of the run itself differs: the concurrency, the evidence's checksum.
        let mut sides = [first.json(), other.json()];
        for side in &mut sides {
            let run = side["run"].as_object_mut().unwrap();
            run.remove("limits");
            run.remove("evidence_sha256");
        }
        assert_eq!(sides[0], sides[1]);
    }
}

#[test]
fn the_same_run_twice_is_the_same_byte_for_byte() {
    let server = mixed();
    let run = || {
        audit(&server)
            .args(["--concurrency", "1"])
            .args(ids(20))
            .run()
            .expect(3)
    };
    let (one, other) = (run(), run());
    for name in FILES {
        assert!(one.read(name) == other.read(name), "{name}");
    }
}
