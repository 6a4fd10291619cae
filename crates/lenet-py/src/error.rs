//! The library's errors as Python's, with the library's messages.

use lenet::data::DataError;
use lenet::engine::EngineError;
use lenet::inspect::InspectError;
use lenet::model::ModelError;
use lenet::spec::{RecipeError, SpecError};
use lenet::train::{RunError, TrainError};
use pyo3::exceptions::{PyFileExistsError, PyFileNotFoundError, PyOSError, PyPermissionError, PyValueError};
use pyo3::prelude::*;
use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

pyo3::create_exception!(lenet, Error, PyValueError, "What is asked for, or a file, is not possible or not right.");

/// An error of the library that Python raises.
pub trait Raise {
    fn raise(self) -> PyErr;
}

/// A [`Error`] that says this.
pub fn wrong(what: impl Into<String>) -> PyErr {
    Error::new_err(what.into())
}

/// What the file system says, by its kind.
pub fn io(kind: ErrorKind, message: String) -> PyErr {
    match kind {
        ErrorKind::NotFound => PyFileNotFoundError::new_err(message),
        ErrorKind::PermissionDenied => PyPermissionError::new_err(message),
        _ => PyOSError::new_err(message),
    }
}

impl Raise for EngineError {
    fn raise(self) -> PyErr {
        wrong(self.to_string())
    }
}

impl Raise for SpecError {
    fn raise(self) -> PyErr {
        wrong(self.to_string())
    }
}

impl Raise for InspectError {
    fn raise(self) -> PyErr {
        wrong(self.to_string())
    }
}

impl Raise for RecipeError {
    fn raise(self) -> PyErr {
        let message = self.to_string();
        match self {
            RecipeError::Read { source, .. } => io(source.kind(), message),
            _ => wrong(message),
        }
    }
}

impl Raise for DataError {
    fn raise(self) -> PyErr {
        let message = self.to_string();
        match self {
            DataError::Cache { source, .. } => io(source.kind(), message),
            DataError::NoSuchFile { .. } => PyFileNotFoundError::new_err(message),
            _ => wrong(message),
        }
    }
}

impl Raise for ModelError {
    fn raise(self) -> PyErr {
        let message = self.to_string();
        match self {
            ModelError::Io { error, .. } => io(error.kind(), message),
            ModelError::NoModel(_) => PyFileNotFoundError::new_err(message),
            _ => wrong(message),
        }
    }
}

impl Raise for RunError {
    fn raise(self) -> PyErr {
        let message = self.to_string();
        match self {
            RunError::Io { error, .. } => io(error.kind(), message),
            RunError::Exists(_) => PyFileExistsError::new_err(message),
            RunError::NotARun(_) => PyFileNotFoundError::new_err(message),
            _ => wrong(message),
        }
    }
}

impl Raise for TrainError {
    fn raise(self) -> PyErr {
        match self {
            TrainError::Run(e) => e.raise(),
            TrainError::Model(e) => e.raise(),
            TrainError::Recipe(e) => e.raise(),
            e => wrong(e.to_string()),
        }
    }
}

/// Runs this detached from the interpreter, so that Python's other threads go on.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> PyResult<T> + Send) -> PyResult<T> {
    py.detach(|| caught(work))
}

/// Runs this; should it panic, that is an [`Error`], which a program can handle, and no `PanicException`.
pub fn caught<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    // What a panic leaves half-done is overwritten by the next call: engines keep nothing but parameters between calls.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<&str>().copied();
    let what = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    wrong(format!("an error inside lenet, please report it: {what}"))
}
