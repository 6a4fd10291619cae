//! The way of the data through a network: a box a layer, from top to bottom, shortcuts beside the bodies of their blocks.

use crate::draw::{ACCENT, Anchor, FAINT, INK, LARGE, NORMAL, Rgb, SMALL, Scene, Towards, fitted, text_width};
use crate::spec::{LayerInfo, Network, Shape, Sort, Summary, SummaryRow};
use crate::text::thousands;

const MARGIN: f64 = 16.0;
const TOP: f64 = 44.0;
const BOX: f64 = 400.0;
const TALL: f64 = 38.0;
const FLAT: f64 = 22.0;
const BETWEEN_ROWS: f64 = 18.0;
const BETWEEN_COLUMNS: f64 = 40.0;
/// Room of the picture of a shape, within the box.
const ICON: f64 = 46.0;
const LINE: Rgb = [120, 128, 140];
/// Between lines that pass the same column.
const LANE: f64 = 12.0;

/// Draws a network's layers with their shapes, parameters and multiply-adds.
pub fn network(network: &Network, name: &str) -> Scene {
    let plan = Plan::new(network);
    let summary = Summary::new(network);
    let title = format!("The way of the data through {name}");
    let mut scene = Scene::new(&title);
    scene.text([MARGIN, MARGIN + 11.0], LARGE, Anchor::Start, INK, &title);
    for (value, layer) in network.layers.iter().enumerate() {
        plan.edges(&mut scene, network, value + 1, layer);
    }
    let [c, h, w] = network.input;
    plan.input(&mut scene, [c, h, w]);
    for (i, (layer, row)) in network.layers.iter().zip(&summary.layers).enumerate() {
        plan.layer(&mut scene, i + 1, layer, row, h.max(w));
    }
    let total = format!(
        "{} parameters, {} multiply-adds an image",
        thousands(summary.parameters as u64),
        thousands(summary.multiply_adds)
    );
    let bottom = plan.bottom() + 18.0;
    scene.text([MARGIN, bottom], NORMAL, Anchor::Start, FAINT, &total);
    scene.width = (plan.right() + MARGIN).max(text_width(&title, LARGE) + 2.0 * MARGIN);
    scene.height = bottom + MARGIN;
    scene
}

/// Where boxes stand; values are counted as in [`LayerInfo::source`].
struct Plan {
    column: Vec<usize>,
    row: Vec<usize>,
    /// Top and height of each row.
    rows: Vec<[f64; 2]>,
    /// Lines without a box of their own, right of the boxes.
    lanes: usize,
}

impl Plan {
    fn new(network: &Network) -> Plan {
        let (mut column, mut row) = (vec![0], vec![0]);
        for layer in &network.layers {
            column.push(column_of(network, &layer.name, 0));
            row.push(1 + row[layer.source].max(layer.other.map_or(0, |v| row[v])));
        }
        let mut heights = vec![FLAT; row.iter().max().map_or(1, |r| r + 1)];
        heights[0] = TALL;
        for (value, layer) in network.layers.iter().enumerate() {
            let height = &mut heights[row[value + 1]];
            *height = height.max(if is_flat(layer) { FLAT } else { TALL });
        }
        let mut top = TOP;
        let mut rows = Vec::with_capacity(heights.len());
        for height in heights {
            rows.push([top, height]);
            top += height + BETWEEN_ROWS;
        }
        let identities = network.layers.iter().filter(|l| is_identity(l)).map(|l| lane(network, &l.name) + 1);
        Plan { column, row, rows, lanes: identities.max().unwrap_or(0) }
    }

    fn left(&self, value: usize) -> f64 {
        MARGIN + self.column[value] as f64 * (BOX + BETWEEN_COLUMNS)
    }

    fn area(&self, value: usize, flat: bool) -> [f64; 4] {
        let [top, height] = self.rows[self.row[value]];
        let own = if flat { FLAT } else { TALL };
        [self.left(value), top + (height - own) / 2.0, BOX, own]
    }

    fn right(&self) -> f64 {
        let columns = self.column.iter().max().map_or(1, |c| c + 1) as f64;
        MARGIN
            + columns * BOX
            + (columns - 1.0) * BETWEEN_COLUMNS
            + if self.lanes > 0 { 14.0 + LANE * self.lanes as f64 } else { 0.0 }
    }

    fn bottom(&self) -> f64 {
        self.rows.last().map_or(TOP, |[top, height]| top + height)
    }

    /// Middle of a box's lower edge.
    fn foot(&self, network: &Network, value: usize) -> [f64; 2] {
        let [x, y, w, h] = self.area(value, value > 0 && is_flat(&network.layers[value - 1]));
        [x + w / 2.0, y + h]
    }

    fn edges(&self, scene: &mut Scene, network: &Network, value: usize, layer: &LayerInfo) {
        let [x, y, w, h] = self.area(value, is_flat(layer));
        let from = self.foot(network, layer.source);
        let to = [x + w / 2.0, y];
        // A box may be lower than its row: lines turn below the row.
        let [top, height] = self.rows[self.row[layer.source]];
        let turn = top + height + BETWEEN_ROWS / 2.0 - 2.0;
        scene.line(&[from, [from[0], turn], [to[0], turn], [to[0], y - 4.0]], LINE, 1.5);
        scene.head(to, Towards::Down, LINE);
        let Some(other) = layer.other else { return };
        let (from, end) = (self.foot(network, other), [x + w, y + h / 2.0]);
        if is_identity(layer) {
            let [top, height] = self.rows[self.row[other]];
            let turn = top + height + BETWEEN_ROWS / 2.0 - 2.0;
            let reach = width(network, &format!("{}.body.", layer.name)) - 1;
            let lane = x + w + reach as f64 * (BOX + BETWEEN_COLUMNS) + 14.0 + LANE * lane(network, &layer.name) as f64;
            scene.line(&[from, [from[0], turn], [lane, turn], [lane, end[1]], [end[0] + 4.0, end[1]]], LINE, 1.5);
        } else {
            scene.line(&[from, [from[0], end[1]], [end[0] + 4.0, end[1]]], LINE, 1.5);
        }
        scene.head(end, Towards::Left, LINE);
    }

    fn input(&self, scene: &mut Scene, [c, h, w]: [usize; 3]) {
        let area = self.area(0, false);
        scene.rect(area, Some([255; 3]), Some(LINE));
        icon(scene, area, Shape::Image([c, h, w]), h.max(w));
        let [x, y, _, height] = area;
        scene.text([x + ICON + 8.0, y + height / 2.0 + 3.0], NORMAL, Anchor::Start, INK, "input");
        shape(scene, area, Shape::Image([c, h, w]));
    }

    fn layer(&self, scene: &mut Scene, value: usize, layer: &LayerInfo, row: &SummaryRow, side: usize) {
        let flat = is_flat(layer);
        let area @ [x, y, w, h] = self.area(value, flat);
        let edge = [LINE, INK][usize::from(layer.geometry.sort() == Sort::Sum)];
        scene.rect(area, Some(fill(layer)), Some(edge));
        let line = if flat || row.parameters == 0 { y + h / 2.0 + 3.0 } else { y + 15.0 };
        let end = x + w - 16.0 - text_width(&words(layer.output), NORMAL);
        let mut left = x + ICON + 8.0;
        for (text, size, colour) in
            [(&row.name[..], SMALL, FAINT), (row.kind, NORMAL, INK), (&row.settings[..], SMALL, FAINT)]
        {
            let text = fitted(text, size, end - left);
            scene.text([left, line], size, Anchor::Start, colour, &text[..]);
            left += text_width(&text, size) + 6.0;
        }
        let left = x + ICON + 8.0;
        if !flat && row.parameters > 0 {
            let mut cost = format!("{} parameters", thousands(row.parameters as u64));
            if row.multiply_adds > 0 {
                cost += &format!(", {} multiply-adds", thousands(row.multiply_adds));
            }
            scene.text([left, y + 29.0], SMALL, Anchor::Start, FAINT, cost);
        }
        if !flat {
            icon(scene, area, layer.output, side);
        }
        shape(scene, [x, y, w, if flat || row.parameters == 0 { h } else { 24.0 }], layer.output);
    }
}

/// What keeps its shape and has little to say needs no tall box.
fn is_flat(layer: &LayerInfo) -> bool {
    match layer.geometry.sort() {
        Sort::Function | Sort::Norm | Sort::Pass | Sort::Sum => true,
        Sort::Convolution | Sort::Dense | Sort::Pooling => false,
    }
}

/// Whether a sum's second source comes as it is.
fn is_identity(layer: &LayerInfo) -> bool {
    // The body's values come after the input's, and those of a shortcut's layers after the body's.
    layer.other.is_some_and(|v| v < layer.source)
}

/// Columns left of a layer, from position `start` of its name on: a shortcut stands right of all of its block's body.
fn column_of(network: &Network, name: &str, start: usize) -> usize {
    const SHORTCUT: &str = ".shortcut.";
    let (mut total, mut at) = (0, start);
    while let Some(found) = name[at..].find(SHORTCUT) {
        total += width(network, &format!("{}.body.", &name[..at + found]));
        at += found + SHORTCUT.len();
    }
    total
}

/// Columns of the layers whose names begin so.
fn width(network: &Network, prefix: &str) -> usize {
    let names = network.layers.iter().map(|l| &l.name[..]).filter(|n| n.starts_with(prefix));
    1 + names.map(|n| column_of(network, n, prefix.len())).max().unwrap_or(0)
}

/// The lane of a block's unchanged input: outside of those of the blocks in it.
fn lane(network: &Network, block: &str) -> usize {
    let prefix = format!("{block}.body.");
    let inner = network.layers.iter().filter(|l| is_identity(l) && l.name.starts_with(&prefix));
    inner.map(|l| lane(network, &l.name) + 1).max().unwrap_or(0)
}

fn fill(layer: &LayerInfo) -> Rgb {
    match layer.geometry.sort() {
        Sort::Convolution => [221, 234, 247],
        Sort::Dense => [253, 232, 210],
        Sort::Pooling => [224, 241, 220],
        Sort::Norm => [236, 229, 245],
        Sort::Sum => [255, 255, 255],
        Sort::Function | Sort::Pass => [245, 246, 248],
    }
}

fn words(shape: Shape) -> String {
    match shape {
        Shape::Image([c, h, w]) => format!("{c} × {h} × {w}"),
        Shape::Flat(n) => n.to_string(),
    }
}

fn shape(scene: &mut Scene, [x, y, w, h]: [f64; 4], shape: Shape) {
    scene.text([x + w - 8.0, y + h / 2.0 + 3.0], NORMAL, Anchor::End, ACCENT, words(shape));
}

/// The shape to scale: planes one behind the other, or a rod of features.
fn icon(scene: &mut Scene, [x, y, _, h]: [f64; 4], shape: Shape, side: usize) {
    let (middle, most) = ([x + 6.0 + ICON / 2.0, y + h / 2.0], 22.0);
    match shape {
        Shape::Image([c, rows, columns]) => {
            let planes = (c as f64).sqrt().ceil().clamp(1.0, 9.0);
            let [w, h] = [columns, rows].map(|n| (n as f64 * most / side.max(1) as f64).clamp(2.0, most));
            let shift = 1.5;
            let span = (planes - 1.0) * shift;
            for plane in 0..planes as usize {
                let back = span / 2.0 - plane as f64 * shift;
                let area = [middle[0] - w / 2.0 + back, middle[1] - h / 2.0 - back, w, h];
                scene.rect(area, Some([255; 3]), Some(ACCENT));
            }
        }
        Shape::Flat(n) => {
            let length = (4.0 * (n as f64).log2()).clamp(4.0, 40.0);
            scene.rect([middle[0] - length / 2.0, middle[1] - 2.0, length, 4.0], Some([255; 3]), Some(ACCENT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Activation, BatchNorm, Conv2d, Layer, Residual, Spec};

    /// A block in the body of a block, one in its shortcut, and blocks without shortcuts in each other.
    fn nested() -> Network {
        let same = || Layer::Conv2d(Conv2d { channels: 4, window: [3, 3], padding: [1, 1], ..Conv2d::default() });
        let block = |body, shortcut| Layer::Residual(Residual { body, shortcut });
        let norm = || Layer::BatchNorm(BatchNorm::default());
        let inner = || block(vec![same(), norm()], vec![same()]);
        let plain = block(vec![same(), block(vec![same()], vec![]), norm()], vec![]);
        let outer = block(vec![inner(), norm()], vec![inner(), same()]);
        let layers = vec![same(), outer, plain, Layer::Activation(Activation::Relu), Layer::Flatten];
        Spec { input: [1, 6, 6], layers }.infer().unwrap()
    }

    #[test]
    fn boxes_stand_apart_and_below_their_sources() {
        let network = nested();
        let plan = Plan::new(&network);
        let areas: Vec<[f64; 4]> =
            (0..=network.layers.len()).map(|v| plan.area(v, v > 0 && is_flat(&network.layers[v - 1]))).collect();
        for (i, [ax, ay, aw, ah]) in areas.iter().enumerate() {
            for [bx, by, bw, bh] in &areas[..i] {
                assert!(ax + aw <= *bx || bx + bw <= *ax || ay + ah <= *by || by + bh <= *ay, "{i}");
            }
        }
        for (i, layer) in network.layers.iter().enumerate() {
            for source in std::iter::once(layer.source).chain(layer.other) {
                assert!(areas[source][1] + areas[source][3] < areas[i + 1][1], "{}", layer.name);
            }
        }
        assert_eq!((plan.column.iter().max(), plan.lanes), (Some(&3), 2));
    }

    #[test]
    fn every_layer_is_named_with_its_shape() {
        let network = nested();
        let svg = super::network(&network, "<nested> & more").to_svg().unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter_map(|n| n.text()).collect();
        for layer in &network.layers {
            assert!(texts.contains(&&layer.name[..]) && texts.contains(&&words(layer.output)[..]), "{}", layer.name);
        }
        assert!(texts.iter().any(|t| t.contains("<nested> & more")));
    }
}
