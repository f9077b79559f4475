//! What an examination found, line by line.

use serde::Serialize;

use super::super::Failure;
use super::super::screen::stdout_takes_colours;
use crate::outcome::{ErrorKind, READ_PERMISSION, ReadError, TOKEN_PAGE};
use crate::text::for_terminal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// One line of the examination.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    check: String,
    pub(super) result: Verdict,
    finding: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

/// What was found, in order.
#[derive(Default)]
pub(super) struct Examination(pub(super) Vec<Line>);

impl Examination {
    pub(super) fn add(
        &mut self,
        result: Verdict,
        check: &str,
        finding: impl Into<String>,
        remedy: &str,
    ) {
        self.0.push(Line {
            check: check.to_owned(),
            result,
            finding: finding.into(),
            remedy: remedy.to_owned(),
        });
    }

    pub(super) fn pass(&mut self, check: &str, finding: impl Into<String>) {
        self.add(Verdict::Pass, check, finding, "");
    }

    /// One line for each line of the message; what to do stands under the last.
    pub(super) fn fail(&mut self, check: &str, failure: &Failure) {
        let mut lines = failure.message.lines().peekable();
        while let Some(line) = lines.next() {
            let hint = failure.hint.as_deref().filter(|_| lines.peek().is_none());
            self.add(Verdict::Fail, check, line, hint.unwrap_or_default());
        }
    }

    pub(super) fn fail_by(&mut self, check: &str, error: &ReadError) {
        self.add(Verdict::Fail, check, told(error), &remedy(error.kind));
    }
}

/// An error of the API in a few words.
pub(super) fn told(error: &ReadError) -> String {
    let code = error.code.as_ref();
    let code = code.map_or(String::new(), |code| format!(" {code}"));
    format!("{}{code}: {}", error.kind.as_str(), error.message)
}

/// What to do about an error; the general remedies send to this very command.
fn remedy(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::Auth => format!(
            "create a new token at {TOKEN_PAGE} with the permission {READ_PERMISSION} on the account, not restricted to another address"
        ),
        ErrorKind::Forbidden => format!(
            "Give the token the permission {READ_PERMISSION} on this account at {TOKEN_PAGE}, or use another token for it (`token_env`)."
        ),
        ErrorKind::Timeout | ErrorKind::Connect => {
            "Run it again; if it fails again, check this machine's network, DNS, firewall and proxy, and https://www.cloudflarestatus.com.".to_owned()
        }
        other => other.remedy().to_owned(),
    }
}

/// The lines for people.
pub(super) fn written(lines: &[Line]) -> String {
    let colours = stdout_takes_colours();
    let mut text = String::new();
    for Line {
        check,
        result,
        finding,
        remedy,
    } in lines
    {
        let (word, code) = match result {
            Verdict::Pass => ("pass", "32"),
            Verdict::Warn => ("warn", "33"),
            Verdict::Fail => ("fail", "31"),
        };
        let word = if colours {
            format!("\u{1b}[{code}m{word}\u{1b}[0m")
        } else {
            word.to_owned()
        };
        let said = format!("{check}: {finding}");
        text.push_str(&format!("{word}  {}\n", for_terminal(&said)));
        if !remedy.is_empty() && *result != Verdict::Pass {
            text.push_str(&format!("      {}\n", for_terminal(remedy)));
        }
    }
    text
}
