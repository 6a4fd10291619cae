"""Measures training over ranks: two ranks of one thread against one process of two, and ranks that are machines of their own.

usage: mpi.py LENET DATA [--rounds 5] [--out mpi.json]        (LENET is a binary with the feature mpi)

Part `share`: in each round every contestant runs once, then the next round; medians over the rounds, and their ratio.
Part `machines` (as root, with iproute2): network namespaces joined by a bridge, one rank each, at several rates in Mbit/s. What a
step takes is put beside a model that knows a step's time by chunks, the messages' times and the rate:

    seconds = (chunk * chunks + ranks * rest) / cores + tell + gather + rounds * round

where a chunk's and the rest's seconds come of single processes with several batches, and those of messages of
`mpi_messages.c`, run on the same network; a batch norm has a round forward and one backward. Up to as many ranks as cores the
first term is chunk * (most chunks a rank) + rest.
Needs only the standard library, mpirun and mpicc.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETNS = Path("/etc/netns")
CHUNK = 16
# Bytes of a batch norm's round: two sums for each of some channels and chunks.
ROUND = 1024
ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def call(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | ROOT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def step_seconds(arguments, before, recipe, threads, more=()):
    """Seconds a step: the median of a training's epochs, the first one left out."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [f"train_limit={arguments.train_limit}", "test_limit=256", "warmup_epochs=0", *more]
        call([*before, arguments.lenet, "train", recipe, "--data", arguments.data, "--threads", threads, "--epochs", arguments.epochs,
              "--out", Path(folder) / "run", *[word for pair in sets for word in ("--set", pair)]])
        lines = (Path(folder) / "run/metrics.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["train_seconds"] for line in lines]
    batch = next((int(pair.split("=")[1]) for pair in more if pair.startswith("batch=")), arguments.batches[recipe])
    return statistics.median(seconds[1:] or seconds) / -(-arguments.train_limit // batch)


def mpirun(ranks, *more):
    return ["mpirun", "--bind-to", "none", "-n", ranks, *(["--oversubscribe"] if ranks > os.cpu_count() else []), *more]


def share(arguments):
    """Two ranks of one thread against one process of two threads."""
    result = {}
    for recipe in arguments.recipes:
        contestants = {"one process, 2 threads": ([], 2), "2 ranks, 1 thread": (mpirun(2), 1)}
        times = {name: [] for name in contestants}
        for _ in range(arguments.rounds):
            for name, (before, threads) in contestants.items():
                times[name].append(step_seconds(arguments, before, recipe, threads))
        medians = [statistics.median(values) for values in times.values()]
        result[recipe] = {"step_seconds": times, "medians": dict(zip(times, medians)), "speed": medians[0] / medians[1]}
        print(f"share     {recipe}: a step {medians[0] * 1e3:.3f} ms by one process, {medians[1] * 1e3:.3f} ms by two ranks, "
              f"{medians[0] / medians[1]:.3f} of its speed")
    return result


class Machines:
    """Network namespaces on a bridge."""

    def __init__(self, number, rate, folder):
        self.names = [f"lenet-m{i}-{os.getpid()}" for i in range(number)]
        self.switch = f"lenet-s-{os.getpid()}"
        self.agent = Path(folder) / "agent"
        for name in [self.switch, *self.names]:
            call(["ip", "netns", "add", name])
            call(["ip", "-n", name, "link", "set", "lo", "up"])
        call(["ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge"])
        call(["ip", "-n", self.switch, "link", "set", "bridge", "up"])
        for i, name in enumerate(self.names):
            call(["ip", "-n", name, "link", "add", "veth0", "type", "veth", "peer", "name", f"port{i}", "netns", self.switch])
            call(["ip", "-n", self.switch, "link", "set", f"port{i}", "master", "bridge", "up"])
            call(["ip", "-n", name, "addr", "add", f"10.78.0.{i + 1}/24", "dev", "veth0"])
            call(["ip", "-n", name, "link", "set", "veth0", "up"])
            if rate:
                for space, port in ((name, "veth0"), (self.switch, f"port{i}")):
                    call(["tc", "-n", space, "qdisc", "add", "dev", port, "root", "tbf", "rate", f"{rate}mbit", "burst", "64kb", "latency", "200ms"])
        # What `ip netns exec` lays over /etc/hosts: Open MPI 5 wants names.
        hosts = "".join(f"10.78.0.{i + 1} {name}\n" for i, name in enumerate(self.names))
        for name in self.names:
            (NETNS / name).mkdir(parents=True)
            (NETNS / name / "hosts").write_text("127.0.0.1 localhost\n" + hosts)
        self.agent.write_text("#!/bin/sh\nspace=$1\nshift\n"
                              "exec ip netns exec $space unshare --uts sh -c \"echo $space > /proc/sys/kernel/hostname; $*\"\n")
        self.agent.chmod(0o755)

    def mpirun(self):
        hosts = ",".join(self.names)
        inside = f'echo {self.names[0]} > /proc/sys/kernel/hostname; exec "$@"'
        mca = {"plm_rsh_agent": self.agent, "plm_rsh_no_tree_spawn": 1, "btl": "tcp,self",
               "btl_tcp_if_include": "veth0", "oob_tcp_if_include": "veth0"}
        options = [word for key, value in mca.items() for word in ("--mca", key, value)]
        return ["ip", "netns", "exec", self.names[0], "unshare", "--uts", "sh", "-c", inside, "-", "mpirun", "--host", hosts,
                "--bind-to", "none", *(["--oversubscribe"] if len(self.names) > os.cpu_count() else []), *options]

    def sent(self):
        """Bytes that the second machine has sent."""
        return int(call(["ip", "netns", "exec", self.names[1], "cat", "/sys/class/net/veth0/statistics/tx_bytes"]))

    def close(self):
        for name in [*self.names, self.switch]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            shutil.rmtree(NETNS / name, ignore_errors=True)


def compute(arguments, recipe):
    """Seconds of a chunk and of the rest of a step, by one thread: a line through steps of parts of the batch."""
    points = []
    for batch in (arguments.batches[recipe] // share for share in (4, 2, 1)):
        points.append((batch / CHUNK, step_seconds(arguments, [], recipe, 1, [f"batch={batch}"])))
    slope, rest = statistics.linear_regression(*zip(*points))
    return slope, max(rest, 0.0)


def messages(arguments, before, folder, sizes):
    program = Path(folder) / "mpi_messages"
    if not program.exists():
        call(["mpicc", "-O2", HERE / "mpi_messages.c", "-o", program])
    lines = [json.loads(line) for line in call([*before, program, *sizes]).splitlines() if line.startswith("{")]
    return {(line["kind"], line["bytes"]): line["seconds"] for line in lines}


def machines(arguments):
    """Steps over ranks that only a network joins, beside the model."""
    rows, cores = [], os.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        for recipe in arguments.recipes:
            chunk, rest = compute(arguments, recipe)
            chunks = -(-arguments.batches[recipe] // CHUNK)
            print(f"compute   {recipe}: a chunk {chunk * 1e6:.0f} us, the rest of a step {rest * 1e6:.0f} us")
            for rate in arguments.rates:
                for ranks in arguments.ranks:
                    net = Machines(ranks, rate, folder)
                    try:
                        before, steps = net.sent(), -(-arguments.train_limit // arguments.batches[recipe]) * arguments.epochs
                        measured = step_seconds(arguments, net.mpirun(), recipe, 1)
                        sent = (net.sent() - before) / steps
                        # Every rank sends what it has to all others.
                        own = int(sent / (ranks - 1))
                        times = messages(arguments, net.mpirun(), folder, [ROUND, own])
                    finally:
                        net.close()
                    tell, gather = times["tell", 2048], times["gather", own]
                    rounds = arguments.rounds_of[recipe] * times["gather", ROUND]
                    most = -(-chunks // ranks)
                    work = chunk * most + rest if ranks <= cores else (chunk * chunks + ranks * rest) / cores
                    model = work + tell + gather + rounds
                    rows.append({"recipe": recipe, "mbit": rate, "ranks": ranks, "step_seconds": measured, "model_seconds": model,
                                 "bytes_a_rank": own, "tell_seconds": tell, "gather_seconds": gather, "rounds_seconds": rounds,
                                 "chunk_seconds": chunk, "rest_seconds": rest})
                    print(f"machines  {recipe}, {rate or 'no limit of'} Mbit/s, {ranks} ranks: a step {measured * 1e3:.2f} ms, "
                          f"model {model * 1e3:.2f} ms (work {work * 1e3:.2f}, {own} bytes in {gather * 1e3:.2f}, norms {rounds * 1e3:.2f}, "
                          f"told in {tell * 1e3:.2f})")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lenet", type=Path)
    parser.add_argument("data", help="what lenet takes after --data")
    parser.add_argument("--recipes", nargs="+", default=["lenet", "small"])
    parser.add_argument("--parts", nargs="+", default=["share", "machines"], choices=["share", "machines"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--train-limit", type=int, default=12800)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--rates", type=int, nargs="+", default=[0, 1000, 100], help="Mbit/s; 0 for no limit")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    # Network namespaces are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    arguments.lenet = arguments.lenet.resolve()
    arguments.batches, arguments.rounds_of = {}, {}
    for recipe in arguments.recipes:
        text = call([arguments.lenet, "recipe", "show", recipe])
        arguments.batches[recipe] = next(int(line.split("=")[1]) for line in text.splitlines() if line.startswith("batch ="))
        arguments.rounds_of[recipe] = 2 * text.count('"batch_norm"')
    parts = {"share": share, "machines": machines}
    result = {part: parts[part](arguments) for part in arguments.parts}
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
