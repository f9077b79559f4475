//! What an answer tells besides what was asked for: how good the token is, the time, the limits.

use chrono::{DateTime, Utc};

use super::examination::{Examination, Verdict, told};
use crate::api::{Exchange, TokenKind, TokenState, rate_limits};
use crate::outcome::ReadError;
use crate::rate::Rate;

/// A clock that is off by more is reported, in seconds.
const CLOCK_WARN: i64 = 30;
/// A clock that is off by more makes certificates and ages wrong, in seconds.
const CLOCK_FAIL: i64 = 300;

/// A token that expires within so many days is warned of.
const DAYS_WARN: i64 = 14;

/// What is said of the kind of a token.
pub(super) fn kind(check: &str, name: &str, kind: TokenKind, examination: &mut Examination) {
    let finding = match kind {
        TokenKind::User => format!("{name} is a user's token (cfut_)"),
        TokenKind::Account => {
            format!("{name} is an account's own token (cfat_), which cannot list accounts")
        }
        TokenKind::OAuth => format!(
            "{name} is an OAuth access token (cfoat_), such as `wrangler auth token` prints: it expires soon, and FedRAMP High does not have them"
        ),
        TokenKind::Unprefixed => {
            format!("{name} is a token without a prefix, like older ones")
        }
        TokenKind::GlobalKey => {
            examination.add(
                Verdict::Fail,
                check,
                format!("{name} is a global API key (cfk_), which the SSO operations refuse"),
                "create an API token with the permission SSO Connector Read",
            );
            return;
        }
    };
    examination.pass(check, finding);
}

/// What the API says of a token.
pub(super) fn token_state(
    check: &str,
    kind: TokenKind,
    state: &TokenState,
    examination: &mut Examination,
) {
    let until = state.expires_on.as_ref();
    let until = until.map_or(String::new(), |at| format!(" until {at}"));
    let expires = state.expires_on.as_ref();
    let expires = expires.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    let days_left = expires.map(|at| (at.with_timezone(&Utc) - Utc::now()).num_days());
    match state.status.as_str() {
        "active" if kind == TokenKind::OAuth => {
            let when = if until.is_empty() {
                "; it expires soon, the API does not say when"
            } else {
                &until
            };
            examination.add(
                Verdict::Warn,
                check,
                format!("active{when}"),
                "for scheduled runs, use an API token, or get a new one for each run: --token-command 'wrangler auth token'",
            );
        }
        "active" if days_left.is_some_and(|days| days < DAYS_WARN) => {
            examination.add(
                Verdict::Warn,
                check,
                format!("active{until}"),
                "create a new token before this one expires",
            );
        }
        "active" => examination.pass(check, format!("active{until}")),
        other => examination.add(
            Verdict::Fail,
            check,
            format!("its status is {other:?}"),
            "create a new token, or enable this one again",
        ),
    }
}

/// What is said of a token of which the API does not say how good it is.
pub(super) fn unverified(
    check: &str,
    kind: TokenKind,
    has_account: bool,
    error: &ReadError,
    examination: &mut Examination,
) {
    match kind {
        TokenKind::Account if !has_account => examination.add(
            Verdict::Warn,
            check,
            format!(
                "an account's own token can only be verified against its account: {}",
                error.message
            ),
            "name the account: cf-sso-audit doctor ACCOUNT_ID",
        ),
        // That this operation takes OAuth tokens is documented nowhere.
        TokenKind::OAuth => examination.add(
            Verdict::Warn,
            check,
            format!(
                "the API does not say when this OAuth token expires ({}); expect it soon",
                told(error)
            ),
            "name an account to check whether it can be read; if not, sign in again (`wrangler login`)",
        ),
        _ => examination.fail_by(check, error),
    }
}

/// Whether this machine's clock agrees with the API's.
pub(super) fn clock(exchange: &Exchange, examination: &mut Examination) {
    let date = exchange
        .headers
        .get(http::header::DATE)
        .and_then(|value| value.to_str().ok());
    let Some(server) = date
        .and_then(|text| httpdate::parse_http_date(text).ok())
        .map(DateTime::<Utc>::from)
    else {
        examination.add(
            Verdict::Warn,
            "clock",
            "the answer has no date to compare with",
            "",
        );
        return;
    };
    let off = (Utc::now() - server).num_seconds();
    let (ahead, seconds) = (if off > 0 { "ahead" } else { "behind" }, off.abs());
    let remedy = "set this machine's clock, for example with NTP";
    let finding = format!("{seconds} s {ahead} of the API's");
    match seconds {
        0..=CLOCK_WARN => examination.pass("clock", "agrees with the API's"),
        ..=CLOCK_FAIL => examination.add(Verdict::Warn, "clock", finding, remedy),
        _ => examination.add(Verdict::Fail, "clock", finding, remedy),
    }
}

/// The limits that the API names, each compared with the rate of our own.
pub(super) fn rate_limit(exchange: &Exchange, rate: Rate, examination: &mut Examination) {
    const CHECK: &str = "rate limit";
    let limits = rate_limits(&exchange.headers);
    let shown: Vec<_> = limits.iter().map(ToString::to_string).collect();
    let shown = shown.join("; ");
    let exceeded = limits.iter().find(|limit| limit.is_exceeded_by(rate));
    match exceeded.and_then(|limit| Some((limit, limit.quota?, limit.window?))) {
        Some((limit, quota, window)) => examination.add(
            Verdict::Warn,
            CHECK,
            format!("{shown}; --rate {rate} can exceed {:?}", limit.name),
            &format!("use --rate {quota}/{window}s or less: other tools share the limit"),
        ),
        None if limits.is_empty() => examination.add(
            Verdict::Warn,
            CHECK,
            "the API sent no rate-limit header",
            "the audit keeps to --rate",
        ),
        None => examination.pass(CHECK, shown),
    }
}
