//! Goes down the organizations: the accounts of each, and the organizations under it, level by level.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use crate::accounts::{AskedAccount, LONGEST_NAME, MOST_ACCOUNTS};
use crate::api::{Api, Lane, Room, is_organization_id};
use crate::model::{ApiAccount, ApiOrganization};
use crate::organizations::{
    MOST_LEVELS, MOST_ORGANIZATIONS, Organization, OrganizationList, Unlisted,
};
use crate::outcome::{ErrorKind, ReadError};
use crate::text::{count, shortened};

/// A walk down the organizations that were named. One that lies under several of them is listed once.
#[derive(Debug)]
pub struct Walk {
    api: Api,
    lane: Arc<Lane>,
    /// What was listed, by id.
    nodes: HashMap<String, Node>,
    /// Their ids, in the order in which they were met.
    order: Vec<String>,
    room_for_accounts: Arc<Room>,
    room_for_organizations: Arc<Room>,
}

/// The accounts of an organization that was named, and of all under it.
#[derive(Debug)]
pub struct UnderOne {
    /// Each once, those of an organization before those of the ones under it.
    pub accounts: Vec<AskedAccount>,
    /// Whether all could be listed.
    pub whole: bool,
}

#[derive(Debug)]
struct Node {
    organization: Organization,
    accounts: Vec<AskedAccount>,
    /// Those right under it.
    under: Vec<Child>,
}

/// An organization as the list of another names it.
#[derive(Debug, Clone)]
struct Child {
    id: String,
    name: String,
    /// Whether it says itself that it lies under another one.
    is_strange: bool,
}

/// What was met under one of the organizations that were named.
#[derive(Debug, Default)]
struct Met {
    /// The organization that each was found under.
    parents: HashMap<String, Option<String>>,
    /// Their ids, level by level.
    order: Vec<String>,
}

impl Walk {
    /// A walk that has listed nothing.
    pub fn new(api: &Api, lane: Arc<Lane>) -> Self {
        Self {
            api: api.clone(),
            lane,
            nodes: HashMap::new(),
            order: Vec::new(),
            room_for_accounts: Arc::new(Room::new(MOST_ACCOUNTS)),
            room_for_organizations: Arc::new(Room::new(MOST_ORGANIZATIONS)),
        }
    }

    /// Lists the accounts of an organization and of every one under it.
    ///
    /// # Errors
    /// A task that lists has ended without an answer.
    pub async fn list(&mut self, root: &str) -> Result<UnderOne, JoinError> {
        let mut met = Met::default();
        met.add(root.to_owned(), None);
        let mut level = vec![Child {
            id: root.to_owned(),
            name: String::new(),
            is_strange: false,
        }];
        for _ in 0..MOST_LEVELS {
            self.list_level(&level, &met).await?;
            level = self.level_below(&level, &mut met);
        }
        if let Some(child) = level.first() {
            let depth = format!(
                "{} more than {MOST_LEVELS} levels down, not listed",
                count(level.len(), "organization")
            );
            let parent = met.parents[&child.id].clone();
            self.note(parent.as_deref().unwrap_or(root), not_all(depth));
            for child in &level {
                met.parents.remove(&child.id);
            }
            met.order.retain(|id| met.parents.contains_key(id));
        }
        self.note_strangers(&met);
        Ok(self.conclude(root, &met))
    }

    /// Every organization that was listed, in the order in which they were met.
    pub fn finish(mut self) -> Vec<Organization> {
        let nodes = self.order.iter().filter_map(|id| self.nodes.remove(id));
        nodes.map(|node| node.organization).collect()
    }

    /// Lists those of a level that are not listed yet, all at once: the gate decides how many requests are in progress.
    async fn list_level(&mut self, level: &[Child], met: &Met) -> Result<(), JoinError> {
        let mut listing = JoinSet::new();
        for child in level {
            let parent = met.parents.get(&child.id).cloned().flatten();
            if let Some(known) = self.nodes.get_mut(&child.id) {
                // It was named, too: now it is known where it lies.
                let organization = &mut known.organization;
                if organization.parent.is_none() {
                    organization.parent = parent;
                }
                if organization.name.is_empty() {
                    organization.name.clone_from(&child.name);
                }
                continue;
            }
            self.order.push(child.id.clone());
            listing.spawn(list_one(
                self.api.clone(),
                Arc::clone(&self.lane),
                Arc::clone(&self.room_for_accounts),
                Arc::clone(&self.room_for_organizations),
                Organization {
                    id: child.id.clone(),
                    name: child.name.clone(),
                    parent,
                    accounts: 0,
                    problems: Vec::new(),
                },
            ));
        }
        while let Some(listed) = listing.join_next().await {
            let node = listed?;
            self.nodes.insert(node.organization.id.clone(), node);
        }
        Ok(())
    }

    /// The organizations under those of a level. One that was met before is gone into no second time.
    fn level_below(&mut self, level: &[Child], met: &mut Met) -> Vec<Child> {
        let mut below = Vec::new();
        for parent in level {
            let under = self.nodes.get(&parent.id).map(|node| node.under.clone());
            for child in under.into_iter().flatten() {
                if child.is_strange {
                    continue;
                }
                if !is_organization_id(&child.id) {
                    let cause = format!("it names {:?}, which is not an organization ID", child.id);
                    self.note(&parent.id, not_all(cause));
                } else if met.parents.contains_key(&child.id) {
                    let cause = met.contradiction(&child.id, &parent.id);
                    self.note(&parent.id, malformed(cause));
                } else {
                    met.add(child.id.clone(), Some(parent.id.clone()));
                    below.push(child);
                }
            }
        }
        below
    }

    /// Says of organizations that a list names although they lie under another one that they were not gone into, where
    /// they were met nowhere else.
    fn note_strangers(&mut self, met: &Met) {
        for parent in &met.order {
            let under = self.nodes.get(parent).map_or(&[][..], |node| &node.under);
            let is_missed =
                |child: &&Child| child.is_strange && !met.parents.contains_key(&child.id);
            let missed: Vec<_> = under.iter().filter(is_missed).collect();
            if let Some(first) = missed.first() {
                let cause = format!(
                    "it names {} that say they belong to another organization, and these were not listed: the first is {}",
                    count(missed.len(), "organization"),
                    first.id
                );
                self.note(parent, not_all(cause));
            }
        }
    }

    fn conclude(&mut self, root: &str, met: &Met) -> UnderOne {
        let mut seen = HashSet::new();
        let mut accounts = Vec::new();
        for node in met.order.iter().filter_map(|id| self.nodes.get(id)) {
            for account in &node.accounts {
                if seen.insert(&account.id) {
                    accounts.push(account.clone());
                }
            }
        }
        let problems = |walk: &Self| {
            let mut nodes = met.order.iter().filter_map(|id| walk.nodes.get(id));
            nodes.any(|node| !node.organization.problems.is_empty())
        };
        if accounts.is_empty() && !problems(self) {
            let message = "the list is empty, which does not prove that there are none: a user without access gets the same answer";
            self.note(
                root,
                (
                    OrganizationList::Accounts,
                    ReadError::new(ErrorKind::Forbidden, message),
                ),
            );
        }
        UnderOne {
            accounts,
            whole: !problems(self),
        }
    }

    fn note(&mut self, organization: &str, problem: (OrganizationList, ReadError)) {
        let by_key = self.lane.is_of_key();
        if let Some(node) = self.nodes.get_mut(organization) {
            node.note(by_key, problem);
        }
    }
}

impl Node {
    fn note(&mut self, by_key: bool, (list, error): (OrganizationList, ReadError)) {
        let problem = Unlisted {
            list,
            by_key,
            error,
        };
        let problems = &mut self.organization.problems;
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

impl Met {
    fn add(&mut self, id: String, parent: Option<String>) {
        self.order.push(id.clone());
        self.parents.insert(id, parent);
    }

    /// What is wrong where an organization is named that was met before.
    fn contradiction(&self, child: &str, parent: &str) -> String {
        let mut above = Some(parent);
        while let Some(id) = above {
            if id == child {
                return format!("it names {child}, which it is below itself: a loop, listed once");
            }
            above = self.parents.get(id).and_then(Option::as_deref);
        }
        match self.parents.get(child).and_then(Option::as_deref) {
            Some(other) => {
                format!("it names {child}, which is also below {other}: listed once")
            }
            None => format!("it names {child} twice: listed once"),
        }
    }
}

fn not_all(cause: String) -> (OrganizationList, ReadError) {
    let error = ReadError::new(ErrorKind::IncompleteList, cause);
    (OrganizationList::Organizations, error)
}

fn malformed(cause: String) -> (OrganizationList, ReadError) {
    let error = ReadError::new(ErrorKind::Malformed, cause);
    (OrganizationList::Organizations, error)
}

/// Lists an organization's accounts, and the organizations right under it.
async fn list_one(
    api: Api,
    lane: Arc<Lane>,
    room_for_accounts: Arc<Room>,
    room_for_organizations: Arc<Room>,
    organization: Organization,
) -> Node {
    let by_key = lane.is_of_key();
    let mut node = Node {
        organization,
        accounts: Vec::new(),
        under: Vec::new(),
    };
    let id = node.organization.id.clone();
    if !is_organization_id(&id) {
        let error = ReadError::new(ErrorKind::InvalidId, "it is not an organization ID");
        node.note(by_key, (OrganizationList::Accounts, error));
        return node;
    }
    let accounts = api
        .list_organization_accounts(&lane, &id, &room_for_accounts)
        .await;
    let under = api
        .list_organizations_under(&lane, &id, &room_for_organizations)
        .await;
    let mut items = |list, failure: Option<ReadError>| {
        if let Some(error) = failure {
            node.note(by_key, (list, error));
        }
    };
    items(OrganizationList::Accounts, accounts.failure);
    items(OrganizationList::Organizations, under.failure);
    if node.organization.name.is_empty() {
        node.organization.name = name_by_those_under(&under.items, &id);
    }
    node.organization.accounts = accounts.items.len();
    node.accounts = accounts.items.iter().map(asked).collect();
    node.under = under.items.iter().map(|item| child(item, &id)).collect();
    node
}

/// What an organization is called by those under it; who named it for the run knew its id alone.
fn name_by_those_under(under: &[ApiOrganization], id: &str) -> String {
    let is_of_it = |child: &&ApiOrganization| child.parent_id.known().is_some_and(|of| of == id);
    let name = under
        .iter()
        .filter(is_of_it)
        .find_map(|child| child.parent_name.known());
    shortened(name.map_or("", String::as_str), LONGEST_NAME).into_owned()
}

fn asked(account: &ApiAccount) -> AskedAccount {
    let name = account.name.known().map_or("", String::as_str);
    AskedAccount {
        name: shortened(name, LONGEST_NAME).into_owned(),
        ..AskedAccount::new(&account.id.shown("(no id)"), "the API's list of accounts")
    }
}

fn child(organization: &ApiOrganization, parent: &str) -> Child {
    let name = organization.name.known().map_or("", String::as_str);
    let says = organization.parent_id.known();
    Child {
        id: shortened(&organization.id.shown("(no id)"), LONGEST_NAME).into_owned(),
        name: shortened(name, LONGEST_NAME).into_owned(),
        is_strange: says.is_some_and(|says| !says.eq_ignore_ascii_case(parent)),
    }
}
