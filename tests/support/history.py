"""Small real things around history: files to parse, a silent progress, a provider that plays a script."""

import io
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdingest import calendars
from mdingest.core.interval import Interval
from mdingest.errors import MdingestError
from mdingest.pipeline.history import SymbolReport
from mdingest.providers.csvfile import CsvHistory, CsvOptions
from mdingest.providers.history import (
    BAR,
    Ask,
    Bars,
    Capabilities,
    FileRequest,
    Hours,
    Parsed,
    Reply,
    instrument_of,
    joined,
)

BOOK = calendars.load()
EVER = (-(1 << 61), 1 << 61)


def ask_for(symbol: str = "RELIANCE.NS", interval: str = "1m", options: CsvOptions | None = None) -> Ask:
    """A wish for everything."""
    instrument = instrument_of(symbol, options or CsvOptions())
    return Ask(instrument, Interval.parse(interval), *EVER, Hours(BOOK, instrument.session_class))


def parsed(text: str | bytes, symbol: str = "RELIANCE.NS", interval: str = "1m", **options: object) -> Parsed:
    """All of a CSV file in one."""
    body = text.encode() if isinstance(text, str) else text
    chosen = CsvOptions.model_validate(options)
    reply = Reply(FileRequest(Path("file.csv")), io.BytesIO(body))
    parts = list(CsvHistory(chosen).parse(ask_for(symbol, interval, chosen), reply))
    whole = Parsed(bars=joined(part.bars for part in parts))
    for part in parts:
        whole.rejects += part.rejects
        whole.rejected += part.rejected
        whole.empty += part.empty
        whole.notes += part.notes
    whole.holes = np.concatenate([part.holes for part in parts]) if parts else whole.holes
    return whole


def rows_of(found: Parsed) -> list[tuple[str, float, float, float, float, float | None]]:
    """UTC instant, prices, volume (None: none) of each bar."""
    stamps = np.datetime_as_string(found.bars["ts"].astype("datetime64[ns]"), unit="s").tolist()
    values = found.bars[["open", "high", "low", "close", "volume"]].tolist()
    return [
        (at, *prices, None if np.isnan(volume) else volume)
        for at, (*prices, volume) in zip(stamps, values, strict=True)
    ]


class Silence:
    """Hears of progress and remembers it."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.reports: list[SymbolReport] = []

    def advanced(self, symbol: str, share: float, rows: int) -> None:
        """Remember how far."""
        del symbol, rows
        self.shares.append(share)

    def finished(self, report: SymbolReport) -> None:
        """Remember the end."""
        self.reports.append(report)


@dataclass
class ScriptedHistory:
    """A provider that answers each wish with bars on every minute of it, or with what it is told to raise."""

    capabilities: Capabilities
    close: float = 100.0
    errors: list[MdingestError] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    leave_out: set[int] = field(default_factory=set)  # stamps without a bar
    wrong: set[int] = field(default_factory=set)  # stamps of rows that make no sense
    only: tuple[int, int] = EVER  # bars that open in it
    file: Path = Path("/dev/null")

    def requests(self, ask: Ask) -> Sequence[FileRequest]:
        """One a wish."""
        self.asked.append((ask.start_ns, ask.end_ns))
        return [FileRequest(self.file)]

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """The bars of the calendar's windows."""
        del reply
        if self.errors:
            raise self.errors.pop(0)
        table = ask.hours.around(ask.start_ns, ask.end_ns)
        stamps = [
            ts
            for start, end in table.windows_between(ask.start_ns, ask.end_ns)
            for ts in range(start, end, ask.interval.ns)
            if ts not in self.leave_out | self.wrong and self.only[0] <= ts < self.only[1]
        ]
        bars = np.zeros(len(stamps), BAR)
        bars["ts"] = stamps
        for name in ("open", "high", "low", "close"):
            bars[name] = self.close
        bars["volume"], bars["oi"] = 5, np.nan
        part = Parsed(bars=Bars(bars), holes=np.array(sorted(self.wrong), np.int64))
        for line in range(1, len(self.wrong) + 1):
            part.reject(line, "makes no sense")
        yield part
