//! A model that answers: image in, class out.

use super::mirror::mirror;
use crate::data::picture::{Invert, PictureError, prepare};
use crate::engine::{Batch, CpuEngine, CpuOptions, Engine, EngineError, Pixels};
use crate::model::{Model, ModelError};
use crate::softmax::{argmax, softmax};
use std::fmt;
use std::path::Path;

/// A model with an engine of one thread and every buffer that an image needs.
///
/// After the first image of a network of convolutions, pooling, dense layers and activations nothing more is allocated.
/// Classifiers share nothing: a program with several threads gives each its own.
///
/// # Examples
/// ```no_run
/// use lenet::data::picture::Invert;
/// use lenet::predict::Classifier;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut classifier = Classifier::load("runs/lenet-1".as_ref())?;
/// let prediction = classifier.classify_picture(&std::fs::read("shoe.png")?, Invert::Auto)?;
/// println!("{} ({:.1} %)", prediction.label(), 100.0 * prediction.probability());
/// # Ok(())
/// # }
/// ```
pub struct Classifier {
    model: Model,
    engine: CpuEngine,
    tables: Vec<[f32; 256]>,
    mirrored: Vec<u8>,
    logits: Vec<f32>,
    probabilities: Vec<f32>,
}

/// What a network makes of an image. Lent by the [`Classifier`], until it takes the next image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction<'a> {
    /// The most probable class, as a position in [`Model::classes`]; the first of equals.
    pub class: usize,
    /// Probabilities of all classes, `[classes]`: the softmax of the logits, which sums to 1.
    pub probabilities: &'a [f32],
    /// What the network gives, `[classes]`.
    pub logits: &'a [f32],
    classes: &'a [String],
}

impl<'a> Prediction<'a> {
    /// Name of the most probable class.
    pub fn label(&self) -> &'a str {
        &self.classes[self.class]
    }

    /// Its probability, 0 to 1.
    pub fn probability(&self) -> f32 {
        self.probabilities[self.class]
    }

    /// The classes' names and probabilities, most probable first; allocates.
    pub fn ranking(&self) -> Vec<(&'a str, f32)> {
        let names = self.classes.iter().map(String::as_str);
        let mut all: Vec<_> = names.zip(self.probabilities.iter().copied()).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

/// Why an image has no class.
#[derive(Debug)]
pub enum ClassifyError {
    /// The picture cannot be used.
    Picture(PictureError),
    /// The image does not fit the network.
    Engine(EngineError),
}

impl fmt::Display for ClassifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassifyError::Picture(e) => e.fmt(f),
            ClassifyError::Engine(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ClassifyError {}

impl Classifier {
    /// A classifier of a model in memory.
    ///
    /// # Errors
    /// An instruction path in the environment variable `LENET_PATH` that this CPU does not have, or no memory for the network.
    pub fn new(model: Model) -> Result<Self, EngineError> {
        let engine = model.engine(CpuOptions { threads: 1, path: None })?;
        let tables = model.normalization.tables();
        let [logits, probabilities] = [(); 2].map(|()| vec![0.0; model.network.outputs]);
        Ok(Classifier { engine, tables, mirrored: Vec::new(), logits, probabilities, model })
    }

    /// A classifier from a model's directory, or that of a run ([`Model::load`]).
    ///
    /// # Errors
    /// As [`Model::load`] and [`Classifier::new`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let invalid = |e: EngineError| ModelError::Invalid { path: path.into(), what: format!("cannot be used: {e}") };
        Classifier::new(Model::load(path)?).map_err(invalid)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Channels, rows and columns of an image.
    pub fn input(&self) -> [usize; 3] {
        self.model.network.input
    }

    /// Classifies an image of bytes, `[channels, rows, columns]` of [`Classifier::input`], light things on a dark ground as
    /// in the datasets.
    ///
    /// # Errors
    /// Another number of bytes.
    pub fn classify(&mut self, pixels: &[u8]) -> Result<Prediction<'_>, EngineError> {
        let shape @ [c, h, w] = self.input();
        if pixels.len() != c * h * w {
            let n = pixels.len();
            return Err(EngineError::Mismatch(format!("{n} bytes are no image of {shape:?}, channels, rows, columns")));
        }
        let batch = |data| Batch { pixels: Pixels::Bytes { data, tables: &self.tables }, labels: &[], indices: &[0] };
        self.engine.forward(&batch(pixels), &mut self.logits)?;
        if self.model.flip_test {
            self.mirrored.clear();
            self.mirrored.extend(mirror(pixels, w));
            // The probabilities' place is free until they are computed.
            self.engine.forward(&batch(&self.mirrored), &mut self.probabilities)?;
            self.logits.iter_mut().zip(&self.probabilities).for_each(|(a, b)| *a = 0.5 * (*a + b));
        }
        self.probabilities.iter_mut().zip(softmax(&self.logits)).for_each(|(to, p)| *to = p as f32);
        let class = argmax(&self.logits);
        let (probabilities, logits, classes) = (&self.probabilities, &self.logits, &self.model.classes);
        Ok(Prediction { class, probabilities, logits, classes })
    }

    /// Classifies a picture in a file's bytes, of any size, fitted to the network's input as `lenet predict` does it
    /// ([`prepare`]). Decoding and fitting allocate.
    ///
    /// # Errors
    /// As [`prepare`].
    pub fn classify_picture(&mut self, file: &[u8], invert: Invert) -> Result<Prediction<'_>, ClassifyError> {
        let prepared = prepare(file, self.input(), invert).map_err(ClassifyError::Picture)?;
        self.classify(&prepared.pixels).map_err(ClassifyError::Engine)
    }
}
