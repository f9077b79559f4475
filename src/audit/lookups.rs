//! Looks up in DNS what the connectors of a run want to be there: each domain once, and other names only where the
//! record of a connector that is not verified does not be at its domain.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::collect::End;
use crate::dns::names::{elsewhere, is_host_name};
use crate::dns::record::{Claim, Lookup};
use crate::dns::resolver::needed;
use crate::dns::{Asker, Lookups, LookupsHeader, LookupsWriter};
use crate::evidence::{Evidence, EvidenceError};
use crate::file_mode::FileMode;
use crate::jsonl::FileError;
use crate::model::Connector;
use crate::text::{count, stable_hash};

/// How often whoever watches is told that time has passed.
const TICK: Duration = Duration::from_millis(200);

/// Is told how the looking up goes on.
pub trait LookupWatcher {
    /// A name was asked for.
    fn looked_up(&mut self, is_answered: bool);
    /// Some time has passed.
    fn tick(&mut self);
    /// Nothing more is asked.
    fn finish(&mut self);
}

/// Looks up what a run's connectors want to be in DNS, and writes what is answered to a file; what an interrupted run
/// has in it already is not asked again, where the same resolvers are asked. `concurrency` names are asked for at once.
///
/// # Errors
/// The evidence cannot be read, or the file cannot be written.
pub async fn look_up(
    evidence: &Evidence,
    asker: Asker,
    path: &Path,
    mode: FileMode,
    concurrency: usize,
    watcher: &mut dyn LookupWatcher,
    stop: impl Future<Output = ()>,
) -> Result<End, EvidenceError> {
    let header = LookupsHeader::new(&evidence.header().run_id, asker.options());
    let (writer, known) = begin(path, &header, mode)?;
    let answers = needed(asker.options().resolvers.len());
    let mut asking = Asking {
        asker: Arc::new(asker),
        known,
        writer,
        named: HashSet::new(),
        tasks: JoinSet::new(),
        concurrency,
        watcher,
        asked: 0,
        answered: 0,
    };
    let work = async {
        if header.nobody.is_none() {
            asking.ask_for_domains(evidence, answers).await?;
            let at_domains = Lookups::open(path)?;
            asking.ask_elsewhere(evidence, &at_domains).await?;
        }
        Ok(())
    };
    let ended: Result<End, EvidenceError> = tokio::select! {
        biased;
        () = stop => Ok(End::Interrupted),
        done = work => done.map(|()| End::Done),
    };
    asking.tell(header.nobody.as_deref());
    asking.watcher.finish();
    asking.writer.finish()?;
    ended
}

/// Begins the file, or continues with it, with what it has already.
fn begin(
    path: &Path,
    header: &LookupsHeader,
    mode: FileMode,
) -> Result<(LookupsWriter, Option<Lookups>), FileError> {
    if path.symlink_metadata().is_ok() {
        let writer = LookupsWriter::resume(path)?;
        match Lookups::open(path) {
            Ok(known) if known.header().asks_as(header) => return Ok((writer, Some(known))),
            // Others are asked now, or it is incomplete: nothing of it is needed.
            _ => drop(writer),
        }
        LookupsWriter::remove(path)?;
    }
    Ok((LookupsWriter::create(path, header, mode)?, None))
}

struct Asking<'w> {
    asker: Arc<Asker>,
    /// What was answered before an interruption.
    known: Option<Lookups>,
    writer: LookupsWriter,
    /// The names, by hash, that were asked for already.
    named: HashSet<u64>,
    tasks: JoinSet<Lookup>,
    concurrency: usize,
    watcher: &'w mut dyn LookupWatcher,
    asked: usize,
    answered: usize,
}

impl Asking<'_> {
    async fn ask_for_domains(
        &mut self,
        evidence: &Evidence,
        answers: usize,
    ) -> Result<(), EvidenceError> {
        let mut line = Vec::new();
        for position in 0..evidence.header().accounts.len() {
            let account = evidence.account(position, &mut line)?;
            for domain in account
                .connectors
                .iter()
                .filter_map(Connector::canonical_domain)
            {
                if is_host_name(&domain) {
                    self.ask(&domain, answers).await?;
                }
            }
        }
        self.drain(0).await
    }

    /// One resolver that has seen the record is enough: nobody is blamed by it.
    async fn ask_elsewhere(
        &mut self,
        evidence: &Evidence,
        at_domains: &Lookups,
    ) -> Result<(), EvidenceError> {
        let mut line = Vec::new();
        for position in 0..evidence.header().accounts.len() {
            let account = evidence.account(position, &mut line)?;
            for Claim { domain, .. } in wanted(&account.connectors, at_domains)? {
                for name in elsewhere(&domain) {
                    self.ask(&name, 1).await?;
                }
            }
        }
        self.drain(0).await
    }

    async fn ask(&mut self, name: &str, answers: usize) -> Result<(), EvidenceError> {
        let is_known = |known: &Lookups| known.has_answer(name);
        if !self.named.insert(stable_hash(name.as_bytes()))
            || self.known.as_ref().is_some_and(is_known)
        {
            return Ok(());
        }
        self.drain(self.concurrency - 1).await?;
        let (asker, name) = (Arc::clone(&self.asker), name.to_owned());
        self.tasks
            .spawn(async move { asker.look_up(&name, answers).await });
        Ok(())
    }

    /// Waits until no more than so many names are being asked for.
    async fn drain(&mut self, left: usize) -> Result<(), EvidenceError> {
        let mut ticks = tokio::time::interval(TICK);
        while self.tasks.len() > left {
            tokio::select! {
                biased;
                joined = self.tasks.join_next() => {
                    match joined {
                        Some(Ok(lookup)) => self.keep(&lookup)?,
                        // The name has no line then, and its connectors say so.
                        Some(Err(error)) => tracing::error!("a lookup ended unexpectedly ({error}); this is a bug of this program"),
                        None => break,
                    }
                }
                _ = ticks.tick() => self.watcher.tick(),
            }
        }
        Ok(())
    }

    fn keep(&mut self, lookup: &Lookup) -> Result<(), FileError> {
        let is_answered = lookup.is_answered();
        self.asked += 1;
        self.answered += usize::from(lookup.has_an_answer());
        self.watcher.looked_up(is_answered);
        self.writer.append(lookup)
    }

    /// Says where nothing was to be learnt.
    fn tell(&self, nobody: Option<&str>) {
        if let Some(nobody) = nobody {
            tracing::warn!("DNS was not checked: {nobody}");
        } else if self.asked > 0 && self.answered == 0 {
            tracing::warn!(
                "no resolver answered for any of {}: the state of DNS is unknown, which says nothing about the domains",
                count(self.asked, "name")
            );
        }
    }
}

/// The claims of connectors whose records may stand elsewhere.
fn wanted<'c>(
    connectors: &'c [Connector],
    at_domains: &Lookups,
) -> Result<Vec<Claim<'c>>, FileError> {
    let mut line = Vec::new();
    let mut wanted = Vec::new();
    for claim in connectors.iter().filter_map(Connector::claim) {
        if is_host_name(&claim.domain) && at_domains.wants_elsewhere(&claim, &mut line)? {
            wanted.push(claim);
        }
    }
    Ok(wanted)
}
