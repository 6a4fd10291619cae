//! Filters as one small picture.

use super::colour::Scale;
use super::scene::Scene;

/// The filters `[outputs, c, h, w]` of a layer, small and without words: beside one another in rows, one row a channel if
/// there are several; all on one scale.
pub(crate) fn filter_grid(layer: &str, [outputs, c, h, w]: [usize; 4], weights: &[f32]) -> Scene {
    const BETWEEN: f64 = 1.0;
    let scale = Scale::symmetric(weights.iter());
    // Whole pixels a weight, of which a unit has two.
    let unit = 0.5 * (24 / w.max(h)).max(1) as f64;
    let columns = if c == 1 { outputs.min(8) } else { outputs };
    let [width, height] = [w, h].map(|n| n as f64 * unit + BETWEEN);
    let mut scene = Scene::new(&format!("Filters of layer {layer}"));
    for (number, filter) in weights.chunks_exact(h * w).enumerate() {
        let (output, channel) = (number / c, number % c);
        let (row, column) = if c == 1 { (output / columns, output % columns) } else { (channel, output) };
        let area = [column as f64 * width, row as f64 * height, width - BETWEEN, height - BETWEEN];
        scene.bitmap(area, w, filter.iter().map(|v| scale.colour(*v)).collect());
        scene.width = scene.width.max(area[0] + area[2]);
        scene.height = scene.height.max(area[1] + area[3]);
    }
    scene
}
