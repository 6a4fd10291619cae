//! A recipe before it means anything: TOML in which every piece knows where it was written.

use super::error::{Place, Problem, RecipeError, did_you_mean, one_line};
use std::cell::Cell;
use std::ops::RangeInclusive;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub value: Value,
    pub place: Place,
}

/// Numbers are kept so that nothing is rounded before their type is known.
#[derive(Clone, Debug)]
pub(crate) enum Value {
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
pub(crate) struct Entry {
    pub key: String,
    /// Of the key; the node has the value's.
    pub place: Place,
    pub node: Node,
}

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
    /// A whole text.
    pub fn parse(text: &str, file_name: &str) -> Result<Node, RecipeError> {
        let lines = Lines::new(text, file_name);
        let table = DeTable::parse(text).map_err(|e| {
            let place = lines.place(e.span().map_or(0, |s| s.start));
            RecipeError::at(&place, Problem::Syntax(one_line(e.message())))
        })?;
        let place = |position| lines.place(position);
        Ok(Node { value: Value::Table(entries(table.get_ref(), &place)), place: place(0) })
    }

    /// The value of an override.
    pub fn parse_value(text: &str, place: &Place) -> Result<Node, RecipeError> {
        if text.is_empty() {
            return Err(RecipeError::at(place, Problem::NoValue));
        }
        match DeValue::parse(text) {
            Ok(value) => Ok(Node::new(&value, &|_| place.clone())),
            // Brackets and quotes were meant as TOML; all else is text without quotes.
            Err(e) if text.starts_with(['[', '{', '"', '\'']) => {
                Err(RecipeError::at(place, Problem::Syntax(one_line(e.message()))))
            }
            Err(_) => Ok(Node { value: Value::Text(text.into()), place: place.clone() }),
        }
    }

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

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.node),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The nodes of a list that is not empty.
    pub fn list(&self) -> Option<&[Node]> {
        if let Value::List(nodes) = &self.value { Some(&nodes[..]).filter(|n| !n.is_empty()) } else { None }
    }

    /// That the value of this key is not as it must be.
    pub fn must(&self, key: &str, be: &str) -> RecipeError {
        self.must_one_of(key, be, String::new())
    }

    /// The same with a hint to a value that is close.
    pub fn must_one_of(&self, key: &str, be: &str, hint: String) -> RecipeError {
        let (key, be, found) = (key.into(), be.into(), self.describe());
        RecipeError::at(&self.place, Problem::Value { key, be, found, hint })
    }

    pub fn integer(&self, key: &str, range: &RangeInclusive<u64>) -> Result<u64, RecipeError> {
        let value = match self.value {
            Value::Integer(i) => u64::try_from(i).ok().filter(|i| range.contains(i)),
            _ => None,
        };
        value.ok_or_else(|| self.must(key, &format!("a whole number from {} to {}", range.start(), range.end())))
    }

    pub fn number(&self) -> Option<f32> {
        match &self.value {
            // At the ends are numbers that were beyond them.
            Value::Integer(i128::MIN | i128::MAX) => None,
            Value::Integer(i) => Some(*i as f32),
            Value::Float(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The keys that a table has besides those that are known, each as an error; or that this is no table.
    pub fn unknown_keys(&self, table: &str, known: &[&str]) -> Vec<RecipeError> {
        let Value::Table(entries) = &self.value else { return vec![self.must(table, "a table")] };
        let unknown = entries.iter().filter(|e| !known.contains(&e.key.as_str()));
        unknown.map(|e| RecipeError::at(&e.place, unknown_key(&e.key, table, known))).collect()
    }

    /// The value of a key that a table must have.
    pub fn need(&self, key: &'static str, table: &str) -> Result<&Node, RecipeError> {
        let missing = || RecipeError::at(&self.place, Problem::MissingKey { key, table: table.into() });
        self.get(key).ok_or_else(missing)
    }

    /// Lays `over` on top: tables are merged key by key, all else is replaced.
    pub fn merge(&mut self, over: Node) {
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

/// `unknown key "chanels" in a conv2d layer, did you mean "channels"? (known: …)`
pub(super) fn unknown_key(key: &str, table: &str, known: &[&str]) -> Problem {
    let (hint, known) = (did_you_mean(key, known), known.join(", "));
    Problem::UnknownKey { key: key.into(), table: table.into(), hint, known }
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
