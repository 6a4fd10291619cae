//! The logits of images: `cargo run --example logits -- MODEL IMAGES LOGITS`.
//!
//! IMAGES is a file of raw bytes, `[n, c, h, w]` of the model's input; LOGITS becomes one of little-endian floats,
//! `[n, classes]`.

use lenet::engine::{Batch, CpuOptions, Pixels};
use lenet::model::Model;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images, logits] = &arguments[..] else {
        return Err("usage: logits MODEL IMAGES LOGITS".into());
    };
    let model = Model::load(Path::new(model))?;
    let mut engine = model.engine(CpuOptions { threads: 1, path: None })?;
    let data = std::fs::read(images)?;
    let n = data.len() / model.network.input().iter().product::<usize>();
    let indices: Vec<u32> = (0..n as u32).collect();
    let (labels, tables) = (vec![0; n], model.normalization.tables());
    let mut out = vec![0.0; n * model.network.outputs()];
    for (indices, out) in indices.chunks(1024).zip(out.chunks_mut(1024 * model.network.outputs())) {
        let pixels = Pixels::Bytes { data: &data, tables: &tables };
        model.logits(&mut engine, &Batch { pixels, labels: &labels, indices }, out)?;
    }
    let bytes: Vec<u8> = out.iter().flat_map(|v| v.to_le_bytes()).collect();
    Ok(std::fs::write(logits, bytes)?)
}
