//! The tokens of a command, each read once, each with its lane.

use std::collections::HashMap;
use std::sync::Arc;

use super::Failure;
use super::connection::{ConnectionArgs, token_of_variable};
use crate::api::{Lane, Token};

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
