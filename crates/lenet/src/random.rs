//! Random numbers from a counter: what is drawn depends on the key alone, never on what was drawn before.

/// What numbers are drawn for; each purpose has its own streams. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
// Builds with fewer features draw for fewer purposes.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub enum Purpose {
    /// Initial weights; the stream's number is that of the tensor.
    Init = 1,
    /// The order of the samples of an epoch.
    Shuffle = 2,
    /// What dropout leaves out; the stream's number is that of the sample.
    Dropout = 3,
    /// The codes of an output layer.
    Codes = 4,
    /// The configurations of a sweep; the stream's number is that of the trial.
    Sweep = 5,
    /// How a training image is changed; the stream's number is that of the sample.
    Augment = 16,
    /// Which image it is mixed with, likewise.
    Mixup = 17,
    /// Images of noise, to look at what a network makes of them; the stream's number is that of the image.
    Noise = 18,
    /// The validation images; the stream's number is that of the class.
    Split = 9,
}

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011).
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// A stream of numbers, keyed by seed, purpose, epoch and number.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of a key; `number` is that of a tensor or a sample.
    pub fn new(seed: u64, purpose: Purpose, epoch: u32, number: u32) -> Self {
        // Purposes take the top byte of the block counter: a stream has 2²⁴ blocks, beyond any use here.
        let counter = [(purpose as u32) << 24, 0, epoch, number];
        Stream { key: [seed as u32, (seed >> 32) as u32], counter, block: [0; 4], used: 4 }
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox(self.counter, self.key);
            // Blocks past the 2²⁴th go on in the second word.
            let low = self.counter[0] & 0x00ff_ffff;
            if low == 0x00ff_ffff {
                self.counter[0] &= 0xff00_0000;
                self.counter[1] = self.counter[1].wrapping_add(1);
            } else {
                self.counter[0] += 1;
            }
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Standard normal, by Box and Muller; the same bits everywhere, since `libm` computes it.
    pub fn normal(&mut self) -> f32 {
        let u = (f64::from(self.next_u32()) + 1.0) / 4_294_967_296.0;
        let v = f64::from(self.next_u32()) / 4_294_967_296.0;
        (libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)) as f32
    }

    /// Uniform in `0..n`, without bias (Lemire's method).
    pub fn below(&mut self, n: u32) -> u32 {
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn numbers_have_their_moments_and_streams_differ() {
        let mut s = Stream::new(7, Purpose::Init, 0, 3);
        let n = 200_000;
        let (mut sum, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(s.normal());
            sum += x;
            square += x * x;
        }
        assert!((sum / n as f64).abs() < 0.01 && (square / n as f64 - 1.0).abs() < 0.02);
        let mut counts = [0usize; 7];
        (0..70_000).for_each(|_| counts[s.below(7) as usize] += 1);
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
        let first = |s: Stream| -> Vec<u32> {
            let mut s = s;
            (0..8).map(|_| s.next_u32()).collect()
        };
        let base = first(Stream::new(7, Purpose::Init, 0, 3));
        assert_eq!(base, first(Stream::new(7, Purpose::Init, 0, 3)));
        for other in [
            Stream::new(8, Purpose::Init, 0, 3),
            Stream::new(7, Purpose::Shuffle, 0, 3),
            Stream::new(7, Purpose::Init, 1, 3),
            Stream::new(7, Purpose::Init, 0, 4),
        ] {
            assert_ne!(base, first(other));
        }
    }
}
