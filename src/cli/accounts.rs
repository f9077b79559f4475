//! `cf-sso-audit accounts`: the accounts that the token can list.

use std::sync::Arc;

use clap::Args;

use super::connection::ConnectionArgs;
use super::{Failure, exit, print};
use crate::api::{Api, Lane, ListedAccounts};
use crate::audit::{AuditError, UnderOne, Walk, refuse_tokens};
use crate::clock::Clock;
use crate::organizations::Organization;
use crate::region::Region;
use crate::spreadsheet::guarded;

/// List the accounts the token can see, as a CSV for --accounts-file
///
/// A name or ID that a spreadsheet would take for a formula, number or date has a leading '. --accounts-file ignores
/// it before an ID but keeps it in a name.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Save the list, edit it, and audit the accounts in it:
      cf-sso-audit accounts > accounts.csv
      cf-sso-audit audit --accounts-file accounts.csv")]
pub struct AccountsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Only the accounts in an organization and in all organizations below it
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
}

/// Runs the command.
pub async fn run(args: AccountsArgs) -> Result<u8, Failure> {
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let base_url = args.connection.base_url()?;
    if let Some(id) = &args.organization {
        refuse_tokens(std::slice::from_ref(id), "organization ID")?;
    }
    let mut tokens = args.connection.tokens();
    let lane = match &args.organization {
        Some(_) => tokens.organization_lane().await?,
        None => tokens.lane("").await?,
    };
    let api = args.connection.api(base_url, clock)?;
    let listed = match &args.organization {
        Some(id) => under_organization(&api, lane, id).await?,
        None => {
            let listed = api.list_accounts(&lane).await;
            let what = "the token's accounts".to_owned();
            listed.map_err(|error| AuditError::Unlisted { what, error })?
        }
    };
    let mut csv = csv::Writer::from_writer(Vec::new());
    let region = Region::word(api.base_url().as_str());
    let mut write = |record: [&str; 3]| {
        csv.write_record(record)
            .map_err(|error| Failure::failed(error.to_string()))
    };
    write(["account_id", "account_name", "region"])?;
    for account in &listed.accounts {
        // Guarded, because such a list is edited in spreadsheets; that also leaves no line break in a name, which would
        // still be CSV, and no longer a line for a person.
        write([&guarded(&account.id), &guarded(&account.name), region])?;
    }
    let bytes = csv
        .into_inner()
        .map_err(|error| Failure::failed(error.to_string()))?;
    print(&String::from_utf8_lossy(&bytes))?;
    if listed.gaps.is_empty() {
        return Ok(exit::DONE);
    }
    Err(Failure::new(exit::INCOMPLETE, listed.gaps.join("\n")))
}

/// The accounts of an organization and of those under it.
async fn under_organization(
    api: &Api,
    lane: Arc<Lane>,
    id: &str,
) -> Result<ListedAccounts, AuditError> {
    let mut walk = Walk::new(api, lane);
    let UnderOne { accounts, .. } = walk.list(id).await?;
    let organizations = walk.finish();
    let gaps: Vec<_> = organizations.iter().flat_map(Organization::gaps).collect();
    if accounts.is_empty() {
        return Err(AuditError::UnlistedOrganizations(gaps));
    }
    let gaps = gaps.iter().map(ToString::to_string).collect();
    Ok(ListedAccounts { accounts, gaps })
}
