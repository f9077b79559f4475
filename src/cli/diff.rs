//! `cf-sso-audit diff OLD NEW`: what changed between two runs.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tempfile::SpooledTempFile;

use super::table::table;
use super::{Failure, exit, print, print_all, unprinted};
use crate::baseline::Baseline;
use crate::compare::{Change, ChangeKind, changes};
use crate::memory::AccountMemory;
use crate::runs::ApiAsked;
use crate::text::{count, for_terminal};

/// Show what changed between two runs; exit 0 if nothing did, 10 if something did
///
/// Compares what the two runs know of each account: what was found the last time it was read in full.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What changed since the run of 20 November:
      cf-sso-audit diff reports/20261120T230000Z reports/latest
  The same as JSON:
      cf-sso-audit diff reports/20261120T230000Z reports/latest --json")]
pub struct DiffArgs {
    /// Directory of the earlier run
    old_run: PathBuf,
    /// Directory of the later run
    new_run: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What changed, and how much was compared.
struct Difference {
    old: String,
    new: String,
    compared: usize,
    not_compared: usize,
    /// Findings that the later run knew of and could not judge: accounts unread or not asked for, rules turned off.
    not_judged: usize,
    /// Accounts of the earlier run that the later one does not know.
    not_included: usize,
    /// Whether both are one run.
    is_same_run: bool,
    /// Whether the two were judged by different policies.
    policy_changed: bool,
    /// Whether the run given as the earlier one began after the other.
    backwards: bool,
    counts: BTreeMap<ChangeKind, usize>,
}

impl Difference {
    fn is_none(&self) -> bool {
        self.counts.is_empty()
    }
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<u8, Failure> {
    let mut told = Told::new(args.json);
    let difference = compare(&args.old_run, &args.new_run, &mut told)?;
    let (before, after) = if args.json {
        json_around(&difference)?
    } else {
        (heading(&difference), String::new())
    };
    print(&before)?;
    print_all(told.into_reader()?).map_err(unprinted)?;
    print(&after)?;
    Ok(if difference.is_none() {
        exit::DONE
    } else {
        exit::FINDINGS
    })
}

/// So much of what is told waits in memory, in bytes; more waits on disk.
const MOST_IN_MEMORY: usize = 1024 * 1024;

/// The changes as they are printed. They wait for the figures that stand before them, and may be very many.
struct Told {
    is_json: bool,
    is_begun: bool,
    text: io::BufWriter<SpooledTempFile>,
}

impl Told {
    fn new(is_json: bool) -> Self {
        Self {
            is_json,
            is_begun: false,
            text: io::BufWriter::new(tempfile::spooled_tempfile(MOST_IN_MEMORY)),
        }
    }

    /// Adds the changes of an account.
    fn add(&mut self, changes: &[Change<'_>]) -> Result<(), Failure> {
        let added = if self.is_json {
            self.add_json(changes)
        } else {
            self.add_lines(changes)
        };
        added.map_err(unspooled)
    }

    fn add_json(&mut self, changes: &[Change<'_>]) -> io::Result<()> {
        for change in changes {
            let text = super::json_text(&json!(change));
            self.text
                .write_all(if self.is_begun { b",\n" } else { b"" })?;
            self.is_begun = true;
            let mut separator = "";
            for line in text.lines() {
                write!(self.text, "{separator}    {line}")?;
                separator = "\n";
            }
        }
        Ok(())
    }

    fn add_lines(&mut self, changes: &[Change<'_>]) -> io::Result<()> {
        let Some(first) = changes.first() else {
            return Ok(());
        };
        let mut account = first.account_id.to_owned();
        if !first.account_name.is_empty() {
            let _ = write!(account, "  {}", first.account_name);
        }
        writeln!(self.text, "\n{}", for_terminal(&account))?;
        for some in changes.chunks(ALIGNED) {
            let rows: Vec<_> = some.iter().map(row).collect();
            self.text.write_all(table(2, &rows).as_bytes())?;
        }
        Ok(())
    }

    /// All of it, from the beginning.
    fn into_reader(self) -> Result<SpooledTempFile, Failure> {
        let mut text = self
            .text
            .into_inner()
            .map_err(|error| unspooled(error.into_error()))?;
        text.rewind().map_err(unspooled)?;
        Ok(text)
    }
}

fn unspooled(error: io::Error) -> Failure {
    let folder = std::env::temp_dir();
    Failure::failed(format!(
        "cannot write a temporary file in {}: {error}",
        folder.display()
    ))
    .hint("free some space there, or set TMPDIR to another folder")
}

fn compare(old: &Path, new: &Path, told: &mut Told) -> Result<Difference, Failure> {
    let unreadable = |error: crate::baseline::BaselineError| {
        Failure::usage(format!("a run cannot be read: {error}"))
            .hint("give the directories of two complete runs")
    };
    let (old, new) = (
        Baseline::open(old).map_err(unreadable)?,
        Baseline::open(new).map_err(unreadable)?,
    );
    if !ApiAsked::by(old.header()).is_that_of(new.header()) {
        return Err(Failure::usage(format!(
            "run {} asked {}, but run {} asked {}",
            old.header().run_id,
            old.header().base_url,
            new.header().run_id,
            new.header().base_url
        ))
        .hint("give two runs of the same API"));
    }
    let policy = |run: &Baseline| {
        run.judged()
            .policy
            .as_ref()
            .map(|policy| policy.sha256.clone())
    };
    let mut difference = Difference {
        policy_changed: policy(&old) != policy(&new),
        backwards: old.header().started > new.header().started,
        not_judged: 0,
        not_included: 0,
        is_same_run: old.is_same_run(&new),
        old: old.header().run_id.clone(),
        new: new.header().run_id.clone(),
        compared: 0,
        not_compared: 0,
        counts: BTreeMap::new(),
    };
    let mut ids = new.account_ids();
    let known: HashSet<_> = ids.iter().cloned().collect();
    ids.extend(
        old.account_ids()
            .into_iter()
            .filter(|id| !known.contains(id)),
    );
    let (mut line_before, mut line_now) = (Vec::new(), Vec::new());
    for id in ids {
        let before = old.account(&id, &mut line_before).map_err(unreadable)?;
        let now = new.account(&id, &mut line_now).map_err(unreadable)?;
        let read = |account: &Option<AccountMemory<'_>>| {
            let account = account.as_ref()?;
            account.state.read.clone()
        };
        let (read_before, read_now) = (read(&before), read(&now));
        *(if read_before.is_some() && read_now.is_some() && read_before != read_now {
            &mut difference.compared
        } else {
            &mut difference.not_compared
        }) += 1;
        difference.not_judged += not_judged(before.as_ref(), now.as_ref());
        // A folder's runs know each account of those before them: this one is of another folder, and was asked for others.
        // Given the other way round, it is one that came later.
        if now.is_none() && !difference.backwards {
            difference.not_included += 1;
            continue;
        }
        let (before, now) = (
            before.as_ref().map(AccountMemory::known),
            now.as_ref().map(AccountMemory::known),
        );
        let changes = changes(before, now);
        for change in &changes {
            *difference.counts.entry(change.kind).or_default() += 1;
        }
        told.add(&changes)?;
    }
    Ok(difference)
}

/// How many findings a later run knows of, or would, and could not judge.
fn not_judged(before: Option<&AccountMemory<'_>>, now: Option<&AccountMemory<'_>>) -> usize {
    let found_before = before.map_or(&[][..], |account| &account.findings);
    let Some(now) = now else {
        return found_before.len();
    };
    let carried = now.findings.iter().filter(|finding| finding.carried);
    let carried = carried.count();
    if now.state.read.is_some() {
        return carried;
    }
    let known: HashSet<_> = now.findings.iter().map(|finding| finding.id).collect();
    let unknown = found_before
        .iter()
        .filter(|finding| !known.contains(&finding.id));
    carried + unknown.count()
}

/// What stands before the changes.
fn heading(difference: &Difference) -> String {
    // Of a run whose files somebody has changed it can be any text.
    let (old, new) = (for_terminal(&difference.old), for_terminal(&difference.new));
    let mut text = format!(
        "From {old} to {new}: {} compared",
        count(difference.compared, "account")
    );
    if difference.not_compared > 0 {
        let _ = write!(
            text,
            ", {} not compared (not read in full since {old}, or never before it)",
            difference.not_compared
        );
    }
    text.push('\n');
    if difference.is_same_run {
        text.push_str("Both are the same run.\n");
    }
    for sentence in notes(difference) {
        let _ = writeln!(text, "{sentence}");
    }
    if difference.is_none() {
        text.push_str("No changes.\n");
    }
    for (kind, number) in &difference.counts {
        let (one, several) = kind.labels();
        let label = if *number == 1 { one } else { several };
        let _ = writeln!(text, "  {number} {label}");
    }
    text
}

/// Changes that are aligned with each other: of a large account too many to hold all lines at once.
const ALIGNED: usize = 1000;

fn row(change: &Change<'_>) -> [String; 3] {
    let subject = match (&*change.email_domain, &*change.connector_id) {
        ("", "") => "-",
        ("", connector) => connector,
        (domain, _) => domain,
    };
    let arrow = match (&*change.from, &*change.to) {
        ("", "") => String::new(),
        ("", to) => format!(": {to}"),
        (from, "") => format!(": was {from}"),
        (from, to) => format!(": {from} -> {to}"),
    };
    [
        change.kind.as_str().to_owned(),
        for_terminal(subject).into_owned(),
        for_terminal(&format!("{}{arrow}", change.what)).into_owned(),
    ]
}

/// What has to be known to read the comparison right.
fn notes(difference: &Difference) -> Vec<String> {
    let mut notes = Vec::new();
    if difference.backwards {
        notes.push(format!(
            "{} started after {}: the changes are shown in reverse.",
            for_terminal(&difference.old),
            for_terminal(&difference.new)
        ));
    }
    if difference.not_included > 0 {
        notes.push(format!(
            "{} of {} not included in {} and left out of the comparison.",
            count(difference.not_included, "account"),
            for_terminal(&difference.old),
            for_terminal(&difference.new)
        ));
    }
    if difference.policy_changed {
        notes.push("The two runs used different policies.".to_owned());
    }
    if difference.not_judged > 0 {
        notes.push(format!(
            "{} could not be judged by {} (accounts unread or not included, rules off, DNS not checked) and may or may not be resolved.",
            count(difference.not_judged, "known finding"),
            for_terminal(&difference.new)
        ));
    }
    notes
}

/// The JSON before and behind the changes.
fn json_around(difference: &Difference) -> Result<(String, String), Failure> {
    /// What the changes take the place of.
    const EMPTY: &str = "\n  \"changes\": []";
    let counts: BTreeMap<_, _> = difference
        .counts
        .iter()
        .map(|(kind, number)| (kind.as_str(), number))
        .collect();
    let text = super::json_text(&json!({
        "schema": "cf-sso-audit/diff/v1",
        "old_run": difference.old,
        "new_run": difference.new,
        "accounts_compared": difference.compared,
        "accounts_not_compared": difference.not_compared,
        "policy_changed": difference.policy_changed,
        "findings_not_judged": difference.not_judged,
        "counts": counts,
        "changes": [],
    }));
    if difference.is_none() {
        return Ok((text, String::new()));
    }
    let (before, after) = text
        .split_once(EMPTY)
        .ok_or_else(|| Failure::failed("the JSON has no place for the changes: this is a bug"))?;
    let open = EMPTY.trim_end_matches(']');
    Ok((format!("{before}{open}\n"), format!("\n  ]{after}")))
}
