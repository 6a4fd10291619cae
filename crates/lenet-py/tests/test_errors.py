"""What is wrong becomes an exception with the library's words; nothing panics."""

import lenet
import numpy as np
import pytest
from conftest import IDX

X, Y = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 2


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: lenet.train("lenett"), lenet.Error, 'did you mean "lenet"'),
        (lambda: lenet.train(epoch=3), lenet.Error, '^epoch=3: unknown key "epoch".*did you mean "epochs"'),
        (lambda: lenet.train(epochs=-1), lenet.Error, "epochs"),
        (lambda: lenet.train(epochs=2.5), lenet.Error, "epochs"),
        (lambda: lenet.train(lr=float("nan")), lenet.Error, "lr"),
        (lambda: lenet.train(epochs=0, lr="fast"), lenet.Error, "(?s)epochs.*lr"),
        (lambda: lenet.train(lr=object()), TypeError, "not object"),
        (lambda: lenet.train(set={1: 2}), TypeError, "keys of recipes are text, not 1"),
        (lambda: lenet.train({"train": {"epochs": [1, {"a": None}]}}), TypeError, "NoneType"),
        (lambda: lenet.train({"train\n": 3}), lenet.Error, None),
        (lambda: lenet.train(3), TypeError, None),
        (lambda: lenet.train(threads=-1), OverflowError, None),
        (lambda: lenet.train(threads=10**6), lenet.Error, "at most 1024"),
        (lambda: lenet.load(".", threads=10**6), lenet.Error, "at most 1024"),
        (lambda: lenet.train(data="fashion-mnits"), lenet.Error, "did you mean fashion-mnist"),
        (lambda: lenet.train(data="idx:/nowhere"), FileNotFoundError, "/nowhere"),
        (lambda: lenet.train(data=3), TypeError, None),
        (lambda: lenet.train(data=(X,)), TypeError, "pair"),
        (lambda: lenet.train(data=(X, Y[:5])), lenet.Error, r"\(5,\), 20 images need \(20,\)"),
        (lambda: lenet.train(data=(X, Y - 1)), lenet.Error, "label -1 of image 0"),
        (lambda: lenet.train(data=(X, Y * 70_000)), lenet.Error, "label 70000"),
        (lambda: lenet.train(data=(X, Y / 2)), TypeError, "float64"),
        (lambda: lenet.train(data=(X[0], Y)), lenet.Error, r"\(28, 28\)"),
        (lambda: lenet.train(data=(X[..., None], Y)), lenet.Error, "channels first"),
        (lambda: lenet.train(data=(X[:0], Y[:0])), lenet.Error, "there must be some"),
        (lambda: lenet.train(data=(X + 2.0, Y)), lenet.Error, "0 to 1"),
        (lambda: lenet.train(data=(X * np.nan, Y)), lenet.Error, "NaN"),
        (lambda: lenet.train(data=(X.astype(np.int32), Y)), TypeError, "int32"),
        (lambda: lenet.train(data=(X, Y), test=(X[:, :27], Y)), lenet.Error, "one shape"),
        (lambda: lenet.train(data=(X, Y), classes=["a"]), lenet.Error, "label 1, but classes has 1"),
        (lambda: lenet.train(data=(X[:, :2, :2], Y)), lenet.Error, None),
        (lambda: lenet.train(data=(X, Y), classes=3), TypeError, None),
        (lambda: lenet.train(data=IDX, test=(X, Y)), lenet.Error, "belong to data"),
        (lambda: lenet.train(data=IDX, callback=3, epochs=1), TypeError, "callable"),
        (lambda: lenet.train("lenet-relu-max", data=IDX, lr=1e30, epochs=1), lenet.Error, "diverged"),
        (lambda: lenet.train(resume="/nowhere"), FileNotFoundError, "/nowhere is no run"),
        (lambda: lenet.train("lenet", resume="/nowhere"), lenet.Error, "leave recipe out"),
        (lambda: lenet.load("/nowhere"), FileNotFoundError, "/nowhere is no model"),
        (lambda: lenet.load("/nowhere.onnx"), FileNotFoundError, "/nowhere.onnx"),
        (lambda: lenet.load(3), TypeError, None),
        (lambda: lenet.evaluate("/nowhere"), FileNotFoundError, "/nowhere"),
        (lambda: lenet.summary("/nowhere"), lenet.Error, "no recipe"),
    ],
)
def test_what_is_wrong_is_said(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_list_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="nested"):
        lenet.train({"model": {"layers": endless}})


def test_a_run_is_not_written_over(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        lenet.train(data=IDX, epochs=1, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_damaged_models_are_refused(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(lenet.Error, match="model.safetensors"):
        lenet.load(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(lenet.Error, match="bad.onnx"):
        lenet.load(tmp_path / "bad.onnx")


def test_other_data_is_refused(model):
    for data, message in [((X[:, :20], Y), "the model takes"), ((X, Y + 30), "the model knows 10"), ("arrays", "data=")]:
        with pytest.raises(lenet.Error, match=message):
            model.evaluate(data)
    with pytest.raises(lenet.Error, match="split"):
        model.evaluate(split="val")
    with pytest.raises(lenet.Error, match="format"):
        model.export("x", format="tflite")


def test_the_exception_is_a_value_error():
    assert issubclass(lenet.Error, ValueError) and lenet.Error.__module__ == "lenet"
