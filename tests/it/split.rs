//! `--split-by owner`: a report for each owner, with nothing in it of others.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::*;

/// The folder of an owner in a run's directory.
fn folder(outcome: &Outcome, owner: &str) -> PathBuf {
    outcome.run_dir().join("by-owner").join(owner)
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

fn json_of(folder: &Path) -> Value {
    serde_json::from_str(&read(folder, "report.json")).unwrap()
}

/// Two owners who share a domain, and an account of nobody; what is in the accounts of the second is marked.
fn nights() -> Nights {
    Nights::of(&[
        (
            1,
            json!([disabled(1, "a.example"), connector(2, "shared.example")]),
        ),
        (
            2,
            json!([
                disabled(3, "zzyx-b.example"),
                connector(4, "shared.example")
            ]),
        ),
        (
            3,
            json!([
                connector(5, "zzyx-c.example"),
                connector(6, "shared.example")
            ]),
        ),
        (4, json!([connector(7, "a4.example")])),
        (5, json!([connector(8, "zzyx-b5.example")])),
    ])
}

const OWNERS: [&str; 5] = ["team-a", "ZzyxTeam", "", "team-a", "ZzyxTeam"];

/// An audit of some of the accounts, named in a file with their owners.
fn night(nights: &Nights, day: i64, numbers: &[usize]) -> Program {
    let line = |n: &usize| {
        let name = if OWNERS[n - 1] == "team-a" {
            "Ay"
        } else {
            "ZzyxName"
        };
        format!("{},{name}{n},{}\n", id(*n), OWNERS[n - 1])
    };
    let csv: String = numbers.iter().map(line).collect();
    let policy = format!(
        "[[accounts]]\nid = \"{b}\"\nallow_domains = [\"zzyx-allowed.example\"]\n\
         [[accounts]]\nid = \"{absent}\"\nowner = \"ZzyxTeam\"\n\
         [[waivers]]\nrule = \"disabled-connector\"\naccount = \"{b}\"\nreason = \"ZzyxReason\"\nowner = \"ZzyxPerson\"\nexpires = 2027-01-31\n\
         [[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"zzyx-w.example\"\nreason = \"ZzyxReason\"\nowner = \"ZzyxPerson\"\nexpires = 2027-01-31\n\
         [[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"a.example\"\nreason = \"mine\"\nowner = \"me\"\nexpires = 2027-01-31\n",
        b = id(2),
        absent = id(99),
    );
    nights
        .bare(day)
        .policy(&policy)
        .accounts_file(
            "accounts.csv",
            format!("account_id,account_name,owner\n{csv}"),
        )
        .args([
            "--split-by",
            "owner",
            "--format",
            "csv,html,json,md,xlsx,ocsf",
        ])
}

/// Fails where a file of a folder has anything of the accounts of others.
#[track_caller]
fn holds_nothing_of_others(folder: &Path) {
    let others = [2, 3, 5, 99].map(id);
    let connectors = [3, 4, 5, 6, 8].map(connector_id);
    for (path, bytes) in contents(folder) {
        // A workbook is compressed.
        let text = match path.ends_with(".xlsx") {
            true => format!("{:?}", sheets(&bytes)),
            false => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let text = text.to_lowercase();
        for of_others in others.iter().chain(&connectors) {
            assert!(
                !text.contains(of_others.as_str()),
                "{of_others} is in {path}"
            );
        }
        assert!(!text.contains("zzyx"), "{path}");
    }
}

#[test]
fn an_owner_s_folder_holds_nothing_of_others() {
    let nights = nights();
    let first = night(&nights, 0, &[1, 2, 3, 4, 5]).run().expect(0);
    let first = first
        .prints(&["2 owners with a report in by-owner/; 1 account without an owner has none.\n"]);
    // The account of one owner is gone, another cannot be read, and an account of each is named no longer.
    nights.set(2, Value::Null);
    nights.set(
        1,
        json!([connector(1, "a.example"), connector(2, "shared.example")]),
    );
    let outcome = night(&nights, 1, &[1, 2, 3]).run().expect(3);
    for run in [&first, &outcome] {
        holds_nothing_of_others(&folder(run, "team-a"));
    }
    let mine = folder(&outcome, "team-a");
    let report = json_of(&mine);
    assert_eq!(report["coverage"]["asked"], 1);
    assert_eq!(report["coverage"]["unread"], 0);
    assert_eq!(report["totals"]["connectors"], 2);
    let workbook = sheets_of(&mine);
    let (_, cells) = workbook
        .iter()
        .find(|(name, _)| name == "connectors")
        .unwrap();
    assert_eq!(cells.len(), 1 + 2);
    assert_eq!(report["run"]["sources"].as_array().unwrap().len(), 1);
    assert!(
        report["run"]["sources"][0]
            .as_str()
            .unwrap()
            .contains("1 account"),
        "{report}"
    );
    let messages: Vec<_> = rows(read(&mine, "findings.csv").as_bytes(), b',')
        .into_iter()
        .map(|row| row["message"].clone())
        .collect();
    assert!(
        messages.contains(&"shared.example is also on connectors of another account".to_owned()),
        "{messages:?}"
    );
    // Who left the owner's list is told, and the trend is the owner's.
    let changes = read(&mine, "changes.csv");
    assert!(
        changes.contains("account-removed") && changes.contains(&id(4)),
        "{changes}"
    );
    let asked: Vec<_> = report["trend"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["accounts_asked"].clone())
        .collect();
    assert_eq!(asked, [2, 1]);
}

#[test]
fn a_finding_is_the_same_in_both_reports_and_the_files_check() {
    let nights = nights();
    let outcome = night(&nights, 0, &[1, 2, 3, 4, 5]).run().expect(0);
    let folders = names(&outcome.run_dir().join("by-owner"));
    assert_eq!(folders.len(), 2);
    assert_eq!(folders[0], "team-a");
    assert!(folders[1].starts_with("zzyxteam-"), "{folders:?}");
    let ids = |text: &str| -> Vec<String> {
        let rows = rows(text.as_bytes(), b',').into_iter();
        rows.map(|row| {
            format!(
                "{} {} {}",
                row["finding_id"], row["severity"], row["status"]
            )
        })
        .collect()
    };
    let whole = ids(&outcome.text("findings.csv"));
    let mut split = 0;
    for name in &folders {
        let place = outcome.run_dir().join("by-owner").join(name);
        let own = ids(&read(&place, "findings.csv"));
        assert!(!own.is_empty() && own.iter().all(|id| whole.contains(id)));
        split += own.len();
        for line in read(&place, "SHA256SUMS").lines() {
            let (sum, file) = line.split_once("  ").unwrap();
            let bytes = fs::read(place.join(file)).unwrap();
            assert_eq!(cf_sso_audit::text::sha256_hex(&bytes), sum, "{file}");
        }
        let files = names(&place);
        assert!(
            files.contains(&"summary.md".to_owned()) && files.contains(&"report.html".to_owned())
        );
    }
    // The account without an owner shares a domain, and is in the whole report alone.
    assert_eq!(split + 1, whole.len());
}

#[test]
fn render_splits_in_the_same_way() {
    let nights = nights();
    let outcome = night(&nights, 0, &[1, 2, 3, 4, 5]).run().expect(0);
    let before = contents(&outcome.run_dir());
    let again = || {
        render(&nights.dir, &outcome.run_dir()).args([
            "--policy",
            "policy.toml",
            "--split-by",
            "owner",
            "--format",
            "csv,html,json,md,xlsx,ocsf",
        ])
    };
    again().run().expect(0);
    assert_eq!(contents(&outcome.run_dir()), before);
    // What no run made is not overwritten.
    fs::write(folder(&outcome, "team-a").join("findings.csv"), "mine").unwrap();
    again()
        .run()
        .expect(1)
        .says(&["findings.csv", "move them away"]);
    assert_eq!(read(&folder(&outcome, "team-a"), "findings.csv"), "mine");
}

#[test]
fn an_owner_who_has_no_report_any_more_keeps_none() {
    let nights = nights();
    let outcome = night(&nights, 0, &[1, 2, 3, 4, 5]).run().expect(0);
    let owners = outcome.run_dir().join("by-owner");
    let other = names(&owners)
        .into_iter()
        .find(|name| name != "team-a")
        .unwrap();
    let other = Path::new("by-owner").join(other);
    let elsewhere = nights.dir.path().join("elsewhere");
    let again = |options: &[&str]| {
        render(&nights.dir, &outcome.run_dir())
            .args(["--policy", "policy.toml", "-o"])
            .arg(&elsewhere)
            .args(options)
            .run()
            .expect(0)
    };
    let owners_there = || names(&elsewhere.join("by-owner"));
    again(&["--split-by", "owner"]).keeps_silent_about("an owner's report");
    assert_eq!(owners_there().len(), 2);
    // What no run wrote stays, and is named.
    fs::write(elsewhere.join(&other).join("notes.txt"), "mine").unwrap();
    again(&[]).says(&["team-a", "may be out of date", "notes.txt"]);
    assert_eq!(owners_there().len(), 1);
    fs::remove_file(elsewhere.join(&other).join("notes.txt")).unwrap();
    again(&[]).says(&["an owner's report that this rendering does not write"]);
    assert!(!elsewhere.join("by-owner").exists());
    // In a run's own folder all is judged as before, so that they still hold.
    render(&nights.dir, &outcome.run_dir())
        .args(["--policy", "policy.toml"])
        .run()
        .expect(0);
    assert_eq!(names(&owners).len(), 2);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link() {
    let nights = nights();
    let outcome = night(&nights, 0, &[1, 2, 3, 4, 5]).run().expect(0);
    let foreign = nights.dir.path().join("foreign");
    let again = || {
        render(&nights.dir, &outcome.run_dir()).args([
            "--policy",
            "policy.toml",
            "--split-by",
            "owner",
        ])
    };
    // What is behind the link is the run's own by its checksums, and stays all the same.
    for linked in [
        folder(&outcome, "team-a"),
        outcome.run_dir().join("by-owner"),
    ] {
        fs::rename(&linked, &foreign).unwrap();
        std::os::unix::fs::symlink(&foreign, &linked).unwrap();
        let before = contents(&foreign);
        again()
            .run()
            .expect(1)
            .says(&["is not a folder: move it away"]);
        assert_eq!(contents(&foreign), before);
        fs::remove_file(&linked).unwrap();
        fs::rename(&foreign, &linked).unwrap();
    }
    again().run().expect(0);
}
