//! The orthogonal matrix nearest to a given one, as Muon takes it: five steps of Newton and Schulz.
//!
//! Source: Keller Jordan and others, "Muon: An optimizer for hidden layers in neural networks", 2024. With X the matrix over
//! its Frobenius norm, lying on its longer side, each step is `X ← a X + (b G + c G²) X`, `G = X Xᵀ`. The coefficients are
//! made for speed: singular values end between about 0.7 and 1.2 rather than at 1.

use crate::kernel::aligned::AlignedVec;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::{CHUNK, Simd};
use crate::kernel::sums::sum_of_squares;

/// Steps of the iteration.
pub const STEPS: usize = 5;
/// a, b and c.
pub const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// The least norm that a matrix is divided by, as PyTorch has it.
pub const EPS: f64 = 1e-7;
/// Rows of one task.
const TASK: usize = 24;
/// Rows of a register tile.
const TILE: usize = 6;

/// The three products of a step, in their order; behind the last one, [`Orthogonal::turn`] ends it.
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// `G = X Xᵀ`
    Gram,
    /// `P = b G + c G²`
    Polynomial,
    /// `a X + P X`
    Next,
}

/// The buffers of one matrix. Rows lie one after the other, filled up with zeros to whole vectors.
pub struct Orthogonal {
    rows: usize,
    cols: usize,
    /// The shorter and the longer side, and both filled up.
    short: usize,
    long: usize,
    short_row: usize,
    long_row: usize,
    x: AlignedVec,
    turned: AlignedVec,
    gram: AlignedVec,
    polynomial: AlignedVec,
    next: AlignedVec,
}

impl Orthogonal {
    /// Buffers for a matrix `[rows, cols]`.
    pub fn new(rows: usize, cols: usize) -> Self {
        let (short, long) = (rows.min(cols), rows.max(cols));
        let [short_row, long_row] = [short, long].map(|n| n.next_multiple_of(CHUNK));
        let [x, next, turned] = [(); 3].map(|()| AlignedVec::zeros(short_row * long_row));
        let [gram, polynomial] = [(); 2].map(|()| AlignedVec::zeros(short * short_row));
        Orthogonal { rows, cols, short, long, short_row, long_row, x, turned, gram, polynomial, next }
    }

    /// Takes a matrix `[rows, cols]`; [`STEPS`] times all stages and a turn follow.
    pub fn load(&mut self, matrix: &[f32]) {
        let over = (1.0 / sum_of_squares(matrix).sqrt().max(EPS)) as f32;
        let (lies, row) = (self.rows <= self.cols, self.long_row);
        for (i, values) in matrix.chunks_exact(self.cols).enumerate() {
            for (j, value) in values.iter().enumerate() {
                self.x[if lies { i * row + j } else { j * row + i }] = value * over;
            }
        }
        self.transpose();
    }

    /// The tasks of a stage; they may run side by side.
    pub fn products(&mut self, stage: Stage) -> Vec<Product<'_>> {
        let [a, b, c] = COEFFICIENTS;
        let (short, short_row, long_row) = (self.short, self.short_row, self.long_row);
        let (gram, polynomial): (&mut [f32], &mut [f32]) = (&mut self.gram, &mut self.polynomial);
        let (left, inner, right, out, row, scale, plus) = match stage {
            Stage::Gram => (&*self.x, self.long, &*self.turned, gram, short_row, 1.0, 0.0),
            Stage::Polynomial => (&*gram, short, &*gram, polynomial, short_row, c, b),
            Stage::Next => (&*polynomial, short, &*self.x, &mut self.next[..], long_row, 1.0, a),
        };
        let left_row = left.len() / if matches!(stage, Stage::Gram) { short_row } else { short };
        let blocks = out[..short * row].chunks_mut(TASK * row).enumerate();
        blocks
            .map(|(i, out)| Product {
                left: &left[i * TASK * left_row..],
                left_row,
                inner,
                right,
                row,
                scale,
                plus,
                added: &right[if plus == 0.0 { 0 } else { i * TASK * row }..],
                out,
            })
            .collect()
    }

    /// Ends a step.
    pub fn turn(&mut self) {
        std::mem::swap(&mut self.x, &mut self.next);
        self.transpose();
    }

    /// The result, `[rows, cols]`.
    pub fn store(&self, matrix: &mut [f32]) {
        for (i, values) in matrix.chunks_exact_mut(self.cols).enumerate() {
            if self.rows <= self.cols {
                values.copy_from_slice(&self.x[i * self.long_row..][..self.cols]);
            } else {
                values.copy_from_slice(&self.turned[i * self.short_row..][..self.cols]);
            }
        }
    }

    fn transpose(&mut self) {
        for (block, rows) in self.x.chunks_exact(CHUNK * self.long_row).enumerate() {
            for j in 0..self.long {
                let to = &mut self.turned[j * self.short_row + block * CHUNK..][..CHUNK];
                for (i, to) in to.iter_mut().enumerate() {
                    *to = rows[i * self.long_row + j];
                }
            }
        }
    }
}

/// Some rows of `out = scale · left · right + plus · added`, every sum in the order of the inner positions.
pub struct Product<'a> {
    left: &'a [f32],
    left_row: usize,
    inner: usize,
    right: &'a [f32],
    /// Floats of a row of `right`, `added` and `out`.
    row: usize,
    scale: f32,
    plus: f32,
    added: &'a [f32],
    out: &'a mut [f32],
}

impl Product<'_> {
    /// Computes these rows.
    pub fn run(&mut self, path: Path) {
        let rows = self.out.len() / self.row;
        assert!(self.row.is_multiple_of(CHUNK) && self.inner <= self.left_row);
        assert!(self.left.len() >= rows * self.left_row && self.right.len() >= self.inner * self.row);
        assert!(self.added.len() >= self.out.len());
        // SAFETY: the lengths were checked.
        unsafe { dispatch(path, self) }
    }
}

impl Program for &mut Product<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let rows = self.out.len() / self.row;
        let mut i = 0;
        while i < rows {
            // SAFETY: so many rows are left.
            unsafe {
                match rows - i {
                    1 => self.strip::<S, 1>(i),
                    2 => self.strip::<S, 2>(i),
                    3 => self.strip::<S, 3>(i),
                    4 => self.strip::<S, 4>(i),
                    5 => self.strip::<S, 5>(i),
                    _ => self.strip::<S, TILE>(i),
                }
            }
            i += TILE;
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    unsafe fn strip<S: Simd, const R: usize>(&mut self, i: usize) {
        let mut j = 0;
        // SAFETY: rows are whole numbers of vectors.
        unsafe {
            while j + 2 * S::LANES <= self.row {
                self.tile::<S, R, 2>(i, j);
                j += 2 * S::LANES;
            }
            if j < self.row {
                self.tile::<S, R, 1>(i, j);
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize>(&mut self, i: usize, j: usize) {
        // SAFETY: `run` has checked the lengths; rows i.. and columns j.. are within them.
        unsafe {
            let (left, right) = (self.left.as_ptr().add(i * self.left_row), self.right.as_ptr().add(j));
            let mut sums = [[S::splat(0.0); V]; R];
            for k in 0..self.inner {
                let mut values = [S::splat(0.0); V];
                for v in 0..V {
                    values[v] = S::load(right.add(k * self.row + v * S::LANES));
                }
                for r in 0..R {
                    let factor = S::splat(*left.add(r * self.left_row + k));
                    for v in 0..V {
                        sums[r][v] = S::fma(factor, values[v], sums[r][v]);
                    }
                }
            }
            let (scale, plus) = (S::splat(self.scale), S::splat(self.plus));
            for r in 0..R {
                for v in 0..V {
                    let at = (i + r) * self.row + j + v * S::LANES;
                    let added = S::mul(plus, S::load(self.added.as_ptr().add(at)));
                    S::store(self.out.as_mut_ptr().add(at), S::fma(scale, sums[r][v], added));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orthogonalize(path: Path, rows: usize, cols: usize, matrix: &[f32]) -> Vec<f32> {
        let mut buffers = Orthogonal::new(rows, cols);
        // What an earlier matrix has left must not show.
        for start in [&vec![1.0; matrix.len()][..], matrix] {
            buffers.load(start);
            for _ in 0..STEPS {
                for stage in [Stage::Gram, Stage::Polynomial, Stage::Next] {
                    buffers.products(stage).iter_mut().for_each(|p| p.run(path));
                }
                buffers.turn();
            }
        }
        let mut out = vec![0.0; matrix.len()];
        buffers.store(&mut out);
        out
    }

    /// The published iteration in f64, on the matrix as it stands.
    fn naive(rows: usize, cols: usize, matrix: &[f32]) -> Vec<f64> {
        let norm = matrix.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        let mut x: Vec<f64> = matrix.iter().map(|v| f64::from(*v) / norm.max(EPS)).collect();
        let [a, b, c] = COEFFICIENTS.map(f64::from);
        for _ in 0..STEPS {
            let at = |x: &[f64], i: usize, j: usize| x[i * cols + j];
            let gram = |i: usize, k: usize| (0..cols).map(|j| at(&x, i, j) * at(&x, k, j)).sum::<f64>();
            let g: Vec<f64> = (0..rows * rows).map(|p| gram(p / rows, p % rows)).collect();
            let square = |p: usize| (0..rows).map(|k| g[p / rows * rows + k] * g[k * rows + p % rows]).sum::<f64>();
            let poly: Vec<f64> = (0..rows * rows).map(|p| b * g[p] + c * square(p)).collect();
            let next = |p: usize| (0..rows).map(|k| poly[p / cols * rows + k] * at(&x, k, p % cols)).sum::<f64>();
            x = (0..rows * cols).map(|p| a * x[p] + next(p)).collect();
        }
        x
    }

    #[test]
    fn the_iteration_follows_its_formula_with_the_same_bits_on_every_path() {
        for (rows, cols) in [(1, 1), (3, 40), (40, 3), (17, 33), (31, 16), (6, 150), (53, 60)] {
            let matrix: Vec<f32> = (0..rows * cols).map(|i| ((i * i + 3 * i) as f32 * 0.37).sin() - 0.1).collect();
            let want = naive(rows, cols, &matrix);
            let mut first: Option<Vec<u32>> = None;
            for path in Path::available() {
                let got = orthogonalize(path, rows, cols, &matrix);
                for (got, want) in got.iter().zip(&want) {
                    assert!((f64::from(*got) - want).abs() < 2e-5, "{rows}×{cols}, {path}: {got} for {want}");
                }
                let bits: Vec<u32> = got.iter().map(|v| v.to_bits()).collect();
                assert_eq!(*first.get_or_insert(bits.clone()), bits, "{rows}×{cols}, {path}");
            }
        }
    }

    #[test]
    fn rows_come_out_nearly_orthonormal_and_nothing_stays_nothing() {
        let (rows, cols) = (8, 50);
        let matrix: Vec<f32> = (0..rows * cols).map(|i| ((i * 7 % 101) as f32 - 50.0) * 1e-4).collect();
        let x = orthogonalize(Path::available()[0], rows, cols, &matrix);
        for i in 0..rows {
            let length: f32 = x[i * cols..][..cols].iter().map(|v| v * v).sum();
            assert!((0.4..1.6).contains(&length), "row {i} has the squared length {length}");
        }
        assert!(orthogonalize(Path::available()[0], rows, cols, &vec![0.0; rows * cols]).iter().all(|v| *v == 0.0));
    }
}
