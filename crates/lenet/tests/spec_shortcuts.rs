//! Overrides that name layers by their sort.
use lenet::spec::{Document, preset};

fn set(overrides: &[&str]) -> Result<String, String> {
    let mut document = Document::parse(preset("lenet").ok_or("no preset")?, "lenet").map_err(|e| e.to_string())?;
    for o in overrides {
        document.set(o).map_err(|e| e.to_string())?;
    }
    Ok(document.recipe().map_err(|e| format!("{e:?}"))?.to_toml())
}

#[test]
fn a_sort_and_a_number_are_the_layer_at_that_position() {
    let short = set(&["model.pool=max", "model.conv.1.window=3", "model.dense.0.units=64", "pool.0.window=2"]);
    let long = set(&["pool=max_pool", "model.layers.3.window=3", "model.layers.7.units=64"]);
    assert_eq!(short.unwrap(), long.unwrap());
}

#[test]
fn a_number_too_high_says_how_many_there_are() {
    let error = set(&["model.conv.2.channels=12"]).unwrap_err();
    assert!(error.contains("2 conv layers") && error.contains("from 0 to 1"), "{error}");
}
