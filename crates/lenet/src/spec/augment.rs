//! The section `[augment]`, the targets in `[train]` and the normalisation: what they may say, and how they are written.

use super::document::{Node, Value};
use super::read::{Table, must, normalization, number, whole};
use super::{Augment, Border, Erase, Fill, Normalization, RecipeError};
use std::fmt::{self, Write};

/// The keys of `[augment]`.
pub(super) const KEYS: [&str; 13] = [
    "shift",
    "border",
    "flip",
    "rotate",
    "scale",
    "shear",
    "brightness",
    "contrast",
    "erase",
    "cutout",
    "fill",
    "mixup",
    "flip_test",
];

/// Largest side of a picture that a shift or a cutout can matter for.
pub(super) const PIXELS: u64 = 1 << 16;

/// How bytes become inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Normalize {
    /// `byte / 255`.
    #[default]
    Unit,
    /// By mean and standard deviation of the training images, a channel each.
    Dataset,
    /// By these numbers.
    Given(Normalization),
}

impl Normalize {
    /// The numbers that the recipe itself gives.
    pub fn given(&self) -> Option<&Normalization> {
        if let Normalize::Given(n) = self { Some(n) } else { None }
    }
}

/// What the labels become in training; evaluation takes them as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetRecipe {
    /// Share of the target that all classes have evenly, from 0 to below 1.
    pub label_smoothing: f32,
    /// How much the classes count.
    pub class_weights: ClassWeights,
}

/// How much the classes count in the loss, which is the weighted mean over a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// Alike.
    #[default]
    Even,
    /// `images / (classes · images of the class)`; 0 for a class without images.
    Balanced,
    /// So much, one number a class.
    Given(Vec<f32>),
}

impl ClassWeights {
    /// The weights for a training on images with these labels; none if all count alike.
    pub fn resolve(&self, labels: impl Iterator<Item = u16>, classes: usize) -> Vec<f32> {
        match self {
            ClassWeights::Even => Vec::new(),
            ClassWeights::Given(weights) => weights.clone(),
            ClassWeights::Balanced => {
                let (mut counts, mut n) = (vec![0usize; classes], 0usize);
                for label in labels {
                    n += 1;
                    if let Some(count) = counts.get_mut(label as usize) {
                        *count += 1;
                    }
                }
                let weight = |&k: &usize| if k == 0 { 0.0 } else { (n as f64 / (classes * k) as f64) as f32 };
                counts.iter().map(weight).collect()
            }
        }
    }
}

fn between(node: &Node, key: &str, least: f32, most: f32) -> Result<f32, RecipeError> {
    let be = || must(node, key, &format!("a number from {least} to {most}"));
    number(node).filter(|x| (least..=most).contains(x)).ok_or_else(be)
}

fn flag(node: &Node, key: &str) -> Result<bool, RecipeError> {
    if let Value::Flag(b) = node.value { Ok(b) } else { Err(must(node, key, "true or false")) }
}

fn set<'a, T>(
    table: &Table<'a>,
    key: &str,
    to: &mut T,
    read: impl FnOnce(&'a Node) -> Result<T, RecipeError>,
) -> Result<(), RecipeError> {
    if let Some(node) = table.get(key) {
        *to = read(node)?;
    }
    Ok(())
}

/// The section `[augment]`.
pub(super) fn read(node: &Node) -> Result<Augment, RecipeError> {
    let t = Table::new(node, "[augment]", &KEYS)?;
    let mut a = Augment::default();
    set(&t, "shift", &mut a.shift, |n| whole(n, "shift", 0..=PIXELS))?;
    set(&t, "border", &mut a.border, |n| match &n.value {
        Value::Text(s) if s == "zeros" => Ok(Border::Zeros),
        Value::Text(s) if s == "edge" => Ok(Border::Edge),
        _ => Err(must(n, "border", "\"zeros\" or \"edge\"")),
    })?;
    set(&t, "flip", &mut a.flip, |n| flag(n, "flip"))?;
    set(&t, "rotate", &mut a.rotate, |n| between(n, "rotate", 0.0, 180.0))?;
    set(&t, "scale", &mut a.scale, |n| between(n, "scale", 0.0, 0.9))?;
    set(&t, "shear", &mut a.shear, |n| between(n, "shear", 0.0, 60.0))?;
    set(&t, "brightness", &mut a.brightness, |n| between(n, "brightness", 0.0, 1.0))?;
    set(&t, "contrast", &mut a.contrast, |n| between(n, "contrast", 0.0, 1.0))?;
    set(&t, "erase", &mut a.erase, erase)?;
    set(&t, "cutout", &mut a.cutout, |n| whole(n, "cutout", 0..=PIXELS))?;
    set(&t, "fill", &mut a.fill, |n| match &n.value {
        Value::Text(s) if s == "noise" => Ok(Fill::Noise),
        Value::Integer(i) if (0..=255).contains(i) => Ok(Fill::Byte(*i as u8)),
        _ => Err(must(n, "fill", "a byte from 0 to 255 or \"noise\"")),
    })?;
    set(&t, "mixup", &mut a.mixup, |n| match number(n) {
        Some(0.0) => Ok(0.0),
        _ => between(n, "mixup", 0.01, 100.0).map_err(|_| must(n, "mixup", "0 or a number from 0.01 to 100")),
    })?;
    set(&t, "flip_test", &mut a.flip_test, |n| flag(n, "flip_test"))?;
    Ok(a)
}

/// A probability, or a table with it and the range of the area.
fn erase(node: &Node) -> Result<Option<Erase>, RecipeError> {
    let mut erase = Erase::default();
    if let Value::Table(_) = node.value {
        let t = Table::new(node, "erase", &["probability", "area"])?;
        set(&t, "probability", &mut erase.probability, |n| between(n, "probability", 0.0, 1.0))?;
        set(&t, "area", &mut erase.area, |n| {
            let be = || must(n, "area", "[least, most], shares of the image from 0 to 1");
            let Value::List(list) = &n.value else { return Err(be()) };
            let [least, most] = &list[..] else { return Err(be()) };
            let area = [between(least, "area", 0.0, 1.0)?, between(most, "area", 0.0, 1.0)?];
            if area[0] <= area[1] { Ok(area) } else { Err(be()) }
        })?;
    } else {
        erase.probability = between(node, "erase", 0.0, 1.0).map_err(|_| {
            must(node, "erase", "a probability from 0 to 1, or { probability = 0.5, area = [0.02, 0.33] }")
        })?;
    }
    Ok(Some(erase).filter(|e| e.probability > 0.0))
}

/// `label_smoothing` and `class_weights` of the section `[train]`.
pub(super) fn read_targets(node: &Node) -> Result<TargetRecipe, RecipeError> {
    let mut targets = TargetRecipe::default();
    if let Some(n) = node.get("label_smoothing") {
        let be = || must(n, "label_smoothing", "a number from 0 to below 1, for example 0.1");
        targets.label_smoothing = number(n).filter(|x| (0.0..1.0).contains(x)).ok_or_else(be)?;
    }
    if let Some(n) = node.get("class_weights") {
        let be = |n| must(n, "class_weights", "\"balanced\" or a list of numbers from 0 on, one a class");
        targets.class_weights = match &n.value {
            Value::Text(s) if s == "balanced" => ClassWeights::Balanced,
            Value::List(list) if !list.is_empty() => {
                let weight = |n| number(n).filter(|w| w.is_finite() && *w >= 0.0).ok_or_else(|| be(n));
                let weights: Vec<f32> = list.iter().map(weight).collect::<Result<_, _>>()?;
                if weights.iter().all(|w| *w == 0.0) {
                    return Err(must(n, "class_weights", "above 0 for one class at least"));
                }
                ClassWeights::Given(weights)
            }
            _ => return Err(be(n)),
        };
    }
    Ok(targets)
}

/// `normalize` of the section `[data]`.
pub(super) fn read_normalize(node: &Node) -> Result<Normalize, RecipeError> {
    match &node.value {
        Value::Text(s) if s == "unit" => Ok(Normalize::Unit),
        Value::Text(s) if s == "dataset" => Ok(Normalize::Dataset),
        Value::Table(_) => normalization(node).map(Normalize::Given),
        _ => Err(must(node, "normalize", "\"unit\", \"dataset\" or { mean = [...], std = [...] }")),
    }
}

pub(super) fn write_normalize(normalize: &Normalize, out: &mut String) -> fmt::Result {
    match normalize {
        Normalize::Unit => Ok(()),
        Normalize::Dataset => writeln!(out, "normalize = \"dataset\""),
        // `{:?}` is the shortest text that reads back as the same number, and always a float.
        Normalize::Given(n) => writeln!(out, "normalize = {{ mean = {:?}, std = {:?} }}", n.mean, n.std),
    }
}

/// The keys of `[train]` that [`read_targets`] reads.
pub(super) fn write_targets(targets: &TargetRecipe, out: &mut String) -> fmt::Result {
    if targets.label_smoothing != 0.0 {
        writeln!(out, "label_smoothing = {:?}", targets.label_smoothing)?;
    }
    match &targets.class_weights {
        ClassWeights::Even => Ok(()),
        ClassWeights::Balanced => writeln!(out, "class_weights = \"balanced\""),
        ClassWeights::Given(weights) => writeln!(out, "class_weights = {weights:?}"),
    }
}

/// The section, if it says anything.
pub(super) fn write(a: &Augment, out: &mut String) -> fmt::Result {
    if *a == Augment::default() {
        return Ok(());
    }
    writeln!(out, "\n[augment]\nshift = {}", a.shift)?;
    writeln!(out, "border = \"{}\"", if a.border == Border::Edge { "edge" } else { "zeros" })?;
    writeln!(out, "flip = {}\nrotate = {:?}\nscale = {:?}\nshear = {:?}", a.flip, a.rotate, a.scale, a.shear)?;
    writeln!(out, "brightness = {:?}\ncontrast = {:?}", a.brightness, a.contrast)?;
    match a.erase {
        Some(e) => writeln!(out, "erase = {{ probability = {:?}, area = {:?} }}", e.probability, e.area)?,
        None => writeln!(out, "erase = 0.0")?,
    }
    writeln!(out, "cutout = {}", a.cutout)?;
    match a.fill {
        Fill::Byte(byte) => writeln!(out, "fill = {byte}")?,
        Fill::Noise => writeln!(out, "fill = \"noise\"")?,
    }
    writeln!(out, "mixup = {:?}\nflip_test = {}", a.mixup, a.flip_test)
}
