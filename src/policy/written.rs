//! A policy as it is written: the shape of the TOML file, for editors (JSON Schema) and for the reader's keys.
//!
//! Schema and reader agree as far as JSON Schema can say it. It cannot say that two accounts, or two waivers, are the
//! same in different words, and knows neither TOML's dates from text nor its whole numbers from `2.0`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::rules::{RULES, Rule};
use crate::severity::Severity;

/// What is expected of the accounts that `cf-sso-audit` reads, and what is waived until when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Policy of cf-sso-audit")]
pub struct WrittenPolicy {
    /// What is said of single rules, by their id.
    #[serde(default)]
    #[schemars(schema_with = "rules_schema")]
    pub rules: BTreeMap<String, WrittenRule>,
    /// When a state has lasted too long.
    #[serde(default)]
    pub thresholds: WrittenThresholds,
    /// What is expected where no account says otherwise.
    #[serde(default)]
    pub defaults: WrittenDefaults,
    /// What is expected of single accounts.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub accounts: Vec<WrittenAccount>,
    /// What is accepted for a time.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub waivers: Vec<WrittenWaiver>,
}

/// What is said of one rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRule {
    /// The severity of its findings, or "off" for a rule that is not judged by.
    #[schemars(schema_with = "severity_schema")]
    pub severity: String,
}

/// When a state has lasted too long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenThresholds {
    /// Days that a verification may be pending; 2 unless set. Cloudflare gives up within two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "pending_days_schema")]
    pub pending_days: Option<u32>,
}

/// What is expected where no account says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenDefaults {
    /// Which FedRAMP text is expected at login; "any" unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fedramp_schema")]
    pub fedramp: Option<String>,
}

/// What is expected of one account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenAccount {
    /// The account's id.
    #[schemars(schema_with = "account_schema")]
    pub id: String,
    /// Which FedRAMP text it is expected to show; the default's unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fedramp_schema")]
    pub fedramp: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text_schema")]
    pub owner: Option<String>,
    /// Domains that must each have an enabled, verified connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "domains_schema")]
    pub domains: Option<Vec<String>>,
    /// The domains it may have; "*.example.com" means all below example.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns_schema")]
    pub allow_domains: Option<Vec<String>>,
}

/// A finding that is accepted until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenWaiver {
    /// The rule whose findings are waived.
    #[schemars(schema_with = "waivable_rule_schema")]
    pub rule: String,
    /// The account's id, or "*" for every account.
    #[schemars(schema_with = "waived_account_schema")]
    pub account: String,
    /// The domain, where only its findings are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "domain_schema")]
    pub domain: Option<String>,
    /// Why it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "explanation_schema")]
    pub reason: Option<String>,
    /// Who accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "explanation_schema")]
    pub owner: Option<String>,
    /// The last day on which it holds, such as 2027-01-31, without quotes.
    #[schemars(schema_with = "date_schema")]
    pub expires: toml::value::Datetime,
}

/// The least and the most days that a verification may be allowed to be pending.
pub const PENDING_DAYS: (u32, u32) = (0, 3650);

/// The words for a severity, with the one that switches a rule off.
pub fn severities() -> Vec<&'static str> {
    Severity::ALL
        .iter()
        .map(|severity| severity.as_str())
        .chain(["off"])
        .collect()
}

/// The words for a FedRAMP expectation.
pub const FEDRAMP: [&str; 3] = ["required", "forbidden", "any"];

/// The rules' ids.
pub fn rule_ids() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.id).collect()
}

/// Whether a text can be a domain: at least two labels, and nothing in them that stands in no name.
pub fn is_domain(text: &str) -> bool {
    labels(text).is_some_and(|labels| labels > 1)
}

/// Whether a text is a domain, or `*.` before one, which may then be a top-level domain.
pub fn is_pattern(text: &str) -> bool {
    match text.strip_prefix("*.") {
        Some(parent) => labels(parent).is_some(),
        None => is_domain(text),
    }
}

/// The number of labels of a name, a trailing dot left off; `None` where one is none.
fn labels(text: &str) -> Option<usize> {
    let is_label = |label: &str| {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "*@/:?#".contains(c);
        !label.is_empty() && !label.contains(forbidden)
    };
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    labels.clone().all(is_label).then(|| labels.count())
}

/// White space within brackets of a regular expression, as [`char::is_whitespace`] has it; `\s` is not the same for all
/// who read JSON Schemas.
const SPACE: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// A label of a name as a regular expression, as [`labels`] has it.
fn label() -> String {
    format!(r"[^{SPACE}\u0000-\u001f\u007f-\u009f*@/:?#.]+")
}

/// An account's id as a regular expression, in the spellings that [`crate::accounts::account_id`] takes.
fn account() -> String {
    format!("[{SPACE}]*'?[0-9a-fA-F]{{32}}[{SPACE}]*")
}

fn account_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": format!("^{}$", account())})
}

fn waived_account_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": format!(r"^(\*|{})$", account())})
}

fn severity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": severities()})
}

fn pending_days_schema(_: &mut SchemaGenerator) -> Schema {
    let (least, most) = PENDING_DAYS;
    json_schema!({"type": "integer", "minimum": least, "maximum": most})
}

fn fedramp_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": FEDRAMP})
}

fn text_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

fn explanation_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": format!("[^{SPACE}]")})
}

fn waivable_rule_schema(_: &mut SchemaGenerator) -> Schema {
    let waivable = RULES.iter().filter(|rule| rule.mandatory.is_none());
    let ids: Vec<_> = waivable.map(|rule| rule.id).collect();
    json_schema!({"type": "string", "enum": ids})
}

fn domain_schema(_: &mut SchemaGenerator) -> Schema {
    let label = label();
    json_schema!({"type": "string", "pattern": format!(r"^{label}(\.{label})+\.?$")})
}

fn domains_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": domain_schema(generator)})
}

fn patterns_schema(_: &mut SchemaGenerator) -> Schema {
    let label = label();
    let pattern = format!(r"^(\*\.{label}|{label}\.{label})(\.{label})*\.?$");
    json_schema!({"type": "array", "items": {"type": "string", "pattern": pattern}})
}

fn rules_schema(generator: &mut SchemaGenerator) -> Schema {
    let any = generator.subschema_for::<WrittenRule>();
    let of = |rule: &Rule| {
        if rule.mandatory.is_none() {
            return any.clone();
        }
        let mut severities = severities();
        severities.retain(|word| *word != "off");
        json_schema!({"allOf": [any, {"properties": {"severity": {"enum": severities}}}]})
    };
    let properties: BTreeMap<_, _> = RULES.iter().map(|rule| (rule.id, of(rule))).collect();
    json_schema!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn date_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
}

/// The JSON Schema of a policy.
pub fn schema() -> Schema {
    schemars::schema_for!(WrittenPolicy)
}
