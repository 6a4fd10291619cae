"""The fixtures: real images, as files and as arrays; the command line; small trained models."""

import gzip
import os
import pathlib
import subprocess

import lenet
import numpy as np
import pytest

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "lenet/tests/fixtures"
IDX = f"idx:{FIXTURES / 'fashion-mnist-small'}"
PICTURES = sorted((FIXTURES / "pictures").glob("*.png"))


def idx(name, header):
    with gzip.open(FIXTURES / "fashion-mnist-small" / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


@pytest.fixture(scope="session")
def images():
    return idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def labels():
    return idx("train-labels-idx1-ubyte.gz", 8)


@pytest.fixture(scope="session")
def test_pair():
    return idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28), idx("t10k-labels-idx1-ubyte.gz", 8)


@pytest.fixture(scope="session")
def cli():
    """Runs the command line, and gives what it prints."""

    def run(*words):
        done = subprocess.run([os.environ["LENET"], *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def model():
    return lenet.train("lenet-relu-max", data=IDX, epochs=4, seed=1)


@pytest.fixture(scope="session")
def colour():
    """A model of three channels whose normalisation is not that of bytes / 255."""
    random = np.random.default_rng(0)
    pair = random.integers(0, 256, (60, 3, 12, 12), np.uint8), np.arange(60) % 3
    layers = [{"type": "conv2d", "channels": 4, "window": 3}, {"type": "tanh"}, {"type": "flatten"}, {"type": "dense", "units": "classes"}]
    return lenet.train({"model": {"layers": layers}}, data=pair, epochs=2, lr=0.1, normalize="dataset")
