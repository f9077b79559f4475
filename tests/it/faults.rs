//! One account's trouble stays its own, whatever its server does; and no answer costs more memory than is meant for it.

use serde_json::{Value, json};

use crate::support::*;

const MIB: u64 = 1024 * 1024;
const MOST_MEMORY: u64 = 150 * MIB;

/// What the second of four accounts leads to, where its requests get this reply; the others are read.
fn beside_good_neighbours(reply: Reply, arguments: &[&str]) -> (Row, u64, usize) {
    let what = format!("{reply:?}");
    let server = Server::start(move |request| {
        if request.account() == id(2) {
            reply.clone()
        } else {
            success(json!([connector(
                1,
                &format!("{}.example", &request.account()[24..])
            )]))
        }
    });
    let (outcome, memory) = audit(&server)
        .args(arguments)
        .args(ids(4))
        .spawn()
        .wait_and_measure();
    let outcome = outcome.expect(3);
    assert_eq!(
        outcome.column("accounts.csv", "outcome"),
        ["read", "unread", "read", "read"],
        "{what:.200}"
    );
    (
        outcome.account(&id(2)),
        memory,
        server.of_account(&id(2)).len(),
    )
}

#[track_caller]
fn check(reply: Reply, arguments: &[&str], kind: &str, attempts: usize, said: &str) {
    let (row, memory, requests) = beside_good_neighbours(reply, arguments);
    assert_eq!(row["error_kind"], kind, "{row:?}");
    assert_eq!(row["attempts"], attempts.to_string(), "{row:?}");
    assert_eq!(requests, attempts);
    assert!(row["error_message"].contains(said), "{row:?}");
    assert!(memory > 0 && memory < MOST_MEMORY, "{memory} bytes");
}

const TWICE: [&str; 2] = ["--retries", "1"];
const IMPATIENT: [&str; 4] = ["--retries", "1", "--timeout", "500ms"];

#[test]
fn a_reset_connection() {
    check(Reply::Reset, &TWICE, "connect", 2, "");
}

#[test]
fn a_connection_closed_without_a_word() {
    check(Reply::Close, &TWICE, "connect", 2, "");
}

#[test]
fn a_body_that_is_cut_off() {
    let reply = success(json!([connector(1, "a.example")])).cut_off();
    check(reply, &TWICE, "connect", 2, "");
}

#[test]
fn an_endless_body() {
    check(
        Reply::Chunked(1024 * MIB),
        &TWICE,
        "malformed",
        1,
        "larger than 8 MiB",
    );
}

#[test]
fn many_endless_bodies_at_once() {
    let server = Server::start(|_| Reply::Chunked(1024 * MIB));
    let (outcome, memory) = audit(&server).args(ids(12)).spawn().wait_and_measure();
    let outcome = outcome.expect(3);
    assert!(
        outcome
            .column("accounts.csv", "error_kind")
            .iter()
            .all(|kind| kind == "malformed")
    );
    assert!(memory > 0 && memory < MOST_MEMORY, "{memory} bytes");
}

#[test]
fn a_body_that_promises_to_be_too_large() {
    check(
        Reply::Promised(1024 * MIB),
        &TWICE,
        "malformed",
        1,
        "larger than 8 MiB",
    );
}

#[test]
fn a_large_body_that_is_none_of_those() {
    let server = Server::start(|_| {
        let many: Vec<_> = (0..6_000)
            .map(|n| connector(n, &format!("d{n}.example")))
            .collect();
        success(many.into())
    });
    let outcome = audit(&server)
        .args(["--format", "csv", &id(1)])
        .run()
        .expect(0);
    assert_eq!(outcome.account(&id(1))["connectors"], "6000");
}

#[test]
fn a_dripping_body() {
    check(
        Reply::Drip,
        &IMPATIENT,
        "timeout",
        2,
        "no complete answer within 0.5 s",
    );
}

#[test]
fn a_body_that_never_comes() {
    check(
        Reply::Promised(100),
        &IMPATIENT,
        "timeout",
        2,
        "no complete answer within 0.5 s",
    );
}

#[test]
fn a_server_that_says_nothing() {
    check(
        Reply::Hang,
        &IMPATIENT,
        "timeout",
        2,
        "no complete answer within 0.5 s",
    );
}

#[test]
fn a_port_where_nobody_listens() {
    let server = Server::start(|_| Reply::Close);
    let address = server.base_url();
    drop(server);
    let outcome = program("audit")
        .args([
            "--retry-delay",
            "0s",
            "--retries",
            "2",
            "--base-url",
            &address,
            &id(1),
        ])
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .run()
        .expect(3);
    let row = outcome.account(&id(1));
    assert_eq!((&*row["error_kind"], &*row["attempts"]), ("connect", "3"));
    assert!(row["error_message"].contains("cannot connect"), "{row:?}");
}

#[test]
fn html_instead_of_json() {
    check(
        answer(200, "<!doctype html><title>Sorry</title>"),
        &TWICE,
        "malformed",
        1,
        "HTML instead of JSON",
    );
}

#[test]
fn json_that_is_none() {
    check(
        answer(200, r#"{"success":true,"result":[{"id":"#),
        &TWICE,
        "malformed",
        1,
        "not JSON",
    );
}

#[test]
fn text_that_is_none() {
    check(
        answer(
            200,
            b"{\"success\":true,\"result\":[{\"email_domain\":\"a\xff\xfe\"}]}".to_vec(),
        ),
        &TWICE,
        "malformed",
        1,
        "not UTF-8",
    );
}

#[test]
fn text_that_is_none_where_nobody_looks() {
    check(
        answer(
            200,
            b"{\"success\":true,\"result\":[],\"messages\":[\"a\xff\xfe\"]}".to_vec(),
        ),
        &TWICE,
        "malformed",
        1,
        "not UTF-8",
    );
}

#[test]
fn brackets_without_end() {
    check(answer(200, "[".repeat(100_000)), &TWICE, "malformed", 1, "");
    let deep_error = format!(
        r#"{{"success":false,"errors":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    check(
        answer(403, deep_error),
        &TWICE,
        "forbidden",
        1,
        "200000 bytes of errors",
    );
}

/// So many bytes of an answer that repeats a few.
const MUCH: usize = 3 * 1024 * 1024;

#[test]
fn an_answer_of_millions_of_nothings_costs_its_account_alone() {
    let list = |key: &str, item: &str| {
        let items = format!("{item},").repeat(MUCH / (item.len() + 1));
        format!("{{\"success\":true,\"{key}\":[{items}{item}]}}")
    };
    for item in ["0", "null", "\"\"", "{}", "[]"] {
        check(
            answer(200, list("result", item)),
            &TWICE,
            "malformed",
            1,
            "10000",
        );
    }
    // Fewer than that, and still no list of connectors.
    let some = format!("{{\"success\":true,\"result\":[{}0]}}", "0,".repeat(1000));
    check(
        answer(200, some),
        &TWICE,
        "malformed",
        1,
        "1001 entries in the list have neither an ID nor a domain",
    );
    for item in ["0", "{}", r#"{"code":1,"message":"m"}"#] {
        let errors = list("errors", item).replace("true", "false");
        check(
            answer(403, errors),
            &TWICE,
            "forbidden",
            1,
            "bytes of errors, which are not read",
        );
    }
    let long = json!({"success": false, "errors": [{"code": 4711, "message": "m".repeat(50_000)}]});
    let (row, memory, _) = beside_good_neighbours(answer(400, long.to_string()), &TWICE);
    assert!(row["error_message"].chars().count() < 500 && memory < MOST_MEMORY);
}

#[test]
fn the_longest_list_fits_and_so_does_what_changed_in_it_by_the_next_night() {
    let longest = 10_000;
    // A third of the connectors has other findings on the second night.
    let list = |night: usize| {
        let one = |number: usize| {
            let enabled = night == 1 && number.is_multiple_of(3);
            let fields = json!({"enabled": enabled, "verification": {"status": "pending"}});
            connector_with(number, &format!("d{number}.example"), fields)
        };
        (0..longest).map(one).collect::<Value>()
    };
    let nights = Nights::of(&[(1, list(0))]);
    for night in 0..2 {
        nights.set(1, list(night));
        let started = nights.night(night as i64).spawn();
        let (outcome, memory) = started.wait_and_measure();
        let outcome = outcome.expect(0);
        assert_eq!(outcome.csv("connectors.csv").len(), longest);
        // Of each: that it is enabled, the finding that is resolved, and the one that is new.
        let changes = if night == 0 {
            0
        } else {
            3 * longest.div_ceil(3)
        };
        assert_eq!(outcome.csv("changes.csv").len(), changes);
        assert!(memory > 0 && memory < 200 * MIB, "{memory} bytes");
    }
}

#[test]
fn a_night_on_which_all_is_new_takes_little_more_than_the_one_before() {
    let number_of = 2000;
    // Five findings about each connector, and texts as long as texts may be.
    let list = |night: usize| {
        let long = |what: &str, number: usize| format!("{what}{night}-{number:-<290}");
        let one = |number: usize| {
            let fields = json!({
                "id": long("i", number),
                "use_fedramp_language": null,
                "verification": {"code": long("c", number), "status": "pending"},
            });
            connector_with(number, &long("d", number / 2), fields)
        };
        (0..number_of).map(one).collect::<Value>()
    };
    let nights = Nights::of(&[(1, list(0))]);
    let run = |night: i64| {
        nights.set(1, list(night as usize));
        let (outcome, memory) = nights.night(night).spawn().wait_and_measure();
        (outcome.expect(0), memory)
    };
    let (first, _) = run(0);
    let (second, memory) = run(1);
    let changes = number_of * (5 + 5 + 1 + 1);
    assert_eq!(second.csv("changes.csv").len(), changes);
    assert!(memory < 90 * MIB, "{memory} bytes");
    let (outcome, memory) = program("diff")
        .args([first.run_dir(), second.run_dir()])
        .arg("--json")
        .spawn()
        .wait_and_measure();
    let told = outcome.expect(10).stdout_json();
    assert_eq!(told["changes"].as_array().unwrap().len(), changes);
    assert!(memory < 80 * MIB, "{memory} bytes");
}

/// How an account is read whose answer is this one, and with how much memory.
fn read_all_the_same(body: String) -> (Outcome, u64) {
    let server = Server::start(move |_| answer(200, body.clone()));
    let (outcome, memory) = audit(&server).arg(id(1)).spawn().wait_and_measure();
    assert!(memory > 0 && memory < MOST_MEMORY, "{memory} bytes");
    (outcome.expect(0), memory)
}

#[test]
fn what_is_large_beside_the_connectors_costs_them_nothing() {
    let good = connector(1, "a.example");
    let zeros = format!("[{}0]", "0,".repeat(MUCH / 2));
    for body in [
        format!("{{\"success\":true,\"result\":[{good}],\"messages\":{zeros}}}"),
        format!("{{\"success\":true,\"result\":[{good}],\"result_info\":{{\"x\":{zeros}}}}}"),
        format!(
            "{{\"success\":true,\"result\":[{}{good}]}}",
            " ".repeat(MUCH)
        ),
    ] {
        let (outcome, _) = read_all_the_same(body);
        assert_eq!(
            outcome.column("connectors.csv", "email_domain"),
            ["a.example"]
        );
    }
}

#[test]
fn an_odd_record_costs_no_other() {
    let deep = format!("{{\"new\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let huge = json!({"id": "x".repeat(MUCH), "email_domain": "huge.example"}).to_string();
    let zeros = format!(
        "{{\"verification\":{{\"status\":[{}0]}}}}",
        "0,".repeat(MUCH / 2)
    );
    let odd = [
        r#"{"id":"\ud800"}"#,
        r#"{"new":1e999}"#,
        &deep,
        &huge,
        &zeros,
    ];
    let (first, last) = (connector(1, "a.example"), connector(2, "b.example"));
    let body = format!(
        "{{\"success\":true,\"result\":[{first},{},{last}]}}",
        odd.join(",")
    );
    let (outcome, _) = read_all_the_same(body);
    let mut domains = outcome.column("connectors.csv", "email_domain");
    domains.retain(|domain| !domain.is_empty());
    assert_eq!(domains, ["a.example", "b.example"]);
    let findings = outcome.column("findings.csv", "rule");
    assert_eq!(findings, ["unknown-value"; 5]);
    // What is read of the evidence is the same.
    let again = outcome.reports().join("again");
    program("render")
        .arg(outcome.run_dir())
        .arg("--output")
        .arg(&again)
        .run()
        .expect(0);
    let same = |name: &str| std::fs::read(again.join(name)).unwrap() == outcome.read(name);
    assert!(same("connectors.csv") && same("findings.csv") && same("report.json"));
}

#[test]
fn bytes_that_are_no_http() {
    check(
        Reply::Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()),
        &TWICE,
        "connect",
        2,
        "",
    );
    let endless_head = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; MIB as usize]].concat();
    check(Reply::Raw(endless_head), &TWICE, "connect", 2, "");
}

#[test]
fn a_redirect_is_not_followed_and_the_other_host_hears_nothing() {
    for status in [301, 302, 303, 307, 308] {
        let other = Server::start(|_| success(json!([])));
        let to = format!("{}/accounts/x/sso_connectors", other.base_url());
        let reply = answer(status, "").with("location", &to);
        let (row, _, requests) = beside_good_neighbours(reply, &TWICE);
        assert_eq!(row["error_kind"], "malformed");
        assert_eq!((&*row["attempts"], requests), ("1", 1));
        assert!(row["error_message"].contains(&to), "{row:?}");
        assert_eq!(other.requests().len(), 0, "HTTP {status} was followed");
    }
}

#[test]
fn statuses_that_nobody_documents() {
    check(answer(599, ""), &TWICE, "server", 2, "HTTP 599");
    check(
        answer(299, r#"{"success":true,"result":[]}"#),
        &TWICE,
        "malformed",
        1,
        "HTTP 299",
    );
    check(answer(418, "{}"), &TWICE, "api", 1, "HTTP 418");
    check(answer(999, "{}"), &TWICE, "api", 1, "HTTP 999");
}

#[test]
fn a_fault_that_passes_costs_nothing_but_attempts() {
    let server = Server::start(
        |request| match (request.account() == id(2), request.earlier) {
            (true, 0) => Reply::Reset,
            (true, 1) => success(json!([connector(1, "a.example")])).cut_off(),
            (true, 2) => Reply::Hang,
            (true, 3) => Reply::Close,
            _ => success(json!([connector(1, "a.example")])),
        },
    );
    let outcome = audit(&server)
        .args(["--timeout", "600ms"])
        .args(ids(3))
        .run()
        .expect(0);
    assert_eq!(outcome.column("accounts.csv", "attempts"), ["1", "5", "1"]);
}

#[test]
fn a_server_without_tls_hears_no_token() {
    let server = Server::start(|_| success(json!([])));
    let address = server.base_url().replace("http://", "https://");
    let outcome = audit(&server)
        .args([
            "--base-url",
            &address,
            "--retries",
            "0",
            "--timeout",
            "400ms",
        ])
        .arg(id(1))
        .run()
        .expect(3);
    let kind = &outcome.account(&id(1))["error_kind"];
    assert!(["timeout", "connect"].contains(&kind.as_str()), "{kind}");
    assert_eq!(server.requests().len(), 0);
}
