//! The specification, its overlay, and the reasons for it agree.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("openapi")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&file(name)).unwrap()
}

/// The entries of a merge patch, as JSON pointers to what it sets or removes.
fn entries(patch: &Value, pointer: &str, found: &mut BTreeSet<String>) {
    match patch {
        Value::Object(fields) => {
            for (key, value) in fields {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                entries(value, &format!("{pointer}/{escaped}"), found);
            }
        }
        _ => assert!(found.insert(pointer.to_owned())),
    }
}

#[test]
fn every_entry_of_the_overlay_has_its_reason_and_no_reason_is_left_over() {
    let mut in_overlay = BTreeSet::new();
    entries(&json("overlay.json"), "", &mut in_overlay);
    let mut in_readme = BTreeSet::new();
    for line in file("README.md")
        .lines()
        .filter(|line| line.starts_with("| `/"))
    {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 2, "{line}");
        assert!(cells[1].len() > 8, "no reason is given: {line}");
        assert!(
            in_readme.insert(cells[0].trim_matches('`').to_owned()),
            "twice: {line}"
        );
    }
    assert!(in_overlay.len() > 20);
    assert_eq!(in_overlay, in_readme);
}

#[test]
fn the_specification_has_the_eleven_operations_and_no_others() {
    let spec = json("cloudflare-sso.json");
    assert_eq!(spec["openapi"], "3.0.3");
    let mut operations = BTreeSet::new();
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if let Some(name) = operation["operationId"].as_str() {
                let answers: BTreeSet<_> = operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect();
                assert_eq!(answers, ["200", "4XX"].into(), "{name}");
                operations.insert(format!("{} {path} {name}", method.to_uppercase()));
            }
        }
    }
    let expected = [
        "GET /accounts/{account_id}/sso_connectors get-all-sso-connectors",
        "POST /accounts/{account_id}/sso_connectors init-new-sso-connector",
        "GET /accounts/{account_id}/sso_connectors/{sso_connector_id} get-sso-connector",
        "PATCH /accounts/{account_id}/sso_connectors/{sso_connector_id} update-sso-connector-state",
        "DELETE /accounts/{account_id}/sso_connectors/{sso_connector_id} delete-sso-connector",
        "POST /accounts/{account_id}/sso_connectors/{sso_connector_id}/begin_verification begin-sso-connector-verification",
        "GET /accounts accounts-list-accounts",
        "GET /accounts/{account_id} accounts-account-details",
        "GET /user/tokens/verify user-api-tokens-verify-token",
        "GET /accounts/{account_id}/tokens/verify account-api-tokens-verify-token",
        "GET /organizations/{organization_id}/accounts Organizations_getAccounts",
    ];
    assert_eq!(operations, expected.map(str::to_owned).into());
}

#[test]
fn the_overlay_loosens_answers_and_no_request() {
    let spec = json("cloudflare-sso.json");
    let mut loosened = spec.clone();
    merge(&mut loosened, &json("overlay.json"));
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let after = &loosened["paths"][path][method];
            for part in ["parameters", "requestBody"] {
                assert_eq!(operation[part], after[part], "{part} of {method} {path}");
            }
        }
    }
    for part in ["parameters", "requestBodies"] {
        assert_eq!(
            spec["components"][part], loosened["components"][part],
            "{part}"
        );
    }
    for schema in ["AccountId", "SsoConnectorId"] {
        assert!(
            spec["components"]["schemas"][schema].is_object(),
            "{schema}"
        );
        assert_eq!(
            spec["components"]["schemas"][schema],
            loosened["components"]["schemas"][schema]
        );
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}
