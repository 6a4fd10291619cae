"""Inference from Python on one thread: the same model in lenet, ONNX Runtime and PyTorch, in one interleaved run.

    python3 bench/inference.py [--library target/release/examples/latency] [--torch-python PYTHON] [--rounds 15]

This Python has the packages `lenet`, `onnxruntime` and NumPy (bench/requirements-inference.txt, crates/lenet-py). PyTorch may
live in another one, given by --torch-python; --library is the library's example, for what it takes without Python. Every
contestant is a process of its own that first gives its logits, which must agree with ours. In a round each one in turn
times batch 1 (the latency of a call, NumPy in and NumPy out) and batch 256; the medians over the rounds are printed, with
the ratios to lenet's of the same round.
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
LARGE = 256
CALLS = {1: 2000, LARGE: 12}
LIMIT = 1e-5


def lenet_predict(folder):
    import lenet

    return lenet.load(folder / "model", threads=1).logits


def onnxruntime_predict(folder):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def torch_predict(folder):
    import torch

    from pytorch_net import network

    torch.set_num_threads(1)
    net = network(json.loads((folder / "model/config.json").read_text())["spec"])
    net.load_state_dict({name: torch.from_numpy(values) for name, values in np.load(folder / "weights.npz").items()})
    net.eval()

    def predict(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return predict


CONTESTANTS = {"lenet": lenet_predict, "ONNX Runtime": onnxruntime_predict, "PyTorch": torch_predict}


def serve(name, folder):
    """A contestant: answers every line `BATCH CALLS` on standard input with the median seconds of a call."""
    x = np.load(folder / "x.npy")
    predict = CONTESTANTS[name](folder)
    predict(x).astype("<f4").tofile(folder / f"{name}.bin")
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        n, calls = map(int, line.split())
        batch, times = np.ascontiguousarray(x[:n]), []
        for _ in range(calls // 10):
            predict(batch)
        for _ in range(calls):
            start = time.perf_counter()
            predict(batch)
            times.append(time.perf_counter() - start)
        print(json.dumps(statistics.median(times)), flush=True)


class Contestant:
    def __init__(self, name, folder, words):
        self.name = name
        words = list(map(str, words))
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
        self.answer()
        self.logits = np.fromfile(folder / f"{name}.bin", "<f4").reshape(LARGE, -1)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has failed")
        return json.loads(line)

    def seconds(self, n):
        self.process.stdin.write(f"{n} {CALLS[n]}\n")
        self.process.stdin.flush()
        return self.answer()


def contestants(args, folder):
    for name in CONTESTANTS:
        python = args.torch_python if name == "PyTorch" else sys.executable
        yield Contestant(name, folder, [python, HERE, "--contestant", name, "--folder", folder])
    if args.library:
        name = "lenet, without Python"
        files = [folder / "model", folder / "x.bin", folder / f"{name}.bin"]
        yield Contestant(name, folder, [args.library.resolve(), *files])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, help="the library's example `latency`")
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
        x = random.random((LARGE, *model.input_shape), np.float32)
        np.save(folder / "x.npy", x)
        x.astype("<f4").tofile(folder / "x.bin")
        all_of_them = list(contestants(args, folder))
        ours = all_of_them[0].logits
        for other in all_of_them[1:]:
            error = float((np.abs(ours - other.logits).max(1) / np.maximum(np.abs(ours).max(1), 1)).max())
            if not error <= LIMIT:
                sys.exit(f"{other.name}: the logits differ by {error:.1e}, no more than {LIMIT} is allowed")
        seconds = {(c.name, n): [] for c in all_of_them for n in CALLS}
        for _ in range(args.rounds):
            for n in CALLS:
                for c in all_of_them:
                    seconds[c.name, n].append(c.seconds(n))
    if args.json:
        raw = [{"name": name, "batch": n, "seconds": values} for (name, n), values in seconds.items()]
        args.json.write_text(json.dumps(raw, indent=1) + "\n")
    print(f"{args.preset}, one thread, medians of {args.rounds} rounds; the ratio is to lenet's time in the same round")
    print(f"{'':22} {'batch 1':>10} {'ratio':>7} {'batch 256':>12} {'images/s':>10} {'ratio':>7}")
    for c in all_of_them:
        one, many = (statistics.median(seconds[c.name, n]) for n in CALLS)
        ratios = [statistics.median(a / b for a, b in zip(seconds[c.name, n], seconds["lenet", n])) for n in CALLS]
        print(f"{c.name:22} {one * 1e6:7.1f} µs {ratios[0]:6.2f}x {many * 1e3:9.2f} ms {LARGE / many:10,.0f} {ratios[1]:6.2f}x")


if __name__ == "__main__":
    main()
