use super::*;
use crate::spec::{Dense, Layer, Spec};
use std::path::PathBuf;

fn network() -> Network {
    let layers = vec![Layer::Flatten, Layer::Dense(Dense { units: 3, bias: true })];
    Spec { input: [1, 2, 2], layers }.infer().unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        parameters: (0..15).map(|i| i as f32 / 7.0).collect(),
        slabs: BTreeMap::from([("optimizer.state".to_string(), vec![0.5, -2.0])]),
        identity: "[train]\nlr = 0.1\n".into(),
        epoch: 2,
        step: 17,
        loss: 0.1 + 0.2,
        correct: 5,
        seconds: 1.0 / 3.0,
    }
}

fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::load(&network(), &checkpoint().identity, path)
}

fn saved(dir: &Path) -> (PathBuf, Vec<u8>) {
    let path = dir.join("last.safetensors");
    checkpoint().save(&network(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

/// Seconds went through decimal text that is not read back to the bit: one checkpoint in ten was taken for damaged.
#[test]
fn what_is_saved_is_loaded_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    let mut seconds = 0.123_456_789_f64;
    for _ in 0..60 {
        seconds = (seconds * 1.37 + 0.0173).fract();
        let original = Checkpoint { seconds, loss: seconds * 1e4, ..checkpoint() };
        original.save(&network(), &path).unwrap();
        assert_eq!(load(&path).unwrap(), original);
    }
}

/// Whatever bit flips: the reader notices, or it was one that means nothing.
#[test]
fn every_flipped_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = saved(dir.path());
    let mut refused = 0;
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &damaged).unwrap();
        match load(&path) {
            Ok(read) => assert_eq!(read, checkpoint(), "bit {bit}"),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("last.safetensors "), "{error}");
            }
        }
    }
    assert!(refused > 8 * bytes.len() * 9 / 10, "{refused}");
}

#[test]
fn every_truncation_and_every_addition_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut bytes) = saved(dir.path());
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(load(&path).is_err(), "{length}");
    }
    bytes.push(0);
    std::fs::write(&path, &bytes).unwrap();
    assert!(load(&path).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn lies_in_the_header_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = saved(dir.path());
    // Same lengths, so that only the meaning changes.
    let cases = [
        ("\"1.bias\"", "\"1.baas\"", "has no tensor '1.bias'"),
        ("[3,4]", "[4,3]", "tensor '1.weight' has shape [4, 3], the network needs [3, 4]"),
        ("\"F32\"", "\"I32\"", "is I32, not F32"),
        ("lenet_checkpoint", "lenet_chickpoint", "is no checkpoint"),
        ("\\\"epoch\\\":2", "\\\"epoch\\\":3", "checksum"),
        ("\\\"version\\\":2", "\\\"version\\\":3", "version 3"),
    ];
    for (from, to, expected) in cases {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("{from}"));
        let mut lie = bytes.clone();
        lie[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, &lie).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{from}: {error}");
    }
    let mut huge = bytes;
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&path, &huge).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("no whole safetensors file"));
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last.safetensors");
    let mut broken = checkpoint();
    broken.parameters[13] = f32::NAN;
    broken.save(&network(), &path).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("'1.bias' holds a value that is not finite, at position 1"));
    Checkpoint { loss: f64::INFINITY, ..checkpoint() }.save(&network(), &path).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("'loss' is no finite"));
}

#[test]
fn an_identity_is_what_decides_the_training() {
    let data =
        |label| Dataset { shape: [1, 1, 1], images: vec![0; 2], labels: vec![0, label], classes: vec!["a".into()] };
    let of = |set: &str, label| Checkpoint::identity_of(&Recipe::load_with("lenet", &[set]).unwrap(), &data(label));
    let base = of("train.epochs=5", 0);
    assert_eq!(base, of("train.epochs=9", 0));
    assert_eq!(base, of("train.checkpoint_seconds=1", 0));
    assert_eq!(base, of("train.histograms=true", 0));
    for set in ["train.lr=0.8", "train.seed=1", "train.batch=255", "train.init=normal", "data.train_limit=100"] {
        assert_ne!(base, of(set, 0), "{set}");
    }
    assert_ne!(base, of("train.epochs=5", 1));
    let differences = difference(&base, &of("train.lr=0.8", 1));
    assert!(differences.contains("dataset.labels is ") && differences.contains("train.lr is 0.9 there and 0.8 here"));
}
