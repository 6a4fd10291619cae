//! The whole screen of the terminal: whether it is taken, and how it is given back.

use super::aside;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static OPEN: AtomicBool = AtomicBool::new(false);

/// Whether the screen is taken, so that lines on standard error would spoil it.
pub fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Takes the screen. Whatever ends the program gives it back.
pub fn take() -> io::Result<()> {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        give_back();
        told(info);
    }));
    OPEN.store(true, Ordering::Relaxed);
    aside::put()?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
}

/// Gives the terminal back as it was, if it was taken. Nobody is left to hear of errors.
pub fn give_back() {
    if OPEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        aside::give_back();
    }
}
