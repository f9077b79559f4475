//! `--metrics`: figures for Prometheus, the same as the report's, and still there when a night fails.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::*;

/// The figures of a file by their series. Everything that Prometheus' own reader would refuse fails.
#[track_caller]
fn figures(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).unwrap();
    let (mut figures, mut family) = (BTreeMap::new(), String::new());
    let mut helped = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!((helped.last(), kind), (Some(&name), "gauge"), "{line}");
            family = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.split('{').next(), Some(family.as_str()), "{line}");
            let value: f64 = value.parse().unwrap();
            let again =
                figures.insert(series.trim_start_matches("cf_sso_audit_").to_owned(), value);
            assert_eq!(again, None, "{line}");
        }
    }
    assert!(text.ends_with('\n'));
    ask_promtool(&text);
    figures
}

/// Prometheus' own tool has nothing to say against a file.
fn ask_promtool(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return not_tried("there is no promtool");
    };
    let mut stdin = promtool.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    drop(stdin);
    let said = promtool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && words.is_empty(), "{words}\n{text}");
}

fn place(nights: &Nights) -> PathBuf {
    nights.dir.path().join("sso.prom")
}

fn night(nights: &Nights, day: i64) -> Program {
    nights.night(day).arg("--metrics").arg(place(nights))
}

/// Accounts with findings of several rules and severities.
fn nights() -> Nights {
    Nights::of(&[
        (
            1,
            json!([
                disabled(1, "zzyx-a.example"),
                connector(2, "shared.example")
            ]),
        ),
        (2, json!([connector(3, "shared.example")])),
        (
            3,
            json!([connector_with(
                4,
                "c.example",
                json!({"verification": {"status": "failed"}})
            )]),
        ),
    ])
}

#[test]
fn the_figures_are_those_of_the_report() {
    let nights = nights();
    night(&nights, 0).run().expect(0);
    nights.set(2, Value::Null);
    nights.set(3, json!([disabled(4, "c.example")]));
    let policy = format!(
        "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"{}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-31\n",
        id(3)
    );
    let outcome = night(&nights, 1).policy(&policy).run().expect(3);
    let (figures, report) = (figures(&place(&nights)), outcome.json());
    let of = |series: &str| {
        let found = figures.get(series);
        *found.unwrap_or_else(|| panic!("{series} is not there: {figures:?}"))
    };
    let number = |value: &Value| value.as_f64().unwrap();
    let (coverage, totals) = (&report["coverage"], &report["totals"]);
    for outcome in ["read", "incomplete", "unread"] {
        let series = format!("accounts{{outcome=\"{outcome}\"}}");
        assert_eq!(of(&series), number(&coverage[outcome]), "{series}");
    }
    assert_eq!(of("accounts_not_read_in_full{cause=\"forbidden\"}"), 1.0);
    assert_eq!(of("oldest_unread_timestamp_seconds"), 1_795_342_500.0);
    assert_eq!(of("report_complete"), 0.0);
    assert_eq!(of("report_timestamp_seconds"), 1_795_342_500.0);
    assert_eq!(of("connectors"), number(&totals["connectors"]));
    let rows = outcome.csv("findings.csv");
    let mut seen = 0;
    for severity in ["critical", "high", "medium", "low"] {
        for status in ["open", "waived"] {
            let labels = format!("{{severity=\"{severity}\",status=\"{status}\"}}");
            let are = |row: &&Row| row["severity"] == severity && row["status"] == status;
            let found = rows.iter().filter(are).count();
            let new = rows
                .iter()
                .filter(are)
                .filter(|row| row["change"] == "new")
                .count();
            assert_eq!(of(&format!("findings{labels}")), found as f64, "{labels}");
            assert_eq!(of(&format!("findings_new{labels}")), new as f64, "{labels}");
            seen += found;
        }
    }
    assert_eq!(seen, rows.len());
    let sum = |prefix: &str| -> f64 {
        let of_it = figures
            .iter()
            .filter(|(series, _)| series.starts_with(prefix));
        of_it.map(|(_, value)| value).sum()
    };
    // One definition of new.
    assert_eq!(sum("findings_new{"), number(&totals["findings"]["new"]));
    assert!(sum("findings_new{") > 1.0, "{figures:?}");
    assert_eq!(sum("rule_findings{"), rows.len() as f64);
    let disabled = rows
        .iter()
        .filter(|row| row["rule"] == "disabled-connector");
    let (open, waived): (Vec<_>, Vec<_>) = disabled.partition(|row| row["status"] == "open");
    for (status, rows) in [("open", open), ("waived", waived)] {
        let series = format!("rule_findings{{rule=\"disabled-connector\",status=\"{status}\"}}");
        assert_eq!((of(&series), rows.len()), (1.0, 1), "{series}");
    }
    let resolved = &totals["changes"]["finding-resolved"];
    assert_eq!(of("findings_resolved"), number(resolved));
    assert!(of("findings_resolved") > 0.0 && sum("findings_not_judged{") > 0.0);
    assert_eq!(of("last_run_requests"), 3.0);
    assert_eq!(of("last_run_exit_code"), 3.0);
    assert_eq!(
        of("last_success_timestamp_seconds"),
        1_795_256_100.0,
        "the first night's"
    );
    let text = fs::read_to_string(place(&nights)).unwrap();
    let documented = include_str!("../../docs/deploy.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(documented.contains(&format!("`{name}`")), "{name}");
    }
    for secret in ["example", TOKEN, &id(1), "ac0"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn a_failed_night_takes_no_finding_away() {
    let nights = nights();
    night(&nights, 0).run().expect(0);
    let before = figures(&place(&nights));
    nights.server.now(|_| forbidden());
    let failed = nights.bare(1).arg("--all-accounts");
    failed.arg("--metrics").arg(place(&nights)).run().expect(1);
    let after = figures(&place(&nights));
    assert_eq!(after["last_run_exit_code"], 1.0);
    assert_eq!(after["last_run_timestamp_seconds"], 1_795_342_500.0);
    assert!(after["last_run_requests"] >= 1.0);
    let is_of_run =
        |series: &str| series.starts_with("last_run") || series.starts_with("build_info");
    let report = |figures: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
        let kept = figures.iter().filter(|(series, _)| !is_of_run(series));
        kept.map(|(series, value)| (series.clone(), *value))
            .collect()
    };
    assert_eq!(report(&after), report(&before));
    assert!(
        after["last_success_timestamp_seconds"] == 1_795_256_100.0 && report(&after).len() > 30
    );
}

#[test]
fn an_interrupted_audit_says_so_in_figures() {
    let nights = nights();
    nights.hold(1);
    let running = night(&nights, 0).spawn();
    wait_until("something is asked", || {
        !nights.server.requests().is_empty()
    });
    running.signal("INT");
    running.wait().expect(130);
    let figures = figures(&place(&nights));
    assert_eq!(figures["last_run_exit_code"], 130.0);
    assert!(!figures.contains_key("last_success_timestamp_seconds"));
    assert!(!figures.contains_key("connectors"), "{figures:?}");
}

#[test]
fn waiting_for_the_rate_limit_is_measured() {
    let nights = nights();
    night(&nights, 0)
        .args(["--rate", "1/100ms"])
        .run()
        .expect(0);
    let figures = figures(&place(&nights));
    let (waited, took) = (
        figures["last_run_rate_limit_wait_seconds"],
        figures["last_run_duration_seconds"],
    );
    assert!(waited > 0.1 && waited < took, "{waited} of {took}");
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_is_asked() {
    let nights = nights();
    for (path, text) in [
        (
            nights.dir.path().join("none/sso.prom"),
            "make its folder first",
        ),
        (nights.dir.path().to_owned(), "it is not a regular file"),
        (
            nights.dir.path().join("other.prom"),
            "was not written by this program: see line 1",
        ),
    ] {
        fs::write(nights.dir.path().join("other.prom"), "node_load1 1\n").unwrap();
        let program = nights.night(0).arg("--metrics").arg(&path);
        program
            .run()
            .expect(2)
            .says(&["--metrics: ", text, "hint: "]);
    }
    assert!(nights.server.requests().is_empty());
    assert!(!nights.dir.path().join("reports").exists());
}

#[test]
fn who_may_read_the_figures_is_who_may_read_the_report() {
    let nights = nights();
    for (mode, bits) in [("0600", 0o600), ("0644", 0o644)] {
        night(&nights, 0)
            .args(["--output-mode", mode])
            .run()
            .expect(0);
        let found = fs::metadata(place(&nights)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, bits);
    }
}
