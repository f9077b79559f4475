//! From the policy as it is written to the policy as it is valid. All problems of a file are found at once, each
//! with its line and column, and with the nearest word that would have been right.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use chrono::NaiveDate;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::written::{FEDRAMP, rule_ids, severities};
use super::{
    AccountExpectation, DomainPattern, FedrampExpectation, Policy, PolicySource, RuleSetting,
    Thresholds, Waiver,
};
use crate::accounts::account_id;
use crate::model::canonical_domain;
use crate::rules::{Rule, Severity, rule};
use crate::text::sha256_hex;

/// Something in a policy file that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Everything that is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// The file, as it was given.
    pub path: String,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = crate::text::count(self.problems.len(), "problem");
        write!(formatter, "the policy {} has {count}:", self.path)?;
        for Problem {
            line,
            column,
            message,
        } in &self.problems
        {
            write!(formatter, "\n{}:{line}:{column}: {message}", self.path)?;
        }
        Ok(())
    }
}

impl Policy {
    /// Reads a policy. `path` is the file's, for messages and reports.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, PolicyError> {
        let failed = |problems| PolicyError {
            path: path.to_owned(),
            problems,
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let (line, column) = position(&before, before.len());
            failed(vec![Problem {
                line,
                column,
                message: "is not UTF-8 text; save the file as UTF-8".to_owned(),
            }])
        })?;
        let mut reader = Reader {
            text,
            problems: Vec::new(),
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reader.problem(error.span().unwrap_or_default(), error.message().to_owned());
        }
        // A document that is not TOML is read no further: what follows from the damage would only confuse.
        let mut policy = Self::default();
        if reader.problems.is_empty() {
            policy = reader.policy(document.get_ref());
        }
        if !reader.problems.is_empty() {
            reader
                .problems
                .sort_by_key(|problem| (problem.line, problem.column));
            return Err(failed(reader.problems));
        }
        policy.source = Some(PolicySource {
            path: path.to_owned(),
            sha256: sha256_hex(bytes),
        });
        Ok(policy)
    }
}

/// Line and column of a byte, both 1-based.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// The known word that is nearest to an unknown one, where one is near enough to have been meant.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), candidate);
    let best = known.iter().copied().min_by_key(distance)?;
    (distance(&best) <= 1 + word.len() / 4).then_some(best)
}

fn not_one_of(word: &str, what: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("{word:?} is no {what}; did you mean {near:?}?"),
        None => format!("{word:?} is no {what}; there are {}", known.join(", ")),
    }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

/// A table of the document, with the words in which messages name it.
#[derive(Clone, Copy)]
struct Section<'d> {
    name: &'static str,
    table: &'d DeTable<'d>,
    /// Where it stands, for what it lacks.
    span: &'d Range<usize>,
}

type Value<'d> = &'d Spanned<DeValue<'d>>;

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, message: String) {
        let (line, column) = position(self.text, span.start);
        self.problems.push(Problem {
            line,
            column,
            message,
        });
    }

    fn wrong_type(&mut self, value: Value<'_>, key: &str, expected: &str) {
        let found = value.get_ref().type_str();
        self.problem(
            value.span(),
            format!("{key} must be {expected}, and is of type {found}"),
        );
    }

    fn policy(&mut self, root: &DeTable<'_>) -> Policy {
        let whole = 0..0;
        let root = Section {
            name: "a policy",
            table: root,
            span: &whole,
        };
        self.known_keys(
            root,
            &["rules", "thresholds", "defaults", "accounts", "waivers"],
        );
        Policy {
            source: None,
            rules: self.rules(root),
            thresholds: self.thresholds(root),
            fedramp: self.defaults(root),
            accounts: self.accounts(root),
            waivers: self.waivers(root),
        }
    }

    fn known_keys(&mut self, section: Section<'_>, known: &[&str]) {
        for key in section.table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let what = format!("key of {}", section.name);
                self.problem(key.span(), not_one_of(name, &what, known));
            }
        }
    }

    fn section<'d>(
        &mut self,
        root: Section<'d>,
        key: &'static str,
        span: &'d mut Range<usize>,
    ) -> Option<Section<'d>> {
        let value = root.table.get(key)?;
        *span = value.span();
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                name: key,
                table,
                span,
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
    ) -> Vec<(&'d DeTable<'d>, Range<usize>)> {
        let Some(value) = root.table.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, key, &format!("a list of tables, [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span())),
                _ => self.wrong_type(item, key, &format!("a list of tables, [[{key}]]")),
            }
        }
        tables
    }

    fn text<'d>(&mut self, section: Section<'d>, key: &str) -> Option<(&'d str, Range<usize>)> {
        let value = section.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), value.span())),
            _ => {
                self.wrong_type(value, key, "text in quotes");
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
    ) -> Option<(&'d str, Range<usize>)> {
        if !section.table.contains_key(key) {
            self.problem(
                section.span.clone(),
                format!("{} has no {key}; add {example}", section.name),
            );
        }
        self.text(section, key)
    }

    fn texts<'d>(
        &mut self,
        section: Section<'d>,
        key: &str,
    ) -> Option<Vec<(&'d str, Range<usize>)>> {
        let value = section.table.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(value, key, "a list of texts, such as [\"a.example\"]");
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.as_ref(), item.span())),
                _ => self.wrong_type(item, key, "a list of texts, such as [\"a.example\"]"),
            }
        }
        Some(texts)
    }

    fn rules(&mut self, root: Section<'_>) -> HashMap<&'static str, RuleSetting> {
        let mut settings = HashMap::new();
        let mut span = 0..0;
        let Some(section) = self.section(root, "rules", &mut span) else {
            return settings;
        };
        for (key, value) in section.table {
            let Some(rule) = self.rule(key.get_ref(), key.span()) else {
                continue;
            };
            let DeValue::Table(table) = value.get_ref() else {
                self.wrong_type(value, rule.id, &format!("a table, [rules.{}]", rule.id));
                continue;
            };
            let span = key.span();
            let one = Section {
                name: "a rule",
                table,
                span: &span,
            };
            self.known_keys(one, &["severity"]);
            if let Some((word, at)) =
                self.required_text(one, "severity", "severity = \"low\", for example")
            {
                let setting = match (word, Severity::parse(word)) {
                    (_, Some(severity)) => Some(RuleSetting::Severity(severity)),
                    ("off", None) if rule.id == "unread-account" => {
                        let message = "unread-account cannot be off: an account that was not read would look clean";
                        self.problem(at, message.to_owned());
                        None
                    }
                    ("off", None) => Some(RuleSetting::Off),
                    _ => {
                        self.problem(at, not_one_of(word, "severity", &severities()));
                        None
                    }
                };
                settings.extend(setting.map(|setting| (rule.id, setting)));
            }
        }
        settings
    }

    fn rule(&mut self, id: &str, span: Range<usize>) -> Option<&'static Rule> {
        let found = rule(id);
        if found.is_none() {
            self.problem(span, not_one_of(id, "rule", &rule_ids()));
        }
        found
    }

    fn thresholds(&mut self, root: Section<'_>) -> Thresholds {
        let mut thresholds = Thresholds::default();
        let mut span = 0..0;
        let Some(section) = self.section(root, "thresholds", &mut span) else {
            return thresholds;
        };
        self.known_keys(section, &["pending_days"]);
        if let Some(value) = section.table.get("pending_days") {
            let days = value.get_ref().as_integer();
            match days.and_then(|days| {
                u32::from_str_radix(&days.as_str().replace('_', ""), days.radix()).ok()
            }) {
                Some(days @ 0..=3650) => thresholds.pending_days = days,
                _ => self.problem(
                    value.span(),
                    "pending_days must be a whole number of days from 0 to 3650, such as 2"
                        .to_owned(),
                ),
            }
        }
        thresholds
    }

    fn defaults(&mut self, root: Section<'_>) -> FedrampExpectation {
        let mut span = 0..0;
        let Some(section) = self.section(root, "defaults", &mut span) else {
            return FedrampExpectation::default();
        };
        self.known_keys(section, &["fedramp"]);
        self.fedramp(section).unwrap_or_default()
    }

    fn fedramp(&mut self, section: Section<'_>) -> Option<FedrampExpectation> {
        let (word, span) = self.text(section, "fedramp")?;
        match word {
            "required" => Some(FedrampExpectation::Required),
            "forbidden" => Some(FedrampExpectation::Forbidden),
            "any" => Some(FedrampExpectation::Any),
            _ => {
                self.problem(span, not_one_of(word, "FedRAMP expectation", &FEDRAMP));
                None
            }
        }
    }

    fn accounts(&mut self, root: Section<'_>) -> HashMap<String, AccountExpectation> {
        let mut accounts = HashMap::new();
        for (table, span) in self.list(root, "accounts") {
            let section = Section {
                name: "an account",
                table,
                span: &span,
            };
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
                owner: self
                    .text(section, "owner")
                    .map(|(owner, _)| owner.to_owned())
                    .unwrap_or_default(),
                domains: self
                    .domains(section, "domains")
                    .into_iter()
                    .flatten()
                    .map(|domain| canonical_domain(domain).into_owned())
                    .collect(),
                allow_domains: self
                    .domains(section, "allow_domains")
                    .map(|domains| domains.into_iter().map(DomainPattern::parse).collect()),
            };
            let Some((text, at)) = id else { continue };
            match account_id(text) {
                None => self.problem(at, bad_id(text)),
                Some(id) if accounts.contains_key(&id) => {
                    self.problem(at, format!("the account {id} stands in the policy already; say everything of it in one place"));
                }
                Some(id) => {
                    accounts.insert(id, expectation);
                }
            }
        }
        accounts
    }

    /// Domains, of which `allow_domains` may begin with `*.`.
    fn domains<'d>(&mut self, section: Section<'d>, key: &str) -> Option<Vec<&'d str>> {
        let mut domains = Vec::new();
        for (text, span) in self.texts(section, key)? {
            let bare = text
                .strip_prefix("*.")
                .filter(|_| key == "allow_domains")
                .unwrap_or(text);
            if is_domain(bare) {
                domains.push(text);
            } else if text.contains('*') && key != "allow_domains" {
                self.problem(
                    span,
                    format!("{text:?} is no domain: only allow_domains may hold a pattern"),
                );
            } else {
                self.problem(
                    span,
                    format!("{text:?} is no domain; one looks like agency.example"),
                );
            }
        }
        Some(domains)
    }

    fn waivers(&mut self, root: Section<'_>) -> Vec<Waiver> {
        let mut waivers = Vec::new();
        for (table, span) in self.list(root, "waivers") {
            let section = Section {
                name: "a waiver",
                table,
                span: &span,
            };
            self.known_keys(
                section,
                &["rule", "account", "domain", "reason", "owner", "expires"],
            );
            let rule = self.required_text(
                section,
                "rule",
                "rule = \"disabled-connector\", for example",
            );
            let rule = rule.and_then(|(id, at)| self.rule(id, at));
            let account = self.required_text(
                section,
                "account",
                "account = \"*\" for every account, or an account's id",
            );
            let account = account.and_then(|(text, at)| match (text, account_id(text)) {
                ("*", _) => Some(None),
                (_, Some(id)) => Some(Some(id)),
                (_, None) => {
                    self.problem(at, format!("{}, or \"*\" for every account", bad_id(text)));
                    None
                }
            });
            let domain = self.text(section, "domain").and_then(|(text, at)| {
                if !is_domain(text) {
                    self.problem(
                        at,
                        format!("{text:?} is no domain; one looks like agency.example"),
                    );
                    return None;
                }
                Some(canonical_domain(text).into_owned())
            });
            let text = |reader: &mut Self, key| {
                reader
                    .text(section, key)
                    .map(|(text, _)| text.to_owned())
                    .unwrap_or_default()
            };
            let (reason, owner) = (text(self, "reason"), text(self, "owner"));
            let expires = self.expiry(section);
            if let (Some(rule), Some(account), Some(expires)) = (rule, account, expires) {
                waivers.push(Waiver {
                    rule: rule.id,
                    account,
                    domain,
                    reason,
                    owner,
                    expires,
                });
            }
        }
        waivers
    }

    fn expiry(&mut self, section: Section<'_>) -> Option<NaiveDate> {
        const EXAMPLE: &str =
            "the last day on which it holds, such as expires = 2027-01-31, without quotes";
        let Some(value) = section.table.get("expires") else {
            self.problem(
                section.span.clone(),
                format!("a waiver has no expires; add {EXAMPLE}"),
            );
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
            self.problem(value.span(), format!("expires must be a date: {EXAMPLE}"));
        }
        date
    }
}

fn bad_id(text: &str) -> String {
    format!("{text:?} is no account id: one has 32 hex digits")
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label
                .contains(|c: char| c.is_whitespace() || c.is_control() || "*@/:?#".contains(c))
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.contains('.') && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(account.allow_domains.as_ref().map(Vec::len), Some(2));
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
                    !found.iter().any(|problem| problem.contains("is no key")),
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
        fn any_text_is_a_policy_or_has_problems(text in "(\\[\\[?(rules|accounts|waivers)\\.?[a-z-]{0,9}\\]\\]?\n|[a-z_]{1,9} = [\"0-9a-z*.\\[\\]-]{0,12}\n){0,8}") {
            if let Err(error) = Policy::parse("p.toml", text.as_bytes()) {
                prop_assert!(!error.problems.is_empty());
            }
        }
    }
}
