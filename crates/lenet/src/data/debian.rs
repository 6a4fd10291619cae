//! A dataset from the distribution's package, without root: `apt-get download`, then `dpkg-deb --extract`.
//!
//! Everything happens in a directory of our own. Where the system's package lists are empty or do not know the package,
//! `apt-get update` fills private ones there; the system's sources, keys and proxy settings apply.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest time without a new byte that is waited for.
const PATIENCE: Duration = Duration::from_secs(45);

/// Downloads `package` within `dir`, which must exist, unpacks it there, and returns the root of what it holds.
///
/// # Errors
/// Why there is no such package here, in words.
pub(super) fn unpack(package: &str, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, String> {
    let failed = |e: io::Error| format!("cannot work in {}: {e}", dir.display());
    let dir = &dir.canonicalize().map_err(failed)?;
    for sub in ["lists/partial", "cache/archives/partial", "root"] {
        fs::create_dir_all(dir.join(sub)).map_err(failed)?;
    }
    let download = |options: &[String], progress: &mut dyn FnMut(u64)| {
        run(apt(dir).args(options).args(["download", package]), dir, progress)
    };
    // The lists of the system first: they are there on most machines, and spare an update.
    if let Err(first) = download(&[], progress) {
        if first.missing {
            return Err("there is no apt-get on this system".into());
        }
        let private = private_lists(dir);
        // An update may fail for a source that has nothing to do with us: the download decides.
        let update = run(apt(dir).args(&private).args(UPDATE).arg("update"), dir, &mut |_| {});
        download(&private, progress).map_err(|e| update.err().map_or(e.reason, |u| u.reason))?;
    }
    let files = fs::read_dir(dir).map_err(failed)?.flatten().map(|e| e.path());
    let package = files.into_iter().find(|p| p.extension().is_some_and(|x| x == "deb"));
    let package = package.ok_or("apt-get left no package")?;
    let root = dir.join("root");
    let mut command = Command::new("dpkg-deb");
    command.arg("--extract").arg(&package).arg(&root);
    run(&mut command, dir, &mut |_| {}).map_err(|e| e.reason)?;
    Ok(root)
}

/// Only the lists of packages: no translations, no component metadata.
const UPDATE: [&str; 8] = [
    "-o",
    "Acquire::Languages=none",
    "-o",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "-o",
    "Acquire::IndexTargets::deb::CNF::DefaultEnabled=false",
    "-o",
    "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
];

fn apt(dir: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let quick =
        ["-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10"];
    command.args(quick);
    // Root would hand over to a user who may not write here.
    command.args(["-o", "APT::Sandbox::User=root"]);
    command.arg("-o").arg(option("Dir::Cache", &dir.join("cache")));
    command
}

fn private_lists(dir: &Path) -> Vec<String> {
    vec!["-o".into(), option("Dir::State::Lists", &dir.join("lists"))]
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}/", path.display())
}

struct RunError {
    /// Whether the program is not installed.
    missing: bool,
    reason: String,
}

/// Runs a command in `dir`; gives up when nothing in there has grown for [`PATIENCE`].
fn run(command: &mut Command, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let fail = |reason: String| RunError { missing: false, reason };
    let log = dir.join("log");
    let file = fs::File::create(&log).map_err(|e| fail(format!("cannot write {}: {e}", log.display())))?;
    let command = command.current_dir(dir).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
    let mut child = spawned.map_err(|e| RunError {
        missing: e.kind() == io::ErrorKind::NotFound,
        reason: format!("{program} cannot be started: {e}"),
    })?;
    let status = wait(&mut child, dir, progress).map_err(|e| fail(format!("{program}: {e}")))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let error = text.lines().find_map(|l| l.strip_prefix("E: ")).or(text.lines().last());
    Err(fail(format!("{program} fails: {}", error.unwrap_or("it says nothing; is there space on the disk?"))))
}

fn wait(child: &mut Child, dir: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<ExitStatus> {
    let (mut since, mut size) = (Instant::now(), 0);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let now = tree_size(dir, 4);
        if now != size {
            (since, size) = (Instant::now(), now);
            progress(package_size(dir));
        } else if since.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no progress, stopped"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Bytes of the package so far: apt-get writes it beside the log, and first within its cache.
fn package_size(dir: &Path) -> u64 {
    let size = |dir: &Path| -> u64 {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter(|e| e.file_name().to_string_lossy().contains(".deb"))
            .map(|e| e.metadata().map_or(0, |m| m.len()))
            .sum()
    };
    size(dir).max(size(&dir.join("cache/archives/partial")))
}

fn tree_size(dir: &Path, depth: usize) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|e| e.metadata().ok().map(|m| (e.path(), m)));
    sizes.map(|(path, m)| if m.is_dir() && depth > 0 { tree_size(&path, depth - 1) } else { m.len() }).sum()
}
