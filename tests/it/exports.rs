//! What other tools take of a run.

use serde_json::{Value, json};

use crate::support::*;

fn audited() -> (std::rc::Rc<tempfile::TempDir>, Outcome) {
    let dir = shared_dir();
    let server = Server::of(vec![
        (
            id(1),
            json!([
                connector_with(
                    1,
                    "a.example",
                    json!({"verification": {"status": "pending", "code": "code=1"}})
                ),
                connector(2, "b.example"),
            ]),
        ),
        (id(2), json!([connector(3, "c.example")])),
    ]);
    let outcome = audit_in(&dir, &server)
        .args([id(1), id(2), id(3)])
        .run()
        .expect(3);
    (dir, outcome)
}

#[test]
fn terraform_gets_a_resource_and_an_import_for_each_connector() {
    let (dir, outcome) = audited();
    let export = || {
        program_in(&dir, "export")
            .arg("terraform")
            .arg(outcome.run_dir())
            .run()
    };
    let text = export()
        .expect(3)
        .says(&["1 account was not read in full"])
        .stdout;
    let body: hcl_edit::structure::Body = text.parse().unwrap();
    assert_eq!(body.get_blocks("resource").count(), 3, "{text}");
    let imports: Vec<_> = body
        .get_blocks("import")
        .map(|block| {
            block
                .body
                .get_attribute("id")
                .unwrap()
                .value
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let expected = [(1, 1), (1, 2), (2, 3)];
    let expected =
        expected.map(|(account, number)| format!("{}/{}", id(account), connector_id(number)));
    assert_eq!(imports, expected);
    assert!(text.contains(&format!(
        "# Account {} was not read: its connectors are missing here.",
        id(3)
    )));
    assert!(!text.contains("begin_verification ="), "{text}");
    assert_eq!(export().stdout, text, "names stay");
}

#[test]
fn dns_gets_the_records_to_add() {
    let (dir, outcome) = audited();
    let export = |format: &str| {
        let program = program_in(&dir, "export").arg("dns").arg(outcome.run_dir());
        program.args(["--format", format]).run().expect(3).stdout
    };
    let zone = export("zone");
    assert!(zone.contains("a domain's TXT records also serve"), "{zone}");
    assert!(
        zone.ends_with("\na.example. 300 IN TXT \"code=1\"\n"),
        "{zone}"
    );
    let json: Value = serde_json::from_str(&export("json")).unwrap();
    assert_eq!(json["schema"], "cf-sso-audit/dns/v1");
    assert_eq!(json["records"].as_array().unwrap().len(), 1);
    assert_eq!(json["records"][0]["account_ids"], json!([id(1)]));
    assert!(
        json["warning"]
            .as_str()
            .unwrap()
            .contains("Do not replace any of these")
    );
}

#[test]
fn evidence_that_was_changed_is_not_exported() {
    let (dir, outcome) = audited();
    let evidence = outcome.text("evidence.jsonl");
    let changed = evidence.replace("b.example", "x.example");
    std::fs::write(outcome.run_dir().join("evidence.jsonl"), changed).unwrap();
    program_in(&dir, "export")
        .arg("terraform")
        .arg(outcome.run_dir())
        .run()
        .expect(2)
        .says(&["evidence"]);
    program_in(&dir, "export")
        .args(["dns", "nowhere"])
        .run()
        .expect(2)
        .says(&["hint: "]);
}
