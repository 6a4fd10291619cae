"""Compares exported and imported models with ONNX Runtime and PyTorch: every preset, and random networks of all operators.

    python3 bench/export_parity.py --lenet LENET --logits LOGITS [--data idx:DIR] [--random 20] [--only PRESET]

LENET is the command, LOGITS the library's example of that name. An error is the largest difference of a logit from ours,
over 1,000 test images, as a share of the image's largest absolute logit, or of 1 if that is smaller. It must stay under
1e-5; the arg max must be the same for all 10,000 images.
"""

import argparse
import gzip
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import warnings

import numpy
import onnx
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pytorch_net import network
from pytorch_parity import fill, spec

LIMIT = 1e-5
MEASURED = 1000


class Bench:
    def __init__(self, args, work):
        self.args, self.work, self.worst, self.failed = args, work, {}, []
        self.images = test_images(args.data)

    def run(self, *words):
        done = subprocess.run([self.args.lenet, *map(str, words)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"lenet {' '.join(map(str, words))}: {done.stderr.strip().splitlines()[-1]}")
        return done.stdout

    def ours(self, model, images):
        raw, out = self.work / "images.bin", self.work / "logits.bin"
        images.tofile(raw)
        subprocess.run([self.args.logits, model, raw, out], check=True)
        return numpy.fromfile(out, "<f4").reshape(len(images), -1)

    def compare(self, name, way, ours, theirs):
        if ours.shape != theirs.shape:
            self.failed.append(f"{name}, {way}: {theirs.shape} logits instead of {ours.shape}")
            return
        scale = numpy.maximum(numpy.abs(ours).max(1), 1)
        error = float((numpy.abs(ours - theirs).max(1) / scale)[:MEASURED].max())
        other = int((ours.argmax(1) != theirs.argmax(1)).sum())
        self.worst[way] = max(self.worst.get(way, 0), error)
        if not error <= LIMIT or other:
            self.failed.append(f"{name}, {way}: off by {error:.2e}, {other} of {len(ours)} arg max differ")
        print(f"  {way:<40} {error:.1e}  {len(ours) - other}/{len(ours)}", flush=True)


def test_images(data):
    folder = pathlib.Path(data.removeprefix("idx:"))
    for path in (folder / "t10k-images-idx3-ubyte", folder / "t10k-images-idx3-ubyte.gz"):
        if path.exists():
            bytes_ = gzip.open(path).read() if path.suffix else path.read_bytes()
            return numpy.frombuffer(bytes_, numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    raise SystemExit(f"{folder} holds no t10k-images-idx3-ubyte")


def normalized(images, config):
    mean, std = (numpy.array(config["normalization"][k], numpy.float32)[None, :, None, None] for k in ("mean", "std"))
    return (images.astype(numpy.float32) / numpy.float32(255) - mean) / std


def runtime(path, x):
    onnx.checker.check_model(onnx.load(path, load_external_data=False), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return numpy.concatenate([session.run(None, {name: x[i : i + 500]})[0] for i in range(0, len(x), 500)])


def in_torch(module, x, flip):
    with torch.no_grad():
        x = torch.from_numpy(x)
        return ((module(x) + module(x.flip(3))) / 2 if flip else module(x)).numpy()


def from_card(folder):
    """The network that the model card's program makes."""
    program = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S).group(1)
    space = {}
    exec(program.replace("model.safetensors", str(folder / "model.safetensors")), space)
    return space["model"]


def export(module, shape, path, dynamo):
    x = torch.zeros(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            batch = torch.export.Dim("batch")
            torch.onnx.export(
                module, (x,), path, dynamo=True, dynamic_shapes=({0: batch},), external_data=False, verbose=False
            )
        else:
            names = dict(input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
            torch.onnx.export(module, (x,), path, dynamo=False, opset_version=17, **names)


def check(b, name, model, images, dynamo):
    """A model's directory against everything; returns its logits."""
    print(name, flush=True)
    folder = b.work / name
    folder.mkdir()
    b.run("export", model, "--format", "torch", "-o", folder / "torch")
    config = json.loads((folder / "torch/config.json").read_text())
    flip, shape = config.get("flip_test", False), config["spec"]["input"]
    x, ours = normalized(images, config), b.ours(model, images)
    for raw in ([], ["--raw-input"]):
        path = folder / f"ours{len(raw)}.onnx"
        b.run("export", model, "--format", "onnx", "-o", path, *raw)
        way = "ONNX Runtime" + (", bytes in" if raw else "")
        b.compare(name, way, ours, runtime(path, images if raw else x))
        b.run("import", path, "-o", folder / f"again{len(raw)}")
        b.compare(name, f"ONNX and back{', bytes in' if raw else ''}", ours, b.ours(folder / f"again{len(raw)}", images))
    b.compare(name, "PyTorch, by the model card", ours, in_torch(from_card(folder / "torch"), x, flip))
    module = network(config["spec"])
    module.load_state_dict(load_file(folder / "torch/model.safetensors"), strict=True)
    plain = ours if not flip else in_torch(module, x, False)
    n = config["normalization"]
    for way in ["TorchScript"] + ["dynamo"] * dynamo:
        path = folder / f"{way}.onnx"
        export(module, shape, path, way == "dynamo")
        mean, std = (",".join(map(repr, n[k])) for k in ("mean", "std"))
        b.run("import", path, f"--mean={mean}", f"--std={std}", "-o", folder / way)
        b.compare(name, f"torch.onnx.export ({way}) and import", plain, b.ours(folder / way, images))
    return config, module, ours


def preset(b, name):
    run = b.work / f"run-{name}"
    few = ["train_limit=1280", "test_limit=256", "warmup_epochs=0", "batch=64"]
    sets = [word for s in few for word in ("--set", s)]
    b.run("train", name, "--data", b.args.data, "--epochs", 1, *sets, "--out", run)
    config, module, ours = check(b, name, run, b.images, True)
    state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    save_file(state, b.work / "state.safetensors")
    b.run("import", b.work / "state.safetensors", "--model", name, "-o", b.work / name / "state")
    b.compare(name, "PyTorch's state dict and import", ours, b.ours(b.work / name / "state", b.images))
    # The same layers behind others without parameters, in a module: other numbers, and a prefix.
    holder = nn.Module()
    holder.net = nn.Sequential(*(m for pair in module for m in (nn.Identity(), pair)))
    if not any("body" in k or "codes" in k for k in state):
        save_file(holder.state_dict(), b.work / "state.safetensors")
        b.run("import", b.work / "state.safetensors", "--model", name, "-o", b.work / name / "renamed")
        b.compare(name, "renamed state dict and import", ours, b.ours(b.work / name / "renamed", b.images))


def drawn(b, number, r):
    """A random network, as a model's directory."""
    while True:
        try:
            one = spec(r)
            module = network(one)
            fill(module, number)
            module = module.float()
            classes = module(torch.zeros(1, *one["input"])).shape[1]
        except (RuntimeError, ValueError):
            continue
        c, h, w = one["input"]
        images = numpy.stack([b.images[i : i + 10000 - c + 1, 0, 8 : 8 + h, 8 : 8 + w] for i in range(c)], 1)
        x = torch.from_numpy(images[:100].astype(numpy.float32) / 255)
        with torch.no_grad():
            if sum(p.numel() for p in module.parameters()) and module(x).abs().max() < 50:
                break
    name = f"random-{number}"
    folder = b.work / f"run-{name}"
    folder.mkdir()
    save_file({k: v for k, v in module.state_dict().items() if "num_batches" not in k}, folder / "model.safetensors")
    config = {
        "format_version": 1,
        "model_type": "lenet",
        "spec": one,
        "normalization": {"mean": [r.random() / 2 for _ in range(c)], "std": [0.3 + r.random() for _ in range(c)]},
        "classes": [f"class {i}" for i in range(classes)],
        "training": {"recipe": name, "dataset": "", "epochs": 0, "seed": 0},
    }
    (folder / "config.json").write_text(json.dumps(config))
    check(b, name, folder, numpy.ascontiguousarray(images), number < 6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lenet", required=True)
    parser.add_argument("--logits", required=True)
    parser.add_argument("--data", help="idx:DIR with Fashion-MNIST; lenet's cache unless given")
    parser.add_argument("--random", type=int, default=20, help="number of random networks")
    parser.add_argument("--only", help="one preset, and no random networks")
    args = parser.parse_args()
    if not args.data:
        doctor = json.loads(subprocess.run([args.lenet, "doctor", "--json"], capture_output=True, check=True).stdout)
        args.data = f"idx:{pathlib.Path(doctor['cache']) / 'fashion-mnist'}"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        b = Bench(args, pathlib.Path(work))
        presets = [json.loads(line)["name"] for line in b.run("recipe", "list", "--json").splitlines()]
        r = random.Random(7)
        jobs = [(name, lambda name=name: preset(b, name)) for name in presets if args.only in (None, name)]
        if not args.only:
            jobs += [(f"random-{i}", lambda i=i: drawn(b, i, r)) for i in range(args.random)]
        for name, job in jobs:
            try:
                job()
            except Exception as error:  # noqa: BLE001  All are told at the end.
                b.failed.append(f"{name}: {type(error).__name__}: {error}")
                print(f"  {b.failed[-1]}", flush=True)
        print("\nlargest error of each way:")
        for way, error in b.worst.items():
            print(f"  {way:<40} {error:.1e}")
        for line in b.failed:
            print(f"FAILED {line}")
        sys.exit(bool(b.failed))


if __name__ == "__main__":
    main()
