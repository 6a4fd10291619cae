//! What a picture is made of, before it is written in some format.

/// Red, green, blue.
pub type Rgb = [u8; 3];

pub(super) const INK: Rgb = [32, 36, 44];
pub(super) const FAINT: Rgb = [105, 112, 124];
pub(super) const RULE: Rgb = [214, 218, 224];
pub(super) const GOOD: Rgb = [22, 122, 62];
pub(super) const BAD: Rgb = [186, 38, 38];
pub(super) const ACCENT: Rgb = [33, 102, 172];

/// Heights of texts, in units of a scene.
pub(super) const SMALL: f64 = 6.5;
pub(super) const NORMAL: f64 = 8.0;
pub(super) const LARGE: f64 = 12.0;

/// Where a text's given point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where an arrow points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Down,
    Left,
}

/// One thing to see. Lengths and places are in units; later items cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A rectangle: left, top, width, height.
    Rect { area: [f64; 4], fill: Option<Rgb>, stroke: Option<Rgb> },
    /// Horizontal and vertical lines from point to point.
    Line { points: Vec<[f64; 2]>, colour: Rgb, width: f64 },
    /// An arrow's head.
    Head { tip: [f64; 2], towards: Towards, colour: Rgb },
    /// One line of text, on its baseline; `size` is the height of a line, capitals are 7/8 of it.
    Text { at: [f64; 2], size: f64, anchor: Anchor, colour: Rgb, text: String },
    /// Pixels, row by row, without smoothing.
    Bitmap { area: [f64; 4], columns: usize, pixels: Vec<Rgb> },
}

/// A picture in units, of which a PNG gives each two pixels a side.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Units across.
    pub width: f64,
    /// Units down.
    pub height: f64,
    /// What it shows, in words, for those who cannot see it.
    pub title: String,
    pub(super) items: Vec<Item>,
}

impl Scene {
    pub(super) fn new(title: &str) -> Self {
        Scene { width: 0.0, height: 0.0, title: title.to_string(), items: Vec::new() }
    }

    pub(super) fn rect(&mut self, area: [f64; 4], fill: Option<Rgb>, stroke: Option<Rgb>) {
        self.items.push(Item::Rect { area, fill, stroke });
    }

    pub(super) fn line(&mut self, points: &[[f64; 2]], colour: Rgb, width: f64) {
        self.items.push(Item::Line { points: points.to_vec(), colour, width });
    }

    pub(super) fn text(&mut self, at: [f64; 2], size: f64, anchor: Anchor, colour: Rgb, text: impl Into<String>) {
        self.items.push(Item::Text { at, size, anchor, colour, text: text.into() });
    }

    pub(super) fn head(&mut self, tip: [f64; 2], towards: Towards, colour: Rgb) {
        self.items.push(Item::Head { tip, towards, colour });
    }

    pub(super) fn bitmap(&mut self, area: [f64; 4], columns: usize, pixels: Vec<Rgb>) {
        self.items.push(Item::Bitmap { area, columns, pixels });
    }
}

/// Columns of an 8×8 glyph that are drawn, as first and number; of digits the same for all.
pub(super) fn extent(character: char) -> (usize, usize) {
    let used = glyph(character).iter().fold(0u8, |all, row| all | row);
    match character {
        ' ' => (0, 3),
        '0'..='9' => (0, 7),
        _ if used == 0 => (0, 3),
        _ => (used.trailing_zeros() as usize, 8 - (used.leading_zeros() + used.trailing_zeros()) as usize),
    }
}

/// The 8×8 picture of a character, a byte a row, the lowest bit left.
pub(super) fn glyph(character: char) -> [u8; 8] {
    use font8x8::legacy::{BASIC_LEGACY, GREEK_LEGACY, LATIN_LEGACY};
    let from =
        |table: &[[u8; 8]], first: usize| (character as usize).checked_sub(first).and_then(|i| table.get(i)).copied();
    let known = from(&BASIC_LEGACY, 0).or_else(|| from(&LATIN_LEGACY, 0xa0)).or_else(|| from(&GREEK_LEGACY, 0x390));
    known.unwrap_or(BASIC_LEGACY['?' as usize])
}

/// Units that a text takes.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let columns: usize = text.chars().map(|c| extent(c).1 + 1).sum();
    columns.saturating_sub(1) as f64 * size / 8.0
}

/// As much of a text as fits.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut short = text.to_string();
    while !short.is_empty() && text_width(&format!("{}..", short.trim_end()), size) > width {
        short.pop();
    }
    format!("{}..", short.trim_end())
}
