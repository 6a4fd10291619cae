//! How strange inputs are: their scores on the distributions over known images.

use super::views::{Input, READING};
use crate::draw::{
    ACCENT, Anchor, BAD, ColourMap, FAINT, INK, LARGE, NORMAL, RULE, Rgb, SMALL, Scene, fitted, text_width,
};
use crate::model::Model;
use crate::predict::{Distribution, Verdict};
use crate::text::short;

const MARGIN: f64 = 16.0;
const WIDTH: f64 = 720.0;
const PANEL: f64 = 120.0;
const BINS: usize = 80;
const BARS: Rgb = [158, 190, 222];
const CARD: [f64; 2] = [114.0, 122.0];
const THUMB: f64 = 56.0;

/// Two histograms (energy, largest logit) of known images, described by `known`, with the places of some inputs; below, the inputs
/// with the share of the known images that are less strange.
pub fn ood(model: &Model, inputs: &[Input], known: &[Verdict], described: &str) -> Scene {
    let energies = Distribution::new(known.iter().map(|v| v.energy));
    // With its sign turned: high is strange, as with the energy.
    let logits = Distribution::new(known.iter().map(|v| -v.max_logit));
    let title = format!("How strange images are to {}", model.training.recipe);
    let mut scene = Scene::new(&title);
    scene.text([MARGIN, MARGIN + 11.0], LARGE, Anchor::Start, INK, &title);
    let mut y = MARGIN + 34.0;
    for (name, distribution, score) in [
        (
            "energy, -ln of the sum of exp(logit): strange to the right",
            &energies,
            (|v| v.energy) as fn(&Verdict) -> f64,
        ),
        ("negative of the largest logit: strange to the right", &logits, |v| -v.max_logit),
    ] {
        let scores: Vec<f64> = inputs.iter().map(|i| score(&i.verdict)).collect();
        scene.text([MARGIN, y], NORMAL, Anchor::Start, INK, name);
        y = panel(&mut scene, y + 8.0, distribution, &scores) + 26.0;
    }
    let across = (((WIDTH - 2.0 * MARGIN) / CARD[0]) as usize).max(1);
    for (i, input) in inputs.iter().enumerate() {
        let at = [MARGIN + (i % across) as f64 * CARD[0], y + (i / across) as f64 * CARD[1]];
        card(&mut scene, at, i, input, model, [&energies, &logits]);
    }
    y += inputs.len().div_ceil(across) as f64 * CARD[1] + 4.0;
    let reading = format!(
        "Bars: {described}. Numbers: the images below; their percentage is the share of those that are less strange."
    );
    scene.text([MARGIN, y], SMALL, Anchor::Start, FAINT, reading);
    y += 10.0;
    scene.text([MARGIN, y], SMALL, Anchor::Start, FAINT, READING);
    (scene.width, scene.height) = (WIDTH, y + MARGIN);
    scene
}

/// Width of steps between ticks: 1, 2 or 5 times a power of ten.
fn step(span: f64) -> f64 {
    let raw = (span / 8.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= raw).unwrap_or(10.0)
}

/// A histogram with marked places; returns where it ends.
fn panel(scene: &mut Scene, top: f64, distribution: &Distribution, scores: &[f64]) -> f64 {
    let (left, right, bottom) = (MARGIN, WIDTH - MARGIN, top + PANEL);
    let finite = scores.iter().copied().filter(|s| s.is_finite());
    let (low, high) = distribution.range().unwrap_or((0.0, 1.0));
    let (low, high) = finite.fold((low, high), |(low, high), s| (low.min(s), high.max(s)));
    let room = ((high - low) * 0.03).max(1e-3);
    let (low, high) = (low - room, high + room);
    let x = |v: f64| left + (right - left) * (v - low) / (high - low);
    let counts = distribution.histogram(low, high, BINS);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let width = (right - left) / BINS as f64;
    // Above the bars is room for the numbers.
    let tallest = PANEL - 34.0;
    for (i, &count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let height = (tallest * count as f64 / most as f64).max(0.5);
        scene.rect([left + i as f64 * width, bottom - height, width - 0.5, height], Some(BARS), None);
    }
    scene.line(&[[left, bottom], [right, bottom]], FAINT, 1.0);
    let step = step(high - low);
    let mut tick = (low / step).ceil() * step;
    while tick <= high {
        scene.line(&[[x(tick), bottom], [x(tick), bottom + 3.0]], FAINT, 1.0);
        // What is left of a subtraction is no tick at -0.
        let tick_or_0 = if tick.abs() < step * 1e-6 { 0.0 } else { tick };
        let label = format!("{tick_or_0:.0$}", (-step.log10().floor()).max(0.0) as usize);
        scene.text([x(tick), bottom + 13.0], SMALL, Anchor::Middle, FAINT, label);
        tick += step;
    }
    // Neighbours' numbers stand on different levels.
    let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_finite()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ends = [f64::NEG_INFINITY; 3];
    let mut labels = Vec::new();
    for i in order {
        let at = x(scores[i]);
        let level = (0..ends.len()).find(|&l| ends[l] + 2.0 < at).unwrap_or(0);
        ends[level] = at + 12.0;
        let y = top + 8.0 + 9.0 * level as f64;
        scene.line(&[[at, y + 2.0], [at, bottom]], colour(distribution, scores[i]), 1.0);
        let number = (i + 1).to_string();
        let width = text_width(&number, SMALL);
        labels.push(([at - width / 2.0 - 1.0, y - 7.0, width + 2.0, 8.5], at, number, colour(distribution, scores[i])));
    }
    // Over all lines, so that none crosses a number.
    for (ground, x, number, colour) in labels {
        scene.rect(ground, Some([255; 3]), None);
        scene.text([x, ground[1] + 7.0], SMALL, Anchor::Middle, colour, number);
    }
    bottom + 13.0
}

/// Red for what is stranger than 99 of 100 known images.
fn colour(distribution: &Distribution, score: f64) -> Rgb {
    if distribution.percentile(score) > 99.0 { BAD } else { ACCENT }
}

fn card(
    scene: &mut Scene,
    [x, y]: [f64; 2],
    number: usize,
    input: &Input,
    model: &Model,
    distributions: [&Distribution; 2],
) {
    let [c, h, w] = model.network.input;
    let side = THUMB / h.max(w).max(1) as f64;
    let grey = |i: usize| (0..c).map(|ch| usize::from(input.pixels[ch * h * w + i])).sum::<usize>() / c.max(1);
    let pixel = |i: usize| match c {
        3 => std::array::from_fn(|ch| input.pixels[ch * h * w + i]),
        _ => ColourMap::Grey.at(grey(i) as f64 / 255.0),
    };
    let area = [x, y, w as f64 * side, h as f64 * side];
    scene.bitmap(area, w, (0..h * w).map(pixel).collect());
    scene.rect(area, None, Some(RULE));
    let room = CARD[0] - 6.0;
    let (seen, right) = input.seen(&model.classes);
    let scores = [input.verdict.energy, -input.verdict.max_logit];
    let [energy, logit] = [0, 1].map(|i| distributions[i].percentile(scores[i]));
    let percent = |share: f64| if share >= 99.95 { "100".into() } else { format!("{share:.1}") };
    let lines = [
        (input.name(), INK),
        (seen, right),
        (format!("energy {}: {}%", short(scores[0]), percent(energy)), colour(distributions[0], scores[0])),
        (format!("logit {}: {}%", short(-scores[1]), percent(logit)), colour(distributions[1], scores[1])),
    ];
    scene.text(
        [x + THUMB + 5.0, y + 9.0],
        LARGE,
        Anchor::Start,
        colour(distributions[0], scores[0]),
        (number + 1).to_string(),
    );
    for (line, (text, colour)) in lines.iter().enumerate() {
        let at = [x, y + THUMB + 11.0 + 11.0 * line as f64];
        scene.text(at, SMALL, Anchor::Start, *colour, fitted(text, SMALL, room));
    }
}
