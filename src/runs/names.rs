//! How the directories of runs are named.

use std::path::Path;

/// The ending of a run's directory that is incomplete yet.
pub(super) const PARTIAL: &str = ".partial";

/// The ending of a run's directory that is being removed.
pub(super) const REMOVED: &str = ".removed";

/// The folder in which a report's files are written before they are moved into place.
pub const STAGING: &str = ".cf-sso-audit.staging";

/// The folder in a run's directory that holds one for each owner, where the report is split.
pub const BY_OWNER: &str = "by-owner";

/// Whether a directory is that of a run that is incomplete: everything in it is this program's own.
pub fn is_unfinished(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default();
    name.to_string_lossy().ends_with(PARTIAL)
}

/// What orders runs by their names: the start, then the number among those of the same second.
pub(super) fn run_order(name: &str) -> (&str, u32) {
    let name = name.strip_suffix(PARTIAL).unwrap_or(name);
    let (start, number) = name.split_once('-').unwrap_or((name, "1"));
    (start, number.parse().unwrap_or(1))
}

/// Whether a name is one that runs get: `20261121T101500Z`, with a number where several began in one second.
pub fn is_run_id(name: &str) -> bool {
    let (start, number) = name.split_at_checked(16).unwrap_or((name, ""));
    let number_is_one = number
        .strip_prefix('-')
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    chrono::NaiveDateTime::parse_from_str(start, "%Y%m%dT%H%M%SZ").is_ok()
        && (number.is_empty() || number_is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_are_told_from_others() {
        for name in ["20261121T101500Z", "20261121T101500Z-2"] {
            assert!(is_run_id(name), "{name}");
        }
        for name in [
            "latest",
            "20261121T101500Z-",
            "20261121T101500Z-x",
            "20261321T101500Z",
            "20261121T101500",
            "",
        ] {
            assert!(!is_run_id(name), "{name}");
        }
    }

    #[test]
    fn runs_of_one_second_are_in_the_order_of_their_numbers() {
        let names = [
            "20261121T101500Z",
            "20261121T101500Z-2",
            "20261121T101500Z-10.partial",
            "20261121T101501Z",
        ];
        assert!(names.is_sorted_by_key(|name| run_order(name)));
    }
}
