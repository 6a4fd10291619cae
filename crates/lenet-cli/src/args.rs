//! What the command line takes.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

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

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// A GPU where there is one and the build knows GPUs, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU; needs a build with the feature gpu.
    Gpu,
}

#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// What computes.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
    /// Take a program that plays a GPU (llvmpipe, SwiftShader, WARP) where there is no other: slow, for tests.
    #[arg(long)]
    pub allow_software: bool,
}

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
pub struct EvalArgs {
    /// Directory of a model, or of the run that trained it.
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: PathBuf,
    /// A dataset's name, a folder of pictures, or idx:DIR; that of the training unless given.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Leave out pictures that cannot be read.
    #[arg(long)]
    pub skip_bad: bool,
    /// Which images.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub split: Split,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads; 0 for as many as the machine runs at once.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Directory of a model, or of the run that trained it.
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: PathBuf,
    /// Pictures (PNG, JPEG, WebP, BMP; grey or colour), folders of pictures, or - for standard input.
    #[arg(value_name = "PICTURE", required = true, value_hint = ValueHint::AnyPath)]
    pub pictures: Vec<PathBuf>,
    /// How many of the likeliest classes to name.
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = count)]
    pub top: usize,
    /// Take the negative of every picture; without it, dark things on a light ground are recognised and turned.
    #[arg(long, conflicts_with = "no_invert")]
    pub invert: bool,
    /// Take every picture as it is.
    #[arg(long)]
    pub no_invert: bool,
    /// One JSON object a picture instead of text.
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

/// What a model is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One self-contained ONNX file of operator set 18, with an open batch axis.
    Onnx,
    /// model.safetensors with PyTorch's names, config.json, and a model card with the lines of PyTorch that load it.
    Torch,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Directory of a model, or of the run that trained it.
    #[arg(value_hint = ValueHint::DirPath)]
    pub model: PathBuf,
    /// What to write.
    #[arg(long, value_enum)]
    pub format: Format,
    /// Where to: a file for onnx (model.onnx unless given), a directory for torch (model-torch unless given).
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Make the normalisation a part of an ONNX graph, which then takes bytes (uint8) instead of floats.
    #[arg(long)]
    pub raw_input: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// An ONNX file, or a safetensors file with a PyTorch state dict.
    #[arg(value_name = "FILE.onnx|FILE.safetensors", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The network of a state dict: a preset, or a recipe's file. An ONNX file has its own.
    #[arg(long, value_name = "RECIPE", value_hint = ValueHint::AnyPath)]
    pub model: Option<String>,
    #[command(flatten)]
    pub set: SetArgs,
    /// Names of the classes, in the order of the outputs; the file's or the dataset's unless given.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    pub classes: Option<Vec<String>>,
    /// What is subtracted of bytes / 255, one number a channel; for an ONNX file that does not say it.
    #[arg(long, value_name = "X,...", value_delimiter = ',', requires = "std", allow_negative_numbers = true)]
    pub mean: Option<Vec<f32>>,
    /// What that is divided by, one number a channel.
    #[arg(long, value_name = "X,...", value_delimiter = ',', requires = "mean")]
    pub std: Option<Vec<f32>>,
    /// Dataset that the model is for: what `eval` takes unless told otherwise.
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Directory of the model.
    #[arg(short, long, value_name = "MODEL", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Change a key of the recipe, as in `lr=0.1`, `model.layers.0.channels=12` or `pool=max_pool`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the datasets known by name.
    List {
        /// One JSON object a dataset instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// Get a dataset into the cache.
    Fetch {
        /// Its name.
        name: String,
    },
    /// Read a dataset's files in the cache and compare their checksums, or every picture of a folder.
    Check {
        /// Its name, or a folder of pictures.
        name: String,
    },
    /// Show the first images of every class, in characters or as a picture.
    Show {
        /// Its name, a folder of pictures, or idx:DIR.
        name: String,
        /// Write a PNG picture here instead.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        /// Which images.
        #[arg(long, value_enum, default_value_t = Split::Train)]
        split: Split,
        /// Images a class, at most.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
        per_class: u8,
        /// Instead, the first image of every class, and what the augmentation of this recipe makes of it, epoch by epoch.
        #[arg(long, value_name = "RECIPE", value_hint = ValueHint::AnyPath)]
        augment: Option<String>,
        #[command(flatten)]
        set: SetArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum RecipeCommand {
    /// List the presets.
    List {
        /// One JSON object a preset instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// Print a recipe with every default written out.
    Show {
        /// A preset or a recipe's file.
        #[arg(value_hint = ValueHint::AnyPath)]
        recipe: String,
        #[command(flatten)]
        set: SetArgs,
    },
    /// Print the keys in which two recipes differ.
    Diff {
        /// A preset or a recipe's file.
        #[arg(value_hint = ValueHint::AnyPath)]
        a: String,
        /// Another.
        #[arg(value_hint = ValueHint::AnyPath)]
        b: String,
        /// One JSON object a key instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Say all that is wrong with recipes.
    Validate {
        /// Recipes' files, or presets.
        #[arg(value_name = "RECIPE", required = true, value_hint = ValueHint::AnyPath)]
        recipes: Vec<String>,
    },
    /// Print the JSON Schema of recipes, for editors.
    Schema,
}

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// What networks learn from.
    Train,
    /// What they are judged by.
    Test,
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

/// The images that a report measures on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportSplit {
    /// The test images.
    Test,
    /// Those that the training kept for validation.
    Val,
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
pub struct ServeArgs {
    /// Directories of models or of runs; NAME=DIR gives one another name than its folder's.
    #[arg(value_name = "MODEL", required = true, value_hint = ValueHint::DirPath)]
    pub models: Vec<String>,
    /// Where to listen; port 0 takes any that is free.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub addr: SocketAddr,
    /// A file with the token that clients have to show; without it LENET_TOKEN is looked at.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Serve whoever reaches an address other than this machine's own, without a token.
    #[arg(long)]
    pub open: bool,
    /// Engine threads a model; 0 for as many as the machine runs at once.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// Samples that may wait for each model; beyond that, requests are refused with 429.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = count)]
    pub queue: usize,
    /// Most bytes of a request's body.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = count)]
    pub max_body: usize,
    /// Directory whose runs the page shows; runs/ if that is there.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub runs: Option<PathBuf>,
    /// Let the page start, stop and resume trainings under --runs; they take this machine's cores.
    #[arg(long)]
    pub allow_training: bool,
    /// Log only failures and events, not each request.
    #[arg(long)]
    pub quiet: bool,
}

/// A number of threads; far more than a machine has is a slip of the finger.
pub fn threads(text: &str) -> Result<usize, String> {
    let n: usize = text.parse().map_err(|_| "it must be a whole number".to_string())?;
    if n <= 1024 { Ok(n) } else { Err("at most 1024 are possible".into()) }
}

/// At least one.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("it must be a whole number from 1 on".into()),
    }
}
