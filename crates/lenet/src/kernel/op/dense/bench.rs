//! What is timed of a dense layer.

use super::{ChunkRows, WeightGradient, forward, gradient, naive, row_stride};
use crate::kernel::bench::{Bench, Disagreement, agree};
use crate::kernel::input::lanes_to_rows;
use crate::kernel::kit::{f64s, lane_of, values};
use crate::kernel::plan::contract::Contraction;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::simd::CHUNK;
use crate::spec::DenseShape;

const CHUNKS: usize = 16;

pub(crate) fn bench(bench: &mut Bench, name: &str, s: &DenseShape) -> Result<(), Disagreement> {
    let tiles = Tiles::of(bench.path);
    let [x, dz, w] =
        [(s.inputs * CHUNK, 8), (s.outputs * CHUNK, 9), (s.inputs * s.outputs, 10)].map(|(n, seed)| values(n, seed));
    let (w1, z1) = (f64s(&w), naive::forward(s, &lane_of(&x, 3), &f64s(&w), None));
    let dx1 = naive::backward(s, &lane_of(&x, 3), &w1, &lane_of(&dz, 3), &mut vec![0.0; w.len()], None);
    let mut pass = |name: String, plan: Contraction, from: &[f32], want: &[f64]| {
        let (mut pack, mut to) = (vec![0.0; plan.packed_len()], vec![0.0; want.len() * CHUNK]);
        plan.pack(&w, 0..plan.groups().count(), &mut pack);
        plan.run(0..1, from, &pack, None, &mut to);
        agree(&name, &lane_of(&to, 3), want, 1e-5)?;
        bench.row(name, (w.len() * CHUNK) as u64, || plan.run(0..1, from, &pack, None, &mut to));
        Ok(())
    };
    pass(format!("{name} forward"), forward(tiles, s), &x, &z1)?;
    pass(format!("{name} backward to the data"), gradient(tiles, s), &dz, &dx1)?;
    weights(bench, &format!("{name} backward to the weights"), s, [&x, &w, &dz])
}

fn weights(bench: &mut Bench, name: &str, s: &DenseShape, [x, w, dz]: [&[f32]; 3]) -> Result<(), Disagreement> {
    let (mut dz_rows, mut x_rows) = (vec![0.0; CHUNK * row_stride(s.outputs)], vec![0.0; CHUNK * row_stride(s.inputs)]);
    lanes_to_rows(bench.path, dz, row_stride(s.outputs), &mut dz_rows);
    lanes_to_rows(bench.path, x, row_stride(s.inputs), &mut x_rows);
    let chunks = vec![ChunkRows { dz: &dz_rows, x: &x_rows }; CHUNKS];
    let plan = WeightGradient::plan(Tiles::of(bench.path), s);
    let all = |dw: &mut [f32]| {
        for g in 0..plan.groups() {
            let rows = plan.outputs(g);
            plan.run(g, &chunks, &mut dw[rows.start * s.inputs..rows.end * s.inputs]);
        }
    };
    let (mut dw, mut want) = (vec![0.0; w.len()], vec![0.0; w.len()]);
    all(&mut dw);
    for lane in 0..CHUNK {
        naive::backward(s, &lane_of(x, lane), &f64s(w), &lane_of(dz, lane), &mut want, None);
    }
    want.iter_mut().for_each(|d| *d *= CHUNKS as f64);
    agree(name, &f64s(&dw), &want, 1e-5)?;
    bench.row(format!("{name}, {CHUNKS} chunks"), (w.len() * CHUNK * CHUNKS) as u64, || all(&mut dw));
    Ok(())
}
