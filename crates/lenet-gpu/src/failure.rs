//! What goes wrong on a device, as errors: Burn tells of some of it by panicking.

use lenet::engine::EngineError;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread becomes an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does something; a panic becomes its message, and is not printed.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    done.map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it failed without a word").to_string()
}

/// An error of a device, with what to do about it.
pub(crate) fn device_error(device: &str, what: &str) -> EngineError {
    let lower = what.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    let advice = if has(&["out of memory", "outofmemory", "memory", "alloc", "too large", "buffer size"]) {
        "give it smaller batches (train.batch), or compute on the CPU (--device cpu)"
    } else if has(&["lost", "removed", "hung", "reset"]) {
        "the driver has given it up; go on with the run (--resume), on the CPU (--device cpu) if it happens again"
    } else {
        "compute on the CPU (--device cpu)"
    };
    // One line, of what may be a long story.
    let first: Vec<&str> = what.split_whitespace().take(30).collect();
    EngineError::Device(format!("{device}: {}; {advice}", first.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_that_say_what_to_do() {
        assert_eq!(guarded(|| 7), Ok(7));
        let said = guarded(|| -> u8 { panic!("Out of memory: {} bytes", 5) }).unwrap_err();
        assert_eq!(said, "Out of memory: 5 bytes");
        let memory = device_error("GPU", &said).to_string();
        assert!(memory.contains("train.batch") && !memory.contains('\n'), "{memory}");
        let lost = device_error("GPU", "Parent device is lost\n  at 0x1").to_string();
        assert!(lost.contains("--resume") && !lost.contains('\n'), "{lost}");
    }
}
