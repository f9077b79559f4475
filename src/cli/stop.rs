//! Ctrl-C and SIGTERM: heard from the beginning of a command to its end, so that none is lost between two parts.

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
    async {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

#[cfg(not(unix))]
async fn signalled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
