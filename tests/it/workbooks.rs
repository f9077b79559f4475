//! `report.xlsx`: the cells of the tables with their types, the summary before them, and what becomes of odd text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use calamine::Data;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// The tables that have a sheet, where DNS was not looked up.
const TABLES: [&str; 8] = [
    "unverified_domains",
    "disabled_connectors",
    "fedramp_settings",
    "connectors",
    "findings",
    "accounts",
    "changes",
    "history",
];

/// What people and attackers write where a name or a domain should be.
const HOSTILE: [&str; 26] = [
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "=1+1",
    "{=1+1}",
    "+1+1",
    "-2",
    "@SUM(A1:A9)",
    "\t=1",
    "\r=1",
    "'quoted",
    "007",
    "12345678901234567890123456789012",
    "1e23",
    "2025-01-01",
    "1/2",
    "TRUE",
    "#REF!",
    "http://evil.example/",
    "mailto:a@b.example",
    "line\nbreak",
    " spaces around ",
    "<b>&amp;]]>",
    "nul\u{0}bell\u{7}\u{85}",
    "_x0041__x000D_",
    "\u{1f600}\u{202e}\u{fe0f}",
    "\u{fffe}\u{ffff}\u{feff}",
    "a, \"b\"; c",
];

fn in_workbook(program: Program) -> Program {
    program.args(["--format", "csv,json,xlsx", "--csv-dialect", "plain"])
}

/// Two nights of accounts of every kind, with hostile text wherever text can stand, and odd times; the second.
fn hostile_night(dir: &Rc<TempDir>) -> Outcome {
    let server = Server::of(Vec::new());
    let policy = "[defaults]\nfedramp = \"required\"\n[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\n\
                  reason = \"=1+1\"\nowner = \"@me\"\nexpires = 2027-01-31\n";
    let accounts: String = (1..=6)
        .map(|n| {
            format!(
                "{},\"{}\",{}\n",
                id(n),
                ["=A1", "007", "", "-", "TRUE", "x"][n - 1],
                "+owner"
            )
        })
        .collect();
    let night = |day: i64| {
        server.now(move |request| match request.number() {
            1 => success(HOSTILE.iter().enumerate().map(|(n, text)| connector_with(n, text, json!({
                "id": format!("{text}{n:02}"), "enabled": false, "verification": {"status": text, "code": text}, "created_on": text,
                "use_fedramp_language": if day == 0 { json!(text) } else { Value::Null },
            }))).collect()),
            2 => success(["0001-01-01T00:00:00Z", "1900-01-31T12:00:00Z", "1999-12-31T23:59:59.999Z", "2024-02-29T12:34:56Z", "9999-12-31T23:59:59Z"]
                .iter().enumerate().map(|(n, at)| connector_with(50 + n, &format!("t{n}.example"), json!({
                    "created_on": at, "updated_on": at, "enabled": n % 2 == 0, "verification": {"status": "pending", "code": "x"},
                }))).collect()),
            3 => forbidden(),
            4 => success(json!([])),
            5 if day == 0 => failure(500, 1, "=cmd|' /C calc'!A0"),
            n => success(json!([connector(n + 90, &format!("d{n}{day}.example"))])),
        });
        let program = audit_in(dir, &server).on_day(day).policy(policy);
        let program = program.accounts_file(
            "accounts.csv",
            format!("account_id,account_name,owner\n{accounts}"),
        );
        in_workbook(program)
    };
    night(0).run().expect(3);
    night(1).run().expect(3)
}

/// The rows of a sheet as CSV has them.
fn as_rows(cells: &[Vec<Data>]) -> Vec<Row> {
    let head: Vec<_> = cells[0].iter().map(ToString::to_string).collect();
    let row = |row: &Vec<Data>| {
        let cells = head.iter().zip(row);
        cells
            .map(|(name, cell)| (name.clone(), as_csv(cell, name)))
            .collect()
    };
    cells[1..].iter().map(row).collect()
}

#[test]
fn every_table_has_a_sheet_with_the_cells_of_its_csv_file() {
    let outcome = hostile_night(&shared_dir());
    let sheets = sheets_of(&outcome.run_dir());
    let names: Vec<_> = sheets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[0], "Summary");
    assert_eq!(names[1..], TABLES);
    for (name, cells) in &sheets[1..] {
        let csv = outcome.csv(&format!("{name}.csv"));
        assert!(!csv.is_empty(), "{name} has something to show");
        let head = outcome
            .text(&format!("{name}.csv"))
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let names: Vec<_> = cells[0].iter().map(ToString::to_string).collect();
        assert_eq!(names.join(","), head);
        assert_eq!(as_rows(cells), csv, "{name}");
    }
    check_sums(&outcome.run_dir());
}

#[test]
fn cells_have_the_types_of_what_they_hold() {
    let outcome = hostile_night(&shared_dir());
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (table, cells) in &sheets_of(&outcome.run_dir())[1..] {
        for row in &cells[1..] {
            for (cell, name) in row.iter().zip(&cells[0]) {
                let name = name.to_string();
                let text = as_csv(cell, &name);
                let is_time =
                    chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").is_ok();
                let (type_of, is_right) = match name.as_str() {
                    _ if text.is_empty() => ("empty", *cell == Data::Empty),
                    // Before March of 1900 spreadsheets do not agree on what day it is.
                    name if name.ends_with("_utc")
                        && is_time
                        && !text.starts_with("0001")
                        && !text.starts_with("1900") =>
                    {
                        ("time", matches!(cell, Data::DateTime(_)))
                    }
                    "waiver_expires" => ("day", matches!(cell, Data::DateTime(_))),
                    // Where the answer has a word for it, that word is a text.
                    "enabled" | "use_fedramp_language" if text != "true" && text != "false" => {
                        ("other flag", matches!(cell, Data::String(_)))
                    }
                    "enabled" | "use_fedramp_language" | "waived" if table != "history" => {
                        ("flag", matches!(cell, Data::Bool(_)))
                    }
                    "connectors" | "unverified" | "disabled" | "fedramp_on" | "fedramp_off"
                    | "findings_critical" | "findings_high" | "findings_medium"
                    | "findings_low" | "http_status" | "attempts" | "age_days"
                    | "accounts_asked" | "accounts_read" | "judged" | "not_judged" | "open"
                    | "new" | "resolved" | "waived" => ("number", matches!(cell, Data::Float(_))),
                    _ => ("text", matches!(cell, Data::String(_))),
                };
                assert!(is_right, "{name} of {table} is a {type_of}: {cell:?}");
                *seen.entry(type_of).or_default() += 1;
            }
        }
    }
    let types: Vec<_> = seen.keys().copied().collect();
    assert_eq!(
        types,
        [
            "day",
            "empty",
            "flag",
            "number",
            "other flag",
            "text",
            "time"
        ]
    );
}

/// The numbers beside the words of the first sheet, by part and word.
fn figures(cells: &[Vec<Data>]) -> BTreeMap<(String, String), Vec<Data>> {
    let mut part = String::new();
    let mut figures = BTreeMap::new();
    for pair in cells.windows(2) {
        if pair[0].iter().all(|cell| *cell == Data::Empty) {
            part = pair[1][0].to_string();
        } else {
            figures.insert(
                (part.clone(), pair[1][0].to_string()),
                pair[1][1..].to_vec(),
            );
        }
    }
    figures
}

#[test]
fn the_first_sheet_says_what_report_json_says() {
    let outcome = hostile_night(&shared_dir());
    let (_, cells) = &sheets_of(&outcome.run_dir())[0];
    let report = outcome.json();
    let lines: Vec<_> = cells.iter().map(|row| row[0].to_string()).collect();
    assert_eq!(lines[0], "Cloudflare SSO connector audit");
    assert!(
        lines[1].ends_with("; 1 account not assessed"),
        "{}",
        lines[1]
    );
    assert_eq!(
        lines[2],
        format!("{}.", report["coverage"]["sentence"].as_str().unwrap())
    );
    let figures = figures(cells);
    let at = |part: &str, name: &str, column: usize| {
        &figures[&(part.to_owned(), name.to_owned())][column]
    };
    let number = |value: &Value| Data::Float(value.as_f64().unwrap());
    for (name, key) in [
        ("asked for", "asked"),
        ("read", "read"),
        ("incomplete", "incomplete"),
        ("unread", "unread"),
    ] {
        assert_eq!(
            *at("Coverage", name, 0),
            number(&report["coverage"][key]),
            "{name}"
        );
    }
    let causes = report["coverage"]["causes"].as_object().unwrap();
    assert_eq!(causes.len(), 1);
    for (cause, accounts) in causes {
        assert_eq!(*at("Unread accounts", cause, 0), number(accounts));
        assert_eq!(
            as_csv(at("Unread accounts", cause, 1), ""),
            "2026-11-21 10:15:00",
            "unread on both nights"
        );
    }
    let by_severity = &report["totals"]["findings_by_severity"];
    let mut new = 0;
    for severity in ["critical", "high", "medium", "low"] {
        for (column, key) in [(0, "open"), (2, "waived")] {
            assert_eq!(
                *at("Findings", severity, column),
                number(&by_severity[severity][key]),
                "{severity} {key}"
            );
        }
        let rows = outcome.csv("findings.csv").into_iter();
        let is_new = |row: &Row| {
            row["severity"] == severity && row["status"] == "open" && row["change"] == "new"
        };
        let expected = rows.filter(is_new).count();
        new += expected;
        assert_eq!(
            *at("Findings", severity, 1),
            Data::Float(expected as f64),
            "new {severity}"
        );
    }
    assert!(new > 0);
    assert_eq!(*at("Findings", "all", 1), Data::Float(new as f64));
    assert_eq!(
        *at("Connectors", "all", 0),
        number(&report["totals"]["connectors"])
    );
    assert_eq!(
        *at("Connectors", "unverified", 0),
        number(&report["totals"]["unverified"])
    );
    assert_eq!(
        *at("Connectors", "disabled", 0),
        number(&report["totals"]["disabled"])
    );
    let about = |name| as_csv(at("About this report", name, 0), "");
    let run = &report["run"];
    for (name, value) in [
        ("run", &run["id"]),
        ("started (UTC)", &run["started_utc"]),
        ("judged as of (UTC)", &run["judged_at_utc"]),
        ("region", &run["region"]),
        ("API", &run["base_url"]),
        ("policy SHA-256", &run["policy"]["sha256"]),
        ("compared with run", &run["baseline"]),
        ("evidence SHA-256", &run["evidence_sha256"]),
    ] {
        assert_eq!(Value::from(about(name)), *value, "{name}");
    }
}

#[test]
fn it_is_written_only_where_it_is_asked_for() {
    let dir = shared_dir();
    let server = Server::start(|_| success(json!([connector(1, "a.example")])));
    let outcome = audit_in(&dir, &server).arg(id(1)).run().expect(0);
    assert_eq!(names(&outcome.run_dir()), FILES);
    let run = outcome.run_dir();
    let before = contents(&run);
    let with = ["--format", "csv,html,json,xlsx"];
    render(&dir, &run).args(with).run().expect(0);
    let mut files = names(&run);
    files.retain(|name| name != "report.xlsx");
    assert_eq!(files, FILES);
    check_sums(&run);
    let workbook = outcome.read("report.xlsx");
    render(&dir, &run).args(with).run().expect(0);
    assert!(
        outcome.read("report.xlsx") == workbook,
        "rendered again it is the same"
    );
    render(&dir, &run).run().expect(0);
    assert_eq!(
        contents(&run),
        before,
        "what an earlier report left is gone"
    );
}

#[test]
fn the_same_run_gives_the_same_bytes_on_one_processor_and_on_all() {
    let dir = shared_dir();
    // So much that it is rendered in several chunks.
    let server = Server::start(|request| {
        let number = request.number();
        let list = (0..20).map(|n| {
            connector_with(
                number * 100 + n,
                &format!("d{n}.a{number}.example"),
                json!({"enabled": n % 3 == 0}),
            )
        });
        success(list.collect())
    });
    let at = |concurrency: &str| {
        let audit = audit(&server).args(["--format", "xlsx", "--concurrency", concurrency]);
        let mut sheets = sheets_of(&audit.args(ids(10)).run().expect(0).run_dir());
        // The evidence is in the order of the answers.
        sheets[0].1.retain(|row| row[0] != "evidence SHA-256");
        sheets
    };
    assert!(at("1") == at("32"));
    let outcome = audit_in(&dir, &server).args(ids(60)).run().expect(0);
    assert!(outcome.read("evidence.jsonl").len() > 2 * 128 * 1024);
    let rendered = |name: &str, script: &str| {
        let to = dir.path().join(name);
        let render = render(&dir, &outcome.run_dir())
            .args(["--format", "xlsx", "-o"])
            .arg(&to);
        render.through(script).run().expect(0);
        fs::read(to.join("report.xlsx")).unwrap()
    };
    let on_all = rendered("all", "exec \"$@\"");
    assert!(on_all == rendered("one", "exec taskset -c 0 \"$@\""));
    assert_eq!(sheets(&on_all)[4].1.len(), 1 + 1200);
}

#[test]
fn a_cell_takes_no_more_than_it_can_hold() {
    let server = Server::start(|_| success(json!([disabled(1, "a.example")])));
    let reason = "r".repeat(40_000);
    let policy = format!(
        "[[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\nreason = \"{reason}\"\nowner = \"me\"\nexpires = 2027-01-31\n"
    );
    let program = audit(&server).policy(&policy).arg(id(1));
    let outcome = in_workbook(program).run().expect(0);
    assert_eq!(
        outcome.column("findings.csv", "waiver_reason"),
        [reason.as_str()]
    );
    let sheets = sheets_of(&outcome.run_dir());
    let (_, cells) = sheets.iter().find(|(name, _)| name == "findings").unwrap();
    let expected = format!("{}\u{2026}", &reason[..32_766]);
    assert_eq!(cells[1][15], Data::String(expected));
}

#[test]
fn a_disk_without_room_for_it_is_told_and_leaves_nothing() {
    let dir = shared_dir();
    let server = Server::start(|_| success(many_connectors(1000)));
    let outcome = audit_in(&dir, &server).arg(id(1)).run().expect(0);
    let before = contents(&outcome.run_dir());
    let render = |room: u64| {
        let render = render(&dir, &outcome.run_dir()).args(["--format", "xlsx"]);
        // `ulimit -f` counts in blocks of 512 bytes.
        render
            .through(&format!(
                "trap '' XFSZ && ulimit -f {} && exec \"$@\"",
                room / 512
            ))
            .run()
    };
    // The rows of a sheet, which the library keeps in a file of its own; the workbook itself, which is compressed.
    for room in [100_000, 20_000] {
        let failed = render(room)
            .expect(1)
            .says(&["cannot write the report into", "File too large"]);
        let failed = failed
            .keeps_silent_about("panicked")
            .keeps_silent_about("xmlwriter");
        failed.keeps_silent_about("ZipWriter");
        assert_eq!(contents(&outcome.run_dir()), before);
    }
    let whole = render(10_000_000).expect(0);
    assert_eq!(sheets_of(&outcome.run_dir())[4].1.len(), 1001);
    drop(whole);
}

#[test]
fn rows_wait_beside_the_report_and_nowhere_else() {
    let server = Server::start(|_| success(many_connectors(10)));
    let program = in_workbook(audit(&server))
        .arg(id(1))
        .env("TMPDIR", "/nonexistent");
    let outcome = program.run().expect(0);
    let mut files = names(&outcome.run_dir());
    files.retain(|name| !FILES.contains(&name.as_str()));
    assert_eq!(files, ["report.xlsx"]);
}

/// The sheets as LibreOffice has them, each by its name; `None` where the machine has none.
fn through_libreoffice(workbook: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    // Comma, UTF-8, cells as they are shown, every sheet.
    let filter = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1";
    let converted = Command::new("soffice")
        .arg(format!(
            "-env:UserInstallation=file://{}/profile",
            dir.path().display()
        ))
        .args(["--headless", "--convert-to", filter, "--outdir"])
        .args([out.as_path(), workbook])
        .env("HOME", dir.path())
        .output();
    let converted = match converted {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            not_tried("there is no soffice; .ci/run installs it");
            return None;
        }
        converted => converted.unwrap(),
    };
    assert!(out.exists(), "{converted:?}");
    let sheet = |name: String| {
        let bytes = fs::read(out.join(&name)).unwrap();
        let sheet = name.strip_prefix("report-").unwrap().strip_suffix(".csv");
        (sheet.unwrap().to_owned(), bytes)
    };
    Some(names(&out).into_iter().map(sheet).collect())
}

#[test]
fn libreoffice_reads_the_cells_of_the_csv_files() {
    let outcome = hostile_night(&shared_dir());
    let Some(sheets) = through_libreoffice(&outcome.run_dir().join("report.xlsx")) else {
        return;
    };
    assert_eq!(sheets.len(), 1 + TABLES.len());
    for table in TABLES {
        let mut shown = rows(&sheets[table], b',');
        let mut written = outcome.csv(&format!("{table}.csv"));
        for (column, cell) in shown.iter_mut().flatten() {
            if ["enabled", "use_fedramp_language", "waived"].contains(&column.as_str())
                && ["TRUE", "FALSE"].contains(&cell.as_str())
            {
                *cell = cell.to_lowercase();
            }
        }
        // One of the hostile texts is the word itself.
        for (column, cell) in written.iter_mut().flatten() {
            if ["use_fedramp_language"].contains(&column.as_str()) && cell == "TRUE" {
                *cell = cell.to_lowercase();
            }
        }
        assert_eq!(shown, written, "{table}");
    }
    let summary = String::from_utf8(sheets["Summary"].clone()).unwrap();
    let started = "\nstarted (UTC),2026-11-22 10:15:00,";
    assert!(summary.contains(started), "{summary}");
}
