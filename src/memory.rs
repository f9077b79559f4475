//! What runs remember of an account: what is carried from one to the next in their ledgers.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::accounts::AskedAccount;
use crate::dns::DnsTxt;
use crate::evidence::RunHeader;
use crate::finding::{KnownFinding, KnownFindings};
use crate::model::Connector;
use crate::outcome::Outcome;

/// What is known of an account beside its findings and connectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountState {
    /// The account.
    pub account_id: String,
    /// Its name when it was last asked for, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account_name: String,
    /// What named it ([`crate::accounts::Source::key`]), as far as that can be recognised from run to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The codes that connectors of it had and have no more, as far as they are remembered: zones keep old records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_codes: Vec<String>,
    /// Whether it was reported as removed from what named it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// How far it was read when it was last asked for.
    pub outcome: Outcome,
    /// When it was last read in full; absent where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<LastRead>,
    /// The start of the first run since then that asked for it and did not read it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_since: Option<DateTime<Utc>>,
}

/// What an earlier run knows of an account, read from its ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountMemory<'l> {
    /// Everything but findings and connectors.
    pub state: AccountState,
    /// What was found when it was last read in full, and what was found since in what was read of it.
    pub findings: Vec<KnownFinding<'l>>,
    /// Its connectors when it was last read in full; absent where it never was.
    pub connectors: Option<Vec<Connector>>,
}

impl AccountMemory<'_> {
    /// What is known, borrowed.
    pub fn known(&self) -> Known<'_> {
        Known {
            state: &self.state,
            findings: KnownFindings {
                found: &[],
                known: &self.findings,
            },
            connectors: self.connectors.as_deref(),
        }
    }
}

/// What is known of an account.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Everything but findings and connectors.
    pub state: &'a AccountState,
    /// What was found when it was last read in full, and what was found since in what was read of it.
    pub findings: KnownFindings<'a>,
    /// Its connectors, sorted, when it was last read in full; `None` where it never was.
    pub connectors: Option<&'a [Connector]>,
}

/// The last time an account was read in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRead {
    /// The run.
    pub run_id: String,
    /// When the answer was there.
    pub at: DateTime<Utc>,
    /// The moment at which it was judged.
    pub judged_at: DateTime<Utc>,
    /// The SHA-256 of the policy it was judged by; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The rules that were off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules_off: Vec<String>,
    /// What was looked up in DNS; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<LookedUp>,
}

/// How far the domains of an account's connectors were looked up in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedUp {
    /// The domains of which nobody knows what they hold, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

impl LookedUp {
    /// Of an account's connectors; `None` where nothing was looked up.
    pub fn of(connectors: &[Connector]) -> Option<Self> {
        let looked_up = connectors
            .iter()
            .filter(|connector| connector.dns.is_some());
        let mut looked_up = looked_up.peekable();
        looked_up.peek()?;
        let unknown = looked_up.filter(|connector| connector.dns_txt() == Some(DnsTxt::Unknown));
        let domains = unknown.filter_map(Connector::canonical_domain);
        let mut unknown: Vec<_> = domains.map(Cow::into_owned).collect();
        unknown.sort_unstable();
        unknown.dedup();
        Some(Self { unknown })
    }
}

/// What is known of an account from earlier runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Earlier<'a> {
    /// By the run that this one is compared with.
    pub compared: Option<&'a AccountMemory<'a>>,
    /// By the run whose memory this one carries on: mostly the same.
    pub remembered: Option<&'a AccountMemory<'a>>,
}

impl<'a> Earlier<'a> {
    /// The run that is compared with is the one whose memory is carried on.
    pub fn of(memory: Option<&'a AccountMemory<'a>>) -> Self {
        Self {
            compared: memory,
            remembered: memory,
        }
    }
}

/// What the sources are by which an account is known: those that name it now, and those of before that may still do so.
pub fn sources(
    header: &RunHeader,
    lists_are_old: bool,
    asked: &AskedAccount,
    before: Option<&AccountState>,
) -> Vec<String> {
    if let Some(before) = before.filter(|before| lists_are_old && before.removed) {
        return before.sources.clone();
    }
    let named_by = asked.sources.iter().filter_map(|&source| {
        let source = header.sources.get(source as usize)?;
        source.key.clone()
    });
    let mut sources: Vec<_> = named_by.collect();
    // Asked for on the command line alone, it is no longer asked for only when that ends: it is removed then.
    let recognised = !sources.is_empty();
    let lists = sources.iter().any(|key| crate::accounts::is_list(key));
    for key in before.into_iter().flat_map(|before| &before.sources) {
        // A list that another token brought takes the place of the one before.
        let replaced = lists && crate::accounts::is_list(key);
        let dropped = recognised && !lists_are_old && header.would_have(key, &asked.id);
        if !replaced && !dropped && !sources.contains(key) {
            sources.push(key.clone());
        }
    }
    sources
}

/// What is known of an account that this run was not asked for: what it was, but for the sources that no longer name it.
pub fn carry_on(header: &RunHeader, lists_are_old: bool, before: &AccountState) -> AccountState {
    let sources: Vec<_> = before
        .sources
        .iter()
        .filter(|key| lists_are_old || !header.would_have(key, &before.account_id))
        .cloned()
        .collect();
    let dropped = sources.is_empty() && !before.sources.is_empty();
    AccountState {
        removed: before.removed || dropped,
        sources,
        ..before.clone()
    }
}
