//! What a program costs that only predicts: packages, bytes, seconds; and whether it predicts the same.

use crate::{build_lenet, built, cargo, root, run};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Most packages beside the library and the program.
const PACKAGES: usize = 10;

/// Most bytes of the stripped program.
const BYTES: u64 = 2_400_000;

/// Builds `examples/minimal` from nothing and compares its predictions with those of `lenet predict`.
pub fn test() -> Result<(), String> {
    let lock = read(&root().join("examples/minimal/Cargo.lock"))?;
    let packages = lock.lines().filter(|l| l.starts_with("name = ")).count() - 2;
    let target = built().join("minimal");
    let _ = std::fs::remove_dir_all(&target);
    let start = Instant::now();
    let mut build = cargo("build --release --locked --manifest-path examples/minimal/Cargo.toml");
    run(build.arg("--target-dir").arg(&target))?;
    let seconds = start.elapsed().as_secs_f64();
    let program = target.join(format!("release/lenet-minimal{}", std::env::consts::EXE_SUFFIX));
    let bytes = std::fs::metadata(&program).map_err(|e| format!("{}: {e}", program.display()))?.len();
    println!("{packages} packages, {bytes} bytes, built in {seconds:.1} s");
    if packages > PACKAGES || bytes > BYTES {
        return Err(format!("at most {PACKAGES} packages and {BYTES} bytes are allowed"));
    }

    let lenet = build_lenet()?;
    let run_dir = target.join("run");
    let fixtures = root().join("crates/lenet/tests/fixtures");
    let data = format!("idx:{}", fixtures.join("fashion-mnist-small").display());
    let mut train = Command::new(&lenet);
    train.args(["train", "lenet-relu-max", "--epochs", "10", "--data", &data, "--out"]).arg(&run_dir);
    run(&mut train)?;
    let mut pictures: Vec<_> = std::fs::read_dir(fixtures.join("pictures"))
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "png"))
        .collect();
    pictures.sort();
    let predictions = |mut command: Command| -> Result<String, String> {
        let output = command.arg(&run_dir).args(&pictures).output().map_err(|e| e.to_string())?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(told) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let mut predict = Command::new(&lenet);
    predict.args(["predict", "--top", "1"]);
    let (theirs, ours) = (predictions(predict)?, predictions(Command::new(&program))?);
    print!("{ours}");
    if ours.lines().count() != pictures.len() || ours != theirs {
        return Err(format!("lenet predicts otherwise:\n{theirs}"));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
