"""A PyTorch network from the spec in a model's config.json, or from a recipe resolved to JSON."""

import torch
from torch import nn
from torch.nn import functional as F


class ScaledTanh(nn.Module):
    def forward(self, x):
        return 1.7159 * torch.tanh(2 * x / 3)


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class Subsample(nn.Module):
    """Sum over a window, times a weight a channel, plus a bias."""

    def __init__(self, channels, window, stride, padding):
        super().__init__()
        self.window, self.stride, self.padding = window, stride, padding
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        y = F.avg_pool2d(x, self.window, self.stride, self.padding) * (self.window[0] * self.window[1])
        return y * self.weight[:, None, None] + self.bias[:, None, None]


class Rbf(nn.Module):
    """Minus the squared distance to each code."""

    def __init__(self, inputs, units):
        super().__init__()
        self.register_buffer("codes", torch.ones(units, inputs))

    def forward(self, x):
        return -((x[:, None, :] - self.codes[None]) ** 2).sum(2)


class Masked(nn.Conv2d):
    """A convolution in which each output channel sees some input channels only."""

    def __init__(self, connections, *args, **kwargs):
        super().__init__(*args, **kwargs)
        mask = torch.zeros_like(self.weight)
        for o, inputs in enumerate(connections):
            mask[o, inputs] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class Activation(nn.Module):
    """The function of torch.nn.functional that has the layer's name, with the layer's settings."""

    NAMES = {"hard_swish": "hardswish", "slope": "negative_slope"}

    def __init__(self, spec):
        super().__init__()
        self.function = getattr(F, self.NAMES.get(spec["type"], spec["type"]))
        self.settings = {self.NAMES.get(key, key): value for key, value in spec.items() if key != "type"}

    def forward(self, x):
        return self.function(x, **self.settings)


def layer(spec, shape):
    """One layer for one sample's shape."""
    kind, channels = spec["type"], shape[0]
    window, stride, padding = (tuple(spec.get(k, ())) for k in ("window", "stride", "padding"))
    if kind == "conv2d":
        args = (channels, spec["channels"], window, stride, padding)
        kwargs = dict(dilation=spec.get("dilation", 1), groups=spec.get("groups", 1), bias=spec["bias"])
        return Masked(spec["connections"], *args, **kwargs) if "connections" in spec else nn.Conv2d(*args, **kwargs)
    if kind == "dense":
        return nn.Linear(channels, spec["units"], bias=spec["bias"])
    if kind == "rbf":
        return Rbf(channels, spec["units"])
    if kind == "avg_pool":
        return nn.AvgPool2d(window, stride, padding)
    if kind == "max_pool":
        return nn.MaxPool2d(window, stride, padding)
    if kind == "global_avg_pool":
        return nn.AdaptiveAvgPool2d(1)
    if kind == "subsample":
        return Subsample(channels, window, stride, padding)
    if kind == "flatten":
        return nn.Flatten()
    if kind == "batch_norm":
        norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        return norm(channels, eps=spec["eps"], momentum=spec["momentum"])
    if kind == "prelu":
        return nn.PReLU(channels, spec["slope"])
    if kind == "dropout":
        return nn.Dropout(spec["rate"])
    if kind == "residual":
        return Residual(sequence(spec["body"], shape)[0], sequence(spec.get("shortcut", []), shape)[0])
    if kind == "scaled_tanh":
        return ScaledTanh()
    return Activation(spec)


def sequence(layers, shape):
    """Layers one behind the other, and the shape that one sample leaves them with."""
    modules = nn.Sequential()
    for i, spec in enumerate(layers):
        module = layer(spec, shape).to(torch.get_default_dtype()).eval()
        modules.append(module)
        with torch.no_grad():
            shape = tuple(module(torch.zeros(1, *shape)).shape[1:])
    return modules, shape


def network(spec):
    """The network of a spec, `{"input": [c, h, w], "layers": […]}`, in evaluation mode."""
    return sequence(spec["layers"], tuple(spec["input"]))[0]
