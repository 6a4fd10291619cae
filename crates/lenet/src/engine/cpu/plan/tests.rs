use crate::kernel::Path;
use crate::spec::{BatchNorm, Conv2d, Dense, Layer, Residual, Spec};

#[test]
fn body_and_shortcut_stop_together_and_their_sum_normalises_both() {
    let conv = |channels| Layer::Conv2d(Conv2d { channels, ..Conv2d::default() });
    let norm = || Layer::BatchNorm(BatchNorm::default());
    let (body, shortcut) = (vec![conv(3), norm(), conv(3), norm()], vec![conv(3), norm()]);
    let end = [Layer::Flatten, Layer::Dense(Dense { units: 2, bias: true })];
    let layers = [conv(2), norm(), Layer::Residual(Residual { body, shortcut })].into_iter().chain(end).collect();
    let spec = Spec { input: [2, 4, 4], layers };
    let network = spec.infer().expect("a network");
    let program = super::program::Program::new(&network, Path::PORTABLE);
    let stops: Vec<_> = program.rounds.iter().map(|r| (r.stages.clone(), &r.stops[..])).collect();
    assert_eq!(stops, [(0..1, &[0][..]), (1..2, &[1]), (2..4, &[2, 3]), (4..6, &[])]);
    let summed: Vec<_> = program.stages.iter().map(|s| s.summed_by).collect();
    assert_eq!(summed, [None, None, Some(4), Some(4), None, None]);
}
