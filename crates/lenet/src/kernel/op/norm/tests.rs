use super::*;
use crate::kernel::op::activation;
use crate::kernel::plan::frame::Frame;
use crate::spec::Activation;

/// Windows of 2 rows and 3 columns that leave out a row and columns, in 16 samples.
fn case(activation: Option<Activation>) -> (Epilogue, Channels, Vec<f32>) {
    let (z, y) = (Frame::chunk([2, 5, 8]).with_border(0, 1), Frame::chunk([2, 2, 2]).with_border(1, 1));
    let pool = Some(PoolKind::Maximum);
    let e = Epilogue { activation, pool, window: [2, 3], stride: [2, 4], z, y, dy: y };
    let mut k = Channels::new(2);
    (k.scale, k.shift) = (vec![1.7, -1.1], vec![-0.6, 0.2]);
    (k.mean, k.inverse) = (vec![0.1, -0.2], vec![1.2, 0.8]);
    (k.mean_gradient, k.mean_product) = (vec![0.05, -0.03], vec![0.02, 0.07]);
    let values = (0..z.len()).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 * 5.0 - 2.5).collect();
    (e, k, values)
}

/// Each window's maximum of the activation, computed everywhere in f64, and the place that it takes.
fn naive(e: &Epilogue, k: &Channels, z: &[f32], [c, r, col, lane]: [usize; 4]) -> (f64, usize) {
    let mut best = (f64::NEG_INFINITY, 0);
    for (i, j) in (0..e.window[0]).flat_map(|i| (0..e.window[1]).map(move |j| (i, j))) {
        let at = e.z.at(c, r * e.stride[0] + i, col * e.stride[1] + j) + lane;
        let x = f64::from(z[at]) * f64::from(k.scale[c]) + f64::from(k.shift[c]);
        let a = e.activation.map_or(x, |f| activation::naive(f, x).0);
        if a > best.0 {
            best = (a, at);
        }
    }
    best
}

#[test]
fn agrees_with_the_activation_at_every_position() {
    for activation in Activation::ALL.into_iter().map(Some).chain([None]) {
        let (e, k, z) = case(activation);
        let stage = NormMaximum { e: &e, channels: &k };
        for path in Path::available() {
            let (mut y, mut picked) = (vec![0.0; e.y.len()], vec![0.0; NormMaximum::picked_len(&e)]);
            stage.forward(path, 0..1, &z, &mut picked, &mut y);
            stage.forward(path, 1..2, &z, &mut picked, &mut y);
            let mut dy = vec![0.0f32; e.dy.len()];
            let (mut d_want, mut sums_want) = (vec![0.0f64; z.len()], vec![0.0f64; 4 * CHUNK]);
            for i in 0..2 * 2 * 2 * CHUNK {
                let at @ [c, r, col, lane] = [i / (4 * CHUNK), i / (2 * CHUNK) % 2, i / CHUNK % 2, i % CHUNK];
                let (value, place) = naive(&e, &k, &z, at);
                let got = f64::from(y[e.y.at(c, r, col) + lane]);
                assert!((got - value).abs() < 1e-6, "{activation:?} on {path}: {got} for {value}");
                let d = (i % 11) as f32 / 11.0 - 0.4;
                dy[e.dy.at(c, r, col) + lane] = d;
                let x = f64::from(z[place]) * f64::from(k.scale[c]) + f64::from(k.shift[c]);
                let d = f64::from(d) * activation.map_or(1.0, |f| activation::naive(f, x).1);
                d_want[place] = d;
                sums_want[2 * c * CHUNK + lane] += d;
                let normal = (f64::from(z[place]) - f64::from(k.mean[c])) * f64::from(k.inverse[c]);
                sums_want[(2 * c + 1) * CHUNK + lane] += d * normal;
            }
            let mut sums = vec![0.0; 4 * CHUNK];
            stage.sums(path, &picked, &mut dy, &mut sums);
            for (got, want) in sums.iter().zip(&sums_want) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{activation:?} on {path}: {got} for {want}");
            }
            let (mut dz, samples) = (z.clone(), 13);
            stage.finish(path, 0..1, samples, &mut dz, &picked, &dy);
            stage.finish(path, 1..2, samples, &mut dz, &picked, &dy);
            for i in 0..2 * 5 * 8 * CHUNK {
                let (c, lane) = (i / (40 * CHUNK), i % CHUNK);
                let at = e.z.at(c, i / (8 * CHUNK) % 5, i / CHUNK % 8) + lane;
                let [mean, inverse, scale, gradient, product] =
                    [&k.mean, &k.inverse, &k.scale, &k.mean_gradient, &k.mean_product].map(|v| f64::from(v[c]));
                let normal = (f64::from(z[at]) - mean) * inverse;
                let want = scale * (d_want[at] - gradient - normal * product);
                let want = if lane < samples { want } else { 0.0 };
                assert!((f64::from(dz[at]) - want).abs() < 2e-6, "{activation:?} on {path}: {} for {want}", dz[at]);
            }
        }
    }
}

#[test]
fn of_equal_values_the_first_takes_the_gradient() {
    let (e, k, mut z) = case(Some(Activation::Silu));
    z.fill(0.25);
    let stage = NormMaximum { e: &e, channels: &k };
    let (mut y, mut picked) = (vec![0.0; e.y.len()], vec![0.0; NormMaximum::picked_len(&e)]);
    stage.forward(Path::PORTABLE, 0..2, &z, &mut picked, &mut y);
    stage.finish(Path::PORTABLE, 0..2, CHUNK, &mut z, &picked, &vec![1.0; e.dy.len()]);
    let corner = z[e.z.at(0, 0, 0)];
    assert!(z[e.z.at(0, 0, 1)..e.z.at(0, 0, 4)].iter().all(|&v| (corner - v - k.scale[0]).abs() < 1e-6));
}
