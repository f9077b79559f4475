//! What every operation needs: the API, the connector that is meant, and what is said of the answer.

use std::sync::Arc;

use serde_json::json;

use super::super::{Failure, exit, json_text, print};
use super::{Common, Target, view};
use crate::api::{Answered, Api, ConnectorList, Lane, Rehearsed, Token, is_connector_id};
use crate::clock::Clock;
use crate::model::{Connector, canonical_domain};
use crate::outcome::ReadError;
use crate::text::{for_terminal, shortened};

/// The id of a connector.
pub(super) struct Named {
    pub(super) id: String,
    /// The domain that it stands for in a rehearsal, where only the API could tell the id.
    domain: Option<String>,
}

/// What a request names in a rehearsal where only the API could tell the id.
const UNKNOWN_ID: &str = "ffffffffffffffffffffffffffffffff";

/// What every operation needs.
pub(super) struct Desk {
    pub(super) api: Api,
    pub(super) lane: Arc<Lane>,
    pub(super) json: bool,
    pub(super) rehearsal: bool,
    effect: Effect,
}

/// Whether an operation changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Changes,
}

impl Desk {
    pub(super) async fn open(common: Common, effect: Effect) -> Result<Self, Failure> {
        let clock = Clock::from_environment().map_err(Failure::usage)?;
        let base_url = common.connection.base_url()?;
        let (name, token) = if common.dry_run {
            // Nothing is sent, so nothing has to be allowed; but a lane has a token.
            let token = Token::parse("--dry-run", "none")
                .map_err(|error| Failure::failed(error.to_string()))?;
            ("--dry-run".to_owned(), token)
        } else {
            common.connection.default_token().read().await?
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
    pub(super) async fn named(&self, target: &Target) -> Result<Named, Failure> {
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
        let missing = cut_short(&list);
        let of_domain = list
            .connectors
            .iter()
            .filter(|connector| connector.canonical_domain().as_ref() == Some(&wanted));
        let ids: Vec<_> = of_domain
            .filter_map(|connector| connector.id.known())
            .collect();
        match (ids.as_slice(), missing) {
            ([id], _) if !is_connector_id(id) => Err(Failure::failed(format!(
                "the connector for {wanted} has an ID of {} characters, but the API takes IDs of 32",
                id.chars().count()
            ))
            .hint("use the dashboard for this connector")),
            // There may be another one for the same domain among those that are missing.
            ([id], Some(not_whole)) if self.effect == Effect::Changes => {
                Err(Failure::failed(not_whole).hint(format!(
                    "if this is the connector you mean, name it by its ID: {}",
                    for_terminal(id)
                )))
            }
            ([id], _) => Ok(Named {
                id: (*id).clone(),
                domain: None,
            }),
            ([], Some(not_whole)) => Err(Failure::new(
                exit::INCOMPLETE,
                format!("{not_whole}, and none of these is for {wanted}"),
            )
            .hint("check the account in the dashboard")),
            ([], None) => Err(Failure::failed(format!(
                "account {} has no connector for {wanted}",
                target.account
            ))
            .hint("`cf-sso-audit connector list` shows its connectors")),
            (several, _) => {
                let ids: Vec<_> = several.iter().map(|id| id.as_str()).collect();
                Err(Failure::failed(format!(
                    "account {} has {} connectors for {wanted}",
                    target.account,
                    ids.len()
                ))
                .hint(format!("name one by its ID: {}", ids.join(", "))))
            }
        }
    }

    /// The answer of use; `None` where nothing was sent and the request was shown instead.
    pub(super) fn answer<T>(
        &self,
        answered: Answered<T>,
        named: Option<&Named>,
    ) -> Result<Option<T>, Failure> {
        if let Some(rehearsed) = answered.exchange.rehearsed {
            print(&request(rehearsed, named, self.json))?;
            return Ok(None);
        }
        let is_lost = answered.is_lost();
        answered.result.map(Some).map_err(|error| {
            let hint = match self.effect {
                Effect::Reads => error.kind.remedy().to_owned(),
                Effect::Changes if is_lost => {
                    "the change may have been made all the same: check with `cf-sso-audit connector list` before you try again".to_owned()
                }
                Effect::Changes => error.kind.remedy_of_change(),
            };
            refused(&error, hint)
        })
    }

    pub(super) fn show(
        &self,
        answered: Answered<Connector>,
        named: Option<&Named>,
    ) -> Result<u8, Failure> {
        match self.answer(answered, named)? {
            None => Ok(exit::DONE),
            Some(connector) => self.show_one(&connector),
        }
    }

    pub(super) fn show_one(&self, connector: &Connector) -> Result<u8, Failure> {
        print(&if self.json {
            json_text(&json!(connector))
        } else {
            view::details(connector)
        })?;
        Ok(exit::DONE)
    }

    pub(super) fn say(&self, what: &str, id: &str) -> Result<u8, Failure> {
        print(&if self.json {
            json_text(&json!({"id": id}))
        } else {
            format!("{what}: {}\n", for_terminal(id))
        })?;
        Ok(exit::DONE)
    }
}

/// What is said of a list that is incomplete.
pub(super) fn cut_short(list: &ConnectorList) -> Option<String> {
    let answered = list.connectors.len();
    let total = list.total_count.filter(|&total| total > answered as u64)?;
    Some(format!(
        "the list is incomplete: it contains {answered} of {total} connectors"
    ))
}

/// The request that would have been sent.
fn request(request: Rehearsed, named: Option<&Named>, json: bool) -> String {
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
