//! `doctor`: what is in place for an audit, and what to do about what is not.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::*;

/// A moment from now as the API writes it.
fn in_days(days: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::days(days))
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn date(off: i64) -> String {
    let now = SystemTime::now();
    let shift = Duration::from_secs(off.unsigned_abs());
    httpdate::fmt_http_date(if off < 0 { now - shift } else { now + shift })
}

fn state(status: &str, expires: Option<String>) -> Reply {
    let mut result = json!({"id": "ed17574386854bf78a67040be0a770b0", "status": status});
    if let Some(expires) = expires {
        result["expires_on"] = expires.into();
    }
    success(result)
        .with("date", date(0))
        .with("ratelimit", "\"default\";r=1199;t=300")
        .with("ratelimit-policy", "\"default\";q=1200;w=300")
}

/// A server where all is well: the token as given, and account 1 can be read.
fn well(token: Reply) -> Server {
    Server::start(move |request| match request.path.as_str() {
        path if path.contains("/tokens/verify") => token.clone(),
        _ if request.account() == id(1) => success(json!([connector(1, "a.example")])),
        _ => forbidden(),
    })
}

fn doctor(server: &Server) -> Program {
    program("doctor")
        .at(server)
        .args(["--retries", "0", "--retry-delay", "0s"])
}

/// The line of a check in `--json`.
#[track_caller]
fn line(outcome: &Outcome, check: &str) -> Value {
    let lines = outcome.stdout_json();
    let mut found = lines.as_array().unwrap().clone();
    // What is reached is in the check's name.
    found.retain(|line| {
        let name = line["check"].as_str().unwrap();
        name == check || (check == "reach" && name.starts_with("reach "))
    });
    assert_eq!(found.len(), 1, "{check} in {lines:#}");
    found.remove(0)
}

#[test]
fn where_all_is_well_every_line_passes() {
    let server = well(state("active", Some(in_days(90))));
    let outcome = doctor(&server).arg(id(1)).run().expect(0);
    let words: Vec<_> = outcome
        .stdout
        .lines()
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    assert_eq!(
        words,
        [
            "pass  output",
            "pass  token",
            "pass  reach",
            "pass  clock",
            "pass  rate limit",
            "pass  token valid",
            &format!("pass  read {}", id(1)),
        ]
    );
    outcome.prints(&[
        "CLOUDFLARE_API_TOKEN is a user's token",
        "1 connector can be read",
        "rate limit: default: 1200 requests in 300 s (1199 left for 300 s)",
    ]);
    let asked: Vec<_> = server
        .requests()
        .iter()
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(
        asked,
        [
            "GET /client/v4/user/tokens/verify".to_owned(),
            format!("GET /client/v4/accounts/{}/sso_connectors", id(1))
        ]
    );
}

#[test]
fn no_line_passes_that_tells_the_token() {
    let server = Server::start(|_| failure(401, 1000, &format!("Invalid API Token {TOKEN}")));
    let outcome = doctor(&server).arg("-vvv").arg(id(1)).run().expect(1);
    assert!(!outcome.stdout.contains(TOKEN) && !outcome.stderr.contains(TOKEN));
}

#[test]
fn the_token_is_judged() {
    for (reply, result, told, remedy, code) in [
        (state("active", None), "pass", "active", "", 0),
        (
            state("active", Some(in_days(3))),
            "warn",
            "active until ",
            "before this one expires",
            0,
        ),
        (
            state("disabled", None),
            "fail",
            "\"disabled\"",
            "enable this one again",
            1,
        ),
        (
            state("expired", Some(in_days(-3))),
            "fail",
            "\"expired\"",
            "create a new token",
            1,
        ),
        (
            failure(401, 1000, "Invalid API Token"),
            "fail",
            "auth 1000: Invalid API Token",
            "create a new token",
            1,
        ),
        (
            failure(
                403,
                9109,
                "Cannot use the access token from location: 192.0.2.1",
            ),
            "fail",
            "9109: Cannot use the access token from location",
            "not restricted to another address",
            1,
        ),
    ] {
        let server = well(reply);
        let outcome = doctor(&server).args(["--json", &id(1)]).run().expect(code);
        let line = line(&outcome, "token valid");
        assert_eq!(line["result"], result, "{line}");
        assert!(line["finding"].as_str().unwrap().contains(told), "{line}");
        let said = line["remedy"].as_str().unwrap_or_default();
        assert!(said.contains(remedy), "{line}");
        assert_eq!(said.is_empty(), result == "pass", "{line}");
    }
}

#[test]
fn a_missing_or_foreign_token_is_told_without_asking() {
    let server = well(state("active", None));
    program("doctor")
        .env("CLOUDFLARE_BASE_URL", server.base_url())
        .run()
        .expect(1)
        .prints(&[
            "fail  token: ",
            "CLOUDFLARE_API_TOKEN",
            "SSO Connector Read",
        ]);
    assert_eq!(server.requests().len(), 0);
    let key = doctor(&server)
        .env("CLOUDFLARE_API_TOKEN", "cfk_0123456789")
        .arg("--json")
        .run()
        .expect(1);
    assert_eq!(line(&key, "token")["result"], "fail");
    assert_eq!(
        server.requests().len(),
        0,
        "a key that opens everything is not sent where it is of no use"
    );
}

#[test]
fn an_accounts_own_token_is_verified_at_its_account() {
    let server = well(state("active", None));
    let own = || doctor(&server).env("CLOUDFLARE_API_TOKEN", "cfat_0123456789");
    own().arg(id(1)).run().expect(0);
    assert_eq!(
        server.requests()[0].path,
        format!("/client/v4/accounts/{}/tokens/verify", id(1))
    );
    server.now(|_| failure(401, 1000, "Invalid API Token").with("date", date(0)));
    let outcome = own().arg("--json").run().expect(0);
    let line = line(&outcome, "token valid");
    assert_eq!(line["result"], "warn");
    assert_eq!(
        line["remedy"],
        "name the account: cf-sso-audit doctor ACCOUNT_ID"
    );
}

#[test]
fn a_clock_that_is_off_is_told_by_the_date_of_the_answer() {
    for (off, result, code) in [
        (0, "pass", 0),
        (20, "pass", 0),
        (-120, "warn", 0),
        (120, "warn", 0),
        (-3600, "fail", 1),
        (86_400, "fail", 1),
    ] {
        let server = Server::start(move |_| {
            success(json!({"id": "x", "status": "active"})).with("date", date(off))
        });
        let outcome = doctor(&server).arg("--json").run().expect(code);
        let line = line(&outcome, "clock");
        assert_eq!(line["result"], result, "{off}: {line}");
        if result != "pass" {
            // The answer's date is later where this machine's clock is behind.
            let word = if off > 0 { "behind" } else { "ahead" };
            assert!(line["finding"].as_str().unwrap().contains(word), "{line}");
            assert!(line["remedy"].as_str().unwrap().contains("NTP"));
        }
    }
    let server = Server::start(|_| success(json!({"status": "active"})));
    let outcome = doctor(&server).arg("--json").run().expect(0);
    assert_eq!(line(&outcome, "clock")["result"], "warn");
    assert_eq!(line(&outcome, "rate limit")["result"], "warn");
}

#[test]
fn an_api_that_cannot_be_reached_is_told_and_nothing_more_is_tried() {
    let outcome = program("doctor")
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .args([
            "--base-url",
            "http://127.0.0.1:1/client/v4",
            "--retries",
            "0",
            "--json",
            &id(1),
        ])
        .run()
        .expect(1);
    let reach = line(&outcome, "reach");
    assert_eq!(reach["result"], "fail");
    assert!(
        reach["finding"]
            .as_str()
            .unwrap()
            .contains("cannot connect")
    );
    assert_eq!(outcome.stdout_json().as_array().unwrap().len(), 3);
    let silent = Server::start(|_| Reply::Hang);
    doctor(&silent)
        .args(["--timeout", "100ms"])
        .run()
        .expect(1)
        .prints(&["fail  reach ", "timeout"]);
}

#[test]
fn each_account_is_told_and_which_permission_it_lacks() {
    let server = well(state("active", None));
    let outcome = doctor(&server)
        .args([&id(1), &id(2), "no-id", "--json"])
        .run()
        .expect(1);
    assert_eq!(line(&outcome, &format!("read {}", id(1)))["result"], "pass");
    let forbidden = line(&outcome, &format!("read {}", id(2)));
    assert_eq!(forbidden["result"], "fail");
    assert!(
        forbidden["remedy"]
            .as_str()
            .unwrap()
            .contains("SSO Connector Read")
    );
    let odd = line(&outcome, "account no-id");
    assert_eq!(odd["result"], "fail");
    assert!(odd["remedy"].as_str().unwrap().contains("32 hex digits"));
    doctor(&server).args([&id(2)]).run().expect(1).prints(&[
        &format!("fail  read {}: forbidden 9109: ", id(2)),
        "\n      Give the token the permission SSO Connector Read",
    ]);
}

#[test]
fn the_output_folder_is_tried_and_nothing_is_left_in_it() {
    let server = well(state("active", None));
    let fine = doctor(&server).args(["-o", "a/b/c", "--json"]);
    let dir = fine.dir().to_owned();
    let outcome = fine.run().expect(0);
    assert_eq!(line(&outcome, "output")["result"], "pass");
    assert_eq!(
        std::fs::read_dir(&dir).unwrap().count(),
        0,
        "nothing was made, not even the folder"
    );
    // Nobody may make a file there, not even root.
    let blocked = doctor(&server)
        .args(["-o", "/proc/nowhere", "--json"])
        .run()
        .expect(1);
    let output = line(&blocked, "output");
    assert_eq!(output["result"], "fail");
    assert!(output["remedy"].as_str().unwrap().contains("--output"));
}

#[test]
fn the_output_folder_is_judged_as_an_audit_judges_it() {
    let server = well(state("active", None));
    let long = format!("new/{}", "x".repeat(300));
    for (output, good) in [
        (".", true),
        ("new", true),
        ("new/../other", true),
        ("taken", false),
        ("taken/reports", false),
        ("nowhere", false),
        ("nowhere/reports", false),
        (&*long, false),
        ("/proc", false),
        ("/proc/nowhere", false),
    ] {
        let set_up = |program: Program| {
            program.file("taken", "a file");
            std::os::unix::fs::symlink("/no/such/folder", program.dir().join("nowhere")).unwrap();
            program
        };
        let program = set_up(doctor(&server)).args(["--output", output, "--json"]);
        let dir = program.dir().to_owned();
        let examined = program.run().expect(u8::from(!good).into());
        let names = |dir: &std::path::Path| -> Vec<_> {
            let mut names: Vec<_> = std::fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(
            names(&dir),
            ["nowhere", "taken"],
            "{output}: something is left"
        );
        let line = line(&examined, "output");
        assert_eq!(line["result"], if good { "pass" } else { "fail" }, "{line}");
        if !good {
            assert!(line["finding"].as_str().unwrap().contains(output), "{line}");
            assert!(
                line["remedy"].as_str().unwrap().contains("--output"),
                "{line}"
            );
        }
        let audited = set_up(audit(&server))
            .args(["--output", output, &id(1)])
            .run();
        assert_eq!(
            audited.code(),
            Some(u8::from(!good).into()),
            "{output}: {}",
            audited.stderr
        );
    }
}

#[test]
fn what_stands_in_the_place_of_the_link_to_the_newest_run_is_warned_of() {
    let server = well(state("active", None));
    for (is_folder, why) in [
        (Some(true), "it is a folder, not a link"),
        (Some(false), "it is a file, not a link"),
        (None, ""),
    ] {
        let program = doctor(&server).args(["-o", ".", "--json"]);
        let latest = program.dir().join("latest");
        match is_folder {
            Some(true) => std::fs::create_dir(&latest).unwrap(),
            Some(false) => std::fs::write(&latest, "").unwrap(),
            None => std::os::unix::fs::symlink("20261121T101500Z", &latest).unwrap(),
        }
        let dir = program.dir().to_owned();
        let outcome = program.run().expect(0);
        let line = line(&outcome, "output");
        assert_eq!(
            line["result"],
            if why.is_empty() { "pass" } else { "warn" },
            "{line}"
        );
        assert!(line["finding"].as_str().unwrap().contains(why), "{line}");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    }
}

#[test]
fn an_account_whose_list_is_incomplete_does_not_pass() {
    let server = Server::start(|request| {
        if request.path.contains("/tokens/verify") {
            return state("active", None);
        }
        enveloped(
            json!([connector(1, "a.example")]),
            json!({"total_count": 2}),
        )
    });
    let outcome = doctor(&server).args([&id(1), "--json"]).run().expect(1);
    let line = line(&outcome, &format!("read {}", id(1)));
    assert_eq!(line["result"], "fail");
    let finding = line["finding"].as_str().unwrap();
    assert!(
        finding.contains("incomplete-list: the answer contains 1 of 2 connectors"),
        "{line}"
    );
}

#[test]
fn what_the_api_says_does_nothing_to_a_terminal() {
    let server = well(failure(401, 1000, "Invalid\u{1b}[2J\u{7}\nAPI Token"));
    let outcome = doctor(&server).run().expect(1);
    assert!(
        outcome
            .stdout
            .contains("1000: Invalid\u{fffd}[2J\u{fffd} API Token")
    );
    assert!(!outcome.stdout.contains('\u{1b}'));
}

#[test]
fn every_limit_is_shown_and_the_rate_compared_with_each() {
    let server = Server::start(|_| {
        success(json!({"status": "active"}))
            .with("date", date(0))
            .with(
                "ratelimit-policy",
                "\"burst\";q=100;w=60, \"default\";q=1200;w=300",
            )
            .with("ratelimit", "\"default\";r=50;t=30")
            .with("ratelimit", "\"burst\";r=7;t=3")
    });
    let shown = "burst: 100 requests in 60 s (7 left for 3 s); default: 1200 requests in 300 s (50 left for 30 s)";
    let outcome = doctor(&server).arg("--json").run().expect(0);
    let over = line(&outcome, "rate limit");
    assert_eq!(over["result"], "warn");
    let said = format!("{shown}; --rate 1000/300s can exceed \"burst\"");
    assert_eq!(over["finding"], said);
    assert!(over["remedy"].as_str().unwrap().contains("--rate 100/60s"));
    let outcome = doctor(&server).args(["--rate", "100/60s", "--json"]);
    let within = line(&outcome.run().expect(0), "rate limit");
    assert_eq!(
        (&within["result"], &within["finding"]),
        (&json!("pass"), &json!(shown))
    );
}

#[test]
fn an_oauth_token_is_known_and_when_it_expires() {
    let soon = in_days(0);
    for (reply, said) in [
        (
            state("active", Some(soon.clone())),
            format!("active until {soon}"),
        ),
        (state("active", None), "active; it expires soon".to_owned()),
        (
            failure(401, 1000, "Invalid API Token").with("date", date(0)),
            "does not say when this OAuth token expires (auth 1000: Invalid API Token)".to_owned(),
        ),
    ] {
        let server = well(reply);
        let outcome = doctor(&server)
            .env("CLOUDFLARE_API_TOKEN", "cfoat_0123456789abcdef")
            .args(["--json", &id(1)])
            .run()
            .expect(0);
        let kind = line(&outcome, "token");
        for said in [
            "cfoat_",
            "wrangler auth token",
            "expires soon",
            "FedRAMP High",
        ] {
            assert!(kind["finding"].as_str().unwrap().contains(said), "{kind}");
        }
        let valid = line(&outcome, "token valid");
        assert_eq!(valid["result"], "warn");
        assert!(
            valid["finding"].as_str().unwrap().contains(&said),
            "{valid}"
        );
        assert_eq!(line(&outcome, &format!("read {}", id(1)))["result"], "pass");
    }
}

#[test]
fn no_remedy_sends_to_doctor_itself() {
    for reply in [
        answer(503, ""),
        failure(403, 10000, "Authentication error"),
        failure(403, 9109, "Valid user-level authentication not found"),
        forbidden(),
        Reply::Hang,
    ] {
        let server = Server::start(move |request| match request.path.as_str() {
            path if path.contains("/tokens/verify") => state("active", None),
            _ => reply.clone(),
        });
        let outcome = doctor(&server)
            .args(["--timeout", "200ms", "--organization", "acme", &id(1)])
            .run()
            .expect(1);
        assert!(
            !outcome.stdout.contains("cf-sso-audit doctor"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn it_says_where_a_token_is_made_and_with_which_permission() {
    let server = well(failure(401, 1000, "Invalid API Token"));
    doctor(&server).arg(id(2)).run().expect(1).prints(&[
        "https://dash.cloudflare.com/profile/api-tokens",
        "SSO Connector Read",
    ]);
    program("doctor").arg("--help").run().expect(0).prints(&[
        "https://dash.cloudflare.com/profile/api-tokens",
        "SSO Connector Read  1d80f6f165ea47f2b55d4a393fd697de",
        "SSO Connector Write (labelled Edit in the dashboard)  901ca5e292584c6aa1b4cdb39248bb07",
    ]);
}

#[test]
fn a_token_in_the_place_of_an_id_is_refused_and_not_shown() {
    let server = well(state("active", None));
    for bad in [
        "cfut_s3cretS3cret",
        "S3cretS3cretS3cretS3cretS3cretS3cretXXXX",
    ] {
        for arguments in [
            &[bad][..],
            &["--organization", bad],
            &[&id(1), bad, "--json"],
        ] {
            let outcome = doctor(&server).args(arguments).run().expect(2);
            let outcome = outcome.says(&["looks like an API token", "hint: put the token in"]);
            outcome.keeps_silent_about(&bad[5..]);
        }
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn an_accounts_file_is_examined_with_every_token_and_one_account_for_each() {
    let server = Server::start(|request| {
        let is_good = request.header("authorization") != Some("Bearer cfut_bad0123456789");
        match request.path.as_str() {
            path if path.contains("/tokens/verify") && is_good => state("active", None),
            _ if is_good => success(json!([connector(1, "a.example")])),
            _ => failure(401, 1000, "Invalid API Token").with("date", date(0)),
        }
    });
    let rows: String = [
        (1, ""),
        (2, ""),
        (3, "GOOD"),
        (4, "BAD"),
        (5, "NONE"),
        (6, "NONE"),
        (7, "SAME"),
    ]
    .iter()
    .map(|(number, variable)| format!("{},{variable}\n", id(*number)))
    .collect();
    let csv = format!("account_id,token_env\n{rows}no-id,\n");
    let outcome = doctor(&server)
        .env("GOOD", "cfut_good0123456789")
        .env("SAME", "cfut_good0123456789")
        .env("BAD", "cfut_bad0123456789")
        .accounts_file("accounts.csv", csv)
        .args([&id(2), "--json"])
        .run()
        .expect(1);
    for (check, result, said) in [
        ("token", "pass", "CLOUDFLARE_API_TOKEN is"),
        ("token valid", "pass", "active"),
        ("token GOOD", "pass", "GOOD is a user's token"),
        ("token GOOD valid", "pass", "active"),
        ("token BAD valid", "fail", "Invalid API Token"),
        (
            "token NONE",
            "fail",
            "NONE is not set; needed for 2 accounts (first: ",
        ),
        ("token SAME", "pass", "the same token as that of GOOD"),
        (&format!("read {}", id(2)), "pass", "1 connector"),
        (&format!("read {}", id(3)), "pass", "1 connector"),
        (&format!("read {}", id(4)), "fail", "Invalid API Token"),
        (&format!("read {}", id(7)), "pass", "1 connector"),
    ] {
        let line = line(&outcome, check);
        assert_eq!(line["result"], result, "{line}");
        assert!(line["finding"].as_str().unwrap().contains(said), "{line}");
    }
    // Of the file's accounts with the default token the one is tried that is named besides, and no other.
    assert!(server.of_account(&id(1)).is_empty() && server.of_account(&id(6)).is_empty());
    let of_file: Vec<_> = outcome.stdout_json().as_array().unwrap().clone();
    let of_file = of_file
        .iter()
        .filter(|line| line["check"] == "accounts file");
    let results: Vec<_> = of_file.map(|line| line["result"].clone()).collect();
    assert_eq!(results, ["pass", "fail"], "one bad id");
}

#[test]
fn where_every_account_has_its_token_the_default_one_is_not_examined() {
    let server = well(state("active", None));
    doctor(&server)
        .without_env("CLOUDFLARE_API_TOKEN")
        .env("A", TOKEN)
        .accounts_file(
            "accounts.csv",
            format!("account_id,token_env\n{},A\n", id(1)),
        )
        .run()
        .expect(0);
}

#[test]
fn an_accounts_file_that_is_none_is_told_with_all_that_is_wrong() {
    let server = well(state("active", None));
    let outcome = doctor(&server)
        .args(["--accounts-file", "nowhere.csv", "--json"])
        .run()
        .expect(1);
    let file = line(&outcome, "accounts file");
    assert_eq!(file["result"], "fail");
    assert!(
        file["finding"].as_str().unwrap().contains("nowhere.csv"),
        "{file}"
    );
    assert_eq!(
        line(&outcome, "token valid")["result"],
        "pass",
        "the rest is examined"
    );
}

#[test]
fn a_policy_is_examined() {
    let server = well(state("active", None));
    let good = doctor(&server).policy("[defaults]\nfedramp = \"required\"\n");
    let outcome = good.arg("--json").run().expect(0);
    assert_eq!(line(&outcome, "policy")["result"], "pass");
    let bad = doctor(&server).policy("[defaults]\nfedramp = \"maybe\"\nx = 1\n");
    bad.run().expect(1).prints(&[
        "fail  policy: policy.toml:2:",
        "fail  policy: policy.toml:3:",
        "schema policy",
        "pass  token valid",
    ]);
}

#[test]
fn an_organization_is_examined() {
    let server = Server::start(|request| match request.path.as_str() {
        path if path.contains("/tokens/verify") => state("active", None),
        path if path.contains("/organizations/acme") => {
            success(json!([{"id": id(1), "name": "A"}, {"id": id(2), "name": "B"}]))
        }
        path if path.contains("/organizations/") => failure(403, 10000, "Authentication error"),
        _ => success(json!([])),
    });
    let outcome = doctor(&server)
        .args([
            "--organization",
            "acme",
            "--organization",
            "other",
            "--json",
        ])
        .run()
        .expect(1);
    let acme = line(&outcome, "organization acme");
    assert_eq!(
        (&acme["result"], &acme["finding"]),
        (
            &json!("pass"),
            &json!("1 organization with 2 accounts can be listed")
        )
    );
    let other = line(&outcome, "organization other");
    assert_eq!(other["result"], "fail");
    for said in ["global API key", "--accounts-file"] {
        assert!(other["remedy"].as_str().unwrap().contains(said), "{other}");
    }
}

#[test]
fn a_file_that_accounts_wrote_is_examined_and_one_of_another_region_refused() {
    let server = Server::of(vec![(id(1), json!([]))]);
    let with = |region: &str| {
        let text = format!("account_id,account_name,region\n{},Acme,{region}\n", id(1));
        doctor(&server).accounts_file("accounts.csv", text).run()
    };
    let good = with("other");
    assert!(
        good.stdout.contains(&format!("read {}", id(1))),
        "{}",
        good.stdout
    );
    let stranger = with("fedramp_high").expect(1);
    let said = "names an account in the region fedramp_high, but this audit asks other";
    assert!(stranger.stdout.contains(said), "{}", stranger.stdout);
}
