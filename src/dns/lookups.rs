//! What was asked about names, of whom, when, and answered: `dns.jsonl`, evidence beside that of the accounts.
//!
//! The first line says who was asked and how; each further one contains what was answered about a name. A name that was
//! asked for again (a resumed run) has several: the last holds.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::names::{elsewhere, is_host_name};
use super::record::{self, Claim, DnsTxt, Lookup, SeenInDns};
use super::resolver::{AskerOptions, needed};
use crate::file_mode::{FileMode, open_file, open_own_file};
use crate::jsonl::{FileError, LineReader, Place, length_of_whole_lines, look_at_all, read_again};
use crate::text::{hex, stable_hash};

/// The file's name in a run's directory.
pub const FILE_NAME: &str = "dns.jsonl";
/// The name and version of the format.
const SCHEMA: &str = "cf-sso-audit/lookups/v1";
/// The longest line, in bytes: an answer has 64 KiB at most, which escapes make six times as long, and several resolvers
/// give one.
const LONGEST_LINE: u64 = 16 * 64 * 1024 * 6;

/// The first line: who was asked, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookupsHeader {
    /// The format.
    pub schema: String,
    /// The run whose connectors were looked up.
    pub run_id: String,
    /// The version of the program.
    pub version: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Who was asked, in this order.
    pub resolvers: Vec<String>,
    /// How many of them have to say alike that a record is not there, where several runs each asked their own; else two,
    /// or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<usize>,
    /// Why there was nobody to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nobody: Option<String>,
    /// Whether that was the simulated name server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// How long an answer was waited for, at each attempt.
    pub timeout_seconds: f64,
    /// Attempts at a question that got no answer.
    pub attempts: u32,
    /// The most questions in a window: `100/1s`.
    pub rate: String,
}

impl LookupsHeader {
    /// Of the lookups for a run that begin now.
    pub fn new(run_id: &str, options: &AskerOptions) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            run_id: run_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: options.clock.now(),
            resolvers: options.resolvers.iter().map(ToString::to_string).collect(),
            enough: None,
            nobody: options.nobody.clone(),
            simulated: options.simulated,
            timeout_seconds: options.timeout.as_secs_f64(),
            attempts: options.attempts,
            rate: options.rate.to_string(),
        }
    }

    /// Whether the same was asked of the same: then lookups that were interrupted can go on.
    pub fn asks_as(&self, other: &Self) -> bool {
        self.run_id == other.run_id
            && self.resolvers == other.resolvers
            && self.nobody == other.nobody
    }
}

/// More answers than these say nothing that counts more.
const ENOUGH: u8 = 2;

/// A name, by hash, and where its line stands.
#[derive(Debug, Clone, Copy)]
struct Located {
    name: u64,
    place: Place,
    /// How many resolvers answered; [`ENOUGH`] stands for more, too.
    answers: u8,
}

/// Reads what was answered, name by name.
#[derive(Debug)]
pub struct Lookups {
    path: PathBuf,
    file: File,
    header: LookupsHeader,
    /// By name; of lines of one name the last stands last.
    located: Vec<Located>,
    /// Names that some resolver did not answer about.
    unanswered: HashSet<u64>,
    sha256: String,
}

impl Lookups {
    /// Opens a file, and checks every line of it.
    ///
    /// # Errors
    /// It cannot be read, or a line is damaged.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let bad_line = |line, error| FileError::of_line(path, line, error);
        let file = open_file(path).map_err(|error| FileError::io(path, error))?;
        let mut reader = LineReader::new(file);
        let mut line = Vec::new();
        reader
            .next(LONGEST_LINE, &mut line)
            .map_err(|error| bad_line(1, error))?;
        let header: LookupsHeader = serde_json::from_slice(&line)
            .map_err(|error| format!("is not the beginning of a file of lookups ({error})"))
            .and_then(|header: LookupsHeader| match header.schema == SCHEMA {
                true => Ok(header),
                false => Err(format!(
                    "the lookups have the format {:?}, but this version reads {SCHEMA:?}",
                    header.schema
                )),
            })
            .map_err(|cause| FileError::damaged(path, 1, cause))?;
        let mut located = Vec::new();
        let mut unanswered = HashSet::new();
        let look = |line: &[u8], place| {
            let lookup: Lookup = serde_json::from_slice(line)
                .map_err(|error| format!("is not the answer to a lookup ({error})"))?;
            let name = stable_hash(lookup.name.as_bytes());
            let opinions = lookup.asked.iter();
            let answers = opinions.filter(|opinion| opinion.reply.is_answer());
            let located = Located {
                name,
                place,
                answers: answers.take(ENOUGH.into()).count() as u8,
            };
            Ok((located, lookup.is_answered()))
        };
        let take = |(line, is_answered): (Located, bool)| {
            if is_answered {
                unanswered.remove(&line.name);
            } else {
                unanswered.insert(line.name);
            }
            located.push(line);
            Ok(())
        };
        let reader = look_at_all(reader, LONGEST_LINE, look, take)
            .map_err(|bad| bad_line(bad.number, bad.error))?;
        let (file, digest) = reader.into_parts();
        located.sort_by_key(|line| line.name);
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            located,
            unanswered,
            sha256: hex(&digest.finish()),
        })
    }

    /// Who was asked, and how.
    pub fn header(&self) -> &LookupsHeader {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of the file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether a name was asked for, and every resolver answered.
    pub fn has_answer(&self, name: &str) -> bool {
        let name = stable_hash(name.as_bytes());
        let found = self.located.binary_search_by_key(&name, |line| line.name);
        found.is_ok() && !self.unanswered.contains(&name)
    }

    /// What was answered about a name; `None` where nobody was asked. `line` is room for its line.
    fn lookup(&self, name: &str, line: &mut Vec<u8>) -> Result<Option<Lookup>, FileError> {
        let hash = stable_hash(name.as_bytes());
        let end = self.located.partition_point(|line| line.name <= hash);
        let of_it = self.located[..end].iter().rev();
        // Names may have a hash in common.
        for located in of_it.take_while(|line| line.name == hash) {
            let read = read_again(&self.file, located.place, line);
            read.map_err(|error| FileError::io(&self.path, error))?;
            let lookup: Lookup = serde_json::from_slice(line).map_err(|error| {
                let changed = format!("it changed while it was read: {error}");
                FileError::io(&self.path, io::Error::other(changed))
            })?;
            if lookup.name == name {
                return Ok(Some(lookup));
            }
        }
        Ok(None)
    }

    /// What DNS was seen to hold for a connector; `None` where its domain was not looked up. `line` is room for a line.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn seen(
        &self,
        claim: &Claim<'_>,
        line: &mut Vec<u8>,
    ) -> Result<Option<SeenInDns>, FileError> {
        let unknown = |detail: &str| {
            Ok(Some(SeenInDns {
                txt: DnsTxt::Unknown,
                detail: detail.to_owned(),
                other_codes: Vec::new(),
            }))
        };
        if !is_host_name(&claim.domain) {
            return unknown("the domain is not a valid DNS name");
        }
        if let Some(nobody) = &self.header.nobody {
            return unknown(nobody);
        }
        let Some(at_domain) = self.lookup(&claim.domain, line)? else {
            return Ok(None);
        };
        let mut others = Vec::new();
        if record::wants_elsewhere(claim, &at_domain, self.needed()) {
            for name in elsewhere(&claim.domain) {
                others.extend(self.lookup(&name, line)?);
            }
        }
        Ok(Some(record::seen(
            claim,
            &at_domain,
            &others,
            self.needed(),
        )))
    }

    /// Whether it is of use to ask for a connector's record at other names than its domain.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn wants_elsewhere(
        &self,
        claim: &Claim<'_>,
        line: &mut Vec<u8>,
    ) -> Result<bool, FileError> {
        let at_domain = self.lookup(&claim.domain, line)?;
        Ok(at_domain
            .is_some_and(|at_domain| record::wants_elsewhere(claim, &at_domain, self.needed())))
    }

    /// How many resolvers have to say alike that a record is not there.
    fn needed(&self) -> usize {
        let resolvers = self.header.resolvers.len();
        self.header.enough.unwrap_or_else(|| needed(resolvers))
    }

    /// Joins what was looked up for several runs into a file for one: each name once, as the run has it that got the
    /// most answers. A run that had nobody to ask adds nothing, unless none had anybody.
    ///
    /// # Errors
    /// A file cannot be read, or the new one cannot be written.
    pub fn join(
        path: &Path,
        run_id: &str,
        parts: &[&Self],
        mode: FileMode,
    ) -> Result<(), FileError> {
        let asked = parts.iter().filter(|part| part.header.nobody.is_none());
        let mut asked: Vec<_> = asked.copied().collect();
        if asked.is_empty() {
            asked = parts.to_vec();
        }
        let Some(first) = asked.first() else {
            return Ok(());
        };
        let mut header = LookupsHeader {
            run_id: run_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..first.header.clone()
        };
        // Resolvers that no run asked together do not have to agree.
        header.enough = asked.iter().map(|part| part.needed()).max();
        for part in &asked[1..] {
            header.started = header.started.min(part.header.started);
            header.simulated &= part.header.simulated;
            for resolver in &part.header.resolvers {
                if !header.resolvers.contains(resolver) {
                    header.resolvers.push(resolver.clone());
                }
            }
        }
        let mut writer = LookupsWriter::create(path, &header, mode)?;
        let mut written = HashSet::new();
        let mut line = Vec::new();
        for answers in (0..=ENOUGH).rev() {
            for part in &asked {
                for located in part.last_of_each() {
                    if located.answers == answers && written.insert(located.name) {
                        read_again(&part.file, located.place, &mut line)
                            .map_err(|error| FileError::io(&part.path, error))?;
                        writer.write_bytes(&line)?;
                    }
                }
            }
        }
        writer.finish()
    }

    /// The last line of each name, in the order of the file.
    fn last_of_each(&self) -> Vec<Located> {
        let of_one_name = self.located.chunk_by(|a, b| a.name == b.name);
        let mut last: Vec<_> = of_one_name
            .filter_map(|lines| lines.last().copied())
            .collect();
        last.sort_unstable_by_key(|located| located.place.offset);
        last
    }
}

/// Appends to a file of lookups.
#[derive(Debug)]
pub struct LookupsWriter {
    path: PathBuf,
    file: File,
}

impl LookupsWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn create(path: &Path, header: &LookupsHeader, mode: FileMode) -> Result<Self, FileError> {
        let file = mode
            .create_file(path)
            .map_err(|error| FileError::io(path, error))?;
        let mut writer = Self {
            path: path.to_owned(),
            file,
        };
        writer.write(header)?;
        Ok(writer)
    }

    /// Goes on with a file that an interrupted run left. A last line that is only half there is cut off.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn resume(path: &Path) -> Result<Self, FileError> {
        let open = || {
            let file = open_own_file(path)?;
            file.set_len(length_of_whole_lines(&file)?)?;
            Ok(file)
        };
        let file = open().map_err(|error| FileError::io(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Removes a file that is not needed any more.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove(path: &Path) -> Result<(), FileError> {
        std::fs::remove_file(path).map_err(|error| FileError::io(path, error))
    }

    /// Appends what was answered about a name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, lookup: &Lookup) -> Result<(), FileError> {
        self.write(lookup)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), FileError> {
        let mut bytes =
            serde_json::to_vec(line).map_err(|error| FileError::io(&self.path, error.into()))?;
        bytes.push(b'\n');
        self.write_bytes(&bytes)
    }

    fn write_bytes(&mut self, line: &[u8]) -> Result<(), FileError> {
        let written = self.file.write_all(line);
        written.map_err(|error| FileError::io(&self.path, error))
    }

    /// Ends the writing: all lines are on the disk when this returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(self) -> Result<(), FileError> {
        let synced = self.file.sync_all();
        synced.map_err(|error| FileError::io(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with what resolvers answered about names: `+` stands for no such name, `-` for no answer.
    fn looked_up(path: &Path, resolvers: &[&str], names: &[(&str, &str)]) -> Lookups {
        let header = LookupsHeader {
            schema: SCHEMA.to_owned(),
            run_id: "run".to_owned(),
            version: "0.0.0".to_owned(),
            started: "2026-11-21T10:15:00Z".parse().unwrap(),
            resolvers: resolvers.iter().map(ToString::to_string).collect(),
            enough: None,
            nobody: resolvers.is_empty().then(|| "nobody".to_owned()),
            simulated: false,
            timeout_seconds: 3.0,
            attempts: 3,
            rate: "200/1s".to_owned(),
        };
        let mut writer = LookupsWriter::create(path, &header, FileMode::default()).unwrap();
        for (name, answers) in names {
            let opinion = |answer: char| {
                let reply = match answer {
                    '+' => serde_json::json!({"reply": "nxdomain"}),
                    _ => serde_json::json!({"reply": "failed", "cause": "silence"}),
                };
                let mut opinion =
                    serde_json::json!({"resolver": "r", "at": header.started, "questions": 1});
                opinion
                    .as_object_mut()
                    .unwrap()
                    .extend(reply.as_object().unwrap().clone());
                opinion
            };
            let asked: Vec<_> = answers.chars().map(opinion).collect();
            let lookup = serde_json::json!({"name": name, "asked": asked});
            writer
                .append(&serde_json::from_value(lookup).unwrap())
                .unwrap();
        }
        writer.finish().unwrap();
        Lookups::open(path).unwrap()
    }

    #[test]
    fn of_what_several_runs_looked_up_the_most_answers_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let answers = [("a.example", "-"), ("b.example", "+"), ("c.example", "+")];
        let one = looked_up(&path("1"), &["r1"], &answers);
        let answers = [("a.example", "+"), ("b.example", "-"), ("c.example", "++")];
        let other = looked_up(&path("2"), &["r1", "r2"], &answers);
        let nobody = looked_up(&path("3"), &[], &[]);
        let join = |to: &str, parts: &[&Lookups]| {
            Lookups::join(&path(to), "merged", parts, FileMode::default()).unwrap();
            Lookups::open(&path(to)).unwrap()
        };
        let joined = join("joined", &[&nobody, &one, &other]);
        assert_eq!(joined.header().resolvers, ["r1", "r2"]);
        assert_eq!((joined.needed(), joined.located.len()), (2, 3));
        assert_eq!(joined.header().run_id, "merged");
        let mut line = Vec::new();
        for (name, answers) in [("a.example", 1), ("b.example", 1), ("c.example", 2)] {
            let lookup = joined.lookup(name, &mut line).unwrap().unwrap();
            assert!(lookup.is_answered(), "{name}");
            assert_eq!(lookup.asked.len(), answers, "{name}");
        }
        // Each of them was enough by itself.
        let answers = [("d.example", "+")];
        let third = looked_up(&path("4"), &["r3"], &answers);
        assert_eq!(join("alone", &[&one, &third]).needed(), 1);
        assert!(join("none", &[&nobody]).header().nobody.is_some());
    }
}
