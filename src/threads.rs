//! The same work on several threads, and what they share.

use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// More threads than this would mostly wait for each other.
const MOST: usize = 8;

/// Does the same work on as many threads as the machine has processors, up to eight, this one included; what each
/// brought. Where the system has no thread to give, fewer do all of the work. A panic goes on in this one.
pub fn on_all<R: Send>(work: impl Fn() -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let others: Vec<_> = (1..processors.min(MOST))
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, &work).ok())
            .collect();
        let mut brought = vec![work()];
        for other in others {
            let ended = other.join();
            brought.push(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        brought
    })
}

/// What a lock holds. A panic of who held it before goes on in its own thread, and is none of this one's.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a lock held, once nobody else has it.
pub fn owned<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
