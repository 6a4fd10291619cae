//! Why a command ends early, and the exit code that says so.

use lenet::data::DataError;
use lenet::inspect::InspectError;
use lenet::model::ModelError;
use lenet::spec::{RecipeError, SpecError};
use lenet::train::{CheckpointError, RunError, TrainError};
use std::fmt::Display;
use std::io;
use std::path::Path;

/// Exit code after a signal: 128 and the number of Ctrl-C's.
pub const INTERRUPTED: u8 = 130;

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// The command line, or the recipe, asks for what is not possible: exit code 2.
    Usage(String),
    /// It was asked rightly and did not work: exit code 1.
    Failed(String),
    /// Something failed, and standard error has it already: exit code 1.
    Told,
    /// Another process of the job says why: silence, exit code 0.
    ToldElsewhere,
    /// A signal stopped it, and a checkpoint was saved: exit code 130.
    Interrupted,
    /// Nobody reads the output any more: silence, exit code 0.
    BrokenPipe,
}

impl Failure {
    pub fn failed(message: impl Display) -> Self {
        Failure::Failed(message.to_string())
    }

    /// Says what is wrong on standard error, and returns the exit code.
    pub fn report(self) -> u8 {
        let (code, message) = match self {
            Failure::Usage(message) => (2, message),
            Failure::Failed(message) => (1, message),
            Failure::Told => return 1,
            Failure::Interrupted => return INTERRUPTED,
            Failure::BrokenPipe | Failure::ToldElsewhere => return 0,
        };
        eprintln!("error: {message}");
        code
    }
}

/// An error of the system with a file, for `map_err`.
pub fn file_error<'a>(action: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Failure + 'a {
    move |e| Failure::Failed(format!("cannot {action} {}: {e}", path.display()))
}

impl From<RecipeError> for Failure {
    fn from(e: RecipeError) -> Self {
        match e {
            RecipeError::Many(errors) => {
                let lines: Vec<String> = errors.iter().map(|e| e.to_string().replace('\n', "\nerror: ")).collect();
                Failure::Usage(lines.join("\nerror: "))
            }
            e => Failure::Usage(e.to_string()),
        }
    }
}

impl From<SpecError> for Failure {
    fn from(e: SpecError) -> Self {
        Failure::Usage(e.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Self {
        match e {
            DataError::UnknownName { .. } => Failure::Usage(e.to_string()),
            e => Failure::Failed(e.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(e: RunError) -> Self {
        match e {
            RunError::Exists(_) | RunError::NotARun(_) => Failure::Usage(e.to_string()),
            e => Failure::Failed(e.to_string()),
        }
    }
}

impl From<TrainError> for Failure {
    fn from(e: TrainError) -> Self {
        match e {
            TrainError::Run(e) => e.into(),
            TrainError::Recipe(e) => e.into(),
            TrainError::Checkpoint(CheckpointError::OtherRecipe { .. }) => Failure::Usage(e.to_string()),
            e => Failure::Failed(e.to_string()),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(e: ModelError) -> Self {
        Failure::Failed(e.to_string())
    }
}

impl From<InspectError> for Failure {
    fn from(e: InspectError) -> Self {
        use InspectError::*;
        match e {
            UnknownLayer { .. } | UnknownClass { .. } => Failure::Usage(e.to_string()),
            e => Failure::Failed(e.to_string()),
        }
    }
}

impl From<lenet::draw::DrawError> for Failure {
    fn from(e: lenet::draw::DrawError) -> Self {
        match e {
            lenet::draw::DrawError::TooLarge { .. } => Failure::Usage(e.to_string()),
            _ => Failure::Failed(e.to_string()),
        }
    }
}
