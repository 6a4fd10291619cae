//! What cores are planned from.

use super::core::{Core, Place, Plain};
use crate::kernel::Path;
use crate::kernel::plan::frame::Frame;
use crate::spec::LayerInfo;

/// What planning counts from stage to stage.
pub(crate) struct Planner {
    pub path: Path,
    /// Whether some layer of the network [compares values](super::compares).
    pub compares: bool,
    /// Floats of the gradient that each chunk computes by itself.
    pub own_len: usize,
    /// Stages whose weights' gradients are summed from rows.
    pub row_sums: usize,
    pub norms: usize,
}

/// A stage to be planned.
pub(crate) struct Ask<'a> {
    pub layer: &'a LayerInfo,
    /// Layouts of the value that it takes, of the one that it gives, and of that one's gradient.
    pub x: Frame,
    pub y: Frame,
    pub dy: Frame,
    /// Shape of the z of a core.
    pub z: [usize; 3],
    /// Rows of z behind each row of the value.
    pub rows: usize,
    /// Whether something before learns.
    pub needed: bool,
}

/// A planned stage.
pub(crate) enum Made {
    /// With the layout of its z.
    Core(Box<dyn Core>, Frame),
    Plain(Box<dyn Plain>),
}

impl Planner {
    /// Places of a layer's parameters; each chunk computes the gradient of biases, and with `own_weights` floats
    /// that of the weights.
    pub fn place(&mut self, layer: &LayerInfo, own_weights: Option<usize>) -> Place {
        let mut own = |len: usize| {
            self.own_len += len;
            self.own_len - len..self.own_len
        };
        let place = Place::of(layer);
        let own_weight = own_weights.map(&mut own);
        let own_bias = place.bias.as_ref().map(|b| own(b.len()));
        Place { own_weight, own_bias, ..place }
    }
}
