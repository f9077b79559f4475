//! `--split-by owner`: beside the whole report one for each owner, with nothing in it of others. The accounts are judged
//! as in the whole one, so that a finding has the same id, age and severity in both; of an account of another owner that
//! shares a domain it is said that there is one, and no more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::{fs, io};

use super::files::Staging;
use super::pipeline::{Scope, Source};
use super::{About, ReportError, Settings, Summary, files_of_report, make_of, report_files};
use crate::accounts::AskedAccount;
use crate::assess::Assessor;
use crate::baseline::History;
use crate::evidence::{Evidence, RunHeader};
use crate::ledger::{FILE_NAME, Ledger, PassedOver, TrendPoint};
use crate::merged::Merged;
use crate::policy::Policy;
use crate::runs::{BY_OWNER, SUMS, check_sums, not_made_by_a_run, remove_report};
use crate::text::{on_one_line, sha256_hex};

/// The folder in a run's directory that holds one for each owner.
pub const FOLDER: &str = BY_OWNER;

/// What is in place of what may name accounts of others.
const WITHHELD: &str = "see the main report for the reason";
const WITHHELD_GAPS: &str =
    "the list of accounts is incomplete: see the main report for what is missing";

/// How a run was split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Owners with a folder.
    pub owners: usize,
    /// Accounts that were asked for and have no owner: the whole report alone has them.
    pub without_owner: usize,
}

/// Writes a report for each owner into a folder of its own, beside the whole one.
///
/// # Errors
/// Evidence or baseline cannot be read, a file cannot be written, or one is in its place that no run made.
pub fn write(
    directory: &Path,
    evidence: &Evidence,
    header: &RunHeader,
    history: &History,
    settings: &Settings<'_>,
) -> Result<Split, ReportError> {
    let write_error = |source| ReportError::Write {
        path: directory.join(FOLDER),
        source,
    };
    let mut scopes = scopes(header, history, settings.policy);
    let without_owner = scopes.remove("").map_or(0, |scope| scope.positions.len());
    let split = Split {
        owners: scopes.len(),
        without_owner,
    };
    let folders: BTreeSet<_> = scopes.keys().map(|owner| folder_name(owner)).collect();
    remove_stale(directory, &folders);
    if scopes.is_empty() {
        return Ok(split);
    }
    make_folder(&directory.join(FOLDER), settings).map_err(write_error)?;
    let shared_domains = evidence.index().shared_domains();
    let elsewhere = history.elsewhere(evidence, shared_domains)?;
    let is_whole = evidence.is_whole();
    // Every account in its place, and those of others without a word about them.
    let mut withheld = RunHeader {
        accounts: vec![AskedAccount::default(); header.accounts.len()],
        ..header.clone()
    };
    for (owner, scope) in &scopes {
        let folder = folder_name(owner);
        let place = directory.join(FOLDER).join(&folder);
        make_folder(&place, settings).map_err(write_error)?;
        check_place(&place, settings).map_err(write_error)?;
        for &position in &scope.positions {
            withheld.accounts[position].clone_from(&header.accounts[position]);
        }
        let policy = policy_for(settings.policy, owner, scope, header);
        let mut ledger = settings.ledger.clone();
        withhold_causes(&mut ledger.passed_over);
        let settings = Settings {
            policy: &policy,
            ledger: &ledger,
            ..*settings
        };
        let assessor = Assessor {
            header: &withheld,
            policy: &policy,
            shared_domains,
            elsewhere: &elsewhere,
            now: settings.now,
            compares: history.compared().is_some(),
        };
        let source = Source {
            evidence,
            assessor: &assessor,
            history,
            context: settings.context(header, is_whole),
            scope,
        };
        let shown = header_for(header, scope);
        let about = About {
            header: &shown,
            trend: trend_before(history, &folder),
        };
        let names: Vec<_> = report_files().chain([FILE_NAME, SUMS]).collect();
        let staging = Staging::new(&place, settings.mode, &names).map_err(write_error)?;
        let made = make_of(&staging, &source, about, &settings, withhold, &write_error).map(drop);
        let written = made.and_then(|()| staging.publish(report_files()).map_err(write_error));
        if let Err(error) = written {
            staging.discard();
            return Err(error);
        }
        for &position in &scope.positions {
            withheld.accounts[position] = AskedAccount::default();
        }
    }
    Ok(split)
}

/// Removes the reports of an earlier rendering for owners who have none now: what they say is no longer so. What is not known to
/// be theirs stays, and so does what cannot be removed.
pub fn remove_stale(directory: &Path, kept: &BTreeSet<String>) {
    let place = directory.join(FOLDER);
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|there| there.is_dir());
    if !is_folder(&place) {
        return;
    }
    let entries = fs::read_dir(&place).into_iter().flatten().flatten();
    let mut stale: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| is_folder(path))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_none_or(|name| !kept.contains(name))
        })
        .collect();
    stale.sort();
    for report in stale {
        match remove_report(&report) {
            Ok(()) => tracing::warn!(
                "removed {}, an owner's report that this rendering does not write",
                report.display()
            ),
            Err(cause) => tracing::warn!(
                "{} is left of an earlier rendering and may be out of date: {cause}",
                report.display()
            ),
        }
    }
    // Where something is left in it, it stays.
    if kept.is_empty() {
        let _ = fs::remove_dir(&place);
    }
}

/// The accounts of each owner; those of nobody by the empty name.
fn scopes(header: &RunHeader, history: &History, policy: &Policy) -> BTreeMap<String, Scope> {
    let mut scopes: BTreeMap<String, Scope> = BTreeMap::new();
    for (position, account) in header.accounts.iter().enumerate() {
        let owner = owner_of(policy, &account.id, &account.owner);
        let scope = scopes.entry(owner.to_owned()).or_default();
        scope.positions.push(position);
    }
    // Of an account that this run was not asked for, the earlier one knows who answered for it.
    let known = history.remembered().map(|run| &run.header().accounts);
    let owners: HashMap<&str, &str> = known
        .into_iter()
        .flatten()
        .map(|account| (account.id.as_str(), account.owner.as_str()))
        .collect();
    for id in Scope::whole(header, history).not_asked {
        let named = owners.get(id.as_str()).copied().unwrap_or_default();
        let owner = owner_of(policy, &id, named).to_owned();
        // An owner of whom nothing was asked has no report tonight.
        if let Some(scope) = scopes.get_mut(&owner) {
            scope.not_asked.push(id);
        }
    }
    scopes
}

/// Who answers for an account: the policy's word, else the accounts file's.
fn owner_of<'a>(policy: &'a Policy, id: &str, named: &'a str) -> &'a str {
    let expected = policy.account(id).map(|expected| expected.owner.as_str());
    expected.filter(|owner| !owner.is_empty()).unwrap_or(named)
}

/// What the policy says of one owner's accounts, and of every account.
fn policy_for(policy: &Policy, owner: &str, scope: &Scope, header: &RunHeader) -> Policy {
    let asked = scope.positions.iter();
    let asked = asked.map(|&position| header.accounts[position].id.as_str());
    let own: HashSet<&str> = asked
        .chain(scope.not_asked.iter().map(String::as_str))
        .collect();
    let is_own = |id: &str| own.contains(id) || owner_of(policy, id, "") == owner;
    let accounts = policy.accounts.iter().filter(|(id, _)| is_own(id));
    let waivers = policy.waivers.iter();
    Policy {
        accounts: accounts.map(|(id, of)| (id.clone(), of.clone())).collect(),
        waivers: waivers
            .filter(|waiver| waiver.account.as_deref().is_none_or(is_own))
            .cloned()
            .collect(),
        remediations: policy
            .remediations
            .only(|remediation| remediation.account.as_deref().is_none_or(is_own)),
        // They are about the whole, and may name anybody.
        attestations: Vec::new(),
        source: policy.source.clone(),
        rules: policy.rules.clone(),
        ..*policy
    }
}

/// The run as it was for one owner.
fn header_for(header: &RunHeader, scope: &Scope) -> RunHeader {
    let positions = scope.positions.iter();
    let accounts: Vec<_> = positions
        .map(|&position| header.accounts[position].clone())
        .collect();
    let mut shown = RunHeader {
        accounts,
        gaps: Vec::new(),
        organizations: Vec::new(),
        // They count the accounts of others, or name them.
        share: None,
        merged: header.merged.as_ref().map(Merged::without_others),
        ..header.clone()
    };
    if !header.all_gaps().is_empty() {
        shown.gaps.push(WITHHELD_GAPS.to_owned());
    }
    for (number, source) in shown.sources.iter_mut().enumerate() {
        let named_by = |account: &&AskedAccount| account.sources.contains(&(number as u32));
        source.accounts = shown.accounts.iter().filter(named_by).count();
    }
    shown.sources.retain(|source| source.accounts > 0);
    // The positions of sources are others now.
    for account in &mut shown.accounts {
        account.sources.clear();
    }
    shown
}

/// Takes out of what holds for all accounts what may name those of others.
fn withhold(summary: &mut Summary<'_>) {
    withhold_causes(&mut summary.passed_over);
    // One for a single domain, whoever has it, names that domain.
    summary.waivers.retain(|used| {
        let waiver = used.waiver;
        waiver.account.is_some() || waiver.domain.is_none() || used.matched > 0
    });
    // So does a remediation, and it names who answers for it.
    summary
        .remediations
        .retain(|used| used.remediation.account.is_some() || used.open + used.not_judged > 0);
}

fn withhold_causes(passed_over: &mut [PassedOver]) {
    for run in passed_over {
        WITHHELD.clone_into(&mut run.cause);
    }
}

/// The figures of the owner's reports before, as the ledger in the folder of the run that is carried on has them.
fn trend_before(history: &History, folder: &str) -> Vec<TrendPoint> {
    let Some(run) = history.remembered() else {
        return Vec::new();
    };
    let place = run.directory().join(FOLDER).join(folder);
    let path = place.join(FILE_NAME);
    if !path.exists() {
        return Vec::new();
    }
    let read = || -> Result<Vec<TrendPoint>, String> {
        let ledger = Ledger::open(&path).map_err(|error| error.to_string())?;
        check_sums(&place, &[(FILE_NAME, ledger.sha256())]).map_err(|error| error.to_string())?;
        Ok(ledger.trend().to_vec())
    };
    read().unwrap_or_else(|cause| {
        tracing::warn!("the trend of {folder} starts over: {cause}");
        Vec::new()
    })
}

/// Makes a folder, or finds it there. A link to another one is refused: what is in that is not this run's.
fn make_folder(path: &Path, settings: &Settings<'_>) -> io::Result<()> {
    let is_there = |path: &Path| path.symlink_metadata().is_ok_and(|there| there.is_dir());
    match settings.mode.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_there(path) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(io::Error::other(
            format!("{} is not a folder: move it away", path.display()),
        )),
        made => made,
    }
}

/// Refuses to overwrite what no run made.
fn check_place(place: &Path, settings: &Settings<'_>) -> io::Result<()> {
    let others = not_made_by_a_run(place, files_of_report(settings.formats))?;
    if others.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} contains files that no run wrote, or that have changed since: {}; move them away",
        place.display(),
        others.join(", ")
    )))
}

/// The longest part of an owner's name that is in the name of the folder, in characters.
const LONGEST_NAME: usize = 40;
/// How many digits of the hash stand behind a name that is not its own folder's.
const HASH: usize = 16;

/// The name of an owner's folder: the same in each run, another one for each owner, and one that every file system takes.
pub fn folder_name(owner: &str) -> String {
    let is_safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let safe = owner.len() <= LONGEST_NAME
        && owner.chars().all(is_safe)
        && owner.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !owner.ends_with('.')
        && !is_reserved(owner)
        && !ends_with_hash(owner);
    if safe {
        return owner.to_owned();
    }
    let lower = on_one_line(owner).to_lowercase();
    let replaced = lower
        .chars()
        .map(|c| if is_safe(c) && c != '.' { c } else { '-' });
    let name: String = replaced.take(LONGEST_NAME).collect();
    let name = name.trim_matches('-');
    let hash = sha256_hex(owner.as_bytes());
    let hash = &hash[..HASH];
    match name {
        "" => format!("owner-{hash}"),
        name => format!("{name}-{hash}"),
    }
}

/// Whether Windows takes a name for that of a device.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let numbered = |device: &str| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|number| number.len() == 1 && number.as_bytes()[0].is_ascii_digit())
    };
    ["con", "prn", "aux", "nul"].contains(&stem) || numbered("com") || numbered("lpt")
}

/// Whether a name looks like one that was given a hash.
fn ends_with_hash(name: &str) -> bool {
    let hash = name.rsplit_once('-').map(|(_, hash)| hash);
    hash.is_some_and(|hash| hash.len() == HASH && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_safely_and_each_owner_has_its_own() {
        assert_eq!(folder_name("gov-platform"), "gov-platform");
        assert_eq!(folder_name("j.doe"), "j.doe");
        let owners = [
            "Ops",
            "ops",
            "OPS",
            "o ps",
            "o/ps",
            "../..",
            "..",
            ".",
            "con",
            "con.d",
            "com1",
            "a.",
            "-a",
            "\u{e4}",
            "\u{202e}",
            "a\nb",
            "a:b",
            "ops-0123456789abcdef",
        ];
        let folders: HashSet<_> = owners.iter().map(|owner| folder_name(owner)).collect();
        assert_eq!(folders.len(), owners.len());
        // One that spells the folder of another has another folder.
        for owner in owners {
            let folder = folder_name(owner);
            assert!(folder == owner || folder_name(&folder) != folder, "{owner}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_owner_has_a_folder_that_leads_nowhere_else(owner in ".{1,300}") {
            let folder = folder_name(&owner);
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            proptest::prop_assert!(folder.chars().all(is_plain) && folder.len() <= LONGEST_NAME + 1 + HASH);
            proptest::prop_assert!(!folder.starts_with('.') && !folder.ends_with('.') && !folder.is_empty());
            proptest::prop_assert!(!is_reserved(&folder));
        }
    }
}
