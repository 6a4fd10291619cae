"""Trains, explains and ships small convolutional image classifiers.

>>> import lenet
>>> model = lenet.train(epochs=1)
>>> model.predict(images)
"""

from ._lenet import Error, Model, __version__, evaluate, load, presets, summary, train

__all__ = ["Error", "Model", "__version__", "evaluate", "load", "presets", "summary", "train"]
