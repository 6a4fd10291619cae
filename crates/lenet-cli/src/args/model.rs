//! What uses a model, or moves it: `eval`, `predict`, `serve`, `export`, `import`.

use super::shared::{DeviceArgs, SetArgs, Split, count, threads};
use clap::{Args, ValueEnum, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

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
