//! What a run says of itself on standard output.

use std::fmt::Write as _;

use super::screen::stdout_takes_colours;
use crate::compare::ChangeKind;
use crate::organizations::{Organization, in_order};
use crate::region::Region;
use crate::report::Summary;
use crate::severity::Severity;
use crate::text::{count, for_terminal, grouped};
use crate::thresholds::AllowedUnread;

/// The most gaps of the list of accounts that are shown; the others are counted.
const MOST_GAPS: usize = 20;
/// The most organizations of the tree that are shown; the others are counted.
const MOST_ORGANIZATIONS: usize = 30;

/// The summary, coloured where standard output is a terminal that may be.
pub fn text(summary: &Summary<'_>, notes: &[String]) -> String {
    let colours = stdout_takes_colours();
    written(summary, notes, colours)
}

fn written(summary: &Summary<'_>, notes: &[String], colours: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    };
    let totals = &summary.totals;
    let mut out = String::new();
    let coverage = format!("{}.", summary.coverage.sentence());
    let code = if summary.coverage.is_whole() {
        "1;32"
    } else {
        "1;33"
    };
    let _ = writeln!(out, "{}", paint(code, &coverage));
    if let Some(causes) = summary.coverage.causes_in_words() {
        let _ = writeln!(out, "  Not read in full: {causes}.");
    }
    if let Some(sentence) = summary.organizations_sentence() {
        let _ = writeln!(out, "{sentence}:");
        write_tree(&mut out, &summary.header.organizations);
    }
    let gaps = &summary.coverage.gaps;
    for gap in gaps.iter().take(MOST_GAPS) {
        let _ = writeln!(out, "  {}", for_terminal(gap));
    }
    if gaps.len() > MOST_GAPS {
        let more = count(gaps.len() - MOST_GAPS, "more gap");
        let _ = writeln!(out, "  and {more}; see report.json");
    }
    for sentence in summary.parts_sentences() {
        let _ = writeln!(out, "{}", for_terminal(&sentence));
    }
    let _ = writeln!(out);
    if let Some(shard) = summary.shard() {
        let _ = writeln!(out, "  {:20} {shard}", "Shard");
    }
    if let Some(merged) = &summary.header.merged {
        let runs = count(merged.runs.len(), "run");
        let _ = writeln!(out, "  {:20} {runs}", "Merged from");
    }
    let fedramp = format!(
        "on {}, off {}, unknown {}",
        grouped(totals.fedramp_on),
        grouped(totals.fedramp_off),
        grouped(totals.fedramp_unknown)
    );
    for (name, figure) in [
        ("Region", region(summary)),
        ("Connectors", grouped(totals.connectors)),
        ("Unverified domains", grouped(totals.unverified)),
        ("Disabled connectors", grouped(totals.disabled)),
        ("FedRAMP text", fedramp),
    ] {
        let _ = writeln!(out, "  {name:20} {figure}");
    }
    for sentence in summary.dns_sentences().into_iter().flatten() {
        let _ = writeln!(out, "  {}", for_terminal(&sentence));
    }
    let _ = writeln!(out);
    let compared = summary.baseline.is_some();
    for severity in Severity::ALL {
        let count = totals
            .by_severity
            .get(&severity)
            .copied()
            .unwrap_or_default();
        let code = match severity {
            _ if count.open == 0 => "2",
            Severity::Critical => "1;31",
            Severity::High => "31",
            Severity::Medium => "33",
            Severity::Low => "36",
        };
        let mut figure = grouped(count.open);
        // What is new of the open ones is beside these, and what is new of the waived ones beside those.
        let new = |number: u64| match number {
            0 => String::new(),
            _ if !compared => String::new(),
            number => format!(" ({} new)", grouped(number)),
        };
        figure.push_str(&new(count.new_open));
        if count.waived > 0 {
            let new = new(count.new.saturating_sub(count.new_open));
            let _ = write!(figure, ", {} waived{new}", grouped(count.waived));
        }
        let name = format!("Findings {severity}");
        let _ = writeln!(out, "  {name:20} {}", paint(code, &figure));
    }
    if let Some(baseline) = &summary.baseline {
        let number = |kind: &ChangeKind| totals.changes.get(kind).copied().unwrap_or_default();
        let of = |kind: &ChangeKind| {
            let number = number(kind);
            let (one, several) = kind.labels();
            format!(
                "{} {}",
                grouped(number),
                if number == 1 { one } else { several }
            )
        };
        let always = |kind: &ChangeKind| {
            matches!(kind, ChangeKind::FindingNew | ChangeKind::FindingResolved)
        };
        let told = ChangeKind::ALL
            .iter()
            .filter(|kind| always(kind) || number(kind) > 0);
        let told: Vec<_> = told.map(of).collect();
        let _ = writeln!(out, "\nSince {baseline}: {}.", told.join(", "));
        if summary.policy_changed {
            let _ = writeln!(out, "The policy has changed since that run.");
        }
    }
    for sentence in summary.passed_over_sentences() {
        let _ = writeln!(out, "{sentence}");
    }
    let waivers = summary.waivers.iter();
    let expired = waivers.filter(|used| used.waiver.is_expired(summary.now));
    match expired.count() {
        0 => {}
        1 => out.push_str("1 waiver has expired, and its findings are open. Renew it, or remove it from the policy.\n"),
        several => {
            let _ = writeln!(out, "{several} waivers have expired, and their findings are open. Renew them, or remove them from the policy.");
        }
    }
    if let Some(sentence) = totals.not_judged.sentence() {
        let _ = writeln!(out, "{sentence}");
    }
    for sentence in thresholds(summary) {
        let _ = writeln!(out, "{sentence}");
    }
    for note in notes {
        let _ = writeln!(out, "{note}");
    }
    let _ = writeln!(out, "\nOpen report.html, or the CSV files, in");
    out
}

fn region(summary: &Summary<'_>) -> String {
    let header = summary.header;
    match Region::at(&header.base_url) {
        Some(region) => region.as_str().to_owned(),
        None if header.demo => "none: a simulated API".to_owned(),
        None => format!("{}: {}", Region::OTHER, for_terminal(&header.base_url)),
    }
}

/// Of each threshold that was asked for, whether it was reached: the exit code reports one thing only.
fn thresholds(summary: &Summary<'_>) -> Vec<String> {
    let thresholds = &summary.thresholds;
    let fail_on = |flag: &str, severity: Option<Severity>, reached: bool| {
        let reached = if reached { "reached" } else { "not reached" };
        severity.map(|severity| format!("{flag} {severity}: {reached}."))
    };
    let mut sentences = Vec::new();
    let allowed = thresholds.allow_unread;
    let not_whole = summary.coverage.not_whole();
    if allowed != AllowedUnread::default() {
        let verdict = if !summary.coverage.gaps.is_empty() {
            "an incomplete list of accounts is never tolerated"
        } else if summary.is_read_enough() {
            "allowed"
        } else {
            "over the limit"
        };
        sentences.push(format!(
            "--allow-unread {allowed}: {} not read in full; {verdict}.",
            count(not_whole as usize, "account")
        ));
    }
    let reached = summary.reaches_fail_on();
    sentences.extend(fail_on("--fail-on", thresholds.fail_on, reached));
    let reached = summary.reaches_fail_on_new();
    sentences.extend(fail_on("--fail-on-new", thresholds.fail_on_new, reached));
    sentences
}

/// The organizations as a tree. Why one could not be listed stands among the gaps.
fn write_tree(out: &mut String, organizations: &[Organization]) {
    let ordered = in_order(organizations);
    for (level, organization) in ordered.iter().take(MOST_ORGANIZATIONS) {
        let indent = 2 + 2 * level;
        let accounts = count(organization.accounts, "account");
        let mark = match organization.problems.is_empty() {
            true => "",
            false => ", incomplete",
        };
        let words = organization.words();
        let _ = writeln!(out, "{:indent$}{words}: {accounts}{mark}", "");
    }
    if ordered.len() > MOST_ORGANIZATIONS {
        let more = count(ordered.len() - MOST_ORGANIZATIONS, "more organization");
        let _ = writeln!(out, "  and {more}; see report.json");
    }
}
