//! `cf-sso-audit rules [RULE]`: the rules; one explained.

use std::fmt::Write as _;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::table::table;
use super::{Failure, exit, print};
use crate::rules::{RULES, Rule, rule};

/// List the rules, or explain one: what it looks for, why it matters, how to fix what it finds
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RulesArgs {
    /// Rule to explain
    #[arg(value_parser = rule_ids(), hide_possible_values = true)]
    rule: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  List all rules with their severities:
      cf-sso-audit rules
  Explain one:
      cf-sso-audit rules enabled-unverified";

/// The rules by their ids, which clap checks, suggests and completes.
fn rule_ids() -> PossibleValuesParser {
    let rules = RULES.iter();
    PossibleValuesParser::new(rules.map(|rule| PossibleValue::new(rule.id).help(rule.title)))
}

/// Runs the command.
pub fn run(args: &RulesArgs) -> Result<u8, Failure> {
    print(&match args.rule.as_deref().and_then(rule) {
        Some(rule) => explain(rule),
        None => list(),
    })?;
    Ok(exit::DONE)
}

fn list() -> String {
    let rows: Vec<_> = RULES
        .iter()
        .map(|rule| [rule.id, rule.severity.as_str(), rule.title].map(str::to_owned))
        .collect();
    table(0, &rows)
}

fn explain(rule: &Rule) -> String {
    let controls: Vec<_> = rule
        .controls
        .iter()
        .map(|control| format!("{} ({})", control.label(), control.title))
        .collect();
    let mut text = format!("{}: {}\nSeverity: {}\n", rule.id, rule.title, rule.severity);
    for (head, body) in [
        ("What it looks for", rule.what),
        ("Why it matters", rule.why),
        ("How to fix it", rule.remedy),
    ] {
        let _ = write!(text, "\n{head}\n{}\n", wrapped(body));
    }
    let _ = writeln!(
        text,
        "\nControls it supports (supports, does not satisfy)\n  {}",
        controls.join("\n  ")
    );
    text
}

/// The text in lines of at most 90 characters, indented.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.len());
        if line + word.len() > 90 {
            lines.push(String::from(" "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}
