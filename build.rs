//! Generates the API's client: the documented API (`openapi/cloudflare-sso.json`), loosened to what the wire really
//! does (`openapi/overlay.json`), goes through progenitor to `$OUT_DIR/client.rs`, which `src/api` includes.
//!
//! A document that is broken, or no longer fits the other, stops the build with every problem that was found.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, panic};

use openapiv3::OpenAPI;
use progenitor::{GenerationSettings, Generator, HooksMode, InterfaceStyle, TagStyle};
use serde_json::Value;

#[path = "build/checks.rs"]
mod checks;

use checks::{DOCUMENT, OVERLAY, Problems};

/// What the generated client carries for its hooks.
const SESSION: &str = "crate::api::Session";

/// Schemas that the client decodes into types of ours, which take any JSON value: one odd record must not cost the
/// answer it came in.
const REPLACED: [(&str, &str); 4] = [
    ("SsoConnector", "crate::model::Connector"),
    ("Account", "crate::model::ApiAccount"),
    ("OrganizationAccount", "crate::model::ApiAccount"),
    ("Organization", "crate::model::ApiOrganization"),
];

fn main() -> ExitCode {
    for input in ["build.rs", "build/checks.rs", DOCUMENT, OVERLAY] {
        println!("cargo::rerun-if-changed={input}");
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                // Cargo shows a line of this kind as an error; some of progenitor's messages have several.
                let words: Vec<_> = problem.split_whitespace().collect();
                println!("cargo::error={}", words.join(" "));
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Problems> {
    let loosened = checks::loosened(&read(DOCUMENT)?, &read(OVERLAY)?, &REPLACED)?;
    let client = generate(&loosened)?;
    let path = env::var_os("OUT_DIR")
        .map(|directory| PathBuf::from(directory).join("client.rs"))
        .ok_or_else(|| vec!["OUT_DIR is not set: let cargo run the build script".to_owned()])?;
    write(&path, &client)
}

fn read(path: &str) -> Result<String, Problems> {
    fs::read_to_string(path).map_err(|error| vec![format!("{path} cannot be read: {error}")])
}

fn write(path: &Path, text: &str) -> Result<(), Problems> {
    fs::write(path, text)
        .map_err(|error| vec![format!("{} cannot be written: {error}", path.display())])
}

/// The client's source text.
fn generate(document: &Value) -> Result<String, Problems> {
    let document: OpenAPI = serde_json::from_value(document.clone()).map_err(|error| {
        vec![format!(
            "{DOCUMENT} with {OVERLAY} on it is not OpenAPI 3.0: {error}"
        )]
    })?;

    let mut settings = GenerationSettings::new();
    settings
        .with_interface(InterfaceStyle::Positional)
        .with_tag(TagStyle::Merged)
        .with_hooks(HooksMode::Expected)
        .with_inner_type(
            SESSION
                .parse()
                .map_err(|error| vec![format!("SESSION in build.rs is no type: {error}")])?,
        );
    for (schema, ours) in REPLACED {
        settings.with_replacement(schema, ours, std::iter::empty());
    }

    let tokens = quietly(|| Generator::new(&settings).generate_tokens(&document))
        .and_then(|generated| generated.map_err(|error| error.to_string()))
        .map_err(|error| {
            vec![format!(
                "progenitor cannot make a client of {DOCUMENT} with {OVERLAY} on it: {error}"
            )]
        })?;
    let file = syn::parse2(tokens)
        .map_err(|error| vec![format!("progenitor's client is not valid Rust: {error}")])?;
    Ok(prettyplease::unparse(&file))
}

/// Runs `work` and makes an error of a panic: progenitor panics at what it does not support, several response types in
/// one operation for instance, and a backtrace tells nobody which file to mend.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(work));
    panic::set_hook(hook);
    outcome.map_err(|payload| {
        payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked without a message")
            .to_owned()
    })
}
