//! `--keep`: older runs are removed after a success, and nothing else ever is.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use cf_sso_audit::runs::{ApiAsked, keep_newest};
use serde_json::{Value, json};

use crate::support::*;

/// The name of the run of a day.
fn run_of(day: u32) -> String {
    let first = chrono::NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    let day = first + chrono::Days::new(day.into());
    format!("{}T101500Z", day.format("%Y%m%d"))
}

/// What is in a folder of runs, beside `latest`, when only the runs of them days are left.
fn runs_of(days: &[u32]) -> Vec<String> {
    let mut names: Vec<_> = days.iter().map(|day| run_of(*day)).collect();
    names.push("latest".to_owned());
    names
}

fn reports(nights: &Nights) -> std::path::PathBuf {
    nights.dir.path().join("reports")
}

/// Two accounts, one of which has a finding.
fn two_accounts() -> Nights {
    Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (2, json!([connector(2, "b.example")])),
    ])
}

/// So many nights, all read in full, without `--keep`.
fn nights_before(count: i64) -> Nights {
    let nights = two_accounts();
    for day in 0..count {
        nights.night(day).args(["--format", "csv"]).run().expect(0);
    }
    nights
}

/// The last of them nights, with `--keep 2`.
fn keep_two(nights: &Nights, day: i64) -> Program {
    nights
        .night(day)
        .args(["--format", "csv,json", "--keep", "2"])
}

#[test]
fn the_newest_runs_stay_and_the_history_goes_on() {
    let nights = nights_before(4);
    let kept = keep_two(&nights, 4).run().expect(0).prints(&[&format!(
        "--keep 2 removed 3 older runs: {}, {}, {}.\n",
        run_of(2),
        run_of(1),
        run_of(0)
    )]);
    assert_eq!(names(&reports(&nights)), runs_of(&[3, 4]));
    assert_eq!(kept.latest(), run_of(4));
    let next = keep_two(&nights, 5).run().expect(0);
    assert_eq!(names(&reports(&nights)), runs_of(&[4, 5]));
    let finding = &next.csv("findings.csv")[0];
    assert_eq!(finding["change"], "existing");
    assert_eq!(finding["first_seen_utc"], "2026-11-21 10:15:00");
    assert_eq!(next.json()["trend"].as_array().unwrap().len(), 6);
    // What is left can be judged again.
    let rendered = render(&nights.dir, &next.run_dir()).on_day(5);
    rendered.args(["--format", "csv,json"]).run().expect(0);
}

#[test]
fn fewer_runs_than_are_kept_all_stay() {
    let nights = nights_before(1);
    let outcome = keep_two(&nights, 1).run().expect(0);
    assert!(!outcome.stdout.contains("--keep"), "{}", outcome.stdout);
    assert_eq!(names(&reports(&nights)), runs_of(&[0, 1]));
}

#[test]
fn the_run_compared_with_and_the_one_carried_on_stay() {
    let nights = nights_before(4);
    nights
        .night(4)
        .args(["--keep", "1", "--baseline"])
        .arg(reports(&nights).join(run_of(1)))
        .run()
        .expect(0);
    assert_eq!(names(&reports(&nights)), runs_of(&[1, 3, 4]));
}

#[test]
fn the_last_run_that_read_everything_stays() {
    let nights = nights_before(2);
    let connectors = nights.world.lock().unwrap()[&id(2)].clone();
    nights.set(2, Value::Null);
    for day in 2..5 {
        nights
            .night(day)
            .args(["--keep", "1", "--allow-unread", "1"])
            .run()
            .expect(0);
    }
    assert_eq!(names(&reports(&nights)), runs_of(&[1, 3, 4]));
    // Nor does an audit of one account, which is read in full, push out the last of all.
    nights.set(2, connectors);
    for day in 5..8 {
        let one = nights.bare(day).arg(id(1)).args(["--keep", "1"]);
        one.run().expect(0);
    }
    assert_eq!(names(&reports(&nights)), runs_of(&[1, 6, 7]));
    nights.night(8).args(["--keep", "1"]).run().expect(0);
    assert_eq!(names(&reports(&nights)), runs_of(&[7, 8]));
}

#[test]
fn an_audit_that_is_no_success_removes_nothing() {
    let nights = nights_before(3);
    nights.set(2, Value::Null);
    keep_two(&nights, 3).run().expect(3).prints(&[
        "--keep 2 removed nothing: it does so after an audit that ends with 0 or 10, and this one ends with 3.\n",
    ]);
    assert_eq!(names(&reports(&nights)), runs_of(&[0, 1, 2, 3]));
    // Findings are no failure of the audit.
    nights.set(2, json!([connector(2, "b.example")]));
    let found = keep_two(&nights, 4).args(["--fail-on", "low"]);
    found.run().expect(10);
    assert_eq!(names(&reports(&nights)), runs_of(&[3, 4]));
}

#[test]
fn what_the_run_did_not_write_is_never_removed() {
    let nights = nights_before(9);
    let reports = reports(&nights);
    let run = |day| reports.join(run_of(day));
    fs::write(run(0).join("notes.txt"), "the user's own").unwrap();
    let mut table = fs::read_to_string(run(1).join("connectors.csv")).unwrap();
    table.push_str("a remark\r\n");
    fs::write(run(1).join("connectors.csv"), table).unwrap();
    fs::rename(run(2), nights.dir.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("../moved", run(2)).unwrap();
    fs::create_dir(run(3).join("by-owner")).unwrap();
    fs::write(run(3).join("by-owner/plan.txt"), "the user's own").unwrap();
    fs::remove_file(run(4).join("SHA256SUMS")).unwrap();
    fs::write(run(5).join("ledger.jsonl"), "{}\n").unwrap();
    fs::remove_file(run(6).join("report.html")).unwrap_or_default();
    std::os::unix::fs::symlink("/etc/hostname", run(6).join("report.html")).unwrap();
    // Beside the runs.
    fs::rename(run(7), reports.join("20261128T101500Z.partial")).unwrap();
    fs::create_dir(reports.join("kept")).unwrap();
    fs::write(reports.join("readme.txt"), "the user's own").unwrap();
    fs::create_dir(reports.join("notes.removed")).unwrap();
    let before = contents(nights.dir.path());
    for day in 9..12 {
        keep_two(&nights, day).run().expect(0);
    }
    let base_url = nights.server.base_url();
    let api = ApiAsked {
        base_url: &base_url,
        demo: false,
    };
    let two = NonZeroUsize::new(2).unwrap();
    let removal = keep_newest(&reports, api, &run_of(11), two, &[]).unwrap();
    let left: Vec<_> = removal
        .left
        .iter()
        .map(|left| (left.name.clone(), left.cause.clone()))
        .collect();
    let foreign =
        |what: &str| format!("{what} was not written by the run, or has been changed since");
    let expected = [
        (6, foreign("report.html")),
        (5, String::new()),
        (4, foreign("accounts.csv")),
        (3, foreign("by-owner/plan.txt")),
        (2, "it is a link, not a folder".to_owned()),
        (1, foreign("connectors.csv")),
        (0, foreign("notes.txt")),
    ];
    assert_eq!(left.len(), expected.len(), "{left:?}");
    for ((name, cause), (day, expected)) in left.iter().zip(expected) {
        assert_eq!(*name, run_of(day));
        assert!(
            *cause == expected || day == 5 && cause.contains("ledger.jsonl"),
            "{name}: {cause}"
        );
    }
    let after = contents(nights.dir.path());
    for (path, bytes) in &before {
        let is_due = path.contains(&run_of(8)) || path.ends_with("latest");
        let name = Path::new(path).file_name().unwrap();
        if !is_due && name != "accounts.txt" {
            assert!(
                after.contains(&(path.clone(), bytes.clone())),
                "{path} is gone"
            );
        }
    }
    assert!(!run(8).exists() && !run(9).exists());
    assert!(reports.join("kept").is_dir() && reports.join("notes.removed").is_dir());
}

#[test]
fn the_log_of_what_was_fixed_keeps_its_run() {
    let nights = nights_before(3);
    let log = reports(&nights).join(run_of(0)).join("fix-log.jsonl");
    fs::write(&log, "{}\n").unwrap();
    keep_two(&nights, 3)
        .run()
        .expect(0)
        .prints(&["in place: fix-log.jsonl was not written by the run"]);
    assert!(log.exists());
    assert_eq!(names(&reports(&nights)), runs_of(&[0, 2, 3]));
}

#[test]
fn runs_of_another_api_neither_count_nor_go() {
    let nights = nights_before(3);
    let other = Nights::of(&[(1, json!([]))]);
    for day in 3..5 {
        audit_in(&nights.dir, &other.server)
            .on_day(day)
            .arg(id(1))
            .args(["--keep", "1"])
            .run()
            .expect(0);
    }
    assert_eq!(names(&reports(&nights)), runs_of(&[0, 1, 2, 3, 4]));
}

#[test]
fn the_reports_of_owners_go_with_their_run() {
    let nights = two_accounts();
    let accounts = format!("account_id,owner\n{},team-a\n{},Team B\n", id(1), id(2));
    let night = |day: i64| {
        nights
            .bare(day)
            .accounts_file("owners.csv", &accounts)
            .args(["--split-by", "owner", "--keep", "1"])
    };
    for day in 0..2 {
        night(day).run().expect(0);
    }
    assert!(
        reports(&nights)
            .join(run_of(0))
            .join("by-owner/team-a")
            .is_dir()
    );
    night(2).run().expect(0);
    assert_eq!(names(&reports(&nights)), runs_of(&[1, 2]));
}

#[test]
fn a_run_that_is_being_read_stays_until_it_is_not() {
    let nights = nights_before(3);
    let reading = render(&nights.dir, &reports(&nights).join(run_of(0)))
        .arg("-o")
        .arg(reports(&nights).join("judged"))
        .spawn_held_at("report.json");
    keep_two(&nights, 3).run().expect(0).prints(&[&format!(
        "--keep 2 left {} in place: another command is reading it.\n",
        run_of(0)
    )]);
    assert!(reports(&nights).join(run_of(0)).is_dir());
    assert!(!reports(&nights).join(run_of(1)).exists());
    reading.kill();
    keep_two(&nights, 4).run().expect(0);
    assert!(!reports(&nights).join(run_of(0)).exists());
}

/// The baseline that an audit was given stays while that audit still reads.
#[test]
fn a_run_that_another_audit_will_compare_with_stays() {
    let nights = nights_before(3);
    let gate = nights.hold(1);
    let named = reports(&nights).join(run_of(0));
    let before = nights.server.requests().len();
    let slow = nights.night(3).arg("--baseline").arg(&named).spawn();
    wait_until("the slow one asks", || {
        nights.server.requests().len() > before
    });
    let quick = nights.bare(4).arg(id(2)).args(["--keep", "1"]);
    quick.run().expect(0);
    assert!(named.is_dir());
    gate.open();
    slow.wait().expect(0);
}

#[test]
fn a_removal_that_is_interrupted_anywhere_leaves_nothing_that_passes_for_a_run() {
    let steps = {
        let nights = nights_before(3);
        let (outcome, steps) = keep_two(&nights, 3).run_by_steps();
        outcome.expect(0);
        steps
    };
    let is_of_removal = |step: &String| step.contains(&run_of(0)) || step.contains(&run_of(1));
    let of_removal: Vec<_> = (0..steps.len())
        .filter(|step| is_of_removal(&steps[*step]))
        .collect();
    // Two runs: each is renamed, its files go one by one, and its folder goes last.
    assert!(of_removal.len() > 20, "{steps:?}");
    for step in of_removal.into_iter().step_by(3) {
        let nights = nights_before(3);
        let killed = keep_two(&nights, 3).killed_at_step(step + 1).run();
        assert_eq!(killed.code(), None, "step {step}");
        let reports = reports(&nights);
        for name in names(&reports) {
            if !name.ends_with(".removed") {
                check_sums(&reports.join(&name));
            }
        }
        assert_eq!(latest(&reports), run_of(3));
        keep_two(&nights, 4).run().expect(0);
        assert_eq!(names(&reports), runs_of(&[3, 4]), "step {step}");
    }
}

#[test]
fn the_run_that_latest_points_to_stays() {
    let nights = nights_before(4);
    let reports = reports(&nights);
    // As where the link could not be replaced.
    fs::remove_file(reports.join("latest")).unwrap();
    std::os::unix::fs::symlink(run_of(1), reports.join("latest")).unwrap();
    let base_url = nights.server.base_url();
    let api = ApiAsked {
        base_url: &base_url,
        demo: false,
    };
    let one = NonZeroUsize::new(1).unwrap();
    let removal = keep_newest(&reports, api, &run_of(3), one, &[]).unwrap();
    assert_eq!(removal.removed, [run_of(0)]);
    assert_eq!(names(&reports), runs_of(&[1, 2, 3]));
    assert_eq!(latest(&reports), run_of(1));
}

#[test]
fn at_least_one_run_is_kept() {
    program("audit")
        .args(["--demo", "--keep", "0"])
        .run()
        .expect(2)
        .says(&["--keep", "at least 1"]);
}
