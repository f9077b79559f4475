//! `cf-sso-audit schema policy|report`: the JSON Schema of a file.

use clap::{Args, ValueEnum};

use super::{Failure, exit, print};
use crate::policy_file;

/// Print the JSON Schema of a file, for editors that complete and validate it
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The file
    #[arg(value_enum)]
    file: File,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum File {
    /// The policy that `--policy` takes.
    Policy,
    /// report.json.
    Report,
}

/// Runs the command.
pub fn run(args: &SchemaArgs) -> Result<u8, Failure> {
    let schema = match args.file {
        File::Policy => policy_file::schema().to_value(),
        File::Report => crate::report::schema(),
    };
    print(&format!("{schema:#}\n"))?;
    Ok(exit::DONE)
}
