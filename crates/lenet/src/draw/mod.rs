//! Drawing: a [`Scene`] of shapes, texts and pixels, written as PNG or SVG. It knows nothing of networks.

mod colour;
mod error;
mod grid;
mod png;
mod scene;
mod svg;

pub use colour::ColourMap;
pub(crate) use colour::Scale;
pub use error::DrawError;
pub(crate) use grid::filter_grid;
pub(crate) use scene::{
    ACCENT, Anchor, BAD, FAINT, GOOD, INK, LARGE, NORMAL, RULE, SMALL, Towards, fitted, text_width,
};
pub use scene::{Rgb, Scene};
