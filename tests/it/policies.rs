//! What the user expects and waives: policies good and bad, the rules that live by them, and waivers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::*;
use crate::server::*;

/// Two accounts, with something for each rule that a policy brings to life.
fn accounts() -> Server {
    Server::of(vec![
        (
            id(1),
            json!([
                connector(1, "agency.example"),
                connector_with(2, "Lab.Agency.example", json!({"enabled": false})),
            ]),
        ),
        (
            id(2),
            json!([
                connector_with(3, "corp.example", json!({"use_fedramp_language": true})),
                connector_with(
                    4,
                    "xn--mnchen-3ya.example",
                    json!({"verification": {"status": "pending", "code": "x"}, "enabled": false})
                ),
            ]),
        ),
    ])
}

/// An audit of both accounts, on 21 November 2026.
fn judged(server: &Server, policy: &str) -> Program {
    audit(server).policy(policy).args([id(1), id(2)])
}

/// Each finding in a line.
fn findings(outcome: &Outcome) -> Vec<String> {
    let line = |row: Row| {
        let number = usize::from_str_radix(&row["account_id"][2..], 16).unwrap();
        format!(
            "{} {} {number} {} {}",
            row["severity"], row["rule"], row["email_domain"], row["status"]
        )
    };
    outcome.csv("findings.csv").into_iter().map(line).collect()
}

/// Policies that are wrong, with what is wrong with each.
const BAD: &[(&str, &str)] = &[
    ("not TOML", "[rules\nx = \n"),
    (
        "the same table twice",
        "[defaults]\nfedramp = \"any\"\n[defaults]\n",
    ),
    (
        "unknown keys near known ones",
        "acounts = []\n[threshold]\n[defaults]\nfedrampp = \"any\"\n",
    ),
    ("a key near none", "colour = \"green\"\n"),
    (
        "unknown rules",
        "[rules.disabled-conector]\nseverity = \"low\"\n[rules.zebra]\nseverity = \"low\"\n",
    ),
    (
        "a severity that is none",
        "[rules.no-connector]\nseverity = \"hgh\"\n[rules.unknown-value]\nseverity = 3\n",
    ),
    (
        "unread accounts switched off",
        "[rules.unread-account]\nseverity = \"off\"\n",
    ),
    (
        "a threshold out of range",
        "[thresholds]\npending_days = -2\n",
    ),
    (
        "malformed ids",
        "[[accounts]]\nid = \"12\"\n[[accounts]]\nowner = \"x\"\n[[waivers]]\nrule = \"no-connector\"\naccount = \"all\"\nexpires = 2027-01-31\n",
    ),
    (
        "an account twice",
        "[[accounts]]\nid = \"023e105f4ecef8ad9ca31a8372d0c353\"\n[[accounts]]\nid = \"023E105F4ECEF8AD9CA31A8372D0C353\"\n",
    ),
    (
        "domains that are none",
        "[[accounts]]\nid = \"023e105f4ecef8ad9ca31a8372d0c353\"\ndomains = [\"*.a.example\", \"localhost\"]\nallow_domains = [\"*\", \"*.a.example\", 7]\n",
    ),
    (
        "waivers without an end, or with one that is no day",
        "[[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\n[[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\nexpires = \"2027-01-31\"\n[[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\nexpires = 2027-01-31T10:00:00Z\n",
    ),
    ("a column counted in characters", "# ünïcödé\n\"ä\" = 1\n"),
];

#[test]
fn all_problems_of_a_policy_are_told_at_once_before_anything_is_asked() {
    let server = accounts();
    let mut said = String::new();
    for (name, text) in BAD {
        let outcome = judged(&server, text).run().expect(2);
        assert!(!outcome.reports().exists(), "{name}");
        assert_eq!(outcome.stdout, "", "{name}");
        said += &format!("== {name}\n{}\n", outcome.stderr);
    }
    assert_eq!(server.requests().len(), 0);
    insta::assert_snapshot!(said);
}

#[test]
fn a_policy_that_cannot_be_read_is_told_before_anything_is_asked() {
    let server = accounts();
    audit(&server)
        .args(["--policy", "none.toml", &id(1)])
        .run()
        .expect(2)
        .says(&["cannot read the policy none.toml"]);
    let program = audit(&server).args(["--policy", "p.toml", &id(1)]);
    program.file("p.toml", b"[defaults]\nfedramp = \"\xff\"\n");
    program
        .run()
        .expect(2)
        .says(&["p.toml:2:12: is not UTF-8 text"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn render_and_fix_refuse_a_bad_policy_too() {
    let server = accounts();
    let outcome = audit(&server).args([id(1), id(2)]).run().expect(0);
    let before = outcome.everything();
    for command in ["render", "fix"] {
        program(command)
            .arg(outcome.run_dir())
            .policy("[rules.zebra]\nseverity = \"low\"\n")
            .run()
            .expect(2)
            .says(&["policy.toml:1:8:", "\"zebra\" is no rule"]);
    }
    assert_eq!(outcome.everything(), before);
}

/// Policies that are right.
fn good() -> Vec<(&'static str, String)> {
    vec![
        ("none at all", String::new()),
        ("comments only", "# nothing yet\n".to_owned()),
        (
            "a rule off and one changed",
            "[rules.disabled-connector]\nseverity = \"critical\"\n[rules.unverified-domain]\nseverity = \"off\"\n".to_owned(),
        ),
        (
            "FedRAMP required of all",
            "[defaults]\nfedramp = \"required\"\n".to_owned(),
        ),
        (
            "FedRAMP forbidden, and required of one",
            format!(
                "[defaults]\nfedramp = \"forbidden\"\n[[accounts]]\nid = \"{}\"\nfedramp = \"required\"\n",
                id(1)
            ),
        ),
        (
            "domains that must be there",
            format!(
                "[[accounts]]\nid = \"{}\"\ndomains = [\"AGENCY.example.\", \"lab.agency.example\", \"gone.example\"]\n",
                id(1)
            ),
        ),
        (
            "domains below one",
            format!(
                "[[accounts]]\nid = \"{}\"\nallow_domains = [\"*.agency.example\"]\n",
                id(1)
            ),
        ),
        (
            "no domain at all",
            format!("[[accounts]]\nid = \"{}\"\nallow_domains = []\n", id(2).to_uppercase()),
        ),
        (
            "domains in another spelling",
            format!(
                "[[accounts]]\nid = \"{}\"\nallow_domains = [\"MÜNCHEN.example\", \"corp.example\"]\n",
                id(2)
            ),
        ),
        (
            "patience with what is pending",
            "[thresholds]\npending_days = 3650\n".to_owned(),
        ),
        (
            "waivers of one domain, and of every account",
            "[[waivers]]\nrule = \"unverified-domain\"\naccount = \"*\"\ndomain = \"münchen.example\"\nexpires = 2027-01-31\n\
             [[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\nexpires = 2027-01-31\n"
                .to_owned(),
        ),
    ]
}

#[test]
fn good_policies_judge_as_they_say() {
    let server = accounts();
    let mut said = String::new();
    for (name, text) in good() {
        let outcome = judged(&server, &text).run().expect(0);
        said += &format!("== {name}\n{}\n\n", findings(&outcome).join("\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_owner_is_the_policys_where_it_names_one() {
    let server = accounts();
    let policy = format!(
        "[[accounts]]\nid = \"{}\"\nowner = \"gov-platform\"\n",
        id(1)
    );
    let outcome = audit(&server)
        .policy(&policy)
        .accounts_file(
            "accounts.csv",
            format!("account_id,owner\n{},someone\n{},it\n", id(1), id(2)),
        )
        .run()
        .expect(0);
    assert_eq!(
        outcome.column("accounts.csv", "owner"),
        ["gov-platform", "it"]
    );
    for row in outcome.csv("findings.csv") {
        let owner = if row["account_id"] == id(1) {
            "gov-platform"
        } else {
            "it"
        };
        assert_eq!(row["owner"], owner);
    }
}

#[test]
fn what_is_expected_and_whether_it_is_so_stands_in_the_fedramp_report() {
    let server = accounts();
    let policy = format!(
        "[defaults]\nfedramp = \"forbidden\"\n[[accounts]]\nid = \"{}\"\nfedramp = \"required\"\n",
        id(1)
    );
    let told = |outcome: &Outcome| -> BTreeSet<String> {
        let row = |row: Row| {
            format!(
                "{} {} {}",
                row["use_fedramp_language"], row["expected"], row["compliant"]
            )
        };
        let rows = outcome.csv("fedramp_settings.csv");
        rows.into_iter().map(row).collect()
    };
    let of = |lines: &[&str]| -> BTreeSet<String> { lines.iter().map(|&l| l.to_owned()).collect() };
    assert_eq!(
        told(&judged(&server, &policy).run().expect(0)),
        of(&[
            "false required no",
            "true forbidden no",
            "false forbidden yes"
        ])
    );
    assert_eq!(
        told(&judged(&server, "").run().expect(0)),
        of(&["false any not-judged", "true any not-judged"])
    );
}

#[test]
fn accounts_of_the_policy_that_are_not_in_the_run_are_said_so() {
    let server = accounts();
    let policy = format!(
        "[[accounts]]\nid = \"{}\"\n[[accounts]]\nid = \"{}\"\n[[accounts]]\nid = \"{}\"\n",
        id(9),
        id(1),
        id(8)
    );
    let outcome = judged(&server, &policy).run().expect(0);
    assert_eq!(
        outcome.json()["policy_accounts_absent"],
        json!([id(8), id(9)])
    );
    let page = outcome.text("report.html");
    assert!(
        page.contains("The policy names 2 accounts that this run was not asked for"),
        "the page tells it"
    );
    let none = judged(&server, "").run().expect(0);
    assert_eq!(none.json()["policy_accounts_absent"], json!([]));
    assert!(!none.text("report.html").contains("The policy names"));
}

#[test]
fn the_report_names_the_policy_and_its_checksum() {
    let server = accounts();
    let outcome = judged(&server, "# mine\n").run().expect(0);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(b"# mine\n");
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        outcome.json()["run"]["policy"],
        json!({"path": "policy.toml", "sha256": hex})
    );
}

/// Whether a value is as a schema says; a path and a reason where it is not. Knows what our schemas use, and no more.
fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return Err(format!("{path}: the schema is {schema}"));
    };
    for (keyword, wanted) in keywords {
        let fine = match keyword.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).unwrap(), value, path)?;
                true
            }
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "null" => value.is_null(),
                    other => panic!("a type {other}"),
                };
                wanted
                    .as_array()
                    .map_or_else(|| is(wanted), |names| names.iter().any(is))
            }
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_i64() >= wanted.as_i64(),
            "maximum" => value.as_i64() <= wanted.as_i64(),
            "pattern" => {
                let text = value.as_str().unwrap();
                let id = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match wanted.as_str().unwrap() {
                    "^[0-9a-fA-F]{32}$" => id,
                    "^(\\*|[0-9a-fA-F]{32})$" => id || text == "*",
                    other => panic!("a pattern {other}"),
                }
            }
            "required" => {
                let keys = wanted.as_array().unwrap().iter();
                keys.map(|key| key.as_str().unwrap())
                    .all(|key| value.get(key).is_some())
            }
            "properties" => {
                for (key, schema) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(root, schema, value, &format!("{path}/{key}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(wanted, &json!(false));
                let known = &keywords["properties"];
                let mut keys = value.as_object().unwrap().keys();
                keys.all(|key| known.get(key).is_some())
            }
            "items" => {
                for (index, item) in value.as_array().unwrap().iter().enumerate() {
                    check(root, wanted, item, &format!("{path}/{index}"))?;
                }
                true
            }
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            other => panic!("a keyword {other} that this test does not know"),
        };
        if !fine {
            return Err(format!(
                "{path}: {keyword} {wanted} does not hold for {value}"
            ));
        }
    }
    Ok(())
}

#[test]
fn the_schema_takes_the_example_and_refuses_what_the_program_refuses() {
    let schema = program("schema")
        .arg("policy")
        .run()
        .expect(0)
        .stdout_json();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let as_json = |text: &str| -> Value {
        let table: toml::Table = text.parse().unwrap();
        serde_json::to_value(table).map(plain_dates).unwrap()
    };
    let checked = |text: &str| check(&schema, &schema, &as_json(text), "");
    let example = include_str!("../../policy.example.toml");
    assert_eq!(checked(example), Ok(()));
    // Each key of the example is used, so that none of them is only a comment.
    let server = accounts();
    judged(&server, example).run().expect(0);

    for (name, bad) in BAD.iter().filter(|(name, _)| {
        // What a schema cannot say, or what is no TOML at all.
        !name.contains("TOML")
            && !name.contains("twice")
            && !name.contains("unread")
            && !name.contains("domains")
            && !name.contains("end, or")
    }) {
        assert!(checked(bad).is_err(), "{name}");
    }
    for (name, good) in good() {
        assert_eq!(checked(&good), Ok(()), "{name}");
    }
}

/// TOML's dates come through serde as objects with one key.
fn plain_dates(value: Value) -> Value {
    match value {
        Value::Object(map) if map.len() == 1 && map.contains_key("$__toml_private_datetime") => {
            map["$__toml_private_datetime"].clone()
        }
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, plain_dates(v))).collect(),
        Value::Array(items) => items.into_iter().map(plain_dates).collect(),
        other => other,
    }
}

/// A waiver of account 1's disabled connector.
fn waiver(expires: &str) -> String {
    format!(
        "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"{}\"\ndomain = \"lab.agency.example\"\n\
         reason = \"migration, \\\"window\\\"\"\nowner = \"j.doe\"\nexpires = {expires}\n",
        id(1)
    )
}

fn of_lab(outcome: &Outcome) -> Row {
    let mut rows = outcome.csv("findings.csv");
    rows.retain(|row| {
        row["rule"] == "disabled-connector" && row["email_domain"] == "Lab.Agency.example"
    });
    assert_eq!(rows.len(), 1, "a waiver hides no row");
    rows.remove(0)
}

#[test]
fn a_waived_finding_stays_with_its_severity_and_says_who_waived_it_why_and_until_when() {
    let server = accounts();
    let outcome = judged(&server, &waiver("2027-01-31")).run().expect(0);
    let row = of_lab(&outcome);
    for (column, value) in [
        ("status", "waived"),
        ("severity", "medium"),
        ("waiver_owner", "j.doe"),
        ("waiver_reason", "migration, \"window\""),
        ("waiver_expires", "2027-01-31"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    let json = outcome.json();
    let mut found = json["findings"].as_array().unwrap().clone();
    found.retain(|finding| finding["status"] == "waived");
    assert_eq!(found.len(), 1);
    let (found, written) = (&found[0], &row);
    for (column, value) in written {
        let spreadsheet = value.strip_prefix('\'').unwrap_or(value);
        assert_eq!(found[column], *spreadsheet, "{column}");
    }
    assert_eq!(json["totals"]["findings"]["waived"], 1);
    let disabled = outcome.csv("disabled_connectors.csv");
    let waived: Vec<_> = disabled.iter().map(|row| &*row["waived"]).collect();
    assert_eq!(waived, ["true", "false"]);
    assert_eq!(
        outcome.account(&id(1))["findings_medium"],
        "0",
        "what is waived is not counted as open"
    );
    let page = outcome.text("report.html");
    assert!(page.contains("migration, &quot;window&quot;") && page.contains("j.doe"));
}

#[test]
fn no_waiver_removes_a_row() {
    let server = accounts();
    let everything: String = cf_sso_audit::rules::RULES
        .iter()
        .map(|rule| {
            format!(
                "[[waivers]]\nrule = \"{}\"\naccount = \"*\"\nexpires = 2099-12-31\n",
                rule.id
            )
        })
        .collect();
    let bare = judged(&server, "").arg(id(7)).run().expect(3);
    let waived = judged(&server, &everything).arg(id(7)).run().expect(3);
    for file in [
        "findings.csv",
        "accounts.csv",
        "connectors.csv",
        "unverified_domains.csv",
        "disabled_connectors.csv",
        "fedramp_settings.csv",
    ] {
        let keys = |outcome: &Outcome| -> Vec<_> {
            let rows = outcome.csv(file);
            let key = |row: Row| {
                ["finding_id", "severity", "account_id", "connector_id"]
                    .map(|column| row.get(column).cloned())
            };
            rows.into_iter().map(key).collect()
        };
        assert_eq!(keys(&bare), keys(&waived), "{file}");
    }
    let open: Vec<_> = waived
        .csv("findings.csv")
        .into_iter()
        .filter(|row| row["status"] == "open")
        .map(|row| row["rule"].clone())
        .collect();
    assert_eq!(
        open,
        ["unread-account"],
        "an account that was not read is never accepted"
    );
    let unused = |waiver: &&Value| waiver["matched"] == 0;
    let json = waived.json();
    let unused: Vec<_> = json["waivers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(unused)
        .collect();
    assert!(
        unused
            .iter()
            .any(|waiver| waiver["rule"] == "unread-account"),
        "a waiver that can do nothing is listed as such: {json:#}"
    );
}

#[test]
fn a_waiver_holds_until_midnight_of_its_last_day() {
    let server = accounts();
    for (moment, status, expired, code) in [
        ("2027-01-30T00:00:00Z", "waived", false, 0),
        ("2027-01-31T23:59:59Z", "waived", false, 0),
        ("2027-02-01T00:00:00Z", "open", true, 10),
        ("2027-02-01T12:00:00Z", "open", true, 10),
    ] {
        let outcome = audit(&server)
            .policy(&waiver("2027-01-31"))
            .env("SOURCE_DATE_EPOCH", epoch(moment))
            .args(["--fail-on", "medium", &id(1)])
            .run()
            .expect(code);
        let row = of_lab(&outcome);
        assert_eq!(row["status"], status, "{moment}");
        let listed = &outcome.json()["waivers"];
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(listed[0]["expired"], expired, "{moment}");
        assert_eq!(listed[0]["waived"], u64::from(!expired), "{moment}");
        assert_eq!(listed[0]["matched"], 1, "{moment}");
        if expired {
            assert_eq!(row["waiver_owner"], "", "nobody waives it any more");
            let page = outcome.text("report.html");
            assert!(page.contains("<td><i data-v=\"expired\">expired</i>"));
        }
    }
}

#[test]
fn waivers_that_end_soon_or_match_nothing_are_listed() {
    let server = accounts();
    // The run is of 21 November.
    let day = |domain: &str, expires: &str| {
        format!(
            "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"{domain}\"\nexpires = {expires}\n"
        )
    };
    let policy = [
        day("a.example", "2026-11-20"),
        day("lab.agency.example", "2026-11-21"),
        day("lab.agency.example", "2026-12-21"),
        day("lab.agency.example", "2026-12-22"),
        day("b.example", "2026-12-22"),
    ]
    .concat();
    let outcome = judged(&server, &policy).run().expect(0);
    let json = outcome.json();
    let told: Vec<_> = json["waivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|waiver| {
            (
                waiver["expired"].as_bool().unwrap(),
                waiver["expiring"].as_bool().unwrap(),
                waiver["matched"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (true, false, 0),
            (false, true, 1),
            (false, true, 1),
            (false, false, 1),
            (false, false, 0),
        ]
    );
    let page = outcome.text("report.html");
    for state in ["expired", "expiring", "unused", "active"] {
        assert!(
            page.contains(&format!("<i data-v=\"{state}\">{state}</i>")),
            "{state}"
        );
    }
}

#[test]
fn what_is_waived_fails_no_run_and_an_unread_account_outranks_what_does() {
    let server = Server::of(vec![(
        id(1),
        json!([connector_with(
            2,
            "lab.agency.example",
            json!({"enabled": false})
        )]),
    )]);
    let unread = "[[waivers]]\nrule = \"unread-account\"\naccount = \"*\"\nexpires = 2099-01-01\n";
    for (policy, accounts, code) in [
        (waiver("2027-01-31"), vec![id(1)], 0),
        (waiver("2026-11-20"), vec![id(1)], 10),
        (String::new(), vec![id(1)], 10),
        (String::new(), vec![id(1), id(2)], 3),
        (
            format!("{}{unread}", waiver("2027-01-31")),
            vec![id(1), id(2)],
            3,
        ),
    ] {
        audit(&server)
            .policy(&policy)
            .args(["--fail-on", "low"])
            .args(accounts)
            .run()
            .expect(code);
    }
}
