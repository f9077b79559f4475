//! The files of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cf_sso_audit::text::sha256_hex;
use serde_json::Value;

/// Every file of a run, in the formats that are written where nothing is said.
pub const FILES: [&str; 13] = [
    "SHA256SUMS",
    "accounts.csv",
    "changes.csv",
    "connectors.csv",
    "disabled_connectors.csv",
    "evidence.jsonl",
    "fedramp_settings.csv",
    "findings.csv",
    "history.csv",
    "ledger.jsonl",
    "report.html",
    "report.json",
    "unverified_domains.csv",
];

/// The names of what is in a folder, sorted.
#[track_caller]
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every file under a folder with its path and its bytes, and every link with its target; sorted.
#[track_caller]
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        let shown = path.display().to_string();
        if path.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            all.push((shown, target.into_os_string().into_encoded_bytes()));
        } else if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((shown, fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

/// The run that `latest` leads to, in a folder of runs.
#[track_caller]
pub fn latest(reports: &Path) -> String {
    let target = fs::read_link(reports.join("latest")).unwrap();
    target.into_os_string().into_string().unwrap()
}

/// The checksums are those of the files, and of every file.
#[track_caller]
pub fn check_sums(run: &Path) {
    let list = fs::read_to_string(run.join("SHA256SUMS")).unwrap();
    let listed: BTreeMap<_, _> = list
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect();
    let found: BTreeMap<_, _> = names(run)
        .into_iter()
        .filter(|name| name != "SHA256SUMS")
        .map(|name| {
            let sum = sha256_hex(&fs::read(run.join(&name)).unwrap());
            (name, sum)
        })
        .collect();
    assert_eq!(listed, found);
}

/// A row of a CSV file, by column.
pub type Row = BTreeMap<String, String>;

/// The rows of a CSV file by a real parser, which finds as many cells in each row as in the head.
#[track_caller]
pub fn rows(bytes: &[u8], delimiter: u8) -> Vec<Row> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(bytes);
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// The rows of a table of a run, which its CSV file and `report.json` both have: the same cells, without the quotes
/// that keep a spreadsheet from reading a cell for something else.
#[track_caller]
pub fn rows_of_both(run: &Path, file: &str, key: &str) -> Vec<Row> {
    let in_csv: Vec<_> = rows(&fs::read(run.join(file)).unwrap(), b',')
        .into_iter()
        .map(|row| {
            let bare = |(column, cell): (String, String)| {
                (column, cell.trim_start_matches('\'').to_owned())
            };
            row.into_iter().map(bare).collect()
        })
        .collect();
    let json: Value = serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap();
    let in_json: Vec<Row> = serde_json::from_value(json[key].clone()).unwrap();
    // The worst findings stand first in `findings.csv`.
    let sorted = |rows: &[Row]| {
        let mut rows = rows.to_vec();
        rows.sort();
        rows
    };
    assert_eq!(
        sorted(&in_csv),
        sorted(&in_json),
        "{file} and report.json say the same"
    );
    in_csv
}

/// The number of the made-up account that a row is about.
pub fn account_number(row: &Row) -> usize {
    usize::from_str_radix(&row["account_id"][2..], 16).unwrap()
}
