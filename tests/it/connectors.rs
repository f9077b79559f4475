//! `connector`: each of the six operations as it arrives at the server, and what is reported of the answers.

use serde_json::{Value, json};

use crate::support::*;

/// `connector` with an operation on account 1, quick to try again.
fn connector_command(server: &Server, operation: &str) -> Program {
    program("connector")
        .at(server)
        .arg(operation)
        .arg(id(1))
        .args(["--retry-delay", "0s"])
}

fn path(rest: &str) -> String {
    format!("/client/v4/accounts/{}/sso_connectors{rest}", id(1))
}

fn of_connector(number: usize) -> String {
    path(&format!("/{}", connector_id(number)))
}

fn pending() -> Value {
    connector_with(
        1,
        "corp.example",
        json!({"enabled": false, "verification": {"status": "pending", "code": "cloudflare_dashboard_sso=abc"}}),
    )
}

/// Answers everything as the API does: the list with what is given, and each connector by its id.
fn api(connectors: Vec<Value>) -> Server {
    Server::start(move |request| {
        let rest = request.path.strip_prefix(&path("")).unwrap_or_default();
        let named = rest.trim_start_matches('/').split('/').next().unwrap();
        let found = connectors.iter().find(|c| c["id"] == named).cloned();
        match (request.method.as_str(), rest, found) {
            ("GET", "", _) => success(json!(connectors)),
            ("POST", "", _) => success(pending()),
            ("POST", _, Some(_)) => answer(200, r#"{"success":true,"errors":[],"messages":[]}"#),
            ("DELETE", _, Some(_)) => success(Value::Null),
            (_, _, Some(connector)) => success(connector),
            _ => failure(404, 12003, "connector not found"),
        }
    })
}

/// One operation: its arguments, and the request that it is.
struct Case {
    operation: &'static str,
    arguments: Vec<String>,
    method: &'static str,
    path: String,
    body: Option<Value>,
}

fn cases() -> Vec<Case> {
    let case = |operation, arguments: &[&str], method, path, body| Case {
        operation,
        arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        method,
        path,
        body,
    };
    let one = connector_id(1);
    let change = |arguments: &[&str], body: Value| {
        let mut all = vec![one.as_str()];
        all.extend(arguments);
        case("update", &all, "PATCH", of_connector(1), Some(body))
    };
    vec![
        case("list", &[], "GET", path(""), None),
        case("get", &[&one], "GET", of_connector(1), None),
        case(
            "create",
            &["--email-domain", "corp.example"],
            "POST",
            path(""),
            Some(
                json!({"email_domain": "corp.example", "begin_verification": true, "use_fedramp_language": false}),
            ),
        ),
        case(
            "create",
            &[
                "--email-domain",
                "Münch\"en.example",
                "--no-begin-verification",
                "--use-fedramp-language",
            ],
            "POST",
            path(""),
            Some(
                json!({"email_domain": "Münch\"en.example", "begin_verification": false, "use_fedramp_language": true}),
            ),
        ),
        change(&["--enabled", "false"], json!({"enabled": false})),
        change(&["--enabled", "true", "--yes"], json!({"enabled": true})),
        change(
            &["--use-fedramp-language", "true"],
            json!({"use_fedramp_language": true}),
        ),
        change(
            &["--use-fedramp-language", "false", "--enabled", "false"],
            json!({"enabled": false, "use_fedramp_language": false}),
        ),
        case("delete", &[&one, "--yes"], "DELETE", of_connector(1), None),
        case(
            "begin-verification",
            &[&one],
            "POST",
            path(&format!("/{one}/begin_verification")),
            None,
        ),
    ]
}

#[test]
fn each_operation_is_one_request_as_the_api_wants_it() {
    let server = api(vec![connector(1, "corp.example")]);
    for case in cases() {
        server.now({
            let body = connector(1, "corp.example");
            move |request| match request.path.ends_with("sso_connectors") && request.method == "GET"
            {
                true => success(json!([body])),
                false => success(body.clone()),
            }
        });
        connector_command(&server, case.operation)
            .args(&case.arguments)
            .run()
            .expect(0);
        let requests = server.requests();
        let name = format!("{} {:?}", case.operation, case.arguments);
        assert_eq!(requests.len(), 1, "{name}");
        let request = &requests[0];
        assert_eq!(
            (request.method.as_str(), &request.path),
            (case.method, &case.path),
            "{name}"
        );
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(request.header("authorization"), Some(&*bearer), "{name}");
        assert_eq!(request.header("api-version"), None, "{name}");
        for other in ["x-auth-key", "x-auth-email", "cookie", "referer"] {
            assert_eq!(request.header(other), None, "{name}");
        }
        match &case.body {
            None => {
                assert_eq!(request.body, b"", "{name}");
                assert_eq!(request.header("content-type"), None, "{name}");
            }
            Some(body) => {
                let sent: Value = serde_json::from_slice(&request.body).unwrap();
                assert_eq!(&sent, body, "{name}");
                let kind = request.header("content-type");
                assert_eq!(kind, Some("application/json"), "{name}");
            }
        }
    }
}

#[test]
fn a_rehearsal_shows_each_request_and_sends_nothing() {
    let server = api(vec![connector(1, "corp.example")]);
    for case in cases() {
        // What would be asked about needs no yes where nothing is sent.
        let arguments: Vec<_> = case.arguments.iter().filter(|a| *a != "--yes").collect();
        // Nor does it need a token.
        let rehearsed = || {
            connector_command(&server, case.operation)
                .without_env("CLOUDFLARE_API_TOKEN")
                .args(&arguments)
                .arg("--dry-run")
        };
        let url = server.base_url().replace("/client/v4", "") + &case.path;
        let text = rehearsed().run().expect(0).stdout;
        assert!(
            text.starts_with(&format!("{} {url}\n", case.method)),
            "{text}"
        );
        assert!(text.ends_with("(nothing was sent)\n"), "{text}");
        let shown = rehearsed().arg("--json").run().expect(0).stdout_json();
        let expected = json!({"method": case.method, "url": url, "body": case.body});
        assert_eq!(shown, expected);
        for secret in [TOKEN, "authorization"] {
            assert!(!text.contains(secret));
        }
        assert_eq!(server.requests().len(), 0, "{}", case.operation);
    }
    // An account or a connector may well have the ID that stands for one that is not known.
    let odd = "f".repeat(32);
    let rehearsed = |arguments: &[&str]| {
        program("connector")
            .at(&server)
            .args(arguments)
            .arg("--dry-run")
            .run()
            .expect(0)
            .stdout
    };
    let base = server.base_url();
    for (arguments, url) in [
        (
            &["list", &odd][..],
            format!("GET {base}/accounts/{odd}/sso_connectors\n"),
        ),
        (
            &["get", &odd, &odd],
            format!("GET {base}/accounts/{odd}/sso_connectors/{odd}\n"),
        ),
        (
            &["get", &odd, "corp.example"],
            format!("GET {base}/accounts/{odd}/sso_connectors/<id of corp.example>\n"),
        ),
    ] {
        let text = rehearsed(arguments);
        assert!(text.starts_with(&url), "{text}");
    }
    // Nor is a domain looked up.
    connector_command(&server, "delete")
        .args(["corp.example", "--dry-run"])
        .run()
        .expect(0)
        .prints(&["DELETE ", "/sso_connectors/<id of corp.example>\n"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_connector_is_found_by_its_domain_in_any_spelling() {
    let connectors = vec![
        connector(1, "corp.example"),
        connector(2, "xn--mnchen-3ya.example"),
        connector(3, "Straße.example"),
        connector(4, "sub.corp.example"),
    ];
    for (named, number) in [
        ("corp.example", 1),
        ("CORP.Example.", 1),
        ("MÜNCHEN.example", 2),
        ("xn--mnchen-3ya.example", 2),
        ("straße.EXAMPLE", 3),
        ("sub.corp.example", 4),
    ] {
        let server = api(connectors.clone());
        connector_command(&server, "get").arg(named).run().expect(0);
        let asked: Vec<_> = server.requests().into_iter().map(|r| r.path).collect();
        assert_eq!(asked, [path(""), of_connector(number)], "{named}");
    }
    // Each operation on one connector takes a domain.
    for (operation, more, method, end) in [
        ("update", &["--enabled", "false"][..], "PATCH", ""),
        ("delete", &["--yes"], "DELETE", ""),
        ("begin-verification", &[], "POST", "/begin_verification"),
    ] {
        let server = api(connectors.clone());
        connector_command(&server, operation)
            .arg("Corp.example")
            .args(more)
            .run()
            .expect(0);
        let last = server.requests().pop().unwrap();
        assert_eq!(last.method, method);
        assert_eq!(last.path, of_connector(1) + end);
    }
}

#[test]
fn a_domain_that_is_not_one_connector_changes_nothing() {
    let twice = vec![
        connector(1, "corp.example"),
        connector(2, "Corp.example."),
        connector_with(3, "no-id.example", json!({"id": null})),
    ];
    for (named, told) in [
        (
            "other.example",
            vec!["has no connector for other.example", "connector list"],
        ),
        (
            "corp.example",
            vec!["has 2 connectors for corp.example", "name one by its ID"],
        ),
        ("no-id.example", vec!["no-id.example"]),
    ] {
        let server = api(twice.clone());
        let outcome = connector_command(&server, "delete")
            .args([named, "--yes"])
            .run()
            .expect(1)
            .says(&told);
        if named == "corp.example" {
            outcome.says(&[&connector_id(1), &connector_id(2)]);
        }
        assert!(server.requests().iter().all(|r| r.method == "GET"));
    }
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_asked() {
    let server = api(vec![]);
    program("connector")
        .at(&server)
        .args(["list", "not-an-account"])
        .run()
        .expect(2)
        .says(&["32 hex digits", "023e105f4ecef8ad9ca31a8372d0c353"]);
    connector_command(&server, "get")
        .arg("short")
        .run()
        .expect(2)
        .says(&[
            "\"short\" is neither a connector ID, which has 32 characters, nor an e-mail domain",
        ]);
    connector_command(&server, "update")
        .arg(connector_id(1))
        .run()
        .expect(2)
        .says(&["--enabled"]);
    connector_command(&server, "update")
        .args([&connector_id(1), "--enabled", "yes"])
        .run()
        .expect(2)
        .says(&["true", "false"]);
    connector_command(&server, "create")
        .run()
        .expect(2)
        .says(&["--email-domain"]);
    program("connector")
        .args(["list", &id(1)])
        .env("CLOUDFLARE_BASE_URL", server.base_url())
        .run()
        .expect(2)
        .says(&["CLOUDFLARE_API_TOKEN"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn what_cannot_be_taken_back_needs_a_yes_where_nobody_can_be_asked() {
    let server = api(vec![connector(1, "corp.example")]);
    for arguments in [
        vec!["delete", "corp.example"],
        vec!["update", "corp.example", "--enabled", "true"],
        vec![
            "update",
            "corp.example",
            "--enabled",
            "true",
            "--use-fedramp-language",
            "false",
        ],
    ] {
        connector_command(&server, arguments[0])
            .args(&arguments[1..])
            // An answer that nobody was asked for is no yes.
            .stdin("y\n")
            .run()
            .expect(2)
            .says(&["--yes", "--dry-run"]);
    }
    assert_eq!(server.requests().len(), 0);
}

/// The same on a terminal, where somebody answers.
fn answered(server: &Server, arguments: &[&str], typed: &str) -> Outcome {
    connector_command(server, arguments[0])
        .args(&arguments[1..])
        .on_a_terminal()
        .stdin(typed)
        .run()
}

#[test]
fn on_a_terminal_it_is_asked_and_only_a_yes_is_one() {
    for (arguments, question) in [
        (
            &["delete", "corp.example"][..],
            "Delete the connector corp.example",
        ),
        (
            &["update", "corp.example", "--enabled", "true"],
            "This takes effect for every user of the domain",
        ),
    ] {
        for (typed, yes) in [
            ("y\n", true),
            ("YES\n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("yep\n", false),
        ] {
            let server = api(vec![connector(1, "corp.example")]);
            let outcome = answered(&server, arguments, typed).expect(if yes { 0 } else { 1 });
            assert!(outcome.stdout.contains(question), "{}", outcome.stdout);
            assert!(outcome.stdout.contains("[y/N]"));
            let changed = server.requests().iter().any(|r| r.method != "GET");
            assert_eq!(changed, yes, "{typed:?}");
            if !yes {
                assert!(outcome.stdout.contains("nothing was changed"));
            }
        }
    }
    // What can be taken back is not asked about.
    let server = api(vec![connector(1, "corp.example")]);
    let outcome = answered(
        &server,
        &["update", "corp.example", "--enabled", "false"],
        "",
    )
    .expect(0);
    assert!(!outcome.stdout.contains("[y/N]"));
}

#[test]
fn people_get_a_table_and_the_record_to_publish() {
    let server = api(vec![
        pending(),
        connector_with(
            2,
            "b.example",
            json!({"verification": {"status": "verified", "code": "v"}, "use_fedramp_language": null, "enabled": "odd\u{1b}[31m"}),
        ),
    ]);
    let list = connector_command(&server, "list").run().expect(0).stdout;
    let expected = format!(
        "ID                                DOMAIN        STATUS    ENABLED   FEDRAMP\n\
         {}  corp.example  pending   false     false\n\
         {}  b.example     verified  ",
        connector_id(1),
        connector_id(2)
    );
    assert!(list.starts_with(&expected), "{list}");
    assert!(
        !list.contains('\u{1b}'),
        "what is odd does nothing to a terminal"
    );
    let record = "Publish this TXT record, at the e-mail domain itself:\n  corp.example. 300 IN TXT \"cloudflare_dashboard_sso=abc\"\n";
    for outcome in [
        connector_command(&server, "get").arg("corp.example").run(),
        connector_command(&server, "create")
            .args(["--email-domain", "corp.example"])
            .run(),
    ] {
        outcome.expect(0).prints(&[
            &format!("id             {}\n", connector_id(1)),
            "status         pending\n",
            "enabled        false\n",
            record,
        ]);
    }
    let verified = connector_command(&server, "get")
        .arg("b.example")
        .run()
        .expect(0);
    assert!(!verified.stdout.contains("TXT"), "it is published already");
    connector_command(&api(vec![]), "list")
        .run()
        .expect(0)
        .prints(&["no connector\n"]);
    for (arguments, told) in [
        (&["delete", "corp.example", "--yes"][..], "deleted: "),
        (
            &["begin-verification", "corp.example"],
            "verification begun: ",
        ),
    ] {
        connector_command(&server, arguments[0])
            .args(&arguments[1..])
            .run()
            .expect(0)
            .prints(&[told, &connector_id(1)]);
    }
}

#[test]
fn json_gives_the_apis_own_fields() {
    let mut odd = connector_with(
        2,
        "b.example",
        json!({"enabled": null, "use_fedramp_language": "maybe", "created_on": "no time", "brand_new": {"x": [1, 2.5]}}),
    );
    odd.as_object_mut().unwrap().remove("updated_on");
    let server = api(vec![pending(), odd.clone()]);
    let json = |arguments: &[&str]| {
        connector_command(&server, arguments[0])
            .args(&arguments[1..])
            .arg("--json")
            .run()
            .expect(0)
            .stdout_json()
    };
    assert_eq!(json(&["list"]), json!([pending(), odd]));
    assert_eq!(json(&["get", "corp.example"]), pending());
    assert_eq!(json(&["get", "b.example"]), odd);
    assert_eq!(
        json(&["create", "--email-domain", "corp.example"]),
        pending()
    );
    assert_eq!(
        json(&["update", "corp.example", "--enabled", "false"]),
        pending()
    );
    for arguments in [
        &["delete", "corp.example", "--yes"][..],
        &["begin-verification", "corp.example"],
    ] {
        assert_eq!(json(arguments), json!({"id": connector_id(1)}));
    }
}

#[test]
fn odd_answers_to_changes_are_taken_as_they_come() {
    let changed = connector_with(1, "corp.example", json!({"enabled": false}));
    let update = ["update", &connector_id(1), "--enabled", "false"].map(str::to_owned);
    let begin = ["begin-verification", &connector_id(1)].map(str::to_owned);
    let delete = ["delete", &connector_id(1), "--yes"].map(str::to_owned);
    let bare = r#"{"success":true,"errors":[],"messages":[]}"#;
    for (arguments, reply, told) in [
        (
            &update[..],
            success(changed.clone()),
            "enabled        false",
        ),
        (
            &update,
            success(json!([connector(2, "b.example"), changed])),
            "enabled        false",
        ),
        (&update, success(json!([])), "updated: "),
        (
            &update,
            success(json!([connector(2, "b.example")])),
            "updated: ",
        ),
        (&update, success(Value::Null), "updated: "),
        (&update, answer(200, bare), "updated: "),
        (&begin, answer(200, bare), "verification begun: "),
        (&begin, success(Value::Null), "verification begun: "),
        (&begin, success(json!({})), "verification begun: "),
        (&delete, success(Value::Null), "deleted: "),
        (
            &delete,
            success(json!({"id": connector_id(1)})),
            "deleted: ",
        ),
        (&delete, answer(200, bare), "deleted: "),
    ] {
        let server = Server::start(move |_| reply.clone());
        let outcome = connector_command(&server, &arguments[0])
            .args(&arguments[1..])
            .run()
            .expect(0)
            .prints(&[told]);
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_refusal_is_told_with_code_message_meaning_and_what_to_do() {
    for (reply, told) in [
        (
            failure(400, 12002, "domain already has a connector"),
            [
                "api 12002: domain already has a connector",
                "the API refused the request the request",
                "cf-ray",
            ],
        ),
        (
            forbidden(),
            [
                "forbidden 9109: Unauthorized to access requested resource",
                "lacks permission",
                "SSO Connector Read",
            ],
        ),
        (
            failure(404, 12003, "connector not found"),
            [
                "not-found 12003: connector not found",
                "has no such account or connector",
                "may have been deleted",
            ],
        ),
        (
            failure(403, 10000, "Authentication error"),
            [
                "auth 10000: Authentication error",
                "the token was refused",
                "cf-sso-audit doctor",
            ],
        ),
        (
            answer(502, "<html>"),
            [
                "server: HTTP 502",
                "Cloudflare's servers failed",
                "Try again",
            ],
        ),
        (
            answer(200, "<html>"),
            ["malformed: ", "HTML instead of JSON", "cf-ray"],
        ),
    ] {
        let answer_lost = told[0].starts_with("server") || told[0].starts_with("malformed");
        for case in cases() {
            let [what, meaning, remedy] = told;
            // What to do about a change whose answer is lost is not to send it again.
            let remedy = match case.method {
                "GET" => remedy,
                _ if answer_lost => "may have been made all the same",
                _ if told[0].starts_with("forbidden") => {
                    "Give the token the permission SSO Connector Write (labelled Edit in the dashboard)"
                }
                _ if told[0].starts_with("auth") => {
                    "have the permission SSO Connector Write (labelled Edit in the dashboard)"
                }
                _ => remedy,
            };
            let reply = reply.clone();
            let server = Server::start(move |_| reply.clone());
            let outcome = connector_command(&server, case.operation)
                .args(&case.arguments)
                .args(["--retries", "0"])
                .run()
                .expect(1)
                .says(&[what, meaning, remedy])
                .says(&["error: ", "hint: "]);
            assert_eq!(outcome.stdout, "");
            let other = match case.method {
                "GET" => "SSO Connector Write",
                _ => "SSO Connector Read",
            };
            assert!(!outcome.stderr.contains(other), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_refusal_does_nothing_to_a_terminal() {
    let server = Server::start(|_| failure(400, 12002, "wrong\u{1b}[2J\u{7}\ndomain"));
    connector_command(&server, "create")
        .args(["--email-domain", "corp.example"])
        .run()
        .expect(1)
        .says(&["wrong\u{fffd}[2J\u{fffd} domain"]);
    let server = api(vec![]);
    let outcome = connector_command(&server, "get")
        .arg("a\u{1b}[31m.example")
        .run()
        .expect(1);
    assert!(!outcome.stderr.contains('\u{1b}'));
}

#[test]
fn a_list_that_is_not_whole_is_told() {
    let server = Server::start(|_| {
        enveloped(
            json!([connector(1, "a.example")]),
            json!({"total_count": 3}),
        )
    });
    connector_command(&server, "list")
        .run()
        .expect(3)
        .says(&["1 of 3 connectors"])
        .prints(&["a.example"]);
}

/// How often an operation is sent when each answer is this one, and how it ends.
fn sent(case: &Case, reply: Reply) -> (usize, Option<i32>) {
    // Only where none comes, so that a busy machine does not count as one.
    let timeout = if matches!(reply, Reply::Hang) {
        "1s"
    } else {
        "30s"
    };
    let server = Server::start(move |_| reply.clone());
    let outcome = connector_command(&server, case.operation)
        .args(&case.arguments)
        .args(["--retries", "2", "--timeout", timeout])
        .run();
    (server.requests().len(), outcome.code())
}

#[test]
fn a_change_whose_answer_is_lost_is_not_sent_twice_and_a_read_is() {
    std::thread::scope(|scope| {
        for case in cases() {
            scope.spawn(move || {
                let times = if case.method == "GET" { 3 } else { 1 };
                for reply in [
                    success(connector(1, "corp.example")).cut_off(),
                    Reply::Hang,
                    Reply::Close,
                    answer(503, "{}"),
                ] {
                    assert_eq!(
                        sent(&case, reply.clone()),
                        (times, Some(1)),
                        "{} {reply:?}",
                        case.operation
                    );
                }
            });
        }
    });
}

#[test]
fn a_change_that_never_left_is_not_said_to_be_lost() {
    let outcome = program("connector")
        .args(["begin-verification", &id(1), &connector_id(1)])
        .args(["--base-url", "http://127.0.0.1:1", "--retries", "0"])
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .run()
        .expect(1)
        .says(&["connect: cannot connect", "hint: Try again"]);
    assert!(!outcome.stderr.contains("may have been carried out"));
}

#[test]
fn the_record_to_publish_is_one_line_whatever_the_domain() {
    for domain in [
        "x.example\nvictim.example. 300 IN A 6.6.6.6",
        "a b;(\"$@\\.example",
    ] {
        let server = api(vec![connector_with(
            1,
            domain,
            json!({"verification": {"status": "failed", "code": "x"}}),
        )]);
        let text = connector_command(&server, "get")
            .arg(connector_id(1))
            .run()
            .expect(0)
            .stdout;
        let (_, snippet) = text.split_once("at the e-mail domain itself:\n").unwrap();
        assert!(
            snippet.starts_with("  ; left out: ") && snippet.lines().count() == 1,
            "{snippet}"
        );
    }
}

#[test]
fn what_was_throttled_is_sent_again_be_it_a_change_or_not() {
    for case in cases() {
        let server = Server::start(|request| match request.earlier {
            0 => throttled().with("retry-after", "0"),
            _ if request.method == "GET" && request.path == path("") => success(json!([])),
            _ => success(connector(1, "corp.example")),
        });
        connector_command(&server, case.operation)
            .args(&case.arguments)
            .args(["--rate", "100/100ms", "--retries", "0"])
            .run()
            .expect(0);
        let bodies: Vec<_> = server.requests().into_iter().map(|r| r.body).collect();
        assert_eq!(bodies.len(), 2, "{}", case.operation);
        assert_eq!(bodies[0], bodies[1]);
    }
}

#[test]
fn the_connection_flags_hold_here_too() {
    let server = api(vec![connector(1, "corp.example")]);
    let program = program("connector")
        .args(["list", &id(1), "--token-file", "token", "--base-url"])
        .arg(server.base_url())
        .env("CLOUDFLARE_BASE_URL", "https://127.0.0.1:1");
    program.file("token", "cfut_of_the_file\n");
    program.run().expect(0);
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Bearer cfut_of_the_file")
    );
    let silent = Server::start(|_| Reply::Hang);
    connector_command(&silent, "list")
        .args(["--timeout", "100ms", "--retries", "0"])
        .run()
        .expect(1)
        .says(&["timeout", "0.1 s"]);
}

#[test]
fn a_domain_is_not_taken_for_another_where_the_list_is_not_whole() {
    let server = Server::start(|_| {
        enveloped(
            json!([connector(1, "a.example")]),
            json!({"total_count": 3}),
        )
    });
    connector_command(&server, "get")
        .arg("zz.example")
        .run()
        .expect(3)
        .says(&[
            "the list is incomplete: it contains 1 of 3 connectors, and none of these is for zz.example",
        ]);
    // There may be a second one among those that were not answered.
    connector_command(&server, "delete")
        .args(["a.example", "--yes"])
        .run()
        .expect(1)
        .says(&["the list is incomplete", "name it by its ID"]);
    assert!(server.requests().iter().all(|r| r.method == "GET"));
}
