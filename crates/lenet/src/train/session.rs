//! From a recipe and its data to a training: the network, the run, the engine, what is noted of the machine.

use super::environment::{environment, recipe_name};
use super::error::TrainError;
use super::event::{Control, Event};
use super::images::{check, images};
use super::run::Run;
use super::trainer::{Plan, Trainer};
use crate::data::Loaded;
use crate::engine::{CpuEngine, CpuOptions, Engine, resolve_threads};
use crate::kernel;
use crate::model::Model;
use crate::spec::{Network, Recipe, RecipeError, Spec};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A training that is about to start.
///
/// Unless more is said it trains on all CPUs and leaves nothing behind but the model in memory.
///
/// # Examples
/// ```no_run
/// use lenet::data::{self, CacheOptions};
/// use lenet::spec::Recipe;
/// use lenet::train::{Control, Event, Run, Session};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let recipe = Recipe::load("lenet")?;
/// let data = data::load(&recipe.data.source, &CacheOptions::from_env(), &mut |_| {})?;
/// let model = Session::new(&recipe, &data)?.run_dir("runs/mine").threads(2).train(|event| {
///     let Event::Epoch(metrics) = event else { return Control::Continue };
///     println!("epoch {}: loss {:.3}", metrics.epoch, metrics.train_loss);
///     // Good enough: the checkpoint stays, and the run can be resumed.
///     if metrics.test_accuracy > Some(0.9) { Control::Stop } else { Control::Continue }
/// })?;
/// // Later, perhaps in another process:
/// let run = Run::open("runs/mine")?;
/// let model = Session::new(&recipe, &data)?.resume(run).train(|_| Control::Continue)?;
/// # Ok(())
/// # }
/// ```
pub struct Session<'a> {
    recipe: Recipe,
    spec: Spec,
    network: Network,
    data: &'a Loaded,
    name: Option<String>,
    options: CpuOptions,
    engine: Option<Box<dyn Engine + 'a>>,
    place: Place,
    notes: Map<String, Value>,
}

/// Where the run is kept.
enum Place {
    Nowhere,
    New(PathBuf),
    /// In the first free directory `NAME-N` of this one.
    Numbered(PathBuf),
    Opened(Run),
}

impl<'a> Session<'a> {
    /// A training of a recipe on these data. A normalisation by the dataset gets its numbers, and the network its shapes.
    ///
    /// # Errors
    /// A recipe that [`Recipe::check`] refuses or that does not fit the data, images that are not as many as their labels.
    pub fn new(recipe: &Recipe, data: &'a Loaded) -> Result<Self, TrainError> {
        check(recipe, &data.train)?;
        let mut recipe = recipe.clone();
        recipe.resolve_normalization(&data.train);
        let spec = recipe.spec(data.train.shape, data.train.classes.len())?;
        let network = spec.infer().map_err(RecipeError::from)?;
        let (options, place) = (CpuOptions::default(), Place::Nowhere);
        Ok(Session { recipe, spec, network, data, name: None, options, engine: None, place, notes: Map::new() })
    }

    /// The recipe, with the numbers that were resolved against the data.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The network, for an engine of one's own.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Name of the recipe, for the model's card; a resumed run knows its own, and a new one is called by its directory.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Threads to train on; 0, as without this, for as many as the machine runs at once. With an engine of one's own it
    /// only says how many that has.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads;
        self
    }

    /// Instructions of the CPU to train with, instead of the best; the model is the same.
    #[must_use]
    pub fn path(mut self, path: kernel::Path) -> Self {
        self.options.path = Some(path);
        self
    }

    /// Trains on this engine, which is for [`Session::network`], instead of one on the CPU.
    #[must_use]
    pub fn engine(mut self, engine: Box<dyn Engine + 'a>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Keeps the run in a directory that is empty or not there.
    #[must_use]
    pub fn run_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.place = Place::New(dir.as_ref().to_path_buf());
        self
    }

    /// Keeps the run in `PARENT/NAME-N`, with the first number that is free.
    #[must_use]
    pub fn numbered_in(mut self, parent: impl AsRef<Path>) -> Self {
        self.place = Place::Numbered(parent.as_ref().to_path_buf());
        self
    }

    /// Goes on with a run that is open: from its last checkpoint, if it has one.
    #[must_use]
    pub fn resume(mut self, run: Run) -> Self {
        self.place = Place::Opened(run);
        self
    }

    /// Adds an entry to the run's environment.
    #[must_use]
    pub(crate) fn note(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.notes.insert(key.into(), value.into());
        self
    }

    /// Makes the engine, opens the run, and prepares the first step: with initial parameters, those of the recipe's
    /// `init_from`, or those of the run's last checkpoint. A new run's directory is made only when data and engine fit.
    ///
    /// # Errors
    /// Data without images, an engine that cannot be, a directory that cannot be used, or a checkpoint that is damaged or
    /// of another recipe.
    pub fn open(self) -> Result<Trainer<'a>, TrainError> {
        let Session { recipe, spec, network, data, name, options, engine, place, notes } = self;
        let images = images(&recipe, data)?;
        let (engine, threads): (Box<dyn Engine + 'a>, usize) = match engine {
            Some(engine) if *engine.network() != network => return Err(TrainError::OtherNetwork),
            Some(engine) => (engine, resolve_threads(options.threads)),
            None => {
                let engine = CpuEngine::new(network, options)?;
                let threads = engine.threads();
                (Box::new(engine), threads)
            }
        };
        let name = name.unwrap_or_else(|| place.name());
        let environment = environment(&name, data, &engine.device(), threads, notes);
        let is_resumed = matches!(place, Place::Opened(_));
        let run = match place {
            Place::Nowhere => None,
            Place::New(dir) => Some(Run::create(dir, &recipe, &environment)?),
            Place::Numbered(parent) => Some(Run::create_numbered(&parent, &name, &recipe, &environment)?),
            Place::Opened(run) => Some(run),
        };
        let trainer = Trainer::new(Plan { recipe, name, spec }, images, engine, run)?;
        if let (true, Some(run)) = (is_resumed, trainer.run_dir()) {
            // It may go on with more epochs, and elsewhere.
            run.write_recipe(trainer.recipe())?;
            run.write_environment(&environment)?;
        }
        Ok(trainer)
    }

    /// Trains to the end, or until the listener stops it, and gives the model.
    ///
    /// # Errors
    /// As [`Session::open`] and [`Trainer::run`].
    pub fn train(self, mut on_event: impl FnMut(&Event) -> Control) -> Result<Model, TrainError> {
        let mut trainer = self.open()?;
        trainer.run(&mut on_event)?;
        Ok(trainer.model())
    }
}

impl Place {
    /// The recipe's name, as far as the place tells.
    fn name(&self) -> String {
        let dir = match self {
            Place::Nowhere | Place::Numbered(_) => None,
            Place::New(dir) => Some(dir.as_path()),
            Place::Opened(run) => match recipe_name(run.dir()) {
                Some(name) => return name,
                None => Some(run.dir()),
            },
        };
        let stem = dir.and_then(Path::file_stem);
        stem.map_or_else(|| "run".into(), |s| s.to_string_lossy().into_owned())
    }
}
