//! How data arrives, on standard error.

use super::output;
use indicatif::ProgressBar;
use lenet::data::DataEvent;

/// Tells on standard error how data arrives.
pub struct DataProgress {
    bar: Option<(String, ProgressBar)>,
}

impl DataProgress {
    pub fn new() -> Self {
        DataProgress { bar: None }
    }

    /// Says what there is to say about an event. Data that comes from the cache is nothing to talk about.
    pub fn on(&mut self, event: DataEvent) {
        match event {
            DataEvent::Progress { file, done, total } => {
                if self.bar.as_ref().is_none_or(|(name, _)| *name != file) {
                    self.clear();
                    let new = output::bar("data: {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
                    new.set_message(file.clone());
                    self.bar = Some((file, new));
                }
                if let Some((_, bar)) = &self.bar {
                    bar.set_length(total.unwrap_or(done));
                    bar.set_position(done);
                }
            }
            DataEvent::Trying { source } => {
                self.clear();
                // Only what takes time is announced; the rest is told when it has failed.
                if source.contains("://") || source.starts_with("apt") {
                    eprintln!("data: trying {source}");
                }
            }
            DataEvent::Skipped { source, reason } => {
                self.clear();
                if source.contains("://") || source.starts_with("apt") {
                    eprintln!("data:   {reason}");
                } else {
                    eprintln!("data: {source}: {reason}");
                }
            }
            DataEvent::Waiting { path } => {
                self.clear();
                eprintln!("data: waiting for another process that fetches it ({})", path.display());
            }
            DataEvent::Verified { .. } => self.clear(),
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for DataProgress {
    fn drop(&mut self) {
        self.clear();
    }
}
