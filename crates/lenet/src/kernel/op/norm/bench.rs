//! What is timed of a normalisation: a chunk as if it were the whole batch, statistics, forward, both passes backward.

use super::{Channels, NormEpilogue, naive, statistics};
use crate::kernel::bench::{Bench, Disagreement, agree};
use crate::kernel::kit::{f64s, filled};
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::spec::NormShape;

pub(crate) fn bench(bench: &mut Bench, name: &str, s: &NormShape, f: Frame) -> Result<(), Disagreement> {
    let (path, eps) = (bench.path, f64::from(s.eps));
    let e = Epilogue { activation: None, pool: None, window: [1, 1], stride: [1, 1], z: f, y: f, dy: f };
    let (mut z, mut dy, mut y) = (filled(&f, 12), filled(&f, 13), vec![0.0; f.len()]);
    let (mut moments, mut sums) = (vec![0.0; 2 * s.channels], vec![0.0; 2 * s.channels * CHUNK]);
    statistics(path, &f, CHUNK, &z, &mut moments);
    let mut channels = Channels::new(s.channels);
    let n = (s.positions * CHUNK) as f64;
    let of = |v: &[f32], c: usize| f64s(&v[c * s.positions * CHUNK..(c + 1) * s.positions * CHUNK]);
    let (mut y_want, mut dz_want) = (Vec::new(), Vec::new());
    for c in 0..s.channels {
        let (values, d) = (of(&z, c), of(&dy, c));
        let (mean, variance) = naive::moments(&values);
        let got = [f64::from(moments[2 * c]), f64::from(moments[2 * c + 1]) / n];
        agree(&format!("{name} statistics"), &got, &[mean, variance], 1e-5)?;
        channels.mean[c] = mean as f32;
        channels.inverse[c] = (1.0 / (variance + eps).sqrt()) as f32;
        channels.scale[c] = channels.inverse[c];
        channels.shift[c] = (-mean * f64::from(channels.inverse[c])) as f32;
        let (dz, dw, db) = naive::backward(&values, &d, eps, 1.0);
        (channels.mean_gradient[c], channels.mean_product[c]) = ((db / n) as f32, (dw / n) as f32);
        y_want.extend(naive::forward(&values, (mean, variance), eps, 1.0, 0.0));
        dz_want.extend(dz);
    }
    let stage = NormEpilogue { e: &e, channels: &channels };
    stage.forward(path, 0..f.rows, &mut z, &mut [], &mut y);
    agree(&format!("{name} forward"), &f64s(&y), &y_want, 1e-5)?;
    stage.sums(path, &z, &[], &mut dy, &mut sums);
    let sum = |i: usize| f64s(&sums[i * CHUNK..(i + 1) * CHUNK]).iter().sum::<f64>() / n;
    let got: Vec<f64> = (0..2 * s.channels).map(sum).collect();
    let want = channels.mean_gradient.iter().zip(&channels.mean_product).flat_map(|(d, p)| [*d, *p].map(f64::from));
    agree(&format!("{name} sums"), &got, &want.collect::<Vec<_>>(), 1e-5)?;
    let mut dz = z.clone();
    stage.finish(path, 0..f.rows, CHUNK, &mut dz, &[], &dy);
    agree(&format!("{name} backward"), &f64s(&dz), &dz_want, 1e-5)?;
    bench.row(format!("{name} statistics"), 0, || statistics(path, &f, CHUNK, &z, &mut moments));
    bench.row(format!("{name} forward"), 0, || stage.forward(path, 0..f.rows, &mut z, &mut [], &mut y));
    bench.row(format!("{name} backward"), 0, || {
        stage.sums(path, &z, &[], &mut dy, &mut sums);
        stage.finish(path, 0..f.rows, CHUNK, &mut z, &[], &dy);
    });
    Ok(())
}
