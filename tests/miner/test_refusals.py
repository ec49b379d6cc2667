"""What a start cannot honour ends in one sentence and a status of its own, never in a traceback."""

from __future__ import annotations

import pytest
from loguru import logger

from miner import start
from miner.control import DataFolderBusy
from miner.identity import IdentityError
from miner.ledger import LedgerTooNew
from miner.settings import SettingsError
from miner.wire.server import PortTaken
from models.description import DescriptionError

KINDS = (SettingsError, IdentityError, PortTaken, DataFolderBusy, LedgerTooNew, DescriptionError)


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no env file is
    monkeypatch.setattr(start, "set_up_logging", lambda **_: None)


def failing(error: Exception):
    def run(work):
        work.close()
        raise error

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_honoured_is_said_in_a_sentence(kind, monkeypatch, capsys):
    monkeypatch.setattr(start.loop, "run", failing(kind("it cannot be had")))
    assert start.main([]) == start.EXIT_REFUSED
    assert capsys.readouterr().err == "streetvision-miner: it cannot be had\n"


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(start.loop, "run", failing(KeyError("odd")))
    with pytest.raises(KeyError):
        start.main([])


def test_the_log_tells_what_is_set_and_by_whom_but_no_secret(monkeypatch):
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]))
    monkeypatch.setattr(start.loop, "run", failing(SettingsError("that is all")))
    monkeypatch.setenv("SVM_PAGE__TOKEN", "0123456789abcdef")
    start.main(["--axon.port", "9191"])
    logger.remove(sink)
    (port,) = [line for line in said if "axon.port" in line]
    assert port.split() == ["settings:", "axon.port", "9191", "flag", "--axon.port"]
    assert any("page.token" in line and "SVM_PAGE__TOKEN" in line for line in said)
    assert not any("0123456789abcdef" in line for line in said)
