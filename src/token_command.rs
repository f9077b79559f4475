//! A program that prints an API token. It is run without a shell, and neither its command line nor what it prints is
//! shown: both may be secret.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::api::{EMAIL_VARIABLE, KEY_VARIABLE, TOKEN_VARIABLE, Token, TokenError};
use crate::process_group::ProcessGroup;
use crate::text::{for_terminal, is_invisible, shortened};
use crate::token_form::{begins_as_token, looks_like_token};

/// What a token from a command is called in messages.
pub const COMMAND_NAME: &str = "--token-command";

/// A command that has not ended by then is given up. Long enough to touch a key or to confirm on a phone.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// So long is what the command prints waited for once it has ended: something that it left running may hold the pipe open.
const AFTER_THE_END: Duration = Duration::from_secs(1);

/// The most that is read of what the command prints, in bytes.
const LARGEST_OUTPUT: u64 = 16 * 1024;

/// The most that is shown of what the command says on standard error, in characters.
const LONGEST_WORDS: usize = 300;

/// No token is shorter, in bytes. Tools print `null` or `undefined` for what they do not have.
const SHORTEST_TOKEN: usize = 16;

/// A word of what the command printed that is at least so long, in bytes, is not repeated from what it says.
const SHORTEST_SECRET: usize = 6;

/// What Cloudflare's own tools take instead of what they are signed in with, and print then.
const WITHHELD: [&str; 3] = [TOKEN_VARIABLE, KEY_VARIABLE, EMAIL_VARIABLE];

/// A command line whose program prints a token. Its Debug shows nothing of it.
#[derive(Clone)]
pub struct TokenCommand(String);

impl fmt::Debug for TokenCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenCommand(***)")
    }
}

/// Why a command brought no token. Shows neither the command line nor what the command printed.
#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    /// In place of a command stands what may be a token.
    #[error(
        "--token-command was given what looks like an API token instead of a command (not shown)"
    )]
    MayBeToken,
    /// It cannot be split into words.
    #[error("--token-command has a quote that is not closed, or ends with a backslash")]
    Unsplittable,
    /// It has no word.
    #[error("--token-command is empty")]
    Empty,
    /// The system does not run it.
    #[error("cannot run the program of --token-command: {0}")]
    NotRun(io::Error),
    /// It was interrupted, and with it the whole command line.
    #[error("interrupted while --token-command was running")]
    Interrupted,
    /// It ended, and says that it failed.
    #[error("--token-command failed ({status}){said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it says, behind a colon.
        said: String,
    },
    /// It does not end.
    #[error("--token-command did not end within {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    /// What it printed is no token.
    #[error("{error}{said}")]
    NoToken {
        /// Why it is none.
        error: TokenError,
        /// What it says, behind a colon.
        said: String,
    },
    /// What it printed is too short, or too long.
    #[error("--token-command printed {0}, which is not an API token{said}", said = .1)]
    OddLength(&'static str, String),
}

/// How a command ended, and what it wrote.
struct Ended {
    status: ExitStatus,
    printed: Vec<u8>,
    /// The beginning of what it wrote to standard error.
    errors: Vec<u8>,
}

impl TokenCommand {
    /// A command line, split only when it is run.
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// Runs the program and takes the token that it prints.
    ///
    /// # Errors
    /// There is no such program, it failed or did not end, or printed something else.
    pub async fn token(&self) -> Result<Token, TokenCommandError> {
        self.token_within(COMMAND_LIMIT).await
    }

    async fn token_within(&self, limit: Duration) -> Result<Token, TokenCommandError> {
        let running = start(&self.words()?)?;
        let ended = tokio::time::timeout(limit, run(running)).await;
        let ended = ended.map_err(|_| TokenCommandError::TooSlow(limit))??;
        if is_interrupted(ended.status) {
            return Err(TokenCommandError::Interrupted);
        }
        let printed = String::from_utf8_lossy(&ended.printed);
        let said = words_of(&String::from_utf8_lossy(&ended.errors), &printed);
        if !ended.status.success() {
            let status = ended.status;
            return Err(TokenCommandError::Failed { status, said });
        }
        let token = Token::parse("what --token-command printed", &printed);
        match token {
            Err(error) => Err(TokenCommandError::NoToken { error, said }),
            Ok(_) if printed.trim().len() < SHORTEST_TOKEN => {
                Err(TokenCommandError::OddLength("too little", said))
            }
            Ok(token) => Ok(token),
        }
    }

    /// The program and its arguments.
    fn words(&self) -> Result<Vec<String>, TokenCommandError> {
        let words = shlex::split(&self.0).ok_or(TokenCommandError::Unsplittable)?;
        match words.first() {
            None => Err(TokenCommandError::Empty),
            Some(program) if looks_like_token(program) => Err(TokenCommandError::MayBeToken),
            Some(_) => Ok(words),
        }
    }
}

/// A program that runs, with what it has started: all of it ends with this.
struct Running {
    // Ended first: as long as nobody has waited for the program, no other group can have its number.
    group: ProcessGroup,
    child: Child,
}

/// Starts a program with its arguments.
fn start(words: &[String]) -> Result<Running, TokenCommandError> {
    let mut command = Command::new(&words[0]);
    for (name, _) in std::env::vars_os().filter(|(name, value)| is_withheld(name, value)) {
        command.env_remove(name);
    }
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let (group, child) = ProcessGroup::start(&mut command).map_err(TokenCommandError::NotRun)?;
    Ok(Running { group, child })
}

/// Whether a variable is kept from the command: the tokens of this run are none of its business, and would be printed by
/// Cloudflare's own tools in place of the one that they are signed in with.
fn is_withheld(name: &OsStr, value: &OsStr) -> bool {
    WITHHELD.iter().any(|withheld| name == *withheld) || begins_as_token(&value.to_string_lossy())
}

/// Waits for a program to end, reading what it writes. What it leaves running goes on, as an agent or a cache may for the
/// next time; but what still holds a pipe open, so that it could write there in the program's name, is ended.
async fn run(mut running: Running) -> Result<Ended, TokenCommandError> {
    let child = &mut running.child;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut printed, mut errors) = (Vec::new(), Vec::new());
    let all = async {
        tokio::try_join!(
            read_printed(stdout, &mut printed),
            read_errors(stderr, &mut errors)
        )
    };
    let end = async {
        let status = child.wait().await;
        tokio::time::sleep(AFTER_THE_END).await;
        status
    };
    let status = tokio::select! {
        biased;
        read = all => {
            read?;
            let status = running.child.wait().await;
            running.group.leave();
            status
        }
        // What holds the pipe is mostly of the group, whose number then no other can have.
        status = end => status,
    };
    Ok(Ended {
        status: status.map_err(TokenCommandError::NotRun)?,
        printed,
        errors,
    })
}

/// Reads what a program prints, and no more of it than a token may have.
async fn read_printed(
    pipe: Option<impl AsyncRead + Unpin>,
    printed: &mut Vec<u8>,
) -> Result<(), TokenCommandError> {
    read_beginning(pipe, LARGEST_OUTPUT + 1, printed).await?;
    if printed.len() as u64 > LARGEST_OUTPUT {
        return Err(TokenCommandError::OddLength("too much", String::new()));
    }
    Ok(())
}

/// Reads all that a program writes to standard error, and keeps the beginning.
async fn read_errors(
    mut pipe: Option<impl AsyncRead + Unpin>,
    errors: &mut Vec<u8>,
) -> Result<(), TokenCommandError> {
    read_beginning(pipe.as_mut(), LARGEST_OUTPUT, errors).await?;
    // A program that has more to say must not wait for a reader.
    if let Some(rest) = &mut pipe {
        tokio::io::copy(rest, &mut tokio::io::sink())
            .await
            .map_err(TokenCommandError::NotRun)?;
    }
    Ok(())
}

/// Reads the first bytes of a pipe, where there is one.
async fn read_beginning(
    pipe: Option<impl AsyncRead + Unpin>,
    most: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), TokenCommandError> {
    if let Some(pipe) = pipe {
        let read = pipe.take(most).read_to_end(bytes).await;
        read.map_err(TokenCommandError::NotRun)?;
    }
    Ok(())
}

/// What a command wrote to standard error, behind a colon, cut and fit for a terminal. Nothing of it is shown where the
/// token may be in it.
fn words_of(errors: &str, printed: &str) -> String {
    let errors = errors.trim();
    if errors.is_empty() {
        return String::new();
    }
    let bare = without_controls(errors);
    let repeats_output = printed
        .split_whitespace()
        .any(|word| word.len() >= SHORTEST_SECRET && bare.contains(word));
    if repeats_output || looks_like_token(errors) || looks_like_token(&bare) {
        return "; what it says looks like an API token, and is not shown".to_owned();
    }
    format!(": {}", for_terminal(&shortened(errors, LONGEST_WORDS)))
}

/// A text without what colours it or is not seen: a token may be cut in pieces by that.
fn without_controls(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.next_if_eq(&'[').is_some() {
            while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c.is_whitespace() || !(c.is_control() || is_invisible(c)) {
            bare.push(c);
        }
    }
    bare
}

/// Whether a program ended because its user pressed Ctrl-C, as shells tell it too.
fn is_interrupted(status: ExitStatus) -> bool {
    const BY_SIGNAL: i32 = 130;
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const SIGINT: i32 = 2;
        if status.signal() == Some(SIGINT) {
            return true;
        }
    }
    status.code() == Some(BY_SIGNAL)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    async fn outcome(line: &str) -> Result<Token, String> {
        let command = TokenCommand::new(line);
        let token = command.token_within(Duration::from_secs(20)).await;
        token.map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_in_pieces_is_not_shown_either() {
        for (errors, printed) in [
            ("cfut\u{1b}[0m_SeCrEt9\u{1b}[1;31mSeCrEt9SeCrEt9", ""),
            ("c\0fut_SeCrEt9SeCrEt9", ""),
            ("c\u{200b}fut_SeCrEt9SeCrEt9", ""),
            ("it is SeCrEt9short1", "SeCrEt9short1\n"),
        ] {
            assert!(!words_of(errors, printed).contains("SeCrEt9"), "{errors:?}");
        }
        assert_eq!(
            words_of("no \u{1b}[31msession\u{1b}[0m", "null"),
            ": no \u{fffd}[31msession\u{fffd}[0m"
        );
    }

    #[tokio::test]
    async fn a_command_is_split_as_a_shell_would_and_run_without_one() {
        let token = |text: &str| Ok(Token::parse("T", text).unwrap());
        for (line, expected) in [
            ("printf %s cfut_0123456789abc", "cfut_0123456789abc"),
            ("echo 'cfut_0123456789abc'", "cfut_0123456789abc"),
            (
                "printf '%s\\n' \"cfut_$HOME-0123456789\"",
                "cfut_$HOME-0123456789",
            ),
            (
                "sh -c 'echo from-stderr >&2; echo cfut_0123456789abc'",
                "cfut_0123456789abc",
            ),
        ] {
            assert_eq!(outcome(line).await, token(expected), "{line}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_command_s_own_words_and_not_its_line() {
        for (line, said) in [
            ("", "--token-command is empty"),
            ("printf 'x", "a quote that is not closed"),
            ("cfut_0123456789abc", "looks like an API token"),
            (
                "/no/such/program s3cret",
                "cannot run the program of --token-command: No such file",
            ),
            ("sh -c 'exit 3' s3cret", "failed (exit status: 3)"),
            (
                "sh -c 'echo not signed in >&2; exit 1' s3cret",
                "failed (exit status: 1): not signed in",
            ),
            ("sh -c 'kill -9 $$' s3cret", "failed (signal: 9 (SIGKILL))"),
            ("sh -c 'kill -2 $$' s3cret", "interrupted while"),
            ("true s3cret", "printed is empty"),
            (
                "sh -c 'echo see above >&2' s3cret",
                "printed is empty: see above",
            ),
            (
                "printf 'cfut_s3cret-0001\\ncfut_s3cret-0002'",
                "a line break at position 17",
            ),
            ("echo no s3cret here", "white space at position 3"),
            ("echo null", "printed too little"),
            (
                "sh -c 'head -c 20000 /dev/zero | tr \"\\0\" x'",
                "printed too much",
            ),
            (
                "sh -c 'echo 0123456789abcdef-s3cret; echo got 0123456789abcdef-s3cret >&2; exit 1'",
                "is not shown",
            ),
            (
                "sh -c 'echo token is cfut_s3cret >&2; exit 1'",
                "is not shown",
            ),
            ("sh -c 'printf \"a\\033[2Jb\" >&2; exit 1'", "a\u{fffd}[2Jb"),
        ] {
            let error = outcome(line).await.unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
            assert!(!error.contains("s3cret"), "{line}: {error}");
        }
        let long = outcome("sh -c 'head -c 100000 /dev/zero | tr \"\\0\" e >&2; exit 1'").await;
        assert!(long.unwrap_err().chars().count() < 400);
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended() {
        let command = TokenCommand::new("sleep 100");
        let error = command.token_within(Duration::from_millis(50)).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "--token-command did not end within 0.05 s"
        );
    }

    #[test]
    fn neither_debug_nor_other_tokens_are_given_away() {
        let command = TokenCommand::new("echo s3cret");
        assert_eq!(format!("{command:?}"), "TokenCommand(***)");
        for (name, value, withheld) in [
            ("CLOUDFLARE_API_TOKEN", "x", true),
            ("CLOUDFLARE_API_KEY", "x", true),
            ("ACME_TOKEN", "cfat_0123", true),
            ("OP_SERVICE_ACCOUNT_TOKEN", "ops_eyJ0123", false),
            ("PATH", "/bin", false),
        ] {
            let got = is_withheld(OsStr::new(name), OsStr::new(value));
            assert_eq!(got, withheld, "{name}");
        }
    }
}
