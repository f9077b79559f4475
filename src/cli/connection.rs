//! How the API is reached: address, token, limits. What every command that asks the API takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::descriptors::possible_concurrency;
use super::values::{parse_concurrency, parse_delay, parse_duration, parse_rate, parse_retries};
use crate::api::{
    Api, BaseUrl, DEFAULT_BASE_URL, Gate, GateOptions, Lane, Rate, SetupError, Token, TokenError,
};
use crate::clock::Clock;
use crate::tokens::{DefaultToken, Tokens, TokensError};

/// The environment variable that Cloudflare's own clients read.
const BASE_URL_VARIABLE: &str = "CLOUDFLARE_BASE_URL";

/// How the API is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The API's address; else CLOUDFLARE_BASE_URL, else https://api.cloudflare.com/client/v4. http only to this machine
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The file that holds the API token; else the environment variable CLOUDFLARE_API_TOKEN. Never on the command line
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// A further root certificate in PEM, for a proxy that looks inside
    #[arg(long, value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value = "32", value_parser = parse_concurrency)]
    pub concurrency: usize,
    /// The most requests in a window, per token. Cloudflare's limit is 1200/300s, shared with the dashboard; going over
    /// it blocks the token for a whole window. A rate above 200 a second lifts the limit over all tokens too
    #[arg(long, value_name = "N/DURATION", default_value = "1000/300s", value_parser = parse_rate)]
    pub rate: Rate,
    /// For one attempt, to the last byte of the answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Further attempts after one that failed for a passing reason
    #[arg(long, value_name = "N", default_value = "5", value_parser = parse_retries)]
    pub retries: u32,
    /// The most that the wait before the second attempt takes; it doubles with each further one
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = parse_delay)]
    pub retry_delay: Duration,
}

impl ConnectionArgs {
    /// The API's address, checked before anything is sent.
    pub fn base_url(&self) -> Result<BaseUrl, Failure> {
        // What is no text becomes none that is an address: it must not stand for the default one.
        let from_environment = std::env::var_os(BASE_URL_VARIABLE)
            .map(|text| text.to_string_lossy().into_owned())
            .filter(|text| !text.trim().is_empty());
        if let Some(text) = &from_environment
            && self.base_url.is_none()
            && text.contains('\u{fffd}')
        {
            return Err(Failure::usage(format!(
                "{BASE_URL_VARIABLE} is not UTF-8 text, and so no address"
            )));
        }
        let (name, text) = match (&self.base_url, &from_environment) {
            (Some(text), _) => ("--base-url", text.as_str()),
            (None, Some(text)) => (BASE_URL_VARIABLE, text.as_str()),
            (None, None) => ("the default address", DEFAULT_BASE_URL),
        };
        BaseUrl::parse(text).map_err(|cause| Failure::usage(format!("{name} {cause}")))
    }

    /// Where the token comes from that holds where no account has one of its own.
    pub fn default_token(&self) -> DefaultToken {
        match &self.token_file {
            Some(path) => DefaultToken::File(path.clone()),
            None => DefaultToken::Variable,
        }
    }

    /// The tokens of a command, none of them read yet.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.default_token(), self.rate)
    }

    /// The API at an address.
    pub fn api(&self, base_url: BaseUrl, clock: Clock) -> Result<Api, Failure> {
        let gate = Gate::new(GateOptions {
            timeout: self.timeout,
            retries: self.retries,
            retry_delay: self.retry_delay,
            concurrency: possible_concurrency(self.concurrency),
            rate: self.rate,
            clock,
        });
        let ca_file = self.ca_file.as_deref().map(|path| path.display());
        let extra_root = self.ca_file.as_ref().map(std::fs::read).transpose();
        let extra_root =
            extra_root.map_err(|error| SetupError::ExtraRoot(format!("cannot be read: {error}")));
        extra_root
            .and_then(|pem| Api::new(base_url, Arc::new(gate), pem.as_deref()))
            .map_err(|error| match (&error, ca_file) {
                (SetupError::ExtraRoot(cause), Some(path)) => {
                    Failure::usage(format!("--ca-file {path}: {cause}"))
                        .hint("give a file of root certificates in PEM form, as the one who runs the proxy hands out")
                }
                (SetupError::Tls(_), _) => Failure::failed(error.to_string())
                    .hint("the system's root certificates may be missing: on Debian, install the package ca-certificates"),
                _ => Failure::usage(error.to_string()),
            })
    }

    /// A lane for a token.
    pub fn lane(&self, name: &str, token: Token) -> Arc<Lane> {
        Arc::new(Lane::new(name, token, self.rate))
    }
}

impl From<TokensError> for Failure {
    fn from(error: TokensError) -> Self {
        let hint = match &error {
            TokensError::Token(TokenError::Missing(_) | TokenError::Empty(_)) => {
                "make a token with the permission \"SSO Connector Read\" at https://dash.cloudflare.com/profile/api-tokens, and set the \
                 variable or give --token-file; `audit --demo` needs none"
            }
            TokensError::Token(TokenError::Character { .. }) => {
                "copy the token again, alone: no quotes, no \"Bearer\""
            }
            TokensError::Token(TokenError::File { .. }) => {
                "give the path of a file that holds the token alone"
            }
            TokensError::PathMayBeToken => TOKEN_IN_THE_OPEN,
            TokensError::Email => "set it to the user's e-mail address alone, or unset it",
            TokensError::Named(_) => {
                "set each variable to an API token with the permission \"SSO Connector Read\", or correct token_env in the accounts file: \
                 it holds the name of a variable, never a token"
            }
        };
        Self::usage(error.to_string()).hint(hint)
    }
}

/// What to do where a token may have been given in place of a file's path.
pub const TOKEN_IN_THE_OPEN: &str = "put the token into CLOUDFLARE_API_TOKEN or a file; roll it if the command line was recorded or others could see it";
