"""How far a backfill is: a bar a symbol on a terminal, a line for each symbol elsewhere."""

import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from mdingest.pipeline.history.report import SymbolReport

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID


class Bars:
    """Hears of progress. Implements `Progress`. A context: while it is open, bars may move."""

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool = False) -> None:
        """``quiet``: only what is wrong is said, for output that a program reads."""
        self._out = out
        self._err = err
        self._quiet = quiet
        self._display = _display(out, err) if not quiet and out.isatty() else None
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.stop()

    def advanced(self, symbol: str, share: float, rows: int) -> None:
        """Move the symbol's bar."""
        if self._display is None:
            return
        if symbol not in self._bars:
            self._bars[symbol] = self._display.add_task(symbol, total=1.0, rows=0)
        self._display.update(self._bars[symbol], completed=share, rows=rows)

    def finished(self, report: SymbolReport) -> None:
        """The symbol's line in place of its bar, and what was wrong on the other stream."""
        if self._display is not None and report.symbol in self._bars:
            self._display.remove_task(self._bars.pop(report.symbol))
        if not self._quiet:
            self._say(self._out, summary(report))
        for text in complaints(report):
            self._say(self._err, text)

    def _say(self, stream: TextIO, text: str) -> None:
        """A line; above the bars, if that stream is the terminal on which they move."""
        if self._display is not None and stream.isatty():
            self._display.console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        stream.write(f"{text}\n")
        stream.flush()


def _display(out: TextIO, err: TextIO) -> "Display":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
        console=Console(file=out),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=err.isatty(),  # log lines come above the bars then, else where they should
    )


def summary(report: SymbolReport) -> str:
    """One line."""
    head = f"{report.symbol} {report.interval}:"
    if report.failures and not report.rows:
        return f"{head} failed"
    if not report.requests:
        if report.beyond:
            return f"{head} nothing to fetch: {report.provider} has none of what is missing"
        return f"{head} nothing to fetch: what has settled is stored"
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
    if report.out_of_reach:
        yield f"{'note' if report.at_edge else 'mdingest'}: {report.symbol}: {report.out_of_reach}"


def on_terminal(*, quiet: bool) -> Bars:
    """For this process's own output."""
    return Bars(sys.stdout, sys.stderr, quiet=quiet)
