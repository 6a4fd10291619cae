//! A convolution by pairs of rows: its plan, and the passes that follow it.

use super::forward::Forward;
use super::layout::Layout;
use super::points::coefficient;
use super::tile::{PairArgs, PairTiles};
use super::transform;
use crate::kernel::op::conv::scratch::grow;
use crate::kernel::op::conv::{self, Algorithm, Inputs, Scratch, WeightGradient, Weights};
use crate::kernel::path::{Path, dispatch};
use crate::kernel::plan::contract::{Contraction, PackTask};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;
use std::ops::Range;

/// A convolution, planned.
pub struct Pairs {
    layout: Layout,
    forward: Forward,
    gradient: Option<Contraction>,
    weight: WeightGradient,
}

impl Pairs {
    /// Plans a convolution from x to z for which [`fits`](super::fits); with the gradient of x if something before `learns`.
    ///
    /// With one lane, x is a single sample, and rows of z must be whole vectors of 16; x must have
    /// [`Pairs::x_extent`] floats.
    pub fn plan(path: Path, s: &ConvShape, x: &Frame, z: &Frame, learns: bool) -> Self {
        let layout = Layout::new(s, x, z);
        Self::new(path, Forward::plan(path, s, x, &layout.v), layout, learns)
    }

    /// Plans the forward pass of a single sample x with the outputs in the lanes: z is `[oh][ow][outputs]`, these in whole
    /// vectors of 16, without the bias.
    pub fn plan_across(path: Path, s: &ConvShape, x: &Frame) -> Self {
        let z = Frame { lanes: s.oc.next_multiple_of(CHUNK), ..Frame::chunk([1, s.oh, s.ow]) };
        let layout = Layout::new(s, x, &z);
        Self::new(path, Forward::plan_across(path, s, x, &layout.v), layout, false)
    }

    fn new(path: Path, forward: Forward, layout: Layout, learns: bool) -> Self {
        let (tiles, l) = (Tiles::of(path), &layout);
        // One row of the window, one row a pair.
        let row = ConvShape { ih: 1, oh: 1, kh: 1, padding: [0, l.s.padding[1]], ..l.s };
        let gradient = learns.then(|| conv::gradient(tiles, &row, &l.d, &l.m));
        let weight = WeightGradient::plan_pairs(tiles, PairTiles::of(path).outers, &row, &l.z, &l.v);
        Pairs { layout, forward, gradient, weight }
    }

    /// Floats that x must have.
    pub fn x_extent(&self) -> usize {
        let l = &self.layout;
        l.x.len() + if l.x.lanes == 1 { CHUNK } else { 0 }
    }

    /// Makes room in the buffers for this convolution.
    pub fn reserve(&self, scratch: &mut Scratch, backward: bool) {
        let l = &self.layout;
        let points = l.points.len();
        grow(&mut scratch.v, points * l.v_len());
        if backward && self.gradient.is_some() {
            grow(&mut scratch.d, points * l.d.len());
            grow(&mut scratch.m, points * l.m.len());
        }
    }

    /// Transforms and packs weights, for forward if there is room, and for the gradient if it was planned.
    pub fn pack(&self, w: &[f32], [forward, gradient]: [&mut [f32]; 2]) {
        let l = &self.layout;
        let (kh, kw, len) = (l.s.kh, l.s.kw, l.u_len());
        let (taps, points) = (l.s.ic * kw, l.points.len());
        let mut u = vec![0.0f32; len];
        let groups = if forward.is_empty() { &[] } else { &self.forward.groups[..] };
        for (f, point) in l.points.iter().enumerate() {
            let mut coefficients = [0.0; 5];
            (0..kh).for_each(|ky| coefficients[ky] = coefficient(*point, kh, ky));
            for (window, u) in w.chunks_exact(kh * kw).zip(u.chunks_exact_mut(kw)) {
                for (kx, u) in u.iter_mut().enumerate() {
                    *u = (0..kh).map(|ky| coefficients[ky] * f64::from(window[ky * kw + kx])).sum::<f64>() as f32;
                }
            }
            for (first, outputs, _) in groups {
                let block = &mut forward[first * taps * points + f * taps * outputs..][..taps * outputs];
                for (tap, line) in block.chunks_exact_mut(*outputs).enumerate() {
                    line.iter_mut().zip(*first..l.s.oc).for_each(|(value, o)| *value = u[o * taps + tap]);
                }
            }
            if let Some(plan) = &self.gradient {
                plan.pack(&u, 0..plan.groups().count(), &mut gradient[f * len..(f + 1) * len]);
            }
        }
    }

    /// Floats that z must have.
    pub fn z_extent(&self) -> usize {
        let l = &self.layout;
        if self.forward.across {
            return l.z.len();
        }
        l.z.at(l.s.oc - 1, l.s.oh - 1, 0) + (l.s.ow * l.x.lanes).next_multiple_of(CHUNK)
    }

    /// Some pairs, at most as many as v has rows.
    fn transform(&self, path: Path, pairs: Range<usize>, x: &[f32], scratch: &mut Scratch) {
        let l = &self.layout;
        assert!(x.len() >= self.x_extent() && pairs.end <= l.s.oh / 2 && pairs.len() <= l.v.rows, "planned buffers");
        self.reserve(scratch, false);
        let (x, v) = (x.as_ptr(), scratch.v.as_mut_ptr());
        // SAFETY: the rows of all pairs are within x's frame, v has a frame for each point.
        unsafe { dispatch(path, transform::Input { w: l, pairs, x, v }) }
    }
}

impl Algorithm for Pairs {
    fn packed_len(&self) -> [usize; 2] {
        let l = &self.layout;
        let outputs: usize = self.forward.groups.iter().map(|g| g.1).sum();
        let forward = l.points.len() * l.s.ic * l.s.kw * outputs;
        [forward, if self.gradient.is_some() { self.own_len() } else { 0 }]
    }

    fn pack_tasks<'a>(&'a self, _: Path, w: &'a [f32], packed: [&'a mut [f32]; 2]) -> Vec<PackTask<'a>> {
        let [forward, gradient] = packed;
        vec![Box::new(move || self.pack(w, [forward, gradient]))]
    }

    fn forward(&self, path: Path, rows: Range<usize>, inputs: Inputs, z: &mut [f32], scratch: &mut Scratch) {
        let l = &self.layout;
        let Inputs { x, packed, bias } = inputs;
        let pairs = rows.start.div_ceil(2)..rows.end.div_ceil(2);
        let plan = &self.forward;
        assert!(z.len() >= self.z_extent() && packed.len() >= self.packed_len()[0], "planned buffers");
        assert!(bias.is_none_or(|b| b.len() >= l.s.oc && !plan.across), "a bias for every output");
        assert!(rows.end <= l.s.oh, "rows of the output");
        let (points, taps) = (l.points.len(), plan.taps.len());
        for pair in pairs {
            self.transform(path, pair..pair + 1, x, scratch);
            for (first, outputs, runs) in &plan.groups {
                for &(tile, at, repeat) in runs {
                    // SAFETY: rows of z hold all vectors of the plan, and so do those of v, whose planes have slack
                    // where vectors hold columns; weights and biases were compared above. The plan was made for a
                    // path that was available.
                    unsafe {
                        let u = packed.as_ptr().add(first * taps * points);
                        let v = scratch.v.as_ptr().add(plan.corner);
                        let (u_point, v_point) = (taps * outputs, l.v_len());
                        let (w, w_point, w_row, x, x_point, y_plane, y) = if plan.across {
                            (v.add(at), v_point, 1, u, u_point, *outputs, l.z.at(0, 2 * pair, at))
                        } else {
                            let at = at * plan.lanes;
                            let y = l.z.at(*first, 2 * pair, 0) + at;
                            (u, u_point, *outputs, v.add(at), v_point, l.z.plane(), y)
                        };
                        (tile.run)(&PairArgs {
                            points: l.points.as_ptr(),
                            n_points: points,
                            taps: plan.taps.as_ptr(),
                            n_taps: taps,
                            w,
                            w_point,
                            w_row,
                            bias: bias.map_or(std::ptr::null(), |b| b[*first..].as_ptr()),
                            x,
                            x_point,
                            y: z.as_mut_ptr().add(y),
                            y_row: l.z.row(),
                            y_plane,
                            repeat,
                        });
                    }
                }
            }
        }
    }

    /// Twice as many: an even number.
    fn strip(&self, rows: usize) -> usize {
        2 * rows
    }

    /// `[point][oc][ic][kx][16]`
    fn acc_len(&self) -> usize {
        self.layout.points.len() * self.weight.acc_len()
    }

    /// `[point][oc][ic][kx]`
    fn own_len(&self) -> usize {
        self.layout.points.len() * self.layout.u_len()
    }

    fn weight(&self, path: Path, rows: Range<usize>, w: Weights, scratch: &mut Scratch) {
        let (l, acc_len) = (&self.layout, self.weight.acc_len());
        let all = rows.start / 2..rows.end / 2;
        for first in all.clone().step_by(l.v.rows) {
            let pairs = first..(first + l.v.rows).min(all.end);
            self.transform(path, pairs.clone(), w.x, scratch);
            for (f, &point) in l.points.iter().enumerate() {
                let (v, acc) = (&scratch.v[f * l.v_len()..], &mut w.acc[f * acc_len..]);
                self.weight.run_pairs(point, pairs.clone(), w.dz, v, acc);
            }
        }
    }

    /// From `[point][oc][ic][kx]` to `[oc][ic][ky][kx]`.
    fn finish(&self, own: &[f32], dw: &mut [f32]) {
        let l = &self.layout;
        let (kh, kw) = (l.s.kh, l.s.kw);
        for ky in 0..kh {
            let mut coefficients = [0.0; 6];
            l.points.iter().zip(&mut coefficients).for_each(|(p, c)| *c = coefficient(*p, kh, ky));
            for (i, window) in dw.chunks_exact_mut(kh * kw).enumerate() {
                for (kx, value) in window[ky * kw..(ky + 1) * kw].iter_mut().enumerate() {
                    let at = |f: usize| f64::from(own[f * l.u_len() + i * kw + kx]);
                    *value = (0..l.points.len()).map(|f| coefficients[f] * at(f)).sum::<f64>() as f32;
                }
            }
        }
    }

    fn gradient(&self, path: Path, dz: &[f32], packed: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
        let l = &self.layout;
        let Some(plan) = &self.gradient else { return };
        assert!(dz.len() >= l.z.len() && dx.len() >= l.x.len(), "planned buffers");
        self.reserve(scratch, true);
        let Scratch { d, m, .. } = scratch;
        for pair in 0..l.s.oh / 2 {
            // SAFETY: dz is a frame of z, d has a frame for each point.
            unsafe { dispatch(path, transform::Gradient { w: l, pair, dz: dz.as_ptr(), d: d.as_mut_ptr() }) };
            for f in 0..l.points.len() {
                let packed = &packed[f * l.u_len()..];
                plan.run(0..1, &d[f * l.d.len()..], packed, None, &mut m[f * l.m.len()..]);
            }
            // SAFETY: m has a frame for each point, dx is a frame of x.
            unsafe { dispatch(path, transform::Output { w: l, pair, m: m.as_ptr(), dx: dx.as_mut_ptr() }) };
        }
    }
}
