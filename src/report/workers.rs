//! Every format on a thread of its own, fed with the accounts in their order, so that a report takes as long as its
//! slowest format and not as all of them together.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use super::{Format, Summary};
use crate::assess::Assessed;
use crate::compare::Change;
use crate::ledger::AccountMemory;

/// Parcels that may wait for a format, so that a slow one holds up the others instead of filling the memory.
const WAITING: usize = 64;

type BoxedFormat<'f> = Box<dyn Format + 'f>;

/// What a format is handed.
#[derive(Clone)]
pub enum Parcel<'a> {
    /// The next account.
    Account(Arc<Assessed<'a>>),
    /// An account that earlier runs know and this one was not asked for, with what changed of it.
    NotAsked(Arc<(AccountMemory, Vec<Change>)>),
}

/// A format has ended early; [`Workers::finish`] tells why.
#[derive(Debug)]
pub struct Stopped;

/// The formats at work.
pub struct Workers<'scope, 'a, 'f> {
    desks: Vec<SyncSender<Parcel<'a>>>,
    threads: Vec<ScopedJoinHandle<'scope, io::Result<BoxedFormat<'f>>>>,
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
            Parcel::Account(assessed) => format.account(&assessed)?,
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
