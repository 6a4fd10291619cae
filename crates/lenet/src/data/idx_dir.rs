//! A directory of four IDX files, raw or gzipped: what `idx:DIR` names, and what the cache holds.

use super::catalog::{self, Entry};
use super::idx::{self, Images, Labels};
use super::{DataError, Dataset, Loaded};
use std::path::{Path, PathBuf};

/// Names that a file of a split may have.
const NAMES: [&[&str]; 4] = [
    &["train-images-idx3-ubyte", "train-images-idx4-ubyte"],
    &["train-labels-idx1-ubyte"],
    &["t10k-images-idx3-ubyte", "t10k-images-idx4-ubyte"],
    &["t10k-labels-idx1-ubyte"],
];

/// One class a line, in the order of the labels; optional.
const CLASSES: &str = "classes.txt";

/// The file `name` of a directory, or its gzipped form.
pub(super) fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    [dir.join(name), dir.join(format!("{name}.gz"))].into_iter().find(|p| p.is_file())
}

/// Images and labels of one split, with where they were found.
struct Split {
    images: Images,
    images_file: String,
    labels: Labels,
    labels_file: String,
}

impl Split {
    fn read(images: &Path, labels: &Path) -> Result<Self, DataError> {
        let split = Split {
            images: idx::read_images(images)?,
            images_file: images.display().to_string(),
            labels: idx::read_labels(labels)?,
            labels_file: labels.display().to_string(),
        };
        let (images, labels) = (split.images.len(), split.labels.labels.len());
        if images != labels {
            let (images_file, labels_file) = (split.images_file, split.labels_file);
            return Err(DataError::CountMismatch { images_file, images, labels_file, labels });
        }
        Ok(split)
    }

    /// The split as arrays; `first_label` is the file's label of class 0.
    fn into_dataset(self, classes: &[String], first_label: u8) -> Result<Dataset, DataError> {
        let mut labels = Vec::with_capacity(self.labels.labels.len());
        for (index, &label) in self.labels.labels.iter().enumerate() {
            match label.checked_sub(first_label).map(u16::from).filter(|&class| usize::from(class) < classes.len()) {
                Some(class) => labels.push(class),
                None => {
                    let (file, first) = (self.labels_file, first_label);
                    let last = usize::from(first) + classes.len() - 1;
                    return Err(DataError::Label { file, index, label, first, last, classes: classes.len() });
                }
            }
        }
        Ok(Dataset { shape: self.images.shape, images: self.images.pixels, labels, classes: classes.to_vec() })
    }
}

/// Loads what `idx:DIR` names.
pub(super) fn load(dir: &Path) -> Result<Loaded, DataError> {
    let mut paths = Vec::with_capacity(4);
    for names in NAMES {
        let missing = || DataError::NoSuchFile { dir: dir.to_path_buf(), file: names[0].into() };
        paths.push(names.iter().find_map(|name| find(dir, name)).ok_or_else(missing)?);
    }
    let train = Split::read(&paths[0], &paths[1])?;
    let test = Split::read(&paths[2], &paths[3])?;
    if train.images.shape != test.images.shape {
        let (train, test) = (train.images.shape, test.images.shape);
        return Err(DataError::ShapeMismatch { dir: dir.to_path_buf(), train, test });
    }
    let checksums = checksums(&train, &test);
    let known =
        catalog::entries().iter().find(|e| e.files.iter().zip(&checksums).all(|(f, c)| f.sha256 == Some(&*c.1)));
    let classes = match (read_classes(dir)?, known) {
        (Some(classes), _) => classes,
        (None, Some(entry)) => entry.class_names(),
        (None, None) => {
            let largest = train.labels.labels.iter().chain(&test.labels.labels).max().copied().unwrap_or(0);
            (0..=largest).map(|class| class.to_string()).collect()
        }
    };
    Ok(Loaded {
        name: known.map_or_else(|| format!("idx:{}", dir.display()), |e| e.name.into()),
        train: train.into_dataset(&classes, 0)?,
        test: test.into_dataset(&classes, 0)?,
        provenance: dir.display().to_string(),
        checksums,
        notes: Vec::new(),
        skipped: Vec::new(),
    })
}

/// Loads a dataset of the catalog from a directory; `expected` gives a file's checksum by its place in the entry.
pub(super) fn load_entry(
    entry: &'static Entry,
    dir: &Path,
    provenance: String,
    expected: impl Fn(usize) -> Option<String>,
) -> Result<Loaded, DataError> {
    let path = |i: usize| {
        let file = entry.files[i].name;
        find(dir, file).ok_or_else(|| DataError::NoSuchFile { dir: dir.to_path_buf(), file: file.into() })
    };
    let train = Split::read(&path(0)?, &path(1)?)?;
    let test = Split::read(&path(2)?, &path(3)?)?;
    let checksums = checksums(&train, &test);
    for (i, (_, found)) in checksums.iter().enumerate() {
        let expected = expected(i).unwrap_or_else(|| "a known checksum".into());
        if *found != expected {
            let file = path(i)?.display().to_string();
            return Err(DataError::Checksum { file, expected, found: found.clone() });
        }
    }
    let classes = entry.class_names();
    let dataset = |split: Split| {
        let mut dataset = split.into_dataset(&classes, entry.first_label)?;
        if entry.transposed {
            transpose(&mut dataset);
        }
        Ok::<_, DataError>(dataset)
    };
    let checksums = entry.files.iter().zip(checksums).map(|(f, (_, sum))| (f.name.to_string(), sum)).collect();
    Ok(Loaded {
        name: entry.name.into(),
        train: dataset(train)?,
        test: dataset(test)?,
        provenance,
        checksums,
        notes: Vec::new(),
        skipped: Vec::new(),
    })
}

/// File name and SHA-256 of the four files, in the catalog's order.
fn checksums(train: &Split, test: &Split) -> Vec<(String, String)> {
    let name = |path: &str| {
        let path = Path::new(path);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        name.strip_suffix(".gz").unwrap_or(&name).to_string()
    };
    [train, test]
        .iter()
        .flat_map(|s| {
            [(name(&s.images_file), s.images.sha256.clone()), (name(&s.labels_file), s.labels.sha256.clone())]
        })
        .collect()
}

/// Swaps rows and columns of every plane; the planes are square.
fn transpose(dataset: &mut Dataset) {
    let [_, h, w] = dataset.shape;
    if h != w {
        return;
    }
    for plane in dataset.images.chunks_exact_mut(h * w) {
        for row in 0..h {
            for column in 0..row {
                plane.swap(row * w + column, column * w + row);
            }
        }
    }
}

fn read_classes(dir: &Path) -> Result<Option<Vec<String>>, DataError> {
    let path = dir.join(CLASSES);
    let fail = |reason: String| DataError::Classes { file: path.display().to_string(), reason };
    let text = match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(format!("cannot be read: {e}"))),
        Ok(text) => text,
    };
    let classes: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if let Some(i) = classes.iter().position(|c| c.is_empty()) {
        return Err(fail(format!("line {} is empty: write one class name a line", i + 1)));
    }
    match classes.len() {
        0 => Err(fail("there is no class name: write one a line, in the order of the labels".into())),
        1..=256 => Ok(Some(classes)),
        n => Err(fail(format!("there are {n} class names, the labels of IDX files tell at most 256 apart"))),
    }
}
