"""Measures lenet and PyTorch side by side: in each round every contestant runs once, then the next round.

What is compared was measured within the same minutes; medians over the rounds are printed, with their ratios, and the raw
numbers go to a JSON file. Needs only the standard library; PyTorch lives in the Python given by --python.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent


def spawn(command):
    """Runs a command: seconds since its start of every JSON line it prints, its wall time and its peak memory."""
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [(time.perf_counter() - start, json.loads(line)) for line in process.stdout if line.startswith("{")]
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{errors}")
    scale = 1 if platform.system() == "Darwin" else 1024
    return lines, wall, usage.ru_maxrss * scale


def pairs(layers):
    """Layers with windows, strides and paddings as pairs, and ten classes, as pytorch_net takes them."""
    for layer in layers:
        for key in ("window", "stride", "padding"):
            if isinstance(layer.get(key), int):
                layer[key] = [layer[key]] * 2
        if layer.get("units") == "classes":
            layer["units"] = 10
        pairs(layer.get("body", []))
        pairs(layer.get("shortcut", []))


def resolve(arguments, path):
    """Writes the recipe as JSON, every default written out."""
    text = subprocess.run([arguments.lenet, "recipe", "show", arguments.network], check=True, capture_output=True, text=True)
    recipe = tomllib.loads(text.stdout)
    recipe["model"].setdefault("input", [1, 28, 28])
    pairs(recipe["model"]["layers"])
    path.write_text(json.dumps(recipe))
    return path


def lenet_train(arguments, threads):
    with tempfile.TemporaryDirectory() as folder:
        lines, wall, memory = spawn(
            [arguments.lenet, "train", arguments.network, "--json", "--epochs", arguments.epochs, "--threads", threads, "--set", "warmup_epochs=0",
             "--out", Path(folder) / "run", *[word for pair in arguments.set for word in ("--set", pair)]])
    epochs = [event for _, event in lines if event["event"] == "epoch"]
    first = next(at for at, event in lines if event["event"] == "step")
    return {
        "epoch_seconds": statistics.median(event["train_seconds"] for event in epochs),
        "test_accuracy": epochs[-1]["test_accuracy"], "wall_seconds": wall, "peak_memory_mb": memory / 1e6,
        "first_step_seconds": first,
    }


def torch_train(arguments, threads, layout, compiled=False):
    command = [arguments.python, HERE / "pytorch_lenet.py", arguments.folder, arguments.resolved,
               "--threads", threads, "--layout", layout, "--epochs", arguments.epochs]
    if arguments.train_limit:
        command += ["--train-limit", arguments.train_limit]
    lines, wall, memory = spawn(command + ["--compile"] * compiled)
    result = lines[-1][1]
    return {
        "epoch_seconds": statistics.median(result["epoch_seconds"]), "test_accuracy": result["test_accuracy"],
        "wall_seconds": wall, "peak_memory_mb": memory / 1e6,
    }


def lenet_inference(arguments):
    lines, _, _ = spawn([arguments.lenet, "bench", "--json", "--quick", arguments.network])
    result = {}
    for _, row in lines:
        if row["group"] == "inference" and "batch 256" in row["name"]:
            result["batch_256_us_per_image"] = row["seconds"] / 256 * 1e6
        elif row["group"] == "inference" and "batch 1" in row["name"]:
            result["batch_1_us"] = row["seconds"] * 1e6
    return result


def torch_inference(arguments, layout):
    lines, _, _ = spawn([arguments.python, HERE / "pytorch_lenet.py", arguments.folder, arguments.resolved,
                         "--task", "inference", "--threads", 1, "--layout", layout])
    result = lines[-1][1]
    return {"batch_256_us_per_image": result["batch_256_seconds_per_image"] * 1e6, "batch_1_us": result["batch_1_seconds"] * 1e6}


def contestants(arguments):
    layouts = ["contiguous", "channels_last"]
    table = {}
    for threads in arguments.threads:
        name = f"{threads} thread" + "s" * (threads > 1)
        table[f"lenet, {name}"] = lambda t=threads: lenet_train(arguments, t)
        for layout in layouts:
            table[f"PyTorch {layout}, {name}"] = lambda t=threads, l=layout: torch_train(arguments, t, l)
        if arguments.compile:
            table[f"PyTorch channels_last compiled, {name}"] = lambda t=threads: torch_train(arguments, t, "channels_last", True)
    if arguments.no_inference:
        return table
    table["lenet, inference"] = lambda: lenet_inference(arguments)
    for layout in layouts:
        table[f"PyTorch {layout}, inference"] = lambda l=layout: torch_inference(arguments, l)
    return table


def medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def report(results):
    table = {name: medians(rounds) for name, rounds in results.items()}
    for name, row in table.items():
        print(f"{name:44}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    print()
    for name, ours in table.items():
        if not name.startswith("lenet, "):
            continue
        work = name.removeprefix("lenet, ")
        peers = {peer: row for peer, row in table.items() if peer.startswith("PyTorch") and peer.endswith(", " + work)}
        for key in ("epoch_seconds", "wall_seconds", "peak_memory_mb", "batch_256_us_per_image", "batch_1_us"):
            if key in ours:
                # Ratios are taken round by round, between neighbours in time, and the best peer counts.
                best = min(peers, key=lambda peer: peers[peer][key])
                ratios = [theirs[key] / mine[key] for mine, theirs in zip(results[name], results[best])]
                print(f"{work}, {key}: {statistics.median(ratios):.2f} times {best.split(',')[0]} "
                      f"({min(ratios):.2f} to {max(ratios):.2f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with the four raw IDX files: `lenet data list` shows it")
    parser.add_argument("--lenet", default=HERE.parent / "target/release/lenet")
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--network", default="lenet", help="a preset, or a recipe's file, trained by SGD or Muon")
    parser.add_argument("--no-inference", action="store_true", help="only trainings")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=2, help="epochs a run; the median epoch counts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    parser.add_argument("--train-limit", type=int, help="only so many training images, to try the script out")
    parser.add_argument("-o", "--output", type=Path, help="raw results as JSON")
    arguments = parser.parse_args()
    arguments.set = [f"data.source=idx:{arguments.folder.resolve()}"]
    if arguments.train_limit:
        arguments.set.append(f"data.train_limit={arguments.train_limit}")

    scratch = tempfile.TemporaryDirectory()
    arguments.resolved = resolve(arguments, Path(scratch.name) / "recipe.json")
    table = contestants(arguments)
    results = {name: [] for name in table}
    for number in range(arguments.rounds):
        for name, measure in table.items():
            print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            results[name].append(measure())
    if arguments.output:
        arguments.output.write_text(json.dumps({"machine": platform.processor() or platform.machine(), "results": results}, indent=1))
    report(results)


if __name__ == "__main__":
    main()
