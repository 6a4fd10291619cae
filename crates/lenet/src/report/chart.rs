//! Charts as SVG inside the page. The colours written here are those of the light theme; `style.css` selects by them, and
//! gives them other values in the dark and each series a dash of its own.

use super::ReportError;
use crate::metrics::Calibration;
use crate::text::short;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use std::fmt::Display;

/// Size of a chart's coordinates: its text stays readable where it is shown 330 pixels wide.
const SIZE: (u32, u32) = (420, 270);
const TEXT: i32 = 18;

/// Colours of the series in turn; `style.css` has them too.
const COLOURS: [RGBColor; super::MOST_RUNS] = [
    RGBColor(0x0B, 0x62, 0xC4),
    RGBColor(0xB3, 0x40, 0x0A),
    RGBColor(0x11, 0x7A, 0x4B),
    RGBColor(0x8B, 0x2F, 0xB0),
    RGBColor(0x94, 0x62, 0x00),
    RGBColor(0xB0, 0x1E, 0x68),
    RGBColor(0x00, 0x70, 0x7C),
    RGBColor(0x5B, 0x5B, 0x5B),
];

/// A line of a chart.
pub struct Series {
    /// As the legend calls it.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Series { name: name.into(), points: points.into_iter().collect() }
    }

    /// In words, for those who do not see the line.
    fn described(&self) -> String {
        let Some(((_, first), (_, last))) = self.points.first().zip(self.points.last()) else {
            return format!("{}: no values", self.name);
        };
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (self.points.iter().min_by(by), self.points.iter().max_by(by));
        let at = |p: Option<&(f64, f64)>| p.map_or(String::new(), |p| format!("{} at {}", short(p.1), short(p.0)));
        let (first, last) = (short(*first), short(*last));
        format!("{}: from {first} to {last}, lowest {}, highest {}", self.name, at(low), at(high))
    }
}

fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if !(low.is_finite() && high.is_finite()) {
        return 0.0..1.0;
    }
    // Values that are all the same still need a height.
    let margin = if high > low { 0.05 * (high - low) } else { 0.5 * high.abs().max(1e-6) };
    low - margin..high + margin
}

fn drawing(error: impl Display) -> ReportError {
    ReportError::Drawing { what: "a chart", reason: error.to_string() }
}

/// Lines over epochs, with a legend under them.
pub fn curves(id: &str, title: &str, unit: &str, series: &[Series]) -> Result<Markup, ReportError> {
    let points = || series.iter().flat_map(|s| &s.points);
    let (low, high) = points().fold((1.0f64, 1.0f64), |(l, h), p| (l.min(p.0), h.max(p.0)));
    let x = if high > low { low..high } else { low - 0.5..high + 0.5 };
    let y = range(points().map(|p| p.1));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(16)
            .x_label_area_size(46)
            .y_label_area_size(68)
            .build_cartesian_2d(x, y)
            .map_err(drawing)?;
        let whole = |x: &f64| if x.fract().abs() < 1e-9 { format!("{x:.0}") } else { String::new() };
        mesh(&mut chart, "epoch", unit, &whole, &|y| short(*y))?;
        for (series, colour) in series.iter().zip(COLOURS) {
            let points = series.points.iter().copied();
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2))).map_err(drawing)?;
            // A line of one point is nothing to see.
            if series.points.len() <= 12 {
                chart.draw_series(points.map(|p| Circle::new(p, 3, colour.filled()))).map_err(drawing)?;
            }
        }
        area.present().map_err(drawing)?;
    }
    let names: Vec<&str> = series.iter().map(|s| &s.name[..]).collect();
    let described: Vec<String> = series.iter().map(Series::described).collect();
    Ok(figure(id, title, &format!("{} over epochs. {}.", unit, described.join("; ")), &svg, &names))
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn mesh(
    chart: &mut Chart,
    x: &str,
    y: &str,
    x_text: &dyn Fn(&f64) -> String,
    y_text: &dyn Fn(&f64) -> String,
) -> Result<(), ReportError> {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.15))
        .label_style(("sans-serif", TEXT))
        .axis_desc_style(("sans-serif", TEXT))
        .x_labels(6)
        .y_labels(6)
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(x_text)
        .y_label_formatter(y_text)
        .draw()
        .map_err(drawing)
}

/// The accuracy of what was said with each confidence; on the diagonal confidence and accuracy agree.
pub fn reliability(id: &str, title: &str, all: &[(&str, Calibration)]) -> Result<Markup, ReportError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (420, 340)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(16)
            .x_label_area_size(46)
            .y_label_area_size(68)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .map_err(drawing)?;
        mesh(&mut chart, "confidence", "accuracy", &|x| short(*x), &|y| short(*y))?;
        let diagonal = [(0.0, 0.0), (1.0, 1.0)];
        chart.draw_series(LineSeries::new(diagonal, BLACK.mix(0.5).stroke_width(1))).map_err(drawing)?;
        for ((_, calibration), colour) in all.iter().zip(COLOURS) {
            let width = 1.0 / calibration.bins.len() as f64;
            let full = calibration.bins.iter().enumerate().filter(|(_, b)| b.count > 0);
            if let [_] = all {
                let bar = |(i, bin): (usize, &crate::metrics::CalibrationBin)| {
                    let left = i as f64 * width;
                    Rectangle::new([(left, 0.0), (left + width, bin.accuracy)], colour.mix(0.35).filled())
                };
                chart.draw_series(full.clone().map(bar)).map_err(drawing)?;
            }
            let points = full.map(|(_, b)| (b.confidence, b.accuracy));
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2))).map_err(drawing)?;
            chart.draw_series(points.map(|p| Circle::new(p, 3, colour.filled()))).map_err(drawing)?;
        }
        area.present().map_err(drawing)?;
    }
    let named = |(name, c): &(&str, Calibration)| {
        let lead = if all.len() > 1 { format!("{name}: ") } else { String::new() };
        format!("{lead}expected calibration error {:.4}", c.expected_error())
    };
    let described: Vec<String> = all.iter().map(named).collect();
    let names: Vec<&str> = if all.len() > 1 { all.iter().map(|a| a.0).collect() } else { Vec::new() };
    let text =
        format!("Share of right answers by confidence, beside the diagonal of agreement. {}.", described.join("; "));
    Ok(figure(id, title, &text, &svg, &names))
}

/// The chart with its title and description for screen readers, and a legend of HTML.
fn figure(id: &str, title: &str, description: &str, svg: &str, names: &[&str]) -> Markup {
    // The library's own opening tag fixes a size; this one grows with the page.
    let (open, drawn) = svg.split_once('>').unwrap_or(("", ""));
    let view = open.split("viewBox=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("0 0 420 270");
    html! {
        figure.plot {
            figcaption { (title) }
            svg.chart role="img" aria-labelledby={ (id) "-title " (id) "-text" } viewBox=(view) {
                title id={ (id) "-title" } { (title) }
                desc id={ (id) "-text" } { (description) }
                (PreEscaped(drawn.trim_end().trim_end_matches("</svg>")))
            }
            @if names.len() > 1 {
                ul.legend {
                    @for (i, name) in names.iter().enumerate() {
                        li { svg.key aria-hidden="true" viewBox="0 0 34 10" { path d="M0 5h34" stroke=(hex(i)) stroke-width="3" {} } (name) }
                    }
                }
            }
        }
    }
}

fn hex(series: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[series % COLOURS.len()];
    format!("#{r:02X}{g:02X}{b:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_drawn_described_and_styled() {
        let series = [Series::new("a<b", [(1.0, 2.3), (2.0, 0.5)]), Series::new("one", [(1.0, 1.0)])];
        let page = curves("loss", "Loss", "loss", &series).unwrap().into_string();
        assert!(page.contains("a&lt;b: from 2.3 to 0.5, lowest 0.5 at 2, highest 2.3 at 1"), "{page}");
        assert!(!page.contains("a<b"));
        assert_eq!(
            page.matches("<polyline").count(),
            2 + page.matches("stroke=\"#000000\" stroke-width=\"1\" points").count()
        );
        assert!(page.contains(&hex(0)) && page.contains(&hex(1)));
        let style = include_str!("style.css");
        for i in 0..COLOURS.len() {
            assert!(style.contains(&format!("[stroke=\"{}\"]", hex(i))), "style.css lacks {}", hex(i));
        }
    }

    #[test]
    fn any_values_can_be_drawn() {
        for points in [vec![], vec![(1.0, 0.0)], vec![(1.0, 1e-30), (2.0, 1e30)], vec![(1.0, 5.0), (2.0, 5.0)]] {
            curves("x", "x", "x", &[Series::new("x", points)]).unwrap();
        }
    }

    #[test]
    fn numbers_are_short() {
        let got = [0.0, 0.9, 0.00001, 0.75243, 2.3096, 61706.0, 0.5].map(short);
        assert_eq!(got, ["0", "0.9", "1.0e-5", "0.7524", "2.31", "61706", "0.5"]);
    }
}
