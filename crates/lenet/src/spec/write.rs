//! A recipe as text again.

use super::layers::{Field, Key};
use super::{Augment, Init, Layer, Recipe};

impl Recipe {
    /// The recipe as TOML, every default written out. [`Recipe::parse`] gives the same recipe back.
    pub fn to_toml(&self) -> String {
        let (mut recipe, mut text) = (self.clone(), String::new());
        let is_still = self.augment == Augment::default();
        for mut section in recipe.sections().into_iter().filter(|section| !(section.name == "augment" && is_still)) {
            let blank = if text.is_empty() { "" } else { "\n" };
            text += &format!("{blank}[{}]\n", section.name);
            let place = |name| section.keys.iter().position(|key| key.name == name);
            // The only keys that are written in another order than that of the table.
            if let (Some(to), Some(from)) = (place("clip_norm"), place("val_fraction")) {
                section.keys[to..=from].rotate_right(1);
            }
            section.keys.retain(|key| key.name != "init_std" || self.train.init == Init::Normal);
            for mut key in section.keys {
                match &mut key.field {
                    Field::Layers(layers) => tables(layers, self.model.units_from_classes, &mut text),
                    _ => text.extend(value(&key, false).map(|value| format!("{} = {value}\n", key.name))),
                }
            }
        }
        text
    }
}

/// Layers as tables of their own.
fn tables(layers: &mut [Layer], from_classes: bool, text: &mut String) {
    let last = layers.iter_mut().rposition(|layer| layer.units().is_some()).filter(|_| from_classes);
    for (i, layer) in layers.iter_mut().enumerate() {
        *text += "\n[[model.layers]]\n";
        text.extend(settings(layer, last == Some(i)).map(|pair| pair + "\n"));
    }
}

/// A layer's keys and values, its type first.
fn settings(layer: &mut Layer, from_classes: bool) -> impl Iterator<Item = String> {
    let kind = format!("type = {}", quoted(layer.kind()));
    let pair = move |key: Key| value(&key, from_classes).map(|value| format!("{} = {value}", key.name));
    std::iter::once(kind).chain(layer.keys().into_iter().filter_map(pair))
}

/// A value, unless it goes without saying. Units are then those of the classes.
fn value(key: &Key, from_classes: bool) -> Option<String> {
    if !key.is_said() {
        return None;
    }
    Some(match &key.field {
        Field::Whole(from, _) => from.get()?.to_string(),
        // `{:?}` is the shortest text that reads back as the same number, and always a float.
        Field::Number(from, _) => format!("{:?}", from.get()?),
        Field::Flag(from) => from.to_string(),
        Field::Sides([rows, columns], _) if rows == columns => rows.to_string(),
        Field::Sides(from, _) => format!("{from:?}"),
        Field::Triple(from, _) => format!("{:?}", (**from)?),
        Field::Units(_) if from_classes => quoted("classes"),
        Field::Units(from) => from.to_string(),
        Field::Connections(from) => format!("{:?}", from.as_ref()?),
        Field::Layers(from) => inline(from),
        Field::Choice(from) => quoted(from.chosen()),
        Field::Text(from, _) => quoted(&from.get()?),
        Field::Form(from) => from.write()?,
    })
}

/// Layers within a layer, one a line.
fn inline(layers: &[Layer]) -> String {
    let line = |layer: &Layer| {
        let settings: Vec<String> = settings(&mut layer.clone(), false).collect();
        format!("    {{ {} }},\n", settings.join(", "))
    };
    format!("[\n{}]", layers.iter().map(line).collect::<String>())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
