//! The documents that the program itself writes: its rules, and the demo's summary. Written anew with `UPDATE_DOCS=1`,
//! otherwise compared.

use std::fmt::Write as _;
use std::fs;

use cf_sso_audit::rules::{Basis, Fix, RULES, Rule};

use crate::support::*;

/// The document is this; with `UPDATE_DOCS=1` it becomes this.
#[track_caller]
fn is_generated(path: &str, wanted: &str) {
    let file = project().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(file, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} is not what the program says; write it anew: UPDATE_DOCS=1 cargo test --locked --test it docs_generated::\n\
         first difference: {:?}",
        found
            .lines()
            .zip(wanted.lines())
            .find(|(found, wanted)| found != wanted)
    );
}

#[test]
fn the_rules_page_is_made_of_the_rules() {
    let mut text = String::from(
        "# Rules\n\n\
         <!-- Generated from src/rules by tests/it/docs_generated.rs. Do not edit: run\n     \
         UPDATE_DOCS=1 cargo test --locked --test it docs_generated:: -->\n\n\
         Each rule judges what was read, by what the [policy](policy.md) expects. A policy can change a rule's severity, turn \
         it off, or waive its findings for a time. What a rule could not judge did not pass: the report counts it.\n\n\
         A rule *supports* controls: it brings evidence for them. No rule satisfies a control.\n\n\
         List the rules, or explain one, on the command line:\n\n\
         ```sh\ncf-sso-audit rules\ncf-sso-audit rules enabled-unverified\n```\n\n\
         | rule | severity | fires when |\n|---|---|---|\n",
    );
    for rule in RULES {
        let (id, severity) = (rule.id, rule.severity);
        let _ = writeln!(
            text,
            "| [`{id}`](#{id}) | {severity} | {} |",
            in_a_cell(rule.what)
        );
    }
    for rule in RULES {
        text += &section(rule);
    }
    text += "\n## See also\n\n- [Policy cookbook](policy.md)\n- [Fix what was found](fix.md)\n- [Add a rule](architecture.md#add-a-rule)\n";
    is_generated("docs/rules.md", &text);
}

fn in_a_cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn section(rule: &Rule) -> String {
    let waivable = match rule.mandatory {
        None => "it can be waived and turned off".to_owned(),
        Some(reason) => format!("it can be neither waived nor turned off: {reason}"),
    };
    let controls: Vec<_> = rule
        .controls
        .iter()
        .map(|control| format!("{} ({})", control.label(), control.title))
        .collect();
    format!(
        "\n## `{id}`\n\n**{title}**: {severity}\n\n\
         - **What it looks for.** {what}\n\
         - **Why it matters.** {why}\n\
         - **How to fix it.** {remedy}\n\
         - **What `fix` does.** {fix}\n\
         - **What it judges by.** {basis}; {waivable}.\n\
         - **Controls it supports.** {controls}\n",
        id = rule.id,
        title = rule.title,
        severity = rule.severity,
        what = rule.what,
        why = rule.why,
        remedy = rule.remedy,
        fix = words_of_fix(rule.fix),
        basis = words_of_basis(rule.basis),
        controls = controls.join("; "),
    )
}

fn words_of_fix(fix: Fix) -> &'static str {
    match fix {
        Fix::Disable => "Disables the connector, with `--disable`.",
        Fix::Enable => "Enables the connector if its domain is verified, with `--enable`.",
        Fix::Verify => "Begins the verification, if it is not under way.",
        Fix::VerifyAgain => "Begins the verification again.",
        Fix::FedrampText => "Sets the FedRAMP text to what the policy expects.",
        Fix::Publish => "Nothing: someone has to publish the TXT record.",
        Fix::Decision => {
            "Nothing, and nothing else that would build on the connector, until someone decides about it; `--disable` still works."
        }
        Fix::Manual => "Nothing: it needs manual action.",
    }
}

fn words_of_basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Reading => "How far the account was read",
        Basis::Account => "The account's own connectors",
        Basis::Run => "The connectors of all accounts of the run",
        Basis::Dns => "TXT records in DNS for the account's connectors, with `--check-dns`",
    }
}

#[test]
fn the_summary_of_the_first_audit_is_that_of_the_demo() {
    const PATH: &str = "docs/first-audit.md";
    let page = page(PATH);
    let (before, rest) = page.text.split_once("```text\n").unwrap();
    let (_, after) = rest.split_once("```").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_cf-sso-audit"))
        .args(["audit", "--demo"])
        .current_dir(&dir)
        .env("SOURCE_DATE_EPOCH", NOW)
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let summary = String::from_utf8(run.stdout).unwrap();
    is_generated(PATH, &format!("{before}```text\n{summary}```{after}"));
}
