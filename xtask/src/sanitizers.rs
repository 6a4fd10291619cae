//! What looks for faults that tests alone do not see: fuzzing, AddressSanitizer, ThreadSanitizer, loom, Miri.

use crate::sources::{Sources, target_libdir};
use crate::{built, cargo, root, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Reads and writes beside what was allocated, or after it was freed, end the program.
const ADDRESS: &str = "-Zsanitizer=address";

/// What libFuzzer follows.
const MARKS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The library but for downloads, and dependencies that need no long building.
const LIBRARY: &str = "--package lenet --no-default-features --features avx512,images,onnx,report,threads \
    --config profile.dev.package.\"*\".opt-level=1";

/// The tests of what has unsafe code, or reads what anybody wrote.
const SOUND: [&str; 9] = [
    "kernel::",
    "engine::",
    "json::",
    "model::",
    "data::augment",
    "data::idx",
    "data::picture",
    "train::checkpoint",
    "every_reader_stands_its_corpus",
];

/// Hands hostile bytes to one reader, or to all one after the other, for so many seconds each. What is found on the way
/// stays under `target/fuzz`; `fuzz/corpus` keeps what is worth a test.
pub fn fuzz(target: Option<&str>, seconds: &str) -> Result<(), String> {
    let fuzzers = Fuzzers::build()?;
    for name in target.map_or_else(targets, |name| Ok(vec![name.into()]))? {
        let found = built().join("fuzz/corpus").join(&name);
        std::fs::create_dir_all(&found).map_err(|e| format!("cannot create {}: {e}", found.display()))?;
        let arguments = [format!("-max_total_time={seconds}"), "-print_final_stats=1".into()];
        fuzzers.run(&name, &arguments, &[found])?;
    }
    Ok(())
}

/// Tests of kernels, engine and readers, and all fuzz targets over their corpora.
pub fn test_asan() -> Result<(), String> {
    let host = host()?;
    let mut test = cargo(&format!("test {LIBRARY} --lib --test corpora --target {host} --target-dir"));
    unstable(&mut test).arg(built().join("asan")).env("RUSTFLAGS", ADDRESS).arg("--").args(SOUND);
    // What asks for more memory than there is gets an error, as without the sanitizer.
    run(test.env("ASAN_OPTIONS", "allocator_may_return_null=1"))?;
    let fuzzers = Fuzzers::build()?;
    targets()?.iter().try_for_each(|name| fuzzers.run(name, &["-runs=0".into()], &[]))
}

/// The engine's threads. What they synchronise with is the standard library's: it is compiled along, as the sanitizer
/// would otherwise see races that are none.
pub fn test_tsan() -> Result<(), String> {
    let host = host()?;
    let mut test = cargo(&format!("test --lib --manifest-path tests/threads/Cargo.toml --target {host} --target-dir"));
    test.arg(built().join("tsan"));
    let sources = Sources::find()?;
    sources.build_std(&mut test, "std,panic_unwind,test")?;
    let mut flags = "-Zsanitizer=thread".to_string();
    if let Sources::Debian(_) = sources {
        // Debian's compiler comes without the sanitizer's runtime and the linker for it: they are the usual compiler's.
        let libraries = target_libdir()?;
        let linker = libraries.with_file_name("bin/gcc-ld");
        let runtime = libraries.join("librustc-stable_rt.tsan.a");
        flags += &format!(
            " -Zexternal-clangrt -Clink-arg=-fuse-ld=lld -Clink-arg=-B{} -Clink-arg=-Wl,--whole-archive \
             -Clink-arg={} -Clink-arg=-Wl,--no-whole-archive -Clink-arg=-lm",
            linker.display(),
            runtime.display()
        );
    }
    run(test.env("RUSTFLAGS", flags))
}

/// The engine's threads, in every order in which they can take turns.
pub fn test_loom() -> Result<(), String> {
    let mut test = cargo("test --lib --manifest-path tests/threads/Cargo.toml --target-dir");
    run(test.arg(built().join("loom")).env("RUSTFLAGS", "--cfg loom"))
}

/// Undefined behaviour in buffers and in the portable kernels, the only ones that Miri's CPU has. It has no registers that
/// control denormals.
pub fn test_miri() -> Result<(), String> {
    if !cargo("miri --version").output().is_ok_and(|output| output.status.success()) {
        return Err("test-miri needs Miri: `rustup toolchain install nightly --component miri,rust-src`, then \
            `cargo +nightly xtask test-miri`"
            .into());
    }
    let mut test = cargo("miri test --package lenet --no-default-features --lib --target-dir");
    run(test.arg(built().join("miri")).args(["--", "kernel::", "--skip", "denormal"]))
}

/// The fuzz targets, built.
struct Fuzzers {
    folder: PathBuf,
}

impl Fuzzers {
    fn build() -> Result<Fuzzers, String> {
        let (host, target) = (host()?, built().join("fuzz"));
        // With a target named, build scripts and macros stay as they are.
        let mut build = cargo(&format!("build --release --bins --manifest-path fuzz/Cargo.toml --target {host}"));
        unstable(&mut build).arg("--target-dir").arg(&target).env("RUSTFLAGS", format!("{MARKS} {ADDRESS}"));
        run(build)?;
        Ok(Fuzzers { folder: target.join(host).join("release") })
    }

    /// Runs a target on its corpus, the attacks, and what other folders hold; new inputs go to the first of those.
    fn run(&self, name: &str, arguments: &[String], folders: &[PathBuf]) -> Result<(), String> {
        let mut fuzzer = Command::new(self.folder.join(name));
        // Some readers take files: some thousands a second are written.
        if Path::new("/dev/shm").is_dir() {
            fuzzer.env("TMPDIR", "/dev/shm");
        }
        // A picture's decoder may take 512 MB; all else is far below. The sanitizer keeps what was freed for a while.
        fuzzer.args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=3072", "-malloc_limit_mb=640"]);
        fuzzer
            .arg(format!("-artifact_prefix={}/{name}-", built().join("fuzz").display()))
            .args(arguments)
            .args(folders);
        run(fuzzer.arg(root().join("fuzz/corpus").join(name)).arg(root().join("crates/lenet/tests/attacks")))
    }
}

/// The names of the fuzz targets.
fn targets() -> Result<Vec<String>, String> {
    let corpora = root().join("fuzz/corpus");
    let entries = std::fs::read_dir(&corpora).map_err(|e| format!("cannot list {}: {e}", corpora.display()))?;
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// This machine's target. With it named, flags are the program's alone, not those of build scripts and macros.
fn host() -> Result<String, String> {
    let version = Command::new("rustc").arg("-vV").output().map_err(|e| format!("`rustc` did not start: {e}"))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or("`rustc -vV` names no host".into())
}

/// Sanitizers are unstable flags, which the stable compiler takes when it is asked to.
fn unstable(command: &mut Command) -> &mut Command {
    command.env("RUSTC_BOOTSTRAP", "1")
}
