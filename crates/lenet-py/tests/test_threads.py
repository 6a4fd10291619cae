"""The interpreter goes on during a training; Ctrl-C ends it, with a checkpoint."""

import signal
import subprocess
import sys
import threading
import time

import lenet
import numpy as np
import pytest
from conftest import IDX

SCRIPT = """
import lenet, signal, sys
# A shell's background job ignores the signal, and so would Python.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    lenet.train(data=sys.argv[1], epochs=1_000_000, out=sys.argv[2], callback=lambda m: print(m["epoch"], flush=True))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_other_threads_go_on_during_a_training():
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    lenet.train(data=IDX, epochs=60, threads=1)
    end = time.perf_counter()
    stop.set()
    thread.join()
    assert sum(start < t < end for t in ticks) >= 10


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_control_c_ends_a_training_with_a_checkpoint(tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, IDX, run], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGINT)
    try:
        said = process.communicate(timeout=120)[0].splitlines()
    finally:
        process.kill()
    assert process.returncode == 0 and said[-1] == "interrupted"
    done = 1 + len(said) - 1
    resumed = lenet.train(resume=run, epochs=done + 2)
    assert [m["epoch"] for m in resumed.metrics] == list(range(1, done + 3))
    through = lenet.train(data=IDX, epochs=done + 2)
    assert all(np.array_equal(value, through.state_dict()[name]) for name, value in resumed.state_dict().items())
