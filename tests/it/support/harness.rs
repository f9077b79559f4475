//! A small builder around the binary: an environment of its own, a folder of its own, and what came out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Row, Server, latest, rows};

/// The moment at which every run takes place: 2026-11-21 10:15:00 UTC.
pub const NOW: &str = "1795256100";
/// The name that a run of that moment gets.
pub const RUN_ID: &str = "20261121T101500Z";
/// The token that runs carry where a test gives none.
pub const TOKEN: &str = "cfut_0123456789abcdefghijklmnopqrstuvwxyzABCDTEST0001";
/// After this long a test fails that would otherwise wait for ever. It judges no speed: what is waited for comes at once,
/// or the test is wrong.
const DEADLINE: Duration = Duration::from_secs(180);

/// The id of the made-up account with a number.
pub fn id(number: usize) -> String {
    format!("ac{number:030x}")
}

/// The ids of so many made-up accounts, from number 1.
pub fn ids(count: usize) -> Vec<String> {
    (1..=count).map(id).collect()
}

/// A moment as `SOURCE_DATE_EPOCH` takes it.
pub fn epoch(moment: &str) -> String {
    let moment: chrono::DateTime<chrono::Utc> = moment.parse().unwrap();
    moment.timestamp().to_string()
}

/// The moment so many days after [`NOW`].
pub fn days_later(days: i64) -> String {
    (NOW.parse::<i64>().unwrap() + days * 86_400).to_string()
}

/// The id of the made-up connector with a number.
pub fn connector_id(number: usize) -> String {
    format!("c0{number:030x}")
}

/// A connector about which no rule has anything to say.
pub fn connector(number: usize, domain: &str) -> Value {
    json!({
        "id": format!("c0{number:030x}"),
        "email_domain": domain,
        "enabled": true,
        "use_fedramp_language": false,
        "verification": {"code": format!("cloudflare_dashboard_sso=c0{number:030x}"), "status": "verified"},
        "created_on": "2026-01-02T03:04:05Z",
        "updated_on": "2026-02-03T04:05:06Z",
    })
}

/// A connector with some fields changed; a field that is given as `Value::Null` becomes null.
pub fn connector_with(number: usize, domain: &str, fields: Value) -> Value {
    let mut connector = connector(number, domain);
    if let (Some(known), Value::Object(fields)) = (connector.as_object_mut(), fields) {
        known.extend(fields);
    }
    connector
}

/// A connector that is not enabled.
pub fn disabled(number: usize, domain: &str) -> Value {
    connector_with(number, domain, json!({"enabled": false}))
}

/// So many connectors about which no rule has anything to say.
pub fn many_connectors(count: usize) -> Value {
    let connectors = (0..count).map(|n| connector(n, &format!("d{n}.example")));
    connectors.collect()
}

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < DEADLINE,
            "in {DEADLINE:?} it did not come about that {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One run of the program, not begun yet.
pub struct Program {
    dir: Rc<TempDir>,
    /// What the program is started by, where it is not started itself.
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    stdin: Vec<u8>,
}

/// A folder that several runs share.
pub fn shared_dir() -> Rc<TempDir> {
    Rc::new(tempfile::tempdir().unwrap())
}

/// The program with a subcommand, and a folder of its own.
pub fn program(subcommand: &str) -> Program {
    program_in(&shared_dir(), subcommand)
}

/// `audit` of a server's accounts, quick to try again.
pub fn audit(server: &Server) -> Program {
    audit_in(&shared_dir(), server)
}

/// The same, in a folder that other runs share.
pub fn audit_in(dir: &Rc<TempDir>, server: &Server) -> Program {
    program_in(dir, "audit").at(server)
}

/// `audit --resume` of the newest unfinished run in a folder.
pub fn resume(dir: &Rc<TempDir>, server: &Server) -> Program {
    audit_in(dir, server).arg("--resume")
}

/// `render` of a run where neither a token nor the network can be had.
pub fn render(dir: &Rc<TempDir>, run: &Path) -> Program {
    program_in(dir, "render")
        .arg(run)
        .env("CLOUDFLARE_BASE_URL", "https://127.0.0.1:1/client/v4")
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
}

/// The program with a subcommand, in a folder that other runs share.
pub fn program_in(dir: &Rc<TempDir>, subcommand: &str) -> Program {
    let mut program = Program {
        dir: Rc::clone(dir),
        wrapper: Vec::new(),
        arguments: vec![subcommand.into()],
        environment: BTreeMap::new(),
        stdin: Vec::new(),
    };
    for name in ["PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            program.environment.insert(name.into(), value);
        }
    }
    program
        .env("HOME", dir.path())
        .env("TMPDIR", dir.path())
        .env("SOURCE_DATE_EPOCH", NOW)
}

impl Program {
    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Takes a variable away.
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// Takes place so many days after [`NOW`].
    pub fn on_day(self, day: i64) -> Self {
        self.env("SOURCE_DATE_EPOCH", days_later(day))
    }

    /// Asks this server, with the usual token.
    pub fn at(self, server: &Server) -> Self {
        self.env("CLOUDFLARE_BASE_URL", server.base_url())
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
    }

    /// What stands on standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Writes a file into the folder, and gives its path.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Names a policy that holds this. Its path is relative, so that messages are the same everywhere.
    pub fn policy(self, text: &str) -> Self {
        self.file("policy.toml", text);
        self.args(["--policy", "policy.toml"])
    }

    /// Names an accounts file that holds this.
    pub fn accounts_file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.file(name, bytes);
        self.arg("--accounts-file").arg(path)
    }

    /// Starts the program through a shell script that ends in `exec "$@"`.
    pub fn through(mut self, script: &str) -> Self {
        self.wrapper = ["sh", "-c", script, "sh"].map(OsString::from).to_vec();
        self
    }

    /// Starts the program on a terminal of its own, 80 columns wide. What it writes is on standard output; its
    /// arguments may hold no blanks.
    pub fn on_a_terminal(self) -> Self {
        self.env("TERM", "xterm")
            .through("exec script -qefc \"stty cols 80; $*\" /dev/null")
    }

    /// Starts the program as timers do, without a terminal, whoever runs the tests.
    pub fn without_a_terminal(self) -> Self {
        self.through("exec setsid \"$@\"")
    }

    /// The folder of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn unless_given(self, flag: &str, value: impl AsRef<OsStr>) -> Self {
        let given = |argument: &OsString| {
            let text = argument.to_string_lossy();
            text.split_once('=').map_or(&*text, |(name, _)| name) == flag
        };
        if self.arguments.iter().any(given) {
            return self;
        }
        self.arg(flag).arg(value)
    }

    /// Starts the program.
    pub fn spawn(mut self) -> Running {
        if self.arguments[0] == "audit" {
            let reports = self.dir.path().join("reports");
            self = self.unless_given("--output", reports);
            self = self.unless_given("--retry-delay", "0s");
        }
        let mut command_line = self.wrapper;
        command_line.push(env!("CARGO_BIN_EXE_cf-sso-audit").into());
        command_line.extend(self.arguments);
        let began = Instant::now();
        let mut child = Command::new(&command_line[0])
            .args(&command_line[1..])
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read its input closes it early; that is no failure of the test.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        let stdout = read_aside(child.stdout.take().unwrap());
        let stderr = read_aside(child.stderr.take().unwrap());
        Running {
            child,
            began,
            stdout,
            stderr,
            dir: self.dir,
            ended: false,
        }
    }

    /// Runs the program until so many accounts are in the evidence, and kills it there: the folder that it leaves,
    /// which is the run's while it is incomplete. The server must keep it from reading more.
    pub fn killed_after(self, accounts: usize) -> PathBuf {
        let running = self.spawn();
        let partial = running.wait_for_evidence(accounts);
        running.kill();
        partial
    }

    /// Runs the program to its end.
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }
}

/// Sends a signal by its name to a process that the test has started. By the shell, which every machine has, while
/// `kill` as a program is a package of its own.
pub fn send_signal(name: &str, pid: u32) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name])
        .arg(pid.to_string())
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Says that a test was not tried, and why, since the machine does not let it; with `CI=true` that is a failure.
pub fn not_tried(why: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "{test} was not tried: {why}");
    // Not by eprintln!, of which cargo shows nothing where a test passes.
    let _ = writeln!(std::io::stderr(), "\nNOT TRIED: {test}: {why}");
}

/// Whether root runs the tests.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn read_aside(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).expect("what the program says is UTF-8")
    })
}

/// The program while it runs. It is killed where a test gives it up.
pub struct Running {
    child: Child,
    began: Instant,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    dir: Rc<TempDir>,
    ended: bool,
}

impl Running {
    /// Sends a signal by its name: `INT`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        send_signal(name, self.child.id());
    }

    /// Kills the program.
    pub fn kill(self) -> Outcome {
        self.signal("KILL");
        self.wait()
    }

    /// The folder of a run of [`NOW`] while it is incomplete.
    pub fn partial(&self) -> PathBuf {
        self.dir.path().join(format!("reports/{RUN_ID}.partial"))
    }

    /// Waits until so many accounts are in the evidence; the folder of that run, which is incomplete.
    pub fn wait_for_evidence(&self, accounts: usize) -> PathBuf {
        let reports = self.dir.path().join("reports");
        let has_lines = |folder: &PathBuf| {
            let text = fs::read_to_string(folder.join("evidence.jsonl")).unwrap_or_default();
            folder.extension().is_some_and(|end| end == "partial")
                && text.matches('\n').count() > accounts
        };
        let mut found = None;
        wait_until("the evidence has its lines", || {
            let folders = fs::read_dir(&reports).into_iter().flatten().flatten();
            found = folders.map(|entry| entry.path()).find(has_lines);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits for the end.
    pub fn wait(self) -> Outcome {
        self.watch(|_| {})
    }

    /// Waits for the end, and says how much memory the program had at most, in bytes.
    pub fn wait_and_measure(self) -> (Outcome, u64) {
        let mut most = 0;
        let outcome = self.watch(|pid| most = peak_memory(pid).unwrap_or(0).max(most));
        assert_ne!(most, 0, "the memory could not be measured");
        (outcome, most)
    }

    fn watch(mut self, mut look: impl FnMut(u32)) -> Outcome {
        let status = loop {
            look(self.child.id());
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(self.began.elapsed() < DEADLINE, "the program does not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        self.ended = true;
        let take = |pipe: &mut JoinHandle<String>| {
            std::mem::replace(pipe, std::thread::spawn(String::new))
                .join()
                .unwrap()
        };
        Outcome {
            stdout: take(&mut self.stdout),
            stderr: take(&mut self.stderr),
            status,
            dir: Rc::clone(&self.dir),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The most memory that a running process has had (`VmHWM`), in bytes.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// What came of a run.
pub struct Outcome {
    status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    dir: Rc<TempDir>,
}

impl Outcome {
    /// The exit code; `None` where a signal ended the program.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The exit code is this one; else what the program said is shown.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard error holds all of these texts.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "{text:?} is not said in:\n{}",
                self.stderr
            );
        }
        self
    }

    /// Standard error does not hold a text.
    #[track_caller]
    pub fn keeps_silent_about(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text),
            "{text:?} is said in:\n{}",
            self.stderr
        );
        self
    }

    /// The first line of the run's evidence.
    #[track_caller]
    pub fn evidence_header(&self) -> Value {
        let text = self.text("evidence.jsonl");
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    }

    /// Standard output holds all of these texts.
    #[track_caller]
    pub fn prints(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stdout.contains(text),
                "{text:?} is not in:\n{}",
                self.stdout
            );
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn stdout_json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The folder of all runs.
    pub fn reports(&self) -> PathBuf {
        self.dir.path().join("reports")
    }

    /// The run that `latest` leads to.
    #[track_caller]
    pub fn latest(&self) -> String {
        latest(&self.reports())
    }

    /// The run's folder, which is the last line of standard output.
    #[track_caller]
    pub fn run_dir(&self) -> PathBuf {
        let line = self.stdout.lines().last().expect("the run's path is told");
        let path = self.dir.path().join(line);
        assert!(path.is_dir(), "{line} is no folder");
        path
    }

    /// A file of the run.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.run_dir().join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A file of the run as text.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Puts the checksum of a file as it is now into the run's list, where that of an earlier text stood.
    #[track_caller]
    pub fn sum_again(&self, name: &str, before: &str) {
        let sum = |bytes: &[u8]| cf_sso_audit::text::sha256_hex(bytes);
        let sums = self.text("SHA256SUMS");
        let now = sums.replace(&sum(before.as_bytes()), &sum(&self.read(name)));
        assert_ne!(now, sums, "{name} stood in the list");
        fs::write(self.run_dir().join("SHA256SUMS"), now).unwrap();
    }

    /// The rows of a CSV file with commas.
    #[track_caller]
    pub fn csv(&self, name: &str) -> Vec<Row> {
        rows(&self.read(name), b',')
    }

    /// The row of an account in `accounts.csv`.
    #[track_caller]
    pub fn account(&self, id: &str) -> Row {
        let mut found: Vec<_> = self
            .csv("accounts.csv")
            .into_iter()
            .filter(|row| row["account_id"] == id)
            .collect();
        assert_eq!(found.len(), 1, "{id} stands once in accounts.csv");
        found.remove(0)
    }

    /// The rows of a CSV file, each put into words.
    #[track_caller]
    pub fn lines(&self, file: &str, words: impl FnMut(Row) -> String) -> Vec<String> {
        self.csv(file).into_iter().map(words).collect()
    }

    /// A column of a CSV file.
    #[track_caller]
    pub fn column(&self, file: &str, column: &str) -> Vec<String> {
        self.lines(file, |row| row[column].clone())
    }

    /// `report.json`.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.read("report.json")).unwrap()
    }

    /// Everything that the run left, and everything it said: each with its name.
    pub fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = vec![
            ("stdout".to_owned(), self.stdout.clone().into_bytes()),
            ("stderr".to_owned(), self.stderr.clone().into_bytes()),
        ];
        let mut folders = vec![self.reports()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_symlink() {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    all.push((path.display().to_string(), fs::read(&path).unwrap()));
                }
            }
        }
        all
    }
}
