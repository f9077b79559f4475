//! An account of which the report cannot speak, or only in part.

use super::controls::{ISO_A_8_9, NIST_CA_7, SOC2_CC7_1};
use super::{Basis, Fix, Hit, Judge, Rule, Subject, Topic};
use crate::outcome::Outcome;
use crate::severity::Severity;

/// See the module.
pub const RULE: Rule = Rule {
    id: "unread-account",
    title: "Unread account",
    severity: Severity::High,
    topic: Topic::Account,
    basis: Basis::Reading,
    mandatory: Some("otherwise an unread account would look clean"),
    what: "The account's outcome is `unread` or `incomplete`, not `read`. This finding cannot be waived.",
    why: "Anything wrong in this account is missing from this report, and silence is not a clean result.",
    remedy: "Fix the stated cause, then run the audit again; after an interruption, `--resume` reads only the \
             missing accounts.",
    fix: Fix::Manual,
    controls: &[NIST_CA_7, ISO_A_8_9, SOC2_CC7_1],
    judges: |_, _| true,
    judge: Judge::Account(judge),
};

fn judge(subject: &Subject<'_>) -> Vec<Hit> {
    let Some(error) = subject.evidence.error else {
        return Vec::new();
    };
    let outcome = match subject.evidence.outcome {
        Outcome::Read => return Vec::new(),
        outcome => outcome.as_str(),
    };
    let code = error
        .code
        .as_ref()
        .map(|code| format!(", code {code}"))
        .unwrap_or_default();
    let remedy = error.kind.remedy();
    let remedy = remedy.replace("ACCOUNT_ID", &subject.account.id);
    vec![Hit {
        remedy: Some(remedy),
        ..Hit::new(format!(
            "{outcome} ({}{code}): {}",
            error.kind.as_str(),
            error.message
        ))
    }]
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use crate::evidence::AccountEvidence;
    use crate::outcome::{ErrorKind, ReadError};
    use serde_json::json;

    #[test]
    fn fires_on_whatever_was_not_read_whole_and_names_the_cause() {
        let error = ReadError {
            kind: ErrorKind::Forbidden,
            code: Some("9109".to_owned()),
            message: "Unauthorized".to_owned(),
        };
        let mut case = Case::of(AccountEvidence::unread(0, error));
        assert_eq!(
            case.said_by(&RULE),
            ["unread (forbidden, code 9109): Unauthorized"]
        );
        case.evidence.outcome = Outcome::Incomplete;
        assert_eq!(
            case.said_by(&RULE),
            ["incomplete (forbidden, code 9109): Unauthorized"]
        );
        assert!(Case::read(json!([])).judged_by(&RULE).is_empty());
    }

    #[test]
    fn the_remedy_names_the_account_that_a_command_needs() {
        let error = ReadError::new(ErrorKind::Auth, "Authentication error");
        let case = Case::of(AccountEvidence::unread(0, error));
        let remedy = case.judged_by(&RULE).remove(0).remedy.unwrap();
        let id = &case.accounts[0].id;
        assert!(remedy.contains(&format!("doctor {id}")), "{remedy}");
    }
}
