"""Writes small models that PyTorch exported, with its logits, and files that must be refused.

    python3 bench/onnx_fixtures.py crates/lenet/tests

The models go into fixtures/onnx, the others into attacks. All values follow from formulas.
"""

import json
import pathlib
import struct
import sys

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

from export_parity import export
from pytorch_net import Rbf, Residual, ScaledTanh, Subsample
from pytorch_parity import fill, uniform


class Normalize(nn.Module):
    def forward(self, x):
        return (x - 0.25) / 0.5


class View(nn.Module):
    """Flattening as it is often written."""

    def forward(self, x):
        return x.view(x.size(0), -1)


def conv(i, o, window=3, **more):
    return nn.Conv2d(i, o, window, padding=window // 2, **more)


NETWORKS = {
    "plain": lambda: nn.Sequential(
        conv(1, 4), nn.Sigmoid(), nn.AvgPool2d(2), nn.Dropout(0.5), conv(4, 6, groups=2), nn.GELU(),
        nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(24, 8), nn.Hardswish(), nn.Linear(8, 3),
    ),
    "residual": lambda: nn.Sequential(
        conv(1, 4, bias=False), nn.BatchNorm2d(4), nn.SiLU(),
        Residual(nn.Sequential(conv(4, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 4)), nn.Sequential()),
        nn.ELU(),
        Residual(nn.Sequential(conv(4, 6, stride=2), nn.Softplus()), nn.Sequential(conv(4, 6, 1, stride=2))),
        nn.LeakyReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    ),
    "historical": lambda: nn.Sequential(
        Normalize(), conv(1, 3), ScaledTanh(), Subsample(3, (2, 2), (2, 2), (0, 0)), ScaledTanh(),
        nn.AvgPool2d(3, 2, 1), View(), nn.Linear(12, 5, bias=False), nn.BatchNorm1d(5), nn.Tanh(), Rbf(5, 3),
    ),
}


def clean(path):
    """Without traces of where the file was made."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:], model.graph.value_info[:]
    onnx.save(model, path)


def models(folder):
    folder.mkdir(parents=True, exist_ok=True)
    x = torch.tensor(uniform(4 * 64, 3), dtype=torch.float32).reshape(4, 1, 8, 8)
    logits = {}
    for number, (name, make) in enumerate(NETWORKS.items()):
        net = make().double()
        fill(net, 40 + number)
        net = net.float().eval()
        with torch.no_grad():
            logits[name] = net(x).flatten().tolist()
        for dynamo, way in ((False, "script"), (True, "dynamo")):
            path = folder / f"{name}-{way}.onnx"
            export(net, [1, 8, 8], str(path), dynamo)
            clean(path)
    net = NETWORKS["plain"]().double()
    fill(net, 40)
    save_file(net.float().state_dict(), folder / "plain.safetensors")
    (folder / "logits.json").write_text(json.dumps(logits) + "\n")


def graph(nodes, weights=(), name="x", shape=("n", 1, 2, 2)):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    made = helper.make_graph(nodes, "g", [value(name, shape)], [value("y", ["n", 2])], list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])


def tensor(name, values):
    return numpy_helper.from_array(numpy.array(values, numpy.float32), name)


def dense(weight, more=()):
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)]
    return graph([*nodes, *more], [weight])


def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def attacks(folder):
    folder.mkdir(parents=True, exist_ok=True)
    write = lambda name, data: (folder / name).write_bytes(data)
    good = tensor("w", numpy.ones((2, 4)))
    whole = dense(good).SerializeToString()
    write("truncated.onnx", whole[:-40])
    write("empty.onnx", b"")
    write("text.onnx", b"this is no model\n")
    write("overlong-number.onnx", b"\x08" + b"\xff" * 11)
    write("length-beyond-the-end.onnx", b"\x3a" + varint(1 << 40) + b"abc")
    write("group.onnx", b"\x0b" * 50)
    for place in ("/etc/hostname", "../../../secret.bin", "https://example.org/w.bin"):
        external = TensorProto(name="w", dims=[2, 4], data_type=1, data_location=TensorProto.EXTERNAL)
        external.external_data.add(key="location", value=place)
        name = {"/": "absolute", ".": "parent", "h": "address"}[place[0]]
        write(f"external-{name}.onnx", dense(external).SerializeToString())
    # A file of 20 kB with ten thousand empty nodes and one more, and with as many initialisers.
    write("many-nodes.onnx", field(7, field(1, b"") * 10_001))
    write("many-initializers.onnx", field(7, field(5, b"") * 10_001))
    write("many-inputs.onnx", field(7, field(1, field(1, b"x") * 65)))
    deep = b""
    for _ in range(2000):
        deep = field(1, field(5, field(6, deep)))
    write("deep-graphs.onnx", field(8, b"\x10\x12") + field(7, deep))
    for name, dims in {"huge-dims": [1 << 40, 1 << 40], "negative-dims": [-2, 4], "large-dims": [1 << 13, 1 << 14]}.items():
        write(f"{name}.onnx", dense(TensorProto(name="w", dims=dims, data_type=1, raw_data=b"1234")).SerializeToString())
    write("short-data.onnx", dense(TensorProto(name="w", dims=[2, 4], data_type=1, raw_data=b"1234")).SerializeToString())
    write("nan.onnx", dense(tensor("w", [[0, 0, 0, numpy.nan]] * 2)).SerializeToString())
    write("half.onnx", dense(TensorProto(name="w", dims=[2, 4], data_type=10, raw_data=b"12" * 8)).SerializeToString())
    write("large-image.onnx", graph([], shape=("n", 1 << 20, 1 << 20, 1 << 20)).SerializeToString())
    loop = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Add", ["a", "x"], ["y"])]
    write("loop.onnx", graph(loop).SerializeToString())
    ladder = [helper.make_node("Flatten", ["x"], ["v0"]), helper.make_node("Gemm", ["v0", "q"], ["v1"])]
    for i in range(2, 40):
        ladder += [helper.make_node("Gemm", [f"v{i - 1}", "q"], [f"a{i}"]), helper.make_node("Gemm", [f"v{i - 2}", "q"], [f"b{i}"]),
                   helper.make_node("Add", [f"a{i}", f"b{i}"], [f"v{i}"])]
    ladder.append(helper.make_node("Gemm", ["v39", "w"], ["y"], transB=1))
    write("ladder.onnx", graph(ladder, [good, tensor("q", numpy.eye(4))]).SerializeToString())
    one = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("LSTM", ["f"], ["y"])]
    write("unknown-operator.onnx", graph(one).SerializeToString())
    one = [helper.make_node("Conv", ["x", "w"], ["c"], dilations=[0, 2]), helper.make_node("Flatten", ["c"], ["y"])]
    write("dilated.onnx", graph(one, [tensor("w", numpy.ones((2, 1, 1, 1)))]).SerializeToString())
    one = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["g"], transB=1),
           helper.make_node("Sin", ["g"], ["y"])]
    write("unknown-function.onnx", graph(one, [good]).SerializeToString())
    one = [*one[:2], helper.make_node("Exp", ["g"], ["y"])]
    write("no-activation.onnx", graph(one, [good]).SerializeToString())
    one = [helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[2, 2], pads=[1, 1, 1, 1]), helper.make_node("Flatten", ["p"], ["y"])]
    write("average-without-padding.onnx", graph(one).SerializeToString())

    header = lambda text, data=b"": struct.pack("<Q", len(text)) + text.encode() + data
    entry = lambda a, b, shape, kind="F32": {"dtype": kind, "shape": shape, "data_offsets": [a, b]}
    write("huge-header.safetensors", struct.pack("<Q", 1 << 60) + b"{}")
    write("no-json.safetensors", header("{\"a\":"))
    write("nested.safetensors", header("[" * 5000))
    write("overlapping.safetensors", header(json.dumps({"1.weight": entry(0, 32, [2, 4]), "1.bias": entry(28, 36, [2])}), b"\0" * 36))
    write("hole.safetensors", header(json.dumps({"1.weight": entry(0, 32, [2, 4]), "1.bias": entry(40, 48, [2])}), b"\0" * 48))
    write("huge-shape.safetensors", header(json.dumps({"1.weight": entry(0, 32, [1 << 62, 16]), "1.bias": entry(32, 40, [2])}), b"\0" * 40))
    write("beyond-the-end.safetensors", header(json.dumps({"1.weight": entry(0, 32, [2, 4]), "1.bias": entry(32, 40, [2])}), b"\0" * 8))
    nan = struct.pack("<10f", *[0] * 9, float("nan"))
    write("nan.safetensors", header(json.dumps({"1.weight": entry(0, 32, [2, 4]), "1.bias": entry(32, 40, [2])}), nan))
    write("other-shape.safetensors", header(json.dumps({"1.weight": entry(0, 32, [4, 2]), "1.bias": entry(32, 40, [2])}), b"\0" * 40))
    write("missing.safetensors", header(json.dumps({"1.weight": entry(0, 32, [2, 4])}), b"\0" * 32))
    more = {"1.weight": entry(0, 32, [2, 4]), "1.bias": entry(32, 40, [2]), "2.bias": entry(40, 48, [2])}
    write("left-over.safetensors", header(json.dumps(more), b"\0" * 48))
    write("integers.safetensors", header(json.dumps({"1.weight": entry(0, 32, [2, 4], "I32"), "1.bias": entry(32, 40, [2])}), b"\0" * 40))


def main():
    tests = pathlib.Path(sys.argv[1])
    attacks(tests / "attacks")
    models(tests / "fixtures/onnx")


if __name__ == "__main__":
    main()
