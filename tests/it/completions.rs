//! Completion as people have it: the script in a real shell, a key pressed, and what the line became.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::*;

/// Whether a shell is on this machine; where it is not, the test says so.
fn has(shell: &str) -> bool {
    let found = Command::new(shell).args(["-c", "exit"]).status().is_ok();
    if !found {
        not_tried(&format!("{shell} is not on this machine"));
    }
    found
}

/// A folder with the program and its completion script for a shell.
fn folder(shell: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let program_path = env!("CARGO_BIN_EXE_cf-sso-audit");
    std::os::unix::fs::symlink(program_path, dir.path().join("cf-sso-audit")).unwrap();
    let script = program("completions").arg(shell).run().expect(0).stdout;
    std::fs::write(dir.path().join("script"), script).unwrap();
    dir
}

/// A command with only what a shell needs, and the program in its path.
fn command(name: &str, dir: &Path) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", format!("{}:{path}", dir.display()))
        .env("HOME", dir)
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(dir);
    command
}

/// What a shell shows on a terminal while this is typed.
fn typed(shell: &str, setup: &str, keys: &str, dir: &Path) -> String {
    let mut child = command("script", dir)
        .args([
            "-qefc",
            &format!("stty cols 200; exec {shell}"),
            "/dev/null",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The shell's own words for the end of the setting up, so that none of the keys is typed before.
    write!(stdin, "{setup}\n{keys}\nexit\n").unwrap();
    drop(stdin);
    let shown = child.wait_with_output().unwrap().stdout;
    String::from_utf8_lossy(&shown).into_owned()
}

/// The same words in each shell: what is typed before the key, and what the program that is run then prints.
const COMPLETED: [(&str, &str); 4] = [
    // A subcommand and an argument of it.
    ("cf-sso-audit ru\tunexp\t", "unexpected-domain: "),
    ("cf-sso-audit rules enabled\t", "enabled-unverified: "),
    // An option of a subcommand, and its value.
    (
        "cf-sso-audit audit --demo --forma\t jso\t --he\t",
        "Audit many accounts",
    ),
    (
        "cf-sso-audit connector begin\t --hel\t",
        "cf-sso-audit connector begin-verification",
    ),
];

#[test]
fn bash_completes_subcommands_options_values_and_rules() {
    let dir = folder("bash");
    for (keys, printed) in COMPLETED {
        let shown = typed("bash --norc --noprofile -i", ". ./script", keys, dir.path());
        assert!(shown.contains(printed), "{keys:?}: {shown}");
    }
    // Twice where there are several: a list of all.
    let shown = typed(
        "bash --norc --noprofile -i",
        ". ./script",
        "cf-sso-audit rules un\t\t",
        dir.path(),
    );
    // What follows is what the program says of the half of a word.
    let shown = shown.split("error: ").next().unwrap();
    for rule in ["unverified-domain", "unread-account", "unknown-value"] {
        assert!(shown.contains(rule), "{rule}: {shown}");
    }
}

#[test]
fn zsh_completes_subcommands_options_values_and_rules() {
    if !has("zsh") {
        return;
    }
    let dir = folder("zsh");
    let setup = "autoload -U compinit; compinit -u -D; . ./script";
    for (keys, printed) in COMPLETED {
        let shown = typed("zsh -f -i", setup, keys, dir.path());
        assert!(shown.contains(printed), "{keys:?}: {shown}");
    }
}

#[test]
fn fish_completes_subcommands_options_values_and_rules() {
    if !has("fish") {
        return;
    }
    let dir = folder("fish");
    for (line, offered) in [
        ("cf-sso-audit ru", "rules\t"),
        ("cf-sso-audit rules unexp", "unexpected-domain\t"),
        ("cf-sso-audit audit --forma", "--format\t"),
        ("cf-sso-audit audit --format jso", "json"),
        ("cf-sso-audit connector begin", "begin-verification\t"),
    ] {
        let shown = command("fish", dir.path())
            .args([
                "--no-config",
                "-c",
                "source script; complete -C $argv[1]",
                line,
            ])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.starts_with(offered), "{line}: {shown}");
    }
}

#[test]
fn the_manual_has_its_sections() {
    let shown = program("man").run().expect(0).stdout;
    let sections = |page: &str| -> Vec<String> {
        let heads = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        heads
            .map(|head| head.trim_matches('"').to_owned())
            .collect()
    };
    assert_eq!(
        sections(&shown),
        [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "SUBCOMMANDS",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES"
        ]
    );
    for said in [
        "CLOUDFLARE_API_TOKEN",
        "SOURCE_DATE_EPOCH",
        "130",
        "evidence.jsonl",
        "connectors.csv",
    ] {
        assert!(shown.contains(said), "{said}");
    }
    let dir = shared_dir();
    let man = program_in(&dir, "man").args(["--output", "pages"]);
    man.run().expect(0);
    let page = |name: &str| std::fs::read_to_string(dir.path().join("pages").join(name)).unwrap();
    let audit = page("cf-sso-audit-audit.1");
    for section in [
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
        "SEE ALSO",
    ] {
        assert!(
            sections(&audit).iter().any(|head| head == section),
            "{section}"
        );
    }
    // Of the variables of the API only where it is asked.
    assert!(!page("cf-sso-audit-rules.1").contains("CLOUDFLARE_API_TOKEN"));
    page("cf-sso-audit-connector-begin-verification.1");
}
