//! The figures of a report for `--metrics`: those of its summary, under other names.

use super::Summary;
use super::summary::FindingCount;
use crate::metrics::{self, Figure, Metric, number, seconds};
use crate::outcome::Outcome;
use crate::rules::RULES;
use crate::severity::Severity;

/// The figures. A label holds a word of ours, and never what comes from outside.
pub fn figures(summary: &Summary<'_>) -> Vec<Figure> {
    let (coverage, totals) = (&summary.coverage, &summary.totals);
    let mut figures = vec![
        metrics::REPORT_TIME.is(seconds(summary.header.started)),
        metrics::REPORT_COMPLETE.is(u8::from(coverage.is_whole())),
        metrics::ACCOUNTS_NOT_ASKED.is(number(coverage.not_asked)),
        metrics::LIST_GAPS.is(number(coverage.gaps.len() as u64)),
        metrics::CONNECTORS.is(number(totals.connectors)),
        metrics::UNVERIFIED.is(number(totals.unverified)),
        metrics::DISABLED.is(number(totals.disabled)),
        metrics::RESOLVED_FINDINGS.is(number(totals.resolved.values().sum())),
    ];
    for (outcome, accounts) in [
        (Outcome::Read, coverage.read),
        (Outcome::Incomplete, coverage.incomplete),
        (Outcome::Unread, coverage.unread),
    ] {
        let labels = [("outcome", outcome.as_str())];
        figures.push(metrics::ACCOUNTS.of(&labels, number(accounts)));
    }
    for (kind, accounts) in &coverage.causes {
        figures.push(metrics::ACCOUNTS_BY_CAUSE.of(&[("cause", kind)], number(*accounts)));
    }
    let since = summary.causes.iter().map(|cause| cause.longest).min();
    figures.extend(since.map(|since| metrics::OLDEST_UNREAD.is(seconds(since))));
    for severity in Severity::ALL {
        let count = totals.by_severity.get(&severity);
        let count = count.copied().unwrap_or_default();
        let label = ("severity", severity.as_str());
        figures.extend(by_status(
            &metrics::FINDINGS,
            label,
            count.open,
            count.waived,
        ));
        let new_waived = count.new.saturating_sub(count.new_open);
        figures.extend(by_status(
            &metrics::NEW_FINDINGS,
            label,
            count.new_open,
            new_waived,
        ));
        let not_judged = totals.not_judged.by_severity.get(&severity);
        let not_judged = number(not_judged.copied().unwrap_or_default());
        figures.push(metrics::FINDINGS_NOT_JUDGED.of(&[label], not_judged));
    }
    for rule in RULES {
        let count: FindingCount = totals.by_rule.get(rule.id).copied().unwrap_or_default();
        let label = ("rule", rule.id);
        figures.extend(by_status(
            &metrics::RULE_FINDINGS,
            label,
            count.open,
            count.waived,
        ));
    }
    figures
}

fn by_status(metric: &Metric, label: (&str, &str), open: u64, waived: u64) -> [Figure; 2] {
    let of = |status: &str, count| metric.of(&[label, ("status", status)], number(count));
    [of("open", open), of("waived", waived)]
}
