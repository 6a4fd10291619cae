//! The `Model` class.

use crate::array::{Images, Values, check_finite, check_pictures};
use crate::data;
use crate::engine::{Shared, check_threads};
use crate::error::{Raise, caught, detached, wrong};
use crate::{recipe, value};
use lenet::data::{Dataset, Options};
use lenet::engine::{Batch, Pixels, Score};
use lenet::inspect;
use lenet::model::onnx::ImportOptions;
use lenet::model::{Model, Training};
use lenet::spec::Shape;
use lenet::spec::Summary;
use lenet::train::{self, EpochMetrics, Run};
use numpy::{PyArray1, PyArray2, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Multiply-adds that are worth letting Python's other threads in: a tenth of a millisecond on a slow core.
const LONG: u64 = 2_000_000;

/// Multiply-adds between two looks for Ctrl-C, a tenth of a second on a slow core.
const LOOK: u64 = 2_000_000_000;

/// Images whose activations are computed at a time, in f64 and all layers at once.
const ACTIVATIONS: usize = 16;

/// Images that are evaluated between two looks, as many as the library takes at a time: sums are then the same.
const EVALUATION: usize = 4096;

/// A trained network: what `train` and `load` give.
#[pyclass(name = "Model", module = "lenet", frozen, weakref)]
pub struct PyModel {
    model: Model,
    tables: Vec<[f32; 256]>,
    /// Whether pictures from 0 to 1 are the network's input as they are.
    is_unit: bool,
    engine: Shared,
    metrics: Vec<EpochMetrics>,
    run: Option<PathBuf>,
}

impl PyModel {
    pub fn new(model: Model, threads: usize, metrics: Vec<EpochMetrics>, run: Option<PathBuf>) -> Self {
        let tables = model.normalization.tables();
        let norm = &model.normalization;
        let is_unit = norm.mean.iter().all(|&m| m == 0.0) && norm.std.iter().all(|&s| s == 1.0);
        PyModel { model, tables, is_unit, engine: Shared::new(threads), metrics, run }
    }

    /// A model or a run, or an ONNX file.
    fn load(path: &Path, threads: usize) -> PyResult<Self> {
        let is_onnx = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
        if is_onnx && !path.is_dir() {
            let name = path.file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned());
            let options = ImportOptions { name, ..Default::default() };
            let model = Model::load_onnx(path, &options).map_err(Raise::raise)?;
            return Ok(PyModel::new(model, threads, Vec::new(), None));
        }
        let model = Model::load(path).map_err(Raise::raise)?;
        let is_run = Run::is_at(path);
        let metrics = if is_run { Run::metrics_of(path).map_err(Raise::raise)? } else { Vec::new() };
        Ok(PyModel::new(model, threads, metrics, is_run.then(|| path.to_path_buf())))
    }

    /// The logits of images, `[n, classes]`.
    fn forward<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        normalized: bool,
        invert: Option<bool>,
        finish: fn(&mut [f32]),
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let py = x.py();
        let (shape, outputs) = (self.model.network.input(), self.model.network.outputs());
        let images = Images::of(x, shape, invert)?;
        let n = images.count(shape)?;
        let out = PyArray2::<f32>::zeros(py, [n, outputs], false);
        {
            let mut rows = out.try_readwrite().map_err(|e| wrong(e.to_string()))?;
            let rows = rows.as_slice_mut().map_err(|e| wrong(e.to_string()))?;
            let each = self.model.network.multiply_adds().max(1);
            // Whole chunks of 16.
            let most = ((LOOK / each) as usize).clamp(16, 4096) / 16 * 16;
            let sample: usize = shape.iter().product();
            let mut values = images.values()?;
            for rows in rows.chunks_mut((most * outputs).max(1)) {
                let n = rows.len() / outputs.max(1);
                let part = values.split_off(n * sample);
                self.engine.with(py, &self.model, n, |engine, indices| {
                    let mut work = || {
                        let logits = &mut *rows;
                        let mut forward = |pixels| {
                            let batch = Batch { pixels, labels: &[], indices };
                            self.model.logits(engine, &batch, logits).map_err(Raise::raise)
                        };
                        match part {
                            Values::Bytes(data) => forward(Pixels::Bytes { data, tables: &self.tables })?,
                            Values::Floats(data) if normalized || self.is_unit => {
                                if normalized { check_finite(data) } else { check_pictures(data) }?;
                                forward(Pixels::Floats(data))?;
                            }
                            Values::Floats(data) => {
                                check_pictures(data)?;
                                forward(Pixels::Floats(&self.normalize(data)))?;
                            }
                        }
                        rows.chunks_exact_mut(outputs.max(1)).for_each(finish);
                        Ok(())
                    };
                    if each * n as u64 <= LONG { caught(work) } else { detached(py, &mut work) }
                })?;
                if n == most {
                    py.check_signals()?;
                }
            }
        }
        Ok(out)
    }

    /// Pictures from 0 to 1 as the network's input, by the same operations as bytes.
    fn normalize(&self, pictures: &[f32]) -> Vec<f32> {
        let [c, h, w] = self.model.network.input();
        let norm = &self.model.normalization;
        let mut values = Vec::with_capacity(pictures.len());
        for (i, plane) in pictures.chunks_exact((h * w).max(1)).enumerate() {
            let (mean, std) = (norm.mean[i % c], norm.std[i % c]);
            values.extend(plane.iter().map(|v| (v - mean) / std));
        }
        values
    }

    fn check(&self, dataset: &Dataset) -> PyResult<()> {
        if dataset.is_empty() {
            return Err(wrong("there is no image to evaluate: give other data"));
        }
        let (ours, theirs) = (self.model.network.input(), dataset.shape);
        if theirs != ours {
            return Err(wrong(format!("the images are {theirs:?}, the model takes {ours:?}: give other data")));
        }
        let (known, most) = (self.model.classes.len(), dataset.labels.iter().max().map_or(0, |&l| usize::from(l) + 1));
        if dataset.classes.len() > known || most > known {
            let found = most.max(dataset.classes.len());
            return Err(wrong(format!("the data has {found} classes, the model knows {known}: give other data")));
        }
        Ok(())
    }
}

impl<'a> Values<'a> {
    /// The first values, which are gone then.
    fn split_off(&mut self, n: usize) -> Values<'a> {
        match self {
            Values::Bytes(all) => Values::Bytes(all.split_off(..n).unwrap_or_default()),
            Values::Floats(all) => Values::Floats(all.split_off(..n).unwrap_or_default()),
        }
    }
}

/// Logits to probabilities.
fn softmax(row: &mut [f32]) {
    let probabilities: Vec<f64> = lenet::softmax(row).collect();
    row.iter_mut().zip(probabilities).for_each(|(value, p)| *value = p as f32);
}

#[pymethods]
impl PyModel {
    /// Probabilities of the classes, float32 `[n, classes]`.
    ///
    /// `x` is an array `[n, h, w]`, `[n, c, h, w]` or one image: uint8, or floats from 0 to 1; with `normalized=True` floats
    /// as the network takes them. Or it is a picture's path, or a list of them (`invert=None` judges by the border whether
    /// a picture is dark on light).
    #[pyo3(signature = (x, *, normalized=false, invert=None))]
    fn predict<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        normalized: bool,
        invert: Option<bool>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.forward(x, normalized, invert, softmax)
    }

    /// What `predict` takes the softmax of, float32 `[n, classes]`.
    #[pyo3(signature = (x, *, normalized=false, invert=None))]
    fn logits<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        normalized: bool,
        invert: Option<bool>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.forward(x, normalized, invert, |_| ())
    }

    /// The name of the likeliest class of each image.
    #[pyo3(signature = (x, *, normalized=false, invert=None))]
    fn classify(&self, x: &Bound<'_, PyAny>, normalized: bool, invert: Option<bool>) -> PyResult<Vec<&str>> {
        let logits = self.forward(x, normalized, invert, |_| ())?.readonly();
        let rows =
            logits.as_slice().map_err(|e| wrong(e.to_string()))?.chunks_exact(self.model.network.outputs().max(1));
        // The first of equals.
        let best = |row: &[f32]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        Ok(rows.map(|row| self.model.classes.get(best(row)).map_or("", String::as_str)).collect())
    }

    /// What a layer gives for some images, float32 `[n, …]`.
    ///
    /// `layer` is a name or a number (`layers`, `summary()`), `"input"` for the normalised input; `x` is uint8 or paths of
    /// pictures, as `predict` takes them.
    #[pyo3(signature = (layer, x, *, invert=None))]
    fn activations<'py>(
        &self,
        layer: &Bound<'py, PyAny>,
        x: &Bound<'py, PyAny>,
        invert: Option<bool>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let py = x.py();
        let name = if layer.is_instance_of::<PyInt>() { layer.str()?.to_string() } else { layer.extract()? };
        let network = &self.model.network;
        let found = inspect::find_layers(network, &[name]).map_err(Raise::raise)?;
        let [position] = found[..] else { return Err(wrong("activations are of one layer: give its name or number")) };
        let mut sizes = match position.checked_sub(1).map(|i| network.layers()[i].output) {
            None => network.input().to_vec(),
            Some(Shape::Image(chw)) => chw.to_vec(),
            Some(Shape::Flat(n)) => vec![n],
        };
        let images = Images::of(x, network.input(), invert)?;
        let n = images.count(network.input())?;
        let Values::Bytes(bytes) = images.values()? else {
            return Err(wrong("activations are those of uint8 images: give bytes, (255 * x).round().astype('uint8')"));
        };
        let (sample, size): (usize, usize) = (network.input().iter().product(), sizes.iter().product());
        let mut all = Vec::with_capacity(n * size);
        for part in bytes.chunks((ACTIVATIONS * sample).max(1)) {
            let work = || inspect::activations(&self.model, part).map_err(Raise::raise);
            all.extend(detached(py, work)?.swap_remove(position).values);
            py.check_signals()?;
        }
        sizes.insert(0, n);
        PyArray1::from_vec(py, all).reshape(sizes)
    }

    /// Parameters and buffers by PyTorch's names and in its layouts, float32.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        let network = &self.model.network;
        let parameters = network.tensors().map(|t| (&t.name, &t.shape, &self.model.parameters[t.range.clone()]));
        let buffers = network.buffer_tensors().map(|b| (&b.name, &b.shape, &self.model.buffers[b.range.clone()]));
        for (name, shape, values) in parameters.chain(buffers) {
            all.set_item(name, PyArray1::from_slice(py, values).reshape(shape.clone())?)?;
        }
        Ok(all)
    }

    /// Accuracy and mean loss on a dataset, by default the one that the model was trained on: `{"images", "accuracy",
    /// "loss"}`. `data` is as for `train`; of a pair of arrays there is no split.
    #[pyo3(signature = (data=None, *, split="test"))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Bound<'py, PyAny>>,
        split: &str,
    ) -> PyResult<Bound<'py, PyDict>> {
        if !["train", "test"].contains(&split) {
            return Err(wrong(format!("split is \"train\" or \"test\", not {split:?}")));
        }
        let dataset = match data {
            Some(pair) if data::is_pair(pair) => data::dataset(pair, "data")?,
            data => {
                let source = data.map(recipe::path).transpose()?.unwrap_or(self.model.training.dataset.clone());
                if source.is_empty() {
                    return Err(wrong("the model does not say what it was trained on: give data"));
                }
                let options = Options { shape: Some(self.model.spec.input), skip_bad: false };
                let loaded = data::load(py, &source, options)?;
                if split == "train" { loaded.train } else { loaded.test }
            }
        };
        self.check(&dataset)?;
        let mut score = Score::default();
        let indices: Vec<u32> = (0..dataset.len() as u32).collect();
        for indices in indices.chunks(EVALUATION) {
            score += self.engine.with(py, &self.model, 0, |engine, _| {
                detached(py, || {
                    let part = data::part(&dataset, indices);
                    let flip = self.model.flip_test;
                    train::evaluate(engine, &part, &self.tables, part.len(), flip).map_err(Raise::raise)
                })
            })?;
            py.check_signals()?;
        }
        let result = PyDict::new(py);
        result.set_item("images", score.samples)?;
        result.set_item("accuracy", score.accuracy())?;
        result.set_item("loss", score.mean_loss())?;
        Ok(result)
    }

    /// Writes the model's directory: `config.json`, `model.safetensors` with PyTorch's names, a card.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        detached(py, || self.model.save(&path).map_err(Raise::raise))
    }

    /// Writes one ONNX file (`format="onnx"`; with `raw_input=True` it takes bytes as floats from 0 to 255), or the
    /// directory that PyTorch reads (`format="torch"`, as `save`).
    #[pyo3(signature = (path, format="onnx", *, raw_input=false))]
    fn export(&self, py: Python<'_>, path: PathBuf, format: &str, raw_input: bool) -> PyResult<()> {
        match format {
            "onnx" => detached(py, || {
                let failed = |e: std::io::Error| crate::error::io(e.kind(), format!("{}: {e}", path.display()));
                lenet::write_atomic(&path, &self.model.to_onnx(raw_input)).map_err(failed)
            }),
            "torch" if raw_input => {
                Err(wrong("raw_input is for format=\"onnx\": a PyTorch model takes normalised floats"))
            }
            "torch" => self.save(py, path),
            _ => Err(wrong(format!("format is \"onnx\" or \"torch\", not {format:?}"))),
        }
    }

    /// The table of the network: layers, shapes, parameters, multiply-adds.
    fn summary(&self) -> String {
        Summary::new(&self.model.network).to_string()
    }

    /// Names of the classes, one an output.
    #[getter]
    fn classes(&self) -> Vec<&str> {
        self.model.classes.iter().map(String::as_str).collect()
    }

    /// Number of parameters that are learnt.
    #[getter]
    fn parameters(&self) -> usize {
        self.model.network.learnt()
    }

    /// Channels, rows and columns of an image.
    #[getter]
    fn input_shape(&self) -> (usize, usize, usize) {
        self.model.network.input().into()
    }

    /// Names of the layers, as in `state_dict` and for `activations`.
    #[getter]
    fn layers(&self) -> Vec<&str> {
        self.model.network.layers().iter().map(|l| l.name.as_str()).collect()
    }

    /// Metrics of the epochs, as in the run's `metrics.jsonl`; empty for a model without its run.
    #[getter]
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::from_text(py, serde_json::to_string(&self.metrics))
    }

    /// How the model was trained: recipe, dataset, epochs, seed, test accuracy.
    #[getter]
    fn training<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Training { recipe, dataset, epochs, seed, test_accuracy } = &self.model.training;
        let training = json!({ "recipe": recipe, "dataset": dataset, "epochs": epochs, "seed": seed, "test_accuracy": test_accuracy });
        value::from_json(py, &training)
    }

    /// The directory of the model's run, if it has one.
    #[getter]
    fn run(&self) -> Option<String> {
        self.run.as_ref().map(|dir| dir.to_string_lossy().into_owned())
    }

    /// Threads of predictions; 0 for as many as the machine runs at once.
    #[getter]
    fn threads(&self) -> usize {
        self.engine.threads()
    }

    fn __repr__(&self) -> String {
        let name = match &self.model.training.recipe[..] {
            "" => "",
            name => &format!("{name}, "),
        };
        let (shape, classes, parameters) = (self.model.network.input(), self.model.classes.len(), self.parameters());
        format!("<lenet.Model {name}{shape:?} to {classes} classes, {parameters} parameters>")
    }
}

/// Reads a model: its directory, that of its run, or an ONNX file. `threads` is for predictions, 0 for as many as the machine
/// runs at once.
#[pyfunction]
#[pyo3(signature = (path, *, threads=0))]
pub fn load(py: Python<'_>, path: PathBuf, threads: usize) -> PyResult<PyModel> {
    check_threads(threads)?;
    detached(py, || PyModel::load(&path, threads))
}

/// Accuracy and mean loss of a model or of what `load` reads: see `Model.evaluate`.
#[pyfunction]
#[pyo3(signature = (model, data=None, *, split="test", threads=0))]
pub fn evaluate<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyAny>,
    data: Option<&Bound<'py, PyAny>>,
    split: &str,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    match model.cast::<PyModel>() {
        Ok(model) => model.get().evaluate(py, data, split),
        Err(_) => load(py, model.extract()?, threads)?.evaluate(py, data, split),
    }
}
