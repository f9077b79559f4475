//! Which run's answer is taken of each account, and in which order the accounts stand.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::error::MergeError;
use super::sources::Sources;
use crate::accounts::{AccountList, AskedAccount};
use crate::baseline::History;
use crate::dns::{Lookups, lookups};
use crate::evidence::{
    self, AccountEvidence, Evidence, EvidenceError, EvidenceWriter, Limits, RunHeader,
};
use crate::file_mode::FileMode;
use crate::merged::{Merged, MergedRun, SomeAccounts};
use crate::model::sort_connectors;
use crate::organizations::Organization;
use crate::outcome::Outcome;
use crate::region::Region;
use crate::runs::{ApiAsked, is_unfinished};
use crate::shard::{OUTSIDE, Share};

/// A run to be merged with others.
#[derive(Debug)]
pub struct Part {
    directory: PathBuf,
    evidence: Evidence,
}

impl Part {
    /// Opens a whole run's evidence, and what was looked up in DNS beside it.
    ///
    /// # Errors
    /// The run is incomplete, or its evidence cannot be read or is damaged.
    pub fn open(directory: &Path) -> Result<Self, MergeError> {
        // A link such as `latest` is beside the runs that it points to.
        let place = directory.canonicalize();
        let place = place.unwrap_or_else(|_| directory.to_owned());
        if is_unfinished(&place) {
            return Err(MergeError::Unfinished { run: place });
        }
        let path = place.join(evidence::FILE_NAME);
        let mut evidence = Evidence::locate(&path).map_err(MergeError::Unreadable)?;
        let lookups = path.with_file_name(lookups::FILE_NAME);
        if lookups.symlink_metadata().is_ok() {
            evidence
                .add_lookups(&lookups)
                .map_err(MergeError::Unreadable)?;
        }
        Ok(Self {
            directory: place,
            evidence,
        })
    }

    /// Where it stands.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What was seen.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    fn header(&self) -> &RunHeader {
        self.evidence.header()
    }
}

/// An account of a run.
#[derive(Debug, Clone, Copy)]
struct Answer {
    /// Which of the runs.
    part: usize,
    /// The account's position in it.
    position: usize,
}

/// How several runs become one.
#[derive(Debug)]
pub struct Plan {
    /// The merged run, but for what the folder gives it.
    header: RunHeader,
    /// Of each account, the answer that is taken.
    answers: Vec<Answer>,
}

impl Plan {
    /// Finds out in which order the accounts stand, which answers are taken, and what is missing.
    ///
    /// # Errors
    /// The runs cannot be one: they asked different APIs, or are of different sets of shards. Or an answer that has to
    /// be compared with another cannot be read.
    pub fn of(parts: &[Part]) -> Result<Self, MergeError> {
        let [first, ..] = parts else {
            return Err(MergeError::Nothing);
        };
        refuse_other_apis(parts)?;
        let shares = shares(parts);
        refuse_other_shards(parts, &shares)?;
        let mut sources = Sources::default();
        let groups: Vec<_> = groups(&shares).collect();
        let of_sources: Vec<_> = groups
            .iter()
            .zip(parts)
            .map(|(group, part)| sources.add(*group, &part.header().sources))
            .collect();
        let mut accounts = AccountList::default();
        let mut choice = Choice::new(parts);
        let mut places = Vec::new();
        for (place, answer) in in_order(&groups, parts, &shares) {
            let asked = &parts[answer.part].header().accounts[answer.position];
            let named_by = asked.sources.iter().filter_map(|&source| {
                let of_part = &of_sources[answer.part];
                of_part.get(source as usize).copied()
            });
            let position = accounts.add(AskedAccount {
                sources: named_by.collect(),
                ..asked.clone()
            });
            if position == choice.answers.len() {
                places.push(place);
            }
            choice.offer(position, answer)?;
        }
        let accounts = accounts.into_accounts();
        let (answers, in_several, differing) = choice.finish(&accounts);
        let merged = merged(parts, in_several, differing);
        let headers = || parts.iter().map(Part::header);
        let header = RunHeader {
            schema: evidence::SCHEMA.to_owned(),
            run_id: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: headers()
                .map(|header| header.started)
                .min()
                .unwrap_or_default(),
            base_url: first.header().base_url.clone(),
            demo: first.header().demo,
            begun_after: None,
            sources: sources.finish(&accounts),
            gaps: distinct(headers().flat_map(|header| header.gaps.iter().cloned())),
            organizations: organizations(headers()),
            share: share(&shares, places),
            merged: Some(merged),
            limits: limits(headers()),
            accounts,
        };
        Ok(Self { header, answers })
    }

    /// When the first of the runs began.
    pub fn started(&self) -> DateTime<Utc> {
        self.header.started
    }

    /// The merged run, but for what the folder gives it.
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    /// Gives the run its name, and what the newest run of its folder was when it was begun.
    #[must_use]
    pub fn named(mut self, run_id: &str, history: &History) -> Self {
        self.header.run_id = run_id.to_owned();
        self.header.begun_after = Some(history.sequence);
        self
    }

    /// Writes the joined evidence into a directory, account by account.
    ///
    /// # Errors
    /// A run's evidence cannot be read any more, the joined one cannot be written, or the history has newer answers.
    pub fn write(
        self,
        parts: &[Part],
        directory: &Path,
        history: &History,
        mode: FileMode,
    ) -> Result<Evidence, MergeError> {
        let run_id = self.header.run_id.clone();
        let path = directory.join(evidence::FILE_NAME);
        let mut writer = EvidenceWriter::create(&path, self.header, mode)?;
        let mut room = Vec::new();
        let mut newer = Newer::default();
        for (position, answer) in self.answers.iter().enumerate() {
            let from = &parts[answer.part].evidence;
            if let Some(seen) = writer.copy(position, from, answer.position, &mut room)? {
                newer.look(history, &writer.header().accounts[position].id, &seen);
            }
        }
        newer.refuse(history)?;
        let mut evidence = writer.finish()?;
        let looked_up: Vec<_> = parts
            .iter()
            .filter_map(|part| part.evidence.lookups())
            .collect();
        if !looked_up.is_empty() {
            let path = directory.join(lookups::FILE_NAME);
            Lookups::join(&path, &run_id, &looked_up, mode)?;
            evidence.add_lookups(&path)?;
        }
        Ok(evidence)
    }
}

/// Accounts of which the history knows newer answers. By the clocks of those who read them: no run of the folder says
/// when, relative to it, the merged ones were read.
#[derive(Default)]
struct Newer {
    accounts: usize,
    first: Option<String>,
}

impl Newer {
    fn look(&mut self, history: &History, id: &str, seen: &AccountEvidence) {
        let known = history.remembered().and_then(|run| run.read_at(id));
        if let (Some(known), Some(read_at)) = (known, seen.read_at)
            && known > read_at
        {
            self.accounts += 1;
            self.first.get_or_insert_with(|| id.to_owned());
        }
    }

    fn refuse(self, history: &History) -> Result<(), MergeError> {
        match (self.first, history.remembered()) {
            (Some(first), Some(run)) => Err(MergeError::Overtaken {
                run_id: run.header().run_id.clone(),
                accounts: self.accounts,
                first,
            }),
            _ => Ok(()),
        }
    }
}

fn refuse_other_apis(parts: &[Part]) -> Result<(), MergeError> {
    let [first, rest @ ..] = parts else {
        return Ok(());
    };
    let api = ApiAsked::by(first.header());
    match rest.iter().find(|part| !api.is_that_of(part.header())) {
        None => Ok(()),
        Some(other) => Err(MergeError::OtherApi {
            one: Box::new((first.directory.clone(), api_in_words(first.header()))),
            other: Box::new((other.directory.clone(), api_in_words(other.header()))),
        }),
    }
}

fn api_in_words(header: &RunHeader) -> String {
    match Region::at(&header.base_url) {
        Some(region) => format!("{} ({})", header.base_url, region.title()),
        None if header.demo => "the demo's API".to_owned(),
        None => header.base_url.clone(),
    }
}

/// What each of the runs has of a set of shards. A run that has all of a set is one like any other, unless shards of
/// that set are to replace some of its answers.
fn shares(parts: &[Part]) -> Vec<Option<&Share>> {
    let alone = parts.iter().filter_map(|part| part.header().shards_alone());
    let of_some: HashSet<u32> = alone.map(|share| share.of).collect();
    let counts = |share: &&Share| of_some.contains(&share.of);
    parts
        .iter()
        .map(|part| part.header().share.as_ref().filter(counts))
        .collect()
}

fn refuse_other_shards(parts: &[Part], shares: &[Option<&Share>]) -> Result<(), MergeError> {
    let mut sharded = parts
        .iter()
        .zip(shares)
        .filter_map(|(part, share)| Some((&part.directory, (*share)?.of)));
    let Some((one, of)) = sharded.next() else {
        return Ok(());
    };
    match sharded.find(|(_, other)| *other != of) {
        None => Ok(()),
        Some((other, others)) => Err(MergeError::OtherShards {
            one: Box::new((one.clone(), of)),
            other: Box::new((other.clone(), others)),
        }),
    }
}

/// The group of each run: the shards come first, as one run; every other run is its own, in the order given.
fn groups(shares: &[Option<&Share>]) -> impl Iterator<Item = usize> {
    shares
        .iter()
        .enumerate()
        .map(|(number, share)| match share {
            Some(_) => 0,
            None => 1 + number,
        })
}

/// Every account of every run with its place in the list that the shards divided, in the order in which one run over all
/// would have had them.
fn in_order(groups: &[usize], parts: &[Part], shares: &[Option<&Share>]) -> Vec<(u32, Answer)> {
    let mut ordered = Vec::new();
    for (part, run) in parts.iter().enumerate() {
        let places = shares[part].map(|share| share.places.as_slice());
        for position in 0..run.header().accounts.len() {
            let place = places.map_or(OUTSIDE, |places| places[position]);
            ordered.push((place, Answer { part, position }));
        }
    }
    ordered.sort_unstable_by_key(|(place, Answer { part, position })| {
        (groups[*part], *place, *part, *position)
    });
    ordered
}

/// Which answer is taken of each account.
struct Choice<'p> {
    parts: &'p [Part],
    /// By the accounts' positions.
    answers: Vec<Answer>,
    /// The positions of accounts that several runs have.
    in_several: HashSet<usize>,
    /// Those of accounts that several runs read in full, and differently.
    differing: HashSet<usize>,
    rooms: [Vec<u8>; 2],
}

impl<'p> Choice<'p> {
    fn new(parts: &'p [Part]) -> Self {
        Self {
            parts,
            answers: Vec::new(),
            in_several: HashSet::new(),
            differing: HashSet::new(),
            rooms: [Vec::new(), Vec::new()],
        }
    }

    /// Takes an answer where there is none yet, or where it is better: more complete, or as complete and newer.
    fn offer(&mut self, position: usize, answer: Answer) -> Result<(), EvidenceError> {
        let Some(&taken) = self.answers.get(position) else {
            self.answers.push(answer);
            return Ok(());
        };
        self.in_several.insert(position);
        let parts = self.parts;
        let outcome = |of: Answer| parts[of.part].evidence.index().outcome(of.position);
        let rooms = &mut self.rooms;
        let mut read = |of: Answer, room: usize| {
            parts[of.part]
                .evidence
                .answered(of.position, &mut rooms[room])
        };
        let (before, now) = (read(taken, 0)?, read(answer, 1)?);
        let how_good =
            |of: Answer, seen: &AccountEvidence| (completeness(outcome(of)), seen.read_at);
        if how_good(answer, &now) > how_good(taken, &before) {
            self.answers[position] = answer;
        }
        let is_read = |seen: &AccountEvidence| seen.outcome == Outcome::Read;
        if is_read(&before) && is_read(&now) && differ(before, now) {
            self.differing.insert(position);
        }
        Ok(())
    }

    fn finish(self, accounts: &[AskedAccount]) -> (Vec<Answer>, SomeAccounts, SomeAccounts) {
        let named = |positions: &HashSet<usize>| {
            let mut some = SomeAccounts::default();
            let ordered: BTreeSet<_> = positions.iter().copied().collect();
            for position in ordered {
                some.add(&accounts[position].id);
            }
            some
        };
        let (in_several, differing) = (named(&self.in_several), named(&self.differing));
        (self.answers, in_several, differing)
    }
}

/// How complete an answer is, the more the better; an account that was not reached has none.
fn completeness(outcome: Option<Outcome>) -> u8 {
    match outcome {
        Some(Outcome::Read) => 3,
        Some(Outcome::Incomplete) => 2,
        Some(Outcome::Unread) => 1,
        None => 0,
    }
}

/// Whether two answers say different things, whatever their order.
fn differ(mut one: AccountEvidence, mut other: AccountEvidence) -> bool {
    sort_connectors(&mut one.connectors);
    sort_connectors(&mut other.connectors);
    one.connectors != other.connectors
}

fn merged(parts: &[Part], in_several: SomeAccounts, differing: SomeAccounts) -> Merged {
    let runs = parts.iter().map(|part| {
        let header = part.header();
        MergedRun {
            run_id: header.run_id.clone(),
            version: header.version.clone(),
            started: header.started,
            accounts: header.accounts.len(),
            evidence_sha256: part.evidence.sha256(),
            shard: header.shards_alone().map(Share::words),
        }
    });
    let mut merged = Merged {
        runs: runs.collect(),
        in_several,
        differing,
        started: started(parts),
    };
    // What was said of a run that was merged itself still holds.
    for before in parts
        .iter()
        .filter_map(|part| part.header().merged.as_ref())
    {
        merged.in_several.join(&before.in_several);
        merged.differing.join(&before.differing);
    }
    merged
}

/// When the first and the last of all runs began, also of those that were merged before.
fn started(parts: &[Part]) -> (DateTime<Utc>, DateTime<Utc>) {
    let of = |part: &Part| {
        let header = part.header();
        match &header.merged {
            Some(before) => before.started,
            None => (header.started, header.started),
        }
    };
    let first = parts.iter().map(|part| of(part).0).min();
    let last = parts.iter().map(|part| of(part).1).max();
    (first.unwrap_or_default(), last.unwrap_or_default())
}

/// The shards that the merged run has; `None` where none of the runs is one.
fn share(shares: &[Option<&Share>], places: Vec<u32>) -> Option<Share> {
    let shares = || shares.iter().flatten();
    let of = shares().next()?.of;
    let shards: BTreeSet<_> = shares().flat_map(|share| &share.shards).copied().collect();
    let lists: BTreeSet<_> = shares().flat_map(|share| &share.lists).cloned().collect();
    Some(Share {
        of,
        shards: shards.into_iter().collect(),
        lists: lists.into_iter().collect(),
        places,
    })
}

/// Each once, in the order in which they are first met.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

/// Each organization once, with what any of the runs could not list of it.
fn organizations<'h>(headers: impl Iterator<Item = &'h RunHeader>) -> Vec<Organization> {
    let mut organizations: Vec<Organization> = Vec::new();
    let mut positions = HashMap::new();
    for organization in headers.flat_map(|header| &header.organizations) {
        let position = *positions
            .entry(organization.id.as_str())
            .or_insert(organizations.len());
        let Some(there) = organizations.get_mut(position) else {
            organizations.push(organization.clone());
            continue;
        };
        there.accounts = there.accounts.max(organization.accounts);
        if there.name.is_empty() {
            there.name.clone_from(&organization.name);
        }
        for problem in &organization.problems {
            if !there.problems.contains(problem) {
                there.problems.push(problem.clone());
            }
        }
    }
    organizations
}

/// Within which all of the runs kept.
fn limits<'h>(headers: impl Iterator<Item = &'h RunHeader>) -> Limits {
    let mut widest = Limits {
        concurrency: 0,
        rate: String::new(),
        timeout_seconds: 0.0,
        retries: 0,
    };
    let mut rates = Vec::new();
    for header in headers {
        let limits = &header.limits;
        widest.concurrency = widest.concurrency.max(limits.concurrency);
        widest.timeout_seconds = widest.timeout_seconds.max(limits.timeout_seconds);
        widest.retries = widest.retries.max(limits.retries);
        rates.push(limits.rate.clone());
    }
    widest.rate = distinct(rates.into_iter()).join(", ");
    widest
}
