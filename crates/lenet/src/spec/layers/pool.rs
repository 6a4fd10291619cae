//! Pooling.

use super::fit::{At, LIMIT, Misfit, PADDINGS, Placed, SpecError, WINDOWS, pair, setting};
use super::{Geometry, Pair};
use crate::spec::keyed::keyed;
use crate::spec::shape::{Role, Shape};

keyed! {
    /// A 2-d pooling window. Pairs are (rows, columns).
    #[derive(Eq)]
    pub struct Pool {
        /// Rows and columns of the window.
        pub window: [usize; 2] = [1, 1], Sides(WINDOWS).needed();
        /// Rows and columns from one window to the next; in recipes those of the window, if left out.
        pub stride: [usize; 2] = [1, 1], Sides(WINDOWS).like("window");
        /// Rows and columns added on each side, at most half of the window: zeros that count for an average, minus
        /// infinity for a maximum.
        pub padding: [usize; 2] = [0, 0], Sides(PADDINGS);
    }
}

impl Pool {
    /// Windows that lie side by side, without padding.
    pub fn new(window: impl Into<Pair>) -> Self {
        let window = window.into().into();
        Pool { window, stride: window, padding: [0, 0] }
    }

    /// Moves the window by this step.
    pub fn stride(self, stride: impl Into<Pair>) -> Self {
        Pool { stride: stride.into().into(), ..self }
    }

    /// Adds padding on each side, at most half of the window.
    pub fn padding(self, padding: impl Into<Pair>) -> Self {
        Pool { padding: padding.into().into(), ..self }
    }

    /// A pooling without parameters.
    pub(super) fn fit(&self, at: &At, geometry: fn(PoolShape) -> Geometry) -> Result<Placed, SpecError> {
        let s = self.shape(at)?;
        let window = [s.kh, s.kw];
        let words = [pair(window), setting("stride", s.stride, window), setting("padding", s.padding, [0, 0])];
        Ok(Placed::new(geometry(s), Shape::Image([s.c, s.oh, s.ow])).said(words))
    }

    pub(super) fn fit_subsample(&self, at: &At) -> Result<Placed, SpecError> {
        let s = self.shape(at)?;
        let (weight, role, fan_in) = (vec![s.c], Role::Scale, s.kh * s.kw);
        let plain = self.fit(at, Geometry::Subsample)?;
        Ok(Placed { weight, role, bias: true, fan_in, fan_out: 1, uses: s.oh * s.ow, ..plain })
    }

    fn shape(&self, at: &At) -> Result<PoolShape, SpecError> {
        let ([c, ih, iw], Pool { window, stride, padding }) = (at.image()?, self.clone());
        let [oh, ow] = at.slide([ih, iw], window, stride, padding)?;
        if padding[0] * 2 > window[0] || padding[1] * 2 > window[1] {
            return Err(at.misfit(Misfit::Padding { padding, window }));
        }
        at.limited("output", &[c, oh, ow], LIMIT)?;
        Ok(PoolShape { c, ih, iw, oh, ow, kh: window[0], kw: window[1], stride, padding })
    }
}

/// Geometry of a pooling: x is `[c, ih, iw]`, y is `[c, oh, ow]`, the window `[kh, kw]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PoolShape {
    pub c: usize,
    pub ih: usize,
    pub iw: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}
