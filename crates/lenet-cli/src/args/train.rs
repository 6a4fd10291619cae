//! What runs a recipe: `train`, `sweep`, `lr-find`, `bench`.

use super::shared::{DeviceArgs, SetArgs, threads};
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// A preset (lenet, lenet-modern, small, …: any other name lists them) or a recipe's file; lenet unless given.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub recipe: Option<String>,
    /// A dataset's name, a folder of pictures with a folder a class, or idx:DIR, instead of the recipe's.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Leave out pictures that cannot be read.
    #[arg(long)]
    pub skip_bad: bool,
    /// Passes over the training images, in all; more than before prolongs a run that is resumed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Share of the training images that is kept for validation
    #[arg(long, value_name = "SHARE")]
    pub val_fraction: Option<f32>,
    #[command(flatten)]
    pub set: SetArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads; 0 for as many as the machine runs at once. The result is the same whatever their number.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// Seed of the initial weights and of the shuffling.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Start with the parameters of this model, or of this run's, for example an imported one.
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::DirPath, conflicts_with = "resume")]
    pub init_from: Option<PathBuf>,
    /// Directory of the run; a new one under runs/ unless given.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Go on with a run.
    #[arg(long, value_name = "RUN", value_hint = ValueHint::DirPath, conflicts_with_all = ["recipe", "out"])]
    pub resume: Option<PathBuf>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub json: bool,
    /// The whole screen with growing curves; q or Ctrl-C stops, with a checkpoint.
    #[arg(long, conflicts_with_all = ["json", "dry_run"])]
    pub tui: bool,
    /// Only say whether the recipe fits, and print it resolved.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The sweep's file.
    #[arg(value_name = "SWEEP.toml", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// A dataset's name, or idx:DIR, instead of the recipe's.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Trials side by side, instead of the file's: 0 for as many as the machine runs at once, 1 for one with all threads.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub parallel: Option<usize>,
    /// Directory of the sweep; sweeps/ and the file's name unless given. One that was interrupted goes on.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Only list the trials.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LrFindArgs {
    /// A preset or a recipe's file.
    #[arg(value_name = "RECIPE", default_value = "lenet", value_hint = ValueHint::AnyPath)]
    pub recipe: String,
    /// A dataset's name, or idx:DIR, instead of the recipe's.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    #[command(flatten)]
    pub set: SetArgs,
    /// First learning rate.
    #[arg(long, value_name = "LR", default_value_t = 1e-5)]
    pub from: f32,
    /// Last learning rate.
    #[arg(long, value_name = "LR", default_value_t = 10.0)]
    pub to: f32,
    /// Steps between them.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub steps: usize,
    /// Threads; 0 for as many as the machine runs at once.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// Directory for lr-find.csv and lr-find.svg.
    #[arg(short, long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A preset or a recipe's file.
    #[arg(value_name = "RECIPE", default_value = "lenet", value_hint = ValueHint::AnyPath)]
    pub what: String,
    #[command(flatten)]
    pub set: SetArgs,
    /// Shorter measurements: about half a minute, and noisier.
    #[arg(long)]
    pub quick: bool,
    /// Most threads of the epoch measurements; 0 for as many as the machine runs at once.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// One JSON object a row instead of the table.
    #[arg(long)]
    pub json: bool,
}
