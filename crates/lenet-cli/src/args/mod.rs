//! What the command line takes.

mod catalogue;
mod look;
mod model;
mod shared;
mod train;

pub use catalogue::{DataCommand, RecipeCommand};
pub use look::{InspectArgs, ReportArgs, ReportSplit, Saliency, SummaryArgs};
pub use model::{EvalArgs, ExportArgs, Format, ImportArgs, PredictArgs, ServeArgs};
pub use shared::{Device, DeviceArgs, SetArgs, Split};
pub use train::{BenchArgs, LrFindArgs, SweepArgs, TrainArgs};

use clap::{Parser, Subcommand};

/// Trains, explains and ships small convolutional image classifiers.
#[derive(Debug, Parser)]
#[command(name = "lenet", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network: without arguments, LeNet on Fashion-MNIST.
    Train(TrainArgs),
    /// Measure a model on labelled images.
    Eval(EvalArgs),
    /// Say what pictures show.
    Predict(PredictArgs),
    /// Print a network's layers, shapes, parameters and cost.
    Summary(SummaryArgs),
    /// Draw what a network does: activations of every layer, filters, class means, saliency, strangeness, its layers.
    Inspect(Box<InspectArgs>),
    /// List, fetch, check or look at datasets.
    #[command(subcommand)]
    Data(DataCommand),
    /// List, print, compare or check recipes.
    #[command(subcommand)]
    Recipe(RecipeCommand),
    /// Say what this machine has, and what lenet makes of it.
    Doctor {
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Measure this machine: its peak, then each tile, layer, epoch and inference as a share of it.
    Bench(BenchArgs),
    /// Find a learning rate: one step each with rising rates, until the loss leaves.
    LrFind(LrFindArgs),
    /// Write a model for other programs: ONNX, or PyTorch.
    Export(ExportArgs),
    /// Make a model of an ONNX file or of a PyTorch state dict.
    Import(ImportArgs),
    /// Train many variants of a recipe and rank them by validation.
    Sweep(SweepArgs),
    /// Serve models over HTTP: the Open Inference Protocol v2, predictions of pictures, and a web page.
    Serve(ServeArgs),
    /// Write a run's report, or several runs compared, as one HTML file.
    Report(ReportArgs),
    /// Print the completions of a shell, to be sourced or installed.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
