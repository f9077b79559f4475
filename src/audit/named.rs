//! The accounts that are named without asking the API.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::AuditError;
use crate::accounts::{
    AccountLine, AccountList, AskedAccount, LARGEST_FILE, Source, parse_accounts_file,
};
use crate::shard::Shard;
use crate::token_form::{id_may_be_token, path_may_be_token};
use crate::tokens::Tokens;

/// What names the accounts of an audit.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Their ids.
    pub ids: Vec<String>,
    /// Files of accounts; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Whether all are meant that the token can list.
    pub all: bool,
    /// Whether those of the simulated API are meant.
    pub demo: bool,
    /// Organizations, by their ids, whose accounts are meant.
    pub organizations: Vec<String>,
    /// The shard whose accounts are meant, of all that are named; all, where none is given.
    pub shard: Option<Shard>,
    /// The region that is asked; see [`crate::region`].
    pub region: &'static str,
}

impl Selection {
    /// Whether the API is asked for accounts.
    pub fn asks_for_lists(&self) -> bool {
        self.all || self.demo || !self.organizations.is_empty()
    }
}

/// The accounts that were named so far, and by what.
#[derive(Debug, Default)]
pub struct Named {
    pub(super) list: AccountList,
    pub(super) sources: Vec<Source>,
    /// Where the files first name each variable that holds a token, for messages: `accounts.csv line 3`.
    pub(super) variables: HashMap<String, String>,
}

impl Named {
    /// Reads what names accounts, before any request.
    ///
    /// # Errors
    /// What names them cannot be read, or holds a token.
    pub fn read(selection: &Selection) -> Result<Self, AuditError> {
        refuse_tokens(&selection.ids, "account ID")?;
        refuse_tokens(&selection.organizations, "organization ID")?;
        let mut named = Self::default();
        if !selection.ids.is_empty() {
            let source = Source::unrecognisable("the command line");
            let ids = selection.ids.iter();
            let accounts = ids.map(|id| AskedAccount::new(id, &source.name)).collect();
            named.add(source, accounts);
        }
        for path in &selection.files {
            named.add_file(path, selection.region)?;
        }
        Ok(named)
    }

    fn add_file(&mut self, path: &Path, region: &'static str) -> Result<(), AuditError> {
        if path_may_be_token(path) {
            return Err(AuditError::PathMayBeToken);
        }
        let source = if path == Path::new("-") {
            Source::unrecognisable("standard input")
        } else {
            Source::file(path)
        };
        let name = &source.name;
        let bytes = read_file_or_stdin(path).map_err(|source| AuditError::UnreadableFile {
            name: name.clone(),
            source,
        })?;
        let lines = parse_accounts_file(name, &bytes).map_err(AuditError::BadFile)?;
        let is_elsewhere = |named: &&AccountLine| {
            !named.region.is_empty() && named.region.replace('_', "-") != region
        };
        if let Some(elsewhere) = lines.iter().find(is_elsewhere) {
            return Err(AuditError::OtherRegion {
                place: format!("{name} line {}", elsewhere.line),
                named: elsewhere.region.clone(),
                asked: region,
            });
        }
        for named in &lines {
            self.variables
                .entry(named.account.token_env.clone())
                .or_insert_with(|| format!("{name} line {}", named.line));
        }
        let accounts = lines.into_iter().map(|named| named.account).collect();
        self.add(source, accounts);
        Ok(())
    }

    /// Adds what a source named.
    pub(super) fn add(&mut self, source: Source, accounts: Vec<AskedAccount>) {
        let position = self.sources.len() as u32;
        self.sources.push(Source {
            accounts: accounts.len(),
            ..source
        });
        for account in accounts {
            self.list.add(AskedAccount {
                sources: vec![position],
                ..account
            });
        }
    }

    /// Each once, in the order in which they were first named.
    pub fn accounts(&self) -> &[AskedAccount] {
        self.list.accounts()
    }

    /// Where the files first name a variable that holds a token; `None` for none of them, and for no variable.
    pub fn place_of(&self, variable: &str) -> Option<&str> {
        let place = self.variables.get(variable).map(String::as_str);
        place.filter(|_| !variable.is_empty())
    }

    pub(super) fn has_valid_account(&self) -> bool {
        self.accounts().iter().any(AskedAccount::is_valid)
    }

    pub(super) fn some_account_is_valid(&self) -> Result<(), AuditError> {
        if self.has_valid_account() {
            return Ok(());
        }
        let accounts = self.accounts();
        let mut problems: Vec<_> = accounts
            .iter()
            .take(10)
            .map(|account| account.problem.clone())
            .collect();
        let more = accounts.len() - problems.len();
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(AuditError::NoValidAccount(problems.join("\n")))
    }
}

/// Reads every token that will be needed, so that a missing one is told before any request.
pub(super) async fn read_tokens(
    tokens: &mut Tokens,
    selection: &Selection,
    accounts: &[AskedAccount],
    variables: &HashMap<String, String>,
) -> Result<(), AuditError> {
    if selection.asks_for_lists() {
        tokens.lane("").await?;
    }
    if !selection.organizations.is_empty() {
        tokens.key_lane()?;
    }
    let falls_to_it =
        |account: &&AskedAccount| selection.shard.is_none_or(|shard| shard.holds(&account.id));
    let accounts = accounts.iter().filter(falls_to_it);
    let asked = accounts.filter(|account| account.is_valid());
    let needed = asked.map(|account| account.token_env.as_str());
    Ok(tokens.read_all(needed, variables).await?)
}

/// Refuses what looks like a token where an id belongs, before any message or file repeats it.
///
/// # Errors
/// One looks like a token.
pub fn refuse_tokens(ids: &[String], what: &'static str) -> Result<(), AuditError> {
    match ids.iter().position(|id| id_may_be_token(id)) {
        None => Ok(()),
        Some(at) => Err(AuditError::IdMayBeToken {
            what,
            number: at + 1,
        }),
    }
}

/// Reads a file, or standard input, as far as one can be that is of use: one byte more shows that there is more.
fn read_file_or_stdin(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = LARGEST_FILE as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
