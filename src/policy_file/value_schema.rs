//! The JSON Schemas of a policy's values: what [`super::words`] says, as editors understand it.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::words::{FEDRAMP, PENDING_DAYS, severities};
use crate::rules::RULES;

/// White space within brackets of a regular expression, as [`char::is_whitespace`] has it; `\s` is not the same for all
/// who read JSON Schemas.
const SPACE: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// A label of a name as a regular expression, as [`super::words::is_domain`] has it.
fn label() -> String {
    format!(r"[^{SPACE}\u0000-\u001f\u007f-\u009f*@/:?#.]+")
}

/// An account's id as a regular expression, in the spellings that [`crate::accounts::account_id`] takes.
fn account_id() -> String {
    format!("[{SPACE}]*'?[0-9a-fA-F]{{32}}[{SPACE}]*")
}

pub(super) fn account(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": format!("^{}$", account_id())})
}

pub(super) fn waived_account(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": format!(r"^(\*|{})$", account_id())})
}

pub(super) fn severity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": severities()})
}

pub(super) fn pending_days(_: &mut SchemaGenerator) -> Schema {
    let (least, most) = PENDING_DAYS;
    json_schema!({"type": "integer", "minimum": least, "maximum": most})
}

pub(super) fn fedramp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": FEDRAMP})
}

pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

pub(super) fn explanation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": format!("[^{SPACE}]")})
}

pub(super) fn rule(_: &mut SchemaGenerator) -> Schema {
    let ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    json_schema!({"type": "string", "enum": ids})
}

pub(super) fn waivable_rule(_: &mut SchemaGenerator) -> Schema {
    let waivable = RULES.iter().filter(|rule| rule.mandatory.is_none());
    let ids: Vec<_> = waivable.map(|rule| rule.id).collect();
    json_schema!({"type": "string", "enum": ids})
}

pub(super) fn domain(_: &mut SchemaGenerator) -> Schema {
    let label = label();
    json_schema!({"type": "string", "pattern": format!(r"^{label}(\.{label})+\.?$")})
}

pub(super) fn domains(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": domain(generator)})
}

pub(super) fn patterns(_: &mut SchemaGenerator) -> Schema {
    let label = label();
    let pattern = format!(r"^(\*\.{label}|{label}\.{label})(\.{label})*\.?$");
    json_schema!({"type": "array", "items": {"type": "string", "pattern": pattern}})
}

pub(super) fn date(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
}
