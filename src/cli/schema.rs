//! `cf-sso-audit schema policy`: the JSON Schema of a file.

use clap::{Args, ValueEnum};

use super::{Failure, exit, print};
use crate::policy::written;

/// Print the JSON Schema of a file, from which editors complete and check it
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which file
    #[arg(value_enum)]
    file: File,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum File {
    /// The policy that `--policy` takes.
    Policy,
}

/// Runs the command.
pub fn run(args: &SchemaArgs) -> Result<u8, Failure> {
    let File::Policy = args.file;
    print(&format!("{:#}\n", written::schema().to_value()))?;
    Ok(exit::DONE)
}
