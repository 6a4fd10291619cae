"""Writes crates/lenet/tests/fixtures/torch_inspect.json: what PyTorch gives for every layer, and gradient × input.

Of the golden networks (crates/lenet/tests/golden), float64 arithmetic from their float32 weights, the first two training
images of the fixture. A layer is told by its sum, its sum of squares and eight values of the second image.

    python bench/pytorch_inspect.py
"""

import gzip
import json
import struct
from pathlib import Path

import torch
from torch import nn

TESTS = Path(__file__).parent.parent / "crates/lenet/tests"


def weights(path):
    """The tensors of a safetensors file of float32."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).reshape(entry["shape"])
    return tensors


def network(activation, pool):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), activation(), pool(2),
        nn.Conv2d(6, 16, 5), activation(), pool(2),
        nn.Flatten(), nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, 10),
    )  # fmt: skip


def told(values):
    """Of [n, …], n = 2."""
    second = values[1].flatten()
    places = [i * (len(second) - 1) // 7 for i in range(8)]
    return {
        "sum": values.sum().item(),
        "squares": values.square().sum().item(),
        "values": [second[i].item() for i in places],
    }


def main():
    raw = gzip.open(TESTS / "fixtures/fashion-mnist-small/train-images-idx3-ubyte.gz").read()[16 : 16 + 2 * 784]
    images = torch.tensor(list(raw), dtype=torch.float64).reshape(2, 1, 28, 28) / 255
    written = {}
    for name, activation, pool in [("lenet", nn.Sigmoid, nn.AvgPool2d), ("lenet-relu-max", nn.ReLU, nn.MaxPool2d)]:
        net = network(activation, pool).double()
        net.load_state_dict({k: v.double() for k, v in weights(TESTS / f"golden/{name}.init.safetensors").items()})
        x = images.clone().requires_grad_()
        values, layers = x, []
        for layer in net:
            values = layer(values)
            layers.append(told(values.detach()))
        targets = values.argmax(1)
        values.gather(1, targets[:, None]).sum().backward()
        saliency = told((x.grad * images).detach())
        written[name] = {"layers": layers, "targets": targets.tolist(), "gradient_times_input": saliency}
    (TESTS / "fixtures/torch_inspect.json").write_text(json.dumps(written) + "\n")


main()
