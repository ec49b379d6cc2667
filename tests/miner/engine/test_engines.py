"""What every engine promises, in a thread or in a child."""

import asyncio
import time

import pytest
from engine_helpers import ask, make, running, until
from engine_tiers import Brightness

from miner.engine.config import EngineConfig
from miner.engine.interface import BadImage, Shed, Unavailable
from miner.engine.lane import Lane
from miner.engine.thread import ThreadEngine
from models.calibration import probability
from models.core import Evidence
from models.description import Description

TRIVIAL = Description("given", ({"kind": "trivial"},))


async def outcomes(engine, requests):
    return await asyncio.gather(*map(engine.submit, requests), return_exceptions=True)


async def test_it_answers_from_the_image(kind):
    async with running(make(kind)) as engine:
        request = ask(192)
        verdict = await engine.submit(request)
        assert verdict.id == request.id
        assert verdict.log_odds == pytest.approx(2.0, abs=0.05)
        assert verdict.prediction == pytest.approx(probability(verdict.log_odds))
        assert verdict.path == ("brightness",)
        assert verdict.versions == {"brightness": "b1"}
        assert {"decode", "queue", "brightness", "total"} <= set(verdict.ms)
        assert (await engine.submit(ask(64))).prediction < 0.5


async def test_everybody_gets_their_own_answer_under_concurrency(kind):
    async with running(make(kind, ms=1)) as engine:
        requests = [ask(brightness) for brightness in range(20, 236, 3)]
        verdicts = await outcomes(engine, requests)
        assert [verdict.id for verdict in verdicts] == [request.id for request in requests]
        odds = [verdict.log_odds for verdict in verdicts]
        assert odds == sorted(odds)
        assert engine.health().answered == len(requests)
        assert engine.health().in_flight == 0


async def test_several_views_of_a_scene_are_one_verdict(kind):
    async with running(make(kind)) as engine:
        assert (await engine.submit(ask(192, views=6))).log_odds == pytest.approx(2.0, abs=0.05)


async def test_bytes_that_are_no_image_are_the_callers_fault(kind):
    async with running(make(kind)) as engine:
        with pytest.raises(BadImage, match="format"):
            await engine.submit(ask(data=b"not an image"))
        assert (await engine.submit(ask(192))).spoken


async def test_at_the_deadline_the_answer_is_that_there_is_none(kind):
    async with running(make(kind, hang=10, stuck_s=1.0)) as engine:
        request = ask(10, within=0.5)
        with pytest.raises(Unavailable, match="deadline"):
            await engine.submit(request)
        assert engine.health().failed == 1
        assert engine.health().in_flight == 0


async def test_what_cannot_be_answered_in_time_is_refused_at_once(kind):
    async with running(make(kind, ms=100)) as engine:
        results = await outcomes(engine, [ask(within=2.0) for _ in range(60)])
        shed = [result for result in results if isinstance(result, Shed)]
        answered = [result for result in results if not isinstance(result, Exception)]
        assert len(shed) + len(answered) == 60
        assert shed
        assert len(answered) >= 4
        assert engine.health().shed == len(shed)


async def test_a_full_queue_and_a_full_memory_shed(kind):
    async with running(make(kind, ms=50, queue=3)) as engine:
        results = await outcomes(engine, [ask() for _ in range(5)])
        assert [str(each) for each in results if isinstance(each, Shed)] == ["full", "full"]
    async with running(make(kind, ms=50, held_bytes=len(ask().views[0]) * 2)) as engine:
        results = await outcomes(engine, [ask() for _ in range(3)])
        assert [str(each) for each in results if isinstance(each, Shed)] == ["memory"]


async def test_one_image_that_the_model_fails_on_takes_nobody_else_down(kind):
    async with running(make(kind, ms=20, fail=77)) as engine:
        results = await outcomes(engine, [ask(brightness) for brightness in (20, 77, 60, 200, 240)])
        assert [isinstance(each, Unavailable) for each in results] == [False, True, False, False, False]
        assert engine.health().ready


async def test_a_question_that_is_withdrawn_leaves_no_trace(kind):
    async with running(make(kind, ms=200)) as engine:
        first, second = (asyncio.create_task(engine.submit(ask())) for _ in range(2))
        await until(lambda: engine.health().in_flight == 2)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert engine.health().in_flight == 1
        assert (await first).spoken
        assert engine.health().failed == 0


async def test_it_is_not_ready_before_the_model_is(kind):
    engine = make(kind)
    assert not engine.health().ready
    with pytest.raises(Unavailable, match="starting"):
        await engine.submit(ask())
    await engine.start()
    assert not engine.health().ready
    assert engine.health().state == "starting"
    await until(lambda: engine.health().ready)
    assert engine.health().state == "ready"
    await engine.stop()


async def test_a_model_that_does_not_load_is_said_so(kind):
    engine = make(kind, load_error="no such label")
    await engine.start()
    await until(lambda: engine.health().state == "down")
    assert "no such label" in engine.health().detail
    with pytest.raises(Unavailable):
        await engine.submit(ask())
    await engine.stop()


async def test_stopping_finishes_what_is_in_flight(kind):
    engine = make(kind, ms=100)
    async with running(engine):
        tasks = [asyncio.create_task(engine.submit(ask())) for _ in range(3)]
        await until(lambda: engine.health().in_flight == 3)
    assert all(task.result().spoken for task in tasks)
    assert engine.health().state == "stopped"
    with pytest.raises(Unavailable, match="stopping"):
        await engine.submit(ask())
    await engine.stop()


async def test_stopping_before_it_was_ready_is_fine(kind):
    engine = make(kind)
    await engine.start()
    await engine.stop()
    assert not engine.health().ready


async def test_health_knows_the_speed_and_the_last_answer(kind):
    async with running(make(kind, ms=20)) as engine:
        await engine.submit(ask())
        health = engine.health()
        assert 15 < health.image_ms < 200
        assert 0 <= health.last_answer_age_s < 5


async def test_batches_fill_while_the_device_is_busy():
    tier = Crowded()
    async with running(
        ThreadEngine(
            EngineConfig(Description("given", ({"kind": "trivial"},)), device="cpu"), build=lambda *_: tier
        )
    ) as engine:
        tier.sizes.clear()
        await outcomes(engine, [ask() for _ in range(40)])
        assert max(tier.sizes) > 1
        assert sum(tier.sizes) == 40


class Crowded(Brightness):
    """A device that takes 30 ms for any batch, as a GPU does."""

    def evidence(self, batch):
        time.sleep(0.03)
        return super().evidence(batch)


def test_what_a_slow_warm_up_taught_is_forgotten_when_it_is_measured_again():
    class Busy:
        name = version = "busy"
        slow_s = 0.2

        def prepare(self, image):
            return image

        def evidence(self, batch):
            time.sleep(self.slow_s)
            return [Evidence(self.name, self.version, 1.0)] * len(batch)

    tier = Busy()
    lane = Lane(tier, most=4, decoders=1, speak=print, mark=lambda numbers: None, broken=None)
    lane.warm_up([object()], 1.0)
    before = lane.learner.forecast().cost(1)
    tier.slow_s = 0.001
    lane.measure_again()
    assert lane.learner.forecast().cost(1) < before / 10
