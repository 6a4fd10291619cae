//! Predictions of a program that embeds the library: the same as the engine's, and without an allocation.

use crate::kit::{Normalization, fixtures, preset, untrained};
use lenet::data::picture::{self, Invert};
use lenet::engine::CpuOptions;
use lenet::model::Model;
use lenet::predict::Classifier;
use lenet::spec::Recipe;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The allocator of the whole program: each test counts what its own thread does.
struct Counting;

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A preset's network with its initial weights.
fn model(name: &str, flip_test: bool) -> Model {
    let normalization = Normalization { mean: vec![0.3], std: vec![0.4] };
    Model { normalization, flip_test, ..untrained(preset(name), &Recipe::load(name).unwrap().train) }
}

fn images() -> Vec<Vec<u8>> {
    (0..4usize).map(|n| (0..784).map(|i| (i * (n + 3) * 7 % 256) as u8).collect()).collect()
}

#[test]
fn nothing_is_allocated_after_the_first_image() {
    let images = images();
    // Samples on their own, with normalisations and sums too, and some that pass as a chunk.
    for (preset, flip) in [
        ("lenet", false),
        ("lenet", true),
        ("lenet-relu-max", false),
        ("mlp", false),
        ("softmax", true),
        ("lenet-modern", false),
        ("small", true),
        ("lenet5-1998", false),
    ] {
        let mut classifier = Classifier::new(model(preset, flip)).unwrap();
        let count = ALLOCATIONS.get();
        let first = classifier.classify(&images[0]).unwrap().class;
        // What passes as a chunk has all its buffers from the start.
        let is_chunk = ["lenet-modern", "lenet5-1998"].contains(&preset);
        assert!(is_chunk || ALLOCATIONS.get() > count, "{preset}: the count does not count");
        let count = ALLOCATIONS.get();
        let mut sum = 0.0;
        for image in &images {
            let prediction = classifier.classify(image).unwrap();
            sum += prediction.probability() + prediction.label().len() as f32;
        }
        assert_eq!(ALLOCATIONS.get(), count, "{preset}");
        assert!(sum.is_finite() && classifier.classify(&images[0]).unwrap().class == first);
    }
}

#[test]
fn predictions_are_those_of_the_model() {
    let images = images();
    // With and without mirror images; one that goes through the engine as a chunk.
    for (preset, flip) in [("lenet", false), ("lenet-relu-max", true), ("small", true), ("lenet5-1998", true)] {
        let model = model(preset, flip);
        let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
        let mut classifier = Classifier::new(model.clone()).unwrap();
        for image in &images {
            let logits = model.logits_of(&mut engine, image, &[0]).unwrap();
            let prediction = classifier.classify(image).unwrap();
            assert_eq!(prediction.logits, logits, "{preset}");
            let exps: Vec<f64> = logits.iter().map(|&z| f64::from(z).exp()).collect();
            let sum: f64 = exps.iter().sum();
            for (p, e) in prediction.probabilities.iter().zip(&exps) {
                assert!((f64::from(*p) - e / sum).abs() < 1e-6, "{preset}");
            }
            let (name, probability) = prediction.ranking()[0];
            assert_eq!((name, probability), (prediction.label(), prediction.probability()));
        }
    }
}

#[test]
fn pictures_are_fitted_as_elsewhere_and_misfits_refused() {
    let bytes = std::fs::read(fixtures().join("pictures/08-sandal.png")).unwrap();
    let mut classifier = Classifier::new(model("lenet", false)).unwrap();
    let prepared = picture::prepare(&bytes, classifier.input(), Invert::Auto).unwrap();
    let expected = classifier.classify(&prepared.pixels).unwrap().logits.to_vec();
    assert_eq!(classifier.classify_picture(&bytes, Invert::Auto).unwrap().logits, expected);
    let error = classifier.classify(&[0; 783]).unwrap_err().to_string();
    assert_eq!(error, "783 bytes are no image of [1, 28, 28], channels, rows, columns");
    assert!(classifier.classify_picture(b"GIF89a", Invert::Auto).is_err());
    assert!(Classifier::load("nowhere".as_ref()).is_err());
}
