//! Python's values as the text of TOML values, and JSON's values as Python's.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::Value;

/// Deepest nesting: recipes have less, and a list can hold itself.
const DEPTH: usize = 16;

/// A value as TOML writes it.
///
/// # Errors
/// `TypeError` for what TOML has no word for.
pub fn toml(value: &Bound<'_, PyAny>) -> PyResult<String> {
    write(value, 0)
}

/// A key as TOML writes it.
pub fn key(key: &Bound<'_, PyAny>) -> PyResult<String> {
    let text: String = key.extract().map_err(|_| {
        let repr = key.repr().map_or_else(|_| "?".to_string(), |r| r.to_string());
        PyTypeError::new_err(format!("keys of recipes are text, not {repr}"))
    })?;
    Ok(text)
}

fn write(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<String> {
    if depth > DEPTH {
        return Err(PyTypeError::new_err(format!(
            "a value is nested more than {DEPTH} deep: recipes have no such values"
        )));
    }
    // A bool is an int to Python.
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(value.is_true().to_string());
    }
    if let Ok(text) = value.cast::<PyString>() {
        return quoted(&text.to_cow()?);
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(value.str()?.to_string());
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(number(value.extract()?));
    }
    if let Ok(table) = value.cast::<PyDict>() {
        let entries = table.iter().map(|(k, v)| Ok(format!("{} = {}", quoted(&key(&k)?)?, write(&v, depth + 1)?)));
        return Ok(format!("{{{}}}", entries.collect::<PyResult<Vec<_>>>()?.join(", ")));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items = value.try_iter()?.map(|item| write(&item?, depth + 1));
        return Ok(format!("[{}]", items.collect::<PyResult<Vec<_>>>()?.join(", ")));
    }
    if value.hasattr("__fspath__")? {
        return quoted(&value.extract::<std::path::PathBuf>()?.to_string_lossy());
    }
    // NumPy's scalars.
    if value.hasattr("__index__")? {
        return Ok(value.call_method0("__index__")?.str()?.to_string());
    }
    if value.hasattr("__float__")? {
        // A float32 is meant as it prints, 0.1 and not 0.10000000149011612.
        let text = value.str()?.to_string();
        return Ok(text.parse().map_or(text, number));
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("a value of a recipe is a bool, a number, text, a list or a dict, not {kind}")))
}

/// TOML takes the escapes of JSON.
fn quoted(text: &str) -> PyResult<String> {
    serde_json::to_string(text).map_err(|e| PyTypeError::new_err(e.to_string()))
}

/// The shortest text that is this number; TOML's `nan` is small.
fn number(value: f64) -> String {
    format!("{value:?}").to_lowercase()
}

/// A JSON value as Python's.
pub fn from_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(b) => b.into_bound_py_any(py),
        Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
            (Some(n), ..) => n.into_bound_py_any(py),
            (_, Some(n), _) => n.into_bound_py_any(py),
            (.., n) => n.unwrap_or(f64::NAN).into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| from_json(py, item)).collect::<PyResult<_>>()?;
            items.into_bound_py_any(py)
        }
        Value::Object(entries) => {
            let dict = PyDict::new(py);
            entries.iter().try_for_each(|(key, value)| dict.set_item(key, from_json(py, value)?))?;
            Ok(dict.into_any())
        }
    }
}

/// What is written as JSON as Python's values: floats of 32 bits as they print.
pub fn from_text<'py>(py: Python<'py>, json: serde_json::Result<String>) -> PyResult<Bound<'py, PyAny>> {
    let value = json.and_then(|text| serde_json::from_str::<Value>(&text));
    from_json(py, &value.map_err(|e| crate::error::wrong(e.to_string()))?)
}
