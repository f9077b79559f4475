//! Which rules a policy has judged by, and how bad it says their findings are.

use super::{RULES, Rule};
use crate::policy::{Policy, RuleSetting};
use crate::severity::Severity;

impl Policy {
    /// The severity of a rule's findings, `None` where the rule is off. `by_rule` is what the rule itself says.
    pub fn severity(&self, rule: &Rule, by_rule: Severity) -> Option<Severity> {
        match self.rules.get(rule.id) {
            None => Some(by_rule),
            Some(RuleSetting::Severity(severity)) => Some(*severity),
            Some(RuleSetting::Off) => None,
        }
    }

    /// Whether a rule is judged by.
    pub fn is_in_force(&self, rule: &Rule) -> bool {
        self.rules.get(rule.id) != Some(&RuleSetting::Off)
    }

    /// The rules that are judged by, in the order of the list.
    pub fn rules_in_force(&self) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().copied().filter(|rule| self.is_in_force(rule))
    }

    /// The ids of the rules that are off.
    pub fn rules_off(&self) -> impl Iterator<Item = &'static str> {
        let off = RULES.iter().filter(|rule| !self.is_in_force(rule));
        off.map(|rule| rule.id)
    }
}
