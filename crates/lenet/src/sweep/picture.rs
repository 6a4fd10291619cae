//! A sweep as a picture: parallel coordinates, and accuracy against parameters.

use super::row::Row;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 720.0;

/// A key's values as places from 0 to 1: numbers by value (by their logarithm if they span decades), others in turn.
struct Axis {
    name: String,
    places: Vec<f64>,
    ends: [String; 2],
}

impl Axis {
    fn new(name: &str, values: &[&str]) -> Axis {
        let numbers: Option<Vec<f64>> = values.iter().map(|v| v.parse().ok()).collect();
        let (numbers, labels) = match numbers {
            Some(numbers) => (numbers, None),
            None => {
                let mut names: Vec<&str> = values.to_vec();
                names.sort_unstable();
                names.dedup();
                let place = |v: &&str| names.iter().position(|n| n == v).unwrap_or(0) as f64;
                let labels =
                    [names[0].trim_matches('"').to_string(), names[names.len() - 1].trim_matches('"').to_string()];
                (values.iter().map(place).collect(), Some(labels))
            }
        };
        let ends = |v: &[f64]| {
            (v.iter().copied().fold(f64::INFINITY, f64::min), v.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        };
        let (low, high) = ends(&numbers);
        let logarithmic = labels.is_none() && low > 0.0 && high / low > 20.0;
        let scaled: Vec<f64> = numbers.iter().map(|v| if logarithmic { v.ln() } else { *v }).collect();
        let (from, to) = ends(&scaled);
        let places = scaled.iter().map(|v| if to > from { (v - from) / (to - from) } else { 0.5 }).collect();
        Axis { name: name.into(), places, ends: labels.unwrap_or_else(|| [low, high].map(|v| format!("{v}"))) }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// From violet (worst) over teal to yellow (best): readable for all kinds of colour vision.
fn colour(share: f64) -> String {
    const STOPS: [[f64; 3]; 3] = [[68.0, 1.0, 84.0], [33.0, 145.0, 140.0], [240.0, 200.0, 30.0]];
    let at = share.clamp(0.0, 1.0) * 2.0;
    let (i, part) = if at < 1.0 { (0, at) } else { (1, at - 1.0) };
    let mixed: Vec<u8> = (0..3).map(|c| (STOPS[i][c] + part * (STOPS[i + 1][c] - STOPS[i][c])) as u8).collect();
    format!("rgb({},{},{})", mixed[0], mixed[1], mixed[2])
}

/// The picture of all trials that have a validation accuracy.
pub fn to_svg(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|r| r.score() >= 0.0).collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    if rows.is_empty() {
        svg.push_str("<text x=\"20\" y=\"30\">No trial has a validation accuracy yet.</text>\n</svg>\n");
        return svg;
    }
    let scores: Vec<f64> = rows.iter().map(|r| r.score()).collect();
    let (low, high) = (scores.iter().copied().fold(1.0, f64::min), scores.iter().copied().fold(0.0, f64::max));
    let share = |score: f64| if high > low { (score - low) / (high - low) } else { 1.0 };
    coordinates(&mut svg, &rows, &scores, share);
    scatter(&mut svg, &rows, &scores, [low, high], share);
    svg.push_str("</svg>\n");
    svg
}

fn coordinates(svg: &mut String, rows: &[&Row], scores: &[f64], share: impl Fn(f64) -> f64) {
    let values = |k: usize| -> Vec<&str> { rows.iter().map(|r| &r.trial.sets[k].1[..]).collect() };
    let mut axes: Vec<Axis> = rows[0].trial.sets.iter().enumerate().map(|(k, s)| Axis::new(&s.0, &values(k))).collect();
    let texts: Vec<String> = scores.iter().map(|s| format!("{s:.4}")).collect();
    axes.push(Axis::new("validation accuracy", &texts.iter().map(|t| &t[..]).collect::<Vec<_>>()));
    let (left, right, top, bottom) = (90.0, WIDTH - 90.0, 60.0, 300.0);
    let x = |k: usize| if axes.len() > 1 { left + (right - left) * k as f64 / (axes.len() - 1) as f64 } else { left };
    let y = |place: f64| bottom - place * (bottom - top);
    // Writing to a String does not fail.
    let _ = writeln!(svg, "<text x=\"20\" y=\"26\" font-size=\"15\">Trials by what differs</text>");
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    for i in order {
        let points: Vec<String> =
            axes.iter().enumerate().map(|(k, a)| format!("{:.1},{:.1}", x(k), y(a.places[i]))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" stroke-opacity=\"0.8\"><title>trial {}: {:.4}</title></polyline>",
            points.join(" "),
            colour(share(scores[i])),
            rows[i].trial.number,
            scores[i]
        );
    }
    for (k, axis) in axes.iter().enumerate() {
        let x = x(k);
        let _ = writeln!(svg, "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#444\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            // Names are wider than the space between axes: every second one is lower.
            bottom + if k % 2 == 0 { 34.0 } else { 50.0 },
            escaped(&axis.name)
        );
        for (end, at) in [(0, bottom + 16.0), (1, top - 8.0)] {
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{at}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
                escaped(&axis.ends[end])
            );
        }
    }
}

fn scatter(svg: &mut String, rows: &[&Row], scores: &[f64], [low, high]: [f64; 2], share: impl Fn(f64) -> f64) {
    let (left, right, top, bottom) = (90.0, WIDTH - 90.0, 400.0, HEIGHT - 60.0);
    let sizes: Vec<f64> = rows.iter().map(|r| (r.parameters.max(1) as f64).log10()).collect();
    let (few, many) = (sizes.iter().copied().fold(f64::INFINITY, f64::min), sizes.iter().copied().fold(0.0, f64::max));
    let margin = ((many - few) * 0.08).max(0.02);
    let x = |size: f64| left + (size - few + margin) / (many - few + 2.0 * margin) * (right - left);
    let span = (high - low).max(1e-3);
    let y = |score: f64| bottom - (score - low + 0.06 * span) / (1.12 * span) * (bottom - top);
    let _ = writeln!(
        svg,
        "<text x=\"20\" y=\"{}\" font-size=\"15\">Accuracy against parameters, and the trials that none beats in both</text>",
        top - 20.0
    );
    let _ = writeln!(
        svg,
        "<polyline points=\"{left},{top} {left},{bottom} {right},{bottom}\" fill=\"none\" stroke=\"#444\"/>"
    );
    for score in [low, high] {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{score:.4}</text>",
            left - 8.0,
            y(score) + 4.0
        );
    }
    for size in if many - few > 1e-6 { vec![few, many] } else { vec![few] } {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{:.0}</text>",
            x(size),
            bottom + 18.0,
            10f64.powf(size)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">parameters</text>",
        (left + right) / 2.0,
        bottom + 40.0
    );
    // The front: by size, each one better than all smaller ones.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| sizes[a].total_cmp(&sizes[b]).then(scores[b].total_cmp(&scores[a])));
    let (mut best, mut front) = (f64::NEG_INFINITY, Vec::new());
    for &i in &order {
        if scores[i] > best {
            best = scores[i];
            front.push(format!("{:.1},{:.1}", x(sizes[i]), y(scores[i])));
        }
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#c0392b\" stroke-dasharray=\"6 4\"/>",
        front.join(" ")
    );
    for i in order {
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{}\" stroke=\"#333\" stroke-width=\"0.6\"><title>trial {}: {:.4}, {} parameters</title></circle>",
            x(sizes[i]),
            y(scores[i]),
            colour(share(scores[i])),
            rows[i].trial.number,
            scores[i],
            rows[i].parameters
        );
    }
}
