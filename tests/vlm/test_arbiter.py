"""The arbiter costs money: only on disagreement, never past the day's cap, which survives a restart."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contract_suite import plain_pictures, reason, soon
from fake_server import golden

from models.calibration import logit
from models.core import Evidence
from models.fusion import fuse
from models.vlm import Absent, Address, Server, create_arbiter
from models.vlm.arbiter import Arbiter, Budget, Price, wanted
from models.vlm.chat import ChatLogprobs
from models.vlm.purse import PurseFile
from models.vlm.secret import Secret, redact

PRICE = Price(prompt=2.0, answer=8.0)
VIEW = plain_pictures()[:1]
DAY = 86400.0


def says(*probabilities: float) -> list[Evidence]:
    return [Evidence(str(n), "1", logit(p)) for n, p in enumerate(probabilities)]


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((0.9, 0.3), True), ((0.9, 0.8), False), ((0.6,), False), ((0.999, 0.4), False), ((), False)],
)
def test_it_is_wanted_only_on_disagreement_with_confidence_below_four_fifths(probabilities, expected):
    said = says(*probabilities)
    assert wanted(said, fuse(said)) is expected


def test_how_sure_they_are_is_the_cascades_to_say():
    """Log-odds of members that err alike add up to more than they know."""
    said = says(0.9, 0.9, 0.4)
    assert not wanted(said, fuse(said)) and wanted(said, logit(0.7))


class Store:
    """A disk for the day's sum."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def held(self) -> dict:
        return json.loads(self.path.read_text())

    @property
    def spent(self) -> float:
        return self.held["spent"]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "state" / "arbiter.json")


def budget(store: Store, cap: float, now: float = 0.0) -> Budget:
    return Budget(cap, PurseFile(store.path), now=lambda: now)


def arbiter(fake, money: Budget, **address) -> Arbiter:
    server = Server(Address(**{"url": fake.url, "model": fake.model, "tries": 1, **address}))
    return Arbiter(ChatLogprobs("arbiter", server), money, PRICE)


async def test_it_pays_what_the_server_counted_and_says_so(fake, store):
    one = arbiter(fake, budget(store, 1.0))
    said = await one.evidence(VIEW, soon(), "r1")
    recorded = golden("chat_6img_logprobs")["response"]["usage"]
    bill = (2.0 * recorded["prompt_tokens"] + 8.0 * recorded["completion_tokens"]) / 1e6
    assert said.features["cost"] == pytest.approx(store.spent) and store.spent > 0
    assert math.isfinite(said.log_odds) and store.spent == pytest.approx(bill)


async def test_the_cap_holds_over_a_restart_and_ends_at_midnight(fake, store):
    most = PRICE.most(1)
    one = arbiter(fake, budget(store, 1.2 * most))
    fake.set(nonsense="{}")  # an answer that cannot be read was billed all the same
    assert await reason(one.evidence(VIEW, soon(), "r1")) == "shape"
    assert store.spent == pytest.approx(most)
    again = arbiter(fake, budget(store, 1.2 * most))
    assert await reason(again.evidence(VIEW, soon(), "r2")) == "budget"
    assert len(fake.asked) == 1
    fake.set(nonsense=None)
    tomorrow = arbiter(fake, budget(store, 1.2 * most, now=DAY))
    assert math.isfinite((await tomorrow.evidence(VIEW, soon(), "r3")).log_odds)
    assert store.held["day"] == "1970-01-02"


async def test_what_never_reached_a_model_costs_nothing(fake, store):
    one = arbiter(fake, budget(store, 1.0))
    fake.set(statuses=[400])
    assert await reason(one.evidence(VIEW, soon(), "r1")) == "refused:400"
    assert store.spent == 0.0
    fake.stop()  # connections that are open outlive it
    other = arbiter(fake, budget(store, 1.0))
    assert await reason(other.evidence(VIEW, soon(), "r2")) == "unreachable"
    assert store.spent == 0.0


async def test_money_that_cannot_be_written_down_is_not_spent(fake, store):
    store.path.mkdir(parents=True)
    one = arbiter(fake, budget(store, 1.0))
    assert await reason(one.evidence(VIEW, soon(), "r1")) == "budget:not kept"
    assert not fake.asked


async def test_off_is_a_cap_of_nothing(fake, store):
    assert await reason(arbiter(fake, budget(store, 0.0)).evidence(VIEW, soon(), "r1")) == "budget"
    assert not fake.asked


def test_what_would_make_the_cap_mean_nothing_is_refused(fake, store):
    with pytest.raises(ValueError, match="asked once"):
        arbiter(fake, budget(store, 1.0), tries=3)
    with pytest.raises(ValueError, match="needs its price"):
        Price(prompt=0.0, answer=1.0)
    with pytest.raises(ValueError, match="amount of money"):
        budget(store, math.nan)


async def test_a_purse_that_holds_something_else_is_left_alone(fake, store):
    store.path.parent.mkdir()
    store.path.write_text('{"day": "1970-01-01", "spent": -5}')
    assert await reason(arbiter(fake, budget(store, 1.0)).evidence(VIEW, soon(), "r1")) == "budget:not kept"
    assert store.spent == -5 and not fake.asked


def test_processes_that_share_a_purse_share_the_cap(store):
    several = [budget(store, 10.0) for _ in range(4)]

    def spend(one: Budget) -> int:
        """How often it could."""
        for count in range(40):
            try:
                one.reserve(0.5)
            except Absent:
                return count
        return 40

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(spend, several)) == 20
    assert store.spent == pytest.approx(10.0)


async def test_an_arbiter_of_plain_options(fake, store):
    given = {"url": fake.url, "model": fake.model, "purse": str(store.path), "device": "cpu"}
    price = {"prompt": 2.0, "answer": 8.0}
    one = create_arbiter(cap=1.0, price=price, **given)
    assert math.isfinite((await one.evidence(VIEW, soon(), "r1")).log_odds)
    assert one.wanted(says(0.9, 0.3), logit(0.7)) and not one.wanted(says(0.9, 0.8), logit(0.7))
    for wrong, sentence in (({"price": {}}, "arbiter: "), ({"cap": -1.0}, "amount of money")):
        with pytest.raises(ValueError, match=sentence):
            create_arbiter(**{"cap": 1.0, "price": price, **given, **wrong})


def test_a_key_is_taken_out_of_any_text():
    key = Secret("plain-key-1234")
    line = "server_args={'api_key': 'abc123', 'x': 1} Bearer tok.en-1 http://u:pw@h/ plain-key-1234"
    shown = redact(line, [key])
    for hidden in ("abc123", "tok.en-1", "pw@", "plain-key"):
        assert hidden not in shown
    assert "'x': 1" in shown and repr(key) == str(key) == "<redacted>"
    assert redact("api_key=None") == "api_key=None"
