//! `cf-sso-audit completions SHELL` and `cf-sso-audit man`: the command line told to a shell, and to a reader.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Failure, command, exit, print};
use crate::api::{EMAIL_VARIABLE, KEY_VARIABLE, TOKEN_VARIABLE};
use crate::report::files_with_columns;

/// The program's name, for shells and manual pages.
const NAME: &str = "cf-sso-audit";
/// The variable by which a shell asks for completions; one of our own, so that no other program's sets it.
const COMPLETE_VARIABLE: &str = "CF_SSO_AUDIT_COMPLETE";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Install completion for bash:
      cf-sso-audit completions bash > ~/.local/share/bash-completion/completions/cf-sso-audit
  For zsh, in a folder that is in fpath:
      cf-sso-audit completions zsh > ~/.zfunc/_cf-sso-audit
  For fish:
      cf-sso-audit completions fish > ~/.config/fish/completions/cf-sso-audit.fish

The script calls the program, which must be in PATH. Generate it again after you update the program.")]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Print the manual page, or write the pages of all subcommands to a folder
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Read it:
      cf-sso-audit man | man -l -
  Install all pages:
      cf-sso-audit man --output ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Folder for the pages of the program and its subcommands
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Answers a shell that completes a command line, and ends the program then.
pub fn complete() {
    CompleteEnv::with_factory(command)
        .var(COMPLETE_VARIABLE)
        .complete();
}

/// Runs `completions`.
pub fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let name = args.shell.to_possible_value();
    let shells = Shells::builtins();
    let shell = name.and_then(|name| shells.completer(name.get_name()));
    let shell = shell.ok_or_else(|| Failure::failed("this build completes in no such shell"))?;
    let mut script = Vec::new();
    shell
        .write_registration(COMPLETE_VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(|error| Failure::failed(format!("cannot make the script: {error}")))?;
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}

/// Runs `man`.
pub fn man(args: &ManArgs) -> Result<u8, Failure> {
    let mut program = command().disable_help_subcommand(true);
    program.build();
    match &args.output {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .and_then(|()| write_pages(&program, dir))
                .map_err(|error| {
                    Failure::failed(format!("cannot write to {}: {error}", dir.display()))
                })?;
        }
        None => {
            let page = page(&program);
            let page = page.map_err(|error| {
                Failure::failed(format!("the manual page cannot be made: {error}"))
            })?;
            print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(exit::DONE)
}

/// The pages of a command and of those below it.
fn write_pages(command: &Command, dir: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        write_pages(below, dir)?;
    }
    std::fs::write(
        dir.join(Man::new(command.clone()).get_filename()),
        page(command)?,
    )
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    let writes_runs = ["audit", "render"].contains(&command.get_name());
    let is_program = command.get_name() == NAME;
    exit_status(&mut roff);
    environment(&mut roff, is_program || asks_the_api(command));
    if is_program || writes_runs {
        files(&mut roff);
    }
    if let Some(help) = command.get_after_long_help() {
        examples(&mut roff, &help.to_string());
    }
    if !is_program {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold(NAME), roman("(1)")]);
    }
    page.extend_from_slice(roff.render().as_bytes());
    Ok(page)
}

fn asks_the_api(command: &Command) -> bool {
    let mut arguments = command.get_arguments();
    arguments.any(|argument| argument.get_long() == Some("base-url"))
}

fn entry(roff: &mut Roff, name: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(text)]);
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::MEANINGS {
        entry(roff, &code.to_string(), meaning);
    }
}

/// The variables that the program reads: of those of the API only where it asks the API.
fn environment(roff: &mut Roff, asks_the_api: bool) {
    const OF_THE_API: [(&str, &str); 6] = [
        (
            TOKEN_VARIABLE,
            "The API token, unless --token-file or --token-command is given. Accounts whose token_env names another variable use that one.",
        ),
        (
            KEY_VARIABLE,
            "With CLOUDFLARE_EMAIL: the user's global API key. It is used only to list organizations and their accounts.",
        ),
        (
            EMAIL_VARIABLE,
            "The e-mail address of the user who owns that key.",
        ),
        (
            "CLOUDFLARE_BASE_URL, CLOUDFLARE_API_BASE_URL",
            "The API's address, unless --base-url is given. The first one set is used.",
        ),
        (
            "CLOUDFLARE_COMPLIANCE_REGION",
            "The API's region (public or fedramp_high), unless --region is given.",
        ),
        (
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
            "The proxy to use, and the hosts to reach without it. http and https proxies are supported, SOCKS is not.",
        ),
    ];
    const ALWAYS: [(&str, &str); 2] = [
        ("NO_COLOR", "Turns off colours, whatever its value."),
        (
            "SOURCE_DATE_EPOCH",
            "Fixes the clock at this many seconds since 1970, so that a report can be reproduced byte for byte.",
        ),
    ];
    roff.control("SH", ["ENVIRONMENT"]);
    let of_the_api = OF_THE_API.iter().filter(|_| asks_the_api);
    for (name, text) in of_the_api.chain(&ALWAYS) {
        entry(roff, name, text);
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (name, text) in [
        (
            "DIR/<UTC start>/",
            "One run. DIR is the folder given by --output, by default reports.",
        ),
        ("DIR/latest", "A link to the newest complete run."),
        (
            "DIR/<UTC start>.partial/",
            "A run in progress or interrupted; audit --resume resumes the newest one.",
        ),
        (
            "report.html, report.json",
            "The report, for people and for programs.",
        ),
    ] {
        entry(roff, name, text);
    }
    let tables = files_with_columns().map(|(file, _)| file);
    entry(
        roff,
        &tables.join(", "),
        "The same as tables, for spreadsheets.",
    );
    for (name, text) in [
        (
            "evidence.jsonl",
            "What the API answered, account by account. render rebuilds every other file from it.",
        ),
        (
            "ledger.jsonl",
            "What is known of each account; the next run is compared with it.",
        ),
        (
            "SHA256SUMS",
            "Checksums of all these files; verify them with sha256sum -c SHA256SUMS.",
        ),
    ] {
        entry(roff, name, text);
    }
}

/// The examples of a command's help: what each does, indented by two, and its command line, indented by six.
fn examples(roff: &mut Roff, help: &str) {
    roff.control("SH", ["EXAMPLES"]);
    let (examples, rest) = help.split_once("\n\n").unwrap_or((help, ""));
    for line in examples.lines().skip(1) {
        match line.strip_prefix("      ") {
            Some(command_line) => {
                roff.control("RS", ["4"]);
                roff.control("nf", []);
                roff.text([roman(command_line)]);
                roff.control("fi", []);
                roff.control("RE", []);
            }
            None => {
                roff.control("PP", []);
                roff.text([roman(line.trim())]);
            }
        }
    }
    // What the exit codes mean is in a section of its own.
    if !rest.is_empty() && !rest.starts_with("Exit codes") {
        roff.control("SH", ["NOTES"]);
        roff.control("nf", []);
        for line in rest.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
}
