//! Models into files.

use super::layout::{CARD, CONFIG, TENSORS};
use super::{FORMAT, Model, ModelError, Training, tensors, torch};
use crate::fs::{hex, write_atomic};
use crate::json::{Json, object};
use sha2::{Digest, Sha256};
use std::path::Path;

impl Training {
    pub(super) fn write(&self) -> Json {
        let mut fields = vec![
            ("recipe", self.recipe.as_str().into()),
            ("dataset", self.dataset.as_str().into()),
            ("epochs", self.epochs.into()),
            ("seed", self.seed.into()),
        ];
        fields.extend(self.test_accuracy.map(|accuracy| ("test_accuracy", accuracy.into())));
        object(fields)
    }
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
        let json = format!("{:#}\n", self.config(&hex(&Sha256::digest(&tensors))));
        // The config is last: where it is, the rest is.
        write(TENSORS, &tensors)?;
        write(CARD, self.card().as_bytes())?;
        write(CONFIG, json.as_bytes())
    }

    /// The content of `config.json`; `sha256` is that of `model.safetensors`.
    fn config(&self, sha256: &str) -> Json {
        let normalization =
            object([("mean", self.normalization.mean[..].into()), ("std", self.normalization.std[..].into())]);
        let mut fields = vec![
            ("format_version", FORMAT.into()),
            ("model_type", "lenet".into()),
            ("spec", self.spec.write()),
            ("normalization", normalization),
        ];
        if self.flip_test {
            fields.push(("flip_test", true.into()));
        }
        let classes = self.classes.iter().map(|class| class.as_str().into()).collect();
        fields.push(("classes", Json::List(classes)));
        fields.push(("training", self.training.write()));
        fields.push(("model_sha256", sha256.into()));
        object(fields)
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
            summary = crate::spec::Summary::new(&self.network),
        )
    }
}
