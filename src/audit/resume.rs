//! An audit that was interrupted, and is resumed.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::begun::Begun;
use super::error::AuditError;
use super::named::{Named, Selection, read_tokens};
use super::overtaken::refuse_overtaken;
use crate::accounts::AskedAccount;
use crate::api::BaseUrl;
use crate::evidence::{self, EvidenceError, EvidenceWriter, RunHeader};
use crate::runs::{self, RunDirectory};
use crate::shard::{Shard, Share};
use crate::text::count;
use crate::tokens::Tokens;

/// An unfinished run, opened, and known to be the one that is meant.
#[derive(Debug)]
pub struct Resumed<'a> {
    selection: &'a Selection,
    directory: RunDirectory,
    writer: EvidenceWriter,
    /// See [`Named::variables`].
    variables: HashMap<String, String>,
}

impl<'a> Resumed<'a> {
    /// Opens the newest unfinished run of a folder, and checks that it is the one that is meant.
    ///
    /// # Errors
    /// There is none, it cannot be opened, or it is another one.
    pub fn open(
        selection: &'a Selection,
        output: &Path,
        base_url: &BaseUrl,
    ) -> Result<Self, AuditError> {
        let directory = newest_unfinished(output)?;
        let partial = directory.partial();
        let writer = EvidenceWriter::resume(&partial.join(evidence::FILE_NAME)).map_err(
            |error| match error {
                EvidenceError::Locked { .. } => AuditError::Locked(error),
                _ => AuditError::Unresumable(error),
            },
        )?;
        let header = writer.header();
        if header.base_url != base_url.as_str() {
            return Err(AuditError::OtherApi {
                partial,
                begun_with: header.base_url.clone(),
                now: base_url.as_str().to_owned(),
            });
        }
        if header.merged.is_some() {
            return Err(AuditError::WasMerged { partial });
        }
        refuse_other_shard(&partial, selection.shard, header.share.as_ref())?;
        refuse_overtaken(output, &partial, header)?;
        let named = Named::read(selection)?;
        if !selection.asks_for_lists() {
            refuse_other_accounts(&partial, named.accounts(), header)?;
        }
        refuse_other_variables(&partial, &named.variables, &header.accounts)?;
        let resumed = Self {
            selection,
            directory,
            writer,
            variables: named.variables,
        };
        resumed.log();
        resumed.directory.warn_of_latest();
        Ok(resumed)
    }

    fn log(&self) {
        let accounts = self.writer.header().accounts.len();
        let is_read = |position: &usize| self.writer.is_read(*position);
        let read = (0..accounts).filter(is_read).count();
        tracing::info!(
            "resuming {}: {read} of {} already read",
            self.directory.partial().display(),
            count(accounts, "account")
        );
    }

    /// Reads every token that will be needed, so that a missing one is told before any request.
    ///
    /// # Errors
    /// A token cannot be had.
    pub async fn read_tokens(&self, tokens: &mut Tokens) -> Result<(), AuditError> {
        let accounts = &self.writer.header().accounts;
        read_tokens(tokens, self.selection, accounts, &self.variables).await
    }

    /// The run, to be resumed.
    pub fn begun(self) -> Begun {
        Begun::new(self.directory, self.writer)
    }
}

fn newest_unfinished(output: &Path) -> Result<RunDirectory, AuditError> {
    let newest = runs::newest_unfinished(output);
    let newest = newest.map_err(|source| AuditError::UnfinishedUnknown {
        output: output.to_owned(),
        source,
    })?;
    newest.ok_or_else(|| AuditError::NothingUnfinished {
        output: output.to_owned(),
    })
}

/// Refuses another shard than the one that a run was started with; that one is kept where none is given now.
fn refuse_other_shard(
    partial: &Path,
    now: Option<Shard>,
    begun_with: Option<&Share>,
) -> Result<(), AuditError> {
    match now {
        Some(now) if !begun_with.is_some_and(|share| share.is_that_of(now)) => {
            Err(AuditError::OtherShard {
                partial: partial.to_owned(),
                begun_with: begun_with.map(Share::words),
                now,
            })
        }
        _ => Ok(()),
    }
}

/// Refuses accounts that are named now, where they are others than those that a run was started with.
fn refuse_other_accounts(
    partial: &Path,
    named: &[AskedAccount],
    begun_with: &RunHeader,
) -> Result<(), AuditError> {
    let share = begun_with.share.as_ref();
    let falls_to_it = |id: &&str| share.is_none_or(|share| share.holds(id));
    let now = named.iter().map(|account| account.id.as_str());
    let then = begun_with.accounts.iter();
    if named.is_empty()
        || now
            .filter(falls_to_it)
            .eq(then.map(|account| account.id.as_str()))
    {
        return Ok(());
    }
    Err(AuditError::OtherAccounts {
        partial: partial.to_owned(),
    })
}

/// Refuses to send what variables hold that nobody named now: whoever may write to the folder could name any.
fn refuse_other_variables(
    partial: &Path,
    variables: &HashMap<String, String>,
    accounts: &[AskedAccount],
) -> Result<(), AuditError> {
    let others: BTreeSet<_> = accounts
        .iter()
        .filter(|account| account.is_valid())
        .map(|account| account.token_env.as_str())
        .filter(|variable| !variable.is_empty() && !variables.contains_key(*variable))
        .collect();
    match others.first() {
        None => Ok(()),
        Some(first) => Err(AuditError::OtherVariables {
            partial: partial.to_owned(),
            first: (*first).to_owned(),
            more: others.len() - 1,
        }),
    }
}
