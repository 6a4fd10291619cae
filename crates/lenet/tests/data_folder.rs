//! Folders of pictures: real images of the fixture, written as PNG, JPEG, WebP and BMP.

use crate::kit::data;
use lenet::data::{CacheOptions, DataError, Loaded, Options, load_with};
use std::fs;
use std::path::Path;

const ENDINGS: [&str; 4] = ["png", "jpg", "webp", "bmp"];

/// The cache and the pictures are beside each other.
fn load(dir: &Path, skip_bad: bool) -> Result<Loaded, DataError> {
    let cache = CacheOptions { dir: Some(dir.join("cache")), ..CacheOptions::from_env() };
    let options = Options { shape: Some([1, 28, 28]), skip_bad };
    load_with(&format!("dir:{}", dir.join("pictures").display()), &options, &cache, &mut |_| {})
}

/// A folder of 100 pictures, by turns in four formats.
fn pictures() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let real = data().train;
    for i in 0..100 {
        let class = dir.path().join("pictures").join(format!("class {}", real.labels[i]));
        fs::create_dir_all(&class).unwrap();
        let picture = image::GrayImage::from_raw(28, 28, real.image(i).to_vec()).unwrap();
        let picture = image::DynamicImage::from(picture).to_rgb8();
        picture.save(class.join(format!("{i}.{}", ENDINGS[i % 4]))).unwrap();
    }
    dir
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join("pictures").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_folder_a_class_is_a_dataset_and_is_remembered() {
    let dir = pictures();
    put(dir.path(), "class 1/.hidden.png", b"");
    put(dir.path(), "class 1/notes.txt", b"no picture");
    let first = load(dir.path(), false).unwrap();
    assert_eq!((first.train.len() + first.test.len(), first.train.shape), (100, [1, 28, 28]));
    assert_eq!(first.train.classes, (0..10).map(|c| format!("class {c}")).collect::<Vec<_>>());
    let notes = first.notes.join("\n");
    assert!(notes.contains("no test folder") && notes.contains("a ratio of ") && notes.contains("1 files"), "{notes}");
    // The lossless ones are the fixture's own bytes.
    let real = data().train;
    let here: Vec<&[u8]> = [&first.train, &first.test].iter().flat_map(|d| (0..d.len()).map(|i| d.image(i))).collect();
    let same = (0..100).filter(|i| i % 4 != 1).filter(|&i| here.contains(&real.image(i))).count();
    assert!(same >= 70, "{same} of 75");

    let again = load(dir.path(), false).unwrap();
    assert!(again.provenance.ends_with("(cached)") && !first.provenance.ends_with("(cached)"));
    assert_eq!((again.train, again.test), (first.train, first.test));
    // Another content under an old name, and a damaged cache, are seen.
    let class = fs::read_dir(dir.path().join("pictures/class 1")).unwrap().flatten();
    let png =
        class.map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "png") && !p.ends_with(".hidden.png"));
    image::GrayImage::new(28, 28).save(png.unwrap()).unwrap();
    let changed = load(dir.path(), false).unwrap();
    assert!(!changed.provenance.ends_with("(cached)") && changed.checksums != first.checksums);
    for file in fs::read_dir(dir.path().join("cache/folders")).unwrap().flatten() {
        fs::write(file.path(), b"short").unwrap();
    }
    assert!(!load(dir.path(), false).unwrap().provenance.ends_with("(cached)"));
}

#[test]
fn bad_pictures_are_listed_or_skipped() {
    let dir = pictures();
    // A BMP header that claims 100,000 × 100,000.
    let side = 100_000u32.to_le_bytes();
    let huge = [&b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &side, &side, b"\x01\0\x18\0", &[0; 24]].concat();
    put(dir.path(), "class 1/huge.bmp", &huge);
    put(dir.path(), "class 1/empty.png", b"");
    put(dir.path(), "class 2/text.png", b"I am text");
    put(dir.path(), "class 2/half.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0");
    let error = load(dir.path(), false).unwrap_err().to_string();
    for words in
        ["4 pictures", "class 1/huge.bmp", "class 1/empty.png", "class 2/text.png", "class 2/half.jpg", "--skip-bad"]
    {
        assert!(error.contains(words), "{words:?} is not in {error}");
    }
    let loaded = load(dir.path(), true).unwrap();
    assert_eq!((loaded.train.len() + loaded.test.len(), loaded.skipped.len()), (100, 4));
}

#[test]
fn what_is_no_folder_of_classes_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let refused = |dir: &Path, words: &str| {
        let error = load(dir, false).unwrap_err().to_string();
        assert!(error.contains(words) && error.lines().count() == 1, "{words:?} is not in {error}");
    };
    refused(empty.path(), "no such folder");
    put(empty.path(), "one/a.txt", b"");
    refused(empty.path(), "two classes");
    let dir = pictures();
    put(dir.path(), "Class 1/a.png", b"");
    refused(dir.path(), "differ in case");
    fs::remove_dir_all(dir.path().join("pictures/Class 1")).unwrap();
    fs::create_dir(dir.path().join("pictures/void")).unwrap();
    refused(dir.path(), "class \"void\" has no picture");
}

#[test]
fn folders_for_the_test_are_kept() {
    let (dir, split) = (pictures(), tempfile::tempdir().unwrap());
    let root = split.path().join("pictures");
    fs::create_dir(&root).unwrap();
    fs::rename(dir.path().join("pictures"), root.join("train")).unwrap();
    fs::create_dir_all(root.join("test")).unwrap();
    fs::rename(root.join("train/class 9"), root.join("test/class 9")).unwrap();
    assert!(load(split.path(), false).unwrap_err().to_string().contains("not among the training folders"));
    fs::rename(root.join("test/class 9"), root.join("test/class 8")).unwrap();
    let loaded = load(split.path(), false).unwrap();
    assert!(loaded.test.labels.iter().all(|l| *l == 8) && loaded.train.len() + loaded.test.len() == 100);
}

#[test]
fn two_at_once_get_the_same() {
    let dir = pictures();
    let both = std::thread::scope(|s| {
        let jobs = [(); 2].map(|()| s.spawn(|| load(dir.path(), false).unwrap()));
        jobs.map(|j| j.join().unwrap())
    });
    assert_eq!(both[0].train, both[1].train);
    assert_eq!(fs::read_dir(dir.path().join("cache/folders")).unwrap().count(), 1);
}
