"""Writes what PyTorch computes, in float64, for random networks of all operators: values that tests compare with.

    python3 bench/pytorch_parity.py crates/lenet/tests/fixtures/torch_networks.json

Parameters, inputs and labels follow from formulas, so that the file holds results alone: of evaluation the logits, of a
step the loss, the gradient and the running statistics, and the parameters after 20 steps of an optimizer. A network in
which float32 falls on another side of a kink (a tie of maxima, 0 of a ReLU) than float64 is passed over.
"""

import json
import random
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional as F

from pytorch_muon import Muon
from pytorch_net import network

# In the order in which they were drawn when the tests' values were written.
ACTIVATIONS = "elu gelu hard_swish leaky_relu relu scaled_tanh sigmoid silu softplus tanh".split()
SAMPLES = 24
STEPS = 20
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=2e-3, eps=1e-4, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=2e-3, eps=1e-4, weight_decay=1e-2),
}


def uniform(n, seed):
    """n numbers in [0, 1), each a float32."""
    i = numpy.arange(n, dtype=numpy.uint64)
    bits = (i * numpy.uint64(2654435761) + numpy.uint64(seed * 40503 + 12345)) % numpy.uint64(1 << 32)
    bits = (bits ^ (bits >> numpy.uint64(15))) * numpy.uint64(2246822519) % numpy.uint64(1 << 32)
    return (bits >> numpy.uint64(8)).astype(numpy.float64) / (1 << 24)


def fill(net, seed):
    """Sets parameters and buffers by a formula of their place and sizes."""
    for number, (name, p) in enumerate(net.named_parameters()):
        norm = name.endswith("weight") and p.dim() == 1
        fan = max(1, p[0].numel()) if p.dim() > 1 else 4
        scale, start = (0.4, 1.0) if norm else ((3.0 / fan) ** 0.5, 0.0)
        values = start + (2 * uniform(p.numel(), seed + 101 * number) - 1) * scale
        p.data = torch.tensor(values.astype(numpy.float32).astype(numpy.float64)).reshape(p.shape)
    for module in net.modules():
        if hasattr(module, "mask"):
            module.weight.data *= module.mask
    buffers = [(n, b) for n, b in net.named_buffers() if b.is_floating_point() and "mask" not in n]
    for number, (_, b) in enumerate(buffers):
        values = 0.5 + uniform(b.numel(), seed + 7001 + number)
        b.copy_(torch.tensor(values.astype(numpy.float32).astype(numpy.float64)).reshape(b.shape))


def hexed(tensors):
    flat = [t.detach().double().flatten().numpy() for t in tensors]
    return numpy.concatenate(flat or [numpy.zeros(0)]).astype("<f4").tobytes().hex()


def act(r):
    return {"type": r.choice(ACTIVATIONS)}


def norm(r):
    return {"type": "batch_norm", "eps": r.choice([1e-5, 1e-3]), "momentum": r.choice([0.1, 0.3])}


def conv(r, inputs, channels=None, same=False, bias=True):
    window = [r.choice([1, 3, 5])] * 2 if same else [r.randint(1, 5), r.randint(1, 5)]
    spec = {"type": "conv2d", "channels": channels or r.randint(2, 9), "window": window, "stride": [1, 1], "bias": bias}
    spec["padding"] = [w // 2 for w in window] if same else [r.randint(0, w // 2) for w in window]
    if not same and r.random() < 0.4:
        spec["stride"] = [r.randint(1, 2), r.randint(1, 3)]
    groups = r.choice([g for g in range(1, inputs + 1) if inputs % g == 0])
    if groups > 1 and (channels or groups) % groups == 0:
        spec["groups"], spec["channels"] = groups, channels or groups * r.randint(1, 2)
    elif not same and r.random() < 0.3:
        maps = [[c for c in range(inputs) if r.random() < 0.6] for _ in range(spec["channels"])]
        spec["connections"] = [m or [r.randrange(inputs)] for m in maps]
    return spec


def pool(r):
    window = [r.randint(2, 3), r.randint(1, 3)]
    stride = window if r.random() < 0.5 else [r.randint(1, 2), r.randint(1, 2)]
    padding = [w // 2 for w in window] if r.random() < 0.3 else [0, 0]
    return {"type": r.choice(["avg_pool", "max_pool"]), "window": window, "stride": stride, "padding": padding}


def block(r, inputs):
    channels = r.choice([inputs, r.randint(2, 8)])
    body = [conv(r, inputs, inputs, True, False), norm(r), act(r), conv(r, inputs, channels, True, False), norm(r)]
    spec = {"type": "residual", "body": body}
    if channels != inputs or r.random() < 0.3:
        spec["shortcut"] = [dict(conv(r, inputs, channels, True, False))]
    return spec, channels


def spec(r):
    shape = [r.randint(1, 3), r.randint(8, 12), r.randint(8, 12)]
    layers, channels = [], shape[0]
    for _ in range(r.randint(1, 3)):
        choice = r.random()
        if choice < 0.5:
            normed = r.random() < 0.5
            layers.append(conv(r, channels, bias=not normed))
            channels = layers[-1]["channels"]
            layers += [norm(r)] if normed else []
        elif choice < 0.8:
            one, channels = block(r, channels)
            layers.append(one)
        else:
            layers.append({"type": "subsample", "window": [2, 2], "stride": [2, 2], "padding": [0, 0]})
        layers.append(act(r))
        layers += [pool(r)] if r.random() < 0.4 else []
    layers += [{"type": "global_avg_pool"}] if r.random() < 0.3 else []
    layers.append({"type": "flatten"})
    if r.random() < 0.5:
        layers += [{"type": "dense", "units": r.randint(3, 20), "bias": False}, norm(r), act(r)]
    units = r.randint(2, 10)
    layers.append({"type": "rbf", "units": units} if r.random() < 0.1 else {"type": "dense", "units": units, "bias": True})
    return {"input": shape, "layers": layers}


def data(one, outputs, seed):
    n = SAMPLES * int(numpy.prod(one["input"]))
    x = uniform(n, seed + 90001).astype(numpy.float32).astype(numpy.float64)
    return torch.tensor(x).reshape(SAMPLES, *one["input"]), torch.arange(SAMPLES) * 7 % outputs


def gradient(one, seed, dtype):
    net = network(one)
    fill(net, seed)
    net = net.to(dtype)
    x, labels = data(one, net(torch.zeros(2, *one["input"], dtype=dtype)).shape[1], seed)
    logits = net(x.to(dtype))
    net.train()
    loss = F.cross_entropy(net(x.to(dtype)), labels)
    loss.backward()
    return net, logits, loss, labels


def case(one, seed, optimizer):
    net, logits, loss, labels = gradient(one, seed, torch.float64)
    parameters = list(net.parameters())
    if not parameters or sum(p.numel() for p in parameters) > 3000 or logits.abs().max() > 50:
        return None
    single = gradient(one, seed, torch.float32)[0]
    largest = max(p.grad.abs().max() for p in parameters)
    for p, q in zip(parameters, single.parameters()):
        if (p.grad - q.grad).abs().max() > 2e-6 * max(p.grad.abs().max(), 0.05 * largest):
            return None
    running = [b for n, b in net.named_buffers() if b.is_floating_point() and "mask" not in n]
    result = {
        "spec": one,
        "seed": seed,
        "optimizer": optimizer,
        "logits": hexed([logits]),
        "loss": float(loss),
        "gradient": hexed([p.grad for p in parameters]),
        "buffers": hexed(running),
    }
    fill(net, seed)
    x, _ = data(one, logits.shape[1], seed)
    decays = [p for n, p in net.named_parameters() if p.dim() > 1]
    others = [p for n, p in net.named_parameters() if p.dim() == 1]
    groups = [{"params": decays}, {"params": others, "weight_decay": 0.0}]
    opt = Muon(net, torch.float64, lr=2e-3, weight_decay=1e-2, eps=1e-4) if optimizer == "muon" else OPTIMIZERS[optimizer](groups)
    losses = []
    for _ in range(STEPS):
        opt.zero_grad()
        step = F.cross_entropy(net(x), labels)
        step.backward()
        opt.step()
        losses.append(float(step))
    result["losses"] = losses
    result["after"] = hexed(net.parameters())
    return result if all(numpy.isfinite(losses)) and max(losses) < 20 else None


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    r, cases, seed = random.Random(5), [], 0
    names = list(OPTIMIZERS) * 6 + ["muon"] * 6
    while len(cases) < len(names):
        seed += 1
        try:
            one = spec(r)
            done = case(one, seed, names[len(cases)])
        except (RuntimeError, ValueError):
            # Windows that do not fit, or a normalisation of single values.
            continue
        if done:
            cases.append(done)
    with open(sys.argv[1], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
