//! What the page compares inputs with: the test images of a model's dataset, and their energies.

use crate::models::{Loaded, Slot};
use crate::pool::on_pool;
use lenet::data::{self, CacheOptions, Dataset, catalog};
use lenet::engine::CpuOptions;
use lenet::inspect;
use lenet::model::Model;
use lenet::predict::Distribution;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Test images whose energies others are compared with.
const REFERENCE: usize = 2000;

/// The dataset that a model was trained on, as far as this machine has it.
pub struct Reference {
    /// Its test images.
    pub test: Dataset,
    /// The energies of the first of them.
    pub energies: Distribution,
}

type Cell = Arc<OnceCell<Result<Arc<Reference>, String>>>;

/// The references of all models, each with the model's version; read when they are first asked for.
#[derive(Default)]
pub struct References(Mutex<HashMap<String, (u64, Cell)>>);

impl References {
    /// The reference of a model, or why there is none.
    pub async fn get(&self, slot: &Slot, loaded: &Loaded) -> Result<Arc<Reference>, String> {
        let cell = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = all.entry(slot.name().to_string()).or_default();
            if entry.0 != loaded.version {
                *entry = (loaded.version, Cell::default());
            }
            entry.1.clone()
        };
        let model = loaded.model.clone();
        let read = || async { on_pool(move || reference(&model)).await.unwrap_or_else(|p| Err(p.message)) };
        cell.get_or_init(read).await.clone()
    }
}

/// Reads the test images and judges some. Nothing is downloaded, and no folder is searched for pictures.
fn reference(model: &Model) -> Result<Arc<Reference>, String> {
    let source = &model.training.dataset;
    if catalog::find(source).is_none() && !source.starts_with("idx:") {
        return Err("only named datasets and IDX files are shown here".into());
    }
    let cache = CacheOptions { offline: true, official: false, ..CacheOptions::from_env() };
    let found = data::load(source, &cache, &mut |_| {});
    let advice = |_| match source.strip_prefix("idx:") {
        Some(dir) => format!("its IDX files are not on this machine: put them into {dir}"),
        None => format!("{source} is not on this machine: lenet data fetch {source}"),
    };
    let test = found.map_err(advice)?.test;
    if test.shape != model.spec.input || test.classes.len() != model.classes.len() || test.is_empty() {
        return Err(format!("{source} does not fit the model"));
    }
    let few = &test.images[..REFERENCE.min(test.len()) * test.sample_len()];
    let mut engine = model.engine(CpuOptions { threads: 1, path: None }).map_err(|e| e.to_string())?;
    let verdicts = inspect::verdicts(model, &mut engine, few).map_err(|e| e.to_string())?;
    let energies = Distribution::new(verdicts.iter().map(|v| v.energy));
    Ok(Arc::new(Reference { test, energies }))
}
