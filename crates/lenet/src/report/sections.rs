//! The sections of one run.

use super::chart::{Series, curves, reliability};
use super::page::{Section, numbers, pairs, percent, table, wide};
use super::picture::Picture;
use super::{Activations, Evidence, Example, Filters, ReportError, RunReport};
use crate::metrics::{Calibration, Confusion};
use crate::text::{short, thousands};
use crate::train::EpochMetrics;
use maud::{Markup, html};
use serde_json::Value;

/// Bins of the reliability diagram, and of the expected calibration error.
pub const BINS: usize = 15;

/// Most classes of a confusion matrix that is shown whole.
pub const MATRIX: usize = 64;

/// All sections; `prefix` makes their ids unique, `level` is that of their headings.
pub fn run(run: &RunReport, name: &str, prefix: &str, level: u8) -> Result<Vec<Section>, ReportError> {
    let mut sections = Vec::new();
    let mut add = |id: &str, title: &str, body: Markup| {
        sections.push(Section { id: format!("{prefix}{id}"), title: title.into(), level, body });
    };
    add("overview", "Overview", overview(run));
    if let Some(summary) = run.summary() {
        add("layers", "Layers", layers(name, &summary));
    }
    if !run.metrics.is_empty() {
        add("curves", "Curves", training(prefix, name, &run.metrics)?);
    }
    if let (Some(evidence), Some(model)) = (&run.evidence, &run.model) {
        let classes = &model.classes[..];
        let confusion = evidence.predictions.confusion();
        add("confusion", "Confusion matrix", matrix(name, evidence, &confusion, classes));
        add("classes", "Precision, recall and F1", per_class(name, &confusion, classes));
        add("calibration", "Calibration", calibration(prefix, name, &evidence.predictions.calibration(BINS))?);
        add("mistakes", "Most confident mistakes", mistakes(evidence, classes));
        add("pairs", "Most confused classes", confused(evidence, &confusion, classes));
        if let Some(f) = &evidence.filters {
            add("filters", "Filters of the first layer", filters(f));
        }
        if let Some(a) = &evidence.activations {
            add("activations", "Activations of the first convolution", activations(a, classes));
        }
    }
    let recipe = html! { pre { code { (run.recipe.to_toml()) } } };
    add("recipe", "Recipe", wide(&format!("Recipe of {name}"), recipe));
    let mut environment = Vec::new();
    flatten("", &run.environment, &mut environment);
    if !environment.is_empty() {
        let caption = "What the run was done with";
        add("environment", "Environment", pairs(&format!("Environment of {name}"), caption, &environment));
    }
    Ok(sections)
}

fn overview(run: &RunReport) -> Markup {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(e) = &run.evidence {
        let n = thousands(e.predictions.len() as u64);
        facts.push(("Accuracy", percent(e.predictions.confusion().accuracy())));
        facts.push(("Loss", format!("{:.4}", e.predictions.log_loss())));
        // Of a path its end: the whole of it is in the recipe.
        let path = e.data.split_once(':').map(|(_, path)| path.trim_end_matches(['/', '\\']));
        let data = path.and_then(|path| path.rsplit(['/', '\\']).next()).unwrap_or(&e.data);
        facts.push(("Measured on", format!("{n} {} images of {data}", e.part.name())));
        facts.push(("Expected calibration error", format!("{:.4}", e.predictions.calibration(BINS).expected_error())));
    }
    if let Some(s) = run.summary() {
        facts.push(("Parameters", thousands(s.parameters as u64)));
        facts.push(("Multiply-adds an image", thousands(s.multiply_adds)));
    }
    facts.push(("Epochs", format!("{} of {}", run.metrics.len(), run.recipe.train.epochs)));
    if let Some(last) = run.last() {
        let seconds: f64 = run.metrics.iter().map(|m| m.train_seconds).sum();
        facts.push(("Training time", format!("{seconds:.1} s")));
        facts.push(("Speed", format!("{} images/s", thousands(last.images_per_second.max(0.0) as u64))));
    }
    html! {
        dl.facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } }
        @match &run.model {
            None => p.note { "This run has no model yet: a model is written when its training ends. Below is what there is so far." },
            Some(model) if model.training.epochs < run.metrics.len() => p.note {
                "The run went on after its model was written: the model is that of epoch " (model.training.epochs) "."
            },
            Some(_) => {},
        }
    }
}

fn layers(name: &str, summary: &crate::spec::Summary) -> Markup {
    let number = |n: u64| if n == 0 { "–".into() } else { thousands(n) };
    let shape = |s: &[usize]| s.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let input = vec!["input".into(), String::new(), shape(&summary.input), String::new(), String::new()];
    let rows = summary.layers.iter().map(|row| {
        let layer = format!("{} {}", row.name, row.kind);
        let (parameters, multiply_adds) = (number(row.parameters as u64), number(row.multiply_adds));
        vec![layer, row.settings.clone(), shape(&row.output), parameters, multiply_adds]
    });
    let (parameters, multiply_adds) = (number(summary.parameters as u64), number(summary.multiply_adds));
    let total = vec!["total".into(), String::new(), String::new(), parameters, multiply_adds];
    let caption = format!(
        "What each layer gives for one image, holds and costs; {} bytes of parameters as 32-bit floats",
        thousands(summary.parameter_bytes)
    );
    let columns = ["Layer", "Settings", "Output", "Parameters", "Multiply-adds"];
    table(&format!("Layers of {name}"), &caption, &columns, std::iter::once(input).chain(rows).chain([total]))
}

/// A value of every epoch that has it.
pub fn series(name: &str, metrics: &[EpochMetrics], of: impl Fn(&EpochMetrics) -> Option<f64>) -> Series {
    Series::new(name, metrics.iter().filter_map(|m| Some((m.epoch as f64, of(m)?))))
}

fn training(prefix: &str, name: &str, metrics: &[EpochMetrics]) -> Result<Markup, ReportError> {
    let split = |of: [fn(&EpochMetrics) -> Option<f64>; 3]| {
        let all = ["training", "validation", "test"].into_iter().zip(of).map(|(name, of)| series(name, metrics, of));
        all.filter(|s| !s.points.is_empty()).collect::<Vec<_>>()
    };
    let loss = split([|m| Some(m.train_loss), |m| m.val_loss, |m| m.test_loss]);
    let accuracy = split([|m| Some(m.train_accuracy), |m| m.val_accuracy, |m| m.test_accuracy]);
    let lr = [series("learning rate", metrics, |m| Some(f64::from(m.lr)))];
    let validation = metrics.iter().any(|m| m.val_loss.is_some());
    let columns =
        ["Epoch", "Learning rate", "Training loss", "Training accuracy", "Validation loss", "Validation accuracy"];
    let columns = if validation { &columns[..] } else { &columns[..4] };
    let columns = [columns, &["Test loss", "Test accuracy", "Seconds", "Images/s"]].concat();
    let row = |m: &EpochMetrics| {
        let fine = |v: f64| format!("{v:.4}");
        let mut row = vec![m.epoch.to_string(), short(f64::from(m.lr)), fine(m.train_loss), fine(m.train_accuracy)];
        if validation {
            row.extend([m.val_loss, m.val_accuracy].map(|v| v.map_or(String::new(), fine)));
        }
        row.extend([m.test_loss, m.test_accuracy].map(|v| v.map_or(String::new(), fine)));
        row.push(format!("{:.2}", m.train_seconds));
        row.push(thousands(m.images_per_second.max(0.0) as u64));
        row
    };
    let caption = "Metrics of every epoch";
    Ok(html! {
        div.plots {
            (curves(&format!("{prefix}loss"), "Loss", "loss", &loss)?)
            (curves(&format!("{prefix}accuracy"), "Accuracy", "accuracy", &accuracy)?)
            (curves(&format!("{prefix}lr"), "Learning rate", "learning rate", &lr)?)
        }
        p { "Training loss and accuracy are gathered while an epoch runs, the others after it." }
        (numbers("The numbers of these curves", table(&format!("Epochs of {name}"), caption, &columns, metrics.iter().map(row))))
    })
}

fn matrix(name: &str, evidence: &Evidence, confusion: &Confusion, classes: &[String]) -> Markup {
    if classes.len() > MATRIX {
        let n = classes.len();
        return html! { p { (n) " classes make too large a matrix; the most confused of them are listed below." } };
    }
    let images = thousands(evidence.predictions.len() as u64);
    let body = html! {
        table.matrix {
            caption {
                "Rows are the true classes, columns what the model said: counts, and under them their share of the row, of "
                (images) " " (evidence.part.name()) " images"
            }
            thead {
                tr { td {} @for class in classes { th scope="col" { span { (class) } } } }
            }
            tbody {
                @for (actual, class) in classes.iter().enumerate() {
                    tr {
                        th scope="row" { (class) }
                        @for predicted in 0..classes.len() {
                            (cell(confusion.count(actual, predicted), confusion.rate(actual, predicted), actual == predicted))
                        }
                    }
                }
            }
        }
    };
    wide(&format!("Confusion matrix of {name}"), body)
}

fn cell(count: u64, rate: f64, right: bool) -> Markup {
    // Small rates must be seen too: the depth of the colour is the root of the rate.
    let depth = format!("--depth:{:.2}", rate.sqrt());
    let kind = if right { "right" } else { "wrong" };
    html! {
        @if count == 0 { td.none { "0" } } @else {
            td class=(kind) style=(depth) { (count) small { (format!("{:.1} %", 100.0 * rate)) } }
        }
    }
}

fn per_class(name: &str, confusion: &Confusion, classes: &[String]) -> Markup {
    let row = |name: &str, m: &crate::metrics::ClassMetrics| {
        let mut row = vec![name.to_string()];
        row.extend([m.precision, m.recall, m.f1].map(|v| format!("{v:.4}")));
        row.push(thousands(m.support));
        row
    };
    let each = confusion.per_class();
    let rows = classes.iter().zip(&each).map(|(class, m)| row(class, m));
    let average = row("mean of the classes", &confusion.macro_average());
    let caption = "Precision: of what was taken for the class, the share that is. Recall: of the class, the share that was \
                   found. F1: their harmonic mean.";
    let columns = ["Class", "Precision", "Recall", "F1", "Images"];
    table(&format!("Classes of {name}"), caption, &columns, rows.chain([average]))
}

/// The bins that hold something, as rows of a table.
fn bins(calibration: &Calibration) -> impl Iterator<Item = Vec<String>> {
    let width = 1.0 / calibration.bins.len() as f64;
    let full = calibration.bins.iter().enumerate().filter(|(_, b)| b.count > 0);
    full.map(move |(i, b)| {
        let range = format!("{:.2} to {:.2}", i as f64 * width, (i + 1) as f64 * width);
        vec![range, thousands(b.count as u64), format!("{:.4}", b.confidence), format!("{:.4}", b.accuracy)]
    })
}

fn calibration(prefix: &str, name: &str, calibration: &Calibration) -> Result<Markup, ReportError> {
    let all = [("", calibration.clone())];
    let columns = ["Confidence", "Images", "Mean confidence", "Accuracy"];
    let rows = table(&format!("Bins of {name}"), "Bins of confidence that hold images", &columns, bins(calibration));
    Ok(html! {
        div.plots { (reliability(&format!("{prefix}reliability"), "Reliability diagram", &all)?) }
        p {
            "Expected calibration error " strong { (format!("{:.4}", calibration.expected_error())) }
            ", the largest of a bin " (format!("{:.4}", calibration.maximum_error())) ", over " (calibration.bins.len())
            " bins. Under the diagonal the model is surer than it is right, above it less sure."
        }
        (numbers("The numbers of this diagram", rows))
    })
}

/// A class's name; a model names every class it can predict.
fn class(classes: &[String], index: usize) -> &str {
    classes.get(index).map_or("?", String::as_str)
}

fn image(picture: &Picture, alt: &str, scale: u32) -> Markup {
    let width = format!("width:{}px", picture.width.saturating_mul(scale));
    html! {
        img src=(picture.uri) alt=(alt) width=(picture.width) height=(picture.height) style=(width);
    }
}

/// How many times its own size a small image is shown.
fn scale(picture: &Picture, wanted: u32) -> u32 {
    (wanted / picture.width.max(1)).clamp(1, 8)
}

fn example(e: &Example, classes: &[String], caption: Markup) -> Markup {
    let (actual, predicted) = (class(classes, e.actual), class(classes, e.predicted));
    let alt = format!("Image {}: {actual}, taken for {predicted}", e.index);
    html! { figure.example { (image(&e.picture, &alt, scale(&e.picture, 84))) figcaption { (caption) } } }
}

fn mistakes(evidence: &Evidence, classes: &[String]) -> Markup {
    let caption = |e: &Example| {
        html! {
            strong { (class(classes, e.actual)) } br;
            "taken for " (class(classes, e.predicted)) br;
            small { (format!("{:.1} %", 100.0 * e.confidence)) " sure" br; "image " (e.index) }
        }
    };
    html! {
        @if evidence.mistakes.is_empty() { p { "The model makes no mistake on these images." } } @else {
            p { "Under each image its label, then what the model took it for, and how sure it was." }
            div.examples { @for e in &evidence.mistakes { (example(e, classes, caption(e))) } }
        }
    }
}

fn confused(evidence: &Evidence, confusion: &Confusion, classes: &[String]) -> Markup {
    html! {
        @if evidence.confused.is_empty() { p { "No class is taken for another." } }
        ul.confused {
            @for (pair, examples) in &evidence.confused {
                li {
                    p {
                        strong { (class(classes, pair.actual)) } " taken for " strong { (class(classes, pair.predicted)) } ": "
                        (thousands(pair.count)) " times, "
                        (format!("{:.1} %", 100.0 * confusion.rate(pair.actual, pair.predicted))) " of the class"
                    }
                    div.strip {
                        @for e in examples {
                            (example(e, classes, html! { small { (format!("{:.1} %", 100.0 * e.confidence)) } }))
                        }
                    }
                }
            }
        }
    }
}

fn filters(f: &Filters) -> Markup {
    let ([shown, all], [c, h, w]) = (f.shown, f.shape);
    let some = if shown < all { format!(", the first {shown} of {all}") } else { String::new() };
    let several =
        if c > 1 { format!(" Each row is a filter, its {c} input channels side by side.") } else { String::new() };
    let alt = format!("{shown} filters of {h} × {w} weights of layer {}", f.layer);
    html! {
        p { "Layer " (f.layer) ": " (all) " filters of " (c) " × " (h) " × " (w) " weights" (some) "." (several) }
        (image(&f.picture, &alt, if h.max(w) <= 9 { 10 } else { 2 }))
        p.ramp {
            span.number { (format!("−{}", short(f64::from(f.scale)))) } span.diverging aria-hidden="true" {}
            span.number { (short(f64::from(f.scale))) }
        }
    }
}

fn activations(a: &Activations, classes: &[String]) -> Markup {
    let [shown, all] = a.shown;
    let some =
        if shown < all { format!("the first {shown} of {all} feature maps") } else { format!("{all} feature maps") };
    let through = if a.layers[0] == a.layers[1] { String::new() } else { format!(" to {}", a.layers[1]) };
    let [low, high] = a.range.map(|v| short(f64::from(v)));
    html! {
        p {
            "One image of each class, and " (some) " that layers " (a.layers[0]) (through)
            " make of it. All have the same scale."
        }
        p.ramp { span.number { (low) } span.sequential aria-hidden="true" {} span.number { (high) } }
        div.activations {
            @for (e, maps) in &a.examples {
                @let name = class(classes, e.actual);
                figure {
                    figcaption { (name) @if e.predicted != e.actual { small { ", taken for " (class(classes, e.predicted)) } } }
                    div.maps {
                        (image(&e.picture, &format!("Image {} of class {name}", e.index), scale(&e.picture, 56)))
                        (image(maps, &format!("{shown} feature maps of it"), scale(maps, 360)))
                    }
                }
            }
        }
    }
}

/// Dotted keys and values.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let join = |step: &str| if path.is_empty() { step.to_string() } else { format!("{path}.{step}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(key, v)| flatten(&join(key), v, rows)),
        Value::Array(list) => {
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), String::from);
            let text = list.iter().map(text).collect::<Vec<_>>().join(", ");
            rows.push((path.into(), if text.is_empty() { "none".into() } else { text }));
        }
        Value::String(text) => rows.push((path.into(), text.clone())),
        value => rows.push((path.into(), value.to_string())),
    }
}
