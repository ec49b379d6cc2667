"""From a cascade's description and its members as loaded to the plan, said in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loguru import logger

from models.cascade import PLAIN, Plan
from models.certify.mcc import promise
from models.description import Description, decide, unheard


def _ignore(why: str) -> None:
    """Nobody wants to know."""


def planned(
    described: Description, members: Sequence[tuple[str, str]], *, told: Callable[[str], None] = _ignore
) -> Plan:
    """The plan of these members, (name, version) in order; `told` why nobody leaves early, if nobody does.
    Raises DescriptionError."""
    if len(members) == 1 and described.fusion is None:
        return PLAIN
    plan, never = decide(described, members)
    for name in unheard(described, members):
        logger.warning(
            "cascade {!r}: {} is asked, but its word decides nothing: the fusion was not fitted on it",
            *(described.name, name),
        )
    if plan.certificate is not None:
        said = (plan.certificate.sentence(), promise(plan.certificate, plan.prior))
        logger.info("cascade {!r}: {}; {}", described.name, *said)
    if never is not None:
        told(never)
        logger.info("cascade {!r}: nobody is answered early: {}", described.name, never)
    return plan
