//! An audit that was asked for, and has not begun.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::begun::Begun;
use super::error::AuditError;
use super::named::{Named, Selection, read_tokens};
use super::organizations::{UnderOne, Walk};
use super::place::Place;
use crate::accounts::Source;
use crate::api::{Api, ListedAccounts};
use crate::evidence::{self, EvidenceWriter, Limits, RunHeader};
use crate::organizations::Organization;
use crate::outcome::ReadError;
use crate::runs::{self, ApiAsked, RunDirectory};
use crate::text::count;
use crate::tokens::Tokens;

/// The most gaps of lists that are told in the log; the others are counted.
const MOST_GAPS: usize = 20;
/// The most accounts named more than once that are listed; the others are counted.
const MOST_DUPLICATES: usize = 3;

/// What is asked for. The accounts that the API lists come later.
#[derive(Debug)]
pub struct Asked<'a> {
    selection: &'a Selection,
    named: Named,
    /// The sequence of the newest run of the folder, before anything is listed.
    begun_after: u64,
}

impl<'a> Asked<'a> {
    /// Reads what names the accounts, before any request.
    ///
    /// # Errors
    /// Nothing is named that can be asked for, or a file is not one of accounts.
    pub fn read(
        selection: &'a Selection,
        output: &Path,
        api: ApiAsked<'_>,
    ) -> Result<Self, AuditError> {
        let begun_after = newest_sequence(output, api);
        let named = Named::read(selection)?;
        if !selection.asks_for_lists() {
            if named.accounts().is_empty() {
                return Err(AuditError::NoAccount);
            }
            named.some_account_is_valid()?;
        }
        Ok(Self {
            selection,
            named,
            begun_after,
        })
    }

    /// Reads every token that will be needed, so that a missing one is told before any request.
    ///
    /// # Errors
    /// A token cannot be had.
    pub async fn read_tokens(&self, tokens: &mut Tokens) -> Result<(), AuditError> {
        let named = &self.named;
        read_tokens(tokens, self.selection, named.accounts(), &named.variables).await
    }

    /// Lists what the API is asked to list, and begins the run's directory.
    ///
    /// # Errors
    /// The directory cannot be made, a list cannot be had, or it was asked to stop.
    pub async fn begin(
        mut self,
        place: Place<'_>,
        api: &Api,
        tokens: &mut Tokens,
        stop: impl Future<Output = ()>,
    ) -> Result<Begun, AuditError> {
        let options = api.gate().options();
        let started = options.clock.now();
        let directory = RunDirectory::create(place.output, started, place.mode)?;
        let listing = async {
            tokio::select! {
                listed = self.list(api, tokens) => listed,
                () = stop => Err(AuditError::Stopped),
            }
        };
        let (gaps, organizations) = listing.await.inspect_err(|_| directory.discard())?;
        self.warn_of_duplicates();
        let accounts = self.named.list.into_accounts();
        let (accounts, share) = match self.selection.shard {
            Some(shard) => {
                let (accounts, share) = shard.share_of(accounts);
                tracing::info!("shard {}", share.sentence());
                (accounts, Some(share))
            }
            None => (accounts, None),
        };
        let header = RunHeader {
            schema: evidence::SCHEMA.to_owned(),
            run_id: directory.run_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started,
            base_url: api.base_url().as_str().to_owned(),
            demo: self.selection.demo,
            begun_after: Some(self.begun_after),
            sources: self.named.sources,
            gaps,
            organizations,
            share,
            merged: None,
            limits: Limits {
                concurrency: options.concurrency,
                rate: options.rate.to_string(),
                timeout_seconds: options.timeout.as_secs_f64(),
                retries: options.retries,
            },
            accounts,
        };
        let path = directory.partial().join(evidence::FILE_NAME);
        match EvidenceWriter::create(&path, header, place.mode) {
            Ok(writer) => Ok(Begun::new(directory, writer)),
            Err(error) => Err(AuditError::Unkept {
                partial: directory.partial(),
                error,
            }),
        }
    }

    /// Adds the accounts that the API lists; why the lists may lack some, and the organizations that were gone down.
    async fn list(
        &mut self,
        api: &Api,
        tokens: &mut Tokens,
    ) -> Result<(Vec<String>, Vec<Organization>), AuditError> {
        let mut gaps = Vec::new();
        if self.selection.all || self.selection.demo {
            let lane = tokens.lane("").await?;
            let listed = api.list_accounts(&lane).await;
            let listed = listed.map_err(|error| unlisted("the token's accounts", error))?;
            let source = if self.selection.demo {
                Source::list("the demo's accounts", "demo")
            } else {
                Source::list("all accounts that the token can list", &lane.fingerprint())
            };
            self.add_listed(source, listed, &mut gaps);
        }
        let organizations = self.list_organizations(api, tokens, &mut gaps).await?;
        self.named.some_account_is_valid()?;
        warn_of_gaps(&gaps);
        Ok((gaps, organizations))
    }

    fn add_listed(&mut self, source: Source, listed: ListedAccounts, gaps: &mut Vec<String>) {
        let whole = listed.gaps.is_empty();
        self.named.add(Source { whole, ..source }, listed.accounts);
        gaps.extend(listed.gaps);
    }

    /// Adds the accounts of the organizations that were named, and of all under them.
    async fn list_organizations(
        &mut self,
        api: &Api,
        tokens: &mut Tokens,
        gaps: &mut Vec<String>,
    ) -> Result<Vec<Organization>, AuditError> {
        if self.selection.organizations.is_empty() {
            return Ok(Vec::new());
        }
        let lane = tokens.organization_lane().await?;
        api.gate().keep_secret(&*tokens.lane("").await?);
        let sent_before = api.gate().sent();
        let mut walk = Walk::new(api, Arc::clone(&lane));
        for id in &self.selection.organizations {
            let UnderOne { accounts, whole } = walk.list(id).await?;
            let source = Source::organization(id);
            self.named.add(Source { whole, ..source }, accounts);
        }
        if lane.is_of_key() {
            // The limit is the user's: what the key sent is taken from what the same user's token may.
            let sent = api.gate().sent() - sent_before;
            let just_now = std::iter::repeat_n(Duration::ZERO, sent as usize);
            tokens.lane("").await?.recall(just_now);
        }
        let organizations = walk.finish();
        let unlisted: Vec<_> = organizations.iter().flat_map(Organization::gaps).collect();
        if !unlisted.is_empty() && !self.named.has_valid_account() {
            return Err(AuditError::UnlistedOrganizations(unlisted));
        }
        gaps.extend(unlisted.iter().map(ToString::to_string));
        Ok(organizations)
    }

    fn warn_of_duplicates(&self) {
        let mut seen = HashSet::new();
        let duplicates = self.named.list.duplicates.iter();
        let duplicates: Vec<_> = duplicates.filter(|id| seen.insert(*id)).cloned().collect();
        if duplicates.is_empty() {
            return;
        }
        let mut named = duplicates[..duplicates.len().min(MOST_DUPLICATES)].join(", ");
        if duplicates.len() > MOST_DUPLICATES {
            let more = duplicates.len() - MOST_DUPLICATES;
            named.push_str(&format!(" and {more} more"));
        }
        let verb = if duplicates.len() == 1 { "is" } else { "are" };
        tracing::warn!(
            "{} {verb} named more than once; each is read once: {named}",
            count(duplicates.len(), "account")
        );
    }
}

/// The sequence of the newest run of a folder that asked an API; 0 where there is none.
fn newest_sequence(output: &Path, api: ApiAsked<'_>) -> u64 {
    let earlier = runs::runs_since(output, api, 0).unwrap_or_else(|error| {
        tracing::warn!(
            "cannot look for earlier runs in {}: {error}",
            output.display()
        );
        Vec::new()
    });
    let sequences = earlier.iter().map(|(_, sequence)| *sequence);
    sequences.max().unwrap_or(0)
}

fn warn_of_gaps(gaps: &[String]) {
    for gap in gaps.iter().take(MOST_GAPS) {
        tracing::warn!("{gap}");
    }
    if gaps.len() > MOST_GAPS {
        let more = count(gaps.len() - MOST_GAPS, "more gap");
        tracing::warn!("and {more} in the lists of accounts; see report.json");
    }
}

fn unlisted(what: &str, error: ReadError) -> AuditError {
    AuditError::Unlisted {
        what: what.to_owned(),
        error,
    }
}
