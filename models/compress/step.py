"""A step: one method with its numbers, and the line of text it is written as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.compress.registry import METHODS, Method


@dataclass(frozen=True, slots=True)
class Step:
    """`name` of the method; `ratio` the share kept, in (0, 1], None where the method has none; `seed` of what
    is random; `options` the method's own, by name, as text."""

    name: str
    ratio: float | None = None
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    @property
    def kept(self) -> float:
        """The ratio; 1 where there is none."""
        return 1.0 if self.ratio is None else self.ratio

    def whole(self, option: str, default: int) -> int:
        """An option that is a whole number. Raises ValueError with a sentence."""
        return int(self._number(option, default, int))

    def number(self, option: str, default: float) -> float:
        """An option that is a number. Raises ValueError with a sentence."""
        return self._number(option, default, float)

    def switch(self, option: str, default: bool) -> bool:
        """An option that is true or false. Raises ValueError with a sentence."""
        text = self.options.get(option, str(default)).lower()
        if text not in ("true", "false"):
            raise ValueError(f"{self}: {option} is true or false, not {text!r}")
        return text == "true"

    def word(self, option: str, allowed: tuple[str, ...]) -> str:
        """An option that is one of `allowed`, the first of which is the default. Raises ValueError."""
        text = self.options.get(option, allowed[0])
        if text not in allowed:
            raise ValueError(f"{self}: {option} is one of {', '.join(allowed)}, not {text!r}")
        return text

    def _number(self, option: str, default: float, kind: type[int] | type[float]) -> float:
        try:
            return kind(self.options.get(option, default))
        except ValueError:
            raise ValueError(f"{self}: {option} is a number, not {self.options[option]!r}") from None

    def __str__(self) -> str:
        """The line that `parse` reads."""
        words = [self.name]
        words += [] if self.ratio is None else [f"{self.ratio:g}"]
        words += [f"seed={self.seed}"] if self.seed else []
        return " ".join(words + [f"{name}={value}" for name, value in sorted(self.options.items())])


def parse(text: str) -> Step:
    """The step of "NAME [SHARE KEPT] [option=value ...]", with or without its kind ("prune: divprune 0.5").

    Raises ValueError with a sentence.
    """
    kind, _, rest = text.rpartition(":")
    words = rest.split()
    name = words.pop(0) if words else ""
    if name not in METHODS:
        raise ValueError(f"{text!r}: no method is called {name!r}; there are: {', '.join(METHODS)}")
    method = METHODS[name]
    if kind.strip() not in ("", method.kind):
        raise ValueError(f"{text!r}: {name} is of the kind {method.kind}, not {kind.strip()}")
    ratio = _ratio(words.pop(0), text) if words and "=" not in words[0] else None
    if ratio is not None and not method.ratio:
        raise ValueError(f"{text!r}: {name} has no share to keep")
    if ratio is None and method.ratio:
        raise ValueError(f"{text!r}: say what share {name} keeps, as in '{name} 0.5'")
    options = dict(_option(word, text) for word in words)
    if unknown := sorted(set(options) - {"seed"} - method.options):
        known = ", ".join(sorted(method.options | {"seed"}))
        raise ValueError(f"{text!r}: {name} has no option {', '.join(unknown)}; there are: {known}")
    seed = options.pop("seed", "0")
    if not seed.isdecimal():
        raise ValueError(f"{text!r}: a seed is a whole number, not {seed!r}")
    return Step(name, ratio, int(seed), options)


def _ratio(word: str, text: str) -> float:
    try:
        ratio = float(word)
    except ValueError:
        raise ValueError(f"{text!r}: a share to keep is a number in (0, 1], not {word!r}") from None
    if not 0 < ratio <= 1:
        raise ValueError(f"{text!r}: a share to keep lies in (0, 1], not {word}")
    return ratio


def _option(word: str, text: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals and value):
        raise ValueError(f"{text!r}: an option is name=value, not {word!r}")
    return name, value
