"""Candles from files on disk, in any of the dialects people have them in.

The form of a file is detected from its first lines and may be fixed by options. A file is
taken to be complete from its first bar to its last: a minute it leaves out had no trade, but a
trading day it leaves out altogether is missing.
"""

from collections.abc import Generator, Sequence

from mdingest.core.interval import Interval
from mdingest.errors import PermanentError
from mdingest.providers.csvfile.files import files_of, unknown
from mdingest.providers.csvfile.options import CsvOptions
from mdingest.providers.csvfile.reader import CsvReader
from mdingest.providers.history import (
    Adjustment,
    Ask,
    Capabilities,
    FileRequest,
    HistoryProvider,
    Parsed,
    Reach,
    Reply,
)

__all__ = ["PROVIDER", "CsvHistory", "CsvOptions"]

_LENGTHS = ("1s", "1m", "5m", "15m", "30m", "1h", "1d", "1w")


class CsvHistory:
    """Implements `History`."""

    capabilities = Capabilities(
        intervals={Interval.parse(text).seconds: Reach(adjustment=Adjustment.UNKNOWN) for text in _LENGTHS},
        local=True,
    )

    def __init__(self, options: CsvOptions) -> None:
        self._options = options

    def requests(self, ask: Ask) -> Sequence[FileRequest]:
        """The files of the symbol, by name. Raises PermanentError if there is none."""
        found = files_of(ask.instrument.symbol, ask.interval, self._options)
        if not found:
            raise PermanentError(
                unknown([ask.instrument.symbol], self._options, ask.interval)[ask.instrument.symbol]
            )
        return [FileRequest(path) for path in found]

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`. Raises PermanentError for a file that can't be understood."""
        yield from CsvReader(reply.body, ask, self._options).parts()


PROVIDER = HistoryProvider(name="csv", Options=CsvOptions, history=CsvHistory, unknown=unknown)
