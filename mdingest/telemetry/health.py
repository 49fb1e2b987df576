"""Whether the process does its work, each part by itself.

Parts bring a function that looks at what they already know; it must not wait and must not
raise. Details are for people: no secrets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Detail = Mapping[str, Any]
Check = Callable[[], tuple[bool, Detail]]


@dataclass(slots=True)
class Health:
    """The parts of one process and how each is doing.

    Ready means: started, and every part that readers depend on is well. A feed that is
    down makes the process unhealthy, yet what is stored can still be read.
    """

    started: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    """Shown beside the parts, as they are or as they say when asked: version, time, a shifted clock."""
    _parts: dict[str, Check] = field(default_factory=dict)
    _for_readers: set[str] = field(default_factory=set)

    def register(self, name: str, check: Check, *, for_readers: bool = False) -> None:
        """Add a part, or replace it. ``for_readers``: without it nothing can be read."""
        self._parts[name] = check
        if for_readers:
            self._for_readers.add(name)

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Is all well, and each part's ``ok`` beside its details."""
        parts: dict[str, dict[str, Any]] = {}
        for name, check in self._parts.items():
            ok, detail = check()
            parts[name] = {"ok": ok, **detail}
        well = self.started and all(part["ok"] for part in parts.values())
        status = "ok" if well else "failing" if self.started else "starting"
        facts = {name: fact() if callable(fact) else fact for name, fact in self.facts.items()}
        return well, {"status": status, **facts, "parts": parts}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Can it be read from, and what is in the way."""
        failing = [name for name in self._for_readers if not self._parts[name]()[0]]
        return self.started and not failing, {"started": self.started, "failing": failing}
