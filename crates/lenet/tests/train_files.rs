//! Models that are refused, and saves that fail: one clear line, and nothing half-written.

use crate::kit::train::*;
use crate::kit::{data, files};
use lenet::model::Model;
use lenet::train::{Control, Run, RunError};
use std::fs;
use std::path::Path;

const CONFIG: &str = "config.json";
const TENSORS: &str = "model.safetensors";

/// The model of a training that has just begun.
fn model() -> Model {
    let (recipe, data) = (recipe(&[]), data());
    trainer(&recipe, &data, engine(&recipe, &data, 1), None).unwrap().model()
}

fn refusal(dir: &Path) -> String {
    let error = Model::load(dir).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn what_is_saved_is_loaded_and_the_bytes_depend_on_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("run/model"));
    model().save(&a).unwrap();
    model().save(&b).unwrap();
    assert_eq!(Model::load(&a).unwrap(), model());
    assert_eq!(Model::load(&dir.path().join("run")).unwrap(), model());
    assert_eq!(files(&a), ["README.md", CONFIG, TENSORS]);
    for name in files(&a) {
        assert_eq!(fs::read(a.join(&name)).unwrap(), fs::read(b.join(&name)).unwrap());
    }
}

/// With the format's own library, as others read it.
#[test]
fn tensors_have_the_names_and_shapes_of_pytorch() {
    let dir = tempfile::tempdir().unwrap();
    model().save(dir.path()).unwrap();
    let bytes = fs::read(dir.path().join(TENSORS)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<_> = file.tensors().into_iter().map(|(name, t)| (name, t.shape().to_vec())).collect();
    shapes.sort();
    let expected =
        [("0.bias", vec![3]), ("0.weight", vec![3, 1, 5, 5]), ("4.bias", vec![10]), ("4.weight", vec![10, 108])];
    assert_eq!(shapes, expected.map(|(name, shape)| (name.to_string(), shape)));
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn a_config_that_does_not_fit_is_refused() {
    let cases = [
        ("\"format_version\": 1", "\"format_version\": 2", "config.json has format_version 2"),
        ("\"channels\": 3", "\"channels\": 4", "model.safetensors tensor '0.weight' has shape [3, 1, 5, 5]"),
        ("\"channels\": 3", "\"channels\": 1000000000", "layer 0 (conv2d) is too large"),
        ("\"channels\": 3", "\"channels\": -3", "config.json cannot be understood"),
        ("\"classes\": [", "\"classes\": [ \"more\",", "has 11 class names for 10 outputs"),
        ("\"std\": [", "\"std\": [ 0.0,", "normalization needs 1 values"),
        ("\"mean\": [", "\"mean\": [ 1e39 ], \"std\": [ 1.0 ], \"x\": [", "config.json cannot be understood"),
        ("\"seed\"", "\"sead\"", "config.json cannot be understood: training: unknown key \"sead\""),
        ("{", "", "config.json cannot be understood"),
        ("\"model_sha256\": \"", "\"model_sha256\": \"0", "model_sha256: must be 64 hexadecimal digits"),
    ];
    for (from, to, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        model().save(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(CONFIG)).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        fs::write(dir.path().join(CONFIG), text.replacen(from, to, 1)).unwrap();
        let error = refusal(dir.path());
        assert!(error.contains(expected), "{from} → {to}: {error}");
    }
}

#[test]
fn damaged_parameters_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    model().save(dir.path()).unwrap();
    let path = dir.path().join(TENSORS);
    let good = fs::read(&path).unwrap();
    for length in (0..good.len()).step_by(61).chain([good.len() - 1]) {
        fs::write(&path, &good[..length]).unwrap();
        assert!(refusal(dir.path()).contains("model.safetensors "));
    }
    for bit in (0..8 * good.len()).step_by(397) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        assert!(refusal(dir.path()).contains("model.safetensors "), "bit {bit}");
    }
    fs::remove_file(&path).unwrap();
    assert!(refusal(dir.path()).contains(TENSORS));
}

/// Who fine-tunes elsewhere takes the checksum out; what is no number is refused even so.
#[test]
fn parameters_that_were_changed_on_purpose_are_read_without_the_checksum() {
    let dir = tempfile::tempdir().unwrap();
    model().save(dir.path()).unwrap();
    let path = dir.path().join(TENSORS);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&0.25f32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(refusal(dir.path()).contains("remove model_sha256"));
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join(CONFIG)).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("model_sha256").unwrap();
    fs::write(dir.path().join(CONFIG), config.to_string()).unwrap();
    // The tensor whose name sorts last is at the end of the file, and of this slab's weights of the dense layer.
    let weight = model().network.layers()[4].weight.clone().unwrap().range;
    assert_eq!(Model::load(dir.path()).unwrap().parameters[weight.end - 1], 0.25);
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(refusal(dir.path()).contains("'4.weight' holds a value that is not finite, at position 1079"));
}

#[test]
fn where_there_is_no_model_the_error_says_what_to_give() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(&dir.path().join("none")).contains("is no model"));
    assert!(refusal(dir.path()).contains("give the folder"));
}

/// A device that every write to fails as on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_with_one_line_and_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    for name in [TENSORS, CONFIG] {
        // A writer that follows a link in the temporary file's place meets a full disk; it must not take it for success.
        let model_dir = dir.path().join(name);
        fs::create_dir(&model_dir).unwrap();
        std::os::unix::fs::symlink("/dev/full", model_dir.join(format!(".{name}.tmp"))).unwrap();
        let error = model().save(&model_dir).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("No space left"), "{error}");
        assert!(
            files(&model_dir).iter().all(|f| f != CONFIG && f != &format!(".{name}.tmp")),
            "{:?}",
            files(&model_dir)
        );
    }
}

#[cfg(unix)]
#[test]
fn a_directory_without_rights_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // Whoever may write everywhere may not in /proc.
    let may_all = fs::write(closed.join("probe"), "").is_ok();
    let closed = if may_all && cfg!(target_os = "linux") { std::path::PathBuf::from("/proc/self") } else { closed };
    let error = Run::create(closed.join("run"), &recipe(&[]), &serde_json::json!({})).unwrap_err();
    assert!(matches!(&error, RunError::Io { path, .. } if path.starts_with(&closed)), "{error}");
}

/// The checkpoint before stays what it was when the next one cannot be written.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_keeps_the_checkpoint_before() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    train(&recipe, &data, &whole, None).unwrap();
    train(&recipe, &data, &run, Some(2)).unwrap();
    let last = run.join("checkpoint/last.safetensors");
    let before = fs::read(&last).unwrap();
    let again = Some(open(&recipe, &run).unwrap());
    let mut full = trainer(&recipe, &data, engine(&recipe, &data, 1), again).unwrap();
    std::os::unix::fs::symlink("/dev/full", run.join("checkpoint/.last.safetensors.tmp")).unwrap();
    let error = full.run(&mut |_| Control::Stop).unwrap_err().to_string();
    assert!(error.contains("No space left") && error.contains("an earlier checkpoint stays"), "{error}");
    assert_eq!(fs::read(&last).unwrap(), before);
    drop(full);
    train(&recipe, &data, &run, None).unwrap();
    assert_eq!(results(&run), results(&whole));
    assert_eq!(files(&run), files(&whole));
}
