//! The developer's chores, one verb each. What a person calls here is what CI calls.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
The developer's chores: cargo xtask VERB

  check         format, spelling, lints, tests, documentation; cheapest first, stops at the first failure
  data          fetches Fashion-MNIST into the cache
  test-full     the slow tests that `check` leaves out, optimised; fetches Fashion-MNIST first
  test-serve    stock Python clients against the server: of the inference protocol, and of its OpenAPI document
  test-tensorboard
                TensorBoard's own reader on a run's event files
  test-browser  what people look at, in a headless Chromium; needs that, Node and npm
  test-python   the Python package, as a wheel in a virtual environment of its own, against the command line
  test-mpi      training and sweeps over ranks, and over two network namespaces (as root); needs an MPI library, libclang
                and ip (Debian: openmpi-bin libopenmpi-dev libclang-dev iproute2)
  test-export   models to ONNX Runtime and PyTorch and back, every preset and random networks; installs both into a
                virtual environment under target/, unless LENET_PYTHON names a Python that has them";

fn main() -> ExitCode {
    let verbs: Vec<String> = std::env::args().skip(1).collect();
    let done = match verbs.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => check(),
        ["data"] => data(),
        ["test-full"] => data().and_then(|()| test_full()),
        ["test-serve"] => test_serve(),
        ["test-tensorboard"] => test_tensorboard(),
        ["test-browser"] => test_browser(),
        ["test-python"] => test_python(),
        ["test-mpi"] => test_mpi(),
        ["test-export"] => data().and_then(|()| test_export()),
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
    run(Command::new(typos()?).current_dir(root()))?;
    run(cargo("clippy --workspace --exclude lenet-mpi --all-targets -- --deny warnings"))?;
    run(cargo("test --workspace --exclude lenet-mpi"))?;
    run(cargo("doc --workspace --exclude lenet-mpi --no-deps --document-private-items")
        .env("RUSTDOCFLAGS", "--deny warnings"))
}

fn data() -> Result<(), String> {
    run(cargo("run --release --package lenet-cli -- data fetch fashion-mnist"))
}

fn test_full() -> Result<(), String> {
    // `child` is the second process of other tests: alone it has nothing to do.
    run(cargo(
        "test --workspace --exclude lenet-mpi --release --lib --bins --tests -- --ignored --skip data::tests::child --skip stock_client --skip tensorboard",
    ))
}

fn test_serve() -> Result<(), String> {
    let python = environment("serve", "bench/requirements-serve.txt")?;
    let test = "test --release --package lenet-serve --test stock_client -- --ignored --nocapture";
    run(cargo(test).env("LENET_PYTHON", python))
}

fn test_tensorboard() -> Result<(), String> {
    let python = environment("tensorboard", "bench/requirements-tensorboard.txt")?;
    let test = "test --release --package lenet-cli --test tensorboard -- --ignored --nocapture";
    run(cargo(test).env("LENET_PYTHON", python))
}

/// Runs `tests/browser/*.test.js` against the optimised binary. `SCREENSHOTS=DIR` leaves pictures to look at.
fn test_browser() -> Result<(), String> {
    let tests = root().join("tests/browser");
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    run(cargo("build --release --package lenet-cli"))?;
    let quiet = ["install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"];
    run(Command::new(npm).args(quiet).current_dir(&tests))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let files = std::fs::read_dir(&tests).map_err(|e| format!("cannot list {}: {e}", tests.display()))?;
    let mut files: Vec<PathBuf> = files.flatten().map(|f| f.path()).collect();
    files.retain(|f| f.to_string_lossy().ends_with(".test.js"));
    files.sort();
    // One file after the other: each starts trainings of its own.
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1"]).args(files).env("LENET", target.join("release/lenet"));
    run(node)
}

fn test_python() -> Result<(), String> {
    run(cargo("build --release --package lenet-cli"))?;
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
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let mut tests = Command::new(&python);
    tests.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).arg(package.join("tests"));
    run(tests.current_dir(root()).env("LENET", target.join("release/lenet")))
}

fn test_mpi() -> Result<(), String> {
    for (program, package) in [("mpirun", "openmpi-bin"), ("mpicc", "libopenmpi-dev"), ("ip", "iproute2")] {
        let found = Command::new(program).arg("-V").output().is_ok();
        found.then_some(()).ok_or_else(|| format!("there is no {program}: install it (Debian: {package})"))?;
    }
    run(cargo(
        "clippy --release --package lenet-mpi --package lenet-cli --features lenet-cli/mpi --all-targets -- --deny warnings",
    ))?;
    run(cargo("test --release --package lenet-cli --features mpi --test mpi"))?;
    run(cargo("build --release --package lenet-cli --features mpi"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let mut script = Command::new(root().join("tests/mpi/two_machines.sh"));
    let data = root().join("crates/lenet/tests/fixtures/fashion-mnist-small");
    run(script.arg(target.join("release/lenet")).arg(format!("idx:{}", data.display())))
}

fn test_export() -> Result<(), String> {
    run(cargo("build --release --package lenet-cli"))?;
    run(cargo("build --release --package lenet --example logits"))?;
    let python = match std::env::var_os("LENET_PYTHON") {
        Some(python) => python.into(),
        None => environment("export", "bench/requirements-export.txt")?,
    };
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from).join("release");
    let mut compare = Command::new(python);
    compare.arg("bench/export_parity.py").current_dir(root());
    run(compare.arg("--lenet").arg(built.join("lenet")).arg("--logits").arg(built.join("examples/logits")))
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

/// The spelling checker: the one on the path, else one installed into a virtual environment under `target/`.
fn typos() -> Result<PathBuf, String> {
    if Command::new("typos").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return Ok("typos".into());
    }
    let environment = root().join("target/venv-typos");
    let program = environment.join(if cfg!(windows) { "Scripts/typos.exe" } else { "bin/typos" });
    if !program.exists() {
        eprintln!("xtask: `typos` is not on the path; installing it with pip into {}", environment.display());
        let python = if cfg!(windows) { "python" } else { "python3" };
        run(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
        let pip = environment.join(if cfg!(windows) { "Scripts/pip.exe" } else { "bin/pip" });
        run(Command::new(pip).args(["install", "--quiet", "typos"])).map_err(|e| {
            format!("{e}\nxtask: the spelling check needs typos: `cargo install typos-cli`, then again")
        })?;
    }
    Ok(program)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments.split(' ')).current_dir(root());
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
