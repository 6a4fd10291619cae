"""Inference from Python on one thread: the same model in lenet, ONNX Runtime and PyTorch, in one interleaved run.

    python3 bench/inference.py [--lenet LENET] [--torch-python PYTHON] [--preset lenet] [--rounds 15]

This Python has the packages `lenet`, `onnxruntime` and NumPy (bench/requirements-inference.txt). PyTorch may live in
another one, given by --torch-python. Every contestant is a process of its own that first gives its logits, which must agree
with ours. In a round each one in turn times batch 1 (the latency of a call, NumPy in and NumPy out) and batch 256; the
medians over the rounds are printed, with the ratios to lenet's of the same round. With --lenet the command line's
`bench` tells, in the same rounds, what the library takes without Python.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# Before anything starts threads.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np  # noqa: E402

HERE = pathlib.Path(__file__).resolve()
SIZES = {1: 2000, 256: 12}
LIMIT = 1e-5


def lenet_predict(folder, x):
    import lenet

    return lenet.load(folder / "model", threads=1).logits


def onnxruntime_predict(folder, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def torch_network(folder):
    import torch

    from pytorch_net import network

    torch.set_num_threads(1)
    spec = json.loads((folder / "model/config.json").read_text())["spec"]
    net = network(spec)
    net.load_state_dict({name: torch.from_numpy(values) for name, values in np.load(folder / "weights.npz").items()})
    return net.eval()


def torch_eager(folder, x):
    import torch

    net = torch_network(folder)

    def predict(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return predict


def torch_jit(folder, x):
    import torch

    with torch.inference_mode():
        net = torch.jit.optimize_for_inference(torch.jit.trace(torch_network(folder), torch.from_numpy(x)))

    def predict(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return predict


CONTESTANTS = {
    "lenet": lenet_predict, "ONNX Runtime": onnxruntime_predict, "PyTorch": torch_eager, "PyTorch jit": torch_jit,
}


def serve(name, folder):
    """A contestant: answers each number of images on standard input with seconds a call, 0 with its versions."""
    x = np.load(folder / "x.npy")
    predictors = {n: CONTESTANTS[name](folder, x[:n]) for n in SIZES}
    np.save(folder / f"{name}.npy", np.concatenate([predictors[256](x), predictors[1](x[:1])]))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        n = int(line)
        predict, batch, times = predictors[n], np.ascontiguousarray(x[:n]), []
        for _ in range(SIZES[n] // 10):
            predict(batch)
        for _ in range(SIZES[n]):
            start = time.perf_counter()
            predict(batch)
            times.append(time.perf_counter() - start)
        print(json.dumps(statistics.median(times)), flush=True)


class Contestant:
    def __init__(self, name, python, folder):
        self.name = name
        words = [str(python), str(HERE), "--contestant", name, "--folder", str(folder)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
        self.answer()
        self.logits = np.load(folder / f"{name}.npy")

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has failed")
        return json.loads(line)

    def seconds(self, n):
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        return self.answer()


def library(lenet, what):
    """Seconds of a batch by the library alone, as `lenet bench` tells."""
    done = subprocess.run([lenet, "bench", "--json", "--quick", what], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    rows = {row["name"]: row["seconds"] for row in rows if row["group"] == "inference"}
    return {n: seconds for n in SIZES for name, seconds in rows.items() if name.startswith(f"batch {n},")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lenet", help="the command line, for the library without Python")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--preset", default="lenet")
    parser.add_argument("--data", help="to train the model on; synthetic images otherwise")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=pathlib.Path, help="file for the raw numbers")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant:
        return serve(args.contestant, args.folder)
    import lenet

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        random = np.random.default_rng(0)
        synthetic = random.integers(0, 256, (640, 28, 28), np.uint8), np.arange(640) % 10
        model = lenet.train(args.preset, data=args.data or synthetic, epochs=1)
        model.save(folder / "model")
        model.export(folder / "model.onnx")
        np.savez(folder / "weights.npz", **model.state_dict())
        np.save(folder / "x.npy", random.random((256, *model.input_shape), np.float32))
        contestants = [
            Contestant(name, args.torch_python if "PyTorch" in name else sys.executable, folder) for name in CONTESTANTS
        ]
        ours = contestants[0].logits
        for other in contestants[1:]:
            error = float((np.abs(ours - other.logits).max(1) / np.maximum(np.abs(ours).max(1), 1)).max())
            if not error <= LIMIT:
                sys.exit(f"{other.name}: the logits differ by {error:.1e}, no more than {LIMIT} is allowed")
        names = [c.name for c in contestants] + ["lenet, without Python"] * bool(args.lenet)
        seconds = {(name, n): [] for name in names for n in SIZES}
        for _ in range(args.rounds):
            for n in SIZES:
                for c in contestants:
                    seconds[c.name, n].append(c.seconds(n))
            if args.lenet:
                for n, value in library(args.lenet, args.preset).items():
                    seconds["lenet, without Python", n].append(value)
    if args.json:
        args.json.write_text(json.dumps([{"name": a, "batch": n, "seconds": s} for (a, n), s in seconds.items()], indent=1))
    print(f"{args.preset}, one thread, medians of {args.rounds} rounds; the ratio is to lenet's time in the same round")
    print(f"{'':22} {'batch 1':>10} {'ratio':>7} {'batch 256':>12} {'images/s':>10} {'ratio':>7}")
    for name in names:
        one, many = (statistics.median(seconds[name, n]) for n in SIZES)
        ratios = [statistics.median(a / b for a, b in zip(seconds[name, n], seconds["lenet", n])) for n in SIZES]
        print(f"{name:22} {one * 1e6:7.1f} µs {ratios[0]:6.2f}x {many * 1e3:9.2f} ms {256 / many:10,.0f} {ratios[1]:6.2f}x")


if __name__ == "__main__":
    main()
