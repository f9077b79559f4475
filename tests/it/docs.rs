//! The README, Cargo.toml and the binary say the same.

use std::collections::{BTreeMap, BTreeSet};

use cf_sso_audit::cli::{command, exit};
use cf_sso_audit::outcome::ErrorKind;
use cf_sso_audit::policy::Policy;
use cf_sso_audit::report::{FORMATS, files_with_columns, files_written};
use cf_sso_audit::rules::RULES;

const README: &str = include_str!("../../README.md");
const MANIFEST: &str = include_str!("../../Cargo.toml");
const PROGRAM: &str = "cf-sso-audit";

// --- Reading the README

/// The lines of all code blocks, those that end with a backslash joined with the next.
fn code_lines(markdown: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut in_code, mut goes_on) = (false, false);
    for line in markdown.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
            goes_on = false;
        } else if in_code {
            let (text, more) = match line.strip_suffix('\\') {
                Some(text) => (text, true),
                None => (line, false),
            };
            match lines.last_mut().filter(|_| goes_on) {
                Some(last) => last.push_str(text),
                None => lines.push(text.to_owned()),
            }
            goes_on = more;
        }
    }
    assert!(!in_code, "a code block does not end");
    lines
}

/// The words of the program's own command in a shell line, the program's name first; `None` where there is none. The
/// program may stand behind variables, a path, a pipe or `ExecStart=`, and before a redirection or another command.
fn program_words(line: &str) -> Option<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let words: Vec<_> = line
        .split_whitespace()
        .map(|word| word.trim_start_matches("ExecStart="))
        .skip_while(|word| word.rsplit('/').next() != Some(PROGRAM))
        .take_while(|word| !word.contains(['|', '>', '<', ';', '&']))
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
        .collect();
    // A path that ends with the name and has nothing behind it is a file, not a command.
    (words.len() > 1).then_some(words)
}

/// What is between backticks on lines that are no code block.
fn code_spans(markdown: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut spans = Vec::new();
    for line in markdown.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    spans
}

/// The words of a command in the text: the program's name may be left out, as in `audit --demo`.
fn command_span(span: &str) -> Option<Vec<String>> {
    let (first, rest) = span.split_once(' ')?;
    if command().find_subcommand(first).is_some() {
        let words = rest.split_whitespace().map(str::to_owned);
        return Some(
            [PROGRAM, first]
                .map(str::to_owned)
                .into_iter()
                .chain(words)
                .collect(),
        );
    }
    program_words(span)
}

/// The rows of the table whose first head is given, under a heading that ends with `section`, each as its cells. Backticks
/// are taken off.
fn table(section: &str, head: &str) -> Vec<Vec<String>> {
    let mut lines = README
        .lines()
        .skip_while(|line| !(line.starts_with('#') && line.trim_end().ends_with(section)))
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    let start = format!("| {head} |");
    assert!(
        lines.any(|line| line.starts_with(&start)),
        "the section {section:?} has no table headed {head:?}"
    );
    let rows: Vec<Vec<String>> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let line = line
                .trim_matches('|')
                .replace("\\|", "\u{0}")
                .replace('`', "");
            line.split('|')
                .map(|cell| cell.trim().replace('\u{0}', "|"))
                .collect()
        })
        .collect();
    assert!(
        !rows.is_empty(),
        "the table {head:?} of {section:?} is empty"
    );
    rows
}

fn first_cells(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().map(|row| row[0].as_str()).collect()
}

/// The long options of a command, those that every one has included; without `--help` and `--version`.
fn options_of(command: &clap::Command) -> BTreeSet<String> {
    command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .filter_map(|argument| argument.get_long())
        .filter(|long| !["help", "version"].contains(long))
        .map(|long| format!("--{long}"))
        .collect()
}

/// The options of `audit`.
fn options_of_audit() -> BTreeSet<String> {
    let mut program = command();
    program.build();
    options_of(program.find_subcommand("audit").unwrap())
}

/// The options of a command and of all below it.
fn options_within(command: &clap::Command) -> BTreeSet<String> {
    let mut found = options_of(command);
    for subcommand in command.get_subcommands() {
        found.extend(options_within(subcommand));
    }
    found
}

/// The long options in a text.
fn options_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.split(|c| !is_part(c))
        .filter(|word| word.len() > 2 && word.starts_with("--") && !word.starts_with("---"))
        .map(str::to_owned)
        .collect()
}

// --- Commands and options

#[test]
fn every_command_line_of_the_readme_is_understood() {
    command().debug_assert();
    let lines: Vec<_> = code_lines(README)
        .iter()
        .filter_map(|line| program_words(line))
        .collect();
    assert!(lines.len() >= 8, "only {} command lines found", lines.len());
    for words in lines {
        if let Err(error) = command().try_get_matches_from(&words) {
            panic!("{}: {error}", words.join(" "));
        }
    }
}

#[test]
fn every_command_that_the_text_names_is_there() {
    let named: Vec<_> = code_spans(README)
        .into_iter()
        .filter_map(command_span)
        .collect();
    assert!(named.len() >= 3, "{named:?}");
    for words in named {
        match command().try_get_matches_from(&words) {
            // The text may leave out what a command needs besides, as in `fix --apply`.
            Err(error) if error.kind() == clap::error::ErrorKind::MissingRequiredArgument => {}
            Err(error) => panic!("{}: {error}", words.join(" ")),
            Ok(_) => {}
        }
    }
}

#[test]
fn every_subcommand_is_shown_in_use() {
    let mut shown: Vec<_> = code_lines(README)
        .iter()
        .filter_map(|line| program_words(line))
        .collect();
    shown.extend(code_spans(README).into_iter().filter_map(command_span));
    for subcommand in command().get_subcommands() {
        let name = subcommand.get_name();
        assert!(
            shown.iter().any(|words| words[1] == name),
            "the README shows no use of `{PROGRAM} {name}`"
        );
    }
}

#[test]
fn the_options_of_audit_are_those_of_the_table() {
    let rows = table("Options of `audit`", "option");
    let described: BTreeSet<_> = rows.iter().flat_map(|row| options_in(&row[0])).collect();
    assert_eq!(described, options_of_audit());
}

#[test]
fn the_defaults_of_the_table_are_the_binary_s() {
    let mut program = command();
    program.build();
    let audit = program.find_subcommand("audit").unwrap();
    let mut compared = 0;
    for row in table("Options of `audit`", "option") {
        let Some(long) = options_in(&row[0]).pop_first() else {
            continue;
        };
        let argument = audit
            .get_arguments()
            .find(|argument| argument.get_long() == Some(&long[2..]))
            .unwrap();
        let takes_value = argument.get_action().takes_values();
        let defaults: Vec<_> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        if takes_value && !defaults.is_empty() {
            assert_eq!(row[1], defaults.join(","), "the default of {long}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "only {compared} defaults compared");
}

#[test]
fn every_option_that_the_readme_mentions_exists() {
    let mut known = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    let mut program = command();
    program.build();
    known.extend(options_within(&program));
    // Other programs have options of their own.
    let mut mentioned: BTreeSet<String> = code_spans(README)
        .into_iter()
        .filter(|span| span.starts_with('-') || command_span(span).is_some())
        .flat_map(options_in)
        .collect();
    for words in code_lines(README)
        .iter()
        .filter_map(|line| program_words(line))
    {
        mentioned.extend(options_in(&words.join(" ")));
    }
    assert!(mentioned.len() >= 15, "{mentioned:?}");
    let unknown: Vec<_> = mentioned.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_summary_of_the_readme_is_that_of_the_demo() {
    let (_, rest) = README.split_once("```text\n42 of").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_cf-sso-audit"))
        .args(["audit", "--demo"])
        .current_dir(&dir)
        .env("SOURCE_DATE_EPOCH", "1795256100")
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(
        String::from_utf8(run.stdout).unwrap(),
        format!("42 of{shown}")
    );
}

// --- Tables

#[test]
fn the_table_of_rules_is_the_list_of_rules() {
    let rows = table("Rules", "rule");
    let described: Vec<_> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[1].as_str()))
        .collect();
    let rules: Vec<_> = RULES
        .iter()
        .map(|rule| (rule.id, rule.severity.as_str()))
        .collect();
    assert_eq!(described, rules);
    assert!(rows.iter().all(|row| row[2].len() > 10));
}

#[test]
fn the_tables_of_columns_are_the_files_columns() {
    for (file, columns) in files_with_columns() {
        let rows = table(&format!("`{file}`"), "column");
        assert_eq!(first_cells(&rows), columns, "{file}");
        for row in &rows {
            assert!(
                row.len() == 3 && row.iter().all(|cell| !cell.is_empty()),
                "{file}: {row:?}"
            );
        }
    }
}

#[test]
fn the_table_of_files_is_what_a_run_writes() {
    let rows = table("A run's directory", "file");
    let described: BTreeSet<_> = first_cells(&rows).into_iter().collect();
    let all: Vec<_> = FORMATS.iter().collect();
    let written = files_written(&all, true);
    assert_eq!(described, written.iter().map(|(file, _)| *file).collect());
    let of_format: BTreeMap<_, _> = FORMATS
        .iter()
        .flat_map(|format| {
            format
                .files
                .iter()
                .map(move |(file, _)| (*file, format.name))
        })
        .collect();
    for row in &rows {
        let wanted = match of_format.get(row[0].as_str()) {
            Some(format) => format!("--format {format}"),
            None => "always".to_owned(),
        };
        assert_eq!(row[2], wanted, "{}", row[0]);
    }
}

#[test]
fn the_exit_codes_are_the_binary_s() {
    let rows = table("Exit codes", "code");
    let described: Vec<u8> = first_cells(&rows)
        .iter()
        .map(|code| code.parse().unwrap())
        .collect();
    assert_eq!(
        described,
        [
            exit::DONE,
            exit::FAILED,
            exit::USAGE,
            exit::INCOMPLETE,
            exit::FINDINGS,
            exit::INTERRUPTED
        ]
    );
    let mut program = command();
    let help = program.render_long_help().to_string();
    let codes = help.split_once("Exit codes:").unwrap().1;
    for code in described {
        assert!(
            codes
                .split(|c: char| !c.is_ascii_digit())
                .any(|number| number.parse() == Ok(code)),
            "--help does not tell of the exit code {code}"
        );
    }
}

#[test]
fn every_csv_dialect_is_described() {
    let mut program = command();
    program.build();
    let audit = program.find_subcommand("audit").unwrap();
    let dialect = audit
        .get_arguments()
        .find(|argument| argument.get_long() == Some("csv-dialect"))
        .unwrap();
    let names: Vec<_> = dialect
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    assert_eq!(
        first_cells(&table("Spreadsheets", "`--csv-dialect`")),
        names
    );
}

#[test]
fn every_kind_of_error_is_described() {
    // What serde says of an unknown kind names all that are known.
    let refusal = serde_json::from_str::<ErrorKind>(r#""?""#)
        .unwrap_err()
        .to_string();
    let (_, known) = refusal.split_once("expected one of").unwrap();
    let kinds: Vec<_> = known.split('`').skip(1).step_by(2).collect();
    assert!(kinds.len() > 8, "{refusal}");
    let rows = table("Why an account was not read whole", "`error_kind`");
    assert_eq!(first_cells(&rows), kinds);
}

#[test]
fn the_policy_of_the_readme_is_a_valid_one() {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    let (policy, _) = rest.split_once("```").unwrap();
    if let Err(error) = Policy::parse("README.md", policy.as_bytes()) {
        panic!("{error}");
    }
}

// --- Links and the manifest

#[test]
fn what_the_readme_links_to_and_shows_is_there() {
    let targets = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let mut files = 0;
    for target in targets.filter(|target| !target.starts_with("http")) {
        match target.strip_prefix('#') {
            Some(anchor) => {
                let found = README
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| {
                        let title = line.trim_start_matches('#').trim().to_lowercase();
                        title.replace(' ', "-") == anchor
                    });
                assert!(found, "there is no heading {anchor:?}");
            }
            None => {
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
                assert!(path.exists(), "there is no {target}");
                files += 1;
            }
        }
    }
    assert!(files >= 4);
}

#[test]
fn every_file_of_the_house_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let house = README.split_once("## The house").unwrap().1;
    let paths: Vec<_> = code_lines(house)
        .iter()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|word| word.contains('/'))
        .collect();
    assert!(paths.len() > 10);
    for path in paths {
        assert!(root.join(&path).exists(), "there is no {path}");
    }
}

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let (mut in_dependencies, mut reasons, mut before) = (false, BTreeMap::new(), "");
    for line in MANIFEST.lines() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies
            && let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let reason = before.strip_prefix('#').unwrap_or_default().trim();
            assert!(
                reason.len() > 5,
                "Cargo.toml: the line above the dependency {} says no reason for it",
                name.trim()
            );
            reasons.insert(reason, name.trim());
        }
        before = line;
    }
    assert!(
        reasons.len() > 20,
        "only {} dependencies found",
        reasons.len()
    );
}
