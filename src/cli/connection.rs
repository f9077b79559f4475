//! How the API is reached: address, token, limits. What every command that asks the API takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::descriptors::possible_concurrency;
use super::values::{parse_concurrency, parse_delay, parse_duration, parse_rate, parse_retries};
use crate::api::{
    Api, BaseUrl, DEFAULT_BASE_URL, Gate, GateOptions, Lane, Rate, SetupError, TOKEN_VARIABLE,
    Token, TokenError,
};
use crate::clock::Clock;
use crate::token_form::looks_like_token;

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

    /// The token that holds where no account has one of its own.
    pub fn token(&self) -> Result<(String, Token), Failure> {
        match &self.token_file {
            Some(path) => {
                refuse_token_as_path(path, "--token-file")?;
                warn_of_readers(path);
                let token = Token::from_file(path).map_err(token_failure)?;
                Ok((path.display().to_string(), token))
            }
            None => Ok((
                TOKEN_VARIABLE.to_owned(),
                token_of_variable(TOKEN_VARIABLE)?,
            )),
        }
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

/// Refuses what looks like a token where a file's path belongs, before a message repeats it.
pub fn refuse_token_as_path(path: &Path, flag: &str) -> Result<(), Failure> {
    if path.exists() || !looks_like_token(&path.to_string_lossy()) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{flag} is given what looks like an API token, and not the path of a file; it is not shown"
    ))
    .hint("put the token into CLOUDFLARE_API_TOKEN or a file; roll it if the command line was recorded or others could see it"))
}

/// The token of an environment variable.
pub fn token_of_variable(name: &str) -> Result<Token, Failure> {
    Token::from_variable(name).map_err(token_failure)
}

fn token_failure(error: TokenError) -> Failure {
    let hint = match &error {
        TokenError::Missing(_) | TokenError::Empty(_) => {
            "make a token with the permission \"SSO Connector Read\" at https://dash.cloudflare.com/profile/api-tokens, and set the \
             variable or give --token-file; `audit --demo` needs none"
        }
        TokenError::Character { .. } => "copy the token again, alone: no quotes, no \"Bearer\"",
        TokenError::File { .. } => "give the path of a file that holds the token alone",
    };
    Failure::usage(error.to_string()).hint(hint)
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o044 != 0 {
        tracing::warn!(
            "others on this machine can read the token file {}: make it yours alone with `chmod 600`",
            path.display()
        );
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}
