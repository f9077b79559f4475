//! `--shard K/N` and `--shard auto/N`.

use std::env::VarError;
use std::str::FromStr;

use super::Failure;
use crate::shard::Shard;

/// What a scheduler that starts N tasks says which of them this is by: Kubernetes (an Indexed Job), AWS Batch (an array
/// job) and Slurm (a job array).
const VARIABLES: [&str; 3] = [
    "JOB_COMPLETION_INDEX",
    "AWS_BATCH_JOB_ARRAY_INDEX",
    "SLURM_ARRAY_TASK_ID",
];

/// The shard that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardArg {
    /// By its number.
    Given(Shard),
    /// The one of so many that the scheduler names.
    Auto(u32),
}

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("auto/") {
            None => text.parse().map(Self::Given),
            Some(of) => {
                // The first of so many is there where any is.
                let of: Shard = format!("0/{of}").parse()?;
                Ok(Self::Auto(of.of()))
            }
        }
    }
}

impl ShardArg {
    /// The shard itself.
    ///
    /// # Errors
    /// No scheduler says which task this is, two say different things, or there is no such shard.
    pub fn shard(self) -> Result<Shard, Failure> {
        match self {
            Self::Given(shard) => Ok(shard),
            Self::Auto(of) => named_by_scheduler(of, |variable| std::env::var(variable)),
        }
    }
}

fn named_by_scheduler(
    of: u32,
    value: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Shard, Failure> {
    let said = VARIABLES
        .iter()
        .filter_map(|variable| match value(variable) {
            Err(VarError::NotPresent) => None,
            Ok(text) => Some((*variable, text)),
            Err(VarError::NotUnicode(text)) => {
                Some((*variable, text.to_string_lossy().into_owned()))
            }
        });
    let said: Vec<_> = said.collect();
    let Some((variable, text)) = said.first() else {
        return Err(Failure::usage(format!(
            "--shard auto/{of} needs the number of this task, and none of {} is set",
            VARIABLES.join(", ")
        ))
        .hint(format!("give the shard itself, such as --shard 0/{of}")));
    };
    if let Some((other, differs)) = said.iter().find(|(_, other)| other != text) {
        return Err(Failure::usage(format!(
            "--shard auto/{of} cannot tell which task this is: {variable} is {text:?}, and {other} is {differs:?}"
        ))
        .hint(format!("give the shard itself, such as --shard 0/{of}")));
    }
    let number = text
        .parse()
        .map_err(|_| format!("{text:?} is not the number of a shard"));
    number
        .and_then(|number| Shard::new(number, of))
        .map_err(|cause| {
            Failure::usage(format!(
                "--shard auto/{of}: {variable} is {text:?}: {cause}"
            ))
            .hint(format!(
                "number the tasks from 0 to {}: in Slurm, `--array=0-{}`",
                of - 1,
                of - 1
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(of: u32, said: &[(&str, &str)]) -> Result<String, String> {
        let value = |variable: &str| {
            let found = said.iter().find(|(name, _)| *name == variable);
            found
                .map(|(_, value)| (*value).to_owned())
                .ok_or(VarError::NotPresent)
        };
        named_by_scheduler(of, value)
            .map(|shard| shard.to_string())
            .map_err(|failure| format!("{} {}", failure.message, failure.hint.unwrap_or_default()))
    }

    #[test]
    fn each_scheduler_names_the_shard() {
        for variable in VARIABLES {
            assert_eq!(auto(3, &[(variable, "2")]).unwrap(), "2/3");
        }
        let alike = [(VARIABLES[0], "1"), (VARIABLES[2], "1")];
        assert_eq!(auto(3, &alike).unwrap(), "1/3");
    }

    #[test]
    fn what_names_no_shard_is_refused_with_what_to_do() {
        let none = auto(3, &[]).unwrap_err();
        assert!(none.contains("SLURM_ARRAY_TASK_ID is set"), "{none}");
        let two = auto(3, &[(VARIABLES[0], "1"), (VARIABLES[1], "2")]).unwrap_err();
        assert!(two.contains("cannot tell which task"), "{two}");
        for bad in ["3", "-1", "", "x", "4294967296"] {
            let said = auto(3, &[(VARIABLES[2], bad)]).unwrap_err();
            assert!(said.contains("--array=0-2"), "{said}");
        }
        for bad in ["auto", "auto/", "auto/0", "auto/x", "auto/1/2"] {
            assert!(bad.parse::<ShardArg>().is_err(), "{bad}");
        }
        assert_eq!("auto/7".parse(), Ok(ShardArg::Auto(7)));
    }
}
