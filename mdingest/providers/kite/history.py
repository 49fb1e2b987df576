"""Kite Connect's historical candles over REST.

``GET /instruments/historical/{token}/{interval}?from=2026-11-20 09:15:00&to=...&oi=1``, both ends
included and both in IST, answered oldest first::

    {"status":"success","data":{"candles":[["2019-12-04T09:15:00+0530",12009.9,12019.35,12001.25,12001.5,163275,13667775]]}}

The bar that still forms is among them and changes until the next one begins; minutes without a
trade are left out. Prices of stocks are commonly understood to be adjusted for splits and
bonuses and not for dividends, which Kite does not document.
Sources: kite.trade/docs/connect/v3/historical and pykiteconnect 5.2.2, read 2026-11-22.
"""

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdingest.core.control import VolumeKind
from mdingest.core.session import SECOND_NS
from mdingest.errors import MdingestError, PermanentError, TransientError, Unauthorized
from mdingest.providers.answers import (
    FORBIDDEN,
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
from mdingest.providers.base import Resolved
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
from mdingest.providers.kite.instruments import resolve
from mdingest.providers.kite.login import LOG_IN, SUBSCRIBE, KiteAccess
from mdingest.providers.kite.options import KiteOptions
from mdingest.providers.kite.segments import BY_NAME

_DAY_S = 86_400.0
_IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
_INTERVALS = {  # seconds: their name, and how many days one request may span
    60: ("minute", 60),
    300: ("5minute", 100),
    900: ("15minute", 200),
    1_800: ("30minute", 200),
    3_600: ("60minute", 400),
    86_400: ("day", 2_000),
}


class KiteHistory:
    """Implements `History`."""

    capabilities = Capabilities(
        intervals={
            seconds: Reach(
                span_s=days * _DAY_S,
                adjustment=Adjustment.SPLIT,
                settle_s=1_800.0
                if seconds == _DAY_S
                else None,  # the closing price is worked out after hours
            )
            for seconds, (_, days) in _INTERVALS.items()
        },
        limits=Limits(per_second=3),
        settle_s=60.0,  # a minute has been seen to change more than 10 s after its end
        running=True,
    )

    def __init__(self, options: KiteOptions) -> None:
        self._options = options

    def requests(self, ask: Ask) -> Sequence[HttpRequest]:
        """One: the planner keeps the span. Raises Unauthorized without a token."""
        token = self._options.access_token
        if token is None:
            raise Unauthorized("there is no access token for Kite", LOG_IN)
        key = self._options.api_key.get_secret_value()
        name, _ = _INTERVALS[ask.interval.seconds]
        params = [("from", _clock(ask.start_ns)), ("to", _clock(ask.end_ns - 1))]
        if _has_interest(ask):
            params.append(("oi", "1"))
        return [
            HttpRequest(
                f"{self._options.rest}/instruments/historical/{ask.key}/{name}",
                tuple(params),
                secret_headers=(
                    ("X-Kite-Version", "3"),
                    ("Authorization", f"token {key}:{token.get_secret_value()}"),
                ),
            )
        ]

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        """See `History.parse`."""
        document = mapping(json_of(reply, "Kite"))
        if reply.status != OK or document.get("status") != "success":
            raise self._refusal(reply, document)
        part = Parsed()
        rows = dated_rows(mapping(document.get("data")).get("candles"), "Kite", part, oi=_has_interest(ask))
        volume = ask.instrument.volume is not VolumeKind.NONE
        yield parsed_rows(rows, ask.interval, _IST, volume=volume, bad=part)

    def _refusal(self, reply: Reply, document: Mapping[str, Any]) -> MdingestError:
        """What an error envelope, or a status alone, means."""
        options = self._options
        words = one_line(document.get("message"), (options.api_key, options.api_secret, options.access_token))
        kind = one_line(document.get("error_type"))
        said = f"Kite answered HTTP {reply.status} {kind}".rstrip() + (f": {words}" if words else "")
        if kind == "PermissionException":
            return Unauthorized(said, SUBSCRIBE)
        if kind == "TokenException" or reply.status in (UNAUTHORIZED, FORBIDDEN):
            return Unauthorized(said, LOG_IN)
        if reply.status == TOO_MANY or reply.status >= SERVER_ERROR or reply.status == OK:
            return TransientError(said, retry_after_s(reply) or (1.0 if reply.status == TOO_MANY else None))
        return PermanentError(said)


def _has_interest(ask: Ask) -> bool:
    segment = BY_NAME.get(ask.instrument.exchange)
    return segment is not None and segment.derivative


def _clock(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // SECOND_NS, _IST):%Y-%m-%d %H:%M:%S}"


def _find(
    symbols: Sequence[str], options: KiteOptions, path: Path, problems: list[str]
) -> dict[str, Resolved]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        found = resolve(symbols, options, lines, problems=problems)
    return {row.instrument.symbol: row for row in found}


HISTORY = HistoryProvider(
    name="kite",
    Options=KiteOptions,
    history=KiteHistory,
    account="kite_ws",
    access=KiteAccess(),
    listing=InstrumentList(lambda options: options.instruments, "kite_ws.csv", _find),
)
