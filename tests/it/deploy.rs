//! What is in `deploy/`, the release workflow and `deny.toml`: commands that the program understands, and figures that
//! fit each other. `tests/deploy/check.sh` has the judges of others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cf_sso_audit::cli::command;

const PROGRAM: &str = "cf-sso-audit";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file under a folder, by its path from the root.
fn files_under(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                files.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The words of the program's commands in a file: a line that calls it, or the list of a container's arguments.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut list: Option<Vec<String>> = None;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        match (list.as_mut(), line.strip_prefix("- ")) {
            (Some(words), Some(word)) => {
                words.push(word.to_owned());
                continue;
            }
            (Some(_), None) => found.extend(list.take()),
            _ => {}
        }
        if line == "args:" {
            list = Some(vec![PROGRAM.to_owned()]);
        }
        let words: Vec<_> = line
            .split_whitespace()
            .take_while(|word| !word.contains(['|', '>', '<', ';', '&']))
            .collect();
        // A user may have the program's name, and an image.
        let begins = words.windows(2).position(|pair| {
            let is_program = pair[0].rsplit(['/', '=']).next() == Some(PROGRAM);
            is_program && command().find_subcommand(pair[1]).is_some()
        });
        if let Some(begins) = begins {
            let words = words[begins..].iter();
            found.push(words.map(|word| (*word).to_owned()).collect());
        }
    }
    found
}

#[test]
fn every_command_is_understood() {
    let mut tried = BTreeSet::new();
    let mut files = files_under("deploy");
    files.push("docs/deploy.md".to_owned());
    for file in files {
        for mut words in commands(&read(&file)) {
            PROGRAM.clone_into(&mut words[0]);
            if let Err(error) = command().try_get_matches_from(&words) {
                panic!("{file}: {}: {error}", words.join(" "));
            }
            tried.insert(file.clone());
        }
    }
    for part in [
        "systemd",
        "cron",
        "github",
        "kubernetes/nightly",
        "kubernetes/sharded",
        "kubernetes/merge",
    ] {
        assert!(
            tried
                .iter()
                .any(|file| file.starts_with(&format!("deploy/{part}/"))),
            "{part}: {tried:?}"
        );
    }
}

#[test]
fn each_way_says_what_it_does_about_secrets_and_retention() {
    for file in [
        "deploy/systemd/cf-sso-audit.service",
        "deploy/cron/cf-sso-audit",
        "deploy/docker/Dockerfile",
        "deploy/kubernetes/nightly/kustomization.yaml",
        "deploy/kubernetes/sharded/kustomization.yaml",
        "deploy/kubernetes/merge/kustomization.yaml",
        "deploy/github/sso-audit.yml",
    ] {
        let text = read(file);
        assert!(text.contains("# Secrets"), "{file}");
        assert!(text.contains("# Retention: "), "{file}");
        assert!(text.contains("docs/deploy.md"), "{file}");
    }
}

#[test]
fn the_shards_are_as_many_as_are_merged_and_share_one_rate() {
    let job = read("deploy/kubernetes/sharded/job.yaml");
    let merge = read("deploy/kubernetes/merge/job.yaml");
    let after = |text: &str, key: &str| -> usize {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(key).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{key}")).parse().unwrap()
    };
    let shards = after(&job, "completions: ");
    assert_eq!(after(&job, "- --shard=auto/"), shards);
    let merged: Vec<_> = merge
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- /reports/shards/"))
        .collect();
    let expected: Vec<_> = (0..shards).map(|shard| format!("{shard}/latest")).collect();
    assert_eq!(merged, expected);
    let rate = job
        .lines()
        .find_map(|line| line.trim().strip_prefix("- --rate="));
    let (requests, window) = rate.unwrap().split_once('/').unwrap();
    assert_eq!(
        (requests.parse::<usize>().unwrap() * shards, window),
        (1000, "300s")
    );
}

#[test]
fn the_image_runs_as_nobody_and_is_built_from_what_is_there() {
    let dockerfile = read("deploy/docker/Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.starts_with("gcr.io/distroless/"));
    assert!(last_stage.contains("\nUSER 65532:65532\n"));
    assert!(
        !last_stage.contains("\nRUN "),
        "there is no shell to run it"
    );
    assert!(last_stage.contains("ENTRYPOINT [\"/usr/local/bin/cf-sso-audit\"]"));
    let context = read("deploy/docker/Dockerfile.dockerignore");
    let given: Vec<_> = context
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    for path in &given {
        assert!(root().join(path).exists(), "{path}");
    }
    let installed = dockerfile
        .lines()
        .find_map(|line| line.split_once("share/doc/cf-sso-audit "))
        .unwrap();
    for file in installed.1.trim_end_matches('\\').split_whitespace() {
        assert!(
            given.contains(&file),
            "{file} is installed, and not given to the build"
        );
    }
}

#[test]
fn versions_and_targets_are_the_same_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    for kind in ["nightly", "sharded", "merge"] {
        let text = read(&format!("deploy/kubernetes/{kind}/kustomization.yaml"));
        assert!(text.contains(&format!("newTag: {version}\n")), "{kind}");
    }
    let release = read(".github/workflows/release.yml");
    let targets = |text: &str, before: &str, after: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim);
        lines
            .filter_map(|line| {
                line.strip_prefix(before)?
                    .strip_suffix(after)
                    .map(str::to_owned)
            })
            .collect()
    };
    let built = targets(&release, "- target: ", "");
    let deny = read("deny.toml");
    let graph = deny.split("[licenses]").next().unwrap();
    let judged = targets(graph, "\"", "\",");
    assert_eq!(built, judged);
    assert_eq!(built.len(), 5);
    let rust = release
        .lines()
        .find_map(|line| line.trim().strip_prefix("RUST: "))
        .unwrap();
    let image = read("deploy/docker/Dockerfile");
    let image = image
        .lines()
        .find_map(|line| line.strip_prefix("FROM rust:"))
        .unwrap();
    let short = rust.trim_matches('"').rsplit_once('.').unwrap().0;
    assert!(image.starts_with(&format!("{short}-")), "{rust}, {image}");
}
