"""How far a backfill is: a bar that moves on a terminal, a line for each symbol elsewhere.

Drawn by hand: structlog imports rich wherever rich is installed, also in the daemon, whose memory
is for data.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from mdingest.pipeline.history.report import SymbolReport

_WIDEST_BAR = 30
_SPACING_S = 0.1


class Bars:
    """Hears of progress. Implements `Progress`."""

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool = False) -> None:
        """``quiet``: only what is wrong is said, for output that a program reads."""
        self._out = out
        self._err = err
        self._quiet = quiet
        self._moving = not quiet and out.isatty()
        self._drawn_at = 0.0
        self._drawn = False

    def advanced(self, symbol: str, share: float, rows: int) -> None:
        """Draw the bar anew, ten times a second at most."""
        now = time.monotonic()
        if not self._moving or now < self._drawn_at + _SPACING_S:
            return
        self._drawn_at, self._drawn = now, True
        text = f"{symbol} {{}} {share:4.0%} {rows:,} rows"
        room = shutil.get_terminal_size().columns - len(text) - 1
        width = max(0, min(_WIDEST_BAR, room))
        done = round(width * min(max(share, 0.0), 1.0))
        self._out.write("\r\x1b[K" + text.format("#" * done + "-" * (width - done)))
        self._out.flush()

    def finished(self, report: SymbolReport) -> None:
        """The symbol's line in place of its bar, and what was wrong on the other stream."""
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._drawn = False
        if not self._quiet:
            self._out.write(f"{summary(report)}\n")
        self._out.flush()
        for text in complaints(report):
            self._err.write(f"{text}\n")
        self._err.flush()


def summary(report: SymbolReport) -> str:
    """One line."""
    head = f"{report.symbol} {report.interval}:"
    if report.failures and not report.rows:
        return f"{head} failed"
    if not report.requests:
        return f"{head} nothing to fetch, everything is covered"
    said = [f"{report.rows:,} candles read"]
    if report.rows:
        said.append(
            f"{report.changed:,} new or changed" if report.changed else "nothing changed, all were stored"
        )
    for count, text in (
        (report.rejected, "wrong rows rejected"),
        (report.empty, "rows without trades"),
        (report.unfinished, "not over yet and left out"),
        (len(report.failures), "requests failed"),
    ):
        said += [f"{count:,} {text}"] if count else []
    return f"{head} {', '.join(said)}"


def complaints(report: SymbolReport) -> Iterator[str]:
    """Everything that a person should know besides, a line each."""
    for note in report.notes:
        yield f"note: {note}"
    yield from report.rejects
    for failure in report.failures:
        yield f"mdingest: {report.symbol}: {failure}"


def on_terminal(*, quiet: bool) -> Bars:
    """For this process's own output."""
    return Bars(sys.stdout, sys.stderr, quiet=quiet)
