//! What every layer gives for some images, and its means over classes.

use super::InspectError;
use crate::data::Dataset;
use crate::engine::reference::Reference;
use crate::model::Model;
use crate::random::{Purpose, Stream};
use crate::spec::{Geometry, Network, Shape, Sort};

/// What one layer gives for some images.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerValues {
    /// The layer's name; `input` for the normalised input.
    pub name: String,
    /// The layer's type, as recipes spell it; `input` for the input.
    pub kind: &'static str,
    /// Shape of one image's values.
    pub shape: Shape,
    /// `[n, …shape]`
    pub values: Vec<f32>,
}

impl LayerValues {
    /// The values of one image; empty if there are not as many images.
    pub fn image(&self, index: usize) -> &[f32] {
        let n = self.shape.len();
        self.values.get(index * n..(index + 1) * n).unwrap_or(&[])
    }

    /// Name and type: `3 (conv2d)`.
    pub fn title(&self) -> String {
        if self.name == self.kind { self.name.clone() } else { format!("{} ({})", self.name, self.kind) }
    }
}

/// A model's numbers in f64, for the reference.
pub(crate) struct Doubles {
    parameters: Vec<f64>,
    buffers: Vec<f64>,
    tables: Vec<[f32; 256]>,
}

impl Doubles {
    pub fn of(model: &Model) -> Self {
        let doubles = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
        Doubles {
            parameters: doubles(&model.parameters),
            buffers: doubles(&model.buffers),
            tables: model.normalization.tables(),
        }
    }

    pub fn reference<'a>(&'a self, network: &'a Network) -> Reference<'a> {
        Reference { network, parameters: &self.parameters, buffers: &self.buffers, train: None }
    }

    /// Bytes of images as the network takes them in.
    pub fn inputs(&self, network: &Network, images: &[u8]) -> Vec<Vec<f64>> {
        let [_, h, w] = network.input;
        let value = |(i, &byte): (usize, &u8)| f64::from(self.tables[i / (h * w)][usize::from(byte)]);
        images.chunks_exact(sample(network)).map(|image| image.iter().enumerate().map(value).collect()).collect()
    }
}

/// Bytes of one image.
pub(super) fn sample(network: &Network) -> usize {
    network.input.iter().product::<usize>().max(1)
}

/// Checks that bytes are whole images, and says how many.
pub(super) fn count(model: &Model, images: &[u8]) -> Result<usize, InspectError> {
    let sample = sample(&model.network);
    match images.len().is_multiple_of(sample) {
        true => Ok(images.len() / sample),
        false => Err(InspectError::Images { found: images.len(), sample }),
    }
}

/// What every layer gives for some images, `[n, c, h, w]`: the normalised input, then the layers in order. The last are
/// the logits (of the images themselves, also where predictions average those of mirror images in).
///
/// # Errors
/// Bytes that are no whole images.
///
/// # Examples
/// ```no_run
/// # use lenet::{inspect, model::Model};
/// let model = Model::load("runs/lenet".as_ref())?;
/// let layers = inspect::activations(&model, &vec![0; 28 * 28])?;
/// assert_eq!((&layers[0].name[..], layers[1].shape.to_string()), ("input", "[6, 28, 28]".to_string()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn activations(model: &Model, images: &[u8]) -> Result<Vec<LayerValues>, InspectError> {
    count(model, images)?;
    let (network, doubles) = (&model.network, Doubles::of(model));
    let all = doubles.reference(network).values(&doubles.inputs(network, images));
    let layer = |(number, values): (usize, Vec<Vec<f64>>)| {
        let [c, h, w] = network.input;
        let (name, kind, shape) = match number.checked_sub(1) {
            None => ("input".to_string(), "input", Shape::Image([c, h, w])),
            Some(i) => (network.layers[i].name.clone(), network.layers[i].kind, network.layers[i].output),
        };
        LayerValues { name, kind, shape, values: values.iter().flatten().map(|&v| v as f32).collect() }
    };
    Ok(all.into_iter().enumerate().map(layer).collect())
}

/// The mean of what every layer gives for some images of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMean {
    /// The class.
    pub class: usize,
    /// How many images.
    pub images: usize,
    /// As of [`activations`] of one image.
    pub layers: Vec<LayerValues>,
}

/// Means over the first `per_class` images of some classes, a thread a class.
///
/// # Errors
/// A class that the dataset has no image of, or a dataset that does not fit the model.
pub fn class_means(
    model: &Model,
    data: &Dataset,
    classes: &[usize],
    per_class: usize,
) -> Result<Vec<ClassMean>, InspectError> {
    std::thread::scope(|scope| {
        let one = |class| scope.spawn(move || class_mean(model, data, class, per_class));
        let threads: Vec<_> = classes.iter().map(|&class| one(class)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
        };
        threads.into_iter().map(join).collect()
    })
}

fn class_mean(model: &Model, data: &Dataset, class: usize, per_class: usize) -> Result<ClassMean, InspectError> {
    let of_class = data.labels.iter().enumerate().filter(|(_, l)| usize::from(**l) == class).map(|(i, _)| i);
    let indices: Vec<usize> = of_class.take(per_class).collect();
    let mut sums: Vec<Vec<f64>> = Vec::new();
    let mut layers = Vec::new();
    for part in indices.chunks(16) {
        let images: Vec<u8> = part.iter().flat_map(|&i| data.image(i).iter().copied()).collect();
        layers = activations(model, &images)?;
        sums.resize_with(layers.len(), Vec::new);
        for (sum, layer) in sums.iter_mut().zip(&layers) {
            sum.resize(layer.shape.len(), 0.0);
            for values in layer.values.chunks_exact(layer.shape.len().max(1)) {
                sum.iter_mut().zip(values).for_each(|(s, v)| *s += f64::from(*v));
            }
        }
    }
    if layers.is_empty() {
        let name = model.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        return Err(InspectError::NoImages(name));
    }
    for (layer, sum) in layers.iter_mut().zip(sums) {
        layer.values = sum.iter().map(|s| (s / indices.len() as f64) as f32).collect();
    }
    Ok(ClassMean { class, images: indices.len(), layers })
}

/// The weights of the first layer that has any, as pictures: [`Model::filters`].
///
/// # Errors
/// A first layer whose weights no image could show.
pub fn filters(model: &Model) -> Result<(String, [usize; 4], &[f32]), InspectError> {
    let first = || model.network.layers.iter().find(|l| l.weight.is_some());
    model.filters().ok_or_else(|| InspectError::NoFilters(first().map_or("none".into(), |l| l.title())))
}

/// Positions of layers among [`activations`], by name; `input` is the input, `all` every layer.
///
/// # Errors
/// A name that no layer has, with the nearest ones.
pub fn find_layers(network: &Network, names: &[String]) -> Result<Vec<usize>, InspectError> {
    let mut found = Vec::new();
    for name in names {
        match (name.as_str(), network.layers.iter().position(|l| l.name == *name)) {
            ("all", _) => found.extend(1..=network.layers.len()),
            ("input", _) => found.push(0),
            (_, Some(i)) => found.push(i + 1),
            (_, None) => {
                let likeness = |l: &&crate::spec::LayerInfo| {
                    [&l.name, l.kind].iter().map(|n| strsim::jaro_winkler(n, &name.to_lowercase())).fold(0.0, f64::max)
                };
                let mut layers: Vec<_> = network.layers.iter().collect();
                layers.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
                let nearest = layers.iter().take(3).map(|l| l.title()).collect::<Vec<_>>().join(", ");
                return Err(InspectError::UnknownLayer { name: name.clone(), nearest });
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|i| seen.insert(*i));
    Ok(found)
}

/// Positions among [`activations`] of what the first two convolutions give (without any: the first two dense layers), behind
/// the normalisation and activation that follow them at once.
pub fn first_two(network: &Network) -> Vec<usize> {
    let layers = &network.layers;
    // Those of the sort that learn.
    let of = |sort: Sort| -> Vec<usize> {
        let wanted = |&i: &usize| layers[i].geometry.sort() == sort && layers[i].weight.is_some();
        (0..layers.len()).filter(wanted).take(2).collect()
    };
    let mut starts = of(Sort::Convolution);
    if starts.is_empty() {
        starts = of(Sort::Dense);
    }
    starts.into_iter().map(|start| stage_end(network, start)).collect()
}

/// The position behind a layer and the normalisation and activation that follow it at once.
pub(crate) fn stage_end(network: &Network, start: usize) -> usize {
    let follows = |g: &Geometry| match g.sort() {
        Sort::Norm | Sort::Function => true,
        Sort::Convolution | Sort::Dense | Sort::Pooling | Sort::Pass | Sort::Sum => false,
    };
    let mut end = start + 1;
    while network.layers.get(end).is_some_and(|l| l.source == end && follows(&l.geometry)) {
        end += 1;
    }
    end
}

/// A class by its name, in whatever case, or by its number.
///
/// # Errors
/// Neither of which it is; the error lists the names.
pub fn find_class(classes: &[String], name: &str) -> Result<usize, InspectError> {
    let by_name = classes.iter().position(|c| c.to_lowercase() == name.to_lowercase());
    let by_number = || name.parse().ok().filter(|n| *n < classes.len());
    by_name
        .or_else(by_number)
        .ok_or_else(|| InspectError::UnknownClass { name: name.to_string(), known: classes.join(", ") })
}

/// Image `number` of noise: every byte drawn alone, all values alike.
pub fn noise(network: &Network, seed: u64, number: u32) -> Vec<u8> {
    let mut stream = Stream::new(seed, Purpose::Noise, 0, number);
    (0..sample(network)).map(|_| (stream.next_u32() >> 24) as u8).collect()
}
