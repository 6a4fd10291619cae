//! The `lenet` Python package: what the library does, with NumPy arrays in and out.
//!
//! ```text
//! arguments (value, recipe, data) → lenet → Model · arrays · dicts
//! ```
//!
//! Whatever takes longer than a fraction of a millisecond runs detached from the interpreter. No panic of the library
//! becomes a panic in Python (`error::detached`).

mod array;
mod data;
mod engine;
mod error;
mod model;
mod recipe;
mod train;
mod value;

use pyo3::prelude::*;

#[pymodule]
fn _lenet(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", py.get_type::<error::Error>())?;
    module.add_class::<model::PyModel>()?;
    module.add_function(wrap_pyfunction!(train::train, module)?)?;
    module.add_function(wrap_pyfunction!(model::load, module)?)?;
    module.add_function(wrap_pyfunction!(model::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(recipe::summary, module)?)?;
    module.add_function(wrap_pyfunction!(recipe::presets, module)?)?;
    // Where processes cannot fork there is nothing to register with.
    if let Ok(register) = py.import("os")?.getattr("register_at_fork") {
        let options = pyo3::types::PyDict::new(py);
        options.set_item("after_in_child", wrap_pyfunction!(engine::forked, module)?)?;
        register.call((), Some(&options))?;
    }
    Ok(())
}
