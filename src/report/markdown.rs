//! `summary.md`: what is new first, by name, for a job's summary, a pull request, a mail or a chat. It has a limit, as
//! those have; what does not fit is counted.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::columns::{CHANGES, ChangeRow, FINDINGS, FindingRow, Kind, Table};
use super::files::{StagedFile, Staging};
use super::{Format, FormatSpec, FormatWorker, Settings, Summary};
use crate::compare::ChangeKind;
use crate::finding::Age;
use crate::severity::Severity;
use crate::text::{count, for_terminal, shortened};
use crate::threads::{lock, owned};

const FILE: &str = "summary.md";

/// See the module.
pub const FORMAT: FormatSpec = FormatSpec {
    name: "md",
    files: &[(
        FILE,
        "what is new, by name, for a pull request, e-mail or chat",
    )],
    by_default: false,
    open: |staging, settings| Markdown::open(staging, settings),
};

/// The most that the file takes, in bytes: the comment of a pull request may have 65,536 characters.
const LARGEST: usize = 60_000;
/// Of these, what is kept for heads, counts and the last table.
const RESERVED: usize = 4_000;
/// The longest name that is shown, in characters.
const LONGEST_NAME: usize = 80;
/// The longest sentence that is shown, in characters.
const LONGEST_SENTENCE: usize = 300;

/// A part of the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    New(Severity),
    Resolved,
    Reopened,
    Connectors,
    Accounts,
    Known(Severity),
}

impl Part {
    /// Every part, in the order in which they are shown.
    const ALL: [Self; 12] = [
        Self::New(Severity::Critical),
        Self::New(Severity::High),
        Self::New(Severity::Medium),
        Self::New(Severity::Low),
        Self::Resolved,
        Self::Reopened,
        Self::Connectors,
        Self::Accounts,
        Self::Known(Severity::Critical),
        Self::Known(Severity::High),
        Self::Known(Severity::Medium),
        Self::Known(Severity::Low),
    ];

    fn position(self) -> usize {
        match self {
            Self::New(severity) => severity as usize,
            Self::Resolved => 4,
            Self::Reopened => 5,
            Self::Connectors => 6,
            Self::Accounts => 7,
            Self::Known(severity) => 8 + severity as usize,
        }
    }

    /// Where a change is shown; new and waived findings stand among the findings.
    fn of_change(kind: ChangeKind) -> Option<Self> {
        match kind {
            ChangeKind::FindingNew | ChangeKind::FindingWaived => None,
            ChangeKind::FindingResolved => Some(Self::Resolved),
            ChangeKind::FindingReopened => Some(Self::Reopened),
            ChangeKind::ConnectorAdded
            | ChangeKind::ConnectorRemoved
            | ChangeKind::ConnectorRecreated
            | ChangeKind::ConnectorChanged => Some(Self::Connectors),
            ChangeKind::AccountAdded
            | ChangeKind::AccountRemoved
            | ChangeKind::AccountUnread
            | ChangeKind::AccountRead => Some(Self::Accounts),
        }
    }
}

/// The first rows of a part, as many as the file could hold, and the number of all.
#[derive(Debug, Default)]
struct Rows {
    lines: Vec<String>,
    bytes: usize,
    all: usize,
}

impl Rows {
    fn push(&mut self, line: String) {
        if self.bytes + line.len() <= LARGEST {
            self.bytes += line.len();
            self.lines.push(line);
        } else {
            // None that comes later, and might be shorter, takes its place.
            self.bytes = LARGEST;
        }
    }
}

/// A part that the workers bring rows to.
#[derive(Debug, Default)]
struct Shared {
    rows: Mutex<Rows>,
    /// No further row has room; never not so again.
    is_full: AtomicBool,
}

/// Writes the summary.
struct Markdown<'a> {
    file: StagedFile,
    settings: &'a Settings<'a>,
    parts: [Shared; Part::ALL.len()],
}

impl<'a> Markdown<'a> {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be made.
    fn open(staging: &Staging, settings: &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>> {
        Ok(Box::new(Self {
            file: staging.file(FILE)?,
            settings,
            parts: Default::default(),
        }))
    }

    /// The file that has all rows of a table, in the formats that are written.
    fn whole_list(&self, table: &'static str) -> String {
        let written = |name: &str| {
            self.settings
                .formats
                .iter()
                .any(|format| format.name == name)
        };
        match (written("csv"), written("json")) {
            (true, _) => format!("`{table}` has all"),
            (_, true) => "`report.json` has all".to_owned(),
            _ => "`cf-sso-audit render --format csv` writes all".to_owned(),
        }
    }
}

struct Worker<'f> {
    parts: &'f [Shared; Part::ALL.len()],
    rows: [Rows; Part::ALL.len()],
}

impl Worker<'_> {
    fn add(&mut self, part: Part, line: impl FnOnce() -> String) {
        let rows = &mut self.rows[part.position()];
        rows.all += 1;
        if !self.parts[part.position()].is_full.load(Ordering::Relaxed) {
            rows.push(line());
        }
    }
}

impl FormatWorker for Worker<'_> {
    fn finding(&mut self, row: &FindingRow<'_>) -> io::Result<()> {
        let finding = row.finding;
        if finding.is_open() {
            let part = match finding.age {
                Age::New => Part::New(finding.severity),
                Age::Existing | Age::NotCompared => Part::Known(finding.severity),
            };
            self.add(part, || finding_line(row));
        }
        Ok(())
    }

    fn change(&mut self, row: &ChangeRow<'_>) -> io::Result<()> {
        if let Some(part) = Part::of_change(row.kind()) {
            self.add(part, || change_line(row));
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.rows.iter().map(|rows| rows.bytes).sum()
    }

    fn hand_on(&mut self) -> io::Result<()> {
        for (rows, shared) in self.rows.iter_mut().zip(self.parts) {
            let mine = std::mem::take(rows);
            let mut to = lock(&shared.rows);
            to.all += mine.all;
            mine.lines.into_iter().for_each(|line| to.push(line));
            if mine.bytes >= LARGEST || to.bytes >= LARGEST {
                to.bytes = LARGEST;
                shared.is_full.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// A cell of a table, for people.
fn text<K: Kind>(table: &Table<K>, column: &str, row: &K::Row<'_>) -> String {
    let cell = table.cell(column, row).and_then(|cell| cell.text());
    cell.unwrap_or_default().to_owned()
}

/// Text from outside in a code span: no link, no mention and no markup begins in it.
fn code(text: &str) -> String {
    let text = for_terminal(text);
    let text = shortened(text.trim(), LONGEST_NAME);
    if text.is_empty() {
        return String::new();
    }
    // A bar ends a cell even in a code span, and a backtick the span.
    format!("`{}`", text.replace('`', "\u{2019}").replace('|', "\\|"))
}

/// A sentence of ours that may hold text from outside: shown as it is, whatever it means in Markdown.
fn sentence(text: &str) -> String {
    let text = for_terminal(text);
    let mut shown = String::with_capacity(text.len());
    for c in shortened(&text, LONGEST_SENTENCE).chars() {
        match c {
            // Nobody is mentioned.
            '@' => shown.push_str("&#64;&#8203;"),
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '+' | '!' | '|' | '~' | '$'
            | '^' => {
                shown.push('\\');
                shown.push(c);
            }
            c => shown.push(c),
        }
    }
    // What a page would make a link of by itself.
    shown.replace("www.", "www\\.").replace("://", "\\://")
}

fn account(name: String, id: String) -> String {
    match name.as_str() {
        "" => code(&id),
        name => format!("{} {}", code(name), code(&id)),
    }
}

fn finding_line(row: &FindingRow<'_>) -> String {
    let cell = |column| text(&FINDINGS, column, row);
    let about = match cell("email_domain") {
        domain if domain.is_empty() => cell("connector_id"),
        domain => domain,
    };
    format!(
        "| {} | {} | {} | {} | `{}` | {} | {} |\n",
        cell("severity"),
        code(&about),
        account(cell("account_name"), cell("account_id")),
        code(&cell("owner")),
        cell("rule"),
        sentence(&cell("message")),
        cell("first_seen_utc").split(' ').next().unwrap_or_default(),
    )
}

fn change_line(row: &ChangeRow<'_>) -> String {
    let cell = |column| text(&CHANGES, column, row);
    let about = match cell("email_domain") {
        domain if domain.is_empty() => cell("connector_id"),
        domain => domain,
    };
    let arrow = match (cell("from").as_str(), cell("to").as_str()) {
        ("", to) => code(to),
        (from, "") => format!("was {}", code(from)),
        (from, to) => format!("{} \u{2192} {}", code(from), code(to)),
    };
    format!(
        "| {} | {} | {} | `{}` | {} |\n",
        cell("kind"),
        code(&about),
        account(cell("account_name"), cell("account_id")),
        cell("what"),
        arrow,
    )
}

/// The head of a part's table, as its rows have it.
const FINDING_HEAD: &str = "| severity | domain | account | owner | rule | finding | since |\n|---|---|---|---|---|---|---|\n";
const CHANGE_HEAD: &str = "| change | domain | account | what | value |\n|---|---|---|---|---|\n";

/// The text of the file, and how much room is left in it for rows.
struct Page {
    text: String,
    room: usize,
}

impl Page {
    /// Adds a section of so many parts, if there is anything in them.
    fn section(&mut self, head: &str, table_head: &str, parts: Vec<Rows>, whole_list: &str) {
        let all: usize = parts.iter().map(|rows| rows.all).sum();
        if all == 0 {
            return;
        }
        let _ = write!(self.text, "\n## {head} ({all})\n\n");
        let mut shown = 0;
        'parts: for rows in &parts {
            for line in &rows.lines {
                if line.len() > self.room {
                    self.room = 0;
                    break 'parts;
                }
                if shown == 0 {
                    self.text.push_str(table_head);
                }
                shown += 1;
                self.room -= line.len();
                self.text.push_str(line);
            }
            // The rows of a part stand before those of the next, or are counted.
            if rows.lines.len() < rows.all {
                self.room = 0;
                break;
            }
        }
        if shown < all {
            let left = all - shown;
            let _ = write!(self.text, "\n{left} more not shown; {whole_list}.\n");
        }
    }
}

impl Format for Markdown<'_> {
    fn worker(&self) -> Box<dyn FormatWorker + '_> {
        Box::new(Worker {
            parts: &self.parts,
            rows: Default::default(),
        })
    }

    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()> {
        let findings = self.whole_list(FINDINGS.file);
        let changes = self.whole_list(CHANGES.file);
        let Self {
            mut file, parts, ..
        } = *self;
        let mut parts = parts.map(|shared| owned(shared.rows));
        let mut take = |part: Part| std::mem::take(&mut parts[part.position()]);
        let mut page = Page {
            text: head(summary),
            room: 0,
        };
        page.room = LARGEST.saturating_sub(RESERVED + page.text.len());
        let new = Severity::ALL.map(|severity| take(Part::New(severity)));
        page.section("New findings", FINDING_HEAD, new.into(), &findings);
        for (head, part) in [
            ("Resolved findings", Part::Resolved),
            ("Waived findings open again", Part::Reopened),
            ("Connectors that changed", Part::Connectors),
            ("Accounts that changed", Part::Accounts),
        ] {
            page.section(head, CHANGE_HEAD, vec![take(part)], &changes);
        }
        let known = Severity::ALL.map(|severity| take(Part::Known(severity)));
        let head = match summary.baseline {
            Some(_) => "Open findings already known",
            None => "Open findings",
        };
        page.section(head, FINDING_HEAD, known.into(), &findings);
        page.text.push_str(&totals(summary));
        file.write_all(page.text.as_bytes())?;
        file.finish();
        Ok(())
    }
}

/// The most sentences about gaps that are shown; the others are counted.
const MOST_GAPS: usize = 3;

/// What has to be known before anything else: which run it is, and how much it saw.
fn head(summary: &Summary<'_>) -> String {
    let mut text = format!(
        "# SSO connector audit, {} UTC\n\n**{}.**",
        summary.header.started.format("%Y-%m-%d %H:%M"),
        sentence(&summary.coverage.sentence()),
    );
    if let Some(causes) = summary.coverage.causes_in_words() {
        let _ = write!(text, " Not read in full: {}.", sentence(&causes));
    }
    let compared = match &summary.baseline {
        Some(run) => format!(
            " {} since run {}.",
            count(
                summary.totals.findings.new_open as usize,
                "new open finding"
            ),
            code(run)
        ),
        None => " There is no earlier run to compare with.".to_owned(),
    };
    text.push_str(&compared);
    text.push('\n');
    for said in beside(summary) {
        let _ = writeln!(text, "\n{}", sentence(&said));
    }
    let gaps = &summary.coverage.gaps;
    for gap in gaps.iter().take(MOST_GAPS) {
        let _ = writeln!(text, "\n- {}", sentence(gap));
    }
    if gaps.len() > MOST_GAPS {
        let more = count(gaps.len() - MOST_GAPS, "more gap");
        let _ = writeln!(text, "- and {more} in the list of accounts");
    }
    text
}

/// What the lists of findings do not say: what was not judged, what DNS was asked, what is overdue.
fn beside(summary: &Summary<'_>) -> Vec<String> {
    let mut said = summary.parts_sentences();
    said.extend(summary.totals.not_judged.sentence());
    said.extend(summary.dns_sentences().into_iter().flatten());
    let overdue = summary.remediations.iter();
    let overdue = overdue.filter(|one| one.is_overdue(summary.now)).count();
    if overdue > 0 {
        said.push(format!("{} overdue.", count(overdue, "remediation")));
    }
    let attestations = summary.policy.attestations.iter();
    let expired = attestations
        .filter(|one| one.is_expired(summary.now))
        .count();
    if expired > 0 {
        said.push(format!("{} expired.", count(expired, "attestation")));
    }
    said
}

/// The figures, after everything that they count.
fn totals(summary: &Summary<'_>) -> String {
    let mut text =
        "\n## Totals\n\n| severity | open | new | waived |\n|---|---|---|---|\n".to_owned();
    for severity in Severity::ALL {
        let of_it = summary.totals.by_severity.get(&severity);
        let of_it = of_it.copied().unwrap_or_default();
        let _ = writeln!(
            text,
            "| {severity} | {} | {} | {} |",
            of_it.open, of_it.new_open, of_it.waived
        );
    }
    let totals = &summary.totals;
    let _ = writeln!(
        text,
        "\n{}: {} unverified, {} disabled.",
        count(totals.connectors as usize, "connector"),
        totals.unverified,
        totals.disabled
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_where_their_position_says() {
        for (position, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part.position(), position);
        }
    }

    #[test]
    fn text_from_outside_is_shown_and_means_nothing() {
        assert_eq!(code("a|b`c\n<b>"), "`a\\|b\u{2019}c <b>`");
        assert_eq!(code(" "), "");
        assert_eq!(
            sentence("@team see www.evil.example or [x](http://y) <b> | *z*"),
            "&#64;&#8203;team see www\\.evil.example or \\[x\\](http\\://y) &lt;b> \\| \\*z\\*"
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let rows = |lines: usize, all| Rows {
            lines: vec!["| row |\n".to_owned(); lines],
            bytes: 0,
            all,
        };
        let mut page = Page {
            text: String::new(),
            room: 25,
        };
        page.section("First", "|head|\n", vec![rows(2, 2)], "`a` has all");
        page.section("Second", "|head|\n", vec![rows(2, 9)], "`b` has all");
        page.section("None", "|head|\n", vec![rows(0, 0)], "`c` has all");
        assert_eq!(
            page.text,
            "\n## First (2)\n\n|head|\n| row |\n| row |\n\n## Second (9)\n\n|head|\n| row |\n\n8 more not shown; `b` has all.\n"
        );
    }
}
