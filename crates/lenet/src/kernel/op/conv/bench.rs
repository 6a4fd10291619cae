//! What is timed of a convolution: the three passes, by an algorithm. Shares of the peak count the products of the direct sum.

use super::{Algorithm, GRADIENT_BORDER, Inputs, Scratch, Weights, naive};
use crate::kernel::bench::{Bench, Disagreement, agree};
use crate::kernel::kit::{f64s, filled, lane, values};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

/// The lane that is compared.
const LANE: usize = 3;

/// Compares and times an algorithm, which is planned from x to z.
pub(crate) fn bench<A: Algorithm>(
    bench: &mut Bench,
    [layer, algorithm]: [&str; 2],
    s: &ConvShape,
    learns: bool,
    plan: impl Fn(&Frame, &Frame) -> A,
) -> Result<(), Disagreement> {
    let path = bench.path;
    let x_frame = Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0], s.padding[1]);
    let z_frame = Frame::chunk([s.oc, s.oh, s.ow]).with_border(0, GRADIENT_BORDER);
    let (x, mut dz, w) = (filled(&x_frame, 5), filled(&z_frame, 6), values(s.oc * s.taps(), 7));
    // The gradient of the weights is of all lanes: all but one are 0.
    dz.iter_mut().enumerate().filter(|(i, _)| i % CHUNK != LANE).for_each(|(_, d)| *d = 0.0);
    let (x1, w1, dz1) = (lane(&x_frame, &x, LANE), f64s(&w), lane(&z_frame, &dz, LANE));
    let (plan, mut scratch) = (plan(&x_frame, &z_frame), Scratch::default());
    let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
    plan.pack_tasks(path, &w, [&mut forward, &mut gradient]).iter_mut().for_each(|task| task());
    let multiply_adds = (w.len() * s.oh * s.ow * CHUNK) as u64;

    let (name, mut z) = (format!("{layer} forward{algorithm}"), vec![0.0; z_frame.len()]);
    let inputs = Inputs { x: &x, packed: &forward, bias: None };
    plan.forward(path, 0..s.oh, inputs, &mut z, &mut scratch);
    agree(&name, &lane(&z_frame, &z, LANE), &naive::forward(s, &x1, &w1, None), 1e-5)?;
    bench.row(name, multiply_adds, || plan.forward(path, 0..s.oh, inputs, &mut z, &mut scratch));

    let name = format!("{layer} backward to the weights{algorithm}");
    let (mut acc, mut own) = (vec![0.0; plan.acc_len()], vec![0.0; plan.own_len()]);
    let (mut dw, mut dw1) = (vec![0.0; w.len()], vec![0.0; w.len()]);
    let mut weights = |acc: &mut [f32], own: &mut [f32]| {
        plan.weight(path, 0..s.oh, Weights { dz: &dz, x: &x, acc, own }, &mut scratch);
    };
    weights(&mut acc, &mut own);
    plan.sum(path, &acc, &mut own);
    plan.finish(&own, &mut dw);
    let dx1 = naive::backward(s, &x1, &w1, &dz1, &mut dw1, None);
    agree(&name, &f64s(&dw), &dw1, 1e-5)?;
    bench.row(name, multiply_adds, || weights(&mut acc, &mut own));

    if learns {
        let (name, mut dx) = (format!("{layer} backward to the data{algorithm}"), vec![0.0; x_frame.len()]);
        plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        agree(&name, &lane(&x_frame, &dx, LANE), &dx1, 1e-5)?;
        // Those on padding are not computed.
        let mut terms = 0u64;
        naive::each_term(s, |_, _, _| terms += 1);
        bench.row(name, terms * CHUNK as u64, || plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch));
    }
    Ok(())
}
