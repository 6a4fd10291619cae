//! Ctrl-C and the request to terminate: the first one asks, the second one leaves.

use super::screen;
use crate::failure::{Failure, INTERRUPTED};
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal asks for a stop; before, it ends the process as usual.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(request).map_err(|e| Failure::Failed(format!("cannot catch Ctrl-C: {e}")))
}

/// From now on a signal does nothing: another process of the job decides.
pub fn ignore() -> Result<(), Failure> {
    ctrlc::set_handler(|| {}).map_err(|e| Failure::Failed(format!("cannot catch Ctrl-C: {e}")))
}

/// Asks for a stop; the second time, leaves.
pub fn request() {
    if REQUESTED.swap(true, Ordering::Relaxed) {
        screen::give_back();
        std::process::exit(i32::from(INTERRUPTED));
    }
    if !screen::is_open() {
        eprintln!("\nstopping after this step, with a checkpoint (once more leaves at once)");
    }
}

/// Whether a stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
