"""A recipe's network on the same data in PyTorch, in its best case: float32 tensors that lie in memory before the clock
starts, neither augmentation nor averaged weights.

Prints one JSON object. `train` measures an epoch without evaluation, `inference` a pass over the test images in batches
of 256 and images one at a time.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pytorch_muon import Muon
from pytorch_net import network


def read_idx(path):
    raw = path.read_bytes()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def load(folder, split, memory_format):
    images = torch.from_numpy(read_idx(folder / f"{split}-images-idx3-ubyte").astype(np.float32) / 255)
    labels = torch.from_numpy(read_idx(folder / f"{split}-labels-idx1-ubyte").astype(np.int64))
    return images[:, None].contiguous(memory_format=memory_format), labels


def epoch(net, optimizer, images, labels, batch, smoothing):
    """Seconds of one epoch, shuffling included, evaluation not."""
    net.train()
    start = time.perf_counter()
    order = torch.randperm(len(images))
    for first in range(0, len(images), batch):
        some = order[first : first + batch]
        loss = nn.functional.cross_entropy(net(images[some]), labels[some], label_smoothing=smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


@torch.inference_mode()
def accuracy(net, images, labels):
    net.eval()
    hits = sum((net(x).argmax(1) == y).sum().item() for x, y in zip(images.split(1000), labels.split(1000)))
    return hits / len(labels)


@torch.inference_mode()
def inference(net, images):
    net.eval()
    batches = images.split(256)
    passes = []
    for _ in range(6):
        start = time.perf_counter()
        for some in batches:
            net(some)
        passes.append((time.perf_counter() - start) / len(images))
    singles = [images[i : i + 1] for i in range(1000)]
    each = []
    for some in singles:
        start = time.perf_counter()
        net(some)
        each.append(time.perf_counter() - start)
    return {"batch_256_seconds_per_image": statistics.median(passes[1:]), "batch_1_seconds": statistics.median(each[100:])}


def optimizer(net, train):
    """The recipe's optimizer; the learning rate stays where it is."""
    options = {k: train[k] for k in ("lr", "momentum", "nesterov", "weight_decay")}
    if train["optimizer"] == "muon":
        # In float32: on a CPU without bfloat16 that is faster than PyTorch's choice.
        return Muon(net, torch.float32, **options)
    return torch.optim.SGD(net.parameters(), **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with the four raw IDX files: `lenet data list` shows it")
    parser.add_argument("--task", choices=["train", "inference"], default="train")
    parser.add_argument("recipe", type=Path, help="a recipe as JSON, as run.py writes it")
    parser.add_argument("--layout", choices=["contiguous", "channels_last"], default="contiguous")
    parser.add_argument("--compile", action="store_true", help="torch.compile; its compilation is not timed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-limit", type=int, default=60000)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    torch.backends.mkldnn.enabled = True
    layout = torch.channels_last if arguments.layout == "channels_last" else torch.contiguous_format
    recipe = json.loads(arguments.recipe.read_text())
    train, batch = recipe["train"], recipe["train"]["batch"]
    smoothing = train.get("label_smoothing", 0.0)

    test = load(arguments.folder, "t10k", layout)
    net = network(recipe["model"]).to(memory_format=layout)
    run = torch.compile(net) if arguments.compile else net
    result = {
        "torch": torch.__version__, "threads": torch.get_num_threads(), "layout": arguments.layout, "compile": arguments.compile, "seed": arguments.seed,
    }
    if arguments.task == "inference":
        result |= inference(run, test[0])
    else:
        images, labels = (t[: arguments.train_limit] for t in load(arguments.folder, "train", layout))
        # One step with learning rate 0 wakes threads, caches and compilers; it changes nothing.
        epoch(run, optimizer(net, train | {"lr": 0.0}), images[:batch], labels[:batch], batch, smoothing)
        chosen = optimizer(net, train)
        seconds = [epoch(run, chosen, images, labels, batch, smoothing) for _ in range(arguments.epochs)]
        result |= {"epoch_seconds": seconds, "test_accuracy": accuracy(net, *test)}
    result["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
