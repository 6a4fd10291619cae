"""Models as files, and what they tell of themselves."""

import json
import struct

import lenet
import numpy as np
import pytest
from conftest import FIXTURES, IDX


def test_a_model_is_loaded_from_wherever_it_is(model, images, tmp_path):
    want = model.logits(images)
    model.save(tmp_path / "model")
    model.export(tmp_path / "model.onnx")
    model.export(tmp_path / "torch", format="torch")
    for path in ["model", "model.onnx", "torch"]:
        loaded = lenet.load(tmp_path / path, threads=2)
        assert np.array_equal(loaded.logits(images), want)
        assert loaded.classes == model.classes and loaded.parameters == model.parameters
        assert loaded.threads == 2 and loaded.metrics == [] and loaded.run is None
    for name in ["config.json", "model.safetensors", "README.md"]:
        assert (tmp_path / "torch" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_raw_input_takes_bytes(model, tmp_path, cli):
    model.export(tmp_path / "ours.onnx", raw_input=True)
    model.save(tmp_path / "model")
    cli("export", tmp_path / "model", "--format", "onnx", "--raw-input", "--output", tmp_path / "theirs.onnx")
    assert (tmp_path / "ours.onnx").read_bytes() == (tmp_path / "theirs.onnx").read_bytes()


def test_the_state_dict_is_the_files_tensors(tmp_path):
    model = lenet.train("lenet-modern", data=IDX, epochs=1)
    model.save(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    state = model.state_dict()
    assert state.keys() == header.keys()
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(content[8 + length :][start:end], "<f4").reshape(entry["shape"])
        assert state[name].dtype == np.float32 and np.array_equal(state[name], values), name


def test_models_of_pytorch(images):
    known = json.loads((FIXTURES / "onnx/logits.json").read_text())
    assert known
    model = lenet.load(FIXTURES / "onnx/plain-dynamo.onnx")
    assert model.layers and model.training["recipe"] == "plain-dynamo"


def test_what_a_model_tells(model):
    assert model.input_shape == (1, 28, 28) and model.parameters == 61_706
    assert model.classes[9] == "Ankle boot" and len(model.classes) == 10
    assert model.training["seed"] == 1 and model.training["dataset"] == IDX
    assert "conv2d" in model.summary() and "61,706" in model.summary()
    assert repr(model) == "<lenet.Model lenet-relu-max, [1, 28, 28] to 10 classes, 61706 parameters>"


def test_summaries_and_presets(cli, tmp_path):
    names = [json.loads(line) for line in cli("recipe", "list", "--json").splitlines()]
    assert lenet.presets() == {entry["name"]: entry["about"] for entry in names}
    assert lenet.summary().strip() == cli("summary", "lenet").strip()
    ours = lenet.summary("lenet", set={"conv.0.channels": 12}, activation="relu")
    assert ours.strip() == cli("summary", "lenet", "--set", "conv.0.channels=12", "--set", "activation=relu").strip()
    lenet.train("softmax", data=IDX, epochs=1, out=tmp_path / "run")
    assert lenet.summary(tmp_path / "run") == lenet.summary("softmax")
