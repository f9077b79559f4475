//! What an answer means: an answer, a throttling, or a failure and of which kind.
//!
//! Cloudflare publishes no list of its error codes, and one code stands for several things; so the code is
//! looked at first, then the message, then the status. Only `errors` is looked at: a *successful* answer has been
//! seen to carry code 10000 in its `messages`.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::outcome::{ErrorKind, ReadError, WRITE_PERMISSION};

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// What was asked for, as far as can be seen without knowing the operation.
    Success,
    /// The token is over its rate limit.
    Throttled(ReadError),
    /// Something else went wrong.
    Failure {
        /// What, in words.
        error: ReadError,
        /// Whether the token itself was refused, so that every other request with it will be too.
        token_refused: bool,
        /// Whether the same request may go well a little later.
        passing: bool,
    },
}

/// The part of every answer that tells success from failure, as odd as it may come.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    success: Option<&'a RawValue>,
    #[serde(default, borrow)]
    errors: Option<&'a RawValue>,
}

impl Envelope<'_> {
    /// What it says of success; `None` where that is neither yes nor no.
    fn success(&self) -> Option<bool> {
        self.success
            .and_then(|success| success.get().trim_matches('"').parse().ok())
    }

    fn messages(&self) -> Vec<Message> {
        match self.errors.map(RawValue::get) {
            None => Vec::new(),
            Some(errors) if errors.len() > LARGEST_ERRORS => vec![Message {
                code: None,
                text: format!("{} bytes of errors, which are not read", errors.len()),
            }],
            Some(errors) => match serde_json::from_str(errors) {
                Ok(errors) => messages(&errors),
                // Something in it is odd: that costs no other part of it.
                Err(_) => odd_messages(errors),
            },
        }
    }
}

/// The most of an answer's errors that is read, in bytes.
const LARGEST_ERRORS: usize = 64 * 1024;

/// What a request does, which decides the permission that its token needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It lists accounts.
    List,
    /// It lists organizations, or the accounts of one.
    Organizations,
    /// It reads an account's connectors.
    Read,
    /// It changes something.
    Write,
}

impl Access {
    /// The permission, as the API names it; with the dashboard's own name where that is another.
    pub fn permission(self) -> &'static str {
        match self {
            Self::List => "Account Settings Read",
            Self::Organizations => "User Details Read",
            Self::Read => "SSO Connector Read",
            Self::Write => WRITE_PERMISSION,
        }
    }
}

/// Says what an answer to a request means. `location` is where a redirect points.
pub fn meaning(access: Access, status: StatusCode, location: Option<&str>, body: &[u8]) -> Meaning {
    let told = |kind, errors: &[Message], otherwise| told(access, kind, errors, otherwise);
    let envelope = serde_json::from_slice::<Envelope<'_>>(body);
    let errors = envelope
        .as_ref()
        .map(Envelope::messages)
        .unwrap_or_default();
    if errors.iter().any(is_throttling) || status == StatusCode::TOO_MANY_REQUESTS {
        return Meaning::Throttled(told(
            ErrorKind::RateLimited,
            &errors,
            "over the rate limit".to_owned(),
        ));
    }
    if status.is_redirection() {
        let place = location.unwrap_or("an unknown address");
        let cause = format!(
            "answered with a redirect (HTTP {}) to {place}, which is not followed, so that the token goes nowhere else",
            status.as_u16()
        );
        return failure(ReadError::new(ErrorKind::Malformed, cause), false, false);
    }
    if !status.is_success() {
        let (kind, token_refused) = kind_of(status, &errors);
        let passing = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT);
        let otherwise = match &envelope {
            Ok(_) => format!("HTTP {} with no reason given", status.as_u16()),
            Err(_) => format!("HTTP {}, and {}", status.as_u16(), instead_of_json(body)),
        };
        return failure(told(kind, &errors, otherwise), token_refused, passing);
    }
    match envelope {
        Err(error) if status == StatusCode::OK || !body.is_empty() => {
            let cause = format!("{} ({error})", instead_of_json(body));
            failure(ReadError::new(ErrorKind::Malformed, cause), false, false)
        }
        Err(_) => {
            let cause = format!("HTTP {} with an empty body", status.as_u16());
            failure(ReadError::new(ErrorKind::Malformed, cause), false, false)
        }
        Ok(envelope) if envelope.success() == Some(false) => {
            let (kind, token_refused) = kind_of(status, &errors);
            let otherwise = format!(
                "HTTP {} with `success: false` and no reason given",
                status.as_u16()
            );
            failure(told(kind, &errors, otherwise), token_refused, false)
        }
        // A list may come without; of a change nobody would know whether it was made.
        Ok(envelope) if access == Access::Write && envelope.success() != Some(true) => {
            let cause = "the answer does not say whether it succeeded";
            failure(ReadError::new(ErrorKind::Malformed, cause), false, false)
        }
        Ok(_) => Meaning::Success,
    }
}

fn failure(error: ReadError, token_refused: bool, passing: bool) -> Meaning {
    Meaning::Failure {
        error,
        token_refused,
        passing,
    }
}

/// One entry of `errors`.
#[derive(Debug, Default)]
struct Message {
    code: Option<String>,
    text: String,
}

fn messages(errors: &Value) -> Vec<Message> {
    let message = |value: &Value| match value {
        Value::Object(fields) => Message {
            code: match fields.get("code") {
                Some(Value::String(code)) => Some(code.clone()),
                Some(Value::Number(code)) => Some(code.to_string()),
                _ => None,
            },
            text: match fields.get("message") {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            },
        },
        Value::String(text) => Message {
            code: None,
            text: text.clone(),
        },
        other => Message {
            code: None,
            text: other.to_string(),
        },
    };
    match errors {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(message).collect(),
        other => vec![message(other)],
    }
}

/// The messages of a list in which a value cannot be decoded, each part as written.
fn odd_messages(errors: &str) -> Vec<Message> {
    #[derive(Deserialize)]
    struct Written<'a> {
        #[serde(default, borrow)]
        code: Option<&'a RawValue>,
        #[serde(default, borrow)]
        message: Option<&'a RawValue>,
    }
    let items: Vec<&RawValue> = serde_json::from_str(errors).unwrap_or_default();
    let text = |part: &RawValue| part.get().trim_matches('"').to_owned();
    let message = |item: &&RawValue| {
        let written = serde_json::from_str::<Written<'_>>(item.get()).ok()?;
        Some(Message {
            code: written.code.map(text),
            text: written.message.map(text).unwrap_or_default(),
        })
    };
    items.iter().filter_map(message).collect()
}

fn is_throttling(error: &Message) -> bool {
    matches!(error.code.as_deref(), Some("971" | "10100" | "10429"))
}

/// What 9109 says, in small letters, where an operation wants another kind of credential, or where the token is bad.
const OTHER_CREDENTIAL: &str = "user-level authentication not found";

/// The kind of a failure, and whether the token itself was refused.
fn kind_of(status: StatusCode, errors: &[Message]) -> (ErrorKind, bool) {
    let by_error = |error: &Message| -> Option<(ErrorKind, bool)> {
        let text = error.text.to_ascii_lowercase();
        let says = |part: &str| text.contains(part);
        match error.code.as_deref() {
            // A bad token and one without the permission get the same words; only a 401 is the token's own.
            Some("10000") => Some((ErrorKind::Auth, status == StatusCode::UNAUTHORIZED)),
            Some("9109") if says("unauthorized to access") => Some((ErrorKind::Forbidden, false)),
            // It may be the operation's: it wants a user's token, say, and got an account's. One answer cannot tell.
            Some("9109") if says(OTHER_CREDENTIAL) => Some((ErrorKind::Auth, false)),
            Some("9109") => Some((ErrorKind::Auth, true)),
            Some("1000") if says("token") => Some((ErrorKind::Auth, true)),
            Some("6003" | "6111" | "9106") => Some((ErrorKind::Auth, true)),
            Some("7000" | "7003") => Some((ErrorKind::NotFound, false)),
            _ if says("invalid access token")
                || says("invalid api token")
                || says("max auth failures") =>
            {
                Some((ErrorKind::Auth, true))
            }
            _ if says(OTHER_CREDENTIAL) => Some((ErrorKind::Auth, false)),
            _ if says("authentication error") => {
                Some((ErrorKind::Auth, status == StatusCode::UNAUTHORIZED))
            }
            _ if says("unauthorized to access") => Some((ErrorKind::Forbidden, false)),
            _ if says("could not route to") => Some((ErrorKind::NotFound, false)),
            _ => None,
        }
    };
    let by_status = match status {
        StatusCode::UNAUTHORIZED => (ErrorKind::Auth, true),
        StatusCode::FORBIDDEN => (ErrorKind::Forbidden, false),
        StatusCode::NOT_FOUND => (ErrorKind::NotFound, false),
        StatusCode::REQUEST_TIMEOUT => (ErrorKind::Timeout, false),
        status if status.is_server_error() => (ErrorKind::Server, false),
        _ => (ErrorKind::Api, false),
    };
    errors.iter().find_map(by_error).unwrap_or(by_status)
}

/// The error as the API told it, with what it means where its own words do not say.
fn told(access: Access, kind: ErrorKind, errors: &[Message], otherwise: String) -> ReadError {
    let Some(first) = errors.first() else {
        return ReadError::new(kind, otherwise);
    };
    let texts: Vec<_> = errors
        .iter()
        .map(|error| error.text.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    let mut message = if texts.is_empty() {
        otherwise
    } else {
        texts.join("; ")
    };
    // A bad token and one without the permission get the same words. Whoever lists organizations has more to say of it.
    if first.code.as_deref() == Some("10000") && access != Access::Organizations {
        let permission = access.permission();
        let place = match access {
            Access::List | Access::Organizations => "",
            Access::Read | Access::Write => " on this account",
        };
        message = format!(
            "{message}: the token is not valid, or lacks the permission \"{permission}\"{place}"
        );
    }
    if message.to_ascii_lowercase().contains(OTHER_CREDENTIAL) {
        message = format!(
            "{message}: this operation needs another kind of credential, or the token is not valid"
        );
    }
    ReadError::coded(kind, first.code.as_deref(), &message)
}

fn instead_of_json(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        "the body is empty"
    } else if start.starts_with(b"<") {
        "the body is HTML instead of JSON"
    } else if std::str::from_utf8(body).is_err() {
        "the body is not UTF-8 text"
    } else {
        "the body is not JSON"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> (ErrorKind, bool, bool) {
        match meaning(
            Access::Read,
            StatusCode::from_u16(status).unwrap(),
            None,
            body.as_bytes(),
        ) {
            Meaning::Failure {
                error,
                token_refused,
                passing,
            } => (error.kind, token_refused, passing),
            Meaning::Throttled(error) => (error.kind, false, true),
            Meaning::Success => panic!("{status} {body} is taken for a success"),
        }
    }

    fn error(code: &str, message: &str) -> String {
        format!(
            r#"{{"success":false,"errors":[{{"code":{code},"message":"{message}"}}],"messages":[],"result":null}}"#
        )
    }

    #[test]
    fn an_odd_value_in_an_error_costs_no_other_part_of_it() {
        for body in [
            r#"{"success":false,"errors":[{"code":10000,"message":"\udc00"}]}"#,
            r#"{"success":false,"errors":[{"code":10000,"message":"x"},{"code":1e999}]}"#,
        ] {
            assert_eq!(judged(403, body), (ErrorKind::Auth, false, false), "{body}");
        }
    }

    #[test]
    fn every_error_of_the_api_facts_has_its_kind() {
        use ErrorKind::*;
        for (status, code, message, kind, token_refused) in [
            (403, "10000", "Authentication error", Auth, false),
            (401, "10000", "Authentication error", Auth, true),
            (403, "10000", "Forbidden", Auth, false),
            (403, "9109", "Invalid access token", Auth, true),
            (
                403,
                "9109",
                "Max auth failures reached, please check your Authorization header.",
                Auth,
                true,
            ),
            (
                403,
                "9109",
                "Unauthorized to access requested resource",
                Forbidden,
                false,
            ),
            (
                403,
                "9109",
                "Cannot use the access token from location: 192.0.2.1",
                Auth,
                true,
            ),
            (
                403,
                "9109",
                "Valid user-level authentication not found",
                Auth,
                false,
            ),
            (401, "1000", "Invalid API Token", Auth, true),
            (400, "1000", "Invalid API Token", Auth, true),
            (
                400,
                "1001",
                "List accounts endpoint does not support account owned tokens.",
                Api,
                false,
            ),
            (400, "6003", "Invalid request headers", Auth, true),
            (
                400,
                "9106",
                "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
                Auth,
                true,
            ),
            (
                404,
                "7003",
                "Could not route to /accounts/x, perhaps your object identifier is invalid?",
                NotFound,
                false,
            ),
            (400, "7000", "No route for that URI", NotFound, false),
            (
                429,
                "971",
                "Please wait and consider throttling your request speed",
                RateLimited,
                false,
            ),
            (
                200,
                "971",
                "Please wait and consider throttling your request speed",
                RateLimited,
                false,
            ),
            (429, "10100", "x", RateLimited, false),
            (503, "10429", "x", RateLimited, false),
        ] {
            let quoted = format!("\"{code}\"");
            for code in [code, &quoted] {
                let (got, refused, _) = judged(status, &error(code, message));
                assert_eq!(
                    (got, refused),
                    (kind, token_refused),
                    "{status} {code} {message}"
                );
            }
        }
    }

    #[test]
    fn without_a_code_the_message_speaks_and_without_a_message_the_status() {
        use ErrorKind::*;
        assert_eq!(
            judged(
                403,
                r#"{"success":false,"errors":[{"message":"Invalid access token"}]}"#
            )
            .0,
            Auth
        );
        assert_eq!(
            judged(400, r#"{"errors":["Could not route to /x"]}"#).0,
            NotFound
        );
        for (status, kind, passing) in [
            (400, Api, false),
            (401, Auth, false),
            (403, Forbidden, false),
            (404, NotFound, false),
            (408, Timeout, true),
            (409, Api, true),
            (418, Api, false),
            (429, RateLimited, true),
            (500, Server, true),
            (503, Server, true),
            (599, Server, true),
        ] {
            for body in [
                "",
                "<html>x</html>",
                "{}",
                "[]",
                r#"{"errors":null}"#,
                r#"{"errors":{}}"#,
            ] {
                let (got, _, again) = judged(status, body);
                assert_eq!((got, again), (kind, passing), "{status} {body:?}");
            }
        }
    }

    #[test]
    fn a_success_that_is_none_is_told_apart() {
        use ErrorKind::*;
        assert_eq!(judged(200, "<!doctype html>").0, Malformed);
        assert_eq!(judged(200, "").0, Malformed);
        assert_eq!(judged(204, "").0, Malformed);
        assert_eq!(judged(200, r#"{"success":true,"result":["#).0, Malformed);
        assert_eq!(judged(302, "").0, Malformed);
        assert_eq!(judged(200, r#"{"success":false,"errors":[]}"#).0, Api);
        assert_eq!(judged(200, &error("10000", "Authentication error")).0, Auth);
        let deep = "[".repeat(100_000);
        assert_eq!(judged(200, &deep).0, Malformed);
    }

    #[test]
    fn a_success_with_code_10000_among_its_messages_is_one() {
        let body = br#"{"success":true,"errors":[],"messages":[{"code":10000,"message":"This API Token is valid and active"}],"result":{}}"#;
        assert_eq!(
            meaning(Access::Read, StatusCode::OK, None, body),
            Meaning::Success
        );
        assert_eq!(
            meaning(
                Access::Read,
                StatusCode::OK,
                None,
                br#"{"success":true,"errors":null,"result":[]}"#
            ),
            Meaning::Success
        );
    }

    #[test]
    fn a_refusal_names_the_permission_that_the_request_needs() {
        let body = error("10000", "Authentication error");
        for (access, permission) in [
            (
                Access::Read,
                "lacks the permission \"SSO Connector Read\" on",
            ),
            (
                Access::Write,
                "lacks the permission \"SSO Connector Write (labelled Edit in the dashboard)\" on",
            ),
        ] {
            match meaning(access, StatusCode::FORBIDDEN, None, body.as_bytes()) {
                Meaning::Failure { error, .. } => {
                    assert!(error.message.contains(permission), "{}", error.message)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_has_a_meaning(status in 200u16..600, body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            meaning(Access::Read, StatusCode::from_u16(status).unwrap(), None, &body);
        }
    }
}
