"""Makes this folder's recording: synthetic Kite frames, and what the official parser reads in them.

Nothing here was recorded from the broker: prices are a seeded random walk, derivative tokens
are invented. Packets are packed by hand with `struct`; ``expected.csv`` comes from
``kiteconnect``'s own parser, so that this project's decoder had no part in it. Run in the
development environment from the repository's root::

    TZ=UTC python sample_data/kite/generate.py
"""  # noqa: INP001 - a script, not a package

import csv
import json
import random
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from kiteconnect import KiteTicker

HERE = Path(__file__).parent
SEED = 20261120
NS = 1_000_000_000
OPENING_S = 1_795_146_300  # 2026-11-20 09:15:00 in Mumbai
DEPTH_LEVELS = 10
EXPECTED = "frame,symbol,ts_exchange,ts_trade,price,size,volume,day_high,day_low,oi,trade_id"


class Listed(NamedTuple):
    """A line of the instrument list."""

    symbol: str  # canonical, as in the configuration
    token: int
    tradingsymbol: str
    name: str
    kind: str
    segment: str
    exchange: str
    price: int  # on the wire
    volume: int = 0


LISTED = (
    Listed("RELIANCE.NS", 738561, "RELIANCE", "RELIANCE INDUSTRIES", "EQ", "NSE", "NSE", 151_205, 91_000),
    Listed("EMMBI-BL.NS", 1230849, "EMMBI-BL", "EMMBI, INDUSTRIES & CO", "EQ", "NSE", "NSE", 9_805),
    Listed("IDEA.BO", (532822 << 8) | 4, "IDEA", "VODAFONE IDEA", "EQ", "BSE", "BSE", 1_012, 2_999_999_000),
    Listed("NIFTY_50.INDEX", 256265, "NIFTY 50", "NIFTY 50", "EQ", "INDICES", "NSE", 2_612_345),
    Listed("NIFTY26NOVFUT.NFO", 12073986, "NIFTY26NOVFUT", "NIFTY", "FUT", "NFO-FUT", "NFO", 2_613_040, 130),
    Listed(
        "RELIANCE26NOVFUT.NFO", 12075010, "RELIANCE26NOVFUT", "RELIANCE", "FUT", "NFO-FUT", "NFO", 151_900
    ),
    Listed("USDINR26NOVFUT.CDS", 256003, "USDINR26NOVFUT", "USDINR", "FUT", "CDS-FUT", "CDS", 832_525_000, 4),
    Listed("USDINR26NOVFUT.BCD", 512006, "USDINR26NOVFUT", "USDINR", "FUT", "BCD-FUT", "BCD", 832_525, 9),
    Listed("GOLD26DECFUT.MCX", 110_029_063, "GOLD26DECFUT", "GOLD", "FUT", "MCX-FUT", "MCX", 12_345_600, 77),
    Listed("GOLDM26DECFUT.NCO", 768012, "GOLDM26DECFUT", "GOLDM", "FUT", "NCO-FUT", "NCO", 123_450_000, 3),
)
STRANGER = 408065  # on the wire, but nobody subscribed it


class Walk:
    """One instrument's day so far."""

    def __init__(self, listed: Listed, rng: random.Random) -> None:
        self.listed, self.rng = listed, rng
        self.price = self.open = self.high = self.low = listed.price
        self.volume, self.traded_s, self.interest = listed.volume, 0, 1_000

    def packet(self, second: int, mode: str) -> bytes:
        """The next packet; usually, not always, there was a trade."""
        if self.rng.random() < 0.8:  # noqa: PLR2004
            self.price += self.rng.randint(-20, 20) * 5
            self.high, self.low = max(self.high, self.price), min(self.low, self.price)
            self.volume += self.rng.randint(1, 500)
            self.traded_s = second - self.rng.choice((0, 0, 0, 1))
            self.interest += self.rng.randint(-3, 3)
        listed = self.listed
        if mode == "ltp":
            return struct.pack(">II", listed.token, self.price)
        if listed.segment == "INDICES":
            day = (self.price, self.high, self.low, self.open, self.open, 4_000)
            stamp = (second,) if mode == "full" else ()
            return struct.pack(f">{7 + len(stamp)}I", listed.token, *day, *stamp)
        totals = (self.rng.randint(1, 50), self.price - 3, self.volume, 65_000, 4_000_000_000)
        quote = struct.pack(
            ">11I", listed.token, self.price, *totals, self.open, self.high, self.low, self.open
        )
        if mode == "quote":
            return quote
        interest = 0 if listed.exchange in {"NSE", "BSE"} else self.interest
        levels = b"".join(
            struct.pack(">IIHH", self.rng.randint(1, 900), self.price + i, 3, 0) for i in range(DEPTH_LEVELS)
        )
        return quote + struct.pack(">5I", self.traded_s, interest, 9_999, 1, second) + levels


def frame(*packets: bytes) -> bytes:
    """Packets as the server sends them."""
    bodies = b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)
    return struct.pack(">H", len(packets)) + bodies


def frames() -> list[bytes | str]:
    """A minute: snapshots, then heartbeats, text, uniform and mixed frames."""
    rng = random.Random(SEED)  # noqa: S311 - a seeded tape
    walks = [Walk(listed, rng) for listed in LISTED]
    made: list[bytes | str] = [frame(*(walk.packet(OPENING_S, "full") for walk in walks))]
    for second in range(OPENING_S, OPENING_S + 60, 2):
        some = rng.sample(walks, rng.randint(1, 6))
        made.append(frame(*(walk.packet(second, "full") for walk in some)))
        match second % 12:
            case 0:
                made.append(b"\x00")
            case 2:
                made.append(frame(*(walk.packet(second, "quote") for walk in some)))
            case 4:
                stranger = struct.pack(">II", STRANGER, 157_370)
                made.append(frame(some[0].packet(second, "ltp"), b"\x07" * 12, stranger))
            case 6:
                made.append('{"type":"message","data":"synthetic: trading as usual"}')
            case 8:
                made.append(b"\x00\x00")
    return made


def expected(parser: KiteTicker, index: int, raw: bytes) -> list[list[Any]]:
    """What the official parser reads in one frame, in this project's terms."""
    by_token = {listed.token: listed for listed in LISTED}
    rows = []
    for tick in parser._parse_binary(raw):  # noqa: SLF001 - the oracle
        listed = by_token.get(tick["instrument_token"])
        if listed is None:
            continue
        day = tick.get("ohlc", {})
        cash = listed.exchange in {"NSE", "BSE"}
        stamps = [tick.get(key) for key in ("exchange_timestamp", "last_trade_time")]
        interest = tick.get("oi", "")
        rows.append(
            [
                index,
                listed.symbol,
                *(round(stamp.timestamp()) * NS if stamp else 0 for stamp in stamps),
                *(repr(value) if value else "" for value in (tick["last_price"],)),
                "",  # size: Kite sends totals
                tick.get("volume_traded", ""),
                *(repr(day[key]) if day.get(key) else "" for key in ("high", "low")),
                "" if cash and not interest else interest,
                -1,
            ]
        )
    return rows


def main() -> None:
    """Write the four files."""
    if time.tzname[0] != "UTC":
        raise SystemExit("run with TZ=UTC: the official parser makes naive local times")
    header = (
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,"
        "tick_size,lot_size,instrument_type,segment,exchange"
    )
    with (HERE / "instruments.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header.split(","))
        for one in LISTED:
            expiry = "2026-11-26" if one.kind == "FUT" else ""
            out.writerow(
                [
                    one.token,
                    one.token >> 8,
                    one.tradingsymbol,
                    one.name,
                    "0.0",
                    expiry,
                    "0.0",
                    "0.05",
                    1,
                    one.kind,
                    one.segment,
                    one.exchange,
                ]
            )
    session = {
        "about": "synthetic, made by generate.py; expected.csv was read by kiteconnect's own parser",
        "provider": "kite_ws",
        "options": {"api_key": "sample", "access_token": "sample"},
        "symbols": [one.symbol for one in LISTED],
        "instruments": "instruments.csv",
    }
    (HERE / "session.json").write_text(json.dumps(session, indent=2) + "\n")
    parser = KiteTicker("sample", "sample")
    with (HERE / "frames.jsonl").open("w") as lines, (HERE / "expected.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(EXPECTED.split(","))
        for index, raw in enumerate(frames()):
            wall_ns = OPENING_S * NS + index * NS
            said = {"text": raw} if isinstance(raw, str) else {"hex": raw.hex()}
            lines.write(json.dumps({"wall_ns": wall_ns, **said}) + "\n")
            if isinstance(raw, bytes):
                out.writerows(expected(parser, index, raw))


if __name__ == "__main__":
    main()
