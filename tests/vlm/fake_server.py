"""A stand-in for SGLang 0.5.23: its routes, answers and quirks as recorded from the real one (golden/).

In a thread of a test (`FakeServer().start()`), or as a process that takes SGLang's own flags
(`python fake_server.py --model-path M --port P ...`). It is told how to misbehave by `POST /fake/set`.
"""

from __future__ import annotations

import argparse
import base64
import copy
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
CHAT, DECISIONS = "/v1/chat/completions", "/v1/decisions"
FIELDS = {
    "model", "input", "images", "questions", "temperature", "chat_template_kwargs", "prompt_format_version",
    "return_prompt_token_ids",
}  # fmt: skip
CONTEXT = 4096


def golden(name: str) -> dict[str, Any]:
    """One recorded exchange: method, path, request, status, response."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


class FakeServer(ThreadingHTTPServer):
    """`behave` holds what a test may change at any time:

    `top` [[token, logprob], ...] of every answer (None: by the first picture); `slow_s` before an answer;
    `hang` never answer questions; `deaf` answer nothing at all; `abort` the next n questions come back
    aborted; `statuses` the next answers' status; `crash` exit at the next question; `nonsense` the body of
    every answer; `models` what /v1/models lists; `running` most questions at a time.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, model: str = "vlm-b", port: int = 0, key: str | None = None, **behave: Any) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.model, self.key = model, key
        self.weights = "default"
        self.ready, self.paused, self.released = True, False, False
        self.calls: list[str] = []
        self.adapters: list[str] = []
        self.behave: dict[str, Any] = {
            "top": None, "slow_s": 0.0, "hang": False, "deaf": False, "abort": 0, "statuses": [],
            "crash": False, "nonsense": None, "models": None, "running": 64,
            "lora": True, "deaf_to_weights": False, **behave,
        }  # fmt: skip
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.aborted: list[str] = []
        self.most_running = self._running = 0
        self._open: dict[str, threading.Event] = {}
        self.changed = threading.Condition()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are what it is for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> FakeServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.set(hang=False, slow_s=0.0, deaf=False)
        self.abort("")
        self.shutdown()
        self.server_close()

    def set(self, **behave: Any) -> None:
        with self.changed:
            self.behave.update(behave)
            self.changed.notify_all()

    def pause(self, paused: bool) -> None:
        with self.changed:
            self.paused = paused
            self.changed.notify_all()
        if paused:
            self.abort("")

    def abort(self, prefix: str) -> None:
        """The real one compares by prefix, too."""
        with self.changed:
            for rid, event in self._open.items():
                if rid.startswith(prefix):
                    self.aborted.append(rid)
                    event.set()
            self.changed.notify_all()

    def work(self, rid: str) -> bool:
        """Take the time a question takes; whether it was finished rather than aborted."""
        event = threading.Event()
        with self.changed:
            # A question that comes while paused waits; it is not in the scheduler, so it cannot be aborted.
            self.changed.wait_for(lambda: not self.paused)
            self._open[rid] = event
            self.changed.wait_for(lambda: self._running < self.behave["running"] or event.is_set())
            self._running += 1
            self.most_running = max(self.most_running, self._running)
            until = time.monotonic() + self.behave["slow_s"]
        try:
            while not event.is_set() and (self.behave["hang"] or time.monotonic() < until):
                event.wait(0.01)
            with self.changed:
                if self.behave["abort"] > 0:
                    self.behave["abort"] -= 1
                    return False
            return not event.is_set()
        finally:
            with self.changed:
                self._running -= 1
                del self._open[rid]
                self.changed.notify_all()

    def top(self, picture: bytes) -> list[tuple[str, float]]:
        if self.behave["top"] is not None:
            return [tuple(one) for one in self.behave["top"]]
        yes = 0.05 + 0.85 * (zlib.crc32(picture) % 1000) / 1000
        table = {"Yes": 0.7 * yes, " yes": 0.2 * yes, "No": 0.9 * (0.95 - yes), " no": 0.05 * (0.95 - yes)}
        return sorted(((word, math.log(p)) for word, p in table.items()), key=lambda one: -one[1])


class Refusal(Exception):
    """An answer that says no, as recorded."""

    def __init__(self, name: str, message: str | None = None) -> None:
        recorded = golden(name)
        self.status, self.body = recorded["status"], recorded["response"]
        if message is not None:
            self.body["message"] = message


class Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(GET)

    def do_POST(self) -> None:
        self._answer(POST)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, routes: dict[str, Any]) -> None:
        path = self.path.partition("?")[0]
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        server = self.server
        while server.behave["deaf"]:
            time.sleep(0.01)
        if server.key and path not in OPEN and self.headers.get("authorization") != f"Bearer {server.key}":
            return self._send(401, {"error": "Unauthorized"})
        route = routes.get(path)
        if route is None:
            return self._send(404, {"detail": "Not Found"})
        try:
            status, body = route(server, json.loads(raw) if raw else {})
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
        self._send(status, body)

    def _send(self, status: int, body: Any) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


def chat(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    if "messages" not in body:
        raise Refusal("chat_missing_messages_400")
    parts = [part for message in body["messages"] for part in _parts(message["content"])]
    text = " ".join(part["text"] for part in parts if part["type"] == "text")
    if len(text.split()) > CONTEXT:
        raise Refusal("chat_too_long_400")
    pictures = [picture(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
    finished = asked(server, CHAT, body)
    if isinstance(finished, tuple):
        return finished
    answer = copy.deepcopy(golden("chat_6img_logprobs")["response"])
    answer.update(model=body["model"], created=int(time.time()))
    answer["metadata"]["weight_version"] = server.weights
    choice = answer["choices"][0]
    top = server.top(pictures[0] if pictures else b"")
    listed = [_token(*one) for one in top[: body.get("top_logprobs", 0)]]
    choice["message"]["content"] = top[0][0]
    choice["logprobs"] = (
        {"content": [{**_token(*top[0]), "top_logprobs": listed}]} if body.get("logprobs") else None
    )
    choice["finish_reason"] = "length" if finished else "abort"
    return 200, answer


def decisions(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    if set(body) - FIELDS:
        raise Refusal("decisions_extra_field_400")
    version = body.get("prompt_format_version", 1)
    if version != 1:
        raise Refusal("decisions_version_400")
    pictures = [
        picture(image if isinstance(image, str) else image["url"]) for image in body.get("images", [])
    ]
    finished = asked(server, DECISIONS, body)
    if isinstance(finished, tuple):
        return finished
    table = server.top(pictures[0] if pictures else b"")
    yes, no = (sum(math.exp(p) for word, p in table if word.strip().lower() == one) for one in ("yes", "no"))
    answer = copy.deepcopy(golden("decisions_6img")["response"])
    mass = yes + no
    said = {"yes": yes / mass, "no": no / mass} if mass else {"yes": 0.5, "no": 0.5}
    answer.update(
        model=body.get("model", "default"),
        answers={
            question["id"]: {"type": "yes_no", "probabilities": said, "label_mass": mass}
            for question in body["questions"]
        },
    )
    return 200, answer


def asked(server: FakeServer, path: str, body: dict[str, Any]) -> Any:
    """Whether the question was finished; or an answer that comes instead."""
    server.asked.append((path, body))
    if server.behave["crash"]:
        os._exit(3)
    finished = server.work(body.get("rid") or f"{path}-{len(server.asked)}")
    with server.changed:
        if server.behave["statuses"]:
            status = server.behave["statuses"].pop(0)
            return status, {**golden("chat_unreachable_url_500")["response"], "code": status}
    if server.behave["nonsense"] is not None:
        return 200, server.behave["nonsense"].encode()
    return finished


def picture(url: str) -> bytes:
    if not url.startswith("data:"):
        raise Refusal("chat_unreachable_url_500")
    data = base64.b64decode(url.partition(",")[2])
    if not data.startswith((b"\xff\xd8", b"\x89PNG", b"RIFF")):
        raise Refusal("chat_bad_image_400")
    return data


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "bytes": list(token.encode()), "logprob": logprob}


def models(server: FakeServer, _: Any) -> tuple[int, Any]:
    answer = golden("models")["response"]
    names = server.behave["models"] or [server.model]
    return 200, {**answer, "data": [{**answer["data"][0], "id": name, "root": name} for name in names]}


def model_info(server: FakeServer, _: Any) -> tuple[int, Any]:
    named = {"served_model_name": server.model, "weight_version": server.weights}
    return 200, {**golden("model_info")["response"], **named}


def health(server: FakeServer, _: Any) -> tuple[int, Any]:
    return 503 if server.paused or not server.ready else 200, None


def ping(server: FakeServer, _: Any) -> tuple[int, Any]:
    """Unlike /ready, it says nothing of a pause."""
    return 200 if server.ready else 503, None


def abort_request(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    server.abort("" if body.get("abort_all") else body["rid"])
    return 200, None


def pause(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    server.pause(True)
    return 200, golden("pause_abort")["response"]


def resume(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    server.pause(False)
    return 200, golden("continue")["response"]


def update(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    """The served name becomes the path, whatever it was called before."""
    if body["model_path"] == "/nonexistent":
        raise Refusal("update_missing_path_400")
    if "incompatible" in body["model_path"]:
        os._exit(1)
    server.calls.append(body["model_path"])
    if not server.behave["deaf_to_weights"]:
        server.model, server.weights = body["model_path"], body.get("weight_version") or server.weights
    return 200, golden("update_ok")["response"]


def loads(server: FakeServer, _: Any) -> tuple[int, Any]:
    answer = golden("v1_loads")["response"]
    answer["loads"][0]["num_running_reqs"] = server._running
    return 200, answer


def release(server: FakeServer, _: Any) -> tuple[int, Any]:
    """The real one ends when a request runs."""
    server.calls.append("release" if not server._running else "KILLED: released while a request ran")
    server.released = True
    return 200, None


def take_back(server: FakeServer, _: Any) -> tuple[int, Any]:
    """The real one ends when nothing was released."""
    server.calls.append("resume" if server.released else "KILLED: resumed what was not released")
    server.released = False
    return 200, None


def load_lora(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    if not server.behave["lora"]:
        raise Refusal("load_lora_disabled_400")
    server.adapters.append(body["lora_name"])
    return 200, {"success": True, "error_message": "", "loaded_adapters": server.adapters}


def unload_lora(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    server.adapters.remove(body["lora_name"])
    return 200, {"success": True, "error_message": "", "loaded_adapters": server.adapters}


def flush(server: FakeServer, _: Any) -> tuple[int, Any]:
    name = "flush_cache_busy_400" if server._running else "flush_cache"
    return golden(name)["status"], golden(name)["response"].encode()


def fake_set(server: FakeServer, body: dict[str, Any]) -> tuple[int, Any]:
    server.set(**body)
    return 200, None


def fake_asked(server: FakeServer, _: Any) -> tuple[int, Any]:
    return 200, {"asked": len(server.asked)}


OPEN = ("/health", "/ready", "/fake/set", "/fake/asked")
GET = {
    "/health": health, "/ready": health, "/ping": ping, "/v1/models": models,
    "/v1/models/nope": lambda *_: (404, golden("model_get_404")["response"]),
    "/model_info": model_info, "/v1/loads": loads, "/fake/asked": fake_asked,
}  # fmt: skip
POST = {
    CHAT: chat, DECISIONS: decisions, "/abort_request": abort_request, "/flush_cache": flush,
    "/pause_generation": pause, "/continue_generation": resume, "/update_weights_from_disk": update,
    "/fake/set": fake_set, "/release_memory_occupation": release, "/resume_memory_occupation": take_back,
    "/load_lora_adapter": load_lora, "/unload_lora_adapter": unload_lora,
}  # fmt: skip


class Gate(BaseHTTPRequestHandler):
    """The port that holds a launch back until it is activated."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(200 if self.path == "/health" else 404)

    def do_POST(self) -> None:
        self._send(200)
        self.server.activated.set()

    def log_message(self, *_: Any) -> None:
        pass

    def _send(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


def wait_at_gate(port: int) -> None:
    gate = ThreadingHTTPServer(("127.0.0.1", port), Gate)
    gate.activated = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=gate.serve_forever, args=(0.02,), daemon=True).start()
    gate.activated.wait()  # type: ignore[attr-defined]
    gate.shutdown()
    gate.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model-path", "--served-model-name", "--config", "--fake"):
        parser.add_argument(name)
    for name in ("--port", "--gated-launch-port"):
        parser.add_argument(name, type=int)
    given, _ = parser.parse_known_args()
    fake = json.loads(given.fake or os.environ.get("FAKE", "{}"))
    key = next(
        (line.partition(": ")[2].strip('"') for line in _lines(given.config) if "api-key" in line), None
    )
    say(f"server_args=ServerArgs(model_path='{given.model_path}', api_key='{key}')")
    if fake.pop("child", False):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if fake.pop("stubborn", False):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if (code := fake.pop("exit", None)) is not None:
        say("RuntimeError: no memory left")
        sys.exit(code)
    if given.gated_launch_port:
        wait_at_gate(given.gated_launch_port)
    time.sleep(fake.pop("load_s", 0.0))
    server = FakeServer(given.served_model_name or given.model_path, given.port, key or None, **fake)
    say("The server is fired up and ready to roll!")
    server.serve_forever(0.02)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _lines(path: str | None) -> list[str]:
    return Path(path).read_text().splitlines() if path else []


if __name__ == "__main__":
    main()
