//! Downloads over HTTP, into a `.part` file that the next try goes on from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Tries in a row that may end without one more byte.
const FUTILE_TRIES: u32 = 3;

/// Tries altogether: a server that always dies is left at some point.
const TRIES: u32 = 20;

/// Slower than this, in bytes a second, is a server that keeps one waiting.
const SLOWEST: f64 = 1024.0;

/// Why a download did not end.
pub(super) enum FetchError {
    /// Nothing more is to be had from this server.
    Server(String),
    /// The disk does not take it.
    Disk(io::Error),
}

/// How one request ended that did not bring the whole file.
enum Broken {
    /// Worth another try.
    Again(String),
    /// Not worth another try.
    Never(FetchError),
}

/// Downloads files, with one connection a server.
pub(super) struct Fetcher {
    agent: ureq::Agent,
    patience: Duration,
}

impl Fetcher {
    /// `patience` is the longest silence that is waited for.
    pub fn new(patience: Duration) -> Self {
        let connect = Some(patience.min(Duration::from_secs(4)));
        let agent = ureq::Agent::config_builder()
            .timeout_resolve(connect)
            .timeout_connect(connect)
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .max_redirects(5)
            .http_status_as_error(false)
            .user_agent(concat!("lenet/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Fetcher { agent, patience }
    }

    /// Completes `part` from `url`, at most `limit` bytes; `progress` hears of bytes done and in all.
    pub fn fetch(
        &self,
        url: &str,
        part: &Path,
        limit: u64,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), FetchError> {
        let (mut futile, mut tries) = (0, 0);
        loop {
            let before = length(part);
            let reason = match self.try_once(url, part, limit, progress) {
                Ok(()) => return Ok(()),
                Err(Broken::Never(e)) => return Err(e),
                Err(Broken::Again(reason)) => reason,
            };
            futile = if length(part) > before { 0 } else { futile + 1 };
            tries += 1;
            if futile >= FUTILE_TRIES || tries >= TRIES {
                return Err(FetchError::Server(if tries == 1 {
                    reason
                } else {
                    format!("{reason} (tried {tries} times)")
                }));
            }
            std::thread::sleep(Duration::from_millis(200) * 2u32.pow(futile));
        }
    }

    fn try_once(
        &self,
        url: &str,
        part: &Path,
        limit: u64,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), Broken> {
        let have = length(part);
        let mut request = self.agent.get(url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let mut response = request.call().map_err(|e| broken_before_answer(&e))?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let resumes =
            status == 206 && header("content-range").is_some_and(|r| r.starts_with(&format!("bytes {have}-")));
        let start = match status {
            206 if resumes => have,
            200 => 0,
            206 | 416 => {
                // Our part is not one of the server's file: begin again.
                fs::remove_file(part).map_err(disk)?;
                return Err(Broken::Again("the server does not go on where the download stopped".into()));
            }
            429 | 500..=599 => return Err(Broken::Again(format!("the server answers with status {status}"))),
            _ => return Err(Broken::Never(FetchError::Server(format!("the server answers with status {status}")))),
        };
        let total = header("content-length").and_then(|v| v.parse::<u64>().ok()).map(|n| n.saturating_add(start));
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(disk)?;
        file.set_len(start).map_err(disk)?;
        let body = &mut response.body_mut().as_reader();
        self.copy(body, &mut file, start, total, limit, progress)
    }

    fn copy(
        &self,
        body: &mut impl Read,
        file: &mut File,
        start: u64,
        total: Option<u64>,
        limit: u64,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), Broken> {
        let too_long = || Broken::Never(FetchError::Server(format!("the file is longer than {limit} bytes")));
        if total.is_some_and(|t| t > limit) {
            return Err(too_long());
        }
        let (mut buffer, mut done) = (vec![0; 1 << 16], start);
        let (mut since, mut mark) = (Instant::now(), start);
        progress(done, total);
        loop {
            let n = match body.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Broken::Again(format!("the connection broke after {done} bytes ({e})"))),
            };
            if n == 0 {
                return match total {
                    Some(t) if done < t => Err(Broken::Again(format!("the server stopped after {done} of {t} bytes"))),
                    _ => Ok(()),
                };
            }
            done += n as u64;
            if done > limit {
                return Err(too_long());
            }
            file.write_all(&buffer[..n]).map_err(disk)?;
            progress(done, total);
            if since.elapsed() > self.patience {
                if (done - mark) as f64 / since.elapsed().as_secs_f64() < SLOWEST {
                    let reason = format!("the server sends less than {SLOWEST} bytes a second");
                    return Err(Broken::Never(FetchError::Server(reason)));
                }
                (since, mark) = (Instant::now(), done);
            }
        }
    }
}

fn disk(e: io::Error) -> Broken {
    Broken::Never(FetchError::Disk(e))
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len())
}

/// A connection that breaks may be an accident; one that does not come about will not do so in a moment either.
fn broken_before_answer(e: &ureq::Error) -> Broken {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let reason = unreachable(e);
    match e {
        ureq::Error::Io(e) if matches!(e.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) => {
            Broken::Again(reason)
        }
        _ => Broken::Never(FetchError::Server(reason)),
    }
}

fn unreachable(e: &ureq::Error) -> String {
    match e {
        ureq::Error::HostNotFound => "the host's name is not known (is there a network?)".into(),
        ureq::Error::TooManyRedirects => "the server redirects too often".into(),
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => "the connection is refused".into(),
        ureq::Error::Io(e) => format!("not reachable ({e})"),
        other => format!("not reachable ({other})"),
    }
}
