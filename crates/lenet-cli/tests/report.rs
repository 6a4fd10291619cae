//! `lenet report`, as a user calls it.

use crate::kit::{json, metrics, refused, run, source};
use std::fs::read_to_string;

#[test]
fn a_run_leaves_its_report_and_several_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let train = |out: &str, more: &[&str]| {
        run(dir, &[&["train", "softmax", "--data", &data, "--epochs", "2", "--out", out], more].concat())
    };
    train("a", &["--val-fraction", "0.25"]);
    train("b", &["--set", "lr=0.02"]);
    let left = read_to_string(dir.join("a/report.html")).unwrap();
    std::fs::remove_file(dir.join("a/report.html")).unwrap();
    let (out, _) = run(dir, &["report", "a", "--threads", "1"]);
    assert!(out.starts_with("a/report.html, ") && out.ends_with(" kB\n"), "{out}");
    assert_eq!(read_to_string(dir.join("a/report.html")).unwrap(), left, "the training's own report is the same");
    assert!(left.contains("256 test images"));
    // What `eval` says of the same images, from other code.
    let eval = json(&run(dir, &["eval", "a", "--json"]).0);
    let facts = [
        format!("{:.2} %", 100.0 * eval["accuracy"].as_f64().unwrap()),
        format!("{:.4}", eval["loss"].as_f64().unwrap()),
    ];
    for fact in facts {
        assert!(left.contains(&format!("<dd>{fact}</dd>")), "{fact}");
    }

    let told = json(&run(dir, &["report", "a/", "b", "a", "-o", "both.html", "--json"]).0);
    let both = read_to_string(dir.join("both.html")).unwrap();
    assert_eq!((told["report"].as_str(), told["bytes"].as_u64()), (Some("both.html"), Some(both.len() as u64)));
    assert!(both.contains("<title>a (1), b, a (2) compared</title>"));
    assert!(both.contains("train.lr") && both.contains("train.val_fraction"));

    let (_, _) = run(dir, &["report", "a", "--split", "val", "-o", "val.html"]);
    let (page, last) = (read_to_string(dir.join("val.html")).unwrap(), metrics(&dir.join("a")).pop().unwrap());
    let accuracy = format!("<dd>{:.2} %</dd>", 100.0 * last["val_accuracy"].as_f64().unwrap());
    assert!(page.contains(" validation images of ") && page.contains(&accuracy), "the training saw the same images");
    refused(dir, &["report", "b", "--split", "val"], 2, &["no validation images", "train.val_fraction"]);
    refused(dir, &["report", "nowhere"], 2, &["nowhere", "recipe.toml"]);
    refused(dir, &["report", "a", "-o", "no/such/place.html"], 1, &["no/such/place.html"]);
    std::fs::write(dir.join("b/metrics.jsonl"), "{}\n").unwrap();
    refused(dir, &["report", "b"], 1, &["metrics.jsonl", "epoch 1"]);
}
