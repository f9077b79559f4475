//! The organizations whose accounts a run listed: a tree, with what of it could not be listed.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{EMAIL_VARIABLE, KEY_VARIABLE};
use crate::outcome::{ErrorKind, ReadError};
use crate::text::{count, for_terminal};

/// The most organizations of a run.
pub const MOST_ORGANIZATIONS: usize = 10_000;
/// The most levels of organizations that are gone down: Cloudflare has 5.
pub const MOST_LEVELS: usize = 10;

/// An organization whose accounts were listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// As the list of organizations, or who began the run, gave it.
    pub id: String,
    /// Empty where nothing told it: lists name only organizations under others, and these those above.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The id of the organization it was found under; absent for one that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How many accounts are attached to it directly, as far as they were listed.
    pub accounts: usize,
    /// What could not be listed of it, or not to its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Unlisted>,
}

/// A list of an organization's that is incomplete, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// Which list.
    pub list: OrganizationList,
    /// Whether it was asked for with e-mail and global key, and not with a token.
    #[serde(default)]
    pub by_key: bool,
    /// Why.
    pub error: ReadError,
}

/// What an organization has lists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrganizationList {
    /// The accounts attached to it.
    Accounts,
    /// The organizations right under it.
    Organizations,
}

impl OrganizationList {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Organizations => "organizations",
        }
    }
}

impl Organization {
    /// Its id, with its name where that is known, as messages say it.
    pub fn words(&self) -> String {
        let id = for_terminal(&self.id);
        match self.name.as_str() {
            "" => id.into_owned(),
            name => format!("{} ({id})", for_terminal(name)),
        }
    }

    /// What may be missing of the run's accounts for its sake, one sentence each, with what to do.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        let words = self.words();
        let mut gaps: Vec<Gap> = Vec::new();
        // Mostly both lists are refused, for the same reason.
        let mut problems = &self.problems[..];
        if let [first, second, rest @ ..] = problems
            && first.error == second.error
            && first.list != second.list
        {
            let what = format!("{} and {}", first.what(), second.what());
            gaps.push(first.gap(&words, &what));
            problems = rest;
        }
        gaps.extend(problems.iter().map(|p| p.gap(&words, p.what())));
        gaps.into_iter()
    }
}

/// Why accounts may be missing, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose list is incomplete, and why.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.sentence, self.remedy)
    }
}

impl Unlisted {
    fn what(&self) -> &'static str {
        match self.list {
            OrganizationList::Accounts => "its accounts",
            OrganizationList::Organizations => "the organizations under it",
        }
    }

    fn gap(&self, organization: &str, what: &str) -> Gap {
        Gap {
            sentence: format!("organization {organization}: {}", self.said_of(what)),
            remedy: self.remedy(),
        }
    }

    /// What is missing and why.
    pub fn sentence(&self) -> String {
        self.said_of(self.what())
    }

    fn said_of(&self, what: &str) -> String {
        let how_far = match self.error.kind {
            ErrorKind::IncompleteList => "are not all listed",
            ErrorKind::Malformed => "cannot be relied on",
            _ => "cannot be listed",
        };
        let kind = self.error.kind.as_str();
        let code = self.error.code.as_ref();
        let code = code.map_or(String::new(), |code| format!(", code {code}"));
        format!("{what} {how_far} ({kind}{code}): {}", self.error.message)
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self.error.kind {
            ErrorKind::Auth | ErrorKind::Forbidden | ErrorKind::Api if self.by_key => format!(
                "check {EMAIL_VARIABLE} and {KEY_VARIABLE}, and that their user may see this organization, or name the accounts with --accounts-file"
            ),
            ErrorKind::Auth | ErrorKind::Forbidden | ErrorKind::Api => format!(
                "Cloudflare documents lists of organizations only for an e-mail address with a global API key, and calls API tokens \"not yet fully available\" there: \
                 name the accounts with --accounts-file, or set {EMAIL_VARIABLE} and {KEY_VARIABLE}, which are used for these lists and for nothing else"
            ),
            ErrorKind::NotFound | ErrorKind::InvalidId => {
                "check the organization's ID and your access to it, or name the accounts with --accounts-file".to_owned()
            }
            ErrorKind::IncompleteList | ErrorKind::Malformed => {
                "compare with the dashboard, and name the missing accounts with --accounts-file".to_owned()
            }
            _ => "run it again later, or name the accounts with --accounts-file".to_owned(),
        }
    }
}

/// The organizations as a tree is read: each before those under it, with how deep it lies. Those that were named lie at
/// 0, and so does what a damaged list puts under itself.
pub fn in_order(organizations: &[Organization]) -> Vec<(usize, &Organization)> {
    let mut under: HashMap<&str, Vec<&Organization>> = HashMap::new();
    for organization in organizations {
        if let Some(parent) = &organization.parent {
            under.entry(parent).or_default().push(organization);
        }
    }
    let named = organizations.iter().filter(|o| o.parent.is_none());
    let mut ordered = Vec::with_capacity(organizations.len());
    let mut met = HashSet::new();
    for root in named.chain(organizations) {
        let mut waiting = vec![(0, root)];
        while let Some((level, organization)) = waiting.pop() {
            if !met.insert(organization.id.as_str()) {
                continue;
            }
            ordered.push((level, organization));
            let below = under.get(organization.id.as_str()).into_iter().flatten();
            waiting.extend(below.rev().map(|below| (level + 1, *below)));
        }
    }
    ordered
}

/// `3 organizations, 41 accounts`.
pub fn sentence(organizations: usize, accounts: usize) -> String {
    format!(
        "{}, {}",
        count(organizations, "organization"),
        count(accounts, "account")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(id: &str, parent: Option<&str>) -> Organization {
        Organization {
            id: id.to_owned(),
            name: String::new(),
            parent: parent.map(str::to_owned),
            accounts: 0,
            problems: Vec::new(),
        }
    }

    #[test]
    fn each_stands_before_those_under_it_and_none_twice() {
        let tree = [
            organization("a", None),
            organization("b", Some("a")),
            organization("c", Some("a")),
            organization("d", Some("b")),
            // In a file that somebody has changed.
            organization("x", Some("y")),
            organization("y", Some("x")),
        ];
        let ordered = in_order(&tree);
        let shown: Vec<_> = ordered
            .iter()
            .map(|(n, o)| format!("{n}{}", o.id))
            .collect();
        assert_eq!(shown, ["0a", "1b", "2d", "1c", "0x", "1y"]);
    }

    #[test]
    fn a_refusal_says_what_is_documented_and_what_works() {
        let unlisted = |by_key| Unlisted {
            list: OrganizationList::Accounts,
            by_key,
            error: ReadError::coded(ErrorKind::Auth, Some("10000"), "Authentication error"),
        };
        let mut refused = organization("0a", None);
        refused.name = "Vale\u{1b}".to_owned();
        refused.problems = vec![unlisted(false)];
        let said: Vec<_> = refused.gaps().map(|gap| gap.to_string()).collect();
        for part in [
            "organization Vale\u{fffd} (0a): its accounts cannot be listed (auth, code 10000): Authentication error; ",
            "only for an e-mail address with a global API key",
            "--accounts-file",
            "set CLOUDFLARE_EMAIL and CLOUDFLARE_API_KEY",
        ] {
            assert!(said[0].contains(part), "{part:?} is not in {said:?}");
        }
        assert!(
            unlisted(true)
                .remedy()
                .starts_with("check CLOUDFLARE_EMAIL")
        );
    }
}
