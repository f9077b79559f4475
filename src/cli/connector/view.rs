//! Connectors as people see them on a terminal.

use std::fmt::Write as _;

use super::super::screen::stdout_takes_colours;
use super::super::table::painted;
use crate::fix::{Record, zone_snippet};
use crate::model::Connector;
use crate::text::for_terminal;

fn colour(status: &str) -> &'static str {
    match status {
        "verified" | "true" => "32",
        "failed" => "31",
        "false" | "pending" | "awaiting" => "33",
        _ => "35",
    }
}

/// A line for each.
pub(super) fn table(connectors: &[Connector]) -> String {
    if connectors.is_empty() {
        return "no connector\n".to_owned();
    }
    let heads = ["ID", "DOMAIN", "STATUS", "ENABLED", "FEDRAMP"].map(str::to_owned);
    let row = |c: &Connector| {
        [
            for_terminal(&c.id.shown("unknown")).into_owned(),
            for_terminal(&c.email_domain.shown("unknown")).into_owned(),
            for_terminal(&c.verification.status.shown("unknown")).into_owned(),
            for_terminal(&c.enabled.shown("unknown")).into_owned(),
            for_terminal(&c.use_fedramp_language.shown("unknown")).into_owned(),
        ]
    };
    let rows: Vec<_> = std::iter::once(heads)
        .chain(connectors.iter().map(row))
        .collect();
    let colours = stdout_takes_colours();
    painted(0, &rows, |row, column| {
        let takes_colour = colours && row > 0 && (2..4).contains(&column);
        takes_colour.then(|| colour(&rows[row][column]))
    })
}

/// One with all that is known of it, and the record to publish.
pub(super) fn details(connector: &Connector) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("id", connector.id.shown("unknown")),
        ("e-mail domain", connector.email_domain.shown("unknown")),
        ("status", connector.verification.status.shown("unknown")),
        ("enabled", connector.enabled.shown("unknown")),
        (
            "FedRAMP text",
            connector.use_fedramp_language.shown("unknown"),
        ),
        ("created (UTC)", connector.created_on.shown("")),
        ("updated (UTC)", connector.updated_on.shown("")),
    ] {
        let _ = writeln!(text, "{name:14} {}", for_terminal(&value));
    }
    if let Some(record) = Record::of(connector).filter(|_| !connector.is_verified()) {
        let _ = write!(
            text,
            "\nPublish this TXT record, at the e-mail domain itself:\n  {}",
            zone_snippet(&[record])
        );
    }
    text
}
