//! Models from files.

use super::layout::{CONFIG, DIRECTORY, TENSORS};
use super::{FORMAT, Model, ModelError, Training, tensors};
use crate::json::{Json, JsonError};
use crate::spec::Normalization;
use crate::spec::Spec;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read at all: no model of this program comes near.
const LIMIT: u64 = 1 << 30;

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

/// The content of `config.json`.
struct Config {
    spec: Spec,
    normalization: Normalization,
    flip_test: bool,
    classes: Vec<String>,
    training: Training,
    /// SHA-256 of `model.safetensors`; who changes that file leaves this out.
    sha256: Option<String>,
}

const KEYS: [&str; 8] =
    ["format_version", "model_type", "spec", "normalization", "flip_test", "classes", "training", "model_sha256"];

fn string(json: &Json) -> Result<String, JsonError> {
    json.text().map(String::from)
}

fn sha256(json: &Json) -> Result<Option<String>, JsonError> {
    if *json == Json::Null {
        return Ok(None);
    }
    let text = string(json)?;
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(JsonError("must be 64 hexadecimal digits".to_string()));
    }
    Ok(Some(text.to_ascii_lowercase()))
}

impl Config {
    fn read(json: &Json) -> Result<Config, JsonError> {
        json.only(&KEYS)?;
        json.field("model_type", Json::text)?;
        Ok(Config {
            spec: json.field("spec", Spec::read)?,
            normalization: json.field("normalization", |json| {
                json.only(&["mean", "std"])?;
                let values = |key| json.field(key, |list| list.list_of(Json::finite));
                Ok(Normalization { mean: values("mean")?, std: values("std")? })
            })?,
            flip_test: json.field_or("flip_test", false, Json::bool)?,
            classes: json.field("classes", |list| list.list_of(string))?,
            training: json.field("training", Training::read)?,
            sha256: json.field_or("model_sha256", None, sha256)?,
        })
    }
}

impl Training {
    pub(super) fn read(json: &Json) -> Result<Training, JsonError> {
        json.only(&["recipe", "dataset", "epochs", "seed", "test_accuracy"])?;
        let accuracy = |json: &Json| if *json == Json::Null { Ok(None) } else { json.number().map(Some) };
        Ok(Training {
            recipe: json.field("recipe", string)?,
            dataset: json.field("dataset", string)?,
            epochs: json.field("epochs", Json::number)?,
            seed: json.field("seed", Json::number)?,
            test_accuracy: json.field_or("test_accuracy", None, accuracy)?,
        })
    }
}

impl Model {
    /// Reads a model's directory, or that of a run, which holds its model.
    ///
    /// # Errors
    /// The first thing that is missing or cannot be, with the file's name.
    pub fn load(path: &Path) -> Result<Model, ModelError> {
        let dir = [path.to_path_buf(), path.join(DIRECTORY)].into_iter().find(|d| d.join(CONFIG).is_file());
        let dir = dir.ok_or_else(|| ModelError::NoModel(path.to_path_buf()))?;
        let [config, tensors] = [dir.join(CONFIG), dir.join(TENSORS)];
        let config = Named { bytes: read_bounded(&config)?, path: config };
        // The config first: what is wrong there is said even if there is no other file.
        let read = config.read()?;
        read.model(&config.path, &Named { bytes: read_bounded(&tensors)?, path: tensors })
    }

    /// A model from the bytes of its `config.json` and `model.safetensors`, for programs that have no files.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(config: &[u8], tensors: &[u8]) -> Result<Model, ModelError> {
        let named = |bytes: &[u8], name: &str| Named { bytes: bytes.to_vec(), path: name.into() };
        let config = named(config, CONFIG);
        config.read()?.model(&config.path, &named(tensors, TENSORS))
    }
}

/// A file's content.
struct Named {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Named {
    fn invalid(&self, what: String) -> ModelError {
        ModelError::Invalid { path: self.path.clone(), what }
    }

    fn read(&self) -> Result<Config, ModelError> {
        let broken = |e: JsonError| self.invalid(format!("cannot be understood: {e}"));
        let json = Json::parse(&self.bytes).map_err(broken)?;
        // The version before the rest: another one may have other keys.
        let version: u32 = json.field("format_version", Json::number).map_err(broken)?;
        if version != FORMAT {
            return Err(self.invalid(format!("has format_version {version}, this program reads {FORMAT}")));
        }
        Config::read(&json).map_err(broken)
    }
}

impl Config {
    fn model(self, path: &Path, tensors: &Named) -> Result<Model, ModelError> {
        let invalid = |what: String| Err(ModelError::Invalid { path: path.to_path_buf(), what });
        let network = self.spec.infer().map_err(|error| ModelError::Spec { path: path.to_path_buf(), error })?;
        let channels = network.input[0];
        let Normalization { mean, std } = &self.normalization;
        if mean.len() != channels || std.len() != channels {
            return invalid(format!("normalization needs {channels} values of mean and of std"));
        }
        if std.iter().any(|&s| s <= 0.0) {
            return invalid("normalization needs positive stds".to_string());
        }
        if self.classes.len() != network.outputs {
            return invalid(format!("has {} class names for {} outputs", self.classes.len(), network.outputs));
        }
        let [parameters, buffers] =
            tensors::from_bytes(&network, &tensors.bytes).map_err(|what| tensors.invalid(what))?;
        check_sha256(self.sha256.as_deref(), &tensors.bytes).map_err(|what| tensors.invalid(what))?;
        let Config { spec, normalization, flip_test, classes, training, .. } = self;
        Ok(Model { spec, network, normalization, flip_test, classes, training, parameters, buffers })
    }
}

#[cfg(feature = "train")]
fn check_sha256(expected: Option<&str>, bytes: &[u8]) -> Result<(), String> {
    use sha2::{Digest, Sha256};
    let found = crate::fs::hex(&Sha256::digest(bytes));
    match expected.filter(|expected| *expected != found) {
        Some(expected) => Err(format!(
            "has SHA-256 {found} where config.json says {expected}: it is damaged, or was changed (then remove \
             model_sha256 from config.json)"
        )),
        None => Ok(()),
    }
}

/// Programs that only predict have no SHA-256; sizes, shapes and finiteness are checked all the same.
#[cfg(not(feature = "train"))]
fn check_sha256(_expected: Option<&str>, _bytes: &[u8]) -> Result<(), String> {
    Ok(())
}
