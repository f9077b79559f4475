//! `cf-sso-audit connector`: the six operations of the API, one at a time.

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::ConnectionArgs;
use super::{Failure, exit, json_text, print, tell};
use crate::accounts::account_id;
use crate::api::{ConnectorChange, NewConnector};
use crate::audit::refuse_tokens;
use crate::text::shortened;

mod desk;
mod view;

use desk::{Desk, Effect, cut_short};

/// List, get, create, update or delete SSO connectors, or begin their verification
///
/// Name a connector by its ID or its e-mail domain. list and get need the permission SSO Connector Read; everything
/// else needs SSO Connector Write (labelled Edit in the dashboard). --dry-run needs no token.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  List an account's connectors:
      cf-sso-audit connector list 023e105f4ecef8ad9ca31a8372d0c353
  Create one, and see which TXT record to publish:
      cf-sso-audit connector create 023e105f4ecef8ad9ca31a8372d0c353 --email-domain corp.example
  See what would be sent, without sending it:
      cf-sso-audit connector update 023e105f4ecef8ad9ca31a8372d0c353 corp.example --enabled true --dry-run")]
pub struct ConnectorArgs {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    List(ListArgs),
    Get(GetArgs),
    Create(CreateArgs),
    Update(UpdateArgs),
    Delete(DeleteArgs),
    BeginVerification(BeginVerificationArgs),
}

impl Operation {
    /// The account, and the connector where one is named.
    fn names(&mut self) -> (&mut String, Option<&String>) {
        match self {
            Self::List(ListArgs { target, .. }) | Self::Create(CreateArgs { target, .. }) => {
                (&mut target.account, None)
            }
            Self::Get(GetArgs { target, .. })
            | Self::Update(UpdateArgs { target, .. })
            | Self::Delete(DeleteArgs { target, .. })
            | Self::BeginVerification(BeginVerificationArgs { target, .. }) => {
                (&mut target.account, Some(&target.connector))
            }
        }
    }
}

/// List an account's connectors
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    target: Account,
    #[command(flatten)]
    common: Common,
}

/// Show one connector, with the TXT record to publish
#[derive(Debug, Args)]
struct GetArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    common: Common,
}

/// Create a connector and show the TXT record to publish
#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    target: Account,
    /// E-mail domain of the members who will sign in
    #[arg(long, value_name = "DOMAIN")]
    email_domain: String,
    /// Do not ask for confirmation Cloudflare to look for the TXT record yet
    #[arg(long)]
    no_begin_verification: bool,
    /// Show users the FedRAMP text at login
    #[arg(long)]
    use_fedramp_language: bool,
    #[command(flatten)]
    common: Common,
}

/// Enable or disable a connector, or set its FedRAMP text
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
struct UpdateArgs {
    #[command(flatten)]
    target: Target,
    /// Whether members sign in through their identity provider; true takes effect for every user of the domain, in
    /// every account
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, group = "change")]
    enabled: Option<bool>,
    /// Whether users see the FedRAMP text at login
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, group = "change")]
    use_fedramp_language: Option<bool>,
    /// Do not ask for confirmation for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// Delete a connector
#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    target: Target,
    /// Do not ask for confirmation for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// Ask Cloudflare to look for a connector's TXT record, again if need be
#[derive(Debug, Args)]
struct BeginVerificationArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Account {
    /// ID of the account
    #[arg(value_name = "ACCOUNT_ID")]
    account: String,
}

#[derive(Debug, Args)]
struct Target {
    /// ID of the account
    #[arg(value_name = "ACCOUNT_ID")]
    account: String,
    /// ID or e-mail domain of the connector
    #[arg(value_name = "CONNECTOR")]
    connector: String,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the API's own fields as JSON
    #[arg(long)]
    json: bool,
    /// Show the request without sending it; needs no token
    #[arg(long)]
    dry_run: bool,
}

/// The account's id. It is read here and not by clap, which repeats what it refuses: it may be a token.
fn checked_account(text: &str) -> Result<String, Failure> {
    refuse_tokens(&[text.to_owned()], "account ID")?;
    account_id(text).ok_or_else(|| {
        Failure::usage(format!("{:?} is not an account ID", shortened(text, 100)))
            .hint("an account ID has 32 hex digits, such as 023e105f4ecef8ad9ca31a8372d0c353")
    })
}

/// Runs the command.
pub async fn run(args: ConnectorArgs) -> Result<u8, Failure> {
    let mut operation = args.operation;
    let (account, connector) = operation.names();
    *account = checked_account(account)?;
    if let Some(connector) = connector {
        refuse_tokens(std::slice::from_ref(connector), "connector")?;
    }
    match operation {
        Operation::List(args) => list(args).await,
        Operation::Get(args) => get(args).await,
        Operation::Create(args) => create(args).await,
        Operation::Update(args) => update(args).await,
        Operation::Delete(args) => delete(args).await,
        Operation::BeginVerification(args) => begin_verification(args).await,
    }
}

async fn list(args: ListArgs) -> Result<u8, Failure> {
    let desk = Desk::open(args.common, Effect::Reads).await?;
    let account = &args.target.account;
    let answered = desk.api.list_connectors(&desk.lane, account).await;
    let Some(list) = desk.answer(answered, None)? else {
        return Ok(exit::DONE);
    };
    print(&if desk.json {
        json_text(&json!(list.connectors))
    } else {
        view::table(&list.connectors)
    })?;
    match cut_short(&list) {
        None => Ok(exit::DONE),
        Some(message) => Err(Failure::new(exit::INCOMPLETE, message)),
    }
}

async fn get(args: GetArgs) -> Result<u8, Failure> {
    let desk = Desk::open(args.common, Effect::Reads).await?;
    let named = desk.named(&args.target).await?;
    let account = &args.target.account;
    let answered = desk.api.get_connector(&desk.lane, account, &named.id).await;
    desk.show(answered, Some(&named))
}

async fn create(args: CreateArgs) -> Result<u8, Failure> {
    let desk = Desk::open(args.common, Effect::Changes).await?;
    let new = NewConnector {
        email_domain: args.email_domain,
        begin_verification: !args.no_begin_verification,
        use_fedramp_language: args.use_fedramp_language,
    };
    let account = &args.target.account;
    let answered = desk.api.create_connector(&desk.lane, account, &new).await;
    desk.show(answered, None)
}

async fn update(args: UpdateArgs) -> Result<u8, Failure> {
    let desk = Desk::open(args.common, Effect::Changes).await?;
    if args.enabled == Some(true) && !desk.rehearsal {
        confirm(
            args.yes,
            &format!(
                "Enable {}? This takes effect for every user of the domain, in every account.",
                args.target.connector
            ),
        )?;
    }
    let named = desk.named(&args.target).await?;
    let change = ConnectorChange {
        enabled: args.enabled,
        use_fedramp_language: args.use_fedramp_language,
    };
    let answered = desk
        .api
        .update_connector(&desk.lane, &args.target.account, &named.id, change)
        .await;
    match desk.answer(answered, Some(&named))? {
        None => Ok(exit::DONE),
        Some(Some(connector)) => desk.show_one(&connector),
        Some(None) => desk.say("updated", &named.id),
    }
}

async fn delete(args: DeleteArgs) -> Result<u8, Failure> {
    let desk = Desk::open(args.common, Effect::Changes).await?;
    let Target { account, connector } = &args.target;
    if !desk.rehearsal {
        confirm(
            args.yes,
            &format!("Delete the connector {connector} of account {account}?"),
        )?;
    }
    let named = desk.named(&args.target).await?;
    let answered = desk
        .api
        .delete_connector(&desk.lane, account, &named.id)
        .await;
    match desk.answer(answered, Some(&named))? {
        None => Ok(exit::DONE),
        Some(()) => desk.say("deleted", &named.id),
    }
}

async fn begin_verification(args: BeginVerificationArgs) -> Result<u8, Failure> {
    let desk = Desk::open(args.common, Effect::Changes).await?;
    let named = desk.named(&args.target).await?;
    let answered = desk
        .api
        .begin_verification(&desk.lane, &args.target.account, &named.id)
        .await;
    match desk.answer(answered, Some(&named))? {
        None => Ok(exit::DONE),
        Some(()) => desk.say("verification begun", &named.id),
    }
}

/// Asks on a terminal; elsewhere, where nobody can answer, the flag has to say yes.
fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("not a terminal: pass --yes to confirm")
            .hint("use --dry-run to see the request first"));
    }
    tell(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = input.read_line(&mut answer);
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}
