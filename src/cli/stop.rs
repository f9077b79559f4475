//! Ctrl-C, SIGTERM and SIGHUP: heard from the beginning of a command to its end, so that none is lost between two parts.

use std::time::Duration;

use tokio::sync::watch;

use super::exit;

/// So long a program that was asked to stop has to put things in order; then it is ended. What it was writing is either
/// whole or not there: that holds for a power cut as well.
const GRACE: Duration = Duration::from_millis(1500);

/// Whether the program was asked to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Begins to listen. From now on a signal ends the program only where somebody waits for it.
    pub fn listen() -> Self {
        let (heard, stop) = watch::channel(false);
        let signal = signalled();
        let too_large = too_large();
        tokio::spawn(async move {
            let _too_large = too_large;
            signal.await;
            // That nobody waits any more is no failure: the program is about to end by itself.
            let _ = heard.send(true);
            end_after(GRACE);
        });
        Self(stop)
    }

    /// Waits until the program is asked to stop; at once where it was asked already.
    pub async fn requested(&self) {
        let mut stop = self.0.clone();
        if stop.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ends the program, whatever its other threads are doing.
fn end_after(grace: Duration) {
    let ending = std::thread::Builder::new().spawn(move || {
        std::thread::sleep(grace);
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    if ending.is_err() {
        std::process::exit(i32::from(exit::INTERRUPTED));
    }
}

/// Hears of files that grow beyond a limit, so that it does not end the program without a word: the write that goes
/// beyond it fails, and says so.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn too_large() -> Option<tokio::signal::unix::Signal> {
    /// `SIGXFSZ`, on all processors but those with MIPS.
    const SIGXFSZ: i32 = 25;
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ)).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn too_large() {}

/// Listens at once, and not only when it is first polled.
#[cfg(unix)]
fn signalled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    async fn received(listening: std::io::Result<Signal>) {
        match listening {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    }
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    let hangup = if may_hear_hangup() {
        signal(SignalKind::hangup())
    } else {
        Err(std::io::ErrorKind::Unsupported.into())
    };
    async {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
            () = received(hangup) => {}
        }
    }
}

/// Whether the closing of the terminal may be heard: not where the program was started so that it goes on then (`nohup`),
/// which listening would undo.
#[cfg(target_os = "linux")]
fn may_hear_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| !ignores_hangup(&status))
}

/// Elsewhere the system does not tell without `unsafe`. What it does by itself is right in both cases: it ends the program
/// or it does not, and whatever was read is kept.
#[cfg(all(unix, not(target_os = "linux")))]
fn may_hear_hangup() -> bool {
    false
}

/// Whether SIGHUP is among the ignored signals that the system reports for a process. Where it reports none, it may be.
#[cfg(target_os = "linux")]
fn ignores_hangup(status: &str) -> bool {
    /// Signal N is bit N-1.
    const SIGHUP: u64 = 1;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP != 0)
}

#[cfg(not(unix))]
async fn signalled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_left_alone() {
        for (status, ignored) in [
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n",
                false,
            ),
            ("SigIgn:\t0000000000001001\n", true),
            ("SigIgn:\todd\n", true),
            ("", true),
        ] {
            assert_eq!(ignores_hangup(status), ignored, "{status}");
        }
    }
}
