//! What `fix --apply` does, in a run's directory: written before a change is sent and when its answer is there, so that
//! whatever ends the program, the next knows which changes may have been made.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::step::{Action, Step};
use crate::evidence;
use crate::file_mode::{FileMode, open_own_file, sync_dir};
use crate::lock::{Lock, try_lock};

/// The file's name.
pub const LOG_NAME: &str = "fix-log.jsonl";

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    /// It is about to be sent. Where no other line follows, nobody knows what became of it.
    Sending,
    /// It was carried out.
    Done,
    /// It was not sent, because the connector is no longer as in the evidence or it was done before.
    Skipped,
    /// It was not carried out.
    Failed,
    /// It was sent, and no answer says what became of it.
    Unknown,
}

impl StepResult {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of a step, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// In a word.
    pub result: StepResult,
    /// In words, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Cloudflare's name for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cf_ray: Option<String>,
}

impl StepOutcome {
    /// An outcome without an answer.
    pub fn new(result: StepResult, reason: impl Into<String>) -> Self {
        Self {
            result,
            reason: reason.into(),
            http_status: None,
            cf_ray: None,
        }
    }
}

/// Why the log cannot be kept. Nothing more is changed without it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read or written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process carries out a plan.
    #[error("another `fix --apply` is working on this run: it holds {}", path.display())]
    Held {
        /// The log.
        path: PathBuf,
    },
}

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: DateTime<Utc>,
    account_id: String,
    connector_id: String,
    email_domain: String,
    action: Action,
    finding_id: String,
    #[serde(flatten)]
    outcome: StepOutcome,
}

/// A change that was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was carried out.
    Done,
    /// Nobody knows whether it was carried out.
    Unknown,
}

/// The log while a plan is carried out. Nobody else writes to it.
#[derive(Debug)]
pub struct FixLog {
    path: PathBuf,
    file: File,
    /// What was sent, by account and connector: a connector's ID alone may be in several accounts.
    sent: HashMap<(String, String), HashMap<Action, Sent>>,
}

impl FixLog {
    /// Opens a run's log for this process alone, and reads what is in it.
    ///
    /// # Errors
    /// It cannot be read or written, or another process has it.
    pub fn open(run_dir: &Path) -> Result<Self, LogError> {
        let path = run_dir.join(LOG_NAME);
        let unwritable = |error| unwritable(&path, error);
        let file = open_file(run_dir, &path).map_err(unwritable)?;
        if try_lock(&path, &file).map_err(unwritable)? == Lock::HeldByAnother {
            return Err(LogError::Held { path });
        }
        let sent = read(&file).map_err(unwritable)?;
        Ok(Self { path, file, sent })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What became of a step that was sent before; `None` where it was not sent, or was refused.
    pub fn sent(&self, step: &Step) -> Option<Sent> {
        self.sent_action(step, step.action)
    }

    /// The same of another action on the step's connector.
    pub fn sent_action(&self, step: &Step, action: Action) -> Option<Sent> {
        let key = (step.account_id.clone(), step.connector_id.clone());
        self.sent.get(&key)?.get(&action).copied()
    }

    /// Notes what became of a step. The line is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(
        &mut self,
        at: DateTime<Utc>,
        step: &Step,
        outcome: &StepOutcome,
    ) -> Result<(), LogError> {
        let line = Line {
            at,
            account_id: step.account_id.clone(),
            connector_id: step.connector_id.clone(),
            email_domain: step.email_domain.clone(),
            action: step.action,
            finding_id: step.finding_id.clone(),
            outcome: outcome.clone(),
        };
        append(&mut self.file, &line).map_err(|error| unwritable(&self.path, error))?;
        note(&mut self.sent, line);
        Ok(())
    }
}

fn unwritable(path: &Path, source: io::Error) -> LogError {
    LogError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

/// Opens the log, or makes one that those may read who may read the run's evidence.
fn open_file(run_dir: &Path, path: &Path) -> io::Result<File> {
    let mode = mode_of(&run_dir.join(evidence::FILE_NAME))?;
    match mode.create_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_own_file(path),
        made => {
            let file = made?;
            // Its lines are of no use on a disk that does not know of the file.
            sync_dir(run_dir)?;
            Ok(file)
        }
    }
}

#[cfg(unix)]
fn mode_of(path: &Path) -> io::Result<FileMode> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)?.permissions().mode();
    Ok(FileMode(mode & 0o666 | 0o600))
}

#[cfg(not(unix))]
fn mode_of(_: &Path) -> io::Result<FileMode> {
    Ok(FileMode::default())
}

/// What earlier lines say was sent. A last line that was cut off is ended, so that the next is not glued to it.
fn read(mut file: &File) -> io::Result<HashMap<(String, String), HashMap<Action, Sent>>> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut sent = HashMap::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if reader.by_ref().read_until(b'\n', &mut bytes)? == 0 {
            return Ok(sent);
        }
        if bytes.last() != Some(&b'\n') {
            file.write_all(b"\n")?;
        }
        // A line that is incomplete says nothing: one that says what became of a change follows one that says that it
        // is sent, which is whole.
        if let Ok(line) = serde_json::from_slice(&bytes) {
            note(&mut sent, line);
        }
    }
}

fn note(sent: &mut HashMap<(String, String), HashMap<Action, Sent>>, line: Line) {
    let of_connector = sent
        .entry((line.account_id, line.connector_id))
        .or_default();
    match line.outcome.result {
        StepResult::Sending | StepResult::Unknown => {
            of_connector.insert(line.action, Sent::Unknown);
        }
        StepResult::Done => {
            of_connector.insert(line.action, Sent::Done);
        }
        StepResult::Failed => {
            of_connector.remove(&line.action);
        }
        // It was not sent, which says nothing of what was sent before.
        StepResult::Skipped => {}
    }
}

fn append(file: &mut File, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.sync_data()
}
