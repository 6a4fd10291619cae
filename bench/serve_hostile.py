"""What one good client of `lenet serve` waits for its answers while others misbehave.

    python bench/serve_hostile.py [--lenet LENET] [--model MODEL] [--seconds S]

Without a model a small one is trained. For each kind of bad client: how many there are, the good client's p50, p99 and largest
time in ms over single pictures on one kept connection, its failures, lines of the log a bad client, memory of the server.
Bad clients are processes of their own, at the lowest priority: it is the server that is measured, not the scheduler.
"""

import argparse
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from serve import PICTURE, ask, connect, make_model, memory, program, request


def png_bomb(side: int) -> bytes:
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(side + 1) * side, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def post(path: str, body: bytes, length: int | None = None, extra: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{extra}Content-Length: {len(body) if length is None else length}\r\n\r\n"
    return head.encode() + body


def infer(shape: str, values: bytes) -> bytes:
    tensor = f'{{"name":"input","datatype":"FP32","shape":{shape},"parameters":{{"binary_data_size":{len(values)}}}}}'
    text = f'{{"inputs":[{tensor}]}}'.encode()
    return post("/v2/models/m/infer", text + values, extra=f"Inference-Header-Content-Length: {len(text)}\r\n")


# Kind: how many connections, what each sends, whether it asks again and again.
KINDS = {
    "nobody": (0, lambda: b"", False),
    "idle": (1000, lambda: b"", False),
    "slow heads": (1000, lambda: b"GET /v2 HTTP/1.1\r\nHost: loc", False),
    "half bodies": (1000, lambda: post("/v1/predict", b"half", 1000), False),
    "half bodies of 200 KB": (1000, lambda: post("/v1/predict", bytes(200_000), 1_000_000), False),
    "bodies of 1 GB": (4, lambda: post("/v1/predict", b"", 1 << 30), True),
    "decompression bombs of 64 Mpixel": (4, lambda: post("/v1/predict", png_bomb(8000)), True),
    "pictures of 16 Mpixel": (4, lambda: post("/v1/predict", png_bomb(4096)), True),
    "8 MB of JSON": (4, lambda: post("/v2/models/m/infer", b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,28,28],"data":[' + b"0," * 4_100_000 + b"0]}]}"), True),
    "wrong shapes": (4, lambda: infer("[1,28,28,1]", bytes(3136)), True),
    "NaN": (4, lambda: infer("[1,1,28,28]", struct.pack("<f", float("nan")) * 784), True),
    "paths": (4, lambda: b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", True),
}


def attack(address: str, kind: str) -> None:
    """Opens the connections of a kind, says so, and goes on until it is ended; then says how many connections it had."""
    os.nice(19)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    count, make, again = KINDS[kind]
    data, opened, ended = make(), 0, []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    held = []

    def one() -> socket.socket:
        connection = connect(address)
        connection.settimeout(0.5 if again else 60)
        try:
            connection.sendall(data)
        except OSError:
            pass
        return connection

    for _ in range(count):
        held.append(one())
        opened += 1
    print("ready", flush=True)
    while not ended:
        if not again:
            time.sleep(0.1)
            continue
        for i, connection in enumerate(held):
            if ended:
                break
            try:
                connection.recv(65536)
            except OSError:
                pass
            connection.close()
            held[i] = one()
            opened += 1
    print(opened, flush=True)
    # Those that wait are held until the server has had enough of them.
    sys.stdin.read()


def good(address: str, seconds: float) -> tuple[list[float], int]:
    picture = request(address, PICTURE.read_bytes())
    times, failed, end = [], 0, time.perf_counter() + seconds
    connection = connect(address)
    while time.perf_counter() < end:
        start = time.perf_counter()
        try:
            ask(connection, picture)
        except (OSError, AssertionError):
            failed += 1
            connection = connect(address)
        times.append(1000 * (time.perf_counter() - start))
        # Now and then, as people do: what is measured is the wait, not the throughput.
        time.sleep(0.002)
    return sorted(times), failed


def measure(lenet: str, model: str, kind: str, seconds: float, scratch: str) -> None:
    log = pathlib.Path(scratch) / "log"
    with log.open("wb") as errors:
        command = [lenet, "serve", f"m={model}", "--addr", "127.0.0.1:0", "--quiet"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    address = server.stdout.readline().strip().removeprefix("http://")
    good(address, 0.3)
    before = memory(server)
    command = [sys.executable, __file__, "--attack", kind, address]
    bad = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert bad.stdout.readline() == "ready\n"
    times, failed = good(address, seconds)
    after = memory(server)
    bad.terminate()
    opened = int(bad.stdout.readline())
    lines, patience = 0, time.time() + 45
    while lines < opened and time.time() < patience:
        time.sleep(0.2)
        events = [json.loads(l) for l in log.read_text().splitlines() if l.startswith("{")]
        lines = sum(e["level"] != "info" for e in events)
    bad.stdin.close()
    bad.wait()
    server.terminate()
    server.wait(timeout=30)
    quantile = lambda q: times[int(q * (len(times) - 1))]
    per = f"{lines / opened:.2f}" if opened else "-"
    print(f"| {kind} | {opened} | {quantile(0.5):.2f} | {quantile(0.99):.2f} | {times[-1]:.2f} | {failed} of {len(times)} | {per} | {before} → {after} MB |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lenet", default=program())
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--attack", nargs=2, metavar=("KIND", "ADDRESS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.attack:
        return attack(args.attack[1], args.attack[0])
    with tempfile.TemporaryDirectory() as scratch:
        model = args.model or make_model(args.lenet, scratch)
        print("| bad clients | connections | p50 ms | p99 ms | largest ms | failed | lines each | server |\n|---|---|---|---|---|---|---|---|")
        for kind in KINDS:
            measure(args.lenet, model, kind, args.seconds, scratch)


if __name__ == "__main__":
    sys.exit(main())
