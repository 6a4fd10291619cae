use super::geometry::Move;
use super::*;
use crate::spec::{Border, Erase};

/// Images `[n, c, h, w]` without any symmetry.
fn images(n: usize, shape: [usize; 3]) -> Vec<u8> {
    let mut stream = Stream::new(1, Purpose::Init, 0, 0);
    (0..n * shape.iter().product::<usize>()).map(|_| stream.next_u32() as u8).collect()
}

fn augmented(augment: &Augment, seed: u64, epoch: u32, data: &[u8], indices: &[u32], shape: [usize; 3]) -> Vec<u8> {
    augment
        .chunk(&Context { path: Path::PORTABLE, seed, epoch }, data, indices, shape, &mut Scratch::default())
        .to_vec()
}

/// Everything but mixup.
fn everything() -> Augment {
    Augment {
        shift: 2,
        border: Border::Edge,
        flip: true,
        rotate: 15.0,
        scale: 0.2,
        shear: 5.0,
        brightness: 0.3,
        contrast: 0.3,
        erase: Some(Erase::default()),
        cutout: 3,
        fill: Fill::Noise,
        ..Augment::default()
    }
}

/// Pixel of a plane, or of the border around it.
fn pixel(plane: &[u8], [h, w]: [usize; 2], row: i64, col: i64, border: Border) -> f64 {
    let within = (0..h as i64).contains(&row) && (0..w as i64).contains(&col);
    if !within && border == Border::Zeros {
        return 0.0;
    }
    let (row, col) = (row.clamp(0, h as i64 - 1) as usize, col.clamp(0, w as i64 - 1) as usize);
    f64::from(plane[row * w + col])
}

/// The definition, step by step in f64: what is mirrored, sheared, scaled, rotated and shifted is undone in reverse order.
fn naive(moved: &Move, [angle, size, shear]: [f64; 3], image: &[u8], [c, h, w]: [usize; 3]) -> Vec<f64> {
    let mut out = Vec::new();
    let (cx, cy) = ((w - 1) as f64 / 2.0, (h - 1) as f64 / 2.0);
    let (a, s) = (angle.to_radians(), shear.to_radians());
    for channel in 0..c {
        let plane = &image[channel * h * w..][..h * w];
        for (row, col) in (0..h).flat_map(|r| (0..w).map(move |c| (r, c))) {
            let (x, y) = (col as f64 - moved.cols as f64 - cx, row as f64 - moved.rows as f64 - cy);
            let (x, y) = (x * a.cos() + y * a.sin(), y * a.cos() - x * a.sin());
            let (x, y) = (x / size, y / size);
            let x = x - s.tan() * y;
            let x = if moved.mirror { -x } else { x } + cx;
            let y = y + cy;
            let at = |r: i64, c: i64| pixel(plane, [h, w], y.floor() as i64 + r, x.floor() as i64 + c, moved.border);
            let (fx, fy) = (x - x.floor(), y - y.floor());
            let upper = at(0, 0) * (1.0 - fx) + at(0, 1) * fx;
            out.push(upper * (1.0 - fy) + (at(1, 0) * (1.0 - fx) + at(1, 1) * fx) * fy);
        }
    }
    out
}

#[test]
fn the_default_and_its_test_options_change_nothing() {
    let shape = [2, 5, 7];
    let data = images(3, shape);
    let augment = Augment { border: Border::Edge, fill: Fill::Noise, flip_test: true, ..Augment::default() };
    assert!(!augment.is_active() && everything().is_active());
    assert_eq!(augmented(&augment, 1, 2, &data, &[0, 1, 2], shape), data);
}

#[test]
fn rows_are_copied_to_where_the_definition_says() {
    let shape = [2, 5, 7];
    let image = images(1, shape);
    for mirror in [false, true] {
        for (rows, cols) in (-9..=9).flat_map(|r| (-9..=9).map(move |c| (r, c))) {
            for border in [Border::Zeros, Border::Edge] {
                let moved = Move { mirror, rows, cols, border };
                let mut out = vec![1; image.len()];
                moved.copy(&image, shape, &mut out);
                let naive = naive(&moved, [0.0, 1.0, 0.0], &image, shape);
                assert!(out.iter().zip(&naive).all(|(&a, &b)| f64::from(a) == b), "{moved:?} {border:?}");
            }
        }
    }
}

#[test]
fn resampling_is_bilinear_to_less_than_a_grey_level() {
    let mut stream = Stream::new(5, Purpose::Init, 0, 0);
    let mut around = |range: f64| (2.0 * f64::from(stream.uniform()) - 1.0) * range;
    for case in 0..300 {
        let shape = [[1, 28, 28], [3, 9, 14], [2, 1, 5], [1, 1, 1]][case % 4];
        let image = images(1, shape);
        let (rows, cols) = (around(4.0) as i64, around(4.0) as i64);
        let how = [around(180.0), 1.0 + around(0.9), around(60.0)];
        for (border, path) in
            [Border::Zeros, Border::Edge].into_iter().flat_map(|b| Path::available().into_iter().map(move |p| (b, p)))
        {
            let moved = Move { mirror: case % 3 == 0, rows, cols, border };
            let (mut out, mut padded) = (vec![1; image.len()], Vec::new());
            moved.resample(path, how, &image, shape, &mut padded, &mut out);
            for (i, (&a, b)) in out.iter().zip(naive(&moved, how, &image, shape)).enumerate() {
                assert!((f64::from(a) - b).abs() < 0.9, "{moved:?} {how:?} {border:?} {i}: {a} {b}");
            }
        }
    }
}

#[test]
fn resampling_without_a_turn_is_the_copy() {
    let shape = [1, 6, 5];
    let image = images(1, shape);
    for (mirror, border) in [(false, Border::Zeros), (true, Border::Edge)] {
        let moved = Move { mirror, rows: 2, cols: -1, border };
        let (mut copied, mut resampled) = (vec![1; 30], vec![2; 30]);
        moved.copy(&image, shape, &mut copied);
        moved.resample(Path::PORTABLE, [0.0, 1.0, 0.0], &image, shape, &mut Vec::new(), &mut resampled);
        assert_eq!(copied, resampled);
    }
}

#[test]
fn a_sample_is_the_same_in_every_chunk_and_another_by_seed_epoch_and_number() {
    let shape = [1, 12, 12];
    let one = images(1, shape);
    let data = one.repeat(40);
    let all = everything();
    let of = |seed, epoch, indices: &[u32]| augmented(&all, seed, epoch, &data, indices, shape);
    let alone = of(7, 3, &[9]);
    let context = Context { path: Path::PORTABLE, seed: 7, epoch: 3 };
    let mut scratch = Scratch::default();
    all.chunk(&context, &data, &(0..16).collect::<Vec<_>>(), shape, &mut scratch);
    assert_eq!(all.chunk(&context, &data, &[5, 1, 9, 2], shape, &mut scratch)[2 * 144..3 * 144], alone);
    assert_ne!(of(8, 3, &[9]), alone);
    assert_ne!(of(7, 4, &[9]), alone);
    assert_ne!(of(7, 3, &[10]), alone);
}

/// One lit pixel in the middle: where it goes tells the shift.
#[test]
fn shifts_are_uniform_and_half_is_mirrored() {
    let shape = [1, 7, 7];
    let mut lit = [0u8; 49];
    (lit[24], lit[25]) = (255, 100);
    let data = lit.repeat(6000);
    let augment = Augment { shift: 2, flip: true, ..Augment::default() };
    let (mut places, mut mirrored) = ([0usize; 49], 0);
    for first in (0..6000u32).step_by(16) {
        let indices: Vec<u32> = (first..(first + 16).min(6000)).collect();
        for image in augmented(&augment, 3, 0, &data, &indices, shape).chunks(49) {
            let place = image.iter().position(|&b| b == 255).expect("the lit pixel");
            places[place] += 1;
            mirrored += usize::from(image[place - 1] == 100);
        }
    }
    // Five standard deviations: √(6000 / 4) ≈ 39, and √(6000 · 24 / 625) ≈ 15 around 240.
    assert!((3000usize).abs_diff(mirrored) < 195, "{mirrored}");
    for (place, &n) in places.iter().enumerate() {
        let near = (1..=5).contains(&(place / 7)) && (1..=5).contains(&(place % 7));
        assert!(if near { n.abs_diff(240) < 76 } else { n == 0 }, "{place}: {n}");
    }
}

#[test]
fn colours_follow_their_formula() {
    let image = images(1, [1, 16, 16]);
    let mean = image.iter().map(|&b| f64::from(b)).sum::<f64>() / 256.0;
    for (brightness, contrast) in [(1.0, 1.0), (0.5, 1.0), (2.0, 2.0), (1.2, 0.0), (0.0, 1.5), (1.3, 1.7)] {
        let mut out = image.clone();
        colour(brightness, contrast, &mut out);
        for (&from, &to) in image.iter().zip(&out) {
            let m = brightness * mean;
            let want = ((brightness * f64::from(from) - m) * contrast + m).clamp(0.0, 255.0);
            assert!((f64::from(to) - want).abs() <= 0.51, "{brightness} {contrast}: {from} {to} {want}");
        }
    }
    let mut same = image.clone();
    colour(1.0, 1.0, &mut same);
    assert_eq!(same, image);
}

/// Rows and columns that hold a zero, and the number of zeros: a rectangle has their product.
fn hole(image: &[u8], w: usize) -> [usize; 3] {
    let rows = image.chunks(w).filter(|row| row.contains(&0)).count();
    let cols = (0..w).filter(|&c| image.iter().skip(c).step_by(w).any(|&b| b == 0)).count();
    [rows, cols, image.iter().filter(|&&b| b == 0).count()]
}

#[test]
fn erased_rectangles_have_their_frequency_and_area() {
    let shape = [1, 40, 30];
    let data = vec![200u8; 1200 * 1600];
    let augment = Augment { erase: Some(Erase { probability: 0.25, area: [0.1, 0.2] }), ..Augment::default() };
    let mut erased = 0;
    for first in (0..1600u32).step_by(16) {
        let indices: Vec<u32> = (first..first + 16).collect();
        for image in augmented(&augment, 3, 0, &data, &indices, shape).chunks(1200) {
            let [rows, cols, zeros] = hole(image, 30);
            assert_eq!(rows * cols, zeros);
            if zeros > 0 {
                erased += 1;
                // Rounded sides.
                assert!((100..=265).contains(&zeros), "{zeros}");
                let ratio = rows as f64 / cols as f64;
                assert!((0.25..4.0).contains(&ratio), "{ratio}");
            }
        }
    }
    // Five standard deviations of 17.
    assert!((400usize).abs_diff(erased) < 87, "{erased}");
}

#[test]
fn a_cutout_is_a_square_cut_at_the_borders() {
    let shape = [1, 9, 9];
    let data = vec![200u8; 81 * 64];
    let augment = Augment { cutout: 4, ..Augment::default() };
    let mut whole = 0;
    for first in (0..64u32).step_by(16) {
        let indices: Vec<u32> = (first..first + 16).collect();
        for image in augmented(&augment, 3, 0, &data, &indices, shape).chunks(81) {
            let [rows, cols, zeros] = hole(image, 9);
            assert!(
                rows * cols == zeros && (2..=4).contains(&rows) && (2..=4).contains(&cols),
                "{rows} {cols} {zeros}"
            );
            whole += usize::from(zeros == 16);
        }
    }
    assert!(whole > 10);
    let all = Augment { cutout: 1000, fill: Fill::Byte(9), ..Augment::default() };
    assert!(augmented(&all, 3, 0, &data, &[0], shape).iter().all(|&b| b == 9));
}

#[test]
fn noise_fills_with_all_bytes() {
    let data = vec![0u8; 4096];
    let all = Augment { cutout: 1000, fill: Fill::Noise, ..Augment::default() };
    let noise = augmented(&all, 3, 0, &data, &[0], [1, 64, 64]);
    let mean = noise.iter().map(|&b| f64::from(b)).sum::<f64>() / 4096.0;
    // 74 / √4096, five times.
    assert!((mean - 127.5).abs() < 5.8, "{mean}");
}

#[test]
fn mixtures_are_of_augmented_images_of_the_chunk() {
    let shape = [1, 8, 8];
    let data = images(30, shape);
    let single = Augment { shift: 1, flip: true, ..Augment::default() };
    let mixed = Augment { mixup: 0.4, ..single.clone() };
    let indices = [3u32, 14, 15, 9, 26];
    let own = augmented(&single, 5, 1, &data, &indices, shape);
    let out = augmented(&mixed, 5, 1, &data, &indices, shape);
    let partners = mixed.partners(5, 1, &indices);
    for lane in 0..5 {
        let Partner { lane: other, share } = partners[lane];
        assert!(other != lane && other < 5 && (128..=256).contains(&share));
        let share = f64::from(share) / 256.0;
        for i in 0..64 {
            let want = f64::from(own[lane * 64 + i]) * share + f64::from(own[other * 64 + i]) * (1.0 - share);
            assert!((f64::from(out[lane * 64 + i]) - want).abs() <= 0.5);
        }
    }
    assert_eq!(mixed.partners(5, 1, &[3])[0], Partner { lane: 0, share: 256 }, "there is nobody else");
    assert_eq!(augmented(&mixed, 5, 1, &data, &[3], shape), own[..64]);
    // Every other lane is met about as often as the next.
    let mut met = [0usize; 4];
    (0..4000).for_each(|epoch| met[mixed.partners(5, epoch, &[1, 2, 3, 4])[0].lane] += 1);
    assert!(met[0] == 0 && met[1..].iter().all(|n| n.abs_diff(1333) < 150), "{met:?}");
}

#[test]
fn shares_have_the_moments_of_the_beta_distribution() {
    for alpha in [0.01, 0.2, 1.0, 3.0, 100.0] {
        let mut stream = Stream::new(1, Purpose::Mixup, 0, 0);
        let n = 20_000;
        let shares: Vec<f64> = (0..n).map(|_| beta(&mut stream, alpha)).collect();
        assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
        let mean = shares.iter().sum::<f64>() / f64::from(n);
        let variance = shares.iter().map(|s| (s - 0.5) * (s - 0.5)).sum::<f64>() / f64::from(n);
        let want = 0.25 / (2.0 * alpha + 1.0);
        assert!((mean - 0.5).abs() < 0.02 && (variance / want - 1.0).abs() < 0.06, "{alpha}: {mean} {variance} {want}");
    }
}

#[test]
fn an_option_leaves_the_numbers_of_the_others_alone() {
    let shape = [1, 7, 7];
    let data = images(16, shape).repeat(2);
    let shifted = Augment { shift: 3, ..Augment::default() };
    let both = Augment { brightness: 1e-6, rotate: 1e-7, ..shifted.clone() };
    let indices: Vec<u32> = (0..16).collect();
    assert_eq!(augmented(&shifted, 1, 1, &data, &indices, shape), augmented(&both, 1, 1, &data, &indices, shape));
}

/// What is drawn is part of the format: another version that draws anything else trains another model.
#[test]
fn the_same_bytes_in_every_version() {
    let shape = [3, 16, 16];
    let data = images(16, shape);
    let indices: Vec<u32> = (0..16).collect();
    let augment = Augment { mixup: 0.3, ..everything() };
    for path in Path::available() {
        let mut scratch = Scratch::default();
        let out = augment.chunk(&Context { path, seed: 11, epoch: 2 }, &data, &indices, shape, &mut scratch);
        let fnv = |h: u64, &b: &u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        assert_eq!(out.iter().fold(0xcbf2_9ce4_8422_2325, fnv), 1_097_397_979_986_597_276, "{path}");
    }
}
