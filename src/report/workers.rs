//! Every format on a thread of its own, fed with the accounts in their order, so that a report takes as long as its
//! slowest format and not as all of them together.

use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};

use super::{Format, Summary};
use crate::assess::Assessed;
use crate::compare::Change;
use crate::ledger::AccountMemory;

/// Parcels that may wait for a format, so that a slow one holds up the others instead of filling the memory.
const WAITING: usize = 64;
/// Connectors and findings that may be under way, together: an account that has more of them by itself is alone.
const MOST_UNDER_WAY: usize = 20_000;

type BoxedFormat<'f> = Box<dyn Format + 'f>;

/// What a format is handed.
#[derive(Clone)]
pub enum Parcel<'a> {
    /// The next account.
    Account(Arc<Weighed<'a>>),
    /// An account that earlier runs know and this one was not asked for, with what changed of it.
    NotAsked(Arc<(AccountMemory, Vec<Change>)>),
}

/// How much is under way.
#[derive(Debug, Default)]
struct Scale {
    under_way: Mutex<usize>,
    lighter: Condvar,
}

impl Scale {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account that counts as under way until every format is done with it.
pub struct Weighed<'a> {
    assessed: Assessed<'a>,
    weight: usize,
    scale: Arc<Scale>,
}

impl Drop for Weighed<'_> {
    fn drop(&mut self) {
        *self.scale.lock() -= self.weight;
        self.scale.lighter.notify_one();
    }
}

/// A format has ended early; [`Workers::finish`] tells why.
#[derive(Debug)]
pub struct Stopped;

/// The formats at work.
pub struct Workers<'scope, 'a, 'f> {
    desks: Vec<SyncSender<Parcel<'a>>>,
    threads: Vec<ScopedJoinHandle<'scope, io::Result<BoxedFormat<'f>>>>,
    scale: Arc<Scale>,
}

impl<'scope, 'a: 'scope, 'f: 'scope> Workers<'scope, 'a, 'f> {
    /// Sets each format to work.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        scope: &'scope Scope<'scope, '_>,
        formats: Vec<BoxedFormat<'f>>,
    ) -> io::Result<Self> {
        let mut workers = Self {
            desks: Vec::new(),
            threads: Vec::new(),
            scale: Arc::default(),
        };
        for format in formats {
            let (desk, parcels) = sync_channel(WAITING);
            workers.desks.push(desk);
            let working = move || work(format, &parcels);
            workers
                .threads
                .push(thread::Builder::new().spawn_scoped(scope, working)?);
        }
        Ok(workers)
    }

    /// Waits until what is under way leaves room for one more account.
    pub fn wait_for_room(&self) {
        let is_heavy = |under_way: &mut usize| *under_way > MOST_UNDER_WAY;
        let waited = self.scale.lighter.wait_while(self.scale.lock(), is_heavy);
        drop(waited);
    }

    /// Hands an account to every format.
    ///
    /// # Errors
    /// A format has ended early.
    pub fn hand_out_account(&self, assessed: Assessed<'a>) -> Result<(), Stopped> {
        let weight = assessed.evidence.connectors.len() + assessed.findings.len();
        *self.scale.lock() += weight;
        let scale = Arc::clone(&self.scale);
        self.hand_out(&Parcel::Account(Arc::new(Weighed {
            assessed,
            weight,
            scale,
        })))
    }

    /// Hands a parcel to every format.
    ///
    /// # Errors
    /// A format has ended early.
    pub fn hand_out(&self, parcel: &Parcel<'a>) -> Result<(), Stopped> {
        let handed = self
            .desks
            .iter()
            .try_for_each(|desk| desk.send(parcel.clone()));
        handed.map_err(|_| Stopped)
    }

    /// Waits until every format has done its work.
    ///
    /// # Errors
    /// The first that a format met.
    pub fn finish(self) -> io::Result<Vec<BoxedFormat<'f>>> {
        drop(self.desks);
        self.threads.into_iter().map(joined).collect()
    }
}

fn work<'f>(
    mut format: BoxedFormat<'f>,
    parcels: &Receiver<Parcel<'_>>,
) -> io::Result<BoxedFormat<'f>> {
    for parcel in parcels {
        match parcel {
            Parcel::Account(account) => format.account(&account.assessed)?,
            Parcel::NotAsked(known) => format.not_asked(&known.0, &known.1)?,
        }
    }
    Ok(format)
}

/// Ends every format, side by side.
///
/// # Errors
/// The first that a format met, or the system has no thread to give.
pub fn finish_all(formats: Vec<BoxedFormat<'_>>, summary: &Summary<'_>) -> io::Result<()> {
    thread::scope(|scope| {
        let mut endings = Vec::new();
        for format in formats {
            let ending = move || format.finish(summary);
            endings.push(thread::Builder::new().spawn_scoped(scope, ending)?);
        }
        endings.into_iter().try_for_each(joined)
    })
}

/// What a thread brought; a panic goes on in the one that waits.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
