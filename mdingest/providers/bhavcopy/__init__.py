"""Day candles from the files that NSE and BSE publish each evening, raw and official.

A file holds all symbols of a market and a date. It is fetched once, kept, and answers for each
symbol. A holiday is the calendar's to know: a file that a trading day lacks is missing today, and
lost later. NSE answers the wrong date with another day's file and BSE with a web page, both with
HTTP 200, so that the rows decide what a file is.
Facts from public downloaders and samples of 2024 to 2026, read 2026-11-22.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Generator, Sequence

from mdingest.core.interval import DAY, Interval
from mdingest.core.session import SECOND_NS, TradeDay
from mdingest.errors import NotThere, NotYet, PermanentError, TransientError
from mdingest.providers.answers import FORBIDDEN, OK, SERVER_ERROR, TOO_MANY, retry_after_s
from mdingest.providers.bars import parsed_rows
from mdingest.providers.bhavcopy.forms import DayFile
from mdingest.providers.bhavcopy.markets import Market, market_of, template_of
from mdingest.providers.bhavcopy.names import files_in, filled, named
from mdingest.providers.bhavcopy.options import BhavcopyOptions
from mdingest.providers.bhavcopy.picking import bar_of, nearest, other_series, picked
from mdingest.providers.history import (
    Ask,
    Capabilities,
    FileRequest,
    HistoryProvider,
    HttpRequest,
    Keep,
    Limits,
    Parsed,
    Reach,
    Reply,
    Request,
)

__all__ = ["PROVIDER", "BhavcopyHistory", "BhavcopyOptions"]

_SETTLE_S = 2 * 3_600.0  # files come from about 18:00 on
_PATIENCE_NS = 12 * 3_600 * SECOND_NS  # after a day's end; what is not there then never was
_THROTTLED_S = 30.0
_NOT_FOUND = 404
_LONGEST_BYTES = 256 << 20


class BhavcopyHistory:
    """Implements `History`."""

    def __init__(self, options: BhavcopyOptions) -> None:
        self._options = options

    @property
    def capabilities(self) -> Capabilities:
        """One request brings a day; local files are read as they are there."""
        return Capabilities(
            intervals={DAY.seconds: Reach(span_s=86_400.0, settle_s=_SETTLE_S)},
            limits=Limits(per_second=1),
            local=self._options.files is not None,
        )

    def requests(self, ask: Ask) -> Sequence[Request]:
        """One a trading day. Raises PermanentError for a symbol that no day file has."""
        market = market_of(ask.instrument.symbol)
        if market is None:
            raise PermanentError(_ELSEWHERE)
        if self._options.patterns is not None:
            return self._local(ask, market)
        days = ask.hours.around(ask.start_ns, ask.end_ns).days
        wanted = [
            day
            for day in days
            if day.start_ns < ask.end_ns and ask.start_ns < day.end_ns and (day.windows or not day.known)
        ]
        return [self._remote(day, market) for day in wanted]

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`. Raises NotYet for the file of today that is not there yet."""
        market = market_of(ask.instrument.symbol)
        day = ask.hours.around(ask.start_ns, ask.start_ns).day_of(ask.start_ns)
        if market is None or day is None:
            raise PermanentError(_ELSEWHERE)
        remote = isinstance(reply.request, HttpRequest)
        if remote and _is_absent(reply, page=_may_come(ask, day) or market.exchange == "BSE"):
            yield _absent(ask, day, market, "there is no file")
            return
        file, name = _read(reply)
        date = file.date or (told.date if (told := named(name)) is not None else None)
        if date is None:
            raise PermanentError(
                f"{name}: neither its rows nor its name tell the date",
                "Name it as the exchange does (EQ050724.CSV), or put {DD}, {MM} and {YYYY} into files",
            )
        if file.market != market.name:
            if remote:
                raise PermanentError(f"is a file of {file.market}, not of {market.name}")
            return  # a pattern that finds the files of several markets
        if date != day.date:
            if not remote:
                raise PermanentError(f"holds {date}; its name says {day.date}")
            yield _absent(ask, day, market, f"the file of {date} came instead")
            return
        own = ask.instrument.symbol.rpartition(".")[0]
        own = self._options.names.get(ask.instrument.symbol, own)
        row = picked(file, own, self._options.series)
        if row is None:
            yield Parsed(unseen=_unseen(file, own, day))
            return
        out = Parsed()
        bar = bar_of(row, date)
        if bar is None:
            out.empty += 1
        yield parsed_rows([] if bar is None else [bar], ask.interval, None, volume=True, bad=out)

    def _remote(self, day: TradeDay, market: Market) -> HttpRequest:
        options = self._options
        template = options.urls.get(market.name)
        if template is None:
            template = template_of(market, day.date, full=options.cash == "full")
        if not template:
            raise PermanentError(f"no file of {market.name} before 2024-07-08 is known")
        url = filled(template.replace("{nse}", options.nse).replace("{bse}", options.bse), day.date)
        headers = [("User-Agent", options.agent), ("Accept", "*/*")]
        if market.exchange == "BSE":
            headers.append(("Referer", "https://www.bseindia.com/"))
        keep = None
        if options.cache is not None:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", url.rpartition("/")[2])[-100:]
            keep = Keep(options.cache / f"{market.name}_{day.date}_{name}", options.cache_max)
        return HttpRequest(url, secret_headers=tuple(headers), span=(day.start_ns, day.end_ns), keep=keep)

    def _local(self, ask: Ask, market: Market) -> list[FileRequest]:
        found = []
        for path, told in files_in(self._options.patterns or ()):
            if told.market in (None, market.name):
                day = ask.hours.book.day(ask.instrument.session_class, told.date)
                if day.start_ns < ask.end_ns and ask.start_ns < day.end_ns:
                    found.append(FileRequest(path, (day.start_ns, day.end_ns)))
        if not found:
            where = ", ".join(self._options.patterns or ())
            raise PermanentError(
                f"no file of {market.name} in that range at {where}",
                "Names must be the exchange's own, or hold {DD}, {MM} or {MON}, and {YYYY} or {YY}",
            )
        return sorted(found, key=lambda request: request.span or (0, 0))


_ELSEWHERE = "must end in .NS, .BO (shares), .NFO or .BFO (futures and options): others have no day file"


def _is_absent(reply: Reply, *, page: bool) -> bool:
    """Whether the exchange has no file of a day; ``page``: a web page says so too.

    Raises TransientError if it says anything else.
    """
    said = f"the exchange answered HTTP {reply.status}"
    if reply.status == _NOT_FOUND:
        return True
    if reply.status in (TOO_MANY, FORBIDDEN):
        raise TransientError(
            f"{said}: too many requests, or it takes us for a robot", retry_after_s(reply) or _THROTTLED_S
        )
    if reply.status >= SERVER_ERROR:
        raise TransientError(said, retry_after_s(reply))
    if reply.status != OK:
        raise PermanentError(said)
    reply.body.seek(0)
    return page and reply.body.read(64).lstrip()[:1] == b"<"


def _may_come(ask: Ask, day: TradeDay) -> bool:
    return ask.now_ns < day.end_ns + _PATIENCE_NS


def _absent(ask: Ask, day: TradeDay, market: Market, why: str) -> Parsed:
    """A day without a file: no trade if it may have been a holiday, else an error."""
    if _may_come(ask, day):
        raise NotYet(f"{market.name} {day.date}: {why}; it is not published yet")
    if day.known:
        raise NotThere(
            f"{market.name} {day.date}: {why}",
            "If it was a holiday, say so in calendar.file",
        )
    return Parsed(answered=(day.start_ns, day.end_ns), absent=True)


def _unseen(file: DayFile, name: str, day: TradeDay) -> str:
    said = f"{name} is not in the file of {file.market} of {day.date}"
    if others := other_series(file, name):
        return f"{said} but as {', '.join(others)} (see providers.bhavcopy.series)"
    near = [] if file.market.endswith(".FO") else nearest(file, name)
    return f"{said}; did you mean {', '.join(near)}?" if near else said


def _read(reply: Reply) -> tuple[DayFile, str]:
    """The text of a reply, out of its zip if it is one, and the name of the file."""
    request = reply.request
    name = str(request).rpartition("/")[2]  # of a file or an address
    reply.body.seek(0)
    data = reply.body.read()
    if data[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                inside = [one for one in archive.infolist() if one.filename.lower().endswith(".csv")]
                if len(inside) != 1:
                    raise TransientError(f"{name} holds {len(inside)} CSV files, not one")
                if inside[0].file_size > _LONGEST_BYTES:
                    raise PermanentError(f"{name} would grow to more than {_LONGEST_BYTES >> 20} MiB")
                name, data = inside[0].filename.rpartition("/")[2], archive.read(inside[0])
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as exc:
            raise TransientError(f"{name} is not a whole zip file: {exc}") from exc
    return DayFile(data.decode("utf-8", "replace"), name), name


def _unknown(symbols: Sequence[str], options: object, interval: Interval) -> dict[str, str]:
    del options, interval
    return {symbol: _ELSEWHERE for symbol in symbols if market_of(symbol) is None}


PROVIDER = HistoryProvider(
    name="bhavcopy", Options=BhavcopyOptions, history=BhavcopyHistory, unknown=_unknown
)
