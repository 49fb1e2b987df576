"""What others do with the same bytes. Each is given the quickest way we know to feed it.

A peer that is not installed raises ImportError when it is made.
"""

import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from benchmarks.traffic import NS, Tape

CANDLE_FIELDS = struct.Struct(">2xII8xI12xII4xI12xI120x")
"""Token, price, volume, day high and low, trade time and packet time of a packet in mode full."""
ALL_FIELDS = struct.Struct(">2x16I" + "IIHH" * 10)

Feed = Callable[[], None]
Bar = tuple[int, int, float, float, float, float, float]
"""Token, opening second, open, high, low, close, volume."""


def official_parser() -> Callable[[bytes], list[dict[str, Any]]]:
    """How the broker's own client reads a frame."""
    from kiteconnect import KiteTicker

    ticker = KiteTicker("key", "token")
    parse: Callable[[bytes], list[dict[str, Any]]] = ticker._parse_binary  # noqa: SLF001 - it has no public one
    return parse


def packets_of(frames: list[bytes]) -> Iterator[tuple[int, ...]]:
    """`CANDLE_FIELDS` of each packet."""
    unpack = CANDLE_FIELDS.iter_unpack
    for frame in frames:
        yield from unpack(memoryview(frame)[2:])


class PlainCandles:
    """1s and 1m candles in plain Python, one list an instrument, as quick as we could make it.

    Neither late packets nor gaps nor doubts: what a good script does.
    """

    def __init__(self) -> None:
        self.state: dict[int, list[float]] = {}
        self.closed: list[Bar] = []
        self.closed_minutes: list[Bar] = []

    def take(self, packets: Iterator[tuple[int, ...]]) -> None:
        """In the order in which they came."""
        state = self.state
        for token, paise, volume, _, _, traded, _ in packets:
            price = paise / 100
            try:
                row = state[token]
            except KeyError:
                state[token] = [volume, -1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0]
                continue
            size = volume - row[0]
            if size <= 0:
                continue
            row[0] = volume
            if traded == row[1]:
                row[5] = price
                row[6] += size
                if price > row[3]:
                    row[3] = price
                elif price < row[4]:
                    row[4] = price
                continue
            if row[1] >= 0:
                self._close(token, row)
            row[1:7] = traded, price, price, price, price, size

    def _close(self, token: int, row: list[float]) -> None:
        """A second is over: it becomes a row, and a part of its minute."""
        second = int(row[1])
        self.closed.append((token, second, row[2], row[3], row[4], row[5], row[6]))
        minute = second - second % 60
        if minute != row[7]:
            if row[7] >= 0:
                bar = (token, int(row[7]), row[8], row[9], row[10], row[11], row[12])
                self.closed_minutes.append(bar)
            row[7:13] = minute, row[2], row[3], row[4], row[5], row[6]
            return
        row[9] = max(row[9], row[3])
        row[10] = min(row[10], row[4])
        row[11] = row[5]
        row[12] += row[6]


def plain_python(tape: Tape) -> Feed:
    """`PlainCandles` on the fields that candles need."""
    candles = PlainCandles()
    candles.take(packets_of(tape.snapshots))
    return lambda: candles.take(packets_of(tape.frames))


def cryptofeed(tape: Tape) -> Feed:
    """Two OHLCV aggregators, which only know trades; of its windows few close, the wall clock decides."""
    from cryptofeed.backends.aggregate import OHLCV
    from cryptofeed.types import Trade

    async def handler(_: object) -> None: ...

    baseline = {token: volume for token, _, volume, *_ in packets_of(tape.snapshots)}
    symbols = {token: str(token) for token in baseline}
    seconds, minutes = OHLCV(handler, window=1), OHLCV(handler, window=60)

    async def feed() -> None:
        for token, paise, volume, _, _, traded, _ in packets_of(tape.frames):
            size = Decimal(volume - baseline[token])
            baseline[token] = volume
            trade = Trade("KITE", symbols[token], "buy", size, Decimal(paise) / 100, float(traded))
            await seconds(trade, trade.timestamp)
            await minutes(trade, trade.timestamp)

    return lambda: _run(feed())


def vnpy(tape: Tape) -> Feed:
    """A bar generator an instrument; it makes 1m bars only."""
    from vnpy.trader.constant import Exchange
    from vnpy.trader.object import TickData
    from vnpy.trader.utility import BarGenerator

    bars: list[Any] = []
    generators = {token: (BarGenerator(bars.append), str(token)) for token, *_ in packets_of(tape.snapshots)}
    times: dict[int, datetime] = {}

    def feed(frames: list[bytes]) -> None:
        for token, paise, volume, high, low, traded, _ in packets_of(frames):
            generator, symbol = generators[token]
            at = times.get(traded)
            if at is None:
                at = times[traded] = datetime.fromtimestamp(traded)  # noqa: DTZ006 - as vnpy's gateways do
            generator.update_tick(
                TickData(
                    gateway_name="KITE",
                    symbol=symbol,
                    exchange=Exchange.SMART,
                    datetime=at,
                    volume=volume,
                    last_price=paise / 100,
                    high_price=high / 100,
                    low_price=low / 100,
                )
            )

    feed(tape.snapshots)
    return lambda: feed(tape.frames)


def nautilus(tape: Tape) -> Feed:
    """Time bar aggregators for 1s and 1m, driven by its own test clock."""
    from nautilus_trader.common.component import TestClock
    from nautilus_trader.data.aggregation import TimeBarAggregator
    from nautilus_trader.model.data import BarType, TradeTick
    from nautilus_trader.model.enums import AggressorSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId
    from nautilus_trader.model.instruments import Equity
    from nautilus_trader.model.objects import Currency, Price, Quantity

    clock = TestClock()
    clock.set_time(tape.at_ns[0] // NS * NS)
    bars: list[Any] = []
    rupee = Currency.from_str("INR")
    baseline, ids, aggregators = {}, {}, {}
    for token, _, volume, *_ in packets_of(tape.snapshots):
        instrument = Equity(
            instrument_id=InstrumentId.from_str(f"S{token}.NSE"),
            raw_symbol=Symbol(f"S{token}"),
            currency=rupee,
            price_precision=2,
            price_increment=Price.from_str("0.05"),
            lot_size=Quantity.from_int(1),
            ts_event=0,
            ts_init=0,
        )
        baseline[token], ids[token] = volume, instrument.id
        pair = [
            TimeBarAggregator(
                instrument,
                BarType.from_str(f"{instrument.id}-1-{step}-LAST-INTERNAL"),
                bars.append,
                clock,
                build_with_no_updates=False,
            )
            for step in ("SECOND", "MINUTE")
        ]
        for aggregator in pair:
            start = getattr(aggregator, "start_timer", None)
            if start is not None:
                start()
        aggregators[token] = (pair[0].handle_trade_tick, pair[1].handle_trade_tick)
    nobody = AggressorSide.NO_AGGRESSOR

    def feed() -> None:
        second = 0
        for n, (token, paise, volume, _, _, traded, _) in enumerate(packets_of(tape.frames)):
            if traded > second:
                second = traded
                for event in clock.advance_time(traded * NS):
                    event.handle()
            size = volume - baseline[token]
            baseline[token] = volume
            at = traded * NS
            tick = TradeTick(
                ids[token], Price(paise / 100, 2), Quantity(size, 0), nobody, TradeId(str(n)), at, at
            )
            for handle in aggregators[token]:
                handle(tick)

    return feed


PEERS: dict[str, Callable[[Tape], Feed]] = {"cryptofeed": cryptofeed, "vnpy": vnpy, "nautilus": nautilus}


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """One that never waits."""
    with suppress(StopIteration):
        coroutine.send(None)
