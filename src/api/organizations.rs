//! The two lists of organizations: the accounts attached to one, and the organizations right under one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Answered, Api, Lane, believed, conclude, info_number};
use crate::model::{ApiAccount, ApiOrganization, Field};
use crate::outcome::{ErrorKind, ReadError};
use crate::text::{count, shortened};

/// Items on a page: the most that the API documents.
const PAGE_SIZE: i64 = 1000;
/// The most pages of one list that are read.
pub const MOST_PAGES: usize = 5000;
/// The longest id of an organization, in characters. The API documents no form; those it shows have 32.
const LONGEST_ID: usize = 100;

/// What a list brought, as far as it could be read.
#[derive(Debug)]
pub struct Listed<T> {
    /// In the order of the list, each once.
    pub items: Vec<T>,
    /// Why some may be missing.
    pub failure: Option<ReadError>,
}

/// How many more items are kept, over several lists.
#[derive(Debug)]
pub struct Room {
    most: usize,
    taken: AtomicUsize,
}

impl Room {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
        }
    }

    fn take(&self) -> bool {
        self.taken.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

/// Whether a text can be an organization's id. One that can is in an address as it is, and leads nowhere else: the
/// global key goes with it.
pub fn is_organization_id(id: &str) -> bool {
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(is_harmless)
}

impl Api {
    /// Lists the accounts that are attached to an organization directly.
    pub async fn list_organization_accounts(
        &self,
        lane: &Arc<Lane>,
        organization: &str,
        room: &Room,
    ) -> Listed<ApiAccount> {
        let mut pages = Pages::new("account", room);
        loop {
            let client = self.client(lane);
            let answer = client
                .organizations_get_accounts(organization, Some(PAGE_SIZE), pages.token())
                .await;
            let page = page_of(conclude(&client, answer), |list| {
                (list.result, list.result_info)
            });
            if !pages.go_on(page, |account| &account.id) {
                return pages.finish();
            }
        }
    }

    /// Lists the organizations right under an organization.
    pub async fn list_organizations_under(
        &self,
        lane: &Arc<Lane>,
        parent: &str,
        room: &Room,
    ) -> Listed<ApiOrganization> {
        let mut pages = Pages::new("organization", room);
        loop {
            let client = self.client(lane);
            // What narrows the list has to be asked for with each page.
            let answer = client
                .organization_list_organizations(
                    None,
                    None,
                    None,
                    None,
                    None,
                    None,
                    None,
                    Some(PAGE_SIZE),
                    pages.token(),
                    Some(parent),
                )
                .await;
            let page = page_of(conclude(&client, answer), |list| {
                (list.result, list.result_info)
            });
            if !pages.go_on(page, |organization| &organization.id) {
                return pages.finish();
            }
        }
    }
}

/// One page of a list.
struct Page<T> {
    items: Vec<T>,
    info: Option<Value>,
}

/// The page that was answered.
fn page_of<L, T>(
    answered: Answered<L>,
    parts: impl FnOnce(L) -> (Option<Vec<T>>, Option<Value>),
) -> Result<Page<T>, ReadError> {
    let (items, info) = parts(answered.result?);
    let items = believed(items, &answered.exchange.body, "a list")?;
    Ok(Page { items, info })
}

/// The pages of a list, put together.
struct Pages<'a, T> {
    what: &'static str,
    room: &'a Room,
    seen: HashSet<String>,
    /// Every `page_token` that was named; the last of them is the next page's.
    tokens: HashSet<String>,
    next: Option<String>,
    total: Option<u64>,
    listed: Listed<T>,
}

impl<'a, T> Pages<'a, T> {
    fn new(what: &'static str, room: &'a Room) -> Self {
        Self {
            what,
            room,
            seen: HashSet::new(),
            tokens: HashSet::new(),
            next: None,
            total: None,
            listed: Listed {
                items: Vec::new(),
                failure: None,
            },
        }
    }

    fn token(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Adds a page; whether there is a next one to be read.
    fn go_on(
        &mut self,
        page: Result<Page<T>, ReadError>,
        id: impl Fn(&T) -> &Field<String>,
    ) -> bool {
        let added = page.and_then(|page| self.add(page, id));
        added.unwrap_or_else(|error| {
            self.listed.failure = Some(error);
            false
        })
    }

    fn add(&mut self, page: Page<T>, id: impl Fn(&T) -> &Field<String>) -> Result<bool, ReadError> {
        let info = page.info.as_ref();
        self.total = info_number(info, "total_size").or(self.total);
        let before = self.listed.items.len();
        for item in page.items {
            if !self.seen.insert(id(&item).shown("(no id)").into_owned()) {
                continue;
            }
            if !self.room.take() {
                let most = self.room.most;
                return Err(self.not_whole(format!(
                    "it exceeds {}, the most a run reads",
                    count(most, self.what)
                )));
            }
            self.listed.items.push(item);
        }
        let next = match info.and_then(|info| info.get("next_page_token")) {
            None | Some(Value::Null) => return Ok(false),
            Some(Value::String(token)) if token.is_empty() => return Ok(false),
            Some(Value::String(token)) => token,
            Some(other) => {
                let kind = shortened(&other.to_string(), 40).into_owned();
                return Err(self.not_whole(format!("its next-page token is {kind}")));
            }
        };
        if self.listed.items.len() == before {
            return Err(self.not_whole(format!(
                "a page contains no new {} but points to a next page",
                self.what
            )));
        }
        if !self.tokens.insert(next.clone()) {
            return Err(self.not_whole("a page points to one that was already read"));
        }
        if self.tokens.len() == MOST_PAGES {
            return Err(self.not_whole(format!(
                "it exceeds {MOST_PAGES} pages, the most a run reads"
            )));
        }
        self.next = Some(next.clone());
        Ok(true)
    }

    fn not_whole(&self, cause: impl AsRef<str>) -> ReadError {
        ReadError::new(ErrorKind::IncompleteList, cause)
    }

    fn finish(mut self) -> Listed<T> {
        let brought = self.listed.items.len();
        if let Some(total) = self.total.filter(|&total| total > brought as u64)
            && self.listed.failure.is_none()
        {
            let error = self.not_whole(format!("it says there are {total} but contains {brought}"));
            self.listed.failure = Some(error);
        }
        self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(ids: &[&str], info: Value) -> Result<Page<ApiAccount>, ReadError> {
        let account = |id: &&str| ApiAccount {
            id: Field::Known((*id).to_owned()),
            ..ApiAccount::default()
        };
        Ok(Page {
            items: ids.iter().map(account).collect(),
            info: Some(info),
        })
    }

    /// How many items the pages bring, how many of the pages are read, and why no more.
    fn read(
        room: usize,
        pages: impl IntoIterator<Item = Result<Page<ApiAccount>, ReadError>>,
    ) -> (usize, usize, Option<String>) {
        let room = Room::new(room);
        let mut list = Pages::new("account", &room);
        let mut asked = 0;
        for page in pages {
            asked += 1;
            if !list.go_on(page, |account| &account.id) {
                break;
            }
        }
        let listed = list.finish();
        let failure = listed.failure.map(|error| error.message);
        (listed.items.len(), asked, failure)
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        for good in ["0a", "a7b9c3d2e8f4g1h5i6j0k9l2m3n7o4p8", "org-1_x"] {
            assert!(is_organization_id(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a%2f", "a?b", &"a".repeat(101)] {
            assert!(!is_organization_id(bad), "{bad}");
        }
    }

    #[test]
    fn pages_are_put_together_until_none_is_named() {
        let pages = [
            page(&["a", "b"], json!({"next_page_token": "2"})),
            page(
                &["b", "c"],
                json!({"next_page_token": null, "total_size": 3}),
            ),
            page(&["d"], json!({})),
        ];
        assert_eq!(read(9, pages), (3, 2, None));
    }

    #[test]
    fn a_list_that_is_not_whole_keeps_what_it_brought_and_says_why() {
        let next = |token: &str| json!({"next_page_token": token});
        let failed = Err(ReadError::new(ErrorKind::Timeout, "no answer"));
        let said = |read: (usize, usize, Option<String>)| (read.0, read.1, read.2.unwrap());
        let (items, asked, why) = said(read(9, [page(&["a"], next("2")), failed]));
        assert_eq!((items, asked, &*why), (1, 2, "no answer"));
        let (items, _, why) = said(read(9, [page(&["a"], json!({"total_size": "2"}))]));
        assert_eq!((items, &*why), (1, "it says there are 2 but contains 1"));
        let repeated = (0..9).map(|_| page(&["a"], next("2")));
        assert!(said(read(9, repeated)).2.contains("no new account"));
        let rounds = ["a", "b", "c"].map(|id| page(&[id], next("2")));
        let (items, asked, why) = said(read(9, rounds));
        assert_eq!((items, asked), (2, 2));
        assert!(why.contains("already read"), "{why}");
        let (items, _, why) = said(read(1, [page(&["a", "b"], json!({}))]));
        assert_eq!(items, 1);
        assert_eq!(why, "it exceeds 1 account, the most a run reads");
        let endless = (0..).map(|n: usize| {
            let n = n.to_string();
            page(&[&n], next(&n))
        });
        let (items, asked, why) = said(read(usize::MAX, endless));
        assert_eq!((items, asked), (MOST_PAGES, MOST_PAGES));
        assert!(why.contains("5000 pages"), "{why}");
    }
}
