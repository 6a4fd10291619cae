//! A sweep's file, and the trials that follow from it.

use super::error::{DrawFault, SweepError, SweepFault};
use crate::random::{Purpose, Stream};
use crate::spec::{Recipe, RecipeError};
use serde::Deserialize;
use std::path::Path;

/// How configurations are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// All combinations of `[grid]`.
    Grid,
    /// So many draws from `[random]`.
    Random,
    /// Draws from `[random]`, of which rung by rung only the best go on (successive halving).
    Asha,
}

/// The rungs of successive halving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Halving {
    /// Epochs of the first rung.
    pub min_epochs: usize,
    /// One in so many goes on, for so many times the epochs.
    pub factor: usize,
}

impl Default for Halving {
    fn default() -> Self {
        Halving { min_epochs: 1, factor: 3 }
    }
}

/// A sweep's file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// A preset or a recipe's file, relative to the working directory.
    pub recipe: String,
    /// How configurations are chosen; without it the sections decide.
    #[serde(default)]
    pub method: Option<Method>,
    /// Draws of `random` and `asha`.
    #[serde(default = "twenty")]
    pub trials: usize,
    /// Epochs of a trial, if not the recipe's.
    #[serde(default)]
    pub epochs: Option<usize>,
    /// Seed of the draws.
    #[serde(default)]
    pub seed: u64,
    /// Trainings of each configuration, with seeds 0, 1, ….
    #[serde(default = "one")]
    pub seeds: usize,
    /// Trials side by side, one thread each; 0 for as many as the machine runs at once, 1 for one with all threads.
    #[serde(default)]
    pub parallel: usize,
    /// Share of the training images that trials are judged by.
    #[serde(default = "tenth")]
    pub val_fraction: f64,
    /// Overrides of every trial.
    #[serde(default)]
    pub set: toml::Table,
    /// Values of each key.
    #[serde(default)]
    pub grid: toml::Table,
    /// Where each key's values are drawn from: a list, `{ log = [low, high] }`, `{ uniform = … }` or `{ int = … }`.
    #[serde(default)]
    pub random: toml::Table,
    /// Rungs of `asha`.
    #[serde(default)]
    pub asha: Option<Halving>,
}

fn twenty() -> usize {
    20
}

fn one() -> usize {
    1
}

fn tenth() -> f64 {
    0.1
}

/// One training of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Position among the trials, from 0.
    pub number: usize,
    /// Position among the configurations.
    pub configuration: usize,
    /// What differs from trial to trial: key and value, as TOML writes it.
    pub sets: Vec<(String, String)>,
    /// Seed of the training.
    pub seed: u64,
}

/// Most trials of a sweep.
const LIMIT: usize = 100_000;

impl Sweep {
    /// Reads a sweep's text; `path` is what errors call it.
    ///
    /// # Errors
    /// What is wrong with it, with its line where that is known.
    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Sweep, SweepError> {
        let error = |fault| SweepError::File { path: path.as_ref().to_path_buf(), fault };
        let line = |e: toml::de::Error| SweepFault::Syntax(e.to_string().trim().replace('\n', " "));
        let sweep: Sweep = toml::from_str(text).map_err(line).map_err(error)?;
        sweep.check().map_err(error)?;
        Ok(sweep)
    }

    /// How configurations are chosen: as the file says, or by the sections that it has.
    pub fn method(&self) -> Method {
        match self.method {
            Some(method) => method,
            None if self.asha.is_some() => Method::Asha,
            None if !self.random.is_empty() => Method::Random,
            None => Method::Grid,
        }
    }

    /// The rungs of `asha`, where the file does not say more.
    pub fn halving(&self) -> Halving {
        self.asha.unwrap_or_default()
    }

    fn check(&self) -> Result<(), SweepFault> {
        let (keys, section) = match self.method() {
            Method::Grid => (&self.grid, "grid"),
            Method::Random | Method::Asha => (&self.random, "random"),
        };
        if keys.is_empty() {
            return Err(SweepFault::NoKeys(section));
        }
        // All trials learn from the same images, so that they can be compared.
        let shared = ["data.source", "source", "data.train_limit", "train_limit", "train.seed", "seed"];
        if let Some(key) = keys.keys().find(|k| shared.contains(&k.as_str())) {
            return Err(SweepFault::Shared(key.clone()));
        }
        if !(self.val_fraction > 0.0 && self.val_fraction < 1.0) {
            return Err(SweepFault::ValFraction(self.val_fraction));
        }
        if self.seeds == 0 || self.trials == 0 || self.epochs == Some(0) {
            return Err(SweepFault::Zero);
        }
        if self.halving().min_epochs == 0 || self.halving().factor < 2 {
            return Err(SweepFault::Halving);
        }
        match self.configurations()?.saturating_mul(self.seeds) {
            trials if trials > LIMIT => Err(SweepFault::TooMany { trials, most: LIMIT }),
            _ => Ok(()),
        }
    }

    /// How many configurations there are, if all keys have values.
    fn configurations(&self) -> Result<usize, SweepFault> {
        match self.method() {
            Method::Grid => self.grid.iter().try_fold(1usize, |product, (key, values)| {
                match values.as_array().map_or(0, Vec::len) {
                    0 => Err(SweepFault::NoList(key.clone())),
                    n => Ok(product.saturating_mul(n)),
                }
            }),
            Method::Random | Method::Asha => {
                self.random.iter().try_for_each(|(key, from)| {
                    draw(from, 0.5).map(drop).map_err(|fault| SweepFault::Draw { key: key.clone(), fault })
                })?;
                Ok(self.trials)
            }
        }
    }

    /// The trials, configuration by configuration.
    pub fn trials(&self) -> Vec<Trial> {
        let configurations = match self.method() {
            Method::Grid => self.combinations(),
            Method::Random | Method::Asha => (0..self.trials).map(|n| self.drawn(n)).collect(),
        };
        let mut trials = Vec::new();
        for (configuration, sets) in configurations.into_iter().enumerate() {
            for seed in 0..self.seeds as u64 {
                trials.push(Trial { number: trials.len(), configuration, sets: sets.clone(), seed });
            }
        }
        trials
    }

    /// All combinations; the last key turns fastest.
    fn combinations(&self) -> Vec<Vec<(String, String)>> {
        let mut all = vec![Vec::new()];
        for (key, values) in &self.grid {
            let values = values.as_array().map_or(&[][..], |v| v);
            let longer = |sets: Vec<(String, String)>| {
                values.iter().map(move |v| [&sets[..], &[(key.clone(), v.to_string())]].concat())
            };
            all = all.into_iter().flat_map(longer).collect();
        }
        all
    }

    fn drawn(&self, number: usize) -> Vec<(String, String)> {
        let mut stream = Stream::new(self.seed, Purpose::Sweep, 0, number as u32);
        let one = |(key, from): (&String, &toml::Value)| {
            // Checked when the file was read.
            (key.clone(), draw(from, f64::from(stream.uniform())).unwrap_or_default())
        };
        self.random.iter().map(one).collect()
    }

    /// The recipe of a trial.
    ///
    /// # Errors
    /// What is wrong with it: a key that is none, a value out of its range.
    pub fn recipe(&self, trial: &Trial) -> Result<Recipe, RecipeError> {
        let mut sets: Vec<String> = self.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        sets.extend(self.epochs.map(|n| format!("train.epochs={n}")));
        sets.push(format!("train.val_fraction={}", self.val_fraction));
        sets.push(format!("train.seed={}", trial.seed));
        sets.extend(trial.sets.iter().map(|(key, value)| format!("{key}={value}")));
        Recipe::load_with(&self.recipe, &sets)
    }

    /// Epochs after which trials are compared, the last being all.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        let mut rungs = vec![epochs];
        if self.method() == Method::Asha {
            let mut rung = self.halving().min_epochs;
            let mut lower = Vec::new();
            while rung < epochs {
                lower.push(rung);
                rung = rung.saturating_mul(self.halving().factor);
            }
            lower.extend(rungs);
            rungs = lower;
        }
        rungs
    }
}

/// A value from a distribution, by a number from the uniform one over [0, 1).
fn draw(from: &toml::Value, u: f64) -> Result<String, DrawFault> {
    if let Some(values) = from.as_array().filter(|v| !v.is_empty()) {
        return Ok(values[((u * values.len() as f64) as usize).min(values.len() - 1)].to_string());
    }
    let table = from.as_table().filter(|t| t.len() == 1).ok_or(DrawFault::Kind)?;
    let (kind, ends) = table.iter().next().ok_or(DrawFault::Kind)?;
    let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    let ends: Vec<f64> = ends.as_array().ok_or(DrawFault::Kind)?.iter().filter_map(number).collect();
    let [low, high] = ends[..] else { return Err(DrawFault::Kind) };
    if !(low < high && low.is_finite() && high.is_finite()) {
        return Err(DrawFault::Ends(low, high));
    }
    match kind.as_str() {
        "log" if low <= 0.0 => Err(DrawFault::Log(low)),
        // Four digits are enough to tell trials apart, and read well.
        "log" => Ok(rounded(libm::exp(libm::log(low) + u * (libm::log(high) - libm::log(low))))),
        "uniform" => Ok(rounded(low + u * (high - low))),
        "int" => Ok(format!("{}", (low + (u * (high - low + 1.0)).floor()).min(high) as i64)),
        _ => Err(DrawFault::Kind),
    }
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.3e}");
    text.parse::<f64>().map_or(text, |v| format!("{v:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Sweep, SweepError> {
        Sweep::parse(text, Path::new("s.toml"))
    }

    #[test]
    fn a_grid_has_all_combinations() {
        let text = "recipe = \"lenet\"\nmethod = \"grid\"\nseeds = 2\n[grid]\n\"train.lr\" = [0.1, 0.2]\npool = [\"max\", \"avg\"]";
        let trials = parse(text).unwrap().trials();
        assert_eq!(trials.len(), 8);
        let one = |t: &Trial| {
            format!("{} {} {:?}", t.configuration, t.seed, t.sets.iter().map(|s| &s.1[..]).collect::<Vec<_>>())
        };
        let mut seen: Vec<String> = trials.iter().map(one).collect();
        seen.dedup();
        assert_eq!(seen.len(), 8);
        assert!(trials.iter().all(|t| t.sets.len() == 2));
    }

    #[test]
    fn draws_lie_where_they_should_and_repeat() {
        let text = "recipe = \"lenet\"\nmethod = \"random\"\ntrials = 200\nseed = 3\n[random]\n\
                    \"train.lr\" = { log = [0.01, 1.0] }\n\"model.conv.0.channels\" = { int = [4, 6] }\npool = [\"max\", \"avg\"]";
        let sweep = parse(text).unwrap();
        let trials = sweep.trials();
        assert_eq!(trials, sweep.trials());
        let values = |key: &str| -> Vec<String> {
            trials.iter().map(|t| t.sets.iter().find(|s| s.0 == key).unwrap().1.clone()).collect()
        };
        let rates: Vec<f64> = values("train.lr").iter().map(|v| v.parse().unwrap()).collect();
        assert!(rates.iter().all(|r| (0.01..=1.0).contains(r)));
        let low = rates.iter().filter(|r| **r < 0.1).count();
        assert!((70..130).contains(&low), "half of a logarithmic range lies below its middle: {low}");
        for n in ["4", "5", "6"] {
            assert!(values("model.conv.0.channels").iter().filter(|v| *v == n).count() > 40);
        }
    }

    #[test]
    fn rungs_grow_by_the_factor() {
        let text = "recipe = \"lenet\"\nmethod = \"asha\"\n[random]\nlr = [0.1]\n[asha]\nmin_epochs = 1\nfactor = 3";
        assert_eq!(parse(text).unwrap().rungs(12), [1, 3, 9, 12]);
        assert_eq!(parse(text).unwrap().rungs(1), [1]);
    }

    #[test]
    fn sections_say_what_the_method_is() {
        for (sections, method) in [
            ("[grid]\nlr = [0.1]", Method::Grid),
            ("[random]\nlr = [0.1]", Method::Random),
            ("[random]\nlr = [0.1]\n[asha]\nfactor = 2", Method::Asha),
        ] {
            assert_eq!(parse(&format!("recipe = \"lenet\"\n{sections}")).unwrap().method(), method);
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        for (text, word) in [
            ("method = \"grid\"\n[grid]\nlr = [1]", "recipe"),
            ("recipe = \"lenet\"\nmethod = \"gird\"", "gird"),
            ("recipe = \"lenet\"\nmethod = \"grid\"", "[grid]"),
            ("recipe = \"lenet\"\nmethod = \"grid\"\n[grid]\nlr = 3", "list"),
            ("recipe = \"lenet\"\nmethod = \"random\"\n[random]\nlr = { log = [0, 1] }", "above 0"),
            ("recipe = \"lenet\"\nmethod = \"random\"\n[random]\nlr = { log = [2, 1] }", "below its high end"),
            ("recipe = \"lenet\"\nmethod = \"random\"\nval_fraction = 0\n[random]\nlr = [1]", "val_fraction"),
            ("recipe = \"lenet\"\nmethod = \"grid\"\nepoch = 3\n[grid]\nlr = [1]", "epoch"),
            ("recipe = \"lenet\"\nmethod = \"grid\"\n[grid]\nsource = [\"mnist\"]", "cannot differ"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("s.toml: ") && error.contains(word), "{error}");
        }
    }
}
