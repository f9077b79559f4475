//! `--metrics`: a file of figures in Prometheus' text format, as node_exporter's textfile collector reads it.
//!
//! Each end of an audit writes the whole file anew. An audit that wrote no report has no figures of its own: those of the
//! last report are carried over from the file as it was, and so is the moment of the last success. So no finding goes
//! away because a night failed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::file_mode::{FileMode, sync_dir};

/// The largest file that is read again, in bytes; ours are a few thousand.
const LARGEST: u64 = 1024 * 1024;
/// What the name of every metric begins with.
const PREFIX: &str = "cf_sso_audit_";

/// A metric; all are gauges.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without [`PREFIX`].
    name: &'static str,
    /// What it means, on one line.
    help: &'static str,
    lifetime: Lifetime,
}

/// How long a figure holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// Until the next audit ends, in whatever way.
    Run,
    /// Until the next audit writes a report.
    Report,
    /// Until the next audit succeeds.
    Success,
}

macro_rules! metrics {
    ($($constant:ident $lifetime:ident $name:literal $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                help: $help,
                lifetime: Lifetime::$lifetime,
            };
        )*
        /// Every metric, in the order of the file.
        const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO Run "build_info" "The version of the program that ended last; always 1."
    RUN_TIME Run "last_run_timestamp_seconds" "When the last audit ended, in whatever way."
    RUN_EXIT_CODE Run "last_run_exit_code" "The exit code of the last audit."
    RUN_DURATION Run "last_run_duration_seconds" "How long the last audit took."
    RUN_REQUESTS Run "last_run_requests" "Requests that the last audit sent to the API, every attempt counted."
    RUN_WAITED Run "last_run_rate_limit_wait_seconds" "How long the rate limit kept the requests of the last audit waiting, summed over its tokens."
    SUCCESS_TIME Success "last_success_timestamp_seconds" "When an audit last succeeded: it ended with exit code 0 or 10."
    REPORT_TIME Report "report_timestamp_seconds" "When the audit began whose report the following figures are from."
    REPORT_COMPLETE Report "report_complete" "1 if every account asked for was read in full and every list of accounts is complete, else 0."
    ACCOUNTS Report "accounts" "Accounts that were asked for, by how far they were read."
    ACCOUNTS_NOT_ASKED Report "accounts_not_asked" "Accounts that earlier runs know and this one was not asked for."
    ACCOUNTS_BY_CAUSE Report "accounts_not_read_in_full" "Accounts that were not read in full, by cause."
    LIST_GAPS Report "account_list_gaps" "Reasons why accounts may be missing from the list itself."
    OLDEST_UNREAD Report "oldest_unread_timestamp_seconds" "Since when the longest-unread account has not been read in full; absent if all were."
    CONNECTORS Report "connectors" "Connectors that were read."
    UNVERIFIED Report "connectors_unverified" "Connectors whose status is not verified."
    DISABLED Report "connectors_disabled" "Connectors that are not enabled."
    FINDINGS Report "findings" "Findings, by severity and status."
    NEW_FINDINGS Report "findings_new" "Findings that are new, by severity and status."
    RESOLVED_FINDINGS Report "findings_resolved" "Findings resolved since their accounts were last read in full."
    FINDINGS_NOT_JUDGED Report "findings_not_judged" "Known findings that could not be judged again, by the severity that they had."
    RULE_FINDINGS Report "rule_findings" "Findings, by rule and status."
}

/// A figure, as it is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    metric: &'static str,
    line: String,
}

impl Metric {
    /// The metric with a value.
    pub fn is(&self, value: impl Into<f64>) -> Figure {
        self.of(&[], value)
    }

    /// The metric with a value, of what labels name.
    pub fn of(&self, labels: &[(&str, &str)], value: impl Into<f64>) -> Figure {
        let mut line = format!("{PREFIX}{}", self.name);
        let mut before = '{';
        for (label, text) in labels {
            let _ = write!(line, "{before}{label}=\"{}\"", escaped(text));
            before = ',';
        }
        if !labels.is_empty() {
            line.push('}');
        }
        let _ = write!(line, " {}", value.into());
        Figure {
            metric: self.name,
            line,
        }
    }
}

/// A count as a figure: exact up to 2^53, far beyond what can be counted here.
pub fn number(count: u64) -> f64 {
    count as f64
}

/// A moment as a figure.
pub fn seconds(moment: DateTime<Utc>) -> f64 {
    moment.timestamp() as f64
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// How an audit ended.
#[derive(Debug, Clone, Copy)]
pub struct RunEnd {
    /// When.
    pub at: DateTime<Utc>,
    /// With which exit code.
    pub exit_code: u8,
    /// Whether that is a success.
    pub is_success: bool,
    /// How long it took.
    pub took: Duration,
    /// Requests that it sent.
    pub requests: u64,
    /// How long the rate limit kept requests waiting.
    pub waited: Duration,
}

impl RunEnd {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            BUILD_INFO.of(&[("version", env!("CARGO_PKG_VERSION"))], 1),
            RUN_TIME.is(seconds(self.at)),
            RUN_EXIT_CODE.is(self.exit_code),
            RUN_DURATION.is(self.took.as_secs_f64()),
            RUN_REQUESTS.is(number(self.requests)),
            RUN_WAITED.is(self.waited.as_secs_f64()),
        ];
        if self.is_success {
            figures.push(SUCCESS_TIME.is(seconds(self.at)));
        }
        figures
    }
}

/// Why the file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// It, or its folder, cannot be read or written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else is in its place.
    #[error("{} was not written by this program: {cause}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What shows it.
        cause: String,
    },
}

/// The file.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    mode: FileMode,
}

impl MetricsFile {
    /// The file with a path, which can be written: that is found out now. Nothing is overwritten that this program did not
    /// write.
    ///
    /// # Errors
    /// It cannot be written, or something else is there.
    pub fn new(path: &Path, mode: FileMode) -> Result<Self, MetricsError> {
        let file = Self {
            path: path.to_owned(),
            mode,
        };
        file.read()?;
        let tried = mode.create_aside(file.folder());
        tried.map_err(|error| file.failed(error))?;
        Ok(file)
    }

    /// Writes how an audit ended, and what its report says where it wrote one.
    ///
    /// # Errors
    /// The file cannot be written; then it is as it was.
    pub fn write(&self, end: &RunEnd, report: Option<&[Figure]>) -> Result<(), MetricsError> {
        let before = self.read()?;
        let mut figures = end.figures();
        figures.extend_from_slice(report.unwrap_or_default());
        let has_report = report.is_some();
        let still_holds = |figure: &Figure| match lifetime(figure.metric) {
            Some(Lifetime::Report) => !has_report,
            Some(Lifetime::Success) => !end.is_success,
            _ => false,
        };
        figures.extend(before.into_iter().filter(still_holds));
        let write = || {
            let mut aside = self.mode.create_aside(self.folder())?;
            aside.write_all(text(&figures).as_bytes())?;
            aside.as_file().sync_all()?;
            aside.persist(&self.path)?;
            sync_dir(self.folder())
        };
        write().map_err(|error| self.failed(error))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The figures of the file as it is; none where it is not there.
    fn read(&self) -> Result<Vec<Figure>, MetricsError> {
        let foreign = |cause: String| MetricsError::Foreign {
            path: self.path.clone(),
            cause,
        };
        match self.path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
            Ok(found) if !found.is_file() => {
                return Err(foreign("it is not a regular file".to_owned()));
            }
            Ok(found) if found.len() > LARGEST => {
                return Err(foreign("it is larger than any of its files".to_owned()));
            }
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
        read.map_err(|error| self.failed(error))?;
        let text = String::from_utf8(bytes).map_err(|_| foreign("it is not UTF-8".to_owned()))?;
        parse(&text).map_err(|number| foreign(format!("see line {number}")))
    }

    fn failed(&self, source: impl Into<io::Error>) -> MetricsError {
        MetricsError::Io {
            path: self.path.clone(),
            source: source.into(),
        }
    }
}

fn lifetime(name: &str) -> Option<Lifetime> {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    metric.map(|metric| metric.lifetime)
}

/// The file's text: each metric with what it means, and its figures.
fn text(figures: &[Figure]) -> String {
    let mut text = String::new();
    for Metric { name, help, .. } in METRICS {
        let mut lines = figures
            .iter()
            .filter(|figure| figure.metric == *name)
            .peekable();
        if lines.peek().is_none() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {PREFIX}{name} {help}");
        let _ = writeln!(text, "# TYPE {PREFIX}{name} gauge");
        for figure in lines {
            let _ = writeln!(text, "{}", figure.line);
        }
    }
    text
}

/// The figures in a text that this program wrote; else the number of the first line that it did not. What another version
/// knew besides is left out.
fn parse(text: &str) -> Result<Vec<Figure>, usize> {
    let mut figures = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let comment = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "));
        let name = match comment {
            Some(rest) => rest.strip_prefix(PREFIX),
            None => figure_name(line),
        };
        let name = name.ok_or(number + 1)?;
        let known = METRICS.iter().find(|metric| metric.name == name);
        if let (None, Some(metric)) = (comment, known) {
            figures.push(Figure {
                metric: metric.name,
                line: line.to_owned(),
            });
        }
    }
    Ok(figures)
}

/// The name in a figure's line, without [`PREFIX`], where the line is whole: name, labels, a number.
fn figure_name(line: &str) -> Option<&str> {
    let (named, value) = line.rsplit_once(' ')?;
    value
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())?;
    let (name, labels) = match named.split_once('{') {
        Some((name, labels)) => (name, Some(labels.strip_suffix('}')?)),
        None => (named, None),
    };
    let is_name = |name: &str| {
        let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
        !name.is_empty() && name.chars().all(is_part)
    };
    let mut rest = labels.unwrap_or_default();
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"")?;
        let end = end_of_quoted(value)?;
        rest = &value[end + 1..];
        let is_last = rest.is_empty();
        rest = rest.strip_prefix(',').unwrap_or(rest);
        if !is_name(label) || is_last != rest.is_empty() {
            return None;
        }
    }
    let name = name.strip_prefix(PREFIX)?;
    is_name(name).then_some(name)
}

/// Where the quotation mark stands that ends a label's value.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn end(exit_code: u8, at: &str) -> RunEnd {
        RunEnd {
            at: at.parse().unwrap(),
            exit_code,
            is_success: exit_code == 0,
            took: Duration::from_millis(2500),
            requests: 7,
            waited: Duration::ZERO,
        }
    }

    fn read(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_failed_audit_keeps_the_figures_of_the_last_report_and_the_last_success() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sso.prom");
        let file = MetricsFile::new(&path, FileMode::default()).unwrap();
        let report = [FINDINGS.of(&[("severity", "high"), ("status", "open")], 3)];
        file.write(&end(0, "2026-11-21T10:15:00Z"), Some(&report))
            .unwrap();
        let finding = r#"cf_sso_audit_findings{severity="high",status="open"} 3"#;
        let success = "cf_sso_audit_last_success_timestamp_seconds 1795256100";
        let lines = read(&path);
        for line in [
            finding,
            success,
            "cf_sso_audit_last_run_duration_seconds 2.5",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
        }
        file.write(&end(1, "2026-11-22T10:15:00Z"), None).unwrap();
        let lines = read(&path);
        for line in [
            finding,
            success,
            "cf_sso_audit_last_run_exit_code 1",
            "cf_sso_audit_last_run_timestamp_seconds 1795342500",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
        }
        let names: BTreeSet<_> = lines
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().0)
            .collect();
        assert_eq!(names.len(), lines.len(), "each series once");
        // A report that is no success: its figures are the new ones, and the success is the old one.
        file.write(&end(3, "2026-11-23T10:15:00Z"), Some(&[CONNECTORS.is(5)]))
            .unwrap();
        let lines = read(&path);
        assert!(
            lines.iter().any(|line| line == success) && !lines.iter().any(|line| line == finding)
        );
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left aside");
    }

    #[test]
    fn what_this_program_did_not_write_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.prom");
        for text in [
            "node_load1 0.5\n",
            "# a remark\n",
            "cf_sso_audit_connectors x\n",
            "cf_sso_audit_connectors NaN\n",
            "cf_sso_audit_connectors{a=\"b} 1\n",
            "cf_sso_audit_connectors{a=\"b\",} 1\n",
            "\n",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = MetricsFile::new(&path, FileMode::default()).unwrap_err();
            assert!(
                matches!(error, MetricsError::Foreign { .. }),
                "{text}: {error}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert!(MetricsFile::new(dir.path(), FileMode::default()).is_err());
        let nowhere = dir.path().join("none/a.prom");
        let error = MetricsFile::new(&nowhere, FileMode::default()).unwrap_err();
        assert!(matches!(error, MetricsError::Io { .. }), "{error}");
        // An empty one, and one of another version, are.
        for text in ["", "cf_sso_audit_gone{a=\"b\\\"c\",d=\"\"} 1e3\n"] {
            std::fs::write(&path, text).unwrap();
            let file = MetricsFile::new(&path, FileMode::default()).unwrap();
            file.write(&end(0, "2026-11-21T10:15:00Z"), None).unwrap();
            assert!(!std::fs::read_to_string(&path).unwrap().contains("gone"));
        }
    }

    #[test]
    fn each_metric_has_a_name_of_its_own_and_says_what_it_means() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(
                metric.help.ends_with('.') && !metric.help.contains('\n'),
                "{}",
                metric.name
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(value in "\\PC{0,20}|[\"\\\\\n,{}= ]{0,10}", count in 0_u32..) {
            let figures = vec![
                CONNECTORS.is(count),
                RULE_FINDINGS.of(&[("rule", &value), ("status", "open")], count),
            ];
            proptest::prop_assert_eq!(parse(&text(&figures)), Ok(figures));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(cf_sso_audit_)?[a-z{}=\",\\\\ 0-9\n#]{0,60}") {
            let _ = parse(&text);
        }
    }
}
