from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict, Union, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Error", "Model", "__version__", "evaluate", "load", "presets", "summary", "train"]

__version__: str

_Path = Union[str, PathLike[str]]
# Arrays of images, a picture's path, or several.
_Images = Union[ArrayLike, _Path, Sequence[_Path]]
# A dataset's name, "idx:DIR", a folder, or images and labels.
_Data = Union[_Path, tuple[ArrayLike, ArrayLike]]
_Recipe = Union[_Path, Mapping[str, Any]]
_Setting = Union[bool, int, float, str, Sequence[Any], Mapping[str, Any], None]

class _EpochRequired(TypedDict):
    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    train_seconds: float
    eval_seconds: float
    images_per_second: float

class _Epoch(_EpochRequired, total=False):
    val_loss: float
    val_accuracy: float
    test_loss: float
    test_accuracy: float

class _Score(TypedDict):
    images: int
    accuracy: float
    loss: float

class Error(ValueError): ...

@final
class Model:
    @property
    def classes(self) -> list[str]: ...
    @property
    def input_shape(self) -> tuple[int, int, int]: ...
    @property
    def layers(self) -> list[str]: ...
    @property
    def metrics(self) -> list[_Epoch]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def run(self) -> str | None: ...
    @property
    def threads(self) -> int: ...
    @property
    def training(self) -> dict[str, Any]: ...
    def predict(
        self, x: _Images, *, normalized: bool = False, invert: bool | None = None
    ) -> NDArray[np.float32]: ...
    def logits(
        self, x: _Images, *, normalized: bool = False, invert: bool | None = None
    ) -> NDArray[np.float32]: ...
    def classify(self, x: _Images, *, normalized: bool = False, invert: bool | None = None) -> list[str]: ...
    def activations(self, layer: str | int, x: _Images, *, invert: bool | None = None) -> NDArray[np.float32]: ...
    def state_dict(self) -> dict[str, NDArray[np.float32]]: ...
    def evaluate(self, data: _Data | None = None, *, split: Literal["train", "test"] = "test") -> _Score: ...
    def save(self, path: _Path) -> None: ...
    def export(self, path: _Path, format: Literal["onnx", "torch"] = "onnx", *, raw_input: bool = False) -> None: ...
    def summary(self) -> str: ...

def train(
    recipe: _Recipe | None = None,
    *,
    data: _Data | None = None,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    classes: Sequence[str] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    threads: int = 0,
    out: _Path | None = None,
    resume: _Path | None = None,
    callback: Callable[[_Epoch], object] | None = None,
    set: Mapping[str, _Setting] | None = None,
    **settings: _Setting,
) -> Model: ...
def load(path: _Path, *, threads: int = 0) -> Model: ...
def evaluate(
    model: Model | _Path,
    data: _Data | None = None,
    *,
    split: Literal["train", "test"] = "test",
    threads: int = 0,
) -> _Score: ...
def summary(
    recipe: _Recipe | None = None, *, set: Mapping[str, _Setting] | None = None, **settings: _Setting
) -> str: ...
def presets() -> dict[str, str]: ...
