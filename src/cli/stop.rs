//! Ctrl-C and SIGTERM: heard from the beginning of a command to its end, so that none is lost between two parts.

use tokio::sync::watch;

/// Whether the program was asked to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Begins to listen. From now on a signal ends the program only where somebody waits for it.
    pub fn listen() -> Self {
        let (heard, stop) = watch::channel(false);
        let signal = signalled();
        tokio::spawn(async move {
            signal.await;
            // That nobody waits any more is no failure: the program is about to end by itself.
            let _ = heard.send(true);
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
