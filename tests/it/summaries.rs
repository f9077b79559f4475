//! What a run says of itself on standard output.

use serde_json::json;

use crate::support::*;

#[test]
fn the_summary_tells_coverage_the_three_reports_the_findings_and_where_to_look() {
    let server = Server::of(vec![
        (
            id(1),
            json!([
                connector(1, "a.example"),
                disabled(2, "b.example"),
                connector_with(
                    3,
                    "c.example",
                    json!({"verification": {"status": "failed"}, "use_fedramp_language": true})
                ),
                connector_with(4, "d.example", json!({"use_fedramp_language": null})),
            ]),
        ),
        (id(2), json!([])),
    ]);
    let outcome = audit(&server).args([id(1), id(2), id(3)]).run().expect(3);
    let run = outcome.run_dir();
    let run = run.display();
    let base_url = server.base_url();
    let expected = format!(
        "\
2 of 3 accounts read; 1 unread, so this report is incomplete.
  Not read in full: 1 account: not-found.

  Region               other: {base_url}
  Connectors           4
  Unverified domains   1
  Disabled connectors  1
  FedRAMP text         on 1, off 2, unknown 1

  Findings critical    1
  Findings high        2
  Findings medium      2
  Findings low         2

Open report.html, or the CSV files, in
{run}
"
    );
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn what_is_new_stands_in_brackets_and_what_is_waived_beside_it() {
    let dir = shared_dir();
    let server = Server::of(vec![(
        id(1),
        json!([disabled(1, "a.example"), disabled(2, "b.example")]),
    )]);
    let first = audit_in(&dir, &server).arg(id(1)).run().expect(0);
    assert!(first.stdout.contains("  Findings medium      2\n"));
    assert!(
        !first.stdout.contains("new") && !first.stdout.contains("Since"),
        "there is nothing to compare with"
    );
    server.now(|_| {
        success(json!([
            disabled(2, "b.example"),
            disabled(3, "c.example"),
            connector(4, "d.example"),
        ]))
    });
    let waiver = "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"b.example\"\nexpires = 2027-01-31\n";
    audit_in(&dir, &server)
        .policy(waiver)
        .on_day(1)
        .arg(id(1))
        .run()
        .expect(0)
        .prints(&[
            "1 of 1 account read.\n",
            "  Findings critical    0\n",
            "  Findings medium      1 (1 new), 1 waived\n",
            "\nSince 20261121T101500Z: 1 new finding, 1 finding resolved, 1 finding waived, 2 connectors added, 1 connector removed.\n",
        ]);
}

#[test]
fn what_is_new_stands_beside_what_it_is_part_of_and_expired_waivers_are_told() {
    let nights = Nights::of(&[(1, json!([disabled(1, "a.example")]))]);
    nights.night(0).run().expect(0);
    nights.set(
        1,
        json!([disabled(1, "a.example"), disabled(2, "b.example")]),
    );
    let waiver = |domain: &str| {
        format!(
            "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"{domain}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2026-11-23\n"
        )
    };
    let both = waiver("b.example") + &waiver("none.example");
    let second = nights.night(1).policy(&both).run().expect(0);
    // The new one is waived, and so is beside the waived ones.
    second.prints(&[
        "  Findings medium      1, 1 waived (1 new)\n",
        ": 1 new finding, ",
    ]);
    let third = nights.night(3).policy(&both).run().expect(0);
    third.prints(&["\n2 waivers have expired, and their findings are open. Renew them, or remove them from the policy.\n"]);
}

#[test]
fn gaps_of_the_list_are_told_first() {
    let server = Server::start(|request| {
        if request.path.starts_with("/client/v4/accounts?") {
            let page = if request.parameter("page") == Some("1") {
                json!([{"id": id(1), "name": "One"}])
            } else {
                json!([])
            };
            return enveloped(page, json!({"total_count": 3}));
        }
        success(json!([]))
    });
    let outcome = audit(&server).arg("--all-accounts").run().expect(3);
    let mut lines = outcome.stdout.lines();
    assert_eq!(
        lines.next(),
        Some(
            "1 of 1 account read; the list of accounts is incomplete, so this report is incomplete."
        )
    );
    assert_eq!(
        lines.next(),
        Some("  the token's list of accounts says there are 3 accounts but contains 1")
    );
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let server = Server::of(vec![(id(1), json!([disabled(1, "a.example")]))]);
    let piped = audit(&server).arg(id(1)).run().expect(0);
    assert!(!piped.stdout.contains('\u{1b}') && !piped.stderr.contains('\u{1b}'));
    let terminal = || audit(&server).args(["--progress", "never", &id(1)]);
    let coloured = terminal().on_a_terminal().run().expect(0);
    assert!(
        coloured
            .stdout
            .contains("\u{1b}[1;32m1 of 1 account read.\u{1b}[0m"),
        "{:?}",
        coloured.stdout
    );
    let plain = terminal()
        .env("NO_COLOR", "1")
        .on_a_terminal()
        .run()
        .expect(0);
    assert!(!plain.stdout.contains('\u{1b}'), "{:?}", plain.stdout);
    assert!(plain.stdout.contains("1 of 1 account read."));
}

#[test]
fn quiet_leaves_the_path_alone() {
    let server = Server::of(vec![(id(1), json!([disabled(1, "a.example")]))]);
    for flags in [&["-q"][..], &["--quiet", "--fail-on", "low"]] {
        let code = if flags.len() > 1 { 10 } else { 0 };
        let outcome = audit(&server).args(flags).arg(id(1)).run().expect(code);
        let path = format!("{}\n", outcome.reports().join(RUN_ID).display());
        assert_eq!(outcome.stdout, path);
        assert_eq!(outcome.stderr, "");
    }
}
