//! How far an account was read, and why no further.

use serde::{Deserialize, Serialize};

use crate::text::{for_terminal, shortened};

/// How far an account was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The whole list was read.
    Read,
    /// A list was read that is incomplete.
    Incomplete,
    /// Nothing was read.
    Unread,
}

impl Outcome {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Incomplete => "incomplete",
            Self::Unread => "unread",
        }
    }
}

/// Why an account was not read in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The id is not 32 hex digits; nothing was asked.
    InvalidId,
    /// The token was refused: bad, expired, locked out, or without any permission.
    Auth,
    /// The token is good, but may not read this account.
    Forbidden,
    /// The API knows no such account.
    NotFound,
    /// Over the rate limit, after every pause.
    RateLimited,
    /// The server failed (5xx), after every attempt.
    Server,
    /// No answer in time, after every attempt.
    Timeout,
    /// No connection, or one that broke, after every attempt.
    Connect,
    /// An answer that is not what the API answers.
    Malformed,
    /// The API refused with an error of another kind.
    Api,
    /// Fewer connectors were answered than the answer says there are.
    IncompleteList,
    /// The run ended before the account was read.
    Interrupted,
}

impl ErrorKind {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidId => "invalid-id",
            Self::Auth => "auth",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::RateLimited => "rate-limited",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Malformed => "malformed",
            Self::Api => "api",
            Self::IncompleteList => "incomplete-list",
            Self::Interrupted => "interrupted",
        }
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::InvalidId => "the ID is not valid",
            Self::Auth => "the token was refused",
            Self::Forbidden => "the token is valid but lacks permission",
            Self::NotFound => "the API has no such account or connector",
            Self::RateLimited => {
                "too many requests were sent with this token, here or by other tools"
            }
            Self::Server => "Cloudflare's servers failed",
            Self::Timeout => "no answer came in time",
            Self::Connect => "the API could not be reached",
            Self::Malformed => "the answer is not a valid API response",
            Self::Api => "the API refused the request the request",
            Self::IncompleteList => "the list is incomplete",
            Self::Interrupted => "the run ended before it was read",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::InvalidId => {
                "Correct the account ID: 32 hex digits, as in the dashboard's address."
            }
            Self::Auth => {
                "Check the token with `cf-sso-audit doctor ACCOUNT_ID`: it must be active, allowed from this address, and have the permission SSO Connector Read."
            }
            Self::Forbidden => {
                "Give the token the permission SSO Connector Read on this account, or use another token for it (`token_env`)."
            }
            Self::NotFound => "Check the ID; the account or connector may have been deleted.",
            Self::RateLimited => "Try again later, or with a lower `--rate`.",
            Self::Server => {
                "Try again later; if it fails again, check https://www.cloudflarestatus.com, or give the cf-ray to Cloudflare's support."
            }
            Self::Timeout | Self::Connect => {
                "Try again; if it fails again, check the network with `cf-sso-audit doctor`, and https://www.cloudflarestatus.com."
            }
            Self::Malformed | Self::Api => {
                "Check the account in the dashboard, and give the cf-ray to Cloudflare's support."
            }
            Self::IncompleteList => {
                "Check the account in the dashboard: the API returned only some of its connectors."
            }
            Self::Interrupted => {
                "Complete the run with `cf-sso-audit audit --resume`, or run the audit again."
            }
        }
    }

    /// What to do about it where something was to be changed, which needs another permission than reading.
    pub fn remedy_of_change(self) -> String {
        match self {
            Self::Auth => format!(
                "Check the token with `cf-sso-audit doctor ACCOUNT_ID`: it must be active, allowed from this address, and have the permission {WRITE_PERMISSION}."
            ),
            Self::Forbidden => {
                format!("Give the token the permission {WRITE_PERMISSION} on this account.")
            }
            other => other.remedy().to_owned(),
        }
    }
}

/// The permission that changing connectors needs: the API and the dashboard name it differently.
pub const WRITE_PERMISSION: &str = "SSO Connector Write (labelled Edit in the dashboard)";

/// The permission that reading connectors needs, as API and dashboard name it.
pub const READ_PERMISSION: &str = "SSO Connector Read";
/// The ids of the permission groups, which making a token by the API takes.
pub const READ_GROUP: &str = "1d80f6f165ea47f2b55d4a393fd697de";
/// See [`READ_GROUP`].
pub const WRITE_GROUP: &str = "901ca5e292584c6aa1b4cdb39248bb07";
/// Where a user makes a token.
pub const TOKEN_PAGE: &str = "https://dash.cloudflare.com/profile/api-tokens";

/// Why an account was not read in full, with what the API said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// The API's own code, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, in words.
    pub message: String,
}

/// The longest message that is kept, and the longest code, in characters: what the API says may be of any length.
const LONGEST_MESSAGE: usize = 400;
const LONGEST_CODE: usize = 40;

impl ReadError {
    /// A failure that the API gave no code for.
    pub fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Self::coded(kind, None, message.as_ref())
    }

    /// A failure with the API's own code, where it gave one. Code and message are cut, and brought on one line that does
    /// nothing to a terminal: they are in every output.
    pub fn coded(kind: ErrorKind, code: Option<&str>, message: &str) -> Self {
        let harmless = |text, most| for_terminal(&shortened(text, most)).into_owned();
        Self {
            kind,
            code: code.map(|code| harmless(code, LONGEST_CODE)),
            message: harmless(message, LONGEST_MESSAGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_fit_their_causes() {
        assert!(!ErrorKind::Server.remedy().contains("network"));
        for kind in [ErrorKind::Timeout, ErrorKind::Connect] {
            assert!(kind.remedy().contains("network"));
        }
        // A token of an account's own can be examined only with its account.
        for remedy in [
            ErrorKind::Auth.remedy(),
            &ErrorKind::Auth.remedy_of_change(),
        ] {
            assert!(remedy.contains("`cf-sso-audit doctor ACCOUNT_ID`"));
        }
    }
}
