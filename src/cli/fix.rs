//! `cf-sso-audit fix RUN_DIR`: the plan that would fix a run's findings; `--apply` carries it out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::connection::ConnectionArgs;
use super::judgement::{check_evidence, policy_of};
use super::stop::Stop;
use super::tokens::Tokens;
use super::{Failure, exit, json_text, print};
use crate::api::{Answered, Api, Lane};
use crate::assess::{Assessor, Earlier, KnownElsewhere};
use crate::clock::Clock;
use crate::evidence::{Evidence, FILE_NAME};
use crate::fix::{Action, Allowed, Plan, Record, Step, publishable, zone_snippet};
use crate::ledger::policy_of_run;
use crate::outcome::{ErrorKind, ReadError};
use crate::policy::Policy;
use crate::runs::{SUMS, is_unfinished};
use crate::spreadsheet::guarded;
use crate::text::{count, for_terminal};

mod log;

use log::{FixLog, LOG_NAME, Outcome, Sent, StepResult};

/// After so many failures in a row an account is given up.
const FAILURES: u32 = 3;
/// After so many accounts in a row in which something failed and nothing could be done, everything is.
const FAILED_ACCOUNTS: usize = 10;

/// Plan how to fix a run's open findings; --apply carries the plan out
///
/// The plan begins verifications and sets FedRAMP texts to what the policy expects. It enables only with --enable,
/// disables only with --disable, and never deletes. A connector with an open finding that only a person can decide
/// (duplicate-domain, unexpected-domain) is left alone, except that it may be disabled. Without --apply nothing is sent.
/// With it, each connector is read again first and left alone where it is no longer as in the evidence. Each change is
/// noted in fix-log.jsonl in the run's directory before it is sent, and what became of it before the next one.
///
/// --apply needs the permission SSO Connector Write (labelled Edit in the dashboard).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What would fix the newest run's findings?
      cf-sso-audit fix reports/latest --policy policy.toml
  Do it:
      cf-sso-audit fix reports/latest --policy policy.toml --apply")]
pub struct FixArgs {
    /// The run's directory
    run_dir: PathBuf,
    /// What is expected of the accounts, and what is waived (TOML)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Enable verified connectors too: it takes effect for every user of the domain, in whatever account
    #[arg(long)]
    enable: bool,
    /// Disable connectors too that are enabled without a verified domain
    #[arg(long)]
    disable: bool,
    /// Carry the plan out
    #[arg(long)]
    apply: bool,
    /// Write the plan as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Write the plan's steps as CSV. Text that a spreadsheet would take for a formula, number or date has a leading '
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub async fn run(args: FixArgs) -> Result<u8, Failure> {
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let source = args.run_dir.join(FILE_NAME);
    let mut evidence = Evidence::open(&source).map_err(|error| {
        Failure::usage(format!("the evidence cannot be read: {error}"))
            .hint("give the directory of a run: it holds evidence.jsonl")
    })?;
    let run_dir = args.run_dir.canonicalize();
    let run_dir = run_dir.as_deref().unwrap_or(&args.run_dir);
    check_evidence(run_dir, &evidence)?;
    if args.apply {
        check_complete(run_dir)?;
    }
    let policy = policy_of(args.policy.as_deref(), evidence.header().demo)?;
    check_policy(&args.run_dir, &policy)?;
    let plan = make_plan(&mut evidence, &policy, &args, clock)?;
    print(&match (args.json, args.csv) {
        (true, _) => json_text(&json!(plan)),
        (_, true) => csv_text(&plan)?,
        _ => text(&plan),
    })?;
    if !args.apply || plan.steps.is_empty() {
        return Ok(exit::DONE);
    }
    apply(&args, &evidence, &plan, clock).await
}

/// What a run saw is the ground for changes only where it is whole, and known to be what the run wrote.
fn check_complete(run_dir: &Path) -> Result<(), Failure> {
    if is_unfinished(run_dir) {
        return Err(Failure::usage(format!("{} is not complete", run_dir.display()))
            .hint("complete it with `cf-sso-audit audit --resume`, or run a new audit, then fix that run"));
    }
    if !run_dir.join(SUMS).exists() {
        return Err(Failure::usage(format!(
            "{} has no {SUMS}: nothing says whether its evidence is what the run wrote",
            run_dir.display()
        ))
        .hint("restore the file from a copy, or run a new audit, then fix that run"));
    }
    Ok(())
}

/// A plan that forgot the run's policy would fix what was waived, and not what was expected.
fn check_policy(run: &Path, policy: &Policy) -> Result<(), Failure> {
    let judged_by = policy_of_run(run)
        .map_err(|error| Failure::usage(format!("the run cannot be read: {error}")))?;
    match (judged_by, &policy.source) {
        (Some(source), None) => Err(Failure::usage(format!(
            "the run was judged by the policy {}, and none is given now",
            source.path
        ))
        .hint("give the policy with --policy: its waivers and expectations decide what is fixed")),
        (Some(source), Some(given)) if source.sha256 != given.sha256 => {
            tracing::warn!(
                "the run was judged by another policy than {}, or it has changed since: the plan goes by the one given",
                given.path
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

fn make_plan(
    evidence: &mut Evidence,
    policy: &Policy,
    args: &FixArgs,
    clock: Clock,
) -> Result<Plan, Failure> {
    let header = evidence.header().clone();
    let shared_domains = evidence.index().shared_domains();
    let assessor = Assessor {
        header: &header,
        policy,
        shared_domains: &shared_domains,
        // Waivers hold or do not today, not when the run was made.
        now: clock.now(),
        elsewhere: &KnownElsewhere::default(),
        compares: false,
    };
    let allowed = Allowed {
        enable: args.enable,
        disable: args.disable,
        every_account_was_read: header.gaps.is_empty()
            && (0..header.accounts.len()).all(|position| evidence.index().is_read(position)),
    };
    let mut plan = Plan::default();
    for position in 0..header.accounts.len() {
        let account = evidence
            .account(position)
            .map_err(|error| Failure::failed(error.to_string()))?;
        plan.add(&assessor.assess(account, Earlier::default()), allowed);
    }
    plan.finish();
    Ok(plan)
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
    for step in &plan.steps {
        let _ = writeln!(
            text,
            "  {:8}  {:18}  {}  connector {}  of {}  ({})",
            step.severity,
            step.action.as_str(),
            for_terminal(&step.email_domain),
            for_terminal(&step.connector_id),
            named(&step.account_name, &step.account_id),
            step.rule
        );
    }
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
        for left in &plan.manual {
            let about = [left.email_domain.as_str(), left.connector_id.as_str()]
                .into_iter()
                .find(|text| !text.is_empty());
            let about = about.map(|text| format!("{}  of ", for_terminal(text)));
            let _ = writeln!(
                text,
                "  {:8}  {:20}  {}{}: {}",
                left.severity,
                left.rule,
                about.unwrap_or_default(),
                named(&left.account_name, &left.account_id),
                left.reason
            );
        }
    }
    text
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
fn lanes(args: &FixArgs, evidence: &Evidence, plan: &Plan) -> Result<Vec<Arc<Lane>>, Failure> {
    let accounts = evidence.header().accounts.iter();
    let variables: HashMap<_, _> = accounts
        .map(|account| (account.id.as_str(), account.token_env.as_str()))
        .collect();
    let mut tokens = Tokens::new(&args.connection, None);
    plan.steps
        .iter()
        .map(|step| {
            let variable = variables.get(step.account_id.as_str());
            tokens.lane(variable.copied().unwrap_or_default())
        })
        .collect()
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
            "the run was made with {}, and {} would be changed",
            header.base_url,
            base_url.as_str()
        ))
        .hint("give the same --base-url as the audit's"));
    }
    let lanes = lanes(args, evidence, plan)?;
    let mut hand = Hand {
        api: args.connection.api(base_url, clock)?,
        log: FixLog::open(&args.run_dir)?,
        clock,
        remedies: BTreeSet::new(),
    };
    let mut tally = Tally::default();
    for (number, (step, lane)) in plan.steps.iter().zip(&lanes).enumerate() {
        if tally.is_given_up(&step.account_id) {
            tally.left_out += 1;
            continue;
        }
        let outcome = tokio::select! {
            biased;
            () = stop.requested() => {
                let under_way = if hand.abandon(step)? {
                    let (action, domain) = (step.action.as_str(), for_terminal(&step.email_domain));
                    format!("; {action} of {domain} was sent, and may have been done")
                } else {
                    String::new()
                };
                let left = count(plan.steps.len() - number, "step");
                return Err(Failure::new(exit::INTERRUPTED, format!("interrupted with {left} left{under_way}"))
                    .hint("run it again: each connector is read again before it is changed"));
            }
            outcome = hand.carry_out(lane, step) => outcome?,
        };
        hand.log.write(clock.now(), step, &outcome)?;
        say(args, &progress_line(&outcome, step))?;
        tally.add(&step.account_id, outcome.result);
        if tally.failed_accounts.len() == FAILED_ACCOUNTS {
            tally.left_out += plan.steps.len() - number - 1;
            break;
        }
    }
    let log = hand.log.path().display();
    say(args, &format!("{tally}; see {log}\n"))?;
    if tally.failed + tally.unknown == 0 {
        return Ok(exit::DONE);
    }
    let message = match tally.left_out {
        0 => format!("not every step was carried out: {tally}"),
        left => format!(
            "stopped after {FAILURES} failures in a row in an account, or failures in {FAILED_ACCOUNTS} accounts in a row, with {} left: {tally}",
            count(left, "step")
        ),
    };
    Err(Failure::failed(message).hint(format!(
        "see {log}; fix the cause and run it again: what was done is not done twice{}",
        hand.remedies()
    )))
}

/// How many steps ended how.
#[derive(Default)]
struct Tally {
    done: usize,
    skipped: usize,
    failed: usize,
    unknown: usize,
    /// Not tried, since their accounts are given up.
    left_out: usize,
    /// For each account, what failed or is unknown since the last step that was done.
    in_a_row: HashMap<String, u32>,
    /// Accounts in which something failed since the last step that was done in any.
    failed_accounts: HashSet<String>,
}

impl Tally {
    /// Whether so much failed in an account that the rest of it is not tried.
    fn is_given_up(&self, account_id: &str) -> bool {
        let in_a_row = self.in_a_row.get(account_id);
        in_a_row.is_some_and(|&in_a_row| in_a_row >= FAILURES)
    }

    fn add(&mut self, account_id: &str, result: StepResult) {
        match result {
            StepResult::Done => self.done += 1,
            StepResult::Skipped => self.skipped += 1,
            StepResult::Failed => self.failed += 1,
            StepResult::Sending | StepResult::Unknown => self.unknown += 1,
        }
        match result {
            StepResult::Done => {
                self.in_a_row.remove(account_id);
                self.failed_accounts.clear();
            }
            StepResult::Skipped => {}
            _ => {
                let in_a_row = self.in_a_row.entry(account_id.to_owned()).or_default();
                *in_a_row += 1;
                self.failed_accounts.insert(account_id.to_owned());
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (done, skipped, failed) = (self.done, self.skipped, self.failed);
        write!(formatter, "{done} done, {skipped} skipped, {failed} failed")?;
        for (number, word) in [(self.unknown, "unknown"), (self.left_out, "left out")] {
            if number > 0 {
                write!(formatter, ", {number} {word}")?;
            }
        }
        Ok(())
    }
}

/// What became of a step, for people.
fn progress_line(outcome: &Outcome, step: &Step) -> String {
    let reason = match outcome.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let (result, action) = (outcome.result.as_str(), step.action.as_str());
    let line = format!("{result}  {action} {}{reason}", step.email_domain);
    for_terminal(&line).into_owned() + "\n"
}

/// Says how it goes on: on standard output, unless that is the plan's, for a program to read.
fn say(args: &FixArgs, text: &str) -> Result<(), Failure> {
    if args.json || args.csv {
        // That nobody reads it must not stop what is under way: the log has it all.
        let _ = std::io::stderr().write_all(text.as_bytes());
        return Ok(());
    }
    print(text)
}

/// What carries steps out.
struct Hand {
    api: Api,
    log: FixLog,
    clock: Clock,
    /// What to do about the refusals so far.
    remedies: BTreeSet<String>,
}

impl Hand {
    /// Reads the connector again, and does the step where it is still as in the evidence.
    ///
    /// # Errors
    /// The log cannot be written; then nothing is sent.
    async fn carry_out(&mut self, lane: &Arc<Lane>, step: &Step) -> Result<Outcome, Failure> {
        let before = self.log.sent(step);
        if before == Some(Sent::Done) {
            let reason = format!("done before, as {LOG_NAME} says");
            return Ok(Outcome::new(StepResult::Skipped, reason));
        }
        let (account, connector) = (&step.account_id, &step.connector_id);
        let read = self.api.get_connector(lane, account, connector).await;
        let now = match read.result {
            Ok(connector) => connector,
            Err(error) if is_gone(&error) => return Ok(gone(&error)),
            Err(error) => {
                self.remedies.insert(error.kind.remedy().to_owned());
                let reason = format!("it could not be read again: {}", told(&error));
                return Ok(Outcome::new(StepResult::Failed, reason));
            }
        };
        if before == Some(Sent::Unknown) && step.is_done_on(&now) {
            let reason = "found to be so: an earlier attempt had no answer";
            return Ok(Outcome::new(StepResult::Done, reason));
        }
        let sent = |action| self.log.sent_action(step, action).is_some();
        if let Some(reason) = step.objection(&now, sent) {
            return Ok(Outcome::new(StepResult::Skipped, reason));
        }
        let sending = Outcome::new(StepResult::Sending, "");
        self.log.write(self.clock.now(), step, &sending)?;
        let Some(change) = step.action.change() else {
            let answered = self.api.begin_verification(lane, account, connector).await;
            return Ok(self.concluded(answered));
        };
        let answered = self
            .api
            .update_connector(lane, account, connector, change)
            .await;
        let shown = match &answered.result {
            Ok(shown) => shown.clone(),
            Err(_) => return Ok(self.concluded(answered.without_result())),
        };
        let concluded = self.concluded(answered.without_result());
        // Not every answer shows the connector: then it is looked at once more.
        let shown = match shown {
            Some(connector) => Some(connector),
            None => self
                .api
                .get_connector(lane, account, connector)
                .await
                .result
                .ok(),
        };
        Ok(match shown {
            Some(connector) if step.action.is_done_on(&connector) => concluded,
            Some(connector) => Outcome {
                result: StepResult::Failed,
                reason: format!(
                    "the API answered that it succeeded, and shows enabled {} and the FedRAMP text {}",
                    connector.enabled.shown("unknown"),
                    connector.use_fedramp_language.shown("unknown")
                ),
                ..concluded
            },
            None => Outcome {
                result: StepResult::Unknown,
                reason: "the API answered that it succeeded, and does not show the connector"
                    .to_owned(),
                ..concluded
            },
        })
    }

    /// What an answer to a change means for its step.
    fn concluded(&mut self, answered: Answered<()>) -> Outcome {
        let is_lost = answered.is_lost();
        let what = match answered.exchange.arrived {
            true => "the API refused",
            false => "it was not sent",
        };
        let outcome = match answered.result {
            Ok(()) => Outcome::new(StepResult::Done, ""),
            Err(error) if is_lost => {
                let reason = format!("it may have been done: {}", told(&error));
                Outcome::new(StepResult::Unknown, reason)
            }
            Err(error) if is_gone(&error) => gone(&error),
            Err(error) => {
                self.remedies.insert(error.kind.remedy_of_change());
                Outcome::new(StepResult::Failed, format!("{what}: {}", told(&error)))
            }
        };
        Outcome {
            http_status: answered.exchange.http_status,
            cf_ray: answered.exchange.cf_ray,
            ..outcome
        }
    }

    /// Notes that nobody waits for the answer to a step any more, where it was sent; whether it was.
    fn abandon(&mut self, step: &Step) -> Result<bool, Failure> {
        if self.log.sent(step) != Some(Sent::Unknown) {
            return Ok(false);
        }
        let reason = "it may have been done: interrupted before the answer came";
        let unknown = Outcome::new(StepResult::Unknown, reason);
        self.log.write(self.clock.now(), step, &unknown)?;
        Ok(true)
    }

    /// What to do about the refusals so far, as the end of a hint.
    fn remedies(&self) -> String {
        let lines = self.remedies.iter().map(|remedy| format!("\n{remedy}"));
        lines.collect()
    }
}

/// What the API said.
fn told(error: &ReadError) -> String {
    match &error.code {
        Some(code) => format!("{code} {}", error.message),
        None => error.message.clone(),
    }
}

/// Whether the API itself, and not something on the way to it, says that there is no such connector.
fn is_gone(error: &ReadError) -> bool {
    error.kind == ErrorKind::NotFound && error.code.is_some()
}

fn gone(error: &ReadError) -> Outcome {
    let reason = format!("it is no longer there: {}", told(error));
    Outcome::new(StepResult::Skipped, reason)
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
