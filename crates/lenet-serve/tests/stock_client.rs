//! Clients that others wrote, in Python: `cargo xtask test-serve` installs and names them.

use crate::kit::*;
use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs LENET_PYTHON, a Python with tritonclient[http]: cargo xtask test-serve"]
fn stock_client_gets_the_bits_of_the_engine() {
    let python = std::env::var_os("LENET_PYTHON").expect("LENET_PYTHON names a Python with tritonclient[http]");
    let model = model(11, true);
    let (dir, server) = served(&model, options());
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

/// Schemathesis makes requests from the document, good ones and bad ones, and compares the answers with it.
#[test]
#[ignore = "needs LENET_PYTHON, a Python beside which there is schemathesis: cargo xtask test-serve"]
fn stock_client_finds_the_document_true() {
    let python = std::env::var_os("LENET_PYTHON").expect("LENET_PYTHON names a Python");
    let dir = tempfile::tempdir().unwrap();
    model(11, true).save(dir.path()).unwrap();
    let runs = dir.path().join("runs");
    run(&runs, "one");
    std::fs::write(runs.join("one/report.html"), "<p>report").unwrap();
    let server = start(&[dir.path()], lenet_serve::Options { runs: Some(runs), ..options() });
    let names = "[parameters]\n\"path.name\" = \"m0\"\n\"path.run\" = \"one\"\n\"path.version\" = \"1\"\n";
    std::fs::write(dir.path().join("names.toml"), names).unwrap();
    let status = Command::new(Path::new(&python).with_file_name("schemathesis"))
        .current_dir(dir.path())
        .args(["--config-file", "names.toml", "run", &format!("http://{}/openapi.json", server.address())])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "50", "--generation-deterministic", "--no-color"])
        // A stream does not end; and which shapes are good hangs on the model, which a document cannot say.
        .args(["--exclude-path-regex", "/events$", "--exclude-checks", "positive_data_acceptance"])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    // Nothing of it has harmed the server.
    assert_eq!(Client::new(server.address()).get("/v2/health/ready").status, 200);
}
