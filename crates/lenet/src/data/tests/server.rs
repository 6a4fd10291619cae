//! A server on this machine, whose answers a test writes.

use super::gz;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a client asked for.
pub struct Request {
    pub path: String,
    /// First byte of the range that is asked for.
    pub start: Option<usize>,
    /// Requests that this server had before.
    pub before: usize,
}

impl Request {
    /// The gzip file that is asked for.
    pub fn file(&self) -> Vec<u8> {
        gz(self.path.rsplit('/').next().unwrap().strip_suffix(".gz").unwrap())
    }
}

/// Path and start of each request so far.
pub type Log = Mutex<Vec<(String, Option<usize>)>>;

/// A server on a free port, which lives as long as the test's process.
pub struct Server {
    pub url: String,
    pub seen: Arc<Log>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Log::default());
        let (answer, log) = (Arc::new(answer), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (answer.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Server { url, seen }
    }

    pub fn requests(&self) -> Vec<(String, Option<usize>)> {
        self.seen.lock().unwrap().clone()
    }
}

/// One request a connection.
fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()>, log: &Log) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let mut start = None;
    for line in lines.take_while(|l| !l.is_empty()) {
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok();
        }
    }
    let before = {
        let mut log = log.lock().unwrap();
        log.push((path.clone(), start));
        log.len() - 1
    };
    let _ = answer(&Request { path, start, before }, &mut stream);
}

pub fn head(stream: &mut TcpStream, status: &str, length: usize, more: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
}

/// The file, from where it is asked for.
pub fn send(request: &Request, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    send_until(request, stream, bytes, bytes.len())
}

/// As [`send`], but nothing is sent from byte `end` on, whatever was promised.
pub fn send_until(request: &Request, stream: &mut TcpStream, bytes: &[u8], end: usize) -> std::io::Result<()> {
    let start = request.start.unwrap_or(0).min(bytes.len());
    let range = format!("Content-Range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
    match request.start {
        Some(_) => head(stream, "206 Partial Content", bytes.len() - start, &range)?,
        None => head(stream, "200 OK", bytes.len(), "")?,
    }
    stream.write_all(&bytes[start..end.clamp(start, bytes.len())])
}
