//! Ctrl-C and the request to terminate: the first one asks, the second one leaves.

use crate::failure::{Failure, INTERRUPTED};
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal asks for a stop; before, it ends the process as usual.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("\nstopping after this step, with a checkpoint (once more leaves at once)");
    })
    .map_err(|e| Failure::Failed(format!("cannot catch Ctrl-C: {e}")))
}

/// Whether a stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
