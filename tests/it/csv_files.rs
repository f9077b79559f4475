//! The CSV files: their columns, their dialects, and hostile text in them.

use serde_json::json;

use crate::support::*;

/// The columns of every file of the contract, in order.
const HEADS: [(&str, &str); 8] = [
    (
        "unverified_domains.csv",
        "account_id,account_name,connector_id,email_domain,verification_status,enabled,txt_name,txt_value,dns_txt,age_days,severity,waived,created_on_utc,updated_on_utc,owner",
    ),
    (
        "disabled_connectors.csv",
        "account_id,account_name,connector_id,email_domain,enabled,verification_status,severity,waived,created_on_utc,updated_on_utc,owner",
    ),
    (
        "fedramp_settings.csv",
        "account_id,account_name,connector_id,email_domain,use_fedramp_language,expected,compliant,enabled,verification_status,owner",
    ),
    (
        "connectors.csv",
        "account_id,account_name,connector_id,email_domain,enabled,verification_status,verification_code,use_fedramp_language,created_on_utc,updated_on_utc,rules,worst_severity,owner",
    ),
    (
        "findings.csv",
        "finding_id,rule,severity,status,change,account_id,account_name,owner,connector_id,email_domain,message,remediation,controls,first_seen_utc,waiver_owner,waiver_reason,waiver_expires",
    ),
    (
        "accounts.csv",
        "account_id,account_name,owner,outcome,connectors,unverified,disabled,fedramp_on,fedramp_off,findings_critical,findings_high,findings_medium,findings_low,error_kind,error_code,error_message,http_status,cf_ray,attempts,read_at_utc",
    ),
    (
        "changes.csv",
        "kind,account_id,account_name,connector_id,email_domain,what,from,to,cause",
    ),
    (
        "history.csv",
        "run_id,started_utc,accounts_asked,accounts_read,rule,severity,judged,not_judged,open,new,resolved,waived",
    ),
];

/// What people and attackers write where a name or a domain should be.
const HOSTILE: [&str; 16] = [
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "+1+1",
    "-2",
    "@SUM(A1:A9)",
    "\t=1",
    "\r=1",
    "12345678901234567890123456789012",
    "1e23",
    "2025-01-01",
    "1/2",
    "line\nbreak",
    "semi;colon, comma",
    "\"quoted\"",
    "<script>alert(1)</script>",
    "nul\u{0}bell\u{7}",
    "sep\u{2028}arator",
];

fn hostile_server() -> Server {
    Server::start(|_| {
        let connectors: Vec<_> = HOSTILE
            .iter()
            .enumerate()
            .map(|(n, text)| {
                connector_with(
                    n,
                    text,
                    json!({"id": format!("{text}{n:02}"), "enabled": false, "verification": {"status": text, "code": text}, "created_on": text}),
                )
            })
            .collect();
        success(connectors.into())
    })
}

fn audit_hostile(dialect: &str) -> Outcome {
    audit(&hostile_server())
        .args(["--csv-dialect", dialect, &id(1)])
        .run()
        .expect(0)
}

fn delimiter(dialect: &str) -> u8 {
    if dialect == "excel-semicolon" {
        b';'
    } else {
        b','
    }
}

#[test]
fn the_heads_are_those_of_the_contract() {
    for dialect in ["excel", "excel-semicolon", "plain"] {
        let outcome = audit_hostile(dialect);
        let mut files = names(&outcome.run_dir());
        files.retain(|name| name.ends_with(".csv"));
        let mut expected = HEADS.map(|(file, _)| file);
        expected.sort();
        assert_eq!(files, expected, "each file of the run has its head here");
        for (file, head) in HEADS {
            let bytes = outcome.read(file);
            let bom = bytes.starts_with("\u{feff}".as_bytes());
            assert_eq!(bom, dialect != "plain", "BOM of {file} in {dialect}");
            let text = String::from_utf8(bytes).unwrap();
            let first = text.trim_start_matches('\u{feff}').lines().next().unwrap();
            let expected = head.replace(',', &char::from(delimiter(dialect)).to_string());
            assert_eq!(
                first.trim_end_matches('\r'),
                expected,
                "{file} in {dialect}"
            );
        }
    }
}

#[test]
fn lines_end_as_the_dialect_has_it() {
    for (dialect, crlf) in [("excel", true), ("excel-semicolon", true), ("plain", false)] {
        let outcome = audit_hostile(dialect);
        for (file, _) in HEADS {
            let text = outcome.text(file);
            assert!(text.ends_with(if crlf { "\r\n" } else { "\n" }), "{file}");
            assert_eq!(
                text.matches("\r\n").count(),
                if crlf { text.matches('\n').count() } else { 0 },
                "{file} in {dialect}"
            );
        }
    }
}

#[test]
fn a_real_parser_finds_every_row_whatever_stands_in_it() {
    for dialect in ["excel", "excel-semicolon", "plain"] {
        let outcome = audit_hostile(dialect);
        for file in [
            "connectors.csv",
            "unverified_domains.csv",
            "disabled_connectors.csv",
            "fedramp_settings.csv",
        ] {
            let rows = rows(&outcome.read(file), delimiter(dialect));
            assert_eq!(rows.len(), HOSTILE.len(), "{file} in {dialect}");
            for cell in rows.iter().flat_map(|row| row.values()) {
                assert!(
                    !cell.contains(|c: char| c.is_control() || c == '\u{2028}'),
                    "{cell:?} in {file}"
                );
            }
        }
    }
}

#[test]
fn no_cell_is_a_formula_a_number_or_a_date_where_a_spreadsheet_reads_it() {
    for dialect in ["excel", "excel-semicolon"] {
        let outcome = audit_hostile(dialect);
        let rows = rows(&outcome.read("connectors.csv"), delimiter(dialect));
        let domains: Vec<_> = rows
            .iter()
            .map(|row| row["email_domain"].as_str())
            .collect();
        for guarded in [
            "'=HYPERLINK(\"http://evil.example\",\"x\")",
            "'+1+1",
            "'-2",
            "'@SUM(A1:A9)",
            "' =1",
            "'12345678901234567890123456789012",
            "'1e23",
            "'2025-01-01",
            "'1/2",
        ] {
            assert!(domains.contains(&guarded), "{guarded} in {domains:?}");
        }
        // Ordinary text has nothing in front.
        for plain in [
            "line break",
            "semi;colon, comma",
            "\"quoted\"",
            "<script>alert(1)</script>",
        ] {
            assert!(domains.contains(&plain), "{plain} in {domains:?}");
        }
        for row in &rows {
            for column in [
                "connector_id",
                "email_domain",
                "verification_status",
                "verification_code",
                "created_on_utc",
            ] {
                assert!(
                    !row[column].trim_start().starts_with(['=', '+', '-', '@']),
                    "{column}: {:?}",
                    row[column]
                );
            }
        }
    }
}

#[test]
fn plain_is_as_it_came_but_for_line_breaks_and_control_characters() {
    let outcome = audit_hostile("plain");
    let rows = outcome.csv("connectors.csv");
    let mut domains: Vec<_> = rows.iter().map(|row| row["email_domain"].clone()).collect();
    let mut expected: Vec<_> = HOSTILE
        .iter()
        .map(|text| {
            text.replace(['\n', '\r', '\t', '\u{2028}'], " ")
                .replace(['\u{0}', '\u{7}'], "\u{fffd}")
        })
        .collect();
    domains.sort();
    expected.sort();
    assert_eq!(domains, expected);
}

#[test]
fn names_from_files_and_messages_of_errors_are_guarded_too() {
    let server = Server::start(|_| failure(403, 9109, "=cmd|'/c calc'!A1\nUnauthorized to access"));
    let outcome = audit(&server)
        .accounts_file(
            "a.csv",
            format!("account_id,account_name,owner\n{},=1+1,@you\n", id(1)),
        )
        .run()
        .expect(3);
    let row = outcome.account(&id(1));
    assert_eq!(row["account_name"], "'=1+1");
    assert_eq!(row["owner"], "'@you");
    assert_eq!(
        row["error_message"],
        "'=cmd|'/c calc'!A1 Unauthorized to access"
    );
    assert_eq!(row["error_code"], "'9109");
}

#[test]
fn an_id_of_digits_only_comes_back_from_a_report() {
    let digits = "00000000000000000000000000000123";
    let server = Server::start(|_| success(json!([])));
    let first = audit(&server).arg(digits).run().expect(0);
    assert_eq!(
        first.column("accounts.csv", "account_id"),
        [format!("'{digits}")]
    );
    server.now(|_| success(json!([])));
    let second = audit(&server)
        .arg("--accounts-file")
        .arg(first.run_dir().join("accounts.csv"))
        .run()
        .expect(0);
    assert_eq!(second.csv("accounts.csv").len(), 1);
    assert_eq!(server.asked(), [digits]);
}

#[test]
fn words_and_times_are_those_of_the_contract() {
    let server = Server::start(|_| {
        success(json!([
            connector_with(
                1,
                "a.example",
                json!({"use_fedramp_language": true, "verification": {"code": "x", "status": "awaiting"}})
            ),
            connector_with(
                2,
                "b.example",
                json!({"enabled": null, "use_fedramp_language": null, "verification": {}, "created_on": null, "updated_on": null})
            ),
        ]))
    });
    let outcome = audit(&server).arg(id(1)).run().expect(0);
    let fedramp = outcome.csv("fedramp_settings.csv");
    let of = |row: &Row| {
        [
            "use_fedramp_language",
            "expected",
            "compliant",
            "enabled",
            "verification_status",
        ]
        .map(|c| row[c].clone())
    };
    assert_eq!(
        of(&fedramp[0]),
        ["true", "any", "not-judged", "true", "awaiting"]
    );
    assert_eq!(
        of(&fedramp[1]),
        ["unknown", "any", "not-judged", "unknown", "unknown"]
    );
    let unverified = outcome.csv("unverified_domains.csv");
    let of = |row: &Row| {
        [
            "created_on_utc",
            "updated_on_utc",
            "age_days",
            "waived",
            "severity",
            "txt_name",
        ]
        .map(|c| row[c].clone())
    };
    assert_eq!(
        of(&unverified[0]),
        [
            "2026-01-02 03:04:05",
            "2026-02-03 04:05:06",
            "291",
            "false",
            "critical",
            "a.example"
        ]
    );
    assert_eq!(
        of(&unverified[1]),
        ["", "", "", "false", "medium", "b.example"]
    );
}
