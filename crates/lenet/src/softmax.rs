//! Probabilities and classes from logits.

/// The softmax of one sample's logits, in f64, largest logit subtracted first; it sums to 1.
pub fn softmax(logits: &[f32]) -> impl Iterator<Item = f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exp = move |z: &f32| libm::exp(f64::from(*z) - largest);
    let sum: f64 = logits.iter().map(exp).sum();
    logits.iter().map(move |z| exp(z) / sum)
}

/// The position of the largest value, the first of equals: a sample's class. 0 if there is none.
pub fn argmax(values: &[f32]) -> usize {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|&v| v == largest).unwrap_or(0)
}
