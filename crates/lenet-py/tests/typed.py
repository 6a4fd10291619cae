"""A program that a type checker reads in its strictest mode; nobody runs it."""

import pathlib

import lenet
import numpy as np
from numpy.typing import NDArray


def stop(metrics: "lenet._Epoch") -> bool:
    return metrics.get("test_accuracy", 0.0) < 0.9


def best(path: pathlib.Path, x: NDArray[np.uint8], y: NDArray[np.int64]) -> NDArray[np.float32]:
    model: lenet.Model = lenet.train(
        "lenet", data=(x, y), test=(x, y), epochs=2, lr=0.1, set={"model.layers.0.channels": 8}, callback=stop
    )
    lenet.train({"preset": "lenet", "train": {"epochs": 1}}, data="fashion-mnist", out=path, callback=print)
    model.save(path)
    names: list[str] = lenet.load(path).classify("shoe.png")
    names += lenet.load("m.onnx", threads=1).classify([path / "a.png", path / "b.png"])
    accuracy: float = lenet.evaluate(model)["accuracy"] + lenet.evaluate(path, (x, y))["loss"]
    first: dict[str, NDArray[np.float32]] = model.state_dict()
    try:
        return model.predict(x / 255) + model.logits(x) + model.activations(0, x) + first["0.weight"] + accuracy + len(names)
    except lenet.Error:
        return model.predict(path)
