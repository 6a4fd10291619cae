//! The standard library's sources, for builds that compile it along: for another target, or instrumented.

use crate::{built, run};
use std::path::PathBuf;
use std::process::Command;

/// Where the sources come from.
pub enum Sources {
    /// They are there: `rustup component add rust-src`.
    Component,
    /// With the compiler that belongs to them, from the distribution's packages, unpacked into a folder.
    Debian(PathBuf),
}

impl Sources {
    /// Those that are there, else Debian's: nobody's toolchain is changed unasked.
    pub fn find() -> Result<Sources, String> {
        let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?);
        if sysroot.join("lib/rustlib/src/rust/library/std").is_dir() {
            return Ok(Sources::Component);
        }
        debian().map(Sources::Debian)
    }

    /// Has a build compile these crates of the standard library along, which Cargo of the stable channel does for those
    /// who ask it to.
    pub fn build_std(&self, command: &mut Command, crates: &str) -> Result<(), String> {
        command.arg("-Z").arg(format!("build-std={crates}")).env("RUSTC_BOOTSTRAP", "1");
        if let Sources::Debian(folder) = self {
            command.env("RUSTC", folder.join("usr/bin/rustc"));
            command.env("LD_LIBRARY_PATH", folder.join("usr/lib").join(multiarch()?));
        }
        Ok(())
    }
}

/// Where the compiler's libraries for this machine are.
pub fn target_libdir() -> Result<PathBuf, String> {
    output(Command::new("rustc").args(["--print", "target-libdir"])).map(PathBuf::from)
}

/// Debian's compiler for its browsers, which is newer than its usual one, beside the sources of its standard library.
/// Nothing is installed: the packages are unpacked under `target/`.
fn debian() -> Result<PathBuf, String> {
    let folder = built().join("rust-sources");
    let done = folder.join("complete");
    if done.exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let mut packages = vec!["rustc-web".to_string(), "rust-web-src".to_string(), "libstd-rust-web-dev".to_string()];
    // The compiler's libraries carry their version in their names.
    for prefix in ["libstd-rust-web-", "libllvm"] {
        let depends = output(Command::new("apt-cache").arg("depends").args(&packages[2..]))?;
        let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let name = names.into_iter().find(|name| name.starts_with(prefix) && !packages.iter().any(|p| p == name));
        packages.push(name.ok_or_else(|| format!("no package {prefix}… (is this Debian?); {HINT}"))?.to_string());
    }
    run(Command::new("apt-get").arg("download").args(&packages).current_dir(&folder))
        .map_err(|e| format!("{e}; {HINT}"))?;
    for entry in std::fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(entry.path()).arg(&folder))?;
            std::fs::remove_file(entry.path()).map_err(|e| e.to_string())?;
        }
    }
    std::fs::write(done, "").map_err(|e| e.to_string())?;
    Ok(folder)
}

const HINT: &str = "this needs the standard library's sources: `rustup component add rust-src`";

/// The folder of this machine's libraries: `x86_64-linux-gnu`.
fn multiarch() -> Result<String, String> {
    output(Command::new("dpkg-architecture").args(["-q", "DEB_HOST_MULTIARCH"]))
        .or_else(|_| Ok(format!("{}-linux-gnu", std::env::consts::ARCH)))
}

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("{program} did not start: {e}")),
    }
}
