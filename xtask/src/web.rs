//! WebAssembly: the page that uses it.

use crate::sources::{Sources, target_libdir};
use crate::{built, cargo, root, run};
use std::path::{Path, PathBuf};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds `examples/web` and lays the page with its data into `target/web`.
pub fn build() -> Result<(), String> {
    let page = root().join("examples/web");
    let build = built().join("web-build");
    let arguments = format!("build --release --target {TARGET} --manifest-path examples/web/Cargo.toml");
    let mut command = cargo(&arguments);
    command.arg("--target-dir").arg(&build).env("RUSTFLAGS", "-C target-feature=+simd128");
    // The library of this machine's target lies in `rustlib/TARGET/lib`.
    let installed = target_libdir()?.parent().is_some_and(|own| own.with_file_name(TARGET).is_dir());
    if !installed {
        let sources = Sources::find().map_err(|e| format!("{e}; or `rustup target add {TARGET}`"))?;
        sources.build_std(&mut command, "std,panic_abort")?;
        if let Sources::Debian(_) = sources {
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

/// The linker that rustup's toolchain brings along, else the one on the path.
fn linker() -> Result<PathBuf, String> {
    let own = target_libdir()?.with_file_name("bin").join("rust-lld");
    Ok(if own.exists() { own } else { "rust-lld".into() })
}
