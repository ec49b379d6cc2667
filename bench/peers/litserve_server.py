"""LitServe with its own batching. Reads one JSON line {"model", "threads", "batch"}, answers {"port", "pid"},
stops at the end of input. LitServe reads annotations, so they are no strings here."""

import os
import signal
import sys
import threading
from typing import Any

import litserve
from judge import PATIENCE_S, ROUTE, Judge, free_port, greet, told, wait_for

FILL_S = 0.01
"""How long a batch may wait to fill up."""


class Api(litserve.LitAPI):
    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(max_batch_size=said["batch"], batch_timeout=FILL_S, api_path=ROUTE)
        self._said = said

    def setup(self, device: str) -> None:
        self._judge = Judge(self._said["model"], self._said["threads"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        return self._judge.pixels(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, inputs: Any) -> Any:
        if isinstance(inputs, list):
            return self._judge.judge(inputs)
        return self._judge.judge([inputs])[0]

    def unbatch(self, output: list[float]) -> list[float]:
        return output

    def encode_response(self, output: float) -> dict[str, float]:
        return {"prediction": output}


def main() -> None:
    said, port = told(), free_port()
    os.setpgrp()  # its workers end with us
    server = litserve.LitServer(Api(said), accelerator="cpu", workers_per_device=1, timeout=PATIENCE_S)
    threading.Thread(target=follow, args=(port,), daemon=True).start()
    server.run(
        host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False
    )


def follow(port: int) -> None:
    wait_for(port)
    greet(port)
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
