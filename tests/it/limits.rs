//! What the system may refuse: standard error, descriptors, a folder for temporary files, mode bits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::*;

/// Standard error on a full disk.
const FULL: &str = "exec \"$@\" 2>/dev/full";

#[test]
fn a_standard_error_that_cannot_be_written_costs_nothing_else() {
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    // Each account but the first is warned of.
    for verbosity in [
        &[][..],
        &["-vv"],
        &["--log-format", "json", "--progress", "always"],
    ] {
        let outcome = audit(&server)
            .through(FULL)
            .args(verbosity)
            .args(ids(40))
            .run()
            .expect(3);
        assert_eq!(outcome.csv("accounts.csv").len(), 40);
        check_sums(&outcome.run_dir());
    }
    // What is said at the end cannot be said either: the exit code says it.
    audit(&server).through(FULL).arg("none").run().expect(2);
    let gone = "exec \"$@\" 2>&1 >/dev/null | head -n 1 >/dev/null";
    let outcome = audit(&server).through(gone).args(ids(40)).run();
    // The shell may be gone before the program.
    let latest = outcome.reports().join("latest/report.html");
    wait_until("the report is there", || latest.exists());
}

#[test]
fn asked_to_stop_while_nobody_hears_it_the_program_ends() {
    let dir = shared_dir();
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let running = audit_in(&dir, &server)
        .through(FULL)
        .arg(id(1))
        .spawn_held_at("report.html");
    running.signal("TERM");
    running.wait().expect(130);
    // `render` too, and the report stays as it was.
    let whole = audit_in(&dir, &server).arg("--resume").run().expect(0);
    let before = whole.everything();
    let again = program_in(&dir, "render")
        .arg(whole.run_dir())
        .spawn_held_at("report.html");
    again.signal("INT");
    again.wait().expect(130);
    assert_eq!(whole.everything(), before);
    assert!(!whole.run_dir().join(".cf-sso-audit.staging").exists());
}

#[test]
fn few_descriptors_lower_the_concurrency_and_read_everything() {
    let server = Server::of(
        ids(60)
            .into_iter()
            .map(|id| (id, json!([connector(1, "a.example")])))
            .collect(),
    );
    // The hard limit too, so that it cannot be raised.
    let outcome = audit(&server)
        .through("ulimit -n 80 && exec \"$@\"")
        .args(["--concurrency", "1024"])
        .args(ids(60))
        .run()
        .expect(0)
        .says(&[
            "80 files and connections",
            "using a concurrency of 16 instead of 1024",
        ]);
    assert_eq!(outcome.csv("accounts.csv").len(), 60);
    assert_eq!(outcome.evidence_header()["limits"]["concurrency"], 16);
    // With too few for a report nothing is asked that could not be reported.
    let asked = server.requests().len();
    audit(&server)
        .through("ulimit -n 24 && exec \"$@\"")
        .args(ids(60))
        .run()
        .expect(1)
        .says(&["24 files and connections, but needs 40", "ulimit -n"]);
    assert_eq!(server.requests().len(), asked);
    // A soft limit is raised without a word.
    audit(&server)
        .through("ulimit -S -n 64 && exec \"$@\"")
        .args(["--concurrency", "64"])
        .args(ids(60))
        .run()
        .expect(0)
        .keeps_silent_about("using a concurrency of");
}

#[test]
fn no_folder_for_temporary_files_is_needed() {
    let many: Vec<_> = (0..9_000)
        .map(|n| connector_with(n, &format!("d{n}.example"), json!({"enabled": false})))
        .collect();
    let server = Server::of(vec![(id(1), many.into())]);
    let outcome = audit(&server)
        .env("TMPDIR", "/nowhere/at/all")
        .arg(id(1))
        .run()
        .expect(0);
    assert_eq!(outcome.csv("findings.csv").len(), 9_000);
}

#[test]
fn a_machine_that_gives_no_threads_is_told_of_at_once() {
    let script = if is_root() {
        // Root may have any number: somebody else then, who has no other process, and who may not read this folder.
        "place=$(mktemp -d) && chmod 755 \"$place\" && cp \"$1\" \"$place/program\" && shift \
         && prlimit --nproc=1 setpriv --reuid=$((1000000 + $$)) --clear-groups -- \"$place/program\" \"$@\"; \
         code=$?; rm -r \"$place\"; exit $code"
    } else {
        "exec prlimit --nproc=1 \"$@\""
    };
    audit(&Server::of(Vec::new()))
        .through(script)
        .arg(id(1))
        .run()
        .expect(1)
        .says(&["cannot start the worker threads", "ulimit -u"]);
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_what_was_read_is_kept() {
    let dir = shared_dir();
    let server = Server::of(vec![(id(1), many_connectors(2_000))]);
    audit_in(&dir, &server)
        .through("ulimit -f 300 && exec \"$@\"")
        .arg(id(1))
        .run()
        .expect(1)
        .says(&["File too large", "free some space"]);
    audit_in(&dir, &server).args(["--resume"]).run().expect(0);
}

#[test]
fn each_line_on_standard_error_is_json_where_that_is_asked_for() {
    let server = Server::of(vec![(id(1), json!([]))]);
    let json = ["--log-format", "json"];
    for program in [
        audit(&server).args(["--progress", "always"]).args(ids(2)),
        audit(&server).arg("not-an-id"),
        audit(&server).arg("--resume"),
        audit(&server).arg("--no-such-flag"),
        program("diff").args(["/nowhere", "/nowhere"]),
    ] {
        let outcome = program.args(json).run();
        assert!(!outcome.stderr.is_empty());
        for line in outcome.stderr.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(
                line["level"].is_string() && line["message"].is_string(),
                "{line}"
            );
        }
    }
}

/// The permission bits of a run's folder and of each of its files are these.
#[track_caller]
fn check_modes(outcome: &Outcome, folder: u32, file: u32) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let run = outcome.run_dir();
    assert_eq!(mode(&run), folder);
    for name in names(&run) {
        assert_eq!(mode(&run.join(&name)), file, "{name}");
    }
}

#[test]
fn nobody_else_may_read_a_report_unless_that_is_asked_for() {
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let outcome = audit(&server)
        .through("umask 000 && exec \"$@\"")
        .arg(id(1))
        .run()
        .expect(0);
    check_modes(&outcome, 0o700, 0o600);
}

#[test]
fn who_may_read_is_as_asked_whatever_the_umask() {
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let outcome = audit(&server)
        .through("umask 077 && exec \"$@\"")
        .args(["--output-mode", "0644", &id(1)])
        .run()
        .expect(0);
    check_modes(&outcome, 0o755, 0o644);
}
