//! What the user expects and waives: policies good and bad, the rules that live by them, and waivers.

use std::collections::BTreeSet;

use cf_sso_audit::policy::Policy;
use serde_json::{Value, json};

use crate::support::*;

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
        let number = account_number(&row);
        format!(
            "{} {} {number} {} {}",
            row["severity"], row["rule"], row["email_domain"], row["status"]
        )
    };
    outcome.lines("findings.csv", line)
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
    (
        "waivers of what cannot be waived, without a word in their words, and given twice",
        "[[waivers]]\nrule = \"unread-account\"\naccount = \"*\"\nexpires = 2027-01-31\n\
         [[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\nreason = \"\"\nowner = \" \"\nexpires = 2027-01-31\n\
         [[waivers]]\nrule = \"unknown-value\"\naccount = \"*\"\ndomain = \"Z.example\"\nexpires = 2027-01-31\n\
         [[waivers]]\nrule = \"unknown-value\"\naccount = \"*\"\ndomain = \"z.example.\"\nexpires = 2028-01-31\n",
    ),
    (
        "a syntax error among other problems",
        "[rules.zebra]\nseverity = \"low\"\n[defaults]\nfedramp = any\n[[waivers]]\nrule = \"no-connector\"\naccount = \"all\"\n",
    ),
    ("a byte order mark", "\u{feff}colour = \"green\"\n"),
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
            .says(&["policy.toml:1:8:", "unknown rule \"zebra\""]);
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
        page.contains("The policy names 2 accounts not included in this run"),
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

/// A policy as JSON Schema sees it: JSON, with dates as text.
fn as_json(policy: &str) -> Value {
    // TOML's dates come through serde as objects with one key.
    fn plain(value: Value) -> Value {
        match value {
            Value::Object(map) => match map.get("$__toml_private_datetime") {
                Some(date) => date.clone(),
                None => map
                    .into_iter()
                    .map(|(key, value)| (key, plain(value)))
                    .collect(),
            },
            Value::Array(items) => items.into_iter().map(plain).collect(),
            other => other,
        }
    }
    let table: toml::Table = policy.parse().unwrap();
    plain(serde_json::to_value(table).unwrap())
}

fn schema() -> Value {
    program("schema")
        .arg("policy")
        .run()
        .expect(0)
        .stdout_json()
}

/// A policy with one account of these keys.
fn account_of(keys: &str) -> String {
    format!("[[accounts]]\nid = \"{}\"\n{keys}\n", id(1))
}

/// A policy with one waiver of these keys, beside those that have to be there.
fn waiver_of(keys: &str) -> String {
    format!("[[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\nexpires = 2027-01-31\n{keys}\n")
}

#[test]
fn the_schema_and_the_program_agree() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let schema = Validator::new(&schema);
    let accepts = |text: &str| Policy::parse("p.toml", text.as_bytes()).is_ok();
    let agreed = |text: &str, expected: bool| {
        assert_eq!(accepts(text), expected, "the program of\n{text}");
        let judged = schema.judge(&as_json(text));
        assert_eq!(
            judged.is_ok(),
            expected,
            "the schema of\n{text}\n{judged:?}"
        );
    };
    agreed(include_str!("../../policy.example.toml"), true);
    for (_, text) in good() {
        agreed(&text, true);
    }
    for (keys, expected) in [
        ("", true),
        ("fedramp = \"any\"\nowner = \"\"", true),
        ("fedramp = \"\"", false),
        ("owner = 5", false),
        ("domains = []", true),
        (
            "domains = [\"a.example\", \"a.example\", \"A.example.\"]",
            true,
        ),
        (
            "domains = [\"xn--mnchen-3ya.example\", \"münchen.example\", \"_dmarc.a-b.example\"]",
            true,
        ),
        ("domains = \"a.example\"", false),
        ("domains = [5]", false),
        ("domains = [\"*.a.example\"]", false),
        ("domains = [\"localhost\"]", false),
        ("domains = [\"gov.\"]", false),
        ("domains = [\"\"]", false),
        ("domains = [\" a.example\"]", false),
        ("domains = [\"a..example\"]", false),
        ("domains = [\".a.example\"]", false),
        ("domains = [\"a.example..\"]", false),
        ("domains = [\"a b.example\"]", false),
        ("domains = [\"https://a.example\"]", false),
        ("domains = [\"j.doe@a.example\"]", false),
        ("domains = [\"a.example\\u0085\"]", false),
        ("domains = [\"a.example\\u2028\"]", false),
        (
            "allow_domains = [\"*.gov\", \"*.gov.\", \"*.a.example\", \"a.example\"]",
            true,
        ),
        ("allow_domains = [\"*\"]", false),
        ("allow_domains = [\"*.\"]", false),
        ("allow_domains = [\"gov\"]", false),
        ("allow_domains = [\"a.*.example\"]", false),
        ("allow_domains = [\"*a.example\"]", false),
        ("allow_domains = [\"*.*.example\"]", false),
        ("unknown = 1", false),
    ] {
        agreed(&account_of(keys), expected);
    }
    for (keys, expected) in [
        ("", true),
        (
            "reason = \"window\"\nowner = \"j.doe\"\ndomain = \"a.example\"",
            true,
        ),
        ("reason = \"\"", false),
        ("reason = \" \\t\\n\"", false),
        ("owner = \"\"", false),
        ("owner = \"\\u00a0\\u2028\"", false),
        ("domain = \"*.a.example\"", false),
        ("domain = \"\"", false),
        ("unknown = 1", false),
    ] {
        agreed(&waiver_of(keys), expected);
    }
    for (from, to, expected) in [
        ("\"*\"", "\" 023E105F4ECEF8AD9CA31A8372D0C353 \"", true),
        ("\"*\"", "\"'02310504202080920310837200003530\"", true),
        ("\"*\"", "\"' 02310504202080920310837200003530\"", false),
        ("\"*\"", "\"**\"", false),
        ("\"*\"", "\"all\"", false),
        ("\"no-connector\"", "\"unread-account\"", false),
        ("\"no-connector\"", "\"zebra\"", false),
        ("2027-01-31", "0001-01-01", true),
        ("2027-01-31", "2027-01-31T10:00:00Z", false),
        ("2027-01-31", "2027-01-31T10:00:00", false),
        ("2027-01-31", "10:00:00", false),
        ("2027-01-31", "\"soon\"", false),
        ("2027-01-31", "20270131", false),
        ("rule = \"no-connector\"\n", "", false),
        ("account = \"*\"\n", "", false),
        ("expires = 2027-01-31\n", "", false),
    ] {
        agreed(&waiver_of("").replace(from, to), expected);
    }
    for (text, expected) in [
        ("[rules]", true),
        ("[rules.no-connector]", false),
        ("[rules.no-connector]\nseverity = \"off\"", true),
        ("[rules.no-connector]\nseverity = \"Off\"", false),
        (
            "[rules.no-connector]\nseverity = \"low\"\nunknown = 1",
            false,
        ),
        ("[rules.unread-account]\nseverity = \"low\"", true),
        ("[rules.unread-account]\nseverity = \"off\"", false),
        ("[rules.zebra]\nseverity = \"low\"", false),
        ("rules = []", false),
        ("thresholds.pending_days = 0", true),
        ("thresholds.pending_days = 0x10", true),
        ("thresholds.pending_days = 3650", true),
        ("thresholds.pending_days = 3651", false),
        ("thresholds.pending_days = -1", false),
        ("thresholds.pending_days = -0", true),
        ("thresholds.pending_days = +2", true),
        ("thresholds.pending_days = 1.5", false),
        ("thresholds.pending_days = \"2\"", false),
        ("thresholds.unknown = 1", false),
        ("[defaults]", true),
        ("defaults.fedramp = \"none\"", false),
        ("accounts = [5]", false),
        ("accounts = {}", false),
        ("[[accounts]]", false),
        ("[[accounts]]\nid = \"12\"", false),
        ("waivers = []", true),
        ("unknown = 1", false),
    ] {
        agreed(text, expected);
    }
    let twice = |text: &str| format!("{text}{text}");
    agreed(&twice(&account_of("")), false);
    agreed(&twice(&waiver_of("")), false);

    for (why, text) in [
        (
            "a date in quotes",
            waiver_of("").replace("2027-01-31", "\"2027-01-31\""),
        ),
        (
            "a whole number with a point",
            "thresholds.pending_days = 2.0".to_owned(),
        ),
        (
            "the same account in another spelling",
            account_of("")
                + &account_of("")
                    .to_uppercase()
                    .replace("[[ACCOUNTS]]\nID", "[[accounts]]\nid"),
        ),
        (
            "the same waiver with another end",
            waiver_of("") + &waiver_of("").replace("2027", "2028"),
        ),
    ] {
        assert!(!accepts(&text), "{why}");
        assert_eq!(
            schema.judge(&as_json(&text)),
            Ok(()),
            "{why}: JSON Schema can say it after all"
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn the_schema_and_the_program_agree_on_domains(
        domains in proptest::collection::vec("[ab.*@/ :ü\u{80}\u{a0}\u{2028}-]{0,6}|([ab]\\.){0,3}[ab]?", 64),
    ) {
        use cf_sso_audit::policy_file::{is_domain, is_pattern, schema};
        let schema = schema().to_value();
        let account = "/$defs/WrittenAccount/properties";
        for (key, is_valid) in [("domains", is_domain as fn(&str) -> bool), ("allow_domains", is_pattern)] {
            let items = Validator::new(schema.pointer(&format!("{account}/{key}/items")).unwrap());
            for domain in &domains {
                let judged = items.judge(&json!(domain));
                proptest::prop_assert_eq!(is_valid(domain), judged.is_ok(), "{} {:?}", key, domain);
            }
        }
    }
}

/// Each key of the example is used, so that none of them is only a comment.
#[test]
fn the_example_is_a_policy() {
    let server = accounts();
    judged(&server, include_str!("../../policy.example.toml"))
        .run()
        .expect(0);
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
        .filter(|rule| rule.id != "unread-account")
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
    let day = |account: &str, domain: &str, expires: &str| {
        format!(
            "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"{account}\"\ndomain = \"{domain}\"\nexpires = {expires}\n"
        )
    };
    let policy = [
        day("*", "a.example", "2026-11-20"),
        day("*", "lab.agency.example", "2026-11-21"),
        day(&id(1), "lab.agency.example", "2026-12-21"),
        day("*", "xn--mnchen-3ya.example", "2026-12-22"),
        day("*", "b.example", "2026-12-22"),
        day("*", "c.example", "2026-12-01"),
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
            (false, true, 0),
        ]
    );
    let page = outcome.text("report.html");
    let (_, section) = page.split_once("<section id=\"waivers\">").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    let rows: Vec<_> = section.split("<tr><td>").skip(1).collect();
    assert_eq!(rows.len(), 6, "each waiver has one row");
    let badge = |state: &str| format!("<i data-v=\"{state}\">{state}</i>");
    let states = |domain: &str, expires: &str| -> Vec<&str> {
        let row = rows
            .iter()
            .find(|row| row.contains(domain) && row.contains(expires))
            .unwrap();
        let mut states = vec!["expired", "expiring", "unused", "active"];
        states.retain(|state| row.contains(&badge(state)));
        states
    };
    assert_eq!(states("a.example", "2026-11-20"), ["expired", "unused"]);
    assert_eq!(states("lab.agency.example", "2026-11-21"), ["expiring"]);
    assert_eq!(states("lab.agency.example", "2026-12-21"), ["expiring"]);
    assert_eq!(states("xn--mnchen-3ya.example", ""), ["active"]);
    assert_eq!(states("b.example", ""), ["unused"]);
    assert_eq!(states("c.example", ""), ["expiring", "unused"]);
}

#[test]
fn a_waiver_that_nobody_accounts_for_is_warned_of() {
    let server = accounts();
    let waiver = |rule: &str, keys: &str| {
        format!("[[waivers]]\nrule = \"{rule}\"\naccount = \"*\"\nexpires = 2027-01-31\n{keys}\n")
    };
    let policy = [
        waiver("no-connector", "reason = \"r\"\nowner = \"o\""),
        waiver("disabled-connector", ""),
        waiver("unverified-domain", "owner = \"o\""),
        waiver("unknown-value", "reason = \"r\""),
    ];
    let outcome = judged(&server, &policy.concat()).run().expect(0);
    let mut warnings: Vec<_> = outcome.stderr.lines().collect();
    warnings.retain(|line| line.contains("policy.toml"));
    let told: Vec<_> = warnings
        .iter()
        .map(|line| line.trim_start().trim_start_matches("WARN "))
        .collect();
    assert_eq!(
        told,
        [
            "policy.toml:7: this waiver has no reason and no owner",
            "policy.toml:12: this waiver has no reason",
            "policy.toml:17: this waiver has no owner",
        ]
    );
    let many: String = (0..60)
        .map(|number| waiver("no-connector", &format!("domain = \"d{number}.example\"")))
        .collect();
    judged(&server, &many)
        .run()
        .expect(0)
        .says(&["policy.toml: 10 more waivers without a reason or an owner"]);
}

#[test]
fn a_file_of_a_hundred_thousand_mistakes_is_told_at_once() {
    let server = accounts();
    for (line, first) in [
        ("zebra = 1\n", "policy.toml:1:1: unknown key"),
        ("5f4ecef8ad9ca31a8372d0c353\n", "policy.toml:1:33: "),
    ] {
        let text: String = (0..100_000)
            .map(|number| format!("{number:06}{line}"))
            .collect();
        // Where time grew with the square of the file, this took minutes, for which the harness does not wait.
        let outcome = judged(&server, &text).run().expect(2);
        assert_eq!(
            outcome.stderr.matches("\npolicy.toml:").count(),
            50,
            "{first}"
        );
        outcome.says(&[
            first,
            "the policy policy.toml has 100,000 problems:",
            "\nand 99950 more\n",
        ]);
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn the_page_shows_the_severities_that_the_policy_sets() {
    let server = accounts();
    let policy = "[rules.disabled-connector]\nseverity = \"critical\"\n\
                  [rules.no-connector]\nseverity = \"off\"\n\
                  [rules.unknown-value]\nseverity = \"medium\"\n";
    let outcome = judged(&server, policy).run().expect(0);
    let page = outcome.text("report.html");
    let explained = |rule: &str| {
        let (_, article) = page
            .split_once(&format!("<article id=\"rule-{rule}\">"))
            .unwrap();
        article.split_once("</article>").unwrap().0.to_owned()
    };
    let counted = |rule: &str| {
        let (_, item) = page
            .split_once(&format!("<span class=\"name\"><a href=\"#rule-{rule}\">"))
            .unwrap();
        item.split_once("</span>").unwrap().0.to_owned()
    };
    for (rule, severity, default) in [
        ("disabled-connector", "critical", Some("medium")),
        ("no-connector", "off", Some("low")),
        ("unknown-value", "medium", None),
        ("fedramp-language", "high", None),
    ] {
        let badge = format!("<i class=\"{severity}\">{severity}</i>");
        let article = explained(rule);
        assert!(article.contains(&badge), "{rule}: {article}");
        assert!(counted(rule).contains(&badge), "{rule}");
        let note = "set by the policy; default ";
        match default {
            Some(default) => assert!(article.contains(&format!("{note}{default}")), "{article}"),
            None => assert!(!article.contains(note), "{article}"),
        }
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
    for (policy, accounts, code) in [
        (waiver("2027-01-31"), vec![id(1)], 0),
        (waiver("2026-11-20"), vec![id(1)], 10),
        (String::new(), vec![id(1)], 10),
        (String::new(), vec![id(1), id(2)], 3),
        (waiver("2027-01-31"), vec![id(1), id(2)], 3),
    ] {
        audit(&server)
            .policy(&policy)
            .args(["--fail-on", "low"])
            .args(accounts)
            .run()
            .expect(code);
    }
}
