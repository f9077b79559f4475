//! What the page says first: how bad it is, what is new of it, what is overdue, and what was not looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};

use crate::support::*;

fn section<'p>(page: &'p str, id: &str) -> &'p str {
    let start = page.find(&format!("<section id=\"{id}\"")).unwrap();
    let end = page[start..].find("</section>").unwrap();
    &page[start..start + end]
}

#[test]
fn urgent_findings_stand_first_the_new_ones_on_top() {
    let dir = shared_dir();
    let failed = json!({"enabled": false, "verification": {"status": "failed", "code": "x"}});
    let bad = json!({"enabled": true, "verification": {"status": "awaiting", "code": "x"}});
    let before = connector_with(1, "old.example", bad.clone());
    let changed = connector_with(
        3,
        "fine.example",
        json!({"enabled": false, "use_fedramp_language": true}),
    );
    let nights = [
        json!([before, connector(3, "fine.example")]),
        json!([
            before,
            connector_with(2, "new.example", failed.clone()),
            changed
        ]),
    ];
    let night = Arc::new(AtomicUsize::new(0));
    let tonight = Arc::clone(&night);
    let server = Server::start(move |_| success(nights[tonight.load(Relaxed)].clone()));
    audit_in(&dir, &server).arg(id(1)).on_day(1).run().expect(0);
    night.store(1, Relaxed);
    let outcome = audit_in(&dir, &server).arg(id(1)).on_day(4).run().expect(0);
    let page = outcome.text("report.html");
    let verdict = section(&page, "verdict");
    assert!(
        verdict.contains("<h2>1 critical, 1 high; 1 new</h2>"),
        "{verdict}"
    );
    let new = verdict.find("new<wbr>.example</bdi></a>").unwrap();
    let old = verdict.find("old<wbr>.example</bdi></a>").unwrap();
    assert!(new < old, "the new one stands on top");
    assert!(verdict.contains("open 3 days") && verdict.contains("first seen today"));
    assert_eq!(verdict.matches("1 of 1 account read").count(), 1);
    // Findings first; then the connector, once, with all of its fields; then the inventory.
    let changes = section(&page, "changes");
    let rows: Vec<_> = changes.split("<tr><td>").skip(1).collect();
    let kinds: Vec<_> = rows
        .iter()
        .map(|row| row.split('<').next().unwrap())
        .collect();
    assert!(kinds[0] == "finding-new", "{kinds:?}");
    let connectors: Vec<_> = kinds
        .iter()
        .filter(|kind| kind.starts_with("connector"))
        .collect();
    assert_eq!(connectors, [&"connector-changed", &"connector-added"]);
    let of_connector = rows[kinds
        .iter()
        .position(|kind| *kind == "connector-changed")
        .unwrap()];
    assert!(
        of_connector.contains("<bdi>enabled</bdi> <bdi>true</bdi> → <bdi>false</bdi>"),
        "{of_connector}"
    );
    assert!(
        of_connector.contains("<bdi>use_fedramp_language</bdi> <bdi>false</bdi> → <bdi>true</bdi>")
    );
}

#[test]
fn a_fleet_that_could_not_be_read_is_not_called_clean() {
    let server = Server::start(|request| {
        if request.account() == id(9) {
            success(json!([connector(1, "fine.example")]))
        } else {
            forbidden()
        }
    });
    let all = audit(&server).args(ids(3)).run().expect(3);
    let page = all.text("report.html");
    let verdict = section(&page, "verdict");
    assert!(
        verdict.contains("<h2>Nothing was assessed: none of 3 accounts could be read</h2>"),
        "{verdict}"
    );
    assert!(verdict.contains("3 accounts: ") && verdict.contains("</a>, since 20"));
    let most = audit(&server).args(ids(9)).run().expect(3);
    let page = most.text("report.html");
    let verdict = section(&page, "verdict");
    assert!(
        verdict.contains("<h2>Mostly not assessed: only 1 of 9 accounts read</h2>"),
        "{verdict}"
    );
    for page in [all.text("report.html"), page] {
        assert!(!page.contains("No open findings"));
    }
}

#[test]
fn none_found_is_told_from_not_looked_at() {
    let server = Server::of(vec![
        (
            id(1),
            json!([connector(1, "a.example"), disabled(2, "b.example")]),
        ),
        (id(2), json!([])),
    ]);
    let outcome = audit(&server).args(ids(2)).run().expect(0);
    let judged = &outcome.json()["totals"]["judged_by_rule"];
    assert_eq!(
        judged["disabled-connector"],
        json!({"judged": 2, "fired": 1, "waived": 0, "not_judged": 0})
    );
    assert_eq!(
        judged["fedramp-language"],
        json!({"judged": 0, "fired": 0, "waived": 0, "not_judged": 2})
    );
    assert_eq!(judged["no-connector"]["judged"], 2);
    let page = outcome.text("report.html");
    assert!(section(&page, "numbers").contains("not judged</b>"));
    assert!(section(&page, "passed").contains("<i data-v=\"not-judged\">not judged</i>"));
    assert!(section(&page, "fedramp").contains("2 connectors are not listed here"));
}

#[test]
fn what_is_overdue_is_on_the_first_screen() {
    let server = Server::of(vec![(
        id(1),
        json!([disabled(1, "a.example"), disabled(2, "b.example")]),
    )]);
    let policy = format!(
        "[[attestations]]\ncontrol = \"IA-2\"\nstatement = \"tested\"\nby = \"j.doe\"\non = 2025-01-01\nexpires = 2026-01-01\n\
         [[remediations]]\nrule = \"disabled-connector\"\naccount = \"{}\"\ndomain = \"A.example\"\nowner = \"it\"\ndue = 2026-11-01\n\
         [[remediations]]\nrule = \"disabled-connector\"\naccount = \"*\"\nowner = \"it\"\ndue = 2999-01-01\n",
        id(1)
    );
    let outcome = audit(&server)
        .policy(&policy)
        .args(["--title", "Client, <quarterly> review"])
        .arg(id(1))
        .run()
        .expect(0);
    // Rendered again, it has its title still; another one is given by name.
    let page = outcome.text("report.html");
    let again = |options: &[&str]| {
        let program = program("render").policy(&policy).arg(outcome.run_dir());
        program.args(options).run().expect(0);
        outcome.text("report.html")
    };
    assert!(again(&[]) == page);
    assert!(again(&["--title", "Another"]).contains("<bdi>Another</bdi></h1>"));
    assert!(again(&["--title", "Client, <quarterly> review"]) == page);
    let json = outcome.json();
    let overdue: Vec<_> = json["remediations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["open"], &one["overdue"]))
        .collect();
    assert_eq!(
        overdue,
        [(&json!(1), &json!(true)), (&json!(1), &json!(false))]
    );
    assert_eq!(json["attestations"][0]["expired"], true);
    let page = outcome.text("report.html");
    let verdict = section(&page, "verdict");
    assert!(
        verdict.contains("1 open finding of <a href=\"#rule-disabled-connector\">"),
        "{verdict}"
    );
    assert!(verdict.contains("should have been fixed by 2026-11-01 (<bdi>it</bdi>)"));
    assert!(verdict.contains("expired on 2026-01-01"));
    assert!(!verdict.contains("2999"));
    assert!(page.contains("<h1><bdi>Client, &lt;quarterly&gt; review</bdi></h1>"));
}

#[test]
fn a_policy_for_other_accounts_judges_no_fedramp_text() {
    let server = Server::of(vec![(id(1), json!([connector(1, "a.example")]))]);
    let policy = format!("[[accounts]]\nid = \"{}\"\nfedramp = \"required\"\n", id(9));
    let outcome = audit(&server).arg(id(1)).policy(&policy).run().expect(0);
    assert_eq!(outcome.json()["totals"]["fedramp_judged"], false);
    let page = outcome.text("report.html");
    assert!(section(&page, "verdict").contains("it was not judged"));
    assert!(!page.contains("No FedRAMP text differs from policy"));
}

#[test]
fn unread_accounts_are_told_from_those_read_in_part() {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (
            2,
            json!({"part": [connector_with(2, "b.example", json!({"verification": {"status": "failed"}}))]}),
        ),
        (3, Value::Null),
    ]);
    let outcome = nights.night(0).run().expect(3);
    let page = outcome.text("report.html");
    let verdict = section(&page, "verdict");
    let headline = "<h2>1 critical, 1 high; 1 account not assessed; 1 account read in part</h2>";
    assert!(verdict.contains(headline), "{verdict}");
    assert!(verdict.contains("open findings in what could be read."));
    let passed = section(&page, "passed");
    assert!(passed.contains(">passed so far</i>") && !passed.contains(">passed</i>"));
    assert!(
        !section(&page, "rules").contains('`'),
        "code is marked as code"
    );
}

#[test]
fn accounts_that_are_left_out_are_said_everywhere() {
    let nights = Nights::of(&[(1, json!([])), (2, json!([])), (3, json!([]))]);
    nights.night(0).run().expect(0);
    let second = nights
        .bare(1)
        .arg(id(1))
        .args(["--format", "html,md"])
        .run()
        .expect(0);
    let said = "2 further accounts are known from earlier runs and were not included.";
    assert!(second.stdout.contains(said), "{}", second.stdout);
    for file in ["report.html", "summary.md"] {
        assert!(second.text(file).contains(said), "{file}");
    }
}
