//! A policy as it is written: the shape of the TOML file, for editors (JSON Schema) and for the reader's keys.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::rules::{RULES, Severity};

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
    pub accounts: Vec<WrittenAccount>,
    /// What is accepted for a time.
    #[serde(default)]
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
    #[schemars(range(min = 0, max = 3650))]
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
    #[schemars(regex(pattern = "^[0-9a-fA-F]{32}$"))]
    pub id: String,
    /// Which FedRAMP text it is expected to show; the default's unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fedramp_schema")]
    pub fedramp: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Domains that must each have an enabled, verified connector.
    pub domains: Option<Vec<String>>,
    /// The domains it may have; "*.example.com" means all below example.com.
    pub allow_domains: Option<Vec<String>>,
}

/// A finding that is accepted until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenWaiver {
    /// The rule whose findings are waived.
    #[schemars(schema_with = "rule_schema")]
    pub rule: String,
    /// The account's id, or "*" for every account.
    #[schemars(regex(pattern = "^(\\*|[0-9a-fA-F]{32})$"))]
    pub account: String,
    /// The domain, where only its findings are meant.
    pub domain: Option<String>,
    /// Why it was accepted.
    pub reason: Option<String>,
    /// Who accepted it.
    pub owner: Option<String>,
    /// The last day on which it holds, such as 2027-01-31, without quotes.
    #[schemars(schema_with = "date_schema")]
    pub expires: toml::value::Datetime,
}

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

fn severity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": severities()})
}

fn fedramp_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": FEDRAMP})
}

fn rule_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": rule_ids()})
}

fn rules_schema(generator: &mut SchemaGenerator) -> Schema {
    let rule = generator.subschema_for::<WrittenRule>();
    let properties: BTreeMap<_, _> = rule_ids()
        .into_iter()
        .map(|id| (id, rule.clone()))
        .collect();
    json_schema!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn date_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date"})
}

/// The JSON Schema of a policy.
pub fn schema() -> Schema {
    schemars::schema_for!(WrittenPolicy)
}
