//! The words that a policy may hold.

use crate::rules::RULES;
use crate::severity::Severity;

/// The least and the most days that a verification may be allowed to be pending.
pub const PENDING_DAYS: (u32, u32) = (0, 3650);

/// The words for a severity, with the one that switches a rule off.
pub fn severities() -> Vec<&'static str> {
    Severity::ALL
        .iter()
        .map(|severity| severity.as_str())
        .chain(["off"])
        .collect()
}

/// The words for a FedRAMP expectation.
pub const FEDRAMP: [&str; 3] = ["required", "forbidden", "any"];

/// The rules' ids.
pub fn rule_ids() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.id).collect()
}

/// Whether a text can be a domain: at least two labels, and nothing in them that is in no name.
pub fn is_domain(text: &str) -> bool {
    labels(text).is_some_and(|labels| labels > 1)
}

/// Whether a text is a domain, or `*.` before one, which may then be a top-level domain.
pub fn is_pattern(text: &str) -> bool {
    match text.strip_prefix("*.") {
        Some(parent) => labels(parent).is_some(),
        None => is_domain(text),
    }
}

/// The number of labels of a name, a trailing dot left off; `None` where one is none.
fn labels(text: &str) -> Option<usize> {
    let is_label = |label: &str| {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "*@/:?#".contains(c);
        !label.is_empty() && !label.contains(forbidden)
    };
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    labels.clone().all(is_label).then(|| labels.count())
}
