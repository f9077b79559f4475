//! What comes from outside, changed at random: every reader of it takes it or says what is wrong, and never panics.
//!
//! `BOLERO_RANDOM_TEST_TIME_MS` says for how long each is tried, a second where it is not set; `cargo bolero test` lets
//! a coverage-guided engine do the same.

use std::fs;
use std::path::Path;

use bolero::check;
use cf_sso_audit::accounts::parse_accounts_file;
use cf_sso_audit::api::{Access, meaning};
use cf_sso_audit::bounds::{bounded, decodable};
use cf_sso_audit::evidence::{check_line, parse_header, parse_line};
use cf_sso_audit::model::Connector;
use cf_sso_audit::policy::Policy;
use http::StatusCode;

/// One change of a text: where, of what kind, with which byte.
type Edit = (u16, u8, u8);
/// Which text it begins with, and how that is changed.
type Plan = (u8, Vec<Edit>);

/// The texts that are changed, in the order of their files.
fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/seeds")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Bytes that mean something to some reader, beside the ones that a plan brings.
const TELLING: &[u8] = b"\"\\{}[]:,;=#'\n\r\t\0-+.eE9\xff\xc3";

fn changed(seeds: &[Vec<u8>], (which, edits): &Plan) -> Vec<u8> {
    let mut text = seeds[usize::from(*which) % seeds.len()].clone();
    for &(at, kind, byte) in edits.iter().take(32) {
        let at = usize::from(at) % (text.len() + 1);
        let telling = TELLING[usize::from(byte) % TELLING.len()];
        match kind % 6 {
            0 if at < text.len() => text[at] = byte,
            1 => text.insert(at, byte),
            2 => text.insert(at, telling),
            3 if at < text.len() => text[at] = telling,
            4 => drop(text.drain(at..(at + usize::from(byte)).min(text.len()))),
            _ => {
                let part = text[at..(at + usize::from(byte)).min(text.len())].to_vec();
                text.splice(at..at, part);
            }
        }
    }
    text
}

#[test]
fn answers() {
    let seeds = seeds("answers");
    check!()
        .with_type::<(Plan, u16)>()
        .for_each(|(plan, status)| {
            let body = changed(&seeds, plan);
            let status = StatusCode::from_u16(100 + status % 500).unwrap();
            for access in [Access::Read, Access::Write] {
                let _ = meaning(access, status, Some("https://other.example/"), &body);
            }
            if let Ok(text) = std::str::from_utf8(&body) {
                for taken in [bounded(text).ok().flatten(), decodable::<Connector>(text)] {
                    let taken =
                        taken.map(|taken| serde_json::from_str::<serde_json::Value>(&taken));
                    assert!(
                        taken.is_none_or(|taken| taken.is_ok()),
                        "what is taken is JSON"
                    );
                }
            }
        });
}

#[test]
fn accounts_files() {
    let seeds = seeds("accounts");
    check!().with_type::<Plan>().for_each(|plan| {
        match parse_accounts_file("accounts.csv", &changed(&seeds, plan)) {
            Ok(accounts) => assert!(!accounts.is_empty()),
            Err(problems) => assert!(problems.to_string().starts_with("accounts.csv ")),
        }
    });
}

#[test]
fn evidence() {
    let seeds = seeds("evidence");
    let header = parse_header(&seeds[0]).unwrap();
    check!().with_type::<Plan>().for_each(|plan| {
        let line = changed(&seeds, plan);
        let _ = parse_header(&line);
        let read = parse_line(&line, &header);
        let checked = check_line(&line, &header);
        assert!(
            checked.is_err() || checked == read,
            "what is checked is what is read"
        );
    });
}

#[test]
fn policies() {
    let seeds = seeds("policies");
    check!().with_type::<Plan>().for_each(|plan| {
        if let Err(error) = Policy::parse("policy.toml", &changed(&seeds, plan)) {
            assert!(error.to_string().contains("policy.toml"), "{error}");
        }
    });
}
