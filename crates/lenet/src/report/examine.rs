//! What a model does on a dataset's images.

use super::picture::{Picture, diverging};
use super::{Activations, Evidence, Example, Filters, Part, ReportError, RunReport};
use crate::data::{Dataset, Loaded};
use crate::draw::ColourMap;
use crate::engine::CpuOptions;
use crate::inspect::{Doubles, stage_end};
use crate::metrics::Predictions;
use crate::model::Model;
use crate::spec::{LayerInfo, Network, Shape, Sort};
use crate::train::recipe_split;

/// Images that are shown: mistakes, pairs of classes and images of each, classes and maps of the activations, filters.
const MISTAKES: usize = 24;
const PAIRS: usize = 8;
const PAIR_IMAGES: usize = 6;
const CLASSES: usize = 12;
const MAPS: usize = 16;
const FILTERS: usize = 32;

impl RunReport {
    /// Shows the model the images of its dataset; a run without a model only gets its network.
    ///
    /// # Errors
    /// A dataset that does not fit the model, no images, or whatever the engine says.
    pub fn examine(&mut self, data: &Loaded, part: Part, threads: usize) -> Result<(), ReportError> {
        let Some(model) = &self.model else {
            let train = &data.train;
            self.network = Some(self.recipe.spec(train.shape, train.classes.len())?.infer().map_err(ModelSpec)?);
            return Ok(());
        };
        let (dataset, indices) = self.images(data, part)?;
        fits(model, dataset, &data.name)?;
        self.evidence = Some(evidence(model, dataset, &indices, &data.name, part, threads)?);
        Ok(())
    }

    /// The images of a part, within the recipe's limits.
    fn images<'a>(&self, data: &'a Loaded, part: Part) -> Result<(&'a Dataset, Vec<u32>), ReportError> {
        let recipe = &self.recipe;
        let (dataset, indices) = match part {
            Part::Test => {
                let n = recipe.data.test_limit.unwrap_or(usize::MAX).min(data.test.len());
                (&data.test, (0..n as u32).collect())
            }
            Part::Validation => (&data.train, recipe_split(recipe, &data.train).1),
        };
        if indices.is_empty() {
            let (name, part) = (&self.name, part.name());
            let why =
                if part == "test" { "" } else { ": its recipe keeps none (train.val_fraction), take the test split" };
            return Err(ReportError::Data(format!("run {name} has no {part} images{why}")));
        }
        Ok((dataset, indices))
    }
}

/// A spec that `Recipe::spec` accepted has shapes that fit.
struct ModelSpec(crate::spec::SpecError);

impl From<ModelSpec> for ReportError {
    fn from(ModelSpec(error): ModelSpec) -> Self {
        ReportError::Data(error.to_string())
    }
}

fn fits(model: &Model, dataset: &Dataset, name: &str) -> Result<(), ReportError> {
    let (shape, classes) = (dataset.shape, dataset.classes.len());
    if shape != model.spec.input || classes != model.classes.len() {
        return Err(ReportError::Data(format!(
            "{name} has images {shape:?} of {classes} classes, the model takes {:?} and knows {}: give other data",
            model.spec.input,
            model.classes.len()
        )));
    }
    Ok(())
}

fn predict(model: &Model, dataset: &Dataset, indices: &[u32], threads: usize) -> Result<Predictions, ReportError> {
    let mut engine = model.engine(CpuOptions { threads, path: None })?;
    let logits = model.logits_of(&mut engine, &dataset.images, indices)?;
    let labels = indices.iter().map(|&i| dataset.labels[i as usize]).collect();
    Ok(Predictions::from_logits(model.network.outputs, labels, &logits)?)
}

fn evidence(
    model: &Model,
    dataset: &Dataset,
    indices: &[u32],
    data: &str,
    part: Part,
    threads: usize,
) -> Result<Evidence, ReportError> {
    let predictions = predict(model, dataset, indices, threads)?;
    let example = |i: usize| {
        let (index, (predicted, confidence)) = (indices[i] as usize, predictions.top(i));
        let picture = Picture::of_image(dataset.shape, dataset.image(index))?;
        Ok(Example { index, actual: predictions.label(i), predicted, confidence, picture })
    };
    let mut wrong: Vec<usize> = (0..indices.len()).filter(|&i| predictions.top(i).0 != predictions.label(i)).collect();
    wrong.sort_by(|&a, &b| predictions.top(b).1.total_cmp(&predictions.top(a).1));
    let mistakes = wrong.iter().take(MISTAKES).map(|&i| example(i)).collect::<Result<_, ReportError>>()?;
    let pairs = predictions.confusion().most_confused().into_iter().take(PAIRS).map(|pair| {
        let of = |&&i: &&usize| (predictions.label(i), predictions.top(i).0) == (pair.actual, pair.predicted);
        let images = wrong.iter().filter(of).take(PAIR_IMAGES).map(|&i| example(i));
        Ok((pair, images.collect::<Result<Vec<_>, ReportError>>()?))
    });
    let confused = pairs.collect::<Result<_, ReportError>>()?;
    // Of each class the first image that the model knows, else its first.
    let first = |class: usize| {
        let mut own = (0..indices.len()).filter(|&i| predictions.label(i) == class);
        own.clone().find(|&i| predictions.top(i).0 == class).or_else(|| own.next())
    };
    let shown = (0..model.classes.len().min(CLASSES)).filter_map(first).map(example);
    let shown: Vec<Example> = shown.collect::<Result<_, ReportError>>()?;
    let (filters, activations) = (filters(model)?, activations(model, dataset, shown)?);
    Ok(Evidence { data: data.into(), part, predictions, mistakes, confused, filters, activations })
}

/// The kernels of a convolution, or a dense layer's rows if the image itself is its input.
fn filters(model: &Model) -> Result<Option<Filters>, ReportError> {
    let network = &model.network;
    let first = network.layers.iter().find(|l| l.weight.is_some());
    let Some((layer, weight)) = first.and_then(|l| Some((l, l.weight.as_ref()?))) else { return Ok(None) };
    let untouched = |l: &LayerInfo| l.geometry.sort() == Sort::Pass;
    let before = network.layers.iter().take_while(|l| l.name != layer.name).all(untouched);
    // Of a convolution, of a dense layer; others have a weight a channel.
    let shape = match weight.shape[..] {
        [_, c, h, w] => [c, h, w],
        [_, _] if before => network.input,
        _ => return Ok(None),
    };
    let [c, h, w] = shape;
    let weights = &model.parameters[weight.range.clone()];
    let all = weights.len() / (c * h * w).max(1);
    let shown = all.min(FILTERS);
    let weights = &weights[..shown * c * h * w];
    let scale = weights.iter().fold(0.0f32, |m, w| m.max(w.abs())).max(f32::MIN_POSITIVE);
    // A filter's input channels stand side by side.
    let maps: Vec<&[f32]> = weights.chunks_exact(h * w).collect();
    let across = if c > 1 { c } else { 8 };
    let picture = Picture::of_maps(&maps, [h, w], across, 1, |v| diverging(v / scale))?;
    Ok(Some(Filters { layer: layer.title(), shown: [shown, all], shape, scale, picture }))
}

fn activations(model: &Model, dataset: &Dataset, shown: Vec<Example>) -> Result<Option<Activations>, ReportError> {
    let layers = &model.network.layers;
    let Some(first) = layers.iter().position(|l| l.geometry.sort() == Sort::Convolution) else { return Ok(None) };
    let end = stage_end(&model.network, first);
    let network = Network { layers: model.network.layers[..end].to_vec(), ..model.network.clone() };
    let Some((Shape::Image([c, h, w]), false)) = network.layers.last().map(|l| (l.output, shown.is_empty())) else {
        return Ok(None);
    };
    let doubles = Doubles::of(model);
    let images: Vec<u8> = shown.iter().flat_map(|e| dataset.image(e.index)).copied().collect();
    let values = doubles.reference(&network).values(&doubles.inputs(&network, &images)).pop().unwrap_or_default();
    let maps = c.min(MAPS);
    let values: Vec<Vec<f32>> = values.iter().map(|v| v[..maps * h * w].iter().map(|&v| v as f32).collect()).collect();
    let all = || values.iter().flatten().copied();
    let range = [all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max)];
    let span = (range[1] - range[0]).max(f32::MIN_POSITIVE);
    let examples = shown.into_iter().zip(&values).map(|(example, values)| {
        let maps: Vec<&[f32]> = values.chunks_exact(h * w).collect();
        let picture =
            Picture::of_maps(&maps, [h, w], 8, 2, |v| ColourMap::Viridis.at(f64::from((v - range[0]) / span)))?;
        Ok((example, picture))
    });
    let examples = examples.collect::<Result<_, ReportError>>()?;
    let layers = [first, end - 1].map(|i| network.layers[i].title());
    Ok(Some(Activations { layers, shown: [maps, c], range, examples }))
}
