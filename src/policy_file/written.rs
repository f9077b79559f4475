//! A policy as written: the shape of the TOML file, for editors (JSON Schema) and for the reader's keys.
//!
//! Schema and reader agree as far as JSON Schema can say it. It cannot say that two accounts, or two waivers, are the
//! same in different words, and knows neither TOML's dates from text nor its whole numbers from `2.0`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::value_schema;
use super::words::severities;
use crate::rules::{RULES, Rule};

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
    /// What somebody attests, where no answer of the API can show it.
    #[serde(default)]
    pub attestations: Vec<WrittenAttestation>,
    /// By when findings will be fixed, and by whom.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub remediations: Vec<WrittenRemediation>,
}

/// Somebody's word that a control is met, where no answer of the API can show it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenAttestation {
    /// The control, such as "IA-2".
    #[schemars(schema_with = "value_schema::explanation")]
    pub control: String,
    /// What is attested.
    #[schemars(schema_with = "value_schema::explanation")]
    pub statement: String,
    /// Who attests it.
    #[schemars(schema_with = "value_schema::explanation")]
    pub by: String,
    /// The day on which it was attested, such as 2026-11-21, without quotes.
    #[schemars(schema_with = "value_schema::date")]
    pub on: toml::value::Datetime,
    /// The last day on which it holds, such as 2027-11-21, without quotes.
    #[schemars(schema_with = "value_schema::date")]
    pub expires: toml::value::Datetime,
}

/// By when findings will be fixed, and by whom. It waives nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRemediation {
    /// The rule whose findings are meant.
    #[schemars(schema_with = "value_schema::rule")]
    pub rule: String,
    /// The account's id, or "*" for every account.
    #[schemars(schema_with = "value_schema::waived_account")]
    pub account: String,
    /// The domain, where only its findings are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::domain")]
    pub domain: Option<String>,
    /// Who fixes it.
    #[schemars(schema_with = "value_schema::explanation")]
    pub owner: String,
    /// The last day by which it is to be fixed, such as 2027-01-31, without quotes.
    #[schemars(schema_with = "value_schema::date")]
    pub due: toml::value::Datetime,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::explanation")]
    pub note: Option<String>,
}

/// What is said of one rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRule {
    /// The severity of its findings, or "off" for a rule that is not judged by.
    #[schemars(schema_with = "value_schema::severity")]
    pub severity: String,
}

/// When a state has lasted too long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenThresholds {
    /// Days that a verification may be pending; 2 unless set. Cloudflare gives up within two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::pending_days")]
    pub pending_days: Option<u32>,
}

/// What is expected where no account says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenDefaults {
    /// Which FedRAMP text is expected at login; "any" unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::fedramp")]
    pub fedramp: Option<String>,
}

/// What is expected of one account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenAccount {
    /// The account's id.
    #[schemars(schema_with = "value_schema::account")]
    pub id: String,
    /// Which FedRAMP text it is expected to show; the default's unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::fedramp")]
    pub fedramp: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::text")]
    pub owner: Option<String>,
    /// Domains that must each have an enabled, verified connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::domains")]
    pub domains: Option<Vec<String>>,
    /// The domains it may have; "*.example.com" means all below example.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::patterns")]
    pub allow_domains: Option<Vec<String>>,
}

/// A finding that is accepted until a date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenWaiver {
    /// The rule whose findings are waived.
    #[schemars(schema_with = "value_schema::waivable_rule")]
    pub rule: String,
    /// The account's id, or "*" for every account.
    #[schemars(schema_with = "value_schema::waived_account")]
    pub account: String,
    /// The domain, where only its findings are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::domain")]
    pub domain: Option<String>,
    /// Why it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::explanation")]
    pub reason: Option<String>,
    /// Who accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value_schema::explanation")]
    pub owner: Option<String>,
    /// The last day on which it holds, such as 2027-01-31, without quotes.
    #[schemars(schema_with = "value_schema::date")]
    pub expires: toml::value::Datetime,
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

/// The JSON Schema of a policy.
pub fn schema() -> Schema {
    schemars::schema_for!(WrittenPolicy)
}
