"""The jobs, one line each. To add one: a function that makes its `run`, in a file of its own, and a line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from miner.alarms import Alarms
from miner.disk import Disk
from miner.jobs.backup import backup
from miner.jobs.captured import captured
from miner.jobs.disk_check import disk_check
from miner.jobs.job import Job
from miner.jobs.learning import guesses, learning
from miner.jobs.models import models
from miner.jobs.reminders import reminders
from miner.jobs.retention import retention
from miner.jobs.rewards import rewards
from miner.learning.certifier import Certifier
from miner.learning.guesses import Guesser
from miner.learning.learner import Learner
from miner.ledger import Ledger
from miner.ledger.backup import FOLDER
from miner.registry import Registry
from miner.rewards.several import Checks
from miner.settings import Learning, Settings

HOUR, DAY = 3_600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What jobs work with."""

    settings: Settings
    ledger: Ledger
    alarms: Alarms
    disk: Disk
    registry: Registry
    rewards: Checks
    poll_models: Callable[[], Awaitable[str]]
    learner: Learner
    guesser: Guesser
    certifier: Certifier
    expire_captures: Callable[[], int]


def declared(parts: Parts) -> list[Job]:
    """All jobs of a miner but the metagraph's refresh, which `ChainWatch` does by itself."""
    data, ledger, alarms = parts.settings.data, parts.ledger, parts.alarms
    copies = backup(ledger.path, data.path / FOLDER, data.backups, parts.disk)
    papers = reminders(parts.registry, alarms, data.path)
    return [
        Job(
            "rewards",
            rewards(parts.rewards),
            every_s=300,
            timeout_s=120,
            about="what validators and chain say",
        ),
        Job(
            "disk",
            disk_check(parts.disk, alarms, lambda: ledger.damage),
            every_s=300,
            about="room on the disk, and a sound ledger",
        ),
        Job(
            "backup", copies, every_s=DAY, jitter_s=HOUR, timeout_s=600, about="a checked copy of the ledger"
        ),
        Job("capture", captured(parts.expire_captures), every_s=HOUR, about="age of the kept pictures"),
        Job("retention", retention(ledger), every_s=DAY, jitter_s=HOUR, about="old rows of the ledger"),
        Job(
            "models",
            models(parts.poll_models),
            every_s=parts.settings.registry.poll_s,
            timeout_s=900,
            about="new versions of models, and trials of those that wait",
        ),
        Job("papers", papers, every_s=DAY, jitter_s=HOUR, about="licences and age of the models that serve"),
        *learned(parts.learner, parts.settings.learning),
        *guessing(parts.guesser, parts.settings.learning),
        Job(
            "certify",
            learning(parts.certifier.certify),
            every_s=HOUR,
            timeout_s=parts.settings.learning.timeout_s + 60,
            about="whether somebody may be answered early again after a promotion",
        ),
    ]


def learned(learner: Learner, section: Learning) -> list[Job]:
    """The clocks of self-improvement, and what watches over it."""
    limit_s = section.timeout_s + 60
    return [
        Job(
            "remember",
            learning(learner.remember),
            every_s=120,
            timeout_s=limit_s,
            about="the memory of labelled pictures",
        ),
        Job(
            "calibrate",
            learning(partial(learner.learn, "head")),
            cron=section.head,
            jitter_s=900,
            timeout_s=limit_s,
            about="temperature, bias and last layer from labels",
        ),
        Job(
            "retrain",
            learning(partial(learner.learn, "full")),
            cron=section.full,
            timeout_s=limit_s,
            about="all layers from labels",
        ),
        Job("drift", learning(learner.drift), every_s=900, timeout_s=300, about="whether the stream changes"),
        Job(
            "forgetting",
            learning(learner.measure),
            every_s=HOUR,
            timeout_s=limit_s,
            about="accuracy on every slice of the labels after a promotion",
        ),
    ]


def guessing(guesser: Guesser, section: Learning) -> list[Job]:
    """Off unless it is asked for: labels that nobody gave."""
    if not section.pseudo:
        return []
    about = "labels on which three families of models agree"
    return [Job("pseudo", guesses(guesser.guess), every_s=6 * HOUR, jitter_s=900, timeout_s=300, about=about)]
