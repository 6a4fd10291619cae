//! WebAssembly: a toolchain for it, and the page that uses it.

use crate::{built, cargo, root, run};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds `examples/web` and lays the page with its data into `target/web`.
pub fn build() -> Result<(), String> {
    let page = root().join("examples/web");
    let build = built().join("web-build");
    let arguments = format!("build --release --target {TARGET} --manifest-path examples/web/Cargo.toml");
    let mut command = cargo(&arguments);
    command.arg("--target-dir").arg(&build).env("RUSTFLAGS", "-C target-feature=+simd128");
    match Toolchain::find()? {
        Toolchain::Installed => {}
        Toolchain::Sources => build_std(&mut command),
        Toolchain::Debian(folder) => {
            build_std(&mut command);
            command.env("RUSTC", folder.join("usr/bin/rustc"));
            command.env("LD_LIBRARY_PATH", folder.join("usr/lib").join(multiarch()?));
            command.env(format!("CARGO_TARGET_{}_LINKER", TARGET.to_uppercase().replace('-', "_")), linker()?);
        }
    }
    run(&mut command)?;
    let site = built().join("web");
    let data = root().join("crates/lenet/tests/fixtures/fashion-mnist-small");
    let failed = |e: std::io::Error| format!("cannot write {}: {e}", site.display());
    std::fs::create_dir_all(site.join("data")).map_err(failed)?;
    let module = build.join(TARGET).join("release/lenet_web.wasm");
    std::fs::copy(&module, site.join("lenet_web.wasm")).map_err(failed)?;
    for (from, to) in [(page, site.clone()), (data, site.join("data"))] {
        for entry in std::fs::read_dir(&from).map_err(|e| format!("cannot list {}: {e}", from.display()))?.flatten() {
            let name = entry.file_name();
            let ending = Path::new(&name).extension().map(|e| e.to_string_lossy().into_owned());
            if matches!(ending.as_deref(), Some("html" | "css" | "js" | "gz" | "txt")) {
                std::fs::copy(entry.path(), to.join(name)).map_err(failed)?;
            }
        }
    }
    eprintln!("the page: python3 -m http.server --directory {}", site.display());
    Ok(())
}

/// Where the standard library for WebAssembly comes from.
enum Toolchain {
    /// It is there: `rustup target add wasm32-unknown-unknown`.
    Installed,
    /// Its sources are: `rustup component add rust-src`.
    Sources,
    /// Sources and the compiler that belongs to them, from the distribution's packages, unpacked into a folder.
    Debian(PathBuf),
}

impl Toolchain {
    fn find() -> Result<Toolchain, String> {
        let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?);
        if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
            return Ok(Toolchain::Installed);
        }
        if sysroot.join("lib/rustlib/src/rust/library/std").is_dir() {
            return Ok(Toolchain::Sources);
        }
        // Nobody's toolchain is changed unasked.
        debian().map(Toolchain::Debian)
    }
}

/// The standard library is compiled along, which Cargo of the stable channel does for those who ask it to.
fn build_std(command: &mut Command) {
    command.args(["-Z", "build-std=std,panic_abort"]).env("RUSTC_BOOTSTRAP", "1");
}

/// Debian's compiler for its browsers, which is newer than its usual one, beside the sources of its standard library.
/// Nothing is installed: the packages are unpacked under `target/`.
fn debian() -> Result<PathBuf, String> {
    let folder = built().join("wasm-toolchain");
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
        packages.push(name.ok_or_else(|| format!("no package {prefix}… (is this Debian?)\n{HINT}"))?.to_string());
    }
    run(Command::new("apt-get").arg("download").args(&packages).current_dir(&folder))
        .map_err(|e| format!("{e}\n{HINT}"))?;
    for entry in std::fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(entry.path()).arg(&folder))?;
            std::fs::remove_file(entry.path()).map_err(|e| e.to_string())?;
        }
    }
    std::fs::write(done, "").map_err(|e| e.to_string())?;
    Ok(folder)
}

const HINT: &str =
    "xtask: WebAssembly needs `rustup target add wasm32-unknown-unknown`, or `rustup component add rust-src`";

/// The folder of this machine's libraries: `x86_64-linux-gnu`.
fn multiarch() -> Result<String, String> {
    output(Command::new("dpkg-architecture").args(["-q", "DEB_HOST_MULTIARCH"]))
        .or_else(|_| Ok(format!("{}-linux-gnu", std::env::consts::ARCH)))
}

/// The linker that rustup's toolchain brings along, else the one on the path.
fn linker() -> Result<PathBuf, String> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let own = Path::new(&libraries).with_file_name("bin").join("rust-lld");
    Ok(if own.exists() { own } else { "rust-lld".into() })
}

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("{program} did not start: {e}")),
    }
}
