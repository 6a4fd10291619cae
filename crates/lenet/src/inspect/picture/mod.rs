//! Pictures of what is inside a network.

mod network;
mod ood;
mod table;
mod views;

pub use network::network;
pub use ood::ood;
pub use views::{Input, Occlusion, activations, filters, means, saliency};
