//! `cf-sso-audit doctor`: is everything in place for an audit?

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::connection::{ConnectionArgs, NAMED_VARIABLES};
use super::judgement::policy_of;
use super::{Failure, exit, print};
use crate::accounts::{AskedAccount, account_id};
use crate::api::{Answered, Api, Lane, TokenKind, TokenState};
use crate::audit::{Named, Selection, Walk};
use crate::clock::Clock;
use crate::collect::missing;
use crate::organizations::Organization;
use crate::outcome::{
    ErrorKind, READ_GROUP, READ_PERMISSION, TOKEN_PAGE, WRITE_GROUP, WRITE_PERMISSION,
};
use crate::region::Region;
use crate::runs;
use crate::text::count;
use crate::tokens::Tokens;

mod answers;
mod examination;

use examination::{Examination, Verdict, written};

/// Check that an audit can run: token, network, clock, permissions, files, output folder
#[derive(Debug, Args)]
#[command(after_long_help = help())]
pub struct DoctorArgs {
    /// IDs of accounts whose connectors the token must be able to read
    #[arg(value_name = "ACCOUNT_ID")]
    accounts: Vec<String>,
    /// Accounts file for `audit`: checks the file, every token it names, and one account for each token
    #[arg(long, value_name = "PATH")]
    accounts_file: Vec<PathBuf>,
    /// Organization whose accounts must be listable
    #[arg(long, value_name = "ID")]
    organization: Vec<String>,
    /// Policy file for `audit`
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Folder for the runs
    #[arg(short, long, value_name = "DIR", default_value = "reports")]
    output: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

fn help() -> String {
    format!(
        "\
Examples:
  Check the token, and that it can read an account:
      cf-sso-audit doctor 023e105f4ecef8ad9ca31a8372d0c353
  Check everything that a nightly audit needs:
      cf-sso-audit doctor --accounts-file accounts.csv --policy policy.toml

Create a user's token at {TOKEN_PAGE},
or an account's own token in the account under Manage Account, API Tokens.
Permission groups, with their IDs for the API:
  to read    {READ_PERMISSION}  {READ_GROUP}
  to change  {WRITE_PERMISSION}  {WRITE_GROUP}"
    )
}

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
    let base_url = args.connection.base_url()?;
    // What stands on the command line is wrong usage; what is in files is examined.
    let ids = named(args, &[])?;
    output(&args.output, examination);
    if let Some(path) = &args.policy {
        policy(path, examination);
    }
    let named = if args.accounts_file.is_empty() {
        ids
    } else {
        accounts_files(args, examination).unwrap_or(ids)
    };
    invalid_ids(args, &named, examination);
    let wanted = wanted(args, named.accounts());
    let mut visit = Visit {
        api: args.connection.api(base_url, Clock::default())?,
        tokens: args.connection.tokens(),
        seen: Vec::new(),
        examination,
    };
    for token in &wanted {
        if !visit.token(args, token, &named).await {
            return Ok(());
        }
    }
    for id in &args.organization {
        visit.organization(id).await;
    }
    Ok(())
}

/// The accounts that are named on the command line and in files.
fn named(args: &DoctorArgs, files: &[PathBuf]) -> Result<Named, Failure> {
    let base_url = args.connection.base_url()?;
    let selection = Selection {
        region: Region::word(base_url.as_str()),
        ids: args.accounts.clone(),
        files: files.to_vec(),
        organizations: args.organization.clone(),
        ..Selection::default()
    };
    Ok(Named::read(&selection)?)
}

/// The accounts of the files too; `None` where a file is not one.
fn accounts_files(args: &DoctorArgs, examination: &mut Examination) -> Option<Named> {
    const CHECK: &str = "accounts file";
    match named(args, &args.accounts_file) {
        Ok(named) => {
            let accounts = named.accounts();
            let valid = accounts.iter().filter(|account| account.is_valid());
            let tokens: HashSet<_> = valid.clone().map(|account| &account.token_env).collect();
            let (valid, tokens) = (valid.count(), tokens.len());
            let finding = format!(
                "{} with a valid ID, {}",
                count(valid, "account"),
                count(tokens, "token")
            );
            examination.pass(CHECK, finding);
            Some(named)
        }
        Err(failure) => {
            examination.fail(CHECK, &failure);
            None
        }
    }
}

/// So many bad ids are listed; the rest is counted.
const MOST_INVALID: usize = 20;

fn invalid_ids(args: &DoctorArgs, named: &Named, examination: &mut Examination) {
    for text in &args.accounts {
        if account_id(text).is_none() {
            let (check, remedy) = (format!("account {text}"), ErrorKind::InvalidId.remedy());
            examination.add(Verdict::Fail, &check, "is not an account ID", remedy);
        }
    }
    let of_files =
        |account: &&AskedAccount| !account.is_valid() && !args.accounts.contains(&account.id);
    let invalid: Vec<_> = named.accounts().iter().filter(of_files).collect();
    let remedy = ErrorKind::InvalidId.remedy();
    for account in invalid.iter().take(MOST_INVALID) {
        examination.add(Verdict::Fail, "accounts file", &*account.problem, remedy);
    }
    if let Some(more @ 1..) = invalid.len().checked_sub(MOST_INVALID) {
        let finding = format!("and {}", count(more, "more bad ID"));
        examination.add(Verdict::Fail, "accounts file", finding, remedy);
    }
}

/// A token that the audit would need.
struct Wanted {
    /// The variable that holds it; empty for the default token.
    variable: String,
    /// How many accounts need it.
    needed: usize,
    /// Those that are tried: each that stands on the command line, else one.
    accounts: Vec<String>,
}

fn wanted(args: &DoctorArgs, accounts: &[AskedAccount]) -> Vec<Wanted> {
    let explicit: HashSet<_> = args
        .accounts
        .iter()
        .filter_map(|text| account_id(text))
        .collect();
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut position_of = |variable, wanted: &mut Vec<Wanted>| {
        *positions.entry(variable).or_insert_with(|| {
            wanted.push(Wanted {
                variable: variable.to_owned(),
                needed: 0,
                accounts: Vec::new(),
            });
            wanted.len() - 1
        })
    };
    let is_valid = |account: &&AskedAccount| account.is_valid();
    if !args.organization.is_empty() || !accounts.iter().any(AskedAccount::is_valid) {
        position_of("", &mut wanted);
    }
    for account in accounts.iter().filter(is_valid) {
        let position = position_of(&account.token_env, &mut wanted);
        let token = &mut wanted[position];
        token.needed += 1;
        if token.accounts.is_empty() || explicit.contains(&account.id) {
            token.accounts.push(account.id.clone());
        }
    }
    wanted
}

/// What asks the API.
struct Visit<'a> {
    api: Api,
    tokens: Tokens,
    /// The lanes that were verified.
    seen: Vec<Arc<Lane>>,
    examination: &'a mut Examination,
}

impl Visit<'_> {
    /// Examines a token and tries its accounts; whether it is worth going on.
    async fn token(&mut self, args: &DoctorArgs, wanted: &Wanted, named: &Named) -> bool {
        let check = match wanted.variable.as_str() {
            "" => "token".to_owned(),
            variable => format!("token {variable}"),
        };
        let lane = match self.tokens.lane(&wanted.variable).await {
            Ok(lane) => lane,
            Err(error) => {
                let mut failure = Failure::from(error);
                if let Some(place) = named.place_of(&wanted.variable) {
                    let needed = count(wanted.needed, "account");
                    failure.message += &format!("; needed for {needed} (first: {place})");
                    failure = failure.hint(NAMED_VARIABLES);
                }
                self.examination.fail(&check, &failure);
                return true;
            }
        };
        if lane.kind() == TokenKind::GlobalKey {
            // It opens everything: it is not sent where it is of no use.
            answers::kind(&check, lane.name(), lane.kind(), self.examination);
            return true;
        }
        if self.seen.iter().any(|seen| Arc::ptr_eq(seen, &lane)) {
            let finding = format!("the same token as that of {}", lane.name());
            self.examination.pass(&check, finding);
        } else {
            self.api.gate().keep_secret(&lane);
            answers::kind(&check, lane.name(), lane.kind(), self.examination);
            if !self.verify(args, &check, &lane, wanted).await {
                return false;
            }
            self.seen.push(Arc::clone(&lane));
        }
        for id in &wanted.accounts {
            self.read(&lane, id).await;
        }
        true
    }

    /// Says what the API says of a token, and with the first answer whether it is reached, its clock and its limits;
    /// whether there was an answer.
    async fn verify(
        &mut self,
        args: &DoctorArgs,
        check: &str,
        lane: &Arc<Lane>,
        wanted: &Wanted,
    ) -> bool {
        let account = wanted.accounts.first();
        let verified = verify(&self.api, lane, account).await;
        if self.seen.is_empty() {
            let address = self.api.base_url().as_str();
            if let (Err(error), None) = (&verified.result, verified.exchange.http_status) {
                self.examination.fail_by(&format!("reach {address}"), error);
                return false;
            }
            let proxy = self.api.proxy();
            let way = proxy.map_or(String::new(), |proxy| format!(" through the proxy {proxy}"));
            self.examination
                .pass("reach", format!("{address} answers{way}"));
            answers::clock(&verified.exchange, self.examination);
            answers::rate_limit(&verified.exchange, args.connection.rate, self.examination);
        }
        let (check, kind) = (format!("{check} valid"), lane.kind());
        match &verified.result {
            Ok(state) => answers::token_state(&check, kind, state, self.examination),
            Err(error) => {
                answers::unverified(&check, kind, account.is_some(), error, self.examination);
            }
        }
        true
    }

    /// Tries to read an account.
    async fn read(&mut self, lane: &Arc<Lane>, id: &str) {
        let check = format!("read {id}");
        let list = self.api.list_connectors(lane, id).await.result;
        match list.map(|list| (missing(&list), list)) {
            Ok((None, list)) => self.examination.pass(
                &check,
                format!("{} can be read", count(list.connectors.len(), "connector")),
            ),
            Ok((Some(error), _)) | Err(error) => self.examination.fail_by(&check, &error),
        }
    }

    /// Tries to list an organization and all under it, as an audit would.
    async fn organization(&mut self, id: &str) {
        let check = format!("organization {id}");
        // Why there is no default token is said already.
        let Ok(lane) = self.tokens.organization_lane().await else {
            return;
        };
        if lane.kind() == TokenKind::GlobalKey && !lane.is_of_key() {
            return;
        }
        let mut walk = Walk::new(&self.api, lane);
        let accounts = match walk.list(id).await {
            Ok(listed) => listed.accounts.len(),
            Err(error) => {
                let problem = format!("the listing ended unexpectedly: {error}");
                let remedy = "this is a bug of this program";
                return self.examination.add(Verdict::Fail, &check, problem, remedy);
            }
        };
        let organizations = walk.finish();
        let verdict = if accounts == 0 {
            Verdict::Fail
        } else {
            Verdict::Warn
        };
        let gaps: Vec<_> = organizations.iter().flat_map(Organization::gaps).collect();
        for gap in gaps.iter().take(MOST_GAPS) {
            self.examination
                .add(verdict, &check, gap.sentence.clone(), &gap.remedy);
        }
        if gaps.len() > MOST_GAPS {
            let more = format!("and {}", count(gaps.len() - MOST_GAPS, "more gap"));
            self.examination
                .add(verdict, &check, more, "an audit lists them all");
        }
        if gaps.is_empty() {
            let accounts = count(accounts, "account");
            let organizations = count(organizations.len(), "organization");
            self.examination.pass(
                &check,
                format!("{organizations} with {accounts} can be listed"),
            );
        }
    }
}

/// The most gaps of an organization's tree that are shown; the others are counted.
const MOST_GAPS: usize = 5;

/// Asks where this kind of token can be verified; tokens without a prefix may be of either.
async fn verify(api: &Api, lane: &Arc<Lane>, account: Option<&String>) -> Answered<TokenState> {
    match (lane.kind(), account) {
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

/// Whether the policy can be used, or all that is wrong with it.
fn policy(path: &Path, examination: &mut Examination) {
    const CHECK: &str = "policy";
    match policy_of(Some(path), false) {
        Ok(_) => examination.pass(CHECK, format!("{} can be used", path.display())),
        Err(failure) => examination.fail(CHECK, &failure),
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
            "remove or rename latest, or open runs by name",
        ),
        Err(error) => examination.fail(CHECK, &error.into()),
    }
}
