//! From the policy as written to the policy as it is valid. All problems of a file are found at once, each
//! with its line and column, and with the nearest word that would have been right.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::damage;
use super::lines::Lines;
use super::problems::{Found, PolicyError};
use super::words::{FEDRAMP, PENDING_DAYS, is_domain, is_pattern, rule_ids, severities};
use crate::accounts::account_id;
use crate::model::canonical_domain;
use crate::policy::{
    AccountExpectation, Attestation, FedrampExpectation, Policy, PolicySource, Remediation,
    Remediations, RuleSetting, Thresholds, Waiver, Waivers,
};
use crate::rules::{Rule, rule};
use crate::severity::Severity;
use crate::text::{count, sha256_hex};

/// So many characters of a word are repeated in a message.
const SHOWN: usize = 60;

impl Policy {
    /// Reads a policy. `path` is the file's, for messages and reports. Waivers that nobody accounts for are logged.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, PolicyError> {
        // A byte order mark is no character of the first line.
        let content = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let text = std::str::from_utf8(content).map_err(|error| {
            let good = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            let mut found = Found::default();
            found.add(good.len(), || {
                "is not UTF-8 text; save the file as UTF-8".to_owned()
            });
            PolicyError::new(path, &Lines::new(&good), found)
        })?;
        let lines = Lines::new(text);
        let mut reader = Reader::new(&lines);
        let mut policy = reader.document();
        if reader.problems.count > 0 {
            return Err(PolicyError::new(path, &lines, reader.problems));
        }
        for (offset, message) in &reader.warnings.first {
            tracing::warn!("{path}:{}: {message}", lines.of(*offset) + 1);
        }
        let more = reader.warnings.more();
        if more > 0 {
            tracing::warn!(
                "{path}: {} without a reason or an owner",
                count(more, "more waiver")
            );
        }
        policy.source = Some(PolicySource {
            path: path.to_owned(),
            sha256: sha256_hex(bytes),
        });
        Ok(policy)
    }
}

/// The known word that is nearest to an unknown one, where one is near enough to have been meant.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > SHOWN {
        return None;
    }
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, candidate);
    let (best, far) = known
        .iter()
        .map(|&candidate| (candidate, distance(candidate)))
        .min_by_key(|&(_, far)| far)?;
    (far <= 1 + word.len() / 4).then_some(best)
}

/// A word of the file in quotes, cut off where it is very long.
fn quoted(word: &str) -> String {
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}", format!("{}…", &word[..end])),
        None => format!("{word:?}"),
    }
}

fn unknown(what: &str, word: &str, place: &str, known: &[&str]) -> String {
    let right = match (nearest(word, known), known) {
        (Some(near), _) => format!("did you mean {near:?}?"),
        (None, [only]) => format!("expected {only}"),
        (None, _) => format!("expected one of {}", known.join(", ")),
    };
    format!("unknown {what} {}{place}; {right}", quoted(word))
}

fn bad_id(text: &str) -> String {
    format!(
        "{} is not an account ID: an ID has 32 hex digits",
        quoted(text)
    )
}

fn bad_domain(text: &str) -> String {
    format!(
        "{} is not a domain; expected one like agency.example",
        quoted(text)
    )
}

struct Reader<'t> {
    lines: &'t Lines<'t>,
    problems: Found,
    /// What is allowed and hardly wise.
    warnings: Found,
    /// Something was taken out of the document, so nobody can say that something is missing.
    is_damaged: bool,
}

/// A table of the document, with the words in which messages name it.
#[derive(Clone, Copy)]
struct Section<'d> {
    name: &'static str,
    table: &'d DeTable<'d>,
    /// Where it stands, for what it lacks.
    at: usize,
}

type Value<'d> = &'d Spanned<DeValue<'d>>;

impl<'t> Reader<'t> {
    fn new(lines: &'t Lines<'t>) -> Self {
        Self {
            lines,
            problems: Found::default(),
            warnings: Found::default(),
            is_damaged: false,
        }
    }

    fn document(&mut self) -> Policy {
        if let Ok(document) = DeTable::parse(self.lines.text()) {
            return self.policy(document.get_ref());
        }
        let (faults, left) = damage::take_out(self.lines);
        for (at, message) in faults {
            self.problem(at, || message);
        }
        self.is_damaged = true;
        match left.as_deref().map(DeTable::parse) {
            Some(Ok(document)) => self.policy(document.get_ref()),
            // The damage goes too deep: what follows from it would only confuse.
            _ => Policy::default(),
        }
    }

    fn problem(&mut self, at: usize, message: impl FnOnce() -> String) {
        self.problems.add(at, message);
    }

    fn wrong_type(&mut self, value: Value<'_>, key: &str, expected: &str) {
        let found = value.get_ref().type_str();
        self.problem(value.span().start, || {
            format!("{key} must be {expected}; found {found}")
        });
    }

    fn missing(&mut self, section: Section<'_>, key: &str, remedy: &str) {
        if !self.is_damaged {
            self.problem(section.at, || {
                format!("{} has no {key}; add {remedy}", section.name)
            });
        }
    }

    fn policy(&mut self, root: &DeTable<'_>) -> Policy {
        let root = Section {
            name: "a policy",
            table: root,
            at: 0,
        };
        self.known_keys(
            root,
            &[
                "rules",
                "thresholds",
                "defaults",
                "accounts",
                "waivers",
                "attestations",
                "remediations",
            ],
        );
        Policy {
            source: None,
            rules: self.rules(root),
            thresholds: self.thresholds(root),
            fedramp: self.defaults(root),
            accounts: self.accounts(root),
            waivers: self.waivers(root),
            attestations: self.attestations(root),
            remediations: self.remediations(root),
        }
    }

    fn known_keys(&mut self, section: Section<'_>, known: &[&str]) {
        for key in section.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                self.problem(key.span().start, || {
                    unknown("key", name, &format!(" in {}", section.name), known)
                });
            }
        }
    }

    fn section<'d>(&mut self, root: Section<'d>, key: &'static str) -> Option<Section<'d>> {
        let value = root.table.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                name: key,
                table,
                at: value.span().start,
            }),
            _ => {
                self.wrong_type(value, key, &format!("a table, [{key}]"));
                None
            }
        }
    }

    /// The tables of `[[accounts]]` or `[[waivers]]`.
    fn list<'d>(
        &mut self,
        root: Section<'d>,
        key: &'static str,
        name: &'static str,
    ) -> Vec<Section<'d>> {
        let Some(value) = root.table.get(key) else {
            return Vec::new();
        };
        let expected = format!("a list of tables, [[{key}]]");
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, key, &expected);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(Section {
                    name,
                    table,
                    at: item.span().start,
                }),
                _ => self.wrong_type(item, key, &expected),
            }
        }
        tables
    }

    fn text<'d>(&mut self, section: Section<'d>, key: &str) -> Option<(&'d str, usize)> {
        let value = section.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), value.span().start)),
            _ => {
                self.wrong_type(value, key, "a quoted string");
                None
            }
        }
    }

    /// As [`Self::text`], and says where it is missing.
    fn required_text<'d>(
        &mut self,
        section: Section<'d>,
        key: &str,
        example: &str,
    ) -> Option<(&'d str, usize)> {
        if !section.table.contains_key(key) {
            self.missing(section, key, example);
        }
        self.text(section, key)
    }

    fn texts<'d>(&mut self, section: Section<'d>, key: &str) -> Option<Vec<(&'d str, usize)>> {
        const EXPECTED: &str = "a list of strings, such as [\"a.example\"]";
        let value = section.table.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, key, EXPECTED);
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.as_ref(), item.span().start)),
                _ => self.wrong_type(item, key, EXPECTED),
            }
        }
        Some(texts)
    }

    fn rules(&mut self, root: Section<'_>) -> HashMap<&'static str, RuleSetting> {
        let mut settings = HashMap::new();
        let Some(section) = self.section(root, "rules") else {
            return settings;
        };
        for (key, value) in section.table {
            let Some(rule) = self.rule(key.get_ref(), key.span().start) else {
                continue;
            };
            let DeValue::Table(table) = value.get_ref() else {
                self.wrong_type(value, rule.id, &format!("a table, [rules.{}]", rule.id));
                continue;
            };
            let one = Section {
                name: "a rule",
                table,
                at: key.span().start,
            };
            self.known_keys(one, &["severity"]);
            let word = self.required_text(one, "severity", "severity = \"low\", for example");
            let setting = word.and_then(|(word, at)| self.rule_setting(rule, word, at));
            settings.extend(setting.map(|setting| (rule.id, setting)));
        }
        settings
    }

    fn rule_setting(&mut self, rule: &Rule, word: &str, at: usize) -> Option<RuleSetting> {
        if let Some(severity) = Severity::parse(word) {
            return Some(RuleSetting::Severity(severity));
        }
        if word == "off" && rule.mandatory.is_none() {
            return Some(RuleSetting::Off);
        }
        self.problem(at, || match rule.mandatory {
            Some(reason) if word == "off" => format!("{} cannot be off: {reason}", rule.id),
            _ => unknown("severity", word, "", &severities()),
        });
        None
    }

    fn rule(&mut self, id: &str, at: usize) -> Option<&'static Rule> {
        let found = rule(id);
        if found.is_none() {
            self.problem(at, || unknown("rule", id, "", &rule_ids()));
        }
        found
    }

    fn thresholds(&mut self, root: Section<'_>) -> Thresholds {
        let mut thresholds = Thresholds::default();
        let Some(section) = self.section(root, "thresholds") else {
            return thresholds;
        };
        self.known_keys(section, &["pending_days"]);
        if let Some(value) = section.table.get("pending_days") {
            let days = value.get_ref().as_integer().and_then(|days| {
                let days = i64::from_str_radix(&days.as_str().replace('_', ""), days.radix());
                u32::try_from(days.ok()?).ok()
            });
            let (least, most) = PENDING_DAYS;
            match days {
                Some(days) if (least..=most).contains(&days) => thresholds.pending_days = days,
                _ => self.problem(value.span().start, || {
                    format!("pending_days must be a whole number of days from {least} to {most}, such as 2")
                }),
            }
        }
        thresholds
    }

    fn defaults(&mut self, root: Section<'_>) -> FedrampExpectation {
        let Some(section) = self.section(root, "defaults") else {
            return FedrampExpectation::default();
        };
        self.known_keys(section, &["fedramp"]);
        self.fedramp(section).unwrap_or_default()
    }

    fn fedramp(&mut self, section: Section<'_>) -> Option<FedrampExpectation> {
        let (word, at) = self.text(section, "fedramp")?;
        match word {
            "required" => Some(FedrampExpectation::Required),
            "forbidden" => Some(FedrampExpectation::Forbidden),
            "any" => Some(FedrampExpectation::Any),
            _ => {
                self.problem(at, || unknown("FedRAMP expectation", word, "", &FEDRAMP));
                None
            }
        }
    }

    fn accounts(&mut self, root: Section<'_>) -> HashMap<String, AccountExpectation> {
        let mut accounts = HashMap::new();
        let mut first: HashMap<String, usize> = HashMap::new();
        for section in self.list(root, "accounts", "an account") {
            self.known_keys(
                section,
                &["id", "fedramp", "owner", "domains", "allow_domains"],
            );
            let id = self.required_text(
                section,
                "id",
                "id = \"023e105f4ecef8ad9ca31a8372d0c353\", for example",
            );
            let expectation = AccountExpectation {
                fedramp: self.fedramp(section),
                // A blank owner is none, as in an accounts file.
                owner: self
                    .text(section, "owner")
                    .map(|(owner, _)| owner.trim().to_owned())
                    .unwrap_or_default(),
                domains: self.expected_domains(section),
                allow_domains: self
                    .domains(section, "allow_domains", is_pattern)
                    .map(|patterns| patterns.into_iter().collect()),
            };
            let Some((text, at)) = id else { continue };
            let Some(id) = account_id(text) else {
                self.problem(at, || bad_id(text));
                continue;
            };
            match first.get(&id) {
                None => {
                    first.insert(id.clone(), at);
                    accounts.insert(id, expectation);
                }
                Some(&before) => {
                    let line = self.lines.of(before) + 1;
                    self.problem(at, || {
                        format!("the account {id} is already on line {line}; merge the two tables")
                    });
                }
            }
        }
        accounts
    }

    /// The domains that an account must have, each once however often and in whatever spelling it is listed.
    fn expected_domains(&mut self, section: Section<'_>) -> Vec<String> {
        let domains = self
            .domains(section, "domains", is_domain)
            .unwrap_or_default();
        let mut seen = HashSet::new();
        domains
            .into_iter()
            .map(|domain| canonical_domain(domain).into_owned())
            .filter(|domain| seen.insert(domain.clone()))
            .collect()
    }

    fn domains<'d>(
        &mut self,
        section: Section<'d>,
        key: &str,
        is_valid: fn(&str) -> bool,
    ) -> Option<Vec<&'d str>> {
        let mut domains = Vec::new();
        for (text, at) in self.texts(section, key)? {
            if is_valid(text) {
                domains.push(text);
            } else if is_pattern(text) {
                self.problem(at, || {
                    format!(
                        "{} is not a domain: only allow_domains takes patterns",
                        quoted(text)
                    )
                });
            } else {
                self.problem(at, || bad_domain(text));
            }
        }
        Some(domains)
    }

    fn waivers(&mut self, root: Section<'_>) -> Waivers {
        let mut waivers = Waivers::default();
        // Where each one stands, in the same order.
        let mut places = Vec::new();
        for section in self.list(root, "waivers", "a waiver") {
            self.known_keys(
                section,
                &["rule", "account", "domain", "reason", "owner", "expires"],
            );
            let Some(waiver) = self.waiver(section) else {
                continue;
            };
            match waivers.add(waiver) {
                Ok(()) => places.push(section.at),
                // One of the two may have lost the domain by which they differ.
                Err(_) if self.is_damaged => {}
                Err(first) => {
                    let line = self.lines.of(places[first]) + 1;
                    self.problem(section.at, || {
                        format!("this waiver repeats the one on line {line} (same rule, account and domain); keep one of them")
                    });
                }
            }
        }
        waivers
    }

    fn waiver(&mut self, section: Section<'_>) -> Option<Waiver> {
        let rule = self
            .required_text(
                section,
                "rule",
                "rule = \"disabled-connector\", for example",
            )
            .and_then(|(id, at)| self.waivable_rule(id, at));
        let (account, domain) = self.target(section);
        let reason = self.explanation(section, "reason", "say why the finding is accepted");
        let owner = self.explanation(section, "owner", "name who accepted it");
        if reason.is_none() || owner.is_none() {
            let lacks = match (&reason, &owner) {
                (None, None) => "no reason and no owner",
                (None, _) => "no reason",
                _ => "no owner",
            };
            self.warnings
                .add(section.at, || format!("this waiver has {lacks}"));
        }
        let expires = self.expiry(section);
        Some(Waiver {
            rule: rule?.id,
            account: account?,
            domain: domain?,
            reason: reason.unwrap_or_default(),
            owner: owner.unwrap_or_default(),
            expires: expires?,
        })
    }

    fn waivable_rule(&mut self, id: &str, at: usize) -> Option<&'static Rule> {
        let rule = self.rule(id, at)?;
        if let Some(reason) = rule.mandatory {
            self.problem(at, || format!("{id} cannot be waived: {reason}"));
            return None;
        }
        Some(rule)
    }

    /// The account of a waiver: `Some(None)` for every one.
    fn waived_account(&mut self, text: &str, at: usize) -> Option<Option<String>> {
        if text == "*" {
            return Some(None);
        }
        let id = account_id(text);
        if id.is_none() {
            self.problem(at, || {
                format!("{}; \"*\" means every account", bad_id(text))
            });
        }
        id.map(Some)
    }

    /// The domain of a waiver: `Some(None)` for every one.
    fn waived_domain(&mut self, section: Section<'_>) -> Option<Option<String>> {
        if !section.table.contains_key("domain") {
            return Some(None);
        }
        let (text, at) = self.text(section, "domain")?;
        if !is_domain(text) {
            self.problem(at, || bad_domain(text));
            return None;
        }
        Some(Some(canonical_domain(text).into_owned()))
    }

    /// Text that may be left out, and says something where it is there.
    fn explanation(&mut self, section: Section<'_>, key: &str, remedy: &str) -> Option<String> {
        let (text, at) = self.text(section, key)?;
        if text.trim().is_empty() {
            self.problem(at, || format!("{key} is blank; {remedy}"));
        }
        Some(text.to_owned())
    }

    fn expiry(&mut self, section: Section<'_>) -> Option<NaiveDate> {
        self.date(
            section,
            "expires",
            "the last day on which it holds, such as expires = 2027-01-31, without quotes",
        )
    }

    /// The account and the domain that are meant; `None` where one is not valid, `Some(None)` for every one.
    fn target(&mut self, section: Section<'_>) -> (Option<Option<String>>, Option<Option<String>>) {
        let account = self
            .required_text(
                section,
                "account",
                "account = \"*\" for every account, or an account's ID",
            )
            .and_then(|(text, at)| self.waived_account(text, at));
        (account, self.waived_domain(section))
    }

    fn attestations(&mut self, root: Section<'_>) -> Vec<Attestation> {
        let sections = self.list(root, "attestations", "an attestation");
        let read = |section| self.attestation(section);
        sections.into_iter().filter_map(read).collect()
    }

    fn attestation(&mut self, section: Section<'_>) -> Option<Attestation> {
        self.known_keys(section, &["control", "statement", "by", "on", "expires"]);
        let control = self.words(section, "control", "control = \"IA-2\", for example");
        let statement = self.words(
            section,
            "statement",
            "statement = \"the emergency token is kept in the safe\", for example",
        );
        let by = self.words(section, "by", "by = \"j.doe\", for example");
        let on = self.date(
            section,
            "on",
            "the day on which it was attested, such as on = 2026-11-21, without quotes",
        );
        let expires = self.expiry(section);
        if let (Some(on), Some(expires)) = (on, expires)
            && expires < on
        {
            self.problem(section.at, || {
                format!("this attestation expires on {expires}, before it was made on {on}")
            });
        }
        Some(Attestation {
            control: control?,
            statement: statement?,
            by: by?,
            on: on?,
            expires: expires?,
        })
    }

    fn remediations(&mut self, root: Section<'_>) -> Remediations {
        let mut remediations = Remediations::default();
        let mut places = Vec::new();
        for section in self.list(root, "remediations", "a remediation") {
            let Some(remediation) = self.remediation(section) else {
                continue;
            };
            match remediations.add(remediation) {
                Ok(()) => places.push(section.at),
                // One of the two may have lost the domain by which they differ.
                Err(_) if self.is_damaged => {}
                Err(first) => {
                    let line = self.lines.of(places[first]) + 1;
                    self.problem(section.at, || {
                        format!("this remediation repeats the one on line {line} (same rule, account and domain); keep one of them")
                    });
                }
            }
        }
        remediations
    }

    fn remediation(&mut self, section: Section<'_>) -> Option<Remediation> {
        self.known_keys(
            section,
            &["rule", "account", "domain", "owner", "due", "note"],
        );
        let rule = self
            .required_text(
                section,
                "rule",
                "rule = \"disabled-connector\", for example",
            )
            .and_then(|(id, at)| self.rule(id, at));
        let (account, domain) = self.target(section);
        let owner = self.words(section, "owner", "owner = \"j.doe\", for example");
        let due = self.date(
            section,
            "due",
            "the last day by which it is to be fixed, such as due = 2027-01-31, without quotes",
        );
        let note = self.explanation(section, "note", "write something, or leave it out");
        Some(Remediation {
            rule: rule?.id,
            account: account?,
            domain: domain?,
            owner: owner?,
            due: due?,
            note: note.unwrap_or_default(),
        })
    }

    /// Text that must be there and say something.
    fn words(&mut self, section: Section<'_>, key: &str, example: &str) -> Option<String> {
        let (text, at) = self.required_text(section, key, example)?;
        if text.trim().is_empty() {
            self.problem(at, || format!("{key} is blank; write {example}"));
        }
        Some(text.trim().to_owned())
    }

    fn date(
        &mut self,
        section: Section<'_>,
        key: &str,
        example: &'static str,
    ) -> Option<NaiveDate> {
        let Some(value) = section.table.get(key) else {
            self.missing(section, key, example);
            return None;
        };
        let date = match value.get_ref() {
            DeValue::Datetime(moment) if moment.time.is_none() && moment.offset.is_none() => {
                moment.date
            }
            _ => None,
        };
        let date = date.and_then(|date| {
            NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
        });
        if date.is_none() {
            self.problem(value.span().start, || {
                format!("{key} must be a date: {example}")
            });
        }
        date
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems::{LISTED, Problem};
    use super::super::written::{WrittenPolicy, schema};
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = include_str!("../../policy.example.toml");

    fn problems(text: &str) -> Vec<String> {
        let error = Policy::parse("p.toml", text.as_bytes()).unwrap_err();
        let lines =
            |problem: &Problem| format!("{}:{}: {}", problem.line, problem.column, problem.message);
        error.problems.iter().map(lines).collect()
    }

    #[test]
    fn the_example_is_valid_and_says_what_its_comments_say() {
        let policy = Policy::parse("policy.example.toml", EXAMPLE.as_bytes()).unwrap();
        assert_eq!(
            policy.rules["disabled-connector"],
            RuleSetting::Severity(Severity::Low)
        );
        assert_eq!(policy.thresholds.pending_days, 2);
        let account = &policy.accounts["023e105f4ecef8ad9ca31a8372d0c353"];
        assert_eq!(account.fedramp, Some(FedrampExpectation::Required));
        assert_eq!(account.domains, ["agency.example"]);
        let allowed = account.allow_domains.as_ref().unwrap();
        assert!(allowed.contains("agency.example") && allowed.contains("a.agency.example"));
        assert_eq!(policy.waivers[0].expires.to_string(), "2027-01-31");
        assert!(policy.source.is_some());
    }

    #[test]
    fn an_empty_file_expects_nothing() {
        let policy = Policy::parse("p.toml", b"").unwrap();
        assert!(policy.rules.is_empty() && policy.accounts.is_empty() && policy.waivers.is_empty());
    }

    #[test]
    fn what_the_shape_allows_the_reader_knows_and_the_other_way_round() {
        toml::from_str::<WrittenPolicy>(EXAMPLE).unwrap();
        let schema = serde_json::to_value(schema()).unwrap();
        let keys = |pointer: &str| -> Vec<String> {
            let properties = schema.pointer(&format!("{pointer}/properties")).unwrap();
            properties.as_object().unwrap().keys().cloned().collect()
        };
        // A key that the reader does not know is a problem, so each key of the schema is tried with a wrong type.
        for (pointer, before, after) in [
            ("", "", ""),
            ("/$defs/WrittenThresholds", "[thresholds]\n", ""),
            ("/$defs/WrittenDefaults", "[defaults]\n", ""),
            ("/$defs/WrittenAccount", "[[accounts]]\n", ""),
            ("/$defs/WrittenWaiver", "[[waivers]]\n", ""),
            ("/$defs/WrittenRule", "[rules.no-connector]\n", ""),
        ] {
            for key in keys(pointer) {
                let found = problems(&format!("{before}{key} = 1.5{after}\n"));
                assert!(
                    !found.iter().any(|problem| problem.contains("unknown key")),
                    "{pointer} {key}: {found:?}"
                );
                assert!(!found.is_empty(), "{pointer} {key} may be anything");
            }
        }
    }

    #[test]
    fn all_problems_are_named_at_once_with_line_and_column() {
        insta::assert_snapshot!(
            problems(include_str!("../../tests/policies/everything-wrong.toml")).join("\n")
        );
    }

    #[test]
    fn what_is_not_toml_is_told_as_such() {
        insta::assert_snapshot!(
            problems("[rules\nx = \n[defaults]\nfedramp = \"any\"\nfedramp = \"any\"\n").join("\n")
        );
        let error = Policy::parse("p.toml", b"[defaults]\n# \xff").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the policy p.toml has 1 problem:\np.toml:2:3: is not UTF-8 text; save the file as UTF-8"
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_character_of_the_first_line() {
        for text in ["zebra = 1\n", "# ok\nzebra = 1\n"] {
            let marked = format!("\u{feff}{text}");
            assert_eq!(problems(&marked), problems(text));
        }
        let error = Policy::parse("p.toml", b"\xef\xbb\xbf# \xff").unwrap_err();
        assert_eq!(error.problems[0].column, 3);
    }

    #[test]
    fn a_syntax_error_hides_no_other_problem() {
        insta::assert_snapshot!(
            problems(include_str!("../../tests/policies/damaged.toml")).join("\n")
        );
    }

    #[test]
    fn a_list_without_an_end_is_told_once() {
        let text = "[[accounts]]\nid = \"12\"\ndomains = [\"a.example\",\nowner = \"x\"\n[[waivers]]\nrule = \"zebra\"\n";
        assert_eq!(
            problems(text),
            [
                "2:6: \"12\" is not an account ID: an ID has 32 hex digits".to_owned(),
                "3:24: unclosed array or inline table, expected `]` or `}`".to_owned(),
                format!(
                    "6:8: unknown rule \"zebra\"; expected one of {}",
                    rule_ids().join(", ")
                ),
            ]
        );
    }

    /// A valid policy of several lines of each kind.
    const VALID: &str = r#"# Ünïcode
[rules.no-connector]
severity = "low"
[rules]
unknown-value = { severity = "off" }
[thresholds]
pending_days = 2
[defaults]
fedramp = "any"
[[accounts]]
id = "023e105f4ecef8ad9ca31a8372d0c353"
domains = [
  "agency.example", # here
  "lab.agency.example",
]
allow_domains = ["*.gov", "agency.example"]
[[waivers]]
rule = "no-connector"
account = "*"
reason = """
several
lines"""
owner = 'j.doe'
expires = 2027-01-31
[[waivers]]
rule = "no-connector"
account = "*"
domain = "a.example"
reason = "another"
expires = 2027-01-31
"#;

    #[test]
    fn a_syntax_error_brings_no_problem_that_is_none() {
        assert!(Policy::parse("p.toml", VALID.as_bytes()).is_ok());
        let mut damaged = 0;
        for (at, c) in VALID.char_indices() {
            let (before, behind) = VALID.split_at(at);
            let rest = &behind[c.len_utf8()..];
            let line_left = behind.find('\n').unwrap_or(0);
            let mut texts = vec![
                [before, rest].concat(),
                [before, &behind[line_left..]].concat(),
            ];
            texts.extend(
                ["[", "]", "\"", "=", "{", ",", "\n", "x y"]
                    .map(|more| [before, more, behind].concat()),
            );
            for text in texts {
                let (_, errors) = DeTable::parse_recoverable(&text);
                if errors.is_empty() {
                    continue;
                }
                damaged += 1;
                let line = before.matches('\n').count() + 1;
                let messages: Vec<_> = errors.iter().map(toml::de::Error::message).collect();
                for problem in Policy::parse("p.toml", text.as_bytes())
                    .unwrap_err()
                    .problems
                {
                    let is_syntax = messages.contains(&&*problem.message)
                        || problem.message.starts_with("unclosed");
                    let is_near = (line..=line + 1).contains(&problem.line);
                    assert!(is_syntax || is_near, "{problem:?} in\n{text}");
                }
            }
        }
        assert!(damaged > 1000, "{damaged}");
    }

    #[test]
    fn the_first_problems_are_listed_and_the_rest_is_counted() {
        let mut text = String::new();
        for number in 0..LISTED + 7 {
            text += &format!("k{number} = 1\n");
        }
        let error = Policy::parse("p.toml", text.as_bytes()).unwrap_err();
        assert_eq!((error.problems.len(), error.more), (LISTED, 7));
        let lines: Vec<_> = error.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(
            lines,
            (1..=LISTED).collect::<Vec<_>>(),
            "the first in the order of the file"
        );
        let said = error.to_string();
        assert!(said.starts_with("the policy p.toml has 57 problems:\np.toml:1:1: unknown key"));
        assert!(said.ends_with("\nand 7 more"));
    }

    #[test]
    fn a_word_without_an_end_is_cut_off() {
        let found = problems(&format!("{} = 1\n", "k".repeat(100_000)));
        assert_eq!(
            found,
            [format!(
                "1:1: unknown key \"{}…\" in a policy; expected one of rules, thresholds, defaults, accounts, waivers, attestations, remediations",
                "k".repeat(SHOWN)
            )]
        );
    }

    #[test]
    fn a_domain_is_read_once_however_often_it_is_listed() {
        let text = "[[accounts]]\nid = \"023e105f4ecef8ad9ca31a8372d0c353\"\n\
                    domains = [\"Z.example\", \"a.example\", \"z.example.\", \"z.example\"]\n";
        let policy = Policy::parse("p.toml", text.as_bytes()).unwrap();
        let account = &policy.accounts["023e105f4ecef8ad9ca31a8372d0c353"];
        assert_eq!(account.domains, ["z.example", "a.example"]);
    }

    #[test]
    fn attestations_and_remediations_are_read_and_checked() {
        let text = "[[attestations]]\ncontrol = \" IA-2 \"\nstatement = \"tested\"\nby = \"j.doe\"\non = 2026-11-21\nexpires = 2027-11-21\n\
                    [[remediations]]\nrule = \"unread-account\"\naccount = \"*\"\ndomain = \"A.example.\"\nowner = \"j.doe\"\ndue = 2027-01-31\n";
        let policy = Policy::parse("p.toml", text.as_bytes()).unwrap();
        assert_eq!(policy.attestations[0].control, "IA-2");
        assert_eq!(policy.remediations[0].domain.as_deref(), Some("a.example"));
        assert_eq!(policy.remediations[0].account, None);
        let twice = format!(
            "{text}[[remediations]]\nrule = \"unread-account\"\naccount = \"*\"\ndomain = \"a.example\"\nowner = \"x\"\ndue = 2028-01-31\n"
        );
        assert_eq!(
            problems(&twice),
            [
                "13:1: this remediation repeats the one on line 7 (same rule, account and domain); keep one of them"
            ]
        );
        assert_eq!(
            problems(
                "[[attestations]]\ncontrol = \" \"\nby = \"x\"\non = 2027-01-02\nexpires = 2027-01-01\n[[remediations]]\nrule = \"no-conector\"\naccount = \"*\"\nowner = 1\ndue = \"soon\"\n"
            ),
            [
                "1:1: an attestation has no statement; add statement = \"the emergency token is kept in the safe\", for example",
                "1:1: this attestation expires on 2027-01-01, before it was made on 2027-01-02",
                "2:11: control is blank; write control = \"IA-2\", for example",
                "7:8: unknown rule \"no-conector\"; did you mean \"no-connector\"?",
                "9:9: owner must be a quoted string; found integer",
                "10:7: due must be a date: the last day by which it is to be fixed, such as due = 2027-01-31, without quotes",
            ]
        );
    }

    #[test]
    fn an_expired_waiver_is_no_problem() {
        let text = "[[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\nexpires = 2001-01-01\n";
        assert_eq!(
            Policy::parse("p.toml", text.as_bytes())
                .unwrap()
                .waivers
                .len(),
            1
        );
    }

    proptest! {
        #[test]
        fn numbers_of_lines_are_counted_right_in_damaged_files_too(before in 0usize..4, after in 0usize..4) {
            let text = format!("{}x =\n{}zebra = 1\n", "\n".repeat(before), "\n".repeat(after));
            let found = problems(&text);
            prop_assert_eq!(found.len(), 2);
            let place = format!("{}:1: unknown key", before + after + 2);
            prop_assert!(found[1].starts_with(&place));
        }

        #[test]
        fn any_text_is_a_policy_or_has_problems(text in "(\\[\\[?(rules|accounts|waivers)\\.?[a-z-]{0,9}\\]\\]?\n|[a-z_]{1,9} = [\"0-9a-z*.\\[\\]-]{0,12}\n){0,8}") {
            if let Err(error) = Policy::parse("p.toml", text.as_bytes()) {
                prop_assert!(!error.problems.is_empty());
            }
        }
    }
}
