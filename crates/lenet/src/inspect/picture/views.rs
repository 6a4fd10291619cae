//! Activations, filters, class means, saliency as pictures.

use super::table::{Column, NARROW, Row, Table};
use crate::draw::{BAD, ColourMap, FAINT, GOOD, INK, Rgb, Scale, Scene};
use crate::inspect::{ClassMean, InspectError, LayerValues};
use crate::model::Model;
use crate::predict::Verdict;
use crate::spec::Shape;

/// An image to be looked at, with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// `[c, h, w]`
    pub pixels: Vec<u8>,
    /// Under which name it stands together with others: a class, `noise`.
    pub group: String,
    /// Which image it is.
    pub title: String,
    /// Its class, where that is known.
    pub class: Option<usize>,
    /// What the model says of it.
    pub verdict: Verdict,
}

impl Input {
    /// Class and image, or what it is if it has no class.
    pub fn name(&self) -> String {
        match self.class {
            Some(_) => format!("{}, {}", self.group, self.title),
            None => self.title.clone(),
        }
    }

    /// What the model sees, with its probability; and whether that is right.
    pub(super) fn seen(&self, classes: &[String]) -> (String, Rgb) {
        let name = classes.get(self.verdict.class).map_or("?", String::as_str);
        let text = format!("{name} {:.0}%", 100.0 * self.verdict.probability);
        match self.class {
            None => (text, INK),
            Some(class) => (text, if class == self.verdict.class { GOOD } else { BAD }),
        }
    }
}

/// A square that was moved over images, and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occlusion {
    /// Its side, in pixels.
    pub window: usize,
}

fn columns(model: &Model, inputs: &[Input]) -> Vec<Column> {
    let column =
        |i: &Input| Column { group: i.group.clone(), captions: vec![(i.title.clone(), FAINT), i.seen(&model.classes)] };
    inputs.iter().map(column).collect()
}

fn bytes(values: &[u8]) -> Vec<f32> {
    values.iter().map(|&v| f32::from(v)).collect()
}

const BYTES: Scale = Scale { map: ColourMap::Grey, low: 0.0, high: 255.0 };

fn shape(model: &Model) -> Shape {
    Shape::Image(model.network.input)
}

fn images(model: &Model, inputs: &[Input]) -> Row {
    Row {
        title: "input".into(),
        notes: vec![size(shape(model))],
        shape: shape(model),
        cells: inputs.iter().map(|i| bytes(&i.pixels)).collect(),
        scale_of: vec![0; inputs.len()],
        scales: vec![BYTES],
        bars: None,
    }
}

/// A shape in words.
fn size(shape: Shape) -> String {
    match shape {
        Shape::Image([1, h, w]) => format!("{h} × {w}"),
        Shape::Image([c, 1, 1]) | Shape::Flat(c) => format!("{c} values"),
        Shape::Image([c, h, w]) => format!("{c} maps of {h} × {w}"),
    }
}

/// A layer's row before anything is in it.
fn row(layer: &LayerValues) -> Row {
    let (long, size) = (layer.name.len() > 4, size(layer.shape));
    let (title, notes) = match layer.name == layer.kind {
        true => (layer.name.clone(), vec![size]),
        false if long => (layer.name.clone(), vec![layer.kind.to_string(), size]),
        false => (format!("{} {}", layer.name, layer.kind), vec![size]),
    };
    let (cells, scale_of, scales) = Default::default();
    Row { title, notes, shape: layer.shape, cells, scale_of, scales, bars: None }
}

/// What the colours of some rows mean.
fn legend(rows: &[Row], over: &str) -> String {
    let maps = |map| rows.iter().flat_map(|r| &r.scales).any(|s| s.map == map);
    let mut names = Vec::new();
    if maps(ColourMap::Viridis) {
        names.push("viridis");
    }
    if maps(ColourMap::Diverging) {
        names.push("blue - white at 0 - red where values are negative");
    }
    format!("A layer has one colour scale for all {over}: {}.", names.join(", "))
}

/// Names for the bars of the last layer, if they are few.
fn bars(model: &Model, layers: &[LayerValues], number: usize) -> Option<Vec<String>> {
    (number + 1 == layers.len() && model.classes.len() <= 40).then(|| model.classes.clone())
}

fn subject(model: &Model) -> String {
    if model.training.recipe.is_empty() { "the model".into() } else { model.training.recipe.clone() }
}

pub(super) const READING: &str =
    "Under each image: what the model sees, with its probability; green is right, red wrong.";

/// The chosen layers (positions in `layers`) of some inputs, side by side; `layers` are the activations of all inputs in order.
/// Each layer has one colour scale for all inputs.
pub fn activations(model: &Model, inputs: &[Input], layers: &[LayerValues], chosen: &[usize]) -> Scene {
    let mut rows = vec![images(model, inputs)];
    for &number in chosen {
        let Some(layer) = layers.get(number) else { continue };
        rows.push(Row {
            cells: (0..inputs.len()).map(|i| layer.image(i).to_vec()).collect(),
            scale_of: vec![0; inputs.len()],
            scales: vec![Scale::of(layer.values.iter())],
            bars: bars(model, layers, number),
            ..row(layer)
        });
    }
    let footer = vec![READING.into(), legend(&rows[1..], "images")];
    Table {
        title: format!("Activations of {}", subject(model)),
        columns: columns(model, inputs),
        rows,
        footer,
        least: NARROW,
    }
    .draw()
}

/// Means over classes of the input and the chosen layers, side by side; of two classes also the first minus the second.
pub fn means(model: &Model, means: &[ClassMean], chosen: &[usize]) -> Scene {
    let name = |class: usize| model.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
    let mut columns: Vec<Column> = means
        .iter()
        .map(|m| Column { group: name(m.class), captions: vec![(format!("{} images", m.images), FAINT)] })
        .collect();
    let pair = if let [a, b] = means { Some((a, b)) } else { None };
    if let Some((a, b)) = pair {
        let caption = format!("{} - {}", name(a.class), name(b.class));
        columns.push(Column { group: "difference".into(), captions: vec![(caption, FAINT)] });
    }
    let mut rows = Vec::new();
    for number in std::iter::once(0).chain(chosen.iter().copied().filter(|n| *n != 0)) {
        let of: Vec<&LayerValues> = means.iter().filter_map(|m| m.layers.get(number)).collect();
        let Some(first) = of.first() else { continue };
        let mut cells: Vec<Vec<f32>> = of.iter().map(|l| l.values.clone()).collect();
        let (mut scales, mut scale_of) = (vec![Scale::of(cells.iter().flatten())], vec![0; cells.len()]);
        if let [a, b] = &cells[..]
            && pair.is_some()
        {
            let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            scales.push(Scale::symmetric(difference.iter()));
            scale_of.push(1);
            cells.push(difference);
        }
        let bars = means.first().and_then(|m| bars(model, &m.layers, number));
        rows.push(Row { cells, scale_of, scales, bars, ..row(first) });
    }
    let mut footer = vec![legend(&rows, "classes")];
    if pair.is_some() {
        footer.push("The difference has its own, the second: red where the first class gives more.".into());
    }
    Table { title: format!("Mean activations of {}", subject(model)), columns, rows, footer, least: NARROW }.draw()
}

/// Inputs, and below them what each pixel does for the logit of the class that the model sees (or of `target`): `[n, c, h, w]`
/// of gradient × input, or `[n, h, w]` of occlusion.
pub fn saliency(
    model: &Model,
    inputs: &[Input],
    values: &[f32],
    occlusion: Option<Occlusion>,
    target: Option<usize>,
) -> Scene {
    let [c, h, w] = model.network.input;
    // Shares of the channels of a pixel add up.
    let planes = if occlusion.is_some() { 1 } else { c };
    let sum = |pixel: &[f32]| -> Vec<f32> { (0..h * w).map(|i| pixel.iter().skip(i).step_by(h * w).sum()).collect() };
    let maps: Vec<Vec<f32>> = values.chunks_exact((planes * h * w).max(1)).map(sum).collect();
    let (name, notes, reading) = match occlusion {
        Some(Occlusion { window }) => (
            "occlusion",
            vec![format!("{window} × {window} covered")],
            "Red: covering this place lowers the logit; blue: raises it. A pixel is the mean of all squares over it.",
        ),
        None => (
            "gradient × input",
            vec!["of the logit".into()],
            "Red: this pixel raises the logit; blue: lowers it (to first order).",
        ),
    };
    let class = match target {
        Some(class) => format!("for {}", model.classes.get(class).map_or("?", String::as_str)),
        None => "for the class that the model sees".into(),
    };
    let row = Row {
        title: name.into(),
        notes,
        shape: Shape::Image([1, h, w]),
        scale_of: vec![0; maps.len()],
        scales: vec![Scale::symmetric(maps.iter().flatten())],
        cells: maps,
        bars: None,
    };
    Table {
        title: format!("Saliency of {}, {class}", subject(model)),
        columns: columns(model, inputs),
        rows: vec![images(model, inputs), row],
        footer: vec![reading.into(), READING.into()],
        least: NARROW,
    }
    .draw()
}

/// The filters of the first layer with weights, on one scale; several input channels one below the other.
///
/// # Errors
/// A first layer whose weights no image could show.
pub fn filters(model: &Model) -> Result<Scene, InspectError> {
    let (layer, [outputs, c, h, w], weights) = crate::inspect::filters(model)?;
    let scale = Scale::symmetric(weights.iter());
    let rows = (0..c).map(|channel| {
        let of_channel = |o: usize| weights[(o * c + channel) * h * w..][..h * w].iter().copied();
        Row {
            title: if c == 1 { layer.clone() } else { format!("channel {channel}") },
            notes: vec![format!("{outputs} of {h} × {w}")],
            shape: Shape::Image([outputs, h, w]),
            cells: vec![(0..outputs).flat_map(of_channel).collect()],
            scale_of: vec![0],
            scales: vec![scale],
            bars: None,
        }
    });
    let table = Table {
        title: format!("Filters of {}, layer {layer}", subject(model)),
        columns: vec![Column { group: String::new(), captions: Vec::new() }],
        rows: rows.collect(),
        footer: vec!["All on one colour scale: red is positive, blue negative.".into()],
        least: 270.0,
    };
    Ok(table.draw())
}
