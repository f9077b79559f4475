//! Kills, signals, full disks and runs that get in each other's way: nothing is lost, nothing is half there.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(target_os = "linux")]
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

/// Answers the accounts with these numbers, and says nothing to the others.
fn answers_only(
    numbers: std::ops::RangeInclusive<usize>,
) -> impl Fn(&Request) -> Reply + Send + Sync {
    let good: Vec<_> = numbers.map(id).collect();
    move |request| {
        if good.iter().any(|id| id == request.account()) {
            good_answer(request)
        } else {
            Reply::Hang
        }
    }
}

fn good_answer(request: &Request) -> Reply {
    success(json!([connector(
        1,
        &format!("{}.example", &request.account()[24..])
    )]))
}

/// A report of a day before.
fn earlier_report(dir: &Rc<tempfile::TempDir>, server: &Server) -> Vec<(String, Vec<u8>)> {
    let outcome = audit_in(dir, server)
        .on_day(-1)
        .args(ids(2))
        .run()
        .expect(0);
    contents(&outcome.reports())
}

#[test]
fn a_killed_run_leaves_the_report_before_it_and_is_resumed() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let before = earlier_report(&dir, &server);
    let names: Vec<_> = before.iter().map(|(name, _)| name.clone()).collect();

    server.now(answers_only(1..=3));
    let running = audit_in(&dir, &server).args(ids(6)).spawn();
    running.wait_for_evidence(3);
    running.signal("KILL");
    let partial = running.partial();
    let killed = running.wait();
    assert_eq!(killed.code(), None);
    let mut after = contents(&killed.reports());
    after.retain(|(name, _)| names.contains(name));
    assert_eq!(after, before, "the report before is as it was");
    assert!(partial.is_dir());
    assert!(!killed.reports().join(RUN_ID).exists());

    // Killed in the middle of a line.
    let evidence = partial.join("evidence.jsonl");
    let mut bytes = fs::read(&evidence).unwrap();
    bytes.extend_from_slice(format!(r#"{{"account":3,"account_id":"{}","outc"#, id(4)).as_bytes());
    fs::write(&evidence, bytes).unwrap();

    server.now(good_answer);
    let resumed = resume(&dir, &server).run().expect(0);
    assert_eq!(server.asked(), (4..=6).map(id).collect::<Vec<_>>());
    assert_eq!(resumed.column("accounts.csv", "account_id"), ids(6));
    assert_eq!(resumed.column("accounts.csv", "outcome"), vec!["read"; 6]);
    assert!(resumed.run_dir().ends_with(RUN_ID));
    assert!(!partial.exists());
    assert_eq!(resumed.text("evidence.jsonl").lines().count(), 7);
    check_sums(&resumed.run_dir());
    assert_eq!(resumed.latest(), RUN_ID);
}

#[test]
fn a_run_that_a_newer_one_has_overtaken_is_not_resumed() {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=1));
    let partial = audit_in(&dir, &server).args(ids(2)).killed_after(1);
    server.now(good_answer);
    let newer = audit_in(&dir, &server)
        .on_day(1)
        .args(ids(2))
        .run()
        .expect(0);
    let before = contents(&newer.reports());
    // What it read is older than what is known by now.
    resume(&dir, &server).run().expect(2).says(&[
        "run 20261122T101500Z was completed after",
        "20261121T101500Z.partial was started",
        "start a new run without --resume",
    ]);
    assert!(server.requests().len() <= 4 && partial.is_dir());
    assert_eq!(contents(&newer.reports()), before, "nothing is lost");
}

#[test]
fn a_resumed_run_says_what_an_undisturbed_one_says() {
    let server = Server::start(good_answer);
    let whole = audit(&server)
        .args(["--concurrency", "1"])
        .args(ids(5))
        .run()
        .expect(0);

    let dir = shared_dir();
    server.now(answers_only(1..=2));
    audit_in(&dir, &server)
        .args(["--concurrency", "1"])
        .args(ids(5))
        .killed_after(2);
    server.now(good_answer);
    // A day later: the run keeps the moment at which it began.
    let resumed = resume(&dir, &server)
        .args(["--concurrency", "1"])
        .args(ids(5))
        .on_day(1)
        .run()
        .expect(0);
    for name in [
        "unverified_domains.csv",
        "disabled_connectors.csv",
        "fedramp_settings.csv",
        "connectors.csv",
        "findings.csv",
    ] {
        assert_eq!(whole.text(name), resumed.text(name), "{name}");
    }
    let started = |outcome: &Outcome| outcome.json()["run"]["started_utc"].clone();
    assert_eq!(started(&whole), started(&resumed));
    // When an account was read is told as it was.
    let read_at = resumed.column("accounts.csv", "read_at_utc");
    assert_eq!(read_at[0], "2026-11-21 10:15:00");
    assert_eq!(read_at[4], "2026-11-22 10:15:00");
}

#[test]
fn resuming_asks_again_for_what_was_unread_and_not_for_what_cannot_be_asked() {
    let dir = shared_dir();
    let server = Server::start(|request| match request.account() {
        account if account == id(1) => good_answer(request),
        account if account == id(2) => forbidden(),
        account if account == id(3) => enveloped(json!([]), json!({"total_count": 2})),
        _ => Reply::Hang,
    });
    audit_in(&dir, &server)
        .args(ids(4))
        .arg("no-id")
        .killed_after(4);
    server.now(good_answer);
    let resumed = resume(&dir, &server).run().expect(3);
    assert_eq!(server.asked(), (2..=4).map(id).collect::<Vec<_>>());
    assert_eq!(
        resumed.column("accounts.csv", "outcome"),
        ["read", "read", "read", "read", "unread"]
    );
}

fn interrupted_by(signal: &str) {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=3));
    let mut program = audit_in(&dir, &server).args(ids(6));
    if signal == "HUP" {
        // Also where the tests themselves were started to ignore it.
        program = program.through("exec env --default-signal=HUP \"$@\"");
    }
    let running = program.spawn();
    running.wait_for_evidence(3);
    running.signal(signal);
    let partial = running.partial();
    let outcome = running.wait().expect(130);
    let outcome = outcome.says(&["interrupted", "--resume", partial.to_str().unwrap()]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        fs::read_dir(outcome.reports()).unwrap().count(),
        1,
        "no report, no link"
    );
    server.now(good_answer);
    resume(&dir, &server).run().expect(0);
    assert_eq!(server.asked(), (4..=6).map(id).collect::<Vec<_>>());
}

#[test]
fn sigint_keeps_what_was_read() {
    interrupted_by("INT");
}

#[test]
fn sigterm_keeps_what_was_read() {
    interrupted_by("TERM");
}

#[cfg(target_os = "linux")]
#[test]
fn sighup_keeps_what_was_read() {
    interrupted_by("HUP");
}

#[cfg(target_os = "linux")]
#[test]
fn sighup_is_not_heard_where_it_is_ignored() {
    let dir = shared_dir();
    let is_sent = Arc::new(AtomicBool::new(false));
    let sent = Arc::clone(&is_sent);
    let server = Server::start(move |request| {
        if request.number() == 1 {
            return good_answer(request);
        }
        wait_until("the signal is sent", || sent.load(Ordering::Relaxed));
        // Long enough for a program that hears it to say so.
        good_answer(request).after(Duration::from_millis(100))
    });
    let running = audit_in(&dir, &server)
        .through("trap '' HUP; exec \"$@\"")
        .args(ids(2))
        .spawn();
    running.wait_for_evidence(1);
    running.signal("HUP");
    is_sent.store(true, Ordering::Relaxed);
    running.wait().expect(0);
}

#[test]
fn a_signal_ends_waiting_for_the_rate_limit_and_for_the_next_attempt() {
    for arguments in [
        &["--rate", "1/300s"][..],
        &["--retry-delay", "30s", "--rate", "100/1s"],
    ] {
        let dir = shared_dir();
        let others = AtomicBool::new(false);
        let server = Server::start(move |request| {
            if others.swap(true, Ordering::Relaxed) {
                answer(503, "").with("retry-after", "600")
            } else {
                good_answer(request)
            }
        });
        let running = audit_in(&dir, &server).args(arguments).args(ids(4)).spawn();
        running.wait_for_evidence(1);
        running.signal("TERM");
        running.wait().expect(130);
    }
}

#[test]
fn a_signal_while_the_accounts_are_listed_leaves_nothing() {
    let dir = shared_dir();
    let server = Server::start(|_| Reply::Hang);
    let running = audit_in(&dir, &server).arg("--all-accounts").spawn();
    wait_until("the list is asked for", || !server.requests().is_empty());
    running.signal("INT");
    let outcome = running
        .wait()
        .expect(130)
        .says(&["interrupted before any account was read"]);
    assert_eq!(fs::read_dir(outcome.reports()).unwrap().count(), 0);
}

#[test]
fn a_run_killed_before_it_had_evidence_does_not_stand_in_the_way() {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=1));
    audit_in(&dir, &server)
        .on_day(-1)
        .args(ids(2))
        .killed_after(1);
    // Killed while it listed accounts: a folder, and nothing in it.
    let running = audit_in(&dir, &server).arg("--all-accounts").spawn();
    wait_until("the list is asked for", || {
        server
            .requests()
            .iter()
            .any(|request| request.account().is_empty())
    });
    running.kill();
    server.now(good_answer);
    let resumed = resume(&dir, &server).run().expect(0);
    assert!(resumed.run_dir().ends_with("20261120T101500Z"));
    assert_eq!(server.asked(), [id(2)]);
}

#[test]
fn what_a_killed_rendering_left_does_not_reach_the_report() {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=1));
    let partial = audit_in(&dir, &server).args(ids(2)).killed_after(1);
    fs::create_dir(partial.join(".cf-sso-audit.staging")).unwrap();
    fs::write(partial.join(".cf-sso-audit.staging/accounts.csv"), "half").unwrap();
    server.now(good_answer);
    let resumed = resume(&dir, &server).run().expect(0);
    assert_eq!(resumed.csv("accounts.csv").len(), 2);
    assert!(!resumed.run_dir().join(".cf-sso-audit.staging").exists());
    check_sums(&resumed.run_dir());
}

#[test]
fn a_run_stopped_while_it_writes_the_report_has_all_its_evidence() {
    // Who is asked to stop takes away what was written aside; who is killed cannot.
    let left = [
        (
            "KILL",
            None,
            &[".cf-sso-audit.staging", "evidence.jsonl"][..],
        ),
        ("TERM", Some(130), &["evidence.jsonl"]),
    ];
    for (signal, code, left) in left {
        let dir = shared_dir();
        let server = Server::start(good_answer);
        let running = audit_in(&dir, &server)
            .args(ids(3))
            .spawn_held_at("report.json");
        let partial = running.partial();
        running.signal(signal);
        let stopped = running.wait();
        assert_eq!(stopped.code(), code, "{}", stopped.stderr);
        assert_eq!(names(&partial), left, "nothing is half there");
        server.now(good_answer);
        let resumed = resume(&dir, &server).run().expect(0);
        assert_eq!(server.requests().len(), 0, "everything was read");
        assert_eq!(resumed.csv("connectors.csv").len(), 3);
        check_sums(&resumed.run_dir());
    }
}

/// Whatever of its files a program is about to make, rename or remove when it is killed.
#[test]
fn a_run_killed_at_any_step_loses_nothing_and_leaves_no_report_half_there() {
    let server = Server::start(good_answer);
    let csv = |program: Program| program.args(["--format", "csv"]);
    let (mut unfinished, mut whole) = (0, 0);
    for step in 1.. {
        let dir = shared_dir();
        csv(audit_in(&dir, &server).on_day(-1).args(ids(2)))
            .run()
            .expect(0);
        let reports = dir.path().join("reports");
        let before = contents(&reports.join("20261120T101500Z"));
        let ended = csv(audit_in(&dir, &server).args(ids(2)))
            .killed_at_step(step)
            .run();
        if ended.code().is_some() {
            ended.expect(0);
            break;
        }
        // What the link leads to is there, whole, all the time.
        check_sums(&reports.join(latest(&reports)));
        let run = reports.join(RUN_ID);
        let partial = reports.join(format!("{RUN_ID}.partial"));
        assert!(!(run.exists() && partial.exists()), "step {step}");
        if run.exists() {
            whole += 1;
        } else if fs::read(partial.join("evidence.jsonl")).is_ok_and(|text| text.contains(&b'\n')) {
            unfinished += 1;
            let known = fs::read_to_string(partial.join("evidence.jsonl")).unwrap();
            let read = known.matches('\n').count() - 1;
            server.now(good_answer);
            csv(resume(&dir, &server)).run().expect(0);
            assert_eq!(server.requests().len(), 2 - read, "step {step}");
        } else {
            // Killed before it knew what to ask: there is nothing to resume, and nothing in the way.
            csv(audit_in(&dir, &server).args(ids(2))).run().expect(0);
        }
        let made = names(&reports)
            .into_iter()
            .find(|name| name.starts_with(RUN_ID) && !name.ends_with(".partial"));
        let made = reports.join(made.unwrap());
        check_sums(&made);
        assert_eq!(names(&made), names(&reports.join("20261120T101500Z")));
        let rows = rows(&fs::read(made.join("accounts.csv")).unwrap(), b',');
        assert!(
            rows.iter().all(|row| row["outcome"] == "read"),
            "step {step}"
        );
        assert_eq!(rows.len(), 2, "step {step}");
        assert_eq!(contents(&reports.join("20261120T101500Z")), before);
    }
    assert!(unfinished > 10 && whole > 0, "{unfinished} and {whole}");
}

/// Else a power cut could leave a run that is in place, with files that are empty.
#[test]
fn what_a_run_consists_of_is_on_the_disk_before_it_is_in_place() {
    let server = Server::start(good_answer);
    let (outcome, steps) = audit(&server).args(ids(2)).run_by_steps();
    let outcome = outcome.expect(0);
    let all = steps.join("\n");
    let at = |step: String| {
        let found = steps.iter().rposition(|known| *known == step);
        found.unwrap_or_else(|| panic!("{step:?} is not in:\n{all}"))
    };
    let partial = format!("./{RUN_ID}.partial");
    let in_place = at(format!("rename ./{RUN_ID}"));
    for name in names(&outcome.run_dir()) {
        if name == "evidence.jsonl" {
            assert!(at(format!("sync {partial}/{name}")) < in_place);
        } else {
            let synced = at(format!("sync {partial}/.cf-sso-audit.staging/{name}"));
            let published = at(format!("rename {partial}/{name}"));
            assert!(
                synced < published && published < in_place,
                "{name} in:\n{all}"
            );
        }
    }
    assert!(at(format!("sync {partial}")) < in_place, "its names are");
    let linked = at("rename ./latest".to_owned());
    assert!(
        in_place < linked && linked < at("sync .".to_owned()),
        "{all}"
    );
}

/// Runs as if the disk had room for files of so many bytes only.
fn with_room_for(program: Program, bytes: u64) -> Program {
    // `ulimit -f` counts in blocks of 512 bytes.
    let blocks = bytes / 512;
    program.through(&format!(
        "trap '' XFSZ && ulimit -f {blocks} && exec \"$@\""
    ))
}

#[test]
fn a_full_disk_is_found_out_before_anything_is_asked() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let before = earlier_report(&dir, &server);
    server.now(good_answer);
    let program = audit_in(&dir, &server).args(ids(2));
    let outcome = with_room_for(program, 4096).run().expect(1).says(&[
        "cannot write to",
        &format!("reports/{RUN_ID}.partial"),
        "--output",
    ]);
    assert_eq!(server.requests().len(), 0);
    assert_eq!(
        contents(&outcome.reports()),
        before,
        "nothing is left behind"
    );
}

#[test]
fn a_disk_that_fills_up_while_collecting_loses_nothing() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let before = earlier_report(&dir, &server);
    let large = |request: &Request| {
        let many: Vec<Value> = (0..100)
            .map(|n| connector(n, &format!("d{n}.{}.example", &request.account()[24..])))
            .collect();
        success(many.into())
    };
    server.now(large);
    let program = audit_in(&dir, &server)
        .args(["--concurrency", "1", "--format", "csv"])
        .args(ids(10));
    let failed = with_room_for(program, 100_000).run().expect(1).says(&[
        "evidence.jsonl",
        "the evidence cannot be kept",
        "free some space",
        "--resume",
    ]);
    let asked = server.requests().len();
    assert!((1..10).contains(&asked), "it stops asking: {asked}");
    let mut after = contents(&failed.reports());
    after.retain(|(name, _)| !name.contains(".partial"));
    assert_eq!(after, before);
    let evidence = fs::read(
        failed
            .reports()
            .join(format!("{RUN_ID}.partial/evidence.jsonl")),
    )
    .unwrap();
    assert!(evidence.ends_with(b"\n"), "no half line is left");
    let kept = evidence.iter().filter(|&&b| b == b'\n').count() - 1;

    server.now(large);
    let resumed = resume(&dir, &server)
        .args(["--format", "csv"])
        .run()
        .expect(0);
    assert_eq!(server.requests().len(), 10 - kept);
    assert_eq!(resumed.csv("connectors.csv").len(), 1000);
}

#[test]
fn a_disk_that_fills_up_while_writing_the_report_keeps_the_evidence() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let before = earlier_report(&dir, &server);
    // The page alone is larger than this; the evidence is not.
    let program = audit_in(&dir, &server).args(ids(3));
    let failed = with_room_for(program, 70_000)
        .run()
        .expect(1)
        .says(&["--resume", &format!("{RUN_ID}.partial")]);
    let mut after = contents(&failed.reports());
    after.retain(|(name, _)| !name.contains(".partial"));
    assert_eq!(after, before, "the report before is as it was");
    server.now(good_answer);
    let resumed = resume(&dir, &server).run().expect(0);
    assert_eq!(server.requests().len(), 0, "everything was read");
    check_sums(&resumed.run_dir());
}

/// Runs with a file system of its own mounted where the reports go; `None` where this machine lets nobody mount, which
/// is said.
fn with_mounted_reports(program: Program, options: &str) -> Option<Program> {
    let reports = program.dir().join("reports");
    fs::create_dir(&reports).unwrap();
    let mount = format!("mount -t tmpfs -o {options} none '{}'", reports.display());
    // Who is not root is root in a namespace of their own.
    let unshare = if is_root() { "-m" } else { "-rm" };
    let tried = std::process::Command::new("unshare")
        .args([unshare, "sh", "-c", &mount])
        .output()
        .unwrap();
    if !tried.status.success() {
        not_tried(&String::from_utf8_lossy(&tried.stderr));
        return None;
    }
    let script = format!(
        r#"export MOUNT="{mount}" && exec unshare {unshare} sh -c 'eval "$MOUNT" && exec "$@"' sh "$@""#
    );
    Some(program.through(&script))
}

#[test]
fn a_file_system_without_room_says_so() {
    let server = Server::start(good_answer);
    let Some(program) = with_mounted_reports(audit(&server).args(ids(2)), "size=16k") else {
        return;
    };
    program
        .run()
        .expect(1)
        .says(&["No space left on device", "reports", "free some space"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_read_only_folder_is_found_out_before_anything_is_asked() {
    let server = Server::start(good_answer);
    let Some(program) = with_mounted_reports(audit(&server).args(ids(2)), "ro") else {
        return;
    };
    program.run().expect(1).says(&[
        "cannot write to",
        "reports",
        "Read-only file system",
        "writable folder",
    ]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_file_in_the_folders_place_is_found_out_before_anything_is_asked() {
    let server = Server::start(good_answer);
    for output in ["taken", "taken/reports", "/proc/reports"] {
        let program = audit(&server).args(["--output", output, &id(1)]);
        program.file("taken", "a file");
        let outcome = program
            .run()
            .expect(1)
            .says(&["cannot write to", "--output"]);
        assert_eq!(outcome.stdout, "");
    }
    assert_eq!(server.requests().len(), 0);
}

/// What is in place of `latest`: a copy that a tool which follows links made, or a file.
fn in_the_place_of_latest(dir: &Rc<tempfile::TempDir>, is_folder: bool) -> PathBuf {
    let latest = dir.path().join("reports/latest");
    let file = if is_folder {
        fs::create_dir_all(&latest).unwrap();
        latest.join("report.html")
    } else {
        fs::create_dir_all(latest.parent().unwrap()).unwrap();
        latest.clone()
    };
    fs::write(file, "an older report").unwrap();
    latest
}

#[test]
fn what_stands_in_the_place_of_latest_costs_no_report_and_is_left_alone() {
    for (is_folder, why) in [
        (true, "it is a folder, not a link"),
        (false, "it is a file, not a link"),
    ] {
        let dir = shared_dir();
        let latest = in_the_place_of_latest(&dir, is_folder);
        let before = contents(latest.parent().unwrap());
        let server = Server::start(good_answer);
        let outcome = audit_in(&dir, &server).args(ids(2)).run().expect(0);
        assert!(outcome.run_dir().ends_with(RUN_ID));
        check_sums(&outcome.run_dir());
        let outcome = outcome.prints(&["2 of 2 accounts read."]).says(&[
            &format!("reports/latest will not be updated: {why}; remove or rename it"),
            &format!("reports/latest was not updated: {why}; this run is in "),
            &format!("reports/{RUN_ID}"),
        ]);
        let mut after = contents(&outcome.reports());
        after.retain(|(name, _)| !name.contains(RUN_ID));
        assert_eq!(after, before, "nothing is changed, and nothing is left");
        // The run's own exit code comes, and what went wrong is said to those who hear of nothing else.
        let quiet = audit_in(&dir, &server)
            .args(ids(2))
            .args(["bad", "-q"])
            .run()
            .expect(3);
        assert!(quiet.stderr.contains("latest was not updated"));
    }
}

#[test]
fn what_stands_in_the_place_of_latest_is_told_before_anything_is_asked() {
    let dir = shared_dir();
    in_the_place_of_latest(&dir, true);
    let server = Server::start(answers_only(1..=1));
    for resumes in [false, true] {
        let mut program = audit_in(&dir, &server).args(ids(2));
        if resumes {
            program = program.arg("--resume");
        }
        server.now(answers_only(1..=1));
        let running = program.spawn();
        wait_until("something is asked", || !server.requests().is_empty());
        running.signal("INT");
        running
            .wait()
            .expect(130)
            .says(&["latest will not be updated: it is a folder, not a link"]);
    }
}

#[test]
fn a_link_that_cannot_be_made_costs_no_report() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let earlier = earlier_report(&dir, &server);
    // Nobody, not even root, can put a link in place of a folder that holds something.
    let aside = dir.path().join(format!("reports/.latest-{RUN_ID}"));
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("x"), "").unwrap();
    let outcome = audit_in(&dir, &server)
        .args(ids(2))
        .run()
        .expect(0)
        .prints(&["2 of 2 accounts read."])
        .says(&["reports/latest was not updated: "]);
    assert!(!outcome.stderr.contains("will not be updated"));
    check_sums(&outcome.run_dir());
    let after = contents(&outcome.reports());
    assert!(
        earlier.iter().all(|was| after.contains(was)),
        "the report before is as it was, and the link points to it"
    );
}

#[test]
fn runs_of_the_same_second_do_not_harm_each_other() {
    let dir = shared_dir();
    let gate = Gate::default();
    let at_the_gate = gate.clone();
    let server = Server::start(move |request| {
        at_the_gate.wait();
        good_answer(request)
    });
    let runs: Vec<_> = (1..=4)
        .map(|n| audit_in(&dir, &server).args(ids(n)).spawn())
        .collect();
    wait_until("all four have asked for all that they ask for", || {
        server.requests().len() == 1 + 2 + 3 + 4
    });
    gate.open();
    let outcomes: Vec<_> = runs.into_iter().map(|run| run.wait().expect(0)).collect();
    let mut folders = Vec::new();
    for (outcome, n) in outcomes.iter().zip(1..) {
        assert_eq!(outcome.column("accounts.csv", "account_id"), ids(n));
        check_sums(&outcome.run_dir());
        folders.push(outcome.run_dir());
    }
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), 4);
    let left = contents(&outcomes[0].reports());
    assert!(
        !left
            .iter()
            .any(|(name, _)| name.contains(".partial") || name.contains(".latest"))
    );
    let latest = fs::canonicalize(outcomes[0].reports().join("latest")).unwrap();
    assert!(
        folders
            .iter()
            .any(|folder| fs::canonicalize(folder).unwrap() == latest)
    );
}

#[test]
fn a_run_is_judged_only_once_no_other_of_the_folder_is_being_written() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let first = audit_in(&dir, &server)
        .args(ids(2))
        .spawn_held_at("report.json");
    let log = dir.path().join("log");
    let second = audit_in(&dir, &server)
        .on_day(1)
        .args(ids(2))
        .arg("-v")
        .env("LOG", &log)
        .through("exec \"$@\" 2>\"$LOG\"")
        .spawn();
    wait_until("the second run waits for the first", || {
        fs::read_to_string(&log)
            .is_ok_and(|text| text.contains("waiting for another run that is writing its report"))
    });
    assert!(!dir.path().join("reports/latest").exists());
    // Whatever ends the first, the second goes on.
    first.kill();
    let second = second.wait().expect(0);
    assert_eq!(second.latest(), "20261122T101500Z");
    assert_eq!(second.csv("accounts.csv").len(), 2);
}

/// A folder with a run that was killed after its first account.
fn killed_run() -> (Rc<tempfile::TempDir>, Server) {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=1));
    audit_in(&dir, &server).args(ids(3)).killed_after(1);
    server.now(good_answer);
    (dir, server)
}

#[test]
fn a_run_is_resumed_with_its_own_accounts_and_address_only() {
    let (dir, server) = killed_run();
    let before = contents(&dir.path().join("reports"));
    for others in [vec![id(1), id(2)], vec![id(1), id(3), id(2)], vec![id(7)]] {
        resume(&dir, &server)
            .args(others)
            .run()
            .expect(2)
            .says(&["was started with other accounts", "hint: "]);
    }
    let elsewhere = Server::start(good_answer);
    resume(&dir, &elsewhere).run().expect(2).says(&[
        "was started with",
        &server.base_url(),
        &elsewhere.base_url(),
        "hint: ",
    ]);
    assert_eq!(server.requests().len() + elsewhere.requests().len(), 0);
    assert_eq!(
        contents(&dir.path().join("reports")),
        before,
        "nothing was touched"
    );
    // The same accounts may be named again.
    resume(&dir, &server).args(ids(3)).run().expect(0);
}

#[test]
fn resuming_with_the_accounts_file_that_it_was_begun_with() {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=1));
    let csv = format!("account_id,owner\n{},a\n{},b\n", id(1), id(2));
    audit_in(&dir, &server)
        .accounts_file("accounts.csv", &csv)
        .killed_after(1);
    server.now(good_answer);
    let resumed = resume(&dir, &server)
        .accounts_file("accounts.csv", &csv)
        .run()
        .expect(0);
    assert_eq!(resumed.column("accounts.csv", "owner"), ["a", "b"]);
    assert_eq!(server.asked(), [id(2)]);
}

#[test]
fn a_run_over_listed_accounts_is_resumed_without_listing_them_again() {
    let dir = shared_dir();
    let lists = |connectors: fn(&Request) -> Reply| {
        move |request: &Request| match (request.account(), request.parameter("page")) {
            ("", Some("1")) => {
                success(json!([{"id": id(1), "name": "One"}, {"id": id(2), "name": "Two"}]))
            }
            ("", _) => success(json!([])),
            _ => connectors(request),
        }
    };
    let first_only: fn(&Request) -> Reply = |request| {
        if request.account() == id(1) {
            good_answer(request)
        } else {
            Reply::Hang
        }
    };
    let server = Server::start(lists(first_only));
    audit_in(&dir, &server)
        .arg("--all-accounts")
        .killed_after(1);
    server.now(lists(good_answer));
    let resumed = resume(&dir, &server).arg("--all-accounts").run().expect(0);
    assert_eq!(
        resumed.column("accounts.csv", "account_name"),
        ["One", "Two"]
    );
    assert_eq!(
        server.asked(),
        [id(2)],
        "neither the list nor what was read is asked for"
    );
}

#[test]
fn a_run_that_still_goes_on_is_not_resumed() {
    let dir = shared_dir();
    let server = Server::start(answers_only(1..=1));
    let running = audit_in(&dir, &server).args(ids(2)).spawn();
    running.wait_for_evidence(1);
    resume(&dir, &server).run().expect(1).says(&[
        "another run is writing to it",
        "evidence.jsonl",
        "hint: ",
    ]);
    running.signal("INT");
    running.wait().expect(130);
    server.now(good_answer);
    resume(&dir, &server).run().expect(0);
}

#[test]
fn there_must_be_something_to_resume() {
    let server = Server::start(good_answer);
    audit(&server).arg("--resume").run().expect(2).says(&[
        "there is no unfinished run",
        "reports",
        "without --resume",
    ]);
    let dir = shared_dir();
    audit_in(&dir, &server).args(ids(1)).run().expect(0);
    resume(&dir, &server)
        .run()
        .expect(2)
        .says(&["there is no unfinished run"]);
}

#[test]
fn damaged_evidence_is_refused_with_its_line() {
    let (dir, server) = killed_run();
    let path = dir
        .path()
        .join(format!("reports/{RUN_ID}.partial/evidence.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"outcome\":\"read\"", "\"outcome\":\"rea\""),
    )
    .unwrap();
    resume(&dir, &server).run().expect(1).says(&[
        "evidence.jsonl line 2",
        "hint: ",
        "without --resume",
    ]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn an_unreadable_baseline_is_told_and_costs_nothing() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    earlier_report(&dir, &server);
    fs::write(
        dir.path().join("reports/20261120T101500Z/ledger.jsonl"),
        "nonsense\n",
    )
    .unwrap();
    audit_in(&dir, &server)
        .args(ids(2))
        .run()
        .expect(0)
        .says(&["cannot compare with", "ledger.jsonl line 1"]);
}

/// A folder in which somebody left an unfinished run with this evidence.
fn planted(dir: &Rc<tempfile::TempDir>, evidence: impl FnOnce(&Path)) -> PathBuf {
    let partial = dir.path().join(format!("reports/{RUN_ID}.partial"));
    fs::create_dir_all(&partial).unwrap();
    evidence(&partial.join("evidence.jsonl"));
    partial
}

#[test]
fn a_planted_run_has_no_variable_sent_and_no_other_file_changed() {
    // A run's own evidence, with another variable than any that is named now.
    let (dir, server) = killed_run();
    let path = dir
        .path()
        .join(format!("reports/{RUN_ID}.partial/evidence.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    let plain = format!("{{\"id\":\"{}\"", id(2));
    let planted_line = text.replace(&plain, &format!("{plain},\"token_env\":\"SECRET\""));
    assert_ne!(text, planted_line);
    fs::write(&path, &planted_line).unwrap();
    let secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
    resume(&dir, &server)
        .env("SECRET", secret)
        .run()
        .expect(2)
        .says(&["would send the value of SECRET", "--accounts-file"]);
    assert!(server.requests().is_empty());

    // A link to somewhere else, another name of another file, and what is no evidence: none is cut or written to.
    let victim = dir.path().join("victim");
    let half = format!("{}{{\"account\":1,", text);
    for (content, link) in [
        (half.as_str(), true),
        (half.as_str(), false),
        ("{\"schema\":\"mine\"}\nand half a li", false),
    ] {
        fs::write(&victim, content).unwrap();
        fs::remove_dir_all(dir.path().join("reports")).unwrap();
        planted(&dir, |evidence| match (link, content == half) {
            (true, _) => std::os::unix::fs::symlink(&victim, evidence).unwrap(),
            (false, true) => fs::hard_link(&victim, evidence).unwrap(),
            (false, false) => fs::rename(&victim, evidence).unwrap(),
        });
        let outcome = resume(&dir, &server).run();
        assert!(matches!(outcome.code(), Some(1 | 2)), "{}", outcome.stderr);
        let place = if victim.exists() {
            victim.clone()
        } else {
            dir.path()
                .join(format!("reports/{RUN_ID}.partial/evidence.jsonl"))
        };
        assert_eq!(fs::read_to_string(place).unwrap(), content);
    }
    // A folder that is a link to another one is no unfinished run.
    fs::remove_dir_all(dir.path().join("reports")).unwrap();
    let partial = planted(&dir, |evidence| fs::write(evidence, &text).unwrap());
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&partial, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &partial).unwrap();
    resume(&dir, &server)
        .run()
        .expect(2)
        .says(&["there is no unfinished run"]);
    assert!(server.requests().is_empty());
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let dir = shared_dir();
    let server = Server::start(good_answer);
    let pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    planted(&dir, pipe);
    resume(&dir, &server)
        .run()
        .expect(1)
        .says(&["not a regular file"]);
    let whole = dir.path().join("reports/20261101T000000Z");
    fs::create_dir(&whole).unwrap();
    pipe(&whole.join("ledger.jsonl"));
    audit_in(&dir, &server)
        .arg(id(1))
        .run()
        .expect(0)
        .prints(&["Run 20261101T000000Z could not be read"]);
}
