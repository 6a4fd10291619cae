//! NumPy's arrays as images: borrowed where they are contiguous, and copied once where they are not.

use crate::error::wrong;
use lenet::data::picture::{self, Invert};
use numpy::{
    Element, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of a picture's file.
const LIMIT: u64 = 1 << 28;

/// Where the floats of pictures lie, with some room for what rounding does.
const RANGE: [f32; 2] = [-1e-3, 1.0 + 1e-3];

/// Images as they were given.
pub enum Images<'py> {
    /// Bytes of an array.
    Bytes(PyReadonlyArrayDyn<'py, u8>),
    /// Floats of an array.
    Floats(PyReadonlyArrayDyn<'py, f32>),
    /// Bytes of files of pictures.
    Pictures(Vec<u8>),
}

/// The values of images.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// 0 to 255.
    Bytes(&'a [u8]),
    /// 0 to 1, or normalised.
    Floats(&'a [f32]),
}

impl<'py> Images<'py> {
    /// An array, what can become one, a picture's path or several.
    pub fn of(x: &Bound<'py, PyAny>, shape: [usize; 3], invert: Option<bool>) -> PyResult<Images<'py>> {
        // What takes no time comes first.
        if let Some(images) = Images::plain(x)? {
            return Ok(images);
        }
        match paths(x)? {
            Some(paths) => Ok(Images::Pictures(pictures(x.py(), &paths, shape, invert)?)),
            None => Images::array(x),
        }
    }

    /// An array, or what can become one.
    pub fn array(x: &Bound<'py, PyAny>) -> PyResult<Images<'py>> {
        let numpy = x.py().import("numpy")?;
        let array = match x.cast::<PyUntypedArray>() {
            Ok(array) => array.clone(),
            Err(_) => {
                numpy.call_method1("asarray", (x,))?.cast_into().map_err(|_| PyTypeError::new_err("x is no array"))?
            }
        };
        if let Some(images) = Images::plain(&array)? {
            return Ok(images);
        }
        let dtype = array.dtype();
        let target = match (dtype.kind(), dtype.itemsize()) {
            (b'u', 1) => "uint8",
            (b'f', ..=8) => "float32",
            _ => {
                let what = format!("x holds {dtype}: give bytes (uint8, 0 to 255) or floats (float32, 0 to 1)");
                return Err(PyTypeError::new_err(what));
            }
        };
        let options = PyDict::new(x.py());
        options.set_item("dtype", target)?;
        options.set_item("order", "C")?;
        let copy = numpy.call_method("array", (array,), Some(&options))?;
        Images::plain(&copy)?
            .ok_or_else(|| PyTypeError::new_err(format!("x holds {dtype}, which NumPy cannot convert")))
    }

    /// An array whose memory can be read in place.
    fn plain(x: &Bound<'py, PyAny>) -> PyResult<Option<Images<'py>>> {
        if let Ok(x) = x.cast::<PyArrayDyn<f32>>() {
            return if in_order(x) { borrow(x).map(|x| Some(Images::Floats(x))) } else { Ok(None) };
        }
        match x.cast::<PyArrayDyn<u8>>() {
            Ok(x) if in_order(x) => borrow(x).map(|x| Some(Images::Bytes(x))),
            _ => Ok(None),
        }
    }

    /// The values, rows last.
    pub fn values(&self) -> PyResult<Values<'_>> {
        let strided = |_| wrong("x is not contiguous");
        match self {
            Images::Bytes(array) => Ok(Values::Bytes(array.as_slice().map_err(strided)?)),
            Images::Floats(array) => Ok(Values::Floats(array.as_slice().map_err(strided)?)),
            Images::Pictures(bytes) => Ok(Values::Bytes(bytes)),
        }
    }

    /// Sizes of the array; of files, none.
    pub fn sizes(&self) -> &[usize] {
        match self {
            Images::Bytes(array) => array.shape(),
            Images::Floats(array) => array.shape(),
            Images::Pictures(_) => &[],
        }
    }

    /// How many images of this shape they are.
    pub fn count(&self, shape: [usize; 3]) -> PyResult<usize> {
        let [c, h, w] = shape;
        match (self, self.sizes()) {
            (Images::Pictures(bytes), _) => Ok(bytes.len() / (c * h * w).max(1)),
            (_, &[n, a, b, d]) if [a, b, d] == shape => Ok(n),
            (_, &[n, a, b]) if c == 1 && [a, b] == [h, w] => Ok(n),
            (_, &[a, b, d]) if [a, b, d] == shape => Ok(1),
            (_, &[a, b]) if c == 1 && [a, b] == [h, w] => Ok(1),
            (_, sizes) => {
                let takes =
                    if c == 1 { format!("(n, {h}, {w}) or (n, 1, {h}, {w})") } else { format!("(n, {c}, {h}, {w})") };
                let last = matches!(*sizes, [_, a, b, d] if [d, a, b] == shape);
                let hint = if last { ": put channels first, x.transpose(0, 3, 1, 2)" } else { "" };
                Err(wrong(format!("x has the shape {}, the model takes {takes}{hint}", tuple(sizes))))
            }
        }
    }
}

/// Sizes as Python writes them.
pub fn tuple(sizes: &[usize]) -> String {
    match sizes {
        [n] => format!("({n},)"),
        _ => format!("({})", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Whether values lie in the order of their indices, where floats may lie.
fn in_order<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> bool {
    array.is_c_contiguous() && array.is_aligned()
}

fn borrow<'py, T: Element>(array: &Bound<'py, PyArrayDyn<T>>) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    array.try_readonly().map_err(|e| wrong(format!("x cannot be read now: {e}")))
}

/// Checks that floats are those of pictures.
pub fn check_pictures(values: &[f32]) -> PyResult<()> {
    let [low, high] = RANGE;
    if values.iter().fold(true, |all, v| all & (*v >= low) & (*v <= high)) {
        return Ok(());
    }
    check_finite(values)?;
    let found = values.iter().find(|v| !(low..=high).contains(*v)).copied().unwrap_or_default();
    let divide = "divide bytes by 255, give them as uint8";
    Err(wrong(format!("x holds {found}: floats of pictures are 0 to 1 ({divide}, or say normalized=True to predict)")))
}

/// Checks that floats are numbers.
pub fn check_finite(values: &[f32]) -> PyResult<()> {
    if values.iter().fold(true, |all, v| all & (v.abs() < f32::INFINITY)) {
        return Ok(());
    }
    let at = values.iter().position(|v| !v.is_finite()).unwrap_or_default();
    Err(wrong(format!("x holds {} at position {at} of {}: all must be finite", values[at], values.len())))
}

/// The paths that are meant, if it is one or a list of them.
fn paths(x: &Bound<'_, PyAny>) -> PyResult<Option<Vec<PathBuf>>> {
    let is_path = |x: &Bound<'_, PyAny>| Ok::<_, PyErr>(x.is_instance_of::<PyString>() || x.hasattr("__fspath__")?);
    if x.is_instance_of::<PyList>() || x.is_instance_of::<PyTuple>() {
        let first = x.try_iter()?.next().transpose()?;
        return match first {
            Some(first) if is_path(&first)? => x.extract().map(Some),
            _ => Ok(None),
        };
    }
    Ok(if is_path(x)? { Some(vec![x.extract()?]) } else { None })
}

/// Bytes of pictures, fitted to the shape.
fn pictures(py: Python<'_>, paths: &[PathBuf], shape: [usize; 3], invert: Option<bool>) -> PyResult<Vec<u8>> {
    let invert = match invert {
        None => Invert::Auto,
        Some(true) => Invert::Always,
        Some(false) => Invert::Never,
    };
    let mut all = Vec::new();
    for path in paths {
        let pixels = crate::error::detached(py, || {
            let bytes = read(path)?;
            let prepared = picture::prepare(&bytes, shape, invert);
            Ok(prepared.map_err(|e| wrong(format!("{}: {e}", path.display())))?.pixels)
        })?;
        all.extend(pixels);
        py.check_signals()?;
    }
    Ok(all)
}

fn read(path: &Path) -> PyResult<Vec<u8>> {
    let failed = |e: std::io::Error| crate::error::io(e.kind(), format!("cannot read {}: {e}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(wrong(format!("{}: larger than the {LIMIT} bytes that a picture may have", path.display())));
    }
    Ok(bytes)
}
