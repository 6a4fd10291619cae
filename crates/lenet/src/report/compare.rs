//! The sections that compare several runs with the first.

use super::chart::{curves, reliability};
use super::page::{Section, numbers, percent, table, wide};
use super::sections::{BINS, MATRIX, series};
use super::{ReportError, RunReport};
use crate::metrics::Confusion;
use crate::spec::differences;
use crate::text::thousands;
use crate::train::EpochMetrics;
use maud::{Markup, html};

pub fn sections(runs: &[RunReport], names: &[String]) -> Result<Vec<Section>, ReportError> {
    let mut sections = Vec::new();
    let mut add = |id: &str, title: &str, body: Markup| {
        sections.push(Section { id: id.into(), title: title.into(), level: 2, body });
    };
    add("final", "Final numbers", last_numbers(runs, names));
    add("recipes", "What the recipes differ in", recipes(runs, names));
    add("curves", "Curves", overlaid(runs, names)?);
    let comparable = comparable(runs);
    if comparable.len() > 1 {
        add("classes", "F1 of each class", classes(&comparable, names));
        add("calibration", "Calibration", calibration(&comparable, names)?);
        add("confusion", "Differences of confusion", confusions(&comparable, names));
    }
    Ok(sections)
}

/// A run whose predictions can be compared with those of the first: its number, itself, its confusion.
type Comparable<'a> = (usize, &'a RunReport, Confusion);

/// Runs that were measured on the same images of the same classes as the first that was measured.
fn comparable(runs: &[RunReport]) -> Vec<Comparable<'_>> {
    let known = |(i, run): (usize, &'_ RunReport)| Some((i, run.evidence.as_ref()?.predictions.confusion()));
    let measured: Vec<_> = runs.iter().enumerate().filter_map(known).collect();
    let same = |a: &RunReport, b: &RunReport| {
        let classes = |r: &RunReport| r.model.as_ref().map(|m| m.classes.clone());
        let images = |r: &RunReport| r.evidence.as_ref().map(|e| (e.data.clone(), e.predictions.labels.clone()));
        classes(a) == classes(b) && images(a) == images(b)
    };
    let Some(first) = measured.first().map(|m| m.0) else { return Vec::new() };
    let fit = measured.into_iter().filter(|(i, _)| same(&runs[first], &runs[*i]));
    fit.map(|(i, confusion)| (i, &runs[i], confusion)).collect()
}

fn last_numbers(runs: &[RunReport], names: &[String]) -> Markup {
    let none = || "–".to_string();
    let fine = |v: Option<f64>| v.map_or_else(none, |v| format!("{v:.4}"));
    let whole = |n: Option<u64>| n.map_or_else(none, thousands);
    let images = |e: &super::Evidence| format!("{} {}", thousands(e.predictions.len() as u64), e.part.name());
    let seconds = |run: &RunReport| run.metrics.iter().map(|m| m.train_seconds).sum::<f64>();
    type Value<'a> = &'a dyn Fn(&RunReport) -> String;
    let rows: [(&str, Value); 13] = [
        ("Images measured on", &|r| r.evidence.as_ref().map_or_else(none, images)),
        ("Accuracy on them", &|r| {
            r.evidence.as_ref().map_or_else(none, |e| percent(e.predictions.confusion().accuracy()))
        }),
        ("Loss on them", &|r| fine(r.evidence.as_ref().map(|e| e.predictions.log_loss()))),
        ("Expected calibration error", &|r| {
            fine(r.evidence.as_ref().map(|e| e.predictions.calibration(BINS).expected_error()))
        }),
        ("Epochs", &|r| r.metrics.len().to_string()),
        ("Training loss, last epoch", &|r| fine(r.last().map(|m| m.train_loss))),
        ("Training accuracy, last epoch", &|r| fine(r.last().map(|m| m.train_accuracy))),
        ("Validation accuracy, last epoch", &|r| fine(r.last().and_then(|m| m.val_accuracy))),
        ("Test accuracy, last epoch", &|r| fine(r.last().and_then(|m| m.test_accuracy))),
        ("Parameters", &|r| whole(r.summary().map(|s| s.parameters as u64))),
        ("Multiply-adds an image", &|r| whole(r.summary().map(|s| s.multiply_adds))),
        ("Training seconds", &|r| format!("{:.1}", seconds(r))),
        ("Images a second, last epoch", &|r| whole(r.last().map(|m| m.images_per_second.max(0.0) as u64))),
    ];
    let rows = rows.map(|(name, value)| std::iter::once(name.to_string()).chain(runs.iter().map(value)).collect());
    let columns: Vec<&str> = std::iter::once("Measure").chain(names.iter().map(|n| &n[..])).collect();
    table("Final numbers of the runs", "The models, and the last epochs' metrics", &columns, rows)
}

fn overlaid(runs: &[RunReport], names: &[String]) -> Result<Markup, ReportError> {
    type Of = fn(&EpochMetrics) -> Option<f64>;
    let charts: [(&str, &str, &str, Of); 7] = [
        ("train-loss", "Training loss", "loss", |m| Some(m.train_loss)),
        ("val-loss", "Validation loss", "loss", |m| m.val_loss),
        ("test-loss", "Test loss", "loss", |m| m.test_loss),
        ("train-accuracy", "Training accuracy", "accuracy", |m| Some(m.train_accuracy)),
        ("val-accuracy", "Validation accuracy", "accuracy", |m| m.val_accuracy),
        ("test-accuracy", "Test accuracy", "accuracy", |m| m.test_accuracy),
        ("lr", "Learning rate", "learning rate", |m| Some(f64::from(m.lr))),
    ];
    let mut drawn = Vec::new();
    for (id, title, unit, of) in charts {
        // Every run keeps its colour, also where another has no values.
        let all: Vec<_> = runs.iter().zip(names).map(|(run, name)| series(name, &run.metrics, of)).collect();
        if all.iter().any(|s| !s.points.is_empty()) {
            drawn.push(curves(id, title, unit, &all)?);
        }
    }
    Ok(html! {
        div.plots { @for chart in &drawn { (chart) } }
        p { "The numbers of these curves are with each run below." }
    })
}

fn classes(runs: &[Comparable], names: &[String]) -> Markup {
    let Some(model) = runs.first().and_then(|r| r.1.model.as_ref()) else { return html! {} };
    let columns: Vec<&str> = std::iter::once("Class").chain(runs.iter().map(|r| &names[r.0][..])).collect();
    let each: Vec<_> = runs.iter().map(|r| r.2.per_class()).collect();
    let rows = model.classes.iter().enumerate().map(|(i, class)| {
        let values = each.iter().map(|e| format!("{:.4}", e[i].f1));
        std::iter::once(class.clone()).chain(values).collect()
    });
    let average = runs.iter().map(|r| format!("{:.4}", r.2.macro_average().f1));
    let average = std::iter::once("mean of the classes".to_string()).chain(average).collect();
    table("F1 of the runs", "Harmonic mean of precision and recall", &columns, rows.chain([average]))
}

fn calibration(runs: &[Comparable], names: &[String]) -> Result<Markup, ReportError> {
    let of = |r: &RunReport| r.evidence.as_ref().map(|e| e.predictions.calibration(BINS));
    let all: Vec<_> = runs.iter().filter_map(|(i, run, _)| Some((&names[*i][..], of(run)?))).collect();
    let columns: Vec<&str> = std::iter::once("Confidence").chain(all.iter().map(|a| a.0)).collect();
    let rows = (0..BINS).filter(|&b| all.iter().any(|a| a.1.bins[b].count > 0)).map(|b| {
        let range = format!("{:.2} to {:.2}", b as f64 / BINS as f64, (b + 1) as f64 / BINS as f64);
        let value = |a: &(&str, crate::metrics::Calibration)| match a.1.bins[b] {
            bin if bin.count > 0 => format!("{:.4} of {}", bin.accuracy, thousands(bin.count as u64)),
            _ => "–".into(),
        };
        std::iter::once(range).chain(all.iter().map(value)).collect()
    });
    let rows =
        table("Calibration of the runs", "Accuracy and number of images of each bin of confidence", &columns, rows);
    Ok(html! {
        div.plots { (reliability("reliability", "Reliability diagram", &all)?) }
        (numbers("The numbers of this diagram", rows))
    })
}

fn confusions(runs: &[Comparable], names: &[String]) -> Markup {
    let Some(((first, run, base), others)) = runs.split_first() else { return html! {} };
    let Some(classes) = run.model.as_ref().map(|m| &m.classes) else { return html! {} };
    if classes.len() > MATRIX {
        return html! { p { (classes.len()) " classes make too large a matrix." } };
    }
    let first = &names[*first];
    html! {
        @for (i, _, other) in others {
            @let name = &names[*i];
            (wide(&format!("Differences of confusion, {name} less {first}"), difference(base, other, classes, first, name)))
        }
    }
}

/// Counts of the other run less those of the first; blue where the other is better, orange where it is worse.
fn difference(base: &Confusion, other: &Confusion, classes: &[String], first: &str, name: &str) -> Markup {
    let of = |a: usize, p: usize| other.count(a, p) as i64 - base.count(a, p) as i64;
    let all = (0..classes.len()).flat_map(|a| (0..classes.len()).map(move |p| (a, p)));
    let most = all.map(|(a, p)| of(a, p).abs()).max().unwrap_or(0).max(1);
    html! {
        table.matrix {
            caption {
                "Counts of " (name) " less those of " (first) ". Rows are the true classes, columns what the models said; "
                "blue is better, orange is worse."
            }
            thead { tr { td {} @for class in classes { th scope="col" { span { (class) } } } } }
            tbody {
                @for (actual, class) in classes.iter().enumerate() {
                    tr {
                        th scope="row" { (class) }
                        @for predicted in 0..classes.len() {
                            @let change = of(actual, predicted);
                            @if change == 0 { td.none { "0" } } @else {
                                @let better = (change > 0) == (actual == predicted);
                                @let depth = (change.abs() as f64 / most as f64).sqrt();
                                td class=(if better { "right" } else { "wrong" }) style=(format!("--depth:{depth:.2}")) {
                                    (format!("{change:+}").replace('-', "−"))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn recipes(runs: &[RunReport], names: &[String]) -> Markup {
    let Some((first, others)) = runs.split_first() else { return html! {} };
    let value = |v: Option<String>| v.unwrap_or_else(|| "–".into());
    html! {
        @for (other, name) in others.iter().zip(&names[1..]) {
            @let rows = differences(&first.recipe, &other.recipe);
            @if rows.is_empty() { p { (names[0]) " and " (name) " have the same recipe." } } @else {
                @let label = format!("Recipes of {} and {name}", names[0]);
                @let rows = rows.into_iter().map(|d| vec![d.key, value(d.a), value(d.b)]);
                (table(&label, &format!("Keys in which {} and {name} differ", names[0]), &["Key", &names[0], name], rows))
            }
        }
    }
}
