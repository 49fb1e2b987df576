"""One client's connection as the broker sees it: what it asked for, and what goes out to it."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import orjson
from numpy.typing import NDArray

from mdingest.simulators.kite_damage import Damage, damaged
from mdingest.simulators.kite_wire import Frame, Mode, frames_of, parcels_of
from mdingest.simulators.tape import Sent
from mdingest.simulators.trades import Ints, Last, Trades, Universe, joined, no_trades

MOST_TOKENS = 3000
"""On one connection (the broker's documentation)."""

_MODES = {"ltp": Mode.LTP, "quote": Mode.QUOTE, "full": Mode.FULL}
_HEADER_BYTES = ((126, 2), (1 << 16, 4), (1 << 64, 10))  # of a websocket frame, by payload size


class KiteLine:
    """State of one connection. It has no socket: ``write`` takes each frame.

    ``rows`` maps a token to its row in the universe.
    """

    def __init__(
        self,
        number: int,
        api_key: str,
        universe: Universe,
        rows: dict[int, int],
        write: Callable[[bytes | str], None],
    ) -> None:
        self.number = number
        self.api_key = api_key
        self.flowing = np.zeros(len(rows), dtype=np.bool_)  # rows whose first snapshot was sent
        self.muted = False  # heartbeats only
        self.muted_until_ns = 0
        self.silent = False  # not even those
        self.conflating = 0  # spells in which packets wait for `tell`
        self.damages: deque[str] = deque()  # kinds waiting for the next data frame
        self._universe = universe
        self._rows = rows
        self._write = write
        self._tokens: set[int] = set()  # known or not, they count against the limit
        self._mode = np.zeros(len(rows), dtype=np.int8)  # of each row
        self._fresh = np.zeros(len(rows), dtype=np.bool_)  # rows whose snapshot is to be sent
        self._late = np.zeros(len(rows), dtype=np.bool_)  # rows held back
        self._held: list[Trades] = []
        self._untold: list[Trades] = []  # waiting for `tell`
        self._behind: tuple[bytes, Trades] | None = None  # a frame that lets the next one pass
        self._written = 0
        self._unread: deque[tuple[int, Ints, Ints]] = deque()  # end in bytes written, rows and ns in it

    # --- what the client says

    def receive(self, message: str) -> list[str]:
        """Texts to answer with: errors only, success is silent. What makes no sense is ignored."""
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError:
            return []
        match request:
            case {"a": "subscribe", "v": list(tokens)}:
                return self._subscribe(_integers(tokens))
            case {"a": "unsubscribe", "v": list(tokens)}:
                self._unsubscribe(_integers(tokens))
            case {"a": "mode", "v": [str(mode), list(tokens)]} if mode in _MODES:
                self._set_mode(_MODES[mode], _integers(tokens))
        return []

    def _subscribe(self, tokens: list[int]) -> list[str]:
        wanted = [token for token in dict.fromkeys(tokens) if token not in self._tokens]
        room = MOST_TOKENS - len(self._tokens)
        self._tokens.update(wanted[:room])
        rows = self._rows_of(tokens)
        self._mode[rows[self._mode[rows] == Mode.OFF]] = Mode.QUOTE
        self._fresh[rows] = True
        refused = len(wanted[room:])
        if not refused:
            return []
        return [error_text(f"at most {MOST_TOKENS} instruments a connection: {refused} were not subscribed")]

    def _unsubscribe(self, tokens: list[int]) -> None:
        rows = self._rows_of(tokens)
        self._tokens.difference_update(tokens)
        self._mode[rows] = Mode.OFF
        self._fresh[rows] = self.flowing[rows] = self._late[rows] = False

    def _set_mode(self, mode: Mode, tokens: list[int]) -> None:
        rows = self._rows_of(tokens)
        changed = rows[self._mode[rows] != mode]
        self._mode[changed] = mode
        self._fresh[changed] = True

    def _rows_of(self, tokens: list[int]) -> NDArray[np.intp]:
        """Rows of those that are subscribed and exist."""
        known = [self._rows[one] for one in tokens if one in self._tokens and one in self._rows]
        return np.array(known, dtype=np.intp)

    # --- what goes out

    def tokens(self) -> list[int]:
        """Tokens whose data flows: those that a cut concerns."""
        return self._tokens_at(self.flowing)

    @property
    def asks(self) -> bool:
        """Whether `snapshots` has any to send."""
        return not self.muted and bool(self._fresh.any())

    def snapshots(self, last: Last, until_ns: int, most: int) -> list[int]:
        """Send the last known packet of what was just subscribed or changed its mode; the tokens.

        ``until_ns`` is the instant up to which ``last`` knows all trades.
        """
        if self.muted or not self._fresh.any():
            return []
        trades = Trades(last[self._fresh])
        self.flowing |= self._fresh
        self._fresh[:] = False
        for frame in self._frames(trades, most):
            told = frame.trades()
            told["since"] = until_ns
            self._put(frame.encode(), told)
        return [int(one) for one in self._universe.token[trades["row"]]]

    def send(self, trades: Trades, most: int) -> tuple[Sent, list[Damage]]:
        """Send those packets whose instruments are subscribed, in frames of at most ``most``."""
        flows = self.flowing[trades["row"]] & (not self.muted)
        held = flows & self._late[trades["row"]]
        sent = flows & ~held
        if held.any():
            self._held.append(Trades(trades[held]))
        if self.conflating:
            self._untold.append(Trades(trades[sent]))
            return Sent(self.number, np.zeros_like(sent), flows), []
        damages = self._send(Trades(trades[sent]), most)
        for damage in damages:  # 62 random bits name a trade
            sent &= ~np.isin(trades["noise"], damage.lost["noise"])
        return Sent(self.number, sent, held), damages

    def hold(self, rows: NDArray[np.intp]) -> list[int]:
        """Keep back what trades on these rows from now on; the tokens of all that is kept back."""
        self._late[rows] = True
        return self._tokens_at(self._late)

    def release(self, most: int) -> list[Damage]:
        """Send what was kept back, in its order and with its own stamps."""
        held, self._held = joined(self._held), []
        self._late[:] = False
        return self._send(Trades(held[self.flowing[held["row"]]]), most)

    def tell(self, at_ns: int, most: int) -> list[Damage]:
        """Send what waited while `conflating`: of each instrument one packet, made now."""
        waited, self._untold = joined(self._untold), []
        waited = Trades(waited[self.flowing[waited["row"]]])
        since = np.full(len(self.flowing), at_ns)
        np.minimum.at(since, waited["row"], waited["since"])
        _, from_end = np.unique(waited["row"][::-1], return_index=True)
        told = Trades(waited[np.sort(len(waited) - 1 - from_end)])
        told["since"], told["sent"] = since[told["row"]], at_ns
        return self._send(told, most)

    def repeat(self, last: Last, most: int) -> None:
        """Send all that flows as it was some time ago."""
        for frame in self._frames(Trades(last[self.flowing]), most):
            self._put(frame.encode(), no_trades())

    def catch_up(self) -> list[Damage]:
        """Send the frame that waits for another to pass it, if there is one."""
        if self._behind is None:
            return []
        (data, told), self._behind = self._behind, None
        self._put(data, told)
        return [Damage("reorder", no_trades(), doubt=True, since_ns=int(told["ts"].min()))]

    def _send(self, trades: Trades, most: int) -> list[Damage]:
        damages = []
        for frame in self._frames(trades, most):
            kind, told = self.damages.popleft() if self.damages else "", frame.trades()
            if kind == "reorder" and self._behind is None:
                self._behind = (frame.encode(), told)
                continue
            messages: list[bytes | str] = [frame.encode()]
            if kind and kind != "reorder":
                messages, damage = damaged(frame, kind)
                damages.append(damage)
            for message in messages:
                self._put(message, told if message is messages[-1] else no_trades())
            damages += self.catch_up()
        return damages

    def _frames(self, trades: Trades, most: int) -> Iterator[Frame]:
        return frames_of(parcels_of(self._universe, trades, self._mode[trades["row"]]), most)

    def _tokens_at(self, rows: NDArray[np.bool_]) -> list[int]:
        return [int(one) for one in self._universe.token[rows]]

    # --- what the socket still holds

    def _put(self, data: bytes | str, told: Trades) -> None:
        self._write(data)
        self._written += len(data) + next(size for below, size in _HEADER_BYTES if len(data) < below)
        self._unread.append((self._written, told["row"], told["since"]))

    def settle(self, buffered: int) -> None:
        """Forget frames that left the process; ``buffered`` bytes are still in it."""
        while self._unread and self._unread[0][0] <= self._written - buffered:
            self._unread.popleft()

    def lost_since(self, now_ns: int, waiting: Ints) -> dict[int, list[int]]:
        """From when on trades did not get out if the connection ends now: instants to tokens.

        ``waiting`` has the oldest trade of each row that no packet was made of yet.
        """
        since = np.minimum(waiting, now_ns)
        for _, rows, ts in self._unread:
            np.minimum.at(since, rows, ts)
        behind = [] if self._behind is None else [self._behind[1]]
        for part in (*self._held, *self._untold, *behind):
            np.minimum.at(since, part["row"], part["since"])
        instants = np.unique(since[self.flowing])
        return {int(ns): self._tokens_at(self.flowing & (since == ns)) for ns in instants}


def error_text(why: str) -> str:
    """The broker's error frame."""
    return orjson.dumps({"type": "error", "data": why}).decode()


def _integers(values: list[object]) -> list[int]:
    """The broker takes numbers only; a text is silently nothing."""
    return [one for one in values if isinstance(one, int) and not isinstance(one, bool)]
