//! What several commands take.

use clap::{Args, ValueEnum};

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
pub struct SetArgs {
    /// Change a key of the recipe, as in `lr=0.1`, `model.layers.0.channels=12` or `pool=max_pool`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// What networks learn from.
    Train,
    /// What they are judged by.
    Test,
}

/// A number of threads; far more than a machine has is a slip of the finger.
pub fn threads(text: &str) -> Result<usize, String> {
    let n: usize = text.parse().map_err(|_| "it must be a whole number".to_string())?;
    if n <= 1024 { Ok(n) } else { Err("at most 1024 are possible".into()) }
}

/// At least one.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("it must be a whole number from 1 on".into()),
    }
}
