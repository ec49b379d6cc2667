"""Image and compose files: what they copy exists, what they open is the settings', nothing runs as root."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from deploy_kit import DEPLOY, ROOT, documents, run
from starlette.routing import Route

from miner.app import DRAIN_S
from miner.page import create_page
from miner.settings import Settings, load

FOLDER = DEPLOY / "docker"
DOCKERFILES = sorted([*FOLDER.glob("*Dockerfile")])
(COMPOSE,) = documents(FOLDER / "compose.yaml")
(GPU,) = documents(FOLDER / "compose.gpu.yaml")


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest), continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    at = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[at:]


def of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
class TestDockerfile:
    def test_it_ends_as_a_user_without_rights(self, path):
        stage = last_stage(path)
        (user,) = of(stage, "USER")
        assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), (
            "a number: Kubernetes' runAsNonRoot cannot read names"
        )
        names = [name for name, _ in stage]
        assert names.index("USER") > max(n for n, name in enumerate(names) if name == "RUN")

    def test_images_and_packages_are_pinned_and_nothing_is_fetched_by_address(self, path):
        text = path.read_text()
        defaults = dict(rest.split("=", 1) for rest in of(instructions(path), "ARG") if "=" in rest)
        for image in of(instructions(path), "FROM"):
            name = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], image.split()[0])
            assert re.search(r":\d", name) and "latest" not in name
        assert "ADD " not in text and "curl" not in text and "wget" not in text
        for line in re.findall(r"pip install[^\\\n&]*", text):
            assert "--no-cache-dir" in line and ("constraints.txt" in line or "==" in line)

    def test_signals_reach_the_program(self, path):
        (entry,) = of(last_stage(path), "ENTRYPOINT")
        assert json.loads(entry)[0] == "python"
        assert of(last_stage(path), "STOPSIGNAL") == ["SIGTERM"]


def test_what_is_copied_exists_and_is_not_ignored():
    allowed = {
        line[1:]
        for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word
        for rest in of(instructions(FOLDER / "Dockerfile"), "COPY")
        if not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    assert copied == allowed and all((ROOT / word).exists() for word in copied)


def test_the_image_has_all_packages_and_the_program():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {rest.split()[0] for rest in of(instructions(FOLDER / "Dockerfile"), "COPY")}
    assert packages <= copied and {project["project"]["readme"], "LICENSE"} <= {
        word for rest in of(instructions(FOLDER / "Dockerfile"), "COPY") for word in rest.split()
    }
    assert "gpu" in project["project"]["optional-dependencies"]
    (entry,) = of(last_stage(FOLDER / "Dockerfile"), "ENTRYPOINT")
    assert (ROOT / json.loads(entry)[-1]).is_file()


def test_ports_settings_and_health_are_the_miners():
    stage = last_stage(FOLDER / "Dockerfile")
    settings = Settings()
    assert of(stage, "EXPOSE") == [f"{settings.axon.port} {settings.page.port}"]
    environment = dict(word.split("=", 1) for rest in of(stage, "ENV") for word in shlex.split(rest))
    loaded = load([], {name: value for name, value in environment.items() if name.startswith("SVM_")})
    assert [str(loaded.data.path)] == of(stage, "VOLUME") and loaded.page.host == "0.0.0.0"
    (check,) = of(stage, "HEALTHCHECK")
    path = re.search(rf"127\.0\.0\.1:{settings.page.port}(/[a-z/]+)", check)[1]
    assert path in {route.path for route in create_page(dict, bytes, list).routes if isinstance(route, Route)}


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_ready_from_not(status, code):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    (check,) = of(last_stage(FOLDER / "Dockerfile"), "HEALTHCHECK")
    words = json.loads(check.partition("CMD ")[2])
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = words[2].replace(":8092", f":{server.server_port}")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == code


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    return [(volume.split(":")[0], volume.split(":")[1]) for volume in service["volumes"]]


def test_compose_mounts_files_that_exist():
    for service in COMPOSE["services"].values():
        for source, _ in mounts(service):
            if source.startswith(".") and "$" not in source:
                assert (FOLDER / source).exists(), source
            elif "$" not in source:
                assert source in COMPOSE["volumes"]


def test_compose_opens_only_the_wire_to_the_world():
    settings = Settings()
    ports = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}
    world = [port for each in ports.values() for port in each if not port.startswith("127.0.0.1:")]
    assert world == [f"{settings.axon.port}:{settings.axon.port}"]
    for service in COMPOSE["services"].values():
        assert service["cap_drop"] == ["ALL"] and service["mem_limit"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])


def test_compose_lets_the_miner_finish_and_the_gpu_file_changes_only_the_gpu():
    miner = COMPOSE["services"]["miner"]
    assert float(miner["stop_grace_period"].rstrip("s")) >= 2 * DRAIN_S
    assert (
        FOLDER / miner["build"]["context"] / miner["build"]["dockerfile"]
    ).resolve() == FOLDER / "Dockerfile"
    assert set(GPU["services"]) == {"miner"} and set(GPU["services"]["miner"]) == {"deploy"}


def test_compose_scrapes_the_miner_by_a_name_that_it_knows():
    (config,) = documents(FOLDER / "prometheus.yml")
    (shipped,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    allowed = load([], dict(COMPOSE["services"]["miner"]["environment"])).page.allowed_hosts
    assert name in COMPOSE["services"] and name in allowed and int(port) == Settings().page.port
    assert config["scrape_configs"][0]["job_name"] == shipped["scrape_configs"][0]["job_name"]


def test_hadolint_agrees():
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint here: the checks above are ours alone")
    done = run(program, "--failure-threshold", "warning", *DOCKERFILES)
    assert done.returncode == 0, done.stdout
