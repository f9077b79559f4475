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
            .says(&["CLOUDFLARE_API_TOKEN contains", said]);
        assert!(!outcome.stderr.contains("s3cr"), "{}", outcome.stderr);
    }
    assert_eq!(server.requests().len(), 0);
}

#[cfg(unix)]
#[test]
fn a_token_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let server = all_good();
    for (mode, owner, warned) in [
        (0o600, None, false),
        (0o640, None, true),
        (0o644, None, true),
        // As systemd and Kubernetes hand on a credential: it is another's, and the group lets the program in.
        (0o440, Some(65534), false),
        (0o444, Some(65534), true),
    ] {
        let program = audit(&server).without_env("CLOUDFLARE_API_TOKEN");
        let path = program.file("token", format!("{TOKEN_A}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        if owner.is_some() && !is_root() {
            not_tried("only root can give a file away");
            continue;
        }
        std::os::unix::fs::chown(&path, owner, None).unwrap();
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
        // Three refusals stop it; those that were in progress then are answered still.
        let tried = server
            .requests()
            .iter()
            .filter(|r| r.header("authorization") == Some(&bearer(TOKEN_A)))
            .count();
        assert!(
            (3..=6).contains(&tried),
            "{tried} requests with a refused token"
        );
        let said = "the token of TOKEN_A was refused 3 times and will not be used again";
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
        let said = "is not valid and will not be used again";
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
            .says(&[&format!("{flag} was given what looks like an API token")]);
        stands_nowhere(TOKEN_A, &outcome);
    }
}

#[test]
fn a_token_in_the_place_of_any_path_is_not_shown() {
    let audited = audit(&all_good()).arg(id(1)).run().expect(0);
    let run = audited.run_dir();
    let run = run.to_str().unwrap();
    for line in [
        &["render", TOKEN_A][..],
        &["render", run, "--policy", TOKEN_A],
        &["render", run, "--template", TOKEN_A],
        &["render", run, "--baseline", TOKEN_A, "-o", "x"],
        &["merge", TOKEN_A, "-o", "x"],
        &["diff", TOKEN_A, run],
        &["diff", run, TOKEN_A],
        &["fix", TOKEN_A],
        &["export", "dns", TOKEN_A],
        &["audit", &id(1), "--ca-file", TOKEN_A],
        &["audit", "--resume", "--output", TOKEN_A],
    ] {
        let outcome = program(line[0])
            .env("CLOUDFLARE_API_TOKEN", TOKEN_B)
            .env("CLOUDFLARE_BASE_URL", "http://127.0.0.1:9/client/v4")
            .args(&line[1..])
            .run();
        assert!(matches!(outcome.code(), Some(1 | 2)), "{line:?}");
        stands_nowhere(TOKEN_A, &outcome.says(&["[token]"]));
    }
}

/// A command that notes in `runs` that it was run, and prints a token.
fn printing(token: &str) -> String {
    format!("sh -c 'echo run >> runs; echo {token}; echo cfut_never-shown-0123456789 >&2'")
}

#[test]
fn a_command_prints_the_token_once_for_the_run() {
    let server = all_good();
    let program = audit(&server)
        .env("CLOUDFLARE_API_TOKEN", TOKEN_B)
        .args(["-vvv", "--token-command", &printing(TOKEN_A)])
        .args(ids(20));
    let dir = program.dir().to_owned();
    let outcome = program.run().expect(0);
    assert_eq!(std::fs::read_to_string(dir.join("runs")).unwrap(), "run\n");
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some(&*bearer(TOKEN_A)));
    }
    stands_nowhere(TOKEN_A, &outcome);
    stands_nowhere("cfut_never-shown-0123456789", &outcome);
    for (name, bytes) in outcome.everything() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            name.ends_with("runs") || !text.contains(">> runs"),
            "the command stands in {name}"
        );
    }
}

#[test]
fn a_command_is_taken_wherever_a_token_is_needed() {
    let server = Server::start(|request| match request.path.as_str() {
        path if path.contains("/tokens/verify") => success(json!({"status": "active"})),
        path if path.split('?').next() == Some("/client/v4/accounts") => {
            success(json!([{"id": id(1), "name": "A"}]))
        }
        _ => success(json!([])),
    });
    for arguments in [
        vec!["connector".to_owned(), "list".to_owned(), id(1)],
        vec!["doctor".to_owned(), id(1)],
        vec!["accounts".to_owned()],
    ] {
        let (subcommand, rest) = arguments.split_first().unwrap();
        program(subcommand)
            .env("CLOUDFLARE_BASE_URL", server.base_url())
            .args(rest)
            .args(["--token-command", &printing(TOKEN_A)])
            .run()
            .expect(0);
    }
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some(&*bearer(TOKEN_A)));
    }
}

#[test]
fn a_command_that_is_not_needed_is_not_run() {
    let server = all_good();
    let program = audit(&server)
        .env("A", TOKEN_A)
        .args(["--token-command", &printing(TOKEN_B)])
        .accounts_file(
            "accounts.csv",
            format!("account_id,token_env\n{},A\n", id(1)),
        );
    let dir = program.dir().to_owned();
    program.run().expect(0);
    assert!(!dir.join("runs").exists());
}

#[test]
fn a_command_that_brings_no_token_is_told_with_its_own_words() {
    let server = all_good();
    for (line, code, said) in [
        ("", 2, "--token-command is empty"),
        ("echo 'x", 2, "a quote that is not closed"),
        (TOKEN_A, 2, "looks like an API token instead of a command"),
        (
            "no-such-program s3cret",
            2,
            "cannot run the program of --token-command: ",
        ),
        (
            "sh -c 'echo \"[ERROR] not signed in\" >&2; exit 6' s3cret",
            1,
            "failed (exit status: 6): [ERROR] not signed in",
        ),
        (
            "sh -c 'kill -15 $$' s3cret",
            1,
            "failed (signal: 15 (SIGTERM))",
        ),
        ("true s3cret", 1, "what --token-command printed is empty"),
        (
            "printf 'cfut_s3cret-0001\\ncfut_s3cret-0002\\n'",
            1,
            "printed contains a line break",
        ),
        (
            "echo '{\"token\": \"s3cret\"}'",
            1,
            "printed contains a quote",
        ),
        (
            "echo null",
            1,
            "printed too little, which is not an API token",
        ),
    ] {
        let outcome = audit(&server)
            .args(["-vvv", "--token-command", line, &id(1)])
            .run()
            .expect(code)
            .says(&[said, "hint: "]);
        assert!(!outcome.reports().exists());
        outcome
            .keeps_silent_about("s3cret")
            .keeps_silent_about(&TOKEN_A[5..]);
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_command_is_given_no_other_token_and_no_input() {
    let server = all_good();
    let script = "read line; echo \"$line${CLOUDFLARE_API_TOKEN-}${CLOUDFLARE_API_KEY-}${VALE_TOKEN-}$OP_TOKEN\"";
    audit(&server)
        .env("CLOUDFLARE_API_KEY", "key")
        .env("VALE_TOKEN", TOKEN_B)
        .env("OP_TOKEN", TOKEN_A.replace("cfut_", "ops_"))
        .stdin("line\n")
        .args(["--token-command", &format!("sh -c '{script}'"), &id(1)])
        .run()
        .expect(0);
    let sent = bearer(&TOKEN_A.replace("cfut_", "ops_"));
    assert_eq!(server.requests()[0].header("authorization"), Some(&*sent));
}

/// Whether one of these processes is there. One that was killed and that nobody has waited for has no command line any
/// more.
fn one_runs(pids: &str) -> bool {
    pids.split_whitespace().any(|pid| {
        let command_line = std::path::Path::new("/proc").join(pid).join("cmdline");
        std::fs::read(command_line).is_ok_and(|line| !line.is_empty())
    })
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_ends_with_the_program_and_so_does_what_it_started() {
    let server = all_good();
    for (arguments, signal) in [
        (&["audit", &id(1)][..], "INT"),
        (&["audit", &id(1)], "TERM"),
        (&["doctor", &id(1)], "TERM"),
        (&["accounts"], "TERM"),
        (&["connector", "list", &id(1)], "TERM"),
    ] {
        let program = program(arguments[0])
            .at(&server)
            .without_env("CLOUDFLARE_API_TOKEN")
            .without_a_terminal()
            .args(&arguments[1..])
            .arg("--token-command")
            .arg("sh -c 'sleep 100 & echo $$ $! > pids; wait'");
        let pids = program.dir().join("pids");
        let pids = || std::fs::read_to_string(&pids).unwrap_or_default();
        let running = program.spawn();
        wait_until("the command runs", || pids().ends_with('\n'));
        assert!(one_runs(&pids()));
        running.signal(signal);
        let outcome = running.wait().expect(130).says(&["interrupted"]);
        assert!(!outcome.reports().exists());
        wait_until("the command is gone", || !one_runs(&pids()));
    }
    assert_eq!(server.requests().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_command_leaves_running_holds_up_nothing() {
    let server = all_good();
    // What has the command's output for its own is ended; what has not may go on.
    for (output, is_ended) in [("", true), (" >&- 2>&-", false)] {
        let script = format!("sleep 100{output} & echo $! > pids; echo {TOKEN_A}");
        let outcome = audit(&server)
            .without_a_terminal()
            .args(["--token-command", &format!("sh -c '{script}'"), &id(1)])
            .run()
            .expect(0);
        let pids = outcome.reports().with_file_name("pids");
        let pids = std::fs::read_to_string(pids).unwrap();
        if is_ended {
            wait_until("it is ended", || !one_runs(&pids));
        } else {
            assert!(one_runs(&pids));
            send_signal("KILL", pids.trim().parse().unwrap());
        }
    }
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some(&*bearer(TOKEN_A)));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_can_ask_on_a_terminal() {
    let server = all_good();
    let program = audit(&server).on_a_terminal();
    let script = program.file(
        "ask.sh",
        format!("stty -echo < /dev/tty && stty echo < /dev/tty && echo {TOKEN_A}"),
    );
    let line = format!("sh\\ {}", script.display());
    program
        .args(["--token-command", &line, &id(1)])
        .run()
        .expect(0);
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some(&*bearer(TOKEN_A))
    );
}

#[test]
fn a_want_of_another_credential_is_no_bad_token_until_the_verification_says_so() {
    const WANTS_ANOTHER: &str = "Valid user-level authentication not found";
    for (token, verified, tried) in [
        // Refused, verified, and given up.
        (TOKEN_A, false, 3..=8),
        // Good: each account gets its own answer.
        (TOKEN_A, true, 20..=20),
        // An account's token cannot be asked about without its account.
        (TOKEN_B, false, 20..=20),
    ] {
        let server = Server::start(move |request| {
            if !request.path.ends_with("/tokens/verify") {
                failure(403, 9109, WANTS_ANOTHER)
            } else if verified {
                success(json!({"id": id(1), "status": "active"}))
            } else {
                failure(401, 1000, "Invalid API Token")
            }
        });
        let outcome = audit(&server)
            .args(["--concurrency", "2"])
            .env("CLOUDFLARE_API_TOKEN", token)
            .args(ids(20))
            .run()
            .expect(3);
        let requests = server.requests();
        let read = requests
            .iter()
            .filter(|r| !r.path.ends_with("/tokens/verify"));
        let read = read.count();
        assert!(
            tried.contains(&read),
            "{read} requests with {}",
            &token[..5]
        );
        let row = outcome.account(&id(1));
        assert_eq!(
            (&*row["error_kind"], &*row["error_code"]),
            ("auth", "'9109")
        );
        assert!(
            row["error_message"].contains("needs another kind of credential"),
            "{row:?}"
        );
    }
}

#[test]
fn a_token_in_the_place_of_an_argument_is_not_shown() {
    let server = all_good();
    for token in [TOKEN_A, "S3cretS3cretS3cretS3cretS3cretS3cretXXXX"] {
        for arguments in [
            &["connector", "list", token][..],
            &["connector", "get", &id(1), token],
            &["connector", "delete", token, "a.example", "--yes"],
            &["accounts", token],
            &["accounts", token, "--log-format", "json"],
            &["fix", "run", token],
            &["audit", "--retries", token],
            &["audit", "--rate", token],
        ] {
            let outcome = program(arguments[0])
                .at(&server)
                .args(&arguments[1..])
                .run()
                .expect(2)
                .says(&["looks like an API token"]);
            stands_nowhere(token, &outcome);
        }
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn the_global_key_is_taken_out_of_whatever_answer_repeats_it() {
    let key = "KeYsEcReT0123456789abcdefKeYsEcReT0123456";
    let server = Server::start(move |request| {
        if request.account() == id(1) {
            success(json!([connector(1, &format!("{key}.example"))]))
        } else {
            failure(400, 1001, &format!("other {key}"))
        }
    });
    let with_key = |program: Program| {
        program
            .env("CLOUDFLARE_EMAIL", "a@b.example")
            .env("CLOUDFLARE_API_KEY", key)
    };
    let outcome = with_key(audit(&server))
        .args(["-vv", &id(1), &id(2)])
        .run()
        .expect(3);
    assert!(!outcome.stderr.contains(key) && !outcome.stdout.contains(key));
    for entry in std::fs::read_dir(outcome.run_dir()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(key));
    }
    let listed = with_key(program("accounts").at(&server)).run().expect(1);
    assert!(!listed.stderr.contains(key), "{}", listed.stderr);
}
