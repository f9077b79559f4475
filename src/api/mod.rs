//! The API: the generated client, and the gate that each of its requests passes.
//!
//! This is the only place that knows generated types. What it hands out is the model's.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use progenitor_client::{ClientHooks, ClientInfo, Error, OperationInfo, ResponseValue};
use serde::de::IgnoredAny;
use serde_json::Value;
use url::{Host, Url};

use crate::accounts::{AskedAccount, LONGEST_NAME, MOST_ACCOUNTS};
use crate::bounds::decodable;
use crate::model::{ApiAccount, Connector, Field, list_or_null};
use crate::outcome::{ErrorKind, ReadError};
use crate::region::Region;
use crate::text::shortened;

mod classify;
mod gate;
mod limits;
mod organizations;
mod pace;
mod proxy;
mod retry;
mod token;

pub use classify::{Access, Meaning, meaning};
pub use gate::{ADDRESS_RATE, Exchange, Gate, GateOptions, LARGEST_BODY, Lane, Rehearsed, Session};
pub use limits::{RateLimit, rate_limits};
pub use organizations::{Listed, MOST_PAGES, Room, is_organization_id};
pub use retry::parse_retry_after;
pub use token::{EMAIL_VARIABLE, KEY_VARIABLE, TOKEN_VARIABLE, Token, TokenError, TokenKind};

#[allow(
    dead_code,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated from the specification: it has all operations, and a constructor that we do not use"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

use generated::types;

/// Accounts a page: the most that the API documents.
const ACCOUNTS_PER_PAGE: i64 = 50;

impl ClientHooks<Session> for generated::Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        info: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        self.inner()
            .exec(self.client(), request, info.operation_id)
            .await
    }
}

/// An address that may be sent a token: `https`, or `http` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Checks an address.
    ///
    /// # Errors
    /// What is wrong with it, with an example of a good one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = format!("an API's address looks like {}", Region::Public.base_url());
        let url = Url::parse(text.trim()).map_err(|error| format!("{error}; {example}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "contains a user name or password, which the API does not accept; {example}"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("contains a query or fragment; {example}"));
        }
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            "http" => Err("would send the token unencrypted; use https (http is only for 127.0.0.1, [::1] and localhost)".to_owned()),
            other => Err(format!("has the scheme {other:?}; {example}")),
        }
    }

    /// The address without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    fn is_on_this_machine(&self) -> bool {
        self.0.scheme() == "http"
    }
}

/// The API at one address.
#[derive(Debug, Clone)]
pub struct Api {
    base_url: BaseUrl,
    http: reqwest::Client,
    gate: Arc<Gate>,
    rehearsal: bool,
    proxy: Option<Arc<str>>,
}

/// Why the API cannot be asked, before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The further root certificate cannot be used; in words.
    #[error("{0}")]
    ExtraRoot(String),
    /// The variable that names the proxy holds none that can be used; in words.
    #[error("{0}")]
    Proxy(String),
    /// TLS cannot be had, or no further root certificate was of use; in words.
    #[error("cannot prepare TLS: {0}")]
    Tls(String),
}

/// An answer of use, or why there is none; with how it came about.
#[derive(Debug)]
pub struct Answered<T> {
    /// The answer.
    pub result: Result<T, ReadError>,
    /// How it came about.
    pub exchange: Exchange,
}

/// The connectors of an account.
#[derive(Debug)]
pub struct ConnectorList {
    /// As answered, in that order.
    pub connectors: Vec<Connector>,
    /// How many there are in all, where the answer says so.
    pub total_count: Option<u64>,
}

/// The accounts that a list brought, and why it may lack some.
#[derive(Debug, Default)]
pub struct ListedAccounts {
    /// In the order of the list.
    pub accounts: Vec<AskedAccount>,
    /// Why accounts may be missing, in words.
    pub gaps: Vec<String>,
}

impl Api {
    /// The API at an address; nothing is sent yet. `extra_root` is a further root certificate in PEM.
    ///
    /// # Errors
    /// The certificate, the proxy's variable or the system's TLS settings cannot be used.
    pub fn new(
        base_url: BaseUrl,
        gate: Arc<Gate>,
        extra_root: Option<&[u8]>,
    ) -> Result<Self, SetupError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("cf-sso-audit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(gate.options().concurrency);
        let proxy = if base_url.is_on_this_machine() {
            // A proxy would be handed the token unencrypted.
            builder = builder.no_proxy();
            None
        } else {
            proxy::on_the_way_to(&base_url.0).map_err(SetupError::Proxy)?
        };
        if let Some(pem) = extra_root {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| unusable_root(&error))?;
            if certificates.is_empty() {
                let message = "contains no PEM certificate (-----BEGIN CERTIFICATE-----)";
                return Err(SetupError::ExtraRoot(message.to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| match extra_root {
            Some(_) => unusable_root(&error),
            None => SetupError::Tls(described(&error)),
        })?;
        Ok(Self {
            base_url,
            http,
            gate,
            rehearsal: false,
            proxy,
        })
    }

    /// The same API, to which nothing is sent: each call ends with what would have been, in its exchange.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        Self {
            rehearsal: true,
            ..self.clone()
        }
    }

    /// The address.
    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// The gate that every request passes.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The proxy on the way to it, without user and password.
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// A client for one call with a token, which notes how the call comes about.
    fn client(&self, lane: &Arc<Lane>) -> generated::Client {
        let session = Session {
            gate: Arc::clone(&self.gate),
            lane: Arc::clone(lane),
            exchange: Arc::new(Mutex::new(Exchange::default())),
            rehearsal: self.rehearsal,
            proxy: self.proxy.clone(),
        };
        generated::Client::new_with_client(self.base_url.as_str(), self.http.clone(), session)
    }

    /// Lists an account's connectors. The list has no pages: it is asked for once.
    pub async fn list_connectors(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
    ) -> Answered<ConnectorList> {
        let id = match account_path(account_id) {
            Ok(id) => id,
            Err(error) => return not_sent(error),
        };
        let client = self.client(lane);
        let answer = client.get_all_sso_connectors(&id).await;
        // One record that cannot be decoded costs no other.
        let mended = match &answer {
            Err(Error::InvalidResponsePayload(body, _)) => without_odd_records(body),
            _ => None,
        };
        let answered = match mended {
            Some(list) => concluded(&client, || Ok(list)),
            None => conclude(&client, answer),
        };
        let Answered { result, exchange } = answered;
        let result = result.and_then(|list| connectors_of(list, &exchange.body));
        Answered { result, exchange }
    }

    /// Reads one connector.
    pub async fn get_connector(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
        connector_id: &str,
    ) -> Answered<Connector> {
        let (account, connector) = match ids(account_id, connector_id) {
            Ok(ids) => ids,
            Err(error) => return not_sent(error),
        };
        let client = self.client(lane);
        let answer = client.get_sso_connector(&account, &connector).await;
        conclude(&client, answer).and_then(|one| one.result.ok_or_else(|| no_result("a connector")))
    }

    /// Makes a connector.
    pub async fn create_connector(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
        new: &NewConnector,
    ) -> Answered<Connector> {
        let account = match account_path(account_id) {
            Ok(id) => id,
            Err(error) => return not_sent(error),
        };
        let body = types::SsoConnectorCreate {
            email_domain: new.email_domain.clone(),
            begin_verification: new.begin_verification,
            use_fedramp_language: new.use_fedramp_language,
        };
        let client = self.client(lane);
        let answer = client.init_new_sso_connector(&account, &body).await;
        conclude(&client, answer).and_then(|one| one.result.ok_or_else(|| no_result("a connector")))
    }

    /// Changes a connector; what is `None` stays as it is. The answer has been documented as an object and shown as
    /// an array: the connector is taken from either, and is `None` where the answer has none.
    pub async fn update_connector(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
        connector_id: &str,
        change: ConnectorChange,
    ) -> Answered<Option<Connector>> {
        let (account, connector) = match ids(account_id, connector_id) {
            Ok(ids) => ids,
            Err(error) => return not_sent(error),
        };
        let body = types::SsoConnectorUpdate {
            enabled: change.enabled,
            use_fedramp_language: change.use_fedramp_language,
        };
        let client = self.client(lane);
        let answer = client
            .update_sso_connector_state(&account, &connector, &body)
            .await;
        conclude(&client, answer)
            .and_then(|one| Ok(one.result.and_then(|result| one_of(result, connector_id))))
    }

    /// Removes a connector. The answer may name it or not.
    pub async fn delete_connector(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
        connector_id: &str,
    ) -> Answered<()> {
        let (account, connector) = match ids(account_id, connector_id) {
            Ok(ids) => ids,
            Err(error) => return not_sent(error),
        };
        let client = self.client(lane);
        let answer = client.delete_sso_connector(&account, &connector).await;
        conclude(&client, answer).without_result()
    }

    /// Has Cloudflare look for a connector's TXT record (again). The answer names no connector.
    pub async fn begin_verification(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
        connector_id: &str,
    ) -> Answered<()> {
        let (account, connector) = match ids(account_id, connector_id) {
            Ok(ids) => ids,
            Err(error) => return not_sent(error),
        };
        let client = self.client(lane);
        let answer = client
            .begin_sso_connector_verification(&account, &connector)
            .await;
        conclude(&client, answer).without_result()
    }

    /// Asks what a user's token is worth.
    pub async fn verify_user_token(&self, lane: &Arc<Lane>) -> Answered<TokenState> {
        let client = self.client(lane);
        let answer = client.user_api_tokens_verify_token().await;
        conclude(&client, answer).and_then(|answer| token_state(answer.result))
    }

    /// Asks what an account's own token is worth.
    pub async fn verify_account_token(
        &self,
        lane: &Arc<Lane>,
        account_id: &str,
    ) -> Answered<TokenState> {
        let account = match account_path(account_id) {
            Ok(id) => id,
            Err(error) => return not_sent(error),
        };
        let client = self.client(lane);
        let answer = client.account_api_tokens_verify_token(&account).await;
        conclude(&client, answer).and_then(|answer| token_state(answer.result))
    }

    /// Reads an account's name and id.
    pub async fn get_account(&self, lane: &Arc<Lane>, account_id: &str) -> Answered<ApiAccount> {
        let account = match account_path(account_id) {
            Ok(id) => id,
            Err(error) => return not_sent(error),
        };
        let client = self.client(lane);
        let answer = client.accounts_account_details(&account).await;
        conclude(&client, answer).and_then(|one| one.result.ok_or_else(|| no_result("an account")))
    }

    /// Lists every account that the token can list, page by page until a page brings nothing new.
    ///
    /// # Errors
    /// A page could not be read, or the list is empty.
    pub async fn list_accounts(&self, lane: &Arc<Lane>) -> Result<ListedAccounts, ReadError> {
        let mut listing = Listing::default();
        let mut page = std::num::NonZeroU64::MIN;
        loop {
            let client = self.client(lane);
            let answer = client
                .accounts_list_accounts(None, None, Some(page), Some(ACCOUNTS_PER_PAGE))
                .await;
            let Answered { result, exchange } = conclude(&client, answer);
            let list = result?;
            let accounts = believed(list.result, &exchange.body, "a list of accounts")?;
            listing.total = info_number(list.result_info.as_ref(), "total_count").or(listing.total);
            if !listing.add(accounts)? {
                break;
            }
            page = page.saturating_add(1);
        }
        listing.finish("the token's list of accounts")
    }
}

/// A connector to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnector {
    /// The e-mail domain.
    pub email_domain: String,
    /// Whether Cloudflare begins to look for the TXT record at once.
    pub begin_verification: bool,
    /// Whether users see the FedRAMP text at login.
    pub use_fedramp_language: bool,
}

/// What is to be changed of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectorChange {
    /// Whether members sign in through their identity provider.
    pub enabled: Option<bool>,
    /// Whether users see the FedRAMP text at login.
    pub use_fedramp_language: Option<bool>,
}

/// What a token is worth, as the API says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenState {
    /// `active`, `disabled`, `expired`, or a word that nobody documents.
    pub status: String,
    /// Until when, verbatim.
    pub expires_on: Option<String>,
}

fn token_state(result: Option<types::TokenStatus>) -> Result<TokenState, ReadError> {
    let state = result.ok_or_else(|| no_result("the token's state"))?;
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    Ok(TokenState {
        status: text(state.status).unwrap_or_else(|| "unknown".to_owned()),
        expires_on: text(state.expires_on),
    })
}

/// An account's id, as the generated client puts it into a path.
fn account_path(account_id: &str) -> Result<types::AccountId, ReadError> {
    types::AccountId::try_from(account_id).map_err(|error| no_id("an account ID", &error))
}

/// Whether a connector's id is one that a request can name: the API documents 32 characters, and the client keeps to
/// what is documented wherever something may be changed.
pub fn is_connector_id(id: &str) -> bool {
    types::SsoConnectorId::try_from(id).is_ok()
}

fn ids(
    account_id: &str,
    connector_id: &str,
) -> Result<(types::AccountId, types::SsoConnectorId), ReadError> {
    let connector = types::SsoConnectorId::try_from(connector_id)
        .map_err(|error| no_id("a connector ID", &error))?;
    Ok((account_path(account_id)?, connector))
}

fn no_id(what: &str, error: &types::error::ConversionError) -> ReadError {
    ReadError::new(
        ErrorKind::InvalidId,
        format!("{what} has 32 characters: {error}"),
    )
}

/// The connector in a result that is one, or a list that holds it.
fn one_of(result: Value, connector_id: &str) -> Option<Connector> {
    let of_value = |value: Value| serde_json::from_value::<Connector>(value).ok();
    match result {
        Value::Array(items) => {
            let mut connectors: Vec<_> = items.into_iter().filter_map(of_value).collect();
            let same =
                |connector: &Connector| connector.id.known().is_some_and(|id| id == connector_id);
            let at = connectors.iter().position(same)?;
            Some(connectors.swap_remove(at))
        }
        Value::Null => None,
        // One that is about another connector says nothing of this one.
        other => of_value(other).filter(|one| one.id.known().is_none_or(|id| id == connector_id)),
    }
}

impl<T> Answered<T> {
    /// Whether what was asked for may have been done although it failed here: the request may have arrived, and no
    /// answer of the API's says what became of it.
    pub fn is_lost(&self) -> bool {
        let silent = |error: &ReadError| {
            matches!(
                error.kind,
                ErrorKind::Timeout | ErrorKind::Connect | ErrorKind::Server | ErrorKind::Malformed
            )
        };
        self.exchange.arrived && self.result.as_ref().is_err_and(silent)
    }

    /// The same where what was answered does not matter.
    pub fn without_result(self) -> Answered<()> {
        self.and_then(|_| Ok(()))
    }

    fn and_then<U>(self, read: impl FnOnce(T) -> Result<U, ReadError>) -> Answered<U> {
        Answered {
            result: self.result.and_then(read),
            exchange: self.exchange,
        }
    }
}

/// What became of a call: the gate's word on it first, then whether its answer could be decoded.
fn conclude<T>(
    client: &generated::Client,
    answer: Result<ResponseValue<T>, Error<Value>>,
) -> Answered<T> {
    concluded(client, || match answer {
        Ok(value) => Ok(value.into_inner()),
        Err(error) => Err(ReadError::new(ErrorKind::Malformed, undecodable(&error))),
    })
}

/// The same for an answer that is decoded where nothing else is to be said of it.
fn concluded<T>(
    client: &generated::Client,
    decode: impl FnOnce() -> Result<T, ReadError>,
) -> Answered<T> {
    let exchange = {
        let mut noted = client
            .inner()
            .exchange
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *noted)
    };
    let result = match &exchange.failure {
        Some(failure) => Err(failure.clone()),
        // What is kept as evidence is text, in parts of it too that no type looks at.
        None if std::str::from_utf8(&exchange.body).is_err() => Err(ReadError::new(
            ErrorKind::Malformed,
            "the body is not UTF-8 text",
        )),
        None => decode(),
    };
    Answered { result, exchange }
}

/// A list of connectors with those replaced that cannot be decoded; `None` where it is none all the same.
fn without_odd_records(body: &[u8]) -> Option<types::SsoConnectorListResponse> {
    let mended = decodable::<Connector>(std::str::from_utf8(body).ok()?)?;
    serde_json::from_str(&mended).ok()
}

/// The most entries of a list of connectors that name neither an id nor a domain: more of them are no list of connectors.
const MOST_NAMELESS: usize = 1000;

fn connectors_of(
    list: types::SsoConnectorListResponse,
    body: &[u8],
) -> Result<ConnectorList, ReadError> {
    let connectors = believed(list.result, body, "a list of connectors")?;
    let is_nameless = |c: &&Connector| c.id.known().is_none() && c.email_domain.known().is_none();
    let nameless = connectors.iter().filter(is_nameless).count();
    if nameless > MOST_NAMELESS {
        let message = format!("{nameless} entries in the list have neither an ID nor a domain");
        return Err(ReadError::new(ErrorKind::Malformed, message));
    }
    Ok(ConnectorList {
        connectors,
        total_count: info_number(list.result_info.as_ref(), "total_count"),
    })
}

/// A list as it was answered. One without entries, `null` too, is believed only of an answer that says that it succeeded and names
/// no error: what is not there is reported as gone.
fn believed<T>(list: Option<Vec<T>>, body: &[u8], what: &'static str) -> Result<Vec<T>, ReadError> {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        success: Value,
        #[serde(default)]
        errors: Value,
        #[serde(default, deserialize_with = "list_or_null")]
        result: Option<Vec<IgnoredAny>>,
    }
    if let Some(list) = list
        && !list.is_empty()
    {
        return Ok(list);
    }
    let Ok(Body {
        success,
        errors,
        result: Some(_),
    }) = serde_json::from_slice(body)
    else {
        return Err(no_result(what));
    };
    let has_errors = match &errors {
        Value::Null => false,
        Value::Array(errors) => !errors.is_empty(),
        _ => true,
    };
    if has_errors || (success != Value::Bool(true) && success != "true") {
        let message =
            format!("{what} without entries, in an answer with errors or without `success: true`");
        return Err(ReadError::new(ErrorKind::Malformed, message));
    }
    Ok(Vec::new())
}

fn undecodable(error: &Error<Value>) -> String {
    match error {
        Error::InvalidResponsePayload(_, cause) => {
            format!("the body is not the list the API documents ({cause})")
        }
        Error::UnexpectedResponse(response) => {
            format!(
                "HTTP {}, which the API does not document",
                response.status().as_u16()
            )
        }
        Error::InvalidRequest(cause) | Error::Custom(cause) => cause.clone(),
        Error::CommunicationError(cause)
        | Error::InvalidUpgrade(cause)
        | Error::ResponseBodyError(cause) => described(cause),
        Error::ErrorResponse(response) => {
            format!("HTTP {} with no reason given", response.status().as_u16())
        }
    }
}

/// An error of the transport with all its causes.
fn described(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn unusable_root(error: &reqwest::Error) -> SetupError {
    let causes = described(error);
    let cause = causes.trim_start_matches("builder error: ");
    SetupError::ExtraRoot(format!(
        "contains a certificate that cannot be used: {cause}"
    ))
}

fn not_sent<T>(error: ReadError) -> Answered<T> {
    Answered {
        result: Err(error),
        exchange: Exchange::default(),
    }
}

fn no_result(what: &str) -> ReadError {
    ReadError::new(
        ErrorKind::Malformed,
        format!("the answer has no `result` where {what} should be"),
    )
}

/// A number of `result_info`, which may come as text.
fn info_number(info: Option<&Value>, key: &str) -> Option<u64> {
    let number: f64 = match info?.get(key)? {
        Value::String(text) => text.trim().parse().ok()?,
        number => number.as_f64()?,
    };
    // What is less than nothing, or no number, says nothing; no list has more entries than a double counts exactly.
    (number >= 0.0).then_some(number as u64)
}

/// The pages of a list of accounts, put together.
#[derive(Default)]
struct Listing {
    seen: HashSet<String>,
    accounts: Vec<AskedAccount>,
    total: Option<u64>,
    gaps: Vec<String>,
}

impl Listing {
    /// Adds a page; whether it brought anything new.
    ///
    /// # Errors
    /// There are too many.
    fn add(&mut self, page: Vec<ApiAccount>) -> Result<bool, ReadError> {
        let before = self.accounts.len();
        for account in page {
            let id = match &account.id {
                Field::Known(id) => id.clone(),
                odd => odd.shown("(no id)").into_owned(),
            };
            if self.seen.insert(id.clone()) {
                if self.accounts.len() == MOST_ACCOUNTS {
                    let message = format!(
                        "it lists more than {MOST_ACCOUNTS} accounts, the most a run reads"
                    );
                    return Err(ReadError::new(ErrorKind::Malformed, message));
                }
                let name = account.name.known().map_or("", String::as_str);
                self.accounts.push(AskedAccount {
                    name: shortened(name, LONGEST_NAME).into_owned(),
                    ..AskedAccount::new(&id, "the API's list of accounts")
                });
            }
        }
        Ok(self.accounts.len() > before)
    }

    fn finish(mut self, what: &str) -> Result<ListedAccounts, ReadError> {
        if self.accounts.is_empty() {
            let message = format!(
                "{what} is empty, which does not prove that there are no accounts: a token without the permission Account Settings Read gets the same answer"
            );
            return Err(ReadError::new(ErrorKind::Forbidden, message));
        }
        let listed = self.accounts.len() as u64;
        if let Some(total) = self.total.filter(|&total| total > listed) {
            self.gaps.push(format!(
                "{what} says there are {total} accounts but contains {listed}"
            ));
        }
        Ok(ListedAccounts {
            accounts: self.accounts,
            gaps: self.gaps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for good in [
            Region::Public.base_url(),
            "https://api.example/client/v4/",
            "http://127.0.0.1:8080/client/v4",
            "http://[::1]:1/",
            "http://localhost:1",
        ] {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api.cloudflare.com",
            "ftp://127.0.0.1/",
            "http://api.cloudflare.com/client/v4",
            "http://127.0.0.1.example/",
            "http://10.0.0.1/",
            "https://user:secret@api.example/",
            "https://api.example/?x=1",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            BaseUrl::parse("https://a.example/v4/").unwrap().as_str(),
            "https://a.example/v4"
        );
    }

    #[test]
    fn numbers_of_result_info_come_as_numbers_or_text() {
        let info = serde_json::json!({"total_count": 5, "total_size": "7", "x": -1});
        assert_eq!(info_number(Some(&info), "total_count"), Some(5));
        assert_eq!(info_number(Some(&info), "total_size"), Some(7));
        assert_eq!(info_number(Some(&info), "x"), None);
        assert_eq!(info_number(None, "total_count"), None);
    }
}
