//! The first sheet: the verdict, how much was read, what was found, and how the report was made.

use std::io;

use rust_xlsxwriter::{Format, Worksheet, XlsxError};

use super::book::{Looks, failed};
use super::rows::{Value, for_cell};
use crate::region::Region;
use crate::report::Summary;
use crate::severity::Severity;

/// The sheet.
///
/// # Errors
/// The library's.
pub fn sheet(summary: &Summary<'_>, title: &str, looks: &Looks) -> io::Result<Worksheet> {
    let mut page = Page {
        sheet: Worksheet::new(),
        looks,
        row: 0,
    };
    page.fill(summary, title).map_err(failed)?;
    Ok(page.sheet)
}

struct Page<'l> {
    sheet: Worksheet,
    looks: &'l Looks,
    /// The next row.
    row: u32,
}

impl Page<'_> {
    fn fill(&mut self, summary: &Summary<'_>, title: &str) -> Result<(), XlsxError> {
        self.sheet.set_name("Summary")?;
        self.sheet.set_column_width(0, 30)?;
        self.sheet.set_column_range_width(1, 3, 22)?;
        let looks = self.looks;
        self.line(title, Some(&looks.title))?;
        self.line(&summary.headline(), Some(&looks.strong))?;
        self.line(&format!("{}.", summary.coverage.sentence()), None)?;
        let sentences = [
            summary.totals.not_judged.sentence().into_iter().collect(),
            summary.dns_sentences().unwrap_or_default(),
            summary.passed_over_sentences(),
        ];
        for sentence in sentences.iter().flatten() {
            self.line(sentence, None)?;
        }
        self.coverage(summary)?;
        self.findings(summary)?;
        self.connectors(summary)?;
        self.about(summary)
    }

    fn coverage(&mut self, summary: &Summary<'_>) -> Result<(), XlsxError> {
        let coverage = &summary.coverage;
        self.head(&["Coverage", "accounts"])?;
        for (name, number) in [
            ("asked for", coverage.asked),
            ("read", coverage.read),
            ("incomplete", coverage.incomplete),
            ("unread", coverage.unread),
            ("known, but not included", coverage.not_asked),
        ] {
            self.row(&[Value::Text(name), Value::Number(number)])?;
        }
        if !coverage.gaps.is_empty() {
            self.head(&["Missing from the list of accounts"])?;
            for gap in &coverage.gaps {
                self.line(gap, None)?;
            }
        }
        if summary.causes.is_empty() {
            return Ok(());
        }
        self.head(&[
            "Unread accounts",
            "accounts",
            "longest since",
            "shortest since",
        ])?;
        for cause in &summary.causes {
            self.row(&[
                Value::Text(cause.kind),
                Value::Number(cause.accounts),
                Value::time(cause.longest).unwrap_or(Value::Empty),
                Value::time(cause.shortest).unwrap_or(Value::Empty),
            ])?;
        }
        Ok(())
    }

    fn findings(&mut self, summary: &Summary<'_>) -> Result<(), XlsxError> {
        self.head(&["Findings", "open", "new", "waived"])?;
        let all = (Value::Text("all"), summary.totals.findings);
        let of_severity = |severity| {
            let count = summary.totals.by_severity.get(&severity);
            (
                Value::Severity(severity),
                count.copied().unwrap_or_default(),
            )
        };
        for (name, count) in Severity::ALL.map(of_severity).into_iter().chain([all]) {
            let new = match summary.baseline {
                Some(_) => Value::Number(count.new_open),
                // There is nothing that they could be new against.
                None => Value::Empty,
            };
            let (open, waived) = (Value::Number(count.open), Value::Number(count.waived));
            self.row(&[name, open, new, waived])?;
        }
        Ok(())
    }

    fn connectors(&mut self, summary: &Summary<'_>) -> Result<(), XlsxError> {
        let totals = &summary.totals;
        self.head(&["Connectors", "connectors"])?;
        for (name, number) in [
            ("all", totals.connectors),
            ("unverified", totals.unverified),
            ("disabled", totals.disabled),
            ("FedRAMP text on", totals.fedramp_on),
            ("FedRAMP text off", totals.fedramp_off),
            ("FedRAMP text unknown", totals.fedramp_unknown),
        ] {
            self.row(&[Value::Text(name), Value::Number(number)])?;
        }
        Ok(())
    }

    fn about(&mut self, summary: &Summary<'_>) -> Result<(), XlsxError> {
        let header = summary.header;
        self.head(&["About this report", ""])?;
        let policy = summary.policy.source.as_ref();
        let policy_path = policy.map_or("none", |policy| &policy.path);
        let policy_sha256 = policy.map_or("", |policy| &policy.sha256);
        let baseline = summary.baseline.as_deref().unwrap_or("no earlier run");
        let time = |at| Value::time(at).unwrap_or(Value::Empty);
        for (name, value) in [
            ("run", Value::Text(&header.run_id)),
            ("started (UTC)", time(header.started)),
            ("last answer (UTC)", time(summary.finished)),
            ("judged as of (UTC)", time(summary.now)),
            ("region", Value::Text(Region::word(&header.base_url))),
            ("API", Value::Text(&for_cell(&header.base_url))),
            ("simulated API", Value::Flag(header.demo)),
            ("policy", Value::Text(&for_cell(policy_path))),
            ("policy SHA-256", Value::Text(policy_sha256)),
            ("compared with run", Value::Text(&for_cell(baseline))),
            ("evidence SHA-256", Value::Text(&summary.evidence_sha256)),
            ("version", Value::Text(&for_cell(&header.version))),
        ] {
            self.row(&[Value::Text(name), value])?;
        }
        Ok(())
    }

    /// A line of text, which runs on over the columns beside.
    fn line(&mut self, text: &str, look: Option<&Format>) -> Result<(), XlsxError> {
        let text = for_cell(text);
        match look {
            Some(look) => self
                .sheet
                .write_string_with_format(self.row, 0, text, look)?,
            None => self.sheet.write_string(self.row, 0, text)?,
        };
        self.row += 1;
        Ok(())
    }

    /// The head of a part, after an empty row.
    fn head(&mut self, words: &[&str]) -> Result<(), XlsxError> {
        self.row += 1;
        for (column, word) in (0..).zip(words) {
            let look = &self.looks.head;
            self.sheet
                .write_string_with_format(self.row, column, *word, look)?;
        }
        self.row += 1;
        Ok(())
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<(), XlsxError> {
        for (column, value) in (0..).zip(values) {
            self.looks
                .put(&mut self.sheet, (self.row, column), *value)?;
        }
        self.row += 1;
        Ok(())
    }
}
