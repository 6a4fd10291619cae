//! What is timed of both algorithms: the three passes of a convolution; shares of the peak count the products of the direct
//! sum.

use super::pairs::Pairs;
use super::square::Square;
use super::{Inputs, Scratch, pairs, square};
use crate::kernel::bench::{Bench, Disagreement};
use crate::kernel::kit::{f64s, lane_of};
use crate::kernel::op::conv::bench::{Case, LANE, Passes};
use crate::spec::ConvShape;
use std::cell::RefCell;

/// The algorithms that fit a convolution.
pub(crate) fn bench(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    if pairs::fits(s) {
        by_pairs(bench, name, s, learns)?;
    }
    if square::fits(s) {
        by_squares(bench, name, s, learns)?;
    }
    Ok(())
}

fn by_pairs(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    let (path, case, scratch) = (bench.path, Case::new(s), RefCell::new(Scratch::default()));
    let plan = Pairs::plan(path, s, &case.frames[0], &case.frames[1], learns);
    let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
    plan.pack(&case.w, [&mut forward, &mut gradient]);
    let (x, dz) = (&case.x[..], &case.dz[..]);
    let passes = Passes {
        name: ", row pairs",
        forward: |z: &mut [f32]| {
            let inputs = Inputs { x, packed: &forward, bias: None };
            plan.forward(path, 0..s.oh, inputs, z, &mut scratch.borrow_mut());
        },
        sums: plan.acc_len(),
        weight: |acc: &mut [f32]| plan.weight(path, 0..s.oh, dz, x, acc, &mut scratch.borrow_mut()),
        finish: |acc: &[f32]| {
            let (sums, mut dw) = (lane_of(acc, LANE), vec![0.0; case.w.len()]);
            plan.finish(&sums.iter().map(|&v| v as f32).collect::<Vec<_>>(), &mut dw);
            f64s(&dw)
        },
        gradient: learns.then_some(|dx: &mut [f32]| plan.gradient(path, dz, &gradient, dx, &mut scratch.borrow_mut())),
    };
    case.run(bench, name, passes)
}

fn by_squares(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    let (path, case, scratch) = (bench.path, Case::new(s), RefCell::new(Scratch::default()));
    let plan = Square::plan(path, s, &case.frames[0], &case.frames[1], learns);
    let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
    plan.pack(path, &case.w, [&mut forward, &mut gradient]);
    let (x, dz) = (&case.x[..], &case.dz[..]);
    let passes = Passes {
        name: ", squares",
        forward: |z: &mut [f32]| {
            let inputs = Inputs { x, packed: &forward, bias: None };
            plan.forward(path, 0..s.oh, inputs, z, &mut scratch.borrow_mut());
        },
        sums: case.w.len(),
        weight: |dw: &mut [f32]| plan.weight(path, dz, x, dw, &mut scratch.borrow_mut()),
        finish: f64s,
        gradient: learns.then_some(|dx: &mut [f32]| plan.gradient(path, dz, &gradient, dx, &mut scratch.borrow_mut())),
    };
    case.run(bench, name, passes)
}
