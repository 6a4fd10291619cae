//! Datasets through the public interface: the fixture of real images, what is refused, and the real thing.

use crate::kit::{copy_images, files, fixtures, images};
use lenet::data::{self, CacheOptions, DataError, DataEvent, picture};
use std::fs;
use std::path::Path;
use std::time::Duration;

const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A cache in `dir`, and no source but those that a test adds.
fn cache(dir: &Path) -> CacheOptions {
    CacheOptions {
        dir: Some(dir.into()),
        system: Vec::new(),
        mirrors: Vec::new(),
        official: false,
        offline: false,
        patience: Duration::from_secs(5),
    }
}

fn load(dir: &Path) -> Result<data::Loaded, DataError> {
    data::load(&format!("idx:{}", dir.display()), &cache(dir), &mut |_| {})
}

fn fails(dir: &Path) -> String {
    let message = load(dir).expect_err("bad files").to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// A copy of the fixture that a test may damage.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_images(dir.path());
    dir
}

/// Replaces a file of the copy by a raw one.
fn put(dir: &Path, file: &str, bytes: &[u8]) {
    let _ = fs::remove_file(dir.join(format!("{file}.gz")));
    fs::write(dir.join(file), bytes).unwrap();
}

fn labels(values: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    data::idx::write_labels(&mut bytes, values).unwrap();
    bytes
}

#[test]
fn the_fixture_is_the_beginning_of_fashion_mnist() {
    let loaded = load(&images()).unwrap();
    assert_eq!((loaded.train.len(), loaded.test.len()), (512, 256));
    // As other libraries print them.
    assert_eq!(loaded.train.labels[..10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    assert_eq!(loaded.test.labels[..10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
    assert_eq!(loaded.train.classes[9], "Ankle boot");
}

#[test]
fn pictures_of_test_images_are_those_images() {
    let test = load(&images()).unwrap().test;
    for (index, file) in [(0, "00-ankle-boot.png"), (1, "01-pullover.png"), (2, "02-trouser.png"), (8, "08-sandal.png")]
    {
        let bytes = fs::read(fixtures().join("pictures").join(file)).unwrap();
        let prepared = picture::prepare(&bytes, [1, 28, 28], picture::Invert::Auto).unwrap();
        assert_eq!((&prepared.pixels[..], prepared.inverted), (test.image(index), false), "{file}");
    }
}

#[test]
fn negatives_of_real_images_are_told_from_the_images() {
    let test = load(&images()).unwrap().test;
    let inverted = |pixels: Vec<u8>| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::GrayImage::from_raw(28, 28, pixels).unwrap();
        picture.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
        picture::prepare(&bytes.into_inner(), [1, 28, 28], picture::Invert::Auto).unwrap().inverted
    };
    let count = |change: fn(u8) -> u8| {
        (0..test.len()).filter(|&i| inverted(test.image(i).iter().map(|&p| change(p)).collect())).count()
    };
    assert_eq!(count(|p| p), 0);
    let negatives = count(|p| 255 - p);
    assert!(negatives >= 254, "{negatives} of 256");
}

#[test]
fn labels_beyond_the_classes_are_refused() {
    let dir = copy();
    fs::write(dir.path().join("classes.txt"), "a\nb\nc\n").unwrap();
    let message = fails(dir.path());
    assert!(message.contains("train-labels-idx1-ubyte") && message.contains("label 9 of image 0"), "{message}");
    fs::write(dir.path().join("classes.txt"), "a\n\nc\n").unwrap();
    assert!(fails(dir.path()).contains("classes.txt: line 2 is empty"));
    fs::write(dir.path().join("classes.txt"), "").unwrap();
    assert!(fails(dir.path()).contains("classes.txt"));
}

#[test]
fn without_names_the_labels_name_the_classes() {
    let dir = copy();
    fs::remove_file(dir.path().join("classes.txt")).unwrap();
    assert_eq!(load(dir.path()).unwrap().train.classes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn images_and_labels_must_be_equally_many() {
    let dir = copy();
    put(dir.path(), FILES[3], &labels(&[1; 255]));
    let message = fails(dir.path());
    assert!(message.contains("256 images") && message.contains("255 labels"), "{message}");
}

#[test]
fn empty_damaged_and_missing_files_are_named() {
    let dir = copy();
    put(dir.path(), FILES[3], &labels(&[]));
    assert!(fails(dir.path()).contains("t10k-labels-idx1-ubyte: number of labels is 0"));
    put(dir.path(), FILES[3], b"");
    assert!(fails(dir.path()).contains("t10k-labels-idx1-ubyte: ends after 0 of 4 bytes of the magic number"));
    put(dir.path(), FILES[2], &labels(&[1; 256]));
    assert!(fails(dir.path()).contains("t10k-images-idx3-ubyte: magic is 0x00000801"));
    let gz = fs::read(images().join("train-images-idx3-ubyte.gz")).unwrap();
    put(dir.path(), FILES[0], &gz[..gz.len() / 2]);
    assert!(fails(dir.path()).contains("train-images-idx3-ubyte: ends after"));
    fs::remove_file(dir.path().join(FILES[2])).unwrap();
    assert!(fails(dir.path()).contains("there is no t10k-images-idx3-ubyte and no t10k-images-idx3-ubyte.gz"));
}

#[test]
fn both_splits_have_one_shape() {
    let dir = copy();
    let mut bytes = Vec::new();
    data::idx::write_images(&mut bytes, [3, 28, 28], &vec![0; 256 * 3 * 784]).unwrap();
    put(dir.path(), FILES[2], &bytes);
    let message = fails(dir.path());
    assert!(message.contains("[1, 28, 28]") && message.contains("[3, 28, 28]"), "{message}");
}

#[test]
fn unknown_names_get_a_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    let message = data::load("fashion_mnist", &cache(dir.path()), &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("did you mean fashion-mnist?") && message.contains("idx:DIR"), "{message}");
}

#[test]
fn without_network_every_source_is_listed_and_the_ways_out() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        CacheOptions { official: true, offline: true, system: vec!["/nonexistent".into()], ..cache(dir.path()) };
    let message = data::load("fashion-mnist", &options, &mut |_| {}).unwrap_err().to_string();
    for part in
        ["/nonexistent/fashion-mnist: not installed", "LENET_OFFLINE", "apt-get download", "LENET_MIRROR", "idx:"]
    {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert!(data::list(&options).iter().all(|listed| !listed.cached));
    assert!(data::check("fashion-mnist", &options).unwrap().iter().all(|file| file.fault.is_some()));
}

#[test]
fn a_cache_that_cannot_be_written_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let message = data::load("mnist", &cache(&file.join("cache")), &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("LENET_CACHE") && message.contains("file/cache/mnist"), "{message}");
}

#[test]
#[ignore = "needs Debian's package archive, through apt"]
fn fashion_mnist_comes_through_apt_and_stays_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let options = CacheOptions { official: true, ..cache(dir.path()) };
    let mut events = Vec::new();
    let loaded = data::load("fashion-mnist", &options, &mut |event| events.push(event)).unwrap();
    assert_eq!((loaded.train.len(), loaded.test.len(), loaded.train.shape), (60_000, 10_000, [1, 28, 28]));
    assert_eq!(loaded.train.labels[..10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    assert_eq!(events.iter().filter(|e| matches!(e, DataEvent::Verified { .. })).count(), 4);
    let left = files(dir.path());
    let names: Vec<_> = left.iter().map(|p| Path::new(p).file_name().unwrap()).collect();
    assert_eq!(names, [".lock", "SHA256SUMS", FILES[2], FILES[3], FILES[0], FILES[1]]);

    let offline = CacheOptions { offline: true, ..options };
    let again = data::load("fashion-mnist", &offline, &mut |_| {}).unwrap();
    assert!(again.provenance.contains("cache"), "{}", again.provenance);
    assert_eq!((again.train, again.test, again.checksums), (loaded.train, loaded.test, loaded.checksums));
    assert!(data::list(&offline).iter().any(|listed| listed.entry.name == "fashion-mnist" && listed.cached));

    // One bit changed is found at the next load, and by the check.
    let path = dir.path().join("fashion-mnist").join(FILES[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[12_345] ^= 1;
    fs::write(&path, bytes).unwrap();
    let faults: Vec<_> =
        data::check("fashion-mnist", &offline).unwrap().into_iter().map(|f| f.fault.is_some()).collect();
    assert_eq!(faults, [true, false, false, false]);
    assert!(matches!(data::load("fashion-mnist", &offline, &mut |_| {}), Err(DataError::Unavailable { .. })));
}
