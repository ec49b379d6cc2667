"""An engine that answers by brightness without a model, and the operator's port in front of it."""

import asyncio
import base64
from io import BytesIO

from PIL import Image
from starlette.testclient import TestClient

from miner.engine.interface import BadImage, EngineHealth
from miner.page import create_page
from miner.page.api import create_api
from miner.settings import Page, Wire
from models.core import Box, Verdict

HERE = ("127.0.0.1", 50000)
THERE = ("192.0.2.7", 50000)


def picture(brightness=128, size=(32, 24), kind="PNG"):
    out = BytesIO()
    Image.new("RGB", size, (brightness,) * 3).save(out, kind)
    return out.getvalue()


def text(data):
    return base64.b64encode(data).decode()


class Engine:
    """`asked` every request; `refuse` an exception for each; `wait` what is awaited before the answer."""

    def __init__(self, refuse=None, wait=None):
        self.asked, self.refuse, self.wait = [], refuse, wait

    def health(self):
        return EngineHealth(True, "ready", versions={"brightness": "1"})

    async def submit(self, request):
        self.asked.append(request)
        if self.wait:
            await self.wait(request)
        if self.refuse:
            raise self.refuse
        try:
            levels = [Image.open(BytesIO(view)).convert("L").getpixel((0, 0)) for view in request.views]
        except (OSError, SyntaxError):
            raise BadImage("corrupt") from None
        chance = max(levels) / 255
        return Verdict(
            request.id,
            chance,
            log_odds=chance - 0.5,
            path=("brightness",),
            versions={"brightness": "1"},
            ms={"total": 1.0},
            evidence={"brightness": chance - 0.5},
            boxes=(Box(0, "cone", 0.9, 0.1, 0.2, 0.3, 0.4),),
        )


class Port:
    """`http` a client of it; `counted` what its metrics were told."""

    def __init__(self, engine=None, client=HERE, **page):
        self.engine, self.counted = engine or Engine(), []
        self.wire = Wire()
        self.routes = create_api(
            self.engine, Page(**page), self.wire, lambda outcome, _: self.counted.append(outcome)
        )
        self.app = create_page(dict, lambda: b"", lambda: [], more=self.routes)
        self.http = TestClient(self.app, base_url="http://127.0.0.1:8092", client=client)

    def post(self, **how):
        return self.http.post("/v1/classify", **how)


async def forever(_):
    await asyncio.Event().wait()
