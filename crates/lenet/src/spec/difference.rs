//! In which keys two recipes differ.

use super::Recipe;
use std::collections::BTreeMap;

/// A key in which two recipes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The dotted key, as `--set` takes it.
    pub key: String,
    /// The first recipe's value as TOML writes it; `None` where it has none.
    pub a: Option<String>,
    /// The second recipe's.
    pub b: Option<String>,
}

/// The keys in which two recipes differ once every default is written out, in alphabetical order. Layers are compared
/// position by position.
pub fn differences(a: &Recipe, b: &Recipe) -> Vec<Difference> {
    let (a, b) = (flat(a), flat(b));
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort_by_key(|key| sortable(key));
    keys.dedup();
    let one = |key: &String| Difference { key: key.clone(), a: a.get(key).cloned(), b: b.get(key).cloned() };
    keys.into_iter().map(one).filter(|d| d.a != d.b).collect()
}

/// Layer 10 comes after layer 9.
fn sortable(key: &str) -> Vec<(usize, String)> {
    key.split('.').map(|part| (part.parse().unwrap_or(0), part.to_string())).collect()
}

fn flat(recipe: &Recipe) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    // What was written by `to_toml` reads back; a table that does not would just show no keys.
    let table: toml::Table = recipe.to_toml().parse().unwrap_or_default();
    flatten(&toml::Value::Table(table), "", &mut keys);
    keys
}

fn flatten(value: &toml::Value, path: &str, keys: &mut BTreeMap<String, String>) {
    let join = |step: &str| if path.is_empty() { step.to_string() } else { format!("{path}.{step}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, v)| flatten(v, &join(key), keys)),
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            list.iter().enumerate().for_each(|(i, v)| flatten(v, &join(&i.to_string()), keys));
        }
        value => {
            keys.insert(path.to_string(), value.to_string());
        }
    }
}
