//! A scene as SVG.

use super::DrawError;
use super::png;
use super::scene::{Anchor, Item, Rgb, Scene, Towards, text_width};
use base64::Engine as _;
use std::fmt::Write;

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A length or place, in at most two decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Text as XML takes it; characters that XML cannot hold are left out.
fn escaped(text: &str) -> String {
    let allowed = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    allowed.fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

impl Scene {
    /// The picture as an SVG document, pixels within it as PNG.
    ///
    /// # Errors
    /// Pixels that cannot be encoded.
    pub fn to_svg(&self) -> Result<String, DrawError> {
        let (w, h) = (number(self.width), number(self.height));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif\" role=\"img\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            escaped(&self.title)
        );
        for item in &self.items {
            add(&mut svg, item)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

/// Writing to a String does not fail.
fn add(svg: &mut String, item: &Item) -> Result<(), DrawError> {
    match item {
        Item::Rect { area, fill, stroke } => {
            let [x, y, w, h] = area.map(number);
            let fill = fill.map_or("none".into(), hex);
            let stroke = stroke.map_or(String::new(), |s| format!(" stroke=\"{}\"", hex(s)));
            let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{fill}\"{stroke}/>");
        }
        Item::Line { points, colour, width } => {
            let points: Vec<_> = points.iter().map(|p| p.map(number).join(",")).collect();
            let (points, colour, width) = (points.join(" "), hex(*colour), number(*width));
            let _ = writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>"
            );
        }
        Item::Head { tip: [x, y], towards, colour } => {
            let corners = match towards {
                Towards::Down => [[*x, *y], [x - 3.0, y - 5.0], [x + 3.0, y - 5.0]],
                Towards::Left => [[*x, *y], [x + 5.0, y - 3.0], [x + 5.0, y + 3.0]],
            };
            let points = corners.map(|p| p.map(number).join(",")).join(" ");
            let _ = writeln!(svg, "<polygon points=\"{points}\" fill=\"{}\"/>", hex(*colour));
        }
        Item::Text { at: [x, y], size, anchor, colour, text } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            // Fonts differ in width: where this one might be too wide, it is held to what was planned.
            let planned = text_width(text, *size);
            let hold = match text.chars().count() as f64 * size * 0.66 > planned {
                true => format!(" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", number(planned)),
                false => String::new(),
            };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"{anchor}\" fill=\"{}\"{hold}>{}</text>",
                number(*x),
                number(*y),
                number(size * 1.2),
                hex(*colour),
                escaped(text)
            );
        }
        Item::Bitmap { area, columns, pixels } => {
            let [x, y, w, h] = area.map(number);
            let png = base64::engine::general_purpose::STANDARD.encode(png::encode(*columns, pixels)?);
            let _ = writeln!(
                svg,
                "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" \
                 image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{png}\"/>"
            );
        }
    }
    Ok(())
}
