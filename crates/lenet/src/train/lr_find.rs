//! The learning-rate range test (Smith: Cyclical Learning Rates for Training Neural Networks; WACV 2017): one step each
//! with rates that rise exponentially, until the loss leaves for good.

use super::error::TrainError;
use super::images::{Images, check};
use crate::data::Dataset;
use crate::engine::{Engine, EngineError, TrainStep, Update, initialize};
use crate::spec::Recipe;
use std::fmt::Write;

/// How far the test goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrRange {
    /// First learning rate.
    pub from: f32,
    /// Last learning rate.
    pub to: f32,
    /// Steps between them.
    pub steps: usize,
}

impl Default for LrRange {
    fn default() -> Self {
        LrRange { from: 1e-5, to: 10.0, steps: 200 }
    }
}

/// One step of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrPoint {
    /// Learning rate of the step.
    pub lr: f32,
    /// Mean loss of its batch, before the step.
    pub loss: f64,
    /// Moving average of the losses so far, corrected for its start.
    pub smoothed: f64,
}

/// What the test found.
#[derive(Clone, Debug, PartialEq)]
pub struct LrCurve {
    /// The steps that were made.
    pub points: Vec<LrPoint>,
    /// A rate to train with: where the loss falls fastest over the logarithm of the rate. `None` if it never fell.
    pub suggestion: Option<f32>,
    /// Whether the loss left before the last rate.
    pub diverged: bool,
}

/// Weight of the past in the moving average.
const PAST: f64 = 0.85;

/// The loss has left when its average is so many times the smallest one, or, having fallen, is back at the first one: a
/// network whose units have all died does not do worse than guessing.
const LEFT: f64 = 4.0;
const FALLEN: f64 = 0.95;

/// Runs the test with the recipe's optimizer, batches and augmentation; the engine's parameters are new ones first, and
/// are of no use afterwards.
///
/// # Errors
/// A recipe that [`Recipe::check`] refuses, a range that is none, data without images or that do not fit the engine's
/// network.
pub fn lr_find(
    recipe: &Recipe,
    train: &Dataset,
    engine: &mut dyn Engine,
    range: LrRange,
    on_step: &mut dyn FnMut(&LrPoint),
) -> Result<LrCurve, TrainError> {
    let LrRange { from, to, steps } = range;
    if !(from > 0.0 && from < to && to.is_finite() && steps >= 10) {
        return Err(TrainError::LrRange { from, to, steps });
    }
    let seed = recipe.train.seed;
    check(recipe, train)?;
    let images = Images::new(recipe, train);
    if images.train.is_empty() {
        return Err(TrainError::NoImages { train: 0, test: 0 });
    }
    engine.set_parameters(&initialize(engine.network(), &recipe.train))?;
    let (mut order, mut epoch, mut at) = (images.order(seed, 0), 0, 0);
    let n = order.len();
    let mut curve = LrCurve { points: Vec::new(), suggestion: None, diverged: false };
    let (mut average, mut least) = (0.0, f64::INFINITY);
    for step in 0..steps {
        if at >= n {
            (epoch, at) = (epoch + 1, 0);
            order = images.order(seed, epoch);
        }
        let indices = &order[at..(at + recipe.train.batch).min(n)];
        at += indices.len();
        let part = step as f64 / (steps - 1) as f64;
        let lr = (f64::from(from) * libm::pow(f64::from(to) / f64::from(from), part)) as f32;
        let how = TrainStep::of(recipe, epoch, &images.weights);
        let update = Update { optimizer: recipe.train.optimizer, lr, scale: 1.0, step: step as u64 + 1 };
        let done = engine.step(&images.batch(indices), &how, update).and_then(|mut score| {
            score += engine.settle(None)?;
            Ok(score)
        });
        let loss = match done {
            Ok(score) => score.mean_loss(),
            Err(EngineError::NotFinite { .. }) => {
                curve.diverged = true;
                break;
            }
            Err(error) => return Err(error.into()),
        };
        average = PAST * average + (1.0 - PAST) * loss;
        let smoothed = average / (1.0 - libm::pow(PAST, step as f64 + 1.0));
        let point = LrPoint { lr, loss, smoothed };
        on_step(&point);
        curve.points.push(point);
        least = least.min(smoothed);
        let first = curve.points[0].smoothed;
        let is_back = least < FALLEN * first && smoothed > 0.99 * first;
        if step > 10 && (smoothed > LEFT * least || is_back) {
            curve.diverged = true;
            break;
        }
    }
    curve.suggestion = steepest(&curve.points);
    Ok(curve)
}

/// The rate at which the smoothed loss falls fastest, over windows of several steps.
fn steepest(points: &[LrPoint]) -> Option<f32> {
    const WINDOW: usize = 8;
    let fall = |w: &&[LrPoint]| w[0].smoothed - w[w.len() - 1].smoothed;
    // The first steps show the start of the average rather than the loss.
    let windows = points.get(WINDOW..)?.windows(WINDOW);
    let best = windows.max_by(|a, b| fall(a).total_cmp(&fall(b)))?;
    Some(best[WINDOW / 2].lr).filter(|_| fall(&best) > 0.0)
}

impl LrCurve {
    /// The steps as CSV: `lr,loss,smoothed`.
    pub fn to_csv(&self) -> String {
        let lines = self.points.iter().map(|p| format!("{},{},{}\n", p.lr, p.loss, p.smoothed));
        std::iter::once("lr,loss,smoothed\n".to_string()).chain(lines).collect()
    }

    /// The steps as a picture: losses over the logarithm of the rate, the average as a line, the suggestion marked.
    pub fn to_svg(&self) -> String {
        const SIZE: [f64; 2] = [760.0, 420.0];
        const MARGIN: [f64; 2] = [64.0, 48.0];
        let rates = || self.points.iter().map(|p| f64::from(p.lr).log10());
        let (left, right) = (rates().fold(f64::INFINITY, f64::min), rates().fold(f64::NEG_INFINITY, f64::max));
        let top = self.points.iter().map(|p| p.smoothed).fold(0.0, f64::max) * 1.1 + 1e-9;
        let x = |lr: f64| MARGIN[0] + (lr - left) / (right - left).max(1e-9) * (SIZE[0] - MARGIN[0] - 20.0);
        let y = |loss: f64| SIZE[1] - MARGIN[1] - (loss / top).clamp(0.0, 1.0) * (SIZE[1] - MARGIN[1] - 36.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{}\" y=\"22\" font-size=\"15\">Learning-rate range test</text>\n",
            SIZE[0], SIZE[1], MARGIN[0]
        );
        let mut line = |x1: f64, y1: f64, x2: f64, y2: f64, style: &str| {
            // Writing to a String does not fail.
            let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>");
        };
        line(MARGIN[0], y(0.0), SIZE[0] - 20.0, y(0.0), "stroke=\"black\"");
        line(MARGIN[0], y(0.0), MARGIN[0], y(top), "stroke=\"black\"");
        if let Some(lr) = self.suggestion {
            let at = x(f64::from(lr).log10());
            line(at, y(0.0), at, y(top), "stroke=\"#c0392b\" stroke-dasharray=\"5 4\"");
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"48\" fill=\"#c0392b\">{lr:.2e}</text>", at + 6.0);
        }
        for power in left.ceil() as i32..=right.floor() as i32 {
            let at = x(f64::from(power));
            let _ =
                writeln!(svg, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1e{power}</text>", y(0.0) + 18.0);
        }
        for i in 0..=4 {
            let loss = top * f64::from(i) / 4.0;
            let (at, edge) = (y(loss) + 4.0, MARGIN[0] - 8.0);
            let _ = writeln!(svg, "<text x=\"{edge}\" y=\"{at:.1}\" text-anchor=\"end\">{loss:.2}</text>");
        }
        for p in &self.points {
            let (x, y) = (x(f64::from(p.lr).log10()), y(p.loss));
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\" fill=\"#9bb8d3\"/>");
        }
        let path: Vec<String> =
            self.points.iter().map(|p| format!("{:.1},{:.1}", x(f64::from(p.lr).log10()), y(p.smoothed))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5f99\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        let (middle, bottom) = (SIZE[0] / 2.0, SIZE[1] - 8.0);
        let _ =
            writeln!(svg, "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\">learning rate</text>\n</svg>");
        svg
    }
}
