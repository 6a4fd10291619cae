use super::*;

/// Logits of four samples, six classes.
const LOGITS: [[f32; 6]; 4] = [
    [1.5, -0.25, 3.0, 0.0, -2.0, 0.5],
    [-1.0, 2.0, 0.25, 0.125, 4.0, -3.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [10.0, -10.0, 5.0, 1.0, 2.5, -0.5],
];
const WEIGHTS: [f32; 6] = [0.5, 2.0, 1.0, 0.25, 3.0, 1.5];
const LABELS: [u16; 4] = [2, 1, 5, 0];
const OTHERS: [u16; 4] = [0, 4, 5, 3];

/// Mean loss and gradients of PyTorch's `cross_entropy` in float64; mixtures are `λ·loss(label) + (1 - λ)·loss(other)`.
struct Case {
    smoothing: f32,
    weighted: bool,
    share: f32,
    loss: f64,
    gradient: [[f64; 6]; 4],
}

const CASES: [Case; 4] = [
    Case {
        smoothing: 0.1,
        weighted: false,
        share: 1.0,
        loss: 1.397227317,
        gradient: [
            [0.035663371, 0.002754756, -0.050660824, 0.004720616, -0.002963904, 0.010485985],
            [-0.002747861, -0.200669201, 0.00078545, 0.000203561, 0.206402703, -0.003974652],
            [0.0375, 0.0375, 0.0375, 0.0375, 0.0375, -0.1875],
            [0.018986582, -0.004166666, -0.002494623, -0.004136042, -0.004029417, -0.004159833],
        ],
    },
    Case {
        smoothing: 0.25,
        weighted: true,
        share: 1.0,
        loss: 2.380779454,
        gradient: [
            [0.030684616, -0.010610422, -0.002140721, 0.005693039, -0.023947582, 0.00032107],
            [-0.002073929, -0.274632905, -0.001028961, 0.004362753, 0.285589821, -0.012216779],
            [0.044791667, 0.032291667, 0.040625, 0.046875, 0.023958333, -0.188541667],
            [0.063521451, -0.016666666, -0.007371908, -0.002065724, -0.024921081, -0.012496071],
        ],
    },
    Case {
        smoothing: 0.0,
        weighted: false,
        share: 0.75,
        loss: 1.608164812,
        gradient: [
            [-0.022669963, 0.006921423, -0.008994157, 0.008887283, 0.001202763, 0.014652652],
            [0.001418805, -0.159002535, 0.004952117, 0.004370228, 0.14806937, 0.000192014],
            [0.041666667, 0.041666667, 0.041666667, 0.041666667, 0.041666667, -0.208333333],
            [0.060653249, 0.000000001, 0.001672043, -0.062469375, 0.00013725, 0.000006833],
        ],
    },
    Case {
        smoothing: 0.1,
        weighted: true,
        share: 1.0,
        loss: 1.836889092,
        gradient: [
            [0.031392264, -0.000921886, -0.035173484, 0.006543111, -0.009001707, 0.007161701],
            [0.000532481, -0.322495595, 0.004342448, 0.00594052, 0.316382523, -0.004702378],
            [0.047916667, 0.042916667, 0.04625, 0.04875, 0.039583333, -0.225416666],
            [0.024965361, -0.006666667, -0.002547473, -0.00081894, -0.009935493, -0.004996788],
        ],
    },
];

#[test]
fn losses_and_gradients_are_pytorch_s() {
    for path in Path::available() {
        for case in &CASES {
            let weights: &[f32] = if case.weighted { &WEIGHTS } else { &[] };
            let targets = Targets { smoothing: case.smoothing, weights };
            let samples: Vec<Labels> =
                (0..4).map(|i| Labels { label: LABELS[i], other: OTHERS[i], share: case.share }).collect();
            let mut logits = [7.0f32; 6 * CHUNK];
            (0..4).for_each(|lane| (0..6).for_each(|c| logits[c * CHUNK + lane] = LOGITS[lane][c]));
            let weight: f64 = samples.iter().map(|s| targets.weight_of(s)).sum();
            let score = soft_cross_entropy(path, &mut logits, &samples, &targets, Some((1.0 / weight) as f32));
            assert!((score.loss / weight - case.loss).abs() < 1e-6, "{path}: {} {}", score.loss / weight, case.loss);
            assert_eq!(score.correct, 2, "hits of labels 2 and 0");
            for lane in 0..CHUNK {
                for c in 0..6 {
                    let want = case.gradient.get(lane).map_or(0.0, |g| g[c]);
                    assert!((f64::from(logits[c * CHUNK + lane]) - want).abs() < 1e-7, "{path} {lane} {c}");
                }
            }
        }
    }
}

#[test]
fn a_single_class_is_the_plain_loss() {
    let mut plain: Vec<f32> = (0..6 * CHUNK).map(|i| (i * 37 % 23) as f32 * 0.25 - 2.0).collect();
    let mut soft = plain.clone();
    let labels: Vec<u16> = (0..13).map(|i| i % 6).collect();
    let samples: Vec<Labels> = labels.iter().map(|&l| Labels::one(l)).collect();
    let column = |lane: usize| -> Vec<f64> { (0..6).map(|c| f64::from(plain[c * CHUNK + lane])).collect() };
    let naive: Vec<_> = labels.iter().enumerate().map(|(lane, &l)| naive(&column(lane), l.into())).collect();
    let path = Path::available()[0];
    let a = cross_entropy(path, &mut plain, &labels, Some(1.0));
    let b = soft_cross_entropy(path, &mut soft, &samples, &Targets::default(), Some(1.0));
    let loss: f64 = naive.iter().map(|n| n.0).sum();
    assert!(a.correct == b.correct && (a.loss - loss).abs() < 1e-5 && (b.loss - loss).abs() < 1e-5);
    for (lane, (_, gradient)) in naive.iter().enumerate() {
        for c in 0..6 {
            let (at, want) = (c * CHUNK + lane, gradient[c]);
            assert!((f64::from(plain[at]) - want).abs() < 1e-6 && (f64::from(soft[at]) - want).abs() < 1e-6);
        }
    }
}
