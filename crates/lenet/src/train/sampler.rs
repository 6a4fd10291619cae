//! The order of the samples.

use crate::random::{Purpose, Stream};

/// The order of `n` samples in an epoch, a permutation by Fisher and Yates; epochs count from 0.
pub fn permutation(n: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut stream = Stream::new(seed, Purpose::Shuffle, epoch as u32, 0);
    for i in (1..n).rev() {
        order.swap(i, stream.below(i as u32 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_every_sample_once_in_an_order_of_its_own() {
        for n in [1, 2, 1000] {
            let mut order = permutation(n, 3, 0);
            order.sort_unstable();
            assert!(order.iter().enumerate().all(|(i, &o)| i as u32 == o));
        }
        assert_eq!(permutation(1000, 3, 1), permutation(1000, 3, 1));
        assert_ne!(permutation(1000, 3, 0), permutation(1000, 3, 1));
        assert_ne!(permutation(1000, 3, 0), permutation(1000, 4, 0));
        // Every place takes every sample about as often as any other.
        let first: Vec<u32> = (0..3000).map(|epoch| permutation(3, 9, epoch)[0]).collect();
        for s in 0..3 {
            let count = first.iter().filter(|&&f| f == s).count();
            assert!((900..1100).contains(&count), "{count}");
        }
    }
}
