//! `cf-sso-audit render RUN_DIR`: judge and report again, from evidence alone.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use clap::Args;

use super::judgement::{FilesArgs, Judged, JudgementArgs};
use super::{Failure, print};
use crate::evidence::{Evidence, FILE_NAME, parse_header};
use crate::file_mode::FileMode;

/// Judge and report again from a run's evidence: no network, no token
///
/// With the same policy, baseline and clock (SOURCE_DATE_EPOCH, else the run's start) the files are the same, byte for
/// byte. A run that was interrupted can be rendered too: accounts that it did not reach are unread.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Judge last night's run by a new policy, into a folder of its own:
      cf-sso-audit render reports/latest --policy policy.toml -o /tmp/judged-again
  Make the files of an old run again:
      cf-sso-audit render reports/20261121T101500Z")]
pub struct RenderArgs {
    /// The run's directory
    run_dir: PathBuf,
    #[command(flatten)]
    judgement: JudgementArgs,
    #[command(flatten)]
    files: FilesArgs,
    /// The folder for the report; else the run's own directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: RenderArgs, quiet: bool) -> Result<u8, Failure> {
    let template = args.files.template()?;
    let source = args.run_dir.join(FILE_NAME);
    let evidence = Evidence::open(&source).map_err(|error| {
        Failure::usage(format!("the evidence cannot be read: {error}"))
            .hint("give the directory of a run: it holds evidence.jsonl")
    })?;
    let header = evidence.header();
    let policy = args.judgement.policy(header.demo)?;
    // A link such as `latest` stands beside the runs that it points to.
    let run_dir = args
        .run_dir
        .canonicalize()
        .unwrap_or_else(|_| args.run_dir.clone());
    let runs = run_dir.parent().unwrap_or(Path::new("."));
    let baseline = args.judgement.baseline(header, runs)?;
    let directory = args.output.clone().unwrap_or_else(|| run_dir.clone());
    other_run(&directory, &header.run_id)?;
    bring_evidence(&source, &directory, FileMode(args.files.output_mode)).map_err(|error| {
        Failure::failed(format!("cannot write to {}: {error}", directory.display()))
            .hint("choose another folder with --output")
    })?;
    let judged = Judged {
        directory: directory.clone(),
        evidence: Box::new(evidence),
        baseline,
        policy,
        template,
    };
    let (code, text) = judged.write(&args.judgement, &args.files).await?;
    if !quiet {
        print(&text)?;
    }
    print(&format!("{}\n", directory.display()))?;
    Ok(code)
}

/// Refuses a folder that holds the evidence of another run, which would be lost.
fn other_run(directory: &Path, run_id: &str) -> Result<(), Failure> {
    let place = directory.join(FILE_NAME);
    let mut line = Vec::new();
    match std::fs::File::open(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.and_then(|file| BufReader::new(file).read_until(b'\n', &mut line)),
    }
    .map_err(|error| Failure::failed(format!("cannot read {}: {error}", place.display())))?;
    if parse_header(&line).is_ok_and(|header| header.run_id == run_id) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} is of another run than {run_id}, and would be overwritten",
        place.display()
    ))
    .hint("choose another folder with --output"))
}

/// Puts the evidence beside a report that goes elsewhere, so that the report can be checked and made again there.
fn bring_evidence(source: &Path, directory: &Path, mode: FileMode) -> std::io::Result<()> {
    if !directory.is_dir() {
        if let Some(parent) = directory.parent() {
            std::fs::create_dir_all(parent)?;
        }
        mode.create_dir(directory)?;
    }
    let place = directory.join(FILE_NAME);
    if place.exists() && place.canonicalize()? == source.canonicalize()? {
        return Ok(());
    }
    let aside = directory.join(".evidence");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = mode.create_file(&aside)?;
    std::io::copy(&mut std::fs::File::open(source)?, &mut copy)?;
    copy.sync_all()?;
    std::fs::rename(aside, place)
}
