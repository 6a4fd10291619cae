//! Standard error, put aside while a full-screen picture is on the terminal: a stray line would spoil it. What was written
//! meanwhile is told when the screen is given back.

/// Puts it aside, if it is the terminal.
pub use system::put;

/// Gives it back, and tells what it was given meanwhile.
pub use system::give_back;

#[cfg(unix)]
mod system {
    use std::io::{self, IsTerminal, Read, Write};
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::{Mutex, PoisonError};
    use std::thread::JoinHandle;

    /// Where it went before, and what gathers its lines.
    struct Held {
        before: OwnedFd,
        gathers: JoinHandle<Vec<u8>>,
    }

    static HELD: Mutex<Option<Held>> = Mutex::new(None);

    pub fn put() -> io::Result<()> {
        if io::stderr().is_terminal() { hold() } else { Ok(()) }
    }

    pub fn give_back() {
        if let Some(text) = release() {
            // Nobody is left to hear of errors.
            let _ = io::stderr().write_all(&text);
        }
    }

    fn hold() -> io::Result<()> {
        let before = io::stderr().as_fd().try_clone_to_owned()?;
        let (mut reader, writer) = io::pipe()?;
        rustix::stdio::dup2_stderr(&writer)?;
        // The copy that is standard error is now the only one: when it goes, the thread ends.
        drop(writer);
        let gathers = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = reader.read_to_end(&mut text);
            text
        });
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { before, gathers });
        Ok(())
    }

    fn release() -> Option<Vec<u8>> {
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        rustix::stdio::dup2_stderr(&held.before).ok()?;
        held.gathers.join().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_written_meanwhile_is_kept() {
            hold().unwrap();
            // Not by a macro: what those print, tests keep to themselves.
            io::stderr().write_all(b"a stray line\n").unwrap();
            let text = String::from_utf8(release().unwrap()).unwrap();
            assert!(text.contains("a stray line\n"), "{text:?}");
            assert!(release().is_none());
        }
    }
}

#[cfg(not(unix))]
mod system {
    pub fn put() -> std::io::Result<()> {
        Ok(())
    }

    pub fn give_back() {}
}
