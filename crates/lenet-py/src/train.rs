//! `lenet.train`.

use crate::data::{self, ARRAYS};
use crate::engine::check_threads;
use crate::error::{Raise, detached, wrong};
use crate::model::PyModel;
use crate::recipe::{self, Named};
use crate::value;
use lenet::data::Loaded;
use lenet::engine::{CpuEngine, CpuOptions, Engine};
use lenet::spec::Recipe;
use lenet::train::{Control, EpochMetrics, Event, Outcome, Run, RunError, Trainer};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value, json};
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
        (Some(dir), None) if !dir.join("recipe.toml").is_file() => return Err(RunError::NotARun(dir.clone()).raise()),
        (Some(dir), None) => Named::Text(dir.join("recipe.toml").to_string_lossy().into_owned()),
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
    let mut recipe = named.recipe(&overrides)?;
    let loaded = match arrays {
        Some(pair) => data::from_arrays(pair, test, classes)?,
        None => data::load(py, &recipe.data.source, data::options(&recipe))?,
    };
    let listener = Listener { callback, looked: Instant::now(), raised: None, metrics: Vec::new() };
    let job = Job { name: named.name(), threads, out, resume, listener };
    detached(py, move || job.run(&mut recipe, &loaded))
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
    fn run(self, recipe: &mut Recipe, loaded: &Loaded) -> PyResult<PyModel> {
        let Job { mut name, threads, out, resume, mut listener } = self;
        // The run is opened first, for it tells what a second process must not touch; it is created last, so that nothing
        // is left of a training that cannot start.
        let open = resume.as_deref().map(Run::open).transpose().map_err(Raise::raise)?;
        if let Some(dir) = &resume {
            name = name_of_run(dir);
        }
        recipe.resolve_normalization(&loaded.train);
        let spec = recipe.spec(loaded.train.shape, loaded.train.classes.len()).map_err(Raise::raise)?;
        let network = spec.infer().map_err(Raise::raise)?;
        let engine = CpuEngine::new(network, CpuOptions { threads, path: None }).map_err(Raise::raise)?;
        let environment = environment(&name, loaded, &engine);
        let run = match (open, out) {
            (Some(run), _) => Some(run),
            (None, Some(dir)) => Some(Run::create(&dir, recipe, &environment).map_err(Raise::raise)?),
            (None, None) => None,
        };
        let recipe = &*recipe;
        let mut trainer = Trainer::new(recipe, &name, spec, &loaded.train, &loaded.test, Box::new(engine), run)
            .map_err(Raise::raise)?;
        if let (true, Some(run)) = (resume.is_some(), trainer.run_dir()) {
            run.write_recipe(recipe).and_then(|()| run.write_environment(&environment)).map_err(Raise::raise)?;
        }
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

/// The name of the recipe that a run began with.
fn name_of_run(dir: &std::path::Path) -> String {
    let text = std::fs::read_to_string(dir.join("environment.json")).unwrap_or_default();
    let known: Option<Value> = serde_json::from_str(&text).ok();
    let name = known.and_then(|e| Some(e.get("recipe")?.as_str()?.to_string()));
    name.unwrap_or_else(|| dir.file_stem().map_or("run".into(), |s| s.to_string_lossy().into_owned()))
}

/// What the run is done with.
fn environment(name: &str, loaded: &Loaded, engine: &CpuEngine) -> Value {
    let checksums: Map<_, _> = loaded.checksums.iter().map(|(f, sha)| (f.clone(), json!(sha))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "device": engine.device(),
        "threads": engine.threads(),
        "recipe": name,
        "data": { "name": loaded.name, "provenance": loaded.provenance, "sha256": checksums, "skipped": loaded.skipped },
    })
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
