//! What answers mean: every departure that is known, and every error.

use serde_json::{Value, json};

use crate::support::*;

const CSV_AS_IT_CAME: [&str; 2] = ["--csv-dialect", "plain"];

/// The documented example, as documented.
const EXAMPLE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";

fn read(body: Value) -> Outcome {
    let server = Server::start(move |_| answer(200, body.to_string()));
    audit(&server)
        .args(CSV_AS_IT_CAME)
        .arg(id(1))
        .run()
        .expect(0)
}

fn read_result(result: Value) -> Outcome {
    read(json!({"success": true, "errors": [], "messages": [], "result": result}))
}

fn cells(row: &Row, columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| row[*column].clone()).collect()
}

#[test]
fn the_documented_example_is_read() {
    let outcome = read_result(json!([{
        "id": EXAMPLE_ID,
        "created_on": "2025-01-01T12:21:02.0000Z",
        "email_domain": "example.com",
        "enabled": false,
        "updated_on": "2025-01-01T12:21:03.0000Z",
        "use_fedramp_language": false,
        "verification": {"code": format!("cloudflare_dashboard_sso={EXAMPLE_ID}"), "status": "pending"},
    }]));
    let row = outcome.csv("connectors.csv").remove(0);
    let columns = [
        "connector_id",
        "email_domain",
        "enabled",
        "verification_status",
        "verification_code",
        "use_fedramp_language",
        "created_on_utc",
        "updated_on_utc",
        "rules",
        "worst_severity",
    ];
    assert_eq!(
        cells(&row, &columns),
        [
            EXAMPLE_ID,
            "example.com",
            "false",
            "pending",
            &format!("cloudflare_dashboard_sso={EXAMPLE_ID}"),
            "false",
            "2025-01-01 12:21:02",
            "2025-01-01 12:21:03",
            "unverified-domain stale-verification disabled-connector",
            "medium",
        ]
    );
    let unverified = outcome.csv("unverified_domains.csv").remove(0);
    assert_eq!(
        cells(&unverified, &["txt_name", "txt_value", "age_days"]),
        [
            "example.com",
            &format!("cloudflare_dashboard_sso={EXAMPLE_ID}"),
            "688"
        ]
    );
}

#[test]
fn a_connector_id_of_31_characters_and_absent_fields_cost_nothing() {
    let short = &EXAMPLE_ID[..31];
    let outcome = read_result(json!([
        {"id": short, "email_domain": "short.example", "enabled": true, "created_on": "2025-01-01T12:21:02.0000Z",
         "verification": {"code": "x", "status": "verified"}},
    ]));
    let row = outcome.csv("connectors.csv").remove(0);
    assert_eq!(
        cells(
            &row,
            &[
                "connector_id",
                "use_fedramp_language",
                "updated_on_utc",
                "rules"
            ]
        ),
        [short, "unknown", "", "unknown-value"]
    );
    let finding = outcome.csv("findings.csv").remove(0);
    assert_eq!(finding["message"], "use_fedramp_language is absent");
    let account = outcome.account(&id(1));
    assert_eq!(cells(&account, &["fedramp_on", "fedramp_off"]), ["0", "0"]);
}

#[test]
fn absent_null_unrecognised_and_false_stay_four_things() {
    let of = |number: usize, fields: Value| {
        let mut connector = connector(number, &format!("d{number}.example"));
        let known = connector.as_object_mut().unwrap();
        known.remove("enabled");
        known.extend(fields.as_object().unwrap().clone());
        connector
    };
    let outcome = read_result(json!([
        of(1, json!({})),
        of(2, json!({"enabled": null})),
        of(3, json!({"enabled": "yes"})),
        of(4, json!({"enabled": false})),
        of(5, json!({"enabled": 1})),
    ]));
    assert_eq!(
        outcome.column("connectors.csv", "enabled"),
        ["unknown", "unknown", "yes", "false", "1"]
    );
    assert_eq!(
        outcome.column("connectors.csv", "rules"),
        [
            "unknown-value",
            "unknown-value",
            "unknown-value",
            "disabled-connector",
            "unknown-value"
        ]
    );
    let mut said: Vec<_> = outcome
        .csv("findings.csv")
        .into_iter()
        .filter(|row| row["rule"] == "unknown-value")
        .map(|row| row["message"].clone())
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "enabled is absent",
            "enabled is null",
            "enabled is unrecognised: \"yes\"",
            "enabled is unrecognised: 1"
        ]
    );
    // Not true is listed as disabled, whatever it is.
    assert_eq!(outcome.csv("disabled_connectors.csv").len(), 5);
}

#[test]
fn statuses_of_tomorrow_and_odd_verifications_are_reported_as_they_came() {
    let of = |number: usize, verification: Value| {
        connector_with(
            number,
            &format!("d{number}.example"),
            json!({"verification": verification}),
        )
    };
    let mut without = connector(7, "d7.example");
    without.as_object_mut().unwrap().remove("verification");
    let outcome = read_result(json!([
        of(1, json!({"status": "superseded", "code": "x"})),
        of(2, Value::Null),
        of(3, json!({"status": null})),
        of(4, json!([])),
        of(5, json!("verified")),
        of(6, json!({"status": "VERIFIED"})),
        without,
    ]));
    assert_eq!(
        outcome.column("connectors.csv", "verification_status"),
        [
            "superseded",
            "unknown",
            "unknown",
            "[]",
            "verified",
            "VERIFIED",
            "unknown"
        ]
    );
    // None of them is taken for verified.
    assert_eq!(outcome.csv("unverified_domains.csv").len(), 7);
    let unknown = outcome.column("findings.csv", "rule");
    assert_eq!(
        unknown
            .iter()
            .filter(|rule| *rule == "unknown-value")
            .count(),
        7
    );
    // What is not known is not called unverified.
    assert!(!unknown.iter().any(|rule| rule == "unverified-domain"));
}

#[test]
fn one_odd_record_costs_neither_itself_nor_the_others() {
    let outcome = read_result(json!([
        null,
        7,
        "text",
        [],
        {},
        connector_with(
            1,
            "ok.example",
            json!({"created_on": "yesterday", "updated_on": 12, "method": {"x": [1]}})
        ),
        connector_with(2, "other.example", json!({"email_domain": null, "id": 5})),
    ]));
    let rows = outcome.csv("connectors.csv");
    assert_eq!(rows.len(), 7);
    let ok = rows
        .iter()
        .find(|row| row["email_domain"] == "ok.example")
        .unwrap();
    assert_eq!(
        cells(
            ok,
            &[
                "enabled",
                "verification_status",
                "created_on_utc",
                "updated_on_utc",
                "rules"
            ]
        ),
        ["true", "verified", "yesterday", "12", ""]
    );
    let odd = rows.iter().find(|row| row["connector_id"] == "5").unwrap();
    assert_eq!(
        cells(odd, &["email_domain", "rules"]),
        ["", "unknown-value"]
    );
    let account = outcome.account(&id(1));
    assert_eq!(cells(&account, &["outcome", "connectors"]), ["read", "7"]);
    // A field that nobody has documented is kept as evidence.
    assert!(
        outcome
            .text("evidence.jsonl")
            .contains(r#""method":{"x":[1]}"#)
    );
}

#[test]
fn envelopes_that_lack_what_is_required_are_read() {
    let list = json!([connector(1, "a.example")]);
    for body in [
        json!({"success": true, "result": list}),
        json!({"result": list}),
        json!({"success": "true", "errors": null, "messages": null, "result": list}),
        json!({"success": true, "errors": {}, "messages": "none", "result": list, "result_info": []}),
        json!({"success": true, "errors": [], "messages": [{"code": 10000, "message": "This API Token is valid and active"}], "result": list}),
        json!({"success": true, "errors": [], "messages": [{"message": "no code"}, 7], "result": list,
               "result_info": {"count": 1, "page": 1, "per_page": 20, "total_count": 1}}),
        json!({"success": true, "errors": [], "messages": [], "result": list, "result_info": {"total_count": "1"}}),
        json!({"success": true, "errors": [], "messages": [], "result": list, "result_info": {"total_count": "many"}}),
        json!({"success": true, "errors": [], "messages": [], "result": list, "result_info": {"total_count": 0}}),
    ] {
        let outcome = read(body.clone());
        assert_eq!(outcome.account(&id(1))["connectors"], "1", "{body}");
    }
}

#[test]
fn fewer_connectors_than_there_are_is_an_incomplete_list() {
    for total in [json!(2000), json!("2000")] {
        let server = Server::start(move |_| {
            enveloped(
                json!([connector(1, "a.example")]),
                json!({"count": 1, "page": 1, "per_page": 20, "total_count": total}),
            )
        });
        let outcome = audit(&server).arg(id(1)).run().expect(3);
        let row = outcome.account(&id(1));
        assert_eq!(
            cells(&row, &["outcome", "error_kind", "connectors", "attempts"]),
            ["incomplete", "incomplete-list", "1", "1"]
        );
        assert!(
            row["error_message"].contains("1 of 2000"),
            "{}",
            row["error_message"]
        );
        // What was read is judged and shown.
        assert_eq!(outcome.csv("connectors.csv").len(), 1);
        assert_eq!(outcome.column("findings.csv", "rule"), ["unread-account"]);
    }
}

/// What an account's answer leads to, beside three neighbours that are all read.
struct Case {
    reply: Reply,
    kind: &'static str,
    code: &'static str,
    said: &'static str,
    status: u16,
}

fn case(kind: &'static str, code: u64, status: u16, said: &'static str) -> Case {
    let code_text: &str = Box::leak(code.to_string().into_boxed_str());
    Case {
        reply: failure(status, code, said),
        kind,
        code: code_text,
        said,
        status,
    }
}

fn odd(
    kind: &'static str,
    status: u16,
    body: &str,
    code: &'static str,
    said: &'static str,
) -> Case {
    Case {
        reply: answer(status, body),
        kind,
        code,
        said,
        status,
    }
}

fn error_cases() -> Vec<Case> {
    let mut cases = vec![
        case("auth", 10000, 403, "Authentication error"),
        case("auth", 10000, 401, "Authentication error"),
        case("auth", 9109, 403, "Invalid access token"),
        case(
            "auth",
            9109,
            403,
            "Max auth failures reached, please check your Authorization header.",
        ),
        case(
            "forbidden",
            9109,
            403,
            "Unauthorized to access requested resource",
        ),
        case(
            "auth",
            9109,
            403,
            "Cannot use the access token from location: 192.0.2.7",
        ),
        case("auth", 1000, 401, "Invalid API Token"),
        case("auth", 1000, 400, "Invalid API Token"),
        case("auth", 1000, 403, "Invalid API Token"),
        case(
            "api",
            1001,
            400,
            "List accounts endpoint does not support account owned tokens.",
        ),
        case(
            "auth",
            9106,
            400,
            "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
        ),
        case(
            "not-found",
            7003,
            404,
            "Could not route to /accounts/x, perhaps your object identifier is invalid?",
        ),
        case("not-found", 7000, 400, "No route for that URI"),
        case("api", 4711, 418, "Something new"),
        case("forbidden", 4711, 403, "Something new"),
        // A failure inside a 200.
        case(
            "forbidden",
            9109,
            200,
            "Unauthorized to access requested resource",
        ),
        case("api", 4711, 200, "Something new"),
    ];
    let forbidden = json!({"success": false, "errors": [{"code": 10000, "message": "Forbidden", "documentation_url": "https://developers.example"}]});
    let headers = json!({"success": false, "errors": [{"code": 6003, "message": "Invalid request headers",
        "error_chain": [{"code": 6111, "message": "Invalid format for Authorization header"}]}], "messages": [], "result": null});
    let two = json!({"success": false, "errors": [
        {"code": 7003, "message": "Could not route to /x, perhaps your object identifier is invalid?"},
        {"code": 7000, "message": "No route for that URI"}]});
    cases.extend([
        odd("auth", 403, &forbidden.to_string(), "10000", "Forbidden"),
        odd(
            "auth",
            400,
            &headers.to_string(),
            "6003",
            "Invalid request headers",
        ),
        odd(
            "not-found",
            400,
            &two.to_string(),
            "7003",
            "No route for that URI",
        ),
        odd(
            "auth",
            403,
            r#"{"success":false,"errors":[{"code":"10000","message":"Authentication error"}]}"#,
            "10000",
            "lacks the permission \"SSO Connector Read\"",
        ),
        odd(
            "auth",
            403,
            r#"{"success":false,"errors":[{"message":"Invalid access token"}]}"#,
            "",
            "Invalid access token",
        ),
        odd("not-found", 404, r#"{"errors":["gone"]}"#, "", "gone"),
        odd("auth", 401, "", "", "HTTP 401, and the body is empty"),
        odd(
            "forbidden",
            403,
            "<html>Access denied</html>",
            "",
            "HTTP 403, and the body is HTML instead of JSON",
        ),
        odd("not-found", 404, "{}", "", "HTTP 404 with no reason given"),
        odd(
            "api",
            400,
            "nonsense",
            "",
            "HTTP 400, and the body is not JSON",
        ),
        odd(
            "api",
            200,
            r#"{"success":false,"errors":[],"messages":[],"result":null}"#,
            "",
            "success: false",
        ),
        odd(
            "malformed",
            200,
            r#"{"success":true,"errors":[{"code":1000,"message":"odd"}],"result":null}"#,
            "",
            "with errors or without",
        ),
        odd(
            "malformed",
            200,
            r#"{"success":true,"errors":[],"messages":[]}"#,
            "",
            "no `result`",
        ),
        odd(
            "malformed",
            200,
            r#"{"success":true,"result":{"id":"x"}}"#,
            "",
            "not the list the API documents",
        ),
        odd("malformed", 200, "[]", "", ""),
        odd("malformed", 200, "", "", "the body is empty"),
        odd(
            "malformed",
            201,
            "{}",
            "",
            "HTTP 201, which the API does not document",
        ),
        odd(
            "malformed",
            202,
            r#"{"success":true,"result":[]}"#,
            "",
            "HTTP 202",
        ),
    ]);
    cases
}

#[test]
fn every_error_has_its_kind_and_stays_its_accounts_own() {
    let cases = error_cases();
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(move || part.iter().for_each(check));
        }
    });
}

fn check(case: &Case) {
    let reply = case.reply.clone();
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
    let outcome = audit(&server).args(ids(4)).run().expect(3);
    let what = format!("{:?}", case.reply);
    assert_eq!(
        outcome.column("accounts.csv", "outcome"),
        ["read", "unread", "read", "read"],
        "{what}"
    );
    assert_eq!(outcome.csv("connectors.csv").len(), 3);
    let row = outcome.account(&id(2));
    assert_eq!(
        cells(
            &row,
            &["error_kind", "error_code", "http_status", "attempts"]
        ),
        // A code of digits only is no number in a spreadsheet.
        [
            case.kind,
            &if case.code.is_empty() {
                String::new()
            } else {
                format!("'{}", case.code)
            },
            &case.status.to_string(),
            "1"
        ],
        "{what}: {row:?}"
    );
    assert!(
        row["error_message"].contains(case.said),
        "{what}: {:?}",
        row["error_message"]
    );
    assert_eq!(row["cf_ray"], format!("8a1b2c3d4e5f6{}-SYD", case.status));
    assert_eq!(row["read_at_utc"], "2026-11-21 10:15:00");
    // A line of the log has code, message and cf-ray.
    assert!(
        outcome.stderr.contains("WARN")
            && outcome.stderr.contains(&id(2))
            && outcome.stderr.contains(&row["cf_ray"]),
        "{}",
        outcome.stderr
    );
    assert!(case.code.is_empty() || outcome.stderr.contains(case.code));
    assert_eq!(server.of_account(&id(2)).len(), 1, "asked once: {what}");
}

#[test]
fn the_log_can_be_json() {
    let server = Server::start(|_| forbidden());
    let outcome = audit(&server)
        .args(["--log-format", "json", "--progress", "never", &id(1)])
        .run()
        .expect(3);
    let lines: Vec<Value> = outcome
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["level"], "WARN");
    assert_eq!(lines[0]["account"], id(1));
    assert_eq!(lines[0]["code"], "9109");
    assert_eq!(lines[0]["cf_ray"], "8a1b2c3d4e5f6403-SYD");
}

#[test]
fn null_in_place_of_a_list_is_an_account_without_connectors() {
    let answers = [
        r#"{"success":true,"errors":[],"messages":[],"result":null}"#,
        r#"{"success":true,"errors":null,"messages":[],"result":null,"result_info":{"total_count":0}}"#,
        r#"{"success":true,"errors":[],"messages":[],"result":null,"result_info":{"total_count":3}}"#,
    ];
    let server = Server::start(move |request| {
        let number = (1..).find(|&number| id(number) == request.account());
        answer(200, answers[number.unwrap() - 1])
    });
    let outcome = audit(&server).args(ids(3)).run().expect(3);
    let outcomes = outcome.column("accounts.csv", "outcome");
    assert_eq!(outcomes, ["read", "read", "incomplete"]);
    let rules = outcome.column("findings.csv", "rule");
    assert_eq!(rules, ["unread-account", "no-connector", "no-connector"]);
    // What is read of the evidence is the same.
    let again = outcome.reports().join("again");
    program("render")
        .arg(outcome.run_dir())
        .arg("--output")
        .arg(&again)
        .run()
        .expect(3);
    assert_eq!(
        std::fs::read_to_string(again.join("findings.csv")).unwrap(),
        outcome.text("findings.csv")
    );
}

#[test]
fn an_empty_list_is_believed_only_where_the_answer_says_that_it_succeeded() {
    let answers = [
        r#"{"success":true,"errors":[],"result":[]}"#,
        r#"{"success":"true","errors":null,"result":[]}"#,
        r#"{"errors":[],"messages":[],"result":[]}"#,
        r#"{"success":null,"errors":[],"result":null}"#,
        r#"{"success":0,"errors":[],"result":null}"#,
        r#"{"success":true,"errors":[{"code":10000,"message":"Authentication error"}],"result":[]}"#,
        r#"{"success":true,"errors":"odd","result":[]}"#,
        r#"{"success":"false","errors":[],"result":[]}"#,
        r#"{"success":true,"errors":[],"result":[],"result_info":{"total_count":5.0}}"#,
    ];
    let server = Server::start(move |request| {
        let number = (1..).find(|&number| id(number) == request.account());
        answer(200, answers[number.unwrap() - 1])
    });
    let outcome = audit(&server).args(ids(9)).run().expect(3);
    let kinds = outcome.column("accounts.csv", "error_kind");
    let malformed = "malformed";
    let expected = [
        "",
        "",
        malformed,
        malformed,
        malformed,
        malformed,
        malformed,
        "api",
        "incomplete-list",
    ];
    assert_eq!(kinds, expected);
}
