"""What the simulated days are made of: sockets, tapes and clocks without a network."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.providers import PROVIDERS
from mdingest.simulators.instruments import SimInstrument
from mdingest.simulators.market import Trades
from mdingest.simulators.tape import Journal, Sent
from mdingest.telemetry.clock import Clock


@dataclass(eq=False)
class SimSocket:
    """A `Peer`: what was sent and not yet read."""

    inbox: deque[bytes | str] = field(default_factory=deque)
    closed: bool = False
    dead: bool = False  # half open: nothing comes through, and nobody says so

    def write(self, message: bytes | str) -> None:
        if not self.dead:
            self.inbox.append(message)

    def buffered(self) -> int:
        return 0

    def abort(self) -> None:
        self.closed = not self.dead

    def close(self) -> None:
        self.closed = True

    def throttle(self, bytes_s: float | None) -> None:
        self.dead = bytes_s == 0


class KeptTape(Journal):
    """Keeps the trades instead of writing them."""

    def __init__(self, instruments: Sequence[SimInstrument]) -> None:
        super().__init__(instruments)
        self.parts: list[Trades] = []
        self.packets: list[NDArray[np.int64]] = []

    def trades(self, trades: Trades, packets: NDArray[np.int64], sent: Sequence[Sent]) -> None:
        del sent  # one connection, and nothing is kept from it
        self.parts.append(trades)
        self.packets.append(packets)


class Ear:
    """A `Peer` that is read at once."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def write(self, message: bytes | str) -> None:
        self.heard.append(message if isinstance(message, bytes) else message.encode())

    def buffered(self) -> int:
        return 0

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def throttle(self, bytes_s: float | None) -> None: ...


class DayClock(Clock):
    """Shows the day's own time, which ``now`` tells."""

    def __init__(self, now: Callable[[], int]) -> None:
        object.__setattr__(self, "_now", now)

    def wall_ns(self) -> int:
        return self._now()  # type: ignore[attr-defined,no-any-return]

    def real_s(self, market_s: float) -> float:
        return market_s


def kite_options() -> Any:  # noqa: ANN401 - the adapter's own
    """As the daemon has them; every instrument is always open."""
    return PROVIDERS["kite_ws"].Options.model_validate(
        {"api_key": "key", "access_token": "token", "session_class": "always"}
    )
