"""Providers by name, each found by a function that imports it."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

P = TypeVar("P")


class Registry(Mapping[str, P]):
    """Looking a name up imports its adapter; names alone import nothing."""

    def __init__(self, finders: Mapping[str, Callable[[], P]]) -> None:
        self._finders = finders

    def __getitem__(self, name: str) -> P:
        return self._finders[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._finders

    def __iter__(self) -> Iterator[str]:
        return iter(self._finders)

    def __len__(self) -> int:
        return len(self._finders)
