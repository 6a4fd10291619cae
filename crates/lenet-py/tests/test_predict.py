"""Predictions: those of the command line, from arrays of every kind, and what is refused."""

import json
import os
import signal
import sys
import threading

import lenet
import numpy as np
import pytest
from conftest import IDX, PICTURES


def test_predictions_are_the_command_lines_bit_for_bit(model, cli, tmp_path):
    model.save(tmp_path / "model")
    lines = [json.loads(line) for line in cli("predict", tmp_path / "model", *PICTURES, "--top", 10, "--json").splitlines()]
    theirs = np.zeros((len(lines), 10), np.float64)
    for row, line in zip(theirs, lines):
        row[[entry["index"] for entry in line["top"]]] = [entry["probability"] for entry in line["top"]]
    ours = model.predict(PICTURES)
    assert ours.dtype == np.float32 and np.array_equal(ours, theirs.astype(np.float32))
    assert model.classify(PICTURES) == [line["top"][0]["class"] for line in lines]
    assert np.array_equal(model.predict(str(PICTURES[1])), ours[1:2])


def test_evaluation_is_the_command_lines(model, cli, tmp_path, test_pair):
    model.save(tmp_path / "model")
    line = json.loads(cli("eval", tmp_path / "model", "--json"))
    score = {key: line[key] for key in ("images", "accuracy", "loss")}
    assert score == model.evaluate() == model.evaluate(IDX) == model.evaluate(test_pair) == lenet.evaluate(tmp_path / "model")
    assert model.evaluate(split="train")["images"] == 512
    best = model.logits(test_pair[0]).argmax(1)
    assert score["accuracy"] == np.mean(best == test_pair[1])
    probabilities = model.predict(test_pair[0])[np.arange(256), test_pair[1]]
    assert score["loss"] == pytest.approx(-np.log(probabilities).mean(), rel=1e-6)


def test_every_way_to_give_images_gives_the_same(model, images):
    few, n = images[:40], 40
    logits = model.logits(few)
    assert logits.shape == (n, 10) and logits.dtype == np.float32 and logits.flags.c_contiguous and logits.flags.owndata
    floats = few.astype(np.float32) / 255
    read_only = few.copy()
    read_only.setflags(write=False)
    unaligned = np.frombuffer(b"\0" + floats.tobytes(), np.uint8)[1:].view(np.float32).reshape(floats.shape)
    for x in [
        few[:, None], floats, few / 255, floats.astype(">f4"), np.repeat(few, 2, 1)[:, ::2], few[::-1][::-1], read_only,
        np.asfortranarray(few), np.asfortranarray(floats), unaligned, list(few), few.tolist() and memoryview(few),
    ]:
        assert np.array_equal(model.logits(x), logits)
    one_by_one = [model.logits(image) for image in few]
    assert np.array_equal(np.concatenate(one_by_one), logits)
    assert model.predict(few[:0]).shape == (0, 10)


def test_probabilities_are_the_softmax(model, images):
    logits = model.logits(images).astype(np.float64)
    exps = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(model.predict(images), exps / exps.sum(1, keepdims=True), rtol=1e-6)
    assert model.classify(images) == [model.classes[i] for i in logits.argmax(1)]


def test_colour_and_a_normalisation(colour):
    x = np.random.default_rng(1).integers(0, 256, (20, 3, 12, 12), np.uint8)
    logits = colour.logits(x)
    assert np.array_equal(colour.logits(x.astype(np.float32) / 255), logits)
    assert np.array_equal(colour.logits(x[4]), logits[4:5])
    normalised = colour.activations("input", x)
    np.testing.assert_allclose(normalised.mean(), 0, atol=0.1)
    np.testing.assert_allclose(colour.logits(normalised, normalized=True), logits, atol=1e-6)
    with pytest.raises(lenet.Error, match=r"x has the shape \(20, 12, 12, 3\).*transpose\(0, 3, 1, 2\)"):
        colour.predict(x.transpose(0, 2, 3, 1))


def test_many_threads_of_python_predict_at_once(model, images):
    want = model.predict(images)
    wrong = []

    def work(start):
        for i in range(start, 400, 8):
            some = images[i : i + 1 + i % 50]
            if not np.array_equal(model.predict(some), want[i : i + 1 + i % 50]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_predicts(images):
    model = lenet.train("softmax", data=IDX, epochs=1, threads=3)
    want = model.predict(images)
    child = os.fork()
    if child == 0:
        ok = np.array_equal(model.predict(images), want)
        del model
        os._exit(0 if ok else 1)
    # A hang is for the caller's time limit.
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_signals_are_handled_within_a_long_prediction(model):
    x = np.zeros((40_000, 28, 28), np.uint8)
    handled = []
    before = signal.signal(signal.SIGALRM, lambda *_: handled.append(model.predict(x[:1]).shape))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        model.predict(x)
        assert len(handled) > 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_activations(model, images):
    few = images[:20]
    np.testing.assert_allclose(model.activations("input", few)[:, 0], few / 255, atol=1e-7)
    np.testing.assert_allclose(model.activations(model.layers[-1], few), model.logits(few), atol=1e-5)
    # The first layer by its definition, a cross-correlation over two zeros on each side.
    weights = model.state_dict()
    padded = np.pad(few / 255, ((0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))
    want = np.einsum("nhwij,oij->nohw", windows, weights["0.weight"][:, 0]) + weights["0.bias"][:, None, None]
    first = model.activations(0, few)
    assert first.dtype == np.float32 and first.shape == want.shape
    np.testing.assert_allclose(first, want, atol=1e-5)
    np.testing.assert_array_equal(model.activations("1", few), np.maximum(first, 0))
    with pytest.raises(lenet.Error, match="no layer \"99\""):
        model.activations(99, few)
    with pytest.raises(lenet.Error, match="uint8"):
        model.activations(0, few / 255)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (np.zeros((5, 27, 28), np.uint8), lenet.Error, r"x has the shape \(5, 27, 28\), the model takes \(n, 28, 28\)"),
        (np.zeros((5, 3, 28, 28), np.uint8), lenet.Error, r"\(5, 3, 28, 28\)"),
        (np.zeros((5, 28, 28, 1), np.float32), lenet.Error, "channels first"),
        (np.zeros(784, np.uint8), lenet.Error, r"\(784,\)"),
        (np.uint8(3), lenet.Error, r"\(\)"),
        (np.zeros((2, 28, 28), np.int64), TypeError, "x holds int64"),
        (np.zeros((2, 28, 28), np.int8), TypeError, "x holds int8"),
        (np.zeros((2, 28, 28), bool), TypeError, "x holds bool"),
        (np.zeros((2, 28, 28), complex), TypeError, "x holds complex"),
        (np.zeros((2, 28, 28), object), TypeError, "x holds object"),
        (np.full((2, 28, 28), 255.0, np.float32), lenet.Error, "x holds 255.*divide bytes by 255"),
        (np.full((2, 28, 28), -1.0), lenet.Error, "x holds -1"),
        (np.full((2, 28, 28), np.nan, np.float32), lenet.Error, "NaN at position 0 of 1568"),
        (np.full((300, 28, 28), np.inf, np.float32), lenet.Error, "inf at position"),
        (None, TypeError, "x holds object"),
        (3j, TypeError, "x holds complex"),
        ({}, TypeError, "x holds object"),
        ([], lenet.Error, r"\(0,\)"),
        ("nowhere.png", FileNotFoundError, "nowhere.png"),
        (["nowhere.png", 3], TypeError, None),
        (__file__, lenet.Error, "no picture"),
        (os.path.dirname(__file__), OSError, None),
    ],
)
def test_what_is_no_image_is_refused(model, x, kind, message):
    for method in (model.predict, model.logits, model.classify):
        with pytest.raises(kind, match=message):
            method(x)
    # Floats are refused for what they are.
    with pytest.raises(kind):
        model.activations(0, x)
    # Nothing is held on to.
    if isinstance(x, np.ndarray) and x.ndim:
        x[...] = 0


def test_one_value_that_is_no_number_is_found(model, images):
    for n in (1, 40):
        for bad in (np.nan, np.inf, -np.inf):
            x = images[:n].astype(np.float32) / 255
            x[-1, 27, 27] = bad
            with pytest.raises(lenet.Error, match=f"at position {n * 784 - 1} of {n * 784}"):
                model.predict(x)
            with pytest.raises(lenet.Error, match="must be finite"):
                model.logits(x, normalized=True)


def test_calls_keep_no_references(model, images):
    x = images[:3].copy()
    before = sys.getrefcount(x)
    for _ in range(10):
        model.predict(x)
    assert sys.getrefcount(x) == before
