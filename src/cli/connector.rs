//! `cf-sso-audit connector`: the six operations of the API, one at a time.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::ConnectionArgs;
use super::{Failure, exit, json_text, print, tell};
use crate::accounts::account_id;
use crate::api::{
    Answered, Api, ConnectorChange, Lane, NewConnector, Rehearsed, Token, is_connector_id,
};
use crate::clock::Clock;
use crate::fix::{Record, zone_snippet};
use crate::model::{Connector, canonical_domain};
use crate::outcome::ReadError;
use crate::text::{for_terminal, shortened};

/// List, get, create, update or delete SSO connectors, or begin their verification
///
/// A connector is named by its id or by its e-mail domain. Listing and showing need the permission SSO Connector Read;
/// everything else needs SSO Connector Write (labelled Edit in the dashboard). A --dry-run needs no token.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The connectors of an account:
      cf-sso-audit connector list 023e105f4ecef8ad9ca31a8372d0c353
  Make one, and see which TXT record to publish:
      cf-sso-audit connector create 023e105f4ecef8ad9ca31a8372d0c353 --email-domain corp.example
  What would be sent, without sending it:
      cf-sso-audit connector update 023e105f4ecef8ad9ca31a8372d0c353 corp.example --enabled true --dry-run")]
pub struct ConnectorArgs {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    /// List an account's connectors
    List {
        #[command(flatten)]
        target: Account,
        #[command(flatten)]
        common: Common,
    },
    /// Show one connector, with the TXT record to publish
    Get {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        common: Common,
    },
    /// Make a connector; shows the TXT record to publish
    Create {
        #[command(flatten)]
        target: Account,
        /// The e-mail domain whose members are to sign in
        #[arg(long, value_name = "DOMAIN")]
        email_domain: String,
        /// Do not have Cloudflare look for the TXT record yet
        #[arg(long)]
        no_begin_verification: bool,
        /// Show users the FedRAMP text at login
        #[arg(long)]
        use_fedramp_language: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Enable or disable a connector, or set its FedRAMP text
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Update {
        #[command(flatten)]
        target: Target,
        /// Whether members sign in through their identity provider. true takes effect for every user of the domain, in
        /// whatever account
        #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, group = "change")]
        enabled: Option<bool>,
        /// Whether users are shown the FedRAMP text at login
        #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, group = "change")]
        use_fedramp_language: Option<bool>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a connector
    Delete {
        #[command(flatten)]
        target: Target,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Have Cloudflare look for a connector's TXT record, again
    BeginVerification {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Account {
    /// The account, by its id
    #[arg(value_name = "ACCOUNT_ID", value_parser = parse_account)]
    account: String,
}

#[derive(Debug, Args)]
struct Target {
    /// The account, by its id
    #[arg(value_name = "ACCOUNT_ID", value_parser = parse_account)]
    account: String,
    /// The connector, by its id or its e-mail domain
    #[arg(value_name = "CONNECTOR")]
    connector: String,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Write the API's own fields as JSON
    #[arg(long)]
    json: bool,
    /// Show the request, and send nothing; needs no token
    #[arg(long)]
    dry_run: bool,
}

fn parse_account(text: &str) -> Result<String, String> {
    account_id(text).ok_or_else(|| {
        "an account id has 32 hex digits, such as 023e105f4ecef8ad9ca31a8372d0c353".to_owned()
    })
}

/// The id of a connector.
struct Named {
    id: String,
    /// The domain that it stands for in a rehearsal, where only the API could tell the id.
    domain: Option<String>,
}

/// What a request names in a rehearsal where only the API could tell the id.
const UNKNOWN_ID: &str = "ffffffffffffffffffffffffffffffff";

/// Runs the command.
pub async fn run(args: ConnectorArgs) -> Result<u8, Failure> {
    match args.operation {
        Operation::List { target, common } => {
            let desk = Desk::open(common, Effect::Reads)?;
            let answered = desk.api.list_connectors(&desk.lane, &target.account).await;
            let Some(list) = desk.answer(answered, None)? else {
                return Ok(exit::DONE);
            };
            let missing = list
                .total_count
                .filter(|&total| total > list.connectors.len() as u64);
            print(&if desk.json {
                json_text(&json!(list.connectors))
            } else {
                table(&list.connectors)
            })?;
            match missing {
                None => Ok(exit::DONE),
                Some(total) => Err(Failure::new(
                    exit::INCOMPLETE,
                    format!(
                        "the list is not whole: {} of {total} connectors were answered",
                        list.connectors.len()
                    ),
                )),
            }
        }
        Operation::Get { target, common } => {
            let desk = Desk::open(common, Effect::Reads)?;
            let named = desk.named(&target).await?;
            let answered = desk
                .api
                .get_connector(&desk.lane, &target.account, &named.id)
                .await;
            desk.show(answered, Some(&named))
        }
        Operation::Create {
            target,
            email_domain,
            no_begin_verification,
            use_fedramp_language,
            common,
        } => {
            let desk = Desk::open(common, Effect::Changes)?;
            let new = NewConnector {
                email_domain,
                begin_verification: !no_begin_verification,
                use_fedramp_language,
            };
            let answered = desk
                .api
                .create_connector(&desk.lane, &target.account, &new)
                .await;
            desk.show(answered, None)
        }
        Operation::Update {
            target,
            enabled,
            use_fedramp_language,
            yes,
            common,
        } => {
            let desk = Desk::open(common, Effect::Changes)?;
            if enabled == Some(true) && !desk.rehearsal {
                confirm(
                    yes,
                    &format!(
                        "Enable {}? It takes effect for every user of the domain, in whatever account.",
                        target.connector
                    ),
                )?;
            }
            let named = desk.named(&target).await?;
            let change = ConnectorChange {
                enabled,
                use_fedramp_language,
            };
            let answered = desk
                .api
                .update_connector(&desk.lane, &target.account, &named.id, change)
                .await;
            match desk.answer(answered, Some(&named))? {
                None => Ok(exit::DONE),
                Some(Some(connector)) => desk.show_one(&connector),
                Some(None) => desk.say("updated", &named.id),
            }
        }
        Operation::Delete {
            target,
            yes,
            common,
        } => {
            let desk = Desk::open(common, Effect::Changes)?;
            if !desk.rehearsal {
                confirm(
                    yes,
                    &format!(
                        "Delete the connector {} of account {}?",
                        target.connector, target.account
                    ),
                )?;
            }
            let named = desk.named(&target).await?;
            let answered = desk
                .api
                .delete_connector(&desk.lane, &target.account, &named.id)
                .await;
            match desk.answer(answered, Some(&named))? {
                None => Ok(exit::DONE),
                Some(()) => desk.say("deleted", &named.id),
            }
        }
        Operation::BeginVerification { target, common } => {
            let desk = Desk::open(common, Effect::Changes)?;
            let named = desk.named(&target).await?;
            let answered = desk
                .api
                .begin_verification(&desk.lane, &target.account, &named.id)
                .await;
            match desk.answer(answered, Some(&named))? {
                None => Ok(exit::DONE),
                Some(()) => desk.say("verification begun", &named.id),
            }
        }
    }
}

/// What every operation needs.
struct Desk {
    api: Api,
    lane: Arc<Lane>,
    json: bool,
    rehearsal: bool,
    effect: Effect,
}

/// Whether an operation changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Changes,
}

impl Desk {
    fn open(common: Common, effect: Effect) -> Result<Self, Failure> {
        let clock = Clock::from_environment().map_err(Failure::usage)?;
        let base_url = common.connection.base_url()?;
        let (name, token) = if common.dry_run {
            // Nothing is sent, so nothing has to be allowed; but a lane has a token.
            let token = Token::parse("--dry-run", "none")
                .map_err(|error| Failure::failed(error.to_string()))?;
            ("--dry-run".to_owned(), token)
        } else {
            common.connection.default_token().read()?
        };
        let api = common.connection.api(base_url, clock)?;
        Ok(Self {
            lane: common.connection.lane(&name, token),
            api: if common.dry_run { api.rehearsal() } else { api },
            json: common.json,
            rehearsal: common.dry_run,
            effect,
        })
    }

    /// The connector that is named by its id or its domain. In a rehearsal no domain can be looked up.
    async fn named(&self, target: &Target) -> Result<Named, Failure> {
        let named = target.connector.trim();
        if !named.contains('.') {
            if !is_connector_id(named) {
                return Err(Failure::usage(format!(
                    "{:?} is neither a connector ID, which has 32 characters, nor an e-mail domain",
                    shortened(named, 100)
                ))
                .hint("`cf-sso-audit connector list` shows the connectors of an account"));
            }
            return Ok(Named {
                id: named.to_owned(),
                domain: None,
            });
        }
        if self.rehearsal {
            return Ok(Named {
                id: UNKNOWN_ID.to_owned(),
                domain: Some(named.to_owned()),
            });
        }
        let answered = self.api.list_connectors(&self.lane, &target.account).await;
        let list = answered
            .result
            .map_err(|error| refused(&error, error.kind.remedy()))?;
        let wanted = canonical_domain(named);
        let missing = list
            .total_count
            .filter(|&total| total > list.connectors.len() as u64);
        let not_whole = |total: u64| {
            format!(
                "the list is not whole: {} of {total} connectors were answered",
                list.connectors.len()
            )
        };
        let of_domain = list
            .connectors
            .iter()
            .filter(|connector| connector.canonical_domain().as_ref() == Some(&wanted));
        let ids: Vec<_> = of_domain
            .filter_map(|connector| connector.id.known())
            .collect();
        match (ids.as_slice(), missing) {
            ([id], _) if !is_connector_id(id) => Err(Failure::failed(format!(
                "the connector for {wanted} has an ID of {} characters, and the API takes IDs of 32",
                id.chars().count()
            ))
            .hint("use the dashboard for this connector")),
            // There may be another one for the same domain among those that are missing.
            ([id], Some(total)) if self.effect == Effect::Changes => {
                Err(Failure::failed(not_whole(total)).hint(format!(
                    "name the connector by its ID, if it is the one you mean: {}",
                    for_terminal(id)
                )))
            }
            ([id], _) => Ok(Named {
                id: (*id).clone(),
                domain: None,
            }),
            ([], Some(total)) => Err(Failure::new(
                exit::INCOMPLETE,
                format!("{}, and none of them is for {wanted}", not_whole(total)),
            )
            .hint("look at the account in the dashboard")),
            ([], None) => Err(Failure::failed(format!(
                "account {} has no connector for {wanted}",
                target.account
            ))
            .hint("`cf-sso-audit connector list` shows those it has")),
            (several, _) => {
                let ids: Vec<_> = several.iter().map(|id| id.as_str()).collect();
                Err(Failure::failed(format!(
                    "account {} has {} connectors for {wanted}",
                    target.account,
                    ids.len()
                ))
                .hint(format!("name one by its id: {}", ids.join(", "))))
            }
        }
    }

    /// The answer of use; `None` where nothing was sent and the request was shown instead.
    fn answer<T>(
        &self,
        answered: Answered<T>,
        named: Option<&Named>,
    ) -> Result<Option<T>, Failure> {
        if let Some(rehearsed) = answered.exchange.rehearsed {
            print(&shown(rehearsed, named, self.json))?;
            return Ok(None);
        }
        let is_lost = answered.is_lost();
        answered.result.map(Some).map_err(|error| {
            let hint = match self.effect {
                Effect::Reads => error.kind.remedy().to_owned(),
                Effect::Changes if is_lost => {
                    "the change may have been carried out all the same: look with `cf-sso-audit connector list` before you try again".to_owned()
                }
                Effect::Changes => error.kind.remedy_of_change(),
            };
            refused(&error, hint)
        })
    }

    fn show(&self, answered: Answered<Connector>, named: Option<&Named>) -> Result<u8, Failure> {
        match self.answer(answered, named)? {
            None => Ok(exit::DONE),
            Some(connector) => self.show_one(&connector),
        }
    }

    fn show_one(&self, connector: &Connector) -> Result<u8, Failure> {
        print(&if self.json {
            json_text(&json!(connector))
        } else {
            details(connector)
        })?;
        Ok(exit::DONE)
    }

    fn say(&self, what: &str, id: &str) -> Result<u8, Failure> {
        print(&if self.json {
            json_text(&json!({"id": id}))
        } else {
            format!("{what}: {}\n", for_terminal(id))
        })?;
        Ok(exit::DONE)
    }
}

/// The request that would have been sent.
fn shown(request: Rehearsed, named: Option<&Named>, json: bool) -> String {
    let url = match named.and_then(|named| named.domain.as_deref()) {
        None => request.url,
        Some(domain) => {
            let place = |id: &str| format!("/sso_connectors/{id}");
            let id_of = format!("<id of {}>", for_terminal(domain));
            request.url.replace(&place(UNKNOWN_ID), &place(&id_of))
        }
    };
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
    if json {
        return json_text(&json!({"method": request.method, "url": url, "body": body}));
    }
    let body = if request.body.is_empty() {
        String::new()
    } else {
        format!("{body:#}\n")
    };
    format!("{} {url}\n{body}(nothing was sent)\n", request.method)
}

/// The API's refusal: code, message, what it means, what to do.
fn refused(error: &ReadError, hint: impl Into<String>) -> Failure {
    let code = error
        .code
        .as_ref()
        .map(|code| format!(" {code}"))
        .unwrap_or_default();
    let (kind, meaning) = (error.kind.as_str(), error.kind.meaning());
    Failure::failed(format!("{kind}{code}: {} ({meaning})", error.message)).hint(hint)
}

/// Asks on a terminal; elsewhere, where nobody can answer, the flag has to say yes.
fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("not a terminal: pass --yes to confirm")
            .hint("look at it with --dry-run first"));
    }
    tell(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = input.read_line(&mut answer);
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}

fn colour(status: &str) -> &'static str {
    match status {
        "verified" | "true" => "32",
        "failed" => "31",
        "false" | "pending" | "awaiting" => "33",
        _ => "35",
    }
}

fn table(connectors: &[Connector]) -> String {
    if connectors.is_empty() {
        return "no connector\n".to_owned();
    }
    let heads = ["ID", "DOMAIN", "STATUS", "ENABLED", "FEDRAMP"].map(str::to_owned);
    let row = |c: &Connector| {
        [
            for_terminal(&c.id.shown("unknown")).into_owned(),
            for_terminal(&c.email_domain.shown("unknown")).into_owned(),
            for_terminal(&c.verification.status.shown("unknown")).into_owned(),
            for_terminal(&c.enabled.shown("unknown")).into_owned(),
            for_terminal(&c.use_fedramp_language.shown("unknown")).into_owned(),
        ]
    };
    let rows: Vec<_> = std::iter::once(heads)
        .chain(connectors.iter().map(row))
        .collect();
    let widths: Vec<_> = (0..5)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count() + 2);
            let _ = match colours && number > 0 && (2..4).contains(&column) {
                true => write!(text, "\u{1b}[{}m{cell}\u{1b}[0m{padding}", colour(cell)),
                false => write!(text, "{cell}{padding}"),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn details(connector: &Connector) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("id", connector.id.shown("unknown")),
        ("e-mail domain", connector.email_domain.shown("unknown")),
        ("status", connector.verification.status.shown("unknown")),
        ("enabled", connector.enabled.shown("unknown")),
        (
            "FedRAMP text",
            connector.use_fedramp_language.shown("unknown"),
        ),
        ("created (UTC)", connector.created_on.shown("")),
        ("updated (UTC)", connector.updated_on.shown("")),
    ] {
        let _ = writeln!(text, "{name:14} {}", for_terminal(&value));
    }
    if let Some(record) = Record::of(connector).filter(|_| !connector.is_verified()) {
        let _ = write!(
            text,
            "\nPublish this TXT record, at the e-mail domain itself:\n  {}",
            zone_snippet(&[record])
        );
    }
    text
}
