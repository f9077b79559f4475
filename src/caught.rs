//! A library's panics as errors, where panicking is its only way to say what went wrong.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}
static HOOK: Once = Once::new();

/// Does the work of a library; nothing that it works on may be used any more once it panicked.
///
/// # Errors
/// It panicked; with what it said, which nobody else is told.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                others(panic);
            }
        }));
    });
    let outer = IS_CAUGHT.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(outer);
    done.map_err(|panic| said(&*panic).to_owned())
}

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_what_it_said() {
        assert_eq!(caught(|| 7), Ok(7));
        let failed: Result<(), _> = caught(|| panic!("cannot write: {}", 28));
        assert_eq!(failed, Err("cannot write: 28".to_owned()));
        let failed: Result<(), _> = caught(|| panic!("cannot write"));
        assert_eq!(failed, Err("cannot write".to_owned()));
        assert!(!IS_CAUGHT.get());
    }

    #[test]
    fn panics_of_others_are_told_as_ever() {
        let inner = caught(|| {
            let inner: Result<(), _> = caught(|| panic!("inner"));
            (inner, IS_CAUGHT.get())
        });
        assert_eq!(inner, Ok((Err("inner".to_owned()), true)));
        assert!(!IS_CAUGHT.get());
    }
}
