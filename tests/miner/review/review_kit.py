"""A ledger with kept pictures."""

import hashlib

from miner.capture.store import Store
from miner.ledger import LEDGER_NAME, Ledger

NOW = 1_800_000_000_000_000_000


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def opened(data):
    return Ledger(data / LEDGER_NAME, hotkey="ours")


def keep(data, ledger, name, log_odds=0.0, *, reason="near", at_ns=NOW, prediction=0.5, content=None):
    sha256 = digest(name)
    file, size = Store(data).write(sha256, content or name.encode())
    ledger.capture(
        {
            **{"sha256": sha256, "at_ns": at_ns, "hotkey": "ours", "challenge": "c", "reason": reason},
            **{"propensity": 1.0, "prediction": prediction, "log_odds": log_odds, "file": file},
            **{"size": size, "phash": "0" * 16, "data": {}},
        }
    )
    ledger.write(())
    return sha256


def said(ledger, future):
    """The result of a label or an undo, once it is on disk."""
    ledger.write(())
    return future.result(0)
