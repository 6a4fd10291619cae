//! Augmentation: what a training image goes through before the network sees it.
//!
//! Everything is drawn by (seed, epoch, position of the sample in its dataset), so that a sample becomes the same whatever
//! batch, thread or machine it meets. All is computed on bytes, with integers, in this order:
//!
//! 1. geometry, about the image's centre: mirror (`x → -x`), shear (`x += tan φ · y`), scale, rotate (clockwise), shift. A mirror
//!    and a shift alone are copies of rows; with any of the others there is one bilinear resampling for all of them together.
//!    Rows count downwards; outside lies the border;
//! 2. colour: `byte → (brightness · byte - m) · contrast + m`, where m is the mean of the image times the brightness; rounded and
//!    cut to 0..=255 once;
//! 3. erasing: a rectangle, then a square (cutout), in the fill;
//! 4. mixup: the image is mixed with that of another sample of its chunk, which went through 1 to 3 as well.
//!
//! Then the normalisation follows, as for every image.

mod geometry;
#[cfg(test)]
mod tests;

use super::{CHUNK, Path};
use crate::random::{Purpose, Stream};
use crate::spec::{Augment, Fill};
use geometry::{Move, grow};

/// The other sample of a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Its position in the chunk.
    pub lane: usize,
    /// Share of the sample itself in parts of 256, 128 to 256; the partner has the rest.
    pub share: u32,
}

/// What runs, and whose random numbers are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Instructions; they change no byte.
    pub path: Path,
    /// Seed of the training.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
}

/// Buffers of one thread; they grow at their first use and stay.
#[derive(Debug, Default)]
pub struct Scratch {
    images: Vec<u8>,
    mixed: Vec<u8>,
    padded: Vec<u8>,
}

impl Augment {
    /// The samples of a chunk (at most 16 `indices` into `data`, `[n, c, h, w]`) as they are trained on, one behind the other.
    pub fn chunk<'s>(
        &self,
        context: &Context,
        data: &[u8],
        indices: &[u32],
        shape: [usize; 3],
        scratch: &'s mut Scratch,
    ) -> &'s [u8] {
        let sample: usize = shape.iter().product();
        let len = indices.len() * sample;
        let Scratch { images, mixed, padded } = scratch;
        grow(images, len);
        for (&index, out) in indices.iter().zip(images.chunks_exact_mut(sample)) {
            self.image(context, index, &data[index as usize * sample..][..sample], shape, padded, out);
        }
        if self.mixup == 0.0 {
            return &images[..len];
        }
        grow(mixed, len);
        for (lane, (partner, out)) in self
            .partners(context.seed, context.epoch, indices)
            .iter()
            .zip(mixed[..len].chunks_exact_mut(sample))
            .enumerate()
        {
            let (own, other) = (&images[lane * sample..][..sample], &images[partner.lane * sample..][..sample]);
            mix(own, other, partner.share, out);
        }
        &mixed[..len]
    }

    /// One image, `[c, h, w]`, that is sample `index` of its dataset; without mixup, which takes two.
    fn image(
        &self,
        context: &Context,
        index: u32,
        image: &[u8],
        shape: [usize; 3],
        padded: &mut Vec<u8>,
        out: &mut [u8],
    ) {
        let mut stream = Stream::new(context.seed, Purpose::Augment, context.epoch, index);
        // All is drawn, whatever is in use: an option that is turned off leaves the others' numbers alone.
        let mut around = |range: f32| (2.0 * f64::from(stream.uniform()) - 1.0) * f64::from(range);
        let mirror = around(1.0) < 0.0 && self.flip;
        let (angle, size, shear) = (around(self.rotate), 1.0 + around(self.scale), around(self.shear));
        let (brightness, contrast) = (1.0 + around(self.brightness), 1.0 + around(self.contrast));
        // The bound keeps sums far from overflow; no image is so large.
        let shift = self.shift.min(1 << 20) as i64;
        let mut pixels = || i64::from(stream.below(2 * shift as u32 + 1)) - shift;
        let moved = Move { mirror, rows: pixels(), cols: pixels(), border: self.border };
        if self.rotate == 0.0 && self.scale == 0.0 && self.shear == 0.0 {
            moved.copy(image, shape, out);
        } else {
            moved.resample(context.path, [angle, size, shear], image, shape, padded, out);
        }
        if self.brightness != 0.0 || self.contrast != 0.0 {
            colour(brightness, contrast, out);
        }
        self.erase(&mut stream, shape, out);
    }

    fn erase(&self, stream: &mut Stream, shape: [usize; 3], image: &mut [u8]) {
        let [_, h, w] = shape;
        if let Some(erase) = self.erase
            && stream.uniform() < erase.probability
        {
            let [least, most] = erase.area.map(f64::from);
            // A rectangle that does not fit is drawn anew, ten times at most, as torchvision does.
            for _ in 0..10 {
                let area = (least + (most - least) * f64::from(stream.uniform())) * (h * w) as f64;
                let ratio = libm::exp((2.0 * f64::from(stream.uniform()) - 1.0) * -libm::log(0.3));
                let (rows, cols) = ((area * ratio).sqrt().round() as usize, (area / ratio).sqrt().round() as usize);
                if rows < h && cols < w {
                    let top = stream.below((h - rows + 1) as u32) as usize;
                    let left = stream.below((w - cols + 1) as u32) as usize;
                    self.blank(stream, shape, top..top + rows, left..left + cols, image);
                    break;
                }
            }
        }
        if self.cutout > 0 {
            let (row, col) = (stream.below(h as u32) as usize, stream.below(w as u32) as usize);
            let span = |at: usize, size: usize| {
                let side = self.cutout.min(2 * size);
                at.saturating_sub(side / 2)..(at + side - side / 2).min(size)
            };
            self.blank(stream, shape, span(row, h), span(col, w), image);
        }
    }

    fn blank(
        &self,
        stream: &mut Stream,
        [c, h, w]: [usize; 3],
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        image: &mut [u8],
    ) {
        for channel in 0..c {
            for row in rows.clone() {
                let pixels = &mut image[(channel * h + row) * w..][cols.clone()];
                match self.fill {
                    Fill::Byte(byte) => pixels.fill(byte),
                    Fill::Noise => {
                        for four in pixels.chunks_mut(4) {
                            let noise = stream.next_u32().to_le_bytes();
                            four.copy_from_slice(&noise[..four.len()]);
                        }
                    }
                }
            }
        }
    }

    /// Whom the samples of a chunk are mixed with: another sample of the chunk, uniformly, and a share of Beta(α, α), of which
    /// the sample itself takes the larger part (the mixture is symmetric, so this changes no distribution).
    pub fn partners(&self, seed: u64, epoch: u32, indices: &[u32]) -> [Partner; CHUNK] {
        let n = indices.len().min(CHUNK);
        let mut partners = std::array::from_fn(|lane| Partner { lane, share: 256 });
        if self.mixup == 0.0 || n < 2 {
            return partners;
        }
        for (lane, &index) in indices.iter().enumerate().take(n) {
            let mut stream = Stream::new(seed, Purpose::Mixup, epoch, index);
            let other = (lane + 1 + stream.below(n as u32 - 1) as usize) % n;
            let share = beta(&mut stream, f64::from(self.mixup));
            let share = (share.max(1.0 - share) * 256.0).round() as u32;
            partners[lane] = Partner { lane: other, share: share.clamp(128, 256) };
        }
        partners
    }
}

/// `share` parts of 256 of `own` and the rest of `other`, rounded.
fn mix(own: &[u8], other: &[u8], share: u32, out: &mut [u8]) {
    let share = share.min(256) as u16;
    for ((o, &a), &b) in out.iter_mut().zip(own).zip(other) {
        // 255 · 256 + 128 fits in 16 bits.
        *o = ((u16::from(a) * share + u16::from(b) * (256 - share) + 128) >> 8) as u8;
    }
}

/// `byte → (brightness · byte - m) · contrast + m`, m = brightness · mean, in 16 bits of fraction.
fn colour(brightness: f64, contrast: f64, image: &mut [u8]) {
    let sum: u64 = image.iter().map(|&b| u64::from(b)).sum();
    let mean = brightness * sum as f64 / image.len().max(1) as f64;
    let factor = (brightness * contrast * 65536.0).round() as i32;
    let offset = (mean * (1.0 - contrast) * 65536.0).round() as i32 + (1 << 15);
    // Factors are at most 4: all stays far below 31 bits.
    image.iter_mut().for_each(|b| *b = ((i32::from(*b) * factor + offset) >> 16).clamp(0, 255) as u8);
}

/// Beta(α, α), by two gamma variates.
fn beta(stream: &mut Stream, alpha: f64) -> f64 {
    let (log_a, log_b) = (log_gamma_variate(stream, alpha), log_gamma_variate(stream, alpha));
    // By logarithms: with a small α both variates may be below the smallest float.
    1.0 / (1.0 + libm::exp(log_b - log_a))
}

/// Logarithm of a Gamma(α, 1) variate (Marsaglia and Tsang 2000); below α = 1 by that of α + 1.
fn log_gamma_variate(stream: &mut Stream, alpha: f64) -> f64 {
    let mut boost = 0.0;
    let mut shape = alpha;
    if alpha < 1.0 {
        let u = (f64::from(stream.next_u32()) + 1.0) / 4_294_967_296.0;
        boost = libm::log(u) / alpha;
        shape = alpha + 1.0;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = f64::from(stream.normal());
        let v = 1.0 + c * x;
        let u = (f64::from(stream.next_u32()) + 1.0) / 4_294_967_296.0;
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v * v * v + 3.0 * d * libm::log(v) {
            return boost + libm::log(d) + 3.0 * libm::log(v);
        }
    }
}
