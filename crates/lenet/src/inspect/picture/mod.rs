//! Pictures of networks: a [`Scene`] of shapes, texts and pixels, written as PNG or SVG.

mod colour;
mod network;
mod ood;
mod png;
mod scene;
mod svg;
mod table;
mod views;

pub use colour::ColourMap;
pub use network::network;
pub use ood::ood;
pub use scene::{Rgb, Scene};
pub use views::{Input, Occlusion, activations, filter_grid, filters, means, saliency};
