//! What a picture is made of, before it is written in some format.

/// Red, green, blue.
pub type Rgb = [u8; 3];

pub(crate) const INK: Rgb = [32, 36, 44];
pub(crate) const FAINT: Rgb = [105, 112, 124];
pub(crate) const RULE: Rgb = [214, 218, 224];
pub(crate) const GOOD: Rgb = [22, 122, 62];
pub(crate) const BAD: Rgb = [186, 38, 38];
pub(crate) const ACCENT: Rgb = [33, 102, 172];

/// Heights of texts, in units of a scene.
pub(crate) const SMALL: f64 = 6.5;
pub(crate) const NORMAL: f64 = 8.0;
pub(crate) const LARGE: f64 = 12.0;

/// Where a text's given point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where an arrow points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Down,
    Left,
}

/// One thing to see. Lengths and places are in units; later items cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
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
    pub(crate) items: Vec<Item>,
}

impl Scene {
    pub(crate) fn new(title: &str) -> Self {
        Scene { width: 0.0, height: 0.0, title: title.to_string(), items: Vec::new() }
    }

    pub(crate) fn rect(&mut self, area: [f64; 4], fill: Option<Rgb>, stroke: Option<Rgb>) {
        self.items.push(Item::Rect { area, fill, stroke });
    }

    pub(crate) fn line(&mut self, points: &[[f64; 2]], colour: Rgb, width: f64) {
        self.items.push(Item::Line { points: points.to_vec(), colour, width });
    }

    pub(crate) fn text(&mut self, at: [f64; 2], size: f64, anchor: Anchor, colour: Rgb, text: impl Into<String>) {
        self.items.push(Item::Text { at, size, anchor, colour, text: text.into() });
    }

    pub(crate) fn head(&mut self, tip: [f64; 2], towards: Towards, colour: Rgb) {
        self.items.push(Item::Head { tip, towards, colour });
    }

    pub(crate) fn bitmap(&mut self, area: [f64; 4], columns: usize, pixels: Vec<Rgb>) {
        self.items.push(Item::Bitmap { area, columns, pixels });
    }
}

/// Columns of an 8×8 glyph that are drawn, as first and number; of digits the same for all.
pub(crate) fn extent(character: char) -> (usize, usize) {
    let used = glyph(character).iter().fold(0u8, |all, row| all | row);
    match character {
        ' ' => (0, 3),
        '0'..='9' => (0, 7),
        _ if used == 0 => (0, 3),
        _ => (used.trailing_zeros() as usize, 8 - (used.leading_zeros() + used.trailing_zeros()) as usize),
    }
}

/// The 8×8 picture of a character, a byte a row, the lowest bit left.
pub(crate) fn glyph(character: char) -> [u8; 8] {
    use font8x8::legacy::{BASIC_LEGACY, GREEK_LEGACY, LATIN_LEGACY};
    let from =
        |table: &[[u8; 8]], first: usize| (character as usize).checked_sub(first).and_then(|i| table.get(i)).copied();
    let known = from(&BASIC_LEGACY, 0).or_else(|| from(&LATIN_LEGACY, 0xa0)).or_else(|| from(&GREEK_LEGACY, 0x390));
    known.unwrap_or(BASIC_LEGACY['?' as usize])
}

/// Units that a text takes.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let columns: usize = text.chars().map(|c| extent(c).1 + 1).sum();
    columns.saturating_sub(1) as f64 * size / 8.0
}

/// As much of a text as fits.
pub(crate) fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut short = text.to_string();
    while !short.is_empty() && text_width(&format!("{}..", short.trim_end()), size) > width {
        short.pop();
    }
    format!("{}..", short.trim_end())
}
