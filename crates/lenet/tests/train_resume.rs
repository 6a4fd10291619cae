//! However a training is stopped or killed, it ends byte for byte where an undisturbed one ends.

use crate::kit::train::*;
use crate::kit::{data, files, metrics};
use lenet::train::{Event, Outcome, Run};
use std::fs;

#[test]
fn stopped_at_any_step_then_killed_then_resumed() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let whole = dir.path().join("whole");
    assert_eq!(train(&recipe, &data, &whole, None).unwrap(), Outcome::Finished);
    let expected = results(&whole);
    for stop in 1..STEPS {
        let run = dir.path().join(format!("stopped-{stop}"));
        assert_eq!(train(&recipe, &data, &run, Some(stop)).unwrap(), Outcome::Interrupted);
        // Two more steps, which are lost.
        let mut steps = 0;
        kill(&recipe, &data, &run, |event| {
            steps += usize::from(matches!(event, Event::Step { .. }));
            steps == 2 || (stop > STEPS - 2 && matches!(event, Event::Epoch(_)))
        });
        train(&recipe, &data, &run, None).unwrap();
        assert_eq!(results(&run), expected, "stopped after step {stop}");
        assert_eq!(files(&run), files(&whole));
    }
}

#[test]
fn killed_at_every_event_before_anything_else_was_saved() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let whole = dir.path().join("whole");
    train(&recipe, &data, &whole, None).unwrap();
    let expected = results(&whole);
    // Started, 12 steps, 3 checkpoints, 3 epochs.
    for event in 1..=19 {
        let run = dir.path().join(format!("killed-{event}"));
        let mut events = 0;
        kill(&recipe, &data, &run, |_| {
            events += 1;
            events == event
        });
        train(&recipe, &data, &run, None).unwrap();
        assert_eq!(results(&run), expected, "killed at event {event}");
    }
}

#[test]
fn stopped_after_every_single_step() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    train(&recipe, &data, &whole, None).unwrap();
    let mut stops = 0;
    while Outcome::Interrupted == train(&recipe, &data, &run, Some(1)).unwrap() {
        stops += 1;
    }
    assert_eq!(stops, STEPS);
    assert_eq!(results(&run), results(&whole));
}

/// A process may die between writing an epoch's line and its checkpoint.
#[test]
fn lines_past_the_checkpoint_are_dropped_and_none_may_be_missing() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    train(&recipe, &data, &whole, None).unwrap();
    train(&recipe, &data, &run, Some(6)).unwrap();
    let metrics = run.join("metrics.jsonl");
    let first = fs::read_to_string(&metrics).unwrap();
    assert_eq!(first.lines().count(), 1);
    fs::write(&metrics, format!("{first}{}{{\"epo", first.replace("\"epoch\":1", "\"epoch\":2"))).unwrap();
    train(&recipe, &data, &run, Some(1)).unwrap();
    assert_eq!(fs::read_to_string(&metrics).unwrap(), first);
    fs::write(&metrics, "").unwrap();
    let error = train(&recipe, &data, &run, None).unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl:1: these are not the metrics of epoch 1"), "{error}");
    fs::write(&metrics, first).unwrap();
    train(&recipe, &data, &run, None).unwrap();
    assert_eq!(results(&run), results(&whole));
}

#[test]
fn what_a_killed_writer_left_is_removed() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    train(&recipe, &data, &whole, None).unwrap();
    train(&recipe, &data, &run, Some(5)).unwrap();
    fs::create_dir_all(run.join("model")).unwrap();
    for name in [".metrics.jsonl.77-1.tmp", "checkpoint/.last.safetensors.77-2.tmp", "model/.config.json.77-3.tmp"] {
        fs::write(run.join(name), "half").unwrap();
    }
    train(&recipe, &data, &run, None).unwrap();
    assert_eq!(files(&run), files(&whole));
}

#[test]
fn a_finished_run_can_be_prolonged_but_not_shortened() {
    let (short, long) = (recipe(&["train.epochs=2"]), recipe(&[]));
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    train(&long, &data, &whole, None).unwrap();
    train(&short, &data, &run, None).unwrap();
    let finished = results(&run);
    assert_eq!(train(&short, &data, &run, None).unwrap(), Outcome::Finished);
    assert_eq!(results(&run), finished, "nothing is left to do");
    train(&long, &data, &run, None).unwrap();
    assert_eq!(results(&run), results(&whole));
    let error = train(&short, &data, &run, None).unwrap_err().to_string();
    assert!(error.contains("has 3 epochs and 0 steps done, 2 epochs are asked for"), "{error}");
}

#[test]
fn an_earlier_checkpoint_is_as_good_as_the_last() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let run = dir.path().join("run");
    train(&recipe, &data, &run, Some(7)).unwrap();
    let last = run.join("checkpoint/last.safetensors");
    let kept = fs::read(&last).unwrap();
    train(&recipe, &data, &run, None).unwrap();
    let expected = results(&run);
    fs::write(&last, kept).unwrap();
    let again = Some(Run::open(&run).unwrap());
    let mut trainer = trainer(&recipe, &data, engine(&recipe, &data, 3), again).unwrap();
    let mut first = None;
    let outcome = trainer.run(&mut |event| {
        if let (None, Event::Started { epoch, step }) = (first, event) {
            first = Some((*epoch, *step));
        }
        lenet::train::Control::Continue
    });
    assert_eq!((outcome.unwrap(), first), (Outcome::Finished, Some((1, 3))));
    assert_eq!(results(&run), expected);
}

/// Everything that training keeps beside the parameters has to come back.
#[test]
fn velocity_average_schedule_clipping_and_validation_split_survive() {
    let common = ["lr=0.02", "ema=0.9", "clip_norm=0.5", "val_fraction=0.2", "schedule=cosine", "weight_decay=0.01"];
    for optimizer in [&["momentum=0.9", "nesterov=true"][..], &["optimizer=adamw"], &["optimizer=muon"]] {
        let (recipe, data, dir) = (recipe(&[&common, optimizer].concat()), data(), tempfile::tempdir().unwrap());
        let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
        train(&recipe, &data, &whole, None).unwrap();
        let expected = results(&whole);
        for tensor in ["last optimizer.state", "last ema.parameters"] {
            assert!(expected.iter().any(|(name, _)| name == tensor), "{tensor}");
        }
        // 80 images in batches of 32: three steps an epoch. Every second step is stopped after, the next one lost.
        while Outcome::Interrupted == train(&recipe, &data, &run, Some(2)).unwrap() {
            kill(&recipe, &data, &run, |event| matches!(event, Event::Step { .. } | Event::Checkpoint { .. }));
        }
        train(&recipe, &data, &run, None).unwrap();
        assert_eq!(results(&run), expected);
        let threads = dir.path().join("threads");
        let mut three =
            trainer(&recipe, &data, engine(&recipe, &data, 3), Some(open(&recipe, &threads).unwrap())).unwrap();
        three.run(&mut |_| lenet::train::Control::Continue).unwrap();
        assert_eq!(results(&threads), expected);
    }
}

/// A cosine over other epochs is another training.
#[test]
fn a_run_whose_schedule_looks_at_the_end_cannot_be_prolonged() {
    let (short, long) = (recipe(&["schedule=cosine", "epochs=2"]), recipe(&["schedule=cosine"]));
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    train(&short, &data, dir.path(), None).unwrap();
    let error = train(&long, &data, dir.path(), None).unwrap_err().to_string();
    assert!(error.contains("train.epochs is 2 there and 3 here"), "{error}");
}

#[test]
fn training_ends_when_validation_gets_no_better() {
    // Steps so small that no prediction changes: the first epoch stays the best.
    let recipe = recipe(&["lr=1e-9", "epochs=9", "val_fraction=0.2", "patience=2"]);
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    assert_eq!(train(&recipe, &data, dir.path(), None).unwrap(), Outcome::Finished);
    assert_eq!(metrics(dir.path()).len(), 3);
    assert_eq!(train(&recipe, &data, dir.path(), None).unwrap(), Outcome::Finished);
    assert_eq!(metrics(dir.path()).len(), 3);
}
