//! Losses and hits, summed and kept on the device until they are read.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use lenet::engine::CHUNK;
use lenet::engine::{Batch, Score, TrainStep};
use lenet::kernel::op::loss::Labels;
use std::time::{Duration, Instant};

/// What a batch's samples ought to be: targets `[n, classes]` and classes `[n, 1]`.
pub(crate) struct Wanted {
    targets: Tensor<2>,
    classes: Tensor<2>,
}

impl Wanted {
    /// One class a sample, or what a step of training makes of it.
    pub fn new(batch: &Batch, how: Option<&TrainStep>, outputs: usize, device: &Device) -> Self {
        let n = batch.indices.len();
        let mut targets = vec![0.0f32; n * outputs];
        let mut classes = vec![0.0f32; n];
        let plain = TrainStep::default();
        let how = how.unwrap_or(&plain);
        let samples =
            batch.indices.chunks(CHUNK).flat_map(|chunk| how.labels(batch, chunk).into_iter().take(chunk.len()));
        for ((row, class), sample) in targets.chunks_exact_mut(outputs).zip(&mut classes).zip(samples) {
            *class = f32::from(sample.label);
            fill(row, &sample, how);
        }
        let tensor =
            |values: Vec<f32>, columns: usize| Tensor::from_data(TensorData::new(values, [n, columns]), device);
        Wanted { targets: tensor(targets, outputs), classes: tensor(classes, 1) }
    }

    /// Sum of the samples' cross-entropies, `[1]`; gradients go through it.
    pub fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        (log_softmax(logits, 1) * self.targets.clone()).sum().neg()
    }

    /// Number of samples whose first largest logit is that of their class, `[1]`.
    pub fn hits(&self, logits: Tensor<2>) -> Tensor<1> {
        let [_, classes] = logits.dims();
        let places = Tensor::<1, Int>::arange(0..classes as i64, &logits.device()).float();
        let largest = logits.clone().max_dim(1).expand(logits.dims());
        let others = logits.lower(largest);
        let first = places.unsqueeze::<2>().expand(others.dims()).mask_fill(others, classes as f32).min_dim(1);
        first.equal(self.classes.clone()).float().sum()
    }
}

/// The targets of a sample, as [`lenet::kernel::op::loss::Targets`] says.
fn fill(row: &mut [f32], sample: &Labels, how: &TrainStep) {
    let (smoothing, share) = (f64::from(how.targets.smoothing), f64::from(sample.share));
    let base = smoothing / row.len() as f64;
    for (c, out) in row.iter_mut().enumerate() {
        let part = |label: u16, share: f64| if c == usize::from(label) { share } else { 0.0 };
        let mixture = part(sample.label, share) + part(sample.other, 1.0 - share);
        let weight = how.targets.weights.get(c).map_or(1.0, |&w| f64::from(w));
        *out = (weight * ((1.0 - smoothing) * mixture + base)) as f32;
    }
}

/// Steps that the device keeps before they have to be read.
const ROOM: usize = 256;

/// Time between two looks at the device: each makes it wait.
const PERIOD: Duration = Duration::from_secs(1);

/// The steps that have not been read: of each the loss, the hits, and whether all was finite up to it.
pub(crate) struct Tally {
    rows: Tensor<2>,
    /// Of each step, its samples and what makes its loss the one that is told.
    steps: Vec<(usize, f64)>,
    /// When it was read, since it was last settled.
    read: Option<Instant>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Told {
    /// The score of the steps that were read.
    Score(Score),
    /// A step was not finite: whether its loss was.
    Diverged { finite_loss: bool },
}

impl Tally {
    pub fn new(device: &Device) -> Self {
        Tally { rows: Tensor::zeros([ROOM, 3], device), steps: Vec::new(), read: None }
    }

    /// Adds a step: tensors `[1]`.
    pub fn add(&mut self, loss: Tensor<1>, hits: Tensor<1>, alive: Tensor<1, Bool>, samples: usize, factor: f64) {
        let at = self.steps.len();
        let row = Tensor::cat(vec![loss, hits, alive.float()], 0).unsqueeze::<2>();
        self.rows.inplace(|rows| rows.slice_assign([at..at + 1, 0..3], row));
        self.steps.push((samples, factor));
    }

    /// Whether it is time to read: the first step since all was settled, long ago, or no room.
    pub fn is_due(&self) -> bool {
        self.steps.len() == ROOM || self.read.is_none_or(|at| at.elapsed() >= PERIOD)
    }

    /// Whether steps wait to be read.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The next step is the first again.
    pub fn settled(&mut self) {
        self.read = None;
    }

    /// Waits for the steps, and forgets them.
    ///
    /// # Errors
    /// What the device says.
    pub fn read(&mut self) -> Result<Told, String> {
        let steps = std::mem::take(&mut self.steps);
        let rows = self.rows.clone().narrow(0, 0, steps.len().max(1));
        let rows: Vec<f32> = rows.try_into_vec_as().map_err(|e| e.to_string())?;
        self.read = Some(Instant::now());
        let mut score = Score::default();
        for ((samples, factor), [loss, hits, alive]) in steps.into_iter().zip(rows.as_chunks::<3>().0) {
            if *alive == 0.0 || !loss.is_finite() {
                return Ok(Told::Diverged { finite_loss: loss.is_finite() });
            }
            score += Score { loss: f64::from(*loss) * factor, correct: *hits as usize, samples };
        }
        Ok(Told::Score(score))
    }
}
