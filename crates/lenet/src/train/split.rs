//! The validation split.

use crate::random::{Purpose, Stream};

/// Splits the samples with these labels into those for training and those for validation, each in ascending order: of
/// each class the rounded share `fraction`, drawn by the seed.
pub fn split(labels: &[u16], fraction: f32, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let classes = labels.iter().max().map_or(0, |&l| usize::from(l) + 1);
    let mut members = vec![Vec::new(); if fraction > 0.0 { classes } else { 0 }];
    let mut is_validation = vec![false; labels.len()];
    for (i, &label) in labels.iter().enumerate() {
        if let Some(class) = members.get_mut(usize::from(label)) {
            class.push(i);
        }
    }
    for (class, mut members) in members.into_iter().enumerate() {
        let mut stream = Stream::new(seed, Purpose::Split, 0, class as u32);
        let wanted = (f64::from(fraction) * members.len() as f64).round() as usize;
        let wanted = wanted.min(members.len());
        // The first places of Fisher and Yates's permutation.
        for i in 0..wanted {
            let other = i + stream.below((members.len() - i) as u32) as usize;
            members.swap(i, other);
            is_validation[members[i]] = true;
        }
    }
    (0..labels.len() as u32).partition(|&i| !is_validation[i as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_gives_its_share_and_the_seed_decides_which() {
        let labels: Vec<u16> = (0..1000).map(|i| if i % 10 == 0 { 1 } else { 0 }).collect();
        let (train, val) = split(&labels, 0.25, 3);
        assert_eq!((train.len(), val.len()), (750, 250));
        assert_eq!(val.iter().filter(|&&i| labels[i as usize] == 1).count(), 25);
        let mut all = [train.clone(), val.clone()].concat();
        all.sort_unstable();
        assert!(all.iter().enumerate().all(|(i, &a)| i as u32 == a));
        assert_eq!(split(&labels, 0.25, 3), (train, val.clone()));
        assert_ne!(split(&labels, 0.25, 4).1, val);
        assert_eq!(split(&labels, 0.0, 3).0.len(), 1000);
        assert_eq!(split(&labels, 1.5, 3).1.len(), 1000);
        assert_eq!([f32::NAN, -1.0].map(|share| split(&labels, share, 3).1.len()), [0, 0]);
    }
}
