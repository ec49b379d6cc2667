"""What the wire hands to capture: answered pictures, after the answer, and nothing else."""

import pytest
from wire_kit import PNG, Door, body, verdict

from miner.engine.interface import Unavailable


class Keeping(Door):
    def __post_init__(self):
        super().__post_init__()
        self.kept = []
        self.endpoint._keep = lambda exchange, views, answer: self.kept.append((exchange, views, answer))


async def test_an_answered_picture_is_handed_over_with_what_the_members_said():
    async def act(request):
        return verdict(request, 0.6, evidence={"tiny": 1.1})

    door = Keeping(act=act)
    assert (await door.ask(content=body())).status == 200
    ((exchange, views, answer),) = door.kept
    assert exchange == door.exchanges[0] and views == (PNG,) and answer.evidence == {"tiny": 1.1}


@pytest.mark.parametrize("content", [body(image=""), b"{}", b"nonsense"])
async def test_what_is_not_answered_is_not_handed_over(content):
    door = Keeping()
    assert (await door.ask(content=content)).status != 200
    assert door.kept == []


async def test_a_refusal_of_the_engine_is_not_handed_over():
    door = Keeping(act=Unavailable("dead"))
    assert (await door.ask()).status == 503
    assert door.kept == [] and len(door.exchanges) == 1
