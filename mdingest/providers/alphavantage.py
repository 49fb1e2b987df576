"""AlphaVantage: delayed candles of the US and of BSE, a few requests a day.

One address, ``GET /query?function=...``, and HTTP 200 for everything, refusals included::

    {"Meta Data": {"2. Symbol": "IBM", "6. Time Zone": "US/Eastern", ...},
     "Time Series (1min)": {"2026-11-20 19:55:00": {"1. open": "300.1000", ..., "5. volume": "123"}, ...}}
    {"Information": "... our standard API rate limit is 25 requests per day. ..."}
    {}

Stamps are naive, of the zone that the reply names, and open their bars; minutes without a
trade are left out. Asked for with ``adjusted=false``, prices are as traded; daily and weekly
ones always are. Free keys get 25 requests a day, one a second, and daily bars of the last
hundred days only; what else they get has varied, so refusals are read, not foreseen.
Sources: alphavantage.co/documentation and the alpha_vantage package 3.0.0, read 2026-11-22.
"""

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator

from mdingest.core.interval import Interval
from mdingest.core.months import months_of
from mdingest.core.session import DAY_NS, SECOND_NS
from mdingest.errors import MdingestError, PermanentError, TransientError, Unauthorized
from mdingest.providers.answers import (
    OK,
    SERVER_ERROR,
    TOO_MANY,
    json_of,
    mapping,
    number,
    one_line,
    retry_after_s,
)
from mdingest.providers.bars import YEARS, Row, parsed_rows
from mdingest.providers.history import (
    Ask,
    Capabilities,
    HistoryProvider,
    HttpRequest,
    Limits,
    Parsed,
    Reach,
    Reply,
)
from mdingest.providers.options import HttpUrl, ProviderOptions

_ZONE = "US/Eastern"
_EASTERN = ZoneInfo(_ZONE)
_INTRADAY = {60: "1min", 300: "5min", 900: "15min", 1_800: "30min", 3_600: "60min"}
_DAY_S, _WEEK_S = 86_400, 604_800
_COMPACT_S = 100 * 86_400.0  # a hundred rows reach back a hundred days at least
_SINCE = dt.date(2000, 1, 1)
_SUFFIXES = {"BO": ".BSE", "BSE": ".BSE", **dict.fromkeys(("US", "NYSE", "NASDAQ", "AMEX", "ARCA"), "")}
_NO_KEY = (
    "Put a key of alphavantage.co into .env as ALPHAVANTAGE_API_KEY, "
    'and "${ALPHAVANTAGE_API_KEY}" into providers.alphavantage.api_key'
)
_THERE_IS_NONE = "there is no key for AlphaVantage"
_NEEDS_PLAN = "This needs a paid plan of AlphaVantage, or another provider"
_TOO_FAST_S, _A_MINUTE_S, _LEAST_S = 2.0, 60.0, 3_600.0


class AlphaVantageOptions(ProviderOptions):
    """``premium``: the key's plan has no daily quota, and daily bars of all years."""

    url: HttpUrl = "https://www.alphavantage.co"
    api_key: SecretStr | None = None
    premium: bool = False
    requests_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 75  # of the plan, where there is one
    requests_per_day: Annotated[int, Field(ge=1, le=1_000_000)] = 25  # of a free key
    names: dict[str, str] = Field(default_factory=dict)
    """Single symbols: ours to theirs, {TATA.BO: TATAMOTORS.BSE}."""

    @field_validator("api_key")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value().strip():
            raise ValueError("is empty")
        return secret


class AlphaVantageHistory:
    """Implements `History`."""

    def __init__(self, options: AlphaVantageOptions) -> None:
        self._options = options
        daily = Reach(since=_SINCE, depth_s=None if options.premium else _COMPACT_S)
        self.capabilities = Capabilities(
            intervals={
                **{seconds: Reach(since=_SINCE, months=_ZONE) for seconds in _INTRADAY},
                _DAY_S: daily,
                _WEEK_S: Reach(since=_SINCE),
            },
            limits=Limits(per_second=5, per_minute=options.requests_per_minute)
            if options.premium
            else Limits(per_second=0.5, per_day=options.requests_per_day),
            settle_s=3_600.0,
            running=True,
        )

    def requests(self, ask: Ask) -> Sequence[HttpRequest]:
        """One a calendar month, or one for all days.

        Raises PermanentError for what they don't cover, Unauthorized without a key.
        """
        theirs = _theirs(ask.instrument.symbol, self._options)
        if theirs is None:
            raise PermanentError(_not_covered(ask.instrument.symbol))
        name = _INTRADAY.get(ask.interval.seconds)
        if name is None:
            function = "TIME_SERIES_WEEKLY" if ask.interval.seconds == _WEEK_S else "TIME_SERIES_DAILY"
            size = (("outputsize", "full" if self._options.premium else "compact"),)
            return [self._request(function, theirs, size if ask.interval.seconds == _DAY_S else (), None)]
        asked = []
        for span in months_of((ask.start_ns, ask.end_ns), _EASTERN):
            params = (
                ("interval", name),
                ("month", f"{dt.datetime.fromtimestamp(span[0] // SECOND_NS, _EASTERN):%Y-%m}"),
                ("outputsize", "full"),
                ("adjusted", "false"),
                ("extended_hours", "false"),
            )
            asked.append(self._request("TIME_SERIES_INTRADAY", theirs, params, span))
        return asked

    def _request(
        self, function: str, symbol: str, params: tuple[tuple[str, str], ...], span: tuple[int, int] | None
    ) -> HttpRequest:
        key = self._options.api_key
        if key is None:
            raise Unauthorized(_THERE_IS_NONE, _NO_KEY)
        return HttpRequest(
            f"{self._options.url}/query",
            (("function", function), ("symbol", symbol), *params),
            secret_params=(("apikey", key.get_secret_value()),),
            span=span,
        )

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`."""
        if reply.status != OK:
            said = f"AlphaVantage answered HTTP {reply.status}"
            if reply.status == TOO_MANY or reply.status >= SERVER_ERROR:
                raise TransientError(said, retry_after_s(reply))
            raise PermanentError(said)
        whole = json_of(reply, "AlphaVantage")
        if whole == {}:  # not worth one more of the few requests
            raise PermanentError("AlphaVantage answered with an empty document: it has nothing there")
        document = mapping(whole)
        series = next((value for key, value in document.items() if "Time Series" in key), None)
        if not isinstance(series, dict):
            raise self._refusal(document, ask.now_ns)
        meta = {key.partition(". ")[2]: value for key, value in mapping(document.get("Meta Data")).items()}
        zone = _zone(meta.get("Time Zone"))
        daily = ask.interval.is_daily_or_longer
        out, rows = Parsed(), []
        for line, (text, values) in enumerate(series.items(), 1):
            row = _row(text, values, zone, line, daily=daily)
            if row is None:
                out.reject(line, f"is no candle: {one_line(text)[:40]!r}")
            else:
                rows.append(row)
        out.answered = _answered(ask, meta.get("Last Refreshed"), zone)
        yield parsed_rows(rows, ask.interval, None, volume=True, bad=out)

    def _refusal(self, document: Mapping[str, Any], now_ns: int) -> MdingestError:
        """What a text in place of a series means: most of them praise the premium plans as well."""
        secrets = (self._options.api_key,)
        if error := one_line(document.get("Error Message"), secrets):
            said = f"AlphaVantage: {error}"
            return Unauthorized(said, _NO_KEY) if "apikey" in error.lower() else PermanentError(said)
        text = document.get("Information") or document.get("Note")
        if not text:
            return TransientError("AlphaVantage answered without a series")
        words, said = str(text).lower(), f"AlphaVantage: {one_line(text, secrets)}"
        if "per second" in words or "sparingly" in words:
            return TransientError(said, _TOO_FAST_S)
        if ("per day" in words or "rate limit" in words) and "per minute" not in words:
            return TransientError(said, _until_tomorrow_s(now_ns))
        if "premium" in words and "call frequency" not in words and "per minute" not in words:
            return Unauthorized(said, _NEEDS_PLAN)  # of the next request too, and each is one of a few
        return TransientError(said, _A_MINUTE_S)


def _row(text: object, values: object, zone: ZoneInfo, line: int, *, daily: bool) -> Row | None:
    at = _stamp(text, None if daily else zone)
    fields = {key.partition(". ")[2]: value for key, value in mapping(values).items()}
    if at is None or not {"open", "high", "low", "close", "volume"} <= fields.keys():
        return None
    o, h, l, c, v = (number(fields[name]) for name in ("open", "high", "low", "close", "volume"))  # noqa: E741
    return at, o, h, l, c, v, float("nan"), line


def _stamp(text: object, zone: ZoneInfo | None) -> int | None:
    """UTC ns of a naive time; without a zone, of its date at 00:00Z."""
    try:
        found = dt.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if found is None or found.tzinfo is not None or found.year not in YEARS:
        return None
    if zone is None:
        found = found.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(found.replace(tzinfo=zone or dt.UTC).timestamp()) * SECOND_NS


def _answered(ask: Ask, refreshed: object, zone: ZoneInfo) -> tuple[int, int] | None:
    """Up to where they have data: what is later is not there yet. None: all of the wish."""
    daily = ask.interval.is_daily_or_longer
    last = _stamp(refreshed, None if daily else zone)
    if last is None:
        return None
    if not daily:
        (*_, (_, month_ends)) = months_of((ask.start_ns, ask.end_ns), _EASTERN)
        if month_ends + DAY_NS < ask.now_ns:  # past: no more will come
            return None
        return ask.start_ns, max(ask.start_ns, last + ask.interval.ns)
    day = ask.hours.around(last, last + DAY_NS).day(last // DAY_NS)
    return ask.start_ns, max(ask.start_ns, last + DAY_NS if day is None else day.end_ns)


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(name if isinstance(name, str) else "")
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise TransientError(f"AlphaVantage names no time zone that we know: {one_line(name)!r}") from exc


def _until_tomorrow_s(now_ns: int) -> float:
    local = dt.datetime.fromtimestamp(now_ns // SECOND_NS, _EASTERN)
    midnight = (local + dt.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max((midnight - local).total_seconds(), _LEAST_S)


def _theirs(symbol: str, options: AlphaVantageOptions) -> str | None:
    """Their name for a symbol; None if they do not cover its exchange."""
    if symbol in options.names:
        return options.names[symbol]
    name, _, suffix = symbol.rpartition(".")
    if not name:
        return symbol
    return f"{name}{_SUFFIXES[suffix.upper()]}" if suffix.upper() in _SUFFIXES else None


def _not_covered(symbol: str) -> str:
    return f"{symbol}: AlphaVantage covers the US (IBM) and BSE (RELIANCE.BO), not this exchange"


def _unknown(symbols: Sequence[str], options: object, interval: Interval) -> dict[str, str]:
    del interval
    if not isinstance(options, AlphaVantageOptions):
        return {}
    if options.api_key is None:
        return dict.fromkeys(symbols, f"{_THERE_IS_NONE}. {_NO_KEY}")
    return {s: _not_covered(s).partition(": ")[2] for s in symbols if _theirs(s, options) is None}


PROVIDER = HistoryProvider(
    name="alphavantage", Options=AlphaVantageOptions, history=AlphaVantageHistory, unknown=_unknown
)
