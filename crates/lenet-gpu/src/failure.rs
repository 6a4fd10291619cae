//! What goes wrong on a device, as errors: Burn tells of some of it by panicking, here or on its own thread for the device.

use lenet::engine::EngineError;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

thread_local! {
    /// Whether a panic of this thread becomes an error; `None` before it first does.
    static GUARDED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// What Burn's own thread panicked of last. What its callers are told is what follows from it.
static CAUSE: Mutex<Option<String>> = Mutex::new(None);

/// Does something; a panic becomes its message, and is not printed.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match GUARDED.get() {
            Some(true) => {}
            None if info.location().is_some_and(is_burn) => {
                *CAUSE.lock().unwrap_or_else(PoisonError::into_inner) = Some(message(info.payload()));
            }
            _ => before(info),
        }));
    });
    let outer = GUARDED.replace(Some(true));
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(Some(outer.unwrap_or(false)));
    done.map_err(|panic| message(panic.as_ref()))
}

/// Whether a place is in the source of Burn or of what it computes with.
fn is_burn(location: &Location) -> bool {
    let is_theirs = |part: &str| ["burn-", "cubecl-", "wgpu-"].iter().any(|start| part.starts_with(start));
    Path::new(location.file()).iter().any(|part| part.to_str().is_some_and(is_theirs))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it failed without a word").to_string()
}

/// An error of a device, with what to do about it.
pub(crate) fn device_error(device: &str, what: &str) -> EngineError {
    let cause = CAUSE.lock().unwrap_or_else(PoisonError::into_inner).take();
    EngineError::Device(format!("{device}: {}", explained(cause.as_deref().unwrap_or(what), what)))
}

/// What is wrong and what to do about it, from the first that went wrong and what came of it.
fn explained(cause: &str, what: &str) -> String {
    let lower = format!("{cause}\n{what}").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if has(&["is lost", "device lost", "devicelost", "removed", "hung", "reset"]) {
        return "the device is lost, its driver has given it up: go on with the run (--resume), on the CPU (--device cpu) \
                if it happens again"
            .into();
    }
    const SMALLER: &str = "give it smaller batches (train.batch), or compute on the CPU (--device cpu)";
    if has(&["out of memory", "outofmemory", "not enough memory"]) {
        return format!("it is out of memory: {SMALLER}");
    }
    // One line, of what may be a long story.
    let told = cause.split("Backtrace:").next().unwrap_or_default();
    let first = told.split_whitespace().take(30).collect::<Vec<_>>().join(" ");
    if has(&["too large", "buffer size"]) {
        return format!("{first}: {SMALLER}");
    }
    format!("{first}: compute on the CPU (--device cpu)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_that_say_what_to_do() {
        assert_eq!(guarded(|| 7), Ok(7));
        let said = guarded(|| -> u8 { panic!("Out of memory: {} bytes", 5) }).unwrap_err();
        assert_eq!(said, "Out of memory: 5 bytes");
        let memory = explained(&said, "the bytes were never written");
        assert!(memory.contains("out of memory") && memory.contains("train.batch"), "{memory}");
        // Memory is named in what a lost device leads to.
        let lost = explained("Parent device is lost\n  at 0x1", "it needed memory that was never allocated");
        assert!(lost.contains("--resume") && !lost.contains("train.batch") && !lost.contains('\n'), "{lost}");
        let other = explained("a kernel\nfailed Backtrace: none", "a kernel failed");
        assert_eq!(other, "a kernel failed: compute on the CPU (--device cpu)");
    }
}
