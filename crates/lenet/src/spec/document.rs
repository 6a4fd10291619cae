//! The text of a recipe, and what is laid over it before it is understood.

use super::error::{Place, Problem, RecipeError, did_you_mean};
use super::layers::{Activation, Layer};
use super::node::{Entry, Node, Value, unknown_key};
use super::recipe::{PRESETS, Recipe, preset};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The text of a recipe, and the overrides on top of it. It becomes a [`Recipe`] by
/// [`Document::recipe`]; until then nothing but its syntax has been checked.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) root: Node,
}

/// Most bytes of a recipe's file.
const LIMIT: u64 = 1 << 20;

/// Parts of the longest key there is: `model.layers.0.window.1`.
const DEPTH: usize = 5;

/// Layers that an override can name by their sort: `conv.0.channels`, `pool=max`.
fn sorts() -> [(&'static str, Vec<&'static str>); 4] {
    let activations = Activation::ALL.map(Activation::name).to_vec();
    let pools = vec!["avg_pool", "max_pool"];
    [("activation", activations), ("pool", pools), ("conv", vec!["conv2d"]), ("dense", vec!["dense"])]
}

impl Document {
    /// The text of a preset, or of a file.
    ///
    /// # Errors
    /// No such preset or file, a file that cannot be read, or as [`Document::parse`].
    pub fn load(name_or_path: &str) -> Result<Document, RecipeError> {
        if let Some(text) = preset(name_or_path) {
            return Document::parse(text, &format!("preset {name_or_path:?}"));
        }
        let path = Path::new(name_or_path);
        let names = PRESETS.map(|(name, _)| name);
        let read = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => RecipeError::NotFound {
                name: name_or_path.into(),
                hint: did_you_mean(name_or_path, &names),
                presets: names.join(", "),
            },
            _ => RecipeError::Read { path: path.into(), source },
        };
        let mut bytes = Vec::new();
        File::open(path).map_err(read)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > LIMIT {
            return Err(RecipeError::TooLong { path: path.into(), limit: LIMIT });
        }
        let text = String::from_utf8(bytes).map_err(|e| RecipeError::Read {
            path: path.into(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, e.utf8_error()),
        })?;
        Document::parse(&text, name_or_path)
    }

    /// Reads a recipe's syntax, and lays it over the preset that it names, if it names one.
    ///
    /// # Errors
    /// What is no TOML, or names a preset that is none.
    pub fn parse(text: &str, file_name: &str) -> Result<Document, RecipeError> {
        let mut root = Node::parse(text, file_name)?;
        let Value::Table(top) = &mut root.value else { return Ok(Document { root }) };
        let named = top.iter().position(|e| e.key == "preset").map(|position| top.remove(position).node);
        let Some(name) = named else { return Ok(Document { root }) };
        let text = name.text().unwrap_or_default();
        let Some(base) = preset(text) else {
            let names = PRESETS.map(|(name, _)| name);
            let (hint, presets) = (did_you_mean(text, &names), names.join(", "));
            let problem = Problem::UnknownPreset { name: name.describe(), hint, presets };
            return Err(RecipeError::at(&name.place, problem));
        };
        let mut document = Document::parse(base, &format!("preset {}", name.describe()))?;
        document.root.merge(root);
        Ok(document)
    }

    /// Lays one override, `key=value`, on top: a dotted key (`train.lr`, `model.layers.0.channels`; the section may be
    /// left out) and a value in TOML's syntax, where text needs no quotes. `activation=relu` and `pool=max` change
    /// all layers of that sort; `conv.1.window=3`, `dense.0.units=64`, `pool.0=max` one, counted from 0.
    ///
    /// # Errors
    /// A key that leads nowhere, or a value that is none. Whether the key's value makes sense,
    /// [`Document::recipe`] says.
    pub fn set(&mut self, assignment: &str) -> Result<(), RecipeError> {
        let place = Place::Override(assignment.into());
        let Some((key, text)) = assignment.split_once('=') else {
            return Err(RecipeError::at(&place, Problem::NoAssignment));
        };
        let key = key.trim();
        let value = Node::parse_value(text.trim(), &place)?;
        let short = key.strip_prefix("model.").unwrap_or(key);
        for (sort, kinds) in sorts() {
            if short == sort && kinds.len() > 1 {
                return self.set_all(sort, &kinds, full_name(sort, &kinds, value));
            }
            if let Some(rest) = short.strip_prefix(sort).and_then(|rest| rest.strip_prefix('.')) {
                let (number, field) = rest.split_once('.').unwrap_or((rest, "type"));
                let layer = self.numbered(sort, &kinds, number, &place)?;
                let value = if field == "type" { full_name(sort, &kinds, value) } else { value };
                return self.put(&format!("model.layers.{layer}.{field}"), value, &place);
            }
        }
        self.put(key, value, &place)
    }

    /// The position among all layers of the layer `number`, counted from 0, of those whose type is one of `kinds`.
    fn numbered(&self, sort: &'static str, kinds: &[&str], number: &str, place: &Place) -> Result<usize, RecipeError> {
        let layers = self.layer_nodes();
        let found: Vec<usize> = (0..layers.len()).filter(|&i| is_of(layers[i].get("type"), kinds)).collect();
        number.parse::<usize>().ok().and_then(|n| found.get(n).copied()).ok_or_else(|| {
            let problem = match found.len() {
                0 => Problem::NoLayer { sort, kinds: kinds.join(", ") },
                layers => Problem::LayerNumber { sort, layers, number: number.into() },
            };
            RecipeError::at(place, problem)
        })
    }

    /// The layers as they are written; none if they are no list.
    pub(super) fn layer_nodes(&self) -> &[Node] {
        self.root.get("model").and_then(|m| m.get("layers")).and_then(Node::list).unwrap_or(&[])
    }

    /// Puts a value at a dotted key, whose section may be left out.
    fn put(&mut self, key: &str, value: Node, place: &Place) -> Result<(), RecipeError> {
        let fail = |problem| Err(RecipeError::at(place, problem));
        let mut path: Vec<&str> = key.split('.').collect();
        let first = path[0];
        if first == "preset" {
            return fail(Problem::PresetOnTop);
        }
        let sections = Recipe::section_keys();
        if !sections.iter().any(|(name, _)| *name == first) {
            match sections.iter().find(|(_, keys)| keys.contains(&first)) {
                Some((section, _)) => path.insert(0, section),
                None => {
                    let keys = sections.into_iter().flat_map(|(_, keys)| keys);
                    let known: Vec<&str> = keys.chain(["activation", "pool"]).collect();
                    return fail(unknown_key(first, "", &known));
                }
            }
        }
        // A deep enough tree of keys would overflow the stack of whatever walks it.
        if path.len() > DEPTH {
            return fail(Problem::LongKey { parts: path.len(), most: DEPTH });
        }
        let mut node = &mut self.root;
        for (depth, step) in path.iter().enumerate() {
            let so_far = path[..depth].join(".");
            node = descend(node, step, so_far, place)?;
        }
        *node = value;
        Ok(())
    }

    /// Sets the type of every layer whose type is one of `kinds`. Settings that the new type does not have go.
    fn set_all(&mut self, sort: &str, kinds: &[&str], to: Node) -> Result<(), RecipeError> {
        if !is_of(Some(&to), kinds) {
            return Err(to.must(sort, &format!("one of {}", kinds.join(", "))));
        }
        let mut changed = 0;
        let layers = self.root.get_mut("model").and_then(|m| m.get_mut("layers"));
        if let Some(Value::List(layers)) = layers.map(|l| &mut l.value) {
            for layer in layers.iter_mut().filter(|layer| is_of(layer.get("type"), kinds)) {
                let before = key_names(layer);
                layer.get_mut("type").into_iter().for_each(|kind| *kind = to.clone());
                let after = key_names(layer);
                if let Value::Table(entries) = &mut layer.value {
                    entries.retain(|e| after.contains(&e.key.as_str()) || !before.contains(&e.key.as_str()));
                }
                changed += 1;
            }
        }
        if changed == 0 {
            return Err(RecipeError::at(&to.place, Problem::NoLayers { kinds: kinds.join(", ") }));
        }
        Ok(())
    }
}

/// The keys of a layer of this type.
fn key_names(layer: &Node) -> Vec<&'static str> {
    kind(layer).map(|mut layer| layer.keys().into_iter().map(|key| key.name).collect()).unwrap_or_default()
}

/// Whether this is the name of one of these types of layers.
fn is_of(kind: Option<&Node>, kinds: &[&str]) -> bool {
    kind.and_then(Node::text).is_some_and(|name| kinds.contains(&name))
}

/// A pooling may be called by its first word: `max` is `max_pool`.
fn full_name(sort: &str, kinds: &[&str], mut value: Node) -> Node {
    if let Value::Text(name) = &mut value.value {
        let long = format!("{name}_{sort}");
        if kinds.contains(&long.as_str()) {
            *name = long;
        }
    }
    value
}

/// One step of a dotted key. A key that a table lacks is added; the reader will say if it is unknown.
fn descend<'a>(node: &'a mut Node, step: &str, so_far: String, place: &Place) -> Result<&'a mut Node, RecipeError> {
    let fail = |problem| RecipeError::at(place, problem);
    if step.is_empty() {
        return Err(fail(Problem::EmptyPart));
    }
    let value = node.describe();
    match &mut node.value {
        Value::Table(entries) => {
            let position = entries.iter().position(|e| e.key == step).unwrap_or_else(|| {
                let empty = Node { value: Value::Table(Vec::new()), place: place.clone() };
                entries.push(Entry { key: step.into(), place: place.clone(), node: empty });
                entries.len() - 1
            });
            Ok(&mut entries[position].node)
        }
        Value::List(list) => {
            let len = list.len();
            let node = step.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            node.ok_or_else(|| fail(Problem::Position { list: so_far, len, position: step.into() }))
        }
        _ => Err(fail(Problem::NoTable { node: so_far, value, key: step.into() })),
    }
}

/// A layer of the type that is written here.
pub(super) fn kind(node: &Node) -> Result<Layer, RecipeError> {
    if !matches!(node.value, Value::Table(_)) {
        return Err(node.must("a layer", "a table with a \"type\""));
    }
    let all = Layer::all();
    let kinds: Vec<&str> = all.iter().map(Layer::kind).collect();
    let known = kinds.join(", ");
    let Some(kind) = node.get("type") else {
        return Err(RecipeError::at(&node.place, Problem::MissingType { known }));
    };
    let Some(name) = kind.text() else { return Err(kind.must("type", &format!("one of {known}"))) };
    all.into_iter().find(|layer| layer.kind() == name).ok_or_else(|| {
        let (name, hint) = (kind.describe(), did_you_mean(name, &kinds));
        RecipeError::at(&kind.place, Problem::UnknownName { what: "layer type", name, hint, known })
    })
}
