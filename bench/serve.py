"""Latency on one kept connection, and throughput with 64, of `lenet serve` and of PyTorch behind FastAPI.

    python bench/serve.py LENET MODEL PICTURE [--pytorch PYTHON]

LENET is the program, MODEL a model's directory, PICTURE a PNG of 28×28. Throughput needs `wrk` on the path. PYTHON is one
with torch, fastapi, uvicorn, pillow and safetensors; it runs bench/serve_pytorch.py, one process and one thread.
"""

import argparse
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SCRIPT = """
local file = io.open("{picture}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "image/png"
"""


def ask(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return body


def latency(address: str, picture: bytes, seconds: float) -> str:
    host, port = address.split(":")
    head = f"POST /v1/predict HTTP/1.1\r\nHost: {address}\r\nContent-Type: image/png\r\nContent-Length: {len(picture)}\r\n\r\n"
    times = []
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(100):
            ask(connection, head.encode() + picture)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            ask(connection, head.encode() + picture)
            times.append(time.perf_counter() - start)
    times.sort()
    quantile = lambda q: 1000 * times[int(q * (len(times) - 1))]
    return f"one connection: p50 {quantile(0.5):.3f} ms, p99 {quantile(0.99):.3f} ms, {len(times)} requests"


def throughput(address: str, picture: str, seconds: float) -> str:
    if not shutil.which("wrk"):
        return "64 connections: wrk is not installed"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(picture=picture))
        script.flush()
        command = ["wrk", "-t", "1", "-c", "64", "-d", f"{seconds:.0f}s", "--latency", "-s", script.name]
        out = subprocess.run([*command, f"http://{address}/v1/predict"], capture_output=True, text=True, check=True).stdout
    wanted = ("50%", "99%", "Requests/sec", "Non-2xx", "Socket errors")
    return "64 connections: " + ", ".join(" ".join(l.split()) for l in out.splitlines() if l.strip().startswith(wanted))


def memory(process: subprocess.Popen) -> str:
    status = pathlib.Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return ""
    return next(l for l in status.read_text().splitlines() if l.startswith("VmRSS")).replace("\t", " ")


def measure(name: str, command: list[str], picture: str, seconds: float) -> None:
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip().removeprefix("http://")
        body = pathlib.Path(picture).read_bytes()
        print(f"{name}: {latency(address, body, seconds)}; {memory(server)}", flush=True)
        print(f"{name}: {throughput(address, picture, seconds)}; {memory(server)}", flush=True)
    finally:
        server.terminate()
        server.wait(timeout=30)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lenet")
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--pytorch")
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    picture = str(pathlib.Path(args.picture).resolve())
    # With the log of each request, as it is by default.
    measure("lenet", [args.lenet, "serve", args.model, "--addr", "127.0.0.1:0"], picture, args.seconds)
    if args.pytorch:
        script = str(pathlib.Path(__file__).with_name("serve_pytorch.py"))
        measure("pytorch", [args.pytorch, script, args.model], picture, args.seconds)


if __name__ == "__main__":
    sys.exit(main())
