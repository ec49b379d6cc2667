"""A Ray cluster that cannot be had is said so at the start; what needs no cluster."""

import os
import socket

import pytest
from engine_helpers import config_of

import miner.engine.ray as ray
from miner.engine import create_engine
from miner.engine.forecast import Forecast
from miner.engine.frames import forecast_json
from miner.engine.ray.bridge import together
from miner.engine.ray.replica import asking
from miner.settings import EngineSection, Model
from models.core import Request
from models.imaging.header import Limits


@pytest.fixture
def taken():
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_cluster_that_does_not_answer_is_said_so_with_what_to_do(taken):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert "no Ray cluster answers there" in ray.unreachable(f"ray://127.0.0.1:{free}")
    assert "ray start --head" in ray.unreachable(f"ray://127.0.0.1:{free}")
    assert "no Ray cluster answers" in ray.unreachable("ray://127.0.0.1:99999")


def test_nothing_is_said_where_there_is_nothing_to_say(taken, monkeypatch):
    monkeypatch.setattr(ray, "find_spec", lambda name: object())
    for mode in ("child", "thread", "ray://local", f"ray://127.0.0.1:{taken}"):
        assert ray.unreachable(mode) is None


def test_ray_that_is_not_installed_is_said_so(monkeypatch):
    monkeypatch.setattr(ray, "find_spec", lambda name: None)
    assert "Ray is not installed" in ray.unreachable("ray://local")
    assert ray.unreachable("child") is None


def test_the_settings_make_an_engine_whose_main_child_is_the_bridge():
    section = EngineSection(mode="ray://head:6379", replicas=3, cache_s=0)
    engine = create_engine(section, Model(), "cpu", Limits(1000, 2000))
    main, standby = engine._seats
    assert main.command == ray.COMMAND and standby.command != ray.COMMAND
    assert (main.config.cluster, main.config.replicas) == ("head:6379", (3, 3)), "never fewer under load"
    other = create_engine(section, Model(), "cpu", Limits(1000, 2000))
    assert other._seats[0].config.app != main.config.app, "two engines of one miner do not share replicas"


def test_what_a_dead_miner_left_is_known_by_its_name():
    name = ray.create(config_of(), "ray://local", 1, 1)._seats[0].config.app
    assert not ray.gone(name), "we live"
    assert ray.gone(name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-"))
    assert not ray.gone("somebody-elses-application")


def test_replicas_have_the_throughput_of_all_and_the_pace_of_the_slowest():
    fast, slow = Forecast(0.0, 0.01, decoders=2), Forecast(0.0, 0.04, decoders=2)
    looks = [{"forecast": forecast_json(one)} for one in (fast, slow)]
    assert together(looks, 4).b == pytest.approx(0.01)
    assert together(looks, 4).decoders == 8
    assert together(looks, 0) == slow, "they may all be starting again"


def test_a_deadline_travels_as_what_is_left_of_it():
    header = asking(Request("r", "us", "them", (b"",), 1e9, 2.0), 3.5)
    assert header == {"id": "r", "hotkey": "us", "caller": "them", "left_s": 3.5, "priority": 2.0}
