//! `render`: the report again from evidence alone, byte for byte, and with templates of one's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::json;

use crate::support::*;

const POLICY: &str = "[defaults]\nfedramp = \"required\"\n\
    [[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2026-12-01\n";

fn server() -> Server {
    Server::of(vec![
        (
            id(1),
            json!([
                connector(1, "a.example"),
                connector_with(2, "b.example", json!({"enabled": false})),
            ]),
        ),
        (
            id(2),
            json!([connector_with(
                3,
                "A.example",
                json!({"verification": {"status": "pending", "code": "x"}})
            )]),
        ),
    ])
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other));
    for name in FILES {
        assert!(
            fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(),
            "{name} differs"
        );
    }
}

/// A run with policy, baseline and an unread account; its folder.
fn judged(clock: Option<&str>) -> (Rc<tempfile::TempDir>, Server, PathBuf) {
    let (dir, server) = (shared_dir(), server());
    let first = audit_in(&dir, &server).arg(id(1)).run().expect(0);
    let program = audit_in(&dir, &server)
        .policy(POLICY)
        .args([id(2), id(1), id(3)]);
    let program = match clock {
        Some(at) => program.env("SOURCE_DATE_EPOCH", at),
        // The real clock is at least as late as the moment at which these tests take place.
        None => program.without_env("SOURCE_DATE_EPOCH"),
    };
    let second = program.run().expect(3);
    let run = second.run_dir();
    assert_eq!(
        (
            &second.json()["run"]["baseline"],
            first.run_dir().ends_with(RUN_ID)
        ),
        (&json!(RUN_ID), true),
        "there is something to compare with"
    );
    (dir, server, run)
}

#[test]
fn the_report_again_is_the_same_byte_for_byte() {
    for clock in [Some(days_later(1)), None] {
        let (dir, server, run) = judged(clock.as_deref());
        let asked = server.requests().len();
        let again = |program: Program| {
            let program = program.args(["--policy", "policy.toml"]);
            match &clock {
                Some(at) => program.env("SOURCE_DATE_EPOCH", at),
                None => program.without_env("SOURCE_DATE_EPOCH"),
            }
        };
        // Into a folder of its own, which is made; the baseline is found as the audit found it.
        let elsewhere = dir.path().join("some/where/else");
        let outcome = again(render(&dir, &run).arg("-o").arg(&elsewhere))
            .run()
            .expect(3);
        assert_eq!(outcome.run_dir(), elsewhere);
        same(&run, &elsewhere);
        check_sums(&elsewhere);
        // From there again, where no earlier run is beside it, and in place.
        let again = |program: Program| {
            let baseline = dir.path().join("reports").join(RUN_ID);
            again(program.arg("--baseline").arg(baseline))
        };
        let copy = dir.path().join("copy");
        again(render(&dir, &elsewhere).arg("-o").arg(&copy))
            .run()
            .expect(3);
        same(&run, &copy);
        again(render(&dir, &copy)).run().expect(3);
        same(&run, &copy);
        assert_eq!(server.requests().len(), asked, "nothing was asked");
    }
}

#[test]
fn what_audit_and_render_say_is_the_same() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let rendered = render(&dir, &audited.run_dir()).run().expect(0);
    assert_eq!(rendered.stdout, audited.stdout);
    assert_eq!(rendered.stderr, "");
    let latest = render(&dir, &audited.reports().join("latest"))
        .run()
        .expect(0);
    assert_eq!(latest.run_dir(), audited.run_dir());
    let quiet = render(&dir, &audited.run_dir()).arg("-q").run().expect(0);
    assert_eq!(quiet.stdout.lines().count(), 1);
}

#[test]
fn another_policy_judges_the_same_evidence_anew() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let evidence = audited.text("evidence.jsonl");
    let before: Vec<_> = audited.column("findings.csv", "rule");
    assert!(before.contains(&"disabled-connector".to_owned()));
    let elsewhere = |name: &str| {
        let place = dir.path().join(name);
        render(&dir, &audited.run_dir()).arg("-o").arg(place)
    };
    let anew = elsewhere("anew")
        .policy(
            "[rules.disabled-connector]\nseverity = \"off\"\n[defaults]\nfedramp = \"required\"\n",
        )
        .args(["--fail-on", "high"])
        .run()
        .expect(10);
    let after = anew.column("findings.csv", "rule");
    assert!(!after.contains(&"disabled-connector".to_owned()));
    assert!(after.contains(&"fedramp-language".to_owned()));
    assert_eq!(anew.text("evidence.jsonl"), evidence);
    check_sums(&anew.run_dir());
    // A later clock ends waivers.
    for (at, status) in [
        ("2026-12-01T12:00:00Z", "waived"),
        ("2026-12-02T00:00:00Z", "open"),
    ] {
        let later = elsewhere(status)
            .policy(POLICY)
            .env("SOURCE_DATE_EPOCH", epoch(at))
            .run()
            .expect(0);
        let rows = later.csv("findings.csv");
        let row = rows.iter().find(|row| row["rule"] == "disabled-connector");
        assert_eq!(row.unwrap()["status"], status, "{at}");
    }
}

#[test]
fn a_runs_own_report_is_replaced_only_by_what_it_was_judged_by() {
    let (dir, _server, run) = judged(Some(&days_later(1)));
    let before = contents(&run);
    let again = || render(&dir, &run).on_day(1);
    let policy = |program: Program| program.args(["--policy", "policy.toml"]);
    for (program, told) in [
        (again(), "made with the policy policy.toml"),
        (
            again().policy("[defaults]\nfedramp = \"any\"\n"),
            "made with the policy policy.toml",
        ),
        (
            policy(again()).args(["--baseline", "none"]),
            "compared with run 20261121T101500Z, but would be compared with no run",
        ),
        (
            policy(again()).on_day(9),
            "made as of 2026-11-22 10:15:00 UTC, but would be made as of 2026-11-30 10:15:00 UTC",
        ),
    ] {
        if told.contains("compared") || told.contains("as of") {
            fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
        }
        program.run().expect(2).says(&[told, "hint: ", "--output"]);
        assert_eq!(contents(&run), before, "{told}");
    }
    fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    policy(again()).run().expect(3);
    assert_eq!(contents(&run), before);
    // Without its ledger nobody can tell.
    fs::remove_file(run.join("ledger.jsonl")).unwrap();
    policy(again()).run().expect(2).says(&[
        "the run's policy and baseline are not on record",
        "--output",
    ]);
}

#[test]
fn what_no_run_made_is_neither_overwritten_nor_removed() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let to_place = || render(&dir, &run).arg("-o").arg(&place);
    // The user's own files: one that the report does not want, and one that it does.
    fs::write(place.join("accounts.csv"), "mine").unwrap();
    fs::create_dir(place.join(".staging")).unwrap();
    fs::write(place.join("report.html"), "mine").unwrap();
    let before = contents(&place);
    to_place()
        .args(["--format", "html"])
        .run()
        .expect(2)
        .says(&[
            "contains files that no run wrote",
            "would be overwritten: report.html",
            "hint: ",
        ]);
    assert_eq!(contents(&place), before);
    fs::remove_file(place.join("report.html")).unwrap();
    to_place().args(["--format", "html"]).run().expect(0);
    assert_eq!(fs::read(place.join("accounts.csv")).unwrap(), b"mine");
    assert!(place.join(".staging").is_dir());
    // What was written before may be written again, and what was changed since may not.
    to_place().args(["--format", "html"]).run().expect(0);
    to_place()
        .run()
        .expect(2)
        .says(&["have changed since", "accounts.csv"]);
    fs::write(run.join("report.html"), "annotated").unwrap();
    render(&dir, &run)
        .run()
        .expect(2)
        .says(&["changed since", "overwritten: report.html"]);
    assert_eq!(fs::read(run.join("report.html")).unwrap(), b"annotated");
    // A list of checksums of the user's own.
    let sums = dir.path().join("sums");
    fs::create_dir(&sums).unwrap();
    fs::write(sums.join("SHA256SUMS"), "mine").unwrap();
    render(&dir, &run)
        .arg("-o")
        .arg(&sums)
        .run()
        .expect(2)
        .says(&["SHA256SUMS"]);
    assert_eq!(names(&sums), ["SHA256SUMS"]);
}

#[test]
fn evidence_that_was_altered_is_not_judged() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    let good = audited.text("evidence.jsonl");
    let report = audited.read("report.html");
    let elsewhere = dir.path().join("elsewhere");
    for (altered, told) in [
        // The answer itself, which its own checksum gives away even where there is no list of checksums.
        (
            good.replace("b.example", "c.example"),
            "does not match its SHA-256",
        ),
        (
            good.replace("\"attempts\":1", "\"attempts\":2"),
            "its SHA-256 does not match SHA256SUMS",
        ),
    ] {
        assert_ne!(altered, good);
        fs::write(run.join("evidence.jsonl"), altered).unwrap();
        for program in [
            render(&dir, &run),
            render(&dir, &run).arg("-o").arg(&elsewhere),
        ] {
            let outcome = program.run().says(&[told, "hint: "]);
            assert!(
                matches!(outcome.code(), Some(1 | 2)),
                "{:?}",
                outcome.code()
            );
        }
        assert_eq!(fs::read(run.join("report.html")).unwrap(), report);
        assert!(!elsewhere.exists());
        // Nor is it compared with.
        audit_in(&dir, &server)
            .on_day(1)
            .args(["--baseline", &run.display().to_string(), &id(1)])
            .run()
            .expect(2)
            .says(&[told]);
    }
}

#[test]
fn two_at_once_on_one_run_do_not_mix() {
    let (dir, server) = (shared_dir(), server());
    let run = audit_in(&dir, &server)
        .args([id(1), id(2)])
        .run()
        .expect(0)
        .run_dir();
    for place in [run.clone(), dir.path().join("elsewhere")] {
        for _ in 0..5 {
            let started: Vec<_> = (0..4)
                .map(|_| render(&dir, &run).arg("-o").arg(&place).spawn())
                .collect();
            let mut done = 0;
            for running in started {
                let outcome = running.wait();
                match outcome.code() {
                    Some(0) => done += 1,
                    _ => {
                        outcome
                            .expect(1)
                            .says(&["another command is writing to", "hint: "]);
                    }
                }
            }
            assert!(done > 0);
            check_sums(&place);
            assert_eq!(names(&place), FILES);
        }
    }
}

#[test]
fn damaged_evidence_is_refused_with_the_line_and_the_report_stays() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    let good = audited.text("evidence.jsonl");
    let lines: Vec<_> = good.lines().collect();
    let old_report = audited.read("report.html");
    let with_line = |number: usize, line: &str| {
        let mut all = lines.clone();
        all[number - 1] = line;
        all.join("\n") + "\n"
    };
    let other_account = lines[1]
        .replacen(&id(1), &id(2), 1)
        .replacen(&id(2), &id(1), 1);
    for (damaged, told) in [
        (String::new(), "line 1"),
        ("PK\u{3}\u{4}\n".to_owned(), "line 1"),
        (with_line(1, "{}"), "line 1"),
        (
            with_line(1, &lines[0].replace("evidence/v2", "evidence/v9")),
            "\"cf-sso-audit/evidence/v9\", but this version reads \"cf-sso-audit/evidence/v2\"",
        ),
        (with_line(2, ""), "line 2"),
        (with_line(2, "{\"account\":0}"), "line 2"),
        (with_line(3, &lines[2][..lines[2].len() / 2]), "line 3"),
        (
            with_line(3, &lines[2].replace("\"account\":", "\"account\":9")),
            "line 3",
        ),
        (good[..good.len() - 20].to_owned(), "line 3"),
        (with_line(2, &other_account.replace("ac0", "ad0")), "line 2"),
    ] {
        fs::write(run.join("evidence.jsonl"), &damaged).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        for program in [
            render(&dir, &run),
            render(&dir, &run).arg("-o").arg(&elsewhere),
        ] {
            let outcome = program.run().expect(2).says(&[
                "the evidence cannot be read",
                "evidence.jsonl",
                told,
            ]);
            assert_eq!(outcome.stdout, "");
        }
        assert!(!elsewhere.exists());
        assert_eq!(fs::read(run.join("report.html")).unwrap(), old_report);
        assert_eq!(names(&run), FILES);
    }
    render(&dir, &dir.path().join("nowhere"))
        .run()
        .expect(2)
        .says(&["nowhere", "hint: give the directory of a run"]);
}

#[test]
fn the_evidence_of_another_run_is_not_overwritten() {
    let (dir, server) = (shared_dir(), server());
    let audited = |day| {
        audit_in(&dir, &server)
            .on_day(day)
            .arg(id(1))
            .run()
            .expect(0)
    };
    let (first, second) = (audited(0), audited(1));
    let before = second.everything();
    render(&dir, &first.run_dir())
        .arg("-o")
        .arg(second.run_dir())
        .run()
        .expect(2)
        .says(&[
            "evidence.jsonl belongs to another run",
            "hint: choose another folder",
        ]);
    assert_eq!(second.everything(), before);
    // The same run's may be, and a folder with anything else in it.
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("notes.txt"), "mine").unwrap();
    for _ in 0..2 {
        render(&dir, &first.run_dir())
            .arg("-o")
            .arg(&elsewhere)
            .run()
            .expect(0);
    }
    assert!(elsewhere.join("notes.txt").exists());
}

#[test]
fn an_interrupted_run_can_be_rendered_as_far_as_it_came() {
    let list = success(json!([connector(1, "a.example")]));
    let server = Server::start(move |request| {
        if request.account() == id(2) {
            Reply::Hang
        } else {
            list.clone()
        }
    });
    let dir = shared_dir();
    let running = audit_in(&dir, &server)
        .args(["--concurrency", "1"])
        .args(ids(3))
        .spawn();
    let partial = running.partial();
    running.wait_for_evidence(1);
    running.signal("INT");
    running.wait().expect(130);
    let shown = render(&dir, &partial)
        .arg("-o")
        .arg(dir.path().join("shown"))
        .run()
        .expect(3);
    let outcomes: Vec<_> = shown
        .csv("accounts.csv")
        .iter()
        .map(|row| format!("{} {}", row["outcome"], row["error_kind"]))
        .collect();
    assert_eq!(
        outcomes,
        ["read ", "unread interrupted", "unread interrupted"]
    );
    assert_eq!(shown.json()["coverage"]["unread"], 2);
    // In place too, and then the run can still be resumed, and is none to compare with.
    render(&dir, &partial).run().expect(3);
    program("diff")
        .arg(&partial)
        .arg(&partial)
        .run()
        .expect(2)
        .says(&["is unfinished"]);
    audit(&server)
        .arg(id(1))
        .arg("--baseline")
        .arg(&partial)
        .run()
        .expect(2)
        .says(&["is unfinished"]);
    server.now(|_| success(json!([])));
    let resumed = audit_in(&dir, &server).arg("--resume").run().expect(0);
    assert_eq!(server.asked(), [id(2), id(3)]);
    assert_eq!(names(&resumed.run_dir()), FILES);
    check_sums(&resumed.run_dir());
}

#[test]
fn files_of_formats_not_asked_for_are_removed_and_the_users_own_stay() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    fs::write(run.join("notes.txt"), "mine").unwrap();
    render(&dir, &run)
        .args(["--format", "html"])
        .run()
        .expect(0)
        .says(&["removed", "findings.csv", "--format writes them again"]);
    assert_eq!(
        names(&run),
        [
            "SHA256SUMS",
            "evidence.jsonl",
            "ledger.jsonl",
            "notes.txt",
            "report.html"
        ]
    );
    fs::remove_file(run.join("notes.txt")).unwrap();
    check_sums(&run);
    render(&dir, &run).run().expect(0);
    assert_eq!(names(&run), FILES);
}

#[test]
fn a_report_that_was_killed_while_its_files_were_moved_is_made_again() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    let other = || ["--csv-dialect", "excel-semicolon"];
    let elsewhere = dir.path().join("elsewhere");
    render(&dir, &run)
        .args(other())
        .arg("-o")
        .arg(&elsewhere)
        .run()
        .expect(0);
    // One file is in its place already, the others and their checksums are not.
    let staging = run.join(".cf-sso-audit.staging");
    fs::create_dir(&staging).unwrap();
    fs::rename(elsewhere.join("findings.csv"), run.join("findings.csv")).unwrap();
    for name in ["accounts.csv", "SHA256SUMS"] {
        fs::rename(elsewhere.join(name), staging.join(name)).unwrap();
    }
    render(&dir, &run).args(other()).run().expect(0);
    assert_eq!(names(&run), FILES);
    check_sums(&run);
    assert!(audited.text("findings.csv").contains("finding_id;rule"));
    // What nobody wrote is not taken for such a file.
    fs::write(run.join("findings.csv"), "mine").unwrap();
    render(&dir, &run)
        .run()
        .expect(2)
        .says(&["have changed since", "findings.csv"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_is_killed_at_any_move_is_made_again() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    let in_dialect = |dialect: &str| render(&dir, &run).args(["--csv-dialect", dialect]);
    let (_, steps) = in_dialect("plain").run_by_steps();
    let moves = steps.iter().enumerate();
    let moves: Vec<_> = moves
        .filter(|(_, step)| step.starts_with("rename"))
        .collect();
    assert!(moves.len() > FILES.len() / 2, "{steps:?}");
    for (turn, (step, what)) in moves.into_iter().enumerate() {
        let dialect = ["excel", "plain"][turn % 2];
        let killed = in_dialect(dialect).killed_at_step(step + 1).run();
        assert_eq!(killed.code(), None, "{what}");
        in_dialect(dialect).run().expect(0);
        assert_eq!(names(&run), FILES, "{what}");
        check_sums(&run);
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_the_evidence_is_refused_and_a_link_replaced() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let run = audited.run_dir();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let place = elsewhere.join("evidence.jsonl");
    let again = || render(&dir, &run).arg("-o").arg(&elsewhere).run();
    let make_pipe = |place: &Path| {
        let made = std::process::Command::new("mkfifo").arg(place).status();
        assert!(made.unwrap().success());
    };
    make_pipe(&place);
    again().expect(1).says(&["is not a regular file"]);
    fs::remove_file(&place).unwrap();
    // Nor is it waited for one that is a template's.
    template(dir.path(), &[("report.css", "")]);
    let style = dir.path().join("brand/report.css");
    fs::remove_file(&style).unwrap();
    make_pipe(&style);
    render(&dir, &run)
        .args(["--template", "brand"])
        .run()
        .expect(2)
        .says(&["report.css", "is not a regular file"]);
    std::os::unix::fs::symlink(run.join("evidence.jsonl"), &place).unwrap();
    again().expect(0);
    assert!(!place.is_symlink());
    same(&run, &elsewhere);
}

#[test]
fn a_file_in_place_of_the_folder_is_said() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    fs::write(dir.path().join("a-file"), "mine").unwrap();
    render(&dir, &audited.run_dir())
        .arg("-o")
        .arg(dir.path().join("a-file"))
        .run()
        .expect(2)
        .says(&["a-file is not a folder", "move it away"]);
    // A changed answer is in a run's directory all the same.
    let evidence = audited.run_dir().join("evidence.jsonl");
    let text = audited
        .text("evidence.jsonl")
        .replace("a.example", "z.example");
    fs::write(evidence, text).unwrap();
    render(&dir, &audited.run_dir())
        .run()
        .expect(2)
        .says(&["has been changed", "restore the file from a copy"]);
}

/// A folder with a template's files.
fn template(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join("brand").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn a_template_of_ones_own_replaces_what_it_has_and_leaves_the_rest() {
    let (dir, server) = (shared_dir(), server());
    let audited = audit_in(&dir, &server).args([id(1), id(2)]).run().expect(0);
    let built_in = audited.text("report.html");
    let marker = "<h2>What changed</h2>";
    assert!(built_in.contains(marker));
    template(
        dir.path(),
        &[
            ("theme.css", ":root { --brand-of-mine: #123456 }\n"),
            (
                "partials/changes.hbs",
                "<section id=\"changes\"><h2>Since {{run.id}} & <b>ours</b></h2></section>\n",
            ),
            ("notes.txt", "left alone"),
        ],
    );
    let page = render(&dir, &audited.run_dir())
        .args(["--template", "brand"])
        .run()
        .expect(0)
        .text("report.html");
    assert!(page.contains("--brand-of-mine"));
    assert!(page.contains(&format!("<h2>Since {RUN_ID} & <b>ours</b></h2>")));
    assert!(!page.contains(marker) && page.contains("<section id=\"unverified\""));
    // `audit` takes it too.
    let page = audit_in(&dir, &server)
        .args(["--template", "brand", &id(1)])
        .run()
        .expect(0)
        .text("report.html");
    assert!(page.contains("--brand-of-mine"));
}

#[test]
fn a_broken_template_is_told_with_file_and_line_before_anything_is_asked() {
    for (file, text, told) in [
        (
            "partials/changes.hbs",
            "<p>\n{{#if run.id}}\n",
            "changes.hbs:",
        ),
        (
            "partials/changes.hbs",
            "<p>\n<p>{{run.nonsense}}\n",
            "changes.hbs:2:",
        ),
        (
            "report.html.hbs",
            "one\ntwo {{nothing.here}}",
            "report.html.hbs:2:",
        ),
        (
            "report.html.hbs",
            "one\n\n{{include \"no-such-part\"}}",
            "no-such-part",
        ),
        ("theme.css", "a{}\n</style><b>", "theme.css:2:"),
    ] {
        let (dir, server) = (shared_dir(), server());
        template(dir.path(), &[(file, text)]);
        let outcome = audit_in(&dir, &server)
            .args(["--template", "brand", &id(1)])
            .run()
            .expect(2)
            .says(&["--template brand", told, "hint: see templates/README.md"]);
        assert_eq!(outcome.stdout, "");
        assert_eq!(server.requests().len(), 0, "{file}");
        assert!(!outcome.reports().exists());
    }
    let server = server();
    audit(&server)
        .args(["--template", "nowhere", &id(1)])
        .run()
        .expect(2)
        .says(&["nowhere"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn altered_evidence_does_nothing_to_a_terminal() {
    let server = Server::of(vec![(id(1), json!([]))]);
    let outcome = audit(&server).arg(id(1)).run().expect(0);
    let run = outcome.run_dir();
    let text = fs::read_to_string(run.join("evidence.jsonl")).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let address = serde_json::to_string(&server.base_url()).unwrap();
    lines[0] = lines[0]
        .replace(
            "\"gaps\":[]",
            r#""gaps":["\u001b]0;x\u0007\u202eEVIL\u001b[31m"]"#,
        )
        .replace(&address, r#""\u001b[31mX""#);
    fs::write(run.join("evidence.jsonl"), lines.join("\n") + "\n").unwrap();
    fs::remove_file(run.join("SHA256SUMS")).unwrap();
    fs::remove_file(run.join("ledger.jsonl")).unwrap();
    let again = program("render")
        .arg(&run)
        .arg("--output")
        .arg(outcome.reports().join("again"))
        .run()
        .expect(3);
    assert!(again.stdout.contains("EVIL"));
    for odd in ['\u{1b}', '\u{7}', '\u{202e}'] {
        assert!(!again.stdout.contains(odd) && !again.stderr.contains(odd));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_the_checksums_or_of_a_file_is_not_waited_for() {
    for name in ["SHA256SUMS", "accounts.csv"] {
        let nights = Nights::of(&[(1, json!([disabled(1, "a.example")]))]);
        let run = nights.night(0).run().expect(0).run_dir();
        fs::remove_file(run.join(name)).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(run.join(name))
            .status();
        assert!(made.unwrap().success());
        let program = render(&nights.dir, &run);
        let outcome = program.run();
        assert!(outcome.code().is_some_and(|code| code != 0), "{name}");
        outcome.says(&[name]);
    }
}
