"""A status as a busy miner has it, with hostile text wherever a caller can put some."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from miner.engine.interface import EngineHealth
from miner.recorder import RecorderHealth
from miner.status import UNKNOWN_SUBNET, HotkeyRow, Status

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def hotkey_row(hotkey: str, uid: int | None, **changes: Any) -> HotkeyRow:
    reward = {
        "incentive": 0.004,
        "emission_alpha": 0.6,
        "alpha_per_day": 12.1,
        "tao_per_day": 0.04,
        "rank": 31,
    }
    row = {"hotkey": hotkey, "uid": uid, "port": 8091, "address": "published", "sentence": "It is published."}
    row |= {
        "immune_blocks": 0,
        "reward": {**reward, "position": 7} if uid is not None else None,
        "twin": None,
    }
    return {**row, "challenges": 0, "answered": 0, **changes}


def sample_status(**changes: Any) -> Status:
    now = time.time()
    engine = EngineHealth(
        True,
        "ready",
        versions={"classifier": "roadwork-mobilenetv2 3f2a"},
        image_ms=31.4,
        answered=412,
        in_flight=1,
    )
    outcomes = ["answered"] * 8 + ["shed", "bad_image"]
    recent = [
        {
            "id": f"id-{n}",
            "at_s": now - 40 * n,
            "caller": "5GP7c3fFazW9GXK8Up3qgu2DJBk8inu4aK9TZy3RuoSWVCMi" if n else HOSTILE,
            "outcome": outcomes[n],
            "status": 200 if outcomes[n] == "answered" else 503,
            "prediction": (0.03 + 0.11 * n) if outcomes[n] == "answered" else None,
            "ms": 30.0 + n if outcomes[n] == "answered" else None,
            "margin_s": 7.4,
            "notes": [HOSTILE] if n == 1 else ["truncated:0.73"] if n == 2 else [],
        }
        for n in range(10)
    ]
    status = {
        "version": "0.1.0",
        "network": "finney",
        "netuid": 72,
        "url": "http://127.0.0.1:8092/",
        "started_at": now - 7260,
        "now": now,
        "hotkey": "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty",
        "uid": 17,
        "registered": True,
        "ready": True,
        "reasons": [],
        "alarms": [],
        "validators": [],
        "chain": {"state": "ok", "reason": "", "age_s": 12.0, "block": 8104216, "uid": 17, "failures": 0},
        "subnet": {
            **UNKNOWN_SUBNET,
            "level": "warn",
            "sentence": "Think twice: 86 % of the incentive goes to the owner and is burned.",
            "burned": 0.86,
            "validators": 6,
            "at_work": 4,
        },
        "engine": asdict(engine),
        "reward": {
            "incentive": 0.0041,
            "emission_alpha": 0.61,
            "alpha_per_day": 12.1,
            "tao_per_day": 0.0375,
            "rank": 31,
            "position": None,
        },
        "counts": {
            "outcomes": {"answered": 412, "shed": 3, "bad_image": 1},
            "refused": {"403 stranger": 1290, "401 signature": 4},
        },
        "recent": recent,
        "payouts": [
            {"at_s": now - 4320 * (40 - n), "block": 8090000 + 360 * n, "alpha": 0.4 + 0.01 * n, "tao": 0.001}
            for n in range(40)
        ],
        "exits": [
            {"path": ["classifier"], "certified": False, "count": 400, "share": 0.9709, "p50_ms": 31.0}
            | {"p95_ms": 48.5},
            {"path": ["classifier", HOSTILE], "certified": True, "count": 12, "share": 0.0291}
            | {"p50_ms": None, "p95_ms": None},
        ],
        "recorder": asdict(RecorderHealth(0, 0, {"Ledger": 0}, 0.1)),
    }
    return {**status, **changes}
