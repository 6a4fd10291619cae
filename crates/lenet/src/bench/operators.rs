//! Each layer of a network, forward and backward, on one chunk.

use super::{BenchOptions, BenchRow, Disagreement, agree, measure, values};
use crate::kernel::op::dense::{ChunkRows, row_stride};
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::pool::{PoolKind, Pooling};
use crate::kernel::op::{activation, add, conv, dense, dropout, norm, pool, rbf};
use crate::kernel::plan::contract::Contraction;
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::winograd::pairs::{self, Pairs};
use crate::kernel::winograd::square::{self, Square};
use crate::kernel::winograd::{Inputs, Scratch};
use crate::kernel::{CHUNK, Path, input};
use crate::spec::{Activation, ConvShape, DenseShape, Geometry, LayerInfo, Network, NormShape, PoolShape, Shape};

struct Bench<'a> {
    path: Path,
    options: &'a BenchOptions,
    on_row: &'a mut dyn FnMut(BenchRow),
}

impl Bench<'_> {
    fn row(&mut self, name: String, multiply_adds: u64, work: impl FnMut()) {
        let (seconds, share) = measure(self.path, self.options, multiply_adds, work);
        let note = if multiply_adds == 0 { String::new() } else { format!("{:.2} µs a sample", seconds * 1e6 / 16.0) };
        (self.on_row)(BenchRow { group: "operator", name, seconds, multiply_adds, share_of_peak: share, note });
    }
}

/// Lane 3 of a frame's values, `[c, h, w]`.
fn lane<'a>(f: &'a Frame, values: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    (0..f.channels * f.rows * f.cols)
        .map(move |i| values[f.at(i / (f.rows * f.cols), i / f.cols % f.rows, i % f.cols) + 3])
}

fn filled(f: &Frame, seed: u32) -> Vec<f32> {
    let mut out = vec![0.0; f.len()];
    let v = values(f.channels * f.rows * f.cols * CHUNK, seed);
    for (row, v) in v.chunks_exact(f.cols * CHUNK).enumerate() {
        let at = f.at(row / f.rows, row % f.rows, 0);
        out[at..at + v.len()].copy_from_slice(v);
    }
    out
}

fn f64s(values: impl Iterator<Item = f32>) -> Vec<f64> {
    values.map(f64::from).collect()
}

fn packed(c: &Contraction, w: &[f32]) -> Vec<f32> {
    let mut pack = vec![0.0; c.packed_len()];
    c.pack(w, 0..c.groups().count(), &mut pack);
    pack
}

pub(super) fn run(
    network: &Network,
    path: Path,
    options: &BenchOptions,
    on_row: &mut dyn FnMut(BenchRow),
) -> Result<(), Disagreement> {
    let mut bench = Bench { path, options, on_row };
    let mut learns = false;
    let mut channels = 0;
    for (i, layer) in network.layers.iter().enumerate() {
        let name = format!("{} {}", layer.name, layer.kind);
        match layer.geometry {
            Geometry::Conv2d(s) => {
                convolution(&mut bench, &name, &s, learns)?;
                if pairs::fits(&s) {
                    winograd(&mut bench, &name, &s, learns)?;
                }
                if square::fits(&s) {
                    squares(&mut bench, &name, &s, learns)?;
                }
                channels = s.oc;
            }
            Geometry::Dense(s) => dense_layer(&mut bench, &name, &s)?,
            Geometry::Activation(a) => {
                let next = network.layers.get(i + 1).map(|l| l.geometry);
                let pooling = match next {
                    Some(Geometry::AvgPool(s)) => Some((PoolKind::Average, s)),
                    Some(Geometry::MaxPool(s)) => Some((PoolKind::Maximum, s)),
                    _ => None,
                };
                if let Some((kind, s)) = pooling.filter(|(_, s)| Epilogue::fits(s) && channels > 0) {
                    epilogue(&mut bench, &format!("{name} and pooling"), a, kind, &s)?;
                }
            }
            Geometry::BatchNorm(s) => norm(&mut bench, &name, &s, layer.output)?,
            Geometry::Dropout(rate) => dropout_layer(&mut bench, &name, rate, layer.output)?,
            Geometry::Add => sum(&mut bench, &name, layer.output)?,
            Geometry::Rbf(s) => codes(&mut bench, &name, &s)?,
            Geometry::AvgPool(s) | Geometry::MaxPool(s) | Geometry::Subsample(s) => {
                pooling(&mut bench, &name, layer, &s)?
            }
            Geometry::Flatten => {}
        }
        learns |= layer.weight.is_some();
    }
    Ok(())
}

fn frame(shape: Shape) -> Frame {
    match shape {
        Shape::Image(chw) => Frame::chunk(chw),
        Shape::Flat(n) => Frame::chunk([n, 1, 1]),
    }
}

/// One normalisation of a chunk as if it were the whole batch: statistics, forward with a ReLU, both passes backward.
fn norm(bench: &mut Bench, name: &str, s: &NormShape, shape: Shape) -> Result<(), Disagreement> {
    let (path, f) = (bench.path, frame(shape));
    let e = Epilogue { activation: None, pool: None, window: [1, 1], stride: [1, 1], z: f, y: f, dy: f };
    let (mut z, mut dy) = (filled(&f, 12), filled(&f, 13));
    let (mut y, mut moments, mut sums) =
        (vec![0.0; f.len()], vec![0.0; 2 * s.channels], vec![0.0; 2 * s.channels * CHUNK]);
    norm::statistics(path, &f, CHUNK, &z, &mut moments);
    let mut channels = norm::Channels::new(s.channels);
    let n = (s.positions * CHUNK) as f64;
    let of = |v: &[f32], c: usize| f64s(v[c * s.positions * CHUNK..(c + 1) * s.positions * CHUNK].iter().copied());
    for c in 0..s.channels {
        let (mean, variance) = norm::naive::moments(&of(&z, c));
        let got = [moments[2 * c], (f64::from(moments[2 * c + 1]) / n) as f32];
        agree(&format!("{name} statistics"), got.into_iter(), &[mean, variance], 1e-5)?;
        channels.mean[c] = mean as f32;
        channels.inverse[c] = (1.0 / (variance + f64::from(s.eps)).sqrt()) as f32;
        channels.scale[c] = channels.inverse[c];
        channels.shift[c] = (-mean * f64::from(channels.inverse[c])) as f32;
    }
    norm::NormEpilogue { e: &e, channels: &channels }.forward(path, 0..f.rows, &mut z, &mut [], &mut y);
    let mut want = Vec::new();
    for c in 0..s.channels {
        let z = of(&z, c);
        want.extend(norm::naive::forward(&z, norm::naive::moments(&z), f64::from(s.eps), 1.0, 0.0));
    }
    agree(&format!("{name} forward"), y.iter().copied(), &want, 1e-5)?;
    norm::NormEpilogue { e: &e, channels: &channels }.sums(path, &z, &[], &mut dy, &mut sums);
    want.clear();
    for c in 0..s.channels {
        let lanes = |i: usize| sums[(2 * c + i) * CHUNK..][..CHUNK].iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (channels.mean_gradient[c], channels.mean_product[c]) = (lanes(0) as f32, lanes(1) as f32);
        want.extend(norm::naive::backward(&of(&z, c), &of(&dy, c), f64::from(s.eps), 1.0).0);
    }
    let back = norm::NormEpilogue { e: &e, channels: &channels };
    let mut dz = z.clone();
    back.finish(path, 0..e.y.rows, CHUNK, &mut dz, &[], &dy);
    agree(&format!("{name} backward"), dz.iter().copied(), &want, 1e-5)?;
    bench.row(format!("{name} statistics"), 0, || norm::statistics(path, &f, CHUNK, &z, &mut moments));
    bench.row(format!("{name} forward"), 0, || back.forward(path, 0..f.rows, &mut z.clone(), &mut [], &mut y));
    bench.row(format!("{name} backward"), 0, || {
        back.sums(path, &z, &[], &mut dy, &mut sums);
        back.finish(path, 0..e.y.rows, CHUNK, &mut dz, &[], &dy);
    });
    Ok(())
}

fn dropout_layer(bench: &mut Bench, name: &str, rate: f32, shape: Shape) -> Result<(), Disagreement> {
    let (path, f, keys) = (bench.path, frame(shape), [7; CHUNK]);
    let (x, mut y) = (filled(&f, 14), vec![0.0; f.len()]);
    dropout::apply(path, rate, &keys, [&f, &f], &x, &mut y);
    let factors = dropout::naive::factors(7, rate, f.channels * f.rows * f.cols);
    let want: Vec<f64> = lane(&f, &x).zip(factors).map(|(x, f)| f64::from(x) * f).collect();
    agree(name, lane(&f, &y), &want, 1e-6)?;
    bench.row(format!("{name} forward or backward"), 0, || dropout::apply(path, rate, &keys, [&f, &f], &x, &mut y));
    Ok(())
}

fn sum(bench: &mut Bench, name: &str, shape: Shape) -> Result<(), Disagreement> {
    let (path, f) = (bench.path, frame(shape));
    let (a, b) = (filled(&f, 15), filled(&f, 16));
    let mut y = a.clone();
    add::add_frame(path, [&f, &f], &b, &mut y);
    let want: Vec<f64> = a.iter().zip(&b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
    agree(name, y.iter().copied(), &want, 1e-6)?;
    bench.row(format!("{name} sum"), 0, || add::add_frame(path, [&f, &f], &b, &mut y));
    Ok(())
}

fn codes(bench: &mut Bench, name: &str, s: &DenseShape) -> Result<(), Disagreement> {
    let path = bench.path;
    let (x, dy, w) = (values(s.inputs * CHUNK, 17), values(s.outputs * CHUNK, 18), values(s.inputs * s.outputs, 19));
    let one = |v: &[f32]| f64s(v.iter().skip(3).step_by(CHUNK).copied());
    let (mut y, mut dx) = (vec![0.0; s.outputs * CHUNK], x.clone());
    rbf::forward(path, s, &w, &x, &mut y);
    let w1 = f64s(w.iter().copied());
    agree(name, y.iter().skip(3).step_by(CHUNK).copied(), &rbf::naive::forward(s, &w1, &one(&x)), 1e-5)?;
    rbf::backward(path, s, &w, &dy, &mut dx);
    let want = rbf::naive::backward(s, &w1, &one(&x), &one(&dy));
    agree(name, dx.iter().skip(3).step_by(CHUNK).copied(), &want, 1e-5)?;
    bench.row(format!("{name} forward"), 0, || rbf::forward(path, s, &w, &x, &mut y));
    bench.row(format!("{name} backward"), 0, || rbf::backward(path, s, &w, &dy, &mut dx));
    Ok(())
}

/// A pooling that stands alone: overlapping, padded, or behind no layer with weights.
fn pooling(bench: &mut Bench, name: &str, layer: &LayerInfo, s: &PoolShape) -> Result<(), Disagreement> {
    let kind = if layer.kind == "max_pool" { PoolKind::Maximum } else { PoolKind::Average };
    if Epilogue::fits(s) && layer.kind != "subsample" {
        return Ok(());
    }
    let path = bench.path;
    let (x_frame, y_frame) = (Frame::chunk([s.c, s.ih, s.iw]), Frame::chunk([s.c, s.oh, s.ow]));
    let p = Pooling { kind, s: *s, x: x_frame, y: y_frame };
    let (x, mut y, mut places) = (filled(&x_frame, 20), vec![0.0; y_frame.len()], vec![0.0; p.places_len()]);
    p.forward(path, &x, &mut y, &mut places);
    let x1 = f64s(lane(&x_frame, &x));
    agree(name, lane(&y_frame, &y), &pool::naive::forward(kind, s, &x1).0, 1e-6)?;
    let mut dx = vec![0.0; x_frame.len()];
    bench.row(format!("{name} forward"), 0, || p.forward(path, &x, &mut y, &mut places));
    bench.row(format!("{name} backward"), 0, || p.backward(path, &y, &places, &mut dx));
    Ok(())
}

/// Numbers for a convolution: a chunk's, and those of one sample for the naive reference (x, w, dz).
struct ConvCase {
    frames: [Frame; 2],
    x: Vec<f32>,
    dz: Vec<f32>,
    w: Vec<f32>,
    exact: [Vec<f64>; 3],
    multiply_adds: u64,
}

impl ConvCase {
    fn new(s: &ConvShape) -> Self {
        let x_frame = Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0], s.padding[1]);
        let z_frame = Frame::chunk([s.oc, s.oh, s.ow]).with_border(0, conv::GRADIENT_BORDER);
        let (x, dz, w) = (filled(&x_frame, 5), filled(&z_frame, 6), values(s.oc * s.taps(), 7));
        let exact = [f64s(lane(&x_frame, &x)), f64s(w.iter().copied()), f64s(lane(&z_frame, &dz))];
        let multiply_adds = (w.len() * s.oh * s.ow * CHUNK) as u64;
        ConvCase { frames: [x_frame, z_frame], x, dz, w, exact, multiply_adds }
    }
}

fn convolution(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    let tiles = Tiles::of(bench.path);
    let ConvCase { frames: [x_frame, z_frame], x, dz, w, exact: [x1, w1, dz1], multiply_adds } = ConvCase::new(s);

    let forward = conv::forward(tiles, s, &x_frame, &z_frame);
    let pack = packed(&forward, &w);
    let mut z = vec![0.0; z_frame.len()];
    forward.run(0..s.oh, &x, &pack, None, &mut z);
    agree(&format!("{name} forward"), lane(&z_frame, &z), &conv::naive::forward(s, &x1, &w1, None), 1e-5)?;
    bench.row(format!("{name} forward"), multiply_adds, || forward.run(0..s.oh, &x, &pack, None, &mut z));

    let weight = conv::WeightGradient::plan(tiles, s, &z_frame, &x_frame);
    let mut acc = vec![0.0; weight.acc_len()];
    weight.run(0..s.oh, &dz, &x, &mut acc);
    let mut dw1 = vec![0.0; w.len()];
    let dx1 = conv::naive::backward(s, &x1, &w1, &dz1, &mut dw1, None);
    agree(&format!("{name} backward to the weights"), acc.iter().skip(3).step_by(CHUNK).copied(), &dw1, 1e-5)?;
    bench.row(format!("{name} backward to the weights"), multiply_adds, || weight.run(0..s.oh, &dz, &x, &mut acc));

    if learns {
        let gradient = conv::gradient(tiles, s, &z_frame, &x_frame);
        let pack = packed(&gradient, &w);
        let mut dx = vec![0.0; x_frame.len()];
        gradient.run(0..s.ih, &dz, &pack, None, &mut dx);
        agree(&format!("{name} backward to the data"), lane(&x_frame, &dx), &dx1, 1e-5)?;
        // Those on padding are not computed.
        let mut terms = 0u64;
        conv::naive::each_term(s, |_, _, _| terms += 1);
        bench.row(format!("{name} backward to the data"), terms * CHUNK as u64, || {
            gradient.run(0..s.ih, &dz, &pack, None, &mut dx);
        });
    }
    Ok(())
}

/// The same three passes with fewer multiplications; shares of peak count those of the direct sum.
fn winograd(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    let path = bench.path;
    let ConvCase { frames: [x_frame, z_frame], x, dz, w, exact: [x1, w1, dz1], multiply_adds } = ConvCase::new(s);
    let plan = Pairs::plan(path, s, &x_frame, &z_frame, learns);
    let mut scratch = Scratch::default();
    let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
    plan.pack(&w, [&mut forward, &mut gradient]);
    let inputs = Inputs { x: &x, packed: &forward, bias: None };

    let mut z = vec![0.0; z_frame.len()];
    plan.forward(path, 0..s.oh, inputs, &mut z, &mut scratch);
    let z1 = conv::naive::forward(s, &x1, &w1, None);
    agree(&format!("{name} forward, row pairs"), lane(&z_frame, &z), &z1, 1e-5)?;
    bench.row(format!("{name} forward, row pairs"), multiply_adds, || {
        plan.forward(path, 0..s.oh, inputs, &mut z, &mut scratch);
    });

    let (mut acc, mut dw, mut dw1) = (vec![0.0; plan.acc_len()], vec![0.0; w.len()], vec![0.0; w.len()]);
    plan.weight(path, 0..s.oh, &dz, &x, &mut acc, &mut scratch);
    let sums: Vec<f32> = acc.iter().skip(3).step_by(CHUNK).copied().collect();
    plan.finish(&sums, &mut dw);
    let dx1 = conv::naive::backward(s, &x1, &w1, &dz1, &mut dw1, None);
    agree(&format!("{name} backward to the weights, row pairs"), dw.iter().copied(), &dw1, 1e-5)?;
    bench.row(format!("{name} backward to the weights, row pairs"), multiply_adds, || {
        plan.weight(path, 0..s.oh, &dz, &x, &mut acc, &mut scratch);
    });

    if learns {
        let mut dx = vec![0.0; x_frame.len()];
        plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        agree(&format!("{name} backward to the data, row pairs"), lane(&x_frame, &dx), &dx1, 1e-5)?;
        let mut terms = 0u64;
        conv::naive::each_term(s, |_, _, _| terms += 1);
        bench.row(format!("{name} backward to the data, row pairs"), terms * CHUNK as u64, || {
            plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        });
    }
    Ok(())
}

/// The same by squares of outputs.
fn squares(bench: &mut Bench, name: &str, s: &ConvShape, learns: bool) -> Result<(), Disagreement> {
    let path = bench.path;
    let ConvCase { frames: [x_frame, z_frame], x, dz, w, exact: [x1, w1, dz1], multiply_adds } = ConvCase::new(s);
    let plan = Square::plan(path, s, &x_frame, &z_frame, learns);
    let mut scratch = Scratch::default();
    let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
    plan.pack(path, &w, [&mut forward, &mut gradient]);
    let inputs = Inputs { x: &x, packed: &forward, bias: None };

    let mut z = vec![0.0; z_frame.len()];
    plan.forward(path, 0..s.oh, inputs, &mut z, &mut scratch);
    let z1 = conv::naive::forward(s, &x1, &w1, None);
    agree(&format!("{name} forward, squares"), lane(&z_frame, &z), &z1, 1e-5)?;
    bench.row(format!("{name} forward, squares"), multiply_adds, || {
        plan.forward(path, 0..s.oh, inputs, &mut z, &mut scratch);
    });

    // The gradient is of all lanes: all but one are 0 for the comparison.
    let (mut dw, mut dw1) = (vec![0.0; w.len()], vec![0.0; w.len()]);
    let one: Vec<f32> = dz.iter().enumerate().map(|(i, &v)| if i % CHUNK == 3 { v } else { 0.0 }).collect();
    plan.weight(path, &one, &x, &mut dw, &mut scratch);
    let dx1 = conv::naive::backward(s, &x1, &w1, &dz1, &mut dw1, None);
    agree(&format!("{name} backward to the weights, squares"), dw.iter().copied(), &dw1, 1e-5)?;
    bench.row(format!("{name} backward to the weights, squares"), multiply_adds, || {
        plan.weight(path, &dz, &x, &mut dw, &mut scratch);
    });

    if learns {
        let mut dx = vec![0.0; x_frame.len()];
        plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        agree(&format!("{name} backward to the data, squares"), lane(&x_frame, &dx), &dx1, 1e-5)?;
        let mut terms = 0u64;
        conv::naive::each_term(s, |_, _, _| terms += 1);
        bench.row(format!("{name} backward to the data, squares"), terms * CHUNK as u64, || {
            plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        });
    }
    Ok(())
}

fn dense_layer(bench: &mut Bench, name: &str, s: &DenseShape) -> Result<(), Disagreement> {
    const CHUNKS: usize = 16;
    let tiles = Tiles::of(bench.path);
    let (x, dz) = (values(s.inputs * CHUNK, 8), values(s.outputs * CHUNK, 9));
    let w = values(s.inputs * s.outputs, 10);
    let one = |v: &[f32]| f64s(v.iter().skip(3).step_by(CHUNK).copied());
    let (x1, dz1, w1) = (one(&x), one(&dz), f64s(w.iter().copied()));
    let multiply_adds = (w.len() * CHUNK) as u64;

    let forward = dense::forward(tiles, s);
    let pack = packed(&forward, &w);
    let mut z = vec![0.0; s.outputs * CHUNK];
    forward.run(0..1, &x, &pack, None, &mut z);
    let z1 = dense::naive::forward(s, &x1, &w1, None);
    agree(&format!("{name} forward"), z.iter().skip(3).step_by(CHUNK).copied(), &z1, 1e-5)?;
    bench.row(format!("{name} forward"), multiply_adds, || forward.run(0..1, &x, &pack, None, &mut z));

    let gradient = dense::gradient(tiles, s);
    let pack = packed(&gradient, &w);
    let mut dx = vec![0.0; s.inputs * CHUNK];
    gradient.run(0..1, &dz, &pack, None, &mut dx);
    let dx1 = dense::naive::backward(s, &x1, &w1, &dz1, &mut vec![0.0; w.len()], None);
    agree(&format!("{name} backward to the data"), dx.iter().skip(3).step_by(CHUNK).copied(), &dx1, 1e-5)?;
    bench.row(format!("{name} backward to the data"), multiply_adds, || gradient.run(0..1, &dz, &pack, None, &mut dx));

    let (mut dz_rows, mut x_rows) = (vec![0.0; CHUNK * row_stride(s.outputs)], vec![0.0; CHUNK * row_stride(s.inputs)]);
    input::lanes_to_rows(bench.path, &dz, row_stride(s.outputs), &mut dz_rows);
    input::lanes_to_rows(bench.path, &x, row_stride(s.inputs), &mut x_rows);
    let chunks = vec![ChunkRows { dz: &dz_rows, x: &x_rows }; CHUNKS];
    let weight = dense::WeightGradient::plan(tiles, s);
    let mut dw = vec![0.0; w.len()];
    let all = |dw: &mut [f32]| {
        for g in 0..weight.groups() {
            let rows = weight.outputs(g);
            weight.run(g, &chunks, &mut dw[rows.start * s.inputs..rows.end * s.inputs]);
        }
    };
    all(&mut dw);
    let mut dw1 = vec![0.0; w.len()];
    for lane in 0..CHUNK {
        let one = |v: &[f32]| f64s(v.iter().skip(lane).step_by(CHUNK).copied());
        dense::naive::backward(s, &one(&x), &w1, &one(&dz), &mut dw1, None);
    }
    dw1.iter_mut().for_each(|d| *d *= CHUNKS as f64);
    agree(&format!("{name} backward to the weights"), dw.iter().copied(), &dw1, 1e-5)?;
    bench.row(format!("{name} backward to the weights, 16 chunks"), multiply_adds * CHUNKS as u64, || all(&mut dw));
    Ok(())
}

fn epilogue(bench: &mut Bench, name: &str, a: Activation, kind: PoolKind, s: &PoolShape) -> Result<(), Disagreement> {
    let (z_frame, y_frame) = (Frame::chunk([s.c, s.ih, s.iw]), Frame::chunk([s.c, s.oh, s.ow]));
    let e = Epilogue {
        activation: Some(a),
        pool: Some(kind),
        window: [s.kh, s.kw],
        stride: s.stride,
        z: z_frame,
        y: y_frame,
        dy: y_frame,
    };
    let z = filled(&z_frame, 11);
    let (mut work, mut y) = (z.clone(), vec![0.0; y_frame.len()]);
    e.forward(bench.path, 0..s.oh, true, &mut work, &mut y);
    let a1: Vec<f64> = lane(&z_frame, &z).map(|v| activation::naive(a, f64::from(v)).0).collect();
    agree(name, lane(&y_frame, &y), &pool::naive::forward(kind, s, &a1).0, 1e-6)?;
    let path = bench.path;
    let mut work = z;
    bench.row(format!("{name} forward"), 0, || e.forward(path, 0..s.oh, true, &mut work, &mut y));
    bench.row(format!("{name} backward"), 0, || e.backward(path, 0..s.oh, &mut work, &y));
    Ok(())
}
