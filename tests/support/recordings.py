"""Recorded sessions of live providers, from ``sample_data``."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mdingest.core.control import Subscription
from mdingest.providers import PROVIDERS
from mdingest.providers.base import Decoded, LiveProvider, Resolved
from tests.support.frames import frames

SAMPLES = Path(__file__).parents[2] / "sample_data"


@dataclass(frozen=True)
class Recording:
    """A provider and its checked session."""

    provider: LiveProvider[Any]
    options: BaseModel
    symbols: list[str]
    instruments: str | None
    messages: list[bytes | str]
    expected: list[dict[str, str]]

    def resolve(self, symbols: list[str], problems: list[str] | None = None) -> list[Resolved]:
        return self.provider.resolve(symbols, self.options, self.instruments, problems=problems)

    def subs(self) -> list[Subscription]:
        """The session's subscriptions with ids 11, 12, ... in the order of the symbols."""
        return [replace(sub, instrument_id=i) for i, (_, sub) in enumerate(self.resolve(self.symbols), 11)]

    def decode(self, messages: list[bytes | str], subs: list[Subscription] | None = None) -> Decoded:
        decoder = self.provider.decoder()
        decoder.subscribe(self.subs() if subs is None else subs)
        return decoder.decode(frames(messages))


def recording_of(name: str) -> Recording:
    """The recording of a provider; what its files say of themselves is checked on the way."""
    provider = PROVIDERS[name]
    directory = SAMPLES / provider.name.removesuffix("_ws")
    session = json.loads((directory / "session.json").read_text())
    assert session["provider"] == provider.name
    with (directory / "expected.csv").open() as file:
        expected = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (directory / "frames.jsonl").read_text().splitlines()]
    return Recording(
        provider,
        provider.Options.model_validate(session["options"]),
        session["symbols"],
        (directory / session["instruments"]).read_text() if "instruments" in session else None,
        [line["text"] if "text" in line else bytes.fromhex(line["hex"]) for line in lines],
        expected,
    )
