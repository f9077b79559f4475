//! `cf-sso-audit diff OLD NEW`: what changed between two runs.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::table::table;
use super::{Failure, exit, print};
use crate::baseline::Baseline;
use crate::compare::{Change, ChangeKind, changes};
use crate::memory::AccountMemory;
use crate::runs::ApiAsked;
use crate::text::{count, for_terminal};

/// Say what changed between two runs; exit with 0 where nothing did, with 10 where something did
///
/// Of each account, what each of the two runs knew is compared: what was found the last time the account was read whole.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What changed since the run of 20 November:
      cf-sso-audit diff reports/20261120T230000Z reports/latest
  The same for a program:
      cf-sso-audit diff reports/20261120T230000Z reports/latest --json")]
pub struct DiffArgs {
    /// The directory of the earlier run
    old_run: PathBuf,
    /// The directory of the later run
    new_run: PathBuf,
    /// Write JSON instead of text
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
    /// Whether the two were judged by different policies.
    policy_changed: bool,
    /// Whether the run given as the earlier one began after the other.
    backwards: bool,
    changes: Vec<Change>,
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<u8, Failure> {
    let difference = compare(&args.old_run, &args.new_run)?;
    print(&if args.json {
        json_text(&difference)
    } else {
        text(&difference)
    })?;
    Ok(if difference.changes.is_empty() {
        exit::DONE
    } else {
        exit::FINDINGS
    })
}

fn compare(old: &Path, new: &Path) -> Result<Difference, Failure> {
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
            "run {} asked {}, and run {} asked {}",
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
        old: old.header().run_id.clone(),
        new: new.header().run_id.clone(),
        compared: 0,
        not_compared: 0,
        changes: Vec::new(),
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
        let findings = now.iter().flat_map(|account| &account.findings);
        difference.not_judged += findings.filter(|finding| finding.carried).count();
        let (before, now) = (
            before.as_ref().map(AccountMemory::known),
            now.as_ref().map(AccountMemory::known),
        );
        difference.changes.extend(changes(before, now));
    }
    Ok(difference)
}

fn counts(difference: &Difference) -> BTreeMap<ChangeKind, usize> {
    difference
        .changes
        .iter()
        .fold(BTreeMap::new(), |mut counts, change| {
            *counts.entry(change.kind).or_default() += 1;
            counts
        })
}

fn text(difference: &Difference) -> String {
    let Difference { old, new, .. } = difference;
    let mut text = format!(
        "From {old} to {new}: {} compared",
        count(difference.compared, "account")
    );
    if difference.not_compared > 0 {
        let _ = write!(
            text,
            ", {} not compared (not read whole since {old}, or never before it)",
            difference.not_compared
        );
    }
    text.push('\n');
    for sentence in notes(difference) {
        let _ = writeln!(text, "{sentence}");
    }
    if difference.changes.is_empty() {
        text.push_str("Nothing changed in what was compared.\n");
        return text;
    }
    for (kind, number) in counts(difference) {
        let (one, several) = kind.labels();
        let label = if number == 1 { one } else { several };
        let _ = writeln!(text, "  {number} {label}");
    }
    let of_one_account = |a: &Change, b: &Change| a.account_id == b.account_id;
    for changes in difference.changes.chunk_by(of_one_account) {
        if let Some(Change {
            account_id,
            account_name,
            ..
        }) = changes.first()
        {
            let head = format!("{account_id}  {account_name}");
            let _ = writeln!(text, "\n{}", for_terminal(head.trim_end()));
        }
        let rows: Vec<_> = changes.iter().map(row).collect();
        text.push_str(&table(2, &rows));
    }
    text
}

fn row(change: &Change) -> [String; 3] {
    let subject = match (change.email_domain.as_str(), change.connector_id.as_str()) {
        ("", "") => "-",
        ("", connector) => connector,
        (domain, _) => domain,
    };
    let arrow = match (change.from.as_str(), change.to.as_str()) {
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
            "{} began after {}: the changes are told backwards.",
            difference.old, difference.new
        ));
    }
    if difference.policy_changed {
        notes.push("The two runs were judged by different policies.".to_owned());
    }
    if difference.not_judged > 0 {
        notes.push(format!(
            "{} could not be judged by {} (accounts not read or not asked for, rules turned off, DNS not looked up) and may be resolved or not.",
            count(difference.not_judged, "known finding"),
            difference.new
        ));
    }
    notes
}

fn json_text(difference: &Difference) -> String {
    let counts: BTreeMap<_, _> = counts(difference)
        .into_iter()
        .map(|(kind, number)| (kind.as_str(), number))
        .collect();
    super::json_text(&json!({
        "schema": "cf-sso-audit/diff/v1",
        "old_run": difference.old,
        "new_run": difference.new,
        "accounts_compared": difference.compared,
        "accounts_not_compared": difference.not_compared,
        "policy_changed": difference.policy_changed,
        "findings_not_judged": difference.not_judged,
        "counts": counts,
        "changes": difference.changes,
    }))
}
