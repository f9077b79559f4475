//! The specification has what this program uses, and each departure from it has its reason. What the build itself
//! refuses is in `openapi_checks.rs`.

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
fn the_specification_has_these_operations_and_no_others() {
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
        "GET /organizations Organization_listOrganizations",
        "GET /organizations/{organization_id}/accounts Organizations_getAccounts",
    ];
    assert_eq!(operations, expected.map(str::to_owned).into());
}
