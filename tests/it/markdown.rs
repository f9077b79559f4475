//! `summary.md`: what is new, by name, and how much there is of it.

use serde_json::json;

use crate::support::*;

fn summary(program: Program) -> Program {
    program.args(["--format", "csv,md"])
}

/// The lines of a section, by its head.
fn section<'t>(text: &'t str, head: &str) -> Vec<&'t str> {
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("## {head} (")));
    lines
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn what_is_new_comes_first_and_by_name() {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "old.example")])),
        (
            2,
            json!([connector(2, "b.example"), disabled(3, "mended.example")]),
        ),
    ]);
    let first = summary(nights.night(0)).run().expect(0).text("summary.md");
    assert!(
        first.contains("**2 of 2 accounts read.** There is no earlier run to compare with."),
        "{first}"
    );
    assert_eq!(section(&first, "Open findings").len(), 2 + 2);
    nights.set(
        2,
        json!([disabled(2, "b.example"), connector(3, "mended.example")]),
    );
    let second = summary(nights.night(1)).run().expect(0).text("summary.md");
    assert!(
        second.contains("1 new finding since run `20261121T101500Z`."),
        "{second}"
    );
    let heads: Vec<_> = second
        .lines()
        .filter(|line| line.starts_with("## "))
        .collect();
    assert_eq!(
        heads,
        [
            "## New findings (1)",
            "## Resolved findings (1)",
            "## Connectors that changed (2)",
            "## Open findings already known (1)",
            "## Totals",
        ]
    );
    let new = section(&second, "New findings");
    assert!(new[2].starts_with("| medium | `b.example` | "), "{new:?}");
    assert!(
        new[2].contains(&id(2)) && new[2].contains("disabled-connector"),
        "{new:?}"
    );
    let resolved = section(&second, "Resolved findings");
    assert!(resolved[2].contains("`mended.example`"), "{resolved:?}");
}

#[test]
fn what_is_new_and_waived_is_new_here_too() {
    let nights = Nights::of(&[(1, json!([]))]);
    let policy = format!(
        "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"{}\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-31\n",
        id(1)
    );
    summary(nights.night(0)).policy(&policy).run().expect(0);
    nights.set(1, json!([disabled(1, "off.example")]));
    let second = summary(nights.night(1)).policy(&policy).run().expect(0);
    let text = second.text("summary.md");
    assert!(
        text.contains("1 new finding (1 waived) since run `20261121T101500Z`."),
        "{text}"
    );
    let new = section(&text, "New findings");
    assert!(
        new[2].starts_with("| medium, waived | `off.example` | "),
        "{new:?}"
    );
    assert!(text.contains("\n| medium | 0 | 1 | 1 |\n"), "{text}");
}

#[test]
fn the_summary_has_a_limit_and_counts_what_it_leaves_out() {
    let list = (0..900)
        .map(|n| disabled(n, &format!("d{n}.example")))
        .collect();
    let nights = Nights::of(&[(1, list)]);
    let run = summary(nights.night(0)).run().expect(0);
    let text = run.text("summary.md");
    assert!(
        text.len() <= 60_000 && text.len() > 50_000,
        "{}",
        text.len()
    );
    let shown = text
        .lines()
        .filter(|line| line.starts_with("| medium | `"))
        .count();
    assert!(
        text.contains(&format!(
            "\n{} more not shown; `findings.csv` has all.\n",
            900 - shown
        )),
        "{shown}: {}",
        &text[text.len() - 400..]
    );
    assert!(text.contains("| medium | 900 | 0 | 0 |"));
}
