//! The tokens of a command, each read once, each with its lane.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::{EMAIL_VARIABLE, KEY_VARIABLE, Lane, TOKEN_VARIABLE, Token, TokenError};
use crate::rate::Rate;
use crate::text::count;
use crate::token_command::{COMMAND_NAME, TokenCommand, TokenCommandError};
use crate::token_form::path_may_be_token;

/// The most tokens that cannot be had that are listed; the others are counted.
const MOST_FAILURES: usize = 20;

/// Why a token cannot be had. Shows none.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// One cannot be read, or is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// In place of the file's path stands what may be a token.
    #[error("--token-file was given what looks like an API token instead of a file (not shown)")]
    PathMayBeToken,
    /// The command that should print one brought none.
    #[error(transparent)]
    Command(#[from] TokenCommandError),
    /// The e-mail address beside the global key is none that can be sent.
    #[error("{EMAIL_VARIABLE} contains a character that an HTTP header cannot")]
    Email,
    /// Several cannot be had, or one that some accounts name.
    #[error("{}", .0.join("\n"))]
    Named(Vec<String>),
}

/// Where the token comes from that holds where no account has one of its own.
#[derive(Debug, Clone)]
pub enum DefaultToken {
    /// It is this one; the text says what it is of.
    Given(&'static str, Token),
    /// A file that holds it alone.
    File(PathBuf),
    /// A program that prints it.
    Command(TokenCommand),
    /// The environment variable that Cloudflare's own clients read.
    Variable,
}

impl DefaultToken {
    /// The token, with the name of where it came from.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub async fn read(&self) -> Result<(String, Token), TokensError> {
        match self {
            Self::Given(name, token) => Ok(((*name).to_owned(), token.clone())),
            Self::File(path) if path_may_be_token(path) => Err(TokensError::PathMayBeToken),
            Self::File(path) => {
                warn_of_readers(path);
                let token = Token::from_file(path)?;
                Ok((path.display().to_string(), token))
            }
            Self::Command(command) => Ok((COMMAND_NAME.to_owned(), command.token().await?)),
            Self::Variable => {
                let token = Token::from_variable(TOKEN_VARIABLE)?;
                Ok((TOKEN_VARIABLE.to_owned(), token))
            }
        }
    }
}

/// The tokens of the run, each read once, each with its lane.
#[derive(Debug)]
pub struct Tokens {
    default: DefaultToken,
    /// Of each lane.
    rate: Rate,
    lanes: HashMap<String, Arc<Lane>>,
    /// That of the user's global key, once it was asked for: `None` where its two variables are not both set.
    key: Option<Option<Arc<Lane>>>,
}

impl Tokens {
    /// No token read yet.
    pub fn new(default: DefaultToken, rate: Rate) -> Self {
        Self {
            default,
            rate,
            lanes: HashMap::new(),
            key: None,
        }
    }

    /// The lane of the token that a variable holds, or of the default token where none is named. Two variables that
    /// hold the same token share its lane, as they share its limit. A lane is kept, so a command that prints the token is
    /// run once.
    ///
    /// # Errors
    /// The token cannot be had.
    pub async fn lane(&mut self, variable: &str) -> Result<Arc<Lane>, TokensError> {
        if let Some(lane) = self.lanes.get(variable) {
            return Ok(Arc::clone(lane));
        }
        let (name, token) = match variable {
            "" => self.default.read().await?,
            variable => (variable.to_owned(), Token::from_variable(variable)?),
        };
        let same = self
            .lanes
            .values()
            .find(|lane| lane.has(&token))
            .map(Arc::clone);
        let lane = same.unwrap_or_else(|| Arc::new(Lane::new(&name, token, self.rate)));
        self.lanes.insert(variable.to_owned(), Arc::clone(&lane));
        Ok(lane)
    }

    /// The lane with which organizations are listed: that of the user's e-mail address and global key where both
    /// variables are set, else that of the default token.
    ///
    /// # Errors
    /// The key, or the token, cannot be had.
    pub async fn organization_lane(&mut self) -> Result<Arc<Lane>, TokensError> {
        match self.key_lane()? {
            Some(lane) => Ok(lane),
            None => self.lane("").await,
        }
    }

    /// The lane of the user's global key; `None` where its two variables are not both set.
    ///
    /// # Errors
    /// What they hold is none.
    pub fn key_lane(&mut self) -> Result<Option<Arc<Lane>>, TokensError> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let key = key_of_environment(self.rate)?.map(Arc::new);
        self.key = Some(key.clone());
        Ok(key)
    }

    /// Reads the tokens of these variables, one for each account. What cannot be had is listed at once, with the number
    /// of accounts that need it and where an accounts file first names it.
    ///
    /// # Errors
    /// Some token cannot be had.
    pub async fn read_all<'v>(
        &mut self,
        variables: impl Iterator<Item = &'v str>,
        places: &HashMap<String, String>,
    ) -> Result<(), TokensError> {
        let mut order = Vec::new();
        let mut accounts: HashMap<&str, usize> = HashMap::new();
        for variable in variables {
            let needed = accounts.entry(variable).or_default();
            if *needed == 0 {
                order.push(variable);
            }
            *needed += 1;
        }
        let mut failures = Vec::new();
        for variable in order {
            if let Err(error) = self.lane(variable).await {
                failures.push((variable, error));
            }
        }
        // The default token alone: its own words say it best.
        if let [("", _)] = failures[..] {
            return failures.pop().map_or(Ok(()), |(_, error)| Err(error));
        }
        let mut lines: Vec<_> = failures
            .iter()
            .take(MOST_FAILURES)
            .map(|(variable, error)| {
                let needed = count(accounts[variable], "account");
                let place = places.get(*variable);
                let place = place.map_or(String::new(), |place| format!(" (first: {place})"));
                format!("{error}; needed for {needed}{place}")
            })
            .collect();
        if failures.len() > lines.len() {
            let more = failures.len() - lines.len();
            lines.push(format!("and {}", count(more, "more variable")));
        }
        if lines.is_empty() {
            return Ok(());
        }
        Err(TokensError::Named(lines))
    }

    /// Every lane so far, each once.
    pub fn lanes(&self) -> Vec<Arc<Lane>> {
        let mut lanes: Vec<Arc<Lane>> = Vec::new();
        for lane in self.lanes.values() {
            if !lanes.iter().any(|known| Arc::ptr_eq(known, lane)) {
                lanes.push(Arc::clone(lane));
            }
        }
        lanes
    }
}

fn key_of_environment(rate: Rate) -> Result<Option<Lane>, TokensError> {
    let set = |name| {
        let value = std::env::var_os(name)?;
        let text = value.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let (email, key) = match (set(EMAIL_VARIABLE), set(KEY_VARIABLE)) {
        (Some(email), Some(key)) => (email, key),
        (Some(_), None) => return Ok(told_alone(EMAIL_VARIABLE, KEY_VARIABLE)),
        (None, Some(_)) => return Ok(told_alone(KEY_VARIABLE, EMAIL_VARIABLE)),
        (None, None) => return Ok(None),
    };
    let key = Token::parse(KEY_VARIABLE, &key)?;
    let name = format!("{EMAIL_VARIABLE} and {KEY_VARIABLE}");
    let lane = Lane::of_key(name, &email, key, rate).ok_or(TokensError::Email)?;
    tracing::warn!(
        "using {EMAIL_VARIABLE} and {KEY_VARIABLE} to list organizations and their accounts, and for nothing else"
    );
    Ok(Some(lane))
}

fn told_alone(set: &str, missing: &str) -> Option<Lane> {
    tracing::warn!("{set} is set but {missing} is not: listing organizations with the token");
    None
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let Ok(found) = std::fs::metadata(path) else {
        return;
    };
    // Whoever owns the file has let this process in by its group: systemd and Kubernetes hand on credentials that way.
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    let readers = if is_own { 0o044 } else { 0o004 };
    if found.mode() & readers != 0 {
        tracing::warn!(
            "others on this machine can read the token file {}: restrict it with `chmod 600`",
            path.display()
        );
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}
