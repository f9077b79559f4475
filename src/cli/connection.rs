//! How the API is reached: address, token, limits. What every command that asks the API takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::descriptors::possible_concurrency;
use super::values::{
    parse_concurrency, parse_delay, parse_duration, parse_rate, parse_region, parse_retries,
};
use super::{Failure, exit};
use crate::api::{
    Api, BaseUrl, Gate, GateOptions, KEY_VARIABLE, Lane, SetupError, TOKEN_VARIABLE, Token,
    TokenError,
};
use crate::clock::Clock;
use crate::rate::Rate;
use crate::region::Region;
use crate::token_command::{COMMAND_LIMIT, TokenCommand, TokenCommandError};
use crate::tokens::{DefaultToken, Tokens, TokensError};

/// The environment variables that Cloudflare's own clients read: the first that is set holds.
const BASE_URL_VARIABLES: [&str; 2] = ["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_BASE_URL"];
/// The environment variable by which Cloudflare's own tools choose a region.
const REGION_VARIABLE: &str = "CLOUDFLARE_COMPLIANCE_REGION";

/// How the API is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Address of the API; falls back to CLOUDFLARE_BASE_URL, CLOUDFLARE_API_BASE_URL, then the region's. Plain http
    /// only to this machine
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// Region of the API; FedRAMP High has its own tokens and accounts. Falls back to CLOUDFLARE_COMPLIANCE_REGION,
    /// then public
    #[arg(long, value_name = "REGION", value_parser = region_names())]
    pub region: Option<Region>,
    /// File that holds the API token; falls back to the environment variable CLOUDFLARE_API_TOKEN. A token is never
    /// taken from the command line
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Command that prints the API token. Split into words as a shell would, but run without one; runs once, for at
    /// most 60 seconds
    #[arg(long, value_name = "CMD", conflicts_with = "token_file")]
    pub token_command: Option<String>,
    /// Additional root certificate (PEM), for a TLS-inspecting proxy
    #[arg(long, value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// Maximum concurrent requests
    #[arg(long, value_name = "N", default_value = "32", value_parser = parse_concurrency)]
    pub concurrency: usize,
    /// Maximum requests per window, for each token. Cloudflare's limit is 1200/300s, shared with the dashboard;
    /// exceeding it blocks the token for a whole window. A rate above 200 per second also raises the limit across all
    /// tokens
    #[arg(long, value_name = "N/DURATION", default_value = "1000/300s", value_parser = parse_rate)]
    pub rate: Rate,
    /// Timeout of each attempt, up to the last byte of the response
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Retries on transient errors
    #[arg(long, value_name = "N", default_value = "5", value_parser = parse_retries)]
    pub retries: u32,
    /// Maximum delay before the first retry; doubles each time
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = parse_delay)]
    pub retry_delay: Duration,
}

/// The regions by their names, which clap checks, suggests and completes.
fn region_names() -> impl TypedValueParser<Value = Region> {
    let names = Region::ALL.map(Region::as_str);
    PossibleValuesParser::new(names).try_map(|name| parse_region(&name))
}

impl ConnectionArgs {
    /// The API's address, checked before anything is sent.
    pub fn base_url(&self) -> Result<BaseUrl, Failure> {
        let region = self.asked_region()?;
        let Some((name, text)) = self.asked_address()? else {
            let (_, region) = region.unwrap_or(("", Region::Public));
            return BaseUrl::parse(region.base_url()).map_err(Failure::failed);
        };
        let address =
            BaseUrl::parse(&text).map_err(|cause| Failure::usage(format!("{name} {cause}")))?;
        match region {
            Some((asked_by, region)) if region.base_url() != address.as_str() => {
                Err(Failure::usage(format!(
                    "{asked_by} selects the API at {}, but {name} selects {}",
                    region.base_url(),
                    address.as_str()
                ))
                .hint("give only one of them; unset the variable you do not want"))
            }
            _ => Ok(address),
        }
    }

    /// The region that is asked for, and by what.
    fn asked_region(&self) -> Result<Option<(&'static str, Region)>, Failure> {
        if let Some(region) = self.region {
            return Ok(Some(("--region", region)));
        }
        let Some(name) = variable(REGION_VARIABLE) else {
            return Ok(None);
        };
        let region = parse_region(name.trim());
        let region =
            region.map_err(|cause| Failure::usage(format!("{REGION_VARIABLE} {cause}")))?;
        Ok(Some((REGION_VARIABLE, region)))
    }

    /// The address that is asked for, and by what.
    fn asked_address(&self) -> Result<Option<(&'static str, String)>, Failure> {
        if let Some(text) = &self.base_url {
            return Ok(Some(("--base-url", text.clone())));
        }
        let set = |name: &'static str| Some((name, variable(name)?));
        match BASE_URL_VARIABLES.into_iter().find_map(set) {
            Some((name, text)) if text.contains('\u{fffd}') => Err(Failure::usage(format!(
                "{name} is not UTF-8 text, so it is not an address"
            ))),
            found => Ok(found),
        }
    }

    /// Where the token comes from that holds where no account has one of its own.
    pub fn default_token(&self) -> DefaultToken {
        match (&self.token_file, &self.token_command) {
            (Some(path), _) => DefaultToken::File(path.clone()),
            (None, Some(line)) => DefaultToken::Command(TokenCommand::new(line)),
            (None, None) => DefaultToken::Variable,
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
            concurrency: possible_concurrency(self.concurrency)?,
            rate: self.rate,
            clock,
        });
        // Whoever is asked may repeat what it was sent by another command: no secret of the environment gets into a file.
        for name in [TOKEN_VARIABLE, KEY_VARIABLE] {
            if let Ok(secret) = Token::from_variable(name) {
                gate.keep_token_secret(&secret);
            }
        }
        let ca_file = self.ca_file.as_deref().map(|path| path.display());
        let extra_root = self.ca_file.as_ref().map(std::fs::read).transpose();
        let extra_root =
            extra_root.map_err(|error| SetupError::ExtraRoot(format!("cannot be read: {error}")));
        extra_root
            .and_then(|pem| Api::new(base_url, Arc::new(gate), pem.as_deref()))
            .map_err(|error| match (&error, ca_file) {
                (SetupError::ExtraRoot(cause), Some(path)) => {
                    Failure::usage(format!("--ca-file {path}: {cause}"))
                        .hint("give a PEM file of root certificates; whoever runs the proxy can provide it")
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

/// What a variable of the environment holds, where it holds anything. What is no text becomes none that means anything: it
/// must not stand for the default.
fn variable(name: &str) -> Option<String> {
    let text = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!text.trim().is_empty()).then_some(text)
}

/// What to do about a variable that an accounts file names.
pub const NAMED_VARIABLES: &str = "set each variable to an API token with the permission \"SSO Connector Read\", or correct token_env in the accounts file: \
     it holds the name of a variable, never a token";

impl From<TokensError> for Failure {
    fn from(error: TokensError) -> Self {
        let message = error.to_string();
        let hint = match &error {
            TokensError::Token(TokenError::Missing(_) | TokenError::Empty(_)) => {
                "create a token with the permission \"SSO Connector Read\" at \
                 https://dash.cloudflare.com/profile/api-tokens and set the variable, or give --token-file or \
                 --token-command; `audit --demo` needs none"
            }
            TokensError::Token(TokenError::Character { .. }) => {
                "copy the token again, without quotes or \"Bearer\""
            }
            TokensError::Token(TokenError::File { .. }) => {
                "give the path of a file that contains only the token"
            }
            TokensError::PathMayBeToken => TOKEN_IN_THE_OPEN,
            TokensError::Command(error) => {
                return Self::new(exit_of(error), message).hint(command_hint(error));
            }
            TokensError::Email => {
                "set it to the user's e-mail address and nothing else, or unset it"
            }
            TokensError::Named(_) => NAMED_VARIABLES,
        };
        Self::usage(message).hint(hint)
    }
}

/// A command line that cannot be run is wrong; one that was run could not do its job.
fn exit_of(error: &TokenCommandError) -> u8 {
    match error {
        TokenCommandError::MayBeToken
        | TokenCommandError::Unsplittable
        | TokenCommandError::Empty
        | TokenCommandError::NotRun(_) => exit::USAGE,
        TokenCommandError::Interrupted => exit::INTERRUPTED,
        TokenCommandError::Failed { .. }
        | TokenCommandError::TooSlow(_)
        | TokenCommandError::NoToken { .. }
        | TokenCommandError::OddLength(..) => exit::FAILED,
    }
}

fn command_hint(error: &TokenCommandError) -> String {
    match error {
        TokenCommandError::MayBeToken => TOKEN_IN_THE_OPEN.to_owned(),
        TokenCommandError::Unsplittable | TokenCommandError::Empty => {
            "give a command with its arguments, such as --token-command 'op read op://vault/cloudflare/token'".to_owned()
        }
        TokenCommandError::NotRun(_) => {
            "it is run without a shell: the first word is a program in PATH, or its path; for pipes and variables give sh -c '...'".to_owned()
        }
        TokenCommandError::Interrupted => "run it again".to_owned(),
        TokenCommandError::Failed { .. } | TokenCommandError::TooSlow(_) => format!(
            "run the command by hand: it must print the token within {} s without prompting, because its standard input is closed; sign in to the password store first",
            COMMAND_LIMIT.as_secs()
        ),
        TokenCommandError::NoToken { .. } | TokenCommandError::OddLength(..) => {
            "run the command by hand: it must print only the token, on one line of standard output".to_owned()
        }
    }
}

/// What to do where a token may have been given in place of a file's path.
pub const TOKEN_IN_THE_OPEN: &str = "put the token in CLOUDFLARE_API_TOKEN or a --token-file; roll it if the command line was logged or visible to others";
