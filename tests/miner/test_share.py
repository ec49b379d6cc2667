"""A container's limits count, not what the host around it has."""

from __future__ import annotations

import os

import pytest

from miner import share
from miner.engine import process

CPU, MEMORY = "cpu.max", "memory.max"
GB = 2**30


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host of 64 cores and 200 GB; `pod` and `box` within it are control groups, we are in `box`."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    groups, own, memory = tmp_path / "groups", tmp_path / "own", tmp_path / "meminfo"
    (groups / "pod" / "box").mkdir(parents=True)
    own.write_text("1:name=systemd:/\n0::/pod/box\n")
    memory.write_text(f"MemTotal: 1 kB\nMemAvailable: {200 * GB // 1024} kB\n")
    monkeypatch.setattr(share.cores, "__defaults__", (own, groups))
    monkeypatch.setattr(share.free_bytes, "__defaults__", (own, groups, memory))
    return groups


def test_without_limits_the_host_is_ours(host):
    assert share.cores() is None and share.free_bytes() == 200 * GB
    (host / "pod" / CPU).write_text("max 100000\n")
    assert share.cores() is None


@pytest.mark.parametrize(("quota", "found"), [(400_000, 4), (50_000, 1), (6_400_000, None)])
def test_a_quota_is_so_many_cores(host, quota, found):
    (host / "pod" / CPU).write_text(f"{quota} 100000\n")
    (host / "pod" / "box" / CPU).write_text("max 100000\n")
    assert share.cores() == found


def test_memory_is_what_the_limit_leaves_and_cached_files_give_way(host):
    (host / "pod" / MEMORY).write_text(f"{8 * GB}\n")
    (host / "pod" / "memory.current").write_text(f"{5 * GB}\n")
    (host / "pod" / "memory.stat").write_text(f"anon {GB}\ninactive_file {2 * GB}\n")
    assert share.free_bytes() == 5 * GB
    (host / "pod" / MEMORY).write_text("max\n")
    assert share.free_bytes() == 200 * GB


def test_a_child_computes_with_as_many_threads_as_it_may_use(host, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert "OMP_NUM_THREADS" not in process.environment(0)
    (host / "pod" / CPU).write_text("300000 100000\n")
    assert process.environment(0)["OMP_NUM_THREADS"] == "3"
    assert process.environment(2)["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert process.environment(0)["OMP_NUM_THREADS"] == "5", "the operator's own word"
