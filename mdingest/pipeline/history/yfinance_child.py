"""The program in which yfinance runs: see `child`. It imports nothing of ours, and nobody imports it.

A job is ``{"symbol", "interval", "start", "end", "url", "timeout_s"}``, times in seconds since 1970.
The answer is ``{"bars": [[time or date, open, high, low, close, volume], ...]}``, or
``{"error": kind, "text": ..., "status": of HTTP, "retry_after": ..., "date": ...}``.

Prices come as Yahoo has them, which is adjusted for splits; the library's own adjustment for
dividends is switched off. Bars without prices are kept: they say that nothing traded.
"""

import os
import resource
import struct
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import orjson
import yfinance
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException
from yfinance.exceptions import YFException

_MAX_DATA = 400 << 20  # of memory; the libraries alone take 100
_MAX_FILE = 16 << 20
_LENGTH = struct.Struct(">I")
_CHART = "/v8/finance/chart/"
_TELLING = (400, 404, 422, 429)  # the library would ask once more, and then guess
_SERVER_ERROR = 500
_TEXT = 300
_OF_FOREIGN_JSON = (ValueError, TypeError, KeyError, IndexError, AttributeError)


class Refused(Exception):
    """Yahoo said no. Holds its reply."""

    def __init__(self, reply: Response) -> None:
        super().__init__(f"HTTP {reply.status_code}")
        self.reply = reply


class Line(Session[Response]):
    """What the library talks through: as a browser does, perhaps to another address than Yahoo's."""

    base = ""

    def request(self, method: Any, url: str, **options: Any) -> Response:  # type: ignore[override]  # noqa: ANN401
        """See `Session.request`. Raises Refused for what Yahoo says plainly."""
        if self.base:
            there = urlsplit(url)
            url = f"{self.base}{there.path}" + (f"?{there.query}" if there.query else "")
        reply = super().request(method, url, **options)
        if _CHART in url:
            if reply.status_code in _TELLING or reply.status_code >= _SERVER_ERROR:
                raise Refused(reply)
            if b'"chart"' not in reply.content[:100]:  # the library would call the symbol delisted
                raise ValueError("no chart in the answer")
        return reply


def main() -> None:
    """Answer until nothing more comes."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_DATA, _MAX_DATA))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE, _MAX_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = os.fdopen(0, "rb", buffering=0)
    yfinance.config.debug.hide_exceptions = False
    with Line(impersonate="chrome") as line:
        while (job := _next_job(source)) is not None:
            line.base = job["url"]
            if line.base:
                yfinance.set_tz_cache_location(str(Path.cwd()))  # what another than Yahoo says is not kept
            answer = orjson.dumps(_answer(job, line))
            out.write(_LENGTH.pack(len(answer)) + answer)
            out.flush()


def _next_job(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (left,) = _LENGTH.unpack(head)
    body = b""
    while left > len(body):
        piece = source.read(left - len(body))
        if not piece:
            return None
        body += piece
    job: dict[str, Any] = orjson.loads(body)
    return job


def _answer(job: dict[str, Any], line: Line) -> dict[str, Any]:
    try:
        return {"bars": _bars(job, line)}
    except Refused as exc:
        reply = exc.reply
        return {
            "error": "Refused",
            "text": _said(reply),
            "status": reply.status_code,
            "retry_after": reply.headers.get("retry-after") or "",
            "date": reply.headers.get("date") or "",
        }
    except (YFException, RequestException, *_OF_FOREIGN_JSON) as exc:
        return {"error": type(exc).__name__, "text": str(exc)[:_TEXT]}


def _said(reply: Response) -> str:
    try:
        text = orjson.loads(reply.content)["chart"]["error"]["description"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = ""
    return str(text or "")[:_TEXT]


def _bars(job: dict[str, Any], line: Line) -> list[list[Any]]:
    # It keeps what it was told about the past, half a reply too: the same question may be answered better.
    yfinance.data.YfData.cache_get.cache_clear()
    frame = yfinance.Ticker(job["symbol"], session=line).history(
        interval=job["interval"],
        start=job["start"],
        end=job["end"],
        auto_adjust=False,
        back_adjust=False,
        actions=False,
        keepna=True,
        timeout=job["timeout_s"],
    )
    return _rows(frame, is_daily=job["interval"].endswith("d"))


def _rows(frame: Any, *, is_daily: bool) -> list[list[Any]]:  # noqa: ANN401 - of pandas
    if frame.empty:
        return []
    index = frame.index
    stamps: list[Any] = (
        [f"{at:%Y-%m-%d}" for at in index] if is_daily else [round(at.timestamp()) for at in index]
    )
    columns = [frame[name].to_list() for name in ("Open", "High", "Low", "Close", "Volume")]
    return [list(row) for row in zip(stamps, *columns, strict=True)]


if __name__ == "__main__":
    main()
