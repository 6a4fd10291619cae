//! The log: one JSON object a line on standard error or in a file, written by a thread of its own.

use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::SystemTime;

/// Lines that may wait to be written. A reader that stalls costs lines, never answers.
const WAITING: usize = 8192;

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

/// Where lines go.
pub struct Log {
    sender: SyncSender<Message>,
    /// Lines that found no room.
    pub dropped: AtomicU64,
    /// Whether each request is a line.
    pub requests: bool,
}

impl Log {
    /// Starts the thread that writes, to the end of a file or to standard error.
    pub fn start(requests: bool, file: Option<&Path>) -> io::Result<Log> {
        let out: Box<dyn Write + Send> = match file {
            Some(path) => Box::new(File::options().create(true).append(true).open(path)?),
            None => Box::new(io::stderr()),
        };
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::Builder::new().name("lenet-log".into()).spawn(move || write(&receiver, out))?;
        Ok(Log { sender, dropped: AtomicU64::new(0), requests })
    }

    /// Writes `fields`, an object, with level and time in front.
    pub fn line(&self, level: &str, fields: Value) {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut line = json!({ "time": time, "level": level }).to_string();
        // The order of keys is for people.
        let fields = fields.to_string();
        if let Some(rest) = fields.strip_prefix('{').filter(|rest| rest.len() > 1) {
            line.pop();
            line.push(',');
            line.push_str(rest);
        }
        line.push('\n');
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines so far are written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.sender.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

fn write(receiver: &Receiver<Message>, out: Box<dyn Write + Send>) {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    // Whoever closed standard error wants no log.
    while let Ok(first) = receiver.recv() {
        for message in std::iter::once(first).chain(receiver.try_iter()) {
            match message {
                Message::Line(line) => drop(out.write_all(line.as_bytes())),
                Message::Flush(done) => {
                    let _ = out.flush();
                    let _ = done.send(());
                }
            }
        }
        let _ = out.flush();
    }
}
