//! From evidence to rows: several threads, each with a chunk of accounts at a time, and the files in the accounts' order.
//!
//! A worker reads the accounts of its chunk from the evidence, judges them, and offers each row to every format, which
//! renders it into buffers of the worker's own. When the chunk's turn comes, the buffers are appended to the files. So
//! the files are the same whatever the number of workers, and no more than the chunks in progress is in memory.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Condvar, Mutex, PoisonError};
use std::{io, thread};

use super::columns::{AccountRow, ChangeRow, ConnectorNames, ConnectorRow, Context, FindingRow};
use super::summary::Tally;
use super::{Format, FormatWorker, ReportError};
use crate::assess::Assessor;
use crate::baseline::{History, Lines};
use crate::compare::{Cause, Change, changes};
use crate::evidence::{Evidence, RunHeader};
use crate::memory::{AccountMemory, AccountState, Known, carry_on};
use crate::threads::{lock, on_all, owned};

/// What is read for a chunk, in bytes: enough that handing out chunks costs nothing, and little in memory.
const CHUNK: usize = 128 * 1024;
/// What is read for all chunks in progress together, in bytes. An account with more is alone.
const MOST_UNDER_WAY: usize = 2 * 1024 * 1024;
/// What an account counts for beside what is read of it, in bytes.
const PER_ACCOUNT: usize = 1024;
/// What a worker keeps, in bytes, before it waits for its turn and hands it on in the middle of a chunk.
const MOST_WAITING: usize = 2 * 1024 * 1024;
/// Rows between two looks at how much waits.
const ROWS_BETWEEN_LOOKS: usize = 256;

/// What rows are made from.
pub struct Source<'a> {
    /// What was seen.
    pub evidence: &'a Evidence,
    /// By what it is judged.
    pub assessor: &'a Assessor<'a>,
    /// What earlier runs know.
    pub history: &'a History,
    /// What rows need beside the accounts.
    pub context: Context<'a>,
    /// The accounts that the report is about.
    pub scope: &'a Scope,
}

/// The accounts that a report is about.
#[derive(Debug, Default)]
pub struct Scope {
    /// Those that were asked for, by position.
    pub positions: Vec<usize>,
    /// Those that earlier runs know and this one was not asked for, by id.
    pub not_asked: Vec<String>,
}

impl Scope {
    /// All of a run, and all that earlier ones know.
    pub fn whole(header: &RunHeader, history: &History) -> Self {
        Self {
            positions: (0..header.accounts.len()).collect(),
            not_asked: not_asked_for(header, history),
        }
    }
}

/// Judges every account of the evidence, and offers every format its rows; then what is known of accounts that this run
/// was not asked for.
///
/// # Errors
/// Evidence or baseline cannot be read, or a file cannot be written: the first that was met.
pub fn run(
    source: &Source<'_>,
    formats: &[Box<dyn Format + '_>],
    write_error: &(dyn Fn(io::Error) -> ReportError + Sync),
) -> Result<Tally, ReportError> {
    let work = Work::new(source);
    let here = thread::current().id();
    let turns = Turns::new(1 + formats.len());
    let tally = Mutex::new(Tally::default());
    let worker = || Worker {
        source,
        takes_heavy_ones: thread::current().id() == here,
        work: &work,
        turns: &turns,
        total: &tally,
        tally: Tally::default(),
        formats: formats.iter().map(|format| format.worker()).collect(),
        write_error,
        rows: 0,
        chunk: 0,
        is_alone: false,
    };
    let ends = on_all(|| worker().run());
    let mut is_stopped = false;
    for end in ends.into_iter().filter_map(Result::err) {
        match end {
            // The one that failed says more than those that it stopped.
            End::Failed(error) => return Err(*error),
            End::Stopped => is_stopped = true,
        }
    }
    if is_stopped {
        return Err(write_error(io::Error::other(
            "writing the report was abandoned",
        )));
    }
    Ok(owned(tally))
}

/// The accounts that earlier runs know and this one was not asked for.
fn not_asked_for(header: &RunHeader, history: &History) -> Vec<String> {
    let accounts = header.accounts.iter();
    let asked: HashSet<&str> = accounts.map(|account| account.id.as_str()).collect();
    let known = history.remembered();
    let known = known.map(|run| run.account_ids()).unwrap_or_default();
    known
        .into_iter()
        .filter(|id| !asked.contains(id.as_str()))
        .collect()
}

/// Why a worker ended early.
enum End {
    /// It failed.
    Failed(Box<ReportError>),
    /// Another one failed.
    Stopped,
}

// ---------------------------------------------------------------- handing out work

/// The accounts that are still to be done: first those asked for, then the others.
struct Work<'a> {
    source: &'a Source<'a>,
    state: Mutex<Progress>,
    lighter: Condvar,
}

#[derive(Default)]
struct Progress {
    next: usize,
    chunks: usize,
    under_way: usize,
    is_stopped: bool,
}

struct Chunk {
    number: usize,
    items: Range<usize>,
    weight: usize,
}

impl Chunk {
    /// Whether it is in progress alone: the ones before it are done, and none is handed out before it is.
    fn is_heavy(&self) -> bool {
        self.weight > MOST_UNDER_WAY
    }
}

impl<'a> Work<'a> {
    fn new(source: &'a Source<'a>) -> Self {
        Self {
            source,
            state: Mutex::default(),
            lighter: Condvar::new(),
        }
    }

    /// The next chunk, once there is room for it. Heavy ones go to one worker: what an allocator keeps for a thread that
    /// had one, no other thread gets.
    fn next(&self, takes_heavy_ones: bool) -> Option<Chunk> {
        let mut state = lock(&self.state);
        loop {
            let (items, weight) = self.next_items(state.next);
            if items.is_empty() || state.is_stopped {
                return None;
            }
            let chunk = Chunk {
                number: state.chunks,
                items,
                weight,
            };
            let has_room = state.under_way == 0 || state.under_way + weight <= MOST_UNDER_WAY;
            if has_room && (takes_heavy_ones || !chunk.is_heavy()) {
                state.chunks += 1;
                state.next = chunk.items.end;
                state.under_way += weight;
                return Some(chunk);
            }
            state = self
                .lighter
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn next_items(&self, first: usize) -> (Range<usize>, usize) {
        let (mut end, mut weight) = (first, 0);
        while let Some(length) = self.length(end) {
            let with_it = weight + length + PER_ACCOUNT;
            if weight > 0 && with_it > CHUNK {
                break;
            }
            weight = with_it;
            end += 1;
        }
        (first..end, weight)
    }

    /// What is read of an item, in bytes; `None` after the last.
    fn length(&self, item: usize) -> Option<usize> {
        let Source {
            evidence,
            assessor,
            history,
            scope,
            ..
        } = self.source;
        match scope.positions.get(item) {
            Some(&position) => {
                let account = assessor.header.accounts.get(position)?;
                Some(evidence.length(position) + history.length(&account.id))
            }
            None => {
                let id = scope.not_asked.get(item - scope.positions.len())?;
                Some(history.length(id))
            }
        }
    }

    fn done(&self, chunk: &Chunk) {
        lock(&self.state).under_way -= chunk.weight;
        self.lighter.notify_all();
    }

    /// Nothing is handed out any more: who would take the next chunk may be gone.
    fn stop(&self) {
        lock(&self.state).is_stopped = true;
        self.lighter.notify_all();
    }
}

// ---------------------------------------------------------------- turns

/// Whose turn it is at each of several places, by the number of the chunk.
struct Turns {
    state: Mutex<TurnState>,
    changed: Condvar,
}

struct TurnState {
    turns: Vec<usize>,
    stopped: bool,
}

impl Turns {
    fn new(places: usize) -> Self {
        Self {
            state: Mutex::new(TurnState {
                turns: vec![0; places],
                stopped: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until it is a chunk's turn at a place.
    fn wait(&self, place: usize, chunk: usize) -> Result<(), End> {
        let waits = |state: &mut TurnState| !state.stopped && state.turns[place] != chunk;
        let state = self.changed.wait_while(lock(&self.state), waits);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return Err(End::Stopped);
        }
        Ok(())
    }

    /// Lets the next chunk have its turn.
    fn pass(&self, place: usize) {
        lock(&self.state).turns[place] += 1;
        self.changed.notify_all();
    }

    /// Nobody gets a turn any more.
    fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }
}

/// Lets nobody wait for a worker that panicked.
struct StopOnPanic<'t>(&'t Work<'t>, &'t Turns);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
            self.1.stop();
        }
    }
}

// ---------------------------------------------------------------- work

struct Worker<'w> {
    source: &'w Source<'w>,
    takes_heavy_ones: bool,
    work: &'w Work<'w>,
    turns: &'w Turns,
    total: &'w Mutex<Tally>,
    /// What was counted since it was last added to the total.
    tally: Tally,
    formats: Vec<Box<dyn FormatWorker + 'w>>,
    write_error: &'w (dyn Fn(io::Error) -> ReportError + Sync),
    /// Rows since the last look at how much waits.
    rows: usize,
    chunk: usize,
    /// Whether no other chunk is in progress, so that it is this one's turn everywhere.
    is_alone: bool,
}

/// Whether a chunk goes on after its rows so far were handed on.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    GoesOn,
    Ends,
}

impl Worker<'_> {
    fn run(mut self) -> Result<(), End> {
        let _guard = StopOnPanic(self.work, self.turns);
        let mut room = Room::default();
        while let Some(chunk) = self.work.next(self.takes_heavy_ones) {
            self.chunk = chunk.number;
            self.is_alone = chunk.is_heavy();
            let done = self.chunk(&chunk, &mut room);
            self.work.done(&chunk);
            if done.is_err() {
                self.work.stop();
                self.turns.stop();
                return done;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk, room: &mut Room) -> Result<(), End> {
        let Scope {
            positions,
            not_asked,
        } = self.source.scope;
        for item in chunk.items.clone() {
            match positions.get(item) {
                Some(&position) => self.account(position, room)?,
                None => self.not_asked(&not_asked[item - positions.len()], room)?,
            }
        }
        self.hand_on(Then::Ends)
    }

    fn account(&mut self, position: usize, room: &mut Room) -> Result<(), End> {
        let Source {
            evidence,
            assessor,
            history,
            context,
            ..
        } = *self.source;
        let answered = failed(evidence.account(position, &mut room.line))?;
        if room.line.capacity() > MOST_UNDER_WAY {
            // All of it is decoded; what follows takes several times as much.
            room.line = Vec::new();
        }
        let account = &assessor.header.accounts[position];
        let known = failed(history.account(&account.id, &mut room.lines))?;
        let assessed = assessor.assess(answered, known.earlier());
        self.tally.add(&assessed, context.policy);
        let account = AccountRow::of(&assessed, context);
        self.offer(|format| format.account(&account))?;
        let connectors = &assessed.evidence.connectors;
        let names: Vec<_> = connectors
            .iter()
            .map(|connector| ConnectorNames::of(connector, context))
            .collect();
        for (position, connector) in connectors.iter().enumerate() {
            let row = ConnectorRow::of(&account, position, connector, &names[position]);
            self.offer(|format| format.connector(&row))?;
        }
        for finding in &assessed.findings {
            let names = finding.connector.and_then(|position| names.get(position));
            let row = FindingRow::of(&account, names, finding);
            self.offer(|format| format.finding(&row))?;
        }
        let changes = assessor.changes(&assessed, known.earlier());
        self.tally.totals.add_changes(&changes);
        self.changes(&changes, Some(&account))?;
        drop(changes);
        self.known(assessed.known())
    }

    /// An account that earlier runs know and this one was not asked for.
    fn not_asked(&mut self, id: &str, room: &mut Room) -> Result<(), End> {
        let Source {
            assessor, history, ..
        } = *self.source;
        let before = failed(history.remembered_account(id, &mut room.lines))?;
        let Some(mut memory) = before else {
            return Ok(());
        };
        let lists_are_old = assessor.elsewhere.lists_are_old;
        let state = carry_on(assessor.header, lists_are_old, &memory.state);
        self.tally.coverage.not_asked += u64::from(!state.removed);
        // A run that compares itself with none reports no account as removed: the next one does.
        if assessor.compares {
            let changes = changes_of_not_asked(&memory, &state);
            self.tally.totals.add_changes(&changes);
            self.changes(&changes, None)?;
            drop(changes);
            memory.state = state;
            for finding in &mut memory.findings {
                finding.carried = true;
            }
        }
        self.known(memory.known())
    }

    /// Offers what later runs will know of an account.
    fn known(&mut self, known: Known<'_>) -> Result<(), End> {
        let is_its_turn = self.is_alone;
        self.offer(|format| format.known(known, is_its_turn))
    }

    /// Offers the changes of an account; of one that this run was not asked for there is no row.
    fn changes(
        &mut self,
        changes: &[Change<'_>],
        account: Option<&AccountRow<'_>>,
    ) -> Result<(), End> {
        for change in changes {
            let row = ChangeRow::of(change, account, self.source.context);
            self.offer(|format| format.change(&row))?;
        }
        Ok(())
    }

    /// Offers a row to every format.
    fn offer(
        &mut self,
        mut take: impl FnMut(&mut dyn FormatWorker) -> io::Result<()>,
    ) -> Result<(), End> {
        for format in &mut self.formats {
            let taken = take(format.as_mut()).map_err(self.write_error);
            failed(taken)?;
        }
        self.rows += 1;
        if self.rows >= ROWS_BETWEEN_LOOKS {
            self.rows = 0;
            let waiting = self.formats.iter().map(|format| format.waiting());
            if waiting.sum::<usize>() > MOST_WAITING {
                return self.hand_on(Then::GoesOn);
            }
        }
        Ok(())
    }

    /// Adds what waits to the files and the total, each when it is this chunk's turn.
    fn hand_on(&mut self, then: Then) -> Result<(), End> {
        let pass = |place| {
            if then == Then::Ends {
                self.turns.pass(place);
            }
        };
        self.turns.wait(0, self.chunk)?;
        lock(self.total).merge(std::mem::take(&mut self.tally));
        pass(0);
        for (number, format) in self.formats.iter_mut().enumerate() {
            self.turns.wait(1 + number, self.chunk)?;
            failed(format.hand_on().map_err(self.write_error))?;
            pass(1 + number);
        }
        Ok(())
    }
}

/// Room for the lines of an account.
#[derive(Default)]
struct Room {
    line: Vec<u8>,
    lines: Lines,
}

fn failed<T>(result: Result<T, impl Into<ReportError>>) -> Result<T, End> {
    result.map_err(|error| End::Failed(Box::new(error.into())))
}

/// What changed of an account that this run was not asked for.
fn changes_of_not_asked<'a>(
    before: &'a AccountMemory<'_>,
    state: &'a AccountState,
) -> Vec<Change<'a>> {
    let now = Known {
        state,
        ..before.known()
    };
    let mut changes = changes(Some(before.known()), Some(now));
    for change in &mut changes {
        change.cause = Some(Cause::Coverage);
    }
    changes
}
