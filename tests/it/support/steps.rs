//! Programs that are stopped at a certain step of what they write, in place of a moment that a test would have to hit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Outcome, Program, Running, wait_until};

/// The library that stops a program; made once, by the compiler that links Rust programs.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/steps.c");
        // A name of this process alone: tests may be run several times at once.
        let library = format!("steps-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(library);
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(made.expect("there is a C compiler").success());
        library
    })
}

impl Program {
    fn by_steps(self) -> Self {
        let reports = self.dir().join("reports");
        self.env("LD_PRELOAD", library()).env("STEPS_IN", reports)
    }

    /// Is killed in place of a step, counted from 1, of what it does to the folder of reports.
    pub fn killed_at_step(self, step: usize) -> Self {
        self.by_steps().env("STEPS_LAST", step.to_string())
    }

    /// Runs the program to its end. With what came of it, the steps of what it did to the folder of reports, in order,
    /// by what was done and the path in that folder.
    pub fn run_by_steps(self) -> (Outcome, Vec<String>) {
        let log = self.dir().join("steps");
        let outcome = self.by_steps().env("STEPS_LOG", &log).run();
        let text = std::fs::read_to_string(log).unwrap();
        let text = text.replace(&outcome.reports().display().to_string(), ".");
        (outcome, text.lines().map(str::to_owned).collect())
    }

    /// Starts the program, and waits until its thread that makes or removes a file with this name is held there for
    /// ever. The other threads go on.
    pub fn spawn_held_at(self, name: &str) -> Running {
        let held = self.dir().join("held");
        let _ = std::fs::remove_file(&held);
        let program = self
            .by_steps()
            .env("STEPS_HOLD", format!("/{name}"))
            .env("STEPS_HELD", &held);
        let running = program.spawn();
        wait_until(&format!("{name} is written"), || held.exists());
        running
    }
}
