"""A simulated exchange without sockets, its files, and what its clients heard."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from mdingest.simulators.faults import parse_faults
from mdingest.simulators.instruments import default_instruments, synthetic_instruments
from mdingest.simulators.kite_exchange import KiteExchange
from mdingest.simulators.kite_line import KiteLine
from mdingest.simulators.market import Market, S
from mdingest.simulators.tape import Journal

START = 1_795_160_000 * S
TURN = S // 20
INSTRUMENTS = (*default_instruments(date(2026, 11, 20)), *synthetic_instruments(30))
TOKENS = [one.token for one in INSTRUMENTS]
INFY = 408065


class Ear:
    """A peer that keeps what it hears; it reads nothing while it is ``deaf``."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []
        self.deaf = False
        self.unread = 0
        self.ended = ""
        self.rate: float | None = None

    def write(self, message: bytes | str) -> None:
        if self.deaf:
            self.unread += len(message) + 4
        else:
            self.heard.append(message)

    def buffered(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.ended = "aborted"

    def close(self) -> None:
        self.ended = "closed"

    def throttle(self, bytes_s: float | None) -> None:
        self.rate = bytes_s


class Story:
    """An exchange with its files, moved on in turns of 50 ms."""

    def __init__(self, folder: Path, faults: str = "", *, seed: int = 5, rate: float = 4.0) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.journal = Journal(INSTRUMENTS, tape=folder / "tape", cuts=folder / "cuts")
        market = Market(INSTRUMENTS, start_ns=START, rate=rate, seed=seed)
        self.exchange = KiteExchange(INSTRUMENTS, market, self.journal, parse_faults(faults), seed=seed)

    def connect(self, tokens: list[int] | None = None, api_key: str = "key") -> tuple[Ear, KiteLine]:
        ear = Ear()
        line = self.exchange.join(api_key, ear)
        wanted = TOKENS if tokens is None else tokens
        assert line.receive(json.dumps({"a": "subscribe", "v": wanted})) == []
        assert line.receive(json.dumps({"a": "mode", "v": ["full", wanted]})) == []
        return ear, line

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * S / TURN)):
            self.exchange.turn(self.exchange.until_ns + TURN)

    def end(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Tape and cuts."""
        with self.journal:
            pass
        tape, cuts = (
            [json.loads(line) for line in (self.folder / name).read_text().splitlines()]
            for name in ("tape", "cuts")
        )
        return tape, cuts


def told(ear: Ear) -> list[tuple[int, int, int]]:
    """Token, price and stamp of each whole packet of known length heard, in order."""
    found = []
    for frame in ear.heard:
        at = 2
        while isinstance(frame, bytes) and at + 2 <= len(frame):
            size = int.from_bytes(frame[at : at + 2], "big")
            body = frame[at + 2 : at + 2 + size]
            at += 2 + size
            if len(body) == size and size in (32, 184):
                token, price = (int.from_bytes(body[place : place + 4], "big") for place in (0, 4))
                stamp = body[28:32] if size == 32 else body[60:64]
                found.append((token, price, int.from_bytes(stamp, "big")))
    return found


def made(tape: list[dict[str, Any]], connection: int) -> list[tuple[int, int, int]]:
    """The same of the trades that the tape says were sent."""
    return [
        (line["token"], round(line["price"] * 100), line["ts"]) for line in tape if connection in line["sent"]
    ]


def by_token(rows: list[tuple[int, int, int]]) -> dict[int, list[tuple[int, int, int]]]:
    return {token: [row for row in rows if row[0] == token] for token in TOKENS}
