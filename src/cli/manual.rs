//! `cf-sso-audit completions SHELL` and `cf-sso-audit man`: the command line told to a shell, and to a reader.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{Failure, command, exit, print};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Complete in bash from now on:
      cf-sso-audit completions bash > ~/.local/share/bash-completion/completions/cf-sso-audit")]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write one for each subcommand into a folder
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Read it:
      cf-sso-audit man | man -l -
  Install all of them:
      cf-sso-audit man --output ~/.local/share/man/man1")]
pub struct ManArgs {
    /// A folder for the pages of the program and of each subcommand
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs `completions`.
pub fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "cf-sso-audit", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}

/// Runs `man`.
pub fn man(args: &ManArgs) -> Result<u8, Failure> {
    match &args.output {
        Some(dir) => {
            let failed =
                |error| Failure::failed(format!("cannot write to {}: {error}", dir.display()));
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(command(), dir).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command()).render(&mut page);
            rendered.map_err(|error| {
                Failure::failed(format!("the manual page cannot be made: {error}"))
            })?;
            print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(exit::DONE)
}
