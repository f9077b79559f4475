//! What is tried again, how often, and after which wait.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::*;

/// Answers this to the first requests of an account, and then its connectors.
fn first(times: usize, reply: Reply) -> Server {
    Server::start(move |request| {
        if request.earlier < times {
            reply.clone()
        } else {
            success(json!([connector(1, "a.example")]))
        }
    })
}

fn attempts(outcome: &Outcome) -> Vec<String> {
    outcome.column("accounts.csv", "attempts")
}

#[test]
fn what_passes_is_tried_again() {
    const STATUSES: [u16; 8] = [408, 409, 500, 502, 503, 504, 520, 599];
    const BODIES: [&str; 3] = [
        "",
        "<html>x</html>",
        r#"{"success":false,"errors":[{"code":1,"message":"x"}]}"#,
    ];
    let replies: Vec<_> = STATUSES
        .iter()
        .flat_map(|&status| BODIES.map(|body| answer(status, body)))
        .collect();
    let accounts = replies.len();
    let server = Server::start(move |request| {
        let number = request.number();
        if request.earlier < 2 {
            replies[number - 1].clone()
        } else {
            success(json!([connector(1, "a.example")]))
        }
    });
    let outcome = audit(&server).args(ids(accounts)).run().expect(0);
    assert_eq!(attempts(&outcome), vec!["3"; accounts]);
    assert_eq!(server.requests().len(), 3 * accounts);
}

#[test]
fn what_stays_is_unread_after_every_attempt() {
    const STATUSES: [(u16, &str); 4] = [
        (408, "timeout"),
        (409, "api"),
        (500, "server"),
        (503, "server"),
    ];
    let server = Server::start(|request| {
        let number = request.number();
        answer(STATUSES[number - 1].0, "")
    });
    for (retries, tried) in [("0", "1"), ("2", "3"), ("5", "6")] {
        let outcome = audit(&server)
            .args(["--retries", retries])
            .args(ids(STATUSES.len()))
            .run()
            .expect(3);
        for (row, (status, kind)) in outcome.csv("accounts.csv").iter().zip(STATUSES) {
            assert_eq!(row["error_kind"], kind);
            assert_eq!(row["http_status"], status.to_string());
            assert_eq!(row["attempts"], tried);
        }
    }
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    for status in [400, 401, 403, 404, 405, 410, 422] {
        let server = first(usize::MAX, answer(status, "{}"));
        let outcome = audit(&server).arg(id(1)).run().expect(3);
        assert_eq!(attempts(&outcome), ["1"], "HTTP {status}");
    }
}

/// The time between the first two requests for an account.
fn gap(server: &Server, id: &str) -> Duration {
    let requests = server.of_account(id);
    requests[1].at - requests[0].at
}

/// How long the program says that it waits before each attempt but the first, in milliseconds.
fn waits(outcome: &Outcome) -> Vec<u64> {
    let lines = outcome.stderr.lines();
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| line["wait_ms"].as_u64())
        .collect()
}

/// Writes the log down so that [`waits`] can read it.
const LOGGED: [&str; 4] = ["-vv", "--log-format", "json", "--progress=never"];

#[test]
fn retry_after_is_obeyed_as_seconds_and_as_a_date() {
    let in_two_seconds = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let cases: [(fn() -> String, _); 4] = [
        (|| "1".to_owned(), 1000..=1000),
        // A date is told in whole seconds, so of two seconds at most one is lost, and what the way takes.
        (in_two_seconds, 1..=2000),
        (|| "soon".to_owned(), 0..=0),
        (|| "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 0..=0),
    ];
    for (header, expected) in cases {
        let server = Server::start(move |request| match request.earlier {
            0 => answer(503, "").with("retry-after", header()),
            _ => success(json!([])),
        });
        let outcome = audit(&server).args(LOGGED).arg(id(1)).run().expect(0);
        let waits = waits(&outcome);
        assert_eq!(waits.len(), 1, "{waits:?}");
        assert!(expected.contains(&waits[0]), "{waits:?}");
        assert!(gap(&server, &id(1)) >= Duration::from_millis(waits[0]));
    }
}

#[test]
fn a_wait_that_is_too_long_is_not_waited_for() {
    for (status, kind) in [(503, "server"), (429, "rate-limited")] {
        let server = first(usize::MAX, answer(status, "{}").with("retry-after", "7200"));
        let outcome = audit(&server).arg(id(1)).run().expect(3);
        let row = outcome.account(&id(1));
        assert_eq!((&*row["error_kind"], &*row["attempts"]), (kind, "1"));
        assert!(row["error_message"].contains("7200 s"), "{row:?}");
    }
}

#[test]
fn the_back_off_is_bounded_by_the_delay_asked_for() {
    let server = first(3, answer(500, ""));
    let outcome = audit(&server)
        .args(LOGGED)
        .args(["--retry-delay", "40ms", &id(1)])
        .run()
        .expect(0);
    assert_eq!(attempts(&outcome), ["4"]);
    let waits = waits(&outcome);
    assert_eq!(waits.len(), 3);
    for (wait, most) in waits.into_iter().zip([40, 80, 160]) {
        assert!(wait <= most, "{wait} of {most}");
    }
}

/// Quick windows, so that pauses are short.
const RATE: [&str; 2] = ["--rate", "100/100ms"];

fn every_throttling() -> Vec<Reply> {
    let in_a_200 = |code: Value| {
        let body = json!({"success": false, "errors": [{"code": code, "message": "throttled"}], "messages": [], "result": null});
        answer(200, body.to_string())
    };
    vec![
        throttled(),
        answer(429, "<html>Too many requests</html>"),
        answer(429, ""),
        failure(429, 10100, "x"),
        failure(503, 10429, "x"),
        in_a_200(json!(971)),
        in_a_200(json!("971")),
        in_a_200(json!(10429)),
    ]
}

#[test]
fn throttling_costs_no_attempt_and_pauses_for_the_window() {
    for reply in every_throttling() {
        let shown = format!("{reply:?}");
        let server = Server::start(move |request| match request.earlier {
            0 | 1 => reply.clone(),
            2 => answer(503, ""),
            _ => success(json!([])),
        });
        // The only retry is there for the 503.
        let outcome = audit(&server)
            .args(RATE)
            .args(["--retries", "1", &id(1)])
            .run()
            .expect(0);
        assert_eq!(
            outcome.column("accounts.csv", "outcome"),
            ["read"],
            "{shown}"
        );
        let requests = server.requests();
        assert_eq!(requests.len(), 4, "{shown}");
        for pair in requests[..3].windows(2) {
            let gap = pair[1].at - pair[0].at;
            assert!(gap >= Duration::from_millis(100), "{gap:?} after {shown}");
        }
    }
}

#[test]
fn throttling_pauses_the_whole_token() {
    let server = Server::start(|request| {
        if request.account() == id(1) && request.earlier == 0 {
            throttled().with("retry-after", "1")
        } else {
            success(json!([]))
        }
    });
    // One at a time, so that the others come after the refusal.
    audit(&server)
        .args(["--concurrency", "1"])
        .args(ids(5))
        .run()
        .expect(0);
    let requests = server.requests();
    assert_eq!(requests.len(), 6);
    for later in &requests[1..] {
        assert!(later.at - requests[0].at >= Duration::from_secs(1));
    }
}

#[test]
fn three_pauses_in_vain_end_the_asking_and_the_rest_is_unread() {
    let server = first(usize::MAX, throttled());
    let outcome = audit(&server)
        .args(["--rate", "100/80ms", "--concurrency", "4"])
        .args(ids(40))
        .run()
        .expect(3);
    let rows = outcome.csv("accounts.csv");
    assert_eq!(rows.len(), 40);
    for row in &rows {
        assert_eq!(row["error_kind"], "rate-limited");
        assert!(
            row["error_message"].contains("after 3 pauses in a row"),
            "{row:?}"
        );
    }
    // The first ones at once, then one a pause to see whether the block is over.
    let sent = server.requests().len();
    assert!((4..=4 + 3).contains(&sent), "{sent} requests");
    let told = outcome.stderr.matches("ERROR").count();
    assert_eq!(
        told, 1,
        "that the token is stopped is said once:\n{}",
        outcome.stderr
    );
}

#[test]
fn a_success_between_pauses_begins_the_counting_again() {
    // Every other request is refused: far more than three pauses, never two in a row.
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| {
        if count.fetch_xor(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            throttled()
        } else {
            success(json!([]))
        }
    });
    let outcome = audit(&server)
        .args(["--rate", "100/50ms", "--concurrency", "1"])
        .args(ids(6))
        .run()
        .expect(0);
    assert_eq!(server.requests().len(), 12);
    assert_eq!(outcome.column("accounts.csv", "outcome"), vec!["read"; 6]);
}

#[test]
fn one_account_that_is_always_one_too_many_costs_no_other() {
    for concurrency in ["1", "4"] {
        let server = Server::start(|request| {
            if request.account() == id(2) {
                throttled()
            } else {
                success(json!([]))
            }
        });
        let outcome = audit(&server)
            .args(["--rate", "100/60ms", "--concurrency", concurrency])
            .args(ids(12))
            .run()
            .expect(3);
        for row in outcome.csv("accounts.csv") {
            if row["account_id"] == id(2) {
                assert_eq!(row["error_kind"], "rate-limited");
                let message = &row["error_message"];
                assert!(message.contains("still over the rate limit"), "{message}");
            } else {
                assert_eq!(row["outcome"], "read", "{row:?}");
            }
        }
        assert!(server.of_account(&id(2)).len() <= 8);
    }
}

#[test]
fn a_failing_server_that_asks_for_an_hour_is_not_waited_for() {
    let server = first(usize::MAX, answer(503, "").with("retry-after", "3500"));
    let outcome = audit(&server).arg(id(1)).run().expect(3);
    let row = outcome.account(&id(1));
    assert_eq!((&*row["error_kind"], &*row["attempts"]), ("server", "1"));
    assert!(row["error_message"].contains("wait 3500 s, which is too long"));
}

#[test]
fn one_account_that_asks_to_wait_for_years_costs_no_other() {
    let server = Server::start(|request| {
        if request.account() == id(3) {
            throttled().with("retry-after", "1000000000")
        } else {
            success(json!([]))
        }
    });
    let outcome = audit(&server)
        .args(["--concurrency", "1"])
        .args(ids(6))
        .run()
        .expect(3);
    let outcomes = outcome.column("accounts.csv", "outcome");
    assert_eq!(outcomes, ["read", "read", "unread", "read", "read", "read"]);
    let message = &outcome.account(&id(3))["error_message"];
    assert!(message.contains("which is too long"), "{message}");
    // Where every account does, it is the token's.
    let server = Server::start(|_| throttled().with("retry-after", "1000000000"));
    let outcome = audit(&server)
        .args(["--concurrency", "1"])
        .args(ids(20))
        .run()
        .expect(3);
    assert_eq!(server.requests().len(), 3);
    assert_eq!(
        outcome.column("accounts.csv", "error_kind"),
        vec!["rate-limited"; 20]
    );
}

#[test]
fn a_long_pause_is_said_in_the_log() {
    let server = Server::start(|_| throttled().with("retry-after", "3000"));
    let program = audit(&server)
        .args(["--concurrency", "2", "--progress", "never"])
        .args(ids(4))
        .through("exec \"$@\" 2> log");
    let log = program.dir().join("log");
    let log = || std::fs::read_to_string(&log).unwrap_or_default();
    let said = "pausing the token of CLOUDFLARE_API_TOKEN for 3000 s";
    let running = program.spawn();
    wait_until("it is said", || log().contains(said));
    running.signal("TERM");
    let outcome = running.wait().expect(130);
    assert_eq!(log().matches(said).count(), 1, "{}", log());
    drop(outcome);
}

#[test]
fn the_servers_word_on_trying_again_comes_before_ours() {
    for (status, header, retries, attempted, code) in [
        (503, "false", "5", "1", 3),
        (500, "FALSE", "5", "1", 3),
        (503, "maybe", "5", "3", 0),
        (400, "true", "5", "3", 0),
        (403, "true", "5", "3", 0),
        (302, "true", "5", "3", 0),
        (401, "true", "5", "3", 0),
        (400, "true", "1", "2", 3),
        (400, "true", "0", "1", 3),
    ] {
        let server = first(2, answer(status, "{}").with("x-should-retry", header));
        let outcome = audit(&server)
            .args(["--retries", retries, &id(1)])
            .run()
            .expect(code);
        assert_eq!(
            attempts(&outcome),
            [attempted],
            "HTTP {status}, {header}, {retries} retries"
        );
    }
}

#[test]
fn what_the_server_wants_again_costs_the_token_nothing() {
    // Three refusals in a row would stop the token.
    let server = first(
        3,
        failure(401, 1000, "Invalid API Token").with("x-should-retry", "true"),
    );
    let outcome = audit(&server).args(ids(3)).run().expect(0);
    assert_eq!(attempts(&outcome), ["4", "4", "4"]);
}

#[test]
fn a_pause_is_a_pause_whatever_the_server_says_of_trying_again() {
    for header in ["true", "false"] {
        let throttled = throttled()
            .with("x-should-retry", header)
            .with("retry-after", "1");
        let server = first(1, throttled);
        let outcome = audit(&server)
            .args(["--retries", "0", &id(1)])
            .run()
            .expect(0);
        assert_eq!(attempts(&outcome), ["2"]);
        assert!(gap(&server, &id(1)) >= Duration::from_secs(1));
    }
}

#[test]
fn no_change_is_sent_twice_whatever_the_server_says_of_trying_again() {
    let server = first(usize::MAX, answer(503, "").with("x-should-retry", "true"));
    program("connector")
        .at(&server)
        .args([
            "create",
            &id(1),
            "--email-domain",
            "a.example",
            "--retry-delay",
            "0s",
        ])
        .run()
        .expect(1);
    assert_eq!(server.requests().len(), 1);
}
