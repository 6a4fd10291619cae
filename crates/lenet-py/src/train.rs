//! `lenet.train`.

use crate::data::{self, ARRAYS};
use crate::engine::check_threads;
use crate::error::{Raise, detached, wrong};
use crate::model::PyModel;
use crate::recipe::{self, Named};
use crate::value;
use lenet::data::Loaded;
use lenet::spec::Recipe;
use lenet::train::{Control, EpochMetrics, Event, Outcome, Run, Session, TrainError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long Ctrl-C may wait for the end of a step.
const LOOK: Duration = Duration::from_millis(20);

/// Trains a network and gives the model.
///
/// `recipe` is a preset (`lenet.presets()`), the path of a recipe's file or a dict of the same sections; without one it is
/// LeNet on Fashion-MNIST. Any setting of a recipe is a keyword (`epochs=3`, `lr=0.1`, `activation="relu"`), or an entry of
/// `set` with a dotted key (`set={"model.layers.0.channels": 8}`).
///
/// `data` is a dataset's name, `"idx:DIR"`, a folder of pictures, or a pair `(images, labels)` of arrays: uint8, or floats
/// from 0 to 1 (taken as the nearest of 256 levels), `[n, h, w]` or `[n, c, h, w]`; `test` is such a pair too. Without it a
/// fifth of every class is kept for the test.
///
/// `out` is a new directory for the run (checkpoints, metrics, model), `resume` one to go on with. `callback` gets the
/// metrics of every epoch as a dict, and ends the training by returning False. Ctrl-C ends it within a step, with a
/// checkpoint if there is a run.
#[pyfunction]
#[pyo3(signature = (recipe=None, *, data=None, test=None, classes=None, epochs=None, seed=None, threads=0, out=None,
                    resume=None, callback=None, set=None, **settings))]
#[allow(clippy::too_many_arguments)] // They are Python's keywords.
pub fn train(
    py: Python<'_>,
    recipe: Option<&Bound<'_, PyAny>>,
    data: Option<&Bound<'_, PyAny>>,
    test: Option<&Bound<'_, PyAny>>,
    classes: Option<Vec<String>>,
    epochs: Option<&Bound<'_, PyAny>>,
    seed: Option<&Bound<'_, PyAny>>,
    threads: usize,
    out: Option<PathBuf>,
    resume: Option<PathBuf>,
    callback: Option<Py<PyAny>>,
    set: Option<&Bound<'_, PyDict>>,
    settings: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyModel> {
    check_threads(threads)?;
    let named = match (&resume, recipe) {
        (None, recipe) => Named::of(recipe)?,
        (Some(_), Some(_)) => return Err(wrong("a run that goes on has its recipe: leave recipe out")),
        (Some(dir), None) => Named::Text(Run::recipe_path(dir).map_err(Raise::raise)?.to_string_lossy().into_owned()),
    };
    if resume.is_some() && out.is_some() {
        return Err(wrong("a run goes on where it is: leave out out"));
    }
    let mut overrides = recipe::overrides(set, settings)?;
    for (key, value) in [("epochs", epochs), ("seed", seed)] {
        if let Some(value) = value {
            overrides.push(format!("train.{key}={}", value::toml(value)?));
        }
    }
    let arrays = data.filter(|d| data::is_pair(d));
    let source = match (arrays, data) {
        (Some(_), _) => Some(ARRAYS.to_string()),
        (None, data) => data.map(recipe::path).transpose()?,
    };
    overrides.extend(source.map(|source| format!("data.source={}", json!(source))));
    if arrays.is_none() && (test.is_some() || classes.is_some()) {
        return Err(wrong("test and classes belong to data=(x, y): other data has its own"));
    }
    let recipe = named.recipe(&overrides)?;
    let loaded = match arrays {
        Some(pair) => data::from_arrays(pair, test, classes)?,
        None => data::load(py, &recipe.data.source, data::options(&recipe))?,
    };
    let listener = Listener { callback, looked: Instant::now(), raised: None, metrics: Vec::new() };
    let job = Job { name: named.name(), threads, out, resume, listener };
    detached(py, move || job.run(&recipe, &loaded))
}

/// A training that needs nothing more of the interpreter than to tell it how it goes.
struct Job {
    name: String,
    threads: usize,
    out: Option<PathBuf>,
    resume: Option<PathBuf>,
    listener: Listener,
}

impl Job {
    fn run(self, recipe: &Recipe, loaded: &Loaded) -> PyResult<PyModel> {
        let Job { name, threads, out, resume, mut listener } = self;
        let open = || -> Result<_, TrainError> {
            // The run is opened first, for it tells what a second process must not touch.
            let run = resume.map(Run::open).transpose()?;
            let session = Session::new(recipe, loaded)?.threads(threads);
            let session = match (run, out) {
                (Some(run), _) => session.resume(run),
                (None, Some(dir)) => session.name(&name).run_dir(dir),
                (None, None) => session.name(&name),
            };
            session.open()
        };
        let mut trainer = open().map_err(Raise::raise)?;
        let outcome = trainer.run(&mut |event| listener.on(event));
        if let Some(raised) = listener.raised {
            return Err(raised);
        }
        let outcome = outcome.map_err(Raise::raise)?;
        let model = trainer.model();
        let (metrics, dir) = match trainer.run_dir() {
            None => (listener.metrics, None),
            Some(run) => {
                if outcome == Outcome::Interrupted {
                    // It was the callback's wish: the model is what it has got.
                    model.save(&run.model_dir()).map_err(Raise::raise)?;
                }
                (run.metrics().to_vec(), Some(run.dir().to_path_buf()))
            }
        };
        Ok(PyModel::new(model, threads, metrics, dir))
    }
}

/// Tells Python how the training goes, and the training what Python wishes.
struct Listener {
    callback: Option<Py<PyAny>>,
    looked: Instant,
    /// What Python raised.
    raised: Option<PyErr>,
    metrics: Vec<EpochMetrics>,
}

impl Listener {
    fn on(&mut self, event: &Event) -> Control {
        if self.raised.is_some() {
            return Control::Stop;
        }
        let wish = match event {
            Event::Epoch(metrics) => {
                self.metrics.push((*metrics).clone());
                Python::attach(|py| self.tell(py, metrics))
            }
            // Attaching at every step would have this wait for Python's other threads far too often.
            _ if self.looked.elapsed() >= LOOK => {
                self.looked = Instant::now();
                Python::attach(|py| py.check_signals().map(|()| Control::Continue))
            }
            _ => Ok(Control::Continue),
        };
        wish.unwrap_or_else(|raised| {
            self.raised = Some(raised);
            Control::Stop
        })
    }

    fn tell(&self, py: Python<'_>, metrics: &EpochMetrics) -> PyResult<Control> {
        py.check_signals()?;
        let Some(callback) = &self.callback else { return Ok(Control::Continue) };
        let answer = callback.bind(py).call1((value::from_text(py, serde_json::to_string(metrics))?,))?;
        // `False` of Python or of NumPy; whatever else a callback returns means nothing.
        Ok(if answer.extract::<bool>().is_ok_and(|go_on| !go_on) { Control::Stop } else { Control::Continue })
    }
}
