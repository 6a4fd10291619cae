"""Records what PyTorch's optimizers and schedules do in 20 steps of float64, as a fixture of the tests.

usage: python bench/pytorch_optimizers.py > crates/lenet/tests/fixtures/optimizers.json
"""

import json

import torch
from torch.optim import lr_scheduler as schedules

LR, FINAL, PER_EPOCH, EPOCHS, N = 0.05, 0.001, 4, 5, 9
STEPS = PER_EPOCH * EPOCHS
START = [(i - 4) / 3 for i in range(N)]
CURVE = [0.5 + i / 4 for i in range(N)]
GOAL = [((i * 5) % 7 - 3) / 2 for i in range(N)]

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=LR),
    "sgd weight_decay=0.1": lambda p: torch.optim.SGD(p, lr=LR, weight_decay=0.1),
    "sgd momentum=0.9 weight_decay=0.1": lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, weight_decay=0.1),
    "sgd momentum=0.9 nesterov=true": lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, nesterov=True),
    "adam weight_decay=0.1": lambda p: torch.optim.Adam(p, lr=LR, weight_decay=0.1),
    "adamw weight_decay=0.1": lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=0.1),
}


def warm(optimizer):
    rise = schedules.LinearLR(optimizer, start_factor=1 / PER_EPOCH, total_iters=PER_EPOCH - 1)
    fall = schedules.CosineAnnealingLR(optimizer, T_max=STEPS - PER_EPOCH, eta_min=FINAL)
    return schedules.SequentialLR(optimizer, [rise, fall], milestones=[PER_EPOCH])


SCHEDULES = {
    "constant": lambda o: schedules.ConstantLR(o, factor=1.0),
    "step step_epochs=2 gamma=0.5": lambda o: schedules.StepLR(o, step_size=2 * PER_EPOCH, gamma=0.5),
    "cosine final_lr=0.001": lambda o: schedules.CosineAnnealingLR(o, T_max=STEPS, eta_min=FINAL),
    "cosine final_lr=0.001 warmup_epochs=1": warm,
    "one_cycle final_lr=0.001": lambda o: schedules.OneCycleLR(
        o, max_lr=LR, total_steps=STEPS, final_div_factor=LR / 25 / FINAL, cycle_momentum=False
    ),
}


def record(optimizer_name, schedule_name, clip):
    w = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    curve, goal = torch.tensor(CURVE, dtype=torch.float64), torch.tensor(GOAL, dtype=torch.float64)
    optimizer = OPTIMIZERS[optimizer_name]([w])
    schedule = SCHEDULES[schedule_name](optimizer)
    rates = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        (curve * (w - goal) ** 2).sum().mul(0.5).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_([w], clip)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return {"optimizer": optimizer_name, "schedule": schedule_name, "clip": clip, "lr": rates, "end": w.tolist()}


if __name__ == "__main__":
    cases = [record(o, s, c) for o in OPTIMIZERS for s in SCHEDULES for c in (0.0, 1.5)]
    problem = {"lr": LR, "per_epoch": PER_EPOCH, "epochs": EPOCHS, "start": START, "curve": CURVE, "goal": GOAL}
    print(json.dumps({"torch": torch.__version__, **problem, "cases": cases}, indent=1))
