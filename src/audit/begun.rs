//! An audit that has a directory, and evidence in it.

use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::error::AuditError;
use super::overtaken::Newer;
use super::place::Place;
use crate::api::{Api, Lane};
use crate::collect::{End, Observer, collect};
use crate::evidence::{Evidence, EvidenceError, EvidenceWriter};
use crate::runs::{FolderLock, RunDirectory};
use crate::text::count;
use crate::tokens::Tokens;

/// A run that has begun. What is read is written at once.
#[derive(Debug)]
pub struct Begun {
    directory: RunDirectory,
    writer: EvidenceWriter,
}

/// A run that has the lane of each of its accounts.
#[derive(Debug)]
pub struct Ready {
    directory: RunDirectory,
    writer: EvidenceWriter,
    /// By the accounts' positions.
    lanes: Vec<Arc<Lane>>,
}

/// Is told how the reading goes on.
pub trait Watcher: Observer {
    /// So many accounts are asked once more.
    fn again(&mut self, accounts: usize);
    /// Nothing more is read.
    fn finish(&mut self);
}

/// How the reading ended.
#[derive(Debug)]
pub enum Collected {
    /// It was asked to stop; what was read is kept.
    Interrupted {
        /// The run.
        directory: RunDirectory,
        /// Whether another run was completed meanwhile, so that this one cannot be resumed.
        is_overtaken: bool,
    },
    /// Every account has its line.
    Whole {
        /// The run.
        directory: RunDirectory,
        /// What was read.
        evidence: Box<Evidence>,
        /// As long as it is held, no other run of the folder is completed.
        lock: FolderLock,
    },
}

impl Begun {
    pub(super) fn new(directory: RunDirectory, writer: EvidenceWriter) -> Self {
        Self { directory, writer }
    }

    /// Finds the lane of each account. What their tokens are is kept out of everything that is answered.
    ///
    /// # Errors
    /// A token cannot be had.
    pub async fn ready(self, api: &Api, tokens: &mut Tokens) -> Result<Ready, AuditError> {
        let accounts = &self.writer.header().accounts;
        // An account that will not be asked needs no token.
        let default = accounts
            .iter()
            .find(|account| account.is_valid())
            .map(|account| account.token_env.clone())
            .unwrap_or_default();
        let mut lanes = Vec::with_capacity(accounts.len());
        for account in accounts {
            let variable = match account.is_valid() {
                true => &account.token_env,
                false => &default,
            };
            lanes.push(tokens.lane(variable).await?);
        }
        for lane in tokens.lanes() {
            api.gate().keep_secret(&lane);
        }
        Ok(Ready {
            directory: self.directory,
            writer: self.writer,
            lanes,
        })
    }
}

impl Ready {
    /// How many accounts there are.
    pub fn total(&self) -> usize {
        self.writer.header().accounts.len()
    }

    /// How many of them are read already.
    pub fn done(&self) -> usize {
        let is_read = |position: &usize| self.writer.is_read(*position);
        (0..self.total()).filter(is_read).count()
    }

    /// Counts what was sent before an interruption, so that both together stay within the limit. What cannot be known is
    /// taken as sent at the last moment that is: requests that were in progress, and those that listed the accounts.
    ///
    /// # Errors
    /// The evidence does not say when it was written.
    pub fn recall_requests(&self, api: &Api, tokens: &Tokens) -> Result<(), AuditError> {
        /// Accounts that a page of a list has at least.
        const PAGE: usize = 50;
        let options = api.gate().options();
        let (requests, written) = self
            .writer
            .requests()
            .map_err(AuditError::RequestsUnknown)?;
        let since_written = SystemTime::now()
            .duration_since(written)
            .unwrap_or_default();
        let ago = |at: DateTime<Utc>| {
            let clock_stands = options.clock.is_fixed();
            let elapsed = (Utc::now() - at).to_std().unwrap_or_default();
            if clock_stands { since_written } else { elapsed }
        };
        for request in requests {
            let times = std::iter::repeat_n(ago(request.at), request.count as usize);
            self.lanes[request.position].recall(times);
        }
        let header = self.writer.header();
        let lists = header.sources.iter().filter(|source| source.is_listed());
        let pages: usize = lists.map(|source| source.accounts / PAGE + 2).sum();
        // Each organization has two lists.
        let pages = pages + 2 * header.organizations.len();
        for lane in tokens.lanes() {
            lane.recall(std::iter::repeat_n(
                since_written,
                options.concurrency + pages,
            ));
        }
        Ok(())
    }

    /// Reads every account that is not read yet, and again what another run has read since; then no other run of the
    /// folder is completed before this one.
    ///
    /// # Errors
    /// The evidence cannot be written, or the folder's other runs cannot be told.
    pub async fn collect(
        mut self,
        place: Place<'_>,
        api: &Api,
        watcher: &mut impl Watcher,
        stop: impl Future<Output = ()>,
    ) -> Result<Collected, AuditError> {
        tokio::pin!(stop);
        let began = std::time::Instant::now();
        let mut positions = self.unread();
        let mut newer = Newer::than(self.writer.header());
        let mut is_overtaken = false;
        let mut held = None;
        let lock = loop {
            let asked = std::mem::take(&mut positions);
            let (lanes, writer) = (&self.lanes, &mut self.writer);
            let end = collect(api, asked, lanes, writer, watcher, stop.as_mut()).await;
            if end.map_err(|error| unkept(&self.directory, error))? == End::Interrupted {
                return Ok(self.interrupted(watcher, is_overtaken));
            }
            let lock = match held.take() {
                Some(lock) => lock,
                None => tokio::select! {
                    lock = place.lock() => lock?,
                    () = stop.as_mut() => return Ok(self.interrupted(watcher, is_overtaken)),
                },
            };
            let overtaken = newer.overtaken(place.output, self.writer.header())?;
            if overtaken.is_empty() {
                break lock;
            }
            tracing::info!(
                "{} read since then by another run will be read again",
                count(overtaken.len(), "account")
            );
            watcher.again(overtaken.len());
            positions = overtaken;
            // At first the others go on meanwhile; if one of them is done first once more, they wait.
            if is_overtaken {
                held = Some(lock);
            }
            is_overtaken = true;
        };
        watcher.finish();
        let (seconds, requests) = (began.elapsed().as_secs_f64(), api.gate().sent());
        tracing::info!(seconds, requests, "collected");
        match self.writer.finish() {
            Ok(evidence) => Ok(Collected::Whole {
                directory: self.directory,
                evidence: Box::new(evidence),
                lock,
            }),
            Err(error) => Err(unkept(&self.directory, error)),
        }
    }

    /// The positions of the accounts that have to be asked, and of those that cannot be and have no line that says so.
    fn unread(&self) -> Vec<usize> {
        let accounts = self.writer.header().accounts.iter().enumerate();
        let unread = accounts.filter(|(position, account)| match account.is_valid() {
            true => !self.writer.is_read(*position),
            false => !self.writer.has(*position),
        });
        unread.map(|(position, _)| position).collect()
    }

    fn interrupted(self, watcher: &mut impl Watcher, is_overtaken: bool) -> Collected {
        watcher.finish();
        Collected::Interrupted {
            directory: self.directory,
            is_overtaken,
        }
    }
}

fn unkept(directory: &RunDirectory, error: EvidenceError) -> AuditError {
    AuditError::Unkept {
        partial: directory.partial(),
        error,
    }
}
