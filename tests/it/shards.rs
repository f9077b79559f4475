//! `--shard` and `merge`: an audit divided among several runs, and made one again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::*;

/// The shard, of so many, to which an account falls: computed as docs/shards.md says it, by no code of the program.
fn shard_of(account: &str, of: u64) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(account.as_bytes());
    u64::from_be_bytes(digest[..8].try_into().unwrap()) % of
}

/// The folder of a shard's runs.
fn folder(dir: &Rc<TempDir>, shard: &str) -> PathBuf {
    dir.path().join("shards").join(shard.replace('/', "of"))
}

/// An audit of a shard, into a folder of the shard's own.
fn shard(nights: &Nights, day: i64, shard: &str) -> Program {
    let output = folder(&nights.dir, shard);
    nights
        .bare(day)
        .args(["--shard", shard])
        .arg("--output")
        .arg(output)
}

/// The newest runs of shards of a set.
fn newest(nights: &Nights, of: usize, numbers: &[usize]) -> Vec<PathBuf> {
    let newest = |number: &usize| folder(&nights.dir, &format!("{number}/{of}")).join("latest");
    numbers.iter().map(newest).collect()
}

/// `merge` of runs into the folder `reports`, where neither a token nor the network can be had.
fn merge<P: AsRef<Path>>(dir: &Rc<TempDir>, runs: &[P]) -> Program {
    program_in(dir, "merge")
        .args(runs.iter().map(AsRef::as_ref))
        .arg("--output")
        .arg(dir.path().join("reports"))
        .env("CLOUDFLARE_BASE_URL", "https://127.0.0.1:1/client/v4")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
}

/// A line of a page without what it says of the evidence and of the runs that were merged.
fn says_the_same(line: &&str) -> bool {
    let of_its_own = ["<dt>Merged from", "<dt>Evidence<dd>"];
    !of_its_own.iter().any(|text| line.contains(text))
}

/// The files of a run, by their paths, without what docs/shards.md says may differ.
fn comparable(run: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (path, bytes) in contents(run) {
        let name = path.strip_prefix(&run.display().to_string()).unwrap();
        let name = name.trim_start_matches('/').to_owned();
        let text = String::from_utf8(bytes).unwrap();
        let text = match name.rsplit('/').next().unwrap() {
            "evidence.jsonl" | "SHA256SUMS" | "dns.jsonl" => continue,
            "report.json" => {
                let mut json: Value = serde_json::from_str(&text).unwrap();
                json["run"]["evidence_sha256"] = Value::Null;
                json["run"]["merged"] = Value::Null;
                json.to_string()
            }
            "report.html" => text
                .lines()
                .filter(says_the_same)
                .collect::<Vec<_>>()
                .join("\n"),
            _ => text,
        };
        files.insert(name, text);
    }
    files
}

/// Two runs say the same, file by file.
#[track_caller]
fn same(one: &Path, other: &Path) {
    let (one, other) = (comparable(one), comparable(other));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    for (name, text) in &one {
        let difference = text
            .lines()
            .zip(other[name].lines())
            .find(|(one, other)| one != other);
        assert!(*text == other[name], "{name} differs: {difference:?}");
    }
}

/// The list of an account in a world with a seed, on one of two nights.
fn list(seed: u64, number: usize, night: u64) -> Value {
    let dice = seed
        .wrapping_mul(number as u64 + 1)
        .wrapping_add(night * (number as u64 % 3));
    let shared = format!("shared{}.example", dice % 5);
    match dice % 7 {
        0 => Value::Null,
        1 => json!({"part": [connector(number, "part.example")]}),
        2 => json!([]),
        3 => json!([
            disabled(number, &shared),
            connector(number + 500, &format!("a{number}.example"))
        ]),
        4 => json!([connector_with(
            number,
            &shared,
            json!({"use_fedramp_language": true, "enabled": null})
        )]),
        5 => json!([connector_with(
            number,
            &format!("u{number}.example"),
            json!({"verification": {"status": "pending"}})
        )]),
        _ => json!([connector(number, &format!("b{number}.example"))]),
    }
}

const POLICY: &str = r#"
[defaults]
fedramp = "forbidden"
[[accounts]]
id = "ac000000000000000000000000000003"
owner = "platform"
[[waivers]]
rule = "disabled-connector"
account = "*"
reason = "migration"
owner = "j.doe"
expires = 2027-01-31
"#;

/// Two nights, each by one run over all and by shards that are merged: everything but what is said to differ is the same.
fn two_nights_in_shards(seed: u64, accounts: usize, of: usize) {
    let (whole, parts) = (Nights::new(), Nights::new());
    let files = |program: Program| {
        program
            .policy(POLICY)
            .args(["--format", "csv,html,json,md", "--split-by", "owner"])
    };
    // Named in a file and on the command line, twice, and not by an id.
    let numbers = (1..=accounts).map(|n| 1 + (n * 7 + seed as usize) % accounts);
    let mut ids: Vec<_> = numbers.map(|number| format!("{},", id(number))).collect();
    ids[0].push_str("team a");
    ids.push("not-an-id,".to_owned());
    ids.push(ids[0].clone());
    let file = format!("account_id,owner\n{}\n", ids.join("\n"));
    for night in 0..2 {
        for nights in [&whole, &parts] {
            for number in 1..=accounts {
                nights.set(number, list(seed, number, night));
            }
        }
        // The same address: it is in the reports.
        let named = |program: Program| {
            program
                .at(&whole.server)
                .accounts_file("accounts.csv", &file)
                .args([id(1), id(accounts), "also no id".to_owned()])
        };
        whole.serve();
        let at_once = named(files(whole.bare(night as i64))).run();
        let code = at_once.code().unwrap();
        for number in 0..of {
            let program = shard(&parts, night as i64, &format!("{number}/{of}"));
            let program = program.at(&whole.server).arg("--accounts-file");
            let program = program.arg(whole.dir.path().join("accounts.csv"));
            let outcome = program
                .args([id(1), id(accounts), "also no id".to_owned()])
                .run();
            assert!(
                [0, 3].contains(&outcome.code().unwrap()),
                "{}",
                outcome.stderr
            );
        }
        // In any order.
        let mut numbers: Vec<_> = (0..of).collect();
        numbers.rotate_left(seed as usize % of);
        let merged = merge(&parts.dir, &newest(&parts, of, &numbers)).on_day(night as i64);
        let merged = files(merged).run().expect(code);
        check_sums_of_files(&merged.run_dir());
        same(&at_once.run_dir(), &merged.run_dir());
    }
}

/// The checksums of a run's own files; the folders of owners have their own.
fn check_sums_of_files(run: &Path) {
    for line in fs::read_to_string(run.join("SHA256SUMS")).unwrap().lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let bytes = fs::read(run.join(name)).unwrap();
        assert_eq!(cf_sso_audit::text::sha256_hex(&bytes), sum, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn shards_merged_are_the_run_over_all_byte_for_byte(seed in 0u64..1000, accounts in 2usize..30, of in 1usize..6) {
        two_nights_in_shards(seed, accounts, of);
    }
}

/// So many accounts, each with one connector about which nothing is to be said, in a file.
fn quiet_accounts(count: usize) -> Nights {
    let nights = Nights::new();
    for number in 1..=count {
        nights.set(
            number,
            json!([connector(number, &format!("d{number}.example"))]),
        );
    }
    nights.serve();
    nights
}

/// A file with all accounts of a world, which shards share.
fn listed(nights: &Nights) -> PathBuf {
    let world = nights.world.lock().unwrap();
    let ids: Vec<_> = world.keys().cloned().collect();
    let path = nights.dir.path().join("accounts.txt");
    fs::write(&path, ids.join("\n")).unwrap();
    path
}

/// An audit of each of these shards, of all accounts there are; the newest runs.
fn run_shards(nights: &Nights, day: i64, of: usize, numbers: &[usize]) -> Vec<PathBuf> {
    let file = listed(nights);
    for number in numbers {
        let program = shard(nights, day, &format!("{number}/{of}"));
        program.arg("--accounts-file").arg(&file).run().expect(0);
    }
    newest(nights, of, numbers)
}

#[test]
fn each_account_is_read_by_the_shard_that_anyone_can_compute() {
    let nights = quiet_accounts(40);
    let named = ids(40).into_iter().chain(["no id".to_owned()]);
    let named: Vec<_> = named.collect();
    for number in 0..3 {
        let outcome = shard(&nights, 0, &format!("{number}/3")).args(&named).run();
        let expected: Vec<_> = named
            .iter()
            .filter(|id| shard_of(id, 3) == number)
            .cloned()
            .collect();
        assert_eq!(outcome.column("accounts.csv", "account_id"), expected);
        let shard = &outcome.json()["run"]["shard"];
        assert_eq!(shard["numbers"], json!([number]));
        assert_eq!(
            (&shard["of"], &shard["accounts_named"]),
            (&json!(3), &json!(41))
        );
        assert_eq!(shard["missing"], json!([]));
        let says = format!("{number}/3: {} of 41 accounts", expected.len());
        assert!(outcome.stdout.contains(&says), "{}", outcome.stdout);
        assert!(outcome.text("report.html").contains(&says));
        let asked: Vec<_> = nights.server.asked();
        let valid = expected.iter().filter(|id| *id != "no id");
        assert!(valid.clone().all(|id| asked.contains(id)));
        nights.serve();
    }
}

#[test]
fn a_scheduler_names_the_shard() {
    let nights = quiet_accounts(9);
    for variable in [
        "JOB_COMPLETION_INDEX",
        "AWS_BATCH_JOB_ARRAY_INDEX",
        "SLURM_ARRAY_TASK_ID",
    ] {
        let outcome = nights
            .night(0)
            .args(["--shard", "auto/3"])
            .env(variable, "2")
            .run()
            .expect(0);
        assert_eq!(outcome.json()["run"]["shard"]["numbers"], json!([2]));
    }
    let said = |value: &str| {
        let program = nights.night(0).args(["--shard", "auto/3"]);
        let program = match value {
            "" => program,
            value => program.env("SLURM_ARRAY_TASK_ID", value),
        };
        program.run().expect(2).stderr
    };
    nights.serve();
    assert!(
        said("").contains(
            "JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, SLURM_ARRAY_TASK_ID is set"
        )
    );
    assert!(said("3").contains("--array=0-2"));
    assert!(nights.server.requests().is_empty());
}

#[test]
fn a_shard_without_an_account_is_a_good_run_and_needs_no_token() {
    let nights = quiet_accounts(1);
    let number = (shard_of(&id(1), 50) + 1) % 50;
    let outcome = shard(&nights, 0, &format!("{number}/50"))
        .arg(id(1))
        .without_env("CLOUDFLARE_API_TOKEN")
        .run()
        .expect(0)
        .prints(&["0 of 0 accounts read.", "0 of 1 account"]);
    assert!(nights.server.requests().is_empty());
    assert_eq!(outcome.csv("accounts.csv").len(), 0);
    assert_eq!(outcome.json()["coverage"]["whole"], json!(true));
    // No account at all is wrong usage all the same.
    shard(&nights, 0, "0/2").run().expect(2);
    shard(&nights, 0, "0/2").arg("no id").run().expect(2);
}

#[test]
fn a_missing_shard_is_said_and_can_be_added_later() {
    let nights = quiet_accounts(20);
    let at_once = nights
        .bare(0)
        .arg("--accounts-file")
        .arg(listed(&nights))
        .args(["--output", "whole"])
        .run()
        .expect(0);
    let runs = run_shards(&nights, 0, 3, &[0, 1, 2]);
    let partly = merge(&nights.dir, &[&runs[2], &runs[0]])
        .args(["--allow-unread", "100%", "--format", "csv,html,json,md"])
        .run()
        .expect(3)
        .prints(&[
            "the list of accounts is incomplete",
            "shard 1 of 3 is missing",
            "for it (--shard 1/3), then merge again",
            "0 and 2 of 3",
        ]);
    let json = partly.json();
    assert_eq!(json["coverage"]["whole"], json!(false));
    let gap = json["coverage"]["gaps"][0].as_str().unwrap();
    assert!(gap.contains("shard 1 of 3 is missing"));
    assert_eq!(json["run"]["shard"]["missing"], json!([1]));
    for file in ["report.html", "summary.md"] {
        let text = partly.text(file).replace('\\', "");
        assert!(text.contains("shard 1 of 3 is missing"), "{file}");
    }
    // What it says stays when it is rendered again.
    render(&nights.dir, &partly.run_dir())
        .args(["-o", "again"])
        .run()
        .expect(3)
        .prints(&["shard 1 of 3 is missing"]);
    // What was merged can be merged with the rest.
    let dir = shared_dir();
    let whole = merge(&dir, &[&partly.run_dir(), &runs[1]]).run().expect(0);
    assert_eq!(whole.json()["run"]["shard"], Value::Null);
    same(&at_once.run_dir(), &whole.run_dir());
}

#[test]
fn a_lost_shard_makes_nothing_new_or_resolved_and_removes_nothing() {
    let nights = quiet_accounts(12);
    for number in 1..=12 {
        nights.set(
            number,
            json!([disabled(number, &format!("d{number}.example"))]),
        );
    }
    let in_shard = |wanted: u64| (1..=12).find(|n| shard_of(&id(*n), 3) == wanted).unwrap();
    let (lost, kept) = (in_shard(1), in_shard(0));
    let first = merge(&nights.dir, &run_shards(&nights, 0, 3, &[0, 1, 2]))
        .run()
        .expect(0);
    assert_eq!(first.csv("findings.csv").len(), 12);
    // One account of each shard is gone: what the lost one had stays, since nobody looked.
    let gone = nights.remove(lost);
    nights.remove(kept);
    nights.serve();
    let second = merge(&nights.dir, &run_shards(&nights, 1, 3, &[0, 2]))
        .on_day(1)
        .run()
        .expect(3);
    let changes = |outcome: &Outcome| {
        outcome.lines("changes.csv", |row| {
            format!("{} {}", row["kind"], row["account_id"])
        })
    };
    let removed = |number| {
        vec![
            format!("account-removed {}", id(number)),
            format!("connector-removed {}", id(number)),
            format!("finding-resolved {}", id(number)),
        ]
    };
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let told: Vec<_> = sorted(changes(&second));
    assert!(
        told.iter().all(|line| line.ends_with(&id(kept))),
        "only the account that is gone from a shard that was read: {told:?}"
    );
    assert!(told.contains(&removed(kept)[0]));
    // On the third night all are read again.
    let third = merge(&nights.dir, &run_shards(&nights, 2, 3, &[0, 1, 2]))
        .on_day(2)
        .run()
        .expect(0);
    let told = sorted(changes(&third));
    assert!(told.contains(&removed(lost)[0]), "{told:?}");
    assert!(
        told.iter().all(|line| line.ends_with(&id(lost))),
        "{told:?}"
    );
    for row in third.csv("findings.csv") {
        assert_eq!(row["first_seen_utc"], "2026-11-21 10:15:00", "{row:?}");
        assert_eq!(row["change"], "existing");
    }
    drop(gone);
}

#[test]
fn shards_in_one_folder_remove_none_of_each_other_s_accounts() {
    let nights = quiet_accounts(12);
    let run = |day: i64, number: usize| {
        nights
            .bare(day)
            .arg("--accounts-file")
            .arg(listed(&nights))
            .args(["--shard", &format!("{number}/2")])
            .run()
            .expect(0)
    };
    for (day, number) in [(0, 0), (1, 1), (2, 0), (3, 1)] {
        let outcome = run(day, number);
        let kinds = outcome.column("changes.csv", "kind");
        assert!(!kinds.contains(&"account-removed".to_owned()), "{kinds:?}");
    }
    let gone = (1..=12).find(|n| shard_of(&id(*n), 2) == 0).unwrap();
    nights.remove(gone);
    let told = |outcome: Outcome| outcome.column("changes.csv", "kind");
    assert!(told(run(4, 1)).is_empty(), "it falls to the other shard");
    assert!(told(run(5, 0)).contains(&"account-removed".to_owned()));
}

#[test]
fn of_two_answers_the_whole_and_newest_one_is_taken_and_that_is_said() {
    let nights = Nights::of(&[
        (1, json!([connector(1, "old.example")])),
        (2, Value::Null),
        (3, json!([connector(3, "c.example")])),
    ]);
    let run = |day, folder: &str, numbers: &[usize]| {
        let output = nights.dir.path().join(folder);
        let program = nights.bare(day).args(numbers.iter().map(|n| id(*n)));
        program.arg("--output").arg(output).run().run_dir()
    };
    let early = run(0, "a", &[1, 2, 3]);
    nights.set(1, json!([connector(1, "new.example")]));
    nights.set(2, json!([connector(2, "b.example")]));
    nights.set(3, Value::Null);
    let late = run(1, "b", &[3, 2, 1]);
    for (n, runs) in [[&early, &late], [&late, &early]].into_iter().enumerate() {
        let dir = shared_dir();
        let merged = merge(&dir, &runs).run().expect(0).prints(&[
            "3 accounts are in several of the merged runs",
            "1 of these had different connectors in the runs that read it: ac000000000000000000000000000001.",
        ]);
        assert_eq!(
            merged.column("accounts.csv", "account_id"),
            if n == 0 {
                [id(1), id(2), id(3)]
            } else {
                [id(3), id(2), id(1)]
            },
            "as in the run that was given first"
        );
        let mut domains = merged.column("connectors.csv", "email_domain");
        domains.sort();
        assert_eq!(domains, ["b.example", "c.example", "new.example"]);
        let told = &merged.json()["run"]["merged"];
        assert_eq!(told["in_several"]["count"], 3);
        assert_eq!(told["differing"]["first"], json!([id(1)]));
        assert!(
            merged
                .text("report.html")
                .contains("had different connectors")
        );
    }
    // Merged again with one of them, no account is counted twice.
    let dir = shared_dir();
    let merged = merge(&dir, &[&early, &late]).run().expect(0).run_dir();
    let again = merge(&shared_dir(), &[&merged, &late]).run().expect(0);
    assert_eq!(again.json()["run"]["merged"]["in_several"]["count"], 3);
    // The same run twice is merged once.
    let dir = shared_dir();
    let once = merge(&dir, &[&early, &early]).run().expect(3);
    once.says(&["given more than once and is merged once"]);
}

#[test]
fn runs_of_several_operators_are_judged_together() {
    let nights = Nights::of(&[
        (1, json!([connector(1, "shared.example")])),
        (2, json!([connector(2, "shared.example")])),
    ]);
    let run = |number: usize| {
        let output = nights.dir.path().join(format!("operator{number}"));
        let run = nights.bare(0).arg(id(number)).arg("--output").arg(output);
        let run = run.run().expect(0);
        assert!(run.csv("findings.csv").is_empty());
        run.run_dir()
    };
    let merged = merge(&nights.dir, &[run(2), run(1)]).run().expect(0);
    assert_eq!(merged.column("accounts.csv", "account_id"), [id(2), id(1)]);
    assert_eq!(
        merged.column("findings.csv", "rule"),
        ["duplicate-domain", "duplicate-domain"]
    );
    let sources = &merged.json()["run"]["sources"];
    assert_eq!(
        *sources,
        json!([
            "the command line (1 account)",
            "the command line (1 account)"
        ])
    );
}

#[test]
fn runs_that_cannot_be_one_are_refused() {
    let nights = quiet_accounts(6);
    let runs = run_shards(&nights, 0, 2, &[0, 1]);
    let of_three = run_shards(&nights, 0, 3, &[0]).remove(0);
    let refused = |runs: &[&Path], texts: &[&str]| {
        let dir = shared_dir();
        merge(&dir, runs).run().expect(2).says(texts);
        let made = dir.path().join("reports").exists();
        assert!(!made, "nothing was written");
    };
    refused(
        &[&runs[0], &of_three],
        &[
            "is of 2 shards",
            "is of 3",
            "merge each set of shards separately",
        ],
    );
    let elsewhere = Server::of(vec![(id(1), json!([]))]);
    let other = audit(&elsewhere).arg(id(1)).run().expect(0);
    refused(
        &[&runs[0], &other.run_dir()],
        &["asked http://127.0.0.1", "two reports"],
    );
    let none = nights.dir.path().join("none");
    refused(&[&runs[0], &none], &["none", "evidence.jsonl"]);
    // Evidence that was changed since.
    let evidence = runs[1].join("evidence.jsonl");
    let text = fs::read_to_string(&evidence).unwrap();
    fs::write(&evidence, text.replace("\"retries\":5", "\"retries\":6")).unwrap();
    refused(
        &[&runs[0], &runs[1]],
        &["cannot be trusted", "has changed since the run"],
    );
    fs::write(&evidence, text).unwrap();
    // A run that is incomplete.
    let unfinished = nights.dir.path().join("20261121T101500Z.partial");
    fs::rename(runs[1].canonicalize().unwrap(), &unfinished).unwrap();
    refused(
        &[&runs[0], &unfinished],
        &["is an unfinished run", "audit --resume"],
    );
}

#[test]
fn shards_of_different_lists_are_said() {
    let nights = quiet_accounts(8);
    run_shards(&nights, 0, 2, &[0]);
    nights.set(9, json!([]));
    run_shards(&nights, 0, 2, &[1]);
    merge(&nights.dir, &newest(&nights, 2, &[0, 1]))
        .run()
        .expect(3)
        .prints(&["the shards were given 2 different lists (8, 9 accounts)"]);
}

#[test]
fn an_account_that_only_one_of_two_lists_has_is_not_removed() {
    let shared = |n| json!([connector(n, "shared.example")]);
    let gone = (1..=8).find(|n| shard_of(&id(*n), 2) == 1).unwrap();
    let kept = (1..=8).find(|n| shard_of(&id(*n), 2) == 0).unwrap();
    let nights = quiet_accounts(8);
    nights.set(gone, shared(gone));
    nights.set(kept, shared(kept));
    merge(&nights.dir, &run_shards(&nights, 0, 2, &[0, 1]))
        .run()
        .expect(0);
    // On the second night one shard gets a list without an account, which the other shard's list still names.
    run_shards(&nights, 1, 2, &[0]);
    let list = nights.remove(gone);
    run_shards(&nights, 1, 2, &[1]);
    let second = merge(&nights.dir, &newest(&nights, 2, &[0, 1]))
        .on_day(1)
        .run()
        .expect(3);
    assert_eq!(second.column("changes.csv", "kind"), [""; 0]);
    nights.set(gone, list);
    let third = merge(&nights.dir, &run_shards(&nights, 2, 2, &[0, 1]))
        .on_day(2)
        .run()
        .expect(0);
    assert_eq!(third.column("changes.csv", "kind"), [""; 0]);
    for row in third.csv("findings.csv") {
        assert_eq!(row["first_seen_utc"], "2026-11-21 10:15:00", "{row:?}");
        assert_eq!(row["change"], "existing");
    }
}

#[test]
fn a_shard_left_from_an_earlier_night_is_said() {
    let nights = quiet_accounts(4);
    run_shards(&nights, 0, 2, &[1]);
    run_shards(&nights, 1, 2, &[0]);
    let merged = merge(&nights.dir, &newest(&nights, 2, &[0, 1]));
    let said = "from 2026-11-21 10:15:00 to 2026-11-22 10:15:00 UTC";
    let outcome = merged.on_day(1).run().expect(0).prints(&[said]);
    assert!(outcome.text("report.html").contains(said));
}

#[test]
fn a_list_that_came_short_is_one_gap() {
    let nights = quiet_accounts(5);
    let world = nights.world.lock().unwrap().clone();
    nights.server.now(move |request| {
        if request.account().is_empty() {
            let accounts: Vec<_> = world.keys().map(|id| json!({"id": id})).collect();
            return enveloped(accounts.into(), json!({"total_count": 50}));
        }
        success(world[request.account()].clone())
    });
    for number in 0..2 {
        let outcome = shard(&nights, 0, &format!("{number}/2")).arg("--all-accounts");
        outcome.run().expect(3);
    }
    let merged = merge(&nights.dir, &newest(&nights, 2, &[0, 1]))
        .run()
        .expect(3);
    let gaps = merged.json()["coverage"]["gaps"].clone();
    assert_eq!(gaps.as_array().unwrap().len(), 1, "{gaps}");
    let sources = merged.json()["run"]["sources"].clone();
    assert_eq!(sources.as_array().unwrap().len(), 1, "{sources}");
}

#[test]
fn answers_older_than_those_of_the_folder_are_refused() {
    let nights = quiet_accounts(4);
    let old = run_shards(&nights, 0, 1, &[0])
        .remove(0)
        .canonicalize()
        .unwrap();
    let new = run_shards(&nights, 1, 1, &[0])
        .remove(0)
        .canonicalize()
        .unwrap();
    merge(&nights.dir, &[&new]).run().expect(0);
    let reports = nights.dir.path().join("reports");
    let before = contents(&reports);
    merge(&nights.dir, &[&old]).run().expect(2).says(&[
        "has newer answers of 4 of these accounts",
        "choose another folder with --output",
    ]);
    assert_eq!(contents(&reports), before);
    // The same once more is no older.
    let again = merge(&nights.dir, &[&new]).run().expect(0);
    assert!(again.csv("changes.csv").is_empty());
}

#[test]
fn a_resumed_run_keeps_its_shard() {
    let nights = quiet_accounts(30);
    let expected: Vec<_> = ids(30)
        .into_iter()
        .filter(|id| shard_of(id, 2) == 1)
        .collect();
    let last = usize::from_str_radix(&expected.last().unwrap()[2..], 16).unwrap();
    let gate = nights.hold(last);
    let named = |program: Program| program.args(ids(30));
    named(
        nights
            .bare(0)
            .args(["--shard", "1/2", "--concurrency", "1"]),
    )
    .killed_after(expected.len() - 1);
    gate.open();
    nights.serve();
    for other in ["0/2", "1/3"] {
        named(nights.bare(0).args(["--resume", "--shard", other]))
            .run()
            .expect(2)
            .says(&["was started with --shard 1/2", other]);
    }
    let program = named(nights.bare(0)).arg("--resume");
    let resumed = program.args(["--shard", "1/2"]).run().expect(0);
    assert_eq!(resumed.column("accounts.csv", "account_id"), expected);
    assert_eq!(nights.server.asked(), [id(last)]);
    // One that was begun without has none.
    let gate = nights.hold(30);
    named(nights.bare(1).args(["--concurrency", "1"])).killed_after(29);
    gate.open();
    nights.serve();
    named(nights.bare(1).args(["--resume", "--shard", "1/2"]))
        .run()
        .expect(2)
        .says(&["was started without --shard"]);
    named(nights.bare(1)).arg("--resume").run().expect(0);
}

#[test]
fn a_merge_that_is_stopped_leaves_nothing_and_one_that_is_killed_is_not_resumed() {
    let nights = quiet_accounts(4);
    let runs = run_shards(&nights, 0, 2, &[0, 1]);
    let reports = nights.dir.path().join("reports");
    let running = merge(&nights.dir, &runs).spawn_held_at("report.html");
    running.signal("TERM");
    let stopped = running.wait().expect(130);
    stopped.says(&["interrupted"]);
    assert!(names(&reports).is_empty(), "{:?}", names(&reports));
    merge(&nights.dir, &runs)
        .spawn_held_at("report.html")
        .kill();
    assert_eq!(names(&reports), ["20261121T101500Z.partial"]);
    nights
        .bare(0)
        .arg("--resume")
        .run()
        .expect(2)
        .says(&["was started by merge", "merge the runs again"]);
    let merged = merge(&nights.dir, &runs).run().expect(0);
    assert_eq!(merged.csv("accounts.csv").len(), 4);
    assert_eq!(latest(&reports), "20261121T101500Z-2");
}

#[test]
fn what_the_shards_looked_up_in_dns_is_joined() {
    let nights = Nights::new();
    for number in 1..=12 {
        let code = format!("cloudflare_dashboard_sso={}", connector_id(number));
        let fields = json!({"enabled": false, "verification": {"code": code, "status": "failed"}});
        let own = connector_with(number, &format!("d{number}.example"), fields.clone());
        let shared = connector_with(number + 100, "shared.example", fields);
        nights.set(number, json!([own, shared]));
    }
    nights.serve();
    let answer = |asked: &Asked| match asked.name.as_str() {
        "d3.example" | "shared.example" => {
            texts(["cloudflare_dashboard_sso=c0000000000000000000000000000003"])
        }
        _ => Says::NoData,
    };
    let (one, other) = (NameServer::new(answer), NameServer::new(answer));
    let file = listed(&nights);
    let check = |program: Program, resolver: &NameServer| {
        program
            .arg("--accounts-file")
            .arg(&file)
            .args(["--check-dns", "--dns-rate", "1000/1s", "--resolver"])
            .arg(resolver.address())
            .run()
            .expect(0)
    };
    let whole = nights.dir.path().join("whole");
    let at_once = check(nights.bare(0).arg("--output").arg(whole), &one);
    check(shard(&nights, 0, "0/2"), &one);
    // Each shard may ask the resolver of the machine that it is on.
    check(shard(&nights, 0, "1/2"), &other);
    let runs = newest(&nights, 2, &[0, 1]);
    let merged = merge(&nights.dir, &runs).run().expect(0);
    for file in ["dns_records.csv", "findings.csv", "connectors.csv"] {
        assert!(at_once.text(file) == merged.text(file), "{file}");
    }
    let asked = merged.json()["dns"]["resolvers"].clone();
    assert_eq!(asked, json!([one.address(), other.address()]));
    let names = |outcome: &Outcome| {
        let text = outcome.text("dns.jsonl");
        let lines = text.lines().skip(1);
        let mut names: Vec<_> = lines
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].to_string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&at_once), names(&merged), "each name once");
    // Rendered again it is the same.
    let again = nights.dir.path().join("again");
    let rendered = render(&nights.dir, &merged.run_dir())
        .arg("-o")
        .arg(&again)
        .run();
    rendered.expect(0);
    same(&merged.run_dir(), &again);
}

#[test]
fn fix_enables_nothing_for_a_shard_alone() {
    let nights = Nights::of(&[
        (1, json!([disabled(1, "a.example")])),
        (2, json!([disabled(2, "b.example")])),
        (3, json!([disabled(3, "c.example")])),
        (4, json!([disabled(4, "d.example")])),
    ]);
    let runs = run_shards(&nights, 0, 2, &[0, 1]);
    let plan = |run: &Path| {
        let program = program_in(&nights.dir, "fix").arg(run).arg("--enable");
        program.run().expect(0).stdout
    };
    let alone = plan(&runs[0]) + &plan(&runs[1]);
    let needs_all = "can only be enabled from a run that read every account";
    assert_eq!(alone.matches(needs_all).count(), 4, "{alone}");
    let merged = merge(&nights.dir, &runs).run().expect(0);
    let together = plan(&merged.run_dir());
    assert!(!together.contains(needs_all), "{together}");
}

#[test]
fn evidence_that_contradicts_itself_about_its_shard_is_refused() {
    let nights = quiet_accounts(6);
    let run = run_shards(&nights, 0, 2, &[0]).remove(0);
    let evidence = run.join("evidence.jsonl");
    let text = fs::read_to_string(&evidence).unwrap();
    for (from, to) in [
        ("\"of\":2", "\"of\":0"),
        ("\"of\":2", "\"of\":4294967295"),
        ("\"shards\":[0]", "\"shards\":[5]"),
        ("\"places\":[", "\"places\":[7,"),
    ] {
        assert!(text.contains(from));
        fs::write(&evidence, text.replace(from, to)).unwrap();
        let said = "line 1: contradicts itself about the shards";
        merge(&nights.dir, &[&run]).run().expect(2).says(&[said]);
        render(&nights.dir, &run).run().expect(2).says(&[said]);
    }
}

#[test]
fn the_accounts_of_organizations_are_divided_and_the_tree_is_one() {
    let server = crate::organizations::whole_tree();
    let dir = shared_dir();
    let audit = |output: &str| {
        let output = dir.path().join(output);
        let program = audit_in(&dir, &server).args(["--organization", "root"]);
        program.arg("--output").arg(output)
    };
    let at_once = audit("whole").run().expect(0);
    let shards: Vec<_> = ["0/2", "1/2"]
        .map(|shard| {
            audit(shard)
                .args(["--shard", shard])
                .run()
                .expect(0)
                .run_dir()
        })
        .into();
    let merged = merge(&dir, &shards).run().expect(0);
    same(&at_once.run_dir(), &merged.run_dir());
}

#[test]
fn runs_of_the_demo_are_merged() {
    let dir = shared_dir();
    let audit = |output: &str| {
        let output = dir.path().join(output);
        program_in(&dir, "audit")
            .arg("--demo")
            .arg("--output")
            .arg(output)
    };
    let shards: Vec<_> = ["0/2", "1/2"]
        .map(|shard| {
            audit(shard)
                .args(["--shard", shard])
                .run()
                .expect(0)
                .run_dir()
        })
        .into();
    let merged = merge(&dir, &shards).run().expect(0);
    assert_eq!(merged.csv("accounts.csv").len(), 42);
    assert_eq!(merged.json()["run"]["demo"], json!(true));
}

#[test]
fn a_shard_that_is_read_again_replaces_its_answers_in_a_whole_merged_run() {
    let nights = quiet_accounts(8);
    let runs = run_shards(&nights, 0, 2, &[0, 1]);
    let whole = merge(&nights.dir, &runs).run().expect(0).run_dir();
    let again = run_shards(&nights, 1, 2, &[1]).remove(0);
    let merged = merge(&nights.dir, &[whole, again])
        .on_day(1)
        .run()
        .expect(0);
    assert!(
        merged.stdout.starts_with("8 of 8 accounts read.\n"),
        "{}",
        merged.stdout
    );
    assert_eq!(merged.json()["run"]["shard"], Value::Null);
    // Merged by itself it is a run like any other.
    let both = merge(&nights.dir, &[merged.run_dir()])
        .on_day(2)
        .run()
        .expect(0);
    assert_eq!(both.json()["run"]["shard"], Value::Null);
}

#[test]
fn what_is_left_from_an_earlier_night_is_said_to_owners_and_when_merged_again() {
    let nights = quiet_accounts(4);
    run_shards(&nights, 0, 2, &[1]);
    run_shards(&nights, 1, 2, &[0]);
    let policy = format!("[[accounts]]\nid = \"{}\"\nowner = \"team\"\n", id(1));
    let split = |runs: &[PathBuf], day| {
        merge(&nights.dir, runs)
            .on_day(day)
            .policy(&policy)
            .args(["--split-by", "owner", "--format", "html,json,md"])
            .run()
            .expect(0)
    };
    let first = split(&newest(&nights, 2, &[0, 1]), 1);
    let again = split(&[first.run_dir()], 2);
    let said = "from 2026-11-21 10:15:00 to 2026-11-22 10:15:00 UTC";
    for run in [first.run_dir(), again.run_dir()] {
        for place in [run.clone(), run.join("by-owner/team")] {
            for file in ["report.html", "summary.md"] {
                let text = fs::read_to_string(place.join(file)).unwrap();
                assert!(text.contains(said), "{}/{file}", place.display());
            }
        }
    }
}

#[test]
fn shards_of_different_lists_pass_no_rule_about_all_accounts() {
    let nights = quiet_accounts(8);
    run_shards(&nights, 0, 2, &[0]);
    nights.set(9, json!([connector(9, "nine.example")]));
    run_shards(&nights, 0, 2, &[1]);
    let merged = merge(&nights.dir, &newest(&nights, 2, &[0, 1]))
        .args(["--format", "ocsf", "--ocsf-passes"])
        .run()
        .expect(3);
    let events = merged.text("report.ocsf.json");
    assert!(
        events.contains("\"Pass\"") && !events.contains("duplicate-domain"),
        "{events}"
    );
}
