//! `cf-sso-audit fix RUN_DIR`: the plan that would mend a run's findings; `--apply` carries it out.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::connection::ConnectionArgs;
use super::judgement::policy_of;
use super::stop::Stop;
use super::tokens::Tokens;
use super::{Failure, exit, print};
use crate::api::{Api, Lane};
use crate::assess::{Assessor, Earlier, KnownElsewhere};
use crate::clock::Clock;
use crate::evidence::{Evidence, FILE_NAME, ReadError};
use crate::file_mode::FileMode;
use crate::fix::{Allowed, Plan, Step, objection, zone_snippet};
use crate::ledger::policy_of_run;
use crate::policy::Policy;
use crate::text::{count, on_one_line, printable_lines};

/// What was carried out, in a run's directory.
const LOG_NAME: &str = "fix-log.jsonl";
/// So many failures in a row end the carrying out.
const FAILURES: u32 = 3;

/// Plan what would mend a run's open findings; --apply carries it out
///
/// The plan begins verifications and sets FedRAMP texts to what the policy expects. It enables only with --enable,
/// disables only with --disable, and never deletes. Without --apply nothing is sent. With it, each connector is read again
/// first and left alone where it is no longer as in the evidence, and what was done is written to fix-log.jsonl in the run's
/// directory before the next is begun.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What would mend the newest run's findings?
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
    /// Write the plan as CSV
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
    let policy = policy_of(args.policy.as_deref(), evidence.header().demo)?;
    check_policy(&args.run_dir, &policy)?;
    let plan = make_plan(&mut evidence, &policy, &args, clock)?;
    print(&match (args.json, args.csv) {
        (true, _) => format!("{:#}\n", json!(plan)),
        (_, true) => csv_text(&plan)?,
        _ => text(&plan),
    })?;
    if !args.apply || plan.steps.is_empty() {
        return Ok(exit::DONE);
    }
    apply(&args, &evidence, &plan, clock).await
}

/// A plan that forgot the run's policy would mend what was waived, and not what was expected.
fn check_policy(run: &Path, policy: &Policy) -> Result<(), Failure> {
    let judged_by = policy_of_run(run)
        .map_err(|error| Failure::usage(format!("the run cannot be read: {error}")))?;
    match (judged_by, &policy.source) {
        (Some(source), None) => Err(Failure::usage(format!(
            "the run was judged by the policy {}, and none is given now",
            source.path
        ))
        .hint("give the policy with --policy: its waivers and expectations decide what is mended")),
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
    };
    let mut plan = Plan::default();
    for position in 0..header.accounts.len() {
        let account = evidence
            .account(position)
            .map_err(|error| Failure::failed(error.to_string()))?;
        plan.add(
            &assessor.assess(account, Earlier::default()),
            policy,
            allowed,
        );
    }
    plan.records.sort();
    plan.records.dedup();
    Ok(plan)
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} to carry out", count(plan.steps.len(), "step"));
    for step in &plan.steps {
        let _ = writeln!(
            text,
            "  {:18} {}  {}  ({}, {})",
            step.action.as_str(),
            step.account_id,
            step.email_domain,
            step.connector_id,
            step.rule
        );
    }
    if !plan.unmended.is_empty() {
        let _ = writeln!(
            text,
            "\n{} that no step mends",
            count(plan.unmended.len(), "finding")
        );
        for left in &plan.unmended {
            let _ = writeln!(
                text,
                "  {:20} {}  {}: {}",
                left.rule, left.account_id, left.email_domain, left.reason
            );
        }
    }
    if !plan.records.is_empty() {
        let _ = writeln!(
            text,
            "\nTXT records that must be published for a verification to succeed, as a zone file"
        );
        text.push_str(&zone_snippet(&plan.records));
        let _ = writeln!(text, "\nand as CSV\nname,type,value");
        for record in &plan.records {
            let _ = writeln!(text, "{},TXT,{}", record.name, quoted(&record.value));
        }
    }
    printable_lines(&text)
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
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
    ])
    .map_err(failed)?;
    for step in &plan.steps {
        let code = step.evidence.verification.code.shown("");
        let (name, value) = match step.action.change() {
            None => (step.email_domain.as_str(), code.as_ref()),
            Some(_) => ("", ""),
        };
        let action = step.action.as_str();
        let fields = [
            &step.account_id,
            &step.account_name,
            &step.connector_id,
            &step.email_domain,
            action,
            step.rule,
            &step.finding_id,
            name,
            value,
        ];
        let clean = fields.map(|field| on_one_line(field).into_owned());
        csv.write_record(&clean).map_err(failed)?;
    }
    let bytes = csv
        .into_inner()
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
struct LogLine {
    at: chrono::DateTime<chrono::Utc>,
    account_id: String,
    connector_id: String,
    email_domain: String,
    action: String,
    finding_id: String,
    /// `done`, `skipped` or `failed`.
    result: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cf_ray: Option<String>,
}

/// What became of a step.
struct Done {
    result: &'static str,
    reason: String,
    http_status: Option<u16>,
    cf_ray: Option<String>,
}

impl Done {
    fn skipped(reason: String) -> Self {
        Self {
            result: "skipped",
            reason,
            http_status: None,
            cf_ray: None,
        }
    }
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
    let mut tokens = Tokens::new(&args.connection, None);
    let mut lanes = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let asked = header
            .accounts
            .iter()
            .find(|account| account.id == step.account_id);
        lanes.push(tokens.lane(asked.map_or("", |account| &account.token_env))?);
    }
    let api = args.connection.api(base_url, clock)?;
    let path = args.run_dir.join(LOG_NAME);
    let log_failure = |error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
            .hint("nothing more is changed without a log; mend the cause and run it again")
    };
    let already = done_before(&path).map_err(log_failure)?;
    let mut log = open_log(&path).map_err(log_failure)?;

    let (mut changed, mut skipped, mut failed, mut in_a_row) = (0, 0, 0, 0);
    for (number, (step, lane)) in plan.steps.iter().zip(&lanes).enumerate() {
        let done = if already.contains(&key(&step.connector_id, step.action.as_str())) {
            Done::skipped(format!("done before, as {LOG_NAME} says"))
        } else {
            tokio::select! {
                done = carry_out(&api, lane, step) => done,
                () = stop.requested() => {
                    let left = count(plan.steps.len() - number, "step");
                    // A change may be under way: its answer is not known, and reading the connector again will tell.
                    return Err(Failure::new(exit::INTERRUPTED, format!("interrupted with {left} left"))
                        .hint("run it again: each connector is read again before it is changed"));
                }
            }
        };
        let line = LogLine {
            at: clock.now(),
            account_id: step.account_id.clone(),
            connector_id: step.connector_id.clone(),
            email_domain: step.email_domain.clone(),
            action: step.action.as_str().to_owned(),
            finding_id: step.finding_id.clone(),
            result: done.result.to_owned(),
            reason: done.reason.clone(),
            http_status: done.http_status,
            cf_ray: done.cf_ray,
        };
        write_log(&mut log, &line).map_err(log_failure)?;
        let reason = if done.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", done.reason)
        };
        say(args, &progress_line(done.result, step, &reason))?;
        match done.result {
            "done" => {
                changed += 1;
                in_a_row = 0;
            }
            "skipped" => skipped += 1,
            _ => {
                failed += 1;
                in_a_row += 1;
            }
        }
        if in_a_row == FAILURES {
            let left = plan.steps.len() - number - 1;
            return Err(Failure::failed(format!(
                "stopped after {FAILURES} failures in a row, with {} left",
                count(left, "step")
            ))
            .hint(format!(
                "see {}; run it again when the cause is mended",
                path.display()
            )));
        }
    }
    let log = path.display();
    say(
        args,
        &format!("{changed} done, {skipped} skipped, {failed} failed; see {log}\n"),
    )?;
    Ok(if failed > 0 { exit::FAILED } else { exit::DONE })
}

/// What became of a step, for people. Domains and reasons come from outside: they do nothing to a terminal.
fn progress_line(result: &str, step: &Step, reason: &str) -> String {
    let action = step.action.as_str();
    let line = format!("{result}  {action} {}{reason}", step.email_domain);
    line.replace(char::is_control, "\u{fffd}") + "\n"
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

/// Reads the connector again, and does the step where it is still as in the evidence.
async fn carry_out(api: &Api, lane: &Arc<Lane>, step: &Step) -> Done {
    let failed = |error: ReadError, what: &str| Done {
        result: "failed",
        reason: format!(
            "{what}: {}{}",
            error
                .code
                .map(|code| format!("{code} "))
                .unwrap_or_default(),
            error.message
        ),
        http_status: None,
        cf_ray: None,
    };
    let now = match api
        .get_connector(lane, &step.account_id, &step.connector_id)
        .await
        .result
    {
        Ok(connector) => connector,
        Err(error) => return failed(error, "it could not be read again"),
    };
    if let Some(reason) = objection(step, &now) {
        return Done::skipped(reason);
    }
    let (result, exchange) = match step.action.change() {
        None => {
            let answered = api
                .begin_verification(lane, &step.account_id, &step.connector_id)
                .await;
            (answered.result, answered.exchange)
        }
        Some(change) => {
            let answered = api
                .update_connector(lane, &step.account_id, &step.connector_id, change)
                .await;
            (answered.result.map(|_| ()), answered.exchange)
        }
    };
    let done = match result {
        Ok(()) => Done {
            result: "done",
            reason: String::new(),
            http_status: None,
            cf_ray: None,
        },
        Err(error) => failed(error, "the API refused"),
    };
    Done {
        http_status: exchange.http_status,
        cf_ray: exchange.cf_ray,
        ..done
    }
}

fn key(connector_id: &str, action: &str) -> (String, String) {
    (connector_id.to_owned(), action.to_owned())
}

/// What an earlier carrying out of the same plan did.
fn done_before(path: &Path) -> std::io::Result<HashSet<(String, String)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
        file => file?,
    };
    let mut done = HashSet::new();
    for line in BufReader::new(file).split(b'\n') {
        // A line that was cut off tells of a step whose answer is not known: it is looked at again.
        if let Ok(line) = serde_json::from_slice::<LogLine>(&line?)
            && line.result == "done"
        {
            done.insert(key(&line.connector_id, &line.action));
        }
    }
    Ok(done)
}

fn open_log(path: &Path) -> std::io::Result<File> {
    match FileMode::default().create_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut file = File::options().read(true).append(true).open(path)?;
            // The next line must not be glued to one that was cut off.
            let text = std::fs::read(path)?;
            if text.last().is_some_and(|&byte| byte != b'\n') {
                file.write_all(b"\n")?;
            }
            Ok(file)
        }
        made => made,
    }
}

fn write_log(log: &mut File, line: &LogLine) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    log.write_all(&bytes)?;
    log.sync_data()
}
