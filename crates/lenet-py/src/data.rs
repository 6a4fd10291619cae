//! Datasets from names, folders and pairs of arrays.

use crate::array::{Images, Values, check_pictures, tuple};
use crate::error::{Raise, caught, detached, wrong};
use lenet::data::{self, CacheOptions, Dataset, Loaded, Options};
use lenet::spec::Recipe;
use lenet::train::split;
use numpy::{PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyTypeError, PyUserWarning};
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// What a dataset of arrays is called.
pub const ARRAYS: &str = "arrays";

/// Share of each class that is kept for the test where no test images are given, as of folders of pictures.
const TEST: f32 = 0.2;

/// How long Ctrl-C may wait.
const LOOK: Duration = Duration::from_millis(50);

/// How a recipe has its pictures read.
pub fn options(recipe: &Recipe) -> Options {
    Options { shape: recipe.model.input, skip_bad: recipe.data.skip_bad }
}

/// Loads a dataset by its name or path; what a person should know of it becomes a warning.
///
/// Ctrl-C ends the wait: a download goes on behind it until the process ends, and what it has got is kept.
pub fn load(py: Python<'_>, source: &str, options: Options) -> PyResult<Loaded> {
    if source == ARRAYS {
        return Err(wrong("the images were arrays: give them again as data=(x, y)"));
    }
    let (send, receive) = mpsc::channel();
    let name = source.to_string();
    std::thread::spawn(move || {
        let load = || data::load_with(&name, &options, &CacheOptions::from_env(), &mut |_| ()).map_err(Raise::raise);
        // Nobody waits for it after Ctrl-C.
        let _ = send.send(caught(load));
    });
    let receive = Mutex::new(receive);
    let wait = || receive.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LOOK);
    let loaded = loop {
        match py.detach(wait) {
            Ok(loaded) => break loaded?,
            Err(mpsc::RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(wrong(format!("{source}: reading it has failed"))),
        }
    };
    let mut notes = loaded.notes.clone();
    if let Some(first) = loaded.skipped.first() {
        notes.push(format!("{} unreadable pictures are left out, the first is {first}", loaded.skipped.len()));
    }
    for note in notes {
        let note = std::ffi::CString::new(note.replace('\0', " ")).unwrap_or_default();
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &note, 1)?;
    }
    Ok(loaded)
}

/// A pair of arrays, images and labels, as Python passes it.
pub fn is_pair(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<pyo3::types::PyTuple>() || value.is_instance_of::<pyo3::types::PyList>()
}

/// Both splits from pairs of arrays. Without test images a fifth of every class is kept for the test, always the same.
pub fn from_arrays(
    pair: &Bound<'_, PyAny>,
    test: Option<&Bound<'_, PyAny>>,
    classes: Option<Vec<String>>,
) -> PyResult<Loaded> {
    let mut train = dataset(pair, "data")?;
    let mut test = match test {
        Some(test) => dataset(test, "test")?,
        None => {
            let (kept, test) = detached(pair.py(), || {
                let (kept, held) = split(&train.labels, TEST, 0);
                Ok((part(&train, &kept), part(&train, &held)))
            })?;
            train = kept;
            test
        }
    };
    if train.shape != test.shape {
        let shapes = [&train.shape[..], &test.shape[..]].map(tuple);
        return Err(wrong(format!(
            "the training images are {}, the test images {}: they must have one shape",
            shapes[0], shapes[1]
        )));
    }
    let most = train.labels.iter().chain(&test.labels).max().map_or(0, |&l| usize::from(l) + 1);
    let classes = classes.unwrap_or_else(|| (0..most).map(|i| i.to_string()).collect());
    if classes.len() < most {
        return Err(wrong(format!("there is a label {}, but classes has {} names", most - 1, classes.len())));
    }
    (train.classes, test.classes) = (classes.clone(), classes);
    Ok(Loaded {
        train,
        test,
        name: ARRAYS.into(),
        provenance: "arrays in memory".into(),
        checksums: Vec::new(),
        notes: Vec::new(),
        skipped: Vec::new(),
    })
}

/// Some images of a dataset.
pub fn part(data: &Dataset, indices: &[u32]) -> Dataset {
    let indices = || indices.iter().map(|&i| i as usize);
    let mut images = Vec::with_capacity(indices().len() * data.sample_len());
    indices().for_each(|i| images.extend_from_slice(data.image(i)));
    Dataset {
        shape: data.shape,
        images,
        labels: indices().map(|i| data.labels[i]).collect(),
        classes: data.classes.clone(),
    }
}

/// Images and labels of a pair, without names of classes.
pub fn dataset(pair: &Bound<'_, PyAny>, name: &str) -> PyResult<Dataset> {
    let not_a_pair = |_| PyTypeError::new_err(format!("{name} is a name, a path or a pair (images, labels) of arrays"));
    let (x, y): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract().map_err(not_a_pair)?;
    let images = Images::array(&x)?;
    let (n, shape) = match *images.sizes() {
        [n, h, w] => (n, [1, h, w]),
        [n, h, w, c @ (1 | 3)] if h > 4 => {
            let sizes = tuple(&[n, h, w, c]);
            let what =
                format!("the images of {name} have the shape {sizes}: put channels first, x.transpose(0, 3, 1, 2)");
            return Err(wrong(what));
        }
        [n, c, h, w] => (n, [c, h, w]),
        ref sizes => {
            let sizes = tuple(sizes);
            return Err(wrong(format!("the images of {name} have the shape {sizes}, not (n, h, w) or (n, c, h, w)")));
        }
    };
    if n == 0 || shape.contains(&0) || u32::try_from(n).is_err() {
        return Err(wrong(format!(
            "the images of {name} have the shape {}: there must be some",
            tuple(images.sizes())
        )));
    }
    let labels = labels(&y, n, name)?;
    let values = images.values()?;
    let images = detached(pair.py(), || match values {
        Values::Bytes(bytes) => Ok(bytes.to_vec()),
        Values::Floats(floats) => {
            check_pictures(floats)?;
            Ok(floats.iter().map(|v| (v * 255.0).round() as u8).collect())
        }
    })?;
    Ok(Dataset { shape, images, labels, classes: Vec::new() })
}

fn labels(y: &Bound<'_, PyAny>, n: usize, name: &str) -> PyResult<Vec<u16>> {
    let y = y.py().import("numpy")?.call_method1("asarray", (y,))?;
    let kind: String = y.getattr("dtype")?.getattr("kind")?.extract()?;
    if kind != "i" && kind != "u" {
        let dtype = y.getattr("dtype")?.str()?;
        return Err(PyTypeError::new_err(format!("the labels of {name} are {dtype}, not whole numbers from 0 on")));
    }
    let sizes: Vec<usize> = y.getattr("shape")?.extract()?;
    if sizes != [n] {
        return Err(wrong(format!("the labels of {name} have the shape {}, {n} images need ({n},)", tuple(&sizes))));
    }
    let y = y.call_method1("astype", ("int64",))?;
    let y =
        y.cast::<PyArray1<i64>>()?.try_readonly().map_err(|e| wrong(format!("the labels cannot be read now: {e}")))?;
    let label = |(i, &label): (usize, &i64)| {
        u16::try_from(label).map_err(|_| wrong(format!("label {label} of image {i} of {name}: labels are 0 to 65535")))
    };
    y.as_array().iter().enumerate().map(label).collect()
}
