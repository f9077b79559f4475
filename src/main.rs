//! The program: parse, run, say what went wrong and what to do, end with the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cf_sso_audit::cli::main()
}
