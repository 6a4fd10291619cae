"""Training: the same as the command line's, from names, files, dicts and arrays; callbacks; runs."""

import json
import pathlib

import lenet
import numpy as np
import pytest
from conftest import IDX


def files(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def test_the_model_is_the_command_lines_byte_for_byte(cli, tmp_path):
    ours, theirs = tmp_path / "python", tmp_path / "cli"
    settings = ["--set", "train.lr=0.5", "--set", "conv.0.channels=8", "--set", "activation=relu"]
    cli("train", "lenet", "--data", IDX, "--epochs", 2, "--seed", 3, *settings, "--out", theirs)
    told = []
    model = lenet.train(
        "lenet", data=IDX, epochs=2, seed=3, activation="relu", out=ours, callback=told.append,
        set={"train.lr": 0.5, "conv.0.channels": 8},
    )
    assert files(ours / "model") == files(theirs / "model")
    assert (ours / "recipe.toml").read_text() == (theirs / "recipe.toml").read_text()
    # Version, CPU, features, threads, the data's checksums: Python's once lacked some.
    assert json.loads((ours / "environment.json").read_text()) == json.loads((theirs / "environment.json").read_text())
    lines = [json.loads(line) for line in (ours / "metrics.jsonl").read_text().splitlines()]
    assert told == lines == model.metrics == lenet.load(ours).metrics
    assert model.run == str(ours) and model.training["recipe"] == "lenet"
    timeless = [{k: v for k, v in line.items() if "second" not in k} for line in lines]
    for line, other in zip(timeless, (theirs / "metrics.jsonl").read_text().splitlines()):
        assert line.items() <= json.loads(other).items()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_nothing(threads, model):
    again = lenet.train("lenet-relu-max", data=IDX, epochs=4, seed=1, threads=threads)
    assert same(again, model)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("form", ["bytes", "channels", "float32", "float64", "strided", "fortran", "big-endian", "list"])
def test_arrays_train_as_the_same_images_from_files(form, model, images, labels, test_pair):
    x = {
        "bytes": lambda: images, "channels": lambda: images[:, None],
        "float32": lambda: images.astype(np.float32) / 255, "float64": lambda: images / 255,
        "strided": lambda: np.repeat(images, 2, axis=2)[:, :, ::2], "fortran": lambda: np.asfortranarray(images),
        "big-endian": lambda: (images / 255).astype(">f4"), "list": lambda: list(images),
    }[form]()
    trained = lenet.train("lenet-relu-max", data=(x, labels), test=test_pair, epochs=4, seed=1)
    assert same(trained, model)
    assert trained.metrics[-1]["test_accuracy"] == model.metrics[-1]["test_accuracy"]


def test_without_test_images_a_fifth_of_every_class_is_kept(images):
    y = np.arange(512) % 4
    told = []
    a = lenet.train("softmax", data=(images, y), epochs=1, batch=512, seed=1, callback=told.append)
    # 26 of 128 images of each of 4 classes.
    correct = told[0]["test_accuracy"] * 4 * 26
    assert correct == pytest.approx(round(correct), abs=1e-9) and told[0]["train_accuracy"] <= 1
    assert a.classes == ["0", "1", "2", "3"]
    assert lenet.train("softmax", data=(images, y), epochs=1, classes=list("abcd")).classes == list("abcd")


def test_a_dict_is_a_recipe(model):
    recipe = {"preset": "lenet-relu-max", "data": {"source": IDX}, "train": {"epochs": 4, "seed": np.int64(1)}}
    assert same(lenet.train(recipe), model)
    recipe = {
        "data": {"source": IDX},
        "model": {"layers": [{"type": "flatten"}, {"type": "dense", "units": "classes"}]},
        "train": {"epochs": 1, "lr": np.float32(0.1), "batch": 64},
    }
    assert lenet.train(recipe).parameters == 28 * 28 * 10 + 10


def test_a_file_is_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'preset = "softmax"\n[data]\nsource = "{IDX}"\n[train]\nepochs = 1\n')
    assert lenet.train(path).training["recipe"] == "mine"


@pytest.mark.parametrize("no", [False, np.False_])
def test_a_callback_ends_the_training_by_false(no, tmp_path):
    told = []

    def callback(metrics):
        told.append(metrics)
        return no if len(told) == 2 else None

    model = lenet.train(data=IDX, epochs=50, out=tmp_path / "run", callback=callback)
    assert [m["epoch"] for m in told] == [1, 2] and model.training["epochs"] == 2
    assert same(lenet.load(tmp_path / "run"), model)
    # It goes on where it was.
    more = lenet.train(resume=tmp_path / "run", epochs=3)
    assert [m["epoch"] for m in more.metrics] == [1, 2, 3]
    assert same(more, lenet.train(data=IDX, epochs=3))


@pytest.mark.parametrize("at", [1, 3])
def test_what_a_callback_raises_comes_out(at, tmp_path):
    def callback(metrics):
        if metrics["epoch"] == at:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        lenet.train(data=IDX, epochs=3, out=tmp_path / "run", callback=callback)
    assert (tmp_path / "run/checkpoint/last.safetensors").is_file()


def test_a_callback_may_use_lenet(model, images):
    seen = []
    lenet.train(data=IDX, epochs=2, callback=lambda _: seen.append(model.predict(images[:40]).shape))
    assert seen == [(40, 10)] * 2
