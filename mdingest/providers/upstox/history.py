"""Upstox's historical candles, V3, over REST.

``GET /v3/historical-candle/{key}/{unit}/{interval}/{to}/{from}`` for the days before today, dates
of India, both included, the later one first; ``GET /v3/historical-candle/intraday/{key}/{unit}/{interval}``
for today. A wish that ends today takes both. Answered newest first, with open interest always::

    {"status":"success","data":{"candles":[["2025-01-01T09:15:00+05:30",53.1,53.9,51.6,52,235519,0], ...]}}

Stamps open their bars. Neither needs a token by the SDK's own account; one that is there is sent.
Daily prices look adjusted for splits and bonuses, which nobody documents.
Sources: upstox.com/developer/api-documentation (historical-candle v3, rate limiting) and
upstox-python-sdk 2.30.0, read 2026-11-22; more than 31 days of minutes in one request were seen
refused (UDAPI1148), and more than five years of days.
"""

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mdingest.core.control import VolumeKind
from mdingest.core.session import DAY_NS, SECOND_NS
from mdingest.core.spans import Span
from mdingest.errors import MdingestError, PermanentError, TransientError, Unauthorized
from mdingest.providers.answers import (
    OK,
    SERVER_ERROR,
    TOO_MANY,
    UNAUTHORIZED,
    dated_rows,
    json_of,
    mapping,
    one_line,
    retry_after_s,
)
from mdingest.providers.bars import parsed_rows
from mdingest.providers.history import (
    Adjustment,
    Ask,
    Capabilities,
    HistoryProvider,
    HttpRequest,
    InstrumentList,
    Limits,
    Parsed,
    Reach,
    Reply,
)
from mdingest.providers.upstox.instruments import find
from mdingest.providers.upstox.options import UpstoxOptions

_IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
_IST_NS = 19_800 * SECOND_NS
_DAY_S, _WEEK_S = 86_400, 604_800
_UNITS = {
    60: ("minutes/1", 27),
    300: ("minutes/5", 27),
    900: ("minutes/15", 27),
    1_800: ("minutes/30", 88),
    3_600: ("hours/1", 88),
    _DAY_S: ("days/1", 1_800),
    _WEEK_S: ("weeks/1", None),
}
"""What an interval is called, and how many days one request may span: a month and a quarter of the
calendar are told, so the shortest of them count, and both ends do."""
_MINUTES_SINCE, _DAYS_SINCE = dt.date(2022, 1, 1), dt.date(2000, 1, 1)
_BAD_TOKEN = "UDAPI100050"  # noqa: S105 - a code
_NO_INSTRUMENT = ("UDAPI100011", "UDAPI1021")
_TOKEN = "Put a valid token into providers.upstox.access_token, or none at all"  # noqa: S105 - a sentence


class UpstoxHistory:
    """Implements `History`."""

    capabilities = Capabilities(
        intervals={
            seconds: Reach(
                span_s=None if days is None else float(days * _DAY_S),
                adjustment=Adjustment.SPLIT if seconds >= _DAY_S else Adjustment.UNKNOWN,
                since=_DAYS_SINCE if seconds >= _DAY_S else _MINUTES_SINCE,
                settle_s=1_800.0
                if seconds >= _DAY_S
                else None,  # the closing price is worked out after hours
            )
            for seconds, (_, days) in _UNITS.items()
        },
        limits=Limits(per_second=50, per_minute=500, per_half_hour=2_000),
        settle_s=60.0,
        running=True,
    )

    def __init__(self, options: UpstoxOptions) -> None:
        self._options = options

    def requests(self, ask: Ask) -> Sequence[HttpRequest]:
        """One for the days before today and one for today, or one of them."""
        unit, _ = _UNITS[ask.interval.seconds]
        today = (ask.now_ns + _IST_NS) // DAY_NS * DAY_NS - _IST_NS
        key = quote(ask.key, safe="")
        asked = []
        before = ask.end_ns if ask.interval.seconds == _WEEK_S else min(ask.end_ns, today)
        if ask.start_ns < before:
            dates = f"{_date(before - 1)}/{_date(ask.start_ns)}"
            asked.append(self._request(f"{key}/{unit}/{dates}", (ask.start_ns, before)))
        if before < ask.end_ns:
            asked.append(self._request(f"intraday/{key}/{unit}", (max(ask.start_ns, today), ask.end_ns)))
        return asked

    def _request(self, path: str, span: Span) -> HttpRequest:
        token = self._options.access_token
        secret = () if token is None else (("Authorization", f"Bearer {token.get_secret_value()}"),)
        return HttpRequest(
            f"{self._options.url}/v3/historical-candle/{path}",
            secret_headers=(("Accept", "application/json"), *secret),
            span=span,
        )

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`."""
        document = mapping(json_of(reply, "Upstox"))
        if reply.status != OK or document.get("status") != "success":
            raise self._refusal(reply, document)
        part = Parsed()
        has_interest = ask.key.partition("|")[0].endswith(("_FO", "_COM"))
        rows = dated_rows(mapping(document.get("data")).get("candles"), "Upstox", part, oi=has_interest)
        volume = ask.instrument.volume is not VolumeKind.NONE
        yield parsed_rows(rows, ask.interval, _IST, volume=volume, bad=part)

    def _refusal(self, reply: Reply, document: Mapping[str, Any]) -> MdingestError:
        """What an error envelope, or a status alone, means."""
        errors = document.get("errors")
        first = mapping(errors[0]) if isinstance(errors, list) and errors else {}
        code = one_line(first.get("errorCode") or first.get("error_code"))
        words = one_line(first.get("message"), (self._options.access_token,))
        said = f"Upstox answered HTTP {reply.status} {code}".rstrip() + (f": {words}" if words else "")
        if reply.status == UNAUTHORIZED or code == _BAD_TOKEN:
            return Unauthorized(said, _TOKEN)
        if reply.status == TOO_MANY or "too many" in words.lower():  # a 400 that says so has been seen
            return TransientError(said, retry_after_s(reply) or 1.0)
        if reply.status >= SERVER_ERROR or reply.status == OK:
            return TransientError(said, retry_after_s(reply))
        return PermanentError(said, "It has no such instrument" if code in _NO_INSTRUMENT else "")


def _date(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // SECOND_NS, _IST):%Y-%m-%d}"


HISTORY = HistoryProvider(
    name="upstox",
    Options=UpstoxOptions,
    history=UpstoxHistory,
    listing=InstrumentList(lambda options: options.instruments, "upstox.json.gz", find),
)
