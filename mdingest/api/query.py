"""Query strings, read strictly: what is misspelt is refused, not ignored."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from mdingest.api.problems import Problem
from mdingest.api.times import parse_instant

_Value = TypeVar("_Value")
_MAX_TEXT = 100


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of one request, each at most once and each known."""

    values: dict[str, str]

    @classmethod
    def of(cls, request: web.Request, known: Collection[str]) -> "Query":
        """Raises Problem 400 for a parameter that is unknown, repeated or far too long."""
        values: dict[str, str] = {}
        for name, value in request.query.items():
            if name not in known:
                raise Problem(400, f"unknown parameter {name[:_MAX_TEXT]!r}; known: {', '.join(known)}")
            if name in values:
                raise Problem(400, f"{name} is given twice")
            if len(value) > _MAX_TEXT:
                raise Problem(400, f"{name} is longer than {_MAX_TEXT} characters")
            values[name] = value
        return cls(values)

    def text(self, name: str, example: str) -> str:
        """A parameter that must be there."""
        value = self.values.get(name, "")
        if not value:
            raise Problem(400, f"{name} is missing; give it like {name}={example}")
        return value

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """One of a few words."""
        value = self.values.get(name, default)
        if value not in choices:
            raise Problem(400, f"{name} must be one of {', '.join(choices)}, was {value!r}")
        return value

    def number(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number in ``[low, high]``."""
        text = self.values.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise Problem(400, f"{name} must be a whole number from {low} to {high}, was {text!r}")
        return int(text)

    def instant(self, name: str, default: int) -> int:
        """UTC ns."""
        return self.parsed(name, parse_instant, default)

    def parsed(self, name: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        """What ``parse`` makes of it; its ValueError becomes the reply."""
        if name not in self.values:
            return default
        try:
            return parse(self.values[name])
        except ValueError as exc:
            raise Problem(400, f"{name}: {exc}") from exc
