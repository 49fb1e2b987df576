"""What the simulator writes about itself: the trades it made and what it kept from whom.

Both are JSON lines, the truth that stored candles and recorded gaps are compared with.

Tape, one line a trade: ``token``, ``symbol``, ``ts`` (epoch s, as on the wire), ``ns`` (exact),
``price``, ``size`` and ``volume`` (null for an index), ``high`` and ``low`` of the day, ``sent`` (ids of the
connections it was sent on) and ``held`` (those on which it was kept back, to come late),
``packet`` (ns at which the packet left that was the first to include it). A line is written when
that packet leaves; what no packet included when the simulator ended is missing.

Cuts, one line a cut of one cause on one connection: ``connection``, ``api_key``, ``cause``,
``start_ns`` and ``end_ns`` (clock; trades in ``[start, end)`` did not reach the client on it),
``tokens``. A token's cut ends when its snapshot is sent again, so that one disconnect may give several
lines; what was still cut when the simulator ended has ``end_ns`` null. Causes: the kinds of
`faults`, ``peer_closed`` and ``peer_lost`` (the client went; found at ``start_ns`` or later),
``slow`` (the client did not read), ``stop`` (the simulator ended). A fault that loses nothing
(``unknown``, ``late``, ``reset`` ...) is a line too, with ``start_ns == end_ns`` where it is an instant,
``lost`` false, and the tokens that a reader may have to doubt. What is no connection's own (``403``,
``halfopen`` for those who come meanwhile, ``burst``) has ``connection`` 0 and no tokens.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import orjson
from numpy.typing import NDArray

from mdingest.simulators.instruments import SimInstrument
from mdingest.simulators.trades import Ints, S, Trades


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch of packets (or trades) on one connection: a flag each."""

    connection: int
    sent: NDArray[np.bool_]
    held: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Cut:
    connection: int
    cause: str
    start_ns: int


class Journal:
    """Tape and cuts, either of which may be left out. Lines reach the file at `flush`."""

    def __init__(
        self, instruments: Sequence[SimInstrument], *, tape: Path | None = None, cuts: Path | None = None
    ) -> None:
        self._instruments = instruments
        self._tape = _open(tape)
        self._cuts = _open(cuts)
        self._open: dict[tuple[str, int], _Cut] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is still cut and close the files."""
        groups: dict[tuple[str, _Cut], list[int]] = defaultdict(list)
        for (api_key, token), cut in self._open.items():
            groups[api_key, cut].append(token)
        for (api_key, cut), tokens in groups.items():
            self._write_cut(api_key, cut, None, tokens)
        for file in (self._tape, self._cuts):
            if file is not None:
                file.close()

    @property
    def wants_trades(self) -> bool:
        """Whether there is a tape to write."""
        return self._tape is not None

    def trades(self, trades: Trades, packets: Ints, sent: Sequence[Sent]) -> None:
        """A line for each; ``packets`` says when the packet of each left."""
        if self._tape is None:
            return
        columns = ("row", "ts", "price", "size", "volume", "high", "low")
        rows = zip(*(trades[name].tolist() for name in columns), packets.tolist(), strict=True)
        for number, (row, ns, price, size, volume, high, low, packet) in enumerate(rows):
            one = self._instruments[row]
            line = {
                "token": one.token,
                "symbol": one.symbol,
                "ts": ns // S,
                "ns": ns,
                "price": price / one.divisor,
                "size": None if one.is_index else size,
                "volume": None if one.is_index else volume,
                "high": high / one.divisor,
                "low": low / one.divisor,
                "sent": [to.connection for to in sent if to.sent[number]],
                "held": [to.connection for to in sent if to.held[number]],
                "packet": packet,
            }
            self._tape.write(orjson.dumps(line).decode() + "\n")

    def cut(self, connection: int, api_key: str, cause: str, start_ns: int, tokens: Iterable[int]) -> None:
        """Tokens are cut off from here; what is cut already stays so from its earlier start."""
        for token in tokens:
            self._open.setdefault((api_key, token), _Cut(connection, cause, start_ns))

    def restored(self, api_key: str, end_ns: int, tokens: Iterable[int]) -> None:
        """Their data flows again: the lines of their cuts."""
        groups: dict[_Cut, list[int]] = defaultdict(list)
        for token in tokens:
            cut = self._open.pop((api_key, token), None)
            if cut is not None:
                groups[cut].append(token)
        for cut, cut_tokens in groups.items():
            self._write_cut(api_key, cut, end_ns, cut_tokens)

    def happened(
        self, connection: int, api_key: str, cause: str, span_ns: tuple[int, int], tokens: Iterable[int]
    ) -> None:
        """A fault that lost nothing; ``span_ns`` is its start and end."""
        self._write_cut(api_key, _Cut(connection, cause, span_ns[0]), span_ns[1], list(tokens), lost=False)

    def lost(
        self, connection: int, api_key: str, cause: str, span_ns: tuple[int, int], tokens: Iterable[int]
    ) -> None:
        """A cut that is over already."""
        self._write_cut(api_key, _Cut(connection, cause, span_ns[0]), span_ns[1], list(tokens))

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        for file in (self._tape, self._cuts):
            if file is not None:
                file.flush()

    def _write_cut(
        self, api_key: str, cut: _Cut, end_ns: int | None, tokens: list[int], *, lost: bool = True
    ) -> None:
        if self._cuts is None:
            return
        line = {
            "connection": cut.connection,
            "api_key": api_key,
            "cause": cut.cause,
            "start_ns": cut.start_ns,
            "end_ns": end_ns,
            "lost": lost,
            "tokens": sorted(tokens),
        }
        self._cuts.write(orjson.dumps(line).decode() + "\n")


def _open(path: Path | None) -> TextIOWrapper | None:
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")  # a restarted simulator goes on with its files
