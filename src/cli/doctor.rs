//! `cf-sso-audit doctor`: is everything in place for an audit?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::connection::ConnectionArgs;
use super::screen::stdout_takes_colours;
use super::{Failure, exit, print};
use crate::accounts::account_id;
use crate::api::{Answered, Api, Exchange, Lane, TokenKind, TokenState};
use crate::clock::Clock;
use crate::collect::missing;
use crate::outcome::{ErrorKind, ReadError};
use crate::runs;
use crate::text::{count, for_terminal};

/// Check that everything is in place for an audit: token, network, clock, permissions, output folder
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Is the token good, and may it read this account?
      cf-sso-audit doctor 023e105f4ecef8ad9ca31a8372d0c353")]
pub struct DoctorArgs {
    /// Accounts whose connectors the token should be able to read
    #[arg(value_name = "ACCOUNT_ID")]
    accounts: Vec<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The folder that is to hold the runs
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    output: PathBuf,
    /// Write JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// One line of the examination.
#[derive(Debug, Serialize)]
struct Line {
    check: String,
    result: Verdict,
    finding: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

#[derive(Default)]
struct Examination(Vec<Line>);

impl Examination {
    fn add(&mut self, result: Verdict, check: &str, finding: impl Into<String>, remedy: &str) {
        self.0.push(Line {
            check: check.to_owned(),
            result,
            finding: finding.into(),
            remedy: remedy.to_owned(),
        });
    }

    fn pass(&mut self, check: &str, finding: impl Into<String>) {
        self.add(Verdict::Pass, check, finding, "");
    }

    fn fail(&mut self, check: &str, failure: &Failure) {
        let remedy = failure.hint.as_deref().unwrap_or_default();
        self.add(Verdict::Fail, check, failure.message.as_str(), remedy);
    }

    fn fail_by(&mut self, check: &str, error: &ReadError) {
        let code = error
            .code
            .as_ref()
            .map(|code| format!(" {code}"))
            .unwrap_or_default();
        self.add(
            Verdict::Fail,
            check,
            format!("{}{code}: {}", error.kind.as_str(), error.message),
            match error.kind {
                // The general remedy is to ask this command.
                ErrorKind::Auth => {
                    "make a new token with the permission SSO Connector Read on the account, not bound to another address"
                }
                kind => kind.remedy(),
            },
        );
    }
}

/// A clock that is off by more is told of, in seconds.
const CLOCK_WARN: i64 = 30;
/// A clock that is off by more makes certificates and ages wrong, in seconds.
const CLOCK_FAIL: i64 = 300;

/// Runs the command.
pub async fn run(args: DoctorArgs) -> Result<u8, Failure> {
    let mut examination = Examination::default();
    examine(&args, &mut examination).await?;
    let failed = examination
        .0
        .iter()
        .any(|line| line.result == Verdict::Fail);
    let text = if args.json {
        super::json_text(&serde_json::json!(examination.0))
    } else {
        written(&examination.0)
    };
    print(&text)?;
    Ok(if failed { exit::FAILED } else { exit::DONE })
}

async fn examine(args: &DoctorArgs, examination: &mut Examination) -> Result<(), Failure> {
    output(&args.output, examination);
    let base_url = args.connection.base_url()?;
    let (name, token) = match args.connection.default_token().read() {
        Ok(found) => found,
        Err(error) => {
            examination.fail("token", &error.into());
            return Ok(());
        }
    };
    let kind = token.kind();
    match kind {
        TokenKind::User => {
            examination.pass("token", format!("{name} holds a user's token (cfut_)"))
        }
        TokenKind::Account => examination.pass(
            "token",
            format!("{name} holds an account's own token (cfat_), which cannot list accounts"),
        ),
        TokenKind::Unprefixed => examination.pass(
            "token",
            format!("{name} holds a token without a prefix, as older ones are"),
        ),
        TokenKind::GlobalKey => {
            examination.add(
                Verdict::Fail,
                "token",
                format!("{name} holds a global API key (cfk_), which the SSO operations refuse"),
                "make an API token with the permission SSO Connector Read",
            );
            // It opens everything: it is not sent where it is of no use.
            return Ok(());
        }
    }
    let api = args.connection.api(base_url, Clock::default())?;
    let lane = args.connection.lane(&name, token);
    let by_way_of = match api.proxy() {
        Some(proxy) => format!(" by way of the proxy {proxy}"),
        None => String::new(),
    };

    let accounts: Vec<_> = args
        .accounts
        .iter()
        .filter_map(|text| account_id(text))
        .collect();
    for text in args
        .accounts
        .iter()
        .filter(|text| account_id(text).is_none())
    {
        examination.add(
            Verdict::Fail,
            &format!("account {text}"),
            "is not an account ID",
            ErrorKind::InvalidId.remedy(),
        );
    }
    let verified = verify(&api, &lane, kind, accounts.first()).await;
    let reached = verified.exchange.http_status.is_some();
    let address = api.base_url().as_str();
    match &verified.result {
        Err(error) if !reached => {
            examination.fail_by(&format!("reach {address}"), error);
            return Ok(());
        }
        _ => examination.pass("reach", format!("{address} answers{by_way_of}")),
    }
    clock(&verified.exchange, examination);
    rate_limit(&verified.exchange, examination);
    match &verified.result {
        Err(error) if kind == TokenKind::Account && accounts.is_empty() => examination.add(
            Verdict::Warn,
            "token valid",
            format!(
                "an account's own token can be verified only with its account: {}",
                error.message
            ),
            "name the account: cf-sso-audit doctor ACCOUNT_ID",
        ),
        Err(error) => examination.fail_by("token valid", error),
        Ok(state) => token_state(state, examination),
    }
    for id in &accounts {
        let check = format!("read {id}");
        let list = api.list_connectors(&lane, id).await.result;
        match list.map(|list| (missing(&list), list)) {
            Ok((None, list)) => examination.pass(
                &check,
                format!("{} can be read", count(list.connectors.len(), "connector")),
            ),
            Ok((Some(error), _)) | Err(error) => examination.fail_by(&check, &error),
        }
    }
    Ok(())
}

/// Asks where this kind of token can be verified; tokens without a prefix may be of either.
async fn verify(
    api: &Api,
    lane: &Arc<Lane>,
    kind: TokenKind,
    account: Option<&String>,
) -> Answered<TokenState> {
    match (kind, account) {
        (TokenKind::Account, Some(account)) => api.verify_account_token(lane, account).await,
        (TokenKind::Unprefixed, Some(account)) => {
            let as_user = api.verify_user_token(lane).await;
            if as_user.result.is_ok() {
                as_user
            } else {
                api.verify_account_token(lane, account).await
            }
        }
        _ => api.verify_user_token(lane).await,
    }
}

fn token_state(state: &TokenState, examination: &mut Examination) {
    let until = state
        .expires_on
        .as_ref()
        .map(|at| format!(" until {at}"))
        .unwrap_or_default();
    let soon = state
        .expires_on
        .as_ref()
        .and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    let days_left = soon.map(|at| (at.with_timezone(&Utc) - Utc::now()).num_days());
    match state.status.as_str() {
        "active" if days_left.is_some_and(|days| days < 14) => {
            examination.add(
                Verdict::Warn,
                "token valid",
                format!("active{until}"),
                "make a new token before this one expires",
            );
        }
        "active" => examination.pass("token valid", format!("active{until}")),
        other => examination.add(
            Verdict::Fail,
            "token valid",
            format!("its status is {other:?}"),
            "make a new token, or enable this one again",
        ),
    }
}

fn clock(exchange: &Exchange, examination: &mut Examination) {
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
            "the answer names no date to compare with",
            "",
        );
        return;
    };
    let off = (Utc::now() - server).num_seconds();
    let (ahead, seconds) = (if off > 0 { "ahead" } else { "behind" }, off.abs());
    let remedy = "set this machine's clock, with NTP for example";
    let finding = format!("{seconds} s {ahead} of the API's");
    match seconds {
        0..=CLOCK_WARN => examination.pass("clock", "agrees with the API's"),
        ..=CLOCK_FAIL => examination.add(Verdict::Warn, "clock", finding, remedy),
        _ => examination.add(Verdict::Fail, "clock", finding, remedy),
    }
}

fn rate_limit(exchange: &Exchange, examination: &mut Examination) {
    let header = |name: &str| {
        exchange
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(|value| format!("{name}: {value}"))
    };
    let seen: Vec<_> = ["ratelimit-policy", "ratelimit"]
        .into_iter()
        .filter_map(header)
        .collect();
    if seen.is_empty() {
        examination.add(
            Verdict::Warn,
            "rate limit",
            "the answer names none",
            "the audit paces itself by --rate",
        );
    } else {
        examination.pass("rate limit", seen.join(", "));
    }
}

/// Whether `audit` could keep its runs in a folder.
fn output(output: &Path, examination: &mut Examination) {
    const CHECK: &str = "output";
    let shown = output.display();
    match runs::try_out(output) {
        Ok(None) => examination.pass(CHECK, format!("{shown} can be written to")),
        Ok(Some(why)) => examination.add(
            Verdict::Warn,
            CHECK,
            format!("{shown} can be written to, but its link latest cannot be updated: {why}"),
            "remove or rename latest, or open runs by their own names",
        ),
        Err(error) => examination.fail(CHECK, &error.into()),
    }
}

fn written(lines: &[Line]) -> String {
    let colours = stdout_takes_colours();
    let mut text = String::new();
    for Line {
        check,
        result,
        finding,
        remedy,
    } in lines
    {
        let (word, code) = match result {
            Verdict::Pass => ("pass", "32"),
            Verdict::Warn => ("warn", "33"),
            Verdict::Fail => ("fail", "31"),
        };
        let word = if colours {
            format!("\u{1b}[{code}m{word}\u{1b}[0m")
        } else {
            word.to_owned()
        };
        let said = format!("{check}: {finding}");
        text.push_str(&format!("{word}  {}\n", for_terminal(&said)));
        if !remedy.is_empty() && *result != Verdict::Pass {
            text.push_str(&format!("      {}\n", for_terminal(remedy)));
        }
    }
    text
}
