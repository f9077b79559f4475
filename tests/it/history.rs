//! Nights in a row: what a bad night, a small audit, a short list or another policy must not make of the report.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::*;

/// The changes, each in a line: kind, account's number, domain, what, cause.
fn changes(outcome: &Outcome) -> Vec<String> {
    let line = |row: Row| {
        let number = account_number(&row);
        let (kind, what, cause) = (&row["kind"], &row["what"], &row["cause"]);
        format!("{kind} {number} {} {what} ({cause})", row["email_domain"])
    };
    outcome.lines("changes.csv", line)
}

/// Rule, account's domain, age and first sight of each finding.
fn findings(outcome: &Outcome) -> Vec<String> {
    let line = |row: Row| {
        format!(
            "{} {} {} {}",
            row["rule"],
            row["email_domain"],
            row["change"],
            &row["first_seen_utc"][..10]
        )
    };
    outcome.lines("findings.csv", line)
}

/// How many findings are new, as each place has it; they must agree.
#[track_caller]
fn new(outcome: &Outcome) -> usize {
    let count = |file: &str, column: &str, value: &str| {
        let values = outcome.column(file, column);
        values.iter().filter(|found| *found == value).count()
    };
    let of_findings = count("findings.csv", "change", "new");
    assert_eq!(of_findings, count("changes.csv", "kind", "finding-new"));
    let json = outcome.json();
    assert_eq!(json["totals"]["findings"]["new"], of_findings);
    let kinds = &json["totals"]["changes"];
    assert_eq!(
        kinds["finding-new"].as_u64().unwrap_or(0),
        of_findings as u64
    );
    let trend = json["trend"].as_array().unwrap();
    assert_eq!(trend.last().unwrap()["new"], of_findings);
    let page = outcome.text("report.html");
    let noun = if of_findings == 1 {
        "new finding"
    } else {
        "new findings"
    };
    assert!(page.contains(&format!("<b>{of_findings}</b> {noun}")));
    assert!(page.contains(&format!("<span>{of_findings} new, ")));
    assert!(
        outcome
            .stdout
            .contains(&format!(": {of_findings} {noun}, ")),
        "{}",
        outcome.stdout
    );
    of_findings
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_audit_of_one_account_beside_the_nightly_one_changes_nothing() {
    let nights = Nights::of(&[
        (
            1,
            json!([disabled(1, "a.example"), connector(4, "shared.example")]),
        ),
        (
            2,
            json!([disabled(2, "b.example"), connector(5, "shared.example")]),
        ),
        (3, json!([connector(3, "c.example")])),
    ]);
    let first = nights.night(0).run().expect(0);
    assert_eq!(first.csv("findings.csv").len(), 4);
    for (day, account) in [(1, 1), (2, 3)] {
        let alone = nights.bare(day).arg(id(account)).run().expect(0);
        assert_eq!(changes(&alone), NOTHING);
        assert_eq!(alone.json()["coverage"]["not_asked"], 2);
    }
    let again = nights.night(3).run().expect(0);
    assert_eq!((changes(&again), new(&again)), (Vec::new(), 0));
    for finding in findings(&again) {
        assert!(finding.ends_with("existing 2026-11-21"), "{finding}");
    }
}

#[test]
fn a_night_on_which_nothing_could_be_read_changes_nothing_after_it() {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (2, json!([connector(2, "b.example")])),
        (3, Value::Null),
    ]);
    nights.night(0).run().expect(3);
    nights.set(3, json!([disabled(3, "c.example")]));
    let kept = nights.world.lock().unwrap().clone();
    for list in nights.world.lock().unwrap().values_mut() {
        *list = Value::Null;
    }
    let bad = nights.night(1).run().expect(3);
    // The two that were read before are newly unread; the third was unread already.
    assert_eq!(new(&bad), 2);
    let totals = &bad.json()["totals"];
    assert_eq!(totals["findings_not_judged"], 1);
    assert_eq!(
        totals["findings_not_judged_by_severity"],
        json!({"medium": 1})
    );
    let sentence = "1 known finding (1 medium) was not judged in this run: 1 in accounts that were not read in full. It counts neither as open nor as resolved.";
    assert!(
        bad.stdout.contains(sentence) && bad.text("report.html").contains(sentence),
        "{}",
        bad.stdout
    );
    *nights.world.lock().unwrap() = kept;
    let good = nights.night(2).run().expect(0);
    assert_eq!(
        findings(&good),
        [
            "disabled-connector a.example existing 2026-11-21",
            "disabled-connector c.example new 2026-11-23",
        ]
    );
    assert_eq!(new(&good), 1);
    assert_eq!(
        changes(&good),
        [
            "account-read 1  outcome (coverage)",
            "finding-resolved 1  unread-account (coverage)",
            "account-read 2  outcome (coverage)",
            "finding-resolved 2  unread-account (coverage)",
            "account-read 3  outcome (coverage)",
            "finding-new 3 c.example disabled-connector (coverage)",
            "finding-resolved 3  unread-account (coverage)",
        ]
    );
    assert_eq!(changes(&nights.night(3).run().expect(0)), NOTHING);
}

#[test]
fn a_list_that_came_short_removes_nothing_and_one_that_is_whole_removes_once() {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (2, json!([disabled(2, "b.example")])),
    ]);
    let audit = |day| nights.bare(day).arg("--all-accounts");
    audit(0).run().expect(0);
    // One of two, and the list says so; then the list is whole, and has one.
    let all = Arc::clone(&nights.world);
    let answer = move |total: usize| {
        let world = Arc::clone(&all);
        move |request: &Request| {
            if request.account().is_empty() {
                let first = request.parameter("page").is_none_or(|page| page == "1");
                let accounts = if first {
                    json!([{"id": id(1)}])
                } else {
                    json!([])
                };
                return enveloped(accounts, json!({"total_count": total}));
            }
            success(world.lock().unwrap()[request.account()].clone())
        }
    };
    nights.server.now(answer(2));
    let short = audit(1).run().expect(3);
    assert_eq!(changes(&short), NOTHING);
    nights.server.now(answer(1));
    let whole = audit(2).run().expect(0);
    assert_eq!(changes(&whole), ["account-removed 2  outcome (coverage)"]);
    assert_eq!(changes(&audit(3).run().expect(0)), NOTHING, "once");
    // It comes back, and is remembered.
    nights.serve();
    let back = audit(4).run().expect(0);
    assert_eq!(changes(&back), NOTHING);
    assert!(
        findings(&back)
            .iter()
            .all(|finding| finding.ends_with("existing 2026-11-21"))
    );
}

#[test]
fn another_tokens_list_is_another_list_and_a_command_line_none_at_all() {
    let nights = Nights::of(&[
        (1, json!([connector(1, "a.example")])),
        (2, json!([connector(2, "b.example")])),
    ]);
    let listing = |number: usize| {
        let world = Arc::clone(&nights.world);
        nights.server.now(move |request| match request.account() {
            "" => enveloped(json!([{"id": id(number)}]), json!({"total_count": 1})),
            account => success(world.lock().unwrap()[account].clone()),
        });
    };
    let token = |name: &str| format!("cfut_0123456789abcdefghijklmnopqrstuvwxyzABCD{name}0000");
    listing(1);
    nights.bare(0).arg("--all-accounts").run().expect(0);
    listing(2);
    let other = nights
        .bare(1)
        .arg("--all-accounts")
        .env("CLOUDFLARE_API_TOKEN", token("OTHER"))
        .run()
        .expect(0);
    assert_eq!(changes(&other), ["account-added 2  outcome (coverage)"]);
    let named = nights.bare(2).arg(id(1)).run().expect(0);
    assert_eq!(changes(&named), NOTHING);
    let piped = nights
        .bare(3)
        .args(["--accounts-file", "-"])
        .stdin(id(2))
        .run()
        .expect(0);
    assert_eq!(changes(&piped), NOTHING);
    for name in ["evidence.jsonl", "ledger.jsonl"] {
        assert!(
            !other.text(name).contains("OTHER"),
            "{name} contains only the token"
        );
    }
}

#[test]
fn a_rule_that_the_policy_turns_off_resolves_nothing() {
    let nights = Nights::of(&[(
        1,
        json!([disabled(1, "a.example"), disabled(2, "b.example")]),
    )]);
    nights.night(0).run().expect(0);
    let off = "[rules.disabled-connector]\nseverity = \"off\"\n";
    let without = nights.night(1).policy(off).run().expect(0);
    assert_eq!(
        (findings(&without).len(), changes(&without)),
        (0, Vec::new())
    );
    assert_eq!(without.json()["totals"]["findings_not_judged"], 2);
    let page = without.text("report.html");
    assert!(page.contains(
        "2 known findings (2 medium) were not judged in this run: 2 from rules that are off."
    ));
    assert!(page.contains("The policy has changed since that run."));
    // One is fixed meanwhile.
    nights.set(
        1,
        json!([disabled(1, "a.example"), connector(2, "b.example")]),
    );
    let fixed = nights.night(2).policy(off).run().expect(0);
    assert_eq!(
        changes(&fixed),
        ["connector-changed 1 b.example enabled (connector)"]
    );
    let on = nights.night(3).run().expect(0);
    assert_eq!(
        findings(&on),
        ["disabled-connector a.example existing 2026-11-21"]
    );
    assert_eq!(new(&on), 0);
    let resolved = changes(&on);
    assert_eq!(resolved.len(), 1);
    assert!(resolved[0].starts_with("finding-resolved 1 b.example disabled-connector"));
}

#[test]
fn each_change_names_its_cause() {
    let pending = connector_with(
        1,
        "a.example",
        json!({"enabled": false, "verification": {"status": "pending", "code": "x"}, "updated_on": "2026-11-20T00:00:00Z"}),
    );
    let nights = Nights::of(&[
        (1, json!([pending])),
        (2, json!([connector(2, "b.example")])),
    ]);
    let waiver = |expires: &str| {
        format!(
            "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = {expires}\n"
        )
    };
    let policy = waiver("2026-11-24");
    nights.night(0).policy(&policy).run().expect(0);
    // A comment changes the policy's checksum, and two days pass.
    let edited = format!("# edited\n{policy}");
    let stale = nights.night(2).policy(&edited).run().expect(0);
    assert_eq!(
        changes(&stale),
        ["finding-new 1 a.example stale-verification (time)"]
    );
    assert_eq!(new(&stale), 1);
    // The waiver's day passes.
    let expired = nights.night(4).policy(&edited).run().expect(0);
    assert_eq!(
        changes(&expired),
        ["finding-reopened 1 a.example disabled-connector (time)"]
    );
    assert_eq!(new(&expired), 0);
    // The policy waives it again, and wants the FedRAMP text.
    let wanting = format!(
        "[defaults]\nfedramp = \"required\"\n{}",
        waiver("2027-01-31")
    );
    let demanded = nights.night(5).policy(&wanting).run().expect(0);
    assert_eq!(
        changes(&demanded),
        [
            "finding-new 1 a.example fedramp-language (policy)",
            "finding-waived 1 a.example disabled-connector (policy)",
            "finding-new 2 b.example fedramp-language (policy)",
        ]
    );
    // What was waived may be taken back.
    let relaxed = nights.night(6).run().expect(0);
    assert_eq!(
        changes(&relaxed),
        [
            "finding-reopened 1 a.example disabled-connector (policy)",
            "finding-resolved 1 a.example fedramp-language (policy)",
            "finding-resolved 2 b.example fedramp-language (policy)",
        ]
    );
    // Cloudflare's answer changes, and with it a finding of another account.
    nights.set(
        2,
        json!([connector(2, "b.example"), connector(3, "a.example")]),
    );
    let shared = nights.night(7).run().expect(0);
    assert_eq!(
        changes(&shared),
        [
            "finding-new 1 a.example duplicate-domain (connector)",
            "finding-new 2 a.example duplicate-domain (connector)",
            "connector-added 2 a.example connector (connector)",
        ]
    );
    // An account that was never asked for.
    nights.set(3, json!([connector(4, "b.example")]));
    let asked = nights.night(8).run().expect(0);
    assert_eq!(
        changes(&asked),
        [
            "finding-new 2 b.example duplicate-domain (coverage)",
            "account-added 3  outcome (coverage)",
            "finding-new 3 b.example duplicate-domain (coverage)",
        ]
    );
}

#[test]
fn a_shared_domain_is_not_resolved_because_the_other_account_could_not_be_read() {
    let shared = |number| json!([connector(number, "shared.example")]);
    let nights = Nights::of(&[(1, shared(1)), (2, shared(2))]);
    assert_eq!(findings(&nights.night(0).run().expect(0)).len(), 2);
    nights.set(2, Value::Null);
    let alone = nights.night(1).run().expect(3);
    assert_eq!(
        changes(&alone),
        [
            "account-unread 2  outcome (coverage)",
            "finding-new 2  unread-account (coverage)",
        ]
    );
    nights.set(2, shared(2));
    let both = nights.night(2).run().expect(0);
    assert_eq!(new(&both), 0);
    assert_eq!(
        findings(&both),
        [
            "duplicate-domain shared.example existing 2026-11-21",
            "duplicate-domain shared.example existing 2026-11-21",
        ]
    );
    // Gone while it could not be read: resolved when that is known.
    nights.set(2, Value::Null);
    nights.night(3).run().expect(3);
    nights.set(2, json!([connector(9, "other.example")]));
    let resolved = changes(&nights.night(4).run().expect(0));
    let of_domain: Vec<_> = resolved
        .iter()
        .filter(|line| line.contains("duplicate-domain"))
        .collect();
    assert_eq!(
        of_domain,
        [
            "finding-resolved 1 shared.example duplicate-domain (connector)",
            "finding-resolved 2 shared.example duplicate-domain (connector)",
        ]
    );
}

#[test]
fn a_run_that_ends_after_one_that_began_later_goes_on_from_it() {
    let nights = Nights::of(&[
        (1, json!([connector(1, "a.example")])),
        (2, json!([connector(2, "b.example")])),
    ]);
    nights.night(0).run().expect(0);
    // The nightly run waits at its second account, until another has come and gone.
    nights.set(1, json!([disabled(1, "a.example")]));
    let second = nights.hold(2);
    nights.serve();
    let slow = nights.night(1).spawn();
    wait_until("the nightly run waits", || {
        nights.server.asked().contains(&id(2))
    });
    let quick = nights.bare(2).arg(id(1)).run().expect(0);
    assert_eq!(new(&quick), 1);
    second.open();
    let slow = slow.wait().expect(0);
    assert_eq!(slow.json()["run"]["baseline"], "20261123T101500Z");
    assert_eq!(new(&slow), 0, "told once");
    let next = nights.night(3).run().expect(0);
    assert_eq!(next.json()["run"]["baseline"], "20261122T101500Z");
    assert_eq!(changes(&next), NOTHING);
    assert_eq!(
        findings(&next),
        ["disabled-connector a.example existing 2026-11-23"]
    );
}

#[test]
fn compared_with_another_run_it_is_not_forgotten_since_when_something_is_known() {
    let nights = Nights::of(&[(1, json!([connector(1, "a.example")]))]);
    nights.night(0).run().expect(0);
    nights.set(1, json!([disabled(1, "a.example")]));
    nights.night(1).run().expect(0);
    let quarter = nights
        .night(2)
        .args(["--baseline", "reports/20261121T101500Z"])
        .run()
        .expect(0);
    assert_eq!(
        findings(&quarter),
        ["disabled-connector a.example new 2026-11-22"]
    );
    let none = nights.night(3).args(["--baseline", "none"]).run().expect(0);
    assert_eq!(
        findings(&none),
        ["disabled-connector a.example  2026-11-22"]
    );
    let next = nights.night(4).run().expect(0);
    assert_eq!(
        findings(&next),
        ["disabled-connector a.example existing 2026-11-22"]
    );
    assert_eq!(changes(&next), NOTHING);
    // And both can be rendered again as they were.
    for (run, day) in [("20261123T101500Z", 2), ("20261124T101500Z", 3)] {
        let own = nights.dir.path().join("reports").join(run);
        let before = std::fs::read(own.join("ledger.jsonl")).unwrap();
        let mut render = program_in(&nights.dir, "render").arg(&own).on_day(day);
        if day == 3 {
            render = render.args(["--baseline", "none"]);
        }
        render.run().expect(0);
        assert_eq!(std::fs::read(own.join("ledger.jsonl")).unwrap(), before);
    }
}

#[test]
fn every_kind_of_change_stands_in_the_summary() {
    let nights = Nights::of(&[(1, json!([disabled(1, "a.example")])), (2, json!([]))]);
    let waiver = "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2026-11-22\n";
    nights.night(0).policy(waiver).run().expect(0);
    nights.remove(2);
    let outcome = nights.night(2).policy(waiver).run().expect(0);
    let sentence = "Since 20261121T101500Z: 0 new findings, 0 findings resolved, 1 waived finding open again, 1 account removed.\n";
    assert!(outcome.stdout.contains(sentence), "{}", outcome.stdout);
}

#[test]
fn what_went_while_its_rule_was_off_is_not_the_policys_doing() {
    let off = "[rules.disabled-connector]\nseverity = \"off\"\n";
    let nights = Nights::of(&[(
        1,
        json!([disabled(1, "a.example"), connector(2, "b.example")]),
    )]);
    nights.night(0).run().expect(0);
    nights.set(
        1,
        json!([connector(1, "a.example"), disabled(2, "b.example")]),
    );
    let quiet = nights.night(1).policy(off).run().expect(0);
    assert!(
        changes(&quiet)
            .iter()
            .all(|change| change.starts_with("connector-changed"))
    );
    let outcome = nights.night(2).run().expect(0);
    assert_eq!(
        changes(&outcome),
        [
            "finding-new 1 b.example disabled-connector (policy)",
            "finding-resolved 1 a.example disabled-connector (connector)",
        ]
    );
}

#[test]
fn an_account_that_comes_back_brings_back_what_it_shared() {
    let nights = Nights::of(&[
        (1, json!([connector(1, "shared.example")])),
        (2, json!([connector(2, "shared.example")])),
    ]);
    nights.night(0).run().expect(0);
    let back = nights.remove(2);
    assert_eq!(
        changes(&nights.night(1).run().expect(0)),
        [
            "finding-resolved 1 shared.example duplicate-domain (coverage)",
            "account-removed 2  outcome (coverage)",
        ]
    );
    nights.set(2, back);
    let outcome = nights.night(2).run().expect(0);
    assert_eq!(
        changes(&outcome),
        ["finding-new 1 shared.example duplicate-domain (coverage)"]
    );
}

#[test]
fn what_another_run_has_read_since_is_asked_again() {
    // By the days of the slow run, the quick one, and the next: in order, all the same, and with a clock that is ahead.
    for days in [[1, 2, 3], [1, 1, 1], [300, 2, 3]] {
        what_another_run_has_read_since_is_asked_again_on(days);
    }
}

fn what_another_run_has_read_since_is_asked_again_on([slow, quick, later]: [i64; 3]) {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (2, json!([disabled(2, "b.example")])),
    ]);
    nights.night(0).run().expect(0);
    // The nightly run has read the first account, and waits for the second.
    let second = nights.hold(2);
    let nightly = nights.night(slow).spawn();
    nightly.wait_for_evidence(1);
    // Meanwhile the first is fixed, and audited by hand.
    nights.set(1, json!([connector(1, "a.example")]));
    let by_hand = nights.bare(quick).arg(id(1)).run().expect(0);
    assert!(
        changes(&by_hand)
            .contains(&"finding-resolved 1 a.example disabled-connector (connector)".to_owned())
    );
    second.open();
    let nightly = nightly.wait().expect(0);
    assert_eq!(
        changes(&nightly),
        NOTHING,
        "nothing is new, nothing is resolved twice"
    );
    assert_eq!(nightly.csv("disabled_connectors.csv").len(), 1);
    assert!(
        nightly.run_dir().ends_with(nightly.latest()),
        "the last to be whole"
    );
    let next = nights.night(later).run().expect(0);
    assert_eq!(changes(&next), NOTHING);
}

#[test]
fn a_list_that_is_older_than_another_runs_removes_nothing() {
    let nights = Nights::of(&[(1, json!([])), (2, json!([disabled(2, "b.example")]))]);
    nights.night(0).run().expect(0);
    let second = nights.hold(2);
    let slow = nights.night(1).spawn();
    slow.wait_for_evidence(1);
    // An account more in the same file, and a run that reads them all first.
    nights.set(3, json!([]));
    nights.night(2).run().expect(0);
    second.open();
    let slow = slow.wait().expect(0);
    assert!(
        !changes(&slow)
            .iter()
            .any(|change| change.contains("removed")),
        "{:?}",
        changes(&slow)
    );
    assert_eq!(changes(&nights.night(3).run().expect(0)), NOTHING);
}

#[test]
fn an_older_list_brings_back_no_account_that_another_run_removed() {
    let nights = Nights::of(&[(1, json!([])), (2, json!([])), (3, json!([]))]);
    nights.night(0).run().expect(0);
    let second = nights.hold(2);
    let slow = nights.night(1).spawn();
    // The third is asked while it is there.
    slow.wait_for_evidence(2);
    nights.remove(3);
    assert_eq!(
        changes(&nights.night(2).run().expect(0)),
        ["account-removed 3  outcome (coverage)"]
    );
    second.open();
    assert_eq!(changes(&slow.wait().expect(0)), NOTHING);
    assert_eq!(changes(&nights.night(3).run().expect(0)), NOTHING, "once");
}

#[test]
fn a_finding_that_was_carried_on_and_comes_back_waived_is_not_the_policys_doing() {
    let shared = |number| json!([connector(number, "shared.example")]);
    let nights = Nights::of(&[(1, shared(1)), (2, shared(2)), (3, shared(3))]);
    let of_two = |day| {
        let ids = format!("{}\n{}", id(1), id(2));
        nights.bare(day).accounts_file("accounts.txt", ids)
    };
    // A third account claims the domain, and is not asked again: what is shared with it may be shared still.
    nights.bare(0).arg(id(3)).run().expect(0);
    of_two(1).run().expect(0);
    let waiver = "[[waivers]]\nrule = \"duplicate-domain\"\naccount = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-31\n";
    nights.set(1, json!([]));
    let outcome = of_two(2).policy(waiver).run().expect(0);
    assert!(
        !changes(&outcome)
            .iter()
            .any(|change| change.contains(" 2 "))
    );
    nights.set(1, shared(4));
    let outcome = of_two(3).policy(waiver).run().expect(0);
    let of_the_other: Vec<_> = changes(&outcome)
        .into_iter()
        .filter(|change| change.contains(" 2 "))
        .collect();
    assert_eq!(
        of_the_other,
        ["finding-waived 2 shared.example duplicate-domain (connector)"]
    );
}

/// The rows of `history.csv` of one rule: run, judged, not judged, open, new, resolved.
fn history_of(outcome: &Outcome, rule: &str) -> Vec<String> {
    let rows = outcome.csv("history.csv").into_iter();
    let line = |row: Row| {
        let cells = ["judged", "not_judged", "open", "new", "resolved"];
        let cells = cells.map(|column| row[column].clone());
        format!("{} {}", &row["started_utc"][..10], cells.join(" "))
    };
    rows.filter(|row| row["rule"] == rule).map(line).collect()
}

#[test]
fn the_history_has_each_rule_in_each_run() {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (2, json!([disabled(2, "b.example")])),
    ]);
    nights.night(0).run().expect(0);
    // A night on which one account is not read: its finding is neither open nor resolved.
    nights.set(2, Value::Null);
    nights.set(1, json!([connector(1, "a.example")]));
    nights.night(1).run().expect(3);
    nights.set(2, json!([connector(2, "b.example")]));
    let off = "[rules.disabled-connector]\nseverity = \"off\"\n";
    let third = nights.night(2).policy(off).run().expect(0);
    assert_eq!(
        history_of(&third, "disabled-connector"),
        [
            "2026-11-21 2 0 2 0 0",
            "2026-11-22 1 1 0 0 1",
            "2026-11-23 0 2 0 0 0"
        ]
    );
    // Nothing is expected of the FedRAMP text: no finding, and nothing was judged.
    assert_eq!(
        history_of(&third, "fedramp-language"),
        [
            "2026-11-21 0 2 0 0 0",
            "2026-11-22 0 2 0 0 0",
            "2026-11-23 0 2 0 0 0"
        ]
    );
    assert_eq!(
        history_of(&third, "unread-account"),
        [
            "2026-11-21 2 0 0 0 0",
            "2026-11-22 2 0 1 1 0",
            "2026-11-23 2 0 0 0 1"
        ]
    );
    let rows = third.csv("history.csv");
    let severities: Vec<_> = rows
        .iter()
        .filter(|row| row["rule"] == "disabled-connector")
        .map(|row| row["severity"].as_str())
        .collect();
    assert_eq!(severities, ["medium", "medium", ""]);
    assert_eq!(rows[0]["accounts_asked"], "2");
    assert_eq!(rows.len(), 3 * cf_sso_audit::rules::RULES.len());
}

#[test]
fn a_ledger_of_an_earlier_version_has_a_history_too() {
    let nights = Nights::of(&[(1, json!([disabled(1, "a.example")]))]);
    let first = nights.night(0).run().expect(0);
    let before = first.text("ledger.jsonl");
    let (accounts, last) = before.trim_end().rsplit_once('\n').unwrap();
    let mut figures: Value = serde_json::from_str(last).unwrap();
    let rules = figures["trend"][0]["rules"].as_object_mut().unwrap();
    rules.retain(|rule, _| rule == "disabled-connector");
    for figure in rules.values_mut() {
        let figure = figure.as_object_mut().unwrap();
        figure.retain(|key, _| !["severity", "judged", "not_judged"].contains(&key.as_str()));
    }
    let old = format!("{accounts}\n{figures}\n");
    std::fs::write(first.run_dir().join("ledger.jsonl"), old).unwrap();
    first.sum_again("ledger.jsonl", &before);
    let second = nights.night(1).run().expect(0);
    assert_eq!(
        history_of(&second, "disabled-connector"),
        ["2026-11-21   1 0 0", "2026-11-22 1 0 1 0 0"]
    );
    assert_eq!(
        second.csv("history.csv").len(),
        1 + cf_sso_audit::rules::RULES.len()
    );
}
