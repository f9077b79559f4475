//! How the program is used: bad values with an example of a good one, help with examples, rules explained.

use serde_json::json;

use crate::support::*;

#[test]
fn bad_values_are_refused_with_an_example_of_a_good_one() {
    let server = Server::start(|_| success(json!([])));
    let cases: [(&str, &[&str], &str); 12] = [
        ("--region", &["eu", "Public", ""], "public, fedramp-high"),
        (
            "--allow-unread",
            &["x", "-1", "101%", "1.5", ""],
            "percentage (5%)",
        ),
        (
            "--rate",
            &[
                "1000", "0/1s", "x/1s", "1/0s", "1/", "/1s", "-1/1s", "1/300", "",
            ],
            "1000/300s",
        ),
        ("--timeout", &["30", "0s", "x", "-1s", "25h", ""], "30s"),
        ("--retry-delay", &["1", "soon"], "500ms"),
        ("--concurrency", &["0", "-1", "x", "5000"], "32"),
        ("--output-mode", &["rw", "0777", "0440", "8"], "0600"),
        (
            "--base-url",
            &[
                "api.cloudflare.com",
                "ftp://127.0.0.1/",
                "https://u:p@api.example/",
                "https://api.example/?q=1",
                "",
            ],
            "https://api.cloudflare.com/client/v4",
        ),
        ("--retries", &["-1", "21", "x"], "such as 5"),
        ("--fail-on", &["bad"], "critical"),
        ("--csv-dialect", &["tsv"], "excel-semicolon"),
        ("--format", &["pdf", "csv,pdf"], "json"),
    ];
    for (flag, bad_values, example) in cases {
        for bad in bad_values {
            let outcome = audit(&server)
                .arg(format!("{flag}={bad}"))
                .arg(id(1))
                .run()
                .expect(2)
                .says(&[flag, example]);
            assert!(!outcome.reports().exists(), "{flag} {bad}");
        }
    }
    audit(&server)
        .env("SOURCE_DATE_EPOCH", "yesterday")
        .arg(id(1))
        .run()
        .expect(2)
        .says(&["SOURCE_DATE_EPOCH", "1795256100"]);
    audit(&server)
        .args(["--ca-file", "/none.pem", &id(1)])
        .run()
        .expect(2)
        .says(&["/none.pem"]);
    let program = audit(&server).arg(id(1));
    let no_certificate = program.file("ca.pem", "nonsense");
    program
        .arg("--ca-file")
        .arg(no_certificate)
        .run()
        .expect(2)
        .says(&["ca.pem", "contains no PEM certificate", "BEGIN CERTIFICATE"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn simulate_refuses_bad_values_with_an_example() {
    for (flag, bad, example) in [
        ("--rate", "10", "1000/300s"),
        ("--latency", "5", "500ms"),
        ("--listen", "nowhere", "127.0.0.1:0"),
        ("--dns-listen", "nowhere", "127.0.0.1:0"),
        ("--accounts", "many", "--accounts"),
    ] {
        program("simulate")
            .args([flag, bad])
            .run()
            .expect(2)
            .says(&[flag, example]);
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for arguments in [
        &["--demo", "--base-url", "https://api.example"][..],
        &["--demo", "--token-file", "x"],
        &["--demo", "--token-command", "x"],
        &["--token-file", "x", "--token-command", "x"],
        &["--demo", "--resume"],
        &["--demo", "--accounts-file", "x"],
        &["--no-such-flag"],
    ] {
        program("audit")
            .args(arguments)
            .run()
            .expect(2)
            .says(&["error: "]);
    }
    program("no-such-command").run().expect(2);
}

#[test]
fn a_missing_baseline_is_told_before_anything_is_asked() {
    let server = Server::start(|_| success(json!([])));
    audit(&server)
        .args(["--baseline", "nowhere", &id(1)])
        .run()
        .expect(2)
        .says(&["--baseline nowhere", "hint: ", "or give none"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn help_has_examples() {
    for subcommand in [
        "audit",
        "render",
        "diff",
        "fix",
        "connector",
        "accounts",
        "doctor",
        "rules",
        "simulate",
    ] {
        let help = program(subcommand).arg("--help").run().expect(0).stdout;
        assert!(help.contains("Examples:"), "{subcommand}:\n{help}");
        assert!(
            help.contains(&format!("cf-sso-audit {subcommand}")),
            "{subcommand}:\n{help}"
        );
    }
    let help = program("--help").run().expect(0).stdout;
    for said in ["Examples:", "Exit codes:", "audit", "rules", "simulate"] {
        assert!(help.contains(said), "{said}");
    }
    let version = program("--version").run().expect(0).stdout;
    assert_eq!(
        version,
        format!("cf-sso-audit {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// The rules of the contract that need no DNS, with their severities.
const RULES: [(&str, &str); 12] = [
    ("enabled-unverified", "critical"),
    ("unverified-domain", "medium"),
    ("stale-verification", "medium"),
    ("disabled-connector", "medium"),
    ("fedramp-language", "high"),
    ("fedramp-inconsistent", "low"),
    ("duplicate-domain", "high"),
    ("no-connector", "low"),
    ("unexpected-domain", "medium"),
    ("missing-domain", "high"),
    ("unknown-value", "medium"),
    ("unread-account", "high"),
];

#[test]
fn the_rules_are_listed() {
    let list = program("rules").run().expect(0).stdout;
    for (rule, severity) in RULES {
        let line = list
            .lines()
            .find(|line| line.split_whitespace().next() == Some(rule));
        let line = line.unwrap_or_else(|| panic!("{rule} is not listed"));
        assert_eq!(line.split_whitespace().nth(1), Some(severity), "{line}");
    }
}

#[test]
fn each_rule_is_explained() {
    for (rule, severity) in RULES {
        let text = program("rules").arg(rule).run().expect(0).stdout;
        for said in [
            &format!("{rule}: "),
            &format!("Severity: {severity}"),
            "What it looks for",
            "Why it matters",
            "How to fix it",
            "Controls it supports",
            "NIST",
        ] {
            assert!(text.contains(said), "{said:?} in:\n{text}");
        }
    }
    program("rules")
        .arg("no-such-rule")
        .run()
        .expect(2)
        .says(&["invalid value 'no-such-rule'", "enabled-unverified"]);
}

#[test]
fn what_was_meant_is_suggested() {
    for (arguments, meant) in [
        (&["rules", "unverifed-domain"][..], "'unverified-domain'"),
        (&["audti"], "'audit'"),
        (&["audit", "--acounts-file", "x"], "'--accounts-file'"),
        (&["audit", "--region", "fedramp_high"], "'fedramp-high'"),
        (&["audit", "--format", "csv,jsn"], "'json'"),
        (&["audit", "--fail-on", "hihg"], "'high'"),
    ] {
        let [subcommand, arguments @ ..] = arguments else {
            unreachable!("each has a subcommand");
        };
        program(subcommand)
            .args(arguments)
            .run()
            .expect(2)
            .says(&["tip: ", meant]);
    }
}

#[test]
fn the_summary_is_on_stdout_and_everything_else_on_stderr() {
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let outcome = audit(&server).args([id(1), id(2)]).run().expect(3);
    assert!(outcome.stdout.starts_with("1 of 2 accounts read"));
    assert!(
        !outcome.stdout.contains('\u{1b}'),
        "no colours outside a terminal"
    );
    assert!(
        !outcome.stderr.contains('\u{1b}'),
        "no colours outside a terminal"
    );
    assert!(outcome.run_dir().ends_with(RUN_ID));
    let quiet = audit(&server).args(["-q", &id(1)]).run().expect(0);
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout.lines().count(), 1, "{}", quiet.stdout);
    assert!(quiet.run_dir().ends_with(RUN_ID));
}

#[test]
fn requests_are_logged_at_debug() {
    let server = Server::of(vec![(id(1), json!([]))]);
    let outcome = audit(&server).args(["-vv", &id(1)]).run().expect(0);
    assert!(outcome.stderr.contains("DEBUG"), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("get-all-sso-connectors")
            || outcome.stderr.contains("get_all_sso_connectors"),
        "{}",
        outcome.stderr
    );
    let outcome = audit(&server).arg(id(1)).run().expect(0);
    assert!(!outcome.stderr.contains("DEBUG"), "{}", outcome.stderr);
}

#[test]
fn the_region_is_chosen_by_flag_or_variable_and_contradicts_no_address() {
    // A folder of runs that cannot be made ends the program before anything is asked.
    let audit = || {
        program("audit").env("CLOUDFLARE_API_TOKEN", TOKEN).args([
            &id(1),
            "--output",
            "/dev/null/reports",
        ])
    };
    let high = "https://api.fed.cloudflare.com/client/v4";
    let public = "https://api.cloudflare.com/client/v4";
    let region = "CLOUDFLARE_COMPLIANCE_REGION";
    for agreed in [
        audit().args(["--region", "fedramp-high"]),
        audit().args(["--region", "fedramp-high", "--base-url", high]),
        audit()
            .env(region, "fedramp_high")
            .env("CLOUDFLARE_BASE_URL", high),
        audit()
            .env(region, "public")
            .env("CLOUDFLARE_API_BASE_URL", public),
        audit().env(region, "nonsense").args(["--region", "public"]),
        // The first of the two that is set.
        audit()
            .env("CLOUDFLARE_BASE_URL", public)
            .env("CLOUDFLARE_API_BASE_URL", "nonsense"),
    ] {
        agreed.run().expect(1).says(&["/dev/null/reports"]);
    }
    for (contradiction, said) in [
        (
            audit().args(["--region", "fedramp-high", "--base-url", public]),
            "--region selects the API at https://api.fed.cloudflare.com/client/v4, but --base-url selects",
        ),
        (
            audit()
                .args(["--region", "public"])
                .env("CLOUDFLARE_API_BASE_URL", high),
            "CLOUDFLARE_API_BASE_URL selects",
        ),
        (
            audit()
                .env(region, "fedramp_high")
                .args(["--base-url", "http://127.0.0.1:1"]),
            "CLOUDFLARE_COMPLIANCE_REGION selects",
        ),
        (audit().env(region, "nonsense"), "unknown region"),
    ] {
        contradiction.run().expect(2).says(&[said]);
    }
}

#[test]
fn an_accounts_file_of_another_region_is_refused() {
    let server = Server::of(vec![(id(1), json!([]))]);
    let of = |region: &str| {
        let text = format!("account_id,region\n{},{region}\n", id(1));
        audit(&server).accounts_file("accounts.csv", text).run()
    };
    of("").expect(0);
    let outcome = of("other").expect(0);
    assert_eq!(outcome.json()["run"]["region"], "other");
    let said = "accounts.csv line 2 names an account in the region fedramp-high, but this audit asks other";
    of("fedramp-high").expect(2).says(&[said, "--region"]);
    assert_eq!(server.requests().len(), 2);
}
