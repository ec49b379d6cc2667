"""Placing members on GPUs: an exact search for small sets, the rest of each GPU handed to the KV pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from models.residency.gpus import GPU, Refusal, check_kv, check_weights
from models.residency.memory import Member, Part, parts

KEEP_FREE = 0.03
"""Share of each GPU that no plan touches: fragmentation, the driver, and errors of these assumptions."""
ENGINE = Part("engine process", round(0.75 * 2**30), "context of the engine's own process")
SEARCH_LIMIT = 20_000
"""Steps after which the search gives up and says so; sets of a dozen members stay far below."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A member on its GPUs. `parts` are of each of them; the KV part may be more than the floor asked for."""

    member: Member
    gpus: tuple[int, ...]
    parts: tuple[Part, ...]
    remark: str = ""

    @property
    def bytes(self) -> int:
        """Bytes on each of its GPUs."""
        return sum(part.bytes for part in self.parts)

    def part(self, name: str) -> int:
        """Bytes of one part, 0 when there is none."""
        return sum(part.bytes for part in self.parts if part.name == name)

    @property
    def concurrency(self) -> int:
        """Requests whose KV fits at once."""
        each = self.member.request_bytes
        return int(self.part("KV cache") / each) if each else self.member.concurrency

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV pool holds."""
        each = self.member.model.kv_bytes(self.member.kv, self.member.tensor_parallel)
        return int(self.part("KV cache") / each) if each else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What lies where. `refused` are sentences; a plan with any holds none of the members that do not fit."""

    gpus: tuple[GPU, ...]
    placements: tuple[Placement, ...]
    refused: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether every member asked for has its place."""
        return not self.refused

    def on(self, gpu: int) -> tuple[Placement, ...]:
        """What lies on one GPU."""
        return tuple(placed for placed in self.placements if gpu in placed.gpus)

    def engine(self, gpu: int) -> int:
        """Bytes of the engine's own process, which small models share."""
        small = any(not placed.member.served for placed in self.on(gpu))
        return ENGINE.bytes if small else 0

    def used(self, gpu: int) -> int:
        """Bytes taken on one GPU: the sum of what `on` lists, and of the engine's process."""
        return sum(placed.bytes for placed in self.on(gpu)) + self.engine(gpu)

    def free(self, gpu: int) -> int:
        """Bytes left on one GPU."""
        return self.gpus[gpu].memory - self.used(gpu)


def budget(gpu: GPU) -> int:
    """Bytes of a GPU that a plan may use."""
    return int(gpu.memory * (1 - KEEP_FREE))


def place(members: Sequence[Member], gpus: Sequence[GPU]) -> Plan:
    """Put every member on GPUs of one kind each, or say in a sentence why it cannot be.

    The search is exact, so a larger GPU never holds less. What is left goes to the KV pools, evenly per GPU.
    """
    gpus = tuple(gpus)
    refused = tuple(sentence for member in members if (sentence := _impossible(member, gpus)))
    if refused:
        return Plan(gpus, (), refused)
    found = _Search(members, gpus).run()
    if found is None:
        return Plan(gpus, (), (_too_much(members, gpus),))
    plan = Plan(gpus, tuple(_placement(*pair, gpus) for pair in zip(members, found, strict=True)))
    return _widen(plan)


def _impossible(member: Member, gpus: tuple[GPU, ...]) -> str:
    """Why no arrangement at all can hold this member alone; "" when one can."""
    name, count = member.model.name, member.tensor_parallel
    if count > len(gpus):
        return f"{name}: asks for {count} GPUs, there are {len(gpus)}"
    able = [gpu for gpu in gpus if _able(member, gpu)]
    if len(able) < count:
        return f"{name}: {_unable(member, gpus)}"
    need, roomy = _needs(member), sorted((budget(gpu) for gpu in able), reverse=True)
    if need > roomy[count - 1]:
        may = roomy[count - 1] / 1e9
        return f"{name}: needs {need / 1e9:.1f} GB on each of {count} GPU(s), {may:.1f} GB may be used"
    return ""


def _able(member: Member, gpu: GPU) -> bool:
    return not _objection(member, gpu)


def _objection(member: Member, gpu: GPU) -> str:
    try:
        check_weights(gpu, member.precision)
        if member.served:  # in process the cache is packed and unpacked by our own code, on any GPU
            check_kv(gpu, member.kv)
    except Refusal as refusal:
        return str(refusal)
    return ""


def _unable(member: Member, gpus: tuple[GPU, ...]) -> str:
    return next(sentence for gpu in gpus if (sentence := _objection(member, gpu)))


def _needs(member: Member) -> int:
    own = sum(part.bytes for part in parts(member))
    return own + (0 if member.served else ENGINE.bytes)


def _too_much(members: Sequence[Member], gpus: tuple[GPU, ...]) -> str:
    asked = sum(sum(part.bytes for part in parts(member)) * member.tensor_parallel for member in members)
    room = sum(budget(gpu) for gpu in gpus)
    reason = "which is more" if asked > room else "but no arrangement puts each whole on its GPUs"
    return f"together they need {asked / 1e9:.1f} GB and {room / 1e9:.1f} GB may be used, {reason}"


class _Search:
    """Backtracking over members, largest first, and over the GPUs each could take, fullest first."""

    def __init__(self, members: Sequence[Member], gpus: tuple[GPU, ...]) -> None:
        self.members, self.gpus = members, gpus
        self.order = sorted(range(len(members)), key=lambda i: -_needs(members[i]))
        self.room = [budget(gpu) for gpu in gpus]
        self.engine = [False] * len(gpus)
        self.found: dict[int, tuple[int, ...]] = {}
        self.steps = 0

    def run(self) -> list[tuple[int, ...]] | None:
        """GPU indices for each member in the order given, or None."""
        return [self.found[i] for i in range(len(self.members))] if self._next(0) else None

    def _next(self, depth: int) -> bool:
        if depth == len(self.order):
            return True
        index = self.order[depth]
        for chosen in self._choices(self.members[index]):
            self.steps += 1
            if self.steps > SEARCH_LIMIT:
                return False
            taken = self._take(self.members[index], chosen)
            self.found[index] = chosen
            if self._next(depth + 1):
                return True
            self._give_back(taken)
        return False

    def _choices(self, member: Member) -> list[tuple[int, ...]]:
        """Sets of like GPUs with room, without repeating sets that look the same; fullest first."""
        fitting = [i for i in range(len(self.gpus)) if self._fits(member, i)]
        seen: dict[tuple[tuple[str, int, bool], ...], tuple[int, ...]] = {}
        for chosen in combinations(fitting, member.tensor_parallel):
            if len({self.gpus[i].name for i in chosen}) == 1:
                looks = tuple(sorted((self.gpus[i].name, self.room[i], self.engine[i]) for i in chosen))
                seen.setdefault(looks, chosen)
        return sorted(seen.values(), key=lambda chosen: sum(self.room[i] for i in chosen))

    def _fits(self, member: Member, gpu: int) -> bool:
        return _able(member, self.gpus[gpu]) and self._cost(member, gpu) <= self.room[gpu]

    def _cost(self, member: Member, gpu: int) -> int:
        own = sum(part.bytes for part in parts(member))
        return own + (0 if member.served or self.engine[gpu] else ENGINE.bytes)

    def _take(self, member: Member, chosen: tuple[int, ...]) -> list[tuple[int, int, bool]]:
        before = [(i, self.room[i], self.engine[i]) for i in chosen]
        for i in chosen:
            self.room[i] -= self._cost(member, i)
            self.engine[i] = self.engine[i] or not member.served
        return before

    def _give_back(self, before: list[tuple[int, int, bool]]) -> None:
        for i, room, engine in before:
            self.room[i], self.engine[i] = room, engine


def _placement(member: Member, chosen: tuple[int, ...], gpus: tuple[GPU, ...]) -> Placement:
    remark = "" if member.model.text is None else check_weights(gpus[chosen[0]], member.precision)
    return Placement(member, chosen, parts(member), remark)


def _widen(plan: Plan) -> Plan:
    """Hand each GPU's free bytes to the KV pools on it; a pool grows by the least of its GPUs' shares."""
    shares = []
    for gpu in range(len(plan.gpus)):
        pools = sum(placed.part("KV cache") > 0 for placed in plan.on(gpu))
        left = budget(plan.gpus[gpu]) - plan.used(gpu)
        shares.append(left // pools if pools else 0)
    return replace(plan, placements=tuple(_grown(placed, shares) for placed in plan.placements))


def _grown(placed: Placement, shares: list[int]) -> Placement:
    extra = min(shares[gpu] for gpu in placed.gpus)
    if not placed.part("KV cache") or extra <= 0:
        return placed
    grown = tuple(_more(part, extra) if part.name == "KV cache" else part for part in placed.parts)
    return replace(placed, parts=grown)


def _more(part: Part, extra: int) -> Part:
    return Part(part.name, part.bytes + extra, f"at least {part.why}, and what is left")
