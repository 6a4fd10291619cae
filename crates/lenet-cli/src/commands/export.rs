//! `lenet export`.

use crate::args::{ExportArgs, Format};
use crate::failure::{Failure, file_error};
use crate::terminal::print_line;
use lenet::model::Model;
use lenet::thousands;
use std::path::PathBuf;

pub fn run(args: ExportArgs) -> Result<(), Failure> {
    let model = Model::load(&args.model)?;
    match args.format {
        Format::Onnx => {
            let path = args.output.unwrap_or_else(|| PathBuf::from("model.onnx"));
            let bytes = model.to_onnx(args.raw_input);
            lenet::write_atomic(&path, &bytes).map_err(file_error("write", &path))?;
            print_line(&format!("{}: ONNX, {} bytes", path.display(), thousands(bytes.len() as u64)))
        }
        Format::Torch if args.raw_input => {
            Err(Failure::Usage("--raw-input is for --format onnx: a PyTorch model takes normalised floats".into()))
        }
        Format::Torch => {
            let dir = args.output.unwrap_or_else(|| PathBuf::from("model-torch"));
            model.save(&dir)?;
            print_line(&format!("{}: its README.md has the lines that load it in PyTorch", dir.display()))
        }
    }
}
