//! Sources against a mirror that misbehaves: a server on this machine, and the fixture's images as a dataset of a catalog.

mod server;

use super::catalog::{Entry, FileSpec, Packaging};
use super::{CacheOptions, DataError, DataEvent, Loaded, source};
use server::{Request, Server, head, send, send_until};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fashion-mnist-small");
const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn gz(file: &str) -> Vec<u8> {
    fs::read(Path::new(FIXTURE).join(format!("{file}.gz"))).unwrap()
}

fn raw(file: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&gz(file)[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

fn sha256(bytes: &[u8]) -> &'static str {
    Box::leak(crate::fs::hex(&Sha256::digest(bytes)).into_boxed_str())
}

/// The fixture as an entry of a catalog; its mirrors come from the options.
fn entry(packaging: Packaging, known: bool) -> Entry {
    let files = NAMES.map(|name| {
        let bytes = raw(name);
        FileSpec { name, bytes: bytes.len() as u64, sha256: known.then(|| sha256(&bytes)), gz_sha256: None }
    });
    let classes = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    Entry {
        name: "small",
        title: "the fixture",
        classes,
        shape: [1, 28, 28],
        train: 512,
        test: 256,
        files,
        packaging,
        debian: None,
        first_label: 0,
        transposed: false,
        licence: "MIT",
        citation: "none",
    }
}

fn leak(entry: Entry) -> &'static Entry {
    Box::leak(Box::new(entry))
}

fn small() -> &'static Entry {
    leak(entry(Packaging::Files { mirrors: &[] }, true))
}

fn options(dir: &Path, mirrors: &[&Server]) -> CacheOptions {
    CacheOptions {
        dir: Some(dir.into()),
        system: Vec::new(),
        mirrors: mirrors.iter().map(|m| m.url.clone()).collect(),
        official: false,
        offline: false,
        // More than a busy machine makes a server on it wait.
        patience: Duration::from_secs(10),
    }
}

fn honest() -> Server {
    Server::start(|request, stream| send(request, stream, &request.file()))
}

fn load(entry: &'static Entry, options: &CacheOptions) -> (Result<Loaded, DataError>, Vec<DataEvent>) {
    let mut events = Vec::new();
    let loaded = source::load(entry, options, &mut |event| events.push(event));
    (loaded, events)
}

/// Loads, and compares with the fixture read as IDX files.
fn loads(entry: &'static Entry, options: &CacheOptions) -> Vec<DataEvent> {
    let (loaded, events) = load(entry, options);
    assert_is_fixture(&loaded.unwrap());
    events
}

fn assert_is_fixture(loaded: &Loaded) {
    for (dataset, images, labels) in [(&loaded.train, NAMES[0], NAMES[1]), (&loaded.test, NAMES[2], NAMES[3])] {
        assert_eq!(dataset.images, raw(images)[16..]);
        assert!(dataset.labels.iter().eq(raw(labels)[8..].iter().map(|&l| u16::from(l)).collect::<Vec<_>>().iter()));
    }
}

/// Why a server that is the only source gives nothing; no finished or temporary file may stay.
fn refused(server: &Server) -> String {
    refused_with(server, |_| {})
}

fn refused_with(server: &Server, change: impl Fn(&mut CacheOptions)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), &[server]);
    change(&mut options);
    let (loaded, events) = load(small(), &options);
    let Err(DataError::Unavailable { attempts, .. }) = loaded else { panic!("{loaded:?}") };
    assert_eq!(attempts.len(), 2, "the cache and the mirror: {attempts:?}");
    assert!(attempts[1].source.starts_with(&server.url));
    assert!(events.iter().any(|e| matches!(e, DataEvent::Skipped { reason, .. } if *reason == attempts[1].reason)));
    for file in names(dir.path()) {
        assert!(file == ".lock" || file.ends_with(".part"), "{file} stays");
    }
    attempts[1].reason.clone()
}

/// Names of the files in the cache of the fixture.
fn names(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir.join("small")).into_iter().flatten().flatten();
    let mut names: Vec<_> = files.map(|f| f.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_mirror_fills_the_cache_once() {
    let (dir, server) = (tempfile::tempdir().unwrap(), honest());
    let options = options(dir.path(), &[&server]);
    let events = loads(small(), &options);
    assert_eq!(server.requests().len(), 4);
    assert_eq!(server.requests()[0].0, format!("/small/{}.gz", NAMES[0]));
    let total = gz(NAMES[0]).len() as u64;
    let whole = DataEvent::Progress { file: format!("{}.gz", NAMES[0]), done: total, total: Some(total) };
    assert!(events.contains(&whole));
    assert_eq!(events.iter().filter(|e| matches!(e, DataEvent::Verified { .. })).count(), 4);
    assert_eq!(names(dir.path()), [".lock", "SHA256SUMS", NAMES[2], NAMES[3], NAMES[0], NAMES[1]]);
    loads(small(), &CacheOptions { offline: true, ..options });
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn the_next_mirror_completes_what_one_lacks() {
    let (dir, good) = (tempfile::tempdir().unwrap(), honest());
    let partial = Server::start(|request, stream| match request.path.contains("train") {
        true => send(request, stream, &request.file()),
        false => head(stream, "404 Not Found", 0, ""),
    });
    let (loaded, _) = load(small(), &options(dir.path(), &[&partial, &good]));
    assert_is_fixture(loaded.as_ref().unwrap());
    assert_eq!(good.requests().len(), 2);
}

#[test]
fn a_system_wide_copy_comes_before_mirrors_and_does_without_a_cache() {
    let (dir, server, share) = (tempfile::tempdir().unwrap(), honest(), tempfile::tempdir().unwrap());
    fs::create_dir(share.path().join("small")).unwrap();
    for name in NAMES {
        fs::write(share.path().join(format!("small/{name}.gz")), gz(name)).unwrap();
    }
    let mut options = options(dir.path(), &[&server]);
    options.system = vec![share.path().into()];
    loads(small(), &options);
    assert!(server.requests().is_empty());
    for dir in [None, Some(share.path().join("small").join(NAMES[0]).join("below a file"))] {
        loads(small(), &CacheOptions { dir, ..options.clone() });
    }
}

#[test]
fn a_download_that_dies_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request, stream| {
        let file = request.file();
        let end = request.start.unwrap_or(0) + file.len() / 3 + 1;
        send_until(request, stream, &file, end)
    });
    loads(small(), &options(dir.path(), &[&server]));
    let starts: Vec<_> = server.requests().iter().filter(|r| r.0.contains(NAMES[0])).map(|r| r.1).collect();
    let third = gz(NAMES[0]).len() / 3 + 1;
    assert_eq!(starts, [None, Some(third), Some(2 * third)]);
    assert!(!names(dir.path()).iter().any(|n| n.ends_with(".part")));
}

#[test]
fn a_part_is_resumed_by_the_next_process_and_dropped_when_it_is_another_file_s() {
    let half = gz(NAMES[0]).len() / 2;
    for damage in [0, 1] {
        let (dir, dead) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(1)));
        let state = dead.clone();
        let server = Server::start(move |request, stream| {
            let file = request.file();
            let end = if state.load(Ordering::SeqCst) == 1 { file.len() / 2 } else { file.len() };
            send_until(request, stream, &file, end)
        });
        let options = options(dir.path(), &[&server]);
        assert!(load(small(), &options).0.is_err());
        let part = names(dir.path()).into_iter().find(|n| n.ends_with(".part")).unwrap();
        let part = dir.path().join("small").join(part);
        let mut bytes = fs::read(&part).unwrap();
        assert_eq!(bytes, gz(NAMES[0])[..half]);
        bytes[half / 2] ^= damage;
        fs::write(&part, bytes).unwrap();
        dead.store(0, Ordering::SeqCst);
        let before = server.requests().len();
        loads(small(), &options);
        let starts: Vec<_> = server.requests()[before..].iter().map(|r| r.1).collect();
        let expected = [vec![Some(half)], vec![None; 3 + usize::from(damage)]].concat();
        assert_eq!(starts, expected);
    }
}

#[test]
fn servers_that_do_not_know_ranges_start_again() {
    for status in ["200 OK", "416 Range Not Satisfiable", "206 Partial Content"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(move |request, stream| {
            let file = request.file();
            match (request.before, request.start) {
                (0, _) => send_until(request, stream, &file, 1000),
                (_, None) => send(request, stream, &file),
                (_, Some(_)) if status.starts_with("416") => head(stream, status, 0, ""),
                // The whole file again; for a 206, with a range that was not asked for.
                (_, Some(_)) => {
                    head(stream, status, file.len(), &format!("Content-Range: bytes 0-9/{}\r\n", file.len()))?;
                    stream.write_all(&file)
                }
            }
        });
        loads(small(), &options(dir.path(), &[&server]));
    }
}

#[test]
fn a_chunked_answer_is_as_good() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
        for chunk in request.file().chunks(10_000) {
            write!(stream, "{:x}\r\n", chunk.len())?;
            stream.write_all(chunk)?;
            write!(stream, "\r\n")?;
        }
        write!(stream, "0\r\n\r\n")
    });
    loads(small(), &options(dir.path(), &[&server]));
}

#[test]
fn busy_servers_are_asked_again_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let busy = Server::start(|request, stream| match request.before {
        0 => head(stream, "503 Service Unavailable", 0, ""),
        _ => send(request, stream, &request.file()),
    });
    loads(small(), &options(dir.path(), &[&busy]));
    for status in ["403 Forbidden", "404 Not Found"] {
        let server = Server::start(move |_, stream| head(stream, status, 0, ""));
        assert_eq!(refused(&server), format!("the server answers with status {}", &status[..3]));
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn redirects_are_followed_but_not_in_a_loop() {
    let (dir, good) = (tempfile::tempdir().unwrap(), honest());
    let target = good.url.clone();
    let hop = Server::start(move |request, stream| {
        head(stream, "302 Found", 0, &format!("Location: {target}{}\r\n", request.path))
    });
    loads(small(), &options(dir.path(), &[&hop]));
    let spin =
        Server::start(|request, stream| head(stream, "302 Found", 0, &format!("Location: {}\r\n", request.path)));
    assert_eq!(refused(&spin), "the server redirects too often");
    assert!(spin.requests().len() < 10);
}

#[test]
fn silent_and_slow_servers_are_left() {
    let silent = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(20));
        Ok(())
    });
    let hurry = |options: &mut CacheOptions| options.patience = Duration::from_millis(700);
    assert!(refused_with(&silent, hurry).starts_with("no answer in time"));
    let slow = Server::start(|request, stream| {
        head(stream, "200 OK", request.file().len(), "")?;
        for byte in request.file() {
            stream.write_all(&[byte])?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    assert!(refused_with(&slow, hurry).contains("bytes a second"));
}

#[test]
fn other_content_under_the_right_name_is_refused() {
    // The size and the kind are right, as MNIST's are under Fashion-MNIST's name.
    let server = Server::start(|request, stream| {
        let name = request.path.rsplit('/').next().unwrap().strip_suffix(".gz").unwrap();
        let mut bytes = raw(name);
        *bytes.last_mut().unwrap() ^= 1;
        send(request, stream, &bytes)
    });
    let reason = refused(&server);
    assert!(reason.contains(NAMES[0]) && reason.contains("other content"), "{reason}");
    let page = Server::start(|request, stream| send(request, stream, b"<html>Welcome to the hotel's network</html>"));
    assert!(refused(&page).contains("ends after 43 of"));
}

#[test]
fn lies_about_lengths_are_refused() {
    let huge = Server::start(|request, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n")?;
        stream.write_all(&request.file())
    });
    assert!(refused(&huge).contains("longer than"));
    let short = Server::start(|request, stream| {
        head(stream, "200 OK", 100, "")?;
        stream.write_all(&request.file())
    });
    assert!(!refused(&short).is_empty());
    let endless = Server::start(|_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        while stream.write_all(&[7; 4096]).is_ok() {}
        Ok(())
    });
    assert!(refused(&endless).contains("longer than"));
    let bomb = Server::start(|request, stream| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 64 << 20])?;
        send(request, stream, &encoder.finish()?)
    });
    assert!(refused(&bomb).contains("is longer than its"));
}

#[test]
fn an_archive_is_verified_and_its_content_recorded() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in NAMES {
        zip.start_file(format!("gzip/{name}.gz"), zip::write::SimpleFileOptions::default()).unwrap();
        // Labels count from 1.
        let mut bytes = raw(name);
        if name.contains("labels") {
            bytes[8..].iter_mut().for_each(|label| *label += 1);
        }
        zip.write_all(&bytes).unwrap();
    }
    let archive: &'static [u8] = zip.finish().unwrap().into_inner().leak();
    let packaging = Packaging::Zip {
        urls: &[],
        file: "g.zip",
        bytes: archive.len() as u64,
        sha256: sha256(archive),
        directory: "gzip/",
    };
    let mut entry = entry(packaging, false);
    (entry.transposed, entry.first_label) = (true, 1);
    let entry = leak(entry);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request, stream| send(request, stream, archive));
    let options = options(dir.path(), &[&server]);
    let loaded = load(entry, &options).0.unwrap();
    assert_eq!(server.requests(), [("/small/g.zip".into(), None)]);
    let (image, original) = (loaded.train.image(3), &raw(NAMES[0])[16 + 3 * 784..]);
    assert!((0..784).all(|i| image[i] == original[i % 28 * 28 + i / 28]));
    assert!(loaded.test.labels.iter().zip(&raw(NAMES[3])[8..]).all(|(&class, &label)| class == u16::from(label)));
    // Nothing publishes the content's checksums: those of the first time hold from then on.
    let path = dir.path().join("small").join(NAMES[1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(path, bytes).unwrap();
    let offline = CacheOptions { offline: true, ..options };
    let Err(DataError::Unavailable { attempts, .. }) = load(entry, &offline).0 else {
        panic!("the change is not seen")
    };
    assert!(attempts[0].reason.contains(NAMES[1]), "{attempts:?}");

    let other = Server::start(|request, stream| {
        let mut bytes = archive.to_vec();
        bytes[1000] ^= 1;
        send(request, stream, &bytes)
    });
    let (fresh, mirrors) = (tempfile::tempdir().unwrap(), vec![other.url]);
    let options = CacheOptions { dir: Some(fresh.path().into()), mirrors, offline: false, ..offline };
    let Err(DataError::Unavailable { attempts, .. }) = load(entry, &options).0 else { panic!("a wrong archive") };
    assert!(attempts[1].reason.starts_with("the archive has SHA-256"), "{attempts:?}");
    assert_eq!(names(fresh.path()), [".lock"]);
}

#[test]
fn threads_share_one_download() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Arc::new(honest()));
    let entry = small();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| loads(entry, &options(dir.path(), &[&server])));
        }
    });
    assert_eq!(server.requests().len(), 4);
}

/// Not a test by itself: another process of the tests below, told by the environment what to load.
#[test]
#[ignore = "needs the environment that other tests give it"]
fn child() {
    // Someone who runs all ignored tests also starts this one.
    let (Ok(dir), Ok(mirror)) = (std::env::var("LENET_TEST_DIR"), std::env::var("LENET_TEST_MIRROR")) else { return };
    let mut options = options(Path::new(&dir), &[]);
    options.mirrors = vec![mirror];
    loads(small(), &options);
}

fn start_child(dir: &Path, server: &Server) -> std::process::Child {
    child_command(dir, server).spawn().unwrap()
}

fn child_command(dir: &Path, server: &Server) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "data::tests::child", "--ignored"]).stdout(Stdio::null());
    command.env("LENET_TEST_DIR", dir).env("LENET_TEST_MIRROR", &server.url);
    command
}

/// As a proxy does: agrees to a tunnel, and is itself what lies at its other end.
fn tunnel(request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
    assert_eq!(request.path, "mirror.invalid:80");
    write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let inner: Vec<_> = lines.take_while(|l| !l.is_empty()).collect();
    let path = inner[0].split(' ').nth(1).unwrap_or_default().to_string();
    let request = Request { path, start: None, before: 0 };
    send(&request, stream, &request.file())
}

#[test]
fn proxies_of_the_environment_are_used() {
    let (dir, proxy) = (tempfile::tempdir().unwrap(), Server::start(tunnel));
    let mirror = Server { url: "http://mirror.invalid".into(), seen: Default::default() };
    let mut command = child_command(dir.path(), &mirror);
    for name in ["no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(name);
    }
    assert!(command.env("http_proxy", &proxy.url).status().unwrap().success());
    assert_eq!(proxy.requests().len(), 4);
}

#[test]
fn processes_share_one_download_and_say_that_they_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    // The first answer waits until this process waits for the lock.
    let server = Server::start(move |request, stream| {
        if request.before == 0 {
            let _ = wait.lock().unwrap().recv();
        }
        send(request, stream, &request.file())
    });
    let mut child = start_child(dir.path(), &server);
    while server.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut waited = None;
    let loaded = source::load(small(), &options(dir.path(), &[&server]), &mut |event| {
        if let DataEvent::Waiting { path } = event {
            waited = Some(path);
            let _ = go.send(());
        }
    });
    assert_is_fixture(&loaded.unwrap());
    assert_eq!(waited, Some(PathBuf::from(dir.path()).join("small/.lock")));
    assert!(child.wait().unwrap().success());
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn what_a_killed_process_leaves_is_resumed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let half = gz(NAMES[2]).len() / 2;
    let server = Server::start(move |request, stream| {
        let file = request.file();
        if request.path.contains(NAMES[2]) && request.start.is_none() {
            send_until(request, stream, &file, half)?;
            std::thread::sleep(Duration::from_secs(60));
        }
        send(request, stream, &file)
    });
    let mut child = start_child(dir.path(), &server);
    let arrived = || {
        let files = fs::read_dir(dir.path().join("small")).into_iter().flatten().flatten();
        let part = |f: &fs::DirEntry| f.file_name().to_string_lossy().starts_with(&format!(".{}", NAMES[2]));
        files.filter(part).any(|f| f.metadata().is_ok_and(|m| m.len() == half as u64))
    };
    while !arrived() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(dir.path().join("small/.left.123.tmp"), "half-written").unwrap();
    loads(small(), &options(dir.path(), &[&server]));
    assert!(server.requests().contains(&(format!("/small/{}.gz", NAMES[2]), Some(half))));
    assert_eq!(names(dir.path()), [".lock", "SHA256SUMS", NAMES[2], NAMES[3], NAMES[0], NAMES[1]]);
}
