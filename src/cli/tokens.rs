//! The tokens of a command, each read once, each with its lane.

use std::collections::HashMap;
use std::sync::Arc;

use super::Failure;
use super::connection::{ConnectionArgs, token_of_variable};
use crate::api::{Lane, Token};
use crate::text::count;

/// The most tokens that cannot be had that are listed; the others are counted.
const MOST_FAILURES: usize = 20;

/// The tokens of the run, each read once, each with its lane.
pub struct Tokens<'a> {
    connection: &'a ConnectionArgs,
    /// Of the demo, which needs none of the user's.
    given: Option<Token>,
    lanes: HashMap<String, Arc<Lane>>,
}

impl<'a> Tokens<'a> {
    /// No token read yet; `given` is one that needs no variable.
    pub fn new(connection: &'a ConnectionArgs, given: Option<&str>) -> Self {
        Self {
            connection,
            given: given.and_then(|text| Token::parse("the demo", text).ok()),
            lanes: HashMap::new(),
        }
    }

    /// The lane of the token that a variable holds, or of the default token where none is named. Two variables that
    /// hold the same token share its lane, as they share its limit.
    pub fn lane(&mut self, variable: &str) -> Result<Arc<Lane>, Failure> {
        if let Some(lane) = self.lanes.get(variable) {
            return Ok(Arc::clone(lane));
        }
        let (name, token) = match (variable, &self.given) {
            ("", Some(token)) => ("the demo".to_owned(), token.clone()),
            ("", None) => self.connection.token()?,
            (variable, _) => (variable.to_owned(), token_of_variable(variable)?),
        };
        let same = self
            .lanes
            .values()
            .find(|lane| lane.has(&token))
            .map(Arc::clone);
        let lane = same.unwrap_or_else(|| self.connection.lane(&name, token));
        self.lanes.insert(variable.to_owned(), Arc::clone(&lane));
        Ok(lane)
    }

    /// Reads the tokens of these variables, one for each account. What cannot be had is listed at once, with the number
    /// of accounts that need it and where an accounts file first names it.
    pub fn read_all<'v>(
        &mut self,
        variables: impl Iterator<Item = &'v str>,
        places: &HashMap<String, String>,
    ) -> Result<(), Failure> {
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
            if let Err(failure) = self.lane(variable) {
                failures.push((variable, failure));
            }
        }
        // The default token alone: its own words say it best.
        if let [("", _)] = failures[..] {
            return failures.pop().map_or(Ok(()), |(_, failure)| Err(failure));
        }
        let mut lines: Vec<_> = failures
            .iter()
            .take(MOST_FAILURES)
            .map(|(variable, failure)| {
                let needed = count(accounts[variable], "account");
                let place = places.get(*variable);
                let place = place.map_or(String::new(), |place| format!(" (first: {place})"));
                format!("{}; needed for {needed}{place}", failure.message)
            })
            .collect();
        if failures.len() > lines.len() {
            let more = failures.len() - lines.len();
            lines.push(format!("and {}", count(more, "more variable")));
        }
        if lines.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(lines.join("\n")).hint(
            "set each variable to an API token with the permission \"SSO Connector Read\", or correct token_env in the accounts file: \
             it holds the name of a variable, never a token",
        ))
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
