"""What adapters over HTTP have in common: JSON out of a reply, and refusals in words without secrets."""

import datetime as dt
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from pydantic import SecretStr

from mdingest.core.session import SECOND_NS
from mdingest.errors import TransientError
from mdingest.providers.bars import YEARS, Parsed, Row
from mdingest.providers.history import Reply

OK, UNAUTHORIZED, FORBIDDEN, TOO_MANY = 200, 401, 403, 429
SERVER_ERROR = 500
_TEXT_LIMIT = 200
_LONGEST_S = 7 * 86_400.0
_FEWEST = 4  # a shorter secret is no secret, and would turn all texts into stars
_HUGE = 1e300


def json_of(reply: Reply, who: str) -> Any:  # noqa: ANN401 - whatever they sent
    """The document in a reply. Raises TransientError for anything else: half of one, or a web page."""
    reply.body.seek(0)  # a reply is parsed twice where rows are stored already
    body = reply.body.read()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        kind = "a web page" if body.lstrip()[:1] == b"<" else "nothing" if not body.strip() else "no JSON"
        raise TransientError(
            f"{who} answered HTTP {reply.status} with {kind} ({len(body)} bytes)", retry_after_s(reply)
        ) from exc


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def retry_after_s(reply: Reply) -> float | None:
    """How long ``Retry-After`` says to wait: seconds, or a date compared with the reply's own."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_S)
    until, now = _date(text), _date(reply.headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), _LONGEST_S)


def one_line(text: object, secrets: Iterable[SecretStr | None] = ()) -> str:
    """Their words in one short line, without our secrets; empty if it is no text."""
    if not isinstance(text, str):
        return ""
    for secret in secrets:
        if secret is not None and len(secret.get_secret_value()) >= _FEWEST:
            text = text.replace(secret.get_secret_value(), "***")
    return " ".join(text.split())[:_TEXT_LIMIT]


def number(value: object) -> float:
    """A JSON number, or one that stands as text; NaN for all else."""
    if isinstance(value, bool):
        return float("nan")
    if isinstance(value, int | float):
        return float(value) if abs(value) < _HUGE else float("nan")
    if not isinstance(value, str) or not _PLAIN.issuperset(value):
        return float("nan")
    try:
        return float(value)
    except ValueError:
        return float("nan")


def dated_rows(raw: object, who: str, out: Parsed, *, oi: bool) -> list[Row]:
    """Rows ``[time with offset, open, high, low, close, volume, open interest if any]``.

    Wrong ones are rejected in ``out``. Raises TransientError if there is no list at all.
    """
    if not isinstance(raw, list):
        raise TransientError(f"{who} answered without candles")
    rows: list[Row] = []
    for line, row in enumerate(raw, 1):
        at = _instant(row[0]) if isinstance(row, list) and len(row) >= _COLUMNS else None
        if at is None:
            out.reject(line, "is no candle: a time with its offset and five numbers")
            continue
        o, h, l, c, v = (number(value) for value in row[1:_COLUMNS])  # noqa: E741 - as they are called
        interest = number(row[_COLUMNS]) if oi and len(row) > _COLUMNS else float("nan")
        rows.append((at, o, h, l, c, v, interest, line))
    return rows


_COLUMNS = 6


def _instant(text: object) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or found.year not in YEARS:
        return None
    return int(found.timestamp()) * SECOND_NS


_PLAIN = frozenset("0123456789.+-eE")  # `float` alone takes "inf", "1_000" and digits of other scripts


def _date(text: str) -> dt.datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):  # the last of an offset of a thousand years
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
