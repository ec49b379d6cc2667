"""Small real tiers: they judge an image by its mean brightness, and can be told to misbehave on some
images."""

import os
import time

from models.core import Evidence


class Brightness:
    """log-odds = (mean brightness - 128) / 32. The options name what it does to an image of a brightness:

    `die`, `fail` or `hang` (for `stuck_s`). `ms` an image takes otherwise; after `break_after` images it
    fails on everything, like a device with a sticky error."""

    name = "brightness"
    version = "b1"

    def __init__(self, *, ms=0.0, die=-1, fail=-1, hang=-1, stuck_s=60.0, break_after=10**9, load_error=""):
        if load_error:
            raise ValueError(load_error)
        self.ms, self.die, self.fail, self.hang = ms, die, fail, hang
        self.stuck_s, self.break_after = stuck_s, break_after
        self.judged = 0
        self.sizes = []

    def prepare(self, image):
        return image.convert("L").resize((1, 1)).getpixel((0, 0))

    def evidence(self, batch):
        self.sizes.append(len(batch))
        self.judged += len(batch)
        if self.judged > self.break_after:
            raise RuntimeError("sticky error")
        if self.fail in batch:
            raise ArithmeticError("this image again")
        if self.die in batch:
            os.kill(os.getpid(), 9)
        time.sleep(self.stuck_s if self.hang in batch else self.ms / 1e3 * len(batch))
        return [Evidence(self.name, self.version, (value - 128) / 32) for value in batch]


def brightness(spec, device):
    return Brightness(**{key: value for key, value in spec.items() if key != "kind"})


class Backwards:
    """Says of each drawn street what it is not: the golden set, by the picture's bytes."""

    name = "backwards"
    version = "1"

    def __init__(self):
        from miner.engine.golden import golden
        from models.imaging.decode import decode
        from models.imaging.header import Limits

        limits = Limits(2**22, 10**7)
        self.known = {decode(item.views[0], limits).image.tobytes(): item.roadwork for item in golden()}

    def prepare(self, image):
        return image.tobytes()

    def evidence(self, batch):
        return [Evidence(self.name, self.version, -1.0 if self.known.get(each) else 1.0) for each in batch]


KINDS = {"brightness": brightness, "backwards": lambda spec, device: Backwards()}
