//! A stage of a program.
//!
//! A stage is a *core* that makes pre-activations z from a value (or two), then, where they follow, a normalisation,
//! an activation and a pooling, which make the next value. Some layers are stages of their own kind.

use super::flow::Gradient;
use crate::engine::cpu::cores::{Core, Norm, Place, Plain};
use crate::kernel::CHUNK;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::norm::NormEpilogue;
use crate::kernel::plan::frame::Frame;

/// What a stage does.
pub(crate) enum Work {
    Core { core: Box<dyn Core>, norm: Option<Norm>, epilogue: Epilogue },
    Plain(Box<dyn Plain>),
}

/// A stage takes a value and gives the one with its own number plus 1.
pub(crate) struct Stage {
    pub source: usize,
    /// The second value of a sum.
    pub other: Option<usize>,
    pub work: Work,
    /// The layout of the value it gives.
    pub y: Frame,
    /// Where the gradient of the source goes; `None` where nothing before learns.
    pub dx: Option<Gradient>,
    /// The sum that normalises the stage's z on its way, so that the stage's own value is never written.
    pub summed_by: Option<usize>,
}

impl Stage {
    pub fn core(&self) -> Option<&dyn Core> {
        match &self.work {
            Work::Core { core, .. } => Some(&**core),
            Work::Plain(_) => None,
        }
    }

    pub fn norm(&self) -> Option<&Norm> {
        match &self.work {
            Work::Core { norm, .. } => norm.as_ref(),
            Work::Plain(_) => None,
        }
    }

    pub fn epilogue(&self) -> Option<&Epilogue> {
        match &self.work {
            Work::Core { epilogue, .. } => Some(epilogue),
            Work::Plain(_) => None,
        }
    }

    /// The normalisation with what follows it.
    pub fn normalised(&self) -> Option<(&Norm, &Epilogue)> {
        self.norm().zip(self.epilogue())
    }

    /// The same where a sum does it on its way.
    pub fn summed(&self) -> Option<(&Norm, &Epilogue)> {
        self.normalised().filter(|_| self.summed_by.is_some())
    }

    /// All places of parameters, in slab order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.core().and_then(Core::place).into_iter().chain(self.norm().map(|n| &n.place))
    }

    /// The values it takes.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        [Some(self.source), self.other].into_iter().flatten()
    }

    /// Whether the stage waits for the statistics of the whole batch.
    pub fn waits(&self) -> bool {
        self.norm().is_some_and(|norm| norm.batch().is_some())
    }

    /// Floats of its z.
    pub fn z_len(&self) -> usize {
        self.epilogue().map_or(0, |e| e.z.len())
    }

    /// Floats of the sums of its normalisation's channels: of each two, with the lanes apart.
    pub fn norm_len(&self) -> usize {
        self.normalised().map_or(0, |(_, e)| 2 * e.z.channels * CHUNK)
    }

    /// Floats that its sums need with the lanes apart.
    pub fn lanes_len(&self) -> usize {
        self.norm_len().max(self.core().map_or(0, Core::lanes_len))
    }

    /// Floats that training keeps for the way back: places of maxima, or their z behind a normalisation.
    pub fn kept_len(&self) -> usize {
        match &self.work {
            Work::Core { norm: Some(_), epilogue, .. } => NormEpilogue::picked_len(epilogue),
            Work::Core { norm: None, .. } => 0,
            Work::Plain(plain) => plain.kept_len(),
        }
    }
}
