//! What a sequence of nights is made of: accounts with connectors, a policy file, and plans of what happens night by
//! night. A plan is small numbers only, so that proptest can shrink it; [`World::live`] turns one into a [`Tonight`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::ops::Range;

use chrono::DateTime;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{NOW, connector_id, id};

/// How many accounts a world has; their numbers begin with 1.
pub const ACCOUNTS: usize = 5;
/// How many connectors an account has at most.
const CONNECTORS: usize = 4;
const DAY: i64 = 86_400;

/// The domains that connectors have. The last is the second in another spelling.
const DOMAINS: [&str; 4] = ["a.example", "b.example", "c.example", "B.Example."];
/// The verification's status; an empty one is left out of the answer.
const STATUSES: [&str; 5] = ["verified", "pending", "failed", "awaiting", ""];
/// The rules that a policy turns off.
const TURNED_OFF: [&str; 5] = [
    "disabled-connector",
    "unverified-domain",
    "stale-verification",
    "duplicate-domain",
    "no-connector",
];
/// The rules whose findings a policy waives.
const WAIVED: [&str; 4] = [
    "disabled-connector",
    "unverified-domain",
    "duplicate-domain",
    "no-connector",
];

/// The form in which domains are compared.
pub fn canonical(domain: &str) -> String {
    domain.trim_end_matches('.').to_lowercase()
}

/// A connector as Cloudflare has it.
#[derive(Clone, PartialEq)]
pub struct Conn {
    pub number: usize,
    pub domain: &'static str,
    pub enabled: bool,
    pub status: &'static str,
    pub fedramp: bool,
    /// Seconds since 1970.
    pub updated: i64,
}

impl Conn {
    pub fn id(&self) -> String {
        connector_id(self.number)
    }

    pub fn code(&self) -> String {
        format!("cloudflare_dashboard_sso={}", self.id())
    }

    pub fn json(&self) -> Value {
        let mut verification = json!({"code": self.code()});
        if !self.status.is_empty() {
            verification["status"] = self.status.into();
        }
        json!({
            "id": self.id(),
            "email_domain": self.domain,
            "enabled": self.enabled,
            "use_fedramp_language": self.fedramp,
            "verification": verification,
            "created_on": "2026-01-02T03:04:05Z",
            "updated_on": DateTime::from_timestamp(self.updated, 0).unwrap().to_rfc3339(),
        })
    }
}

/// Short, because a sequence has many.
impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            domain,
            status,
            ..
        } = self;
        let enabled = if self.enabled { "on" } else { "off" };
        let fedramp = if self.fedramp { " fedramp" } else { "" };
        let updated = date(self.updated);
        write!(
            f,
            "#{number} {domain} {enabled} {status:?}{fedramp} {updated}"
        )
    }
}

/// What a policy says, apart from how its file is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    pub off: Option<&'static str>,
    /// The account whose FedRAMP text is `required`.
    pub fedramp: Option<usize>,
    /// The only domain that an account may have.
    pub allowed: Option<(usize, &'static str)>,
    /// The domain that an account must have.
    pub expected: Option<(usize, &'static str)>,
    pub waivers: Vec<Waiver>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Waiver {
    pub rule: &'static str,
    /// `None` is every account.
    pub account: Option<usize>,
    /// `None` is every domain.
    pub domain: Option<&'static str>,
    /// Any moment of the last day on which it holds, in seconds since 1970.
    pub expires: i64,
}

impl Rules {
    /// The policy's file; `None` where it would say nothing. A comment changes the file and not what it means.
    fn file(&self, comment: u8) -> Option<String> {
        if *self == Self::default() && comment == 0 {
            return None;
        }
        let mut text = format!("# Version {comment}\n");
        if let Some(rule) = self.off {
            let _ = writeln!(text, "[rules.{rule}]\nseverity = \"off\"");
        }
        let mut accounts: BTreeMap<usize, String> = BTreeMap::new();
        if let Some(account) = self.fedramp {
            *accounts.entry(account).or_default() += "fedramp = \"required\"\n";
        }
        for (key, named) in [("allow_domains", self.allowed), ("domains", self.expected)] {
            if let Some((account, domain)) = named {
                *accounts.entry(account).or_default() += &format!("{key} = [\"{domain}\"]\n");
            }
        }
        for (account, expectations) in accounts {
            let _ = write!(
                text,
                "[[accounts]]\nid = \"{}\"\n{expectations}",
                id(account)
            );
        }
        for waiver in &self.waivers {
            let account = waiver.account.map_or("*".to_owned(), id);
            let _ = write!(
                text,
                "[[waivers]]\nrule = \"{}\"\naccount = \"{account}\"\nreason = \"r\"\nowner = \"o\"\nexpires = {}\n",
                waiver.rule,
                date(waiver.expires)
            );
            if let Some(domain) = waiver.domain {
                let _ = writeln!(text, "domain = \"{domain}\"");
            }
        }
        Some(text)
    }
}

/// The day of a moment in UTC, `2026-11-21`: days are in the order of their texts.
pub fn date(moment: i64) -> String {
    let moment = DateTime::from_timestamp(moment, 0).unwrap();
    moment.format("%Y-%m-%d").to_string()
}

/// What is read of an account on a night.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Whole(Vec<Conn>),
    /// The first connectors of a list that has more.
    Part(Vec<Conn>),
    /// A number that stands for the kind of failure.
    Nothing(u8),
}

impl Seen {
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    pub fn connectors(&self) -> &[Conn] {
        match self {
            Self::Whole(connectors) | Self::Part(connectors) => connectors,
            Self::Nothing(_) => &[],
        }
    }
}

/// What names accounts to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Recognised from night to night.
    File,
    /// The accounts that the token can list: recognised too, and may come short.
    List,
    /// Says nothing of the accounts that it does not name.
    CommandLine,
}

/// A source with what it named.
#[derive(Debug, Clone)]
pub struct Naming {
    pub source: Source,
    /// Whether these are all that it has.
    pub whole: bool,
    pub accounts: BTreeSet<usize>,
}

/// A night as a run meets it.
#[derive(Clone)]
pub struct Tonight {
    pub now: i64,
    pub names: Vec<Naming>,
    /// Each account asked for.
    pub seen: BTreeMap<usize, Seen>,
    pub rules: Rules,
    pub policy: Option<String>,
    pub baseline_none: bool,
}

/// As somebody would write it down to try it again.
impl fmt::Debug for Tonight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", date(self.now))?;
        for Naming {
            source,
            whole,
            accounts,
        } in &self.names
        {
            let short = if *whole { "" } else { ", short" };
            write!(f, " {source:?}{accounts:?}{short}")?;
        }
        if self.baseline_none {
            write!(f, " --baseline none")?;
        }
        for (account, seen) in &self.seen {
            write!(f, "\n    account {account}: {seen:?}")?;
        }
        match &self.policy {
            Some(_) => write!(f, "\n    policy: {:?}", self.rules),
            None => Ok(()),
        }
    }
}

/// A plan of one night.
#[derive(Debug, Clone)]
pub struct Plan {
    days: i64,
    edits: Vec<Edit>,
    policy: Option<PolicyEdit>,
    tamper: Tamper,
    asked: Asked,
    /// For each account.
    reading: Vec<Reading>,
    baseline_none: bool,
}

/// What befalls the folder of runs before the night.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tamper {
    Nothing,
    /// The ledgers of the newest runs are cut off; the second number says where.
    CutOff(usize, u8),
    /// The newest run's directory is deleted.
    Delete,
}

/// Accounts by a bit mask.
type Mask = u8;

#[derive(Debug, Clone, Copy)]
enum Asked {
    /// Everything that the usual source has.
    Usual,
    /// The list, which lacks these.
    Short(Mask),
    /// These, on the command line.
    CommandLine(Mask),
    /// Everything that the usual source has, and these on the command line.
    Both(Mask),
}

#[derive(Debug, Clone, Copy)]
enum Reading {
    Whole,
    Part(usize),
    Nothing(u8),
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Add(usize, Fields),
    Remove(usize, usize),
    Recreate(usize, usize),
    Enabled(usize, usize),
    Fedramp(usize, usize),
    Status(usize, usize, Fields),
    Domain(usize, usize, Fields),
    Clear(usize),
    /// The usual source names the account from now on, or no longer does.
    Roster(usize),
}

/// Numbers from which an edit takes what it needs.
#[derive(Debug, Clone, Copy)]
struct Fields {
    domain: usize,
    status: usize,
    enabled: bool,
    fedramp: bool,
    /// How many days ago it happened.
    ago: i64,
}

#[derive(Debug, Clone, Copy)]
enum PolicyEdit {
    Off(usize),
    On,
    Fedramp(Option<usize>),
    Allowed(Option<(usize, usize)>),
    Expected(Option<(usize, usize)>),
    Waive {
        rule: usize,
        account: Option<usize>,
        domain: Option<usize>,
        days: i64,
    },
    Unwaive,
    Comment,
    NoPolicy,
}

/// A whole sequence.
#[derive(Clone)]
pub struct Sequence {
    /// Whether the usual source is the list, not the file.
    by_list: bool,
    /// Makes the world in which the first night falls.
    beginning: Vec<Edit>,
    plans: Vec<Plan>,
}

/// In one line: what a test says of its nights is easier to read.
impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.by_list, self.beginning, self.plans)
    }
}

/// Sequences of so many nights.
pub fn sequences(nights: Range<usize>) -> impl Strategy<Value = Sequence> {
    let beginning = vec(edit(), 3..14);
    let all = (prop::bool::weighted(0.4), beginning, vec(plan(), nights));
    all.prop_map(|(by_list, beginning, plans)| Sequence {
        by_list,
        beginning,
        plans,
    })
}

fn account() -> std::ops::RangeInclusive<usize> {
    1..=ACCOUNTS
}

fn fields() -> impl Strategy<Value = Fields> {
    // Mostly in order, so that findings stand out and there are not too many.
    let status = prop_oneof![3 => Just(0), 2 => Just(1), 1 => 2..STATUSES.len()];
    let enabled = prop::bool::weighted(0.7);
    let all = (
        0..DOMAINS.len(),
        status,
        enabled,
        prop::bool::weighted(0.2),
        0..4i64,
    );
    all.prop_map(|(domain, status, enabled, fedramp, ago)| Fields {
        domain,
        status,
        enabled,
        fedramp,
        ago,
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let which = 0..CONNECTORS;
    prop_oneof![
        5 => (account(), fields()).prop_map(|(a, f)| Edit::Add(a, f)),
        2 => (account(), which.clone()).prop_map(|(a, w)| Edit::Remove(a, w)),
        1 => (account(), which.clone()).prop_map(|(a, w)| Edit::Recreate(a, w)),
        3 => (account(), which.clone()).prop_map(|(a, w)| Edit::Enabled(a, w)),
        1 => (account(), which.clone()).prop_map(|(a, w)| Edit::Fedramp(a, w)),
        2 => (account(), which.clone(), fields()).prop_map(|(a, w, f)| Edit::Status(a, w, f)),
        1 => (account(), which, fields()).prop_map(|(a, w, f)| Edit::Domain(a, w, f)),
        1 => account().prop_map(Edit::Clear),
        2 => account().prop_map(Edit::Roster),
    ]
}

fn policy_edit() -> impl Strategy<Value = PolicyEdit> {
    let domain = 0..DOMAINS.len();
    let named = prop::option::weighted(0.7, (account(), domain.clone()));
    prop_oneof![
        3 => (0..TURNED_OFF.len()).prop_map(PolicyEdit::Off),
        3 => Just(PolicyEdit::On),
        1 => prop::option::weighted(0.7, account()).prop_map(PolicyEdit::Fedramp),
        1 => named.clone().prop_map(PolicyEdit::Allowed),
        1 => named.prop_map(PolicyEdit::Expected),
        4 => (0..WAIVED.len(), prop::option::of(account()), prop::option::of(domain), 0..20i64)
            .prop_map(|(rule, account, domain, days)| PolicyEdit::Waive { rule, account, domain, days }),
        1 => Just(PolicyEdit::Unwaive),
        2 => Just(PolicyEdit::Comment),
        1 => Just(PolicyEdit::NoPolicy),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let mask = 1..(1u8 << ACCOUNTS);
    let days = prop_oneof![4 => 1..4i64, 1 => 4..=40i64];
    let tamper = prop_oneof![
        20 => Just(Tamper::Nothing),
        1 => (0..4u8).prop_map(|place| Tamper::CutOff(1, place)),
        1 => (2..4usize, 0..4u8).prop_map(|(runs, place)| Tamper::CutOff(runs, place)),
        1 => Just(Tamper::Delete),
    ];
    let asked = prop_oneof![
        7 => Just(Asked::Usual),
        1 => mask.clone().prop_map(Asked::Short),
        2 => mask.clone().prop_map(Asked::CommandLine),
        1 => mask.prop_map(Asked::Both),
    ];
    let reading = prop_oneof![
        8 => Just(Reading::Whole),
        1 => (0..CONNECTORS).prop_map(Reading::Part),
        2 => (0..4u8).prop_map(Reading::Nothing),
    ];
    let reading = prop_oneof![
        4 => vec(reading, ACCOUNTS),
        3 => Just(vec![Reading::Whole; ACCOUNTS]),
        1 => Just(vec![Reading::Nothing(0); ACCOUNTS]),
    ];
    let policy = prop::option::weighted(0.35, policy_edit());
    let none = prop::bool::weighted(0.07);
    (
        days,
        vec(edit(), 0..4),
        policy,
        tamper,
        asked,
        reading,
        none,
    )
        .prop_map(
            |(days, edits, policy, tamper, asked, reading, baseline_none)| Plan {
                days,
                edits,
                policy,
                tamper,
                asked,
                reading,
                baseline_none,
            },
        )
}

/// What Cloudflare has, what the policy's file says, and who is named, as the nights go by.
pub struct World {
    now: i64,
    usual: Source,
    roster: BTreeSet<usize>,
    accounts: BTreeMap<usize, Vec<Conn>>,
    connectors_made: usize,
    rules: Rules,
    comment: u8,
}

impl World {
    /// The nights of a sequence, each with what befalls the folder before it.
    pub fn nights(sequence: &Sequence) -> impl Iterator<Item = (Tamper, Tonight)> {
        let mut world = Self::new(sequence);
        let plans = sequence.plans.iter();
        plans.map(move |plan| (plan.tamper, world.live(plan)))
    }

    fn new(sequence: &Sequence) -> Self {
        let mut world = Self {
            now: NOW.parse().unwrap(),
            usual: if sequence.by_list {
                Source::List
            } else {
                Source::File
            },
            roster: account().collect(),
            accounts: account().map(|account| (account, Vec::new())).collect(),
            connectors_made: 0,
            rules: Rules::default(),
            comment: 0,
        };
        for edit in &sequence.beginning {
            world.edit(*edit);
        }
        world
    }

    /// Lets the time of a plan pass, and says what a run meets then.
    fn live(&mut self, plan: &Plan) -> Tonight {
        self.now += plan.days * DAY;
        for edit in &plan.edits {
            self.edit(*edit);
        }
        if let Some(edit) = plan.policy {
            self.edit_policy(edit);
        }
        let names = self.names(plan.asked);
        let asked: BTreeSet<usize> = names.iter().flat_map(|n| n.accounts.clone()).collect();
        let seen = asked.into_iter().map(|account| {
            let connectors = &self.accounts[&account];
            let seen = match plan.reading[account - 1] {
                Reading::Whole => Seen::Whole(connectors.clone()),
                Reading::Part(most) if connectors.is_empty() || most == 0 => Seen::Part(Vec::new()),
                Reading::Part(most) => {
                    Seen::Part(connectors[..most.min(connectors.len() - 1)].to_vec())
                }
                Reading::Nothing(kind) => Seen::Nothing(kind),
            };
            (account, seen)
        });
        Tonight {
            now: self.now,
            seen: seen.collect(),
            names,
            rules: self.rules.clone(),
            policy: self.rules.file(self.comment),
            baseline_none: plan.baseline_none,
        }
    }

    fn names(&self, asked: Asked) -> Vec<Naming> {
        let of = |mask: Mask| -> BTreeSet<usize> {
            account()
                .filter(|account| mask >> (account - 1) & 1 == 1)
                .collect()
        };
        let naming = |source, whole, accounts| Naming {
            source,
            whole,
            accounts,
        };
        // A run needs an account: a source that has none is not asked.
        let usual = naming(self.usual, true, self.roster.clone());
        let command_line = |mask| naming(Source::CommandLine, true, of(mask));
        let mut names = match asked {
            Asked::Usual => vec![usual],
            Asked::Short(mask) => {
                let some = self.roster.difference(&of(mask)).copied().collect();
                vec![naming(Source::List, false, some)]
            }
            Asked::CommandLine(mask) => vec![command_line(mask)],
            Asked::Both(mask) => {
                vec![usual, naming(Source::CommandLine, true, of(mask))]
            }
        };
        names.retain(|naming| !naming.accounts.is_empty());
        if names.is_empty() {
            names.push(command_line(1));
        }
        names
    }

    fn edit(&mut self, edit: Edit) {
        let now = self.now;
        let (Edit::Add(account, _)
        | Edit::Remove(account, _)
        | Edit::Recreate(account, _)
        | Edit::Enabled(account, _)
        | Edit::Fedramp(account, _)
        | Edit::Status(account, _, _)
        | Edit::Domain(account, _, _)
        | Edit::Clear(account)
        | Edit::Roster(account)) = edit;
        let connectors = self.accounts.get_mut(&account).unwrap();
        let mut change = |which: usize, ago: i64, change: &mut dyn FnMut(&mut Conn)| {
            if let Some(connector) = connectors.get_mut(which) {
                change(connector);
                connector.updated = now - ago * DAY;
            }
        };
        match edit {
            Edit::Enabled(_, which) => change(which, 0, &mut |c| c.enabled = !c.enabled),
            Edit::Fedramp(_, which) => change(which, 0, &mut |c| c.fedramp = !c.fedramp),
            Edit::Status(_, which, fields) => {
                change(which, fields.ago, &mut |c| {
                    c.status = STATUSES[fields.status]
                });
            }
            Edit::Domain(_, which, fields) => {
                change(which, fields.ago, &mut |c| {
                    c.domain = DOMAINS[fields.domain]
                });
            }
            Edit::Recreate(_, which) => {
                self.connectors_made += 1;
                let number = self.connectors_made;
                change(which, 0, &mut |c| c.number = number);
            }
            Edit::Add(_, fields) if connectors.len() < CONNECTORS => {
                self.connectors_made += 1;
                connectors.push(Conn {
                    number: self.connectors_made,
                    domain: DOMAINS[fields.domain],
                    enabled: fields.enabled,
                    status: STATUSES[fields.status],
                    fedramp: fields.fedramp,
                    updated: now - fields.ago * DAY,
                });
            }
            Edit::Remove(_, which) if which < connectors.len() => {
                connectors.remove(which);
            }
            Edit::Add(..) | Edit::Remove(..) => {}
            Edit::Clear(_) => connectors.clear(),
            Edit::Roster(_) => {
                if !self.roster.remove(&account) {
                    self.roster.insert(account);
                }
            }
        }
    }

    fn edit_policy(&mut self, edit: PolicyEdit) {
        let rules = &mut self.rules;
        let domain = |(account, domain): (usize, usize)| (account, DOMAINS[domain]);
        match edit {
            PolicyEdit::Off(rule) => rules.off = Some(TURNED_OFF[rule]),
            PolicyEdit::On => rules.off = None,
            PolicyEdit::Fedramp(account) => rules.fedramp = account,
            PolicyEdit::Allowed(named) => rules.allowed = named.map(domain),
            PolicyEdit::Expected(named) => rules.expected = named.map(domain),
            PolicyEdit::Waive {
                rule,
                account,
                domain,
                days,
            } => {
                // One waiver a rule, so that none is a duplicate of another.
                rules.waivers.retain(|waiver| waiver.rule != WAIVED[rule]);
                rules.waivers.push(Waiver {
                    rule: WAIVED[rule],
                    account,
                    domain: domain.map(|domain| DOMAINS[domain]),
                    expires: self.now + days * DAY,
                });
            }
            PolicyEdit::Unwaive => {
                rules.waivers.pop();
            }
            PolicyEdit::Comment => self.comment += 1,
            PolicyEdit::NoPolicy => (self.rules, self.comment) = (Rules::default(), 0),
        }
    }
}
