//! The time that predictions take, on one thread, for `bench/inference.py`.
//!
//! ```sh
//! cargo run --release --package lenet --example latency -- MODEL INPUTS LOGITS
//! ```
//!
//! `INPUTS` holds float32 `[n, c, h, w]` as the network takes them; their logits go to `LOGITS`, float32 `[n, classes]`. Then every
//! line `BATCH CALLS` on standard input is answered with the median seconds of a call.

use lenet::engine::{Batch, CpuOptions, Pixels};
use lenet::model::Model;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, inputs, output] = &arguments[..] else { return Err("usage: latency MODEL INPUTS LOGITS".into()) };
    let model = Model::load(model.as_ref())?;
    let mut engine = model.engine(CpuOptions { threads: 1, path: None })?;
    let bytes = std::fs::read(inputs)?;
    let inputs: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let n = inputs.len() / model.spec.input.iter().product::<usize>().max(1);
    let indices: Vec<u32> = (0..n as u32).collect();
    let mut logits = vec![0.0f32; n * model.network.outputs()];
    let mut forward = |n: usize, logits: &mut [f32]| {
        let batch = Batch { pixels: Pixels::Floats(&inputs), labels: &[], indices: &indices[..n] };
        model.logits(&mut engine, &batch, &mut logits[..n * model.network.outputs()])
    };
    forward(n, &mut logits)?;
    std::fs::write(output, logits.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
    println!("\"ready\"");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (batch, calls) = line.split_once(' ').ok_or("a line is BATCH CALLS")?;
        let (batch, calls): (usize, usize) = (batch.parse()?, calls.parse()?);
        if batch == 0 || batch > n || calls == 0 {
            return Err(format!("a batch has 1 to {n} images, and is called at least once").into());
        }
        let mut seconds = Vec::new();
        for i in 0..calls + calls / 10 {
            let start = Instant::now();
            forward(batch, &mut logits)?;
            // The first calls warm up.
            if i >= calls / 10 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        seconds.sort_by(f64::total_cmp);
        println!("{}", seconds[seconds.len() / 2]);
    }
    Ok(())
}
