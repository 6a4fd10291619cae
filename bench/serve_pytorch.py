"""A model of `lenet` in PyTorch behind FastAPI and uvicorn: what one writes in an afternoon. For bench/serve.py.

    python serve_pytorch.py MODEL        # LeNet with sigmoid and average pooling
"""

import asyncio
import io
import json
import pathlib
import socket
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from safetensors.torch import load_file
from torch import nn

directory = pathlib.Path(sys.argv[1])
if not (directory / "config.json").exists():
    directory = directory / "model"
config = json.loads((directory / "config.json").read_text())
mean, std = config["normalization"]["mean"][0], config["normalization"]["std"][0]
torch.set_num_threads(1)

layers = [nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2)]
layers += [nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)]
network = nn.Sequential(*layers).eval()
network.load_state_dict(load_file(directory / "model.safetensors"))

app = FastAPI()


@app.post("/v1/predict")
async def predict(request: Request) -> dict:
    image = Image.open(io.BytesIO(await request.body())).convert("L").resize((28, 28))
    with torch.inference_mode():
        x = torch.from_numpy((np.asarray(image, np.float32) / 255 - mean) / std)[None, None]
        values, indices = network(x).softmax(1).topk(3)
    classes = config["classes"]
    return {"top": [{"class": classes[i], "probability": p} for i, p in zip(indices[0].tolist(), values[0].tolist())]}


if __name__ == "__main__":
    # Asyncio turns Nagle's delay off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print("http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    asyncio.run(server.serve(sockets=[listener]))
