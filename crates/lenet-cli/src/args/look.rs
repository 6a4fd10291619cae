//! What looks into a network or a run: `summary`, `inspect`, `report`.

use super::shared::{SetArgs, Split, count, threads};
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// A preset, a recipe's file, or the directory of a model or a run.
    #[arg(value_name = "RECIPE|MODEL", default_value = "lenet", value_hint = ValueHint::AnyPath)]
    pub what: String,
    #[command(flatten)]
    pub set: SetArgs,
    /// One JSON object instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// How saliency is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Saliency {
    /// Gradient × input.
    Gradient,
    /// What the logit loses where a square covers the image.
    Occlusion,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("view").multiple(false))]
#[command(group = clap::ArgGroup::new("file").multiple(true).required(true))]
pub struct InspectArgs {
    /// Directory of a model, or of the run that trained it; for --network also a preset or a recipe's file.
    #[arg(value_name = "MODEL", value_hint = ValueHint::AnyPath)]
    pub what: String,
    /// A layer by its name in `lenet summary`, or all; may be repeated. The first two convolutions, activated, unless given.
    #[arg(long = "layer", value_name = "LAYER")]
    pub layers: Vec<String>,
    /// Images of this class; may be repeated. One image of every class unless something is chosen.
    #[arg(long = "class", value_name = "CLASS")]
    pub classes: Vec<String>,
    /// Images of each class: 4 unless given; for --means 100.
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<usize>,
    /// The image at this place in the data, from 0; may be repeated.
    #[arg(long = "index", value_name = "I")]
    pub indices: Vec<usize>,
    /// A picture's file, taken as `lenet predict` takes it; may be repeated.
    #[arg(long = "image", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub images: Vec<PathBuf>,
    /// So many images of noise.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub noise: u32,
    /// Seed of the noise.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// A dataset's name, a folder of pictures, or idx:DIR; that of the training unless given.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Which images of the data.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub split: Split,
    /// Instead of activations: the filters of the first layer.
    #[arg(long, group = "view")]
    pub filters: bool,
    /// Instead: means of activations over classes, and of two classes the difference.
    #[arg(long, group = "view")]
    pub means: bool,
    /// Instead: which pixels the logit of the predicted class hangs on.
    #[arg(long, group = "view", value_enum, value_name = "HOW")]
    pub saliency: Option<Saliency>,
    /// The class whose logit --saliency asks about.
    #[arg(long, value_name = "CLASS", requires = "saliency")]
    pub target: Option<String>,
    /// Instead: how strange the inputs are, beside all images of the data.
    #[arg(long, group = "view")]
    pub ood: bool,
    /// Instead: the layers and shapes of the network.
    #[arg(long, group = "view")]
    pub network: bool,
    #[command(flatten)]
    pub set: SetArgs,
    /// Write the picture here, as PNG or SVG by the name's ending.
    #[arg(short, long, value_name = "FILE", group = "file", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write the numbers here, as NumPy reads them; of all layers unless --layer is given.
    #[arg(long, value_name = "FILE", group = "file", value_hint = ValueHint::FilePath)]
    pub npz: Option<PathBuf>,
    /// The same as safetensors.
    #[arg(long, value_name = "FILE", group = "file", value_hint = ValueHint::FilePath)]
    pub safetensors: Option<PathBuf>,
}

/// The images that a report measures on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportSplit {
    /// The test images.
    Test,
    /// Those that the training kept for validation.
    Val,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Directories of runs; more than one are compared with the first.
    #[arg(value_name = "RUN", required = true, num_args = 1..=lenet::report::MOST_RUNS, value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// Where to write it; report.html in the first run's directory unless given.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Which images the models are measured on.
    #[arg(long, value_enum, default_value_t = ReportSplit::Test)]
    pub split: ReportSplit,
    /// A dataset's name, a folder of pictures, or idx:DIR, instead of each recipe's.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Threads; 0 for as many as the machine runs at once.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}
