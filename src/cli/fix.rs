//! `cf-sso-audit fix RUN_DIR`: the plan that would fix a run's findings; `--apply` carries it out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::connection::ConnectionArgs;
use super::judgement::{check_evidence, policy_of};
use super::stop::Stop;
use super::table::table;
use super::{Failure, exit, json_text, print, unprinted, write_out};
use crate::api::Lane;
use crate::clock::Clock;
use crate::evidence::{Evidence, FILE_NAME};
use crate::fix::{
    Action, Allowed, ApplyError, FixLog, Hand, LogError, Manual, Plan, Record, Step, StepOutcome,
    publishable, zone_snippet,
};
use crate::ledger::policy_of_run;
use crate::policy::Policy;
use crate::runs::{SUMS, is_unfinished};
use crate::spreadsheet::guarded;
use crate::text::{count, for_terminal};

/// Plan fixes for a run's open findings; --apply carries out the plan
///
/// The plan begins verifications and sets FedRAMP texts to what the policy expects. It enables connectors only with
/// --enable, disables them only with --disable, and never deletes one. A connector with an open finding that needs a
/// person's decision (duplicate-domain, unexpected-domain) is left alone, except that it may be disabled. Without
/// --apply nothing is sent. With it, each connector is read again first, and skipped if it has changed since the
/// audit. Every change is logged to fix-log.jsonl in the run's directory before it is sent, and its result before the
/// next one.
///
/// --apply needs the permission SSO Connector Write (labelled Edit in the dashboard).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  See what would fix the newest run's findings:
      cf-sso-audit fix reports/latest --policy policy.toml
  Carry it out:
      cf-sso-audit fix reports/latest --policy policy.toml --apply")]
pub struct FixArgs {
    /// The run's directory
    run_dir: PathBuf,
    /// Policy file (TOML): what to expect of accounts, and what is waived
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Also enable verified connectors; this takes effect for every user of the domain, in every account
    #[arg(long)]
    enable: bool,
    /// Also disable connectors that are enabled without a verified domain
    #[arg(long)]
    disable: bool,
    /// Carry out the plan
    #[arg(long)]
    apply: bool,
    /// Print the plan as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the plan's steps as CSV; text that a spreadsheet would take for a formula, number or date has a leading
    /// '
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub async fn run(args: FixArgs) -> Result<u8, Failure> {
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let source = args.run_dir.join(FILE_NAME);
    let evidence = Evidence::open(&source).map_err(|error| {
        Failure::usage(format!("the evidence cannot be read: {error}"))
            .hint("give the directory of a run, which contains evidence.jsonl")
    })?;
    let run_dir = args.run_dir.canonicalize();
    let run_dir = run_dir.as_deref().unwrap_or(&args.run_dir);
    check_evidence(run_dir, &evidence)?;
    if args.apply {
        check_complete(run_dir)?;
    }
    let policy = policy_of(args.policy.as_deref(), evidence.header().demo)?;
    check_policy(&args.run_dir, &policy)?;
    let allowed = Allowed {
        enable: args.enable,
        disable: args.disable,
    };
    let plan = Plan::of(&evidence, &policy, allowed, clock.now())
        .map_err(|error| Failure::failed(error.to_string()))?;
    print(&match (args.json, args.csv) {
        (true, _) => json_text(&json!(plan)),
        (_, true) => csv_text(&plan)?,
        _ => text(&plan),
    })?;
    if plan.steps.is_empty() {
        return Ok(exit::DONE);
    }
    if !args.apply {
        say(
            &args,
            "\nNothing was sent. To carry out the plan, add --apply.\n",
        )
        .map_err(unprinted)?;
        return Ok(exit::DONE);
    }
    apply(&args, &evidence, &plan, clock).await
}

/// What a run saw is the ground for changes only where it is whole, and known to be what the run wrote.
fn check_complete(run_dir: &Path) -> Result<(), Failure> {
    if is_unfinished(run_dir) {
        return Err(Failure::usage(format!("{} is not complete", run_dir.display()))
            .hint("complete it with `cf-sso-audit audit --resume --output` and the folder it is in, or run a new audit and fix that run"));
    }
    if !run_dir.join(SUMS).exists() {
        return Err(Failure::usage(format!(
            "{} has no {SUMS}, so its evidence cannot be verified",
            run_dir.display()
        ))
        .hint("restore the file from a copy, or run a new audit and fix that run"));
    }
    Ok(())
}

/// A plan that forgot the run's policy would fix what was waived, and not what was expected.
fn check_policy(run: &Path, policy: &Policy) -> Result<(), Failure> {
    let judged_by = policy_of_run(run)
        .map_err(|error| Failure::usage(format!("the run cannot be read: {error}")))?;
    match (judged_by, &policy.source) {
        (Some(source), None) => Err(Failure::usage(format!(
            "the run used the policy {}, but none was given",
            source.path
        ))
        .hint("give the policy with --policy: its waivers and expectations decide what is fixed")),
        (Some(source), Some(given)) if source.sha256 != given.sha256 => {
            tracing::warn!(
                "the run used another policy than {}, or the file has changed since: the plan follows the one given",
                given.path
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The plan for people: what has to be published first, what would be done, what is left to them.
fn text(plan: &Plan) -> String {
    let mut text = String::new();
    if !plan.records.is_empty() {
        let _ = writeln!(
            text,
            "{} to publish first, as a zone file: verification cannot succeed without them",
            count(publishable(&plan.records), "TXT record")
        );
        text.push_str(&zone_snippet(&plan.records));
        text.push('\n');
    }
    let _ = writeln!(text, "{} to carry out", count(plan.steps.len(), "step"));
    let rows: Vec<_> = plan.steps.iter().map(step_row).collect();
    text.push_str(&table(2, &rows));
    if !plan.manual.is_empty() {
        let needs = if plan.manual.len() == 1 {
            "needs"
        } else {
            "need"
        };
        let _ = writeln!(
            text,
            "\n{} {needs} manual action",
            count(plan.manual.len(), "finding")
        );
        let rows: Vec<_> = plan.manual.iter().map(manual_row).collect();
        text.push_str(&table(2, &rows));
    }
    text
}

fn step_row(step: &Step) -> [String; 6] {
    [
        step.severity.to_string(),
        step.action.as_str().to_owned(),
        for_terminal(&step.email_domain).into_owned(),
        format!("connector {}", for_terminal(&step.connector_id)),
        named(&step.account_name, &step.account_id),
        step.rule.to_owned(),
    ]
}

fn manual_row(left: &Manual) -> [String; 5] {
    let about = [left.email_domain.as_str(), left.connector_id.as_str()]
        .into_iter()
        .find(|text| !text.is_empty());
    [
        left.severity.to_string(),
        left.rule.to_owned(),
        for_terminal(about.unwrap_or("-")).into_owned(),
        named(&left.account_name, &left.account_id),
        left.reason.clone(),
    ]
}

/// An account, for people: `Acme (023e105f4ecef8ad9ca31a8372d0c353)`.
fn named(name: &str, id: &str) -> String {
    let id = for_terminal(id);
    match name {
        "" => id.into_owned(),
        name => format!("{} ({id})", for_terminal(name)),
    }
}

fn csv_text(plan: &Plan) -> Result<String, Failure> {
    let failed = |error: csv::Error| Failure::failed(error.to_string());
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record([
        "account_id",
        "account_name",
        "connector_id",
        "email_domain",
        "action",
        "rule",
        "finding_id",
        "txt_name",
        "txt_value",
        "severity",
    ])
    .map_err(failed)?;
    for step in &plan.steps {
        let record = match step.action {
            Action::BeginVerification => Record::of(&step.evidence),
            _ => None,
        };
        let (name, value) = match &record {
            Some(record) => (record.name.as_str(), record.value.as_str()),
            None => ("", ""),
        };
        let fields = [
            &step.account_id,
            &step.account_name,
            &step.connector_id,
            &step.email_domain,
            step.action.as_str(),
            step.rule,
            &step.finding_id,
            name,
            value,
            step.severity.as_str(),
        ];
        csv.write_record(fields.map(|field| guarded(field).into_owned()))
            .map_err(failed)?;
    }
    let bytes = csv
        .into_inner()
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lane of each step's account, in the order of the steps.
async fn lanes(
    args: &FixArgs,
    evidence: &Evidence,
    plan: &Plan,
) -> Result<Vec<Arc<Lane>>, Failure> {
    let accounts = evidence.header().accounts.iter();
    let variables: HashMap<_, _> = accounts
        .map(|account| (account.id.as_str(), account.token_env.as_str()))
        .collect();
    let mut tokens = args.connection.tokens();
    let mut lanes = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let variable = variables.get(step.account_id.as_str());
        lanes.push(tokens.lane(variable.copied().unwrap_or_default()).await?);
    }
    Ok(lanes)
}

async fn apply(
    args: &FixArgs,
    evidence: &Evidence,
    plan: &Plan,
    clock: Clock,
) -> Result<u8, Failure> {
    let stop = Stop::listen();
    let header = evidence.header();
    let base_url = args.connection.base_url()?;
    if base_url.as_str() != header.base_url {
        return Err(Failure::usage(format!(
            "the run read {}, but {} would be changed",
            header.base_url,
            base_url.as_str()
        ))
        .hint("give the same --base-url as the audit's"));
    }
    let lanes = tokio::select! {
        biased;
        () = stop.requested() => {
            return Err(Failure::new(exit::INTERRUPTED, "interrupted before anything was changed"));
        }
        lanes = lanes(args, evidence, plan) => lanes?,
    };
    let api = args.connection.api(base_url, clock)?;
    let mut hand = Hand::new(api, FixLog::open(&args.run_dir)?, clock);
    let say_step = |step: &Step, outcome: &StepOutcome| say(args, &progress_line(outcome, step));
    let tally = hand
        .carry_out_all(&plan.steps, &lanes, stop.requested(), say_step)
        .await?;
    let log = hand.log().display();
    say(args, &format!("{tally}; see {log}\n")).map_err(unprinted)?;
    let remedies: String = hand
        .remedies()
        .map(|remedy| format!("\n{remedy}"))
        .collect();
    tally.check().map(|()| exit::DONE).map_err(|error| {
        Failure::from(error).hint(format!(
            "see {log}; fix the cause and run the command again: nothing is done twice{remedies}"
        ))
    })
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let message = error.to_string();
        match error {
            ApplyError::Log(error) => error.into(),
            ApplyError::Interrupted { .. } => Self::new(exit::INTERRUPTED, message)
                .hint("run the command again: each connector is read again before it is changed"),
            ApplyError::Unsaid(_) | ApplyError::NotAll { .. } | ApplyError::GivenUp { .. } => {
                Self::failed(message)
            }
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let hint = match error {
            LogError::Unwritable { .. } => {
                "nothing more is changed without a log; fix the cause and run the command again"
            }
            LogError::Held { .. } => {
                "wait until it has finished, then run this again: nothing is done twice"
            }
        };
        Self::failed(error.to_string()).hint(hint)
    }
}

/// What became of a step, for people.
fn progress_line(outcome: &StepOutcome, step: &Step) -> String {
    let reason = match outcome.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let (result, action) = (outcome.result.as_str(), step.action.as_str());
    let line = format!("{result}  {action} {}{reason}", step.email_domain);
    for_terminal(&line).into_owned() + "\n"
}

/// Says how it goes on: on standard output, unless that is the plan's, for a program to read.
fn say(args: &FixArgs, text: &str) -> io::Result<()> {
    if args.json || args.csv {
        // That nobody reads it must not stop what is in progress: the log has it all.
        let _ = io::stderr().write_all(text.as_bytes());
        return Ok(());
    }
    write_out(text)
}

#[cfg(test)]
mod tests {
    use crate::rules::{Fix, RULES};

    #[test]
    fn the_help_names_the_rules_whose_findings_only_a_person_can_decide() {
        let mut command = crate::cli::command();
        let fix = command.find_subcommand_mut("fix").unwrap();
        let help = fix.render_long_help().to_string();
        let decided = RULES.iter().filter(|rule| rule.fix == Fix::Decision);
        let ids: Vec<_> = decided.map(|rule| rule.id).collect();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("({})", ids.join(", "))), "{help}");
    }
}
