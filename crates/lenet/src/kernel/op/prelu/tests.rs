use super::*;
use crate::kernel::kit::{f64s, filled, lane, values};
use crate::spec::PreluShape;

const SHAPE: [usize; 3] = [3, 5, 7];

/// y, dx and the gradients of the slopes with the lanes apart, of a frame with a border.
fn run(path: Path, x: &[f32], slopes: &[f32]) -> [Vec<f32>; 3] {
    let (x_frame, y_frame) = (Frame::chunk(SHAPE).with_border(1, 2), Frame::chunk(SHAPE));
    let (frames, mut y, mut lanes) = ([&x_frame, &y_frame], vec![7.0; y_frame.len()], vec![7.0; 3 * CHUNK]);
    (0..y_frame.rows).for_each(|row| forward(path, row..row + 1, slopes, frames, x, &mut y));
    let mut d = filled(&y_frame, 2);
    backward(path, slopes, frames, x, &mut d, &mut lanes);
    [y, d, lanes]
}

#[test]
fn paths_agree_with_each_other_and_with_the_reference() {
    let (x_frame, y_frame) = (Frame::chunk(SHAPE).with_border(1, 2), Frame::chunk(SHAPE));
    let (x, slopes, s) = (filled(&x_frame, 1), values(3, 3), PreluShape { channels: 3, positions: 35 });
    let first = run(Path::PORTABLE, &x, &slopes);
    for path in Path::available() {
        assert_eq!(run(path, &x, &slopes), first, "{path}");
    }
    let close = |got: &[f64], want: &[f64]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5);
    for sample in [0, 15] {
        let (x, dy) = (lane(&x_frame, &x, sample), lane(&y_frame, &filled(&y_frame, 2), sample));
        let mut dw = [0.0; 3];
        let dx = naive::backward(&s, &f64s(&slopes), &x, &dy, &mut dw);
        assert!(close(&lane(&y_frame, &first[0], sample), &naive::forward(&s, &f64s(&slopes), &x)));
        assert!(close(&lane(&y_frame, &first[1], sample), &dx));
        let lanes: Vec<f32> = first[2].iter().skip(sample).step_by(CHUNK).copied().collect();
        assert!(close(&f64s(&lanes), &dw));
    }
}

#[test]
fn at_0_the_slope_counts_and_nan_stays() {
    let (frame, path) = (Frame::chunk([1, 1, 1]), Path::available()[0]);
    let mut x = [0.0; CHUNK];
    x[1] = f32::NAN;
    let (mut y, mut d, mut lanes) = ([1.0; CHUNK], [3.0; CHUNK], [1.0; CHUNK]);
    forward(path, 0..1, &[0.5], [&frame; 2], &x, &mut y);
    backward(path, &[0.5], [&frame; 2], &x, &mut d, &mut lanes);
    assert_eq!((y[0], d[0], lanes[0]), (0.0, 1.5, 0.0));
    assert!(y[1].is_nan() && lanes[1].is_nan());
}
