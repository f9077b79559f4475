//! What a run must say, by the contract alone: a small memory of each account, and the rules in a few lines each.
//!
//! The heart is [`Folder::night`]. A finding is *known* of an account when it was there the last time the account was
//! read in full, or was found since in a part that was read. Found and known: existing. Found and not known: new. Known,
//! not found, and the account was read in full: resolved, unless it could not be judged tonight; then it is carried.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::world::{Conn, Rules, Seen, Source, Tonight, canonical, date};
use crate::support::id;

/// Days for which a verification may be pending.
const PENDING_DAYS: i64 = 2;
const DAY: i64 = 86_400;

/// By what a finding is recognised in its account: rule, and connector or domain.
pub type Key = (&'static str, String);

/// A finding of one night.
#[derive(Debug, Clone, PartialEq)]
struct Fired {
    connector: String,
    domain: String,
    waived: bool,
}

/// What the rules say of an account, among all that was read in the run.
fn judge(
    run: &BTreeMap<usize, Seen>,
    account: usize,
    rules: &Rules,
    now: i64,
) -> BTreeMap<Key, Fired> {
    let seen = &run[&account];
    let connectors = seen.connectors();
    let claims = |domain: &str| {
        let of_run = run.values().flat_map(Seen::connectors);
        of_run.filter(|c| canonical(c.domain) == domain).count()
    };
    // Rule, connector, domain.
    let mut fired: Vec<(&'static str, String, String)> = Vec::new();
    for c in connectors {
        let pending_for = (now - c.updated).max(0);
        let mut fires = |rule, condition| {
            if condition {
                fired.push((rule, c.id(), c.domain.to_owned()));
            }
        };
        let known = !c.status.is_empty();
        fires("enabled-unverified", c.enabled && c.status != "verified");
        fires("unverified-domain", known && c.status != "verified");
        fires(
            "stale-verification",
            c.status == "pending" && pending_for > PENDING_DAYS * DAY,
        );
        fires("disabled-connector", !c.enabled);
        fires(
            "fedramp-language",
            rules.fedramp == Some(account) && !c.fedramp,
        );
        fires("duplicate-domain", claims(&canonical(c.domain)) > 1);
        let allowed = rules.allowed.filter(|(only_of, _)| *only_of == account);
        fires(
            "unexpected-domain",
            allowed.is_some_and(|(_, domain)| canonical(c.domain) != canonical(domain)),
        );
        fires("unknown-value", !known);
    }
    let mut of_account = |rule, domain: &str| fired.push((rule, String::new(), domain.to_owned()));
    let either_way = |on| connectors.iter().any(|c| c.fedramp == on);
    if rules.fedramp != Some(account) && either_way(true) && either_way(false) {
        of_account("fedramp-inconsistent", "");
    }
    if seen.is_whole() {
        if connectors.is_empty() {
            of_account("no-connector", "");
        }
        let in_force = |domain: &str| {
            let mut good = connectors
                .iter()
                .filter(|c| c.enabled && c.status == "verified");
            good.any(|c| canonical(c.domain) == canonical(domain))
        };
        if let Some((of, domain)) = rules.expected
            && of == account
            && !in_force(domain)
        {
            of_account("missing-domain", &canonical(domain));
        }
    } else {
        of_account("unread-account", "");
    }
    fired.retain(|(rule, ..)| rules.off != Some(rule));
    let fired = fired.into_iter().map(|(rule, connector, domain)| {
        let waived = rule != "unread-account"
            && rules.waivers.iter().any(|waiver| {
                waiver.rule == rule
                    && waiver.account.is_none_or(|of| of == account)
                    && waiver
                        .domain
                        .is_none_or(|of| canonical(of) == canonical(&domain))
                    && date(now) <= date(waiver.expires)
            });
        let subject = if connector.is_empty() {
            &domain
        } else {
            &connector
        };
        let key = (rule, subject.clone());
        (
            key,
            Fired {
                connector,
                domain,
                waived,
            },
        )
    });
    fired.collect()
}

/// A run as far as the causes of changes depend on it.
#[derive(Debug)]
struct View {
    seen: BTreeMap<usize, Seen>,
    rules: Rules,
    now: i64,
}

impl View {
    /// The accounts that were read in full, where no account was read in part: only between runs that have them in
    /// common is the cause of a duplicate domain clear.
    fn coverage(&self) -> Option<BTreeSet<usize>> {
        let in_part = |seen: &Seen| matches!(seen, Seen::Part(_));
        let whole = self.seen.iter().filter(|(_, seen)| seen.is_whole());
        let whole = whole.map(|(account, _)| *account).collect();
        (!self.seen.values().any(in_part)).then_some(whole)
    }
}

/// The cause of what was not and is, or was and is not, where only one of the three can be it: with it alone changed,
/// and everything else as it was before, the same would have come about.
fn cause(
    before: &View,
    after: &View,
    account: usize,
    holds: &dyn Fn(&BTreeMap<Key, Fired>) -> bool,
) -> Option<&'static str> {
    let with = |connectors: &View, rules: &View, time: &View| {
        holds(&judge(&connectors.seen, account, &rules.rules, time.now))
    };
    let was = with(before, before, before);
    if was == with(after, after, after) {
        return None;
    }
    let alone = [
        ("connector", with(after, before, before)),
        ("policy", with(before, after, before)),
        ("time", with(before, before, after)),
    ];
    let mut causes = alone.iter().filter(|(_, is)| *is != was);
    match (causes.next(), causes.next()) {
        (Some((cause, _)), None) => Some(cause),
        _ => None,
    }
}

/// A finding that is known of an account.
#[derive(Debug, Clone)]
struct Known {
    /// In seconds since 1970.
    first_seen: i64,
    fired: Fired,
}

/// What is known of an account.
#[derive(Debug, Clone)]
struct Account {
    /// When it was last asked for.
    outcome: &'static str,
    /// The last time it was read in full.
    whole: Option<Rc<View>>,
    /// What was read in parts since then.
    parts: Vec<Conn>,
    findings: BTreeMap<Key, Known>,
    /// The sources that named it and have not been found to do so no longer.
    named_by: BTreeSet<Source>,
    removed: bool,
}

/// What a folder knows after a run; what the run said is in [`Said`].
#[derive(Debug, Clone, Default)]
pub struct Folder {
    accounts: BTreeMap<usize, Account>,
    pub trend: Vec<Point>,
}

/// The figures of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Point {
    pub asked: usize,
    pub read: usize,
    pub open: usize,
    pub new: usize,
    pub resolved: usize,
}

/// A row of `findings.csv`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub rule: String,
    pub account: String,
    pub connector: String,
    pub domain: String,
    pub status: String,
    pub change: String,
    /// In seconds since 1970.
    pub first_seen: i64,
}

/// A row of `changes.csv`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub kind: String,
    pub account: String,
    pub connector: String,
    pub domain: String,
    pub what: String,
    /// Before and after; empty for findings, whose severity the model does not know.
    pub from: String,
    pub to: String,
    /// Empty where it is not clear.
    pub cause: String,
}

/// What a run says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    pub findings: Vec<Finding>,
    pub changes: Vec<Change>,
    pub trend: Vec<Point>,
    /// Accounts whose connectors can be paired in more than one way: their changes are not foretold.
    pub unclear: BTreeSet<String>,
}

impl Folder {
    /// A run with this folder's newest: what it says, and what is known then. `compares` is false for a folder's first
    /// run, and with `--baseline none`.
    pub fn night(&self, tonight: &Tonight, compares: bool) -> (Said, Self) {
        let view = Rc::new(View {
            seen: tonight.seen.clone(),
            rules: tonight.rules.clone(),
            now: tonight.now,
        });
        let mut said = Said::default();
        let mut next = self.clone();
        let mut dropped = BTreeSet::new();
        for (account, known) in &mut next.accounts {
            if !tonight.seen.contains_key(account) && compares && known.is_removed(tonight) {
                said.changes
                    .push(of_account("account-removed", *account, known.outcome, ""));
                dropped.extend(known.claims(*account));
            }
        }
        let claimed = next.claimed_by_the_unread(tonight);
        for account in tonight.seen.keys() {
            let before = self.accounts.get(account);
            let night = OneAccount {
                number: *account,
                before,
                view: &view,
                claimed: &claimed,
                dropped: &dropped,
            };
            let findings = night.findings(compares, &mut said);
            next.accounts
                .insert(*account, night.remembered(findings, tonight));
        }
        if !compares {
            said.changes.clear();
        }
        let count = |word: &str| said.findings.iter().filter(|f| f.change == word).count();
        let resolved = said.changes.iter().filter(|c| c.kind == "finding-resolved");
        next.trend.push(Point {
            asked: tonight.seen.len(),
            read: tonight.seen.values().filter(|seen| seen.is_whole()).count(),
            open: said.findings.iter().filter(|f| f.status == "open").count(),
            new: count("new"),
            resolved: resolved.count(),
        });
        said.trend = next.trend.clone();
        said.findings.sort();
        said.changes.sort();
        (said, next)
    }

    /// The domains that accounts claim, as far as is known, that were not read in full tonight and are not removed.
    fn claimed_by_the_unread(&self, tonight: &Tonight) -> BTreeSet<String> {
        let unread = self.accounts.iter().filter(|(account, known)| {
            let seen = tonight.seen.get(account);
            !seen.map_or(known.removed, Seen::is_whole)
        });
        unread
            .flat_map(|(account, known)| known.claims(*account))
            .collect()
    }
}

impl Account {
    /// The domains that it claims, as far as is known.
    fn claims(&self, number: usize) -> Vec<String> {
        let whole = self.whole.iter();
        let whole = whole.flat_map(|view| view.seen[&number].connectors());
        whole
            .chain(&self.parts)
            .map(|c| canonical(c.domain))
            .collect()
    }

    /// Whether the sources that named it, asked tonight and whole, no longer do. Told once: then none names it.
    fn is_removed(&mut self, tonight: &Tonight) -> bool {
        let had_a_source = !self.named_by.is_empty();
        let gone = |source: &Source| {
            let mut asked = tonight
                .names
                .iter()
                .filter(|naming| naming.source == *source);
            asked.any(|naming| naming.whole)
        };
        self.named_by.retain(|source| !gone(source));
        let removed = had_a_source && self.named_by.is_empty();
        self.removed |= removed;
        removed
    }
}

/// An account that was asked for tonight.
struct OneAccount<'a> {
    number: usize,
    before: Option<&'a Account>,
    view: &'a Rc<View>,
    claimed: &'a BTreeSet<String>,
    /// The domains of accounts that are removed tonight: what was shared with them may be gone for that alone.
    dropped: &'a BTreeSet<String>,
}

impl OneAccount<'_> {
    fn seen(&self) -> &Seen {
        &self.view.seen[&self.number]
    }

    fn outcome(&self) -> &'static str {
        match self.seen() {
            Seen::Whole(_) => "read",
            Seen::Part(_) => "incomplete",
            Seen::Nothing(_) => "unread",
        }
    }

    /// Says what is found and what changed; gives what is known from now on.
    fn findings(&self, compares: bool, said: &mut Said) -> BTreeMap<Key, Known> {
        self.account_changes(said);
        self.connector_changes(said);
        let fired = judge(
            &self.view.seen,
            self.number,
            &self.view.rules,
            self.view.now,
        );
        let known = self
            .before
            .map(|account| account.findings.clone())
            .unwrap_or_default();
        let mut from_now_on = BTreeMap::new();
        for (key, fired) in &fired {
            let before = known.get(key);
            let first_seen = before.map_or(self.view.now, |known| known.first_seen);
            said.findings.push(Finding {
                rule: key.0.to_owned(),
                account: id(self.number),
                connector: fired.connector.clone(),
                domain: fired.domain.clone(),
                status: if fired.waived { "waived" } else { "open" }.to_owned(),
                change: match before {
                    _ if !compares => "",
                    Some(_) => "existing",
                    None => "new",
                }
                .to_owned(),
                first_seen,
            });
            let kind = match before {
                None => "finding-new",
                Some(before) if before.fired.waived && !fired.waived => "finding-reopened",
                Some(before) if !before.fired.waived && fired.waived => "finding-waived",
                Some(_) => "",
            };
            if !kind.is_empty() {
                said.changes.push(self.of_finding(kind, key, fired));
            }
            let fired = fired.clone();
            from_now_on.insert(key.clone(), Known { first_seen, fired });
        }
        for (key, known) in known {
            if fired.contains_key(&key) {
                continue;
            }
            if self.seen().is_whole() && self.was_judged(&key, &known.fired) {
                said.changes
                    .push(self.of_finding("finding-resolved", &key, &known.fired));
            } else {
                from_now_on.insert(key, known);
            }
        }
        from_now_on
    }

    /// Whether tonight's run of the account, read in full, can tell that a finding is gone.
    fn was_judged(&self, (rule, subject): &Key, known: &Fired) -> bool {
        if self.view.rules.off == Some(rule) {
            return false;
        }
        let domain = canonical(&known.domain);
        let mut here = self.seen().connectors().iter();
        let is_here = here.any(|c| c.id() == *subject && canonical(c.domain) == domain);
        let another_was_not_read = self.claimed.contains(&domain);
        !(*rule == "duplicate-domain" && is_here && another_was_not_read)
    }

    fn remembered(&self, findings: BTreeMap<Key, Known>, tonight: &Tonight) -> Account {
        let before = self.before;
        let mut parts = before
            .map(|account| account.parts.clone())
            .unwrap_or_default();
        let whole = if self.seen().is_whole() {
            parts.clear();
            Some(Rc::clone(self.view))
        } else {
            parts.extend_from_slice(self.seen().connectors());
            before.and_then(|account| account.whole.clone())
        };
        let mut named_by = before
            .map(|account| account.named_by.clone())
            .unwrap_or_default();
        let naming = tonight
            .names
            .iter()
            .filter(|n| n.accounts.contains(&self.number));
        named_by.extend(
            naming
                .map(|n| n.source)
                .filter(|source| *source != Source::CommandLine),
        );
        Account {
            outcome: self.outcome(),
            whole,
            parts,
            findings,
            named_by,
            removed: false,
        }
    }

    fn account_changes(&self, said: &mut Said) {
        let now = self.outcome();
        let (kind, from) = match self.before {
            None => ("account-added", ""),
            Some(before) => match (before.outcome == "read", now == "read") {
                (true, false) => ("account-unread", before.outcome),
                (false, true) => ("account-read", before.outcome),
                _ => return,
            },
        };
        said.changes.push(of_account(kind, self.number, from, now));
    }

    /// Only between two times at which it was read in full.
    fn connector_changes(&self, said: &mut Said) {
        let Some(before) = self.before.and_then(|account| account.whole.as_ref()) else {
            return;
        };
        if !self.seen().is_whole() {
            return;
        }
        let old = before.seen[&self.number].connectors();
        let new = self.seen().connectors();
        let without = |some: &[Conn], others: &[Conn]| -> Vec<Conn> {
            let has = |c: &Conn| others.iter().any(|other| other.number == c.number);
            some.iter().filter(|c| !has(c)).cloned().collect()
        };
        for c in new {
            if let Some(was) = old.iter().find(|was| was.number == c.number) {
                self.field_changes(was, c, said);
            }
        }
        let (gone, come) = (without(old, new), without(new, old));
        let of_domain = |some: &[Conn], domain: &str| -> Vec<Conn> {
            let same = some.iter().filter(|c| canonical(c.domain) == domain);
            same.cloned().collect()
        };
        let domains: BTreeSet<_> = gone
            .iter()
            .chain(&come)
            .map(|c| canonical(c.domain))
            .collect();
        for domain in domains {
            match (
                &of_domain(&gone, &domain)[..],
                &of_domain(&come, &domain)[..],
            ) {
                (gone, []) => said.changes.extend(
                    gone.iter()
                        .map(|c| self.of_connector("removed", c, "connector", state(c), "")),
                ),
                ([], come) => said.changes.extend(
                    come.iter()
                        .map(|c| self.of_connector("added", c, "connector", "", state(c))),
                ),
                ([was], [is]) => {
                    let change = self.of_connector("recreated", is, "id", &was.id(), &is.id());
                    said.changes.push(change);
                    self.field_changes(was, is, said);
                }
                _ => {
                    said.unclear.insert(id(self.number));
                }
            }
        }
    }

    fn field_changes(&self, was: &Conn, is: &Conn, said: &mut Said) {
        let fields = |c: &Conn| {
            [
                ("email_domain", c.domain.to_owned()),
                ("enabled", c.enabled.to_string()),
                ("verification_status", state(c).to_owned()),
                ("verification_code", c.code()),
                ("use_fedramp_language", c.fedramp.to_string()),
            ]
        };
        for ((what, from), (_, to)) in fields(was).into_iter().zip(fields(is)) {
            if from != to {
                said.changes
                    .push(self.of_connector("changed", is, what, &from, &to));
            }
        }
    }

    fn of_connector(&self, kind: &str, c: &Conn, what: &str, from: &str, to: &str) -> Change {
        Change {
            kind: format!("connector-{kind}"),
            account: id(self.number),
            connector: c.id(),
            domain: c.domain.to_owned(),
            what: what.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            cause: "connector".to_owned(),
        }
    }

    fn of_finding(&self, kind: &str, key: &Key, fired: &Fired) -> Change {
        let (from, to) = match kind {
            "finding-reopened" => ("waived", "open"),
            "finding-waived" => ("open", "waived"),
            _ => ("", ""),
        };
        Change {
            kind: kind.to_owned(),
            account: id(self.number),
            connector: fired.connector.clone(),
            domain: fired.domain.clone(),
            what: key.0.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            cause: self
                .cause_of(kind, key, &fired.domain)
                .unwrap_or_default()
                .to_owned(),
        }
    }

    fn cause_of(&self, kind: &str, key: &Key, domain: &str) -> Option<&'static str> {
        if key.0 == "unread-account" {
            return Some("coverage");
        }
        let Some(before) = self.before else {
            return Some("coverage");
        };
        let Some(whole) = &before.whole else {
            return before.parts.is_empty().then_some("coverage");
        };
        let shared = key.0 == "duplicate-domain";
        let same = whole.coverage().is_some() && whole.coverage() == self.view.coverage();
        if shared && (!same || self.dropped.contains(&canonical(domain))) {
            return None;
        }
        let is_waived = |fired: &BTreeMap<Key, Fired>| fired.get(key).is_some_and(|f| f.waived);
        let is_there = |fired: &BTreeMap<Key, Fired>| fired.contains_key(key);
        if matches!(kind, "finding-new" | "finding-resolved") {
            cause(whole, self.view, self.number, &is_there)
        } else {
            cause(whole, self.view, self.number, &is_waived)
        }
    }
}

fn state(c: &Conn) -> &str {
    if c.status.is_empty() {
        "unknown"
    } else {
        c.status
    }
}

fn of_account(kind: &str, account: usize, from: &str, to: &str) -> Change {
    Change {
        kind: kind.to_owned(),
        account: id(account),
        connector: String::new(),
        domain: String::new(),
        what: "outcome".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        cause: "coverage".to_owned(),
    }
}
