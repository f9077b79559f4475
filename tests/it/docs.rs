//! The README, the pages under docs/, Cargo.toml and the binary say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cf_sso_audit::cli::{command, exit};
use cf_sso_audit::dns::DnsTxt;
use cf_sso_audit::outcome::ErrorKind;
use cf_sso_audit::report::{FORMATS, files_with_columns, files_written};
use cf_sso_audit::simulator::TroubleShare;

use crate::support::*;

const MANIFEST: &str = include_str!("../../Cargo.toml");
const PROGRAM: &str = "cf-sso-audit";

// --- Reading the pages

/// The lines of all code blocks of all pages.
fn code_lines() -> Vec<String> {
    let blocks = pages().into_iter().flat_map(|page| page.blocks());
    blocks
        .flat_map(|block| block.lines)
        .map(|(_, line)| line)
        .collect()
}

/// The words of the program's own command in a shell line, the program's name first; `None` where there is none. The
/// program may stand behind variables, a path, a pipe or `ExecStart=`, and before a redirection or another command.
fn program_words(line: &str) -> Option<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let words: Vec<_> = line
        .split_whitespace()
        .map(|word| word.trim_start_matches("ExecStart="))
        .collect();
    let is_program = |word: &&str| word.rsplit('/').next() == Some(PROGRAM);
    // To another program its name may be that of a file, an image or a user.
    let is_others = words
        .first()
        .is_some_and(|first| OTHER_PROGRAMS.iter().any(|(name, _)| name == first));
    let begins = words.iter().enumerate().position(|(i, word)| {
        let next = words.get(i + 1);
        is_program(word)
            && (!is_others || next.is_some_and(|next| command().find_subcommand(next).is_some()))
    })?;
    let words: Vec<_> = words[begins..]
        .iter()
        .take_while(|word| !word.contains(['|', '>', '<', ';', '&']))
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
        .collect();
    // A path that ends with the name and has nothing behind it is a file, not a command.
    (words.len() > 1).then_some(words)
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

/// What is between backticks on all pages but the one of messages, which quotes them.
fn code_spans() -> Vec<String> {
    let pages = pages();
    let others = pages
        .iter()
        .filter(|page| page.path != "docs/troubleshooting.md");
    let spans = others.flat_map(|page| page.code_spans());
    spans.map(str::to_owned).collect()
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
fn every_command_line_of_the_pages_is_understood() {
    command().debug_assert();
    let lines: Vec<_> = code_lines()
        .iter()
        .filter_map(|line| program_words(line))
        .collect();
    assert!(
        lines.len() >= 50,
        "only {} command lines found",
        lines.len()
    );
    for words in lines {
        if let Err(error) = command().try_get_matches_from(&words) {
            panic!("{}: {error}", words.join(" "));
        }
    }
}

#[test]
fn every_command_that_the_text_names_is_there() {
    let named: Vec<_> = code_spans()
        .iter()
        .filter_map(|span| command_span(span))
        .collect();
    assert!(named.len() >= 8, "{named:?}");
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
    let mut shown: Vec<_> = code_lines()
        .iter()
        .filter_map(|line| program_words(line))
        .collect();
    shown.extend(code_spans().iter().filter_map(|span| command_span(span)));
    for subcommand in command().get_subcommands() {
        let name = subcommand.get_name();
        assert!(
            shown.iter().any(|words| words[1] == name),
            "no page shows a use of `{PROGRAM} {name}`"
        );
    }
}

#[test]
fn the_options_of_audit_are_those_of_the_table() {
    let rows = page("docs/options.md").table("All options", "option");
    let described: BTreeSet<_> = rows.iter().flat_map(|row| options_in(&row[0])).collect();
    assert_eq!(described, options_of_audit());
}

#[test]
fn the_defaults_of_the_table_are_the_binary_s() {
    let mut program = command();
    program.build();
    let audit = program.find_subcommand("audit").unwrap();
    let mut compared = 0;
    for row in page("docs/options.md").table("All options", "option") {
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
fn every_option_that_the_pages_mention_exists() {
    let mut known = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    let mut program = command();
    program.build();
    known.extend(options_within(&program));
    // Other programs have options of their own.
    let mut mentioned: BTreeSet<String> = code_spans()
        .iter()
        .filter(|span| span.starts_with('-') || command_span(span).is_some())
        .flat_map(|span| options_in(span))
        .collect();
    for words in code_lines().iter().filter_map(|line| program_words(line)) {
        mentioned.extend(options_in(&words.join(" ")));
    }
    assert!(mentioned.len() >= 15, "{mentioned:?}");
    let unknown: Vec<_> = mentioned.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

// --- Tables

#[test]
fn the_tables_of_columns_are_the_files_columns() {
    let columns = page("docs/columns.md");
    for (file, names) in files_with_columns() {
        let rows = columns.table(file, "column");
        assert_eq!(first_cells(&rows), names, "{file}");
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
    let rows = page("docs/columns.md").table("A run's directory", "file");
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
    let rows = page("docs/exit-codes.md").table("The codes", "code");
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
    let rows = page("docs/spreadsheets.md").table("Spreadsheets", "`--csv-dialect`");
    assert_eq!(first_cells(&rows), names);
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
    for (path, heading) in [
        ("docs/columns.md", "Why an account was not read in full"),
        ("docs/troubleshooting.md", "Accounts that were not read"),
    ] {
        let rows = page(path).table(heading, "`error_kind`");
        assert_eq!(first_cells(&rows), kinds, "{path}");
    }
}

#[test]
fn every_state_of_a_record_is_described() {
    let rows = page("docs/dns.md").table("What is found", "`dns_txt`");
    assert_eq!(first_cells(&rows), DnsTxt::ALL.map(DnsTxt::as_str));
}

#[test]
fn every_kind_of_trouble_is_described() {
    // What is said of an unknown kind names all that are known.
    let refusal = "?=1%".parse::<TroubleShare>().unwrap_err();
    let (_, known) = refusal.split_once("there are ").unwrap();
    let kinds: BTreeSet<_> = known.split(", ").collect();
    let rows = page("docs/simulator.md").table("A bad night", "kind");
    assert_eq!(BTreeSet::from_iter(first_cells(&rows)), kinds);
}

#[test]
fn the_files_of_the_readme_are_what_a_run_writes() {
    let rows = page("README.md").table("What a run writes", "file");
    let cells: Vec<_> = rows.iter().flat_map(|row| row[0].split(", ")).collect();
    let all: Vec<_> = FORMATS.iter().collect();
    let written: BTreeSet<_> = files_written(&all, true)
        .iter()
        .map(|(file, _)| *file)
        .collect();
    assert_eq!(cells.len(), written.len());
    assert_eq!(BTreeSet::from_iter(cells), written);
}

#[test]
fn the_sections_of_the_page_are_described_in_their_order() {
    let run = program("audit").arg("--demo").run().expect(0);
    let html = run.text("report.html");
    let sections: Vec<_> = html
        .split("<h2")
        .skip(1)
        .map(|rest| {
            let (_, rest) = rest.split_once('>').unwrap();
            let (title, _) = rest.split_once("</h2>").unwrap();
            // Behind the title stands how many rows there are.
            title.split('<').next().unwrap().trim()
        })
        .collect();
    let rows = page("docs/reading-the-report.md").table("The sections", "section");
    // The first is the headline, which says something else on each page.
    assert_eq!(first_cells(&rows), sections[1..]);
}

/// The whole source, with texts that go on in the next line put together.
fn source() -> String {
    fn read(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                *text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut text = String::new();
    read(&project().join("src"), &mut text);
    let mut parts = text.split("\\\n");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        joined += part.trim_start();
    }
    joined.replace("\\\"", "\"")
}

#[test]
fn every_message_of_the_troubleshooting_page_is_one_of_the_program() {
    /// Parts that are shorter, such as ": ", stand everywhere.
    const SHORTEST: usize = 8;
    let source = source();
    let tables = page("docs/troubleshooting.md").tables("message");
    let messages: Vec<_> = tables.iter().flatten().map(|row| &row[0]).collect();
    assert!(messages.len() > 50, "only {} messages", messages.len());
    for message in messages {
        let mut parts = message
            .split('…')
            .filter(|part| part.len() >= SHORTEST)
            .peekable();
        assert!(parts.peek().is_some(), "{message:?} has too few words");
        for part in parts {
            assert!(source.contains(part), "the program does not say {part:?}");
        }
    }
}

#[test]
fn the_codes_of_other_pages_are_known() {
    // `exits with N` in prose and in the comments of commands.
    let known: BTreeSet<_> = first_cells(&page("docs/exit-codes.md").table("The codes", "code"))
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut named = 0;
    for page in pages() {
        for rest in page.text.split("exits with ").skip(1) {
            let code: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if !code.is_empty() {
                assert!(known.contains(&code), "{}: {code}", page.path);
                named += 1;
            }
        }
    }
    assert!(named > 5, "only {named} named");
}

// --- The pages themselves

/// Documents beside those under docs/.
const OTHERS: [&str; 4] = [
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "openapi/README.md",
    "templates/README.md",
];

#[test]
fn every_link_leads_somewhere() {
    let mut documents = pages();
    documents.extend(OTHERS.map(page));
    let mut links = 0;
    for document in documents {
        for (path, anchor) in document.local_links() {
            let shown = path.display().to_string();
            assert!(
                project().join(&path).exists(),
                "{}: there is no {shown}",
                document.path
            );
            if let Some(anchor) = anchor {
                assert!(
                    page(&shown).anchors().contains(&anchor),
                    "{}: {shown} has no heading #{anchor}",
                    document.path
                );
            }
            links += 1;
        }
    }
    assert!(links > 100, "only {links} links");
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let page = Page {
        path: "x.md".to_owned(),
        text: "# `a_b.csv`, 2!\n## A run's directory\n```sh\n# no heading\n```\n## A run's directory\n".to_owned(),
    };
    let anchors: Vec<_> = page.anchors().into_iter().collect();
    assert_eq!(
        anchors,
        ["a-runs-directory", "a-runs-directory-1", "a_bcsv-2"]
    );
}

#[test]
fn every_page_is_linked_from_the_readme_has_one_title_and_ends_with_links() {
    let readme = page("README.md");
    let linked: BTreeSet<_> = readme
        .local_links()
        .into_iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    for page in pages().into_iter().filter(|page| page.path != readme.path) {
        let path = &page.path;
        assert!(linked.contains(path), "the README does not link to {path}");
        let titles = page.prose().filter(|line| line.starts_with("# "));
        assert_eq!(titles.count(), 1, "{path}: titles");
        assert!(page.text.starts_with("# "), "{path}: its title comes first");
        let last = page.prose().filter(|line| !line.is_empty()).last();
        assert!(
            last.is_some_and(|line| line.starts_with("- [") || line.starts_with("  ")),
            "{path}: no links at its end"
        );
    }
}

#[test]
fn the_readme_is_a_front_page() {
    let readme = page("README.md");
    let lines = readme.text.lines().count();
    assert!(lines <= 200, "{lines} lines");
    // `.ci/run` runs both, letter by letter.
    let cargo: Vec<_> = readme
        .blocks()
        .into_iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| block.lines)
        .map(|(_, line)| line)
        .filter(|line| line.starts_with("cargo"))
        .collect();
    assert_eq!(cargo, ["cargo run --release -- audit --demo", "cargo test"]);
}

#[test]
fn the_code_layout_names_every_file_and_folder_and_no_other() {
    let page = page("docs/architecture.md");
    let layout = page
        .blocks()
        .into_iter()
        .find(|block| block.language == "text")
        .unwrap();
    let is_path = |word: &&str| word.contains('/') || word.ends_with(".md");
    let text = layout.text();
    let shown: BTreeSet<_> = text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .flat_map(|line| {
            let first = line.split_whitespace().next();
            let more = line.split(";  ").skip(1);
            let more = more.filter_map(|part| part.split_whitespace().next());
            first.into_iter().chain(more)
        })
        .filter(is_path)
        .collect();
    assert!(shown.len() > 30);
    for path in &shown {
        assert!(project().join(path).exists(), "there is no {path}");
    }
    // Small helpers are named below.
    let helpers: BTreeSet<_> = page
        .code_spans()
        .into_iter()
        .map(|name| format!("src/{name}"))
        .collect();
    for entry in fs::read_dir(project().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = match entry.path().is_dir() {
            true => format!("src/{name}/"),
            false => format!("src/{name}"),
        };
        // The list of the modules, which are named here.
        if path != "src/lib.rs" {
            let is_named = shown.contains(path.as_str()) || helpers.contains(&path);
            assert!(is_named, "docs/architecture.md does not name {path}");
        }
    }
}

#[test]
fn the_drawing_of_the_data_names_modules_that_are_there() {
    let blocks = page("docs/architecture.md").blocks();
    let drawing = blocks.iter().find(|block| block.language == "mermaid");
    let text = drawing.unwrap().text();
    let is_part = |c: char| c.is_ascii_alphanumeric() || ['_', '/', '.'].contains(&c);
    let modules: BTreeSet<_> = text
        .split(|c| !is_part(c))
        .filter(|word| word.ends_with(".rs") || (word.len() > 1 && word.ends_with('/')))
        .collect();
    assert!(modules.len() > 15, "{modules:?}");
    for module in modules {
        let path = project().join("src").join(module);
        assert!(path.exists(), "there is no src/{module}");
    }
}

// --- The manifest

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
