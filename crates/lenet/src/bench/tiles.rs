//! Each register tile on data that fits the first-level cache. A tile that a compiler spills shows here, and only here.

use super::measure::{BenchOptions, BenchRow, measure};
use crate::kernel::Path;
use crate::kernel::bench::Disagreement;
use crate::kernel::bench::agree;
use crate::kernel::kit::{f64s, values};
use crate::kernel::plan::tile::{OuterArgs, Tap, TileArgs, Tiles};

const TAPS: usize = 64;

pub(super) fn run(path: Path, options: &BenchOptions, on_row: &mut dyn FnMut(BenchRow)) -> Result<(), Disagreement> {
    let tiles = Tiles::of(path);
    let lanes = tiles.lanes;
    for tile in tiles.tiles {
        let name = format!("{} outputs × {} vectors", tile.o, tile.p);
        let (x, w) = (values(TAPS * 16 + tile.p * lanes, 1), values(TAPS * tile.o, 2));
        let taps: Vec<Tap> = (0..TAPS).map(|t| Tap { x: t as u32 * 16, w: t as u32 }).collect();
        let width = tile.p * lanes;
        let mut y = vec![0.0; tile.o * width];
        let args = TileArgs {
            taps: taps.as_ptr(),
            n_taps: TAPS,
            w: w.as_ptr(),
            w_stride: tile.o,
            bias: std::ptr::null(),
            x: x.as_ptr(),
            x_pitch: 16,
            y_pitch: 16,
            y: y.as_mut_ptr(),
            y_plane: width,
            repeat: 1,
            x_step: 0,
            y_step: 0,
        };
        // SAFETY: x reaches to the last tap's last vector, w has a row a tap, y a row of `width` an output.
        unsafe { (tile.unit)(&args) };
        let want: Vec<f64> = (0..tile.o * width)
            .map(|i| (0..TAPS).map(|t| f64::from(w[t * tile.o + i / width]) * f64::from(x[t * 16 + i % width])).sum())
            .collect();
        agree(&name, &f64s(&y), &want, 1e-5)?;
        let multiply_adds = (TAPS * tile.o * width) as u64;
        // SAFETY: as above.
        let (seconds, share) = measure(path, options, multiply_adds, || unsafe { (tile.unit)(&args) });
        on_row(BenchRow { group: "tile", name, seconds, multiply_adds, share_of_peak: share, note: String::new() });
    }
    const POSITIONS: usize = 32;
    for outer in tiles.outers {
        let name = format!("{} outputs × {} taps, lanes apart", outer.o, outer.t);
        let (dz, x) = (values(outer.o * POSITIONS * 16, 3), values((POSITIONS + outer.t) * 16, 4));
        let mut acc = vec![0.0; outer.o * outer.t * 16];
        let args = OuterArgs {
            dz: dz.as_ptr(),
            dz_plane: POSITIONS * 16,
            dz_row: 0,
            x: x.as_ptr(),
            x_row: 0,
            x_col: 16,
            x_tap: 16,
            rows: 1,
            cols: POSITIONS,
            acc: acc.as_mut_ptr(),
            acc_o: outer.t * 16,
            acc_tap: 16,
            zero: true,
            point: crate::kernel::plan::point::Point::Zero,
            dz_second: 0,
        };
        // SAFETY: dz has all positions an output, x as many and one a tap more, acc a vector of 16 each.
        unsafe { (outer.run)(&args) };
        let want: Vec<f64> = (0..acc.len())
            .map(|i| {
                let (o, t, lane) = (i / 16 / outer.t, i / 16 % outer.t, i % 16);
                let term =
                    |p: usize| f64::from(dz[(o * POSITIONS + p) * 16 + lane]) * f64::from(x[(p + t) * 16 + lane]);
                (0..POSITIONS).map(term).sum()
            })
            .collect();
        agree(&name, &f64s(&acc), &want, 1e-5)?;
        let multiply_adds = (POSITIONS * outer.o * outer.t * 16) as u64;
        // SAFETY: as above.
        let (seconds, share) = measure(path, options, multiply_adds, || unsafe { (outer.run)(&args) });
        on_row(BenchRow { group: "tile", name, seconds, multiply_adds, share_of_peak: share, note: String::new() });
    }
    Ok(())
}
