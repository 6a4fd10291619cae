//! Metrics against those that scikit-learn computes from the same logits (`fixtures/metrics.json`: random logits of five
//! classes, one of which never occurs and one of which is never predicted).

use crate::kit::numbers;
use lenet::metrics::{MetricsError, Predictions};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap()
}

fn predictions(fixture: &Value) -> Predictions {
    let labels = numbers(&fixture["labels"]).iter().map(|&l| l as u16).collect();
    let logits: Vec<f32> = numbers(&fixture["logits"]).iter().map(|&z| z as f32).collect();
    Predictions::from_logits(5, labels, &logits).unwrap()
}

#[track_caller]
fn assert_close(got: impl IntoIterator<Item = f64>, want: &Value, tolerance: f64) {
    let got: Vec<f64> = got.into_iter().collect();
    let want = numbers(want);
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= tolerance), "{got:?} is not {want:?}");
}

#[test]
fn confusion_precision_recall_and_f1_are_scikit_learns() {
    let fixture = fixture();
    let confusion = predictions(&fixture).confusion();
    assert_close(confusion.counts.iter().map(|&c| c as f64), &fixture["confusion"], 0.0);
    let classes = confusion.per_class();
    assert_close(classes.iter().map(|c| c.precision), &fixture["precision"], 1e-15);
    assert_close(classes.iter().map(|c| c.recall), &fixture["recall"], 1e-15);
    assert_close(classes.iter().map(|c| c.f1), &fixture["f1"], 1e-15);
    assert_close(classes.iter().map(|c| c.support as f64), &fixture["support"], 0.0);
    let average = confusion.macro_average();
    assert_close([average.precision, average.recall, average.f1], &fixture["macro"], 1e-15);
}

#[test]
fn calibration_and_loss_are_scikit_learns() {
    let fixture = fixture();
    let predictions = predictions(&fixture);
    let calibration = predictions.calibration(fixture["bins"].as_u64().unwrap() as usize);
    assert_close(calibration.bins.iter().map(|b| b.count as f64), &fixture["bin_counts"], 0.0);
    // Its curve leaves empty bins out.
    let full = || calibration.bins.iter().filter(|b| b.count > 0);
    assert_close(full().map(|b| b.accuracy), &fixture["bin_accuracy"], 1e-15);
    // Probabilities are kept as f32.
    assert_close(full().map(|b| b.confidence), &fixture["bin_confidence"], 1e-7);
    assert!((calibration.expected_error() - fixture["ece"].as_f64().unwrap()).abs() < 1e-7);
    assert!((calibration.maximum_error() - fixture["mce"].as_f64().unwrap()).abs() < 1e-7);
    assert!((predictions.log_loss() - fixture["log_loss"].as_f64().unwrap()).abs() < 1e-6);
}

#[test]
fn the_most_confused_come_first_and_equals_by_class() {
    // True classes 0, 0, 0, 1, 2, 2; predicted 1, 1, 0, 0, 2, 1.
    let one = |class: usize| (0..3).map(move |c| if c == class { 1.0 } else { 0.0 });
    let logits: Vec<f32> = [1, 1, 0, 0, 2, 1].into_iter().flat_map(one).collect();
    let confusion = Predictions::from_logits(3, vec![0, 0, 0, 1, 2, 2], &logits).unwrap().confusion();
    let pairs: Vec<_> = confusion.most_confused().iter().map(|c| (c.actual, c.predicted, c.count)).collect();
    assert_eq!(pairs, [(0, 1, 2), (1, 0, 1), (2, 1, 1)]);
    assert_eq!(confusion.accuracy(), 2.0 / 6.0);
    assert_eq!(confusion.rate(0, 1), 2.0 / 3.0);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let of = |labels: &[u16], logits: &[f32]| Predictions::from_logits(2, labels.to_vec(), logits).unwrap_err();
    assert!(matches!(of(&[0, 1], &[0.0; 3]), MetricsError::Shape { logits: 3, samples: 2, classes: 2 }));
    assert!(matches!(of(&[2], &[0.0; 2]), MetricsError::Label { label: 2, classes: 2 }));
    assert!(matches!(of(&[0, 1], &[0.0, 0.0, 0.0, f32::NAN]), MetricsError::NotFinite { sample: 1 }));
    // Large logits overflow nothing.
    let sure = Predictions::from_logits(2, vec![0], &[3e38, -3e38]).unwrap();
    assert_eq!((sure.top(0), sure.log_loss()), ((0, 1.0), 0.0));
}
