//! A client that others wrote, in Python: `cargo xtask test-serve` installs and names it.

mod common;

use common::*;
use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs LENET_PYTHON, a Python with tritonclient[http]: cargo xtask test-serve"]
fn stock_client_gets_the_bits_of_the_engine() {
    let python = std::env::var_os("LENET_PYTHON").expect("LENET_PYTHON names a Python with tritonclient[http]");
    let (dir, model) = (tempfile::tempdir().unwrap(), model(11, true));
    model.save(dir.path()).unwrap();
    let server = start(&[dir.path()], options());
    let pixels = pixels(100, 5);
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    std::fs::write(dir.path().join("expected.inputs"), bytes(&floats(&model, &pixels))).unwrap();
    std::fs::write(dir.path().join("expected.logits"), bytes(&logits(&model, &pixels))).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/serve_protocol.py");
    let status = Command::new(python)
        .arg(script)
        .arg(server.address().to_string())
        .arg(dir.path().join("expected"))
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
