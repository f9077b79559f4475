//! Every command of the documentation is run as it is printed, by a shell, against the simulated API; every policy,
//! accounts file and piece of JSON is read by the program.
//!
//! The account IDs and domains of the pages are the demo's, so a reader can run them all the same way.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cf_sso_audit::simulator::World;
use chrono::Utc;
use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::Simulated;
use crate::support::*;

/// Lines of `sh` blocks that are not run, as they stand without their comment, and why.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo run --release -- audit --demo",
        ".ci/run runs it; it builds",
    ),
    ("cargo test", ".ci/run runs it; it is this"),
    ("cargo install --locked --path .", "it builds and installs"),
    ("cargo build", "it builds"),
    ("cargo fmt", "it changes the source"),
    (
        "cargo clippy --all-targets --locked -- -D warnings",
        ".ci/run runs it; it builds",
    ),
    (
        "cargo test --locked --test it docs_commands::",
        "it is this",
    ),
    (".ci/run", "it runs this"),
    (
        "UPDATE_DOCS=1 cargo test --locked --test it docs_generated::",
        "it changes the documents",
    ),
    (
        "INSTA_UPDATE=always cargo test --locked --test it",
        "it changes the snapshots",
    ),
    (
        "export CLOUDFLARE_API_TOKEN=...",
        "the reader's own token belongs there; the test has set one",
    ),
    (
        "export FOXGLOVE_TOKEN=...",
        "the reader's own token belongs there; the test has set one",
    ),
    (
        "gh pr comment 12 --body-file reports/latest/summary.md",
        "it writes to GitHub",
    ),
    (
        "mail -s \"SSO connectors, $(date -I)\" compliance@example.com < reports/latest/summary.md",
        "it sends a mail",
    ),
    (
        "jq -Rs '{text: .}' reports/latest/summary.md | curl --fail --json @- \"$WEBHOOK_URL\"",
        "it writes to a chat",
    ),
    (
        "jq -c '{time: (.time / 1000), sourcetype: \"ocsf\", event: .}' reports/latest/report.ocsf.json | curl --fail --header @hec-header.txt --data-binary @- \"$HEC_URL/services/collector/event\"",
        "it writes to Splunk",
    ),
    (
        "aws s3 cp reports/latest/report.ocsf.json \"s3://$BUCKET/cf-sso-audit/$(basename \"$(readlink reports/latest)\").json\"",
        "it writes to a bucket",
    ),
    (
        "jq -c '.metadata.version = \"1.5.0\"' reports/latest/report.ocsf.json",
        "a bare machine has no jq",
    ),
];

/// The folder in which a reader would be, with the files that the pages name.
struct Desk {
    simulated: Simulated,
    dir: TempDir,
    /// What the clock is fixed to; `doctor` compares the API's with the machine's.
    epoch: Option<&'static str>,
}

const ACCOUNTS: &str = "account_id,account_name,owner,token_env
2a5a74ff96ae5d5d2665082ce4dd29ea,Calder Agency Services,gov-platform,
98c884396521676ae20a9d3bc6bb2ffd,Foxglove Media,j.doe,FOXGLOVE_TOKEN
";

impl Desk {
    /// At this moment.
    fn now() -> Self {
        Self::new(Simulated::start_at(Utc::now(), World::demo), None)
    }

    /// At the moment of all tests: the dates in policies lie before or behind it.
    fn then() -> Self {
        Self::new(Simulated::start(World::demo), Some(NOW))
    }

    fn new(simulated: Simulated, epoch: Option<&'static str>) -> Self {
        let desk = Self {
            simulated,
            dir: tempfile::tempdir().unwrap(),
            epoch,
        };
        let place = |path: &str| {
            let path = desk.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        fs::write(place("accounts.csv"), ACCOUNTS).unwrap();
        fs::write(place("policy.toml"), "[defaults]\nfedramp = \"required\"\n").unwrap();
        fs::copy(
            project().join("tests/tls/ca.pem"),
            place("corporate-root.pem"),
        )
        .unwrap();
        let token = place(".config/cf-sso-audit-token");
        fs::write(&token, TOKEN).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(
            env!("CARGO_BIN_EXE_cf-sso-audit"),
            place("bin/cf-sso-audit"),
        )
        .unwrap();
        // What stands for programs of the reader's.
        for (name, script) in [
            ("list-accounts", "tail -n +2 accounts.csv | cut -d, -f1"),
            (
                "op",
                "[ \"$*\" = 'read op://vault/cloudflare/token' ] && cat ~/.config/cf-sso-audit-token",
            ),
        ] {
            let path = place(&format!("bin/{name}"));
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        desk
    }

    /// Two runs, of which the last is `latest`, judged by the policy.
    fn audit_twice(&self) {
        const AUDIT: &str =
            "cf-sso-audit audit --accounts-file accounts.csv --policy policy.toml --quiet";
        let mut first = self.shell(AUDIT);
        first.env("SOURCE_DATE_EPOCH", epoch("2026-11-20T23:00:00Z"));
        for mut audit in [first, self.shell(AUDIT)] {
            let output = audit.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        assert!(self.dir.path().join("reports/20261120T230000Z").is_dir());
    }

    /// A shell with a script, in the folder and the environment of the reader.
    fn shell(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", format!("{}/bin:{path}", self.dir.path().display()))
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .env("CLOUDFLARE_BASE_URL", self.simulated.running.base_url())
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .env("FOXGLOVE_TOKEN", TOKEN)
            .stdin(Stdio::null());
        if let Some(epoch) = self.epoch {
            shell.env("SOURCE_DATE_EPOCH", epoch);
        }
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            shell.env("LLVM_PROFILE_FILE", profile);
        }
        shell
    }

    fn run(&self, script: &str) -> Output {
        self.shell(script).output().unwrap()
    }

    /// The line as it can be run here.
    fn here(&self, line: &str) -> String {
        let resolver = self.simulated.running.resolver().to_string();
        let mut line = line
            // Nobody answers at addresses that are set aside for documentation.
            .replace("192.0.2.53", &resolver)
            .replace("198.51.100.53", &resolver)
            // The port may be taken.
            .replace("127.0.0.1:8080", "127.0.0.1:0");
        // The machine's own resolver knows nothing of made-up domains, and is not to be asked.
        if line.contains("--check-dns") && !line.contains("--resolver") {
            line += &format!(" --resolver {resolver}");
        }
        line
    }

    /// Leaves an unfinished run behind, which `--resume` resumes: after five requests the rate holds it up.
    fn interrupt_a_run(&self) {
        let mut audit = self
            .shell("exec cf-sso-audit audit --all-accounts --rate 5/60s --quiet")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let reports = self.dir.path().join("reports");
        let lines = |folder: PathBuf| {
            let evidence = fs::read_to_string(folder.join("evidence.jsonl")).unwrap_or_default();
            evidence.lines().count()
        };
        wait_until("a run has begun", || {
            let folders = fs::read_dir(&reports).unwrap();
            let mut partial = folders
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|end| end == "partial"));
            partial.any(|folder| lines(folder) > 1)
        });
        send_signal("INT", audit.id());
        assert_eq!(audit.wait().unwrap().code(), Some(130));
    }

    /// Starts a server, and ends it as Ctrl-C does once it serves.
    fn serve(&self, script: &str) -> Output {
        let mut server = self
            .shell(&format!("exec {script}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        // The address of its name server comes last, and then it serves.
        if first.starts_with("export CLOUDFLARE_BASE_URL=http://127.0.0.1:") {
            let resolver =
                lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("--resolver")));
            assert!(resolver.is_some(), "{script}");
            send_signal("INT", server.id());
        }
        let mut output = server.wait_with_output().unwrap();
        output.stdout = first.into_bytes();
        output
    }
}

/// A line of a block without its comment, and the exit code that the comment says.
fn command_and_code(line: &str) -> (&str, i32) {
    if line.starts_with('#') {
        return ("", 0);
    }
    let (command, comment) = line.split_once(" #").unwrap_or((line, ""));
    let code = comment.split_once("exits with ").map_or(0, |(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    });
    (command.trim(), code)
}

/// What came of the commands of some pages.
#[derive(Default)]
struct Tried {
    run: usize,
    codes: BTreeSet<i32>,
    passed_over: BTreeSet<&'static str>,
    wrong: Vec<String>,
}

impl Tried {
    fn page(&mut self, page: &Page) {
        let blocks = page.blocks();
        let mut blocks = blocks
            .iter()
            .filter(|block| block.language == "sh")
            .peekable();
        if blocks.peek().is_none() {
            return;
        }
        let desk = Desk::now();
        if page.text.contains("reports/") {
            desk.audit_twice();
        }
        for block in blocks {
            // What a reader has exported by then.
            let mut exports = String::new();
            for (number, line) in &block.lines {
                let (command, code) = command_and_code(line);
                let place = format!("{}:{number}: {command}", page.path);
                assert!(!command.ends_with('\\'), "{place}: give it one line");
                let first = command.split(' ').next();
                let not_run = NOT_RUN
                    .iter()
                    .find(|(line, _)| *line == command)
                    .or_else(|| OTHER_PROGRAMS.iter().find(|(name, _)| Some(*name) == first));
                if let Some((line, _)) = not_run {
                    self.passed_over.insert(line);
                } else if !command.is_empty() {
                    self.command(
                        &desk,
                        &place,
                        &format!("{exports}{}", desk.here(command)),
                        code,
                    );
                }
                if command.starts_with("export ") && not_run.is_none() {
                    exports += &format!("{command}\n");
                }
            }
        }
    }

    fn command(&mut self, desk: &Desk, place: &str, script: &str, code: i32) {
        if script.contains("--resume") {
            desk.interrupt_a_run();
        }
        let output = match script.starts_with("cf-sso-audit simulate") {
            true => desk.serve(script),
            false => desk.run(script),
        };
        if output.status.code() != Some(code) {
            self.wrong.push(format!(
                "{place}\nexpected the exit code {code}, and not {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        self.run += 1;
        self.codes.insert(code);
    }
}

#[test]
fn every_command_of_the_pages_does_as_they_say() {
    let pages = pages();
    let mut tried = Tried::default();
    for page in &pages {
        tried.page(page);
    }
    assert!(tried.wrong.is_empty(), "{}", tried.wrong.join("\n\n"));
    assert!(tried.run > 50, "only {} commands were run", tried.run);
    assert!(
        tried.codes.is_superset(&BTreeSet::from([0, 1, 2, 3, 10])),
        "{:?}",
        tried.codes
    );
    let listed: BTreeSet<_> = NOT_RUN
        .iter()
        .chain(OTHER_PROGRAMS)
        .map(|(line, _)| *line)
        .collect();
    let stale: Vec<_> = listed.difference(&tried.passed_over).collect();
    assert!(
        stale.is_empty(),
        "no page has these lines any more: {stale:?}"
    );
}

#[test]
fn every_accounts_file_of_the_pages_names_accounts_that_can_be_read() {
    let desk = Desk::then();
    let mut files = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "csv") {
            fs::write(desk.dir.path().join("given.csv"), block.text()).unwrap();
            let output = desk.run("cf-sso-audit audit --accounts-file given.csv");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.starts_with("2 of 2 accounts read."),
                "{}:\n{}{said}{}",
                page.path,
                block.text(),
                String::from_utf8_lossy(&output.stderr)
            );
            files += 1;
        }
    }
    assert!(files >= 3, "only {files} found");
}

/// `report.json` of a run, without what says how it was made.
fn report_of(run: &Path) -> Value {
    let bytes = fs::read(run.join("report.json")).unwrap();
    let mut report: Value = serde_json::from_slice(&bytes).unwrap();
    report.as_object_mut().unwrap().remove("run");
    report
}

#[test]
fn every_policy_of_the_pages_is_valid_warns_of_nothing_and_changes_the_report() {
    let desk = Desk::then();
    let audited = desk.run("cf-sso-audit audit --all-accounts --quiet");
    assert!(audited.status.success());
    let reports = desk.dir.path().join("reports");
    let before = report_of(&reports.join("latest"));
    let mut policies = 0;
    for page in pages() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "toml")
        {
            fs::write(desk.dir.path().join("given.toml"), block.text()).unwrap();
            let judged = format!("judged-{policies}");
            let output = desk.run(&format!(
                "cf-sso-audit render reports/latest --policy given.toml --format json --output {judged}"
            ));
            let said = String::from_utf8_lossy(&output.stderr);
            let place = format!("{}:\n{}", page.path, block.text());
            assert!(output.status.success() && said.is_empty(), "{place}{said}");
            let after = report_of(&desk.dir.path().join(&judged));
            assert_ne!(before, after, "{place}does nothing to the demo's report");
            policies += 1;
        }
    }
    assert!(policies >= 7, "only {policies} found");
}

/// Every key of the piece is in the whole, at the same place.
#[track_caller]
fn keys_are_in(piece: &Value, whole: &Value, place: &str) {
    for (key, value) in piece.as_object().into_iter().flatten() {
        let found = whole.get(key);
        assert!(found.is_some(), "report.json has no {place}{key}");
        keys_are_in(value, found.unwrap(), &format!("{place}{key}."));
    }
}

#[test]
fn every_piece_of_json_of_the_pages_is_of_the_report() {
    let desk = Desk::then();
    assert!(
        desk.run("cf-sso-audit audit --all-accounts")
            .status
            .success()
    );
    let bytes = fs::read(desk.dir.path().join("reports/latest/report.json")).unwrap();
    let whole: Value = serde_json::from_slice(&bytes).unwrap();
    let mut pieces = 0;
    for page in pages() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "json")
        {
            let piece: Value = serde_json::from_str(&block.text()).unwrap();
            keys_are_in(&piece, &whole, "");
            pieces += 1;
        }
    }
    assert!(pieces > 0);
}
