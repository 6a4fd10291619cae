//! The names of a sweep's files.

/// Where sweeps are kept unless another directory is given.
pub const SWEEPS: &str = "sweeps";

/// The sweep's own file, as it was given.
pub const SWEEP: &str = "sweep.toml";

/// The directory of the trials' runs.
pub const TRIALS: &str = "trials";

/// All trials as a table, the best configuration first.
pub const RESULTS: &str = "results.csv";

/// All trials as a picture.
pub const PICTURE: &str = "sweep.svg";

/// The recipe of the best configuration.
pub const BEST: &str = "best.toml";
