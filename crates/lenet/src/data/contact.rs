//! Contact sheets: the first images of every class, as a picture and as characters.

use super::Dataset;
use image::{GrayImage, ImageError, ImageFormat, Luma};
use std::fmt::Write as _;
use std::io::Cursor;

/// Pixels between images.
const GAP: usize = 2;

/// Side of a character of the font, in pixels.
const GLYPH: usize = 8;

/// Longest class name that is drawn whole.
const NAME: usize = 16;

/// Images across, at most: a sheet is looked at, not archived.
const ACROSS: usize = 100;

/// Brightness of the names and of the ground.
const INK: u8 = 255;
const GROUND: u8 = 48;

/// A grid with a row a class: its name, then its first `per_class` images (at most 100). Colours become grey.
pub fn sheet(dataset: &Dataset, per_class: usize) -> GrayImage {
    let [_, h, w] = dataset.shape;
    let per_class = per_class.min(ACROSS);
    let longest = dataset.classes.iter().map(|c| c.chars().count()).max().unwrap_or(0).min(NAME);
    let left = longest * GLYPH + 2 * GAP;
    let pitch = h.max(GLYPH) + GAP;
    let (width, height) = (left + per_class * (w + GAP), dataset.classes.len() * pitch + GAP);
    let mut sheet = GrayImage::from_pixel(width as u32, height as u32, Luma([GROUND]));
    for (class, indices) in by_class(dataset, per_class).iter().enumerate() {
        let top = GAP + class * pitch;
        draw_name(&mut sheet, &dataset.classes[class], GAP, top + (pitch - GAP - GLYPH) / 2);
        for (column, &index) in indices.iter().enumerate() {
            for (i, value) in grey(dataset, index).into_iter().enumerate() {
                let (x, y) = (left + column * (w + GAP) + i % w, top + i / w);
                sheet.put_pixel(x as u32, y as u32, Luma([value]));
            }
        }
    }
    sheet
}

/// The sheet as the bytes of a PNG file.
///
/// # Errors
/// A sheet without pixels.
pub fn png(sheet: &GrayImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    sheet.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// The sheet for a terminal of `columns`: a line with each class's name, under it as many images as fit, at most
/// `per_class`, two rows of pixels a line. With `colour` in the 24 greys of the 256 colours, else in black and white.
pub fn terminal(dataset: &Dataset, per_class: usize, columns: usize, colour: bool) -> String {
    let [_, h, w] = dataset.shape;
    // Half the size shows as much of a thing of 28 pixels, and twice as many things.
    let step = (w.div_ceil(14)).max(1);
    let (small_w, small_h) = (w.div_ceil(step), h.div_ceil(step));
    let per_class = per_class.min(columns / (small_w + 1)).max(1);
    let mut text = String::new();
    for (class, indices) in by_class(dataset, per_class).iter().enumerate() {
        let _ = writeln!(text, "{} {}", class, dataset.classes[class]);
        let images: Vec<_> = indices.iter().map(|&i| shrink(&grey(dataset, i), [h, w], step)).collect();
        for row in (0..small_h).step_by(2) {
            for image in &images {
                for x in 0..small_w {
                    let at = |y: usize| if y < small_h { image[y * small_w + x] } else { 0 };
                    half_blocks(&mut text, at(row), at(row + 1), colour);
                }
                text.push_str(if colour { "\x1b[0m " } else { " " });
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
    }
    text
}

/// The first images of every class, as positions in the dataset.
fn by_class(dataset: &Dataset, per_class: usize) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new(); dataset.classes.len()];
    for (index, &label) in dataset.labels.iter().enumerate() {
        if let Some(class) = found.get_mut(usize::from(label))
            && class.len() < per_class
        {
            class.push(index);
        }
    }
    found
}

/// Mean of the channels, `[h, w]`.
fn grey(dataset: &Dataset, index: usize) -> Vec<u8> {
    let [c, h, w] = dataset.shape;
    let image = dataset.image(index);
    (0..h * w).map(|i| ((0..c).map(|ch| usize::from(image[ch * h * w + i])).sum::<usize>() / c) as u8).collect()
}

/// Means over squares of `step` pixels.
fn shrink(image: &[u8], [h, w]: [usize; 2], step: usize) -> Vec<u8> {
    let mean = |top: usize, left: usize| {
        let (rows, columns) = (top..(top + step).min(h), left..(left + step).min(w));
        let count = rows.len() * columns.len();
        (rows.map(|y| columns.clone().map(|x| usize::from(image[y * w + x])).sum::<usize>()).sum::<usize>() / count)
            as u8
    };
    (0..h).step_by(step).flat_map(|top| (0..w).step_by(step).map(move |left| mean(top, left))).collect()
}

/// One character that shows an upper and a lower pixel.
fn half_blocks(text: &mut String, upper: u8, lower: u8, colour: bool) {
    if colour {
        // Colours 232 to 255 are greys from nearly black to nearly white.
        let grey = |value: u8| 232 + u32::from(value) * 23 / 255;
        let _ = write!(text, "\x1b[38;5;{};48;5;{}m▀", grey(upper), grey(lower));
    } else {
        text.push(match (upper > 96, lower > 96) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        });
    }
}

fn draw_name(sheet: &mut GrayImage, name: &str, left: usize, top: usize) {
    for (i, character) in name.chars().take(NAME).enumerate() {
        let glyph = font8x8::legacy::BASIC_LEGACY.get(character as usize).unwrap_or(&font8x8::legacy::BASIC_LEGACY[63]);
        for (y, bits) in glyph.iter().enumerate() {
            for x in (0..GLYPH).filter(|x| bits >> x & 1 == 1) {
                sheet.put_pixel((left + i * GLYPH + x) as u32, (top + y) as u32, Luma([INK]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes, one of them without images; each image of 4×4 pixels has one value.
    fn tiny() -> Dataset {
        let labels = vec![2, 0, 2, 2];
        let images = (0..4u8).flat_map(|i| [i * 80; 16]).collect();
        let classes = ["a", "none", "a name that is much too long"].map(String::from).to_vec();
        Dataset { shape: [1, 4, 4], images, labels, classes }
    }

    #[test]
    fn the_sheet_shows_the_first_images_in_their_class_s_row() {
        let sheet = sheet(&tiny(), 2);
        let left = 16 * 8 + 4;
        let at = |row: usize, column: usize| sheet.get_pixel((left + column * 6) as u32, (2 + row * 10) as u32)[0];
        assert_eq!([at(0, 0), at(0, 1)], [80, GROUND]);
        assert_eq!([at(1, 0), at(1, 1)], [GROUND, GROUND]);
        assert_eq!([at(2, 0), at(2, 1)], [0, 160]);
        let ink = |row: u32| (0..left as u32).any(|x| (0..8).any(|y| sheet.get_pixel(x, 2 + row * 10 + y)[0] == INK));
        assert!(ink(0) && ink(1) && ink(2));
        let decoded = image::load_from_memory(&png(&sheet).unwrap()).unwrap().to_luma8();
        assert_eq!(decoded, sheet);
    }

    #[test]
    fn the_terminal_shows_two_rows_a_line_and_keeps_its_width() {
        let text = terminal(&tiny(), 5, 80, false);
        assert_eq!(text, "0 a\n\n\n1 none\n\n\n2 a name that is much too long\n     ████ ████\n     ████ ████\n");
        let narrow = terminal(&tiny(), 5, 11, false);
        assert!(narrow.lines().skip(7).all(|l| l.chars().count() <= 11), "{narrow}");
        assert!(terminal(&tiny(), 1, 80, true).contains("\x1b[38;5;239;48;5;239m▀"));
    }
}
