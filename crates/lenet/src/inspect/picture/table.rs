//! The form that most pictures have: a column an input, a row a layer, in each cell a grid of feature maps; in the margin
//! what the row is, and the legend of its colours.

use crate::draw::{Anchor, ColourMap, FAINT, INK, LARGE, NORMAL, RULE, Rgb, SMALL, Scale, Scene, fitted, text_width};
use crate::spec::Shape;
use crate::text::short;

/// Lines of text above or in a column.
pub(super) struct Column {
    /// Columns of one group stand closer, under its name.
    pub group: String,
    /// Lines with their colours.
    pub captions: Vec<(String, Rgb)>,
}

/// One row of cells.
pub(super) struct Row {
    pub title: String,
    pub notes: Vec<String>,
    pub shape: Shape,
    /// Values of each column's cell; an empty one stays empty.
    pub cells: Vec<Vec<f32>>,
    /// Which of the scales each column has.
    pub scale_of: Vec<usize>,
    pub scales: Vec<Scale>,
    /// Names of the values: they become bars.
    pub bars: Option<Vec<String>>,
}

/// A picture: title, columns, rows, a line below.
pub(super) struct Table {
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    pub footer: Vec<String>,
    /// Least width of a column.
    pub least: f64,
}

const MARGIN: f64 = 14.0;
const LEFT: f64 = 104.0;
/// Between columns, between groups, between rows.
const GAP: f64 = 10.0;
const GROUP_GAP: f64 = 24.0;
const ROW_GAP: f64 = 14.0;
/// Widths of a column.
pub(super) const NARROW: f64 = 88.0;
const WIDE: f64 = 360.0;
const LINE: f64 = 10.0;
const BAR: f64 = 8.5;

/// How the maps of a layer lie in a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    /// Maps, and their rows and columns of pixels.
    maps: [usize; 3],
    across: usize,
    /// Units a pixel.
    pixel: f64,
    gap: f64,
}

impl Grid {
    /// As large as fits into `width`.
    pub fn new(shape: Shape, width: f64) -> Grid {
        let maps @ [count, h, w] = match shape {
            Shape::Image(chw) => chw,
            Shape::Flat(n) => [n, 1, 1],
        };
        let across = ((count as f64 * h as f64 / w.max(1) as f64).sqrt().ceil() as usize).clamp(1, count.max(1));
        let gap = if h * w > 1 { 2.0 } else { 0.5 };
        let room = (width - (across - 1) as f64 * gap) / (across * w.max(1)) as f64;
        // Whole pixels of a PNG look best; values alone need not be larger than a fingertip of the picture.
        let pixel = if room >= 0.5 { (room * 2.0).floor() / 2.0 } else { room.max(0.01) };
        Grid { maps, across, pixel: if h * w == 1 { pixel.min(8.0) } else { pixel }, gap }
    }

    /// The width at which maps are seen well: a pixel is a unit, or half of one where that would be too wide; a value is four.
    fn wanted(shape: Shape) -> f64 {
        let grid = Grid::new(shape, f64::INFINITY);
        let [_, h, w] = grid.maps;
        let width = |pixel: f64| grid.across as f64 * (w as f64 * pixel + grid.gap);
        match width(1.0) {
            _ if h * w == 1 => width(4.0),
            wide if wide > 1.5 * NARROW => width(0.5),
            width => width,
        }
    }

    fn pitch(&self) -> [f64; 2] {
        [self.maps[2] as f64 * self.pixel + self.gap, self.maps[1] as f64 * self.pixel + self.gap]
    }

    pub fn height(&self) -> f64 {
        self.maps[0].div_ceil(self.across) as f64 * self.pitch()[1] - self.gap
    }

    fn draw(&self, scene: &mut Scene, [x, y]: [f64; 2], values: &[f32], scale: &Scale) {
        let [_, h, w] = self.maps;
        let [dx, dy] = self.pitch();
        for (i, map) in values.chunks_exact((h * w).max(1)).enumerate() {
            let (left, top) = (x + (i % self.across) as f64 * dx, y + (i / self.across) as f64 * dy);
            let area = [left, top, dx - self.gap, dy - self.gap];
            match map {
                [value] => scene.rect(area, Some(scale.colour(*value)), None),
                _ => scene.bitmap(area, w, map.iter().map(|&v| scale.colour(v)).collect()),
            }
            // Where 0 is nearly white, a map needs an edge.
            if scale.map == ColourMap::Diverging && h * w > 1 && self.pixel >= 0.5 {
                scene.rect(area, None, Some(RULE));
            }
        }
    }
}

impl Table {
    /// Draws it. Three maps on the grey scale are one picture in colour.
    pub fn draw(&self) -> Scene {
        let mut scene = Scene::new(&self.title);
        let wanted =
            self.rows.iter().filter(|r| r.bars.is_none()).map(|r| Grid::wanted(r.shape)).fold(self.least, f64::max);
        let width = wanted.min(WIDE.max(self.least));
        let mut places = Vec::new();
        let mut x = MARGIN + LEFT;
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                x += if column.group == self.columns[i - 1].group { GAP } else { GROUP_GAP };
            }
            places.push(x);
            x += width;
        }
        let words =
            text_width(&self.title, LARGE).max(self.footer.iter().map(|l| text_width(l, SMALL)).fold(0.0, f64::max));
        scene.width = (x + MARGIN).max(words + 2.0 * MARGIN);
        scene.text([MARGIN, MARGIN + 11.0], LARGE, Anchor::Start, INK, &self.title);
        let mut y = self.head(&mut scene, &places, width, MARGIN + 22.0);
        for row in &self.rows {
            y += ROW_GAP;
            y += row.draw(&mut scene, &places, width, y);
        }
        y += ROW_GAP;
        for line in &self.footer {
            y += LINE;
            scene.text([MARGIN, y], SMALL, Anchor::Start, FAINT, line);
        }
        scene.height = y + MARGIN;
        scene
    }

    /// Names of groups and captions; returns where they end.
    fn head(&self, scene: &mut Scene, places: &[f64], width: f64, top: f64) -> f64 {
        let mut y = top;
        if self.columns.iter().any(|c| !c.group.is_empty()) {
            y += 14.0;
            for (i, column) in self.columns.iter().enumerate() {
                if i == 0 || column.group != self.columns[i - 1].group {
                    let same = self.columns[i..].iter().take_while(|c| c.group == column.group).count();
                    let right = places[i + same - 1] + width;
                    let name = fitted(&column.group, NORMAL, right - places[i]);
                    scene.text([places[i], y], NORMAL, Anchor::Start, INK, name);
                    scene.line(&[[places[i], y + 4.0], [right, y + 4.0]], RULE, 1.0);
                }
            }
            y += 4.0;
        }
        for (column, x) in self.columns.iter().zip(places) {
            for (line, (text, colour)) in column.captions.iter().enumerate() {
                let at = [*x, y + LINE * (line + 1) as f64 + 2.0];
                scene.text(at, SMALL, Anchor::Start, *colour, fitted(text, SMALL, width));
            }
        }
        let lines = self.columns.iter().map(|c| c.captions.len()).max().unwrap_or(0);
        y + LINE * lines as f64 - if lines > 0 { 4.0 } else { 8.0 }
    }
}

impl Row {
    /// Draws it from `y` on; returns its height.
    fn draw(&self, scene: &mut Scene, places: &[f64], width: f64, y: f64) -> f64 {
        let margin = self.margin(scene, y);
        let mut height = 0.0f64;
        for ((values, &x), &which) in self.cells.iter().zip(places).zip(&self.scale_of) {
            let Some(scale) = self.scales.get(which).filter(|_| !values.is_empty()) else { continue };
            height = height.max(match (&self.bars, self.shape) {
                (Some(names), _) => bars(scene, [x, y], width, values, scale, names),
                (None, Shape::Image([3, h, w])) if scale.map == ColourMap::Grey => {
                    colours(scene, [x, y], width, [h, w], values, scale)
                }
                (None, shape) => {
                    let grid = Grid::new(shape, width);
                    grid.draw(scene, [x, y], values, scale);
                    grid.height()
                }
            });
        }
        height.max(margin)
    }

    /// What stands left of a row; returns its height.
    fn margin(&self, scene: &mut Scene, top: f64) -> f64 {
        let mut y = top + 7.0;
        scene.text([MARGIN, y], NORMAL, Anchor::Start, INK, fitted(&self.title, NORMAL, LEFT - 8.0));
        for note in &self.notes {
            y += LINE;
            scene.text([MARGIN, y], SMALL, Anchor::Start, FAINT, fitted(note, SMALL, LEFT - 8.0));
        }
        for scale in self.scales.iter().filter(|s| s.map != ColourMap::Grey) {
            y += 6.0;
            let length = LEFT - 24.0;
            let colours = (0..160).map(|i| scale.map.at(f64::from(i) / 159.0)).collect();
            scene.bitmap([MARGIN, y, length, 6.0], 160, colours);
            y += 6.0 + LINE;
            scene.text([MARGIN, y], SMALL, Anchor::Start, FAINT, short(scale.low));
            if scale.map == ColourMap::Diverging {
                scene.text([MARGIN + length / 2.0, y], SMALL, Anchor::Middle, FAINT, "0");
            }
            scene.text([MARGIN + length, y], SMALL, Anchor::End, FAINT, short(scale.high));
        }
        y - top + 2.0
    }
}

/// A picture in colour, `[3, h, w]`; returns its height.
fn colours(scene: &mut Scene, [x, y]: [f64; 2], width: f64, [h, w]: [usize; 2], values: &[f32], scale: &Scale) -> f64 {
    let grid = Grid::new(Shape::Image([1, h, w]), width);
    let byte = |v: f32| (scale.share(v).clamp(0.0, 1.0) * 255.0).round() as u8;
    let pixels = (0..h * w).map(|i| std::array::from_fn(|c| byte(values[c * h * w + i]))).collect();
    scene.bitmap([x, y, w as f64 * grid.pixel, grid.height()], w, pixels);
    grid.height()
}

/// A bar a value, from 0 on, with its name; returns the height.
fn bars(scene: &mut Scene, [x, y]: [f64; 2], width: f64, values: &[f32], scale: &Scale, names: &[String]) -> f64 {
    let (low, high) = (scale.low.min(0.0), scale.high.max(0.0));
    let widest = names.iter().map(|n| text_width(n, SMALL - 0.5)).fold(0.0, f64::max);
    let names_width = (widest + 2.0).min(width * 0.6);
    let room = width - names_width - 3.0;
    let place = |v: f64| x + names_width + 3.0 + room * (v - low) / (high - low).max(f64::MIN_POSITIVE);
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (i, (&value, name)) in values.iter().zip(names).enumerate() {
        let top = y + i as f64 * BAR;
        let colour = if value == largest { INK } else { FAINT };
        let name = fitted(name, SMALL - 0.5, names_width - 2.0);
        scene.text([x + names_width, top + 6.0], SMALL - 0.5, Anchor::End, colour, name);
        let (from, to) = (place(0.0), place(f64::from(value)));
        scene.rect([from.min(to), top + 0.5, (to - from).abs().max(0.5), BAR - 2.5], Some(scale.colour(value)), None);
    }
    let zero = place(0.0);
    scene.line(&[[zero, y - 1.0], [zero, y + values.len() as f64 * BAR]], RULE, 0.5);
    values.len() as f64 * BAR
}
