//! What the program says when it cannot go on: what happened, to what, and what to do next.

use std::fmt::Write as _;

use super::exit;
use super::logging::as_json;
use super::screen::stderr_takes_colours;
use crate::runs::DirectoryError;
use crate::text::lines_for_terminal;
use crate::token_form::without_tokens_of;

/// Why the program ends without having done its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: u8,
    /// What happened, to what; several lines where several things did.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// The command line or an input file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// The command failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(exit::FAILED, message)
    }

    /// With another exit code.
    pub fn new(exit: u8, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes it to standard error.
    pub fn print(&self) {
        // What the API or a file said may be in it: that does nothing to a terminal.
        let message = without_tokens_of(std::env::args_os(), &self.message);
        let message = lines_for_terminal(&message);
        let hint = self.hint.as_deref().map(lines_for_terminal);
        if let Some(line) = as_json("ERROR", &message, hint.as_deref()) {
            return super::tell(&line);
        }
        let (red, cyan, end) = if stderr_takes_colours() {
            ("\u{1b}[1;31m", "\u{1b}[1;36m", "\u{1b}[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}error:{end} {message}\n");
        if let Some(hint) = hint {
            let _ = writeln!(text, "{cyan}hint:{end} {hint}");
        }
        super::tell(&text);
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        let hint = match &error {
            DirectoryError::Unwritable { source, .. } => write_hint(source),
            DirectoryError::NoName { .. } => "start the run again in a second",
        };
        Self::failed(error.to_string()).hint(hint)
    }
}

/// What to do where something cannot be written.
pub fn write_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    /// `ENFILE` and `EMFILE`, on every Unix.
    const TOO_MANY_OPEN: [i32; 2] = [23, 24];
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a writable folder with --output"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, or choose a folder on another disk with --output"
        }
        _ if cfg!(unix)
            && error
                .raw_os_error()
                .is_some_and(|code| TOO_MANY_OPEN.contains(&code)) =>
        {
            "too many files are open: raise the limit (`ulimit -n`), or lower --concurrency"
        }
        _ => "choose another folder with --output",
    }
}
