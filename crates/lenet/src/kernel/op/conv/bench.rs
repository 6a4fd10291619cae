//! What is timed of a convolution, by any algorithm: the three passes.

use super::{GRADIENT_BORDER, WeightGradient, forward, gradient, naive};
use crate::kernel::bench::{Bench, Disagreement, agree};
use crate::kernel::kit::{f64s, filled, lane, lane_of, values};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

/// Numbers for a convolution of a chunk.
pub(crate) struct Case {
    pub s: ConvShape,
    pub frames: [Frame; 2],
    pub x: Vec<f32>,
    /// Zeros in all lanes but one, as some algorithms sum over the lanes.
    pub dz: Vec<f32>,
    pub w: Vec<f32>,
}

/// The lane that is compared.
pub(crate) const LANE: usize = 3;

/// The passes of an algorithm, each with where its result goes.
pub(crate) struct Passes<F, W, D, G> {
    /// What rows say of the algorithm.
    pub name: &'static str,
    /// z, of a frame.
    pub forward: F,
    /// Floats of the sums of the weights' gradient, these sums, and what they come to.
    pub sums: usize,
    pub weight: W,
    pub finish: D,
    /// dx, of a frame, if something before learns.
    pub gradient: Option<G>,
}

impl Case {
    pub fn new(s: &ConvShape) -> Self {
        let x_frame = Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0], s.padding[1]);
        let z_frame = Frame::chunk([s.oc, s.oh, s.ow]).with_border(0, GRADIENT_BORDER);
        let mut dz = filled(&z_frame, 6);
        dz.iter_mut().enumerate().filter(|(i, _)| i % CHUNK != LANE).for_each(|(_, d)| *d = 0.0);
        Case { s: *s, x: filled(&x_frame, 5), dz, w: values(s.oc * s.taps(), 7), frames: [x_frame, z_frame] }
    }

    /// Compares and times the passes of an algorithm.
    pub fn run(
        &self,
        bench: &mut Bench,
        name: &str,
        mut passes: Passes<
            impl FnMut(&mut [f32]),
            impl FnMut(&mut [f32]),
            impl Fn(&[f32]) -> Vec<f64>,
            impl FnMut(&mut [f32]),
        >,
    ) -> Result<(), Disagreement> {
        let (s, [x_frame, z_frame]) = (&self.s, &self.frames);
        let (x, w, dz) = (lane(x_frame, &self.x, LANE), f64s(&self.w), lane(z_frame, &self.dz, LANE));
        let multiply_adds = (w.len() * s.oh * s.ow * CHUNK) as u64;
        let row = |pass: &str| format!("{name} {pass}{}", passes.name);

        let (row_name, mut z) = (row("forward"), vec![0.0; z_frame.len()]);
        (passes.forward)(&mut z);
        agree(&row_name, &lane(z_frame, &z, LANE), &naive::forward(s, &x, &w, None), 1e-5)?;
        bench.row(row_name, multiply_adds, || (passes.forward)(&mut z));

        let (row_name, mut sums, mut dw) = (row("backward to the weights"), vec![0.0; passes.sums], vec![0.0; w.len()]);
        (passes.weight)(&mut sums);
        let dx = naive::backward(s, &x, &w, &dz, &mut dw, None);
        agree(&row_name, &(passes.finish)(&sums), &dw, 1e-5)?;
        bench.row(row_name, multiply_adds, || (passes.weight)(&mut sums));

        let row_name = row("backward to the data");
        if let Some(gradient) = &mut passes.gradient {
            let mut got = vec![0.0; x_frame.len()];
            gradient(&mut got);
            agree(&row_name, &lane(x_frame, &got, LANE), &dx, 1e-5)?;
            // Those on padding are not computed.
            let mut terms = 0u64;
            naive::each_term(s, |_, _, _| terms += 1);
            bench.row(row_name, terms * CHUNK as u64, || gradient(&mut got));
        }
        Ok(())
    }
}

/// By the direct sum.
pub(crate) fn bench(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    let (tiles, case) = (Tiles::of(bench.path), Case::new(s));
    let [x_frame, z_frame] = &case.frames;
    let planned = |plan: crate::kernel::plan::contract::Contraction| {
        let mut pack = vec![0.0; plan.packed_len()];
        plan.pack(&case.w, 0..plan.groups().count(), &mut pack);
        (plan, pack)
    };
    let (forward, pack) = planned(forward(tiles, s, x_frame, z_frame));
    let weight = WeightGradient::plan(tiles, s, z_frame, x_frame);
    let gradient = learns.then(|| planned(gradient(tiles, s, z_frame, x_frame)));
    let passes = Passes {
        name: "",
        forward: |z: &mut [f32]| forward.run(0..s.oh, &case.x, &pack, None, z),
        sums: weight.acc_len(),
        weight: |acc: &mut [f32]| weight.run(0..s.oh, &case.dz, &case.x, acc),
        finish: |acc: &[f32]| lane_of(acc, LANE),
        gradient: gradient.map(|(plan, pack)| {
            let case = &case;
            move |dx: &mut [f32]| plan.run(0..s.ih, &case.dz, &pack, None, dx)
        }),
    };
    case.run(bench, name, passes)
}
