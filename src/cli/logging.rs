//! The log on stderr.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{SecondsFormat, Utc};
use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts the log. Warnings are always told, unless only errors are wanted; `verbose` counts the `-v`s.
/// No level shows a header or a body: what this program logs of a request is its name, status, time and cf-ray,
/// and of the libraries nothing is logged that sees the request's headers.
pub fn start(quiet: bool, verbose: u8, json: bool) {
    IS_JSON.store(json, Ordering::Relaxed);
    let own = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, _) => "debug",
    };
    let others = match verbose {
        0..=2 => "error",
        _ => "debug",
    };
    // The HTTP/2 and HTTP/1 codecs print whole frames with their headers, and the resolver what any zone holds: they stay
    // silent. What goes wrong in a lookup is its result.
    let filter = EnvFilter::new(format!(
        "{others},cf_sso_audit={own},h2=error,hyper=info,hpack=error,\
         hickory_net=off,hickory_proto=off,hickory_resolver=off"
    ));
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(super::screen::Stderr)
        // Said on the very stream that cannot be written to, and with a panic where that fails.
        .log_internal_errors(false)
        .with_target(false);
    let started = if json {
        log.json().flatten_event(true).try_init()
    } else {
        log.with_ansi(super::screen::stderr_takes_colours())
            .without_time()
            .try_init()
    };
    if let Err(error) = started {
        super::tell(&format!("warning: no log: {error}\n"));
    }
}

/// Whether each line of standard error is a JSON object.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// What is said on standard error whatever the log's level is: one line as the log's are in JSON, `None` where it is text.
pub fn as_json(level: &str, message: &str, hint: Option<&str>) -> Option<String> {
    if !IS_JSON.load(Ordering::Relaxed) {
        return None;
    }
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut line = json!({"timestamp": at, "level": level, "message": message});
    if let Some(hint) = hint {
        line["hint"] = hint.into();
    }
    Some(format!("{line}\n"))
}
