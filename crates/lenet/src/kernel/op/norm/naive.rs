//! The naive reference in f64, one channel of a whole batch.

/// Mean and biased variance.
pub fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
}

/// `weight · (x - mean) / √(variance + eps) + bias`
pub fn forward(x: &[f64], (mean, variance): (f64, f64), eps: f64, weight: f64, bias: f64) -> Vec<f64> {
    x.iter().map(|x| weight * (x - mean) / (variance + eps).sqrt() + bias).collect()
}

/// dx, and the gradients of weight and bias, where mean and variance are those of x itself.
pub fn backward(x: &[f64], dy: &[f64], eps: f64, weight: f64) -> (Vec<f64>, f64, f64) {
    let (n, (mean, variance)) = (x.len() as f64, moments(x));
    let inverse = 1.0 / (variance + eps).sqrt();
    let normal: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
    let db = dy.iter().sum::<f64>();
    let dw = dy.iter().zip(&normal).map(|(d, x)| d * x).sum::<f64>();
    let dx = dy.iter().zip(&normal).map(|(d, x)| weight * inverse * (d - db / n - x * dw / n)).collect();
    (dx, dw, db)
}

/// The same where mean and variance are given and depend on nothing.
pub fn backward_running(
    x: &[f64],
    dy: &[f64],
    (mean, variance): (f64, f64),
    eps: f64,
    weight: f64,
) -> (Vec<f64>, f64, f64) {
    let inverse = 1.0 / (variance + eps).sqrt();
    let dw = dy.iter().zip(x).map(|(d, x)| d * (x - mean) * inverse).sum();
    (dy.iter().map(|d| d * weight * inverse).collect(), dw, dy.iter().sum())
}
