"""Asks a server with a stock client of the Open Inference Protocol, and compares the logits with the engine's, bit for bit.

    cargo xtask test-serve

which runs: serve_protocol.py HOST:PORT EXPECTED. The files EXPECTED.inputs and EXPECTED.logits are little-endian f32,
[n, 1, 28, 28] and [n, classes]; the model is "m0".
"""

import sys

import numpy as np
import tritonclient.http as client
from tritonclient.utils import InferenceServerException


def main(address: str, expected: str) -> None:
    inputs = np.fromfile(expected + ".inputs", dtype="<f4").reshape(-1, 1, 28, 28)
    logits = np.fromfile(expected + ".logits", dtype="<f4").reshape(len(inputs), -1)
    with client.InferenceServerClient(address) as server:
        assert server.is_server_live() and server.is_server_ready() and server.is_model_ready("m0")
        assert not server.is_model_ready("other")
        assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
        metadata = server.get_model_metadata("m0")
        assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28]}], metadata
        for n in (1, 7, len(inputs)):
            for binary_in in (False, True):
                for binary_out in (False, True):
                    tensor = client.InferInput("input", [n, 1, 28, 28], "FP32")
                    tensor.set_data_from_numpy(inputs[:n], binary_data=binary_in)
                    wish = client.InferRequestedOutput("logits", binary_data=binary_out)
                    answer = server.infer("m0", [tensor], outputs=[wish], request_id="a-1", model_version="1")
                    # JSON numbers arrive as float64, and are exact.
                    got = answer.as_numpy("logits").astype("<f4")
                    assert answer.get_response()["id"] == "a-1"
                    assert got.tobytes() == logits[:n].tobytes(), (n, binary_in, binary_out)
        tensor = client.InferInput("input", [1, 28, 28, 1], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 28, 28, 1), np.float32))
        try:
            server.infer("m0", [tensor])
        except InferenceServerException as error:
            assert "shape" in str(error), error
        else:
            raise AssertionError("a wrong shape was taken")
    print(f"{len(inputs)} images, four encodings: the same bits")


if __name__ == "__main__":
    main(*sys.argv[1:])
