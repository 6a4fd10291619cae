//! Training over ranks, and between network namespaces that stand for machines.

use crate::{RELEASE, built, cargo, root, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tests need besides Rust: a program, and Debian's package of it.
const PROGRAMS: [[&str; 2]; 5] = [
    ["mpirun", "openmpi-bin"],
    ["mpicc", "libopenmpi-dev"],
    ["ip", "iproute2"],
    ["unshare", "util-linux"],
    ["python3", "python3"],
];

/// Lints, the tests over 1 to 4 ranks, and the machines' test. What is missing fails it before anything is built. Ranks that
/// are threads, and builds without MPI that are started by it, are tested by `check`.
pub fn test() -> Result<(), String> {
    let missing = PROGRAMS.into_iter().filter(|[program, _]| !on_path(program)).map(|[_, package]| package);
    let missing: Vec<_> = missing.chain((!has_libclang()).then_some("libclang-dev")).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        return Err(format!("test-mpi needs more: apt-get install {missing} (or what your system has instead)"));
    }
    let user = Command::new("id").arg("-u").output().map_err(|e| format!("`id` did not start: {e}"))?;
    if user.stdout.trim_ascii() != b"0" {
        return Err("test-mpi makes network namespaces: run it as root".into());
    }
    // All that `check` has, so that most of it is done.
    run(cargo("clippy --workspace --exclude lenet-gpu --all-targets --features lenet-cli/mpi -- --deny warnings"))?;
    // This leaves the binary as well.
    run(cargo(&format!("test {RELEASE} --features lenet-cli/mpi --test mpi")))?;
    let lenet = built().join("release/lenet");
    let data = root().join("crates/lenet/tests/fixtures/fashion-mnist-small");
    run(Command::new(root().join("tests/mpi/two_machines.sh")).arg(&lenet).arg(&data))?;
    // One round of the measurements, so that they keep working.
    let mut measure = Command::new("python3");
    measure.arg(root().join("bench/mpi.py")).arg(&lenet).arg(format!("idx:{}", data.display()));
    run(measure.args([
        "--rounds",
        "1",
        "--epochs",
        "2",
        "--train-limit",
        "512",
        "--rates",
        "200",
        "--recipes",
        "lenet",
        "--ranks",
        "2",
    ]))
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Whether there is a libclang where the bindings' generator looks for it.
fn has_libclang() -> bool {
    let entries =
        |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let mut dirs: Vec<PathBuf> = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from).into_iter().collect();
    for dir in ["/usr/lib", "/usr/local/lib", "/usr/lib64"] {
        let nested = entries(Path::new(dir)).into_iter().flat_map(|d| [d.join("lib"), d]);
        dirs.extend(nested.chain([PathBuf::from(dir)]));
    }
    let is_libclang = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name.starts_with("libclang.so") || name.starts_with("libclang-")) && name.contains(".so")
    };
    dirs.iter().any(|dir| entries(dir).iter().any(is_libclang))
}
