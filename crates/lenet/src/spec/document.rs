//! A recipe before it means anything: TOML in which every piece knows where it was written.

use super::error::{did_you_mean, one_line};
use super::{Place, RecipeError, preset, read};
use std::cell::Cell;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
}

/// Numbers are kept so that nothing is rounded before their type is known.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// Numbers beyond `i128` are at its ends: out of every range all the same.
    Integer(i128),
    Float(String),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    /// Of the key; the node has the value's.
    pub place: Place,
    pub node: Node,
}

/// The text of a recipe, and the overrides on top of it. It becomes a [`Recipe`](super::Recipe) by
/// [`Document::recipe`]; until then nothing but its syntax has been checked.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) root: Node,
}

/// Layers that an override can name by their sort: `conv.0.channels`, `pool=max`.
const SORTS: [(&str, &[&str]); 4] =
    [("activation", &read::ACTIVATIONS), ("pool", &read::POOLS), ("conv", &["conv2d"]), ("dense", &["dense"])];

/// Parts of the longest key there is: `model.layers.0.window.1`.
const DEPTH: usize = 5;

/// Turns byte positions of one text into places.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
    /// The place asked for last, and its column: a file may be one long line, of which not all can be counted each time.
    last: Cell<(usize, usize)>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, file: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Lines { file: file.into(), text, starts, last: Cell::new((0, 1)) }
    }

    fn place(&self, position: usize) -> Place {
        let position = position.min(self.text.len());
        let line = self.starts.partition_point(|&s| s <= position).max(1);
        let start = self.starts[line - 1];
        let (from, column) = match self.last.get() {
            (last, column) if (start..=position).contains(&last) => (last, column),
            _ => (start, 1),
        };
        let column = column + self.text.get(from..position).unwrap_or("").chars().count();
        self.last.set((position, column));
        Place::File { file: self.file.clone(), line, column }
    }
}

impl Node {
    fn new(value: &Spanned<DeValue>, place: &dyn Fn(usize) -> Place) -> Node {
        let at = place(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(s) => Value::Text(s.to_string()),
            DeValue::Integer(i) => Value::Integer(
                i128::from_str_radix(i.as_str(), i.radix())
                    .unwrap_or_else(|_| if i.as_str().starts_with('-') { i128::MIN } else { i128::MAX }),
            ),
            DeValue::Float(x) => Value::Float(x.as_str().to_string()),
            DeValue::Boolean(b) => Value::Flag(*b),
            DeValue::Datetime(d) => Value::Date(d.to_string()),
            DeValue::Array(list) => Value::List(list.iter().map(|v| Node::new(v, place)).collect()),
            DeValue::Table(table) => Value::Table(entries(table, place)),
        };
        Node { value, place: at }
    }

    /// The value in words, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Text(s) if s.chars().count() > 40 => {
                format!("{:?}…", s.chars().take(40).collect::<String>())
            }
            Value::Text(s) => format!("{s:?}"),
            Value::Integer(i128::MAX) | Value::Integer(i128::MIN) => "a number of that size".into(),
            Value::Integer(i) => i.to_string(),
            Value::Float(x) => x.clone(),
            Value::Flag(b) => b.to_string(),
            Value::Date(d) => format!("the date {d}"),
            Value::List(list) if list.is_empty() => "an empty list".into(),
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.node),
            _ => None,
        }
    }

    /// Lays `over` on top: tables are merged key by key, all else is replaced.
    fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Table(ours), Value::Table(theirs)) => {
                // No table has a key twice, so what was added here needs no search.
                let before = ours.len();
                for entry in theirs {
                    match ours[..before].iter_mut().find(|e| e.key == entry.key) {
                        Some(old) => {
                            old.place = entry.place;
                            old.node.merge(entry.node);
                        }
                        None => ours.push(entry),
                    }
                }
                self.place = over.place;
            }
            (_, value) => *self = Node { value, place: over.place },
        }
    }
}

/// The entries of a table, in the order of the file.
fn entries(table: &DeTable, place: &dyn Fn(usize) -> Place) -> Vec<Entry> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue>)| Entry {
        key: AsRef::<str>::as_ref(key.get_ref() as &toml::de::DeString).to_string(),
        place: place(key.span().start),
        node: Node::new(value, place),
    };
    pairs.into_iter().map(entry).collect()
}

impl Document {
    /// Reads a recipe's syntax, and lays it over the preset that it names, if it names one.
    ///
    /// # Errors
    /// What is no TOML, or names a preset that is none.
    pub fn parse(text: &str, file_name: &str) -> Result<Document, RecipeError> {
        let lines = Lines::new(text, file_name);
        let table = DeTable::parse(text).map_err(|e| {
            let place = lines.place(e.span().map_or(0, |s| s.start));
            RecipeError::at(&place, one_line(e.message()))
        })?;
        let place = |position| lines.place(position);
        let mut top = entries(table.get_ref(), &place);
        let named = top.iter().position(|e| e.key == "preset").map(|position| top.remove(position).node);
        let root = Node { value: Value::Table(top), place: place(0) };
        let Some(name) = named else { return Ok(Document { root }) };
        let base = match &name.value {
            Value::Text(name) => preset(name),
            _ => None,
        };
        let Some(base) = base else {
            let names = super::PRESETS.map(|(name, _)| name);
            let hint = match &name.value {
                Value::Text(name) => did_you_mean(name, &names),
                _ => String::new(),
            };
            let message = format!("no preset {}{hint} (presets: {})", name.describe(), names.join(", "));
            return Err(RecipeError::at(&name.place, message));
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
        let fail = |message: String| Err(RecipeError::at(&place, message));
        let Some((key, text)) = assignment.split_once('=') else {
            return fail("it has no \"=\": write key=value, for example train.lr=0.1".into());
        };
        let key = key.trim();
        let value = parse_value(text.trim(), &place)?;
        let short = key.strip_prefix("model.").unwrap_or(key);
        for (sort, kinds) in SORTS {
            if short == sort && kinds.len() > 1 {
                return self.set_all(sort, kinds, full_name(sort, value));
            }
            if let Some(rest) = short.strip_prefix(sort).and_then(|rest| rest.strip_prefix('.')) {
                let (number, field) = rest.split_once('.').unwrap_or((rest, "type"));
                let layer = self.numbered(sort, kinds, number, &place)?;
                let value = if field == "type" { full_name(sort, value) } else { value };
                return self.put(&format!("model.layers.{layer}.{field}"), value, &place);
            }
        }
        self.put(key, value, &place)
    }

    /// The position among all layers of the layer `number`, counted from 0, of those whose type is one of `kinds`.
    fn numbered(&self, sort: &str, kinds: &[&str], number: &str, place: &Place) -> Result<usize, RecipeError> {
        let layers = match self.root.get("model").and_then(|m| m.get("layers")).map(|l| &l.value) {
            Some(Value::List(layers)) => &layers[..],
            _ => &[],
        };
        let of_sort = |layer: &Node| matches!(layer.get("type").map(|t| &t.value), Some(Value::Text(t)) if kinds.contains(&t.as_str()));
        let found: Vec<usize> = (0..layers.len()).filter(|&i| of_sort(&layers[i])).collect();
        number.parse::<usize>().ok().and_then(|n| found.get(n).copied()).ok_or_else(|| {
            let message = match found.len() {
                0 => format!("the recipe has no {sort} layer ({})", kinds.join(", ")),
                n => format!("the recipe has {n} {sort} layers: give a number from 0 to {}, not {number:?}", n - 1),
            };
            RecipeError::at(place, message)
        })
    }

    /// Puts a value at a dotted key, whose section may be left out.
    fn put(&mut self, key: &str, value: Node, place: &Place) -> Result<(), RecipeError> {
        let fail = |message: String| Err(RecipeError::at(place, message));
        let mut path: Vec<&str> = key.split('.').collect();
        let first = path[0];
        if first == "preset" {
            return fail("a preset cannot be set on top of a recipe: name it in the recipe's place".into());
        }
        if !read::SECTIONS.iter().any(|(name, _)| *name == first) {
            match read::SECTIONS.iter().find(|(_, keys)| keys.contains(&first)) {
                Some((section, _)) => path.insert(0, section),
                None => return fail(read::unknown_key(first, "", &read::all_keys())),
            }
        }
        // A deep enough tree of keys would overflow the stack of whatever walks it.
        if path.len() > DEPTH {
            return fail(format!("the key has {} parts, no key has more than {DEPTH}", path.len()));
        }
        let mut node = &mut self.root;
        for (depth, step) in path.iter().enumerate() {
            let so_far = path[..depth].join(".");
            node = descend(node, step, &so_far, place)?;
        }
        *node = value;
        Ok(())
    }

    /// Sets the type of every layer whose type is one of `kinds`.
    fn set_all(&mut self, sort: &str, kinds: &[&str], to: Node) -> Result<(), RecipeError> {
        if !matches!(&to.value, Value::Text(name) if kinds.contains(&name.as_str())) {
            let message = format!("{sort} must be one of {}, not {}", kinds.join(", "), to.describe());
            return Err(RecipeError::at(&to.place, message));
        }
        let model = child(&mut self.root, "model");
        let mut changed = 0;
        if let Some(Value::List(layers)) = model.and_then(|m| child(m, "layers")).map(|l| &mut l.value) {
            for kind in layers.iter_mut().filter_map(|layer| child(layer, "type")) {
                if matches!(&kind.value, Value::Text(name) if kinds.contains(&name.as_str())) {
                    *kind = to.clone();
                    changed += 1;
                }
            }
        }
        if changed == 0 {
            let message = format!("the recipe has no layer of that sort ({})", kinds.join(", "));
            return Err(RecipeError::at(&to.place, message));
        }
        Ok(())
    }
}

/// A pooling may be called by its first word: `max` is `max_pool`.
fn full_name(sort: &str, mut value: Node) -> Node {
    if let Value::Text(name) = &mut value.value {
        let long = format!("{name}_pool");
        if sort == "pool" && read::POOLS.contains(&long.as_str()) {
            *name = long;
        }
    }
    value
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Table(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.node),
        _ => None,
    }
}

/// One step of a dotted key. A key that a table lacks is added; the reader will say if it is unknown.
fn descend<'a>(node: &'a mut Node, step: &str, so_far: &str, place: &Place) -> Result<&'a mut Node, RecipeError> {
    if step.is_empty() {
        return Err(RecipeError::at(place, "the key has an empty part: write for example train.lr=0.1"));
    }
    let words = node.describe();
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
            let (len, last) = (list.len(), list.len().saturating_sub(1));
            let node = step.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            node.ok_or_else(|| {
                let message = format!("{so_far} is a list of {len}: give a position from 0 to {last}, not {step:?}");
                RecipeError::at(place, message)
            })
        }
        _ => Err(RecipeError::at(place, format!("{so_far} is {words}, it has no key {step:?}"))),
    }
}

fn parse_value(text: &str, place: &Place) -> Result<Node, RecipeError> {
    if text.is_empty() {
        return Err(RecipeError::at(place, "there is no value after \"=\""));
    }
    match DeValue::parse(text) {
        Ok(value) => Ok(Node::new(&value, &|_| place.clone())),
        // Brackets and quotes were meant as TOML; all else is text without quotes.
        Err(e) if text.starts_with(['[', '{', '"', '\'']) => Err(RecipeError::at(place, one_line(e.message()))),
        Err(_) => Ok(Node { value: Value::Text(text.into()), place: place.clone() }),
    }
}
