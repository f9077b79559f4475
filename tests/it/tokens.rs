//! Tokens: each goes to its own accounts only, is shown to nobody, and is not tried for ever.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::*;

const TOKEN_A: &str = "cfut_AAAAsecretAAAAsecretAAAAsecretAAAAsecretAAAA";
const TOKEN_B: &str = "cfat_BBBBsecretBBBBsecretBBBBsecretBBBBsecretBBBB";

fn all_good() -> Server {
    Server::start(|_| success(json!([])))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn each_token_goes_to_its_own_accounts_only() {
    let server = all_good();
    let csv = format!(
        "account_id,token_env\n{},TOKEN_A\n{},TOKEN_B\n{},\n{},TOKEN_A\n",
        id(1),
        id(2),
        id(3),
        id(4)
    );
    audit(&server)
        .env("TOKEN_A", TOKEN_A)
        .env("TOKEN_B", TOKEN_B)
        .accounts_file("accounts.csv", csv)
        .run()
        .expect(0);
    for (number, token) in [(1, TOKEN_A), (2, TOKEN_B), (3, TOKEN), (4, TOKEN_A)] {
        let requests = server.of_account(&id(number));
        assert_eq!(requests.len(), 1);
        assert_eq!(
            requests[0].header("authorization"),
            Some(&*bearer(token)),
            "account {number}"
        );
    }
}

#[test]
fn where_every_account_has_its_token_no_other_is_needed() {
    let server = all_good();
    let csv = format!("account_id,token_env\n{},TOKEN_A\n", id(1));
    audit(&server)
        .without_env("CLOUDFLARE_API_TOKEN")
        .env("TOKEN_A", TOKEN_A)
        .accounts_file("accounts.csv", csv)
        .run()
        .expect(0);
}

#[test]
fn tokens_have_lanes_of_their_own() {
    // The token of the first account is blocked for a second; the second token's accounts do not wait for it.
    let server = Server::start(|request| {
        if request.header("authorization") == Some(&bearer(TOKEN_A)) && request.earlier == 0 {
            throttled().with("retry-after", "1")
        } else {
            success(json!([]))
        }
    });
    let csv: String = (1..=10)
        .map(|n| format!("{},{}\n", id(n), if n == 1 { "TOKEN_A" } else { "TOKEN_B" }))
        .collect();
    audit(&server)
        .args(["--concurrency", "1"])
        .env("TOKEN_A", TOKEN_A)
        .env("TOKEN_B", TOKEN_B)
        .accounts_file("accounts.csv", format!("account_id,token_env\n{csv}"))
        .run()
        .expect(0);
    let again = server.of_account(&id(1))[1].at;
    let of_b = server
        .requests()
        .into_iter()
        .filter(|r| r.account() != id(1));
    assert!(of_b.into_iter().all(|request| request.at < again));
}

#[test]
fn a_missing_variable_is_named_before_anything_is_sent() {
    let server = all_good();
    let csv = format!(
        "account_id,token_env\n{},\n{},TOKEN_OF_ACME\n",
        id(1),
        id(2)
    );
    let outcome = audit(&server)
        .accounts_file("accounts.csv", csv)
        .run()
        .expect(2)
        .says(&["TOKEN_OF_ACME is not set", "hint: ", "SSO Connector Read"]);
    assert!(!outcome.reports().exists());
    for (value, said) in [
        ("", "CLOUDFLARE_API_TOKEN is empty"),
        (" \n", "CLOUDFLARE_API_TOKEN is empty"),
    ] {
        audit(&server)
            .env("CLOUDFLARE_API_TOKEN", value)
            .arg(id(1))
            .run()
            .expect(2)
            .says(&[said]);
    }
    audit(&server)
        .without_env("CLOUDFLARE_API_TOKEN")
        .arg(id(1))
        .run()
        .expect(2)
        .says(&["CLOUDFLARE_API_TOKEN is not set", "--token-file"]);
    audit(&server)
        .args(["--token-file", "/none/token", &id(1)])
        .run()
        .expect(2)
        .says(&["/none/token"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_token_is_trimmed_and_one_with_odd_characters_is_refused_by_name() {
    let server = all_good();
    audit(&server)
        .env("CLOUDFLARE_API_TOKEN", format!(" {TOKEN}\r\n"))
        .arg(id(1))
        .run()
        .expect(0);
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some(&*bearer(TOKEN))
    );
    server.now(|_| success(json!([])));
    for (odd, said) in [
        ("s3cret s3cret", "white space at position 7"),
        ("s3cret\ns3cret", "a line break at position 7"),
        ("s3cret\u{7}s3cret", "a control character at position 7"),
        ("s3cr\u{e9}t", "a character outside ASCII at position 5"),
        (
            "\u{201c}s3cret\u{201d}",
            "a character outside ASCII at position 1",
        ),
    ] {
        let outcome = audit(&server)
            .env("CLOUDFLARE_API_TOKEN", odd)
            .arg(id(1))
            .run()
            .expect(2)
            .says(&["CLOUDFLARE_API_TOKEN holds", said]);
        assert!(!outcome.stderr.contains("s3cr"), "{}", outcome.stderr);
    }
    assert_eq!(server.requests().len(), 0);
}

#[cfg(unix)]
#[test]
fn a_token_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let server = all_good();
    for (mode, warned) in [(0o600, false), (0o640, true), (0o644, true)] {
        let program = audit(&server).without_env("CLOUDFLARE_API_TOKEN");
        let path = program.file("token", format!("{TOKEN_A}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        server.now(|_| success(json!([])));
        let outcome = program
            .arg("--token-file")
            .arg(&path)
            .arg(id(1))
            .run()
            .expect(0);
        assert_eq!(
            outcome
                .stderr
                .contains("others on this machine can read the token file"),
            warned,
            "{mode:o}: {}",
            outcome.stderr
        );
        assert_eq!(
            server.requests()[0].header("authorization"),
            Some(&*bearer(TOKEN_A))
        );
    }
}

#[test]
fn a_refused_token_is_not_tried_thousands_of_times() {
    for (status, code, message) in [
        (401, 10000, "Authentication error"),
        (403, 9109, "Invalid access token"),
        (400, 6003, "Invalid request headers"),
        (401, 1000, "Invalid API Token"),
    ] {
        let server = Server::start(move |request| {
            if request.header("authorization") == Some(&bearer(TOKEN_A)) {
                failure(status, code, message)
            } else {
                success(json!([connector(1, "a.example")]))
            }
        });
        let csv: String = (1..=200)
            .map(|n| format!("{},{}\n", id(n), if n > 100 { "" } else { "TOKEN_A" }))
            .collect();
        let outcome = audit(&server)
            .args(["--concurrency", "4", "--format", "csv,json"])
            .env("TOKEN_A", TOKEN_A)
            .accounts_file("accounts.csv", format!("account_id,token_env\n{csv}"))
            .run()
            .expect(3);
        let rows = outcome.csv("accounts.csv");
        for row in &rows[..100] {
            assert_eq!(row["error_kind"], "auth");
        }
        for row in &rows[100..] {
            assert_eq!(
                row["outcome"], "read",
                "the other token's accounts are read"
            );
        }
        // Three refusals stop it; those that were under way then are answered still.
        let tried = server
            .requests()
            .iter()
            .filter(|r| r.header("authorization") == Some(&bearer(TOKEN_A)))
            .count();
        assert!(
            (3..=6).contains(&tried),
            "{tried} requests with a refused token"
        );
        let said = "the token of TOKEN_A was refused 3 times and is not tried again";
        let errors: Vec<_> = outcome
            .stderr
            .lines()
            .filter(|line| line.contains("ERROR"))
            .collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(said), "{errors:?}");
        assert_eq!(
            outcome.stdout.matches(said).count(),
            1,
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn a_token_whose_refusals_may_mean_two_things_is_asked_about_once() {
    for (valid, tried) in [(false, 3..=8), (true, 60..=60)] {
        let server = Server::start(move |request| match (request.path.as_str(), valid) {
            ("/client/v4/user/tokens/verify", true) => {
                success(json!({"id": id(1), "status": "active"}))
            }
            ("/client/v4/user/tokens/verify", false) => failure(401, 1000, "Invalid API Token"),
            _ => failure(403, 10000, "Authentication error"),
        });
        let outcome = audit(&server)
            .args(["--concurrency", "2"])
            .env("CLOUDFLARE_API_TOKEN", TOKEN_A)
            .args(ids(60))
            .run()
            .expect(3);
        for row in outcome.csv("accounts.csv") {
            assert_eq!(row["error_kind"], "auth");
        }
        let requests = server.requests();
        let (asked, read): (Vec<_>, Vec<_>) = requests
            .iter()
            .partition(|r| r.path.ends_with("/tokens/verify"));
        assert_eq!(asked.len(), 1);
        assert!(tried.contains(&read.len()), "{valid}: {}", read.len());
        let said = "is not valid and is not tried again";
        assert_eq!(outcome.stdout.matches(said).count(), usize::from(!valid));
    }
}

#[test]
fn a_token_that_was_accepted_is_not_stopped_by_accounts_that_refuse_it() {
    let server = Server::start(|request| {
        if request.account() == id(1) || request.account() == id(30) {
            success(json!([]))
        } else {
            failure(403, 10000, "Authentication error")
        }
    });
    let outcome = audit(&server)
        .args(["--concurrency", "1"])
        .args(ids(30))
        .run()
        .expect(3);
    assert_eq!(outcome.account(&id(30))["outcome"], "read");
    assert_eq!(server.requests().len(), 30);
}

/// A server that repeats the token in bodies and headers, as a debugging proxy may: as it is, or escaped.
fn echoing(written: fn(&str) -> String) -> Server {
    Server::start(move |request| {
        let token = request
            .header("authorization")
            .unwrap_or_default()
            .replace("Bearer ", "");
        let body = match request.account() {
            account if account == id(1) => {
                json!({"success": true, "result": [connector(1, "TOKEN.example")], "messages": ["TOKEN"]})
            }
            account if account == id(2) => {
                json!({"success": false, "errors": [{"code": "TOKEN", "message": "bad token TOKEN"}]})
            }
            _ => {
                let percent = token.replace('_', "%5f");
                return answer(302, "")
                    .with("location", format!("https://other.example/?t={percent}"));
            }
        };
        answer(200, body.to_string().replace("TOKEN", &written(&token)))
            .with("cf-ray", &token)
            .with("x-token", &token)
    })
}

/// That neither a token, nor what follows its prefix, stands anywhere.
#[track_caller]
fn stands_nowhere(token: &str, outcome: &Outcome) {
    for (name, bytes) in outcome.everything() {
        assert!(
            memchr::memmem::find(&bytes, &token.as_bytes()[6..]).is_none(),
            "the token stands in {name}:\n{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn the_token_stands_nowhere() {
    let ways: [fn(&str) -> String; 3] = [
        str::to_owned,
        |token| format!("\\u{:04x}{}", token.as_bytes()[0], &token[1..]),
        |token| {
            let escaped = token.bytes().map(|b| format!("\\u{b:04X}"));
            escaped.collect()
        },
    ];
    for written in ways {
        let server = echoing(written);
        for arguments in [&["-vvv"][..], &["-vvv", "--log-format", "json"], &["-q"]] {
            let outcome = audit(&server)
                .args(arguments)
                .env("CLOUDFLARE_API_TOKEN", TOKEN_A)
                .env("RUST_LOG", "trace")
                .env("RUST_BACKTRACE", "1")
                .args(ids(3))
                .run()
                .expect(3);
            stands_nowhere(TOKEN_A, &outcome);
        }
    }
}

#[test]
fn no_answer_repeats_another_accounts_token() {
    let server = Server::start(|_| success(json!([connector(1, &format!("{TOKEN_A}.example"))])));
    let outcome = audit(&server)
        .accounts_file(
            "accounts.csv",
            format!("account_id,token_env\n{},A\n{},B\n", id(1), id(2)),
        )
        .env("A", TOKEN_A)
        .env("B", TOKEN_B)
        .run()
        .expect(0);
    stands_nowhere(TOKEN_A, &outcome);
}

#[test]
fn the_token_goes_to_no_other_host() {
    let other = Server::start(|_| success(json!([])));
    let to = other.base_url();
    let server = Server::start(move |request| {
        answer(307, "").with("location", format!("{to}{}", request.path))
    });
    audit(&server).args(ids(3)).run().expect(3);
    assert_eq!(other.requests().len(), 0);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn no_proxy_is_handed_a_token_that_would_stay_on_this_machine() {
    let proxy = Server::start(|_| success(json!([])));
    let address = proxy.base_url();
    let server = all_good();
    audit(&server)
        .env("http_proxy", &address)
        .env("HTTP_PROXY", &address)
        .env("ALL_PROXY", &address)
        .arg(id(1))
        .run()
        .expect(0);
    assert_eq!(proxy.requests().len(), 0);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn http_to_another_machine_is_refused_before_anything_is_sent() {
    let server = all_good();
    for address in [
        "http://api.cloudflare.com/client/v4",
        "http://127.0.0.1.example/client/v4",
        "http://10.0.0.1/",
        "http://[fe80::1]/",
    ] {
        let outcome = audit(&server)
            .args(["--base-url", address, &id(1)])
            .run()
            .expect(2)
            .says(&["--base-url", "https"]);
        assert!(!outcome.reports().exists());
        audit(&server)
            .env("CLOUDFLARE_BASE_URL", address)
            .arg(id(1))
            .run()
            .expect(2)
            .says(&["CLOUDFLARE_BASE_URL", "https"]);
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn the_token_is_no_argument() {
    let help = program("audit").arg("--help").run().expect(0);
    let options: BTreeSet<_> = help
        .stdout
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(options.contains("--token-file"));
    assert!(!options.contains("--token"), "{options:?}");
}

#[test]
fn a_token_in_the_place_of_a_path_is_not_shown() {
    let server = all_good();
    for flag in ["--token-file", "--accounts-file"] {
        let outcome = audit(&server)
            .args([flag, TOKEN_A, &id(1)])
            .run()
            .expect(2)
            .says(&[&format!("{flag} is given what looks like an API token")]);
        stands_nowhere(TOKEN_A, &outcome);
    }
}
