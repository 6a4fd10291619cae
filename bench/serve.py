"""Latency on one kept connection, and throughput with 64, of `lenet serve` and of PyTorch behind FastAPI.

    python bench/serve.py [--pytorch [PYTHON]] [--lenet LENET] [--model MODEL] [--seconds S]

Prints the table of BENCHMARKS.md. Without a model a small LeNet is trained on a few images. Throughput needs `wrk` on the path.
`--pytorch` runs bench/serve_pytorch.py, one process and one thread, in PYTHON, or in an environment under target/ that is made
for it from bench/requirements-serve-pytorch.txt. Run it on a machine that does nothing else.
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "crates/lenet/tests/fixtures"
PICTURE = FIXTURES / "pictures/01-pullover.png"

SCRIPT = """
local file = io.open("{picture}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "image/png"
"""


def program() -> str:
    return str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/lenet")


def make_model(lenet: str, directory: str) -> str:
    """A LeNet with sigmoid and average pooling, trained for an epoch on a few images: what it says does not matter here."""
    command = [lenet, "train", "lenet", "--epochs", "1", "--data", f"idx:{FIXTURES / 'fashion-mnist-small'}", "--out", f"{directory}/model"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return f"{directory}/model"


def connect(address: str) -> socket.socket:
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(address: str, picture: bytes) -> bytes:
    head = f"POST /v1/predict HTTP/1.1\r\nHost: {address}\r\nContent-Type: image/png\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture


def ask(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return body


def latency(address: str, picture: bytes, seconds: float) -> tuple[float, float]:
    """p50 and p99 in ms of one request after the other."""
    times, asked = [], request(address, picture)
    with connect(address) as connection:
        for _ in range(100):
            ask(connection, asked)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            ask(connection, asked)
            times.append(time.perf_counter() - start)
    times.sort()
    return tuple(1000 * times[int(q * (len(times) - 1))] for q in (0.5, 0.99))


def throughput(address: str, seconds: float) -> tuple[str, str]:
    """Requests a second with 64 connections, and what went wrong."""
    if not shutil.which("wrk"):
        return "wrk is not installed", "-"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(picture=PICTURE))
        script.flush()
        command = ["wrk", "-t", "1", "-c", "64", "-d", f"{max(seconds, 1):.0f}s", "--latency", "-s", script.name]
        out = subprocess.run([*command, f"http://{address}/v1/predict"], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", out)[1])
    other = re.search(r"Non-2xx or 3xx responses:\s*(\d+)", out)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = int(other[1]) if other else 0
    errors += sum(map(int, sockets.groups())) if sockets else 0
    return f"{rate:,.0f}", str(errors)


def memory(process: subprocess.Popen) -> str:
    """Resident memory in MB."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return "?"
    kilobytes = int(re.search(r"VmRSS:\s*(\d+)", status.read_text())[1])
    return f"{kilobytes / 1000:.0f}"


def measure(name: str, command: list[str], seconds: float) -> None:
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip().removeprefix("http://")
        if not address:
            raise SystemExit(f"{name}: the server does not start: {' '.join(command)}")
        p50, p99 = latency(address, PICTURE.read_bytes(), seconds)
        before = memory(server)
        rate, errors = throughput(address, seconds)
        print(f"| {name} | {p50:.3f} / {p99:.2f} | {rate} | {errors} | {before} → {memory(server)} MB |", flush=True)
    finally:
        server.terminate()
        server.wait(timeout=30)


def pytorch(python: str) -> str:
    if python != "own":
        return python
    environment = ROOT / "target/venv-serve-pytorch"
    if not (environment / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    requirements = str(pathlib.Path(__file__).with_name("requirements-serve-pytorch.txt"))
    subprocess.run([str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    return str(environment / "bin/python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lenet", default=program())
    parser.add_argument("--model")
    parser.add_argument("--pytorch", nargs="?", const="own", metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = args.model or make_model(args.lenet, scratch)
        print("| server | one connection, p50 / p99 in ms | 64 connections, predictions/s | errors | memory before → after |\n|---|---|---|---|---|")
        # With the log of each request, as it is by default.
        measure("lenet serve", [args.lenet, "serve", model, "--addr", "127.0.0.1:0"], args.seconds)
        if args.pytorch:
            script = str(pathlib.Path(__file__).with_name("serve_pytorch.py"))
            measure("PyTorch, FastAPI, uvicorn", [pytorch(args.pytorch), script, model], args.seconds)


if __name__ == "__main__":
    sys.exit(main())
