"""Muon as PyTorch has it, for networks with convolutions: `torch.optim.Muon` takes matrices alone."""

from unittest import mock

import torch
from torch import nn

from pytorch_net import Masked, Rbf


def matrix(tensor):
    """[outputs, rest] over the same memory; the order of the columns means nothing to Muon."""
    return tensor.flatten(1) if tensor.is_contiguous() else tensor.permute(0, 2, 3, 1).flatten(1)


class Muon:
    """PyTorch's Muon on hidden layers' weights as matrices, its AdamW on the rest, one learning rate for both.

    The iteration runs in `iterate`, where PyTorch has bfloat16, of which nothing could be compared to more than two digits.
    """

    def __init__(self, net, iterate, lr, weight_decay, eps=1e-8, **options):
        units = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear, Rbf))]
        plain = [m for m in units[:-1] if not isinstance(m, (Masked, Rbf)) and getattr(m, "groups", 1) == 1]
        self.pairs = [(m.weight, nn.Parameter(matrix(m.weight.data))) for m in plain]
        matrices = {id(weight) for weight, _ in self.pairs}
        rest = [p for p in net.parameters() if id(p) not in matrices]
        groups = [{"params": [p for p in rest if p.dim() > 1]}, {"params": [p for p in rest if p.dim() == 1], "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, lr=lr, eps=eps, weight_decay=weight_decay)
        views = [view for _, view in self.pairs]
        options |= dict(lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.muon = torch.optim.Muon(views, **options) if views else None
        self.net, self.iterate = net, iterate

    def zero_grad(self, set_to_none=True):
        self.net.zero_grad(set_to_none=set_to_none)

    def step(self):
        self.adamw.step()
        for weight, view in self.pairs:
            view.grad = matrix(weight.grad)
        with mock.patch.object(torch, "bfloat16", self.iterate):
            if self.muon:
                self.muon.step()
