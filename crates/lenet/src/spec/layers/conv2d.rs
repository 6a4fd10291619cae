//! Convolution.

use super::fit::{At, LIMIT, Misfit, PADDINGS, Placed, SIZES, SpecError, WINDOWS, pair, setting};
use super::{Geometry, Pair};
use crate::spec::keyed::keyed;
use crate::spec::shape::Shape;

keyed! {
    /// A 2-d convolution (cross-correlation, as PyTorch's `Conv2d`). Pairs are (rows, columns).
    #[derive(Eq)]
    pub struct Conv2d {
        /// Number of output channels.
        pub channels: usize = 1, Whole(SIZES).needed();
        /// Rows and columns of the window.
        pub window: [usize; 2] = [1, 1], Sides(WINDOWS).needed();
        /// Rows and columns from one window to the next.
        pub stride: [usize; 2] = [1, 1], Sides(WINDOWS);
        /// Rows and columns of zeros on each side.
        pub padding: [usize; 2] = [0, 0], Sides(PADDINGS);
        /// Rows and columns of the input from one of the window's to the next; with 1, the window has no gaps.
        pub dilation: [usize; 2] = [1, 1], Sides(WINDOWS).quiet();
        /// Number of groups of channels that are convolved apart; with one for each input channel, the convolution is
        /// depthwise.
        pub groups: usize = 1, Whole(SIZES).quiet();
        /// The input channels that each output channel sees, a list for each; without, it sees all. In recipes
        /// `"lenet5"` stands for the table of LeNet-5.
        pub connections: Option<Vec<Vec<usize>>> = None, Connections.quiet();
        /// Whether a learnt bias is added to each output channel.
        pub bias: bool = true, Flag;
    }
}

impl Conv2d {
    /// So many output channels by this window: with stride 1, without padding, with a bias.
    pub fn new(channels: usize, window: impl Into<Pair>) -> Self {
        Conv2d { channels, window: window.into().into(), ..Conv2d::default() }
    }

    /// Moves the window by this step.
    pub fn stride(self, stride: impl Into<Pair>) -> Self {
        Conv2d { stride: stride.into().into(), ..self }
    }

    /// Adds zeros on each side.
    pub fn padding(self, padding: impl Into<Pair>) -> Self {
        Conv2d { padding: padding.into().into(), ..self }
    }

    /// Spreads the window: from one of its rows and columns to the next are so many of the input.
    pub fn dilation(self, dilation: impl Into<Pair>) -> Self {
        Conv2d { dilation: dilation.into().into(), ..self }
    }

    /// Convolves so many groups of channels apart.
    pub fn groups(self, groups: usize) -> Self {
        Conv2d { groups, ..self }
    }

    /// Lets each output channel see only these input channels.
    pub fn connections(self, connections: Vec<Vec<usize>>) -> Self {
        Conv2d { connections: Some(connections), ..self }
    }

    /// With a bias, or without.
    pub fn bias(self, bias: bool) -> Self {
        Conv2d { bias, ..self }
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let [ic, ih, iw] = at.image()?;
        at.positive("channels", self.channels)?;
        let (oc, groups) = (self.channels, self.groups);
        let (dilation, [kh, kw]) = (self.dilation, self.window);
        let [oh, ow] = at.slide([ih, iw], at.spread(self.window, dilation)?, self.stride, self.padding)?;
        at.positive("groups", groups)?;
        if !ic.is_multiple_of(groups) || !oc.is_multiple_of(groups) {
            return Err(at.misfit(Misfit::Groups { groups, inputs: ic, outputs: oc }));
        }
        at.limited("weights", &[oc, ic / groups, kh, kw], LIMIT)?;
        at.limited("output", &[oc, oh, ow], LIMIT)?;
        let (stride, padding) = (self.stride, self.padding);
        let s = ConvShape { ic, ih, iw, oc, oh, ow, kh, kw, stride, padding, dilation, groups };
        let grouped = if groups > 1 { format!("groups {groups}") } else { String::new() };
        let sparse = if self.connections.is_some() { "sparse" } else { "" };
        let plain = Placed::new(Geometry::Conv2d(s), Shape::Image([oc, oh, ow]))
            .said([pair(self.window), setting("stride", stride, [1, 1]), setting("padding", padding, [0, 0])])
            .said([setting("dilation", dilation, [1, 1]), grouped])
            .said([sparse, if self.bias { "" } else { "no bias" }].map(String::from));
        Ok(Placed {
            weight: vec![oc, s.group_inputs(), kh, kw],
            mask: self.mask(at, &s)?,
            bias: self.bias,
            fan_in: s.taps(),
            fan_out: oc * kh * kw / groups,
            uses: oh * ow,
            ..plain
        })
    }

    /// Which weights the connections leave in.
    fn mask(&self, at: &At, s: &ConvShape) -> Result<Option<Vec<bool>>, SpecError> {
        let Some(maps) = &self.connections else { return Ok(None) };
        if maps.len() != s.oc || s.groups != 1 {
            return Err(at.misfit(Misfit::Connections { lists: maps.len(), outputs: s.oc, groups: s.groups }));
        }
        if let Some(&channel) = maps.iter().flatten().find(|&&c| c >= s.ic) {
            return Err(at.misfit(Misfit::NoChannel { channel, inputs: s.ic }));
        }
        if maps.iter().any(Vec::is_empty) {
            return Err(at.misfit(Misfit::Unconnected));
        }
        // Each channel is filled in once, even if it is named a thousand times.
        let window = s.kh * s.kw;
        let mut mask = vec![false; s.oc * s.ic * window];
        for (map, kept) in maps.iter().zip(mask.chunks_mut(s.ic * window)) {
            for c in map {
                let taps = &mut kept[c * window..(c + 1) * window];
                if !taps[0] {
                    taps.fill(true);
                }
            }
        }
        Ok(Some(mask))
    }
}

/// Geometry of a convolution: x is `[ic, ih, iw]`, w is `[oc, ic / groups, kh, kw]`, y is `[oc, oh, ow]`. Rows and columns
/// of the window are `dilation` rows and columns of x apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ConvShape {
    pub ic: usize,
    pub ih: usize,
    pub iw: usize,
    pub oc: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl ConvShape {
    /// Input channels that each output channel sees.
    pub fn group_inputs(&self) -> usize {
        self.ic / self.groups
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.oc / self.groups
    }

    /// Weights of one output channel.
    pub fn taps(&self) -> usize {
        self.group_inputs() * self.kh * self.kw
    }
}

/// Which input channels each of the 16 maps of LeNet-5's second convolution sees (LeCun, Bottou, Bengio, Haffner:
/// Gradient-Based Learning Applied to Document Recognition; Proc. IEEE 86, 1998; table I).
pub fn lenet5_connections() -> Vec<Vec<usize>> {
    let ring = |start: usize, picks: &[usize]| {
        let mut maps: Vec<usize> = picks.iter().map(|p| (start + p) % 6).collect();
        maps.sort_unstable();
        maps
    };
    let three = (0..6).map(|i| ring(i, &[0, 1, 2]));
    let four = (0..6).map(|i| ring(i, &[0, 1, 2, 3]));
    let apart = (0..3).map(|i| ring(i, &[0, 1, 3, 4]));
    three.chain(four).chain(apart).chain([(0..6).collect()]).collect()
}
