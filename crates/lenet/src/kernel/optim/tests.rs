use super::*;
use crate::spec::Optimizer;

/// A step of the optimizer that takes all parameters alike: of Muon, AdamW's.
fn naive(o: &Optimizer, lr: f64, t: i32, g: f64, [w, m, v]: &mut [f64; 3]) {
    match o.kind {
        OptimizerKind::Sgd => sgd::naive(o, lr, g, [w, m]),
        OptimizerKind::Adam => adam::naive(o, adam::Decay::Coupled(o.weight_decay), lr, t, g, [w, m, v]),
        OptimizerKind::AdamW | OptimizerKind::Muon => {
            adam::naive(o, adam::Decay::Apart(o.weight_decay), lr, t, g, [w, m, v])
        }
    }
}

#[test]
fn every_optimizer_follows_its_formula_with_the_same_bits_on_every_path() {
    const N: usize = 37;
    for kind in OptimizerKind::ALL {
        for (momentum, nesterov, weight_decay) in
            [(0.0, false, 0.0), (0.0, false, 0.1), (0.9, false, 0.1), (0.9, true, 0.1)]
        {
            let o = Optimizer { kind, momentum, nesterov, weight_decay, ..Optimizer::default() };
            let mut first: Option<Vec<u32>> = None;
            for path in Path::available() {
                let start = |i: usize| (i as f32 * 0.7).sin();
                let mut w: Vec<f32> = (0..N).map(start).collect();
                let mut exact: Vec<[f64; 3]> = w.iter().map(|&w| [f64::from(w), 0.0, 0.0]).collect();
                let mut m = vec![0.0; if o.slots() > 0 { N } else { 0 }];
                let mut v = vec![0.0; if o.slots() > 1 { N } else { 0 }];
                for t in 1..=20 {
                    let g: Vec<f32> = (0..N).map(|i| ((i * 7 + t * 13) as f32 * 0.37).cos()).collect();
                    let slabs = Slabs { g: &g, w: &mut w, first: &mut m, second: &mut v };
                    Step::new(o, 0.01, 0.5, t as u64).run(path, Rule::Own, true, slabs);
                    for (e, g) in exact.iter_mut().zip(&g) {
                        naive(&o, f64::from(0.01f32), t as i32, f64::from(*g) * 0.5, e);
                    }
                }
                for (w, e) in w.iter().zip(&exact) {
                    assert!((f64::from(*w) - e[0]).abs() < 4e-6, "{o:?} {path}: {w} for {}", e[0]);
                }
                let bits: Vec<u32> = w.iter().map(|w| w.to_bits()).collect();
                assert_eq!(*first.get_or_insert(bits.clone()), bits, "{o:?} {path}");
            }
        }
    }
}

#[test]
fn averages_move_by_their_rest() {
    let mut a = [1.0f32, 2.0];
    move_average(&mut a, &[3.0, 2.0], 0.25);
    assert_eq!(a, [1.5, 2.0]);
}
