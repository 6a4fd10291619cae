//! Models as files: all that a prediction needs, and nothing of the training's state.

pub mod onnx;
pub(crate) mod tensors;
pub mod torch;

use crate::data::Normalization;
use crate::engine::{Batch, CpuEngine, CpuOptions, Engine, EngineError, Pixels, forward_with_mirror};
use crate::fs::{hex, write_atomic};
use crate::spec::{Network, Spec, SpecError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Version of `config.json`.
const FORMAT: u32 = 1;

/// Largest file that is read at all: no model of this program comes near.
const LIMIT: u64 = 1 << 30;

/// A trained network, with what turns a picture into its input and its output into a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The layers.
    pub spec: Spec,
    /// The shapes that follow from the spec.
    pub network: Network,
    /// How bytes become inputs.
    pub normalization: Normalization,
    /// Whether logits are the means of those of image and mirror image ([`Model::logits`]).
    pub flip_test: bool,
    /// Names of the classes, one an output.
    pub classes: Vec<String>,
    /// Where it comes from.
    pub training: Training,
    /// The parameter slab, in the order of [`Network::tensors`].
    pub parameters: Vec<f32>,
    /// The buffer slab, in the order of [`Network::buffer_tensors`].
    pub buffers: Vec<f32>,
}

/// How a model was trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Name of the recipe or preset.
    pub recipe: String,
    /// Dataset, as recipes name it.
    pub dataset: String,
    /// Epochs done.
    pub epochs: usize,
    /// Seed.
    pub seed: u64,
    /// Accuracy on the test images after the last epoch, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test_accuracy: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    format_version: u32,
    model_type: String,
    spec: Spec,
    normalization: NormalizationConfig,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    flip_test: bool,
    classes: Vec<String>,
    training: Training,
    /// SHA-256 of `model.safetensors`; who changes that file leaves this out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    model_sha256: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalizationConfig {
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// Why a model could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file system.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no model.
    #[error(
        "{0} is no model: there is no config.json in it, nor in its folder 'model' (give the folder that a training wrote)"
    )]
    NoModel(PathBuf),
    /// A file says something that cannot be.
    #[error("{path} {what}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The spec is no network.
    #[error("{path}: {error}")]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SpecError,
    },
    /// An ONNX file is no model of this program.
    #[error("{path}: {error}")]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<onnx::OnnxError>,
    },
}

/// Reads a file of bounded size.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, ModelError> {
    let io = |error| ModelError::Io { path: path.to_path_buf(), error };
    let mut bytes = Vec::new();
    // What a device or a pipe holds is known only once it is read.
    File::open(path).map_err(io)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LIMIT {
        let what = format!("has more than the {LIMIT} bytes that are read at most");
        return Err(ModelError::Invalid { path: path.to_path_buf(), what });
    }
    Ok(bytes)
}

impl Model {
    /// Writes `config.json`, `model.safetensors` and `README.md` (the model card) into a directory.
    ///
    /// The bytes depend on the model alone.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn save(&self, dir: &Path) -> Result<(), ModelError> {
        std::fs::create_dir_all(dir).map_err(|error| ModelError::Io { path: dir.to_path_buf(), error })?;
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            write_atomic(&path, bytes).map_err(|error| ModelError::Io { path, error })
        };
        let invalid = |what: String| ModelError::Invalid { path: dir.to_path_buf(), what };
        let tensors =
            tensors::to_bytes(&self.network, [&self.parameters, &self.buffers], "format", "pt").map_err(invalid)?;
        let config = Config {
            format_version: FORMAT,
            model_type: "lenet".to_string(),
            spec: self.spec.clone(),
            normalization: NormalizationConfig {
                mean: self.normalization.mean.clone(),
                std: self.normalization.std.clone(),
            },
            flip_test: self.flip_test,
            classes: self.classes.clone(),
            training: self.training.clone(),
            model_sha256: Some(hex(&Sha256::digest(&tensors))),
        };
        let mut json = serde_json::to_string_pretty(&config).map_err(|e| invalid(e.to_string()))?;
        json.push('\n');
        // The config is last: where it is, the rest is.
        write("model.safetensors", &tensors)?;
        write("README.md", self.card().as_bytes())?;
        write("config.json", json.as_bytes())
    }

    /// Reads a model's directory, or that of a run, which holds its model.
    ///
    /// # Errors
    /// The first thing that is missing or cannot be, with the file's name.
    pub fn load(path: &Path) -> Result<Model, ModelError> {
        let dir = [path.to_path_buf(), path.join("model")].into_iter().find(|d| d.join("config.json").is_file());
        let dir = dir.ok_or_else(|| ModelError::NoModel(path.to_path_buf()))?;
        let config_path = dir.join("config.json");
        let invalid = |path: &Path, what: String| ModelError::Invalid { path: path.to_path_buf(), what };
        let config: Config = serde_json::from_slice(&read_bounded(&config_path)?)
            .map_err(|e| e.to_string().replace(char::is_control, " "))
            .map_err(|e| invalid(&config_path, format!("cannot be understood: {e}")))?;
        if config.format_version != FORMAT {
            let what = format!("has format_version {}, this program reads {FORMAT}", config.format_version);
            return Err(invalid(&config_path, what));
        }
        let network = config.spec.infer().map_err(|error| ModelError::Spec { path: config_path.clone(), error })?;
        let channels = network.input[0];
        let normalization = Normalization { mean: config.normalization.mean, std: config.normalization.std };
        if normalization.mean.len() != channels || normalization.std.len() != channels {
            return Err(invalid(&config_path, format!("normalization needs {channels} values of mean and of std")));
        }
        if normalization.std.iter().any(|&s| !(s.is_finite() && s > 0.0))
            || normalization.mean.iter().any(|m| !m.is_finite())
        {
            return Err(invalid(&config_path, "normalization needs finite means and positive stds".to_string()));
        }
        if config.classes.len() != network.outputs {
            let what = format!("has {} class names for {} outputs", config.classes.len(), network.outputs);
            return Err(invalid(&config_path, what));
        }
        let tensors_path = dir.join("model.safetensors");
        let bytes = read_bounded(&tensors_path)?;
        let [parameters, buffers] =
            tensors::from_bytes(&network, &bytes).map_err(|what| invalid(&tensors_path, what))?;
        let found = hex(&Sha256::digest(&bytes));
        if let Some(expected) = config.model_sha256.filter(|expected| *expected != found) {
            let what = format!(
                "has SHA-256 {found} where config.json says {expected}: it is damaged, or was changed (then remove \
                 model_sha256 from config.json)"
            );
            return Err(invalid(&tensors_path, what));
        }
        let Config { spec, classes, training, flip_test, .. } = config;
        Ok(Model { spec, network, normalization, flip_test, classes, training, parameters, buffers })
    }

    /// A CPU engine that holds the model's parameters and buffers.
    ///
    /// # Errors
    /// An instruction path that this CPU does not have.
    pub fn engine(&self, options: CpuOptions) -> Result<CpuEngine, EngineError> {
        let mut engine = CpuEngine::new(self.network.clone(), options)?;
        engine.set_parameters(&self.parameters)?;
        engine.set_buffers(&self.buffers)?;
        Ok(engine)
    }

    /// The logits of a batch of bytes, `[n, outputs]`, on an engine that holds the model's parameters.
    ///
    /// # Errors
    /// As [`Engine::forward`].
    pub fn logits(&self, engine: &mut dyn Engine, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
        if self.flip_test { forward_with_mirror(engine, batch, logits) } else { engine.forward(batch, logits) }
    }

    /// The logits of some of the images `[n, c, h, w]`, `[indices, outputs]`, a few thousand at a time.
    ///
    /// # Errors
    /// As [`Engine::forward`].
    pub fn logits_of(&self, engine: &mut dyn Engine, images: &[u8], indices: &[u32]) -> Result<Vec<f32>, EngineError> {
        const AT_A_TIME: usize = 4096;
        let tables = self.normalization.tables();
        let pixels = Pixels::Bytes { data: images, tables: &tables };
        let outputs = self.network.outputs;
        let mut all = vec![0.0; indices.len() * outputs];
        for (part, logits) in indices.chunks(AT_A_TIME).zip(all.chunks_mut(AT_A_TIME * outputs.max(1))) {
            self.logits(engine, &Batch { pixels, labels: &[], indices: part }, logits)?;
        }
        Ok(all)
    }

    /// The model card.
    fn card(&self) -> String {
        let t = &self.training;
        let accuracy = t.test_accuracy.map_or(String::new(), |a| format!("- accuracy on the test images: {a:.4}\n"));
        format!(
            "---\nlibrary_name: pytorch\npipeline_tag: image-classification\ntags:\n- lenet\n---\n\n\
             # {name}{on}\n\nA small convolutional classifier, made with `lenet`.\n\n\
             - input: {input:?} (channels, rows, columns), bytes / 255, then mean {mean:?} and std {std:?}\n{flip}\
             - classes: {classes}\n- parameters: {parameters}\n- epochs: {epochs}, seed {seed}\n{accuracy}\n\
             ## Layers\n\n```text\n{summary}\n```\n\n## Use\n\n```sh\nlenet predict MODEL IMAGE\nlenet eval MODEL{data}\n```\n\n\
             In PyTorch, beside `model.safetensors` (which holds the parameters under the names of this `Sequential`):\n\n\
             ```python\n{program}```\n",
            name = t.recipe,
            on = if t.dataset.is_empty() { String::new() } else { format!(" on {}", t.dataset) },
            data = if t.dataset.is_empty() { String::new() } else { format!(" --data {}", t.dataset) },
            program = torch::program(self),
            input = self.network.input,
            mean = self.normalization.mean,
            std = self.normalization.std,
            flip = if self.flip_test { "- logits: means over image and mirror image\n" } else { "" },
            classes = self.classes.join(", "),
            parameters = self.network.learnt(),
            epochs = t.epochs,
            seed = t.seed,
            summary = crate::inspect::Summary::new(&self.network),
        )
    }
}
