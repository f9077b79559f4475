//! One request, one answer: the operations of openapi/. Nothing here knows of sockets.
//!
//! Cloudflare publishes no list of its error codes. Those of [`refused`] and 10400 are made up; the others were seen.

use super::answer::{Answer, PageInfo};
use super::seed::Id;
use super::world::{Account, Change, NewConnector, Organization, Refusal, Timestamp, World};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::{PoisonError, RwLock};
use url::form_urlencoded;

/// Where the API begins on its server.
pub(super) const BASE_PATH: &str = "/client/v4";

/// The page size of the lists of organizations where none is asked for, or 0.
const ORGANIZATION_PAGE: usize = 10;

/// A request as the server hands it on.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// With the base path.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    /// Drawn from the token.
    pub(super) token_id: Id,
    pub(super) may_write: bool,
    /// The token belongs to an account, not to a user.
    pub(super) account_owned: bool,
}

/// What came in place of a token that is known.
#[derive(Clone, Copy)]
pub(super) enum Stranger {
    /// No `Authorization` header: a key and e-mail pair is not taken.
    NoToken,
    /// An `Authorization` header that is not `Bearer` and a token.
    Malformed,
    /// A token nobody knows.
    Unknown,
}

enum Operation<'a> {
    ListAccounts,
    GetAccount(&'a str),
    ListConnectors(&'a str),
    CreateConnector(&'a str),
    GetConnector(&'a str, &'a str),
    UpdateConnector(&'a str, &'a str),
    DeleteConnector(&'a str, &'a str),
    BeginVerification(&'a str, &'a str),
    VerifyUserToken,
    VerifyAccountToken(&'a str),
    ListOrganizations,
    ListOrganization(&'a str),
}

// Boxed, for an answer is large beside what the functions below return when all is well.
type Handled<T = Answer> = Result<T, Box<Answer>>;

impl<'a> Operation<'a> {
    fn of(method: &Method, path: &'a str) -> Handled<Self> {
        let segments: Vec<&str> = path
            .strip_prefix(BASE_PATH)
            .and_then(|path| path.strip_prefix('/'))
            .map(|path| path.split('/').collect())
            .unwrap_or_default();
        let only = |wanted: Method, operation| (method == wanted).then_some(operation);
        let (operation, methods) = match segments.as_slice() {
            ["accounts"] => (only(Method::GET, Self::ListAccounts), "GET"),
            ["accounts", account] => (only(Method::GET, Self::GetAccount(account)), "GET"),
            ["accounts", account, "tokens", "verify"] => {
                (only(Method::GET, Self::VerifyAccountToken(account)), "GET")
            }
            ["user", "tokens", "verify"] => (only(Method::GET, Self::VerifyUserToken), "GET"),
            ["organizations"] => (only(Method::GET, Self::ListOrganizations), "GET"),
            ["organizations", organization, "accounts"] => (
                only(Method::GET, Self::ListOrganization(organization)),
                "GET",
            ),
            ["accounts", account, "sso_connectors"] => {
                let operation = match *method {
                    Method::GET => Some(Self::ListConnectors(account)),
                    Method::POST => Some(Self::CreateConnector(account)),
                    _ => None,
                };
                (operation, "GET, POST")
            }
            ["accounts", account, "sso_connectors", connector] => {
                let operation = match *method {
                    Method::GET => Some(Self::GetConnector(account, connector)),
                    Method::PATCH => Some(Self::UpdateConnector(account, connector)),
                    Method::DELETE => Some(Self::DeleteConnector(account, connector)),
                    _ => None,
                };
                (operation, "GET, PATCH, DELETE")
            }
            [
                "accounts",
                account,
                "sso_connectors",
                connector,
                "begin_verification",
            ] => (
                only(Method::POST, Self::BeginVerification(account, connector)),
                "POST",
            ),
            _ => return Err(Box::new(Answer::not_found(path))),
        };
        operation.ok_or_else(|| Box::new(Answer::method_not_allowed(methods)))
    }

    fn writes(&self) -> bool {
        matches!(
            self,
            Self::CreateConnector(_)
                | Self::UpdateConnector(..)
                | Self::DeleteConnector(..)
                | Self::BeginVerification(..)
        )
    }
}

/// Answers a request, and changes the world as it says.
pub(super) fn respond(
    world: &RwLock<World>,
    caller: Result<Caller, Stranger>,
    request: &Request<'_>,
) -> Answer {
    handle(world, caller, request).unwrap_or_else(|refusal| *refusal)
}

fn handle(
    world: &RwLock<World>,
    caller: Result<Caller, Stranger>,
    request: &Request<'_>,
) -> Handled {
    let operation = Operation::of(request.method, request.path)?;
    let caller = caller.map_err(|stranger| Box::new(unauthenticated(stranger, &operation)))?;
    if operation.writes() && !caller.may_write {
        return Ok(Answer::refusal(
            StatusCode::FORBIDDEN,
            9109,
            "Unauthorized to access requested resource",
        ));
    }
    let reading = || world.read().unwrap_or_else(PoisonError::into_inner);
    let writing = || world.write().unwrap_or_else(PoisonError::into_inner);
    let not_found = || Box::new(Answer::not_found(request.path));
    let refused = |refusal| Box::new(refused(refusal, request.path));
    let id = |text: &str| Id::parse(text).ok_or_else(not_found);

    // Where both the object is unknown and the body is wrong, the object is spoken of.
    match operation {
        Operation::ListConnectors(account) => {
            let world = reading();
            let connectors = world.connectors(id(account)?).ok_or_else(not_found)?;
            // One page holds all, as the API's own does.
            let count = connectors.len();
            let info = PageInfo {
                count,
                page: 1,
                per_page: count.max(20),
                total_count: count,
            };
            Ok(Answer::page(connectors, info))
        }
        Operation::CreateConnector(account) => {
            let (mut world, account) = (writing(), id(account)?);
            world.account(account).ok_or_else(not_found)?;
            let made = world
                .create(account, new_connector(request)?)
                .map_err(refused)?;
            Ok(Answer::result(world.connector(account, made)))
        }
        Operation::GetConnector(account, connector) => {
            let world = reading();
            Ok(Answer::result(
                world
                    .connector(id(account)?, id(connector)?)
                    .ok_or_else(not_found)?,
            ))
        }
        Operation::UpdateConnector(account, connector) => {
            let (mut world, account, connector) = (writing(), id(account)?, id(connector)?);
            world.connector(account, connector).ok_or_else(not_found)?;
            world
                .update(account, connector, &change(request)?)
                .map_err(refused)?;
            Ok(Answer::result(world.connector(account, connector)))
        }
        Operation::DeleteConnector(account, connector) => {
            let connector = id(connector)?;
            writing().delete(id(account)?, connector).map_err(refused)?;
            Ok(Answer::result(json!({"id": connector})))
        }
        Operation::BeginVerification(account, connector) => {
            let (mut world, account, connector) = (writing(), id(account)?, id(connector)?);
            world.connector(account, connector).ok_or_else(not_found)?;
            no_body(request)?;
            world
                .begin_verification(account, connector)
                .map_err(refused)?;
            Ok(Answer::acknowledged())
        }
        Operation::ListAccounts if caller.account_owned => Ok(Answer::refusal(
            StatusCode::BAD_REQUEST,
            1001,
            "List accounts endpoint does not support account owned tokens.",
        )),
        Operation::ListAccounts => list_accounts(&reading(), request.query),
        Operation::GetAccount(account) => {
            let world = reading();
            let account = world.account(id(account)?).ok_or_else(not_found)?;
            Ok(Answer::result(AccountRecord::of(&world, account)))
        }
        Operation::ListOrganizations => list_organizations(&reading(), request.query),
        Operation::ListOrganization(organization) => {
            let (world, organization) = (reading(), id(organization)?);
            let place = world.organization(organization).ok_or_else(not_found)?;
            list_organization(&world, place, request.query)
        }
        Operation::VerifyUserToken => Ok(verified(caller, !caller.account_owned)),
        Operation::VerifyAccountToken(account) => {
            reading().account(id(account)?).ok_or_else(not_found)?;
            Ok(verified(caller, caller.account_owned))
        }
    }
}

fn unauthenticated(stranger: Stranger, operation: &Operation<'_>) -> Answer {
    match stranger {
        Stranger::NoToken => Answer::refusal(
            StatusCode::BAD_REQUEST,
            9106,
            "Missing Authorization header: this API takes an API token as Bearer, and no X-Auth-Key and X-Auth-Email",
        ),
        Stranger::Malformed => {
            Answer::invalid_header(6111, "Invalid format for Authorization header")
        }
        Stranger::Unknown
            if matches!(
                operation,
                Operation::VerifyUserToken | Operation::VerifyAccountToken(_)
            ) =>
        {
            invalid_token()
        }
        Stranger::Unknown => Answer::refusal(StatusCode::FORBIDDEN, 10000, "Authentication error"),
    }
}

fn invalid_token() -> Answer {
    Answer::refusal(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token")
}

/// A token verifies where its kind belongs, and is invalid at the other kind's address.
fn verified(caller: Caller, right_kind: bool) -> Answer {
    if !right_kind {
        return invalid_token();
    }
    let token = json!({"id": caller.token_id, "status": "active"});
    Answer::result_with_message(token, 10000, "This API Token is valid and active")
}

fn refused(refusal: Refusal, path: &str) -> Answer {
    let (code, message) = match refusal {
        Refusal::UnknownObject => return Answer::not_found(path),
        Refusal::NotADomain => {
            return Answer::invalid("/email_domain", "email_domain is not a domain name");
        }
        Refusal::PublicMailDomain => (12001, "Public mail domains cannot have an SSO connector"),
        Refusal::DuplicateDomain => (
            12002,
            "The account has an SSO connector for this domain already",
        ),
        Refusal::NotVerified => (
            12003,
            "The domain is not verified: the SSO connector cannot be enabled",
        ),
        Refusal::EnabledElsewhere => (
            12004,
            "An SSO connector for this domain is enabled in another account",
        ),
        Refusal::NeedsApproval => (
            12005,
            "Academic domains are enabled by Cloudflare's support only",
        ),
        Refusal::AlreadyVerified => (12006, "The domain is verified already"),
    };
    Answer::refusal(StatusCode::BAD_REQUEST, code, message)
}

// ── bodies ──

fn new_connector(request: &Request<'_>) -> Handled<NewConnector> {
    let fields = Fields::of(
        request,
        &["email_domain", "begin_verification", "use_fedramp_language"],
    )?;
    let email_domain = match fields.0.get("email_domain") {
        Some(Value::String(domain)) => domain.clone(),
        Some(_) => {
            return Err(Box::new(Answer::invalid(
                "/email_domain",
                "email_domain must be a string",
            )));
        }
        None => {
            return Err(Box::new(Answer::invalid(
                "/email_domain",
                "email_domain is required",
            )));
        }
    };
    Ok(NewConnector {
        email_domain,
        begin_verification: fields.bool("begin_verification")?.unwrap_or(true),
        use_fedramp_language: fields.bool("use_fedramp_language")?.unwrap_or(false),
    })
}

fn change(request: &Request<'_>) -> Handled<Change> {
    let fields = Fields::of(request, &["enabled", "use_fedramp_language"])?;
    Ok(Change {
        enabled: fields.bool("enabled")?,
        use_fedramp_language: fields.bool("use_fedramp_language")?,
    })
}

/// No body, or an empty object, which some programs cannot help sending.
fn no_body(request: &Request<'_>) -> Handled<()> {
    if request.body.is_empty() {
        Ok(())
    } else {
        Fields::of(request, &[]).map(drop)
    }
}

/// A body that is an object with none but known fields.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(request: &Request<'_>, known: &[&str]) -> Handled<Self> {
        let is_json = request
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                value
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .eq_ignore_ascii_case("application/json")
            });
        if !is_json {
            let message = "Invalid Content-Type header, valid values are application/json";
            return Err(Box::new(Answer::invalid_header(6105, message)));
        }
        let fields = match serde_json::from_slice(request.body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => {
                return Err(Box::new(Answer::invalid(
                    "",
                    "The request body must be a JSON object",
                )));
            }
            Err(_) => {
                let message = "Malformed JSON in request body";
                return Err(Box::new(Answer::refusal(
                    StatusCode::BAD_REQUEST,
                    6007,
                    message,
                )));
            }
        };
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                Err(Box::new(Answer::invalid(
                    &pointer,
                    &format!("{name} is not a field of this request"),
                )))
            }
            None => Ok(Self(fields)),
        }
    }

    fn bool(&self, name: &str) -> Handled<Option<bool>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Box::new(Answer::invalid(
                &format!("/{name}"),
                &format!("{name} must be a boolean"),
            ))),
        }
    }
}

// ── lists of accounts ──

#[derive(Serialize)]
struct AccountRecord<'a> {
    id: Id,
    name: &'a str,
    r#type: &'static str,
    settings: Settings,
    created_on: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_by: Option<ManagedBy<'a>>,
}

#[derive(Serialize)]
struct Settings {
    enforce_twofactor: bool,
}

#[derive(Serialize)]
struct ManagedBy<'a> {
    parent_org_id: Id,
    parent_org_name: &'a str,
}

impl<'a> AccountRecord<'a> {
    fn of(world: &'a World, account: &'a Account) -> Self {
        let organization = account
            .organization
            .and_then(|place| world.organizations.get(place));
        Self {
            id: account.id,
            name: &account.name,
            r#type: if account.enterprise {
                "enterprise"
            } else {
                "standard"
            },
            settings: Settings {
                enforce_twofactor: account.enforce_twofactor,
            },
            created_on: Timestamp(account.created_on),
            managed_by: organization.map(|parent| ManagedBy {
                parent_org_id: parent.id,
                parent_org_name: &parent.name,
            }),
        }
    }
}

fn list_accounts(world: &World, query: Option<&str>) -> Handled {
    let query = Query::of(query);
    let page = query.number("page", 1, 1, usize::MAX)?;
    let per_page = query.number("per_page", 20, 5, 50)?;
    let descending = match query.get("direction") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => {
            return Err(Box::new(Answer::invalid(
                "/direction",
                "direction must be asc or desc",
            )));
        }
    };
    // What `name` compares is not documented; a part of the name in any case is what the dashboard's search takes.
    let wanted = query
        .get("name")
        .map(str::to_lowercase)
        .filter(|name| !name.is_empty());
    let mut found: Vec<&Account> = world
        .accounts
        .iter()
        .filter(|account| {
            wanted
                .as_ref()
                .is_none_or(|part| account.name.to_lowercase().contains(part))
        })
        .collect();
    if descending {
        found.reverse();
    }
    let total_count = found.len();
    let first = (page - 1).saturating_mul(per_page);
    let records: Vec<AccountRecord<'_>> = found
        .into_iter()
        .skip(first)
        .take(per_page)
        .map(|account| AccountRecord::of(world, account))
        .collect();
    let count = records.len();
    Ok(Answer::page(
        records,
        PageInfo {
            count,
            page,
            per_page,
            total_count,
        },
    ))
}

#[derive(Serialize)]
struct OrganizationRecord<'a> {
    id: Id,
    name: &'a str,
    create_time: Timestamp,
    meta: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Parent<'a>>,
}

#[derive(Serialize)]
struct Parent<'a> {
    id: Id,
    name: &'a str,
}

impl<'a> OrganizationRecord<'a> {
    fn of(world: &'a World, organization: &'a Organization) -> Self {
        let parent = organization
            .parent
            .and_then(|place| world.organizations.get(place));
        Self {
            id: organization.id,
            name: &organization.name,
            create_time: Timestamp(organization.created_on),
            meta: json!({}),
            parent: parent.map(|parent| Parent {
                id: parent.id,
                name: &parent.name,
            }),
        }
    }
}

fn list_organizations(world: &World, query: Option<&str>) -> Handled {
    let query = Query::of(query);
    if let Some(parent) = query.get("parent.id").and_then(Id::parse) {
        refuse_where_it_refuses(world, world.organization(parent))?;
    }
    let is_meant =
        |(place, organization): &(usize, &Organization)| query.means(world, *place, organization);
    let organizations = world.organizations.iter().enumerate();
    let found: Vec<_> = organizations
        .filter(is_meant)
        .map(|(_, found)| found)
        .collect();
    page_by_token(
        &query,
        &found,
        |organization| organization.id,
        |organization| OrganizationRecord::of(world, organization),
    )
}

fn list_organization(world: &World, organization: usize, query: Option<&str>) -> Handled {
    refuse_where_it_refuses(world, Some(organization))?;
    let is_member = |account: &&Account| account.organization == Some(organization);
    let members: Vec<_> = world.accounts.iter().filter(is_member).collect();
    page_by_token(
        &Query::of(query),
        &members,
        |account| account.id,
        |account| AccountRecord::of(world, account),
    )
}

fn refuse_where_it_refuses(world: &World, organization: Option<usize>) -> Handled<()> {
    let refuses = organization.is_some_and(|place| world.organizations[place].refuses);
    if !refuses {
        return Ok(());
    }
    Err(Box::new(Answer::refusal(
        StatusCode::FORBIDDEN,
        10000,
        "Authentication error",
    )))
}

/// A page of a list whose pages are named by tokens.
fn page_by_token<'w, T, R: Serialize>(
    query: &Query,
    items: &[&'w T],
    id: impl Fn(&T) -> Id,
    record: impl Fn(&'w T) -> R,
) -> Handled {
    #[derive(Serialize)]
    struct TokenInfo {
        #[serde(skip_serializing_if = "Option::is_none")]
        next_page_token: Option<Id>,
        total_size: usize,
    }
    let page_size = match query.number("page_size", ORGANIZATION_PAGE, 0, 1000)? {
        0 => ORGANIZATION_PAGE,
        size => size,
    };
    // The token stands for the first item of its page.
    let token = |item: &T| Id::of(&format!("page/{}", id(item)));
    let first = match query.get("page_token").filter(|token| !token.is_empty()) {
        None => 0,
        Some(wanted) => items
            .iter()
            .position(|item| Id::parse(wanted) == Some(token(item)))
            .ok_or_else(|| {
                Box::new(Answer::invalid(
                    "/page_token",
                    "page_token is not from this list",
                ))
            })?,
    };
    let shown = items.iter().skip(first).take(page_size);
    let records: Vec<_> = shown.map(|item| record(item)).collect();
    let next_page_token = items.get(first + records.len()).map(|item| token(item));
    Ok(Answer::page(
        records,
        TokenInfo {
            next_page_token,
            total_size: items.len(),
        },
    ))
}

/// The parameters of a query; of one given twice the last counts.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(query: Option<&str>) -> Self {
        let query = query.unwrap_or_default().as_bytes();
        Self(form_urlencoded::parse(query).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the list of organizations that is asked for has this one in it.
    fn means(&self, world: &World, place: usize, organization: &Organization) -> bool {
        let name = organization.name.to_lowercase();
        let all_of = |key: &str, holds: &dyn Fn(&str) -> bool| {
            let mut given = self.0.iter().filter(|(known, _)| known == key);
            given.all(|(_, value)| holds(value))
        };
        let ids: Vec<_> = self.0.iter().filter(|(known, _)| known == "id").collect();
        let is_one = ids.is_empty()
            || ids
                .iter()
                .any(|(_, id)| Id::parse(id) == Some(organization.id));
        let parent = organization
            .parent
            .map(|parent| world.organizations[parent].id);
        is_one
            && all_of("parent.id", &|id| match id {
                "null" => parent.is_none(),
                id => parent.is_some() && parent == Id::parse(id),
            })
            && all_of("containing.account", &|id| {
                let account = Id::parse(id).and_then(|id| world.account(id));
                let held_by = account.and_then(|account| account.organization);
                held_by.is_some_and(|held_by| world.lies_under(held_by, place))
            })
            && all_of("containing.organization", &|id| {
                let other = Id::parse(id).and_then(|id| world.organization(id));
                other.is_some_and(|other| world.lies_under(other, place))
            })
            && all_of("name.startsWith", &|part| {
                name.starts_with(&part.to_lowercase())
            })
            && all_of("name.endsWith", &|part| {
                name.ends_with(&part.to_lowercase())
            })
            && all_of("name.contains", &|part| name.contains(&part.to_lowercase()))
    }

    fn number(&self, name: &str, default: usize, least: usize, most: usize) -> Handled<usize> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => {
                let bounds = if most == usize::MAX {
                    format!("{least} or more")
                } else {
                    format!("{least} to {most}")
                };
                let message = format!("{name} must be a whole number, {bounds}");
                Err(Box::new(Answer::invalid(&format!("/{name}"), &message)))
            }
        }
    }
}
